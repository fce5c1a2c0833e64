//! The worker: the process that serves requests. It needs nobody else to serve; what tells it to begin, to reload and to end
//! comes over a wire from the supervisor, and from the next one when that has died.
//!
//! It accepts nobody before it has proved that it could serve: all is compiled, and each of its threads has answered a request
//! of its own. Not here: what a request's life is ([`seawall_proxy`]), who starts the next worker when this one dies.

pub mod answer;
mod changes;
mod fleet;
mod geo;
mod inherit;
mod orders;
mod outdated;
mod purges;
mod serve;
mod set_up;
mod stands;
mod wires;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use seawall_guard::{StageDef, blame};
use seawall_model::Problems;
use seawall_proxy::state::State;

use crate::certificates::{self, Keeper};
use crate::cli;
use crate::configure::{self, Configuration, Source};
use crate::data::Data;
use crate::distribution::joining::Identity;
use crate::kept::Kept;
use crate::last_words;
use crate::message::{Begin, FromWorker, Plan, Role, Socket, ToWorker};
use crate::page::SharedPage;
use crate::privileges;
use crate::process::{registry, small_pages};
use crate::quarantine::Quarantine;
use crate::say::complain;
use crate::start;
use crate::unkept::Unkept;
use crate::wire::Wire;
pub use changes::Finished;
pub use fleet::Members;
use serve::Worker;

/// Serves until it is told to end.
///
/// # Errors
/// When it was not started by a supervisor, or cannot have what every process needs.
pub fn run(flags: &cli::Worker, stages: &'static [&'static StageDef]) -> Result<ExitCode> {
    small_pages();
    last_words::in_the_background();
    privileges::give_up(privileges::Who::Worker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let wire = Rc::new(start::wire(flags.wire)?);
        let Some(given) = Given::receive(&wire).await? else {
            // Whoever started us has gone before we served anything.
            return Ok(ExitCode::FAILURE);
        };
        let page = SharedPage::map(given.page)?.keep();
        last_words::keep_in(page);
        let worker = match prepare(flags, stages, &wire, given.begin, page).await? {
            Prepared::Worker(worker) => worker,
            Prepared::Hopeless(problems) => {
                complain(format_args!(
                    "the configuration has problems, nothing is served:\n{problems}"
                ));
                let _ = wire.say(&FromWorker::Failed, &[]);
                return Ok(ExitCode::FAILURE);
            }
        };
        worker.run(wire).await
    })
}

/// What a worker begins with.
struct Given {
    begin: Begin,
    page: OwnedFd,
}

impl Given {
    async fn receive(wire: &Wire) -> Result<Option<Self>> {
        match wire.hear().await? {
            Some((ToWorker::Begin(begin), files)) => {
                let page = files.into_iter().next().context("no page")?;
                Ok(Some(Self { begin, page }))
            }
            Some((other, _)) => bail!("the first word was {other:?}"),
            None => Ok(None),
        }
    }
}

enum Prepared {
    Worker(Box<Worker>),
    Hopeless(Problems),
}

/// Reads, asks for sockets, compiles, starts threads, and asks each of them for an answer.
async fn prepare(
    flags: &cli::Worker,
    stages: &'static [&'static StageDef],
    wire: &Rc<Wire>,
    begin: Begin,
    page: &'static SharedPage,
) -> Result<Prepared> {
    let up = &flags.up;
    seawall_guard::set_speed(up.speed);
    let data = Arc::new(Data::at(&up.data)?);
    let state = Arc::new(State::new(registry(), stages));
    let configuration = Configuration {
        up: Arc::new(up.clone()),
        data: data.clone(),
        state: state.clone(),
        quarantine: Arc::new(Quarantine::new(&begin, data.clone())),
        kept: Arc::<Kept>::default(),
        managed: begin.managed,
        fleet: fleet::set_up(&data, &state)?,
        page,
    };
    configuration.resume();
    let (mut source, is_live) = match (begin.live, begin.managed) {
        (true, _) => configuration.read_live(),
        (false, true) => (configuration.read_managed(), false),
        (false, false) => (configuration.read(&Unkept::default()), false),
    };
    if let Some(problems) = configure::hopeless(up, &source.parsed, stages) {
        return Ok(Prepared::Hopeless(problems));
    }
    let confined = privileges::writing::give_up(&data.path(""), &source.parsed.document);
    let plan = answer::plan(up, &source.parsed.document);
    let blamed = blame::Page::of(page.words());
    blamed.begin(plan.threads, flags.generation);
    blame::take_slot(page.words(), blamed.compile_slot());
    wire.say(&FromWorker::Plan(plan.clone()), &[])?;
    let Some(sockets) = sockets(wire).await? else {
        bail!("the supervisor has gone before we served");
    };
    let mut addresses: Vec<_> = sockets.iter().map(|(told, _)| told.address).collect();
    addresses.dedup();
    let https = sockets.iter().find(|(told, _)| told.role == Role::Https);
    if let Some((https, _)) = https {
        state.set_https_port(https.address.port());
    }
    state.set_own_listeners(addresses);
    state.set_own_folder(configuration.data.path("").canonicalize()?);
    if Identity::is_kept(&configuration.data) {
        state.set_has_joined();
    }
    let document = &source.parsed.document;
    let keeper = certificates::restore(
        document,
        &state,
        configure::base(up),
        &configuration.data.path(""),
    )?;
    state.set_safe_mode(begin.safe_mode);
    let compiled = configuration.compile(&mut source, None);
    let Some(snapshot) = compiled.snapshot else {
        return Ok(Prepared::Hopeless(compiled.problems));
    };
    configure::tell_refused(&compiled.problems, &compiled.refused);
    // Where nothing of it was replaced or left out, what serves is what is kept already.
    let is_kept = is_live
        && compiled.refused.is_empty()
        && begin.quarantined.is_empty()
        && begin.platform.is_none();
    let started = Started {
        is_kept,
        configuration,
        source,
        snapshot,
        refused: compiled.refused,
        plan,
        sockets,
        page,
        generation: flags.generation,
        keeper,
        confined,
    };
    let worker = Worker::start(started).context("the worker cannot be started")?;
    worker.probe().await?;
    wire.say(&FromWorker::Ready, &[])?;
    Ok(Prepared::Worker(Box::new(worker)))
}

/// What there is before the first thread runs.
pub(crate) struct Started {
    is_kept: bool,
    configuration: Configuration,
    source: Source,
    snapshot: seawall_proxy::snapshot::Snapshot,
    refused: Vec<seawall_proxy::compile::Refused>,
    plan: Plan,
    sockets: Vec<(Socket, OwnedFd)>,
    page: &'static SharedPage,
    generation: u64,
    keeper: Option<Keeper>,
    /// What people should know of what it may write.
    confined: Option<String>,
}

/// All listening sockets; none when nobody gives any.
async fn sockets(wire: &Wire) -> Result<Option<Vec<(Socket, OwnedFd)>>> {
    let mut all = Vec::new();
    loop {
        match wire.hear().await? {
            Some((ToWorker::Sockets(told), files)) => all.extend(told.into_iter().zip(files)),
            Some((ToWorker::Prepare, _)) => return Ok(Some(all)),
            Some((other, _)) => complain(format_args!("unexpected before serving: {other:?}")),
            None => return Ok(None),
        }
    }
}

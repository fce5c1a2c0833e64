//! Control: the process that keeps versions, carries rollouts out, and answers those who change something. The edge serves without
//! it, for days if need be; it may be killed at any time, and goes on where it was.
//!
//! Here: who is connected, and when something is done. What a rollout is: [`engine`]; how a document becomes versions: [`make`].

mod advance;
mod answer;
pub mod asks;
mod back;
mod barred;
mod begin;
pub mod diff;
mod edges;
pub mod engine;
pub mod files;
mod fleet;
mod import;
mod in_step;
pub mod kills;
pub mod locations;
mod machine;
pub mod make;
mod newest;
mod purges;
mod queue;
mod refresh;
mod reports;
mod returns;
mod serving;
mod standings;
mod steer;
mod tokens;
mod track;
pub mod truth;
pub mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_control::StoreError;
use seawall_guard::StageDef;
use seawall_model::Tempo;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval};

use crate::api;
use crate::cli;
use crate::configure;
use crate::data::Data;
use crate::distribution::keys;
use crate::distribution::mirror::{self, Mirrored};
use crate::distribution::publisher::Publisher;
use crate::distribution::serve::Question;
use crate::distribution::sweep;
use crate::good;
use crate::last_words;
use crate::lasting;
use crate::live;
use crate::order;
use crate::say::{complain, say};
use crate::start;
use crate::token::{self, Tokens};
use crate::wire::{Wire, WireListener};
use edges::Edges;
use engine::Engine;
use make::Maker;
use newest::Newest;
use words::{FromControl, ToControl};

pub use answer::{PAGE, unknown};

/// Names of what may last.
const LEFT: &str = "left";
const PUBLISHING: &str = "publishing";
const STORE: &str = "store";
/// How often rollouts are looked at, at the table's own pace.
const TICK: Duration = Duration::from_millis(250);
/// A location that says nothing for so long is ill.
const SILENT: Duration = Duration::from_secs(30);
/// At any pace.
const LEAST_SILENT: Duration = Duration::from_secs(2);
/// And at any other, at least.
const LEAST_TICK: Duration = Duration::from_millis(10);
/// So many publications may come sooner than our looks would have them.
const AHEAD: u32 = 3;
/// How often we look whether our folder is still there.
const THERE: Duration = Duration::from_secs(5);
/// How long an edge that serves may take to write down what it serves.
const WRITES: Duration = Duration::from_secs(5);
/// Words that may wait.
const HEARD: usize = 64;

/// Runs until it is told to end.
///
/// # Errors
/// What keeps it from doing so, with what can be done.
pub fn run(flags: &cli::Control, stages: &'static [&'static StageDef]) -> Result<ExitCode> {
    last_words::in_the_background();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let data = Data::at(&flags.up.data)?;
        let starter = flags.wire.map(start::wire).transpose()?;
        let _held = match data.hold("control") {
            Ok(held) => held,
            Err(error) => return fails(starter.as_ref(), error),
        };
        let tempo = Tempo::faster(flags.up.speed);
        let location = configure::shared(&flags.up).document.edge.location;
        let opened = truth::open(&flags.up, &data, starter.as_ref()).await;
        let opened = opened.and_then(|store| {
            let open = |store| Engine::open(store, tempo).context("the store of versions");
            store.map(open).transpose()
        });
        let mut engine = match opened {
            Ok(Some(engine)) => engine,
            Ok(None) => return Ok(ExitCode::SUCCESS),
            Err(error) => return fails(starter.as_ref(), error),
        };
        let alone = flags.wire.is_none() && !data.path("edge.sock").exists();
        if !alone {
            engine.fleet.is_here(&location);
        }
        let publisher = Publisher::open(Data::at(&flags.up.data)?, tempo)?;
        // After the keys' folder was made.
        let safe = files::Safe::open(&data).context("the key of the contents of files")?;
        let (questions, asks) = mpsc::channel(HEARD);
        if let Some(root_key) = keys::root_public(&data)? {
            sweep::start(publisher.folder().clone(), root_key)?;
        }
        let (changed, changes) = watch::channel(publisher.generation());
        let edges = Edges::open(&flags.up, &data, &publisher, changes.clone(), questions)?;
        let mirrored = mirrored(&flags.up, &data, &publisher, changes)?;
        let listener = WireListener::bind(&data.path("control.sock"))?;
        let control = Control {
            engine,
            publisher,
            edges,
            changed,
            mirrored,
            reports: BTreeMap::new(),
            stages,
            safe,
            newest: None,
            flags: flags.up.clone(),
            tempo,
            alone,
            unpublished: None,
            behind: None,
            agents: Vec::new(),
            began: Instant::now(),
            publishes: Instant::now(),
            up: starter,
            trouble: String::new(),
            left_out: None,
            data,
            tokens: Arc::default(),
            turned: watch::Sender::new(0),
        };
        control.run(listener, asks, tempo).await
    })
}

/// Has `up` tell people why we cannot run, which knows how often it was told; who was started by nobody tells it itself.
fn fails(starter: Option<&Wire>, error: anyhow::Error) -> Result<ExitCode> {
    let word = FromControl::Fails {
        why: format!("{error:#}"),
    };
    match starter {
        Some(up) if up.say(&word, &[]).is_ok() => Ok(ExitCode::FAILURE),
        _ => Err(error),
    }
}

/// What it knows.
pub struct Control {
    engine: Engine,
    publisher: Publisher,
    /// Where locations come to.
    edges: Option<Edges>,
    /// The generation that is published.
    changed: watch::Sender<u64>,
    /// How it stands with the bucket that it is brought to.
    mirrored: Option<watch::Receiver<Mirrored>>,
    /// The number of each location's last Report.
    reports: BTreeMap<String, u64>,
    stages: &'static [&'static StageDef],
    /// Opens and encrypts what is secret in files.
    safe: files::Safe,
    /// What is newest, compiled, while changes come.
    newest: Option<Newest>,
    flags: cli::Up,
    tempo: Tempo,
    /// No edge runs on this data folder.
    alone: bool,
    /// Why nothing new is published, where it is not.
    unpublished: Option<String>,
    /// Why the bucket is behind, where it is.
    behind: Option<String>,
    /// Agents, with their locations.
    agents: Vec<(Rc<Wire>, String)>,
    began: Instant,
    /// When all that was published would have been, one for each look.
    publishes: Instant,
    /// To `up`, where that started us.
    up: Option<Wire>,
    /// What keeps the store from answering, as it was told last; empty: nothing.
    trouble: String,
    /// What of the file that we were given is not taken in, and why.
    left_out: Option<String>,
    data: Data,
    /// Who may ask over HTTP.
    tokens: Arc<Tokens>,
    /// Counts up whenever something may be other than it was.
    turned: watch::Sender<u64>,
}

/// Brings what is published into a bucket, where there is to be one.
fn mirrored(
    up: &cli::Up,
    data: &Data,
    publisher: &Publisher,
    changed: watch::Receiver<u64>,
) -> Result<Option<watch::Receiver<Mirrored>>> {
    let Some(url) = &up.bucket else {
        return Ok(None);
    };
    let root_key = keys::root_public(data)?.context("there is no root key")?;
    let folder = publisher.folder().clone();
    mirror::start(url, folder, root_key, changed).map(Some)
}

/// Somebody said something, or has gone.
type Heard = (Rc<Wire>, Option<(ToControl, Vec<OwnedFd>)>);

impl Control {
    async fn run(
        mut self,
        listener: WireListener,
        mut asks: mpsc::Receiver<Question>,
        tempo: Tempo,
    ) -> Result<ExitCode> {
        let (heard, mut hears) = mpsc::channel::<Heard>(HEARD);
        let (ask, mut asked) = mpsc::channel::<api::Question>(HEARD);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut tick = tokio::time::interval(tempo.scaled(TICK).max(LEAST_TICK));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let path = self.data.path("control.sock");
        let mut there = tokio::time::interval(THERE);
        let mut left = false;
        self.wait_for_live().await;
        let begins = matches!(self.engine.store().last(), Ok(0));
        self.import();
        if !begins {
            // What came in just now was read just now.
            self.refresh();
        }
        self.first_token();
        self.places_changed();
        let mut listens = self.begin_api(ask);
        loop {
            tokio::select! {
                Some(api::Question { asked, answer }) = asked.recv() => {
                    // Who asked may have gone.
                    let _ = answer.send(self.answer(asked));
                    self.turn();
                    self.hurry(&mut tick);
                }
                Some(address) = listens.recv() => self.api_listens(address),
                Some((asked, answer)) = asks.recv() => {
                    // Who asked may have gone.
                    let _ = answer.send(self.asked(asked));
                }
                Some((wire, told)) = hears.recv() => match told {
                    Some((word, files)) => {
                        self.hear(&wire, word, files);
                        self.hurry(&mut tick);
                    }
                    None => self.agents.retain(|(agent, _)| !Rc::ptr_eq(agent, &wire)),
                },
                accepted = listener.accept() => match accepted {
                    Ok((wire, _)) => listen(Rc::new(wire), heard.clone()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                // Whoever took the folder away needs us no more, nor does one on whose folder nothing runs.
                _ = there.tick() => {
                    let edge = || Wire::connect(&self.data.path("edge.sock")).is_ok();
                    if !path.exists() || left && !edge() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                () = gone(self.up.as_ref()) => {
                    (self.up, left) = (None, true);
                }
                _ = hang_up.recv() => {
                    self.import();
                    self.refresh();
                }
                _ = tick.tick() => self.tick()?,
                _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
                _ = interrupt.recv() => {}
            }
        }
    }

    /// Before the first import: the edge is about to write what it serves.
    async fn wait_for_live(&mut self) {
        let due = Instant::now() + WRITES;
        while !self.alone
            && matches!(self.engine.store().last(), Ok(0))
            && !self.data.path(live::LIVE).exists()
            && Instant::now() < due
        {
            tokio::time::sleep(LEAST_TICK).await;
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What flags and file say, where that is new.
    fn import(&mut self) {
        if self.alone && self.flags.config.is_none() && self.flags.origin.is_none() {
            // Nothing was said, and the sample site is for machines that serve something.
            return;
        }
        let flags = self.flags.clone();
        let is_first = matches!(self.engine.store().last(), Ok(0));
        let live = is_first.then(|| good::recall(&self.data.path("")));
        let live = live.and_then(Result::ok);
        self.left_out = match self.maker().import(&flags, live) {
            Ok(left_out) => left_out,
            Err(why) => {
                let why = format!("the configuration is not taken in: {why}");
                complain(&why);
                Some(why)
            }
        };
    }

    /// What files hold that versions name, where that is new.
    fn refresh(&mut self) {
        match self.maker().refresh() {
            Ok(None) => {}
            Ok(left_out) => self.left_out = self.left_out.take().or(left_out),
            Err(why) => complain(format_args!(
                "files that have changed are not taken in: {why}"
            )),
        }
    }

    fn maker(&mut self) -> Maker<'_> {
        Maker {
            engine: &mut self.engine,
            stages: self.stages,
            safe: &self.safe,
            new: std::collections::HashMap::new(),
            newest: &mut self.newest,
        }
    }

    /// What somebody has just changed does not wait for the next look: a change alone is on its way at once, and so are a few in a row. Of many,
    /// edges hear no more often than they would by our looks.
    fn hurry(&self, tick: &mut Interval) {
        let ahead = self.publishes.saturating_duration_since(Instant::now());
        if self.engine.has_news() && ahead <= tick.period() * AHEAD {
            tick.reset_immediately();
        }
    }

    /// # Errors
    /// When what we know is no longer what the store knows: whoever starts next reads it anew.
    fn tick(&mut self) -> Result<()> {
        let now = self.now_ms();
        if self.newest.as_ref().is_some_and(Newest::is_idle) {
            self.newest = None;
        }
        let ticked = self.engine.tick(now);
        if let Some(why) = self.engine.is_lost() {
            bail!("{why}");
        }
        self.look_at_bucket();
        self.note_trouble(ticked.err());
        let silent = u64::try_from(self.tempo.scaled(SILENT).max(LEAST_SILENT).as_millis());
        let steered = self.engine.fleet.steer(now, silent.unwrap_or(u64::MAX));
        if steered || self.engine.has_news() || self.publisher.is_due() {
            self.turn();
            let each = self.tempo.scaled(TICK).max(LEAST_TICK);
            self.publishes = self.publishes.max(Instant::now()) + each;
            match self.engine.let_be(engine::unix()) {
                Ok(_) => lasting::works(
                    LEFT,
                    "keys of locations that have left are looked after again",
                ),
                Err(error) => lasting::fails(
                    LEFT,
                    format_args!("keys of locations that have left: {error}"),
                ),
            }
            match self.publisher.publish(&mut self.engine) {
                Ok(published) => {
                    self.engine.is_published();
                    self.unpublished = None;
                    lasting::works(PUBLISHING, "what is new is published again");
                    if let Some(generation) = published {
                        self.tell_agents(generation);
                    }
                }
                Err(error) => self.unpublished(&error),
            }
        }
        Ok(())
    }

    /// What keeps the store from answering is told as what lasts is.
    fn note_trouble(&mut self, error: Option<StoreError>) {
        let trouble = error.map(|error| error.to_string()).unwrap_or_default();
        if trouble.is_empty() {
            lasting::works(STORE, "the store of versions answers again: rollouts go on");
        } else {
            lasting::fails(STORE, format_args!("rollouts wait: {trouble}"));
        }
        self.trouble = trouble;
    }

    /// Who waits for a change looks again.
    fn turn(&self) {
        self.turned.send_modify(|turn| *turn += 1);
    }

    /// Begins to answer over HTTP. What comes back are addresses on which it does.
    fn begin_api(&self, ask: mpsc::Sender<api::Question>) -> mpsc::Receiver<SocketAddr> {
        let (tell, listens) = mpsc::channel(1);
        let begun = api::begin(api::Begin {
            flags: self.flags.clone(),
            ask,
            tokens: self.tokens.clone(),
            turned: self.turned.subscribe(),
            listens: tell,
        });
        if let Err(error) = begun {
            complain(format_args!("nothing is answered over HTTP: {error}"));
        }
        listens
    }

    fn api_listens(&self, address: SocketAddr) {
        let path = self.data.path(token::FIRST_FILE);
        let token_path = path.exists().then_some(path);
        let token = match &token_path {
            Some(path) => format!("token in {}", path.display()),
            // It was taken away, or came with a backup, which keeps no token.
            None => "`seawall token make NAME --scope '*'` makes a token".to_owned(),
        };
        say(format_args!(
            "  api        http://{address}/api/v1   ({token})"
        ));
        if let Some(up) = &self.up {
            let word = FromControl::Listens {
                dashboard: address,
                token_path,
            };
            let _ = up.say(&word, &[]);
        }
    }

    /// Tells what keeps the bucket behind, and goes above what is there.
    fn look_at_bucket(&mut self) {
        let Some(mirrored) = &mut self.mirrored else {
            return;
        };
        if !mirrored.has_changed().unwrap_or(false) {
            return;
        }
        let state = mirrored.borrow_and_update().clone();
        if state.found > (0, 0) && self.publisher.goes_above(state.found) {
            self.engine.is_to_be_published();
        }
        if state.why != self.behind {
            match &state.why {
                Some(why) => complain(format_args!("{} is behind: {why}", state.bucket)),
                None => say(format_args!("{} has caught up", state.bucket)),
            }
            self.behind = state.why;
        }
    }

    /// Told as what lasts is: each attempt may name another file.
    fn unpublished(&mut self, error: &anyhow::Error) {
        let why = format!("{error:#}");
        lasting::fails(
            PUBLISHING,
            format_args!("nothing new is published, and edges serve what was: {why}"),
        );
        self.unpublished = Some(why);
    }

    fn tell_agents(&mut self, generation: u64) {
        self.changed.send_replace(generation);
        for (agent, _) in &self.agents {
            // One that is not told looks by itself.
            let _ = agent.say(&FromControl::Published, &[]);
        }
    }

    fn hear(&mut self, wire: &Rc<Wire>, word: ToControl, files: Vec<OwnedFd>) {
        match word {
            ToControl::Agent { location } => {
                self.engine.fleet.is_here(&location);
                let _ = wire.say(&FromControl::Published, &[]);
                self.agents.push((wire.clone(), location));
            }
            ToControl::Report => {
                let report: words::Report = match order::take(files.into_iter().next()) {
                    Ok(report) => report,
                    Err(error) => return complain(format_args!("a Report: {error}")),
                };
                let known = self.agents.iter();
                let mut known = known.filter(|(agent, _)| Rc::ptr_eq(agent, wire));
                if let Some((_, location)) = known.next() {
                    let location = location.clone();
                    self.take_report(&location, report);
                }
            }
            ToControl::Backup => self.back_up(wire),
            ToControl::Ask => {
                self.answer_on(wire, files);
                self.turn();
            }
        }
    }
}

/// Waits until who started us has gone; it says nothing.
async fn gone(up: Option<&Wire>) {
    match up {
        Some(up) => while let Ok(Some(_)) = up.hear::<ToControl>().await {},
        None => std::future::pending().await,
    }
}

fn listen(wire: Rc<Wire>, heard: mpsc::Sender<Heard>) {
    tokio::task::spawn_local(async move {
        while let Ok(Some(said)) = wire.hear::<ToControl>().await {
            if heard.send((wire.clone(), Some(said))).await.is_err() {
                return;
            }
        }
        let _ = heard.send((wire, None)).await;
    });
}

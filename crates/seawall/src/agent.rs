//! The agent: the process beside the worker for what may fail, hang or be killed without harm to what serves.
//!
//! It compiles what a file says in a process of its own before the worker is told to, and it promotes what has served for long
//! enough to be what is served when a later version brings workers down. Where control decides what is served, it follows what is
//! published, brings that about, and tells what comes of it. It may die at any time; the supervisor starts another.

mod attempt;
mod follow;
mod here;
mod managed;
mod probe;
mod ready;
mod report;
mod stands;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use seawall_control::Hash;
use seawall_guard::StageDef;
use seawall_model::Tempo;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::cli;
use crate::configure;
use crate::contents::{self, Contents};
use crate::control::words::{FromControl, Report, ToControl};
use crate::data::Data;
use crate::distribution::joining::Identity;
use crate::distribution::publisher::now_ms;
use crate::good;
use crate::here::Done;
use crate::last_words;
use crate::lasting;
use crate::live;
use crate::message::{FromAgent, ToAgent};
use crate::order::{self, Counted, Ordered};
use crate::privileges;
use crate::say::complain;
use crate::start;
use crate::wire::Wire;
use attempt::Attempts;
use follow::Followed;
use managed::{Key, Managed};
use stands::Stands;

pub use stands::HERE;

/// The name of a trouble with what proved good.
const GOOD: &str = "last good";
/// How long we wait before control is looked for again.
const AGAIN: Duration = Duration::from_millis(250);
/// After how long a disk that could not be written is tried again.
const KEEPS_AGAIN: Duration = Duration::from_secs(5);
/// Between two Reports of a trial, at any pace.
const LEAST_REPORT: Duration = Duration::from_millis(20);
/// What a Report takes of each trial in it, with room to spare: many make it rarer, at any pace.
const REPORTED: Duration = Duration::from_micros(500);
/// Between two probes, at any pace and however much is on trial: origins hear them too.
const LEAST_PROBE: Duration = Duration::from_millis(2);
/// So many texts are looked for in what serves before they are compiled.
const MANY: usize = 1_000;
/// Probes at once.
const PROBES: usize = 32;
/// An order that the worker has had for so long is asked after.
const ANSWERS: Duration = Duration::from_secs(2);
/// What was counted is asked for again where no answer came in this time.
const ASKS_AGAIN: Duration = Duration::from_secs(5);
/// Words of the supervisor's that may wait.
const WORDS: usize = 64;

/// A word of the supervisor's, and what lies beside it.
type Told = io::Result<(ToAgent, Vec<OwnedFd>)>;

/// Runs until the supervisor has gone.
///
/// # Errors
/// When it was not started by a supervisor.
pub fn run(flags: &cli::Worker, stages: &'static [&'static StageDef]) -> Result<ExitCode> {
    last_words::in_the_background();
    privileges::give_up(privileges::Who::Agent(&flags.up.data));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (probed, probes) = mpsc::channel(PROBES);
        let here = here::Kept::read(&Data::at(&flags.up.data)?);
        let mut managed = Managed::default();
        managed.resume(here.held);
        managed.number_from(now_ms());
        let agent = Agent {
            is_managed: flags.managed,
            done: here.done,
            unkept: false,
            stages,
            ready: None,
            wire: Rc::new(start::wire(flags.wire)?),
            data: Data::at(&flags.up.data)?,
            contents: Contents::of(&Data::at(&flags.up.data)?),
            sweeps: Instant::now() + contents::OLD,
            attempts: Attempts::new(
                &start::running(),
                Contents::of(&Data::at(&flags.up.data)?).folder(),
            ),
            program: start::running(),
            good_at: None,
            promotion: Arc::default(),
            control: None,
            managed,
            stands: Stands::read(&Data::at(&flags.up.data)?, Tempo::faster(flags.up.speed)),
            generation: 0,
            ordered_at: Instant::now(),
            asked: None,
            asked_after: None,
            followed: (0, 0),
            look: Rc::default(),
            serves: watch::channel(false).0,
            reports: None,
            probed,
            probing: 0,
            nth: 0,
        };
        match agent.run(flags, probes).await {
            // It was being answered when it went.
            Err(error) if is_gone(&error) => Ok(ExitCode::SUCCESS),
            ended => ended,
        }
    })
}

/// Whether nobody is at the other end of the wire any more.
fn is_gone(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        )
    })
}

struct Agent {
    /// To the supervisor.
    wire: Rc<Wire>,
    data: Data,
    /// Contents of files, for who compiles.
    contents: Contents,
    /// When those that nobody needs go.
    sweeps: Instant,
    program: PathBuf,
    /// Compile what is ordered, before it is.
    attempts: Attempts,
    /// When what is live has proved good.
    good_at: Option<Instant>,
    /// How many times something proved good, and who keeps it now.
    promotion: Arc<(AtomicU64, Mutex<()>)>,
    /// To control.
    control: Option<Rc<Wire>>,
    managed: Managed,
    /// What stands beside documents.
    stands: Stands,
    /// What is served is control's to say.
    is_managed: bool,
    /// What was done here of late.
    done: Vec<Done>,
    /// What was done here is not on disk as it is.
    unkept: bool,
    /// All stages.
    stages: &'static [&'static StageDef],
    /// Whether this edge says that it is ready.
    ready: Option<bool>,
    /// Which worker serves.
    generation: u64,
    /// When the last order was given.
    ordered_at: Instant,
    /// What was counted was asked for then.
    asked: Option<Instant>,
    /// And so was what became of this order.
    asked_after: Option<u64>,
    /// Epoch and generation of the manifest that is brought about.
    followed: (u64, u64),
    /// Something else may be published.
    look: Rc<Notify>,
    /// A worker serves, or did.
    serves: watch::Sender<bool>,
    /// Takes Reports to a control elsewhere.
    reports: Option<watch::Sender<Option<Report>>>,
    probed: mpsc::Sender<(Key, Option<bool>)>,
    /// Probes that run.
    probing: usize,
    nth: u32,
}

impl Agent {
    async fn run(
        mut self,
        flags: &cli::Worker,
        mut probes: mpsc::Receiver<(Key, Option<bool>)>,
    ) -> Result<ExitCode> {
        let tempo = Tempo::faster(flags.up.speed);
        let between_reports = (tempo.scaled(Tempo::REPORT) / 5).max(LEAST_REPORT);
        let between_probes = tempo.scaled(Tempo::REPORT) / 25;
        let (told, mut follows) = mpsc::channel(1);
        if flags.managed {
            let identity = Identity::read(&self.data)?;
            if let Some(identity) = &identity {
                self.reports = Some(report::start(Data::at(&flags.up.data)?, identity.clone())?);
            }
            let (look, serves) = (self.look.clone(), self.serves.subscribe());
            follow::start(flags, identity, tempo, look, serves, told)?;
        }
        let mut words = hears(self.wire.clone());
        let mut look = Instant::now();
        let (mut report, mut probe) = (Instant::now(), Instant::now());
        let mut beat = tokio::time::interval(tempo.scaled(Tempo::REPORT).max(LEAST_REPORT));
        loop {
            tokio::select! {
                told = words.recv() => match told.transpose()? {
                    None => return Ok(ExitCode::SUCCESS),
                    Some((told, files)) => self.hear(told, files, flags).await?,
                },
                () = at(self.good_at) => {
                    self.good_at = None;
                    self.promote();
                }
                heard = hear_control(self.control.as_deref()), if flags.managed => {
                    self.look.notify_one();
                    if !heard {
                        self.control = None;
                    }
                }
                Some(Followed { generation, news, beside }) = follows.recv() => {
                    self.followed = generation;
                    self.stands.told(&self.data, &beside);
                    self.count();
                    if let Some(news) = news {
                        if self.managed.wants(news) {
                            self.keep_here();
                        }
                        self.order().await?;
                    }
                    self.report();
                }
                _ = beat.tick() => {
                    self.stands.look(&self.data);
                    if self.unkept {
                        self.keep_here();
                    }
                    self.sweep();
                    if self.managed.again() {
                        self.order().await?;
                    }
                    self.count();
                    if flags.managed {
                        self.ready = ready::ask(&self.data.path("up.json")).await;
                    }
                    self.report();
                }
                () = tokio::time::sleep_until(look),
                    if flags.managed && self.control.is_none() && self.reports.is_none() => {
                    look = Instant::now() + AGAIN;
                    self.look_for_control(flags);
                }
                Some((key, worse)) = probes.recv() => {
                    self.probing = self.probing.saturating_sub(1);
                    if worse == Some(true) {
                        self.managed.probe_failed(key);
                    }
                }
                () = tokio::time::sleep_until(probe), if self.managed.tries() => {
                    // Each of what is on trial as often as if it were alone, as long as that is not too much for all.
                    let trials = u32::try_from(self.managed.trials().max(1)).unwrap_or(u32::MAX);
                    probe = Instant::now() + (between_probes / trials).max(LEAST_PROBE);
                    self.probe();
                    if report <= Instant::now() {
                        report = Instant::now() + between_reports.max(REPORTED * trials);
                        self.count();
                    }
                }
            }
        }
    }

    /// What is live has proved good. It is kept on a thread of its own: it may be large, and the disk may hang or be full.
    fn promote(&mut self) {
        let (folder, promotion) = (self.data.path(""), self.promotion.clone());
        if let Err(error) = good::proved(&folder) {
            return complain(format_args!(
                "what is live has proved good, but cannot be kept as such: {error}"
            ));
        }
        let number = promotion.0.fetch_add(1, Ordering::AcqRel) + 1;
        let keep = move || {
            while promotion.0.load(Ordering::Acquire) == number {
                let one = promotion.1.lock();
                let kept = good::keep(&folder);
                drop(one);
                let Err(error) = kept else {
                    return lasting::works(GOOD, "what has proved good is kept again");
                };
                lasting::fails(
                    GOOD,
                    format_args!(
                        "what is live has proved good, but cannot be kept as such: {error}; what proved good before is still there"
                    ),
                );
                // One that was damaged stays so; a disk may have room again.
                if error.kind() == io::ErrorKind::InvalidData {
                    return;
                }
                std::thread::sleep(KEEPS_AGAIN);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("good".into()).spawn(keep) {
            complain(format_args!("what has proved good is not kept: {error}"));
        }
    }

    /// Takes away contents that nothing names any more; what serves and what has proved good has its own.
    fn sweep(&mut self) {
        if Instant::now() < self.sweeps || self.followed == (0, 0) {
            return;
        }
        self.sweeps = Instant::now() + contents::OLD;
        let (contents, used) = (self.contents.clone(), self.managed.contents());
        let sweep = move || {
            if let Err(error) = contents.sweep(&used, contents::OLD) {
                complain(format_args!("no contents of files are swept: {error}"));
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("contents".into())
            .spawn(sweep)
        {
            complain(format_args!("no contents of files are swept: {error}"));
        }
    }

    fn look_for_control(&mut self, flags: &cli::Worker) {
        let Ok(wire) = Wire::connect(&self.data.path("control.sock")) else {
            return;
        };
        let location = configure::shared(&flags.up).document.edge.location;
        if wire.say(&ToControl::Agent { location }, &[]).is_ok() {
            self.control = Some(Rc::new(wire));
        }
    }

    async fn hear(
        &mut self,
        told: ToAgent,
        files: Vec<OwnedFd>,
        flags: &cli::Worker,
    ) -> Result<()> {
        match told {
            ToAgent::Try => {
                let why = match &flags.up.config {
                    Some(file) => attempt::file(&self.program, file).await,
                    None => None,
                };
                let said = why.map_or(FromAgent::Tried, |why| FromAgent::Deadly { why });
                self.wire.say(&said, &[])?;
            }
            ToAgent::Live { soak_ms } => {
                self.good_at = match good::prove(&self.data.path("")) {
                    Ok(()) => Some(Instant::now() + Duration::from_millis(soak_ms)),
                    Err(_) => None,
                };
            }
            ToAgent::Died {
                crashed,
                culprit,
                platform,
                compiled,
            } => {
                self.good_at = None;
                self.managed
                    .worker_died(crashed, culprit, platform, compiled);
                self.report();
            }
            ToAgent::Serves { generation, stand } => {
                self.serves.send_replace(true);
                self.generation = generation;
                (self.asked, self.asked_after) = (None, None);
                self.managed.worker_is_new(stand);
                self.order().await?;
            }
            // It was answered where it was heard.
            ToAgent::Ping => {}
            ToAgent::Here { number, here } => {
                let said = self.here(here).await.map_err(|error| format!("{error:#}"));
                self.wire.say(&FromAgent::Here { number, said }, &[])?;
                self.report();
            }
            ToAgent::Ordered => match order::take::<Ordered>(files.into_iter().next()) {
                Ok(ordered) => {
                    self.managed.ordered(ordered, Instant::now());
                    self.report();
                    if self.managed.is_due() {
                        self.order().await?;
                    }
                }
                Err(error) => complain(format_args!("what became of an order: {error}")),
            },
            ToAgent::Counted => {
                self.asked = None;
                let after = self.asked_after.take();
                if let Ok(counted) = order::take::<Counted>(files.into_iter().next()) {
                    self.managed.counted(counted, after);
                    self.report();
                    if self.managed.is_due() {
                        self.order().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks the worker what it has counted, and what stands there; and where it has not answered an order for long, whether it knows
    /// of it.
    fn count(&mut self) {
        if self.asked.is_some_and(|at| at.elapsed() < ASKS_AGAIN) {
            return;
        }
        let has_it_long = self.ordered_at.elapsed() >= ANSWERS;
        let said = self.wire.say(&FromAgent::Count, &[]).is_ok();
        self.asked = said.then(Instant::now);
        self.asked_after = self.managed.under_way().filter(|_| has_it_long);
    }

    /// Orders what is wanted, once it was compiled elsewhere, and what was ordered before is answered.
    async fn order(&mut self) -> Result<()> {
        let to_compile = self.managed.to_compile();
        #[cfg(feature = "unsafe-drills")]
        let to_compile =
            if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Trial) {
                Vec::new()
            } else {
                to_compile
            };
        let (keys, texts) = self.new_to_worker(to_compile).await;
        let deadly = self.attempts.all(&texts).await;
        for (key, why) in keys.into_iter().zip(deadly) {
            self.managed.compiled(key, why);
        }
        if let Some(order) = self.managed.order() {
            let file = order::put(&order)?;
            let generation = self.generation;
            let word = FromAgent::Order { generation };
            self.wire.say(&word, &[file.as_fd()])?;
            self.ordered_at = Instant::now();
        }
        if self.is_managed {
            self.attempts.prepare();
        }
        Ok(())
    }

    /// Without the zones that serve as they are: where there are very many, all of them come once more when control has taken in
    /// what a file says, or when a worker is new.
    async fn new_to_worker(&mut self, all: Vec<(Key, String)>) -> (Vec<Key>, Vec<String>) {
        if all.len() < MANY {
            return all.into_iter().unzip();
        }
        let live = self.data.path(live::LIVE);
        let read = tokio::task::spawn_blocking(move || live::sections(&live));
        let live = read.await.ok().and_then(Result::ok).unwrap_or_default();
        let (mut keys, mut texts) = (Vec::new(), Vec::new());
        for (key, text) in all {
            let section = text.strip_prefix(live::HEAD).unwrap_or(&text);
            if live.contains(&Hash::of(section.as_bytes())) {
                self.managed.compiled(key, None);
            } else {
                keys.push(key);
                texts.push(text);
            }
        }
        (keys, texts)
    }

    fn report(&mut self) {
        let mut report = self.managed.report(self.followed, Instant::now());
        report.ready = self.ready;
        report.here.clone_from(&self.done);
        report.switches = self.stands.on(&self.managed.counted.switches);
        if let Some(reports) = &self.reports {
            reports.send_replace(Some(report));
            return;
        }
        let Some(control) = &self.control else { return };
        let report = order::put(&report);
        let said = report.and_then(|file| control.say(&ToControl::Report, &[file.as_fd()]));
        if said.is_err() {
            self.control = None;
        }
    }

    fn probe(&mut self) {
        if self.probing >= PROBES {
            return;
        }
        let Some((own, taken)) = self.managed.to_probe(self.nth as usize) else {
            return;
        };
        self.nth = self.nth.wrapping_add(1);
        self.probing += 1;
        let (probed, nth) = (self.probed.clone(), self.nth);
        tokio::task::spawn_local(async move {
            let worse = probe::probe(own, &taken, nth).await;
            let _ = probed.send(((taken.chain, taken.version), worse)).await;
        });
    }
}

/// What the supervisor says. That we live is answered here, while something else is still being done: what is compiled elsewhere takes
/// long, and a thread that does not come to this at all does not live.
fn hears(wire: Rc<Wire>) -> mpsc::Receiver<Told> {
    let (tells, words) = mpsc::channel(WORDS);
    tokio::task::spawn_local(async move {
        loop {
            let word = match wire.hear::<ToAgent>().await {
                Ok(Some((ToAgent::Ping, _))) => {
                    // One that cannot be said is missed by nobody: it is asked for again, or nobody is there.
                    let _ = wire.say(&FromAgent::Pong, &[]);
                    continue;
                }
                Ok(Some(word)) => Ok(word),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let is_last = word.is_err();
            if tells.send(word).await.is_err() || is_last {
                return;
            }
        }
    });
    words
}

/// Whether control says something; not when it has gone.
async fn hear_control(wire: Option<&Wire>) -> bool {
    match wire {
        Some(wire) => matches!(wire.hear::<FromControl>().await, Ok(Some(_))),
        None => std::future::pending().await,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

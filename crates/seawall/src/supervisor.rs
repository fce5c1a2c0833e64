//! The supervisor: owns the listening sockets, starts the worker and the agent, and starts the next worker when one crashes, hangs
//! or takes too much memory. It reads nothing that comes from the network.
//!
//! Who is killed is missed by nobody: workers serve on without a supervisor, and the next one finds them by their sockets in the
//! data folder and takes over what they listen on.
//!
//! Here: what happens. What follows from it is in [`flow`], what is asked in [`requests`], what follows from a death in [`judge`],
//! when one that serves is replaced in [`replacing`], and the worker that waits for one in [`spare`], a new program that prepares in
//! [`upgrading`].

mod announce;
mod architecture;
mod charge;
mod datagrams;
mod flow;
pub mod judge;
mod looks;
pub mod process;
mod record;
mod replacing;
mod requests;
mod sockets;
mod spare;
mod upgrading;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cli;
use crate::data::{Data, Held};
use crate::message::{FromAgent, FromWorker, Request, ToAgent};
use crate::process::raise_descriptors;
use crate::say::complain;
use crate::signals::Signals;
use crate::start::{self, Start};
use crate::wire::{Wire, WireListener};
use charge::{Charge, Phase};
use datagrams::Datagrams;
use judge::Judge;
use process::{Ended, Process};
use replacing::{Limit, Replacing};
pub use sockets::{ForAnother, notify};
use sockets::{Given, Sockets};
use spare::Spare;

/// How often we look at what the workers run.
const TICK: Duration = Duration::from_millis(250);
/// Events that may wait.
const EVENTS: usize = 64;

/// Supervises until it is told to stop.
///
/// # Errors
/// Whatever keeps it from doing so, with what can be done.
pub fn run(flags: &cli::Edge) -> Result<ExitCode> {
    // Before anything is opened that might have one of their numbers.
    let given = Given::take_all(flags.given.unwrap_or_else(given_to_us));
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut signals = Signals::new()?;
        let data = Arc::new(Data::at(&flags.up.data)?);
        let held = match flags.held {
            Some(number) => Held::inherited(number)?,
            None => data.hold("edge")?,
        };
        let listener = WireListener::bind(&data.path("edge.sock"))?;
        let up = flags.wire.map(start::wire).transpose()?.map(Rc::new);
        let (events, mut happens) = mpsc::channel(EVENTS);
        let mut supervisor = Supervisor {
            words: flags.up.words(),
            managed: flags.managed,
            program: start::program()?,
            runs: start::running(),
            judge: Judge::default().faster(flags.up.speed),
            speed: flags.up.speed,
            workers: BTreeMap::new(),
            next: None,
            spare: Spare::default(),
            start_at: None,
            replacing: Replacing::default(),
            limit: Limit::default(),
            restarts: 0,
            generation: 0,
            sockets: None,
            given: Some(given),
            secrets: None,
            datagrams: Datagrams::default(),
            agent: None,
            agent_at: None,
            agent_silent: false,
            up,
            control: None,
            waiting: Vec::new(),
            asked_here: 0,
            here: BTreeMap::new(),
            reload: Reload::default(),
            stopping: None,
            announced: false,
            ends: None,
            looked: Instant::now(),
            memory: process::memory_for_a_worker(),
            seconds: 0,
            began: Instant::now(),
            data,
            held,
            events,
        };
        supervisor.begin().await?;
        let program = supervisor.program.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = happens.recv() => supervisor.happened(event),
                accepted = listener.accept() => match accepted {
                    Ok((wire, _)) => supervisor.hear_requests(&Rc::new(wire)),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                request = signals.next(&program) => supervisor.asked(None, request),
                () = supervisor.time_to_start() => supervisor.start_due(),
                _ = tick.tick() => supervisor.look(),
            }
            if let Some(end) = supervisor.ends.take() {
                let _kept = match end {
                    End::Become(_) => Some(signals.keep(supervisor.reload.left()).await),
                    End::Code(_) => None,
                };
                return supervisor.end(end);
            }
        }
    })
}

/// The flag of what is managed.
fn managed(is: bool) -> Vec<String> {
    is.then(|| "--managed".to_owned()).into_iter().collect()
}

/// How many sockets a service manager handed over, where it started us itself.
fn given_to_us() -> i32 {
    let said = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match (said("LISTEN_PID"), said("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => i32::try_from(count).unwrap_or(0),
        _ => 0,
    }
}

/// What happens.
enum Event {
    /// A worker said something.
    Said(i32, FromWorker, Vec<OwnedFd>),
    /// A worker ended.
    Ended(i32, Ended),
    /// The agent said something.
    AgentSaid(FromAgent, Vec<OwnedFd>),
    /// The agent ended.
    AgentEnded(i32),
    /// Somebody asks for something.
    Asked(Rc<Wire>, Request),
    /// `up` has gone.
    UpGone(Rc<Wire>),
}

/// Why a worker is started.
enum Why {
    /// None serves.
    Start,
    /// One hangs, or takes too much memory.
    Replace {
        /// It hangs.
        hung: bool,
    },
    /// A new program; who asked for it, and the program.
    Upgrade(Option<Rc<Wire>>, PathBuf),
}

/// The worker that will serve next.
struct Next {
    pid: i32,
    why: Why,
}

/// A reload that was asked for.
#[derive(Default)]
struct Reload {
    /// The agent tries it.
    trying: bool,
    /// It was asked for again meanwhile.
    again: bool,
    /// The flags have changed.
    words: bool,
}

impl Reload {
    /// The signal that asks again for what has not been done.
    fn left(&self) -> &'static [libc::c_int] {
        if self.again || self.trying {
            &[libc::SIGHUP]
        } else {
            &[]
        }
    }
}

/// How it ends.
enum End {
    /// With this code.
    Code(u8),
    /// It goes on as another program.
    Become(PathBuf),
}

/// The agent.
struct Agent {
    process: Process,
    wire: Rc<Wire>,
    /// When it said last that it lives.
    answered: Instant,
    /// It was asked again since.
    asked: bool,
}

/// What is known.
struct Supervisor {
    data: Arc<Data>,
    /// The role on the data folder.
    held: Held,
    /// The flags that all processes get.
    words: Vec<String>,
    /// What is served comes by orders, not from the file.
    managed: bool,
    /// Where our program lies: what an upgrade without another name is to.
    program: PathBuf,
    /// What the next processes are started from: [`start::running`].
    runs: PathBuf,
    judge: Judge,
    /// What the judge's times are divided by.
    speed: u32,
    workers: BTreeMap<i32, Charge>,
    next: Option<Next>,
    /// A worker that waits for the one that serves to die.
    spare: Spare,
    /// When the next worker is to be started, and whether it serves what was live.
    start_at: Option<(Instant, bool)>,
    replacing: Replacing,
    limit: Limit,
    /// Workers that were started in place of one that died.
    restarts: u64,
    generation: u64,
    sockets: Option<Sockets>,
    given: Option<Given>,
    /// Secrets of session tickets, for the worker that serves next. We do not look at them.
    secrets: Option<OwnedFd>,
    /// The sockets of HTTP/3.
    datagrams: Datagrams,
    agent: Option<Agent>,
    /// When the next agent is to be started.
    agent_at: Option<Instant>,
    /// One did not answer and was ended, and the next one has not answered yet.
    agent_silent: bool,
    up: Option<Rc<Wire>>,
    /// Control's process, as `up` says.
    control: Option<announce::Control>,
    /// Who waits to be told that it is served.
    asked_here: u64,
    here: BTreeMap<u64, Rc<Wire>>,
    waiting: Vec<Rc<Wire>>,
    reload: Reload,
    /// It stops; running requests have until then.
    stopping: Option<Instant>,
    announced: bool,
    ends: Option<End>,
    /// When we looked last.
    looked: Instant,
    /// Bytes that a worker may have where the configuration does not say.
    memory: u64,
    seconds: u64,
    began: Instant,
    events: mpsc::Sender<Event>,
}

impl Supervisor {
    /// Adopts what runs, or starts anew.
    async fn begin(&mut self) -> Result<()> {
        let kept = std::fs::read_to_string(self.data.path("generation")).unwrap_or_default();
        self.generation = kept.trim().parse().unwrap_or(0);
        let found = charge::adopt(&self.data).await;
        let (mut serving, mut places) = (None::<i32>, Vec::new());
        for (mut charge, sockets) in found {
            let pid = charge.process.pid();
            self.generation = self.generation.max(charge.generation);
            places.push((charge.generation, std::mem::take(&mut charge.places)));
            if charge.phase == Phase::Serves {
                if !sockets.is_empty() {
                    self.sockets = Some(sockets);
                }
                self.secrets = charge.secrets.take().or(self.secrets.take());
                // Of two the younger one is meant: the supervisor died before it could retire the other.
                if let Some(older) = serving.replace(pid)
                    && let Some(older) = self.workers.get_mut(&older)
                {
                    let within = Duration::from_millis(older.serving.bounds.retire_ms);
                    if older.generation > charge.generation {
                        charge.retire(within);
                        serving = Some(older.process.pid());
                    } else {
                        older.retire(within);
                    }
                }
            }
            self.watch(&charge);
            self.workers.insert(pid, charge);
        }
        self.datagrams.adopt(&self.workers, places);
        if let Some(sockets) = &self.sockets
            && let Some(given) = self.given.take()
        {
            sockets.are_all(given);
        }
        if serving.is_some() {
            self.judge = record::restore(&self.data).faster(self.speed);
            self.announced = true;
            notify("READY=1", None);
            complain("a supervisor is back: it goes on with the worker that serves");
            self.serving_again();
            // The flags may be others than those that the worker was started with.
            self.reload.words = true;
        } else {
            record::forget(&self.data);
            self.start_at = Some((Instant::now(), false));
        }
        self.start_agent();
        if let Some(up) = self.up.clone() {
            self.hear_requests(&up);
            self.waiting.push(up);
        }
        if serving.is_some() {
            self.tell_agent_who_serves();
            self.live();
            self.told_serving();
        }
        Ok(())
    }

    /// Hears a worker, and sees it end.
    fn watch(&self, charge: &Charge) {
        let (events, wire, process) = (
            self.events.clone(),
            charge.wire.clone(),
            charge.process.clone(),
        );
        let pid = process.pid();
        let said = events.clone();
        let hears = tokio::task::spawn_local(async move {
            while let Ok(Some((word, files))) = wire.hear::<FromWorker>().await {
                if said.send(Event::Said(pid, word, files)).await.is_err() {
                    return;
                }
            }
        });
        tokio::task::spawn_local(async move {
            let ended = process.ended().await;
            // What it said before comes first.
            let _ = tokio::time::timeout(Duration::from_millis(100), hears).await;
            let _ = events.send(Event::Ended(pid, ended)).await;
        });
    }

    /// Hears what is asked over a wire.
    fn hear_requests(&self, wire: &Rc<Wire>) {
        let (events, wire) = (self.events.clone(), wire.clone());
        tokio::task::spawn_local(async move {
            while let Ok(Some((request, _))) = wire.hear::<Request>().await {
                let asked = Event::Asked(wire.clone(), request);
                if events.send(asked).await.is_err() {
                    return;
                }
            }
            let _ = events.send(Event::UpGone(wire)).await;
        });
    }

    fn start_agent(&mut self) {
        self.agent_at = None;
        let start = Start {
            program: &self.runs,
            role: "agent",
            own: managed(self.managed),
            words: &self.words,
            apart: false,
        };
        let (process, wire) = match start.now() {
            Ok((process, wire)) => (process, Rc::new(wire)),
            Err(error) => {
                complain(format_args!(
                    "no agent can be started ({error}): it is served all the same"
                ));
                self.agent_at = Some(Instant::now() + Duration::from_secs(10));
                return;
            }
        };
        self.agent = Some(Agent {
            process: process.clone(),
            wire: wire.clone(),
            answered: Instant::now(),
            asked: false,
        });
        let events = self.events.clone();
        let pid = process.pid();
        let said = events.clone();
        tokio::task::spawn_local(async move {
            while let Ok(Some((word, files))) = wire.hear::<FromAgent>().await {
                if said.send(Event::AgentSaid(word, files)).await.is_err() {
                    return;
                }
            }
        });
        tokio::task::spawn_local(async move {
            process.ended().await;
            let _ = events.send(Event::AgentEnded(pid)).await;
        });
    }

    /// Ends the agent. One that somebody has stopped hears nothing else.
    fn end_agent(&self) {
        if let Some(agent) = &self.agent {
            let is_stopped = agent.process.is_stopped();
            agent.process.signal(match is_stopped {
                true => libc::SIGKILL,
                false => libc::SIGTERM,
            });
        }
    }

    fn tell_agent(&self, word: &ToAgent) -> bool {
        self.pass_to_agent(word, &[])
    }

    fn pass_to_agent(&self, word: &ToAgent, files: &[OwnedFd]) -> bool {
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let agent = self.agent.as_ref();
        agent.is_some_and(|agent| agent.wire.say(word, &files).is_ok())
    }

    /// Waits until a worker is to be started.
    async fn time_to_start(&self) {
        match self.start_at {
            Some((when, _)) if self.next.is_none() => tokio::time::sleep_until(when).await,
            _ => std::future::pending().await,
        }
    }

    /// The worker that serves.
    fn serving(&self) -> Option<&Charge> {
        let mut workers = self.workers.values();
        workers.find(|charge| charge.phase == Phase::Serves)
    }

    fn serving_pid(&self) -> Option<i32> {
        self.serving().map(|charge| charge.process.pid())
    }
}

//! `seawall up`: everything on one machine. A parent without a state of its own: it starts the supervisor, or takes over one that
//! runs already, hands signals on, and starts the next one when it dies. It may be killed without harm.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::cli;
use crate::control::truth;
use crate::control::words::FromControl;
use crate::data::Data;
use crate::lasting;
use crate::message::{Reply, Request};
use crate::say::{complain, say};
use crate::signals::Signals;
use crate::silence;
use crate::start::{self, Start};
use crate::supervisor::process::{Ended, Process, is_stopped, let_go};
use crate::supervisor::{ForAnother, notify};
use crate::wire::Wire;

/// How long a supervisor that holds its lock may take to listen.
const LISTENS: Duration = Duration::from_secs(10);
/// The first wait before a supervisor is started in place of one that died, and the longest.
const WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// One that ends again and again has something wrong that a person must mend, and says so each time; no site waits for it.
const LONGEST_WAIT_FOR_CONTROL: Duration = Duration::from_secs(10);
/// How long control may take to end. What it keeps withstands that it is killed then.
const ENDS: Duration = Duration::from_secs(5);
/// How long what it said last may be on its way to us.
const LAST_WORD: Duration = Duration::from_millis(50);
/// The trouble of a control that ends again and again, as it is told while it lasts.
const CONTROL: &str = "control";
/// How often it is looked whether children have ended that others left to us.
const LOOK: Duration = Duration::from_secs(1);
/// Who lived for so long died of something new.
const LONG: Duration = Duration::from_secs(60);

/// Serves until it is told to stop.
///
/// # Errors
/// Whatever keeps it from serving, with what can be done.
pub fn run(flags: &cli::Up) -> Result<ExitCode> {
    // Before anything is opened that might have one of their numbers.
    let given = ForAnother::take_all(given());
    // What control could not use is told before anything runs.
    truth::address(flags.store.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let data = Data::at(&flags.data)?;
        let _held = data.hold("up")?;
        let mut up = Up {
            data,
            words: flags.words(),
            program: start::program()?,
            runs: start::running(),
            stops: None,
            reloads: false,
            heard_of_end: false,
            given,
            control: None,
        };
        let mut wait = WAIT;
        let mut supervisor = up.supervisor().await?;
        loop {
            let began = Instant::now();
            match up.follow(&mut supervisor, &mut signals).await {
                Gone::Code(code) => {
                    up.end_control().await;
                    return Ok(ExitCode::from(code));
                }
                Gone::Become(program) => {
                    let _kept = signals.keep(&up.untold()).await;
                    up.end_control().await;
                    let mut command = Command::new(&program);
                    // What a service manager gave has long been taken: those numbers are other descriptors by now.
                    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
                        command.env_remove(name);
                    }
                    let error = command.arg("up").args(&up.words).exec();
                    complain(format_args!(
                        "{} cannot be run as `up`: {error}",
                        program.display()
                    ));
                }
                Gone::Silent(error) => {
                    up.end_control().await;
                    return Err(error);
                }
                Gone::Stuck(why) => {
                    complain(why);
                    up.end_all(&supervisor, &mut signals, flags.drain).await;
                    return Ok(ExitCode::FAILURE);
                }
                Gone::Died(how) => {
                    complain(format_args!(
                        "the supervisor has gone ({how}): what serves serves on, and another supervisor starts"
                    ));
                    tokio::time::sleep(wait).await;
                    wait = if began.elapsed() > LONG {
                        WAIT
                    } else {
                        (wait * 2).min(LONGEST_WAIT)
                    };
                }
            }
            supervisor = up.supervisor().await?;
        }
    })
}

/// How many sockets a service manager handed over to us.
fn given() -> i32 {
    let said = |name: &str| std::env::var(name).ok()?.parse::<i32>().ok();
    let is_ours =
        said("LISTEN_PID").is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()));
    said("LISTEN_FDS").filter(|_| is_ours).unwrap_or(0)
}

struct Up {
    data: Data,
    words: Vec<String>,
    program: PathBuf,
    /// What the next processes are started from: [`start::running`].
    runs: PathBuf,
    /// It was told to stop; how fast.
    stops: Option<Request>,
    /// It was told to have the file read anew, and the supervisor has not said that it does.
    reloads: bool,
    /// The supervisor said that it ends.
    heard_of_end: bool,
    /// What a service manager handed over, for the supervisor.
    given: ForAnother,
    /// Control, once the edge serves.
    control: Option<Control>,
}

/// Where control answers over HTTP, and the file with the first token, while there is one.
type Listens = (SocketAddr, Option<PathBuf>);

/// The process that keeps versions.
struct Control {
    process: Process,
    /// It hears of our end by it, and says where it listens.
    wire: Wire,
    listens: Option<Listens>,
    /// Why it cannot run, as it said.
    fails: RefCell<Option<String>>,
    began: Instant,
    wait: Duration,
    /// It has gone; the next one is started then.
    again: Option<Instant>,
}

impl Control {
    /// Waits until it listens, has gone, or the next one is due.
    async fn changes(control: Option<&Self>) -> Option<Listens> {
        match control {
            None => std::future::pending().await,
            Some(Self {
                again: Some(at), ..
            }) => tokio::time::sleep_until(*at).await,
            Some(Self {
                process,
                wire,
                fails,
                ..
            }) => tokio::select! {
                _ = process.ended() => {}
                listens = listens(wire, fails) => return Some(listens),
            },
        }
        None
    }
}

/// Ends a control, by force where it does not hear: as long as it lives no other one can keep versions.
async fn end(control: &Process) {
    if !control.is_stopped() {
        control.signal(libc::SIGTERM);
        if tokio::time::timeout(ENDS, control.ended()).await.is_ok() {
            return;
        }
    }
    complain(format_args!(
        "control, pid {}, does not end by itself: it is killed",
        control.pid()
    ));
    control.signal(libc::SIGKILL);
    let _ = tokio::time::timeout(LONGEST_WAIT, control.ended()).await;
}

/// Waits until control says that it listens; whether it has gone is seen elsewhere.
async fn listens(wire: &Wire, fails: &RefCell<Option<String>>) -> Listens {
    loop {
        match wire.hear::<FromControl>().await {
            Ok(Some((
                FromControl::Listens {
                    dashboard,
                    token_path,
                },
                _,
            ))) => return (dashboard, token_path),
            Ok(Some((FromControl::Fails { why }, _))) => drop(fails.replace(Some(why))),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// What we follow.
struct Supervisor {
    process: Process,
    wire: Wire,
    /// It ran before we came.
    adopted: bool,
    /// The program that it was when we met it.
    file: Option<(u64, u64)>,
    /// It has answered us; whom we started need not.
    heard: bool,
    /// When it said something last, or was asked first.
    since: Instant,
}

/// What became of a supervisor.
enum Gone {
    /// It ended, as it should or because it cannot serve.
    Code(u8),
    /// It became another program, and so should we.
    Become(PathBuf),
    /// It died.
    Died(String),
    /// It runs and does not answer.
    Silent(anyhow::Error),
    /// It was told to end, does not answer, and is to be ended: why.
    Stuck(String),
}

impl Up {
    /// The supervisor that runs, or a new one.
    async fn supervisor(&mut self) -> Result<Supervisor> {
        let due = Instant::now() + LISTENS;
        loop {
            let path = self.data.path("edge.sock");
            if let Ok(wire) = Wire::connect(&path)
                && let Ok(process) = Process::of(wire.peer()?.pid)
                // It may be about to die.
                && wire
                    .say(
                        &Request::Hello {
                            words: self.words.clone(),
                        },
                        &[],
                    )
                    .is_ok()
                // This is answered at once, whether it serves by now or not.
                && wire.say(&Request::Status, &[]).is_ok()
            {
                return Ok(Supervisor {
                    file: start::file_of(process.pid()),
                    process,
                    wire,
                    adopted: true,
                    heard: false,
                    since: Instant::now(),
                });
            }
            // Whoever holds the lock is about to listen, or about to end.
            match self.data.hold("edge") {
                Ok(_free) => break,
                Err(error) if Instant::now() > due => {
                    // Perhaps so many came before us that there was no room to ask.
                    let holder = self.data.holder("edge");
                    let stopped = holder.filter(|pid| is_stopped(*pid));
                    return Err(stopped.map_or(error, |pid| silence::no_answer(pid, true)));
                }
                Err(_) => tokio::time::sleep(WAIT).await,
            }
        }
        let given = std::mem::take(&mut self.given);
        let start = Start {
            program: &self.runs,
            role: "edge",
            own: vec![
                "--managed".into(),
                "--given".into(),
                given.count.to_string(),
            ],
            words: &self.words,
            apart: true,
        };
        let (process, wire) = start.now().context("the supervisor cannot be started")?;
        Ok(Supervisor {
            file: start::file_of(process.pid()),
            process,
            wire,
            adopted: false,
            heard: true,
            since: Instant::now(),
        })
    }

    /// Starts control, in place of one that an earlier `up` has left.
    async fn start_control(&mut self, wait: Duration) {
        let listens = Wire::connect(&self.data.path("control.sock"));
        let listens = listens.and_then(|wire| wire.peer()).map(|peer| peer.pid);
        // One that somebody has stopped may have no room for who asks.
        let stopped = || {
            let holder = self.data.holds_now("control");
            holder.filter(|pid| is_stopped(*pid))
        };
        if let Some(old) = listens.ok().or_else(stopped)
            && let Ok(old) = Process::of(old)
        {
            end(&old).await;
        }
        let start = Start {
            program: &self.runs,
            role: "control",
            own: Vec::new(),
            words: &self.words,
            apart: true,
        };
        match start.now() {
            Ok((process, wire)) => {
                self.control = Some(Control {
                    process,
                    wire,
                    listens: None,
                    fails: RefCell::default(),
                    began: Instant::now(),
                    wait,
                    again: None,
                });
            }
            Err(error) => complain(format_args!(
                "control cannot be started ({error}): sites are served all the same"
            )),
        }
    }

    /// Control has gone, or the next one is due.
    async fn control_changes(&mut self) {
        let Some(control) = &mut self.control else {
            return;
        };
        if control.again.is_some() {
            let wait = control.wait;
            self.control = None;
            return self.start_control(wait).await;
        }
        // What it said last may not have been heard.
        let _ = tokio::time::timeout(LAST_WORD, listens(&control.wire, &control.fails)).await;
        let why = control.fails.take();
        let why = why.map_or_else(
            || "it has gone".to_owned(),
            |why| format!("it cannot run: {why}"),
        );
        lasting::fails(
            CONTROL,
            format_args!("control: {why}; sites are served all the same, and another one starts"),
        );
        control.wait = if control.began.elapsed() > LONG {
            WAIT
        } else {
            (control.wait * 2).min(LONGEST_WAIT_FOR_CONTROL)
        };
        control.again = Some(Instant::now() + control.wait);
    }

    async fn end_control(&mut self) {
        if let Some(control) = self.control.take() {
            end(&control.process).await;
        }
    }

    fn tell_of_control(&self, supervisor: &Supervisor) {
        if let Some(control) = self
            .control
            .as_ref()
            .filter(|control| control.again.is_none())
        {
            let word = Request::Control {
                pid: control.process.pid(),
                dashboard: control.listens.as_ref().map(|(address, _)| *address),
                token_path: control.listens.as_ref().and_then(|(_, path)| path.clone()),
            };
            let _ = supervisor.wire.say(&word, &[]);
        }
    }

    /// Hands signals on, and tells what comes back, until it has gone.
    async fn follow(&mut self, supervisor: &mut Supervisor, signals: &mut Signals) -> Gone {
        supervisor.since = Instant::now();
        if let Some(stop) = &self.stops {
            let _ = supervisor.wire.say(stop, &[]);
        }
        let is_first = std::process::id() == 1;
        let mut look = tokio::time::interval(LOOK);
        let mut quiet = tokio::time::interval(silence::LOOK);
        loop {
            tokio::select! {
                _ = quiet.tick(), if !supervisor.heard || self.stops.is_some() => {
                    if let Some(gone) = self.silent_for_too_long(supervisor) {
                        return gone;
                    }
                }
                _ = look.tick(), if is_first => {
                    let control = self.control.as_ref().map(|control| control.process.pid());
                    let ours: Vec<i32> = control.into_iter().chain([supervisor.process.pid()]).collect();
                    let_go(&ours);
                }
                request = signals.next(&self.program) => {
                    if matches!(request, Request::Stop { .. }) && self.stops.is_none() {
                        supervisor.since = Instant::now();
                    }
                    self.asked(&request);
                    let _ = supervisor.wire.say(&request, &[]);
                }
                listens = Control::changes(self.control.as_ref()) => {
                    match (listens, &mut self.control) {
                        (Some(listens), Some(control)) => {
                            lasting::works(CONTROL, "control runs again");
                            control.listens = Some(listens);
                        }
                        _ => self.control_changes().await,
                    }
                    self.tell_of_control(supervisor);
                }
                reply = supervisor.wire.hear::<Reply>() => match reply {
                    Ok(Some((reply, _))) => {
                        supervisor.heard = true;
                        supervisor.since = Instant::now();
                        // Who lives has them already.
                        self.given = ForAnother::default();
                        if matches!(reply, Reply::Serving { .. }) {
                            if self.control.is_none() {
                                self.start_control(WAIT).await;
                            }
                            self.tell_of_control(supervisor);
                        }
                        if let Some(program) = self.told(reply, supervisor) {
                            return Gone::Become(program);
                        }
                    }
                    Ok(None) | Err(_) => break,
                },
            }
        }
        let ended = tokio::time::timeout(LISTENS, supervisor.process.ended()).await;
        match ended {
            Ok(Ended::Code(code)) => Gone::Code(u8::try_from(code).unwrap_or(1)),
            Ok(Ended::Unknown) if self.heard_of_end => Gone::Code(0),
            Ok(Ended::Signal(signal)) => Gone::Died(format!("signal {signal}")),
            Ok(Ended::Unknown) => Gone::Died("it was not ours".into()),
            Err(_) => {
                // It could not tell us: the old program must not come back beside the worker of the new one.
                if let Some(program) = start::became(supervisor.process.pid(), supervisor.file) {
                    return Gone::Become(program);
                }
                supervisor.process.signal(libc::SIGKILL);
                Gone::Died("it did not hear us any more".into())
            }
        }
    }

    /// Somebody asks for something, by a signal.
    fn asked(&mut self, request: &Request) {
        match request {
            Request::Reload => {
                self.reloads = true;
                if let Some(control) = &self.control {
                    control.process.signal(libc::SIGHUP);
                }
            }
            Request::Stop { within_ms } => {
                // A second one is for who does not want to wait.
                let within_ms = if self.stops.is_some() {
                    Some(0)
                } else {
                    *within_ms
                };
                self.stops = Some(Request::Stop { within_ms });
            }
            _ => {}
        }
    }

    /// It is to end, and nobody wants to wait.
    fn stops_at_once(&self) -> bool {
        matches!(self.stops, Some(Request::Stop { within_ms: Some(_) }))
    }

    /// What follows when the supervisor has said nothing for longer than it may.
    fn silent_for_too_long(&self, supervisor: &Supervisor) -> Option<Gone> {
        let (process, since) = (&supervisor.process, supervisor.since);
        if self.stops.is_none() {
            let silent = silence::may_be(process, since, silence::ANSWERS);
            return silent.err().map(Gone::Silent);
        }
        // One that waits for the last requests answers.
        let _ = supervisor.wire.say(&Request::Status, &[]);
        silence::keeps_from_ending(process, since, self.stops_at_once()).map(Gone::Stuck)
    }

    /// Ends everything, without the supervisor.
    async fn end_all(
        &mut self,
        supervisor: &Supervisor,
        signals: &mut Signals,
        drain: Option<Duration>,
    ) {
        let at_once = self.stops_at_once();
        let again =
            async { while !matches!(signals.next(&self.program).await, Request::Stop { .. }) {} };
        silence::end(&self.data, &supervisor.process, drain, at_once, again).await;
        self.end_control().await;
    }

    /// The signals that asked for what the supervisor may not have done when it became another program.
    fn untold(&self) -> Vec<libc::c_int> {
        let stop = self.stops.as_ref().map(|_| match self.stops_at_once() {
            true => libc::SIGQUIT,
            false => libc::SIGTERM,
        });
        let reload = self.reloads.then_some(libc::SIGHUP);
        stop.into_iter().chain(reload).collect()
    }

    fn told(&mut self, reply: Reply, supervisor: &Supervisor) -> Option<PathBuf> {
        match reply {
            Reply::Serving { up } if supervisor.adopted => {
                // The supervisor told a service manager long ago, which waits for us to say so.
                notify("READY=1", None);
                say(format_args!(
                    "Seawall serves already, supervised by {}: this `up` goes on with it{}",
                    supervisor.process.pid(),
                    addresses(&up)
                ));
            }
            Reply::Stopping => self.heard_of_end = true,
            Reply::Progress(step) => say(format_args!("Seawall upgrades: {step}")),
            Reply::Refused { why } => complain(format_args!("not upgraded: {why}")),
            Reply::Become { program } => return Some(program),
            Reply::Done => self.reloads = false,
            Reply::Serving { .. } | Reply::Status(_) | Reply::Here { .. } => {}
        }
        None
    }
}

fn addresses(up: &Value) -> String {
    let mut text = String::new();
    for key in ["http", "https", "dashboard", "admin"] {
        if let Some(address) = up.get(key).and_then(Value::as_str) {
            text.push_str(&format!("\n  {key:<10} {address}"));
        }
    }
    text
}

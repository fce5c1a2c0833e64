//! A worker as the supervisor knows it: its process, its wire, its page, and what it is about.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use seawall_guard::blame;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::judge::Version;
use super::process::Process;
use super::sockets::Sockets;
use crate::data::Data;
use crate::message::{Begin, FromWorker, Here, Place, Plan, Serving, Socket, ToWorker};
use crate::page::SharedPage;
use crate::say::complain;
use crate::start::Start;
use crate::wire::{FILES, Wire, in_memory};

/// How long a worker that runs already may take to say what there is.
const DESCRIBES: Duration = Duration::from_secs(2);
/// How often it is tried to reach one for which there was no room.
const AGAIN: Duration = Duration::from_millis(50);

/// What a worker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads, compiles and asks itself.
    Prepares,
    /// It could serve, and waits for the State of the one before it.
    Ready,
    /// It was told to serve.
    Opens,
    /// It serves.
    Serves,
    /// Another one serves, or nobody shall: it ends what runs, up to then.
    Leaves {
        /// When it is killed.
        due: Instant,
    },
}

impl Phase {
    /// As people are told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prepares => "prepares",
            Self::Ready | Self::Opens => "ready",
            Self::Serves => "serves",
            Self::Leaves { .. } => "leaves",
        }
    }
}

/// A worker.
pub struct Charge {
    /// Its process.
    pub process: Process,
    /// Where it hears us.
    pub wire: Rc<Wire>,
    /// What it runs.
    pub page: SharedPage,
    /// How many workers there were before it.
    pub generation: u64,
    /// What it is about.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// When it was started, or found.
    pub started: Instant,
    /// What it wants to listen on.
    pub plan: Plan,
    /// What it serves.
    pub serving: Serving,
    /// Addresses for which it has UDP sockets.
    pub datagrams: Vec<SocketAddr>,
    /// Which workers live, as it was told last: their generations.
    pub told_living: Vec<u64>,
    /// UDP sockets that one keeps open that was found.
    pub places: Vec<(Place, Vec<OwnedFd>)>,
    /// Secrets of its session tickets, of one that was found.
    pub secrets: Option<OwnedFd>,
    /// It was told to end, or killed, by us.
    pub ours: bool,
    /// It waited, ready, for the one before it to go.
    pub was_spare: bool,
    /// Out-of-memory kills of this machine when it was started.
    pub memory_kills: u64,
}

impl Charge {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no program, process, memory or descriptor for it.
    pub fn start(
        program: &Path,
        generation: u64,
        words: &[String],
        begin: &Begin,
    ) -> io::Result<Self> {
        let page = SharedPage::make()?;
        let start = Start {
            program,
            role: "worker",
            own: vec!["--generation".into(), generation.to_string()],
            words,
            apart: false,
        };
        let (process, wire) = start.now()?;
        let said = wire.say(&ToWorker::Begin(begin_within(begin)), &[page.file()]);
        if let Err(error) = said {
            process.signal(libc::SIGKILL);
            return Err(error);
        }
        Ok(Self {
            process,
            wire: Rc::new(wire),
            page,
            generation,
            phase: Phase::Prepares,
            since: Instant::now(),
            started: Instant::now(),
            plan: Plan::default(),
            serving: Serving::default(),
            datagrams: Vec::new(),
            told_living: Vec::new(),
            places: Vec::new(),
            secrets: None,
            ours: false,
            was_spare: false,
            memory_kills: super::process::out_of_memory_kills(),
        })
    }

    /// Goes on to another phase.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    /// Gives it what to listen on, and lets it prepare.
    ///
    /// # Errors
    /// When it does not listen to us.
    pub fn give(&self, sockets: &Sockets) -> io::Result<()> {
        for (told, files) in sockets.in_parts(FILES) {
            self.wire.say(&ToWorker::Sockets(told), &files)?;
        }
        self.wire.say(&ToWorker::Prepare, &[])
    }

    /// Lets it accept connections; `state` is what the one before it handed over, `secrets` those of session tickets.
    ///
    /// # Errors
    /// As above.
    pub fn open(&mut self, state: Option<OwnedFd>, secrets: Option<&OwnedFd>) -> io::Result<()> {
        self.enter(Phase::Opens);
        let state = match state {
            None if secrets.is_some() => Some(in_memory(c"seawall-state", b"")?),
            state => state,
        };
        let files: Vec<_> = state.iter().chain(secrets).map(AsFd::as_fd).collect();
        self.wire.say(&ToWorker::Serve, &files)
    }

    /// Another one serves: it has so long to end what runs.
    pub fn retire(&mut self, within: Duration) {
        self.leave(
            within,
            &ToWorker::Retire {
                within_ms: ms(within),
            },
        );
    }

    /// Nobody serves any more: it has so long to end what runs.
    pub fn drain(&mut self, within: Duration) {
        self.leave(
            within,
            &ToWorker::Drain {
                within_ms: ms(within),
            },
        );
    }

    fn leave(&mut self, within: Duration, word: &ToWorker) {
        self.ours = true;
        // It cuts what still runs when the time is over, and says so to clients; only then, if it does not, we end it.
        let due = Instant::now() + within + Duration::from_secs(2);
        self.enter(Phase::Leaves { due });
        if self.wire.say(word, &[]).is_err() {
            self.process.signal(libc::SIGTERM);
        }
        if self.process.is_stopped() {
            self.process.signal(libc::SIGCONT);
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.ours = true;
        self.process.signal(libc::SIGKILL);
    }

    /// What it ran when it died, or what the thread runs that does not move.
    pub fn culprit(&self, thread: Option<usize>) -> Option<Version> {
        let page = blame::Page::of(self.page.words());
        let culprit = match thread {
            Some(thread) => page.read(thread),
            None => page.culprit(),
        }?;
        (culprit.zone != 0 && culprit.version != 0).then_some(Version {
            zone: culprit.zone,
            version: culprit.version,
        })
    }

    /// The version of what all zones share that was run under where it died, 0 where that is not known; and whether that was compiling.
    pub fn ran_under(&self) -> (u64, bool) {
        let ran = blame::Page::of(self.page.words()).culprit();
        let phase = ran.and_then(|ran| blame::Phase::of(ran.stage));
        let compiled = matches!(phase, Some((blame::Phase::Compile, _)));
        (ran.map_or(0, |ran| ran.platform), compiled)
    }

    /// A thread that did not say for so long that it runs.
    pub fn stuck(&self, now_ms: u64, after: Duration) -> Option<usize> {
        let page = blame::Page::of(self.page.words());
        page.stale(now_ms, ms(after)).next()
    }

    /// What each of its threads runs, for a report.
    pub fn threads(&self) -> Value {
        let page = blame::Page::of(self.page.words());
        let threads = (0..=page.compile_slot()).filter_map(|slot| {
            let runs = page.read(slot)?;
            Some(json!({
                "thread": slot,
                "zone": format!("{:016x}", runs.zone),
                "version": format!("{:012x}", runs.version),
                "runs": blame_words(runs.stage),
                "ray": format!("{:016x}", runs.ray),
            }))
        });
        threads.collect()
    }
}

/// What a thread did, in words.
fn blame_words(number: u64) -> Value {
    let Some((phase, place)) = blame::Phase::of(number) else {
        return Value::Null;
    };
    // Which binary it was we do not know: its stages may be others than ours.
    json!({ "phase": phase.name(), "place": place })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As much of it as fits into a message; the youngest measures count most.
fn begin_within(begin: &Begin) -> Begin {
    let mut begin = begin.clone();
    let more = begin.quarantined.len().saturating_sub(512);
    begin.quarantined.drain(..more);
    begin
}

/// Workers that run already on a data folder, with the sockets that they listen on. What does not answer is woken, and ended
/// if that does not help: nobody could tell what it does.
pub async fn adopt(data: &Data) -> Vec<(Charge, Sockets)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(data.path("")).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(name.starts_with("worker-") && name.ends_with(".sock")) {
            continue;
        }
        let Some(wire) = reached(&entry.path()).await else {
            continue;
        };
        let Ok(peer) = wire.peer() else { continue };
        let Ok(process) = Process::of(peer.pid) else {
            continue;
        };
        match describe(&process, wire).await {
            Some(described) => found.push(described),
            None => {
                process.signal(libc::SIGKILL);
                // One that hangs in the kernel ends when that lets it go.
                let ended = tokio::time::timeout(DESCRIBES, process.ended()).await;
                if ended.is_ok() {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }
    found
}

/// A wire to whoever listens at a file. Where nobody does any more, the file is taken away; else it stays, whatever is in the way: it is
/// all by which a worker that serves can be found.
async fn reached(path: &Path) -> Option<Wire> {
    let due = Instant::now() + DESCRIBES;
    loop {
        let error = match Wire::connect(path) {
            Ok(wire) => return Some(wire),
            Err(error) => error,
        };
        match error.kind() {
            // Whoever made it is not there any more.
            io::ErrorKind::ConnectionRefused => {
                let _ = std::fs::remove_file(path);
                return None;
            }
            io::ErrorKind::NotFound => return None,
            // As long as too many wait for it.
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted if Instant::now() < due => {
                tokio::time::sleep(AGAIN).await;
            }
            _ => {
                complain(format_args!(
                    "{}: the worker there cannot be reached ({error}); if it serves, it serves on, and the next start looks for it again",
                    path.display()
                ));
                return None;
            }
        }
    }
}

async fn describe(process: &Process, wire: Wire) -> Option<(Charge, Sockets)> {
    wire.say(&ToWorker::Describe, &[]).ok()?;
    let told = tokio::time::timeout(DESCRIBES, told(&wire)).await;
    let (mut described, sockets) = match told {
        Ok(told) => told?,
        Err(_) => {
            process.signal(libc::SIGCONT);
            tokio::time::timeout(DESCRIBES, self::told(&wire))
                .await
                .ok()??
        }
    };
    let (here, page, secrets) = described.begun?;
    let places = std::mem::take(&mut described.places);
    let now = Instant::now();
    let leaves = Phase::Leaves {
        due: now + Duration::from_millis(here.serving.bounds.retire_ms),
    };
    let charge = Charge {
        process: process.clone(),
        wire: Rc::new(wire),
        page: SharedPage::map(page).ok()?,
        generation: here.generation,
        phase: if here.serves { Phase::Serves } else { leaves },
        since: now,
        started: now,
        plan: here.plan,
        serving: here.serving,
        datagrams: here.datagrams,
        told_living: Vec::new(),
        places,
        secrets,
        ours: !here.serves,
        was_spare: false,
        memory_kills: super::process::out_of_memory_kills(),
    };
    Some((charge, sockets))
}

/// What a worker says of itself.
#[derive(Default)]
struct Described {
    begun: Option<(Here, OwnedFd, Option<OwnedFd>)>,
    places: Vec<(Place, Vec<OwnedFd>)>,
}

async fn told(wire: &Wire) -> Option<(Described, Sockets)> {
    let mut described = Described::default();
    let mut sockets = Sockets::default();
    loop {
        let (told, files): (FromWorker, Vec<OwnedFd>) = wire.hear().await.ok()??;
        match told {
            FromWorker::Here(here) => {
                let mut files = files.into_iter();
                let (page, secrets) = (files.next()?, files.next());
                if let Some(place) = here.place {
                    described.places.push((place, files.collect()));
                }
                described.begun = Some((here, page, secrets));
            }
            FromWorker::Sockets(told) => {
                let told: Vec<Socket> = told;
                sockets.adopt(told, files);
            }
            FromWorker::Described => return Some((described, sockets)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::wire::WireListener;

    /// The file is all by which the next supervisor finds a worker: only where nobody listens is it of no use.
    #[test]
    fn only_a_socket_where_nobody_listens_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let path = |pid: u32| data.path(format!("worker-{pid}.sock"));
        // Left over; of another kind, which is the error of neither; and one with more before it than it lets wait.
        drop(UnixListener::bind(path(1)).unwrap());
        let _other = UnixListener::bind(path(2)).unwrap();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let _busy = WireListener::bind(&path(3)).unwrap();
            let mut waiting = Vec::new();
            let full = loop {
                match Wire::connect(&path(3)) {
                    Ok(wire) => waiting.push(wire),
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
            let kind = |pid| Wire::connect(&path(pid)).unwrap_err().kind();
            assert_eq!(kind(1), io::ErrorKind::ConnectionRefused);
            assert_ne!(kind(2), io::ErrorKind::ConnectionRefused);
            assert!(adopt(&data).await.is_empty());
            let stays = [1, 2, 3].map(|pid| path(pid).exists());
            assert_eq!(stays, [false, true, true]);
        });
    }
}

//! A worker's threads, and what it does when it is told something.

mod ends;
mod looks;
mod owns;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_guard::blame;
use seawall_model::Document;
use seawall_proxy::admin::{self, Admin};
use seawall_proxy::mishaps::Mishaps;
use seawall_proxy::prober;
use seawall_proxy::retire::Retirement;
use seawall_proxy::slot::Slot;
use seawall_proxy::thread::{self, Shared};
use seawall_proxy::told::Told;
use seawall_proxy::trial::Live;
use seawall_proxy::worker::{self, Kind, Listener};
use seawall_telemetry::AccessLog;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::changes::{Job, Work};
use super::orders::{self, Tried};
use super::outdated::Heard;
use super::set_up::{Spread, ask, log_config, spread};
use super::stands::Stands;
use super::wires::{accept, listen, socket_path};
use super::{Started, answer};
use crate::certificates::{Keeper, Running};
use crate::configure::{Configuration, effective};
use crate::data::random;
use crate::distribution::joining::Identity;
use crate::http3::{self, Datagrams};
use crate::kept::StateLock;
use crate::live::Which;
use crate::message::{FromWorker, Here, Plan, Role, Serving, Socket, ToWorker};
use crate::order;
use crate::page::SharedPage;
use crate::process::{give_back, raise_descriptors, room};
use crate::say::complain;
use crate::trouble::Troubles;
use crate::unkept::Unkept;
use crate::wire::{FILES, Wire, WireListener, in_memory};

/// Below this many descriptors a busy site runs out.
const FEW_DESCRIPTORS: u64 = 4096;
/// The folder of the cache's disk tier, in the data folder.
const CACHE: &str = "cache";
/// How long a thread may take to answer us.
const PROBE: Duration = Duration::from_secs(10);
/// How often one that leaves tells the next one what has become invalid.
const TELLS: Duration = Duration::from_millis(100);
/// Seconds after which a worker that gave up what only one may write, and was not retired, takes it back.
const TAKE_BACK: u64 = 10;

/// A worker whose threads run.
pub struct Worker {
    pub(super) configuration: Configuration,
    pub(super) shared: Arc<Shared>,
    pub(super) configured: Arc<AtomicU64>,
    log: AccessLog,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    /// Where each thread answers us, and nobody else.
    pub(super) own: Vec<SocketAddr>,
    page: &'static SharedPage,
    generation: u64,
    plan: Plan,
    sockets: Vec<(Socket, OwnedFd)>,
    datagrams: Datagrams,
    /// What is written in the document that is live, without its zones.
    pub(super) live: Document,
    /// What serves, as far as it is not on disk.
    pub(super) unkept: Unkept,
    /// What is on trial.
    pub(super) tried: Vec<Tried>,
    /// What is being compiled, and what is to be.
    pub(super) work: Work,
    pub(super) serving: Serving,
    keeper: Option<Keeper>,
    running: Option<Running>,
    /// Only who holds this writes what outlives a process.
    pub(super) state_lock: Option<Arc<StateLock>>,
    /// It is to be kept as soon as we may write.
    pub(super) to_keep: bool,
    /// What it began with was kept before.
    is_kept: bool,
    /// Told when what serves is kept.
    pub(super) kept: (mpsc::Sender<()>, Option<mpsc::Receiver<()>>),
    /// Counts down to taking back what was given up.
    take_back: Option<u64>,
    /// What another worker wrote was read anew then, or tried to be.
    caught_up: Option<(Which, Instant)>,
    /// Freeing a large configuration takes long: it is done here, not on a worker thread that let go of it last.
    pub(super) retired: Vec<Arc<Live>>,
    ending: Option<Ending>,
    serves: bool,
    stands: Stands,
    heard: Heard,
}

/// It ends.
#[derive(Clone, Copy)]
struct Ending {
    /// When what still runs is cut.
    due: Instant,
}

impl Worker {
    /// Starts threads, admin port and what stands beside them. Nobody is accepted yet.
    pub fn start(started: Started) -> Result<Self> {
        let Started {
            is_kept,
            configuration,
            mut source,
            snapshot,
            refused,
            plan,
            sockets,
            page,
            generation,
            keeper,
            confined,
        } = started;
        let (state, data) = (&configuration.state, &configuration.data);
        let document = source.parsed.document.head();
        let whole = std::mem::take(&mut source.parsed.document);
        source.parsed.document = effective(whole, &refused, &Document::default());
        let source = Arc::new(source);
        let live = Live::from(snapshot);
        state.settle(&live, &refused);
        let is_kept = is_kept && !state.zone_ids.is_changed();
        let threads = plan.threads;
        let Spread {
            mut listeners,
            admin,
        } = spread(&sockets, threads)?;
        let mut own = Vec::new();
        for thread in &mut listeners {
            let socket = TcpListener::bind(("127.0.0.1", 0))?;
            socket.set_nonblocking(true)?;
            own.push(socket.local_addr()?);
            let kind = Kind::Own;
            thread.push(Listener { socket, kind });
        }
        let descriptors = raise_descriptors();
        let room = room(
            descriptors,
            threads,
            listeners.iter().map(Vec::len).sum::<usize>() + sockets.len(),
        )?;
        let log = AccessLog::open(log_config(&document, data))
            .context("the access log's writer cannot be started")?;
        state.registry.watch_log(log.status());
        let (memory, disk) = (live.edge.cache_memory, live.edge.cache_disk);
        let cache = seawall_proxy::caching::store(memory, disk, data.path(CACHE));
        let told = Arc::clone(&cache);
        state
            .registry
            .watch_cache(move || seawall_proxy::caching::told(&told));
        let slot = Slot::new(live);
        let quic = http3::quic(&plan, &sockets, &slot, document.edge.public_https)?;
        let shared = Arc::new(Shared {
            slot,
            certificates: state.certificates.clone(),
            quic,
            began: Instant::now(),
            zero: thread::zero(),
            accepting: AtomicBool::new(false),
            gate: tokio::sync::Notify::new(),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            drain: tokio::sync::Notify::new(),
            retirement: Retirement::default(),
            open: AtomicU64::new(0),
            threads,
            room,
            ran_out: AtomicU64::new(0),
            cache,
            told: Told::default(),
            mishaps: Mishaps::default(),
            recent: configuration.state.recent.clone(),
            tier: state.tier.get().cloned(),
            node: data.node()?.into(),
            per_client: Mutex::default(),
        });
        let live = shared.slot.load();
        let has_joined = Identity::is_kept(&configuration.data);
        let mut serving = answer::serving(&configuration.up, has_joined, &document, &live);
        if descriptors < FEW_DESCRIPTORS {
            serving.notes.push(format!(
                "only {descriptors} open files are allowed, which is {room} clients at once: raise LimitNOFILE (systemd) or ulimit -n"
            ));
        }
        serving.notes.extend(confined);
        let https = sockets.iter().map(|(told, _)| told);
        let https = https.filter(|told| told.role == Role::Https).count();
        let told = mpsc::channel(1);
        let mut stands = Stands::new(&configuration);
        stands.look(&configuration, &shared.told, &shared.slot);
        let mut worker = Self {
            stands,
            heard: Heard::default(),
            datagrams: Datagrams::new(threads, https, generation),
            configured: Arc::new(AtomicU64::new(0)),
            log,
            threads: Vec::new(),
            own,
            page,
            generation,
            plan,
            sockets,
            live: document,
            unkept: Unkept::default(),
            tried: Vec::new(),
            work: Work::default(),
            serving,
            keeper,
            running: None,
            state_lock: None,
            to_keep: !is_kept,
            is_kept,
            kept: (told.0, Some(told.1)),
            take_back: None,
            caught_up: None,
            retired: Vec::new(),
            ending: None,
            serves: false,
            shared,
            configuration,
        };
        let stand = source.stand.clone().filter(|_| refused.is_empty());
        if is_kept {
            give_back(Some(source));
        } else {
            worker.unkept = Unkept::whole(source, !refused.is_empty());
        }
        worker.unkept.stand.clone_from(&stand);
        worker.serving.stand = stand;
        worker.start_beside(admin)?;
        worker.start_threads(listeners)?;
        Ok(worker)
    }

    /// The thread beside the workers: admin port, DNS, probes. The admin port waits for the gate like the others.
    fn start_beside(&self, listener: Option<TcpListener>) -> Result<()> {
        let state = &self.configuration.state;
        let (guard, registry) = (state.guard.clone(), state.registry.clone());
        let (shared, configured) = (self.shared.clone(), self.configured.clone());
        let (log, disk) = (self.log.status().clone(), state.disk.clone());
        let seed = random()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                if let Some(listener) =
                    listener.and_then(|listener| tokio::net::TcpListener::from_std(listener).ok())
                {
                    let admin = Rc::new(Admin {
                        shared: shared.clone(),
                        registry,
                        guard,
                        disk,
                        log,
                        configured,
                    });
                    let shared = shared.clone();
                    tokio::task::spawn_local(async move {
                        shared.accepts().await;
                        admin::serve(listener, admin).await;
                    });
                }
                prober::run(shared, seed).await;
            });
        };
        std::thread::Builder::new()
            .name("beside".into())
            .spawn(run)?;
        Ok(())
    }

    fn start_threads(&mut self, listeners: Vec<Vec<Listener>>) -> Result<()> {
        let words = self.page.words();
        for (index, listeners) in listeners.into_iter().enumerate() {
            let shard = self.configuration.state.registry.shard();
            let (shared, buffer, seed) = (self.shared.clone(), self.log.buffer(), random()?);
            let datagrams = self.datagrams.part(index);
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            self.threads.push(thread.spawn(move || {
                blame::take_slot(words, index);
                worker::run(shared, shard, buffer, seed, listeners, datagrams)
            })?);
        }
        Ok(())
    }

    /// Asks each thread for an answer: whatever it says, it serves.
    ///
    /// # Errors
    /// Which one does not, and what it did instead.
    pub async fn probe(&self) -> Result<()> {
        for (index, address) in self.own.iter().enumerate() {
            let asked = tokio::time::timeout(PROBE, ask(*address)).await;
            let answer = asked
                .with_context(|| format!("thread {index} does not answer"))?
                .with_context(|| format!("thread {index} does not answer"))?;
            if !answer.starts_with(b"HTTP/1.1 ") {
                bail!("thread {index} does not answer as it should");
            }
        }
        Ok(())
    }

    /// Does what it is told until it ends.
    pub async fn run(mut self, wire: Rc<Wire>) -> Result<ExitCode> {
        let path = socket_path(&self.configuration.data);
        let listener = WireListener::bind(&path)
            .map_err(|error| {
                complain(format_args!(
                    "{}: {error} (a later supervisor will not find this worker)",
                    path.display()
                ));
            })
            .ok();
        let (heard, mut hears) = mpsc::channel(16);
        let mut wire = Some(wire);
        if let Some(wire) = &wire {
            listen(wire.clone(), heard.clone());
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut troubles = Troubles::new(self.log.status().clone());
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let mut looks = 0u64;
        let mut tells = tokio::time::interval(TELLS);
        tells.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut finished = self.work.finished();
        let mut secrets = self.configuration.state.tickets.changes();
        let mut kept = self.kept.1.take().unwrap_or_else(|| mpsc::channel(1).1);
        loop {
            tokio::select! {
                Some(()) = kept.recv() => {
                    if !self.to_keep && self.configuration.kept.is_written() {
                        give_back(self.unkept.kept());
                    }
                    if let Some(wire) = &wire {
                        let _ = wire.say(&FromWorker::Kept, &[]);
                    }
                }
                Some((from, told)) = hears.recv() => {
                    // What an earlier supervisor said last does not count any more.
                    if !wire.as_ref().is_some_and(|wire| Rc::ptr_eq(wire, &from)) {
                        continue;
                    }
                    match told {
                        Some((ToWorker::Reload { words }, _)) => {
                            self.log.reopen();
                            self.take_words(words);
                            self.work.add(Job::Reload);
                            self.next_job(wire.as_deref());
                        }
                        Some((ToWorker::Order, files)) => {
                            self.take_order(files, wire.as_deref());
                            self.next_job(wire.as_deref());
                        }
                        Some((told, files)) => {
                            // Who asked may have died meanwhile: that is no reason to end with it.
                            if let Err(error) = self.hear(&from, told, files) {
                                complain(format_args!("the supervisor is not answered: {error:#}"));
                            }
                            self.next_job(wire.as_deref());
                        }
                        // The supervisor has gone. Whoever serves serves on; whoever never did has no reason to be.
                        None if self.serves || self.ending.is_some() => wire = None,
                        None => bail!("the supervisor has gone before we served"),
                    }
                }
                accepted = accept(listener.as_ref()) => {
                    let later = Rc::new(accepted);
                    listen(later.clone(), heard.clone());
                    wire = Some(later);
                }
                _ = terminate.recv() => {
                    if self.ending.is_none() {
                        if let Some(wire) = &wire {
                            let _ = wire.say(&FromWorker::Leaving, &[]);
                        }
                        self.retire(Duration::from_millis(self.serving.bounds.drain_ms));
                    }
                }
                Some(done) = finished.recv() => {
                    self.finish(done, wire.as_deref());
                    self.next_job(wire.as_deref());
                }
                _ = look.tick() => {
                    troubles.look(&self.shared, self.serves && self.ending.is_none());
                    looks += 1;
                    self.look(looks);
                    self.next_job(wire.as_deref());
                    if let Some(ended) = self.ended() {
                        bail!("{ended} ended by itself");
                    }
                }
                _ = tells.tick(), if self.ending.is_some() => self.tell_outdated(false),
                Ok(()) = secrets.changed() => self.tell_secrets(wire.as_deref()),
                () = self.over() => break,
            }
        }
        // Taken away before the end: whoever comes must not wait for us.
        drop(listener);
        self.end().await;
        Ok(ExitCode::SUCCESS)
    }

    fn hear(&mut self, wire: &Rc<Wire>, told: ToWorker, files: Vec<OwnedFd>) -> Result<()> {
        match told {
            ToWorker::Serve => {
                self.take_over(&files);
                self.serve();
                let secrets = self.secrets()?;
                let word = FromWorker::Serving(self.serving.clone());
                wire.say(&word, &[secrets.as_fd()])?;
            }
            ToWorker::Datagrams {
                address,
                leaves,
                steered,
            } => {
                if !steered {
                    self.datagrams.steer(address, &files, leaves);
                }
                self.datagrams.give(&self.shared, address, files);
            }
            ToWorker::Place(place) => self.datagrams.keep(place, files),
            ToWorker::Living { generations } => {
                if let Some(quic) = &self.shared.quic {
                    quic.resets().live(&generations);
                }
            }
            ToWorker::HandOver => {
                self.give_up_state();
                self.shared.cache.begin_handing_over();
                // What waits is written meanwhile; the next one loads what is there once it serves.
                self.shared.cache.leave_disk(Duration::ZERO);
                self.take_back = Some(TAKE_BACK);
                let state = self.configuration.state.hand_over();
                let file = in_memory(c"seawall-state", &state)?;
                wire.say(&FromWorker::HandedOver, &[file.as_fd()])?;
            }
            ToWorker::Retire { within_ms } => self.retire(Duration::from_millis(within_ms)),
            ToWorker::Drain { within_ms } => self.drain(Duration::from_millis(within_ms)),
            ToWorker::Describe => self.describe(wire)?,
            ToWorker::Count => {
                let requests = self.configuration.state.registry.requests();
                let totals = self.shared.mishaps.of(requests);
                let mut counted = orders::counted(&self.tried, totals);
                (counted.switches, counted.purged) = self.stands();
                counted.kinds = self.shared.recent.kinds(&self.shared.slot.load());
                counted.orders = Some(self.work.orders());
                let counted = order::put(&counted)?;
                wire.say(&FromWorker::Counted, &[counted.as_fd()])?;
            }
            // Handled where work is begun.
            ToWorker::Reload { .. } | ToWorker::Order => {}
            other @ (ToWorker::Begin(_) | ToWorker::Sockets(_) | ToWorker::Prepare) => {
                complain(format_args!("unexpected while serving: {other:?}"));
            }
        }
        Ok(())
    }

    /// Those have changed.
    fn tell_secrets(&self, wire: Option<&Wire>) {
        let Some(wire) = wire.filter(|_| self.serves && self.ending.is_none()) else {
            return;
        };
        if let Ok(secrets) = self.secrets() {
            let word = FromWorker::Serving(self.serving.clone());
            let _ = wire.say(&word, &[secrets.as_fd()]);
        }
    }

    fn serve(&mut self) {
        self.serves = true;
        // A spare may have waited for long, and its file have been moved away meanwhile.
        self.log.reopen();
        // What is to be gone is, before anybody asks for it: on the disk, too, which is this process's from here on.
        self.shared.cache.use_disk();
        self.stands();
        self.hear_outdated();
        self.shared.accept();
        self.configured.store(self.shared.now(), Ordering::Relaxed);
        self.take_state();
        if self.is_kept {
            // One that waits to be heard stands for this one too.
            let _ = self.kept.0.try_send(());
        }
    }

    /// For a supervisor that came later.
    fn describe(&self, wire: &Wire) -> Result<()> {
        let here = Here {
            generation: self.generation,
            serves: self.serves && self.ending.is_none(),
            plan: self.plan.clone(),
            serving: self.serving.clone(),
            datagrams: self.datagrams.addresses.clone(),
            place: None,
        };
        let secrets = self.secrets()?;
        let files = [self.page.file(), secrets.as_fd()];
        self.datagrams.tell_places(wire, &here, files)?;
        wire.say(&FromWorker::Here(here), &files)?;
        for part in self.sockets.chunks(FILES) {
            let (told, files): (Vec<_>, Vec<_>) = part
                .iter()
                .map(|(told, socket)| (told.clone(), socket.as_fd()))
                .unzip();
            wire.say(&FromWorker::Sockets(told), &files)?;
        }
        wire.say(&FromWorker::Described, &[])?;
        Ok(())
    }
}

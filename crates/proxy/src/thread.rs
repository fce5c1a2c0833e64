//! What one worker thread owns: its view of the configuration, its origin connections, its part of log and metrics.
//!
//! Nothing in here is shared with another thread, so nothing is locked. What threads share (pools' members, metrics, the
//! configuration) stands behind it as atomics or is swapped as a whole.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall_guard::blame;
use seawall_guard::{Trail, ZoneId};
use seawall_model::{Fields, RequestHead, ResponseHead};
use seawall_net::clock::monotonic_us;
use seawall_telemetry::{LogBuffer, Ray, Rays, Record, Shard, Stamp, ZoneSlot};
use tokio::time::Instant;

use crate::certificates::Certificates;
use crate::connection::http3::Quic;
use crate::lend::OriginConnections;
use crate::mishaps::Mishaps;
use crate::recent::Recent;
use crate::retire::Retirement;
use crate::shares::{Bounds, FUEL_PER_SECOND, Shares};
use crate::slot::{Reader, Slot};
use crate::tier::Tier;
use crate::told::Told;

/// How many sets of heads a thread keeps for the next requests.
const KEEP_SCRATCH: usize = 64;

/// What all worker threads share.
pub struct Shared {
    /// The live configuration.
    pub slot: Arc<Slot>,
    /// Certificates and challenges that came by ACME.
    pub certificates: Arc<Certificates>,
    /// What is needed to speak HTTP/3, where it is spoken.
    pub quic: Option<Quic>,
    /// When the process began.
    pub began: Instant,
    /// The zero of the monotonic clock ([`zero`]), from which all milliseconds and microseconds count.
    pub zero: Instant,
    /// Clients are accepted. Until then only we ask ourselves whether we could serve, which is nobody's business: it leaves no
    /// Record and is not counted.
    pub accepting: AtomicBool,
    /// Told when that begins.
    pub gate: tokio::sync::Notify,
    /// No new work; what runs may end.
    pub draining: AtomicBool,
    /// The time for that is over: what still runs is cut, and leaves its Record.
    pub stopping: AtomicBool,
    /// Whether another worker has taken over.
    pub retirement: Retirement,
    /// Told when draining or retiring begins.
    pub drain: tokio::sync::Notify,
    /// Connections of clients, in all threads.
    pub open: AtomicU64,
    /// Worker threads.
    pub threads: usize,
    /// Connections of clients that there are descriptors for, each with one to an origin beside it.
    pub room: u64,
    /// When descriptors ran out last, in milliseconds on the monotonic clock; 0 when they never did.
    pub ran_out: AtomicU64,
    /// What is kept of responses.
    pub cache: Arc<seawall_cache::cache::Cache>,
    /// What this edge was told beside documents.
    pub told: Told,
    /// Requests that were served of late.
    pub recent: Arc<Recent>,
    /// What went wrong by our doing.
    pub mishaps: Mishaps,
    /// What makes this location one of a fleet, where it is one.
    pub tier: Option<Arc<Tier>>,
    /// This installation's name in `CDN-Loop` (RFC 8586).
    pub node: Box<str>,
    /// Connections by client address, kept only where `connections_per_client` is set: a lock per connection, none per request.
    pub per_client: Mutex<HashMap<IpAddr, u32>>,
}

/// A client as connections are counted: an IPv6 client has a whole /64.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Shared {
    /// Counts one more connection of a client; false when it has `most` already.
    pub fn enter(&self, ip: IpAddr, most: u32) -> bool {
        let mut counts = self
            .per_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(counted_as(ip)).or_insert(0);
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, ip: IpAddr) {
        let mut counts = self
            .per_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let ip = counted_as(ip);
        if let Some(count) = counts.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&ip);
            }
        }
    }

    /// From now on clients are accepted.
    pub fn accept(&self) {
        self.accepting.store(true, Ordering::Release);
        self.gate.notify_waiters();
    }

    /// Waits until clients are accepted.
    pub async fn accepts(&self) {
        let mut told = std::pin::pin!(self.gate.notified());
        told.as_mut().enable();
        if !self.accepting.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Waits until draining begins.
    pub async fn drained(&self) {
        let mut told = std::pin::pin!(self.drain.notified());
        // Registered first: should draining begin between the two, it is seen by one of them.
        told.as_mut().enable();
        if !self.draining.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Notes that there was no descriptor for a connection.
    pub fn note_ran_out(&self) {
        self.ran_out.store(self.now().max(1), Ordering::Relaxed);
    }

    /// `then`, in microseconds on the monotonic clock.
    pub fn since(&self, then: Instant) -> u64 {
        let since = then.saturating_duration_since(self.zero);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    /// Milliseconds on the monotonic clock: what is counted by it may go to another process.
    pub fn now(&self) -> u64 {
        self.zero.elapsed().as_millis() as u64
    }
}

/// One request's heads: filled, used, cleared, lent to the next.
#[derive(Default)]
pub struct Scratch {
    /// What the client sent.
    pub request: RequestHead,
    /// All else.
    pub parts: Parts,
}

/// What an exchange works with beside the request's head, which nobody may change once it was admitted.
#[derive(Default)]
pub struct Parts {
    /// What the origin answered.
    pub response: ResponseHead,
    /// What we add to the request.
    pub to_origin: Fields,
    /// What we add to the response.
    pub to_client: Fields,
    /// What `Cache-Status` says; empty where the cache has nothing to do with the request.
    pub cache: Vec<u8>,
    /// `Seawall-Ray` as a line.
    pub ray_line: Vec<u8>,
    /// The same, and what else a parent is told.
    pub parent_lines: Vec<u8>,
    /// What the stages said. An upload and the response beside it both add to it.
    pub trail: RefCell<Trail>,
    /// The Record's `verdict`.
    pub verdict: String,
    /// The Record's `stages`.
    pub stages: String,
}

impl Parts {
    /// Writes down what the stages said, for the Record.
    #[inline]
    pub fn tell(&mut self) {
        let trail = self.trail.get_mut();
        if !trail.entries().is_empty() {
            trail.write_verdict(&mut self.verdict);
            trail.write_stages(&mut self.stages);
        }
    }

    #[inline]
    fn clear(&mut self) {
        self.response.clear();
        self.to_origin.clear();
        self.to_client.clear();
        self.cache.clear();
        let trail = self.trail.get_mut();
        if !trail.entries().is_empty() {
            self.verdict.clear();
            self.stages.clear();
        }
        trail.clear();
    }
}

/// One worker thread.
#[expect(
    clippy::vec_box,
    reason = "heads are large: they are taken and given as boxes"
)]
pub struct Thread {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its view of the configuration.
    pub snapshot: Reader,
    /// Its counters.
    pub shard: Shard,
    /// Its connections to origins.
    pub origins: OriginConnections,
    /// What zones hold of what this thread has.
    pub shares: Shares,
    log: RefCell<LogBuffer>,
    stamp: RefCell<Stamp>,
    rays: RefCell<Rays>,
    scratch: RefCell<Vec<Box<Scratch>>>,
    clients: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    /// Validations that nobody waits for.
    pub background: Cell<usize>,
    /// What to add to the monotonic microseconds to get those since 1970; renewed by ticks, so that a
    /// clock that is set right is followed.
    wall: Cell<u64>,
}

impl Thread {
    /// A thread with its shares of log and metrics, and a random seed of its own.
    pub fn new(shared: Arc<Shared>, shard: Shard, log: LogBuffer, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            snapshot: Reader::new(shared.slot.clone()),
            shared,
            shard,
            origins: OriginConnections::default(),
            shares: Shares::default(),
            log: RefCell::new(log),
            stamp: RefCell::new(Stamp::new()),
            rays: RefCell::new(Rays::new(seed)),
            scratch: RefCell::default(),
            clients: RefCell::default(),
            free: RefCell::default(),
            background: Cell::new(0),
            open: Cell::new(0),
            wall: Cell::new(0),
        })
    }

    /// An id for a request.
    pub fn next_ray(&self) -> Ray {
        self.rays.borrow_mut().next_ray()
    }

    /// Random bits, not secret.
    pub fn random(&self) -> u64 {
        self.rays.borrow_mut().next_ray().0
    }

    /// Heads for a request.
    pub fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes heads back.
    pub fn give_scratch(&self, mut scratch: Box<Scratch>) {
        let mut kept = self.scratch.borrow_mut();
        let large = scratch.request.fields.raw().len() + scratch.parts.response.fields.raw().len()
            > 32 * 1024;
        if kept.len() < KEEP_SCRATCH && !large {
            scratch.request.clear();
            scratch.parts.clear();
            kept.push(scratch);
        }
    }

    /// Writes a request's Record: its line and its counts.
    ///
    /// Where the log cannot keep up, each zone has its share of the lines that are still written.
    pub fn record(&self, record: &Record<'_>, zone: ZoneSlot, id: ZoneId) {
        if !self.shared.accepting.load(Ordering::Relaxed) {
            return;
        }
        self.shard.observe(record, zone);
        let mut log = self.log.borrow_mut();
        if log.is_pressed() && !self.shares.take_row(id) {
            return log.leave_out();
        }
        log.write(record, &mut self.stamp.borrow_mut());
    }

    /// The time as an HTTP-date (RFC 9110 §5.6.7).
    pub fn http_date(&self, unix_seconds: u64) -> [u8; 29] {
        *self.stamp.borrow_mut().http_date(unix_seconds)
    }

    /// The time as RFC 3339.
    pub fn rfc3339(&self, unix_us: u64) -> String {
        String::from_utf8_lossy(self.stamp.borrow_mut().rfc3339(unix_us)).into_owned()
    }

    /// Microseconds since 1970, from those on the monotonic clock ([`Shared::since`]) at a time that is not long ago.
    pub fn unix_us(&self, since: u64) -> u64 {
        self.wall.get() + since
    }

    /// The time, and the same in microseconds on the monotonic clock: one look at the clock, for those who need both.
    #[inline]
    pub fn clock(&self) -> (Instant, u64) {
        let since = monotonic_us();
        (self.shared.zero + Duration::from_micros(since), since)
    }

    /// Looks at the wall clock, and at what this thread has to share out.
    pub fn tick(&self) {
        let threads = self.shared.threads.max(1);
        let part = |whole: u64| usize::try_from(whole).unwrap_or(usize::MAX) / threads;
        let bounds = self.snapshot.with(|snapshot| Bounds {
            requests: part(snapshot.edge().requests_in_progress),
            connections: part(snapshot.edge().connections),
            body: part(snapshot.edge().body_memory),
            fuel: FUEL_PER_SECOND,
        });
        self.shares.set_bounds(bounds);
        self.shares.tick(self.shared.now() / 1_000);
        self.wall.set(unix_us().saturating_sub(monotonic_us()));
    }

    /// Tells the blame page that this thread runs.
    pub fn beat(&self) {
        blame::heartbeat(monotonic_us() / 1_000);
    }

    /// Hands aged log lines over.
    pub fn flush_log(&self) {
        self.log.borrow_mut().flush_if_older(unix_us());
    }

    /// Hands all log lines over.
    pub fn flush_log_now(&self) {
        self.log.borrow_mut().flush();
    }

    /// Whether clients are accepted.
    pub fn is_accepting(&self) -> bool {
        self.shared.accepting.load(Ordering::Relaxed)
    }

    /// Takes a client's connection, unless there are `most` already or there is no room. `counted` as in [`Thread::enter`].
    pub fn admit(self: &Rc<Self>, most: u64, counted: Option<IpAddr>) -> Option<Presence> {
        let open = self.shared.open.fetch_add(1, Ordering::Relaxed);
        let presence = self.enter(counted);
        if open >= most {
            self.shard.connection_refused("limit");
            self.snapshot.with(|live| {
                live.count_turned_away(|next, live| next.connections < live.connections)
            });
            return None;
        }
        if open >= self.shared.room {
            // One more would take the descriptor that a request needs to reach its origin.
            self.shard.connection_refused("descriptors");
            self.shared.note_ran_out();
            return None;
        }
        Some(presence)
    }

    /// Whether no new work is taken.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Whether no new connection is taken, because this worker ends or because another one has taken over.
    pub fn is_leaving(&self) -> bool {
        self.is_draining() || self.shared.is_retiring()
    }

    /// Whether what still runs is to be cut.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Clients' connections that this thread serves.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Registers a client's connection, so that draining can wake it.
    ///
    /// `counted` is its client's address where connections are counted per client.
    pub fn enter(self: &Rc<Self>, counted: Option<IpAddr>) -> Presence {
        self.open.set(self.open.get() + 1);
        let is_client = self.shared.accepting.load(Ordering::Relaxed);
        if is_client {
            self.shard.connection_accepted();
        }
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut clients = self.clients.borrow_mut();
            clients.push(None);
            clients.len() - 1
        });
        Presence {
            thread: self.clone(),
            place,
            counted,
            is_client,
        }
    }

    /// Wakes all clients' connections: the idle ones see that the thread drains.
    pub fn wake_all(&self) {
        for waker in self.clients.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }
}

/// A client's connection is there, until this is dropped.
pub struct Presence {
    thread: Rc<Thread>,
    place: usize,
    counted: Option<IpAddr>,
    is_client: bool,
}

impl Presence {
    /// Counts it as a connection of this address from now on; false when that has `most` already.
    pub fn count(&mut self, ip: IpAddr, most: u32) -> bool {
        let counts = self.counted.is_none() && self.thread.shared.enter(ip, most);
        if counts {
            self.counted = Some(ip);
        }
        counts
    }

    /// This task serves it.
    pub fn register(&self, waker: &Waker) {
        if let Some(place) = self.thread.clients.borrow_mut().get_mut(self.place) {
            *place = Some(waker.clone());
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(place) = self.thread.clients.borrow_mut().get_mut(self.place) {
            *place = None;
        }
        self.thread.free.borrow_mut().push(self.place);
        self.thread.open.set(self.thread.open.get() - 1);
        self.thread.shared.open.fetch_sub(1, Ordering::AcqRel);
        self.thread.shared.note_changed();
        if let Some(ip) = self.counted {
            self.thread.shared.leave(ip);
        }
        if self.is_client {
            self.thread.shard.connection_closed();
        }
    }
}

/// The zero of the monotonic clock, as near as two looks at it tell.
pub fn zero() -> Instant {
    let since = Duration::from_micros(monotonic_us());
    let now = Instant::now();
    now.checked_sub(since).unwrap_or(now)
}

/// Microseconds since 1970.
pub fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

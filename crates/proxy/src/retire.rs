//! A worker that another one has replaced leaves without a client noticing: what it has accepted is served to its end.
//!
//! Both workers hold the same listening sockets. The one that leaves closes its descriptors of them and never shuts a socket down,
//! so that connections which wait to be accepted are the other one's. Not here: draining, when nobody serves any more.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::thread::{Shared, Thread};

/// How long a connection without a request is kept for one more: a client that sends one before it sees the end of a
/// connection cannot know whether it was served (RFC 9112 §9.3.1).
pub const LAST_REQUEST: Duration = Duration::from_secs(5);

/// How far a worker is on its way out.
#[derive(Debug, Default)]
pub struct Retirement {
    begun: AtomicBool,
    /// Threads that accept no more.
    deaf: AtomicUsize,
    /// Connections that carry tunnels and nothing else.
    tunnels: AtomicU64,
    /// Told when it begins, and then whenever a connection ends or becomes a tunnel's alone.
    changed: Notify,
}

impl Shared {
    /// Another worker has taken over the listening sockets: this one accepts nobody any more and leaves once its last connection
    /// has ended. May be called more than once, from any thread.
    ///
    /// - What has been accepted is served. What still waits in a listening socket's queue is left to the other worker: the
    ///   descriptors are closed, the sockets, which both share, are not shut down.
    /// - HTTP/1: responses that begin from now on carry `Connection: close`. A connection without a request waits for one up to
    ///   [`LAST_REQUEST`], serves it, and ends with FIN and not with a reset.
    /// - HTTP/2: GOAWAY in two steps (RFC 9113 §6.8), the second one with the last stream a round trip later.
    /// - Tunnels go on until [`stop`](Self::stop).
    ///
    /// Draining, as after SIGTERM, is what happens where nobody takes over: it closes connections without a request at once,
    /// gives a head of which a part is here one second, refuses TLS handshakes, and says GOAWAY in one step. A worker that
    /// retires may be told to drain later.
    pub fn retire(&self) {
        self.retirement.begun.store(true, Ordering::Release);
        self.retirement.changed.notify_waiters();
        // Threads that only wait for draining look up too.
        self.drain.notify_waiters();
    }

    /// The time is over, whether this worker retired or drained: what still runs is cut, says so to its client, and leaves its
    /// Record. May be called more than once, from any thread.
    pub fn stop(&self) {
        self.draining.store(true, Ordering::Release);
        self.stopping.store(true, Ordering::Release);
        self.drain.notify_waiters();
        // Threads of a worker that retired serve what they have accepted, and wait for that to end.
        self.retirement.changed.notify_waiters();
    }

    /// Whether another worker has taken over.
    pub fn is_retiring(&self) -> bool {
        self.retirement.begun.load(Ordering::Relaxed)
    }

    /// Waits until the worker was told to leave, by retiring or by draining.
    pub async fn leaves(&self) {
        let leaves = || self.is_retiring() || self.draining.load(Ordering::Acquire);
        self.until(&self.drain, leaves).await;
    }

    /// Waits until the worker retires and no connection is left but those that carry tunnels alone. One of HTTP/2 counts as such
    /// while all its open streams are tunnels.
    pub async fn quiet(&self) {
        let quiet = || {
            let tunnels = self.retirement.tunnels.load(Ordering::Acquire);
            self.is_deaf() && self.open.load(Ordering::Acquire) <= tunnels
        };
        self.until(&self.retirement.changed, quiet).await;
    }

    /// Waits until the worker retires and no connection is left.
    pub async fn gone(&self) {
        let gone = || self.is_deaf() && self.open.load(Ordering::Acquire) == 0;
        self.until(&self.retirement.changed, gone).await;
    }

    async fn until(&self, changed: &Notify, is_so: impl Fn() -> bool) {
        loop {
            let mut told = std::pin::pin!(changed.notified());
            // Registered first: should it become so between the two, it is seen by one of them.
            told.as_mut().enable();
            if is_so() {
                return;
            }
            told.await;
        }
    }

    /// Whether no thread accepts any more.
    fn is_deaf(&self) -> bool {
        self.retirement.deaf.load(Ordering::Acquire) >= self.threads
    }

    /// A thread accepts nobody any more.
    pub(crate) fn note_deaf(&self) {
        self.retirement.deaf.fetch_add(1, Ordering::AcqRel);
        self.retirement.changed.notify_waiters();
    }

    /// A connection has ended, or has become a tunnel's alone.
    pub(crate) fn note_changed(&self) {
        if self.is_retiring() {
            self.retirement.changed.notify_waiters();
        }
    }
}

impl Thread {
    /// Serves what has been accepted, until the last connection has ended or draining begins.
    pub(crate) async fn serve_out(&self, mut tick: impl FnMut()) {
        let over = || self.open() == 0 || self.is_draining();
        let mut ticks = tokio::time::interval(crate::worker::TICK);
        while !over() {
            let mut told = std::pin::pin!(self.shared.retirement.changed.notified());
            told.as_mut().enable();
            if over() {
                return;
            }
            tokio::select! {
                _ = ticks.tick() => tick(),
                () = told => {}
            }
        }
    }
}

/// What one connection carries.
#[derive(Debug, Default)]
pub struct Load {
    exchanges: Cell<u32>,
    tunnels: Cell<u32>,
}

impl Load {
    /// One more exchange, until what is returned is dropped.
    #[inline]
    pub fn exchange<'l>(&'l self, thread: &'l Rc<Thread>) -> Carried<'l> {
        Carried::new(self, thread, &self.exchanges)
    }

    /// One of the exchanges has become a tunnel, until what is returned is dropped.
    pub fn tunnel<'l>(&'l self, thread: &'l Rc<Thread>) -> Carried<'l> {
        Carried::new(self, thread, &self.tunnels)
    }

    fn is_tunnels_alone(&self) -> bool {
        self.tunnels.get() > 0 && self.tunnels.get() == self.exchanges.get()
    }

    #[inline]
    fn change(&self, thread: &Thread, which: &Cell<u32>, to: u32) {
        if self.tunnels.get() == 0 && std::ptr::eq(which, &raw const self.exchanges) {
            which.set(to);
        } else {
            self.change_slowly(&thread.shared, which, to);
        }
    }

    #[cold]
    fn change_slowly(&self, shared: &Shared, which: &Cell<u32>, to: u32) {
        let before = self.is_tunnels_alone();
        which.set(to);
        match (before, self.is_tunnels_alone()) {
            (false, true) => shared.retirement.tunnels.fetch_add(1, Ordering::AcqRel),
            (true, false) => shared.retirement.tunnels.fetch_sub(1, Ordering::AcqRel),
            _ => return,
        };
        shared.note_changed();
    }
}

/// Something that a connection carries, until this is dropped.
pub struct Carried<'l> {
    load: &'l Load,
    thread: &'l Rc<Thread>,
    which: &'l Cell<u32>,
}

impl<'l> Carried<'l> {
    #[inline]
    fn new(load: &'l Load, thread: &'l Rc<Thread>, which: &'l Cell<u32>) -> Self {
        load.change(thread, which, which.get() + 1);
        Self {
            load,
            thread,
            which,
        }
    }
}

impl Drop for Carried<'_> {
    #[inline]
    fn drop(&mut self) {
        let less = self.which.get().saturating_sub(1);
        self.load.change(self.thread, self.which, less);
    }
}

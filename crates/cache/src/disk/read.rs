//! Reading what lies on disk: at once where the system has it in memory, else by a few threads that may wait.
//!
//! Whoever looks leaves a waker, and may leave at any time: a disk that hangs holds nobody but the threads that read. Who looks for
//! what is being read already waits with the others.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use seawall_model::{Fields, RequestHead};

use super::format::{Meta, Place};
use super::index::Location;
use super::{Disk, count, record};
use crate::cache::Cache;
use crate::key::Key;
use crate::memory::{Body, Entry, Piece};
use crate::policy::{Kept, tags};

/// Up to so many bytes are read where they are asked for, if they are in memory.
const AT_ONCE: u32 = 64 * 1024;
/// Threads that read.
const THREADS: usize = 4;
/// Reads that wait for one of them.
const WAITING: usize = 256;
/// Bytes that are being read.
const BYTES: u64 = 64 << 20;

/// It is not in the system's memory.
struct Away;

/// A response, as it lay there.
#[derive(Debug)]
pub(super) struct Loaded {
    key: Box<[u8]>,
    entry: Arc<Entry>,
}

/// What came of reading; none inside: nothing that can be used.
type Came = Option<Arc<Loaded>>;

/// One record that is being read.
#[derive(Debug, Default)]
pub(super) struct Read {
    state: Mutex<(Option<Came>, Vec<Waker>)>,
}

impl Read {
    fn state(&self) -> MutexGuard<'_, (Option<Came>, Vec<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Came> {
        let mut state = self.state();
        if let Some(came) = &state.0 {
            return Poll::Ready(came.clone());
        }
        if !state.1.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.1.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn end(&self, came: Came) {
        let mut state = self.state();
        state.0 = Some(came);
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Who looks for a response on disk.
#[derive(Debug)]
pub struct Reading {
    cache: Arc<Cache>,
    disk: Arc<Disk>,
    key: Arc<Key>,
    url: u64,
    /// Where it may be, the latest last.
    places: Vec<Location>,
    now: Option<(Location, Arc<Read>)>,
    /// The number of purges when it was looked up.
    looked: u64,
}

impl Disk {
    /// Looks something up; none where it is not here.
    pub(crate) fn look(self: &Arc<Self>, cache: &Arc<Cache>, key: &Arc<Key>) -> Option<Reading> {
        if !self.serves() {
            return None;
        }
        let opened = self.opened()?;
        let (url, of_key) = opened.of_key(key);
        let looking = self.looking.read().unwrap_or_else(PoisonError::into_inner);
        let looked = cache.begun();
        let mut places = self.index(|index| index.find(url, of_key));
        drop(looking);
        places.reverse();
        (!places.is_empty()).then(|| Reading {
            cache: Arc::clone(cache),
            disk: Arc::clone(self),
            key: Arc::clone(key),
            url,
            places,
            now: None,
            looked,
        })
    }

    /// A record, if it is what was written; else it is forgotten.
    fn loaded<E>(
        &self,
        cache: &Cache,
        url: u64,
        at: Location,
        read: impl for<'b> FnMut(&'b mut [MaybeUninit<u8>], u64) -> Result<&'b mut [u8], E>,
    ) -> Result<Came, E> {
        let found = match self.opened() {
            None => None,
            Some(opened) => {
                let place = Place {
                    store: opened.store,
                    segment: at.segment,
                    offset: at.offset,
                };
                record::read(place, at.length, read)?
            }
        };
        Ok(match found {
            Some((meta, pieces)) => {
                count(&self.counts.read);
                Some(Arc::new(found_in(cache, meta, &pieces, at)))
            }
            None => {
                count(&self.counts.bad);
                self.index(|index| index.remove_at(url, at));
                None
            }
        })
    }

    fn is_there(&self, url: u64, at: Location) -> bool {
        self.index(|index| index.look(url, at).is_some())
    }

    /// Whether a response lies where it was read from still, and nothing waits to be written in its place. Where this is not sure it
    /// is false: what is being written is in no list.
    pub(crate) fn still_has(&self, key: &Key, entry: &Entry) -> bool {
        let (Some(at), true) = (entry.read_from, self.serves()) else {
            return false;
        };
        let waits = {
            let queue = self.queue();
            let mut offers = queue.offers.iter();
            !queue.writes.is_empty() || offers.any(|offer| offer.key.bytes == key.bytes)
        };
        let opened = self.opened().filter(|_| !waits);
        opened.is_some_and(|opened| self.is_there(opened.of_key(key).0, at))
    }
}

/// The response that a record holds.
fn found_in(cache: &Cache, meta: Meta, pieces: &[Piece], at: Location) -> Loaded {
    let mut fields = Fields::default();
    meta.head.fill_fields(&mut fields);
    let (host, target) = (&meta.host, &meta.target);
    let stamp = cache
        .purges()
        .stamp(meta.zone, meta.begun, host, target, tags(&fields));
    if let Some(at) = meta.outdated {
        stamp.outdate(at);
    }
    let kept = Kept {
        head: meta.head,
        life: meta.life,
        vary: meta.vary,
    };
    let body = match meta.sliced {
        None => cache.body(meta.zone, pieces),
        Some((sliced, length)) => Body::in_slices(sliced, length),
    };
    let mut entry = Entry::new(kept, meta.selecting, body, stamp, meta.rules);
    entry.read_from = Some(at);
    entry.offered.store(true, Ordering::Relaxed);
    Loaded {
        key: meta.key,
        entry: Arc::new(entry),
    }
}

impl Reading {
    /// Begins to read a record, or joins who does; none where too much is read.
    fn begin(&self, at: Location) -> Option<Arc<Read>> {
        let (disk, cache) = (&self.disk, &self.cache);
        let mut reads = disk.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = reads.get(&at) {
            return Some(Arc::clone(read));
        }
        if !cache.holds_more(self.key.zone, at.length as usize) {
            count(&disk.counts.refused_reads);
            return None;
        }
        let read = Arc::new(Read::default());
        if at.length <= AT_ONCE
            && let Some(segment) = disk.segment(at.segment)
            && let Ok(came) = disk.loaded(cache, self.url, at, |into, offset| {
                disk.io.read_now(&segment.file, into, offset).ok_or(Away)
            })
        {
            drop(reads);
            read.end(came);
            return Some(read);
        }
        let job = Job {
            disk: Arc::clone(disk),
            cache: Arc::clone(cache),
            url: self.url,
            at,
            read: Arc::clone(&read),
        };
        if !disk.pool.push(job) {
            count(&disk.counts.refused_reads);
            return None;
        }
        reads.insert(at, Arc::clone(&read));
        Some(read)
    }

    /// The response for this request, once it is read; it is in memory then. None: it is not here, or cannot be used.
    pub fn poll(
        &mut self,
        request: &RequestHead,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Arc<Entry>>> {
        loop {
            let (at, read) = match self.now.take() {
                Some(now) => now,
                None => {
                    let Some(at) = self.places.pop() else {
                        return Poll::Ready(None);
                    };
                    match self.begin(at) {
                        Some(read) => (at, read),
                        None => continue,
                    }
                }
            };
            let Poll::Ready(came) = read.poll(cx) else {
                self.now = Some((at, read));
                return Poll::Pending;
            };
            let Some(loaded) = came else {
                continue;
            };
            let is_it = loaded.key == self.key.bytes
                && loaded.entry.selects(request)
                && self.disk.is_there(self.url, at);
            if is_it
                && let Some(entry) = self
                    .cache
                    .found_on_disk(&self.key, &loaded.entry, self.looked)
            {
                return Poll::Ready(Some(entry));
            }
        }
    }
}

/// A record that is to be read.
#[derive(Debug)]
struct Job {
    disk: Arc<Disk>,
    cache: Arc<Cache>,
    url: u64,
    at: Location,
    read: Arc<Read>,
}

impl Job {
    fn run(self) {
        let Self {
            disk,
            cache,
            url,
            at,
            read,
        } = self;
        let segment = disk.segment(at.segment);
        let done = segment.map(|segment| {
            disk.loaded(&cache, url, at, |into, offset| {
                disk.io.read_new(&segment.file, into, offset)
            })
        });
        let came = match done {
            Some(Ok(came)) => came,
            // The segment has gone meanwhile.
            None => None,
            Some(Err(error)) => {
                disk.failed("reading the cache", error);
                None
            }
        };
        disk.reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&at);
        read.end(came);
    }
}

/// The threads that read.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<Waits>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waits {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Bytes that wait or are being read.
    bytes: u64,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, Waits> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a thread something to read; false where too much waits.
    fn push(self: &Arc<Self>, job: Job) -> bool {
        let mut state = self.state();
        let bytes = u64::from(job.at.length);
        if state.jobs.len() >= WAITING || state.bytes + bytes > BYTES {
            return false;
        }
        state.bytes += bytes;
        state.jobs.push_back(job);
        if state.idle == 0 && state.threads < THREADS {
            let pool = Arc::clone(self);
            let thread = std::thread::Builder::new().name("cache-read".into());
            if thread.spawn(move || pool.run()).is_ok() {
                state.threads += 1;
            }
        }
        let is_done = state.threads > 0;
        if !is_done {
            state.bytes -= bytes;
            state.jobs.pop_back();
        }
        self.changed.notify_one();
        is_done
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                let bytes = u64::from(job.at.length);
                job.run();
                state = self.state();
                state.bytes = state.bytes.saturating_sub(bytes);
                continue;
            }
            // Who has nothing to do for a while ends; the next job begins another one.
            state.idle += 1;
            let waited = self
                .changed
                .wait_timeout(state, std::time::Duration::from_secs(10));
            let (held, timed) = waited.unwrap_or_else(PoisonError::into_inner);
            state = held;
            state.idle -= 1;
            if timed.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

//! Reading what lies on disk: at once where the system has it in memory, else by a few threads that may wait.
//!
//! Whoever looks leaves a waker, and may leave at any time: a disk that hangs holds nobody but the threads that read. Who looks for
//! what is being read already waits with the others.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use seawall_model::{Fields, RequestHead};

use super::format::{self, HEADER, Header, Kind, Place};
use super::index::Location;
use super::{Disk, count};
use crate::cache::Cache;
use crate::key::Key;
use crate::memory::{Body, Entry, PIECE, Piece};
use crate::policy::{Kept, tags};

/// Up to so many bytes are read where they are asked for, if they are in memory.
const AT_ONCE: u32 = 64 * 1024;
/// Bytes that are read first: of most small responses all.
const FRONT: usize = 4 * 1024;
/// Threads that read.
const THREADS: usize = 4;
/// Reads that wait for one of them.
const WAITING: usize = 256;
/// Bytes that are being read.
const BYTES: u64 = 64 << 20;

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

    fn begin(self: &Arc<Self>, cache: &Arc<Cache>, url: u64, at: Location) -> Option<Arc<Read>> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = reads.get(&at) {
            return Some(Arc::clone(read));
        }
        let read = Arc::new(Read::default());
        if at.length <= AT_ONCE
            && let Some(segment) = self.segment(at.segment)
        {
            let mut now = |into: &mut [u8], at| match self.io.read_now(&segment.file, into, at) {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
            if let Ok(loaded) = self.record(cache, at, &mut now) {
                drop(reads);
                read.end(self.loaded(url, at, loaded));
                return Some(read);
            }
        }
        let job = Job {
            disk: Arc::clone(self),
            cache: Arc::clone(cache),
            url,
            at,
            read: Arc::clone(&read),
        };
        if !self.pool.push(job) {
            count(&self.counts.refused_reads);
            return None;
        }
        reads.insert(at, Arc::clone(&read));
        Some(read)
    }

    /// Reads a record; none inside: it is not what was written.
    fn record(&self, cache: &Cache, at: Location, read: ReadAt<'_>) -> io::Result<Option<Loaded>> {
        let Some(opened) = self.opened() else {
            return Ok(None);
        };
        let place = Place {
            store: opened.store,
            segment: at.segment,
            offset: at.offset,
        };
        let Some((meta, body)) = front(place, at.length, read)? else {
            return Ok(None);
        };
        let start = u64::from(at.offset) + u64::from(at.length) - body.left;
        let pieces = pieces(&meta.slices, &body, start, read)?;
        Ok(pieces.map(|pieces| decoded(cache, meta, &pieces)))
    }

    /// A record, if it is what was written; else it is forgotten.
    fn loaded(&self, url: u64, at: Location, found: Option<Loaded>) -> Came {
        match found {
            Some(loaded) => {
                count(&self.counts.read);
                Some(Arc::new(loaded))
            }
            None => {
                count(&self.counts.bad);
                self.index(|index| index.remove_at(url, at));
                None
            }
        }
    }

    fn is_there(&self, url: u64, at: Location) -> bool {
        self.index(|index| index.look(url, at).is_some())
    }
}

/// Fills a buffer from a place of a segment.
type ReadAt<'r> = &'r mut dyn FnMut(&mut [u8], u64) -> io::Result<()>;

/// A body, as far as it was read with what lies before it.
struct Begun {
    bytes: Vec<u8>,
    /// Where in `bytes` it begins.
    from: usize,
    /// Bytes of it that were not read.
    left: u64,
}

/// What is to be known of a record of `length` bytes, and how its body begins; none where it is not what was written.
fn front(place: Place, length: u32, read: ReadAt<'_>) -> io::Result<Option<(format::Meta, Begun)>> {
    let offset = u64::from(place.offset);
    let mut bytes = vec![0; (length as usize).min(FRONT)];
    read(&mut bytes, offset)?;
    let is_it =
        |header: &Header| header.kind == Kind::Response && header.length() == u64::from(length);
    let Some(header) = Header::read(place, &bytes).filter(is_it) else {
        return Ok(None);
    };
    let (here, from) = (bytes.len(), HEADER + header.meta as usize);
    if header.meta as usize > format::MOST_META {
        return Ok(None);
    }
    if from > here {
        bytes.resize(from, 0);
        let rest = bytes.get_mut(here..).unwrap_or_default();
        read(rest, offset + here as u64)?;
    }
    let meta = bytes.get(HEADER..from).unwrap_or_default();
    if format::crc(meta) != header.meta_crc {
        return Ok(None);
    }
    let left = u64::from(length) - bytes.len() as u64;
    Ok(format::meta(meta).map(|meta| (meta, Begun { bytes, from, left })))
}

/// The pieces of a body, what is left of which lies at `start`; each is read where it stays, and looked at while it is in the
/// processor's cache. None where one is not what was written.
fn pieces(
    known: &[u64],
    begun: &Begun,
    mut start: u64,
    read: ReadAt<'_>,
) -> io::Result<Option<Vec<Piece>>> {
    const { assert!(PIECE == format::SLICE, "a piece has one checksum") };
    let mut front = begun.bytes.get(begun.from..).unwrap_or_default();
    let mut left = front.len() as u64 + begun.left;
    let mut pieces = Vec::with_capacity(known.len());
    for checksum in known {
        let length = left.min(PIECE as u64) as usize;
        // SAFETY: bytes may be zero.
        let mut piece: Piece = unsafe { Arc::new_zeroed_slice(length).assume_init() };
        let here = front.len().min(length);
        let (first, later) = front.split_at_checked(here).unwrap_or_default();
        front = later;
        // Nobody else has it yet.
        let Some((there, rest)) =
            Arc::get_mut(&mut piece).and_then(|all| all.split_at_mut_checked(here))
        else {
            return Ok(None);
        };
        there.copy_from_slice(first);
        if !rest.is_empty() {
            read(rest, start)?;
        }
        start += rest.len() as u64;
        left -= length as u64;
        if length == 0 || format::crc(&piece) != *checksum {
            return Ok(None);
        }
        pieces.push(piece);
    }
    Ok((left == 0).then_some(pieces))
}

fn decoded(cache: &Cache, meta: format::Meta, pieces: &[Piece]) -> Loaded {
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
        None => Body::new(pieces),
        Some((sliced, length)) => Body::in_slices(sliced, length),
    };
    let entry = Entry::new(kept, meta.selecting, body, stamp, meta.rules);
    entry.offered.store(true, Ordering::Relaxed);
    Loaded {
        key: meta.key,
        entry: Arc::new(entry),
    }
}

impl Reading {
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
                    match self.disk.begin(&self.cache, self.url, at) {
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
        let done = disk.segment(at.segment).map(|segment| {
            let file = &segment.file;
            disk.io.expect(file, u64::from(at.offset), at.length);
            let mut read = |into: &mut [u8], at| disk.io.read(file, into, at);
            disk.record(&cache, at, &mut read)
        });
        let came = match done {
            Some(Ok(found)) => disk.loaded(url, at, found),
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

//! The disk tier: whole responses in segments, which outlive the process.
//!
//! One thread writes, in batches, to the end of the youngest segment; others read, where the system has not in memory already what is
//! asked for. Nobody else waits: what there is no room for in the queue is refused, and counted. A segment that is full ends with a list
//! of what is in it, by which the index is built at a start; of the one that was not full only headers are read. The oldest segment goes
//! when there is no room, but for what of it was asked for meanwhile, which is written anew.
//!
//! A record is looked at before it is served: its key, its checksums, the purges that came since. What is wrong is a miss. A disk that
//! is full, fails or hangs costs its hits, and nothing else.
//!
//! What was purged stays so: purges of a URL are records behind what they purge, the others a journal. Not here: what may be stored
//! and served (`policy`), who fetches (`fill`).

mod folder;
mod format;
mod index;
mod io;
mod journal;
mod read;
mod record;
mod recover;
mod settling;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::hash::Hasher;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use crate::cache::Cache;
use crate::key::Key;
use crate::memory::Entry;
use format::{Kind, Name};
use index::Index;
pub(crate) use index::Location;
use io::{Io, Real};
pub(crate) use journal::Purged;
pub use read::Reading;
use read::{Pool, Read};
pub use settling::Settling;

/// The least bytes of the tier: some segments of the least size.
pub const LEAST: u64 = 8 * SEGMENT.0;
/// The least and the most bytes of a segment.
const SEGMENT: (u64, u64) = (16 << 20, 256 << 20);
/// Segments that a full tier has, about.
const SEGMENTS: u64 = 64;
/// Bytes that wait to be written.
const WAITING: usize = 32 << 20;
/// Removals and purges that wait to be written; where they are more, all is dropped.
const MOST_GONE: usize = 16_384;

/// What the tier may take, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its folder, which is its own.
    pub folder: PathBuf,
    /// Bytes of all segments; at least [`LEAST`].
    pub bytes: u64,
    /// Of a hundred, what one zone may have at most.
    pub zone_share: u8,
}

/// What it has counted since the process began, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The index is loaded: it is read and written.
    pub serves: bool,
    /// Responses in it.
    pub entries: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Bytes of memory of its index.
    pub index_bytes: u64,
    /// Responses that were written.
    pub written: u64,
    /// Responses that were read.
    pub read: u64,
    /// Not written: too many waited.
    pub refused_full: u64,
    /// Not written: the disk had just said no.
    pub refused_failing: u64,
    /// Not written: its zone has its share.
    pub refused_share: u64,
    /// Not read: too many waited.
    pub refused_reads: u64,
    /// Records that were not what had been written.
    pub bad: u64,
    /// Times that the disk said no.
    pub failures: u64,
    /// Why it wrote nothing the last time; none where it did.
    pub ails: Option<Ails>,
}

/// Why a disk writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ails {
    /// There is no room on it, or no more of somebody's quota.
    Full,
    /// Something else.
    Fails,
}

impl Ails {
    fn of(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Fails,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    refused_full: AtomicU64,
    refused_failing: AtomicU64,
    refused_share: AtomicU64,
    refused_reads: AtomicU64,
    bad: AtomicU64,
    failures: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// It has nothing to do with the disk, or not yet.
const AWAY: u8 = 0;
/// The index is being loaded.
const LOADS: u8 = 1;
/// It is read and written.
const SERVES: u8 = 2;

/// What is known once the folder is open.
#[derive(Clone, Copy, Debug)]
struct Opened {
    store: u64,
    keys: (u64, u64),
}

impl Opened {
    fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }

    fn url(&self, zone: u64, host: &[u8], target: &[u8]) -> u64 {
        self.hash(&[&zone.to_le_bytes(), host, target])
    }

    fn of_key(&self, key: &Key) -> (u64, u32) {
        let url = self.url(key.zone, &key.host, &key.target);
        (url, self.hash(&[&key.bytes]) as u32)
    }

    fn name(&self, key: &Key, entry: &Entry) -> Name {
        let (url, of_key) = self.of_key(key);
        let names: Vec<&[u8]> = entry.vary.names().collect();
        Name {
            url,
            key: of_key,
            variant: self.hash(&[&names.join(&b','), &entry.selecting]) as u32,
            zone: key.zone,
        }
    }
}

/// A file of responses.
#[derive(Debug)]
struct Segment {
    file: File,
}

/// A response that is to be written.
#[derive(Debug)]
struct Offer {
    key: Arc<Key>,
    entry: Arc<Entry>,
}

impl Offer {
    fn bytes(&self) -> usize {
        1_024 + self.key.bytes.len() + self.entry.head.raw().len() + self.entry.body.here() as usize
    }
}

/// What is gone.
#[derive(Clone, Debug)]
enum Gone {
    Url {
        zone: u64,
        host: Box<[u8]>,
        target: Box<[u8]>,
    },
    Key(Arc<Key>),
}

impl Gone {
    fn is(&self, key: &Key) -> bool {
        match self {
            Self::Url { zone, host, target } => {
                (*zone, host, target) == (key.zone, &key.host, &key.target)
            }
            Self::Key(gone) => gone.bytes == key.bytes,
        }
    }

    fn name(&self, opened: &Opened) -> (Kind, Name) {
        let name = |url, key, zone| Name {
            url,
            key,
            variant: 0,
            zone,
        };
        match self {
            Self::Url { zone, host, target } => (
                Kind::UrlGone,
                name(opened.url(*zone, host, target), 0, *zone),
            ),
            Self::Key(key) => {
                let (url, of_key) = opened.of_key(key);
                (Kind::KeyGone, name(url, of_key, key.zone))
            }
        }
    }
}

/// What waits for the thread that writes.
#[derive(Debug, Default)]
struct Queue {
    offers: VecDeque<Offer>,
    bytes: usize,
    gone: Vec<Gone>,
    purges: Vec<Purged>,
    /// There was no room for what is gone: everything is.
    all_gone: bool,
    /// The number of what was noted last, a removal or a purge.
    noted: u64,
    /// Up to this number all are on disk.
    settled: u64,
    /// Who waits, each until that is so of a number.
    waiting: Vec<(u64, Waker)>,
    /// Somebody waited in vain.
    is_slow: bool,
    closes: bool,
    /// What is being written, which is in the index only afterwards.
    writes: Vec<Arc<Key>>,
    /// A thread writes.
    runs: bool,
}

/// The tier.
#[derive(Debug)]
pub struct Disk {
    settings: Settings,
    segment: u64,
    io: Arc<dyn Io>,
    phase: AtomicU8,
    opened: RwLock<Option<Opened>>,
    index: RwLock<Index>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Held while something is looked up, and as a whole while a URL is purged: who looks sees it before or after.
    looking: RwLock<()>,
    reads: Mutex<HashMap<Location, Arc<Read>>>,
    pool: Arc<Pool>,
    /// The oldest has gone for the youngest: from now on what is asked for once is not written.
    is_full: AtomicBool,
    counts: Counts,
    /// What the disk said last.
    trouble: Mutex<Option<String>>,
    /// Why it wrote nothing the last time.
    ails: Mutex<Option<Ails>>,
}

impl Disk {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let bytes = settings.bytes.max(LEAST);
        let segment = (bytes / SEGMENTS).clamp(SEGMENT.0, SEGMENT.1);
        Self::with(Settings { bytes, ..settings }, segment, Arc::new(Real))
    }

    fn with(settings: Settings, segment: u64, io: Arc<dyn Io>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            segment,
            io,
            phase: AtomicU8::new(AWAY),
            opened: RwLock::default(),
            index: RwLock::default(),
            segments: RwLock::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
            looking: RwLock::default(),
            reads: Mutex::default(),
            pool: Arc::default(),
            is_full: AtomicBool::new(false),
            counts: Counts::default(),
            trouble: Mutex::default(),
            ails: Mutex::default(),
        })
    }

    /// Begins to use the disk, unless it does: with a thread of its own, which loads what is there first.
    pub(crate) fn start(self: &Arc<Self>, cache: Weak<Cache>) {
        let mut queue = self.queue();
        queue.closes = false;
        if std::mem::replace(&mut queue.runs, true) {
            return;
        }
        drop(queue);
        let disk = Arc::clone(self);
        let thread = std::thread::Builder::new().name("cache-disk".into());
        if let Err(error) = thread.spawn(move || writer::run(&disk, &cache)) {
            self.failed("no thread for the disk", error);
            self.queue().runs = false;
        }
    }

    /// Ends using it: what waits is written, and another process may have it. Waits so long at most; whether it is done.
    pub(crate) fn close(&self, within: Duration) -> bool {
        let due = Instant::now() + within;
        let mut queue = self.queue();
        queue.closes = true;
        self.changed.notify_all();
        while queue.runs {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, why: impl std::fmt::Display) {
        count(&self.counts.failures);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some(format!("{what}: {why}"));
    }

    /// Nothing is served from it, nor written there, for the time being.
    fn cannot_open(&self, what: &str, error: &std::io::Error) {
        self.wrote(Err(error));
        self.failed(what, error);
    }

    /// What went wrong since this was asked last, the latest of it.
    pub(crate) fn trouble(&self) -> Option<String> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take()
    }

    /// How writing went.
    fn wrote(&self, went: Result<(), &std::io::Error>) {
        let mut ails = self.ails.lock().unwrap_or_else(PoisonError::into_inner);
        *ails = went.err().map(Ails::of);
    }

    fn opened(&self) -> Option<Opened> {
        *self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn serves(&self) -> bool {
        self.phase.load(Ordering::Acquire) == SERVES
    }

    fn index<T>(&self, with: impl FnOnce(&Index) -> T) -> T {
        with(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(&id).map(Arc::clone)
    }

    /// Whether a response that was asked for so often is to be written.
    pub(crate) fn wants(&self, frequency: u64) -> bool {
        self.serves() && (frequency > 1 || !self.is_full.load(Ordering::Relaxed))
    }

    /// Takes a response to be written; false where there is no room for it, or its zone has its share.
    pub(crate) fn offer(&self, key: &Arc<Key>, entry: &Arc<Entry>) -> bool {
        let offer = Offer {
            key: Arc::clone(key),
            entry: Arc::clone(entry),
        };
        let bytes = offer.bytes();
        let share = self.settings.bytes / 100 * u64::from(self.settings.zone_share.min(100));
        if self.index(|index| index.bytes_of(key.zone)) + bytes as u64 > share {
            count(&self.counts.refused_share);
            return false;
        }
        let mut queue = self.queue();
        if !queue.runs || queue.closes || bytes as u64 > self.segment / 2 {
            return false;
        }
        if queue.bytes + bytes > WAITING {
            count(&self.counts.refused_full);
            return false;
        }
        queue.bytes += bytes;
        queue.offers.push_back(offer);
        self.changed.notify_all();
        true
    }

    /// All of a URL is gone; the number of that, where anything may be there. Called with [`Disk::looking`] held as a whole.
    fn url_gone(&self, zone: u64, host: &[u8], target: &[u8]) -> Option<u64> {
        let is_it = |key: &Key| (key.zone, &*key.host, &*key.target) == (zone, host, target);
        let has = |opened: Opened| {
            let url = opened.url(zone, host, target);
            self.index(|index| index.has_url(url))
        };
        self.may_have(has, is_it).then(|| {
            self.gone(Gone::Url {
                zone,
                host: host.into(),
                target: target.into(),
            })
        })
    }

    /// Whether something is there that the index has or that waits to be written: nothing need be written down of what is not.
    fn may_have(&self, has: impl Fn(Opened) -> bool, is_it: impl Fn(&Key) -> bool) -> bool {
        // While it is loaded nobody knows; before, another process may have it.
        if !self.serves() {
            return true;
        }
        let waits = || {
            let queue = self.queue();
            let mut offers = queue.offers.iter();
            offers.any(|offer| is_it(&offer.key)) || queue.writes.iter().any(|key| is_it(key))
        };
        waits() || self.opened().is_none_or(has)
    }

    /// Purges a URL by `purge` in memory, and here; nobody looks meanwhile. Its number, where anything may be there.
    pub(crate) fn while_nobody_looks(
        &self,
        zone: u64,
        host: &[u8],
        target: &[u8],
        purge: impl FnOnce(),
    ) -> Option<u64> {
        let _alone = self.looking.write().unwrap_or_else(PoisonError::into_inner);
        purge();
        self.url_gone(
            zone,
            &host.to_ascii_lowercase(),
            &crate::key::normal(target),
        )
    }

    /// All of a key is gone.
    pub(crate) fn key_gone(&self, key: &Arc<Key>) {
        self.gone(Gone::Key(Arc::clone(key)));
    }

    /// The same, where anything of it is there or waits to be: nothing is written down otherwise.
    pub(crate) fn key_gone_if_there(&self, key: &Arc<Key>) {
        let has = |opened: Opened| {
            let (url, of_key) = opened.of_key(key);
            self.index(|index| index.has(url, of_key))
        };
        if self.may_have(has, |other| other.bytes == key.bytes) {
            self.key_gone(key);
        }
    }

    fn gone(&self, gone: Gone) -> u64 {
        if let Some(opened) = self.opened() {
            self.remove(&opened, &gone);
        }
        let mut queue = self.queue();
        let number = queue.note();
        if !queue.runs {
            return number;
        }
        let mut bytes = 0;
        queue.offers.retain(|offer| {
            let stays = !gone.is(&offer.key);
            bytes += if stays { 0 } else { offer.bytes() };
            stays
        });
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if queue.gone.len() >= MOST_GONE {
            queue.all_gone = true;
            queue.gone.clear();
        }
        queue.gone.push(gone);
        self.changed.notify_all();
        number
    }

    fn remove(&self, opened: &Opened, gone: &Gone) {
        let (kind, name) = gone.name(opened);
        self.index(|index| match kind {
            Kind::KeyGone => index.remove_key(name.url, name.key),
            _ => index.remove_url(name.url),
        });
    }

    /// A purge is to outlive the process; the number for [`Disk::has_settled`].
    pub(crate) fn journal(&self, purged: Purged) -> u64 {
        let mut queue = self.queue();
        let number = queue.note();
        if !queue.runs {
            return number;
        }
        if queue.purges.len() >= MOST_GONE {
            queue.all_gone = true;
            queue.purges.clear();
        }
        queue.purges.push(purged);
        self.changed.notify_all();
        number
    }

    /// How it stands.
    pub fn told(&self) -> Told {
        let (entries, index_bytes) = self.index(Index::size);
        let counts = &self.counts;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Told {
            serves: self.serves(),
            entries: entries as u64,
            index_bytes: index_bytes as u64,
            bytes: of(&counts.bytes),
            written: of(&counts.written),
            read: of(&counts.read),
            refused_full: of(&counts.refused_full),
            refused_failing: of(&counts.refused_failing),
            refused_share: of(&counts.refused_share),
            refused_reads: of(&counts.refused_reads),
            bad: of(&counts.bad),
            failures: of(&counts.failures),
            ails: *self.ails.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

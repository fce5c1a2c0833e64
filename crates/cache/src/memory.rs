//! The memory tier: whole responses, in shards under a short lock each.
//!
//! A URL has its shard by a hash that is keyed anew in each process, so that nobody can aim at one. All of a URL is found there
//! together, whatever else its keys are made of: that is what purging it takes out, and what its bound on variants counts. Not here:
//! whether a response may be used (`policy`), who fetches it (`fill`).

mod entry;
mod hints;
mod lists;
mod packed;
mod shard;
mod sketch;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use seawall_model::RequestHead;

pub use entry::{Body, Entry, PIECE, Piece};
use hints::Hints;
pub use hints::Needs;
pub use packed::{CODINGS, Made, Packed};
use shard::{Bounds, Shard};
pub use shard::{MOST_VARIANTS, Outside};

use crate::fill::Fill;
use crate::key::Key;
use crate::policy::{Time, Vary};
use crate::purge::Purges;

/// What the memory tier may take.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of all, tables included, about.
    pub bytes: usize,
    /// Of a hundred, what one zone may have at most.
    pub zone_share: u8,
}

/// The least bytes of a shard: what is stored must fit into one.
const SHARD: usize = 32 * 1024 * 1024;
/// The most shards.
const MOST_SHARDS: usize = 64;
/// Purges of single URLs that a shard remembers, for what was on its way then.
const RECENT: usize = 1_024;
/// Keys whose responses could not be stored, that a shard remembers.
const HOPELESS: usize = 4_096;

/// The hash of something hashed already.
pub(crate) type Plain = BuildHasherDefault<Same>;

/// Hands a hash on.
#[derive(Debug, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A response and its number in its shard.
type Stored = (u32, Arc<Entry>);

/// The key of all hashes of places, made anew in each process.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Where a key is, once somebody has asked. What is known of it says nothing of the key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed(OnceLock<Place>);

impl PartialEq for Placed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Placed {}

/// Where a key is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Of its zone, host and target.
    pub(crate) url: u64,
    /// Of all of it.
    pub(crate) key: u64,
}

/// A shard, and what belongs to its URLs beside what is stored.
#[derive(Debug)]
pub(crate) struct Part {
    shard: Shard,
    /// Fills on their way, by URL, each with its key.
    pub(crate) fills: HashMap<u64, Vec<Arc<Fill>>, Plain>,
    /// Purged URLs, the latest last.
    recent: VecDeque<(u64, u64)>,
    /// The number of the latest one that is no longer in `recent`.
    forgotten: u64,
    /// By the lowest bits of their hash: keys whose responses were not to be stored, and until when nobody waits for them.
    hopeless: Box<[(u64, Time)]>,
    hints: Hints,
}

/// The tier.
#[derive(Debug)]
pub struct Memory {
    parts: Box<[Mutex<Part>]>,
    bounds: Bounds,
}

/// What was found for a request.
#[derive(Clone, Debug)]
pub enum Found {
    /// A response for it.
    Entry(Arc<Entry>),
    /// Only responses for other values of what they vary by: the latest of them.
    Others(Arc<Entry>),
    /// Nothing.
    Nothing,
}

impl Memory {
    /// An empty one.
    pub fn new(size: Size) -> Self {
        let shards = (size.bytes / SHARD).clamp(1, MOST_SHARDS);
        // The largest power of two that is not more.
        let shards = 1 << shards.ilog2();
        let bytes = size.bytes / shards;
        let bounds = Bounds {
            bytes,
            zone: bytes / 100 * usize::from(size.zone_share.min(100)),
            entry: bytes / 4,
        };
        let part = |_| {
            Mutex::new(Part {
                shard: Shard::new(bounds),
                fills: HashMap::default(),
                recent: VecDeque::new(),
                forgotten: 0,
                hopeless: vec![(0, Time(0)); HOPELESS].into(),
                hints: Hints::default(),
            })
        };
        Self {
            parts: (0..shards).map(part).collect(),
            bounds,
        }
    }

    /// The largest response that is let in, its head included.
    pub const fn most(&self) -> usize {
        self.bounds.entry
    }

    /// Bytes that are taken, and how many responses there are.
    pub fn used(&self) -> (usize, usize) {
        self.parts.iter().fold((0, 0), |(bytes, entries), part| {
            let part = lock(part);
            (bytes + part.shard.bytes(), entries + part.shard.len())
        })
    }

    /// Bytes that a zone takes.
    pub fn used_by(&self, zone: u64) -> usize {
        let parts = self.parts.iter();
        parts.map(|part| lock(part).shard.zone_bytes(zone)).sum()
    }

    pub(crate) fn place(&self, key: &Key) -> Place {
        *key.placed.0.get_or_init(|| {
            let url = url(key.zone, &key.host, &key.target);
            Place {
                url,
                // Where it is the same for two keys, they count as one, and nothing worse.
                key: SEED.hash_one((url, key.beside_url())),
            }
        })
    }

    pub(crate) fn part(&self, url: u64) -> Option<MutexGuard<'_, Part>> {
        // Not the bits by which the maps in a shard are spread.
        let number = (url >> 40) as usize % self.parts.len().max(1);
        self.parts.get(number).map(lock)
    }

    /// What is stored for a request, and not purged. Counts that the key was asked for.
    pub fn find(&self, key: &Key, request: &RequestHead, purges: &Purges) -> Found {
        let place = self.place(key);
        let Some(mut part) = self.part(place.url) else {
            return Found::Nothing;
        };
        part.shard.count(place.key);
        let mut all = part.shard.of_key(place.url, &key.bytes);
        let Some((number, entry)) = all.next() else {
            return Found::Nothing;
        };
        let first = (number, Arc::clone(entry));
        let mut stored = vec![];
        stored.extend(all.map(|(number, entry)| (number, Arc::clone(entry))));
        let (number, entry) = first;
        if stored.is_empty() && entry.vary.is_empty() {
            // The usual case, under one lock.
            if purges.is_gone(&entry.stamp) {
                part.shard.remove_entry(number, &entry);
                return Found::Nothing;
            }
            part.shard.touch(number, &entry);
            return Found::Entry(entry);
        }
        drop(part);
        stored.push((number, entry));
        self.select(place, &stored, request, purges)
    }

    /// Several, or one that varies: what is compared is made without the lock.
    fn select(
        &self,
        place: Place,
        stored: &[Stored],
        request: &RequestHead,
        purges: &Purges,
    ) -> Found {
        let mut made: Option<(&Vary, Box<[u8]>)> = None;
        let mut best: Option<&Stored> = None;
        let mut other: Option<&Arc<Entry>> = None;
        for found in stored {
            let (number, entry) = found;
            if purges.is_gone(&entry.stamp) {
                if let Some(mut part) = self.part(place.url) {
                    part.shard.remove_entry(*number, entry);
                }
                continue;
            }
            if other.is_none_or(|other| entry.life.received > other.life.received) {
                other = Some(entry);
            }
            let selecting = match made.take() {
                Some((vary, selecting)) if *vary == entry.vary => selecting,
                _ => entry.vary.selecting(request),
            };
            // The latest of those that fit (RFC 9111 §4.1).
            let is_later = best.is_none_or(|(_, best)| entry.life.received > best.life.received);
            if entry.is_selected(request, &selecting) && is_later {
                best = Some(found);
            }
            made = Some((&entry.vary, selecting));
        }
        match best {
            Some((number, entry)) => {
                if let Some(mut part) = self.part(place.url) {
                    part.shard.touch(*number, entry);
                }
                Found::Entry(Arc::clone(entry))
            }
            None => other.map_or(Found::Nothing, |other| Found::Others(Arc::clone(other))),
        }
    }

    /// Stores a response.
    ///
    /// # Errors
    /// [`Outside`] says why it is not let in. What was stored for the same requests is gone then too: it is older.
    pub fn insert(&self, key: &Key, entry: Arc<Entry>, purges: &Purges) -> Result<(), Outside> {
        let place = self.place(key);
        let bytes: Arc<[u8]> = Arc::from(&*key.bytes);
        let Some(mut part) = self.part(place.url) else {
            return Err(Outside::TooLarge);
        };
        if part.was_purged(place.url, entry.stamp.begun()) || purges.is_gone(&entry.stamp) {
            return Err(Outside::Purged);
        }
        part.shard.insert(place.url, place.key, &bytes, entry)
    }

    /// Stores a response that was stored elsewhere, and looked up there after the purge `looked`. What is here for the same requests
    /// stays, and is given back. None where it was purged since.
    pub(crate) fn found_elsewhere(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        looked: u64,
        purges: &Purges,
    ) -> Option<Arc<Entry>> {
        let place = self.place(key);
        let bytes: Arc<[u8]> = Arc::from(&*key.bytes);
        let mut part = self.part(place.url)?;
        if part.was_purged(place.url, looked) || purges.is_gone(&entry.stamp) {
            return None;
        }
        let mut all = part.shard.of_key(place.url, &key.bytes);
        let same =
            all.find(|(_, other)| other.vary == entry.vary && other.selecting == entry.selecting);
        let same = same.map(|(_, other)| Arc::clone(other));
        drop(all);
        if let Some(same) = same.filter(|same| !purges.is_gone(&same.stamp)) {
            return Some(same);
        }
        // Where it is not let in it is served all the same.
        let _ = part
            .shard
            .insert(place.url, place.key, &bytes, Arc::clone(entry));
        Some(Arc::clone(entry))
    }

    /// How often a key was asked for of late, about; and whether its URL was purged since.
    pub(crate) fn asked_for(&self, key: &Key, since: u64) -> (u64, bool) {
        let place = self.place(key);
        self.part(place.url).map_or((0, true), |part| {
            let frequency = part.shard.frequency(place.key);
            (frequency, part.was_purged(place.url, since))
        })
    }

    /// Puts a response in the place of another one that is the same but for its head and its time, if that is what is stored for
    /// `request` still. One that memory has no more, or never let in, may lie on disk alone: whether it does is asked then, with the
    /// lock held, so that nothing newer comes in between.
    ///
    /// # Errors
    /// [`Outside::Purged`] and [`Outside::Replaced`]: what is stored stays as it is. Else as [`Memory::insert`].
    pub fn replace(
        &self,
        key: &Key,
        old: &Arc<Entry>,
        entry: Arc<Entry>,
        request: &RequestHead,
        purges: &Purges,
        lies_on_disk: impl FnOnce() -> bool,
    ) -> Result<(), Outside> {
        let place = self.place(key);
        let bytes: Arc<[u8]> = Arc::from(&*key.bytes);
        let Some(mut part) = self.part(place.url) else {
            return Err(Outside::TooLarge);
        };
        let was_purged = part.was_purged(place.url, entry.stamp.begun());
        if was_purged || purges.is_gone(&old.stamp) || purges.is_gone(&entry.stamp) {
            return Err(Outside::Purged);
        }
        let newer = part.since(place.url, key, request, Some(old), purges);
        if newer.is_some() {
            return Err(Outside::Replaced);
        }
        let mut all = part.shard.of_key(place.url, &key.bytes);
        let found = all.find(|(_, other)| Arc::ptr_eq(other, old));
        let number = found.map(|(number, _)| number);
        drop(all);
        if let Some(number) = number {
            part.shard.remove_entry(number, old);
        } else if !lies_on_disk() {
            return Err(Outside::Replaced);
        }
        part.shard.insert(place.url, place.key, &bytes, entry)
    }

    /// Keeps a stored response's body in another coding too; none: it would be no smaller.
    ///
    /// # Errors
    /// [`Outside`] says why not: the response is not stored any more, or has no room for it.
    pub fn pack(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        coding: usize,
        packed: Option<Body>,
    ) -> Result<(), Outside> {
        let place = self.place(key);
        let part = self.part(place.url);
        let mut part = part.ok_or(Outside::TooLarge)?;
        let mut all = part.shard.of_key(place.url, &key.bytes);
        let found = all.find(|(_, other)| Arc::ptr_eq(other, entry));
        let number = found.map(|(number, _)| number);
        drop(all);
        let number = number.ok_or(Outside::Purged)?;
        part.shard.pack(number, coding, packed)
    }

    /// What a page said that it needs, the last time.
    pub fn needs(&self, key: &Key, purges: &Purges) -> Option<Needs> {
        let place = self.place(key);
        let mut part = self.part(place.url)?;
        part.hints.get(place.key, &key.bytes, purges)
    }

    /// A page that was asked for after the purge `begun` says what it needs.
    pub fn learn(&self, key: &Key, needs: Needs, begun: u64, purges: &Purges) {
        let place = self.place(key);
        let stamp = purges.stamp(key.zone, begun, &key.host, &key.target, std::iter::empty());
        if let Some(mut part) = self.part(place.url)
            && !part.was_purged(place.url, begun)
        {
            part.hints
                .learn(place.key, &key.bytes, place.url, needs, stamp);
        }
    }

    /// Takes out one response.
    pub fn forget(&self, key: &Key, entry: &Arc<Entry>) {
        let place = self.place(key);
        if let Some(mut part) = self.part(place.url) {
            let mut all = part.shard.of_key(place.url, &key.bytes);
            let found = all.find(|(_, other)| Arc::ptr_eq(other, entry));
            let number = found.map(|(number, _)| number);
            drop(all);
            if let Some(number) = number {
                part.shard.remove_entry(number, entry);
            }
        }
    }

    /// Purges a URL, over HTTP and HTTPS and with all its variants; what of it is on its way is not stored. Soft, it counts as stale
    /// from `soft` on. `target` is path and query, in any spelling.
    pub fn purge_url(
        &self,
        zone: u64,
        host: &[u8],
        target: &[u8],
        soft: Option<Time>,
        purges: &Purges,
    ) {
        let host = host.to_ascii_lowercase();
        let url = url(zone, &host, &crate::key::normal(target));
        let Some(mut part) = self.part(url) else {
            return;
        };
        // Under the lock: whoever stores something looks at it there.
        let number = purges.advance();
        if part.recent.len() >= RECENT {
            part.forgotten = part.recent.pop_front().map_or(number, |(_, number)| number);
        }
        part.recent.push_back((url, number));
        part.fills.remove(&url);
        part.hints.forget(url);
        match soft {
            None => part.shard.remove_url(url),
            Some(now) => part
                .shard
                .each_of_url(url, |entry| entry.stamp.outdate(now)),
        }
    }

    /// Takes everything out, and no purge comes of it.
    #[cfg(test)]
    pub(crate) fn clear(&self) {
        for part in &self.parts {
            lock(part).shard = Shard::new(self.bounds);
        }
    }

    /// Takes out what purges have made go, so that their records can be forgotten. The lock of a shard is held for a few thousand
    /// responses at a time.
    pub fn sweep(&self, purges: &Purges) {
        const AT_A_TIME: usize = 4_096;
        for part in &self.parts {
            let mut from = Some(0);
            while let Some(at) = from {
                let mut part = lock(part);
                from = part
                    .shard
                    .sweep(at, AT_A_TIME, |entry| purges.is_gone(&entry.stamp));
            }
        }
    }
}

impl Part {
    /// What came for a request since it looked: it saw this one at most. The latest.
    pub(crate) fn since(
        &self,
        url: u64,
        key: &Key,
        request: &RequestHead,
        seen: Option<&Arc<Entry>>,
        purges: &Purges,
    ) -> Option<Arc<Entry>> {
        let all = self.shard.of_key(url, &key.bytes);
        let newer = all.map(|(_, entry)| entry).filter(|entry| {
            let is_seen = seen.is_some_and(|seen| {
                Arc::ptr_eq(seen, entry) || seen.life.received >= entry.life.received
            });
            !is_seen
                && entry.is_selected(request, &entry.vary.selecting(request))
                && !purges.is_gone(&entry.stamp)
        });
        newer
            .max_by_key(|entry| entry.life.received)
            .map(Arc::clone)
    }

    /// Whether a URL was purged after this number, or may have been.
    fn was_purged(&self, url: u64, begun: u64) -> bool {
        let since = self.recent.iter().rev();
        let mut since = since.take_while(|(_, number)| *number > begun);
        begun < self.forgotten || since.any(|(purged, _)| *purged == url)
    }

    /// Nobody is to wait for answers for this key until then.
    pub(crate) fn set_hopeless(&mut self, key: u64, until: Time) {
        let at = key as usize % HOPELESS;
        if let Some(place) = self.hopeless.get_mut(at) {
            *place = (key, until);
        }
    }

    /// Whether waiting for an answer for this key is hopeless.
    pub(crate) fn is_hopeless(&self, key: u64, now: Time) -> bool {
        let place = self.hopeless.get(key as usize % HOPELESS);
        place.is_some_and(|(known, until)| *known == key && now < *until)
    }
}

fn url(zone: u64, host: &[u8], target: &[u8]) -> u64 {
    SEED.hash_one((zone, host, target))
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    // What a panic leaves behind is a table of bytes: at worst it has less in it.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod ratios;
#[cfg(test)]
mod tests;

//! Where everything is: the index of the disk tier, in memory.
//!
//! An entry has hashes in place of its key, and takes 40 bytes and a place of 8 in a table of two to four fifths full: 60 bytes at
//! most. What has the same hashes and is not the same is found out when the record is read. All of a URL lies together, as in the
//! memory tier, so that purging it is one look-up. The table has a part of the URL's hash beside each number: whoever looks, and a
//! start that puts in millions, goes to no entry but those that it wants.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::Name;

/// A power of two. A table that grows stands still for as long as one part takes.
const PARTS: usize = 64;
/// Entries that are allocated together.
const CHUNK: usize = 128;
/// No entry.
const NONE: u32 = u32::MAX;
/// The most responses for one URL, as in the memory tier.
const MOST_VARIANTS: usize = crate::memory::MOST_VARIANTS;

/// Where a response lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    url: u64,
    key: u32,
    variant: u32,
    at: Location,
    /// The zone, as a number of the table of zones.
    zone: u32,
    /// It was read since it was written.
    used: bool,
}

/// A place of the table.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The lower half of the URL's hash.
    hash: u32,
    /// Of the entry.
    number: u32,
}

impl Slot {
    const EMPTY: Self = Self {
        hash: 0,
        number: NONE,
    };

    const fn of(url: u64, number: u32) -> Self {
        Self {
            hash: url as u32,
            number,
        }
    }
}

/// One part, under one lock.
#[derive(Debug, Default)]
struct Part {
    chunks: Vec<Box<[Entry]>>,
    /// Entries that there are places for.
    places: u32,
    free: Vec<u32>,
    /// Open addressing, linear probing, by the URL's hash.
    table: Vec<Slot>,
    /// Entries in it.
    count: usize,
}

/// Bytes of each zone.
#[derive(Debug, Default)]
struct Zones {
    numbers: std::collections::HashMap<u64, u32>,
    bytes: Vec<u64>,
    /// The zone that was looked for last: many follow one another that are of one.
    last: Option<(u64, u32)>,
}

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    parts: Box<[Mutex<Part>]>,
    zones: Mutex<Zones>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            zones: Mutex::default(),
        }
    }
}

impl Index {
    fn part(&self, url: u64) -> Option<MutexGuard<'_, Part>> {
        let part = self.parts.get((url >> 58) as usize % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything of a key may be there.
    pub(super) fn has(&self, url: u64, key: u32) -> bool {
        self.part(url)
            .is_some_and(|part| part.of_url(url).any(|(_, _, entry)| entry.key == key))
    }

    /// Whether anything of a URL is there.
    pub(super) fn has_url(&self, url: u64) -> bool {
        self.part(url)
            .is_some_and(|part| part.of_url(url).next().is_some())
    }

    /// All of a key, the latest first; they count as used.
    pub(super) fn find(&self, url: u64, key: u32) -> Vec<Location> {
        let Some(mut part) = self.part(url) else {
            return Vec::new();
        };
        let found = part.of_url(url).filter(|(_, _, entry)| entry.key == key);
        let found: Vec<u32> = found.map(|(_, number, _)| number).collect();
        let mut all = Vec::with_capacity(found.len());
        for number in found {
            if let Some(entry) = part.entry_mut(number) {
                entry.used = true;
                all.push(entry.at);
            }
        }
        all.sort_unstable_by_key(|at| std::cmp::Reverse((at.segment, at.offset)));
        all
    }

    /// Puts a response in, in place of an older one for the same requests.
    pub(super) fn insert(&self, name: Name, at: Location) {
        let zone = self.zones().add(name.zone, at.length);
        let mut gone = Vec::new();
        if let Some(mut part) = self.part(name.url) {
            let same = |entry: &Entry| entry.key == name.key && entry.variant == name.variant;
            part.take(name.url, same, &mut gone);
            let all = || part.of_url(name.url).map(|(_, _, entry)| entry.at);
            if all().count() >= MOST_VARIANTS {
                let oldest = all().min_by_key(|at| (at.segment, at.offset));
                part.take(name.url, |entry| Some(entry.at) == oldest, &mut gone);
            }
            part.put(Entry {
                url: name.url,
                key: name.key,
                variant: name.variant,
                at,
                zone,
                used: false,
            });
        }
        if !gone.is_empty() {
            self.zones().subtract(&gone);
        }
    }

    /// Takes out all of a URL.
    pub(super) fn remove_url(&self, url: u64) {
        self.remove_that(url, |_| true);
    }

    /// Takes out all of a key.
    pub(super) fn remove_key(&self, url: u64, key: u32) {
        self.remove_that(url, |entry| entry.key == key);
    }

    /// Takes out what lies there; whether it was used since it was written, none where it is not there any more.
    pub(super) fn remove_at(&self, url: u64, at: Location) -> Option<bool> {
        let gone = self.remove_that(url, |entry| entry.at == at);
        gone.first().map(|entry| entry.used)
    }

    /// Whether what lies there is still wanted, and whether it was used.
    pub(super) fn look(&self, url: u64, at: Location) -> Option<bool> {
        let part = self.part(url)?;
        let mut all = part.of_url(url);
        all.find(|(_, _, entry)| entry.at == at)
            .map(|(_, _, entry)| entry.used)
    }

    /// What lay there lies elsewhere now; false where it is gone meanwhile.
    pub(super) fn move_to(&self, url: u64, from: Location, to: Location) -> bool {
        let Some(mut part) = self.part(url) else {
            return false;
        };
        let mut all = part.of_url(url);
        let found = all.find(|(_, _, entry)| entry.at == from);
        let number = found.map(|(_, number, _)| number);
        drop(all);
        match number.and_then(|number| part.entry_mut(number)) {
            Some(entry) => {
                (entry.at, entry.used) = (to, false);
                true
            }
            None => false,
        }
    }

    fn remove_that(&self, url: u64, is_it: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut gone = Vec::new();
        if let Some(mut part) = self.part(url) {
            part.take(url, is_it, &mut gone);
        }
        if !gone.is_empty() {
            self.zones().subtract(&gone);
        }
        gone
    }

    /// Bytes of a zone.
    pub(super) fn bytes_of(&self, zone: u64) -> u64 {
        let zones = self.zones();
        let number = zones.numbers.get(&zone);
        number
            .and_then(|number| zones.bytes.get(*number as usize))
            .copied()
            .unwrap_or(0)
    }

    /// How many entries there are, and bytes of memory that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        self.parts.iter().fold((0, 0), |(entries, bytes), part| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            (entries + part.count, bytes + part.memory())
        })
    }
}

impl Zones {
    fn add(&mut self, zone: u64, bytes: u32) -> u32 {
        let number = match self.last {
            Some((last, number)) if last == zone => number,
            _ => {
                let next = self.bytes.len() as u32;
                let number = *self.numbers.entry(zone).or_insert(next);
                if number == next {
                    self.bytes.push(0);
                }
                self.last = Some((zone, number));
                number
            }
        };
        if let Some(all) = self.bytes.get_mut(number as usize) {
            *all += u64::from(bytes);
        }
        number
    }

    fn subtract(&mut self, gone: &[Entry]) {
        for entry in gone {
            if let Some(all) = self.bytes.get_mut(entry.zone as usize) {
                *all = all.saturating_sub(u64::from(entry.at.length));
            }
        }
    }
}

impl Part {
    fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Entry>()
            + self.table.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        let number = number as usize;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }

    /// Not the bits that choose the part.
    fn home(&self, hash: u32) -> usize {
        (hash as usize) & self.table.len().wrapping_sub(1)
    }

    /// Where in the table, which entry, and the entry.
    fn of_url(&self, url: u64) -> impl Iterator<Item = (usize, u32, &Entry)> {
        let hash = url as u32;
        let (length, home) = (self.table.len(), self.home(hash));
        (0..length)
            .map(move |step| (home + step) & (length - 1))
            .map_while(move |at| {
                let slot = *self.table.get(at)?;
                (slot.number != NONE).then_some((at, slot))
            })
            .filter(move |(_, slot)| slot.hash == hash)
            .filter_map(move |(at, slot)| {
                let entry = self.entry(slot.number)?;
                (entry.url == url).then_some((at, slot.number, entry))
            })
    }

    fn put(&mut self, entry: Entry) {
        if (self.count + 1) * 5 > self.table.len() * 4 {
            self.grow();
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                if self.places as usize == self.chunks.len() * CHUNK {
                    self.chunks.push(vec![entry; CHUNK].into());
                }
                self.places += 1;
                self.places - 1
            }
        };
        if let Some(place) = self.entry_mut(number) {
            *place = entry;
        }
        self.link(Slot::of(entry.url, number));
        self.count += 1;
    }

    fn link(&mut self, slot: Slot) {
        let (length, home) = (self.table.len(), self.home(slot.hash));
        for step in 0..length {
            let at = (home + step) & (length - 1);
            if let Some(place) = self.table.get_mut(at)
                && place.number == NONE
            {
                *place = slot;
                return;
            }
        }
    }

    fn grow(&mut self) {
        let length = (self.table.len() * 2).max(64);
        let before = std::mem::replace(&mut self.table, vec![Slot::EMPTY; length]);
        let slots = before.into_iter().filter(|slot| slot.number != NONE);
        slots.for_each(|slot| self.link(slot));
    }

    /// Takes out those of a URL.
    fn take(&mut self, url: u64, is_it: impl Fn(&Entry) -> bool, gone: &mut Vec<Entry>) {
        loop {
            let mut all = self.of_url(url);
            let found = all.find(|(_, _, entry)| is_it(entry));
            let Some((at, number, entry)) = found.map(|(at, number, entry)| (at, number, *entry))
            else {
                return;
            };
            drop(all);
            gone.push(entry);
            self.free.push(number);
            self.count -= 1;
            self.close(at);
        }
    }

    /// Closes a gap: who would be looked for across it moves into it (Knuth, volume 3, 6.4, algorithm R).
    fn close(&mut self, at: usize) {
        let mask = self.table.len() - 1;
        let (mut gap, mut next) = (at, at);
        loop {
            next = (next + 1) & mask;
            let slot = self.table.get(next).copied().unwrap_or(Slot::EMPTY);
            if slot.number == NONE {
                break;
            }
            let home = self.home(slot.hash);
            // It may not move before its home.
            let stays = (next.wrapping_sub(home) & mask) < (next.wrapping_sub(gap) & mask);
            if !stays {
                if let Some(place) = self.table.get_mut(gap) {
                    *place = slot;
                }
                gap = next;
            }
        }
        if let Some(place) = self.table.get_mut(gap) {
            *place = Slot::EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::made_up::Random;

    const fn at(number: u32) -> Location {
        Location {
            segment: number / 1_000,
            offset: number % 1_000,
            length: 10,
        }
    }

    fn name(url: u64, key: u32, variant: u32) -> Name {
        Name {
            url,
            key,
            variant,
            zone: url % 3,
        }
    }

    #[test]
    fn it_is_as_a_plain_map_whatever_is_done() {
        let index = Index::default();
        let mut model: BTreeMap<(u64, u32, u32), Location> = BTreeMap::new();
        let mut random = Random::new(3);
        // Few hashes, in one part and near one another, so that they collide.
        for round in 0..30_000u32 {
            let url = random.below(600) as u64 * 64 + random.below(3) as u64;
            let (key, variant) = (random.below(2) as u32, random.below(3) as u32);
            match random.below(10) {
                0 => {
                    index.remove_url(url);
                    model.retain(|(other, _, _), _| *other != url);
                }
                1 => {
                    index.remove_key(url, key);
                    model.retain(|(other, of, _), _| (*other, *of) != (url, key));
                }
                2 => {
                    if let Some(place) = model.remove(&(url, key, variant)) {
                        assert_eq!(index.look(url, place), index.remove_at(url, place));
                    }
                }
                _ => {
                    index.insert(name(url, key, variant), at(round));
                    model.insert((url, key, variant), at(round));
                }
            }
            let mut expected: Vec<Location> = model
                .iter()
                .filter(|((other, of, _), _)| (*other, *of) == (url, key))
                .map(|(_, at)| *at)
                .collect();
            expected.sort_unstable_by_key(|at| std::cmp::Reverse((at.segment, at.offset)));
            assert_eq!(index.find(url, key), expected);
            assert_eq!(index.has(url, key), !expected.is_empty());
        }
        assert_eq!(index.size().0, model.len());
        for zone in 0..3 {
            let of_zone = model.keys().filter(|(url, _, _)| url % 3 == zone).count();
            assert_eq!(index.bytes_of(zone), of_zone as u64 * 10);
        }
    }

    #[test]
    fn an_entry_takes_at_most_64_bytes() {
        let index = Index::default();
        let mut random = Random::new(5);
        for number in 0..1_000_000u32 {
            index.insert(name(random.next(), 1, 1), at(number));
            if number >= 100_000 && number % 50_000 == 0 {
                let (entries, bytes) = index.size();
                assert!(bytes <= entries * 64, "{bytes} for {entries}");
            }
        }
    }

    #[test]
    fn one_url_has_a_bound() {
        let index = Index::default();
        for number in 0..100 {
            index.insert(name(7, 1, number), at(number));
        }
        let found = index.find(7, 1);
        assert_eq!(found.len(), MOST_VARIANTS);
        assert_eq!(found.first(), Some(&at(99)));
    }
}

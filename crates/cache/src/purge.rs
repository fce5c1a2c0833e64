//! Purges, as generation records: each says from when on what it names counts.
//!
//! Time here is a number that grows with each purge. What is stored has the one at which its request was sent; a purge that names
//! it and came later makes it gone, whether it was in memory, on disk, or on its way from the origin. Looking costs one comparison
//! where no purge came since the last look, else a look-up for the host and each tag, and a comparison for each prefix that came
//! since: once for each entry and purge. Purging a single URL needs no record: the store finds it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::policy::{MOST_TAGS, Time};

/// The most records of one zone, of each kind. One more, and all of the zone counts as purged: more than was asked for, never less.
pub const MOST_RECORDS: usize = 65_536;

/// The most prefixes of one zone: each costs a comparison.
pub const MOST_PREFIXES: usize = 1_024;

/// What is purged beside single URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of the zone.
    Everything,
    /// What was asked for under this host.
    Host(&'a [u8]),
    /// What has this tag.
    Tag(&'a [u8]),
    /// What has this host and a target that begins so, in its normal form.
    Prefix(&'a [u8], &'a [u8]),
}

/// What a purge makes of what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// It is gone.
    Hard,
    /// It is stale from this time on: it may be validated, and may be served stale as far as that is allowed.
    Soft(Time),
}

/// By what purges find a response.
#[derive(Debug)]
pub struct Stamp {
    /// The zone.
    pub zone: u64,
    begun: u64,
    host: u64,
    tags: Tags,
    /// Host and target, for prefixes.
    place: Arc<[u8]>,
    host_length: usize,
    /// Up to here purges were looked at.
    checked: AtomicU64,
    /// Milliseconds since 1970 at which a soft purge met it; 0 for none.
    outdated: AtomicU64,
}

/// The tags of a response, as records have them.
#[derive(Debug)]
enum Tags {
    These(Box<[u64]>),
    /// Too many: it may have any.
    Any,
}

impl Stamp {
    /// The target in its normal form.
    pub(crate) fn target(&self) -> &[u8] {
        self.place.get(self.host_length..).unwrap_or_default()
    }

    pub(crate) fn host(&self) -> &[u8] {
        self.place.get(..self.host_length).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.tags.these().len() * 8 + self.place.len()
    }

    /// The number at which its request was sent.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// Since when it counts as stale, whatever its lifetime says.
    pub fn outdated(&self) -> Option<Time> {
        let since = self.outdated.load(Ordering::Acquire);
        (since != 0).then_some(Time(since))
    }

    /// It counts as stale from this time on; an earlier one stands.
    pub fn outdate(&self, now: Time) {
        let now = now.0.max(1);
        let _ = self
            .outdated
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Tags {
    fn these(&self) -> &[u64] {
        match self {
            Self::These(tags) => tags,
            Self::Any => &[],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stands,
    Outdated(Time),
    Gone,
}

/// When something was purged last.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    hard: u64,
    soft: u64,
    soft_at: Time,
}

/// A host, and how targets begin.
type Prefix = (Box<[u8]>, Box<[u8]>, Mark);

#[derive(Debug, Default)]
struct Records {
    everything: Mark,
    hosts: HashMap<u64, Mark>,
    tags: HashMap<u64, Mark>,
    /// Of the latest purge of any tag.
    any_tag: Mark,
    prefixes: Vec<Prefix>,
    /// The number of the latest one.
    newest: u64,
    /// What was asked for before this cannot be judged any more: its records were dropped.
    forgotten: u64,
}

/// The records of all zones.
#[derive(Debug, Default)]
pub struct Purges {
    latest: AtomicU64,
    zones: RwLock<HashMap<u64, Arc<Mutex<Records>>>>,
    hasher: RandomState,
}

impl Purges {
    /// The number of now: a request that is sent after this was read answers for what later purges name.
    pub fn now(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// The stamp of a response whose request was sent at `begun`.
    pub fn stamp<'t>(
        &self,
        zone: u64,
        begun: u64,
        host: &[u8],
        target: &[u8],
        tags: impl Iterator<Item = &'t [u8]>,
    ) -> Stamp {
        Stamp {
            zone,
            begun,
            host: self.hasher.hash_one(host),
            tags: self.tags(tags),
            place: [host, target].concat().into(),
            host_length: host.len(),
            checked: AtomicU64::new(begun),
            outdated: AtomicU64::new(0),
        }
    }

    /// The stamp of a response that was validated by a request sent at `begun`.
    pub fn restamp<'t>(
        &self,
        before: &Stamp,
        begun: u64,
        tags: impl Iterator<Item = &'t [u8]>,
    ) -> Stamp {
        Stamp {
            begun,
            zone: before.zone,
            host: before.host,
            tags: self.tags(tags),
            place: Arc::clone(&before.place),
            host_length: before.host_length,
            checked: AtomicU64::new(begun),
            outdated: AtomicU64::new(0),
        }
    }

    fn tags<'t>(&self, tags: impl Iterator<Item = &'t [u8]>) -> Tags {
        let tags = tags.take(MOST_TAGS + 1);
        let tags: Box<[u64]> = tags.map(|tag| self.hasher.hash_one(tag)).collect();
        match tags.len() > MOST_TAGS {
            true => Tags::Any,
            false => Tags::These(tags),
        }
    }

    /// The next number, for a purge that needs no record.
    pub(crate) fn advance(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Purges; the purge's number.
    pub fn purge(&self, zone: u64, scope: Scope<'_>, purge: Purge) -> u64 {
        let records = self.records(zone);
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        // The number becomes visible while the records are locked: whoever sees it waits for them.
        let number = self.advance();
        self.record(&mut records, scope, purge, number);
        number
    }

    /// Makes a purge hold that an earlier process did.
    pub(crate) fn restore(&self, zone: u64, scope: Scope<'_>, purge: Purge, number: u64) {
        let records = self.records(zone);
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        self.raise(number);
        self.record(&mut records, scope, purge, number);
    }

    /// The numbers below this one were used by others.
    pub(crate) fn raise(&self, number: u64) {
        self.latest.fetch_max(number, Ordering::AcqRel);
    }

    fn record(&self, records: &mut Records, scope: Scope<'_>, purge: Purge, number: u64) {
        records.newest = records.newest.max(number);
        let is_full = match scope {
            Scope::Everything => {
                records.everything.set(purge, number);
                if purge == Purge::Hard {
                    // All others are part of it.
                    let is_later = |mark: &Mark| mark.newest() > number;
                    records.hosts.retain(|_, mark| is_later(mark));
                    records.tags.retain(|_, mark| is_later(mark));
                    records.prefixes.retain(|(_, _, mark)| is_later(mark));
                }
                false
            }
            Scope::Host(host) => set(
                &mut records.hosts,
                self.hasher.hash_one(host),
                purge,
                number,
            ),
            Scope::Tag(tag) => {
                records.any_tag.set(purge, number);
                set(&mut records.tags, self.hasher.hash_one(tag), purge, number)
            }
            Scope::Prefix(host, prefix) => records.set_prefix(host, prefix, purge, number),
        };
        if is_full {
            *records = Records {
                newest: records.newest,
                forgotten: records.forgotten,
                ..Records::default()
            };
            records.everything.set(Purge::Hard, number);
        }
    }

    fn records(&self, zone: u64) -> Arc<Mutex<Records>> {
        if let Some(records) = self.existing(zone) {
            return records;
        }
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(zones.entry(zone).or_default())
    }

    /// Whether a purge has made a response go. One that a soft purge names is [`Stamp::outdated`] from then on.
    pub fn is_gone(&self, stamp: &Stamp) -> bool {
        let latest = self.now();
        let checked = stamp.checked.load(Ordering::Acquire);
        if checked >= latest {
            return false;
        }
        let standing = self
            .existing(stamp.zone)
            .map_or(Standing::Stands, |records| {
                let records = records.lock().unwrap_or_else(PoisonError::into_inner);
                records.standing(stamp, checked)
            });
        match standing {
            Standing::Gone => return true,
            // Before anybody can see that purges were looked at.
            Standing::Outdated(at) => stamp.outdate(at),
            Standing::Stands => {}
        }
        stamp.checked.fetch_max(latest, Ordering::AcqRel);
        false
    }

    fn existing(&self, zone: u64) -> Option<Arc<Mutex<Records>>> {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        zones.get(&zone).map(Arc::clone)
    }

    /// Whether a purge of anything in this zone came since.
    pub(crate) fn any_since(&self, zone: u64, begun: u64) -> bool {
        if begun >= self.now() {
            return false;
        }
        self.existing(zone).is_some_and(|records| {
            let records = records.lock().unwrap_or_else(PoisonError::into_inner);
            records.newest > begun
        })
    }

    /// Zones with half as many records as they may have: sweeping the store and then [`Purges::forget`] makes room.
    pub fn crowded(&self) -> Vec<u64> {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        let crowded = zones.iter().filter(|(_, records)| {
            let records = records.lock().unwrap_or_else(PoisonError::into_inner);
            let most = records.hosts.len().max(records.tags.len());
            most > MOST_RECORDS / 2 || records.prefixes.len() > MOST_PREFIXES / 2
        });
        crowded.map(|(zone, _)| *zone).collect()
    }

    /// Drops a zone's records up to this number. Everything stored was looked at since; what is still on its way from before can no
    /// longer be judged, and is not stored.
    pub fn forget(&self, zone: u64, number: u64) {
        let records = self.records(zone);
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        records.hosts.retain(|_, mark| mark.newest() > number);
        records.tags.retain(|_, mark| mark.newest() > number);
        records
            .prefixes
            .retain(|(_, _, mark)| mark.newest() > number);
        records.forgotten = records.forgotten.max(number);
    }
}

/// Sets a record; true where there is no room for it.
fn set(marks: &mut HashMap<u64, Mark>, hash: u64, purge: Purge, number: u64) -> bool {
    if marks.len() >= MOST_RECORDS && !marks.contains_key(&hash) {
        return true;
    }
    marks.entry(hash).or_default().set(purge, number);
    false
}

impl Mark {
    fn set(&mut self, purge: Purge, number: u64) {
        match purge {
            Purge::Hard => self.hard = self.hard.max(number),
            Purge::Soft(at) if number > self.soft => (self.soft, self.soft_at) = (number, at),
            Purge::Soft(_) => {}
        }
    }

    fn newest(&self) -> u64 {
        self.hard.max(self.soft)
    }

    fn standing(&self, since: u64) -> Standing {
        if self.hard > since {
            Standing::Gone
        } else if self.soft > since {
            Standing::Outdated(self.soft_at)
        } else {
            Standing::Stands
        }
    }
}

impl Records {
    fn set_prefix(&mut self, host: &[u8], prefix: &[u8], purge: Purge, number: u64) -> bool {
        let mut prefixes = self.prefixes.iter_mut();
        let found = prefixes.find(|(h, p, _)| **h == *host && **p == *prefix);
        if let Some((_, _, mark)) = found {
            mark.set(purge, number);
            return false;
        }
        if self.prefixes.len() >= MOST_PREFIXES {
            return true;
        }
        let mut mark = Mark::default();
        mark.set(purge, number);
        self.prefixes.push((host.into(), prefix.into(), mark));
        false
    }

    fn standing(&self, stamp: &Stamp, since: u64) -> Standing {
        let mut worst = self.everything.standing(since);
        let of_host = self.hosts.get(&stamp.host);
        let tags = stamp.tags.these().iter();
        let of_tags = tags.filter_map(|tag| self.tags.get(tag));
        let of_any = matches!(stamp.tags, Tags::Any).then_some(&self.any_tag);
        let of_prefixes = self.prefixes.iter().filter_map(|(host, prefix, mark)| {
            let names = mark.newest() > since
                && **host == *stamp.host()
                && stamp.target().starts_with(prefix);
            names.then_some(mark)
        });
        let of_tags = of_tags.chain(of_any);
        for mark in of_host.into_iter().chain(of_tags).chain(of_prefixes) {
            worst = match (worst, mark.standing(since)) {
                (Standing::Gone, _) | (_, Standing::Gone) => Standing::Gone,
                (Standing::Outdated(one), Standing::Outdated(other)) => {
                    Standing::Outdated(one.min(other))
                }
                (Standing::Stands, other) => other,
                (one, Standing::Stands) => one,
            };
        }
        // Never looked at while the records were there.
        if since == stamp.begun && since < self.forgotten {
            return Standing::Gone;
        }
        worst
    }
}

#[cfg(test)]
mod tests;

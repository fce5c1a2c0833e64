//! State: what outlives snapshots. Keyed by the zones' stable ids, owned by the worker, shared by its threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::breaker::Breaker;
use crate::clients::ClientTable;

/// A zone's stable id: random, never used again, the same over restarts and changes of the zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u64);

/// What a breaker belongs to: zone, stage, rule.
type BreakerKey = (ZoneId, &'static str, Option<Arc<str>>);

/// How often something happened in a stage, in all zones.
#[derive(Debug, Default)]
pub struct StageCounts {
    /// Requests and responses that it refused.
    pub refused: AtomicU64,
    /// Those that it would have refused, in mode watch.
    pub watched: AtomicU64,
    /// Those that it noted, weighed or changed.
    pub noted: AtomicU64,
    /// Those that used up its budget.
    pub spent: AtomicU64,
    /// Panics.
    pub faults: AtomicU64,
    /// Times that one of its breakers opened.
    pub opened: AtomicU64,
}

/// What all stages keep beyond a snapshot.
#[derive(Debug)]
pub struct States {
    /// Counters of clients.
    pub clients: ClientTable,
    /// Milliseconds since the process began, as of the request that came last.
    now: AtomicU64,
    /// Stages that an emergency switch is on, by their places.
    killed: AtomicU32,
    breakers: Mutex<HashMap<BreakerKey, Arc<Breaker>>>,
    counts: Box<[(&'static str, StageCounts)]>,
}

impl States {
    /// Nothing is known yet. `stages` are the names of all stages; `clients` is how many client addresses are kept, all zones
    /// together.
    pub fn new(stages: impl IntoIterator<Item = &'static str>, clients: usize) -> Self {
        Self {
            clients: ClientTable::new(clients),
            now: AtomicU64::new(0),
            killed: AtomicU32::new(0),
            breakers: Mutex::default(),
            counts: stages
                .into_iter()
                .map(|name| (name, StageCounts::default()))
                .collect(),
        }
    }

    /// The time for stages that count, in milliseconds since the process began: that of the request which is judged, or of one
    /// that came a moment later to another thread. It never goes back.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Tells the time. The runner does, whenever it asks stages; it is written once in a millisecond.
    #[inline]
    pub fn set_now(&self, now: u64) {
        if self.now() < now {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The counts of all stages, by their names.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &StageCounts)> {
        self.counts.iter().map(|(name, counts)| (*name, counts))
    }

    /// Switches these stages off in all zones, at once, and all others on again.
    pub fn kill(&self, names: &[String]) {
        let places = self.counts.iter().enumerate().take(32);
        let killed = places.filter(|(_, (name, _))| names.iter().any(|killed| killed == name));
        let bits = killed.fold(0, |all, (place, _)| all | 1 << place);
        self.killed.store(bits, Ordering::Relaxed);
    }

    /// The stages that are switched off.
    pub fn killed(&self) -> impl Iterator<Item = &'static str> {
        let bits = self.killed.load(Ordering::Relaxed);
        let places = self.counts.iter().enumerate().take(32);
        places
            .filter(move |(place, _)| bits & (1 << place) != 0)
            .map(|(_, (name, _))| *name)
    }

    #[inline]
    pub(crate) fn is_killed(&self, place: u8) -> bool {
        self.killed.load(Ordering::Relaxed) & (1 << place) != 0
    }

    pub(crate) fn count(&self, place: u8, which: impl FnOnce(&StageCounts) -> &AtomicU64) {
        if let Some((_, counts)) = self.counts.get(usize::from(place)) {
            which(counts).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The breaker of a stage in a zone, or of one of its rules.
    pub(crate) fn breaker(
        &self,
        zone: ZoneId,
        stage: &'static str,
        rule: Option<&Arc<str>>,
    ) -> Arc<Breaker> {
        let mut all = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((zone, stage, rule.cloned())).or_default().clone()
    }

    /// Breakers that are open: zone, stage, rule, and the millisecond since when.
    pub fn open_breakers(&self) -> Vec<(ZoneId, &'static str, Option<Arc<str>>, u64)> {
        let all = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open: Vec<_> = all
            .iter()
            .filter_map(|((zone, stage, rule), breaker)| {
                Some((*zone, *stage, rule.clone(), breaker.open_since()?))
            })
            .collect();
        open.sort();
        open
    }

    /// Forgets what no snapshot uses any more. After a swap, and now and then.
    pub fn sweep(&self) {
        let mut all = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, breaker| Arc::strong_count(breaker) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_all_threads_never_goes_back() {
        let states = States::new([], 10);
        assert_eq!(states.now(), 0);
        states.set_now(20);
        states.set_now(19);
        assert_eq!(states.now(), 20);
    }
}

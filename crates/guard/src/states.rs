//! State: what outlives snapshots. Keyed by the zones' stable ids, owned by the worker, shared by its threads.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::breaker::Breaker;
use crate::clients::ClientTable;

/// A zone's stable id: random, never used again, the same over restarts and changes of the zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u64);

/// What a breaker belongs to: zone, stage, rule.
pub(crate) type BreakerKey = (ZoneId, &'static str, Option<Arc<str>>);

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
    /// Milliseconds on the monotonic clock, as of the request that came last.
    now: AtomicU64,
    /// Stages that an emergency switch is on, by their places.
    killed: AtomicU32,
    /// No optional stage is asked, in any zone.
    safe_mode: AtomicBool,
    /// Zones in which no optional stage is asked; and whether there is one, which guards ask without a lock.
    quarantined: RwLock<HashSet<ZoneId>>,
    any_quarantined: AtomicBool,
    pub(crate) breakers: Mutex<HashMap<BreakerKey, Arc<Breaker>>>,
    /// What stages of another process counted, as far as it is in `counts`.
    pub(crate) taken: Mutex<HashMap<&'static str, [u64; 6]>>,
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
            safe_mode: AtomicBool::new(false),
            quarantined: RwLock::default(),
            any_quarantined: AtomicBool::new(false),
            breakers: Mutex::default(),
            taken: Mutex::default(),
            counts: stages
                .into_iter()
                .map(|name| (name, StageCounts::default()))
                .collect(),
        }
    }

    /// The time for stages that count, in milliseconds on the monotonic clock: that of the request which is judged, or of one
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

    /// Leaves all optional stages out, in all zones, at once; or lets them in again.
    pub fn set_safe_mode(&self, on: bool) {
        self.safe_mode.store(on, Ordering::Relaxed);
    }

    /// Whether optional stages are left out in all zones.
    #[inline]
    pub fn is_safe_mode(&self) -> bool {
        self.safe_mode.load(Ordering::Relaxed)
    }

    /// Leaves optional stages out in these zones, at once, and lets them in again in all others.
    pub fn set_quarantined(&self, zones: &HashSet<ZoneId>) {
        let quarantined = self.quarantined.write();
        *quarantined.unwrap_or_else(PoisonError::into_inner) = zones.clone();
        self.any_quarantined
            .store(!zones.is_empty(), Ordering::Release);
    }

    /// The zones in which optional stages are left out, sorted.
    pub fn quarantined(&self) -> Vec<ZoneId> {
        let quarantined = self.quarantined.read();
        let quarantined = quarantined.unwrap_or_else(PoisonError::into_inner);
        let mut zones: Vec<_> = quarantined.iter().copied().collect();
        zones.sort();
        zones
    }

    /// Whether optional stages are left out in this zone.
    #[inline]
    pub(crate) fn is_quarantined(&self, zone: ZoneId) -> bool {
        self.any_quarantined.load(Ordering::Acquire) && self.looks_quarantined(zone)
    }

    #[cold]
    fn looks_quarantined(&self, zone: ZoneId) -> bool {
        let quarantined = self.quarantined.read();
        let quarantined = quarantined.unwrap_or_else(PoisonError::into_inner);
        quarantined.contains(&zone)
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
        let mut all = locked(&self.breakers);
        all.entry((zone, stage, rule.cloned())).or_default().clone()
    }

    /// Breakers that are open: zone, stage, rule, and the millisecond since when.
    pub fn open_breakers(&self) -> Vec<(ZoneId, &'static str, Option<Arc<str>>, u64)> {
        let all = locked(&self.breakers);
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
        let mut all = locked(&self.breakers);
        all.retain(|_, breaker| Arc::strong_count(breaker) > 1);
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

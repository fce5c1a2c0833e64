//! State: what outlives snapshots. Keyed by the zones' stable ids, owned by the worker, shared by its threads.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::breaker::Breaker;
use crate::clients::ClientTable;
use crate::events::WafEvents;
use crate::kept::KeptCollections;
use crate::places::KnownPlaces;
use crate::rates::RateTable;
use crate::rule_sets::RuleSets;

/// A zone's stable id: random, never used again, the same over restarts and changes of the zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u64);

/// What a breaker belongs to: zone, stage, rule.
pub(crate) type BreakerKey = (ZoneId, &'static str, Option<Arc<str>>);

/// Beside the places of stages: some stage is off in some zone.
const SOME_ZONE: u32 = 1 << 31;
/// So few breakers are not worth sweeping.
const FEW: usize = 1_000;

/// What is switched off, by stages' places.
#[derive(Debug, Default)]
struct Off {
    /// In all zones, as the document says.
    document: u32,
    /// In all zones, by emergency switches.
    everywhere: u32,
    /// In these zones, by emergency switches.
    zones: HashMap<ZoneId, u32>,
}

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
    /// Where addresses are.
    pub places: KnownPlaces,
    /// Windows of rate limits.
    pub rates: RateTable,
    /// Milliseconds on the monotonic clock, as of the request that came last.
    now: AtomicU64,
    /// Stages that are off in all zones, by their places; and [`SOME_ZONE`].
    killed: AtomicU32,
    /// What makes them so, and stages that are off in one zone.
    off: RwLock<Off>,
    /// No optional stage is asked, in any zone.
    safe_mode: AtomicBool,
    /// Zones in which no optional stage is asked; and whether there is one, which guards ask without a lock.
    quarantined: RwLock<HashSet<ZoneId>>,
    any_quarantined: AtomicBool,
    pub(crate) breakers: Mutex<HashMap<BreakerKey, Arc<Breaker>>>,
    /// How many of them were left when they were swept last.
    swept: AtomicUsize,
    /// What stages of another process counted, as far as it is in `counts`.
    pub(crate) taken: Mutex<HashMap<&'static str, [u64; 6]>>,
    counts: Box<[(&'static str, StageCounts)]>,
    /// Rule sets of the WAF, shared by all zones that use them.
    pub rule_sets: RuleSets,
    /// What their rules keep from one request to the next.
    pub kept: KeptCollections,
    /// What they found last.
    pub waf_events: WafEvents,
    /// Milliseconds since 1970 at which the monotonic clock began.
    wall: AtomicU64,
    /// How many transactions have begun: a number that no other has.
    transactions: AtomicU64,
}

impl States {
    /// Nothing is known yet. `stages` are the names of all stages; `clients` is how many client addresses are kept, all zones
    /// together.
    pub fn new(stages: impl IntoIterator<Item = &'static str>, clients: usize) -> Self {
        Self {
            clients: ClientTable::new(clients),
            places: KnownPlaces::default(),
            rates: RateTable::new(clients),
            now: AtomicU64::new(0),
            killed: AtomicU32::new(0),
            off: RwLock::default(),
            safe_mode: AtomicBool::new(false),
            quarantined: RwLock::default(),
            any_quarantined: AtomicBool::new(false),
            breakers: Mutex::default(),
            swept: AtomicUsize::new(0),
            taken: Mutex::default(),
            counts: stages
                .into_iter()
                .map(|name| (name, StageCounts::default()))
                .collect(),
            rule_sets: RuleSets::default(),
            kept: KeptCollections::default(),
            waf_events: WafEvents::default(),
            wall: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
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

    /// Seconds since 1970, by [`States::now`].
    pub fn unix_seconds(&self) -> u64 {
        (self.wall.load(Ordering::Relaxed) + self.now()) / 1_000
    }

    /// Tells at which millisecond since 1970 the monotonic clock began.
    pub fn set_wall(&self, milliseconds: u64) {
        self.wall.store(milliseconds, Ordering::Relaxed);
    }

    /// A number that nobody else got.
    pub(crate) fn next_transaction(&self) -> u64 {
        self.transactions.fetch_add(1, Ordering::Relaxed)
    }

    /// The counts of all stages, by their names.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &StageCounts)> {
        self.counts.iter().map(|(name, counts)| (*name, counts))
    }

    /// Switches these stages off in all zones, at once, as the document says, and all others on again that no emergency switch
    /// holds.
    pub fn kill(&self, names: &[String]) {
        let bits = self.bits(|name| names.iter().any(|killed| killed == name));
        self.put_off(|off| off.document = bits);
    }

    /// Emergency switches: these stages are off, each in one zone or in all of them, at once; all that were so by an earlier call and are not named
    /// any more are on again.
    pub fn switch_off<'n>(&self, switches: impl IntoIterator<Item = (&'n str, Option<ZoneId>)>) {
        let mut everywhere = 0;
        let mut zones: HashMap<ZoneId, u32> = HashMap::new();
        for (stage, zone) in switches {
            let bit = self.bits(|name| name == stage);
            match zone {
                None => everywhere |= bit,
                Some(zone) => *zones.entry(zone).or_default() |= bit,
            }
        }
        self.put_off(|off| (off.everywhere, off.zones) = (everywhere, zones));
    }

    fn bits(&self, is_it: impl Fn(&str) -> bool) -> u32 {
        let places = self.counts.iter().enumerate().take(31);
        let named = places.filter(|(_, (name, _))| is_it(name));
        named.fold(0, |all, (place, _)| all | 1 << place)
    }

    fn put_off(&self, put: impl FnOnce(&mut Off)) {
        let mut off = self.off.write().unwrap_or_else(PoisonError::into_inner);
        put(&mut off);
        let some = if off.zones.is_empty() { 0 } else { SOME_ZONE };
        let bits = off.document | off.everywhere | some;
        self.killed.store(bits, Ordering::Release);
    }

    /// The stages that are switched off in all zones.
    pub fn killed(&self) -> impl Iterator<Item = &'static str> {
        let bits = self.killed.load(Ordering::Relaxed);
        let places = self.counts.iter().enumerate().take(31);
        places
            .filter(move |(place, _)| bits & (1 << place) != 0)
            .map(|(_, (name, _))| *name)
    }

    /// Whether anything is switched off anywhere.
    pub fn is_anything_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire) != 0
    }

    #[inline]
    pub(crate) fn is_killed(&self, place: u8, zone: ZoneId) -> bool {
        let killed = self.killed.load(Ordering::Acquire);
        killed & (SOME_ZONE | 1 << place) != 0 && self.looks_killed(killed, place, zone)
    }

    #[cold]
    fn looks_killed(&self, killed: u32, place: u8, zone: ZoneId) -> bool {
        if killed & (1 << place) != 0 {
            return true;
        }
        let off = self.off.read().unwrap_or_else(PoisonError::into_inner);
        off.zones
            .get(&zone)
            .is_some_and(|bits| bits & (1 << place) != 0)
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

    /// Forgets clients that were not seen for long, and keys whose span is over. Now and then.
    pub fn forget(&self, now: u64) {
        self.clients.sweep(now);
        self.rates.sweep(now);
    }

    /// Forgets what no snapshot uses any more.
    pub fn sweep(&self) {
        let mut all = locked(&self.breakers);
        all.retain(|_, breaker| Arc::strong_count(breaker) > 1);
        self.swept.store(all.len(), Ordering::Relaxed);
    }

    /// The same, where there are twice as many as were left the last time: each one costs the same, however many there are.
    pub fn sweep_where_many(&self) {
        let many = locked(&self.breakers).len();
        if many > FEW + 2 * self.swept.load(Ordering::Relaxed) {
            self.sweep();
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_off_where_anything_switches_it_off() {
        let states = States::new(["lists", "rules"], 10);
        let (a, b) = (ZoneId(1), ZoneId(2));
        let is_off = |place, zone| states.is_killed(place, zone);
        assert!(!is_off(0, a) && !states.is_anything_killed());
        states.switch_off([("rules", Some(a))]);
        assert!(is_off(1, a) && !is_off(1, b) && !is_off(0, a));
        assert!(states.is_anything_killed() && states.killed().next().is_none());
        states.kill(&["lists".into()]);
        assert!(is_off(0, a) && is_off(0, b) && is_off(1, a) && !is_off(1, b));
        states.switch_off([("lists", None), ("nobody", None)]);
        assert!(is_off(0, b) && !is_off(1, a));
        states.kill(&[]);
        assert!(is_off(0, b), "the emergency switch holds it");
        states.switch_off([]);
        assert!(!is_off(0, b) && !states.is_anything_killed());
    }

    #[test]
    fn the_time_of_all_threads_never_goes_back() {
        let states = States::new([], 10);
        assert_eq!(states.now(), 0);
        states.set_now(20);
        states.set_now(19);
        assert_eq!(states.now(), 20);
    }
}

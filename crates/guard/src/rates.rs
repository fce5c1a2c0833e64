//! Sliding windows, shared by all threads: how many requests had the same key within the last span of time.
//!
//! For each key the requests that were let pass are written down with their times, and forgotten when the span is over. So no span
//! ever has more of them than the limit says, wherever it begins. Up to [`EXACT`] requests have their times to the millisecond; with
//! more of them, times are rounded up to a 64th of the span, and room comes back late by so much at most, never early.
//!
//! The table is bounded as that of clients is ([`crate::clients`]): a zone may hold as many keys as are still free. A key for which
//! there is no room is not limited, and the caller is told so; those that are counted already stay counted. A key whose span is over
//! makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::states::ZoneId;

const SHARDS: usize = 64;
/// Requests whose times are kept to the millisecond.
const EXACT: u32 = 64;
/// Parts of the span to which times are rounded otherwise.
const PARTS: u64 = 64;
/// Times that a key has at most.
const MOST_RUNS: usize = PARTS as usize + 2;
/// No span is longer, in milliseconds.
const LONGEST: u64 = 2 * 86_400_000;

/// So many in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At most so many, at least 1.
    pub requests: u32,
    /// Milliseconds, at least 1.
    pub per: u64,
}

/// What came of asking for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whether this one was let pass, and counted.
    pub is_free: bool,
    /// How many more there is room for.
    pub left: u32,
    /// In how many milliseconds there is more room than now.
    pub more_in: u64,
}

/// Times of requests, and how many had each.
#[derive(Debug, Default)]
struct Window {
    runs: VecDeque<(u64, u32)>,
    total: u32,
    /// When all of it is forgotten.
    over: u64,
}

#[derive(Debug, Default)]
struct Shard {
    windows: HashMap<(ZoneId, u128), Window>,
    zones: HashMap<ZoneId, usize>,
    /// When room was made last, in milliseconds.
    swept: u64,
}

/// What one process hands to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandedRates {
    /// By which keys become numbers.
    pub secret: [u64; 4],
    /// The windows of keys.
    pub windows: Vec<HandedWindow>,
}

/// The window of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedWindow {
    /// The zone.
    pub zone: ZoneId,
    /// The number of its key.
    pub key: u128,
    /// When all of it is forgotten, in milliseconds of the machine's monotonic clock.
    pub over: u64,
    /// Times of requests in milliseconds, in their order, and how many had each.
    pub runs: Vec<(u64, u32)>,
}

/// SipHash-2-4.
#[expect(
    deprecated,
    reason = "the one hasher of the standard library whose secret can be handed on"
)]
fn number(key: &[u8], first: u64, second: u64) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(first, second);
    hasher.write(key);
    hasher.finish()
}

/// The windows of all keys.
#[derive(Debug)]
pub struct RateTable {
    first: Mutex<Shard>,
    /// The others.
    shards: Box<[Mutex<Shard>]>,
    /// By which keys become numbers of 128 bits: whoever does not know it finds no two with the same one. It goes to the next process, which
    /// would not know the keys again without it.
    secret: [AtomicU64; 4],
    most: AtomicUsize,
}

impl Rate {
    /// The time at which a request counts, for one that comes now: rounded up.
    fn rounded(self, now: u64) -> u64 {
        if self.requests <= EXACT {
            return now;
        }
        let part = (self.per / PARTS).max(1);
        now.div_ceil(part) * part
    }
}

impl Window {
    fn forget(&mut self, rate: Rate, now: u64) {
        while let Some((at, count)) = self.runs.front()
            && at + rate.per <= now
        {
            self.total = self.total.saturating_sub(*count);
            self.runs.pop_front();
        }
    }

    /// Adds what another process counted.
    fn merge(&mut self, handed: &HandedWindow) {
        let mut all: Vec<(u64, u32)> = self.runs.iter().chain(&handed.runs).copied().collect();
        all.sort_unstable();
        // Of equal times the larger count is the last one.
        all.reverse();
        all.dedup_by_key(|(at, _)| *at);
        all.reverse();
        self.total = all
            .iter()
            .fold(0, |total, (_, count)| total.saturating_add(*count));
        self.runs = all.into();
        self.over = self.over.max(handed.over);
    }

    fn take(&mut self, rate: Rate, now: u64) -> Room {
        self.forget(rate, now);
        let is_free = self.total < rate.requests;
        if is_free {
            // Another thread's clock may be ahead: times never go back.
            let last = self.runs.back().map_or(0, |(at, _)| *at);
            let at = rate.rounded(now).max(last);
            match self.runs.back_mut() {
                Some((last, count)) if *last == at => *count += 1,
                _ => self.runs.push_back((at, 1)),
            }
            self.total += 1;
            self.over = at + rate.per;
        }
        let oldest = self.runs.front().map_or(now, |(at, _)| *at);
        Room {
            is_free,
            left: rate.requests.saturating_sub(self.total),
            more_in: (oldest + rate.per).saturating_sub(now),
        }
    }
}

impl RateTable {
    /// For so many keys.
    pub fn new(most: usize) -> Self {
        Self {
            first: Mutex::default(),
            shards: (1..SHARDS).map(|_| Mutex::default()).collect(),
            secret: [0, 1, 2, 3].map(|nth: u64| AtomicU64::new(RandomState::new().hash_one(nth))),
            most: AtomicUsize::new(most),
        }
    }

    /// Another bound, for keys to come.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Asks for one more request with this key; none where the table has no room for the key.
    pub fn take(&self, zone: ZoneId, key: &[u8], rate: Rate, now: u64) -> Option<Room> {
        let [first, second, third, fourth] = self.secret();
        let high = number(key, first, second);
        let id = (
            zone,
            u128::from(high) << 64 | u128::from(number(key, third, fourth)),
        );
        let most = self.most.load(Ordering::Relaxed) / SHARDS;
        let mut shard = self.shard(high);
        if let Some(window) = shard.windows.get_mut(&id) {
            return Some(window.take(rate, now));
        }
        if !shard.has_room(zone, most) {
            shard.make_room(now);
            if !shard.has_room(zone, most) {
                return None;
            }
        }
        *shard.zones.entry(zone).or_default() += 1;
        Some(shard.windows.entry(id).or_default().take(rate, now))
    }

    fn secret(&self) -> [u64; 4] {
        self.secret
            .each_ref()
            .map(|part| part.load(Ordering::Relaxed))
    }

    /// What the next process goes on from: keys whose span is not over, so many at most, with so many times altogether.
    pub fn to_hand_over(&self, keys: usize, times: usize, now: u64) -> HandedRates {
        let (mut windows, mut left) = (Vec::new(), times);
        for shard in self.all() {
            for ((zone, key), window) in &shard.windows {
                if window.over <= now || windows.len() == keys || window.runs.len() > left {
                    continue;
                }
                left -= window.runs.len();
                windows.push(HandedWindow {
                    zone: *zone,
                    key: *key,
                    over: window.over,
                    runs: window.runs.iter().copied().collect(),
                });
            }
        }
        HandedRates {
            secret: self.secret(),
            windows,
        }
    }

    /// Goes on from what another process counted. The same may come once more, with more: of what both let pass at one time the larger counts.
    /// Once keys were counted here under another secret, nothing can be found again, and nothing is taken.
    pub fn take_over(&self, handed: &HandedRates, now: u64) {
        if handed.secret != self.secret() {
            if !self.is_empty() {
                return;
            }
            for (part, number) in self.secret.iter().zip(handed.secret) {
                part.store(number, Ordering::Relaxed);
            }
        }
        let most = self.most.load(Ordering::Relaxed) / SHARDS;
        for window in &handed.windows {
            let is_now = window.over > now && window.over <= now.saturating_add(LONGEST);
            if !is_now || window.runs.len() > MOST_RUNS {
                continue;
            }
            let id = (window.zone, window.key);
            let mut shard = self.shard((window.key >> 64) as u64);
            if !shard.windows.contains_key(&id) {
                if !shard.has_room(window.zone, most) {
                    continue;
                }
                *shard.zones.entry(window.zone).or_default() += 1;
            }
            shard.windows.entry(id).or_default().merge(window);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = self.shards.get(hash as usize % SHARDS);
        let shard = shard.unwrap_or(&self.first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        let all = std::iter::once(&self.first).chain(&self.shards);
        all.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys, in all zones.
    pub fn len(&self) -> usize {
        self.all().map(|shard| shard.windows.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets keys whose span is over. Now and then.
    pub fn sweep(&self, now: u64) {
        self.all().for_each(|mut shard| shard.forget(now));
    }
}

impl Shard {
    /// Whether this zone may have one more key: as many as are free, so that there is always room for another zone.
    fn has_room(&self, zone: ZoneId, most: usize) -> bool {
        let free = most.saturating_sub(self.windows.len());
        self.zones.get(&zone).copied().unwrap_or_default() < free
    }

    /// At most once a second: with a table full of fresh keys there is nothing to be found, and looking is dear.
    fn make_room(&mut self, now: u64) {
        if now < self.swept + 1_000 && self.swept > 0 {
            return;
        }
        self.swept = now.max(1);
        self.forget(now);
    }

    fn forget(&mut self, now: u64) {
        let zones = &mut self.zones;
        self.windows.retain(|(zone, _), window| {
            let keep = window.over > now;
            if !keep && let Some(held) = zones.get_mut(zone) {
                *held -= 1;
            }
            keep
        });
        zones.retain(|_, held| *held > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: ZoneId = ZoneId(1);
    const THREE: Rate = Rate {
        requests: 3,
        per: 1_000,
    };

    #[test]
    fn room_comes_back_when_each_request_is_a_span_ago() {
        let table = RateTable::new(10_000);
        let take = |now| table.take(ZONE, b"a", THREE, now).unwrap();
        let room = |is_free, left, more_in| Room {
            is_free,
            left,
            more_in,
        };
        assert_eq!(take(5_000), room(true, 2, 1_000));
        assert_eq!(take(5_300), room(true, 1, 700));
        assert_eq!(take(5_900), room(true, 0, 100));
        assert_eq!(take(5_999), room(false, 0, 1));
        assert_eq!(take(6_000), room(true, 0, 300));
        assert_eq!(take(6_299), room(false, 0, 1));
        assert_eq!(take(6_300), room(true, 0, 600));
        assert!(table.take(ZONE, b"b", THREE, 6_000).unwrap().is_free);
        assert!(table.take(ZoneId(2), b"a", THREE, 6_000).unwrap().is_free);
    }

    /// Whatever the times are, no span has more than the limit says; and where that would not be exceeded, nobody waits longer than a
    /// 64th of the span, and not at all with few requests.
    #[test]
    fn no_span_has_more_than_the_limit() {
        let mut number = 11_u64;
        let mut below = |most: u64| {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (number >> 33) % most
        };
        for (requests, per) in [
            (1, 1_000),
            (7, 1_000),
            (64, 10_000),
            (65, 10_000),
            (500, 6_400),
        ] {
            let rate = Rate { requests, per };
            let table = RateTable::new(10_000);
            let late = if requests <= EXACT { 0 } else { per / PARTS };
            let (mut now, mut passed) = (100_000, Vec::new());
            for _ in 0..5_000 {
                now += below(2 * per / u64::from(requests)) / if below(4) == 0 { 1 } else { 8 };
                let is_free = table.take(ZONE, b"k", rate, now).unwrap().is_free;
                let within = |from: u64| passed.iter().filter(|at| **at > from).count();
                if is_free {
                    assert!(within(now - per) < requests as usize, "{rate:?}");
                    passed.push(now);
                } else {
                    assert!(
                        within(now - per - late) >= requests as usize,
                        "{rate:?} waits too long"
                    );
                }
            }
            assert!(passed.len() < 5_000);
            let shard = table.all().find(|shard| !shard.windows.is_empty()).unwrap();
            let runs = shard.windows.values().map(|window| window.runs.len());
            assert!(runs.max().unwrap() <= 66, "memory of one key is bounded");
        }
    }

    #[test]
    fn threads_count_together() {
        let table = RateTable::new(10_000);
        let rate = Rate {
            requests: 1_000,
            per: 60_000,
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let take = |now: u64| table.take(ZONE, b"k", rate, 5_000 + now).unwrap();
                        (0..1_000).filter(|now| take(*now).is_free).count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn another_process_goes_on_from_what_was_counted() {
        let (old, new) = (RateTable::new(10_000), RateTable::new(10_000));
        let take = |table: &RateTable, now| table.take(ZONE, b"a", THREE, now).unwrap().is_free;
        assert!(take(&old, 5_000) && take(&old, 5_100));
        new.take_over(&old.to_hand_over(10, 100, 5_200), 5_200);
        assert!(take(&new, 5_200) && !take(&new, 5_300));
        // What the old one still let pass counts too, and what it handed over before counts once.
        assert!(take(&old, 5_300));
        new.take_over(&old.to_hand_over(10, 100, 5_400), 5_400);
        assert!(!take(&new, 6_050), "5,100, 5,200 and 5,300");
        assert!(take(&new, 6_100));
        let other = RateTable::new(10_000);
        assert!(take(&other, 5_000));
        other.take_over(&old.to_hand_over(10, 100, 5_400), 5_400);
        assert_eq!(other.len(), 1, "its keys are under another secret");
    }

    #[test]
    fn what_is_handed_over_is_bounded_and_what_is_over_is_not() {
        let old = RateTable::new(10_000);
        for key in 0..100_u32 {
            old.take(ZONE, &key.to_be_bytes(), THREE, 1_000).unwrap();
        }
        assert_eq!(old.to_hand_over(30, 1_000, 1_500).windows.len(), 30);
        assert_eq!(old.to_hand_over(1_000, 20, 1_500).windows.len(), 20);
        assert!(old.to_hand_over(1_000, 1_000, 2_000).windows.is_empty());
        let mut handed = old.to_hand_over(1, 1, 1_500);
        handed.windows[0].over = u64::MAX;
        let new = RateTable::new(10_000);
        new.take_over(&handed, 1_500);
        assert!(new.is_empty(), "nobody waits for ever");
    }

    #[test]
    fn a_full_table_limits_those_it_knows_and_forgets_those_whose_span_is_over() {
        let table = RateTable::new(6_400);
        assert!(table.take(ZONE, b"known", THREE, 1_000).unwrap().is_free);
        let flood = |zone, now: u64| {
            (0..20_000_u32)
                .filter(|nth| table.take(zone, &nth.to_be_bytes(), THREE, now).is_some())
                .count()
        };
        let held = flood(ZONE, 1_100);
        assert!(
            (2_000..=3_300).contains(&held),
            "{held}: half of it, for one zone"
        );
        assert!(
            table
                .take(ZONE, b"unknown", THREE, 1_100)
                .is_none_or(|room| room.is_free)
        );
        let known = |now| table.take(ZONE, b"known", THREE, now).unwrap().is_free;
        assert!(known(1_200) && known(1_200) && !known(1_200));
        assert!(
            table.take(ZoneId(2), b"other", THREE, 1_200).is_some(),
            "room for another zone"
        );
        assert!(
            flood(ZoneId(3), 5_000) > 2_000,
            "spans are over, and made room"
        );
        table.sweep(100_000);
        assert!(table.is_empty());
    }
}

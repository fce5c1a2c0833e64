//! Collections of the WAF that outlive a request: `IP`, `GLOBAL`, `SESSION`, `USER`, `RESOURCE`, of each zone its own; shared by all threads.
//!
//! What is counted is changed by differences, so that requests which count at once all count. Memory is bounded: where there is no room for a
//! collection, what has ended makes some, and else it is as if nobody had written. They are lost with the worker.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use seawall_waf::{Change, Collections, How, Kept};

use crate::states::ZoneId;

/// Locks; a collection belongs to one of them by its key.
const SHARDS: usize = 16;
/// Collections of all zones, and of one zone.
const MOST: usize = 65_536;
/// Variables of a collection, and bytes of a key, of a name and of a value.
const VARIABLES: usize = 32;
const KEY: usize = 256;
const NAME: usize = 64;
const VALUE: usize = 256;

/// Whose, which, and of whom.
type Key = (ZoneId, &'static str, Box<[u8]>);

/// All collections.
#[derive(Debug)]
pub struct KeptCollections {
    shards: [Mutex<HashMap<Key, Vec<Kept>>>; SHARDS],
    hasher: RandomState,
    most: usize,
}

/// Those of a zone, at some moment.
#[derive(Debug)]
pub(crate) struct OfZone<'k> {
    pub(crate) all: &'k KeptCollections,
    pub(crate) zone: ZoneId,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Default for KeptCollections {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl KeptCollections {
    /// Room for so many collections.
    fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            most,
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Vec<Kept>>> {
        let place = self.hasher.hash_one(key) as usize % SHARDS;
        let [first, ..] = &self.shards;
        let shard = self.shards.get(place).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collections for OfZone<'_> {
    fn read(&mut self, name: &'static str, key: &[u8]) -> Vec<Kept> {
        let key = (self.zone, name, key.into());
        let shard = self.all.shard(&key);
        let values = shard.get(&key).map(Vec::as_slice).unwrap_or_default();
        let alive = values.iter().filter(|kept| kept.ends > self.now);
        alive.cloned().collect()
    }

    fn write(&mut self, name: &'static str, key: &[u8], changes: Vec<Change>) {
        if key.len() > KEY {
            return;
        }
        let key: Key = (self.zone, name, key.into());
        let mut shard = self.all.shard(&key);
        if !shard.contains_key(&key) {
            let most = self.all.most.div_ceil(SHARDS);
            if shard.len() >= most {
                shard.retain(|_, values| values.iter().any(|kept| kept.ends > self.now));
            }
            // A zone that fills it leaves half of it to others.
            let is_ours = |key: &&Key| key.0 == self.zone;
            let half = most.div_ceil(2);
            let is_full = shard.len() >= most
                || shard.len() >= half && shard.keys().filter(is_ours).count() >= half;
            if is_full {
                return;
            }
        }
        let values = shard.entry(key).or_default();
        values.retain(|kept| kept.ends > self.now);
        for change in changes {
            apply(values, change, self.now);
        }
    }
}

fn apply(values: &mut Vec<Kept>, change: Change, now: u64) {
    let place = values.iter().position(|kept| kept.name == change.name);
    let old = place.and_then(|place| values.get(place));
    let value = match change.how {
        How::Gone => Vec::new(),
        How::To(value) => value,
        How::By(more) => {
            let old = old.and_then(|kept| std::str::from_utf8(&kept.value).ok()?.parse().ok());
            let new: i64 = old.unwrap_or(0i64).saturating_add(more);
            new.to_string().into_bytes()
        }
    };
    if change.ends <= now {
        if let Some(place) = place {
            values.swap_remove(place);
        }
        return;
    }
    if change.name.len() > NAME || value.len() > VALUE {
        return;
    }
    let new = Kept {
        name: change.name,
        value,
        ends: change.ends,
    };
    match place {
        Some(place) => {
            if let Some(kept) = values.get_mut(place) {
                *kept = new;
            }
        }
        None if values.len() < VARIABLES => values.push(new),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(name: &str, more: i64, ends: u64) -> Vec<Change> {
        vec![Change {
            name: name.into(),
            how: How::By(more),
            ends,
        }]
    }

    fn at(all: &KeptCollections, zone: u64, now: u64) -> OfZone<'_> {
        OfZone {
            all,
            zone: ZoneId(zone),
            now,
        }
    }

    fn value(of: &mut OfZone<'_>, key: &[u8], name: &str) -> String {
        let values = of.read("IP", key);
        let kept = values.iter().find(|kept| kept.name == name.as_bytes());
        kept.map_or_else(String::new, |kept| {
            String::from_utf8_lossy(&kept.value).into_owned()
        })
    }

    #[test]
    fn all_threads_count_together_and_zones_apart() {
        let all = KeptCollections::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        at(&all, 1, 10).write("IP", b"192.0.2.7", by("hits", 1, 20));
                    }
                });
            }
        });
        assert_eq!(value(&mut at(&all, 1, 10), b"192.0.2.7", "hits"), "2000");
        assert_eq!(value(&mut at(&all, 2, 10), b"192.0.2.7", "hits"), "");
        assert_eq!(
            value(&mut at(&all, 1, 20), b"192.0.2.7", "hits"),
            "",
            "it has ended"
        );
        at(&all, 1, 21).write("IP", b"192.0.2.7", by("hits", 1, 30));
        assert_eq!(value(&mut at(&all, 1, 21), b"192.0.2.7", "hits"), "1");
    }

    #[test]
    fn memory_is_bounded_and_what_has_ended_makes_room() {
        let all = KeptCollections::new(SHARDS * 8);
        for number in 0..10_000u32 {
            at(&all, 1, 10).write("IP", &number.to_be_bytes(), by("hits", 1, 20));
        }
        let count = || -> usize {
            all.shards
                .iter()
                .map(|shard| shard.lock().unwrap().len())
                .sum()
        };
        assert_eq!(count(), SHARDS * 4, "a zone has half of it");
        for number in 0..10_000u32 {
            at(&all, 2, 10).write("IP", &number.to_be_bytes(), by("hits", 1, 99));
        }
        assert_eq!(count(), SHARDS * 8);
        at(&all, 3, 30).write("IP", b"late", by("hits", 1, 99));
        assert_eq!(value(&mut at(&all, 3, 30), b"late", "hits"), "1");
        let many: Vec<Change> = (0..100).flat_map(|n| by(&format!("v{n}"), 1, 99)).collect();
        at(&all, 3, 30).write("IP", b"late", many);
        assert_eq!(at(&all, 3, 30).read("IP", b"late").len(), VARIABLES);
        let long = vec![Change {
            name: b"long".to_vec(),
            how: How::To(vec![b'x'; VALUE + 1]),
            ends: 99,
        }];
        at(&all, 2, 10).write("IP", b"x", long);
        assert_eq!(value(&mut at(&all, 2, 10), b"x", "long"), "");
    }
}

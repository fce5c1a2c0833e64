//! The stable ids of zones. What outlives a configuration is kept by id, never by name: a zone that goes and another that comes
//! later under its name share nothing.
//!
//! Not here: where ids are kept over restarts (the process' own folder).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use seawall_guard::ZoneId;

/// Ids by name.
#[derive(Debug, Default)]
pub struct ZoneIds {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Box<str>, ZoneId>,
    used: HashSet<ZoneId>,
    /// Its keys come from the system's randomness.
    random: RandomState,
    made: u64,
    /// There are others than those that were kept last.
    changed: bool,
}

impl ZoneIds {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the zone with this name, a new one where it has none.
    pub fn of(&self, name: &str) -> ZoneId {
        let mut known = self.known();
        if let Some(id) = known.by_name.get(name) {
            return *id;
        }
        let id = known.draw();
        known.changed = true;
        known.by_name.insert(name.into(), id);
        id
    }

    /// The id of the zone with this name, if it has one.
    pub fn get(&self, name: &str) -> Option<ZoneId> {
        self.known().by_name.get(name).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known().by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what an earlier process kept. Names that have ids already keep those; an id that is nobody's, or somebody's already,
    /// is left out. Returns how many were.
    pub fn restore<'a>(&self, kept: impl IntoIterator<Item = (&'a str, ZoneId)>) -> usize {
        let mut known = self.known();
        let mut left_out = 0;
        for (name, id) in kept {
            let is_good = id != ZoneId::default() && !known.used.contains(&id);
            if is_good && !known.by_name.contains_key(name) {
                known.by_name.insert(name.into(), id);
                known.used.insert(id);
            } else {
                left_out += 1;
                known.changed = true;
            }
        }
        left_out
    }

    /// All of them, to be kept.
    pub fn all(&self) -> BTreeMap<String, ZoneId> {
        let known = self.known();
        let all = known.by_name.iter();
        all.map(|(name, id)| (name.to_string(), *id)).collect()
    }

    /// All of them, sorted by name, if they are not those that were given last.
    pub fn changed(&self) -> Option<Vec<(Box<str>, ZoneId)>> {
        let mut known = self.known();
        if !std::mem::take(&mut known.changed) {
            return None;
        }
        let all = known.by_name.iter();
        let mut all: Vec<_> = all.map(|(name, id)| (name.clone(), *id)).collect();
        drop(known);
        all.sort_unstable();
        Some(all)
    }

    /// Whether there is something to keep.
    pub fn is_changed(&self) -> bool {
        self.known().changed
    }

    /// Those that were given last could not be kept.
    pub fn keep_again(&self) {
        self.known().changed = true;
    }

    /// Forgets all others. Should a name come back it gets a new id.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut known = self.known();
        let Known {
            by_name,
            used,
            changed,
            ..
        } = &mut *known;
        let before = by_name.len();
        by_name.retain(|name, id| is_there(name) || !used.remove(id));
        *changed |= by_name.len() < before;
    }

    /// Forgets one.
    pub fn forget(&self, name: &str) {
        let mut known = self.known();
        if let Some(id) = known.by_name.remove(name) {
            known.used.remove(&id);
            known.changed = true;
        }
    }
}

impl Known {
    /// 64 bits that nobody has, and nobody had: no number comes twice before 2^32 zones have come and gone.
    fn draw(&mut self) -> ZoneId {
        loop {
            self.made += 1;
            let id = ZoneId(self.random.hash_one(self.made));
            if id != ZoneId::default() && self.used.insert(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_until_it_goes() {
        let ids = ZoneIds::default();
        let (a, b) = (ids.of("a"), ids.of("b"));
        assert_ne!(a, b);
        assert_eq!((ids.of("a"), ids.get("b")), (a, Some(b)));
        ids.retain(|name| name == "b");
        assert_eq!((ids.get("a"), ids.get("b")), (None, Some(b)));
        assert_ne!(ids.of("a"), a, "an id is never used again");
    }

    #[test]
    fn ids_outlive_a_process_and_what_is_broken_is_left_out() {
        let before = ZoneIds::default();
        let (a, b) = (before.of("a"), before.of("b"));
        let kept = before.all();
        let after = ZoneIds::default();
        let kept = kept.iter().map(|(name, id)| (name.as_str(), *id));
        assert_eq!(after.restore(kept), 0);
        assert_eq!((after.of("a"), after.of("b")), (a, b));
        let broken = [
            ("c", a),
            ("d", ZoneId(0)),
            ("b", ZoneId(7)),
            ("e", ZoneId(9)),
        ];
        assert_eq!(after.restore(broken), 3);
        assert_eq!((after.of("b"), after.of("e")), (b, ZoneId(9)));
        assert_ne!(after.of("c"), a);
    }
}

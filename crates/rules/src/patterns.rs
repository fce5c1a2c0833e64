//! The patterns of a document: equal ones are compiled once and shared, and what compiling them takes has a bound for each zone
//! and for all zones together.
//!
//! What a pattern costs depends on its text and on what its expression has left, and on nothing else. Zones are charged in the
//! order of the document: a zone that is taken over from what serves is charged as if it were compiled, so that the same document
//! gets the same verdict whatever was live before. Work is counted in bytes that are built, thrown away ones included.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use seawall_model::{Trie, Wrong};

use crate::pattern::{Budget, Pattern, Refused};

/// What a pattern's outcome depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pattern: Arc<str>,
    any_case: bool,
    budget: Budget,
}

/// A pattern, what it cost, and what it left of its expression's budget.
#[derive(Clone, Debug)]
struct Shared {
    pattern: Arc<Pattern>,
    work: usize,
    left: Budget,
}

/// A pattern of a document, and how many zones hold it.
#[derive(Clone, Debug)]
struct Kept {
    key: Key,
    shared: Shared,
    zones: u32,
}

impl Key {
    fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// The patterns that one zone holds, each once, in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub struct ZonePatterns(Box<[(Key, Shared)]>);

impl ZonePatterns {
    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The work of compiling them, in bytes.
    pub fn work(&self) -> usize {
        self.0.iter().map(|(_, shared)| shared.work).sum()
    }
}

/// The patterns of a document while it is compiled.
#[derive(Clone, Debug)]
pub struct Patterns {
    kept: Trie<Kept>,
    /// Work that one zone may make, and all of them.
    most: (usize, usize),
    /// Work so far: of this zone, each of its patterns once; and of all zones, each pattern once.
    spent: (usize, usize),
    of_zone: Vec<(Key, Shared)>,
    met: HashSet<Key>,
    compiled: usize,
}

impl Patterns {
    /// With bounds on the work of one zone and of all zones, in bytes.
    pub fn new(zone_bytes: usize, document_bytes: usize) -> Self {
        Self {
            kept: Trie::default(),
            most: (zone_bytes, document_bytes),
            spent: (0, 0),
            of_zone: Vec::new(),
            met: HashSet::new(),
            compiled: 0,
        }
    }

    /// For expressions by themselves, which have a bound of their own.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }

    /// What follows is of the next zone.
    pub fn begin_zone(&mut self) {
        self.spent.0 = 0;
        self.of_zone.clear();
        self.met.clear();
    }

    /// The patterns of the zone that was begun last.
    pub fn of_zone(&mut self) -> ZonePatterns {
        ZonePatterns(std::mem::take(&mut self.of_zone).into())
    }

    /// One more zone holds these, and serves.
    pub fn hold(&mut self, zone: &ZonePatterns) {
        for (key, shared) in &zone.0 {
            let zones = self.kept(key).map_or(0, |kept| kept.zones) + 1;
            self.keep(key, shared, zones);
        }
    }

    /// A zone that held these is gone: what no zone holds any more costs nothing.
    pub fn release(&mut self, zone: &ZonePatterns) {
        for (key, shared) in &zone.0 {
            let Some(zones) = self.kept(key).map(|kept| kept.zones) else {
                continue;
            };
            if zones > 1 {
                self.keep(key, shared, zones - 1);
            } else {
                self.kept.remove(key.number(), |kept| kept.key == *key);
                self.spent.1 = self.spent.1.saturating_sub(shared.work);
            }
        }
    }

    /// The zones that were refused hold nothing: only what those that serve hold is kept, and charged from now on.
    pub fn settle(&mut self) {
        let mut settled = Self::new(self.most.0, self.most.1);
        for kept in self.kept.iter().filter(|kept| kept.zones > 0) {
            settled.keep(&kept.key, &kept.shared, kept.zones);
            settled.spent.1 += kept.shared.work;
        }
        *self = settled;
    }

    fn kept(&self, key: &Key) -> Option<&Kept> {
        self.kept.get(key.number(), |kept| kept.key == *key)
    }

    fn keep(&mut self, key: &Key, shared: &Shared, zones: u32) {
        let kept = Kept {
            key: key.clone(),
            shared: shared.clone(),
            zones,
        };
        self.kept
            .insert(key.number(), kept, |kept| kept.key == *key);
    }

    /// Charges a zone that is there already. False, and nothing is charged, where compiling it would go over the bound of all.
    pub fn take_over(&mut self, zone: &ZonePatterns) -> bool {
        let new = zone.0.iter().filter(|(key, _)| self.kept(key).is_none());
        let work: usize = new.map(|(_, shared)| shared.work).sum();
        if work > 0 && self.spent.1.saturating_add(work) > self.most.1 {
            return false;
        }
        self.spent.1 += work;
        self.hold(zone);
        true
    }

    /// How often a pattern was really compiled.
    pub fn compiled(&self) -> usize {
        self.compiled
    }

    /// The work so far of all zones, in bytes. The last pattern may go over the bound, by what one expression may cost.
    pub fn work(&self) -> usize {
        self.spent.1
    }

    /// A pattern, compiled or shared. Takes from the budget of its expression.
    pub(crate) fn pattern(
        &mut self,
        pattern: &str,
        any_case: bool,
        budget: &mut Budget,
    ) -> Result<Arc<Pattern>, Refused> {
        let key = Key {
            pattern: pattern.into(),
            any_case,
            budget: *budget,
        };
        let shared = match self.kept(&key) {
            Some(kept) => kept.shared.clone(),
            None => self.compile(&key)?,
        };
        if self.met.insert(key.clone()) {
            self.charge_zone(shared.work)?;
            self.of_zone.push((key, shared.clone()));
        }
        *budget = shared.left;
        Ok(shared.pattern)
    }

    fn compile(&mut self, key: &Key) -> Result<Shared, Refused> {
        // Once a bound is passed nothing more is compiled: the time of a refused document is bounded too.
        if self.spent.0 > self.most.0 {
            return Err(zone_is_over(self.most.0));
        }
        if self.spent.1 > self.most.1 {
            return Err(document_is_over(self.most.1));
        }
        self.compiled += 1;
        let mut left = key.budget;
        let made = Pattern::compile(&key.pattern, key.any_case, &mut left);
        let work = match &made {
            Ok((_, work)) => *work,
            Err(refused) => refused.work,
        };
        self.spent.1 = self.spent.1.saturating_add(work);
        let pattern = match made {
            Ok((pattern, _)) => Arc::new(pattern),
            Err(refused) => {
                self.spent.0 = self.spent.0.saturating_add(work);
                return Err(refused);
            }
        };
        let shared = Shared {
            pattern,
            work,
            left,
        };
        if self.spent.1 > self.most.1 {
            return Err(document_is_over(self.most.1));
        }
        self.keep(key, &shared, 0);
        Ok(shared)
    }

    fn charge_zone(&mut self, work: usize) -> Result<(), Refused> {
        self.spent.0 = self.spent.0.saturating_add(work);
        if self.spent.0 > self.most.0 {
            return Err(zone_is_over(self.most.0));
        }
        Ok(())
    }
}

fn zone_is_over(most: usize) -> Refused {
    over(format!(
        "with this pattern those of the zone take more than {} KiB to compile",
        most >> 10
    ))
}

fn document_is_over(most: usize) -> Refused {
    over(format!(
        "with this pattern those of all zones take more than {} KiB to compile",
        most >> 10
    ))
}

fn over(what: String) -> Refused {
    Refused {
        place: None,
        wrong: Wrong::new(
            what,
            "repeat less often within patterns (x{1,60}), use contains, starts_with or in where they do, or write equal \
             patterns in equal conditions: those count once",
        ),
        work: 0,
        is_of_many: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAR: &str = "(a{1,60}b{1,60}){1,8}c";

    fn budget() -> Budget {
        Budget::new(256 << 10)
    }

    fn take(patterns: &mut Patterns, pattern: &str) -> Result<Arc<Pattern>, String> {
        patterns
            .pattern(pattern, false, &mut budget())
            .map_err(|refused| refused.wrong.what)
    }

    #[test]
    fn equal_patterns_are_compiled_once_and_leave_the_same() {
        let mut patterns = Patterns::unbounded();
        let (mut first, mut second) = (budget(), budget());
        let one = patterns.pattern(DEAR, false, &mut first).unwrap();
        patterns.begin_zone();
        let two = patterns.pattern(DEAR, false, &mut second).unwrap();
        assert!(Arc::ptr_eq(&one, &two) && first == second && first != budget());
        assert_eq!(patterns.compiled(), 1);
        patterns.pattern(DEAR, true, &mut budget()).unwrap();
        patterns.pattern(DEAR, false, &mut first).unwrap();
        assert_eq!(patterns.compiled(), 3);
    }

    #[test]
    fn a_zone_pays_for_each_of_its_patterns_once_shared_or_not() {
        let mut patterns = Patterns::unbounded();
        take(&mut patterns, DEAR).unwrap();
        let work = patterns.of_zone().work();
        assert!(work > 64 << 10, "{work}");
        let mut patterns = Patterns::new(5 * work / 2, usize::MAX);
        for _ in 0..2 {
            patterns.begin_zone();
            for nth in [0, 0, 1, 1] {
                take(&mut patterns, &format!("{DEAR}{nth}"))
                    .unwrap_or_else(|what| panic!("{what}"));
            }
            let error = take(&mut patterns, &format!("{DEAR}2")).unwrap_err();
            assert!(error.contains("those of the zone"), "{error}");
        }
        patterns.begin_zone();
        take(&mut patterns, &format!("{DEAR}2")).unwrap();
    }

    #[test]
    fn what_all_zones_compile_has_a_bound_also_when_it_is_refused() {
        let most = 1 << 20;
        let mut patterns = Patterns::new(usize::MAX, most);
        let mut refused = 0;
        for nth in 0..1_000 {
            patterns.begin_zone();
            refused += usize::from(take(&mut patterns, &format!("{DEAR}{nth}")).is_err());
            // Too large by itself: paid for as well.
            take(&mut patterns, &format!("a{{900}}{{900}}{nth}")).unwrap_err();
        }
        assert!(refused > 990 && patterns.compiled() < 20, "{refused}");
        assert!(patterns.work() < most + (512 << 10));
        // What was compiled is still there for who writes the same.
        take(&mut patterns, &format!("{DEAR}0")).unwrap();
    }

    #[test]
    fn a_zone_that_is_taken_over_is_charged_as_if_it_were_compiled() {
        let mut before = Patterns::unbounded();
        for nth in [1, 2, 1] {
            take(&mut before, &format!("{DEAR}{nth}")).unwrap();
        }
        let zone = before.of_zone();
        assert_eq!((zone.len(), zone.work()), (2, before.work()));
        let mut after = Patterns::new(usize::MAX, zone.work() + 1);
        assert!(after.take_over(&zone) && after.take_over(&zone));
        assert_eq!((after.work(), after.compiled()), (zone.work(), 0));
        take(&mut after, &format!("{DEAR}1")).unwrap();
        assert_eq!(after.compiled(), 0);
        take(&mut after, DEAR).unwrap_err();
        assert!(after.take_over(&zone));
        assert!(!Patterns::new(usize::MAX, zone.work() - 1).take_over(&zone));
    }
}

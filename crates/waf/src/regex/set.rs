//! Many patterns in one pass over a text.
//!
//! One lazy DFA over all of them says which ones occur. A text that makes it build more than a number of transitions is given up:
//! each of them costs tens of microseconds, because all patterns are alive in it. Who gave up asks the patterns one by one.

use std::collections::HashMap;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use seawall_model::{Fuel, Spent};

use super::built::Sizes;
use super::{how, translate};

/// Units for beginning.
const BEGIN: u64 = 20;
/// Units for ten bytes of text whose transitions are there.
const TEN_BYTES: u64 = 20;
/// Bytes that the transitions may take for a thread; past them they are forgotten.
const CACHE: usize = 4 << 20;
/// Bytes of states.
const NFA_LIMIT: usize = 32 << 20;

/// A set of patterns.
#[derive(Debug)]
pub(crate) struct Set {
    dfa: DFA,
}

/// What a thread keeps for a [`Set`].
#[derive(Clone, Debug)]
pub(crate) struct SetCache {
    dfa: Cache,
    sizes: Sizes,
    /// Transitions out of states in which something matches, which the DFA gives without saying whether it had to build them.
    from_match: HashMap<(LazyStateID, u8), LazyStateID>,
    /// How often the DFA had forgotten its states when `from_match` began.
    clears: usize,
}

impl SetCache {
    /// Bytes that the states take, and how often they were forgotten because they took too many.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let beside = self.from_match.len() * 24 + self.sizes.memory();
        (self.dfa.memory_usage() + beside, self.dfa.clear_count())
    }

    /// A transition that is there already.
    fn known(&mut self, dfa: &DFA, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        if !state.is_tagged() {
            let next = dfa.next_state_untagged(&self.dfa, state, byte);
            return (!next.is_unknown()).then_some(next);
        }
        self.from_match.get(&(state, byte)).copied()
    }

    /// Builds a transition.
    fn build(
        &mut self,
        dfa: &DFA,
        state: LazyStateID,
        byte: u8,
        fuel: &mut Fuel,
    ) -> Result<Option<LazyStateID>, Spent> {
        let built = self.sizes.next(dfa, &mut self.dfa, (state, byte), fuel)?;
        let Some(next) = built else {
            return Ok(None);
        };
        if self.clears != self.dfa.clear_count() {
            self.clears = self.dfa.clear_count();
            self.from_match.clear();
        } else if state.is_tagged() {
            self.from_match.insert((state, byte), next);
        }
        Ok(Some(next))
    }
}

/// Which of the patterns occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits(Vec<u64>);

impl Hits {
    pub(crate) fn add(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.0
            .get(number / 64)
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl Set {
    /// Compiles patterns that are known to be good one by one. None when together they are too large.
    pub(crate) fn new(patterns: &[&str]) -> Option<Self> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| translate(pattern)).collect();
        let nfa = thompson::Compiler::new()
            .syntax(how(false))
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(NFA_LIMIT)),
            )
            .build_many(&patterns)
            .ok()?;
        let dfa = DFA::builder()
            .configure(
                Config::new()
                    .match_kind(MatchKind::All)
                    .cache_capacity(CACHE)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(nfa)
            .ok()?;
        Some(Self { dfa })
    }

    /// What a thread needs.
    pub(crate) fn cache(&self) -> SetCache {
        SetCache {
            dfa: self.dfa.create_cache(),
            sizes: Sizes::default(),
            from_match: HashMap::new(),
            clears: 0,
        }
    }

    /// Bytes that it takes, without caches.
    pub(crate) fn memory(&self) -> usize {
        self.dfa.get_nfa().memory_usage()
    }

    /// Adds what occurs in the text to `hits`, the first pattern as bit `first`. False when it gave up, because more than `budget`
    /// transitions had to be built; what was built is taken from it.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        cache: &mut SetCache,
        (hits, first): (&mut Hits, usize),
        budget: &mut u32,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        let dfa = &self.dfa;
        fuel.spend(BEGIN + text.len() as u64 * TEN_BYTES / 10)?;
        let input = Input::new(text).anchored(Anchored::No);
        let started = cache.sizes.start(dfa, &mut cache.dfa, &input, fuel)?;
        let Some(mut state) = started else {
            return Ok(false);
        };
        let mut told = None;
        for byte in text {
            let next = match cache.known(dfa, state, *byte) {
                Some(next) => next,
                None => {
                    let Some(left) = budget.checked_sub(1) else {
                        return Ok(false);
                    };
                    *budget = left;
                    match cache.build(dfa, state, *byte, fuel)? {
                        Some(next) => next,
                        None => return Ok(false),
                    }
                }
            };
            if next.is_tagged() {
                if next.is_match() && told != Some(next) {
                    told = Some(next);
                    tell(dfa, &cache.dfa, next, hits, first);
                }
                if next.is_dead() {
                    return Ok(true);
                }
            }
            state = next;
        }
        let Ok(end) = dfa.next_eoi_state(&mut cache.dfa, state) else {
            return Ok(false);
        };
        if end.is_match() {
            tell(dfa, &cache.dfa, end, hits, first);
        }
        Ok(true)
    }
}

fn tell(dfa: &DFA, cache: &Cache, state: LazyStateID, hits: &mut Hits, first: usize) {
    for nth in 0..dfa.match_len(cache, state) {
        hits.add(first + dfa.match_pattern(cache, state, nth).as_usize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(set: &Set, text: &str, budget: &mut u32) -> (bool, Hits) {
        let mut hits = Hits::default();
        let mut fuel = Fuel::new(u64::MAX);
        let done = set
            .scan(
                text.as_bytes(),
                &mut set.cache(),
                (&mut hits, 0),
                budget,
                &mut fuel,
            )
            .unwrap();
        (done, hits)
    }

    #[test]
    fn one_pass_finds_all_patterns_that_occur() {
        let set = Set::new(&["abc", "b+", "(?i)C$", "^x", r"\bab"]).unwrap();
        let (done, hits) = scan(&set, "xabc", &mut 1000);
        assert!(done);
        let found: Vec<_> = (0..5).filter(|number| hits.has(*number)).collect();
        assert_eq!(found, [0, 1, 2, 3]);
        let (_, hits) = scan(&set, "ab", &mut 1000);
        let found: Vec<_> = (0..5).filter(|number| hits.has(*number)).collect();
        assert_eq!(found, [1, 4]);
        assert!(scan(&set, "", &mut 9).1.is_empty());
    }

    #[test]
    fn it_gives_up_when_too_much_has_to_be_built() {
        let set = Set::new(&["abcdefgh"]).unwrap();
        let mut budget = 3;
        assert!(!scan(&set, "abcdefgh", &mut budget).0);
        assert_eq!(budget, 0);
    }
}

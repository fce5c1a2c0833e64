//! Patterns in linear time, paid for with fuel.
//!
//! A search steps a lazy DFA itself, and counts the transitions that it has to build: those are what a hostile text makes dear.
//! Past a number of them it follows the states of the pattern side by side, which is bounded whatever is sent
//! (decision 0040). Captures are looked for only in what matched.

mod built;
pub(crate) mod names;
mod required;
mod set;
mod side_by_side;
mod translate;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};
use seawall_model::problem::quote;
use seawall_model::{Fuel, Spent, Wrong};

use built::Sizes;
pub(crate) use required::{Bytes, Required};
pub(crate) use set::{Hits, Set, SetCache};
pub(crate) use side_by_side::Places;
pub(crate) use translate::translate;

/// Units for beginning a search.
const BEGIN: u64 = 30;
/// Units for ten bytes of text in a DFA whose transitions are there.
const TEN_BYTES: u64 = 15;
/// How many transitions a search builds before it turns to following states.
const MOST_BUILT: u32 = 300;
/// Bytes of a pattern's states.
const NFA_LIMIT: usize = 4 << 20;
/// Bytes that the transitions of a pattern may take for a thread; past them they are forgotten.
const CACHE: usize = 512 << 10;
/// Units for a byte of what matched while groups are looked for.
const CAPTURED: u64 = 60;
/// Bytes of marks, a bit for each state at each byte of a text, up to which ways are followed one after the other.
const VISITED: usize = 4 << 10;
/// Groups within groups.
const NEST: u32 = 100;

/// How patterns are read: bytes, ASCII classes, `.` is any byte.
pub(crate) fn how(any_case: bool) -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .case_insensitive(any_case)
        .nest_limit(NEST)
}

/// A pattern.
#[derive(Debug)]
pub(crate) struct Regex {
    dfa: DFA,
    groups: Option<Groups>,
}

/// What finds groups: in short texts one way after the other, in longer ones all at once. Both are linear.
#[derive(Debug)]
struct Groups {
    vm: PikeVM,
    backtracker: BoundedBacktracker,
}

/// What a thread keeps for a [`Regex`].
#[derive(Clone, Debug)]
pub(crate) struct RegexCache {
    dfa: Cache,
    sizes: Sizes,
    vm: Option<Box<pikevm::Cache>>,
    backtracker: Option<Box<backtrack::Cache>>,
}

/// What a thread keeps for all patterns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    /// By the number of the pattern.
    caches: Vec<Option<RegexCache>>,
    places: Places,
    /// How often a search had to follow states side by side.
    pub(crate) fallbacks: u64,
}

impl Regex {
    /// Compiles a pattern as SecLang writes it. `captures`: whether groups will be asked for.
    pub(crate) fn new(pattern: &str, any_case: bool, captures: bool) -> Result<Self, Wrong> {
        let pattern = translate(pattern);
        let which = if captures {
            WhichCaptures::All
        } else {
            WhichCaptures::None
        };
        let nfa = thompson::Compiler::new()
            .syntax(how(any_case))
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(which)
                    .nfa_size_limit(Some(NFA_LIMIT)),
            )
            .build(&pattern)
            .map_err(|error| refused(&pattern, &error))?;
        let dfa = DFA::builder()
            .configure(
                Config::new()
                    .match_kind(MatchKind::LeftmostFirst)
                    .cache_capacity(CACHE)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(nfa.clone())
            .map_err(|error| Wrong::new(error.to_string(), "write it with fewer parts"))?;
        let groups = match captures {
            true => Some(Groups::new(nfa, &pattern)?),
            false => None,
        };
        Ok(Self { dfa, groups })
    }

    fn nfa(&self) -> &NFA {
        self.dfa.get_nfa()
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.nfa().memory_usage()
    }

    /// Whether the pattern occurs in the text. `number` is the pattern's own among those that use `threads`.
    pub(crate) fn occurs(
        &self,
        text: &[u8],
        number: usize,
        threads: &mut Threads,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        fuel.spend(BEGIN)?;
        let stepped = match threads.cache(number, self) {
            Some(cache) => step(&self.dfa, cache, text, fuel)?,
            None => None,
        };
        match stepped {
            Some(found) => Ok(found),
            None => {
                threads.fallbacks += 1;
                side_by_side::occurs(self.nfa(), text, &mut threads.places, fuel)
            }
        }
    }

    /// What matched, and its groups, as ranges; empty when nothing matches or no groups were compiled.
    pub(crate) fn captures(
        &self,
        text: &[u8],
        number: usize,
        threads: &mut Threads,
        fuel: &mut Fuel,
    ) -> Result<Vec<Option<(usize, usize)>>, Spent> {
        let Some(finder) = &self.groups else {
            return Ok(Vec::new());
        };
        fuel.spend(BEGIN + text.len() as u64 * CAPTURED)?;
        let Some(cache) = threads.cache(number, self) else {
            return Ok(Vec::new());
        };
        let mut groups: Captures = finder.vm.create_captures();
        finder.find(text, cache, &mut groups);
        if !groups.is_match() {
            return Ok(Vec::new());
        }
        Ok(groups
            .iter()
            .take(10)
            .map(|span| span.map(|span| (span.start, span.end)))
            .collect())
    }
}

impl Groups {
    fn new(nfa: NFA, pattern: &str) -> Result<Self, Wrong> {
        let vm = PikeVM::new_from_nfa(nfa.clone()).map_err(|error| refused(pattern, &error))?;
        let backtracker = BoundedBacktracker::builder()
            .configure(backtrack::Config::new().visited_capacity(VISITED))
            .build_from_nfa(nfa)
            .map_err(|error| refused(pattern, &error))?;
        Ok(Self { vm, backtracker })
    }

    fn find(&self, text: &[u8], cache: &mut RegexCache, groups: &mut Captures) {
        if text.len() <= self.backtracker.max_haystack_len() {
            let own = &self.backtracker;
            let cache = cache
                .backtracker
                .get_or_insert_with(|| Box::new(own.create_cache()));
            // It fails for texts that are too long alone.
            if own.try_captures(cache, text, groups).is_ok() {
                return;
            }
        }
        let cache = cache
            .vm
            .get_or_insert_with(|| Box::new(self.vm.create_cache()));
        self.vm.captures(cache, text, groups);
    }
}

impl Threads {
    /// Bytes that the states of all patterns take.
    pub(crate) fn memory(&self) -> usize {
        self.caches
            .iter()
            .flatten()
            .map(|cache| cache.dfa.memory_usage() + cache.sizes.memory())
            .sum()
    }

    fn cache(&mut self, number: usize, regex: &Regex) -> Option<&mut RegexCache> {
        if self.caches.len() <= number {
            self.caches.resize_with(number + 1, || None);
        }
        let place = self.caches.get_mut(number)?;
        Some(place.get_or_insert_with(|| RegexCache {
            dfa: regex.dfa.create_cache(),
            sizes: Sizes::default(),
            vm: None,
            backtracker: None,
        }))
    }
}

/// Steps the DFA; None when too many transitions had to be built.
fn step(
    dfa: &DFA,
    cache: &mut RegexCache,
    text: &[u8],
    fuel: &mut Fuel,
) -> Result<Option<bool>, Spent> {
    let RegexCache {
        dfa: cache, sizes, ..
    } = cache;
    fuel.spend(text.len() as u64 * TEN_BYTES / 10)?;
    let input = Input::new(text).anchored(Anchored::No);
    let Some(mut state) = sizes.start(dfa, cache, &input, fuel)? else {
        return Ok(None);
    };
    if state.is_match() {
        return Ok(Some(true));
    }
    if state.is_tagged() {
        // A DFA without start tags and quit bytes has no such states; side by side is right for all.
        return Ok(None);
    }
    let mut built = 0u32;
    for byte in text {
        let mut next = dfa.next_state_untagged(cache, state, *byte);
        if next.is_tagged() {
            if next.is_unknown() {
                built += 1;
                if built > MOST_BUILT {
                    return Ok(None);
                }
                next = match sizes.next(dfa, cache, (state, *byte), fuel)? {
                    Some(next) => next,
                    None => return Ok(None),
                };
            }
            if next.is_match() {
                return Ok(Some(true));
            }
            if next.is_dead() {
                return Ok(Some(false));
            }
        }
        state = next;
    }
    end(dfa, cache, state).map_or(Ok(None), |state| Ok(Some(state.is_match())))
}

fn end(dfa: &DFA, cache: &mut Cache, state: LazyStateID) -> Option<LazyStateID> {
    dfa.next_eoi_state(cache, state).ok()
}

/// What is wrong with a pattern, in a line.
fn refused(pattern: &str, error: &thompson::BuildError) -> Wrong {
    let said = std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| source.to_string());
    let what = said.rsplit_once("error: ").map_or(&*said, |(_, what)| what);
    let help = if what.contains("look-around") || what.contains("backreference") {
        "it cannot be matched in linear time; say it without, or as a chain of rules"
    } else {
        "patterns are those of RE2, of bytes"
    };
    Wrong::new(
        format!("the pattern {}: {}", quote(pattern), what.trim()),
        help,
    )
}

#[cfg(test)]
mod tests;

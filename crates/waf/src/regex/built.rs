//! What building a transition of a lazy DFA costs: the states of the pattern that are alive in the state it leaves and in the one it
//! reaches. How many they are is told by how much the DFA grew when each was built.
//!
//! A price by the states of the whole pattern would be six times too high on average: mostly few of them are alive.

use std::collections::HashMap;

use regex_automata::Input;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use seawall_model::{Fuel, Spent};

/// Units for a transition, and for each byte of the two states: a state of the pattern takes one or two.
const BUILT: u64 = 300;
const BYTE: u64 = 10;
/// Bytes that a state takes besides its row and what is alive in it.
const BESIDE: usize = 48;

/// The bytes of the states that were built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    of: HashMap<LazyStateID, u32>,
    /// The largest of them: what a state is taken for whose size is not known, because the DFA has forgotten it since.
    largest: u32,
    clears: usize,
    /// Where searches begin, while the DFA has not forgotten it: all begin at the begin of a text.
    start: Option<LazyStateID>,
}

impl Sizes {
    /// The state in which a search begins.
    ///
    /// # Errors
    /// [`Spent`]
    pub(crate) fn start(
        &mut self,
        dfa: &DFA,
        cache: &mut Cache,
        input: &Input<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<LazyStateID>, Spent> {
        if let (Some(state), true) = (self.start, self.clears == cache.clear_count()) {
            return Ok(Some(state));
        }
        let before = cache.memory_usage();
        let Ok(state) = dfa.start_state_forward(cache, input) else {
            return Ok(None);
        };
        let grown = self.note(dfa, cache, state, before);
        self.start = Some(state);
        fuel.spend(grown * BYTE)?;
        Ok(Some(state))
    }

    /// Builds a transition. None when the DFA cannot.
    ///
    /// # Errors
    /// [`Spent`]
    pub(crate) fn next(
        &mut self,
        dfa: &DFA,
        cache: &mut Cache,
        (state, byte): (LazyStateID, u8),
        fuel: &mut Fuel,
    ) -> Result<Option<LazyStateID>, Spent> {
        fuel.spend(BUILT + self.bytes(state) * BYTE)?;
        let before = cache.memory_usage();
        let Ok(next) = dfa.next_state(cache, state, byte) else {
            return Ok(None);
        };
        self.note(dfa, cache, next, before);
        // Known only now. It is one transition late at most.
        fuel.spend(self.bytes(next) * BYTE)?;
        Ok(Some(next))
    }

    fn bytes(&self, state: LazyStateID) -> u64 {
        self.of.get(&state).copied().unwrap_or(self.largest).into()
    }

    /// By how many bytes the DFA has grown since it took `before`, which is the size of this state if it is new.
    fn note(&mut self, dfa: &DFA, cache: &Cache, state: LazyStateID, before: usize) -> u64 {
        if self.clears != cache.clear_count() {
            self.clears = cache.clear_count();
            self.of.clear();
            self.start = None;
            return self.largest.into();
        }
        let row = dfa.byte_classes().alphabet_len().next_power_of_two() * size_of::<LazyStateID>();
        let grown = cache.memory_usage().saturating_sub(before + row + BESIDE);
        if grown > 0 {
            let grown = u32::try_from(grown).unwrap_or(u32::MAX);
            self.of.insert(state, grown);
            self.largest = self.largest.max(grown);
        }
        grown as u64
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.of.capacity() * 16
    }
}

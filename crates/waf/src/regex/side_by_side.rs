//! Following all states of a pattern side by side (Thompson, "Regular expression search algorithm", 1968), for texts that make a
//! lazy DFA build too many states.
//!
//! Time is linear in text times states at worst. What is paid for is the states that are really followed: before each byte,
//! as many as there are.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;
use seawall_model::{Fuel, Spent};

/// Units for each state that is followed for a byte.
const FOLLOWED: u64 = 7;

/// Sets of states and a stack, which a thread keeps from one pattern to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    now: StateSet,
    next: StateSet,
    stack: Vec<StateID>,
}

/// Whether the pattern occurs in the text.
///
/// # Errors
/// [`Spent`]
pub(crate) fn occurs(
    nfa: &NFA,
    text: &[u8],
    places: &mut Places,
    fuel: &mut Fuel,
) -> Result<bool, Spent> {
    let states = nfa.states().len();
    places.now.fit(states);
    places.next.fit(states);
    follow(nfa, text, places, fuel)
}

fn follow(nfa: &NFA, text: &[u8], places: &mut Places, fuel: &mut Fuel) -> Result<bool, Spent> {
    let Places { now, next, stack } = places;
    now.clear();
    stack.clear();
    fuel.spend(20)?;
    if enter(nfa, nfa.start_unanchored(), text, 0, now, stack) {
        return Ok(true);
    }
    fuel.spend(now.len() * FOLLOWED)?;
    for (at, byte) in text.iter().enumerate() {
        if now.len() == 0 {
            return Ok(false);
        }
        fuel.spend(now.len() * FOLLOWED)?;
        next.clear();
        for id in now.iter() {
            let behind = match nfa.state(id) {
                State::ByteRange { trans } => trans.matches_byte(*byte).then_some(trans.next),
                State::Sparse(sparse) => sparse.matches_byte(*byte),
                State::Dense(dense) => dense.matches_byte(*byte),
                _ => None,
            };
            if behind.is_some_and(|id| enter(nfa, id, text, at + 1, next, stack)) {
                return Ok(true);
            }
        }
        std::mem::swap(now, next);
    }
    Ok(false)
}

/// Adds a state and all that are reached from it without a byte. Whether the pattern ends in one of them.
#[inline]
fn enter(
    nfa: &NFA,
    id: StateID,
    text: &[u8],
    at: usize,
    into: &mut StateSet,
    stack: &mut Vec<StateID>,
) -> bool {
    stack.push(id);
    while let Some(id) = stack.pop() {
        if !into.add(id) {
            continue;
        }
        match nfa.state(id) {
            State::Match { .. } => {
                stack.clear();
                return true;
            }
            State::Look { look, next } => {
                if nfa.look_matcher().matches(*look, text, at) {
                    stack.push(*next);
                }
            }
            State::Union { alternates } => stack.extend(alternates.iter()),
            State::BinaryUnion { alt1, alt2 } => stack.extend([*alt1, *alt2]),
            State::Capture { next, .. } => stack.push(*next),
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail => {}
        }
    }
    false
}

/// A set of states that is emptied at once (Briggs and Torczon, 1993).
#[derive(Clone, Debug, Default)]
struct StateSet {
    members: Vec<StateID>,
    places: Vec<u32>,
    count: usize,
}

impl StateSet {
    /// Makes room for so many states.
    fn fit(&mut self, states: usize) {
        if self.places.len() < states {
            self.members.resize(states, StateID::ZERO);
            self.places.resize(states, 0);
        }
    }

    const fn clear(&mut self) {
        self.count = 0;
    }

    const fn len(&self) -> u64 {
        self.count as u64
    }

    fn iter(&self) -> impl Iterator<Item = StateID> {
        self.members.iter().take(self.count).copied()
    }

    /// Whether it was not in it before.
    #[inline]
    fn add(&mut self, id: StateID) -> bool {
        let Some(place) = self.places.get_mut(id.as_usize()) else {
            return false;
        };
        let at = *place as usize;
        if at < self.count && self.members.get(at) == Some(&id) {
            return false;
        }
        *place = self.count as u32;
        if let Some(member) = self.members.get_mut(self.count) {
            *member = id;
            self.count += 1;
        }
        true
    }
}

//! Patterns of names: selectors (`ARGS:/^id_/`), tags and messages.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};
use seawall_model::Wrong;
use seawall_model::problem::quote;

/// Bytes of a table.
const TABLE: usize = 256 << 10;

/// A pattern of names, in any case: a complete table, because names are short and asked for often.
#[derive(Clone, Debug)]
pub(crate) struct NamePattern(dense::DFA<Vec<u32>>);

impl NamePattern {
    /// Compiles it.
    pub(crate) fn new(pattern: &str) -> Result<Self, Wrong> {
        let translated = super::translate(pattern);
        let table = dense::Builder::new()
            .syntax(super::how(true))
            .thompson(thompson::Config::new().utf8(false))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .dfa_size_limit(Some(TABLE))
                    .determinize_size_limit(Some(4 * TABLE)),
            )
            .build(&translated);
        table.map(Self).map_err(|error| {
            Wrong::new(
                format!(
                    "the pattern {} of names cannot be compiled: {error}",
                    quote(pattern)
                ),
                "patterns of names are those of RE2, and small",
            )
        })
    }

    /// Whether it occurs in the name.
    pub(crate) fn is_in(&self, name: &[u8]) -> bool {
        let input = Input::new(name).earliest(true);
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

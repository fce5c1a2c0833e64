//! Patterns of a description: those of JSON Schema are of characters, and of ECMAScript.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

/// Bytes of a table: patterns of descriptions are small.
const TABLE: usize = 1 << 20;

/// A pattern as a complete table: asking costs one step for each byte.
#[derive(Debug)]
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern)?;
        let table = dense::Builder::new()
            .syntax(syntax::Config::new().nest_limit(50))
            .thompson(thompson::Config::new())
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .dfa_size_limit(Some(TABLE))
                    .determinize_size_limit(Some(4 * TABLE)),
            )
            .build(&translated);
        table.map(Self).map_err(|error| {
            format!(
                "the pattern {pattern:?} cannot be had in linear time and little memory: {error}"
            )
        })
    }

    /// Whether it occurs in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let input = Input::new(text).earliest(true);
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

/// `\d`, `\w` and `\s` are of ASCII in ECMAScript.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = pattern.chars();
    let mut is_class = false;
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some(kind @ ('d' | 'w' | 's')) => {
                    let members = match kind {
                        'd' => "0-9",
                        'w' => "0-9A-Za-z_",
                        _ => r" \t\n\x0b\x0c\r",
                    };
                    match is_class {
                        true => out.push_str(members),
                        false => out.push_str(&format!("[{members}]")),
                    }
                }
                Some('D') if !is_class => out.push_str("[^0-9]"),
                Some('W') if !is_class => out.push_str("[^0-9A-Za-z_]"),
                Some('S') if !is_class => out.push_str(r"[^ \t\n\x0b\x0c\r]"),
                Some(kind @ ('D' | 'W' | 'S' | 'b' | 'B')) => {
                    return Err(format!("\\{kind} is not understood here"));
                }
                Some('/') => out.push('/'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !is_class => {
                is_class = true;
                out.push('[');
            }
            '[' => out.push_str("\\["),
            '&' | '~' if is_class => out.extend(['\\', next]),
            ']' => {
                is_class = false;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

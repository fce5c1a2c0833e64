//! `regex_replace`: the first piece of a text that a pattern matches, replaced by a text with what its groups matched.
//!
//! Groups need all states of the pattern side by side, each with its places (Pike, "Text processing in the Sam editor", 1987): linear in the
//! text, times the states. So a pattern may have few of them, and all of the time is paid for before. Not here: `matches`, which needs no
//! groups ([`pattern`](crate::pattern)).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use seawall_model::{Fuel, Spent};

use crate::wildcard::{Piece, Refused, template};

/// States that a pattern may have.
const STATES: usize = 400;
/// Units for beginning, for each state, and for a state and a byte: of all states a half is alive at most, as a rule.
const BEGIN: u64 = 300;
const STATE: u64 = 10;
const FOLLOWED: u64 = 5;

/// What `regex_replace` does.
#[derive(Clone, Debug)]
pub(crate) struct PatternReplace {
    source: Box<str>,
    vm: Arc<PikeVM>,
    template: Box<[Piece]>,
}

impl PartialEq for PatternReplace {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.template == other.template
    }
}

impl Eq for PatternReplace {}

impl Hash for PatternReplace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.template.hash(state);
    }
}

/// Which of the two texts is wrong, and how.
pub(crate) enum Wrong {
    Pattern(String, &'static str),
    Template(Refused),
}

impl PatternReplace {
    /// Of a pattern, and of what comes in its place with `${1}` to `${8}` for its groups.
    pub(crate) fn new(pattern: &[u8], replacement: &[u8]) -> Result<Self, Wrong> {
        let Ok(source) = std::str::from_utf8(pattern) else {
            return Err(Wrong::Pattern(
                "the pattern is not UTF-8".into(),
                "write other bytes as \\xHH within r\"…\"",
            ));
        };
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(50);
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::All)
            .nfa_size_limit(Some(64 << 10));
        let built = thompson::Compiler::new()
            .syntax(syntax)
            .configure(config)
            .build(source);
        let nfa = built.map_err(|error| {
            let said = std::error::Error::source(&error);
            let said = said.map_or_else(|| error.to_string(), ToString::to_string);
            let what = said.rsplit_once("error: ").map_or(&*said, |(_, what)| what);
            Wrong::Pattern(
                format!("the pattern: {}", what.trim()),
                "patterns are those of `matches`, and small",
            )
        })?;
        if nfa.states().len() > STATES {
            return Err(Wrong::Pattern(
                "the pattern is too large for groups".into(),
                "repeat less often, or take wildcard_replace",
            ));
        }
        // The whole match is a group too.
        let groups = nfa.group_info().group_len(regex_automata::PatternID::ZERO);
        let help = [
            "there is no such group",
            "${1} is the first group of the pattern",
            "write ${1} for the first group, and $$ for a dollar",
        ];
        let template = template(replacement, groups.saturating_sub(1), help);
        let template = template.map_err(Wrong::Template)?;
        let vm = PikeVM::new_from_nfa(nfa);
        let vm = vm.map_err(|error| Wrong::Pattern(error.to_string(), "write it otherwise"))?;
        Ok(Self {
            source: source.into(),
            vm: vm.into(),
            template,
        })
    }

    /// What becomes of a text: it stays where nothing matches.
    pub(crate) fn apply(
        &self,
        text: &[u8],
        fuel: &mut Fuel,
        out: &mut Vec<u8>,
    ) -> Result<(), Spent> {
        let states = self.vm.get_nfa().states().len() as u64;
        fuel.spend(BEGIN + states * STATE)?;
        fuel.spend((text.len() as u64).saturating_mul(states * FOLLOWED))?;
        let mut cache = self.vm.create_cache();
        let mut groups = self.vm.create_captures();
        self.vm.captures(&mut cache, Input::new(text), &mut groups);
        let Some(whole) = groups.get_match() else {
            out.extend_from_slice(text);
            return Ok(());
        };
        out.extend_from_slice(text.get(..whole.start()).unwrap_or_default());
        for piece in &self.template {
            let piece = match piece {
                Piece::Text(text) => &**text,
                Piece::Star(nth) => {
                    let group = groups.get_group(nth + 1).map(|span| span.range());
                    group.and_then(|range| text.get(range)).unwrap_or_default()
                }
            };
            fuel.spend(5 + piece.len() as u64 / crate::value::COPIED)?;
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(text.get(whole.end()..).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, pattern: &str, template: &str) -> String {
        let Ok(replace) = PatternReplace::new(pattern.as_bytes(), template.as_bytes()) else {
            return "wrong".into();
        };
        let mut out = Vec::new();
        replace
            .apply(text.as_bytes(), &mut Fuel::new(1 << 30), &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_match_is_replaced_with_what_groups_matched() {
        for (text, pattern, template, expected) in [
            ("/foo/bar", "/bar$", "/baz", "/foo/baz"),
            ("/x", "^/", "/new/", "/new/x"),
            ("/foo/a/path", "/foo/(.*)$", "/bar/${1}", "/bar/a/path"),
            ("aaa", "a", "b", "baa"),
            ("aaa", "(a)(x)?", "[${1}${2}]", "[a]aa"),
            ("/b", "/a", "/c", "/b"),
            ("2026-11", "(\\d+)-(\\d+)", "${2}/${1} $$", "11/2026 $"),
        ] {
            assert_eq!(replaced(text, pattern, template), expected, "{pattern}");
        }
        for (pattern, template) in [("(a", "b"), ("a", "${1}"), ("(?=a)", "b"), ("a{1000}", "b")] {
            assert_eq!(replaced("a", pattern, template), "wrong", "{pattern}");
        }
    }

    #[test]
    fn it_is_paid_for_before_it_is_done() {
        let Ok(replace) = PatternReplace::new(b"(a*)*b", b"") else {
            panic!("it is a pattern");
        };
        let mut fuel = Fuel::new(100_000);
        let text = vec![b'a'; 10_000];
        let asked = replace.apply(&text, &mut fuel, &mut Vec::new());
        assert_eq!(asked, Err(Spent));
    }
}

//! Patterns: compiled once, within a budget, and matched in linear time.
//!
//! A pattern becomes a table (a DFA) where that fits half of the budget that is left, which is so for nearly all that people
//! write. One byte of text is then one look into the table. Otherwise its states are followed side by side. Not here: captures,
//! look-around, back-references, Unicode: nobody can have them and linear time, or small tables.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};
use seawall_model::{Fuel, Spent, Wrong};

use crate::side_by_side;

/// Units for beginning a search in a table.
const BEGIN: u64 = 10;
/// Units for ten bytes of text in a table.
const TEN_BYTES: u64 = 15;
/// Units for each state that is followed for a byte.
pub(crate) const FOLLOWED: u64 = 7;
/// Groups within groups.
const NEST: u32 = 50;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Pattern {
    Table(Box<dense::DFA<Vec<u32>>>),
    States(Box<NFA>),
}

/// Why a pattern is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Where in the pattern, and how many bytes of it, when it is known.
    pub(crate) place: Option<(usize, usize)>,
    pub(crate) wrong: Wrong,
    /// What was built before it was refused, in bytes.
    pub(crate) work: usize,
    /// Whether it is too much only beside others.
    pub(crate) is_of_many: bool,
}

/// What all patterns of an expression may cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Bytes that they may keep.
    memory: usize,
    /// Bytes of tables that may be built, those included that turn out to be too large and are thrown away: building them is what
    /// takes time.
    trials: usize,
}

impl Budget {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self {
            memory: bytes,
            trials: bytes,
        }
    }
}

impl Pattern {
    /// Compiles a pattern within a budget, and takes from it. With it comes the work: bytes of states and of tables that were
    /// built, those that were thrown away included.
    pub(crate) fn compile(
        pattern: &str,
        any_case: bool,
        budget: &mut Budget,
    ) -> Result<(Self, usize), Refused> {
        let config = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(NEST)
            .case_insensitive(any_case);
        let parsed = syntax::parse_with(pattern, &config)
            .map_err(|error| refused(pattern, &error.to_string()))?;
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(budget.memory));
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&parsed)
            .map_err(|error| match error.size_limit() {
                Some(_) => too_large(budget.memory),
                None => refused(pattern, &error.to_string()),
            })?;
        let trial = budget.trials.min(budget.memory) / 2;
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::LeftmostFirst)
            // Some texts would be much cheaper than others of their length: fuel could not tell.
            .accelerate(false)
            .dfa_size_limit(Some(trial))
            .determinize_size_limit(Some(trial));
        let tried = dense::Builder::new().configure(config).build_from_nfa(&nfa);
        let states = nfa.memory_usage();
        let (compiled, bytes, built) = match tried {
            Ok(table) => {
                let bytes = table.memory_usage();
                budget.trials = budget.trials.saturating_sub(bytes);
                (Self::Table(Box::new(table)), bytes, bytes)
            }
            Err(error) if error.is_size_limit_exceeded() => {
                budget.trials = budget.trials.saturating_sub(trial);
                (Self::States(Box::new(nfa)), states, trial)
            }
            Err(error) => return Err(refused(pattern, &error.to_string())),
        };
        budget.memory = budget.memory.saturating_sub(bytes);
        Ok((compiled, states + built))
    }

    /// Whether the pattern occurs in the text.
    pub(crate) fn occurs(&self, text: &[u8], fuel: &mut Fuel) -> Result<bool, Spent> {
        match self {
            Self::Table(table) => {
                fuel.spend(BEGIN + text.len() as u64 * TEN_BYTES / 10)?;
                let input = Input::new(text).earliest(true);
                // A table without quit bytes has no errors.
                Ok(matches!(table.try_search_fwd(&input), Ok(Some(_))))
            }
            Self::States(states) => side_by_side::occurs(states, text, fuel),
        }
    }
}

fn too_large(work: usize) -> Refused {
    Refused {
        place: None,
        wrong: Wrong::new(
            "this pattern is too large",
            "repeat less often, or say it with fewer and shorter parts",
        ),
        work,
        is_of_many: false,
    }
}

/// What the parser of patterns says is several lines: the pattern, `^` below the place, and `error: …` at the end.
fn refused(pattern: &str, said: &str) -> Refused {
    let what = said
        .rsplit_once("error: ")
        .map_or(said, |(_, what)| what)
        .trim();
    let help = if what.contains("nicode") {
        "patterns are of bytes: write classes such as [A-Za-z], and other letters as themselves"
    } else if what.contains("look-around") || what.contains("backreference") {
        "they cannot be matched in linear time"
    } else if what.contains("exceeded the maximum") || what.contains("nested too deep") {
        "write it with fewer groups within groups"
    } else {
        ""
    };
    let one_line = !pattern.contains('\n');
    let marks = said.lines().find(|line| {
        line.contains('^') && line.chars().all(|character| matches!(character, ' ' | '^'))
    });
    let place = marks.filter(|_| one_line).and_then(|line| {
        let spaces = line.find('^')?;
        // The parser indents by four, and counts characters.
        let first = spaces.checked_sub(4)?;
        let mut offsets = pattern.char_indices().map(|(at, _)| at).skip(first);
        let at = offsets.next().unwrap_or(pattern.len());
        let marked = line.len() - spaces;
        let end = pattern
            .char_indices()
            .map(|(at, _)| at)
            .nth(first + marked)
            .unwrap_or(pattern.len());
        Some((at, end.saturating_sub(at)))
    });
    Refused {
        place,
        wrong: Wrong::new(format!("this is no pattern: {what}"), help),
        // Reading a text of bounded length.
        work: pattern.len(),
        is_of_many: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 256 << 10;

    fn compiled(pattern: &str) -> Pattern {
        Pattern::compile(pattern, false, &mut Budget::new(BYTES))
            .unwrap_or_else(|refused| panic!("{pattern}: {refused:?}"))
            .0
    }

    fn occurs(pattern: &Pattern, text: &str) -> bool {
        pattern
            .occurs(text.as_bytes(), &mut Fuel::new(u64::MAX))
            .unwrap()
    }

    #[test]
    fn patterns_match_as_a_table_and_side_by_side() {
        for (pattern, yes, no) in [
            ("abc", vec!["abc", "xxabcxx"], vec!["", "ab", "aBc"]),
            ("^/a+$", vec!["/a", "/aaa"], vec!["/", "x/a", "/ab"]),
            ("(?i)admin", vec!["ADMIN", "/aDmIn/"], vec!["adm in"]),
            ("", vec!["", "x"], vec![]),
            (
                r"\bcat\b",
                vec!["cat", "a cat.", "\u{e9}cat"],
                vec!["cats", "concat"],
            ),
            ("(a*)*b", vec!["b", "aab"], vec!["aaaa"]),
            ("a{2,3}$", vec!["aa", "baaaa"], vec!["a", "aab"]),
            ("x|yy|^z", vec!["ax", "yy", "z"], vec!["y", "az"]),
            (r"[^a-z]", vec!["A", "\u{e9}", "1"], vec!["a", ""]),
            ("é+", vec!["éé"], vec!["e"]),
            (r"(?-u:\xff)", vec![], vec!["ÿ"]),
            ("(?m)^b$", vec!["a\nb\nc"], vec!["ab"]),
            ("^a.{2}b", vec!["axyb", "aéb"], vec!["a\n\nb", "axb"]),
        ] {
            let table = compiled(pattern);
            assert!(matches!(table, Pattern::Table(_)), "{pattern}");
            let nfa = thompson::Compiler::new()
                .syntax(syntax::Config::new().unicode(false).utf8(false))
                .configure(thompson::Config::new().utf8(false))
                .build(pattern)
                .unwrap();
            let states = Pattern::States(Box::new(nfa));
            for text in yes {
                assert!(occurs(&table, text), "{pattern} {text}");
                assert!(occurs(&states, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!occurs(&table, text), "{pattern} {text}");
                assert!(!occurs(&states, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_has_no_small_table_is_followed_side_by_side() {
        let pattern = compiled("select.{1,80}from");
        assert!(matches!(pattern, Pattern::States(_)));
        assert!(occurs(&pattern, "x select a from b"));
        assert!(!occurs(&pattern, "selectfrom"));
        assert!(!occurs(&pattern, &format!("select{}from", " ".repeat(90))));
        let hostile = "select".repeat(2000);
        let mut fuel = Fuel::new(u64::MAX);
        assert_eq!(pattern.occurs(hostile.as_bytes(), &mut fuel), Ok(false));
        assert!(fuel.used() < 12_000 * 100 * FOLLOWED, "{}", fuel.used());
        let mut fuel = Fuel::new(1000);
        assert_eq!(pattern.occurs(hostile.as_bytes(), &mut fuel), Err(Spent));
    }

    #[test]
    fn a_budget_is_of_all_patterns_together() {
        let mut budget = Budget::new(BYTES);
        let mut sides = 0;
        for nth in 0.. {
            let left = budget;
            let pattern = format!("a{nth}.{{1,80}}b");
            match Pattern::compile(&pattern, false, &mut budget) {
                Ok((Pattern::Table(table), _)) => assert!(table.memory_usage() <= left.memory),
                Ok((Pattern::States(nfa), _)) => {
                    assert!(nfa.memory_usage() <= left.memory);
                    sides += 1;
                }
                Err(refused) => {
                    assert_eq!(refused.wrong.what, "this pattern is too large");
                    break;
                }
            }
        }
        assert!((10..200).contains(&sides), "{sides}");
        assert!(budget.trials < BYTES / 100);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        for pattern in ["a{1000}{1000}", "(((a{100}){100}){100})", "(?:.{500}){500}"] {
            let refused = Pattern::compile(pattern, false, &mut Budget::new(BYTES)).unwrap_err();
            assert_eq!(refused.wrong.what, "this pattern is too large", "{pattern}");
        }
        let words: Vec<String> = (0..400).map(|nth| format!("word{nth}x")).collect();
        let alternation = compiled(&words.join("|"));
        assert!(occurs(&alternation, "a word399x"));
        assert!(!occurs(&alternation, "a word400x"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_at_its_place() {
        for (pattern, place, what) in [
            ("a(b", Some((1, 1)), "unclosed group"),
            ("a[b", Some((1, 1)), "unclosed character class"),
            ("é*+?)", Some((5, 1)), "unopened group"),
            (r"\p{L}", Some((0, 5)), "Unicode"),
            (r"(?u)\w", Some((4, 2)), "Unicode"),
            (r"(a)\1", Some((3, 2)), "backreferences"),
            ("(?=a)", Some((0, 3)), "look-around"),
            (&"(".repeat(1000), None, ""),
        ] {
            let refused = Pattern::compile(pattern, false, &mut Budget::new(BYTES)).unwrap_err();
            assert!(
                refused.wrong.what.contains(what),
                "{pattern}: {}",
                refused.wrong.what
            );
            assert!(!refused.wrong.what.contains('\n'));
            if place.is_some() {
                assert_eq!(refused.place, place, "{pattern}");
            }
        }
    }
}

//! What each rule's pattern costs on texts that are made to cost: the gate that a rule set passes before it serves.
//!
//! Time is linear whatever the pattern is, but the factor is the author's: a pattern with thousands of states that are alive together
//! costs thousands of steps for each byte. It is counted in fuel, so that the answer is the same on every machine. Not here: what
//! follows.

use seawall_model::{Fuel, Wrong};

use super::{Matchers, Operator, Program};
use crate::regex::Threads;

/// What texts are made of.
const PIECES: [&[u8]; 10] = [
    b"a",
    b"x=1&",
    b"' or 1=1--",
    b"<script>/*",
    b"../%25\\",
    b"\xff\x00\n",
    b"select union all ",
    b"${jndi:$(id)",
    b"A B 1,2;",
    b"\"\"((",
];
/// Bytes of a text.
const TEXT: usize = 2 << 10;

/// Units for a further KiB from which a rule is not let in: twice what the dearest rule of the Core Rule Set takes.
pub const MOST_UNITS: u64 = 1_000_000;

/// A rule, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The rule.
    pub rule: u64,
    /// Units of fuel that a further KiB of the text costs which costs it most, with nothing built beforehand.
    pub units: u64,
}

impl Program {
    /// The rules whose patterns cost more than `most` units for a further KiB, the dearest first.
    pub fn dear(&self, most: u64) -> Vec<Cost> {
        let texts = texts();
        let mut known: Vec<Option<u64>> = Vec::new();
        let mut costs = Vec::new();
        for rule in &self.rules {
            let mut dearest = 0;
            for link in &rule.links {
                let Operator::Rx(pattern) = link.operator else {
                    continue;
                };
                let place = pattern.index();
                if known.len() <= place {
                    known.resize(place + 1, None);
                }
                let units = match known.get(place).copied().flatten() {
                    Some(units) => units,
                    None => self.matchers.cost(place, &texts, most),
                };
                if let Some(known) = known.get_mut(place) {
                    *known = Some(units);
                }
                dearest = dearest.max(units);
            }
            if dearest > most {
                costs.push(Cost {
                    rule: rule.id,
                    units: dearest,
                });
            }
        }
        costs.sort_by_key(|cost| (std::cmp::Reverse(cost.units), cost.rule));
        costs
    }
}

impl Program {
    /// What keeps the rules from being served: those that cost too much, each with what helps.
    pub fn too_dear(&self) -> Vec<Wrong> {
        let dear = self.dear(MOST_UNITS).into_iter().map(|cost| {
            let what = format!(
                "rule {} costs too much: {} ms for each KiB that is made to cost it",
                cost.rule,
                cost.units / 1_000_000
            );
            let help = "write its pattern with fewer and smaller repetitions, or leave the rule out: SecRuleRemoveById";
            Wrong::new(what, help)
        });
        dear.collect()
    }

    /// What each rule's pattern costs for the text that is made of it, with nothing built beforehand.
    pub fn pattern_costs(&self, text: impl Fn(&str) -> Vec<u8>) -> Vec<Cost> {
        let links = self.rules.iter().flat_map(|rule| {
            let links = rule.links.iter();
            links.map(|link| (rule.id, &link.operator))
        });
        let costs = links.filter_map(|(rule, operator)| {
            let Operator::Rx(pattern) = operator else {
                return None;
            };
            let (regex, source) = self.matchers.regex(pattern.index())?;
            let mut fuel = Fuel::new(u64::MAX);
            // There is enough for any text.
            let _ = regex.occurs(&text(source), 0, &mut Threads::default(), &mut fuel);
            let units = fuel.used();
            Some(Cost { rule, units })
        });
        costs.collect()
    }
}

impl Matchers {
    /// What a further KiB costs a pattern, of the dearest of these texts and of one made of itself; 0 where it is surely below `most`.
    fn cost(&self, place: usize, texts: &[Vec<u8>], most: u64) -> u64 {
        let Some((regex, text)) = self.regex(place) else {
            return 0;
        };
        let own = repeated(text.as_bytes());
        let kib = (TEXT / 1024) as u64;
        let of = |text: &[u8]| {
            let mut fuel = Fuel::new(most.saturating_mul(20 * kib));
            // Who spends all of that is too dear in any case.
            let _ = regex.occurs(text, 0, &mut Threads::default(), &mut fuel);
            fuel.used()
        };
        let all = texts.iter().chain(std::iter::once(&own));
        let growth = |text: &Vec<u8>| match of(text) {
            whole if whole <= most.saturating_mul(kib) => 0,
            // What is built once is paid once: what counts is how it grows.
            whole => {
                let (begin, rest) = text.split_at(text.len() / 4);
                whole.saturating_sub(of(begin)) * 1024 / rest.len().max(1) as u64
            }
        };
        all.map(growth).max().unwrap_or(0)
    }
}

fn repeated(piece: &[u8]) -> Vec<u8> {
    piece.iter().copied().cycle().take(TEXT).collect()
}

fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = PIECES.iter().map(|piece| repeated(piece)).collect();
    let mut number = 3u64;
    let mut next = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33) as usize
    };
    let mut soup = Vec::new();
    while soup.len() < TEXT {
        soup.extend_from_slice(PIECES.get(next() % PIECES.len()).copied().unwrap_or(b"a"));
    }
    texts.push(soup);
    texts.push((0..TEXT).map(|_| next() as u8).collect());
    texts.push((0..TEXT).map(|_| b' ' + (next() % 95) as u8).collect());
    texts
}

#[cfg(test)]
mod tests {
    use super::MOST_UNITS;
    use crate::program::Options;
    use crate::seclang::{File, RuleSet};

    fn is_dear(pattern: &str) -> bool {
        let text = format!("SecRule ARGS \"@rx {pattern}\" \"id:1,phase:2,pass\"");
        let file = File {
            name: "a",
            text: &text,
        };
        let set = RuleSet::parse(&[file], &|_| None).unwrap();
        let program = set.compile(Options::default()).unwrap();
        !program.dear(MOST_UNITS).is_empty()
    }

    #[test]
    fn what_is_dear_is_known_to_be() {
        // The pattern of 2019: linear here, and not dear.
        assert!(!is_dear(
            r"(?:(?:\x22|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|`|-|\+)+[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"
        ));
        assert!(!is_dear("union"));
        assert!(is_dear("(?:[^z]{0,900}q){2}[a-y]{900}z"));
    }
}

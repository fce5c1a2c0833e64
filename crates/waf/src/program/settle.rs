//! What is known only once all rules are compiled. Not here: compiling one.

use super::{Operator, Program, Selector, side_of};

impl Program {
    /// Which names a pattern of names fits is known once all names are.
    pub(super) fn settle_names(&mut self) {
        let links = self.rules.iter_mut().flat_map(|rule| &mut rule.links);
        for target in links.flat_map(|link| &mut link.looks) {
            if let Selector::TxPattern(pattern, known) = &mut target.selector {
                let names = &self.names;
                *known = names
                    .ids()
                    .filter(|id| pattern.is_in(names.name(*id)))
                    .collect();
            }
        }
    }

    /// A link whose pattern the set does not have cannot be told by its unions.
    pub(super) fn settle_unions(&mut self) {
        for (nth, phase) in self.phases.iter().enumerate() {
            let side = side_of(nth as u8 + 1);
            for number in phase {
                let Some(rule) = self.rules.get_mut(*number as usize) else {
                    continue;
                };
                for link in &mut rule.links {
                    let bit = match link.operator {
                        Operator::Rx(pattern) => self.matchers.pattern_bit(pattern, side),
                        Operator::Phrases(phrases) => self.matchers.phrases_bit(phrases, side),
                        _ => None,
                    };
                    if bit.is_none() {
                        link.unions = None;
                    }
                    link.bit = bit.and_then(|bit| u16::try_from(bit).ok());
                }
            }
        }
    }
}

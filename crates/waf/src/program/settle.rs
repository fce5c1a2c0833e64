//! What is known only once all rules are compiled. Not here: compiling one.

use super::{Disruptive, Operator, Outline, Program, Quick, Rule, Selector, Stays, side_of};

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

    /// What ends each rule at once, in the order of the phases.
    pub(super) fn settle_outlines(&mut self) {
        let mut gates = Vec::new();
        let mut outline = |(at, number): (usize, &u32)| match self.rules.get(*number as usize) {
            Some(rule) => self.outline(at, rule, &mut gates),
            None => Outline::Open,
        };
        let of = |phase: &Vec<u32>| phase.iter().enumerate().map(&mut outline).collect();
        self.outlines = self.phases.each_ref().map(of);
        self.gates = gates;
        self.unions_stay.resize(self.unions, 0);
        for unions in &self.combinations {
            let mut all = 0;
            for union in unions {
                let bit = 1 << union.variable as u8;
                all |= bit;
                let place = self.unions_stay.get_mut(usize::from(union.place));
                if let Some(stays) = place {
                    *stays = Stays::of(bit);
                }
            }
            self.combination_variables.push(all);
            self.combinations_stay.push(Stays::of(all));
        }
    }

    fn outline(&self, at: usize, rule: &Rule, gates: &mut Vec<Quick>) -> Outline {
        let Some(link) = rule.links.first() else {
            return Outline::Open;
        };
        if let Some(quick) = link.quick {
            let Ok(gate) = u16::try_from(gates.len()) else {
                return Outline::Open;
            };
            gates.push(quick);
            return match only_goes_on(at, rule) {
                Some(by) => Outline::Jump { gate, by },
                None => Outline::Gate(gate),
            };
        }
        let unions = link.unions.and_then(|place| {
            let unions = self.combinations.get(usize::from(place))?;
            Some((place, unions))
        });
        match (unions, link.bit) {
            (Some((combination, unions)), Some(bit))
                if !unions.iter().any(|union| union.is_apart()) =>
            {
                Outline::Absent { combination, bit }
            }
            _ => Outline::Open,
        }
    }
}

/// How many rules behind the next one a match goes on, where a match does nothing else.
fn only_goes_on(at: usize, rule: &Rule) -> Option<u16> {
    let [link] = rule.links.as_slice() else {
        return None;
    };
    let does_more = !link.effects.is_empty()
        || link.capture
        || rule.log
        || rule.severity.is_some()
        || !matches!(rule.disruptive, Disruptive::Pass);
    let next = rule.jump.map_or(at + 1, |to| to as usize) + rule.skip as usize;
    match does_more {
        true => None,
        false => u16::try_from(next.checked_sub(at + 1)?).ok(),
    }
}

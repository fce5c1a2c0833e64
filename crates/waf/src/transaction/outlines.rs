//! What is known of rules without looking at them: most are passed over. Not here: how one is asked.

use seawall_model::{Fuel, Spent};

use super::evaluate::RULE;
use super::store::Value;
use super::{Matched, Named, Transaction};
use crate::program::{Outline, Quick, Right};
use crate::vocabulary::Variable;

impl Transaction<'_> {
    /// The place of the next rule of which it is not known that it is over, or not without finding something out.
    #[inline]
    pub(super) fn pass_over(
        &self,
        outlines: &[Outline],
        from: usize,
        fuel: &mut Fuel,
    ) -> Result<usize, Spent> {
        let is_over = |outline: &Outline| match *outline {
            Outline::Open => false,
            Outline::Gate(gate) | Outline::Jump { gate, .. } => !self.gate(gate),
            Outline::Absent { combination, bit } => {
                let (place, bit) = (usize::from(combination), usize::from(bit));
                match self.work.combinations.occurs(place, bit) {
                    Some(occurs) => !occurs,
                    None => self.are_empty(place),
                }
            }
        };
        let rest = outlines.get(from..).unwrap_or_default();
        let by = rest.iter().take_while(|outline| is_over(outline)).count();
        fuel.spend(RULE * by as u64)?;
        Ok(from + by)
    }

    /// What is known of a rule without looking at it: that it is over, and how many rules behind it are passed over. None where it has
    /// to be asked.
    #[inline]
    pub(super) fn ends(
        &mut self,
        outline: &Outline,
        fuel: &mut Fuel,
    ) -> Result<Option<usize>, Spent> {
        Ok(match outline {
            Outline::Open => None,
            Outline::Gate(gate) => match self.gate(*gate) {
                true => None,
                false => Some(0),
            },
            Outline::Jump { gate, by } => match self.gate(*gate) {
                true if self.removed.is_empty() && self.removed_targets.is_empty() => {
                    self.went_on(*gate);
                    Some(usize::from(*by))
                }
                true => None,
                false => Some(0),
            },
            Outline::Absent { combination, bit } => {
                let (place, bit) = (usize::from(*combination), usize::from(*bit));
                match self.occurs_in(place, bit, fuel)? {
                    true => None,
                    false => Some(0),
                }
            }
        })
    }

    pub(super) fn gate(&self, gate: u16) -> bool {
        let quick = self.program.gates.get(usize::from(gate));
        quick.is_none_or(|quick| self.quick(quick))
    }

    /// A rule matched that only goes on elsewhere: what it matched is what was matched last.
    fn went_on(&mut self, gate: u16) {
        if let Some(quick) = self.program.gates.get(usize::from(gate))
            && let Some(value) = self.compared(quick)
        {
            let name = Named::Tx(quick.left);
            self.piece = None;
            self.matched = Some(Matched {
                variable: Variable::Tx,
                name,
                value,
                secret: self.is_secret(Variable::Tx, name, value),
            });
        }
    }

    /// What a comparison compares.
    pub(super) fn compared(&self, quick: &Quick) -> Option<Value> {
        let value = self.work.store.get(quick.left);
        match quick.count {
            true => Some(Value::Number(i64::from(value.is_some()))),
            false => value,
        }
    }

    /// Whether a comparison of a number in TX holds. A variable that is not there is never read, and counts as none.
    pub(super) fn quick(&self, quick: &Quick) -> bool {
        let Some(left) = self.compared(quick) else {
            return false;
        };
        let left = self.number_of(left);
        let right = match quick.right {
            Right::Number(number) => number,
            Right::Tx(id) => self
                .work
                .store
                .get(id)
                .map_or(0, |value| self.number_of(value)),
        };
        quick.order.holds(left, right) != quick.negated
    }
}

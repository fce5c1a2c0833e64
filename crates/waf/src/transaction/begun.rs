//! What every request of a zone begins with: the variables that the zone sets, and what the first rules make of them.
//!
//! The first rules of a set give settings their defaults and look at nothing that a request has, so that they come to the same
//! each time. What they come to is kept, and a request begins behind them.

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Matched, Transaction, Zone};
use crate::program::Outline;
use crate::seclang::tree::Engine;

/// Zones whose begin a thread keeps for a program.
const MOST: usize = 64;
/// Units for beginning behind the first rules.
const BEGIN: u64 = 200;

/// Zones' begins, one after the other.
#[derive(Debug, Default)]
pub(super) struct Begins {
    all: Vec<Begin>,
}

/// The begin of a zone's requests.
#[derive(Debug)]
struct Begin {
    variables: Vec<(String, String)>,
    /// TX before the first rule.
    before: Vec<Option<Value>>,
    after: Option<After>,
}

/// What the first rules came to.
#[derive(Debug)]
struct After {
    /// The first place of phase 1 whose rule looks at the request.
    at: usize,
    known: Vec<Option<Value>>,
    matched: Option<Matched>,
}

impl Begins {
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl<'t> Transaction<'t> {
    /// Sets what the zone sets, or notes that it has been set before.
    pub(super) fn begin(&mut self, zone: &Zone) {
        let mut begins = self.work.begins.all.iter();
        self.begin = begins.position(|begin| begin.variables == zone.variables);
        if self.begin.is_some() {
            return;
        }
        for (name, value) in &zone.variables {
            self.preset(name, value);
        }
        let (known, is_whole) = self.work.store.known();
        if !is_whole || known.iter().any(is_text) {
            // Texts end with the request.
            return;
        }
        let begin = Begin {
            variables: zone.variables.clone(),
            before: known.to_vec(),
            after: None,
        };
        let begins = &mut self.work.begins.all;
        if begins.len() >= MOST {
            begins.clear();
        }
        begins.push(begin);
        self.begin = Some(begins.len() - 1);
    }

    /// Sets what was only noted, and gives the place of the phase to begin at.
    pub(super) fn begun(&mut self, fuel: &mut Fuel) -> Result<usize, Spent> {
        let Some(number) = self.begin.take() else {
            return Ok(0);
        };
        // With the engine off the first rule would be the last.
        let may_pass = self.phase == 1
            && self.engine != Engine::Off
            && self.looked.is_none()
            && !self.is_first_touched();
        let work = &mut *self.work;
        let Some(begin) = work.begins.all.get_mut(number) else {
            return Ok(0);
        };
        if let Some(after) = &begin.after
            && may_pass
        {
            fuel.spend(BEGIN)?;
            work.store.set_known(&after.known);
            self.matched = after.matched;
            return Ok(after.at);
        }
        work.store.set_known(&begin.before);
        if !may_pass {
            return Ok(0);
        }
        let (at, goes_on) = self.first_rules(fuel)?;
        let (known, is_whole) = self.work.store.known();
        let matched = self.matched;
        if goes_on
            && is_whole
            && !known.iter().any(is_text)
            && !matched.is_some_and(Matched::is_text)
        {
            let after = After {
                at,
                known: known.to_vec(),
                matched,
            };
            if let Some(begin) = self.work.begins.all.get_mut(number) {
                begin.after = Some(after);
            }
        }
        Ok(at)
    }

    /// Runs the rules that look at nothing that the request has: the place of the first one that does, and whether the phase goes on
    /// there.
    fn first_rules(&mut self, fuel: &mut Fuel) -> Result<(usize, bool), Spent> {
        let program = self.program;
        let mut at = 0;
        while let Some(outline) = program.outlines.first().and_then(|all| all.get(at)) {
            let number = program.phases.first().and_then(|all| all.get(at)).copied();
            let is_constant = number.is_some_and(|number| program.is_constant(number));
            if !is_constant && !self.is_gated(outline) {
                break;
            }
            match self.step(at, fuel)? {
                Some(next) => at = next,
                None => return Ok((at, false)),
            }
        }
        Ok((at, true))
    }

    /// Whether a comparison ends a rule.
    fn is_gated(&self, outline: &Outline) -> bool {
        match outline {
            Outline::Gate(gate) | Outline::Jump { gate, .. } => !self.gate(*gate),
            _ => false,
        }
    }

    /// Whether the request has rules or targets off among the first ones.
    fn is_first_touched(&self) -> bool {
        let first = &self.program.first;
        let meets = |rules: &[u64]| first.iter().zip(rules).any(|(one, other)| one & other != 0);
        meets(&self.removed) || self.removed_targets.iter().any(|(meant, _)| meets(meant))
    }
}

fn is_text(value: &Option<Value>) -> bool {
    matches!(value, Some(Value::Text(_)))
}

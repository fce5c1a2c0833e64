//! What rules do at a match besides interrupting: `setvar`, `expirevar`, `initcol`, `ctl`.

use std::sync::Arc;

use seawall_model::{Fuel, Spent};

use super::Transaction;
use super::store::{Collection, Value};
use crate::program::{Change, Effect, Link, Meant, Name, Target, Template};
use crate::vocabulary::Variable;

impl<'t> Transaction<'t> {
    /// All effects of a link.
    pub(super) fn effects(&mut self, link: &'t Link, fuel: &mut Fuel) -> Result<(), Spent> {
        for effect in &link.effects {
            fuel.spend(40)?;
            self.effect(effect, fuel)?;
        }
        Ok(())
    }

    fn effect(&mut self, effect: &'t Effect, fuel: &mut Fuel) -> Result<(), Spent> {
        match effect {
            Effect::Set(name, change) => self.set(name, change, fuel)?,
            Effect::Expire(name, seconds) => self.expire(name, seconds, fuel)?,
            Effect::Open(variable, key) => {
                let key = self.text(key, fuel)?;
                self.open(*variable, key);
            }
            Effect::Audit(on) => self.audit = *on,
            Effect::ForceRequestBody(on) => self.force_body = *on,
            Effect::RequestBody(on) => self.reads_body = *on,
            Effect::ResponseBody(on) => self.reads_response = *on,
            Effect::Processor(processor) => {
                self.processor = Some(*processor);
                self.unfill(Variable::ReqbodyProcessor);
            }
            Effect::Engine(engine) => self.engine = *engine,
            Effect::Remove(meant) => {
                if let Some(bits) = self.program.meant.get(*meant as usize) {
                    self.remove(bits);
                }
            }
            Effect::RemoveTarget(meant, target) => {
                if let Some(bits) = self.program.meant.get(*meant as usize) {
                    self.remove_target(bits, target);
                }
            }
        }
        Ok(())
    }

    /// These rules are off for the rest of the request.
    pub(crate) fn remove(&mut self, rules: &Meant) {
        self.removed.resize(rules.len(), 0);
        for (word, more) in self.removed.iter_mut().zip(rules.iter()) {
            *word |= more;
        }
    }

    /// This is no target of these rules for the rest of the request.
    pub(crate) fn remove_target(&mut self, rules: &Meant, target: &Arc<Target>) {
        // A rule may match often, and say the same each time.
        let mut known = self.removed_targets.iter();
        if !known.any(|(_, known)| Arc::ptr_eq(known, target)) {
            self.removed_targets.push((rules.clone(), target.clone()));
        }
    }

    fn text(&mut self, template: &Template, fuel: &mut Fuel) -> Result<Vec<u8>, Spent> {
        self.expanded(template, fuel, |_, text| text.to_vec())
    }

    /// The name that a template says: in lower case.
    fn name(&mut self, template: &Template, fuel: &mut Fuel) -> Result<Vec<u8>, Spent> {
        self.expanded(template, fuel, |_, name| name.to_ascii_lowercase())
    }

    fn set(&mut self, name: &'t Name, change: &'t Change, fuel: &mut Fuel) -> Result<(), Spent> {
        match name {
            Name::Tx(id) => {
                let now = self.work.store.get(*id);
                let new = self.changed(now, change, fuel)?;
                self.work.store.set(*id, new);
            }
            Name::TxTemplate(template) => {
                let name = self.name(template, fuel)?;
                match self.program.names.find(&name) {
                    Some(id) => {
                        let now = self.work.store.get(id);
                        let new = self.changed(now, change, fuel)?;
                        self.work.store.set(id, new);
                    }
                    None => {
                        let now = self.work.store.made_up(&name);
                        let new = self.changed(now, change, fuel)?;
                        self.work.store.set_made_up(name, new)?;
                    }
                }
            }
            Name::Kept(collection, template) => {
                let name = self.name(template, fuel)?;
                self.set_kept(*collection, &name, change, fuel)?;
            }
        }
        Ok(())
    }

    /// What a variable becomes.
    fn changed(
        &mut self,
        now: Option<Value>,
        change: &'t Change,
        fuel: &mut Fuel,
    ) -> Result<Option<Value>, Spent> {
        let by = |this: &mut Self, template: &Template, fuel: &mut Fuel| {
            this.expanded(template, fuel, |_, text| crate::operators::number(text))
        };
        let number = now.map_or(0, |value| self.number_of(value));
        Ok(Some(match change {
            Change::Remove => return Ok(None),
            Change::ToNumber(number) => Value::Number(*number),
            Change::ToConstant(id) => Value::Constant(*id),
            Change::Add(more) => Value::Number(number.saturating_add(by(self, more, fuel)?)),
            Change::Subtract(less) => Value::Number(number.saturating_sub(by(self, less, fuel)?)),
            Change::To(template) => {
                // A number stays one: `%{tx.critical_anomaly_score}`.
                if let [crate::program::Piece::Tx(id)] = template.0.as_slice()
                    && let Some(value) = self.work.store.get(*id)
                {
                    return Ok(Some(value));
                }
                let id = self.expanded(template, fuel, |this, text| this.work.texts.add(text))?;
                if self.reads_secret(template, fuel)? {
                    self.secrets.mark(id);
                }
                Value::Text(id)
            }
        }))
    }

    fn set_kept(
        &mut self,
        variable: Variable,
        name: &[u8],
        change: &'t Change,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        let now = self.request.time;
        let Some(place) = self
            .opened
            .iter()
            .position(|open| open.variable == variable)
        else {
            // A collection that nobody opened takes nothing.
            return Ok(());
        };
        let old = self
            .opened
            .get(place)
            .and_then(|open| open.get(name, now))
            .map(|kept| kept.value.clone());
        let old = old.map(|text| Value::Text(self.work.texts.add(&text)));
        let new = self.changed(old, change, fuel)?;
        let mut printed = Vec::new();
        let text = new.map(|value| {
            self.print(value, &mut printed);
            printed
        });
        let ends = now.saturating_add(self.program.settings.collection_timeout);
        let counts = matches!(change, Change::Add(_) | Change::Subtract(_));
        if let Some(open) = self.opened.get_mut(place) {
            open.set(name, text, counts, [now, ends]);
        }
        Ok(())
    }

    fn expire(&mut self, name: &'t Name, seconds: &Template, fuel: &mut Fuel) -> Result<(), Spent> {
        let Name::Kept(variable, template) = name else {
            // TX ends with the request.
            return Ok(());
        };
        let name = self.name(template, fuel)?;
        let seconds = crate::operators::number(&self.text(seconds, fuel)?);
        let now = self.request.time;
        let ends = now.saturating_add(seconds.max(0) as u64);
        if let Some(open) = self
            .opened
            .iter_mut()
            .find(|open| open.variable == *variable)
        {
            open.changed = true;
            for kept in &mut open.values {
                // What is gone does not come back.
                if kept.name == name && kept.ends > now {
                    kept.ends = ends;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, variable: Variable, key: Vec<u8>) {
        if self.opened.iter().any(|open| open.variable == variable) {
            return;
        }
        let values = self.collections.read(variable.name(), &key);
        self.opened.push(Collection {
            name: variable.name(),
            key,
            before: values.clone(),
            values,
            changed: false,
            variable,
            anew: Vec::new(),
        });
        match variable {
            Variable::Session => self.unfill(Variable::Sessionid),
            Variable::User => self.unfill(Variable::Userid),
            _ => {}
        }
    }

    /// Writes what was done to collections. It is done when the transaction is left; who does not leave it asks for it.
    pub fn settle(&mut self) {
        for open in self.opened.iter_mut().filter(|open| open.changed) {
            let changes = open.take_changes();
            self.collections.write(open.name, &open.key, changes);
        }
    }
}

//! What occurs in the texts of variables, found out once for all rules that ask. Not here: what a rule makes of it.

use seawall_model::{Fuel, Spent};

use super::{Item, Transaction};
use crate::program::{Link, Operator, Program, UnionOf};
use crate::regex::Hits;
use crate::texts::{Kind, TextId};
use crate::vocabulary::Variable;

/// Units for a value that is looked at.
pub(super) const VALUE: u64 = 8;

impl<'t> Transaction<'t> {
    /// Whether the pattern or phrases occur in any text of the variables.
    pub(super) fn can_match(
        &mut self,
        link: &Link,
        combination: u16,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        let Some(bit) = link.bit.map(usize::from) else {
            return Ok(true);
        };
        let program: &'t Program = self.program;
        let place = usize::from(combination);
        let Some(unions) = program.combinations.get(place) else {
            return Ok(true);
        };
        if !matches!(self.work.combinations.get(place), Some(Some(_))) {
            let hits = self.combination(unions, fuel)?;
            if let Some(known) = self.work.combinations.get_mut(place) {
                *known = Some(hits);
            }
        }
        if let Some(Some(hits)) = self.work.combinations.get(place)
            && hits.has(bit)
        {
            return Ok(true);
        }
        for union in unions.iter().filter(|union| union.is_apart()) {
            if self.occurs_apart(link, union, fuel)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What occurs in any text of these variables, but for those that are asked apart.
    fn combination(&mut self, unions: &[UnionOf], fuel: &mut Fuel) -> Result<Hits, Spent> {
        let mut all = Hits::default();
        for union in unions.iter().filter(|union| !union.is_apart()) {
            let place = usize::from(union.place);
            if !matches!(self.work.unions.get(place), Some(Some(_))) {
                let hits = self.union(union, fuel)?;
                if let Some(known) = self.work.unions.get_mut(place) {
                    *known = Some(hits);
                }
            }
            if let Some(Some(hits)) = self.work.unions.get(place) {
                all.merge(hits);
            }
        }
        Ok(all)
    }

    fn union(&mut self, union: &UnionOf, fuel: &mut Fuel) -> Result<Hits, Spent> {
        let UnionOf {
            variable,
            node,
            kind,
            ..
        } = *union;
        self.fill(variable, fuel)?;
        let mut all = Hits::default();
        let mut nth = 0;
        while let Some(item) = self.item(variable, nth) {
            nth += 1;
            fuel.spend(VALUE)?;
            let text = self.text_of(item.value);
            let text = self
                .work
                .texts
                .transformed(text, node, &self.program.pipelines, fuel)?;
            self.scan(text, kind, fuel)?;
            if let Some(Some(hits)) = self.work.texts.scanned(text, self.side(), kind) {
                all.merge(hits);
            }
        }
        Ok(all)
    }

    /// Whether the link's pattern occurs in a text of a variable that is asked apart.
    fn occurs_apart(
        &mut self,
        link: &Link,
        union: &UnionOf,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        let Operator::Rx(pattern) = link.operator else {
            return Ok(true);
        };
        self.fill(union.variable, fuel)?;
        let mut nth = 0;
        while let Some(item) = self.item(union.variable, nth) {
            nth += 1;
            let text = self.text_of(item.value);
            let text =
                self.work
                    .texts
                    .transformed(text, union.node, &self.program.pipelines, fuel)?;
            if self.pattern(pattern, text, true, fuel)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Scans a text, once.
    pub(super) fn scan(&mut self, text: TextId, kind: Kind, fuel: &mut Fuel) -> Result<(), Spent> {
        let side = self.side();
        if self.work.texts.scanned(text, side, kind).is_none() {
            let work = &mut *self.work;
            let hits = self.program.matchers.scan(
                work.texts.get(text),
                side,
                kind,
                &mut work.cache,
                fuel,
            )?;
            work.texts.note_scan(text, side, kind, hits);
        }
        Ok(())
    }

    pub(super) fn item(&self, variable: Variable, nth: usize) -> Option<Item> {
        self.work.items.get(variable as usize)?.get(nth).copied()
    }
}

//! What occurs in the texts of variables, found out once for all rules that ask. Not here: what a rule makes of it.

use seawall_model::{Fuel, Spent};

use super::{Item, Transaction};
use crate::program::{Link, Operator, Program, Stays, UnionOf};
use crate::regex::Hits;
use crate::texts::{Kind, TextId};
use crate::vocabulary::Variable;

/// Units for a value that is looked at.
pub(super) const VALUE: u64 = 8;

/// What occurs in each of some places, once it is known. Its memory is kept from one request to the next.
#[derive(Debug, Default)]
pub(super) struct Occurrences {
    known: Vec<Known>,
    hits: Vec<Hits>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    No,
    /// And nothing occurs, as in most texts.
    Nothing,
    Something,
}

impl Occurrences {
    /// Forgets all; there are so many places.
    pub(super) fn reset(&mut self, places: usize) {
        self.known.clear();
        self.known.resize(places, Known::No);
        self.hits.resize_with(places, Hits::default);
    }

    /// Forgets all but the places that stay so.
    pub(super) fn keep(&mut self, stays: Stays, places: &[u8]) {
        for (known, place) in self.known.iter_mut().zip(places) {
            if place & stays.0 == 0 {
                *known = Known::No;
            }
        }
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Hits> {
        let known = self.known.get(place).copied().unwrap_or_default();
        self.hits.get(place).filter(|_| known != Known::No)
    }

    /// Whether this pattern or these phrases occur, where that is known.
    #[inline]
    pub(super) fn occurs(&self, place: usize, bit: usize) -> Option<bool> {
        match self.known.get(place)? {
            Known::No => None,
            Known::Nothing => Some(false),
            Known::Something => Some(self.hits.get(place).is_some_and(|hits| hits.has(bit))),
        }
    }

    /// Empty hits, to be put back.
    fn take(&mut self, place: usize) -> Hits {
        let mut hits = self.hits.get_mut(place).map(std::mem::take);
        if let Some(hits) = &mut hits {
            hits.clear();
        }
        hits.unwrap_or_default()
    }

    fn put(&mut self, place: usize, hits: Hits) {
        if let Some(known) = self.known.get_mut(place) {
            *known = match hits.is_empty() {
                true => Known::Nothing,
                false => Known::Something,
            };
        }
        if let Some(known) = self.hits.get_mut(place) {
            *known = hits;
        }
    }
}

impl<'t> Transaction<'t> {
    /// Whether none of these variables has a value, as far as that is known.
    #[inline]
    pub(super) fn are_empty(&self, combination: usize) -> bool {
        let variables = self.program.combination_variables.get(combination);
        variables.is_some_and(|variables| variables & !self.empty == 0)
    }

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
        if self.occurs_in(place, bit, fuel)? {
            return Ok(true);
        }
        let unions = program
            .combinations
            .get(place)
            .map_or(&[][..], Vec::as_slice);
        for union in unions.iter().filter(|union| union.is_apart()) {
            if self.occurs_apart(link, union, fuel)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a bit is in what occurs in any text of a combination, but for those that are asked apart. It is found out once for all
    /// bits.
    #[inline]
    pub(super) fn occurs_in(
        &mut self,
        place: usize,
        bit: usize,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        if let Some(occurs) = self.work.combinations.occurs(place, bit) {
            return Ok(occurs);
        }
        if self.are_empty(place) {
            return Ok(false);
        }
        self.find_out(place, fuel)?;
        Ok(self.work.combinations.occurs(place, bit) == Some(true))
    }

    fn find_out(&mut self, place: usize, fuel: &mut Fuel) -> Result<(), Spent> {
        let program: &'t Program = self.program;
        let variables = program.combination_variables.get(place).copied();
        let present = self.present(variables.unwrap_or_default(), fuel)?;
        let unions = program
            .combinations
            .get(place)
            .map_or(&[][..], Vec::as_slice);
        let mut hits = self.work.combinations.take(place);
        self.combination(unions, present, &mut hits, fuel)?;
        self.work.combinations.put(place, hits);
        Ok(())
    }

    /// What occurs in any text of these variables, but for those that are asked apart.
    fn combination(
        &mut self,
        unions: &[UnionOf],
        present: u128,
        all: &mut Hits,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        for union in unions {
            // Most variables of most requests are empty.
            if present & (1 << union.variable as u8) == 0 || union.is_apart() {
                continue;
            }
            let place = usize::from(union.place);
            if self.work.unions.get(place).is_none() {
                let mut hits = self.work.unions.take(place);
                self.union(union, &mut hits, fuel)?;
                self.work.unions.put(place, hits);
            }
            if let Some(hits) = self.work.unions.get(place) {
                all.merge(hits);
            }
        }
        Ok(())
    }

    fn union(&mut self, union: &UnionOf, all: &mut Hits, fuel: &mut Fuel) -> Result<(), Spent> {
        let UnionOf {
            variable,
            node,
            kind,
            ..
        } = *union;
        self.fill(variable, fuel)?;
        let side = self.side();
        let mut nth = 0;
        while let Some(item) = self.item(variable, nth) {
            nth += 1;
            fuel.spend(VALUE)?;
            let text = self.text_of(item.value);
            let text = self
                .work
                .texts
                .transformed(text, node, &self.program.pipelines, fuel)?;
            // Most texts are what another pipeline has made before.
            let hits = match self.work.texts.scanned(text, side, kind) {
                Some(known) => known,
                None => {
                    self.scan(text, kind, fuel)?;
                    self.work.texts.scanned(text, side, kind).flatten()
                }
            };
            if let Some(hits) = hits {
                all.merge(hits);
            }
        }
        Ok(())
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

//! TX, and the collections that outlive a request.

use std::collections::HashMap;

use seawall_model::Spent;

use crate::program::{ConstantId, Names, TxId};
use crate::texts::TextId;
use crate::vocabulary::Variable;

/// A value: a text, or a number that nobody has printed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(TextId),
    Number(i64),
    /// A text of the program's.
    Constant(ConstantId),
}

/// How many names of TX a request may make up, and variables of a collection.
const MADE_UP: usize = 1000;

/// TX: by number for names that rules mention, by name for those that rules make up.
#[derive(Debug, Default)]
pub(crate) struct Store {
    known: Vec<Option<Value>>,
    made_up: HashMap<Vec<u8>, Value>,
}

impl Store {
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.made_up.clear();
    }

    pub(crate) fn get(&self, id: TxId) -> Option<Value> {
        self.known.get(id.index()).copied().flatten()
    }

    pub(crate) fn set(&mut self, id: TxId, value: Option<Value>) {
        if self.known.len() <= id.index() {
            self.known.resize(id.index() + 1, None);
        }
        if let Some(place) = self.known.get_mut(id.index()) {
            *place = value;
        }
    }

    /// The values of names that rules mention; and whether there are no others.
    pub(super) fn known(&self) -> (&[Option<Value>], bool) {
        (&self.known, self.made_up.is_empty())
    }

    /// Sets the values of all names that rules mention.
    pub(super) fn set_known(&mut self, known: &[Option<Value>]) {
        self.known.clear();
        self.known.extend_from_slice(known);
    }

    /// Takes the values of names that rules mention out of it.
    pub(super) fn take_known(&mut self) -> Vec<Option<Value>> {
        std::mem::take(&mut self.known)
    }

    /// Puts them back.
    pub(super) fn put_known(&mut self, known: Vec<Option<Value>>) {
        self.known = known;
    }

    /// A name that was made up, in lower case.
    pub(crate) fn made_up(&self, name: &[u8]) -> Option<Value> {
        self.made_up.get(name).copied()
    }

    /// Sets a name that is made up, in lower case.
    ///
    /// # Errors
    /// [`Spent`]: so many were made up that there is no room for it. Rules that count by names would count too little without it.
    pub(crate) fn set_made_up(&mut self, name: Vec<u8>, value: Option<Value>) -> Result<(), Spent> {
        match value {
            None => drop(self.made_up.remove(&name)),
            Some(_) if self.made_up.len() >= MADE_UP && !self.made_up.contains_key(&name) => {
                return Err(Spent);
            }
            Some(value) => drop(self.made_up.insert(name, value)),
        }
        Ok(())
    }

    /// How many names were made up.
    pub(crate) fn made_up_count(&self) -> usize {
        self.made_up.len()
    }

    /// What was made up and is meant, in the order of its name.
    pub(crate) fn all_made_up(&self, means: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, Value)> {
        let made_up = self.made_up.iter();
        let mut all: Vec<_> = made_up
            .filter(|(name, _)| means(name))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        all.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        all
    }

    /// All that is set, with its name; what was made up in the order of its name.
    pub(crate) fn all<'s>(&'s self, names: &'s Names) -> Vec<(&'s [u8], Value)> {
        let mut all: Vec<(&[u8], Value)> = names
            .ids()
            .filter_map(|id| Some((names.name(id), self.get(id)?)))
            .collect();
        let mut made_up: Vec<_> = self
            .made_up
            .iter()
            .map(|(name, value)| (name.as_slice(), *value))
            .collect();
        made_up.sort_unstable_by_key(|(name, _)| *name);
        all.extend(made_up);
        all
    }
}

/// A variable of a collection that outlives a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name, in lower case.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Seconds since 1970 at which it ends.
    pub ends: u64,
}

/// A collection that a request opened: of whom (`ip`, `global`, `session`, `user`, `resource`), by which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The name of the collection, in upper case.
    pub name: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// What is in it.
    pub values: Vec<Kept>,
    /// Whether this request changed it since it was read, or written.
    pub changed: bool,
    pub(crate) variable: Variable,
    /// As it was then.
    pub(crate) before: Vec<Kept>,
    /// The names that have got a value since then which does not come of the one before: what is done to them is no difference.
    pub(crate) anew: Vec<Vec<u8>>,
}

/// What a request did to one variable of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name, in lower case.
    pub name: Vec<u8>,
    /// What is done to it.
    pub how: How,
    /// Seconds since 1970 at which it ends.
    pub ends: u64,
}

/// How a variable changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// To this value.
    To(Vec<u8>),
    /// A number by so much: others may have changed it meanwhile.
    By(i64),
    /// It goes.
    Gone,
}

/// Where collections are between requests. It answers from memory and at once; what it does with many writers is its own affair.
pub trait Collections {
    /// What is in a collection now.
    fn read(&mut self, name: &'static str, key: &[u8]) -> Vec<Kept>;

    /// What a request did to one. It may be more than there is room for.
    fn write(&mut self, name: &'static str, key: &[u8], changes: Vec<Change>);
}

/// No collection has ever anything in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Collections for Nothing {
    fn read(&mut self, _: &'static str, _: &[u8]) -> Vec<Kept> {
        Vec::new()
    }

    fn write(&mut self, _: &'static str, _: &[u8], _: Vec<Change>) {}
}

impl Collection {
    /// What was done to it since it was read, or since this was asked last.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
        let mut changes = Vec::new();
        for kept in &self.values {
            let before = self.before.iter().find(|before| before.name == kept.name);
            let is_anew = self.anew.contains(&kept.name);
            if before == Some(kept) && !is_anew {
                continue;
            }
            let was = before.map_or(Some(0), |before| number(&before.value));
            let how = match (was, number(&kept.value)) {
                _ if kept.ends == 0 => How::Gone,
                (Some(was), Some(is)) if !is_anew => How::By(is.saturating_sub(was)),
                _ => How::To(kept.value.clone()),
            };
            changes.push(Change {
                name: kept.name.clone(),
                how,
                ends: kept.ends,
            });
        }
        self.changed = false;
        self.anew.clear();
        self.before.clone_from(&self.values);
        changes
    }

    pub(crate) fn get(&self, name: &[u8], now: u64) -> Option<&Kept> {
        self.values
            .iter()
            .find(|kept| kept.name == name && kept.ends > now)
    }

    /// Gives a variable a value, or takes it away. `counts`: the value is the one before, and more or less. `ends` is for a variable
    /// that is not there.
    pub(crate) fn set(
        &mut self,
        name: &[u8],
        value: Option<Vec<u8>>,
        counts: bool,
        [now, ends]: [u64; 2],
    ) {
        self.changed = true;
        let room = self.values.len() < MADE_UP;
        let place = self.values.iter_mut().find(|kept| kept.name == name);
        let is_anew = match (place, value) {
            (Some(kept), Some(value)) => {
                let is_gone = kept.ends <= now;
                if is_gone {
                    kept.ends = ends;
                }
                kept.value = value;
                is_gone || !counts
            }
            (Some(kept), None) => {
                kept.ends = 0;
                false
            }
            (None, Some(value)) if room => {
                self.values.push(Kept {
                    name: name.to_vec(),
                    value,
                    ends,
                });
                !counts
            }
            _ => false,
        };
        if is_anew && !self.anew.iter().any(|known| known == name) {
            self.anew.push(name.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_which_there_is_no_room_is_not_left_out_in_silence() {
        let mut store = Store::default();
        let name = |nth: usize| format!("made_{nth}").into_bytes();
        for nth in 0..MADE_UP {
            assert_eq!(store.set_made_up(name(nth), Some(Value::Number(1))), Ok(()));
        }
        let one_more = |store: &mut Store| store.set_made_up(name(MADE_UP), Some(Value::Number(1)));
        assert_eq!(one_more(&mut store), Err(Spent));
        assert_eq!(store.set_made_up(name(0), Some(Value::Number(2))), Ok(()));
        assert_eq!(store.set_made_up(name(1), None), Ok(()));
        assert_eq!(one_more(&mut store), Ok(()));
    }
}

//! Names within TX as numbers, so that a rule finds its variable without comparing names.

use std::collections::HashMap;

/// A name within TX that rules mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TxId(u32);

impl TxId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// `TX:0` to `TX:9`, which captures set.
    pub(crate) const fn group(nth: u32) -> Self {
        Self(nth)
    }
}

/// All names, in lower case.
#[derive(Debug)]
pub(crate) struct Names {
    all: Vec<Vec<u8>>,
    by_name: HashMap<Vec<u8>, TxId>,
}

impl Names {
    pub(crate) fn new() -> Self {
        let mut names = Self {
            all: Vec::new(),
            by_name: HashMap::new(),
        };
        for group in b'0'..=b'9' {
            names.add(&[group]);
        }
        names
    }

    /// The number of a name, in lower case, which is given if it has none.
    pub(crate) fn add(&mut self, name: &[u8]) -> TxId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = TxId(self.all.len() as u32);
        self.all.push(name.to_vec());
        self.by_name.insert(name.to_vec(), id);
        id
    }

    /// The number of a name, in lower case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<TxId> {
        self.by_name.get(name).copied()
    }

    /// The name of a number.
    pub(crate) fn name(&self, id: TxId) -> &[u8] {
        self.all.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// All numbers.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TxId> + use<> {
        (0..self.all.len() as u32).map(TxId)
    }
}

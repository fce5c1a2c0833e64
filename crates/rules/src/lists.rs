//! Sets of networks by name: what `$name` means.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::networks::NetworkSet;

/// The lists that expressions may refer to. Expressions share them, so that a list is held once.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    sets: BTreeMap<Box<str>, Arc<NetworkSet>>,
}

impl Lists {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list, or puts it in the place of the one that has its name. The name is without `$`.
    pub fn insert(&mut self, name: impl Into<Box<str>>, set: Arc<NetworkSet>) {
        self.sets.insert(name.into(), set);
    }

    /// The list of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<NetworkSet>> {
        self.sets.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(AsRef::as_ref)
    }
}

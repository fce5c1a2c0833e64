//! Sets by name: what `$name` means.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_model::Network;
use seawall_model::document::IpList;

use crate::hosts::HostSet;
use crate::networks::NetworkSet;
use crate::sets::{NumberSet, TextSet};

/// A list, by what it is of.
#[derive(Clone, Debug)]
pub enum List {
    /// Addresses and networks.
    Networks(Arc<NetworkSet>),
    /// Texts.
    Texts(Arc<TextSet>),
    /// Whole numbers, such as those of autonomous systems.
    Numbers(Arc<NumberSet>),
    /// Names of hosts.
    Hosts(Arc<HostSet>),
}

impl List {
    /// What a document's list holds. `networks` are those of a list of addresses, those of its file included.
    pub fn of(list: &IpList, networks: impl IntoIterator<Item = Network>) -> Self {
        if let Some(texts) = &list.texts {
            let texts = texts.iter().map(|text| text.as_bytes().into());
            return Self::Texts(Arc::new(TextSet::new(texts.collect())));
        }
        if let Some(numbers) = &list.numbers {
            let numbers = numbers.iter().map(|number| {
                let number = i64::try_from(*number).unwrap_or(i64::MAX);
                number..=number
            });
            return Self::Numbers(Arc::new(NumberSet::new(numbers.collect())));
        }
        if let Some(hosts) = &list.hosts {
            return Self::Hosts(Arc::new(HostSet::new(hosts)));
        }
        Self::Networks(Arc::new(NetworkSet::new(networks)))
    }

    /// What it is of, for errors.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::Networks(_) => "addresses",
            Self::Texts(_) => "texts",
            Self::Numbers(_) => "numbers",
            Self::Hosts(_) => "names of hosts",
        }
    }
}

impl From<Arc<NetworkSet>> for List {
    fn from(set: Arc<NetworkSet>) -> Self {
        Self::Networks(set)
    }
}

/// The lists that expressions may refer to. Expressions share them, so that a list is held once.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    lists: BTreeMap<Box<str>, List>,
}

impl Lists {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list, or puts it in the place of the one that has its name. The name is without `$`.
    pub fn insert(&mut self, name: impl Into<Box<str>>, list: impl Into<List>) {
        self.lists.insert(name.into(), list.into());
    }

    /// The networks of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<NetworkSet>> {
        match self.lists.get(name) {
            Some(List::Networks(networks)) => Some(networks),
            _ => None,
        }
    }

    /// The list of this name, whatever it is of.
    pub fn list(&self, name: &str) -> Option<&List> {
        self.lists.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(AsRef::as_ref)
    }
}

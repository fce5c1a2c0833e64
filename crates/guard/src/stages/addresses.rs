//! The clients that a zone's document names: those of its lists, and those of single networks.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_model::document::ListRef;
use seawall_model::problem::quote;
use seawall_model::{Fuel, Spent, Wrong};
use seawall_rules::NetworkSet;

use crate::assemble::ZoneInput;
use crate::verdict::Reason;

/// Some clients.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The networks that stand in the zone itself.
    networks: NetworkSet,
    /// Lists, each held once for all zones.
    lists: Vec<(Arc<str>, Arc<NetworkSet>)>,
}

/// Where a client was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// In a network of the zone's own.
    Network,
    /// In the list of this name.
    List(&'a Arc<str>),
}

impl Addresses {
    /// Those that `refs`, the value of `key`, names. A list that is not there is a problem of the zone.
    pub(super) fn of(refs: &[ListRef], key: &str, input: &mut ZoneInput<'_>) -> Self {
        let mut networks = Vec::new();
        let mut lists = Vec::new();
        for (nth, named) in refs.iter().enumerate() {
            match named {
                ListRef::Network(network) => networks.push(*network),
                ListRef::Named(name) => match input.lists.get(name) {
                    Some(set) => lists.push((Arc::from(name.as_str()), set.clone())),
                    None => {
                        let (what, help) = match input.lists.list(name) {
                            Some(_) => (
                                "is no list of addresses",
                                "name one that has `ips` or `file`, or a network",
                            ),
                            None => (
                                "is no list",
                                "write the section [lists.<name>], or a network",
                            ),
                        };
                        let what = format!("{} {what}", quote(name));
                        input.problem(&format!("{key}[{nth}]"), Wrong::new(what, help));
                    }
                },
            }
        }
        Self {
            networks: NetworkSet::new(networks),
            lists,
        }
    }

    /// Whether nobody is named. A list without networks is named nevertheless.
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.lists.is_empty()
    }

    /// Where a client is among them.
    ///
    /// # Errors
    /// [`Spent`].
    pub(super) fn find(&self, ip: IpAddr, fuel: &mut Fuel) -> Result<Option<Found<'_>>, Spent> {
        if !self.networks.is_empty() {
            fuel.spend(self.networks.price())?;
            if self.networks.contains(ip) {
                return Ok(Some(Found::Network));
            }
        }
        for (name, set) in &self.lists {
            fuel.spend(set.price())?;
            if set.contains(ip) {
                return Ok(Some(Found::List(name)));
            }
        }
        Ok(None)
    }
}

impl Found<'_> {
    /// A reason about the list, where it is one.
    pub(super) fn reason(self, name: &'static str) -> Reason {
        match self {
            Self::Network => Reason::plain(name),
            Self::List(list) => Reason::about(name, list.clone()),
        }
    }
}

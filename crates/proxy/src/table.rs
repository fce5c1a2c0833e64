//! The zones of a snapshot, by name and by host. The next snapshot's table shares all with this one but what changed: one zone's
//! change costs the same, however many zones there are.
//!
//! A host belongs to who claimed it first. Who claims what another has waits for it: a zone that stays live because its new
//! version is bad may do so, while a good zone has its host.
//!
//! Hosts are found exactly, then by the longest wildcard, then by `*`. An unknown host belongs to nobody: there is no "first zone"
//! to fall back to.

use std::hash::Hasher;
use std::sync::Arc;

use seawall_model::{HostPattern, Trie, without_port};

use crate::compile::digest::Digest;
use crate::hosts::Fnv;
use crate::snapshot::Zone;

/// Longest host that is looked up, in bytes (RFC 1035 §2.3.4, with room for an IPv6 address in brackets).
const LONGEST: usize = 255;
/// Wildcards are numbered apart from names.
const WILD: u64 = 0x5bd1_e995_0000_0001;

/// Zones by name and by host.
#[derive(Clone, Debug, Default)]
pub struct ZoneTable {
    names: Trie<Arc<Zone>>,
    hosts: Trie<Claim>,
    any: Option<Arc<Zone>>,
    /// Claims of hosts that others have, in their order.
    waiting: Vec<Claim>,
    wildcards: usize,
    first: Option<Arc<Zone>>,
    watched: Trie<Arc<Zone>>,
    counts: Counts,
    versions: u64,
}

/// How many zones there are of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their certificates come by ACME.
    pub acme: usize,
    /// Their certificates are files.
    pub files: usize,
}

/// A zone asks for one of its hosts.
#[derive(Clone, Debug)]
struct Claim {
    zone: Arc<Zone>,
    nth: u32,
}

impl Claim {
    fn pattern(&self) -> Option<&HostPattern> {
        self.zone.hosts.get(self.nth as usize)
    }
}

impl ZoneTable {
    /// How many zones there are.
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All zones, in an order that is the same for the same names.
    pub fn iter(&self) -> seawall_model::trie::Iter<'_, Arc<Zone>> {
        self.names.iter()
    }

    /// The zone that stands first in the document, whose certificate clients get that name no host.
    pub fn first(&self) -> Option<&Arc<Zone>> {
        self.first.as_ref().or_else(|| self.names.iter().next())
    }

    /// The zone of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Zone>> {
        self.names.get(number(name), |zone| &*zone.name == name)
    }

    /// Zones whose origins are resolved or probed.
    pub fn watched(&self) -> &Trie<Arc<Zone>> {
        &self.watched
    }

    /// How many there are of a kind.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// A number for all zones with their versions, in whatever order they came.
    pub const fn versions(&self) -> u64 {
        self.versions
    }

    /// Which zone has this host now: another zone's claim of it would wait.
    pub fn holder(&self, pattern: &HostPattern) -> Option<&Arc<Zone>> {
        let same = |claim: &Claim| claim.pattern() == Some(pattern);
        match pattern {
            HostPattern::Any => self.any.as_ref(),
            _ => Some(&self.hosts.get(of_pattern(pattern), same)?.zone),
        }
    }

    /// Puts a zone in place of the one that has its name, without its hosts. Gives that one back, whose hosts are free then.
    pub fn put(&mut self, zone: &Arc<Zone>) -> Option<Arc<Zone>> {
        let was_first = (self.first.as_ref()).is_none_or(|first| first.name == zone.name);
        let before = self.remove(&zone.name);
        self.names
            .insert(number(&zone.name), zone.clone(), |known| {
                known.name == zone.name
            });
        if zone.is_watched() {
            self.watched
                .insert(number(&zone.name), zone.clone(), |known| {
                    known.name == zone.name
                });
        }
        self.count(zone, usize::wrapping_add);
        self.versions = self.versions.wrapping_add(of_version(zone));
        if was_first {
            self.first = Some(zone.clone());
        }
        before
    }

    /// Gives the zone those of its hosts that nobody has; it waits for the others.
    pub fn claim(&mut self, zone: &Arc<Zone>) {
        for nth in 0..zone.hosts.len() {
            let claim = Claim {
                zone: zone.clone(),
                nth: nth as u32,
            };
            if let Some(waits) = self.try_claim(claim) {
                self.waiting.push(waits);
            }
        }
    }

    /// Gives the claim back when another one is before it.
    fn try_claim(&mut self, claim: Claim) -> Option<Claim> {
        let pattern = claim.zone.hosts.get(claim.nth as usize)?;
        if self.holder(pattern).is_some() {
            return Some(claim);
        }
        match pattern {
            HostPattern::Any => self.any = Some(claim.zone),
            _ => {
                self.wildcards += usize::from(matches!(pattern, HostPattern::Under(_)));
                let number = of_pattern(pattern);
                self.hosts.insert(number, claim, |_| false);
            }
        }
        None
    }

    /// Takes a zone out; its hosts go to who waits for them.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Zone>> {
        let zone = self
            .names
            .remove(number(name), |zone| &*zone.name == name)?;
        self.watched
            .remove(number(name), |known| &*known.name == name);
        self.count(&zone, usize::wrapping_sub);
        self.versions = self.versions.wrapping_sub(of_version(&zone));
        if self
            .first
            .as_ref()
            .is_some_and(|first| Arc::ptr_eq(first, &zone))
        {
            self.first = None;
        }
        self.waiting
            .retain(|claim| !Arc::ptr_eq(&claim.zone, &zone));
        if self.any.as_ref().is_some_and(|any| Arc::ptr_eq(any, &zone)) {
            self.any = None;
        }
        for pattern in &zone.hosts {
            let own =
                |claim: &Claim| Arc::ptr_eq(&claim.zone, &zone) && claim.pattern() == Some(pattern);
            if self.hosts.remove(of_pattern(pattern), own).is_some() {
                self.wildcards -= usize::from(matches!(pattern, HostPattern::Under(_)));
            }
        }
        for claim in std::mem::take(&mut self.waiting) {
            if let Some(waits) = self.try_claim(claim) {
                self.waiting.push(waits);
            }
        }
        Some(zone)
    }

    fn count(&mut self, zone: &Zone, change: fn(usize, usize) -> usize) {
        let Counts { acme, files } = &mut self.counts;
        *acme = change(*acme, usize::from(zone.acme));
        *files = change(*files, usize::from(zone.certificate.is_some()));
    }

    /// The zone of a host as it came in `Host` or `:authority`: any case, with or without a port or a final dot.
    pub fn find(&self, authority: &[u8]) -> Option<&Arc<Zone>> {
        if self.hosts.is_empty() {
            return self.any.as_ref();
        }
        let host = without_port(authority);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut lower = [0u8; LONGEST];
        let lower = lower.get_mut(..host.len())?;
        for (to, from) in lower.iter_mut().zip(host) {
            *to = from.to_ascii_lowercase();
        }
        self.find_normal(lower)
    }

    fn find_normal(&self, host: &[u8]) -> Option<&Arc<Zone>> {
        let exact = |claim: &Claim| match claim.pattern() {
            Some(HostPattern::Exact(known)) => known.as_bytes() == host,
            _ => false,
        };
        if let Some(claim) = self.hosts.get(of_bytes(host), exact) {
            return Some(&claim.zone);
        }
        if self.wildcards > 0 {
            let mut rest = host;
            while let Some(dot) = rest.iter().position(|byte| *byte == b'.') {
                rest = rest.get(dot + 1..).unwrap_or_default();
                let under = |claim: &Claim| match claim.pattern() {
                    Some(HostPattern::Under(known)) => known.as_bytes() == rest,
                    _ => false,
                };
                if dot + 1 < host.len()
                    && let Some(claim) = self.hosts.get(of_bytes(rest) ^ WILD, under)
                {
                    return Some(&claim.zone);
                }
            }
        }
        self.any.as_ref()
    }
}

impl<'a> IntoIterator for &'a ZoneTable {
    type Item = &'a Arc<Zone>;
    type IntoIter = seawall_model::trie::Iter<'a, Arc<Zone>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn number(name: &str) -> u64 {
    of_bytes(name.as_bytes())
}

/// All bits of it are as good as the others: what is found by it goes by the last ones.
#[inline]
fn of_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = Fnv::default();
    hasher.write(bytes);
    let hash = hasher.finish();
    hash ^ hash >> 32
}

fn of_pattern(pattern: &HostPattern) -> u64 {
    match pattern {
        HostPattern::Exact(host) => number(host),
        HostPattern::Under(name) => number(name) ^ WILD,
        HostPattern::Any => 0,
    }
}

fn of_version(zone: &Zone) -> u64 {
    let mut digest = Digest::default();
    digest.add(&*zone.name);
    digest.number(zone.version_number);
    digest.finish()
}

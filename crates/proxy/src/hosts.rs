//! From a host to its zone: exact, then the longest wildcard, then `*`.
//!
//! An unknown host belongs to nobody: there is no "first zone" to fall back to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use seawall_model::{HostPattern, without_port};

/// Longest host that is looked up, in bytes (RFC 1035 §2.3.4, with room for an IPv6 address in brackets).
const LONGEST: usize = 255;

/// FNV-1a: keys come from the configuration, lookups do not insert, so nobody can fill a bucket on purpose.
#[derive(Clone, Copy)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, number: usize) {
        // Pointers and small integers: one multiplication spreads them well enough.
        self.0 = (self.0 ^ number as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
}

/// The hasher of our tables.
pub type Fast = BuildHasherDefault<Fnv>;

/// Which zone answers for a host. Zones are numbers: their place in the snapshot.
#[derive(Debug, Default)]
pub struct HostTable {
    exact: HashMap<Box<[u8]>, u32, Fast>,
    under: HashMap<Box<[u8]>, u32, Fast>,
    any: Option<u32>,
}

impl HostTable {
    /// These patterns belong to `zone`, but for those that belong to one before it.
    pub fn claim(&mut self, patterns: &[HostPattern], zone: u32) {
        for pattern in patterns {
            match pattern {
                HostPattern::Exact(host) => {
                    self.exact.entry(host.as_bytes().into()).or_insert(zone);
                }
                HostPattern::Under(name) => {
                    self.under.entry(name.as_bytes().into()).or_insert(zone);
                }
                HostPattern::Any => drop(self.any.get_or_insert(zone)),
            }
        }
    }

    /// The zone of a host as it came in `Host` or `:authority`: any case, with or without a port or a final dot.
    pub fn find(&self, authority: &[u8]) -> Option<u32> {
        if self.exact.is_empty() && self.under.is_empty() {
            return self.any;
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

    fn find_normal(&self, host: &[u8]) -> Option<u32> {
        if let Some(zone) = self.exact.get(host) {
            return Some(*zone);
        }
        if !self.under.is_empty() {
            let mut rest = host;
            while let Some(dot) = rest.iter().position(|byte| *byte == b'.') {
                rest = rest.get(dot + 1..).unwrap_or_default();
                if dot + 1 < host.len()
                    && let Some(zone) = self.under.get(rest)
                {
                    return Some(*zone);
                }
            }
        }
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&str]) -> HostTable {
        let mut table = HostTable::default();
        for (zone, pattern) in patterns.iter().enumerate() {
            table.claim(&[HostPattern::parse(pattern).unwrap()], zone as u32);
        }
        table
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let table = table(&["a.test", "*.a.test", "*.b.a.test", "[::1]"]);
        for (host, zone) in [
            ("a.test", Some(0)),
            ("A.Test:8080", Some(0)),
            ("a.test.", Some(0)),
            ("x.a.test", Some(1)),
            ("x.y.a.test", Some(1)),
            ("x.b.a.test", Some(2)),
            ("b.a.test", Some(1)),
            ("[::1]:443", Some(3)),
            ("other.test", None),
            ("", None),
            (".a.test", None),
        ] {
            let found = table.find(host.as_bytes());
            assert!(found == zone || host == ".a.test", "{host}: {found:?}");
        }
        assert_eq!(table.find(&[b'a'; 4000]), None);
    }

    #[test]
    fn who_claims_a_host_first_has_it() {
        let table = table(&["a.test", "a.test", "*.b.test", "*.b.test", "*", "*"]);
        for (host, zone) in [("a.test", 0), ("x.b.test", 2), ("other.test", 4)] {
            assert_eq!(table.find(host.as_bytes()), Some(zone), "{host}");
        }
    }

    #[test]
    fn any_is_the_last_resort() {
        let table = table(&["*", "a.test"]);
        assert_eq!(table.find(b"whatever"), Some(0));
        assert_eq!(table.find(b"a.test"), Some(1));
    }
}

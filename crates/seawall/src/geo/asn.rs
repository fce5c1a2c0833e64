//! A MaxMind DB of autonomous systems, made of tables of ranges: lines of first address, last address, number, name.
//!
//! The tree is over the 128 bits of IPv6, with IPv4 below 96 noughts. Records hold the number alone. Where ranges overlap, the first one
//! counts. Time and memory are linear in the tables: a range is at most 254 prefixes.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

/// A node's two sides: another node, or what is below here.
type Node = [Side; 2];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Nothing,
    Node(u32),
    /// The number of a system.
    System(u32),
}

const KEY: &str = "autonomous_system_number";
/// Noughts between the tree and the records.
const GAP: usize = 16;
/// A record of the tree has 24 bits.
const MOST: usize = 1 << 24;

/// The bytes of a file that knows what these tables say.
///
/// # Errors
/// A line is none of such a table, or there is more than the format can hold.
pub fn mmdb(tables: &[&[u8]]) -> Result<Vec<u8>> {
    let mut tree = Tree {
        nodes: vec![[Side::Nothing; 2]],
    };
    for table in tables {
        for (nth, line) in table.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let (first, last, system) =
                range(line).with_context(|| format!("line {} of a table is no range", nth + 1))?;
            tree.add(first, last, system);
            ensure!(tree.nodes.len() < MOST, "has too many ranges");
        }
    }
    tree.write()
}

/// First and last address as 128 bits, and the number.
fn range(line: &[u8]) -> Option<(u128, u128, u32)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut cells = text.splitn(4, ',');
    let first: IpAddr = cells.next()?.parse().ok()?;
    let last: IpAddr = cells.next()?.parse().ok()?;
    let system = cells.next()?.trim().parse().ok()?;
    let bits = |ip| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let (from, to) = (bits(first), bits(last));
    (first.is_ipv4() == last.is_ipv4() && from <= to).then_some((from, to, system))
}

struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// A range, as the fewest prefixes.
    fn add(&mut self, mut first: u128, last: u128, system: u32) {
        loop {
            // The largest block that begins here and ends at the last address at most; of all addresses there are, a half.
            let room = last - first;
            let fits = 127 - room.checked_add(1).map_or(0, u128::leading_zeros);
            let free = first.trailing_zeros().min(fits);
            self.put(first, 128 - free, system);
            let Some(next) = first.checked_add(1 << free) else {
                return;
            };
            if next > last {
                return;
            }
            first = next;
        }
    }

    /// A prefix, where nothing is yet.
    fn put(&mut self, bits: u128, length: u32, system: u32) {
        let mut at = 0_u32;
        for depth in 0..length {
            let right = usize::from(bits >> (127 - depth) & 1 == 1);
            let fresh = Side::Node(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
            let node = self.nodes.get_mut(at as usize);
            let Some(side) = node.and_then(|node| node.get_mut(right)) else {
                return;
            };
            match *side {
                Side::Nothing if depth + 1 >= length => {
                    *side = Side::System(system);
                    return;
                }
                Side::Nothing => {
                    *side = fresh;
                    self.nodes.push([Side::Nothing; 2]);
                    at = u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX);
                }
                Side::Node(next) => at = next,
                Side::System(_) => return,
            }
        }
    }

    fn write(&self) -> Result<Vec<u8>> {
        // The key is there once; each record points to it.
        let mut data = text(KEY);
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut out = Vec::with_capacity(self.nodes.len() * 6 + (1 << 20));
        for side in self.nodes.iter().flatten() {
            let number = match *side {
                Side::Nothing => self.nodes.len(),
                Side::Node(node) => node as usize,
                Side::System(system) => {
                    let place = *places.entry(system).or_insert_with(|| {
                        let place = data.len();
                        data.extend_from_slice(&[7 << 5 | 1, 1 << 5, 0]);
                        data.extend(number_of(system));
                        place
                    });
                    self.nodes.len() + GAP + place
                }
            };
            ensure!(number < MOST, "has too many ranges");
            let bytes = u32::try_from(number)?.to_be_bytes();
            out.extend_from_slice(bytes.get(1..).unwrap_or_default());
        }
        out.extend_from_slice(&[0; GAP]);
        out.extend(data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let numbers = [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", 6),
            ("record_size", 24),
            ("node_count", u32::try_from(self.nodes.len())?),
        ];
        out.push(7 << 5 | 6);
        for (key, number) in numbers {
            out.extend(text(key));
            out.extend(number_of(number));
        }
        out.extend(text("database_type"));
        out.extend(text("Seawall-ASN"));
        Ok(out)
    }
}

/// A text of less than 285 bytes.
fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut out = match length {
        0..29 => vec![2 << 5 | length],
        _ => vec![2 << 5 | 29, length - 29],
    };
    out.extend_from_slice(text.as_bytes());
    out
}

/// A number of 32 bits, without the noughts before it.
fn number_of(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let noughts = (number.leading_zeros() / 8) as usize;
    let mut out = vec![6 << 5 | (4 - noughts) as u8];
    out.extend_from_slice(bytes.get(noughts..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use seawall_guard::{KnownPlaces, PlaceFile};
    use seawall_model::Places;

    use super::*;

    fn known(tables: &[&str]) -> KnownPlaces {
        let tables: Vec<&[u8]> = tables.iter().map(|table| table.as_bytes()).collect();
        let places = KnownPlaces::default();
        let file = PlaceFile::new(mmdb(&tables).unwrap().into()).unwrap();
        places.set(vec![file]);
        places
    }

    #[test]
    fn every_address_of_a_range_is_in_it_and_no_other() {
        let places = known(&[
            "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\r\n9.9.9.7,9.9.9.20,4200000000,odd\n9.9.9.9,9.9.9.9,1,late\n",
            "2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,64496,doc\n2001:db8:1::5,2001:db8:1::5,64497,one\n",
        ]);
        for (ip, system) in [
            ("1.0.0.0", 13335),
            ("1.0.0.255", 13335),
            ("0.255.255.255", 0),
            ("1.0.1.0", 0),
            ("9.9.9.6", 0),
            ("9.9.9.7", 4_200_000_000),
            ("9.9.9.9", 4_200_000_000),
            ("9.9.9.20", 4_200_000_000),
            ("9.9.9.21", 0),
            ("2001:db8::1", 64496),
            ("2001:db8:0:ffff::1", 64496),
            ("2001:db8:1::5", 64497),
            ("2001:db8:1::6", 0),
            ("2001:db7::", 0),
        ] {
            assert_eq!(places.place(ip.parse().unwrap()).asn, system, "{ip}");
        }
    }

    #[test]
    fn all_addresses_are_a_range_too() {
        let all = "::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,7,all\n";
        let places = known(&[all]);
        for ip in ["::", "ffff::1", "192.0.2.1", "255.255.255.255"] {
            assert_eq!(places.place(ip.parse().unwrap()).asn, 7, "{ip}");
        }
        assert_eq!(known(&[""]).place([1, 2, 3, 4].into()).asn, 0);
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_line() {
        for bad in [
            "x,1.0.0.1,1,",
            "1.0.0.2,1.0.0.1,1,",
            "1.0.0.1,::1,1,",
            "1.0.0.1,1.0.0.2,AS1,",
        ] {
            let table = format!("1.0.0.0,1.0.0.0,1,good\n{bad}\n");
            let error = mmdb(&[table.as_bytes()]).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{bad}");
        }
    }
}

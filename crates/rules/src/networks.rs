//! A set of networks that is asked for every request: a million of them, with a handful of cache lines for each answer.
//!
//! Networks become intervals, and intervals that touch become one. What is left is a sorted list of *edges*: the first address
//! inside, the first one behind, the next one inside, and so on. An address is in the set when the number of edges at or below it
//! is odd. The edges lie in a static tree with sixteen to a node, as in a B-tree ([`tree`]): at most 5 nodes for a million IPv4
//! networks, whatever they are; nobody's choice of networks makes it deeper. For IPv6 there are runs of /64s that are outside,
//! inside, or in part ([`runs`]), and only of those in part ([`parts`]) the rest of an address is looked at.
//!
//! A set of this size is not in the processor's caches, and what costs time is to wait for memory, once for each place that is
//! known only when the one before it has come. So a large set has a shortcut: one table says which few nodes it can be, and those
//! are read at the same time.
//!
//! Not here: changing a set. It is built anew and swapped.

use std::net::IpAddr;

use seawall_model::Network;

mod parts;
mod runs;
mod tree;

use parts::{Collecting, Parts};
use runs::{Runs, State, States};
use tree::{Collected, Key, Ranked};

/// An immutable set of IP networks. Two sets are equal when they hold the same addresses.
#[derive(Clone, Debug, Default)]
pub struct NetworkSet {
    v4: Ranked,
    /// The states of all /64s, by their upper halves.
    v6_upper: States,
    /// What lies within the /64s that are partly inside.
    v6_within: Parts,
    networks: usize,
}

impl PartialEq for NetworkSet {
    fn eq(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.v6_upper == other.v6_upper && self.v6_within == other.v6_within
    }
}

impl Eq for NetworkSet {}

impl NetworkSet {
    /// A set of these networks. Their order does not matter, nor does one that is given twice. Takes time of sorting them.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        let mut ranges = Ranges::default();
        for network in networks {
            ranges.add_network(network);
        }
        ranges.finish()
    }

    /// Whether an address lies in any of the networks. An IPv4 address in IPv6 form counts as IPv4.
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.rank(ip.to_bits()) % 2 == 1,
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                match self.v6_upper.of((bits >> 64) as u64) {
                    State::Outside => false,
                    State::Inside => true,
                    State::Partly(nth) => self.v6_within.has(nth, bits),
                }
            }
        }
    }

    /// Units of fuel for one lookup: the larger the set, the more of it lies outside of the caches.
    pub fn price(&self) -> u64 {
        match self.bytes() {
            0..=0x3ff => 10,
            0x400..=0x3f_ffff => 40,
            _ => 60,
        }
    }

    /// How many different networks it was made of, those that lie in another one included.
    pub fn len(&self) -> usize {
        self.networks
    }

    /// Whether it was made of none.
    pub fn is_empty(&self) -> bool {
        self.networks == 0
    }

    /// Memory on the heap, in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6_upper.bytes() + self.v6_within.bytes()
    }
}

/// Collects ranges of addresses, both ends included.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Ranges {
    /// Adds all addresses of a network.
    pub(crate) fn add_network(&mut self, network: Network) {
        match network.address() {
            IpAddr::V4(first) => {
                let host = u32::MAX
                    .checked_shr(network.prefix().into())
                    .unwrap_or_default();
                let first = first.to_bits();
                self.v4.push((first, first | host));
            }
            IpAddr::V6(first) => {
                let host = u128::MAX
                    .checked_shr(network.prefix().into())
                    .unwrap_or_default();
                let first = first.to_bits();
                self.v6.push((first, first | host));
            }
        }
    }

    /// Adds all addresses from the first to the last; none where they are not of one family, or the wrong way round.
    pub(crate) fn add_range(&mut self, first: IpAddr, last: IpAddr) {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                self.v4.push((first.to_bits(), last.to_bits()));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                self.v6.push((first.to_bits(), last.to_bits()));
            }
            _ => {}
        }
    }

    pub(crate) fn finish(mut self) -> NetworkSet {
        self.v4.sort_unstable();
        self.v4.dedup();
        self.v6.sort_unstable();
        self.v6.dedup();
        let networks = self.v4.len() + self.v6.len();
        let mut edges = Collected::default();
        for (first, last) in merged(self.v4) {
            edges.add(first, last.checked_add(1));
        }
        let (mut upper, mut within) = (Runs::default(), Collecting::default());
        for (first, last) in merged(self.v6) {
            split(first, last, &mut upper, &mut within);
        }
        NetworkSet {
            v4: Ranked::new(edges),
            v6_upper: upper.finish(),
            v6_within: within.finish(),
            networks,
        }
    }
}

/// Sorted intervals with those made one that overlap or touch.
fn merged<K: Key>(sorted: Vec<(K, K)>) -> impl Iterator<Item = (K, K)> {
    let mut sorted = sorted.into_iter().peekable();
    std::iter::from_fn(move || {
        let (first, mut last) = sorted.next()?;
        while let Some((_, end)) =
            sorted.next_if(|(next, _)| last.next().is_none_or(|behind| *next <= behind))
        {
            last = last.max(end);
        }
        Some((first, last))
    })
}

/// Splits an interval of IPv6 addresses into the whole /64s in the middle and what is left at either end.
fn split(first: u128, last: u128, upper: &mut Runs, within: &mut Collecting) {
    const LOWER: u128 = u64::MAX as u128;
    let (begin, end) = (first >> 64, last >> 64);
    let (first, last) = ((first & LOWER) as u64, (last & LOWER) as u64);
    let from = begin + u128::from(first != 0);
    let behind = end + u128::from(last == u64::MAX);
    let mut part = |of: u128, first: u64, last: u64, upper: &mut Runs| {
        upper.add_part(of as u64);
        within.add(of as u64, first, last);
    };
    if begin == end && from >= behind {
        return part(begin, first, last, upper);
    }
    if begin < from {
        part(begin, first, u64::MAX, upper);
    }
    if from < behind {
        upper.add_inside(from as u64, u64::try_from(behind).ok());
    }
    if behind <= end {
        part(end, 0, last, upper);
    }
}

#[cfg(test)]
mod tests;

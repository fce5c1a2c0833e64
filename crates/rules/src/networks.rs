//! A set of networks that is asked for every request: a million of them, with a handful of cache lines for each answer.
//!
//! Networks become intervals, and intervals that touch become one. What is left is a sorted list of *edges*: the first address
//! inside, the first one behind, the next one inside, and so on. An address is in the set when the number of edges at or below it
//! is odd. The edges lie in a static tree with sixteen to a node, as in a B-tree: at most 5 nodes for a million IPv4 networks,
//! whatever they are; nobody's choice of networks makes it deeper. For IPv6 the tree has the upper halves of addresses and
//! says of each /64 whether it is outside, inside, or in part: only of the last kind a second tree is asked, with whole addresses.
//!
//! Not here: changing a set. It is built anew and swapped.

use std::net::IpAddr;

use seawall_model::Network;

/// An immutable set of IP networks. Two sets are equal when they hold the same addresses.
#[derive(Clone, Debug, Default)]
pub struct NetworkSet {
    v4: Edges<u32>,
    /// Where runs of /64s of one state begin, by their upper halves.
    v6_upper: Edges<u64>,
    /// The state behind each of those edges, four to a byte.
    v6_states: Box<[u8]>,
    /// What lies within the /64s that are partly inside.
    v6_within: Edges<u128>,
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
                match self.state((bits >> 64) as u64) {
                    INSIDE => true,
                    PARTLY => self.v6_within.rank(bits) % 2 == 1,
                    _ => false,
                }
            }
        }
    }

    /// The state of a /64.
    #[inline]
    fn state(&self, upper: u64) -> u8 {
        let Some(edge) = self.v6_upper.rank(upper).checked_sub(1) else {
            return OUTSIDE;
        };
        let four = self.v6_states.get(edge / 4).copied().unwrap_or_default();
        four >> (edge % 4 * 2) & 3
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
        self.v4.bytes() + self.v6_upper.bytes() + self.v6_states.len() + self.v6_within.bytes()
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
        let (mut upper, mut within) = (Runs::default(), Collected::default());
        for (first, last) in merged(self.v6) {
            split(first, last, &mut upper, &mut within);
        }
        let (v6_upper, v6_states) = upper.finish();
        NetworkSet {
            v4: edges.finish(),
            v6_upper,
            v6_states,
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
fn split(first: u128, last: u128, upper: &mut Runs, within: &mut Collected<u128>) {
    const LOWER: u128 = u64::MAX as u128;
    let (begin, end) = (first >> 64, last >> 64);
    let from = begin + u128::from(first & LOWER != 0);
    let behind = end + u128::from(last & LOWER == LOWER);
    if from >= behind {
        // Within one /64, or a part of each of two neighbours.
        upper.add_part(begin as u64);
        upper.add_part(end as u64);
        within.add(first, last.checked_add(1));
        return;
    }
    if begin < from {
        upper.add_part(begin as u64);
        within.add(first, Some(from << 64));
    }
    upper.add(from as u64, u64::try_from(behind).ok(), INSIDE);
    if behind <= end {
        upper.add_part(end as u64);
        within.add(behind << 64, last.checked_add(1));
    }
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const PARTLY: u8 = 2;

/// Runs of /64s of one state, in rising order.
#[derive(Debug, Default)]
struct Runs {
    edges: Vec<u64>,
    states: Vec<u8>,
    last_part: Option<u64>,
}

impl Runs {
    /// Adds one /64 that is partly inside; nothing if it was the last one already.
    fn add_part(&mut self, upper: u64) {
        if self.last_part.replace(upper) != Some(upper) {
            self.add(upper, upper.checked_add(1), PARTLY);
        }
    }

    /// Adds a run that lies behind all that were added.
    fn add(&mut self, first: u64, behind: Option<u64>, state: u8) {
        if self.edges.last() == Some(&first) {
            // The run before ends here: this one goes on, or takes the place of its end.
            self.edges.pop();
            self.states.pop();
        }
        if self.states.last() != Some(&state) {
            self.edges.push(first);
            self.states.push(state);
        }
        if let Some(behind) = behind {
            self.edges.push(behind);
            self.states.push(OUTSIDE);
        }
    }

    fn finish(self) -> (Edges<u64>, Box<[u8]>) {
        let four = |states: &[u8]| {
            let states = states.iter().rev();
            states.fold(0, |four, state| four << 2 | state)
        };
        let states = self.states.chunks(4).map(four).collect();
        (Edges::new(&self.edges), states)
    }
}

/// An address, or half of one.
trait Key: Copy + Ord + Default {
    const GREATEST: Self;
    fn next(self) -> Option<Self>;
    /// How many of the keys are at or below this one. No branch: which key it is cannot be guessed.
    fn at_or_below(self, keys: &[Self; WIDTH]) -> usize;
}

macro_rules! keys {
    ($($type:ty, $count:expr;)+) => {
        $(impl Key for $type {
            const GREATEST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn at_or_below(self, keys: &[Self; WIDTH]) -> usize {
                $count(self, keys)
            }
        })+
    };
}

// A processor compares four IPv4 keys at once, and wider ones nearly one by one: of those the half that matters is chosen twice.
keys!(u32, count_all; u64, count_by_halves; u128, count_by_halves;);

#[inline(always)]
fn count_all(key: u32, keys: &[u32; WIDTH]) -> usize {
    let count: u32 = keys.iter().map(|edge| u32::from(*edge <= key)).sum();
    count as usize
}

#[inline(always)]
fn count_by_halves<K: Key>(key: K, keys: &[K; WIDTH]) -> usize {
    let below = |at: usize| usize::from(keys.get(at).is_some_and(|edge| *edge <= key));
    let mut count = 8 * below(7);
    count += 4 * below(count + 3);
    count + below(count) + below(count + 1) + below(count + 2) + below(count + 3)
}

/// Edges on their way into a tree, in rising order.
#[derive(Debug)]
struct Collected<K> {
    edges: Vec<K>,
}

impl<K> Default for Collected<K> {
    fn default() -> Self {
        Self { edges: Vec::new() }
    }
}

impl<K: Key> Collected<K> {
    /// Adds an interval that lies behind all that were added; it goes on to the end of all addresses when nothing is behind it.
    fn add(&mut self, first: K, behind: Option<K>) {
        if self.edges.last() == Some(&first) {
            self.edges.pop();
        } else {
            self.edges.push(first);
        }
        self.edges.extend(behind);
    }

    fn finish(self) -> Edges<K> {
        Edges::new(&self.edges)
    }
}

const WIDTH: usize = 16;

/// Sixteen keys in rising order, the last ones the greatest there is where there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Block<K>([K; WIDTH]);

impl<K: Key> Block<K> {
    fn of(keys: &[K]) -> Self {
        let mut block = [K::GREATEST; WIDTH];
        for (to, from) in block.iter_mut().zip(keys) {
            *to = *from;
        }
        Self(block)
    }
}

/// A sorted list of keys as a static tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edges<K> {
    /// The root first, the sorted list itself last; each level has the first key of each block of the one behind it.
    levels: Box<[Box<[Block<K>]>]>,
    count: usize,
}

impl<K> Default for Edges<K> {
    fn default() -> Self {
        Self {
            levels: Box::default(),
            count: 0,
        }
    }
}

impl<K: Key> Edges<K> {
    fn new(edges: &[K]) -> Self {
        let mut levels: Vec<Box<[Block<K>]>> = Vec::new();
        let mut blocks: Box<[Block<K>]> = edges.chunks(WIDTH).map(Block::of).collect();
        while blocks.len() > 1 {
            let firsts: Vec<K> = blocks.iter().map(|Block([first, ..])| *first).collect();
            levels.push(blocks);
            blocks = firsts.chunks(WIDTH).map(Block::of).collect();
        }
        if !blocks.is_empty() {
            levels.push(blocks);
        }
        levels.reverse();
        Self {
            levels: levels.into(),
            count: edges.len(),
        }
    }

    /// The number of edges at or below this key.
    #[inline]
    fn rank(&self, key: K) -> usize {
        let mut rank = 0;
        for level in &self.levels {
            // Below the first key: only in the root, and then below all. What fills the last block up may send the greatest key
            // of all too far: it belongs into the last block.
            let block = match rank {
                0 => 0,
                rank => (rank - 1usize).min(level.len().saturating_sub(1)),
            };
            let Some(Block(keys)) = level.get(block) else {
                return 0;
            };
            rank = block * WIDTH + key.at_or_below(keys);
            if rank == 0 {
                return 0;
            }
        }
        rank.min(self.count)
    }

    fn bytes(&self) -> usize {
        let blocks: usize = self.levels.iter().map(|level| level.len()).sum();
        blocks * size_of::<Block<K>>() + self.levels.len() * size_of::<Box<[Block<K>]>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn set(networks: &[&str]) -> NetworkSet {
        NetworkSet::new(networks.iter().map(|text| Network::parse(text).unwrap()))
    }

    fn has(set: &NetworkSet, ip: &str) -> bool {
        set.contains(ip.parse().unwrap())
    }

    /// A generator of numbers (xorshift64*): the same ones each time.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn wide(&mut self) -> u128 {
            u128::from(self.next()) << 64 | u128::from(self.next())
        }
    }

    /// A network of few possible ones, so that many contain one another, and the addresses around its ends.
    fn random(numbers: &mut Numbers) -> (Network, Vec<IpAddr>) {
        if numbers.next().is_multiple_of(2) {
            let prefix = (numbers.next() % 33) as u32;
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = (numbers.next() as u32 & 0x0300_0fff).wrapping_sub(0x0000_0400) & !host;
            let network =
                Network::parse(&format!("{}/{prefix}", Ipv4Addr::from_bits(bits))).unwrap();
            let ends = [
                bits,
                bits.wrapping_sub(1),
                bits | host,
                (bits | host).wrapping_add(1),
            ];
            return (
                network,
                ends.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
                    .to_vec(),
            );
        }
        let prefix = (numbers.next() % 129) as u32;
        let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
        let mask = 0xe000_0000_0000_0003_c000_0000_0000_00ff;
        let bits = (numbers.wide() & mask).wrapping_sub(0x10) & !host;
        let text = format!("{}/{prefix}", Ipv6Addr::from_bits(bits));
        let Ok(network) = Network::parse(&text) else {
            return random(numbers);
        };
        let ends = [
            bits,
            bits.wrapping_sub(1),
            bits | host,
            (bits | host).wrapping_add(1),
        ];
        (
            network,
            ends.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
                .to_vec(),
        )
    }

    #[test]
    fn a_set_contains_what_its_networks_contain() {
        let mut numbers = Numbers(7);
        for round in 0..600 {
            let (networks, ends): (Vec<_>, Vec<_>) =
                (0..round % 90).map(|_| random(&mut numbers)).unzip();
            // Large networks hide the small ones: leave them out of most rounds.
            let networks: Vec<Network> = networks
                .into_iter()
                .filter(|network| round % 10 == 0 || network.prefix() > 6)
                .collect();
            let set = NetworkSet::new(networks.iter().copied());
            for ip in ends.into_iter().flatten() {
                let naive = networks.iter().any(|network| network.contains(ip));
                assert_eq!(set.contains(ip), naive, "{ip} in {networks:?}");
            }
        }
    }

    #[test]
    fn many_networks_make_a_tree_of_some_levels() {
        let spaced = |step: u32| {
            (0..20_000u32).map(move |nth| {
                let address = Ipv4Addr::from_bits(nth * step);
                Network::parse(&format!("{address}/32")).unwrap()
            })
        };
        let set = NetworkSet::new(spaced(3));
        assert_eq!(set.v4.levels.len(), 4);
        assert_eq!(set.len(), 20_000);
        assert!(set.bytes() < 20_000 * 9, "{}", set.bytes());
        for bits in 0..60_000u32 {
            assert_eq!(
                set.contains(Ipv4Addr::from_bits(bits).into()),
                bits % 3 == 0 && bits < 60_000
            );
        }
        assert!(!has(&set, "255.255.255.255"));
        let packed = NetworkSet::new(spaced(1));
        assert_eq!(packed.v4.count, 2, "neighbours are one");
        assert_eq!(packed.len(), 20_000);
    }

    #[test]
    fn both_ends_of_all_addresses_are_told() {
        for (network, inside, outside) in [
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("255.255.255.255", "255.255.255.255", "255.255.255.254"),
            ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
            ("0.0.0.0", "0.0.0.0", "0.0.0.1"),
            ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0"),
            ("::/0", "::", "1.2.3.4"),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
            ),
            (
                "ffff:ffff:ffff:ffff::/64",
                "ffff:ffff:ffff:ffff::",
                "ffff:ffff:ffff:fffe::",
            ),
        ] {
            let set = set(&[network]);
            assert!(has(&set, inside), "{network} {inside}");
            assert!(!has(&set, outside), "{network} {outside}");
        }
        assert!(!has(&set(&[]), "0.0.0.0"));
        assert!(!has(&set(&[]), "ffff::"));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(has(&set(&["10.0.0.0/8"]), "::ffff:10.1.2.3"));
        assert!(!has(&set(&["::/0"]), "::ffff:10.1.2.3"));
    }

    #[test]
    fn equal_sets_are_equal_however_they_are_written() {
        let one = set(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "2001:db9::1"]);
        let other = set(&[
            "2001:db8::/33",
            "2001:db9::1",
            "192.0.2.1",
            "10.128.0.0/9",
            "2001:db8:8000::/33",
            "10.0.0.0/9",
            "192.0.2.1",
        ]);
        assert_eq!(one, other);
        assert_eq!((one.len(), other.len()), (4, 6));
        assert_ne!(one, set(&["10.0.0.0/8"]));
        assert_eq!(set(&[]), NetworkSet::default());
        assert!(set(&[]).is_empty());
        assert_eq!(set(&[]).bytes(), 0);
    }

    #[test]
    fn ranges_hold_both_ends() {
        let mut ranges = Ranges::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        ranges.add_range(ip("10.0.0.3"), ip("10.0.0.9"));
        ranges.add_range(ip("2001:db8::ffff"), ip("2001:db8:0:3::2"));
        ranges.add_range(ip("9.9.9.9"), ip("9.9.9.8"));
        ranges.add_range(ip("9.9.9.9"), ip("2001:db8::"));
        let set = ranges.finish();
        for (inside, ends) in [
            (true, ["10.0.0.3", "10.0.0.9"]),
            (false, ["10.0.0.2", "10.0.0.10"]),
            (true, ["2001:db8::ffff", "2001:db8:0:3::2"]),
            (false, ["2001:db8::fffe", "2001:db8:0:3::3"]),
            (true, ["2001:db8::ffff:0:0:0", "2001:db8:0:3::"]),
            (true, ["2001:db8:0:1::", "2001:db8:0:2:ffff::"]),
            (false, ["9.9.9.9", "9.9.9.8"]),
        ] {
            for ip in ends {
                assert_eq!(has(&set, ip), inside, "{ip}");
            }
        }
    }
}

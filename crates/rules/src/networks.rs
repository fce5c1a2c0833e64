//! A set of networks that is asked for every request: a million of them, with a handful of cache lines for each answer.
//!
//! Networks become intervals, and intervals that touch become one. What is left is a sorted list of *edges*: the first address
//! inside, the first one behind, the next one inside, and so on. An address is in the set when the number of edges at or below it
//! is odd. The edges lie in a static tree with sixteen to a node, as in a B-tree: at most 5 nodes for a million IPv4 networks,
//! whatever they are; nobody's choice of networks makes it deeper. For IPv6 the tree has the upper halves of addresses and
//! says of each /64 whether it is outside, inside, or in part: only of the last kind a second tree is asked, with whole addresses.
//! These states lie beside the edges, in the same node: where memory is slow, each node less is a third of the time.
//!
//! Not here: changing a set. It is built anew and swapped.

use std::net::IpAddr;

use seawall_model::Network;

/// An immutable set of IP networks. Two sets are equal when they hold the same addresses.
#[derive(Clone, Debug, Default)]
pub struct NetworkSet {
    v4: Edges<u32>,
    /// The states of all /64s, by their upper halves.
    v6_upper: States,
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
                match self.v6_upper.of((bits >> 64) as u64) {
                    INSIDE => true,
                    PARTLY => self.v6_within.rank(bits) % 2 == 1,
                    _ => false,
                }
            }
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
        let (mut upper, mut within) = (Runs::default(), Collected::default());
        for (first, last) in merged(self.v6) {
            split(first, last, &mut upper, &mut within);
        }
        NetworkSet {
            v4: edges.finish(),
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

    fn finish(self) -> States {
        let states = self.states.chunks(RUNS);
        let runs = self.edges.chunks(RUNS).zip(states);
        let runs: Box<[RunsBlock]> = runs.map(RunsBlock::of).collect();
        let firsts: Vec<u64> = self.edges.iter().copied().step_by(RUNS).collect();
        States {
            shortcut: Shortcut::new(&firsts),
            firsts: Edges::new(&firsts),
            runs,
        }
    }
}

/// Runs to a block: with the word of their states two cache lines.
const RUNS: usize = 15;

/// Where runs of /64s begin, in rising order, the last ones the greatest there is where there are fewer; and the states behind
/// them, two bits each, the first one lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(128))]
struct RunsBlock {
    edges: [u64; RUNS],
    states: u64,
}

impl RunsBlock {
    fn of((edges, states): (&[u64], &[u8])) -> Self {
        let mut block = Self {
            edges: [u64::MAX; RUNS],
            states: 0,
        };
        for (to, from) in block.edges.iter_mut().zip(edges) {
            *to = *from;
        }
        let last = states.last().copied().unwrap_or(OUTSIDE);
        let padded = states.iter().copied().chain(std::iter::repeat(last));
        for (nth, state) in padded.take(RUNS).enumerate() {
            block.states |= u64::from(state) << (2 * nth);
        }
        block
    }

    /// The state of a /64 that is not below the first edge. All edges are compared at once: their two lines come from memory
    /// together then.
    #[inline]
    fn state(&self, upper: u64) -> u8 {
        let behind: usize = self
            .edges
            .iter()
            .map(|edge| usize::from(*edge <= upper))
            .sum();
        (self.states >> (2 * behind.saturating_sub(1)) & 3) as u8
    }
}

/// Of each /64 whether it is outside, inside, or in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct States {
    shortcut: Shortcut,
    /// The first edge of each block.
    firsts: Edges<u64>,
    runs: Box<[RunsBlock]>,
}

impl States {
    #[inline]
    fn of(&self, upper: u64) -> u8 {
        let rank = match self.shortcut.rank(upper) {
            Some(rank) => rank,
            None => self.firsts.rank(upper),
        };
        let block = rank.checked_sub(1);
        let block = block.and_then(|block| self.runs.get(block));
        block.map_or(OUTSIDE, |block| block.state(upper))
    }

    fn bytes(&self) -> usize {
        self.firsts.bytes() + self.shortcut.bytes() + size_of_val(&*self.runs)
    }
}

/// Keys from which a shortcut is worth its memory.
const MANY: usize = 1 << 12;
/// Keys in one part up to which they are looked at one by one; where more lie together the tree is faster.
const FEW: usize = 32;
/// Bits of the number of a part.
const PARTS: u32 = 16;

/// A way round the upper nodes of a tree: the span of the keys in equal parts, and where in the sorted list each part begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shortcut {
    keys: Box<[u64]>,
    base: u64,
    shift: u32,
    /// For each part, how many keys lie below it; one more for what is behind the last.
    below: Box<[u32]>,
}

impl Shortcut {
    fn new(keys: &[u64]) -> Self {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return Self::default();
        };
        if keys.len() < MANY {
            return Self::default();
        }
        let shift = (u64::BITS - (last - first).leading_zeros()).saturating_sub(PARTS);
        let parts = ((last - first) >> shift) + 1;
        let mut below = Vec::new();
        let mut count = 0;
        for part in 0..parts {
            let begin = first + (part << shift);
            while keys.get(count).is_some_and(|key| *key < begin) {
                count += 1;
            }
            below.push(u32::try_from(count).unwrap_or(u32::MAX));
        }
        below.push(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        Self {
            keys: keys.into(),
            base: *first,
            shift,
            below: below.into(),
        }
    }

    /// The number of keys at or below this one; none where the tree is to be asked.
    #[inline]
    fn rank(&self, key: u64) -> Option<usize> {
        let part = (key.checked_sub(self.base)? >> self.shift) as usize;
        let from = *self.below.get(part)? as usize;
        let to = *self.below.get(part + 1)? as usize;
        let few = self.keys.get(from..to).filter(|few| few.len() <= FEW)?;
        let more: usize = few.iter().map(|edge| usize::from(*edge <= key)).sum();
        Some(from + more)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.keys) + size_of_val(&*self.below)
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
mod tests;

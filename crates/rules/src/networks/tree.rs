//! A sorted list of keys as a static tree, and a way past its upper nodes.

/// Blocks from which a shortcut is worth its memory.
const MANY: usize = 1 << 12;
/// Blocks up to which all are looked at that it can be; where more lie together the tree is faster.
const FEW: usize = 16;
/// Bits of the number of a part.
const PARTS: u32 = 16;

/// Keys to a block of the tree.
const WIDTH: usize = 16;

/// A way past the upper nodes of a tree: the span of the keys in equal parts, and which of the sorted blocks begin before each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortcut {
    base: u64,
    shift: u32,
    /// For each part, how many blocks begin below it; one more for what is behind the last.
    below: Box<[u32]>,
}

impl Shortcut {
    /// Of the first key of each block.
    pub(super) fn new(firsts: &[u64]) -> Self {
        let (Some(first), Some(last)) = (firsts.first(), firsts.last()) else {
            return Self::default();
        };
        if firsts.len() < MANY {
            return Self::default();
        }
        let shift = (u64::BITS - (last - first).leading_zeros()).saturating_sub(PARTS);
        let parts = ((last - first) >> shift) + 1;
        let mut below = Vec::new();
        let mut count = 0;
        for part in 0..parts {
            let begin = first + (part << shift);
            while firsts.get(count).is_some_and(|key| *key < begin) {
                count += 1;
            }
            below.push(u32::try_from(count).unwrap_or(u32::MAX));
        }
        below.push(u32::try_from(firsts.len()).unwrap_or(u32::MAX));
        Self {
            base: *first,
            shift,
            below: below.into(),
        }
    }

    /// How many of the blocks begin at or below this key; none where the tree is to be asked. No block's place depends on what is
    /// in another one, so that a processor has them all brought at once.
    #[inline]
    pub(super) fn begun<B>(
        &self,
        key: u64,
        blocks: &[B],
        first: impl Fn(&B) -> u64,
    ) -> Option<usize> {
        let part = (key.checked_sub(self.base)? >> self.shift) as usize;
        let from = *self.below.get(part)? as usize;
        let to = *self.below.get(part + 1)? as usize;
        // The one before is the right one where all begin behind the key: it should come with them.
        let from = from.saturating_sub(1);
        let few = blocks.get(from..to).filter(|few| few.len() <= FEW)?;
        let more: usize = few
            .iter()
            .map(|block| usize::from(first(block) <= key))
            .sum();
        Some(from + more)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.below)
    }
}

/// A sorted list of IPv4 addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranked {
    shortcut: Shortcut,
    pub(super) edges: Edges<u32>,
}

impl Ranked {
    pub(super) fn new(edges: Collected<u32>) -> Self {
        let firsts = edges.edges.iter().step_by(WIDTH);
        let firsts: Vec<u64> = firsts.map(|first| u64::from(*first)).collect();
        Self {
            shortcut: Shortcut::new(&firsts),
            edges: edges.finish(),
        }
    }

    /// The number of edges at or below this key.
    #[inline]
    pub(super) fn rank(&self, key: u32) -> usize {
        self.directly(key).unwrap_or_else(|| self.edges.rank(key))
    }

    #[inline]
    fn directly(&self, key: u32) -> Option<usize> {
        let lowest = self.edges.levels.last()?;
        let first = |Block([first, ..]): &Block<u32>| u64::from(*first);
        let block = self
            .shortcut
            .begun(key.into(), lowest, first)?
            .checked_sub(1)?;
        let Block(keys) = lowest.get(block)?;
        Some((block * WIDTH + key.at_or_below(keys)).min(self.edges.count))
    }

    pub(super) fn bytes(&self) -> usize {
        self.edges.bytes() + self.shortcut.bytes()
    }
}

/// An address, or half of one.
pub(super) trait Key: Copy + Ord + Default {
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
pub(super) struct Collected<K> {
    edges: Vec<K>,
}

impl<K> Default for Collected<K> {
    fn default() -> Self {
        Self { edges: Vec::new() }
    }
}

impl<K: Key> Collected<K> {
    /// Adds an interval that lies behind all that were added; it goes on to the end of all addresses when nothing is behind it.
    pub(super) fn add(&mut self, first: K, behind: Option<K>) {
        if self.edges.last() == Some(&first) {
            self.edges.pop();
        } else {
            self.edges.push(first);
        }
        self.edges.extend(behind);
    }

    pub(super) fn finish(self) -> Edges<K> {
        Edges::new(&self.edges)
    }
}

/// Sixteen keys in rising order, the last ones the greatest there is where there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Block<K>([K; WIDTH]);

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
pub(super) struct Edges<K> {
    /// The root first, the sorted list itself last; each level has the first key of each block of the one behind it.
    pub(super) levels: Box<[Box<[Block<K>]>]>,
    pub(super) count: usize,
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
    pub(super) fn new(edges: &[K]) -> Self {
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
    pub(super) fn rank(&self, key: K) -> usize {
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

    pub(super) fn bytes(&self) -> usize {
        let blocks: usize = self.levels.iter().map(|level| level.len()).sum();
        blocks * size_of::<Block<K>>() + self.levels.len() * size_of::<Box<[Block<K>]>>()
    }
}

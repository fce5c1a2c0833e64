//! What of a /64 is inside that is so in part.

use super::tree::{Collected, Edges};

/// Edges of one /64 up to which they are looked at one by one.
const FEW: usize = 16;

/// The /64s that are in part, while they are collected in rising order.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    uppers: Vec<u64>,
    /// Where the edges of each begin.
    begins: Vec<usize>,
    edges: Vec<u64>,
}

impl Collecting {
    /// Adds an interval of lower halves, both ends included, behind all that were added.
    pub(super) fn add(&mut self, upper: u64, first: u64, last: u64) {
        if self.uppers.last() != Some(&upper) {
            self.uppers.push(upper);
            self.begins.push(self.edges.len());
        }
        self.edges.push(first);
        self.edges.extend(last.checked_add(1));
    }

    pub(super) fn finish(self) -> Parts {
        let (mut begins, mut edges) = (Vec::new(), Vec::new());
        let mut crowded = Collected::default();
        let ends = self
            .begins
            .iter()
            .skip(1)
            .copied()
            .chain([self.edges.len()]);
        for ((upper, begin), end) in self.uppers.iter().zip(&self.begins).zip(ends) {
            begins.push(u32::try_from(edges.len()).unwrap_or(u32::MAX));
            let own = self.edges.get(*begin..end).unwrap_or_default();
            if own.len() <= FEW {
                edges.extend_from_slice(own);
                continue;
            }
            let whole = |lower: u64| u128::from(*upper) << 64 | u128::from(lower);
            for pair in own.chunks(2) {
                let [first, behind @ ..] = pair else { continue };
                let behind = match behind {
                    [behind, ..] => Some(whole(*behind)),
                    [] => whole(u64::MAX).checked_add(1),
                };
                crowded.add(whole(*first), behind);
            }
        }
        if !begins.is_empty() {
            begins.push(u32::try_from(edges.len()).unwrap_or(u32::MAX));
        }
        Parts {
            begins: begins.into(),
            edges: edges.into(),
            crowded: crowded.finish(),
        }
    }
}

/// What lies within the /64s that are partly inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Where the edges of each begin, and one more for the end. A crowded one has none.
    begins: Box<[u32]>,
    /// Lower halves.
    edges: Box<[u64]>,
    /// Whole addresses: the edges of all that are crowded.
    crowded: Edges<u128>,
}

impl Parts {
    /// Whether an address is inside, whose /64 is that one of those in part.
    #[inline]
    pub(super) fn has(&self, nth: usize, bits: u128) -> bool {
        let own = self.begins.get(nth).zip(self.begins.get(nth + 1));
        let own = own.and_then(|(begin, end)| self.edges.get(*begin as usize..*end as usize));
        let below = match own.unwrap_or_default() {
            [] => self.crowded.rank(bits),
            few => few
                .iter()
                .map(|edge| usize::from(*edge <= bits as u64))
                .sum(),
        };
        below % 2 == 1
    }

    pub(super) fn bytes(&self) -> usize {
        self.crowded.bytes() + size_of_val(&*self.begins) + size_of_val(&*self.edges)
    }

    /// Edges of /64s that have few, and of the crowded ones.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.edges.len(), self.crowded.count)
    }
}

//! Where a zone stands: the SHA-256 of its name, and prefixes of it.

use crate::hash::Hash;

/// A prefix of hashes: a subtree's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Its bits, then zeros.
    bits: [u8; 32],
    length: u16,
}

/// Where a zone of this name stands. Who changes very many zones in pieces takes them in this order: a piece then touches one part
/// of the tree.
#[must_use]
pub fn place(name: &str) -> Hash {
    Hash::of(name.as_bytes())
}

impl Prefix {
    pub(crate) const ROOT: Self = Self {
        bits: [0; 32],
        length: 0,
    };

    /// How many bits of a node's own eight lie above this place.
    pub(crate) fn within_node(self) -> u16 {
        self.length % 8
    }

    /// The two halves; none below a whole hash.
    pub(crate) fn halves(self) -> Option<(Self, Self)> {
        let (byte, bit) = self.next_bit();
        let mut left = self;
        left.length += 1;
        let mut right = left;
        *right.bits.get_mut(byte)? |= bit;
        Some((left, right))
    }

    /// Whether the bit after this prefix is 1.
    pub(crate) fn is_right(self, place: &Hash) -> bool {
        let (byte, bit) = self.next_bit();
        place.0.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    /// Whether a place lies in this subtree.
    pub(crate) fn holds(self, place: &Hash) -> bool {
        let whole = usize::from(self.length / 8);
        let mask = !(0xff_u8.checked_shr(u32::from(self.length % 8)).unwrap_or(0));
        let masks = std::iter::repeat_n(0xff, whole).chain(std::iter::once(mask));
        let mut bytes = self.bits.iter().zip(&place.0).zip(masks);
        bytes.all(|((ours, theirs), mask)| (ours ^ theirs) & mask == 0)
    }

    fn next_bit(self) -> (usize, u8) {
        (usize::from(self.length / 8), 0x80 >> (self.length % 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_lies_in_one_half_all_the_way_down() {
        for name in ["example.com", "example.org", "a", ""] {
            let place = place(name);
            let mut at = Prefix::ROOT;
            while let Some((left, right)) = at.halves() {
                assert!(at.holds(&place));
                assert!(left.holds(&place) != right.holds(&place));
                assert_eq!(right.holds(&place), at.is_right(&place));
                at = if at.is_right(&place) { right } else { left };
            }
            assert_eq!(at.length, 256);
            assert_eq!(at.bits, place.0);
        }
    }
}

//! Sets of texts, and of numbers: those in braces and those of lists.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use crate::value::Case;

/// A set of texts, told apart by case. Asking it looks at the bytes of a few members of the same length only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextSet {
    /// Sorted by length, then by bytes.
    members: Box<[Box<[u8]>]>,
}

impl TextSet {
    /// A set of these.
    pub fn new(mut members: Vec<Box<[u8]>>) -> Self {
        members.sort_unstable_by(|left, right| by_length(left, right));
        members.dedup();
        Self {
            members: members.into(),
        }
    }

    /// How many members it has.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Its members, each once.
    pub(crate) fn members(&self) -> impl Iterator<Item = &[u8]> {
        self.members.iter().map(AsRef::as_ref)
    }

    /// Whether the text, read in this case, is a member.
    pub(crate) fn has(&self, text: &[u8], case: Case) -> bool {
        let found = match case {
            Case::AsSent => self
                .members
                .binary_search_by(|member| by_length(member, text)),
            Case::Lower | Case::Upper => self.members.binary_search_by(|member| {
                member.len().cmp(&text.len()).then_with(|| {
                    let text = text.iter().map(|byte| case.of(*byte));
                    member.iter().copied().cmp(text)
                })
            }),
        };
        found.is_ok()
    }

    /// How often a search compares, at most.
    pub(crate) fn steps(&self) -> u64 {
        u64::from(usize::BITS - self.members.len().leading_zeros())
    }

    /// Whether any member is as long, so that bytes will be compared.
    pub(crate) fn has_length(&self, length: usize) -> bool {
        self.members
            .binary_search_by(|member| member.len().cmp(&length))
            .is_ok()
    }
}

fn by_length(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// A set of numbers and ranges of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumberSet {
    /// Sorted; no two overlap.
    ranges: Box<[RangeInclusive<i64>]>,
}

impl NumberSet {
    /// A set of these.
    pub fn new(mut ranges: Vec<RangeInclusive<i64>>) -> Self {
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<i64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self {
            ranges: merged.into(),
        }
    }

    /// How often a search compares, at most.
    pub(crate) fn steps(&self) -> u64 {
        u64::from(usize::BITS - self.ranges.len().leading_zeros())
    }

    pub(crate) fn has(&self, number: i64) -> bool {
        let behind = self
            .ranges
            .partition_point(|range| *range.start() <= number);
        behind
            .checked_sub(1)
            .and_then(|last| self.ranges.get(last))
            .is_some_and(|range| range.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_sets_have_their_members_in_the_case_asked_for() {
        let set = TextSet::new(
            ["b", "", "abc", "a", "b"]
                .map(|text| text.as_bytes().into())
                .to_vec(),
        );
        for member in ["", "a", "b", "abc"] {
            assert!(set.has(member.as_bytes(), Case::AsSent));
            assert!(set.has(member.to_uppercase().as_bytes(), Case::Lower));
        }
        for other in ["c", "ab", "abd", "abcd", "A"] {
            assert!(!set.has(other.as_bytes(), Case::AsSent), "{other}");
        }
        assert!(!set.has(b"abC", Case::AsSent));
        assert!(!set.has(b"abc", Case::Upper));
        assert!(set.has_length(3) && !set.has_length(2));
    }

    #[test]
    fn number_sets_merge_their_ranges() {
        let set = NumberSet::new(vec![5..=9, 1..=1, 7..=12, 3..=3, i64::MAX..=i64::MAX]);
        let inside = |number: &i64| set.has(*number);
        assert_eq!(
            (0..15).filter(inside).collect::<Vec<_>>(),
            [1, 3, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert!(set.has(i64::MAX) && !set.has(i64::MIN));
        assert!(!NumberSet::new(Vec::new()).has(0));
    }
}

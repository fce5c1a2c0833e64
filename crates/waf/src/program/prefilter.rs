//! Which patterns can occur in a text at all: asked before patterns are asked one by one, because a set of them gave the text up.
//!
//! One pass for the bytes and one for the pieces that patterns require. Most require something that a text lacks, however hostile it is to
//! the others.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use seawall_model::{Fuel, Spent};

use crate::regex::{Bytes, Hits, Required};

/// Units for ten bytes of text, and for a piece that occurs.
const TEN_BYTES: u64 = 50;
const OCCURS: u64 = 10;
/// Units for each pattern.
const PATTERN: u64 = 4;

/// What the patterns of a side require.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    /// By the place of the pattern.
    required: Vec<Required>,
    pieces: Option<AhoCorasick>,
    /// By piece: the patterns that require it.
    of: Vec<Vec<u16>>,
}

impl Prefilter {
    /// Of patterns in their order. Pieces that are too many together are not looked for.
    pub(crate) fn new(required: Vec<Required>) -> Self {
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        let (mut words, mut of) = (Vec::new(), Vec::<Vec<u16>>::new());
        for (place, required) in (0u16..).zip(&required) {
            for piece in required.pieces() {
                let number = *numbers.entry(piece).or_insert_with(|| {
                    words.push(piece.as_slice());
                    of.push(Vec::new());
                    words.len() - 1
                });
                if let Some(patterns) = of.get_mut(number) {
                    patterns.push(place);
                }
            }
        }
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(3)
            .build(&words);
        Self {
            pieces: built.ok(),
            required,
            of,
        }
    }

    /// The patterns that can occur in a text.
    ///
    /// # Errors
    /// [`Spent`]
    pub(crate) fn possible(&self, text: &[u8], fuel: &mut Fuel) -> Result<Hits, Spent> {
        fuel.spend(text.len() as u64 * TEN_BYTES / 10)?;
        fuel.spend(300 + self.required.len() as u64 * PATTERN)?;
        let mut found = Hits::default();
        if let Some(pieces) = &self.pieces {
            let mut seen = Hits::default();
            for piece in pieces.find_overlapping_iter(text) {
                fuel.spend(OCCURS)?;
                let number = piece.pattern().as_usize();
                if seen.has(number) {
                    continue;
                }
                seen.add(number);
                for place in self.of.get(number).into_iter().flatten() {
                    found.add(usize::from(*place));
                }
            }
        }
        let bytes = Bytes::of(text);
        let mut possible = Hits::default();
        for (place, required) in self.required.iter().enumerate() {
            let is_free = required.pieces().is_empty() || self.pieces.is_none();
            if (is_free || found.has(place)) && required.may_be_in(&bytes) {
                possible.add(place);
            }
        }
        Ok(possible)
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.pieces.as_ref().map_or(0, AhoCorasick::memory_usage)
    }
}

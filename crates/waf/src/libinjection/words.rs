//! libinjection's words and fingerprints, in tables that are made once.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use super::sql::LONGEST;

/// FNV-1a. The tables are fixed, and nobody from outside can add to them.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

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
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

type Fast = BuildHasherDefault<Fnv>;

static WORDS: LazyLock<HashMap<&'static [u8], u8, Fast>> = LazyLock::new(|| {
    include_str!("words.txt")
        .lines()
        .filter_map(|line| line.as_bytes().split_first())
        .map(|(kind, word)| (word, *kind))
        .collect()
});

static FINGERPRINTS: LazyLock<HashSet<&'static [u8], Fast>> = LazyLock::new(|| {
    include_str!("fingerprints.txt")
        .lines()
        .map(str::as_bytes)
        .collect()
});

/// The kind of a word or of words, in any case; 0 when it is none.
pub(super) fn kind_of(word: &[u8]) -> u8 {
    let mut upper = [0u8; LONGEST + 1];
    let Some(place) = upper.get_mut(..word.len()) else {
        return 0;
    };
    for (to, from) in place.iter_mut().zip(word) {
        *to = from.to_ascii_uppercase();
    }
    WORDS.get(&*place).copied().unwrap_or(0)
}

/// Whether these kinds of tokens, in this order, are an injection.
pub(super) fn is_known(fingerprint: &[u8]) -> bool {
    FINGERPRINTS.contains(fingerprint.to_ascii_uppercase().as_slice())
}

//! The hash of our own tables.

use std::hash::{BuildHasherDefault, Hasher};

/// FNV-1a: keys come from the configuration, lookups do not insert, so nobody can fill a bucket on purpose.
#[derive(Clone, Copy)]
pub struct Fnv(u64);

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
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, number: usize) {
        // Pointers and small integers: one multiplication spreads them well enough.
        self.0 = (self.0 ^ number as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
}

/// The hasher of our tables.
pub type Fast = BuildHasherDefault<Fnv>;

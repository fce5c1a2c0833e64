//! A stored response that leaves compressed: once for each coding, while the first client gets it, and from the store for all others.

use std::sync::Arc;

use seawall_cache::cache::Cache;
use seawall_cache::key::Key;
use seawall_cache::memory::{Body, Entry, Made, Piece};
use seawall_model::document::Coding;

use crate::compress::Encoder;
use crate::shares::Hold;

/// Of a hundred, how much of its length a body may have left, to be worth keeping.
const WORTH: u64 = 90;

/// How a body leaves.
pub(super) enum Coded<'t> {
    /// As it is stored.
    Plain,
    /// As it was packed once.
    Kept(Body),
    /// Through an encoder; what comes out may be kept.
    Made(Encoder, Hold<'t>, Option<Packing>),
}

/// The number by which the store knows a coding.
const fn number(coding: Coding) -> usize {
    match coding {
        Coding::Zstd => 0,
        Coding::Brotli => 1,
        Coding::Gzip => 2,
    }
}

/// What is stored of a response in a coding.
pub(super) fn made(entry: &Entry, coding: Coding) -> Made<'_> {
    entry.body.packed().get(number(coding))
}

/// What comes out of an encoder, on its way into the store.
pub(super) struct Packing {
    cache: Arc<Cache>,
    key: Arc<Key>,
    entry: Arc<Entry>,
    coding: usize,
    out: Vec<Piece>,
    /// How much of `out` the store's memory for what is on its way was asked for.
    taken: usize,
}

impl Packing {
    /// Begins to keep what comes out; none: somebody else does so.
    pub(super) fn begin(
        cache: &Arc<Cache>,
        key: &Arc<Key>,
        entry: &Arc<Entry>,
        coding: Coding,
    ) -> Option<Self> {
        let coding = number(coding);
        entry.body.packed().begin(coding).then(|| Self {
            cache: Arc::clone(cache),
            key: Arc::clone(key),
            entry: Arc::clone(entry),
            coding,
            out: Vec::new(),
            taken: 0,
        })
    }

    /// What came out. None: there is no room for it.
    pub(super) fn push(mut self, bytes: &[u8]) -> Option<Self> {
        if !self.cache.take(self.key.zone, bytes.len()) {
            return None;
        }
        self.taken += bytes.len();
        self.out.push(bytes.into());
        Some(self)
    }

    /// All came out.
    pub(super) fn finish(mut self) {
        let out = std::mem::take(&mut self.out);
        let is_worth_it = self.taken as u64 * 100 <= self.entry.body.length() * WORTH;
        let packed = is_worth_it.then(|| self.cache.body(self.key.zone, &out));
        // Without room for it, it is made anew each time.
        let _ = self.cache.pack(&self.key, &self.entry, self.coding, packed);
        self.cache.give_back(self.key.zone, self.taken);
        self.taken = 0;
        // Whoever tries next finds it there, or no room again.
        self.coding = usize::MAX;
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        self.cache.give_back(self.key.zone, self.taken);
        self.entry.body.packed().give_up(self.coding);
    }
}

//! What is known of one request while a set is asked. Each thread keeps the memory for it.

use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept { leaves: Vec::new(), looked_at: Vec::new() }) };
}

#[derive(Default)]
struct Kept {
    /// For each leaf: 0 is not known, 1 no, 2 yes.
    leaves: Vec<u8>,
    /// A bit for each expression.
    looked_at: Vec<u64>,
}

/// More leaves than this are given back.
const MOST_KEPT: usize = 1 << 20;

pub(super) struct Memo(Kept);

impl Memo {
    pub(super) fn new(leaves: usize, expressions: usize) -> Self {
        let mut kept = KEPT.try_with(Cell::take).unwrap_or_default();
        kept.leaves.clear();
        kept.leaves.resize(leaves, 0);
        kept.looked_at.clear();
        kept.looked_at.resize(expressions.div_ceil(64), 0);
        Self(kept)
    }

    pub(super) fn put(&mut self, leaf: u32, holds: bool) {
        if let Some(known) = self.0.leaves.get_mut(leaf as usize) {
            *known = 1 + u8::from(holds);
        }
    }

    pub(super) fn get(&self, leaf: u32) -> Option<bool> {
        match self.0.leaves.get(leaf as usize) {
            Some(1) => Some(false),
            Some(2) => Some(true),
            _ => None,
        }
    }

    /// This expression is to be looked at.
    pub(super) fn look_at(&mut self, nth: u32) {
        if let Some(bits) = self.0.looked_at.get_mut(nth as usize / 64) {
            *bits |= 1 << (nth % 64);
        }
    }

    /// The next one that is to be looked at, from `at` on.
    pub(super) fn next(&self, at: &mut u32) -> Option<u32> {
        loop {
            let bits = self.0.looked_at.get(*at as usize / 64)?;
            let rest = bits >> (*at % 64);
            if rest == 0 {
                *at = (*at / 64 + 1) * 64;
                continue;
            }
            let nth = *at + rest.trailing_zeros();
            *at = nth + 1;
            return Some(nth);
        }
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        if self.0.leaves.capacity() <= MOST_KEPT {
            let kept = std::mem::take(&mut self.0);
            // A thread that is ending keeps nothing.
            let _ending = KEPT.try_with(|place| place.set(kept));
        }
    }
}

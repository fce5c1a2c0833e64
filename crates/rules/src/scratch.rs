//! Memory for texts that must be made: joined, decoded, or folded to one case. Each thread keeps a little of it, so that rules do
//! not allocate for each request.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// More than this is given back: one request with a huge head must not hold its memory in every thread.
const MOST_KEPT: usize = 128 << 10;
/// Texts that are made at the same time, one from another; more of them allocate.
const KEPT_AT_ONCE: usize = 4;

/// A text that is being made.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// Empty, with memory that the thread kept.
    pub(crate) fn new() -> Self {
        let take = |kept: &RefCell<Vec<Vec<u8>>>| kept.try_borrow_mut().ok()?.pop();
        let mut bytes = KEPT.try_with(take).ok().flatten().unwrap_or_default();
        bytes.clear();
        Self { bytes }
    }

    /// What was written.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// To write into.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        if !(1..=MOST_KEPT).contains(&self.bytes.capacity()) {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // A thread that is ending keeps nothing.
        let _ending = KEPT.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut()
                && kept.len() < KEPT_AT_ONCE
            {
                kept.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_memory_but_not_much() {
        let mut scratch = Scratch::new();
        scratch.out().extend_from_slice(&[b'a'; 1000]);
        let place = scratch.text().as_ptr();
        drop(scratch);
        let mut scratch = Scratch::new();
        assert_eq!(scratch.text().as_ptr(), place);
        assert_eq!(scratch.text(), b"");
        scratch.out().extend_from_slice(&[b'a'; MOST_KEPT + 1]);
        drop(scratch);
        assert_eq!(Scratch::new().out().capacity(), 0);
        let many: Vec<Scratch> = (0..10)
            .map(|_| {
                let mut scratch = Scratch::new();
                scratch.out().push(b'a');
                scratch
            })
            .collect();
        drop(many);
        assert_eq!(KEPT.with(|kept| kept.borrow().len()), KEPT_AT_ONCE);
    }
}

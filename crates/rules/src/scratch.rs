//! Memory for texts that must be made: joined, or folded to one case. Each thread keeps a little of it, so that rules do not
//! allocate for each request.

use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// More than this is given back: one request with a huge head must not hold its memory in every thread.
const MOST_KEPT: usize = 128 << 10;

/// A text that is being made. Nothing is taken from the thread until somebody writes.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// Empty, to write into.
    pub(crate) fn start(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = KEPT.try_with(Cell::take).unwrap_or_default();
        }
        self.bytes.clear();
        &mut self.bytes
    }

    /// What was written.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, to change in place.
    pub(crate) fn text_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        if (1..=MOST_KEPT).contains(&self.bytes.capacity()) {
            let bytes = std::mem::take(&mut self.bytes);
            // A thread that is ending keeps nothing.
            let _ending = KEPT.try_with(|kept| kept.set(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_memory_but_not_much() {
        let mut scratch = Scratch::default();
        scratch.start().extend_from_slice(&[b'a'; 1000]);
        let place = scratch.text().as_ptr();
        drop(scratch);
        let mut scratch = Scratch::default();
        assert_eq!(scratch.start().as_ptr(), place);
        assert_eq!(scratch.text(), b"");
        scratch.start().extend_from_slice(&[b'a'; MOST_KEPT + 1]);
        drop(scratch);
        assert_eq!(Scratch::default().start().capacity(), 0);
    }
}

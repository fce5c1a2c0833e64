//! What became of streams that are no longer held, in 40 bytes: what a late frame means depends on it
//! (RFC 9113 §5.1).

use super::StreamId;

/// How many of the latest stream numbers are remembered.
const REMEMBERED: u32 = 128;

/// What is known of a stream that is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// Not opened yet.
    Idle,
    /// Never opened, though a later one was.
    Skipped,
    /// Both sides have ended it, or the peer has reset it: the peer must not send anything more.
    Ended,
    /// We have reset it: the peer may not know it yet.
    ResetByUs,
    /// Too long ago to tell.
    Forgotten,
}

/// The latest streams; bit n of either set is stream `last - 2n`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    last: StreamId,
    opened: u128,
    reset_by_us: u128,
}

impl History {
    /// The highest stream that was opened; 0 for none.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    /// An odd stream above all others is opened.
    pub(super) fn open(&mut self, id: StreamId) {
        let by = id.saturating_sub(self.last).div_ceil(2);
        self.opened = self.opened.checked_shl(by).unwrap_or(0) | 1;
        self.reset_by_us = self.reset_by_us.checked_shl(by).unwrap_or(0);
        self.last = id;
    }

    /// We have reset it.
    pub(super) fn reset(&mut self, id: StreamId) {
        if let Some(bit) = self.bit(id) {
            self.reset_by_us |= bit;
        }
    }

    /// What is known of an odd stream.
    pub(super) fn past(&self, id: StreamId) -> Past {
        if id > self.last {
            return Past::Idle;
        }
        match self.bit(id) {
            None => Past::Forgotten,
            Some(bit) if self.opened & bit == 0 => Past::Skipped,
            Some(bit) if self.reset_by_us & bit != 0 => Past::ResetByUs,
            Some(_) => Past::Ended,
        }
    }

    fn bit(&self, id: StreamId) -> Option<u128> {
        let back = self.last.checked_sub(id)? / 2;
        (back < REMEMBERED).then(|| 1 << back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_streams_are_told_apart() {
        let mut history = History::default();
        assert_eq!(history.past(1), Past::Idle);
        history.open(1);
        history.open(3);
        history.open(9);
        history.reset(3);
        assert_eq!(history.past(1), Past::Ended);
        assert_eq!(history.past(3), Past::ResetByUs);
        assert_eq!(history.past(5), Past::Skipped);
        assert_eq!(history.past(9), Past::Ended);
        assert_eq!(history.past(11), Past::Idle);
        history.open(9 + 2 * 124);
        assert_eq!(history.past(3), Past::ResetByUs);
        assert_eq!(history.past(1), Past::Forgotten);
        history.open(0x7fff_ffff);
        assert_eq!(history.past(0x7fff_ffff - 2), Past::Skipped);
        assert_eq!(history.past(9), Past::Forgotten);
    }
}

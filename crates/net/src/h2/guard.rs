//! Budgets for what costs us more than it costs the peer. None needs a clock: each is spent by what is useless and
//! earned back by useful work, so a busy honest peer never meets them, and a hostile one does at once.
//!
//! Not here: bounds on sizes (heads, bodies, output), which lie where the bytes are.

use super::ConnectionError;

/// What a peer may make us do for nothing before the connection ends with ENHANCE_YOUR_CALM.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that it may cancel before their response is complete, beyond those completed (CVE-2023-44487).
    pub resets: u32,
    /// Streams that it may make us reset or refuse, beyond those completed (CVE-2025-8671).
    pub provoked_resets: u32,
    /// Frames without use (empty DATA, PRIORITY, WINDOW_UPDATE, SETTINGS, unknown ones, frames on streams long gone),
    /// beyond what moving bodies and requests earns.
    pub useless_frames: u32,
    /// Acknowledgements of PING and SETTINGS that may wait in the output.
    pub unsent_acks: u32,
    /// Bytes of control frames that may wait in the output.
    pub unsent_control: usize,
    /// CONTINUATION frames of one field block (CVE-2024-27316). Its bytes are bounded by twice `max_header_list`.
    pub continuations: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resets: 200,
            provoked_resets: 100,
            useless_frames: 2_000,
            unsent_acks: 128,
            unsent_control: 32 * 1024,
            continuations: 32,
        }
    }
}

/// The budgets of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    limits: Limits,
    resets: u32,
    provoked: u32,
    useless: u32,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            resets: 0,
            provoked: 0,
            useless: 0,
        }
    }

    /// The peer has reset a stream before its response was complete.
    pub(super) fn peer_reset(&mut self) -> Result<(), ConnectionError> {
        self.resets += 1;
        within(
            self.resets,
            self.limits.resets,
            "too many streams cancelled",
        )
    }

    /// An error of the peer's has made us reset or refuse a stream.
    pub(super) fn provoked(&mut self) -> Result<(), ConnectionError> {
        self.provoked += 1;
        within(
            self.provoked,
            self.limits.provoked_resets,
            "too many streams in error",
        )
    }

    /// A frame has come that moves nothing.
    pub(super) fn useless(&mut self) -> Result<(), ConnectionError> {
        self.useless += 1;
        within(
            self.useless,
            self.limits.useless_frames,
            "too many frames without use",
        )
    }

    /// A response is complete.
    pub(super) fn completed(&mut self) {
        self.resets = self.resets.saturating_sub(1);
        self.provoked = self.provoked.saturating_sub(1);
        self.moved(8);
    }

    /// Body bytes went through, in either direction; so many useless frames are forgiven.
    pub(super) fn moved(&mut self, worth: u32) {
        self.useless = self.useless.saturating_sub(worth);
    }
}

fn within(spent: u32, limit: u32, why: &'static str) -> Result<(), ConnectionError> {
    if spent > limit {
        Err(ConnectionError::calm(why))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ErrorCode;
    use super::*;

    #[test]
    fn work_earns_back_what_cancelling_spends() {
        let mut guard = Guard::new(Limits {
            resets: 3,
            ..Limits::default()
        });
        for _ in 0..100 {
            guard.completed();
            assert!(guard.peer_reset().is_ok());
        }
        assert!(guard.peer_reset().is_ok() && guard.peer_reset().is_ok());
        assert_eq!(
            guard.peer_reset().unwrap_err().code,
            ErrorCode::ENHANCE_YOUR_CALM
        );
    }
}

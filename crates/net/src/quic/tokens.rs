//! Address tokens that were used: each opens the way for early data once (RFC 9000 §8.1.4).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn_proto::{TokenLog, TokenReuseError};

/// How long a token is good.
pub(super) const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Tokens remembered in one half. When it is full the older half is forgotten, and with it all tokens of its time.
const MOST: usize = 32 * 1024;

/// Used tokens, in two halves: the one that fills, and the one before.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    now: HashSet<u128>,
    before: HashSet<u128>,
    /// When the half that fills was begun.
    begun: Option<SystemTime>,
    /// Tokens from before this are refused: it is no longer known which of them were used.
    since: Option<SystemTime>,
}

impl Halves {
    fn take(&mut self, nonce: u128, issued: SystemTime, now: SystemTime) -> bool {
        if self.since.is_some_and(|since| issued <= since) {
            return false;
        }
        if self.now.contains(&nonce) || self.before.contains(&nonce) {
            return false;
        }
        if self.now.len() >= MOST {
            self.before = std::mem::take(&mut self.now);
            // A token of the half that was dropped was issued before the half that is now the older one was begun, or it would
            // stand there; what was issued later is remembered whole.
            self.since = self.begun.replace(now);
        }
        self.begun.get_or_insert(now);
        self.now.insert(nonce);
        true
    }
}

impl TokenLog for Used {
    fn check_and_insert(
        &self,
        nonce: u128,
        issued: SystemTime,
        _: Duration,
    ) -> Result<(), TokenReuseError> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.take(nonce, issued, SystemTime::now()) {
            Ok(())
        } else {
            Err(TokenReuseError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_however_many_there_were() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut halves = Halves::default();
        assert!(halves.take(1, at(10), at(20)));
        assert!(!halves.take(1, at(10), at(20)));
        for nonce in 0..3 * MOST as u128 {
            let then = 100 + nonce as u64;
            assert!(halves.take(1000 + nonce, at(then), at(then)));
            assert!(!halves.take(1000 + nonce, at(then), at(then)));
        }
        assert!(
            !halves.take(1, at(10), at(200_000)),
            "forgotten, so refused"
        );
        assert!(halves.now.len() <= MOST && halves.before.len() <= MOST);
    }
}

//! Stateless resets (RFC 9000 §10.3): a client whose connection has gone with its worker learns so by the next datagram that it sends.
//!
//! The token of an id is the id under a key (§10.3.2). The key goes from one worker to the next, beside the secrets of session tickets, so
//! that one that lives can answer for one that has died. For those alone: what is said of an id of a worker that lives would let who
//! heard it end that connection (§21.11). The supervisor says which live; until it has, and until the key was taken over, all do.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use quinn_proto::crypto::{CryptoError, HmacKey};

/// Bytes of the secret that the key is made of.
pub(super) const SECRET: usize = 32;
/// What a secret begins with where it is written. To programs that do not know of it this is a secret of tickets, as long as all of
/// them, that nobody uses any more.
const HEAD: [u8; 24] = *b"\0\0\0\0\0\0\0\0seawall's resets";
const WRITTEN: usize = HEAD.len() + SECRET;

struct Secret {
    bytes: [u8; SECRET],
    key: hmac::Key,
}

impl Secret {
    fn of(bytes: [u8; SECRET]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            bytes,
        }
    }
}

/// The key of resets, and for whom they may be sent.
pub struct Resets {
    own: Secret,
    /// The key of the worker before this one, in place of its own.
    taken: OnceLock<Secret>,
    /// A bit for each generation, modulo 256, of which no worker lives.
    dead: [AtomicU64; 4],
}

impl fmt::Debug for Resets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes.
        f.debug_struct("Resets")
            .field("taken", &self.taken.get().is_some())
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl Resets {
    /// With a secret of its own.
    pub(super) fn new(secret: [u8; SECRET]) -> Self {
        Self {
            own: Secret::of(secret),
            taken: OnceLock::new(),
            dead: Default::default(),
        }
    }

    fn secret(&self) -> &Secret {
        self.taken.get().unwrap_or(&self.own)
    }

    /// The workers of these generations live, and no others.
    pub fn live(&self, generations: &[u64]) {
        let mut dead = [u64::MAX; 4];
        for generation in generations {
            let (word, bit) = bit(*generation as u8);
            if let Some(word) = dead.get_mut(word) {
                *word &= !bit;
            }
        }
        for (known, dead) in self.dead.iter().zip(dead) {
            known.store(dead, Ordering::Relaxed);
        }
    }

    /// Whether no worker of this generation lives, and its clients know tokens under the key that is here.
    pub(super) fn is_dead(&self, generation: u8) -> bool {
        let (word, bit) = bit(generation);
        let dead = self.dead.get(word);
        self.taken.get().is_some()
            && dead.is_some_and(|dead| dead.load(Ordering::Relaxed) & bit != 0)
    }

    /// The secret, for the next worker; it belongs in memory alone, at the end of the secrets of tickets.
    pub fn hand_over(&self) -> Vec<u8> {
        [&HEAD[..], &self.secret().bytes].concat()
    }

    /// Goes on with the secret that another worker left, if there is one. How many bytes of what it left come before, which are secrets
    /// of tickets.
    pub fn take_over(handed: &[u8], resets: Option<&Self>) -> usize {
        let Some((tickets, written)) = handed.split_last_chunk::<WRITTEN>() else {
            return handed.len();
        };
        let (head, secret) = written.split_at(HEAD.len());
        if head != HEAD {
            return handed.len();
        }
        if let (Some(resets), Some(secret)) = (resets, secret.first_chunk()) {
            // The first one stays: tokens under it are with clients.
            let _ = resets.taken.set(Secret::of(*secret));
        }
        tickets.len()
    }
}

/// Where the bit of a generation stands.
fn bit(generation: u8) -> (usize, u64) {
    (usize::from(generation / 64), 1 << (generation % 64))
}

impl HmacKey for Resets {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        HmacKey::sign(&self.secret().key, data, signature_out);
    }

    fn signature_len(&self) -> usize {
        HmacKey::signature_len(&self.own.key)
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        HmacKey::verify(&self.secret().key, data, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(resets: &Resets, id: &[u8]) -> Vec<u8> {
        let mut token = vec![0; resets.signature_len()];
        resets.sign(id, &mut token);
        token
    }

    #[test]
    fn the_next_worker_knows_the_tokens_of_this_one_and_leaves_them_to_the_one_after() {
        let first = Resets::new([1; SECRET]);
        let mut handed = vec![7; 2 * WRITTEN];
        handed.extend(first.hand_over());
        let mut before = first;
        for nth in 2..5 {
            let next = Resets::new([nth; SECRET]);
            assert_ne!(token(&next, b"id"), token(&before, b"id"));
            assert_eq!(Resets::take_over(&handed, Some(&next)), 2 * WRITTEN);
            assert_eq!(token(&next, b"id"), token(&before, b"id"));
            assert!(next.verify(b"id", &token(&before, b"id")).is_ok());
            assert_eq!(next.hand_over(), handed[2 * WRITTEN..]);
            assert!(!format!("{next:?}").contains("bytes"));
            before = next;
        }
        // One that speaks no HTTP/3 leaves the secrets of tickets as they are, and an older one left nothing else.
        assert_eq!(Resets::take_over(&handed, None), 2 * WRITTEN);
        let other = Resets::new([9; SECRET]);
        for length in 0..=2 * WRITTEN {
            assert_eq!(Resets::take_over(&handed[..length], Some(&other)), length);
        }
        assert_eq!(other.hand_over(), [&HEAD[..], &[9; SECRET]].concat());
    }

    #[test]
    fn who_lives_or_is_not_known_to_have_died_is_not_reset() {
        let (last, resets) = (Resets::new([1; SECRET]), Resets::new([2; SECRET]));
        let dead = |resets: &Resets| (0..=255).filter(|nth| resets.is_dead(*nth)).count();
        resets.live(&[7]);
        assert_eq!(dead(&resets), 0, "no client knows our tokens yet");
        let _tickets = Resets::take_over(&last.hand_over(), Some(&resets));
        assert_eq!(dead(&resets), 255);
        resets.live(&[7, 256 + 64, 511]);
        assert_eq!(dead(&resets), 253);
        for lives in [7, 64, 255] {
            assert!(!resets.is_dead(lives));
        }
        let untold = Resets::new([2; SECRET]);
        let _tickets = Resets::take_over(&last.hand_over(), Some(&untold));
        assert_eq!(dead(&untold), 0);
    }
}

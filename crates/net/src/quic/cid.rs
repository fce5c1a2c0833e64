//! Connection ids that we issue: they say which worker process, and which of its threads, a datagram is for.
//!
//! A connection lives on one thread, while its client may move to another address at any time; the kernel's hash over
//! addresses would then bring its datagrams to a stranger. So the thread stands in the id, in clear, where a packet filter
//! ([`steer`](super::steer)) can read it. What an observer learns from that is the thread's number, and nothing that
//! connects two ids of one connection (RFC 9000 §5.1): the rest of an id is random.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

use super::resets::Resets;

/// Bytes of an id that we issue: generation (1), thread (2, big-endian), random (9).
pub const LENGTH: usize = 12;

/// Where a datagram belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The generation of the worker process, modulo 256.
    pub generation: u8,
    /// The thread's index within it.
    pub thread: u16,
}

impl Place {
    /// The place that an id of ours names. An id of another length is none of ours.
    pub fn of(id: &[u8]) -> Option<Self> {
        let [generation, high, low, random @ ..] = id else {
            return None;
        };
        (random.len() == LENGTH - 3).then(|| Self {
            generation: *generation,
            thread: u16::from_be_bytes([*high, *low]),
        })
    }

    /// The place that a datagram's destination id names, when it has the form of one of ours. What a client chose itself for
    /// its first flight may look so by chance; it then belongs where it says just as well.
    pub fn of_datagram(datagram: &[u8]) -> Option<Self> {
        let (first, rest) = datagram.split_first()?;
        if first & 0x80 == 0 {
            return Self::of(rest.get(..LENGTH)?);
        }
        // Long header: version (4), length of the id (1), the id (RFC 8999 §5.1).
        let (length, rest) = rest.get(4..)?.split_first()?;
        Self::of(rest.get(..usize::from(*length))?)
    }
}

/// Issues ids for one thread.
#[derive(Debug)]
pub(super) struct Issuer {
    place: Place,
    random: SystemRandom,
    resets: Arc<Resets>,
}

impl Issuer {
    pub(super) fn new(place: Place, resets: Arc<Resets>) -> Self {
        Self {
            place,
            random: SystemRandom::new(),
            resets,
        }
    }
}

impl ConnectionIdGenerator for Issuer {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LENGTH];
        if self.random.fill(&mut id).is_err() {
            // The system gives no randomness. An id that is taken already is drawn again, so it must not be constant.
            let clock = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos() as u64);
            if let Some(end) = id.last_chunk_mut() {
                *end = clock.to_be_bytes();
            }
        }
        let [high, low] = self.place.thread.to_be_bytes();
        if let Some(front) = id.first_chunk_mut() {
            *front = [self.place.generation, high, low];
        }
        ConnectionId::new(&id)
    }

    /// Only what we may have issued, or a worker that has died, is worth a stateless reset: one for a datagram of another worker
    /// would cut a connection that is alive.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match Place::of(id) {
            Some(place) if place == self.place => Ok(()),
            Some(Place { generation, .. })
                if generation != self.place.generation && self.resets.is_dead(generation) =>
            {
                Ok(())
            }
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A datagram that begins as one of ours with this id would, in the short or the long form.
    pub(crate) fn datagram(long: bool, id: &[u8]) -> Vec<u8> {
        let mut out = if long {
            let mut head = vec![0xc0, 0, 0, 0, 1];
            head.push(id.len() as u8);
            head
        } else {
            vec![0x40]
        };
        out.extend_from_slice(id);
        out.extend_from_slice(&[0; 40]);
        out
    }

    #[test]
    fn what_is_issued_says_where_it_belongs() {
        for thread in [0, 1, 255, 256, 1023] {
            let place = Place {
                generation: 7,
                thread,
            };
            let resets = Arc::new(Resets::new([1; 32]));
            let mut issuer = Issuer::new(place, resets);
            let (one, other) = (issuer.generate_cid(), issuer.generate_cid());
            assert_ne!(one, other);
            assert_eq!(Place::of(&one), Some(place));
            assert!(issuer.validate(&one).is_ok());
            for long in [false, true] {
                assert_eq!(Place::of_datagram(&datagram(long, &one)), Some(place));
            }
            let next = Place {
                generation: 8,
                thread,
            };
            let resets = Arc::new(Resets::new([2; 32]));
            let next = Issuer::new(next, resets.clone());
            assert!(next.validate(&one).is_err());
            // Once it is known to have died, and with its key.
            let _tickets = Resets::take_over(&issuer.resets.hand_over(), Some(&resets));
            assert!(next.validate(&one).is_err());
            resets.live(&[8]);
            assert!(next.validate(&one).is_ok());
            resets.live(&[8, 256 + 7]);
            assert!(next.validate(&one).is_err());
        }
    }

    #[test]
    fn no_bytes_are_too_few_or_too_odd() {
        let whole = datagram(true, &[1; LENGTH]);
        for length in 0..whole.len() {
            let place = Place::of_datagram(&whole[..length]);
            assert_eq!(place.is_some(), length >= 6 + LENGTH);
        }
        for length in 0..=255 {
            let place = Place::of_datagram(&datagram(true, &vec![1; length]));
            assert_eq!(place.is_some(), length == LENGTH);
        }
    }
}

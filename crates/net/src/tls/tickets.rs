//! Session tickets (RFC 5077, RFC 8446 §4.6.1) under keys of our own, which may go from one process to the next.
//!
//! There is one secret at a time, for all zones, and one before it. A zone's key is derived from the secret and the zone's stable id
//! (HKDF, RFC 5869): a ticket of one zone opens nothing of another, and zones that nobody asks for cost nothing. A ticket is
//! the name of its secret, a nonce, and the session sealed with AES-256-GCM.
//!
//! A secret is used for six hours and opens tickets for six more; what is older opens nothing, in whichever process.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use tokio::sync::watch;

use crate::clock::monotonic_ms;

/// For so long a secret seals tickets, in milliseconds, and for as long again it opens them.
const ROTATES: u64 = 6 * 3_600_000;
/// Secrets that are kept: two are needed, and two processes may each have made one.
const MOST: usize = 4;
const NAME: usize = 16;
const SECRET: usize = 32;
/// When it was made, its name, and itself.
const WRITTEN: usize = 8 + NAME + SECRET;

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    /// Milliseconds on the monotonic clock.
    made: u64,
    name: [u8; NAME],
    bytes: [u8; SECRET],
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes.
        write!(f, "Secret(made {})", self.made)
    }
}

impl Secret {
    fn new(now: u64) -> Option<Self> {
        let mut secret = Self {
            made: now,
            name: [0; NAME],
            bytes: [0; SECRET],
        };
        rand::fill(&mut secret.name).ok()?;
        rand::fill(&mut secret.bytes).ok()?;
        Some(secret)
    }

    /// The key of a zone.
    fn key(&self, zone: u64) -> Option<LessSafeKey> {
        let prk = Prk::new_less_safe(HKDF_SHA256, &self.bytes);
        let (label, zone) = (b"seawall session tickets", zone.to_be_bytes());
        let info: [&[u8]; 2] = [label, &zone];
        let mut key = [0; SECRET];
        prk.expand(&info, Length).ok()?.fill(&mut key).ok()?;
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?))
    }

    fn seals(&self, now: u64) -> bool {
        now < self.made.saturating_add(ROTATES)
    }

    fn opens(&self, now: u64) -> bool {
        now < self.made.saturating_add(2 * ROTATES)
    }
}

/// How much key is asked for.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        SECRET
    }
}

/// The secrets of all tickets, the youngest first. The first is made when it is needed.
#[derive(Debug)]
pub struct TicketKeys {
    secrets: RwLock<Vec<Secret>>,
    changed: watch::Sender<u64>,
}

impl Default for TicketKeys {
    fn default() -> Self {
        Self {
            secrets: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl TicketKeys {
    /// Tickets of a zone, by its stable id.
    pub fn of(self: &Arc<Self>, zone: u64) -> Arc<dyn ProducesTickets> {
        Arc::new(OfZone {
            keys: self.clone(),
            zone,
        })
    }

    /// Told whenever there is a new secret, for whoever keeps it for the next process.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The secrets, for the next process; they belong in memory alone. One is made where there is none.
    pub fn hand_over(&self) -> Vec<u8> {
        let _made = self.sealing(monotonic_ms());
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(secrets.len() * WRITTEN);
        for secret in &*secrets {
            all.extend_from_slice(&secret.made.to_le_bytes());
            all.extend_from_slice(&secret.name);
            all.extend_from_slice(&secret.bytes);
        }
        all
    }

    /// Goes on with the secrets of another process, beside those that are there. What cannot be read changes nothing.
    pub fn take_over(&self, bytes: &[u8]) {
        let now = monotonic_ms();
        let (all, rest) = bytes.as_chunks::<WRITTEN>();
        if !rest.is_empty() || all.len() > MOST {
            return;
        }
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        for written in all {
            let Some(secret) = read(written, now).filter(|secret| secret.opens(now)) else {
                continue;
            };
            if !secrets.iter().any(|known| known.name == secret.name) {
                secrets.push(secret);
            }
        }
        keep_youngest(&mut secrets, now);
    }

    /// The secret that seals; made anew when the last one is too old.
    fn sealing(&self, now: u64) -> Option<Secret> {
        let youngest = |secrets: &[Secret]| secrets.first().filter(|one| one.seals(now)).cloned();
        let read = self.secrets.read();
        if let Some(secret) = youngest(&read.unwrap_or_else(PoisonError::into_inner)) {
            return Some(secret);
        }
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here first.
        if let Some(secret) = youngest(&secrets) {
            return Some(secret);
        }
        let secret = Secret::new(now)?;
        secrets.insert(0, secret.clone());
        keep_youngest(&mut secrets, now);
        drop(secrets);
        self.changed.send_modify(|count| *count += 1);
        Some(secret)
    }

    fn opening(&self, name: &[u8], now: u64) -> Option<Secret> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut usable = secrets.iter().filter(|secret| secret.opens(now));
        usable.find(|secret| secret.name == *name).cloned()
    }

    fn seal(&self, zone: u64, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let secret = self.sealing(now)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let key = secret.key(zone)?;
        let named = Aad::from(&secret.name);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), named, &mut sealed)
            .ok()?;
        Some([&secret.name[..], &nonce, &sealed].concat())
    }

    fn open(&self, zone: u64, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let secret = self.opening(name, now)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = secret.key(zone)?;
        let length = key.open_in_place(nonce, Aad::from(&secret.name), &mut plain);
        let length = length.ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

fn read(written: &[u8; WRITTEN], now: u64) -> Option<Secret> {
    let (made, rest) = written.split_first_chunk()?;
    let (name, bytes) = rest.split_first_chunk()?;
    Some(Secret {
        // What was made later than now was made on another clock, and would never be too old.
        made: u64::from_le_bytes(*made).min(now),
        name: *name,
        bytes: *bytes.first_chunk()?,
    })
}

fn keep_youngest(secrets: &mut Vec<Secret>, now: u64) {
    secrets.retain(|secret| secret.opens(now));
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.made));
    secrets.truncate(MOST);
}

#[derive(Debug)]
struct OfZone {
    keys: Arc<TicketKeys>,
    zone: u64,
}

impl ProducesTickets for OfZone {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        (ROTATES / 1_000) as u32
    }

    /// None when the system gives no randomness: then there are no tickets, and every handshake is a whole one.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(self.zone, plain, monotonic_ms())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(self.zone, cipher, monotonic_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_in_its_own_zone_only_and_only_as_it_was() {
        let keys = Arc::new(TicketKeys::default());
        let (ours, theirs) = (keys.of(1), keys.of(2));
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(theirs.decrypt(&ticket), None);
        assert!(!ticket.windows(7).any(|part| part == b"session"));
        assert_ne!(ours.encrypt(b"session").unwrap(), ticket);
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(ours.decrypt(&other), None, "{at}");
            assert_eq!(ours.decrypt(&ticket[..at]), None, "{at}");
        }
        assert!(ours.enabled() && ours.lifetime() > 0);
    }

    #[test]
    fn secrets_change_and_the_one_before_still_opens_what_it_sealed_for_as_long_again() {
        let keys = TicketKeys::default();
        let changes = keys.changes();
        let first = keys.seal(1, b"one", 1_000).unwrap();
        let last = keys.seal(1, b"last", ROTATES + 999).unwrap();
        assert_eq!(first[..NAME], last[..NAME]);
        let next = keys.seal(1, b"next", ROTATES + 1_000).unwrap();
        assert_ne!(first[..NAME], next[..NAME]);
        assert_eq!(*changes.borrow(), 2);
        let until = 1_000 + 2 * ROTATES;
        assert_eq!(
            keys.open(1, &first, until - 1).as_deref(),
            Some(&b"one"[..])
        );
        assert_eq!(keys.open(1, &first, until), None);
        assert_eq!(keys.open(1, &next, until).as_deref(), Some(&b"next"[..]));
        for hours in 1..100 {
            keys.seal(1, b"", hours * 7 * 3_600_000);
        }
        assert!(keys.secrets.read().unwrap().len() <= 2);
    }

    #[test]
    fn the_next_process_opens_what_this_one_sealed_and_goes_on_with_its_secret() {
        let (old, new) = (
            Arc::new(TicketKeys::default()),
            Arc::new(TicketKeys::default()),
        );
        let ticket = old.of(7).encrypt(b"session").unwrap();
        let own = new.of(7).encrypt(b"own").unwrap();
        let handed = old.hand_over();
        for _ in 0..3 {
            new.take_over(&handed);
        }
        assert_eq!(new.of(7).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(new.of(8).decrypt(&ticket), None, "another zone");
        assert_eq!(new.of(7).decrypt(&own).as_deref(), Some(&b"own"[..]));
        assert_eq!(new.secrets.read().unwrap().len(), 2);
        // Before anything was sealed there is something to hand over.
        let fresh = TicketKeys::default();
        assert_eq!(fresh.hand_over().len(), WRITTEN);
    }

    #[test]
    fn nonsense_changes_nothing_and_no_secret_outlives_its_time_by_another_clock() {
        let keys = TicketKeys::default();
        for length in (0..5 * WRITTEN).filter(|length| length % WRITTEN != 0) {
            keys.take_over(&vec![1; length]);
        }
        keys.take_over(&[1; (MOST + 1) * WRITTEN]);
        assert!(keys.secrets.read().unwrap().is_empty());
        let mut ahead = keys.hand_over();
        ahead[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let other = TicketKeys::default();
        other.take_over(&ahead);
        let made = other.secrets.read().unwrap()[0].made;
        assert!(made <= monotonic_ms());
        let text = format!("{:?}", other.secrets);
        assert!(text.contains("made") && !text.contains("bytes"), "{text}");
    }
}

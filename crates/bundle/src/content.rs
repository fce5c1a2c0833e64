//! Contents of files that documents name, as they travel and as they are kept: what is no secret as it is, and secrets under a key
//! that its holders share.
//!
//! A [`ContentKey`] encrypts so that equal contents have equal bytes: what a secret is encrypted with follows from the key, the purpose
//! and the content (a synthetic nonce, as RFC 5297 has it, of 32 bytes here), so that a secret has one name, ships once, and no nonce is
//! ever used for two texts. Who sees that is told whether two secrets are the same, and how long they are; nothing else. A [`Ring`] holds the keys
//! that a fleet's secrets are encrypted with; it is sealed to each location by HPKE ([`crate::seal`]), so that who joins adds
//! one wrap, and who leaves cannot read what is encrypted with the next key.

use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::hpke::TAG;
use crate::keys::{Fingerprint, SealKey, SealPublicKey, random};
use crate::limits::Limits;
use crate::object::Object;
use crate::refused::{Refused, at_most};
use crate::seal::{open_sealed, seal};

const PLAIN: &[u8] = b"seawall content 1\n";
const SECRET: &[u8] = b"seawall secret 1\n";
const RING: &[u8] = b"seawall ring 1\n";
/// What a ring is sealed for.
const FOR_RING: &[u8] = b"the ring of content keys";
/// What the parts of a key are derived for.
const NAMES: &[u8] = b"seawall content key 1: name";
const ENCRYPTS: &[u8] = b"seawall content key 1: encrypt";
const TELLS: &[u8] = b"seawall content key 1: fingerprint";

/// Bytes of the synthetic nonce.
const SYNTHETIC: usize = 32;

/// A key that contents are encrypted with. Never shown.
#[derive(Clone)]
pub struct ContentKey([u8; 32]);

impl ContentKey {
    /// A new key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when there is no randomness.
    pub fn generate() -> Result<Self, Refused> {
        random().map(Self)
    }

    /// The key of these bytes, which its owner keeps.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for a file that only its owner can read.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its short name, which tells nothing of it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(self.derived(TELLS, &[])) {
            *to = from;
        }
        Fingerprint(short)
    }

    /// Encrypts a content for this purpose. Equal ones have equal bytes.
    ///
    /// # Errors
    /// [`Refused::Malformed`], which means that there is no memory.
    pub fn encrypt(&self, purpose: &[u8], content: &[u8]) -> Result<Vec<u8>, Refused> {
        let synthetic = self.synthetic(purpose, content);
        let mut text = content.to_vec();
        self.cipher(&synthetic)?
            .seal_in_place_append_tag(zero(), Aad::from(purpose), &mut text)
            .map_err(|_| Refused::malformed("a secret", "it could not be encrypted"))?;
        Ok([synthetic.as_slice(), &text].concat())
    }

    /// Gives what was encrypted with this key for this purpose.
    ///
    /// # Errors
    /// [`Refused::DoesNotOpen`] if it was altered, or encrypted with another key or for another purpose.
    pub fn decrypt(&self, purpose: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, Refused> {
        let (synthetic, text) = encrypted
            .split_first_chunk::<SYNTHETIC>()
            .ok_or(Refused::DoesNotOpen)?;
        let mut text = text.to_vec();
        let length = self
            .cipher(synthetic)?
            .open_in_place(zero(), Aad::from(purpose), &mut text)
            .map_err(|_| Refused::DoesNotOpen)?
            .len();
        text.truncate(length);
        verify_slices_are_equal(synthetic, &self.synthetic(purpose, &text))
            .map_err(|_| Refused::DoesNotOpen)?;
        Ok(text)
    }

    fn synthetic(&self, purpose: &[u8], content: &[u8]) -> [u8; SYNTHETIC] {
        let length = (purpose.len() as u64).to_le_bytes();
        self.derived(NAMES, &[&length, purpose, content])
    }

    /// A cipher that encrypts one text.
    fn cipher(&self, synthetic: &[u8; SYNTHETIC]) -> Result<LessSafeKey, Refused> {
        let key = self.derived(ENCRYPTS, &[synthetic]);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key)
            .map_err(|_| Refused::malformed("a secret", "its key is no key"))?;
        Ok(LessSafeKey::new(key))
    }

    /// HMAC (RFC 2104) with a key of its own for each use.
    fn derived(&self, what: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let own = hmac_of(&self.0, &[what]);
        hmac_of(&own, parts)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({})", self.fingerprint())
    }
}

/// A content that travels.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// No secret.
    Plain(Vec<u8>),
    /// A secret.
    Secret {
        /// The key that opens it.
        key: Fingerprint,
        /// As [`ContentKey::encrypt`] made it.
        encrypted: Vec<u8>,
    },
}

impl Content {
    /// An object of what is no secret.
    ///
    /// # Errors
    /// [`Refused::TooLarge`].
    pub fn pack_plain(content: &[u8], limits: &Limits) -> Result<Object, Refused> {
        at_most("a file", content.len(), limits.file_bytes)?;
        Object::pack(&[PLAIN, content].concat(), limits.object_bytes)
    }

    /// An object of a secret, encrypted for this purpose.
    ///
    /// # Errors
    /// [`Refused::TooLarge`].
    pub fn pack_secret(
        secret: &[u8],
        purpose: &[u8],
        key: &ContentKey,
        limits: &Limits,
    ) -> Result<Object, Refused> {
        at_most("a file", secret.len(), limits.file_bytes)?;
        let encrypted = key.encrypt(purpose, secret)?;
        let content = [SECRET, &key.fingerprint().0, &encrypted].concat();
        Object::pack(&content, limits.object_bytes)
    }

    /// Opens what was fetched as `name`.
    ///
    /// # Errors
    /// As [`Object::open`]; [`Refused::Malformed`] if it is no content, [`Refused::TooLarge`].
    pub fn open(name: &Hash, packed: &[u8], limits: &Limits) -> Result<Self, Refused> {
        let content = Object::open(name, packed, limits.object_bytes)?;
        if let Some(plain) = content.strip_prefix(PLAIN) {
            at_most("a file", plain.len(), limits.file_bytes)?;
            return Ok(Self::Plain(plain.to_vec()));
        }
        let mut reader = Reader::new("the content of a file", SECRET, &content)?;
        let key = Fingerprint(reader.array()?);
        let encrypted = reader.raw(reader.left())?.to_vec();
        let most = limits.file_bytes.saturating_add(SYNTHETIC + TAG);
        at_most("a file", encrypted.len(), most)?;
        Ok(Self::Secret { key, encrypted })
    }
}

/// Keys that secrets are encrypted with: the newest last, which encrypts; older ones open what is published still.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    keys: Vec<ContentKey>,
}

impl Ring {
    /// Of these keys, the newest last.
    #[must_use]
    pub fn new(keys: Vec<ContentKey>) -> Self {
        Self { keys }
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[ContentKey] {
        &self.keys
    }

    /// The key that encrypts; none in a ring without keys.
    #[must_use]
    pub fn newest(&self) -> Option<&ContentKey> {
        self.keys.last()
    }

    /// Another key, which encrypts from now on.
    pub fn add(&mut self, key: ContentKey) {
        self.keys.push(key);
    }

    /// Forgets all but so many of the newest.
    pub fn shorten(&mut self, to: usize) {
        let many = self.keys.len().saturating_sub(to);
        self.keys.drain(..many);
    }

    /// As an object that these can open, and nobody else. Each call makes another one.
    ///
    /// # Errors
    /// As [`seal`].
    pub fn pack(&self, recipients: &[SealPublicKey], limits: &Limits) -> Result<Object, Refused> {
        let mut writer = Writer::new(RING);
        writer.number(self.keys.len() as u64);
        for key in &self.keys {
            writer.raw(&key.0);
        }
        let sealed = seal(&writer.finish(), FOR_RING, recipients, limits)?;
        Object::pack(&sealed, limits.object_bytes)
    }

    /// Opens what was fetched as `name`, with a location's key.
    ///
    /// # Errors
    /// As [`Object::open`] and [`open_sealed`]; [`Refused::Malformed`] if it is no ring.
    pub fn open(
        name: &Hash,
        packed: &[u8],
        key: &SealKey,
        limits: &Limits,
    ) -> Result<Self, Refused> {
        let sealed = Object::open(name, packed, limits.object_bytes)?;
        let opened = open_sealed(&sealed, FOR_RING, key, limits)?;
        let mut reader = Reader::new("a ring of keys", RING, &opened)?;
        let mut keys = Vec::new();
        // As many as are there: each takes bytes of a text that has a bound.
        for _ in 0..reader.number()? {
            keys.push(ContentKey(reader.array()?));
        }
        reader.finish()?;
        Ok(Self { keys })
    }

    /// Opens a content that was packed for this purpose.
    ///
    /// # Errors
    /// [`Refused::NotForUs`] if its key is not in the ring, [`Refused::DoesNotOpen`].
    pub fn open_content(&self, content: Content, purpose: &[u8]) -> Result<Vec<u8>, Refused> {
        match content {
            Content::Plain(plain) => Ok(plain),
            Content::Secret { key, encrypted } => {
                let known = self.keys.iter().find(|known| known.fingerprint() == key);
                let known = known.ok_or(Refused::NotForUs { key })?;
                known.decrypt(purpose, &encrypted)
            }
        }
    }
}

fn hmac_of(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

/// Each text has a key of its own.
fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = Limits::default;

    #[test]
    fn equal_secrets_have_equal_bytes_and_nothing_else_opens_them() {
        let key = ContentKey::generate().unwrap();
        let other = ContentKey::generate().unwrap();
        let sealed = key.encrypt(b"a", b"secret").unwrap();
        assert_eq!(sealed, key.encrypt(b"a", b"secret").unwrap());
        assert_eq!(key.decrypt(b"a", &sealed).unwrap(), b"secret");
        for unequal in [
            key.encrypt(b"b", b"secret").unwrap(),
            key.encrypt(b"a", b"secreu").unwrap(),
            other.encrypt(b"a", b"secret").unwrap(),
        ] {
            assert_ne!(unequal, sealed);
            // Neither the text nor what it is encrypted with is ever the same.
            assert_ne!(unequal[..SYNTHETIC], sealed[..SYNTHETIC]);
            assert_ne!(unequal[SYNTHETIC..], sealed[SYNTHETIC..]);
        }
        assert_eq!(key.decrypt(b"b", &sealed), Err(Refused::DoesNotOpen));
        assert_eq!(other.decrypt(b"a", &sealed), Err(Refused::DoesNotOpen));
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(key.decrypt(b"a", &flipped), Err(Refused::DoesNotOpen));
            assert_eq!(
                key.decrypt(b"a", &sealed[..place]),
                Err(Refused::DoesNotOpen)
            );
        }
        assert!(!format!("{key:?}").contains(&crate::hash::hex(&key.0)));
    }

    #[test]
    fn contents_travel_and_only_the_ring_opens_secrets() {
        let limits = LIMITS();
        let (old, new) = (
            ContentKey::generate().unwrap(),
            ContentKey::generate().unwrap(),
        );
        let mut ring = Ring::new(vec![old.clone()]);
        ring.add(new.clone());
        let plain = Content::pack_plain(b"", &limits).unwrap();
        let content = Content::open(&plain.name(), plain.packed(), &limits).unwrap();
        assert_eq!(ring.open_content(content, b"p").unwrap(), b"");
        for key in [&old, &new] {
            let object = Content::pack_secret(b"secret", b"p", key, &limits).unwrap();
            let again = Content::pack_secret(b"secret", b"p", key, &limits).unwrap();
            assert_eq!(object.name(), again.name());
            let open = || Content::open(&object.name(), object.packed(), &limits).unwrap();
            assert_eq!(ring.open_content(open(), b"p").unwrap(), b"secret");
            assert_eq!(ring.open_content(open(), b"q"), Err(Refused::DoesNotOpen));
        }
        let object = Content::pack_secret(b"secret", b"p", &new, &limits).unwrap();
        let content = Content::open(&object.name(), object.packed(), &limits).unwrap();
        let of_old = Ring::new(vec![old]);
        let refused = of_old.open_content(content, b"p");
        assert_eq!(
            refused,
            Err(Refused::NotForUs {
                key: new.fingerprint()
            })
        );
        ring.shorten(1);
        assert_eq!(ring.keys().len(), 1);
        assert_eq!(ring.newest().unwrap().fingerprint(), new.fingerprint());
        // What is neither is refused, and what is too large.
        let neither = Object::pack(b"seawall leaf 1\n", 100).unwrap();
        assert!(Content::open(&neither.name(), neither.packed(), &limits).is_err());
        let small = Limits {
            file_bytes: 5,
            ..limits.clone()
        };
        assert!(Content::pack_plain(b"secret", &small).is_err());
        assert!(Content::open(&object.name(), object.packed(), &small).is_err());
    }

    #[test]
    fn a_ring_opens_for_those_that_it_is_sealed_to() {
        let limits = LIMITS();
        let ring = Ring::new(vec![ContentKey::generate().unwrap(); 3]);
        let (here, gone) = (SealKey::generate().unwrap(), SealKey::generate().unwrap());
        let object = ring.pack(&[here.public()], &limits).unwrap();
        let open = |key| Ring::open(&object.name(), object.packed(), key, &limits);
        assert_eq!(open(&here).unwrap().keys().len(), 3);
        assert!(matches!(open(&gone), Err(Refused::NotForUs { .. })));
        assert!(ring.pack(&[], &limits).is_err());
    }
}

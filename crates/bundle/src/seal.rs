//! Secrets sealed to locations: one content key, wrapped for each location that may use it.
//!
//! The content key wraps by HPKE to each recipient, and encrypts by ChaCha20Poly1305 (RFC 8439) once, so its nonce is zero. The list of
//! recipients and what the secret is for (`purpose`, such as its name) are authenticated with both: what was sealed as one
//! secret does not open as another. A sealed secret says to how many it is sealed, to whom, and how long it is.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::hpke::{self, TAG};
use crate::keys::{Fingerprint, SealKey, SealPublicKey, random};
use crate::limits::Limits;
use crate::refused::{Refused, at_most};

const MAGIC: &[u8] = b"seawall sealed 1\n";
const WHAT: &str = "a sealed secret";

/// A content key as a recipient gets it.
const WRAPPED: usize = 32 + TAG;

/// Seals a secret to some locations. Each call makes keys of its own: equal secrets have unequal bytes.
///
/// # Errors
/// [`Refused::TooLarge`]; [`Refused::Malformed`] without recipients, for a public key that is none, or without randomness.
pub fn seal(
    secret: &[u8],
    purpose: &[u8],
    recipients: &[SealPublicKey],
    limits: &Limits,
) -> Result<Vec<u8>, Refused> {
    at_most("a secret", secret.len(), limits.secret_bytes)?;
    at_most("recipients", recipients.len(), limits.recipients)?;
    if recipients.is_empty() {
        return Err(Refused::malformed(WHAT, "nobody could open it"));
    }
    let content_key = random()?;
    let context = context(purpose, recipients.iter().map(SealPublicKey::fingerprint));
    let mut writer = Writer::new(MAGIC);
    writer.number(recipients.len() as u64);
    for recipient in recipients {
        let ephemeral = SealKey::generate()?;
        let (encapsulated, wrapped) =
            hpke::seal(&ephemeral, recipient, MAGIC, &context, &content_key).ok_or_else(|| {
                Refused::malformed(
                    "a key",
                    format!("nothing can be sealed to {}", recipient.fingerprint()),
                )
            })?;
        writer.raw(&recipient.fingerprint().0);
        writer.raw(&encapsulated);
        writer.raw(&wrapped);
    }
    let mut text = secret.to_vec();
    cipher(&content_key)?
        .seal_in_place_append_tag(nonce(), Aad::from(&context), &mut text)
        .map_err(|_| Refused::malformed(WHAT, "it could not be encrypted"))?;
    writer.bytes(&text);
    Ok(writer.finish())
}

/// Opens a sealed secret with a location's key.
///
/// # Errors
/// [`Refused::NotForUs`]; [`Refused::DoesNotOpen`] if it was altered, or sealed for another purpose; [`Refused::TooLarge`] and
/// [`Refused::Malformed`].
pub fn open_sealed(
    sealed: &[u8],
    purpose: &[u8],
    key: &SealKey,
    limits: &Limits,
) -> Result<Vec<u8>, Refused> {
    let mut reader = Reader::new(WHAT, MAGIC, sealed)?;
    let count = reader.number()?;
    if count > limits.recipients as u64 {
        return Err(Refused::TooLarge {
            what: "recipients",
            found: count,
            limit: limits.recipients as u64,
        });
    }
    let ours = key.public().fingerprint();
    let mut fingerprints = Vec::new();
    let mut for_us = None;
    for _ in 0..count {
        let fingerprint = Fingerprint(reader.array()?);
        let encapsulated: [u8; 32] = reader.array()?;
        let wrapped: [u8; WRAPPED] = reader.array()?;
        if fingerprint == ours {
            for_us = Some((encapsulated, wrapped));
        }
        fingerprints.push(fingerprint);
    }
    let mut text = reader
        .bytes("a secret", limits.secret_bytes.saturating_add(TAG))?
        .to_vec();
    reader.finish()?;
    let (encapsulated, wrapped) = for_us.ok_or(Refused::NotForUs { key: ours })?;
    let context = context(purpose, fingerprints.into_iter());
    let content_key = hpke::open(key, &encapsulated, MAGIC, &context, &wrapped)
        .and_then(|key| key.try_into().ok())
        .ok_or(Refused::DoesNotOpen)?;
    let length = cipher(&content_key)?
        .open_in_place(nonce(), Aad::from(&context), &mut text)
        .map_err(|_| Refused::DoesNotOpen)?
        .len();
    text.truncate(length);
    Ok(text)
}

/// What both ciphers authenticate: the purpose, and who can open it.
fn context(purpose: &[u8], recipients: impl Iterator<Item = Fingerprint>) -> [u8; 32] {
    let mut writer = Writer::new(MAGIC);
    writer.bytes(purpose);
    for Fingerprint(recipient) in recipients {
        writer.raw(&recipient);
    }
    Hash::of(&writer.finish()).0
}

fn cipher(content_key: &[u8; 32]) -> Result<LessSafeKey, Refused> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, content_key)
        .map_err(|_| Refused::malformed(WHAT, "its key is no key"))?;
    Ok(LessSafeKey::new(key))
}

/// A content key encrypts one text.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

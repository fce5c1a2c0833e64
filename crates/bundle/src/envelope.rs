//! What is signed, and by whom: the form that manifests, lists of keys and reports share.
//!
//! ```text
//! seawall-signed manifest 1
//! signature 3f0c…(32 digits) 8a77…(128 digits)
//!
//! {"schema":1,…
//! ```
//!
//! A signature (Ed25519) covers the first line and all that follows the empty one, as they are: nothing is parsed and written again to be
//! verified. The first line keeps a report from ever being taken for a manifest.

use std::ops::Deref;

use crate::hash::{from_hex, hex};
use crate::keys::{Fingerprint, PublicKey, SigningKey};
use crate::refused::{Refused, at_most};

/// Signatures of one envelope: two keys are valid at a time.
const SIGNATURES: usize = 4;

/// A value whose signature, or other proof, was checked. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, which from now on nobody vouches for.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What an envelope is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Manifest,
    Keys,
    Report,
}

impl Kind {
    fn first_line(self) -> &'static str {
        match self {
            Self::Manifest => "seawall-signed manifest 1\n",
            Self::Keys => "seawall-signed keys 1\n",
            Self::Report => "seawall-signed report 1\n",
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Manifest => "a manifest",
            Self::Keys => "a list of keys",
            Self::Report => "a report",
        }
    }
}

/// An envelope whose signatures nobody has checked.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    kind: Kind,
    signatures: Vec<(Fingerprint, [u8; 64])>,
    payload: &'a [u8],
}

/// Signs a payload with each of the keys.
pub(crate) fn sign(kind: Kind, payload: &[u8], keys: &[&SigningKey]) -> Result<Vec<u8>, Refused> {
    at_most("signatures", keys.len(), SIGNATURES)?;
    if keys.is_empty() {
        return Err(Refused::malformed(
            kind.what(),
            "no key is there to sign it",
        ));
    }
    let message = message(kind, payload);
    let mut signed = kind.first_line().to_owned();
    for key in keys {
        let signature = hex(&key.sign(&message)?);
        signed.push_str(&format!(
            "signature {} {signature}\n",
            key.public().fingerprint()
        ));
    }
    signed.push('\n');
    let mut signed = signed.into_bytes();
    signed.extend_from_slice(payload);
    Ok(signed)
}

impl<'a> Unverified<'a> {
    /// Reads the form; believes nothing.
    pub(crate) fn read(kind: Kind, bytes: &'a [u8], limit: usize) -> Result<Self, Refused> {
        at_most(kind.what(), bytes.len(), limit)?;
        let wrong = |why: &str| Refused::malformed(kind.what(), why);
        let mut rest = bytes
            .strip_prefix(kind.first_line().as_bytes())
            .ok_or_else(|| wrong("it begins as something else"))?;
        let mut signatures = Vec::new();
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = end
                .and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)))
                .ok_or_else(|| wrong("it is cut short"))?;
            rest = after;
            if line.is_empty() {
                break;
            }
            let signature = signature(line).ok_or_else(|| wrong("a signature is no signature"))?;
            signatures.push(signature);
            at_most("signatures", signatures.len(), SIGNATURES)?;
        }
        if signatures.is_empty() {
            return Err(wrong("nobody has signed it"));
        }
        Ok(Self {
            kind,
            signatures,
            payload: rest,
        })
    }

    /// Who claims to have signed it, in order.
    pub(crate) fn signers(&self) -> impl Iterator<Item = Fingerprint> {
        self.signatures.iter().map(|(key, _)| *key)
    }

    /// Those of the known keys that have signed it. A key may stand here once.
    ///
    /// # Errors
    /// A signature in the name of a known key that it did not make.
    pub(crate) fn signed_by(&self, known: &[PublicKey]) -> Result<Vec<PublicKey>, Refused> {
        let message = message(self.kind, self.payload);
        let mut by = Vec::new();
        for (fingerprint, signature) in &self.signatures {
            let Some(key) = known.iter().find(|key| key.fingerprint() == *fingerprint) else {
                continue;
            };
            if !key.verifies(&message, signature) {
                return Err(Refused::WrongSignature { key: *fingerprint });
            }
            by.push(*key);
        }
        Ok(by)
    }

    /// What is signed. To be read when [`Unverified::signed_by`] has named somebody.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

fn message(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [kind.first_line().as_bytes(), payload].concat()
}

fn signature(line: &[u8]) -> Option<(Fingerprint, [u8; 64])> {
    let line = std::str::from_utf8(line).ok()?;
    let (key, signature) = line.strip_prefix("signature ")?.split_once(' ')?;
    Some((Fingerprint::parse(key)?, from_hex(signature)?))
}

//! Which online keys may sign manifests, and for which generations: a list that the offline root key signs.
//!
//! It is rare and small, and travels beside the manifest. It also carries the epoch: only who has the root key can begin a new one, in
//! which generations may start low again.

use serde::{Deserialize, Serialize};

use crate::SCHEMA;
use crate::envelope::{Kind, Unverified, Verified, sign};
use crate::keys::{Fingerprint, PublicKey, SigningKey};
use crate::limits::Limits;
use crate::payload;
use crate::refused::{Refused, at_most};

/// Online keys that may sign one generation, at most: the one in use and the next.
const VALID_AT_A_TIME: usize = 2;

/// The online keys, as the root key has signed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// Counts up with every list, also over epochs. A lower one than was seen is refused.
    pub serial: u64,
    /// The epoch, from 1. A higher one lets generations start again; see [`crate::Mark`].
    pub epoch: u64,
    /// Keys that may sign manifests of this epoch. No generation has more than two.
    pub online: Vec<OnlineKey>,
    /// Keys that may sign nothing any more, whatever else says so.
    pub revoked: Vec<Fingerprint>,
}

/// An online key and the generations that it may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineKey {
    /// The key.
    pub key: PublicKey,
    /// The first generation.
    pub first: u64,
    /// The last one; none: until another list says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

impl OnlineKey {
    /// Whether it may sign this generation.
    #[must_use]
    pub fn covers(&self, generation: u64) -> bool {
        self.first <= generation && self.last.is_none_or(|last| generation <= last)
    }
}

impl KeyList {
    /// A first list: one key, good for all generations of epoch 1.
    #[must_use]
    pub fn first(key: PublicKey) -> Self {
        Self {
            schema: SCHEMA,
            serial: 1,
            epoch: 1,
            online: vec![OnlineKey {
                key,
                first: 0,
                last: None,
            }],
            revoked: Vec::new(),
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        at_most("a list of online keys", self.online.len(), limits.keys)?;
        at_most("a list of revoked keys", self.revoked.len(), limits.keys)?;
        // The number of keys for a generation rises only where one begins.
        let crowded = self.online.iter().find(|one| {
            let others = self.online.iter();
            others.filter(|other| other.covers(one.first)).count() > VALID_AT_A_TIME
        });
        match crowded {
            Some(key) => Err(Refused::malformed(
                "a list of keys",
                format!("more than two keys may sign generation {}", key.first),
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn is_revoked(&self, key: &Fingerprint) -> bool {
        self.revoked.contains(key)
    }
}

/// Signs a list of keys with the root key.
///
/// # Errors
/// [`Refused::TooLarge`] and [`Refused::Malformed`]: no edge would take it.
pub fn sign_keys(list: &KeyList, root: &SigningKey, limits: &Limits) -> Result<Vec<u8>, Refused> {
    list.check(limits)?;
    let payload = payload::write(Kind::Keys.what(), list)?;
    sign(Kind::Keys, &payload, &[root])
}

/// Opens a list of keys. `seen` is the serial number of the newest that was accepted, 0 at first ([`crate::Mark::keys_serial`]); the
/// same one again is good.
///
/// # Errors
/// [`Refused::UnknownKey`] if another key than the root key signed it; [`Refused::OldKeys`], and what any envelope is refused for.
pub fn open_keys(
    bytes: &[u8],
    root: &PublicKey,
    seen: u64,
    limits: &Limits,
) -> Result<Verified<KeyList>, Refused> {
    let envelope = Unverified::read(Kind::Keys, bytes, limits.manifest_bytes)?;
    if envelope.signed_by(&[*root])?.is_empty() {
        return Err(unknown(&envelope, 0));
    }
    let list: KeyList = payload::read(Kind::Keys.what(), envelope.payload())?;
    list.check(limits)?;
    if list.serial < seen {
        return Err(Refused::OldKeys {
            serial: list.serial,
            seen,
        });
    }
    Ok(Verified::new(list))
}

pub(crate) fn unknown(envelope: &Unverified<'_>, list: u64) -> Refused {
    match envelope.signers().next() {
        Some(key) => Refused::UnknownKey { key, list },
        None => Refused::malformed("an envelope", "nobody has signed it"),
    }
}

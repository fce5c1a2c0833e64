//! Whether a manifest is believed: by whom it must be signed, and what it must not fall behind.

use serde::{Deserialize, Serialize};

use crate::envelope::{Kind, Unverified, Verified};
use crate::hash::Hash;
use crate::key_list::{KeyList, unknown};
use crate::keys::PublicKey;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::payload;
use crate::refused::Refused;

/// Signed time further ahead of this machine's clock than this, in milliseconds, is an alarm: one of both clocks is wrong.
pub const TIME_AHEAD_MS: u64 = 10 * 60 * 1_000;

/// The highest that was seen. Kept on disk; it only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The epoch of the newest manifest; 0 when none was seen.
    pub epoch: u64,
    /// Its generation in that epoch.
    pub generation: u64,
    /// The SHA-256 of its payload.
    pub payload: Option<Hash>,
    /// The highest signed time, in milliseconds since 1970-01-01 UTC, of those that were not too far ahead.
    pub signed_at: u64,
    /// The serial number of the newest list of keys.
    pub keys_serial: u64,
}

/// Who is believed, and what was seen.
///
/// Of what this machine accepted before and kept (last-known-good), nothing is too old: it is opened with the list of keys that was
/// kept beside it and with [`Mark::default`].
#[derive(Clone, Debug)]
pub struct Trust {
    /// The newest list of keys, opened with the root key.
    pub keys: Verified<KeyList>,
    /// The highest that was seen.
    pub seen: Mark,
}

/// A manifest that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The manifest.
    pub manifest: Verified<Manifest>,
    /// The mark from now on; to be stored before the manifest is acted on.
    pub mark: Mark,
    /// Whether it is the one that was seen last.
    pub unchanged: bool,
    /// An alarm, not a refusal: the configuration is good, a clock is not.
    pub time_ahead: Option<TimeAhead>,
}

/// Signed time is further ahead of this machine's clock than [`TIME_AHEAD_MS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeAhead {
    /// By how many milliseconds.
    pub by_ms: u64,
}

/// Opens a manifest. `now` is this machine's clock, in milliseconds since 1970-01-01 UTC; it decides nothing but the alarm.
///
/// # Errors
/// Each reason is its own variant of [`Refused`]. After [`Refused::UnknownKey`] and [`Refused::UnsignedEpoch`] the list of keys
/// should be fetched again.
pub fn open_manifest(
    bytes: &[u8],
    trust: &Trust,
    now: u64,
    limits: &Limits,
) -> Result<Accepted, Refused> {
    let envelope = Unverified::read(Kind::Manifest, bytes, limits.manifest_bytes)?;
    let signers = signers(&envelope, &trust.keys)?;
    let manifest: Manifest = payload::read(Kind::Manifest.what(), envelope.payload())?;
    may_sign(&signers, &trust.keys, manifest.generation)?;
    manifest.check(limits)?;
    let payload = Hash::of(envelope.payload());
    let unchanged = follows(&manifest, payload, trust)?;
    let ahead = manifest.at.saturating_sub(now);
    let time_ahead = (ahead > TIME_AHEAD_MS).then_some(TimeAhead { by_ms: ahead });
    let signed_at = match time_ahead {
        Some(_) => trust.seen.signed_at,
        None => trust.seen.signed_at.max(manifest.at),
    };
    Ok(Accepted {
        mark: Mark {
            epoch: manifest.epoch,
            generation: manifest.generation,
            payload: Some(payload),
            signed_at,
            keys_serial: trust.seen.keys_serial.max(trust.keys.serial),
        },
        manifest: Verified::new(manifest),
        unchanged,
        time_ahead,
    })
}

/// The keys of the list that have signed and are not revoked.
fn signers(envelope: &Unverified<'_>, list: &KeyList) -> Result<Vec<PublicKey>, Refused> {
    let known: Vec<PublicKey> = list.online.iter().map(|online| online.key).collect();
    let mut signers = envelope.signed_by(&known)?;
    signers.retain(|key| !list.is_revoked(&key.fingerprint()));
    if signers.is_empty() {
        let revoked = envelope.signers().find(|key| list.is_revoked(key));
        return Err(match revoked {
            Some(key) => Refused::RevokedKey { key },
            None => unknown(envelope, list.serial),
        });
    }
    Ok(signers)
}

/// One of those who signed must be good for this generation.
fn may_sign(signers: &[PublicKey], list: &KeyList, generation: u64) -> Result<(), Refused> {
    let may = list
        .online
        .iter()
        .any(|online| signers.contains(&online.key) && online.covers(generation));
    match signers.first() {
        Some(key) if !may => Err(Refused::KeyNotValid {
            key: key.fingerprint(),
            generation,
        }),
        _ => Ok(()),
    }
}

/// Whether it is the very manifest that was seen last; refused if it falls behind.
fn follows(manifest: &Manifest, payload: Hash, trust: &Trust) -> Result<bool, Refused> {
    let (list, seen) = (&trust.keys, &trust.seen);
    if list.serial < seen.keys_serial {
        return Err(Refused::OldKeys {
            serial: list.serial,
            seen: seen.keys_serial,
        });
    }
    if manifest.epoch < seen.epoch {
        return Err(Refused::OldEpoch {
            epoch: manifest.epoch,
            seen: seen.epoch,
        });
    }
    if manifest.epoch != list.epoch {
        return Err(Refused::UnsignedEpoch {
            epoch: manifest.epoch,
            signed: list.epoch,
        });
    }
    if manifest.epoch > seen.epoch || manifest.generation > seen.generation {
        return Ok(false);
    }
    if manifest.generation < seen.generation {
        return Err(Refused::OldGeneration {
            generation: manifest.generation,
            seen: seen.generation,
        });
    }
    match seen.payload {
        Some(known) if known != payload => Err(Refused::Forked {
            generation: manifest.generation,
        }),
        known => Ok(known.is_some()),
    }
}

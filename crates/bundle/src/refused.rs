//! Why something is not believed: every reason has a variant of its own, which says whose fault it is and whether asking again may
//! help.

use crate::hash::Hash;
use crate::keys::Fingerprint;

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// More than the limit allows.
    #[error("{what} is too large: {found} where at most {limit} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How much there is, or what was reached when reading stopped.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// Not of the form that it should have: cut short, longer than it says, or made by something else.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
        /// In which way.
        why: String,
    },
    /// The content is another than the name says.
    #[error("asked for object {wanted}, but this is {found}")]
    WrongHash {
        /// The name that was asked for.
        wanted: Hash,
        /// What the content's name is.
        found: Hash,
    },
    /// Written by a later version, which says that this one cannot read it.
    #[error("{what} needs a reader of schema {needs}; this build reads {reads}: upgrade it")]
    NewerSchema {
        /// What is newer.
        what: &'static str,
        /// The schema that is needed.
        needs: u32,
        /// The schema that this build reads.
        reads: u32,
    },
    /// A key that is known, and a signature that it did not make.
    #[error("the signature of key {key} is wrong: what was signed is not what arrived")]
    WrongSignature {
        /// The key that is named.
        key: Fingerprint,
    },
    /// Signed by keys that nobody here knows.
    #[error("signed by key {key}, which is not in the list of keys {list}")]
    UnknownKey {
        /// The first of the keys.
        key: Fingerprint,
        /// The serial number of the list that was consulted; 0 where there is none.
        list: u64,
    },
    /// Signed by a key that the root key has revoked.
    #[error("signed by key {key}, which is revoked")]
    RevokedKey {
        /// The key.
        key: Fingerprint,
    },
    /// Signed by a key outside of the generations that it is good for.
    #[error("key {key} may not sign generation {generation}")]
    KeyNotValid {
        /// The key.
        key: Fingerprint,
        /// The manifest's generation.
        generation: u64,
    },
    /// A generation below the highest that was seen: somebody replays an old manifest, or a restored control began too low.
    #[error(
        "generation {generation} is lower than {seen}, which was seen: a restore starts above it, or in a new epoch signed by the root key"
    )]
    OldGeneration {
        /// The manifest's.
        generation: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// Another manifest of a generation that was seen: two writers, or a thief of a key.
    #[error(
        "generation {generation} was seen with other content: two writers, or a key in wrong hands"
    )]
    Forked {
        /// The generation.
        generation: u64,
    },
    /// An epoch below the highest that was seen.
    #[error("epoch {epoch} is lower than {seen}, which was seen")]
    OldEpoch {
        /// The manifest's or key list's.
        epoch: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// An epoch that no list of keys signed by the root key names.
    #[error(
        "epoch {epoch} is not the one that the root key signed, {signed}: fetch the list of keys, or sign a new one"
    )]
    UnsignedEpoch {
        /// The manifest's.
        epoch: u64,
        /// That of the list of keys.
        signed: u64,
    },
    /// A list of keys older than one that was seen, which might bring a revoked key back.
    #[error("list of keys {serial} is older than {seen}, which was seen")]
    OldKeys {
        /// The list's serial number.
        serial: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// A report of one location, signed by another's key.
    #[error("a report of location {claimed} is signed by the key of {signer}")]
    WrongLocation {
        /// What the report says.
        claimed: String,
        /// Whose key it is.
        signer: String,
    },
    /// A report that was seen, or an older one.
    #[error("report {number} is not later than {seen}, which was seen")]
    OldReport {
        /// The report's number.
        number: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// A secret that is sealed to others.
    #[error("not sealed to key {key}")]
    NotForUs {
        /// Our key.
        key: Fingerprint,
    },
    /// A secret that does not open: another purpose, or altered.
    #[error("does not open: it was altered, or sealed for another purpose")]
    DoesNotOpen,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The way that it came: a source that is damaged, behind the others, or hostile. Another source may have better.
    Source,
    /// Those who publish: no source will have better until they mend it.
    Publisher,
    /// This machine: it lacks something, such as a newer program or list of keys.
    Reader,
}

impl Refused {
    /// Whose fault it is most likely, and so what may help: another source, telling those who publish, or an upgrade.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::WrongHash { .. }
            | Self::WrongSignature { .. }
            | Self::OldGeneration { .. }
            | Self::OldEpoch { .. }
            | Self::OldKeys { .. }
            | Self::WrongLocation { .. }
            | Self::OldReport { .. } => Fault::Source,
            Self::RevokedKey { .. }
            | Self::KeyNotValid { .. }
            | Self::Forked { .. }
            | Self::DoesNotOpen => Fault::Publisher,
            Self::NewerSchema { .. }
            | Self::UnknownKey { .. }
            | Self::UnsignedEpoch { .. }
            | Self::NotForUs { .. } => Fault::Reader,
        }
    }

    /// Whether the same question, put to another source or after fetching the list of keys, may be answered better. It is always
    /// safe to ask.
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        self.fault() == Fault::Source
            || matches!(self, Self::UnknownKey { .. } | Self::UnsignedEpoch { .. })
    }

    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed {
            what,
            why: why.into(),
        }
    }
}

/// Refuses what is more than the limit.
pub(crate) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refused> {
    if found > limit {
        return Err(Refused::TooLarge {
            what,
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

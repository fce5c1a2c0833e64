//! An entry of the log: what happened, who did it and why, and the hash that ties it to the one before.

use seawall_model::Purged;
use seawall_model::tempo::{Kind, Share};
use serde::{Deserialize, Serialize};

use super::Broken;
use crate::version::{Chain, Hash};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number: 1, 2, 3, none left out.
    pub seq: u64,
    /// When, in seconds of Unix time by the clock of who made it.
    pub at: u64,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// What.
    pub body: Body,
    /// The body as it was written: what the hash is of.
    pub text: String,
    /// The request that it is of, and the digest of that request; none if it had no id.
    pub request: Option<([u8; 16], Hash)>,
    /// The hash of the entry before it; [`Hash::NONE`] for the first.
    pub prev: Hash,
    /// The hash of this entry: [`Entry::sealed`].
    pub hash: Hash,
}

impl Entry {
    /// The hash that an entry with these contents has: SHA-256 over `seawall log 1`, the number, the time, the hash before, and
    /// then who, why, the request and the body, each behind its length (64 bits, little end first).
    pub fn sealed(&self) -> Hash {
        let request = self
            .request
            .as_ref()
            .map(|(id, digest)| [id.as_slice(), digest.bytes()].concat());
        let request = request.unwrap_or_default();
        let len = |text: &[u8]| (text.len() as u64).to_le_bytes();
        Hash::of_parts(&[
            b"seawall log 1\n",
            &self.seq.to_le_bytes(),
            &self.at.to_le_bytes(),
            self.prev.bytes(),
            &len(self.who.as_bytes()),
            self.who.as_bytes(),
            &len(self.why.as_bytes()),
            self.why.as_bytes(),
            &len(&request),
            &request,
            &len(self.text.as_bytes()),
            self.text.as_bytes(),
        ])
    }

    /// Whether this entry follows one with that number and hash, and is as it was sealed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn follows(&self, seq: u64, hash: Hash) -> Result<(), Broken> {
        let broken = |what: &str| Broken {
            seq: seq + 1,
            what: what.to_owned(),
        };
        if self.seq != seq + 1 {
            return Err(broken("is missing"));
        }
        if self.prev != hash {
            return Err(broken("does not follow the entry before it"));
        }
        if self.hash != self.sealed() {
            return Err(broken("was changed after it was written"));
        }
        Ok(())
    }
}

/// What happened. As JSON: an object whose `kind` is the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Body {
    /// A version came to be.
    VersionCreated {
        /// Whose.
        chain: Chain,
        /// Its number.
        number: u64,
        /// The head before it.
        parent: Option<u64>,
        /// The hash of its document.
        document: Hash,
        /// Whether it deletes the zone.
        tombstone: bool,
        /// The earlier version whose document it has, if it is a rollback or a restore.
        of: Option<u64>,
    },
    /// A rollout began; its number is that of this entry.
    RolloutStarted {
        /// Its tempo.
        tempo: Kind,
        /// Of what.
        subject: Subject,
        /// The rollout that it goes in step with: same steps, same clients, taken back together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<u64>,
    },
    /// A rollout took a step.
    RolloutStepped {
        /// Which.
        rollout: u64,
        /// The step, from 0.
        step: u32,
        /// All locations that have the candidate now.
        ring: Vec<String>,
        /// For how many of the clients there.
        share: Share,
        /// Requests through the candidate until now: the step's own begin there.
        requests: u64,
        /// Probes through the candidate until now.
        probes: u64,
    },
    /// A rollout ended.
    RolloutEnded {
        /// Which.
        rollout: u64,
        /// How.
        outcome: Outcome,
    },
    /// A person let a rollout go on that a guard held.
    Approved {
        /// Which.
        rollout: u64,
    },
    /// A chain stays at a version until it is unpinned.
    Pinned {
        /// Whose.
        chain: Chain,
        /// Which version.
        number: u64,
    },
    /// No longer.
    Unpinned {
        /// Whose.
        chain: Chain,
    },
    /// An emergency switch.
    KillSet(KillSwitch),
    /// It was taken back before its time.
    KillCleared(Scope),
    /// Something was purged of what edges keep of a zone's responses.
    Purged {
        /// Its place among those that stand: the latest few hundred do.
        slot: u16,
        /// The number of the entry whose place it took; 0 for none.
        before: u64,
        /// The zone.
        zone: String,
        /// What of it.
        what: Vec<Purged>,
        /// It becomes stale, and does not go.
        soft: bool,
    },
    /// A file was imported.
    FileImported {
        /// Its path, as it was given.
        path: String,
        /// The hash of its bytes.
        hash: Hash,
    },
    /// A token was made. The token itself is nowhere: only its hash.
    TokenMade {
        /// Its name.
        name: String,
        /// The hash of its bytes.
        hash: Hash,
        /// What it may do.
        scopes: Vec<String>,
        /// For joining: the location that it lets in, once.
        location: Option<String>,
        /// Until when, in seconds of Unix time; none: until it is revoked.
        expires: Option<u64>,
    },
    /// A token is good no more.
    TokenRevoked {
        /// Its name.
        name: String,
    },
    /// A location joined, or showed a new key.
    LocationJoined {
        /// Its name.
        location: String,
        /// The hash of its public keys, one behind the other as they stand in `keys`.
        key: Hash,
        /// Its public keys.
        #[serde(default)]
        keys: LocationKeys,
        /// Its architecture, as `x86_64`.
        architecture: String,
        /// Its owner wants changes to begin there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        canary: bool,
    },
    /// A location is one of ours no more.
    LocationLeft {
        /// Its name.
        location: String,
    },
    /// A key that a location's certificates are for is to be let in nowhere any more, though its last certificate is good still.
    KeyBarred {
        /// Whose it was.
        location: String,
        /// The SHA-256 of the key: the point of which [`LocationKeys::tls`] has the digits.
        key: Hash,
        /// When its last certificate is over at the latest, in seconds of Unix time.
        until: u64,
    },
    /// Its last certificate is over, or it was let in again.
    KeyLetBe {
        /// The SHA-256 of the key.
        key: Hash,
    },
    /// Something was done on a location's own machine, without control.
    DoneHere {
        /// Its name.
        location: String,
        /// Counts up there.
        number: u64,
        /// When, in seconds of Unix time by that machine's clock.
        at: u64,
        /// What, as JSON.
        what: String,
    },
    /// Traffic is led away from a location.
    Drained {
        /// Its name.
        location: String,
    },
    /// And back.
    Undrained {
        /// Its name.
        location: String,
    },
    /// This log was brought back: of a backup, or of what an edge had kept. What was published after its last entry is known to
    /// edges and not to it, so that publication goes on above the highest generation that any of them, or the object store, shows.
    Restored {
        /// The number of the last entry that was brought back; 0 where the log was made anew.
        seq: u64,
        /// That entry's hash.
        hash: Hash,
    },
}

/// The public keys of a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationKeys {
    /// Of its certificate: an uncompressed point of P-256 (SEC 1, 2.3.3), in hexadecimal digits.
    pub tls: String,
    /// What it signs Reports with, as a line.
    pub report: String,
    /// What secrets are sealed to, as a line.
    pub seal: String,
}

impl LocationKeys {
    /// The hash that stands for all of them.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(&[
            self.tls.as_bytes(),
            self.report.as_bytes(),
            self.seal.as_bytes(),
        ])
    }
}

/// What a rollout brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A version.
    Version {
        /// Of this chain.
        chain: Chain,
        /// In place of this one; none: of nothing.
        from: Option<u64>,
        /// This one.
        to: u64,
    },
    /// An emergency switch.
    Kill(Scope),
}

impl Subject {
    /// What rollouts of it are found by: no two that run have the same.
    pub fn key(&self) -> String {
        match self {
            Self::Version { chain, .. } => chain.to_string(),
            Self::Kill(scope) => format!("kill {}", scope.key()),
        }
    }
}

/// What an emergency switch reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The stage.
    pub module: String,
    /// The zone; none: an explicit every zone.
    pub zone: Option<String>,
    /// The location; none: an explicit every location.
    pub location: Option<String>,
}

impl Scope {
    /// Its key among those that stand.
    pub fn key(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".into());
        format!(
            "{} {} {}",
            self.module,
            part(&self.zone),
            part(&self.location)
        )
    }
}

/// An emergency switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitch {
    /// What it reaches.
    pub scope: Scope,
    /// How long it holds, in seconds from an edge's first sight of it.
    pub seconds: u64,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is everywhere.
    Complete,
    /// The planner took it back.
    TakenBack,
    /// A person ended it, or another rollout went before it.
    Aborted,
}

/// What an entry does to those that stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It stands for this key of this topic, in place of what did.
    Set(&'static str, String),
    /// Nothing stands for this key any more.
    Clear(&'static str, String),
}

impl Body {
    /// Its name: `kind` in JSON and in the log's table.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::VersionCreated { .. } => "version_created",
            Self::RolloutStarted { .. } => "rollout_started",
            Self::RolloutStepped { .. } => "rollout_stepped",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::Approved { .. } => "approved",
            Self::Pinned { .. } => "pinned",
            Self::Unpinned { .. } => "unpinned",
            Self::KillSet(_) => "kill_set",
            Self::KillCleared(_) => "kill_cleared",
            Self::Purged { .. } => "purged",
            Self::FileImported { .. } => "file_imported",
            Self::TokenMade { .. } => "token_made",
            Self::TokenRevoked { .. } => "token_revoked",
            Self::LocationJoined { .. } => "location_joined",
            Self::LocationLeft { .. } => "location_left",
            Self::KeyBarred { .. } => "key_barred",
            Self::KeyLetBe { .. } => "key_let_be",
            Self::DoneHere { .. } => "done_here",
            Self::Drained { .. } => "drained",
            Self::Undrained { .. } => "undrained",
            Self::Restored { .. } => "restored",
        }
    }

    /// The rollout that it is about; none for one that begins, whose number is the entry's.
    pub const fn rollout(&self) -> Option<u64> {
        match self {
            Self::RolloutStepped { rollout, .. }
            | Self::RolloutEnded { rollout, .. }
            | Self::Approved { rollout } => Some(*rollout),
            _ => None,
        }
    }

    /// What it does to those that stand. Topics are `pin` (key: the chain), `kill` ([`Scope::key`]), `purge` (its slot), `import` (the path), `token`,
    /// `location`, `here` and `drain` (names), `barred` (the hash of the key), and `restore` (its only key is `log`).
    pub fn stands(&self) -> Option<Stands> {
        Some(match self {
            Self::Pinned { chain, .. } => Stands::Set("pin", chain.to_string()),
            Self::Unpinned { chain } => Stands::Clear("pin", chain.to_string()),
            Self::KillSet(switch) => Stands::Set("kill", switch.scope.key()),
            Self::KillCleared(scope) => Stands::Clear("kill", scope.key()),
            Self::Purged { slot, .. } => Stands::Set("purge", format!("{slot:03}")),
            Self::FileImported { path, .. } => Stands::Set("import", path.clone()),
            Self::TokenMade { name, .. } => Stands::Set("token", name.clone()),
            Self::TokenRevoked { name } => Stands::Clear("token", name.clone()),
            Self::LocationJoined { location, .. } => Stands::Set("location", location.clone()),
            Self::LocationLeft { location } => Stands::Clear("location", location.clone()),
            Self::KeyBarred { key, .. } => Stands::Set("barred", key.to_string()),
            Self::KeyLetBe { key } => Stands::Clear("barred", key.to_string()),
            Self::DoneHere { location, .. } => Stands::Set("here", location.clone()),
            Self::Drained { location } => Stands::Set("drain", location.clone()),
            Self::Undrained { location } => Stands::Clear("drain", location.clone()),
            Self::Restored { .. } => Stands::Set("restore", "log".into()),
            _ => return None,
        })
    }
}

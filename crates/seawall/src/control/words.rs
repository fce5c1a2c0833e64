//! What control and those around it say to each other over `DATA/control.sock`: packets as between our other processes. Documents
//! travel in files beside the words.

use serde::{Deserialize, Serialize};

use crate::here::Done;
use crate::order::{Chain, Counted};

/// What is said to control.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToControl {
    /// An agent is here.
    Agent {
        /// Its location.
        location: String,
    },
    /// Beside it: an agent's [`Report`].
    Report,
    /// Beside it: the text of a document, whose versions are to be made and rolled out.
    Apply {
        /// Where it came from.
        path: String,
        /// Who.
        who: String,
        /// Why.
        why: String,
        /// The version of the one zone in it that was looked at before.
        parent: Option<u64>,
        /// Guards that ask for a person need ask no more.
        approve: bool,
    },
    /// The versions of a zone, newest first.
    Versions {
        /// Whose.
        chain: Chain,
    },
    /// The texts of two versions.
    Texts {
        /// Whose.
        chain: Chain,
        /// The first; none is the one that serves.
        a: Option<u64>,
        /// The second; none is the newest.
        b: Option<u64>,
    },
    /// A new version with an old one's document.
    Rollback {
        /// Whose.
        chain: Chain,
        /// Which; none is the one before.
        version: Option<u64>,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// A new version that is a tombstone, or the one that takes it back.
    Delete {
        /// The zone.
        zone: String,
        /// It is to come back.
        restore: bool,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// A chain stays at what serves, until it is unpinned.
    Pin {
        /// Whose.
        chain: Chain,
        /// It does no longer.
        unpin: bool,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// A rollout goes on past the guards that ask for a person, or ends.
    Decide {
        /// Which; none is the only one that runs.
        rollout: Option<u64>,
        /// It goes on; else it ends.
        approve: bool,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// A stage is to be off for a while, or no longer.
    Kill {
        /// Which stage.
        stage: String,
        /// In this zone; none: in all.
        zone: Option<String>,
        /// In this location; none: in all.
        location: Option<String>,
        /// For so many seconds; none: it is to be on again.
        seconds: Option<u64>,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// How rollouts stand.
    Rollouts {
        /// Which; none is all that run.
        ids: Vec<u64>,
    },
    /// A token for a location to join with.
    JoinToken {
        /// Its name.
        location: String,
        /// Who.
        who: String,
    },
    /// The locations.
    Locations,
    /// A location is one of ours no more.
    Leave {
        /// Its name.
        location: String,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// Traffic is led away from a location, or back to it.
    Drain {
        /// Its name; none is the only one.
        location: Option<String>,
        /// Back to it.
        undrain: bool,
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// What control knows, for `seawall status`.
    Status,
    /// A copy of the log.
    Backup,
}

/// What control says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromControl {
    /// To an agent: something else is published now. It would look by itself before long.
    Published,
    /// Beside it: what was made, [`Applied`].
    Applied,
    /// Not done.
    Refused {
        /// Why, and what can be done.
        why: String,
    },
    /// Somebody else was first: what is the newest version. Beside it: its text.
    Conflict {
        /// In words.
        why: String,
        /// Its number.
        head: Option<u64>,
    },
    /// Beside it: versions, a list of [`Told`].
    Versions,
    /// Beside it: the two texts, as a list.
    Texts {
        /// The number of the first.
        a: u64,
        /// And of the second.
        b: u64,
    },
    /// Beside it: how rollouts stand, a list of [`Standing`].
    Rollouts,
    /// An emergency switch is set.
    Killed {
        /// The number of its rollout.
        rollout: u64,
    },
    /// Beside it: a copy of the log, verified.
    Backup {
        /// The number of its last entry.
        seq: u64,
    },
    /// A token to join with.
    Token {
        /// As it is given to `seawall edge --join`.
        token: String,
        /// Where control listens for locations.
        listens: String,
    },
    /// Beside it: the locations, a list of [`Place`](super::locations::Place).
    Locations,
    /// What control knows.
    Status(serde_json::Value),
    /// Done.
    Done,
}

/// Versions that were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Each with its number and its rollout.
    pub versions: Vec<(Chain, u64, u64)>,
    /// What is as it was.
    pub unchanged: usize,
    /// What people should know.
    pub notes: Vec<String>,
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// What it is of.
    pub what: String,
    /// The version that it brings.
    pub version: u64,
    /// How many of 10,000 clients have it.
    pub share: u16,
    /// How many locations have it.
    pub locations: usize,
    /// What is waited for, or how it ended.
    pub why: String,
    /// None: it runs. True: it is everywhere. False: it is not.
    pub ended: Option<bool>,
}

/// A version, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its number.
    pub number: u64,
    /// Who.
    pub author: String,
    /// Why.
    pub why: String,
    /// Seconds since 1970.
    pub at: u64,
    /// The SHA-256 of its document.
    pub hash: String,
    /// It is what serves.
    pub serves: bool,
    /// It is on its way.
    pub on_trial: bool,
    /// The zone is deleted as of this version.
    pub tombstone: bool,
}

/// What an agent tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The epoch of the manifest that it acts on; 0 for none.
    pub epoch: u64,
    /// And its generation.
    pub generation: u64,
    /// What was counted on trials.
    pub counted: Counted,
    /// Each trial that was taken: since how many milliseconds at this share.
    pub taken: Vec<(Chain, u64, u16, u64)>,
    /// Versions that cannot be served, with all problems.
    pub refused: Vec<(Chain, u64, String)>,
    /// Deaths of workers that are a trial's doing, or nobody's while it ran.
    pub restarts: Vec<(Chain, u64, u64)>,
    /// Probes that a trial failed and what is live did not.
    pub failed_probes: Vec<(Chain, u64, u64)>,
    /// Emergency switches that are on: the number of each, and since how many milliseconds.
    pub switches: Vec<(u64, u64)>,
    /// Whether it says that it is ready (`/readyz`), drained or not; none: nobody answers there.
    pub ready: Option<bool>,
    /// What was done on that machine itself of late.
    pub here: Vec<Done>,
    /// Chains that do not follow control there.
    pub held: Vec<Chain>,
}

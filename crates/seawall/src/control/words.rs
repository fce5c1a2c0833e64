//! What control and those around it say to each other over `DATA/control.sock`: packets as between our other processes. What may
//! be long travels in files beside the words. What people ask is in [`asks`](super::asks): it comes over HTTP too.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Beside it: what a person or a tool asks, [`Asked`](super::asks::Asked).
    Ask,
    /// A copy of the log.
    Backup,
}

/// What control says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromControl {
    /// To an agent: something else is published now. It would look by itself before long.
    Published,
    /// Beside it: what became of what was asked, a `Result` of [`Answer`](super::asks::Answer) and
    /// [`NotMade`](super::asks::NotMade).
    Answer,
    /// To `up`: people and their tools are answered over HTTP.
    Listens {
        /// Where.
        dashboard: SocketAddr,
        /// The file with the first token, while there is one.
        token_path: Option<PathBuf>,
    },
    /// To `up`: it cannot run, and ends. Who starts it again and again tells people, and not each time.
    Fails {
        /// Why.
        why: String,
    },
    /// Beside it: a copy of the log, verified.
    Backup {
        /// The number of its last entry.
        seq: u64,
    },
    /// The log could not be copied.
    NoBackup {
        /// Why.
        why: String,
    },
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
    /// Versions that are for all and do not serve there, the first of them, with all problems.
    pub lacks: Vec<(Chain, u64, String)>,
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
    /// The number of the purge up to which all are done there.
    pub purged: u64,
}

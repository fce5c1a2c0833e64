//! What control and those around it say to each other over `DATA/control.sock`: packets as between our other processes. What may
//! be long travels in files beside the words. What people ask is in [`asks`](super::asks): it comes over HTTP too.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::order::{Chain, Change, Counted, OnTrial};

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
}

/// What control says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromControl {
    /// To an agent. Beside it: a [`Want`].
    Want,
    /// Beside it: what became of what was asked, a `Result` of [`Answer`](super::asks::Answer) and
    /// [`NotMade`](super::asks::NotMade).
    Answer,
    /// To `up`: people and their tools are answered over HTTP.
    Listens {
        /// Where.
        dashboard: SocketAddr,
        /// The file with the first token.
        token_path: PathBuf,
    },
}

/// What an agent is to bring about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// What is for all clients; only what has changed lately, or all where `all` says so.
    pub live: Vec<Change>,
    /// All that is on trial.
    pub trials: Vec<OnTrial>,
    /// Milliseconds between two Reports.
    pub report_ms: u64,
    /// Milliseconds between two probes of a trial.
    pub probe_ms: u64,
}

/// What an agent tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
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
}

//! Emergency switches, as they are asked for over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stage that is to be off for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKill {
    /// The stage, as `rules`.
    pub stage: String,
    /// In this zone; without it, in all.
    #[serde(default)]
    pub zone: Option<String>,
    /// In this location; without it, in all.
    #[serde(default)]
    pub location: Option<String>,
    /// For so many seconds, 7 days at most. An edge counts them from when it sees the switch.
    pub seconds: u64,
    /// Why, for the log.
    pub why: String,
}

/// A stage is to be off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KillMade {
    /// The number of the rollout that brings it about.
    pub rollout: u64,
}

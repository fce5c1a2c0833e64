//! What control tells of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Place, Standing};

/// What control knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of Seawall.
    pub version: String,
    /// What keeps the store of versions from answering; none: nothing does.
    pub trouble: Option<String>,
    /// What of the file that it was given is not taken in, and why; none: all of it is.
    pub left_out: Option<String>,
    /// The number of the log's last entry; 0 where the store does not answer.
    pub log: u64,
    /// What edges read.
    pub published: Published,
    /// How many zones serve, and what all share, which counts as one.
    pub chains: usize,
    /// The rollouts that run.
    pub rollouts: Vec<Standing>,
    /// The locations.
    pub locations: Vec<Place>,
    /// Where control listens for locations; none where it does not.
    pub edges: Option<String>,
    /// The bucket that what is published is brought to; none where there is none.
    pub bucket: Option<Bucket>,
}

/// A bucket that what is published is brought to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Its address.
    pub bucket: String,
    /// The generation that it has, as far as control brought it there.
    pub generation: u64,
    /// Why it is behind; none: it is not.
    pub why: Option<String>,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// The newest generation.
    pub generation: u64,
    /// The folder that it lies in.
    pub folder: String,
    /// Why nothing new is published, where it is not.
    pub problem: Option<String>,
}

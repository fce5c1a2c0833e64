//! What the agent orders from the worker: what is to be for all clients, and what is to be on trial; and what comes back.
//!
//! An order is JSON in a file beside the word that tells of it, for documents may be long. It says all that is on trial: what an
//! earlier one said is over. Not here: who decides ([`agent`](crate::agent)), what is done ([`worker`](crate::worker)).

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use seawall_proxy::mishaps::Totals;
use seawall_proxy::recent::Replayed;
use seawall_proxy::trial::Counts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::in_memory;

/// The longest order that is read, in bytes.
const LONGEST: u64 = 1 << 30;

pub use seawall_control::Chain;

/// A version of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of what.
    pub chain: Chain,
    /// Its number there.
    pub version: u64,
    /// Its document, of that zone alone or of `[edge]` and `[lists]` alone; none takes the zone away.
    pub text: Option<String>,
}

/// A version on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnTrial {
    /// Which.
    pub change: Change,
    /// How many of 10,000 clients it serves.
    pub share: u16,
    /// What the clients are drawn by.
    pub salt: u64,
}

/// What is to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which order it is.
    pub number: u64,
    /// What is for all clients from now on; what is so already costs nothing.
    pub live: Vec<Change>,
    /// The zones that there are; others are taken away. None: nobody knows, and those that are not named stay.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// All that is on trial.
    pub trials: Vec<OnTrial>,
    /// Once it is carried out, exactly what is published under this name is live: the hash of its root. None: nobody knows.
    #[serde(default)]
    pub stand: Option<String>,
}

impl Order {
    /// It leaves what is live as it is.
    pub fn says_nothing_of_live(&self) -> bool {
        self.live.is_empty() && self.only.is_none()
    }
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Which order it was; 0 where it could not be read.
    pub number: u64,
    /// What of it cannot be served; the rest is.
    pub refused: Vec<Refusal>,
    /// What is on trial now.
    pub taken: Vec<Taken>,
    /// Where this worker answers us, and nobody else.
    pub own: Option<SocketAddr>,
    /// What is published under this name is live now.
    #[serde(default)]
    pub stand: Option<String>,
    /// Nothing of it was done, and nobody is to blame that is known.
    #[serde(default)]
    pub failed: bool,
}

/// A version that is on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Of what.
    pub chain: Chain,
    /// Its number.
    pub version: u64,
    /// How many of 10,000 clients it serves.
    pub share: u16,
    /// What the clients are drawn by.
    pub salt: u64,
    /// The zone's id (0: it is of what all zones share), and what the worker calls the version: deaths are blamed on them.
    pub blamed: Option<(u64, u64)>,
    /// A host of the zone, and a path, to be probed.
    pub probe: Option<(String, String)>,
}

/// A version that cannot be served here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Of what.
    pub chain: Chain,
    /// Its number.
    pub version: u64,
    /// All problems, a line each.
    pub problems: String,
}

/// What was counted since a trial began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// For each trial.
    pub trials: Vec<Trialed>,
    /// The numbers of the emergency switches that are on.
    #[serde(default)]
    pub switches: Vec<u64>,
    /// What the worker has done since it began.
    #[serde(default)]
    pub totals: Totals,
    /// The kinds of zones that were asked for of late.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The number of the purge up to which all are done.
    #[serde(default)]
    pub purged: u64,
    /// The numbers of the orders that wait or are being carried out; none: the worker does not tell, as those of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Vec<u64>>,
}

/// What was counted of one trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trialed {
    /// Of what.
    pub chain: Chain,
    /// The version on trial.
    pub version: u64,
    /// How many of 10,000 clients it serves.
    pub share: u16,
    /// What is live.
    pub live: Counts,
    /// What is on trial.
    pub candidate: Counts,
    /// Requests of late that both judged before it served anybody.
    #[serde(default)]
    pub replayed: Replayed,
    /// Of what all zones share, the same for each kind of zone: what is live, and what is on trial.
    #[serde(default)]
    pub kinds: Vec<(String, [Counts; 2])>,
}

/// Puts something into a file for the other side.
///
/// # Errors
/// As the system says.
pub fn put(word: &impl Serialize) -> io::Result<OwnedFd> {
    in_memory(c"seawall-order", &serde_json::to_vec(word)?)
}

/// Reads what the other side has put into a file.
///
/// # Errors
/// When there is none, or it is nothing of this kind.
pub fn take<T: DeserializeOwned>(file: Option<OwnedFd>) -> io::Result<T> {
    let file = file.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut bytes = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

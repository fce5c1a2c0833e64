//! What an edge is told of what is published.

use seawall_bundle::{Kill, Purge, Version};

use super::serve::Barred;
use crate::contents::named;
use crate::order::{Chain, Change, OnTrial};

/// What a new manifest says to this location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What is for all clients now, where it was not.
    pub live: Vec<Change>,
    /// That is all that there is, and not only what is new.
    pub whole: bool,
    /// All that is on trial.
    pub trials: Vec<OnTrial>,
    /// The hash of the root of what is live for all; none where nothing is said of it.
    pub root: Option<String>,
    /// Versions that are wanted here and whose files cannot be had, and why.
    pub undelivered: Vec<(Chain, u64, String)>,
}

/// What a manifest says to this location beside documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Emergency switches for this location.
    pub kills: Vec<Kill>,
    /// The latest purges.
    pub purges: Vec<Purge>,
    /// The number of the latest one that is not among them.
    pub purged_before: u64,
    /// Traffic is led away from it.
    pub drained: bool,
    /// It may withdraw, as it is ill.
    pub away: bool,
    /// When the manifest was made, in milliseconds since 1970.
    pub signed_at: u64,
    /// The keys of locations that have left: who hands on lets them in no more.
    pub barred: Barred,
}

/// What came of looking.
#[derive(Debug)]
pub struct Looked {
    /// What is new.
    pub news: Option<News>,
    /// What went wrong, source by source; another source may have been good.
    pub problems: Vec<String>,
}

/// A zone that is not there any more.
pub fn gone(chain: Chain) -> Change {
    Change {
        chain,
        version: 0,
        text: None,
    }
}

/// A version, as something that is to be served, with its files by what they are.
pub fn change(chain: Chain, version: Version) -> Change {
    Change {
        chain,
        version: version.number,
        // A zone is taken away by a document without anything.
        text: Some(named(&version.document)).filter(|text| !text.is_empty()),
    }
}

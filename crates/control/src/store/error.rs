//! Why a store did not do what it was asked for: whose fault that is, and whether asking again makes sense.

use std::path::PathBuf;

use super::Expect;
use crate::version::Version;

/// What was expected, and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The first expectation that does not hold.
    pub expected: Expect,
    /// The head of the chain that it names; none if it has no version, or if none was named.
    pub head: Option<Version>,
    /// The number of the log's last entry.
    pub seq: u64,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.expected, &self.head) {
            (Expect::Head(chain, _), Some(head)) => write!(
                f,
                "somebody else was first: {chain} is at version {} by {}; look at what changed, then send yours on top of it",
                head.number, head.author
            ),
            (Expect::Head(chain, _), None) => write!(f, "{chain} has no version yet"),
            (Expect::Seq(_), _) => write!(
                f,
                "somebody else was first: the log is at entry {}; read on from yours",
                self.seq
            ),
        }
    }
}

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was expected does not hold. Look, and decide anew; the same again fails again.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// What can never be done: the caller's fault.
    #[error("{0}")]
    Refused(String),
    /// Another writer holds the store for longer than is waited. Nothing was done; again is safe.
    #[error(
        "another process writes to the store and does not end: try again, or look who holds it"
    )]
    Busy,
    /// No room. Nothing was done; again is safe once there is some.
    #[error(
        "no room on the disk for {path}: {what}; what was there is unharmed; make room and try again"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// In the store's words.
        what: String,
    },
    /// The store can be read and not written. Nothing was done.
    #[error("{path} cannot be written: {what}; mend the folder's owner or its file system")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// In the store's words.
        what: String,
    },
    /// Reading or writing failed before anything was done. Again is safe.
    #[error("{path}: {what}")]
    Io {
        /// The file.
        path: PathBuf,
        /// In the store's words.
        what: String,
    },
    /// Nobody knows whether it was done. Again is safe with the same [`super::RequestId`], and only so.
    #[error(
        "the store's answer did not come ({0}): the change may or may not be there; send the same request again"
    )]
    Unknown(String),
    /// What is stored is not what was written.
    #[error(
        "{path} is damaged: {what}; edges serve on without it; stop control, put it aside, and bring back a backup with `seawall restore`"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Somebody else leads here by now: what we know is old, and nothing of ours is let in.
    #[error(
        "{path}: {what}; this control leads no more: it has to start anew, and waits until it may lead"
    )]
    Lost {
        /// The store.
        path: PathBuf,
        /// How we know.
        what: String,
    },
    /// A newer Seawall wrote it.
    #[error(
        "{path} has schema {found}, and this build knows up to {known}: run the Seawall that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is a database, and not one of ours.
    #[error("{path} is no store of Seawall's ({what}): choose another path; nothing was changed")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
}

impl StoreError {
    /// Whether the same call may do better later, without harm if it was done already.
    pub fn may_come_again(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Full { .. } | Self::ReadOnly { .. } | Self::Io { .. }
        )
    }

    /// Whether it is the caller's to mend: a 4xx, not a 5xx.
    pub fn is_the_callers(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Refused(_))
    }
}

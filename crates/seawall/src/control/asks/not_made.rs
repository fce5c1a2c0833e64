//! Why something that was asked was not done.

use seawall_control::store::StoreError;
use seawall_model::Problems;
use serde::{Deserialize, Serialize};

use super::Told;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotMade {
    /// It cannot be done as things are: in words, with what can be done.
    Refused(String),
    /// What it is about is not known here.
    Unknown(String),
    /// The document is wrong: all problems.
    Problems(Problems),
    /// Somebody else was first.
    Conflict(Box<Conflict>),
    /// The token does not allow it.
    Forbidden(String),
    /// Another request was called as this one is.
    Reused(String),
    /// The store cannot do it now.
    Store {
        /// In words.
        why: String,
        /// The same may do better later.
        later: bool,
    },
}

/// Somebody else was first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// In words.
    pub why: String,
    /// The newest version.
    pub head: Option<Told>,
    /// What the newest version changed in the one that was looked at, where that is known.
    pub diff: Option<String>,
}

impl std::fmt::Display for NotMade {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) | Self::Unknown(why) | Self::Forbidden(why) | Self::Reused(why) => {
                to.write_str(why)
            }
            Self::Store { why, .. } => to.write_str(why),
            Self::Problems(problems) => problems.fmt(to),
            Self::Conflict(conflict) => {
                to.write_str(&conflict.why)?;
                match (&conflict.diff, &conflict.head) {
                    (Some(diff), _) => write!(to, "\n{}", diff.trim_end()),
                    (None, Some(head)) => write!(
                        to,
                        " (the newest version is {}: `seawall diff` shows it)",
                        head.number
                    ),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}

impl From<StoreError> for NotMade {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => Self::Conflict(Box::new(Conflict {
                why: conflict.to_string(),
                head: conflict.head.map(|head| Told::of(head, None, false)),
                diff: None,
            })),
            StoreError::Refused(why) => Self::Refused(why),
            other => Self::Store {
                why: other.to_string(),
                later: other.may_come_again(),
            },
        }
    }
}

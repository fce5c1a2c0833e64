//! What an answer of the database fails by, and what our callers are told of it.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::super::StoreError;
use super::address::whole;

/// What an answer fails by.
#[derive(Debug)]
pub(super) enum Wrong {
    /// What the database or the way to it says.
    Sql(tokio_postgres::Error),
    /// A row that does not mean anything.
    Row(String),
    /// No answer within this time.
    Late(Duration),
    /// The database is not one to be used.
    Unfit(String),
    /// It is only for who leads, and that is somebody else.
    NoLead,
    /// It is told already.
    Told(StoreError),
}

impl From<tokio_postgres::Error> for Wrong {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Told(error)
    }
}

impl Wrong {
    pub(super) fn system(error: io::Error) -> Self {
        Self::Unfit(error.to_string())
    }

    /// Whether the connection is of no use any more.
    pub(super) fn ends_the_session(&self) -> bool {
        match self {
            Self::Sql(error) => {
                error.as_db_error().is_none() || is_shutdown(error.code()) || error.is_closed()
            }
            Self::Late(_) => true,
            Self::Row(_) | Self::Unfit(_) | Self::NoLead | Self::Told(_) => false,
        }
    }

    pub(super) fn told(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Told(error) => error,
            Self::Row(what) => StoreError::Corrupt { path, what },
            Self::Unfit(what) => StoreError::Io { path, what },
            Self::NoLead => StoreError::Lost {
                path,
                what: "another control leads by now".into(),
            },
            Self::Late(limit) => StoreError::Io {
                path,
                what: format!("no answer within {} s", limit.as_secs()),
            },
            Self::Sql(error) => {
                let what = whole(&error);
                let code = error.code();
                let is = |state: &SqlState| code == Some(state);
                if is(&SqlState::LOCK_NOT_AVAILABLE)
                    || is(&SqlState::T_R_DEADLOCK_DETECTED)
                    || is(&SqlState::T_R_SERIALIZATION_FAILURE)
                {
                    StoreError::Busy
                } else if is(&SqlState::DISK_FULL) {
                    StoreError::Full { path, what }
                } else if is(&SqlState::READ_ONLY_SQL_TRANSACTION)
                    || is(&SqlState::INSUFFICIENT_PRIVILEGE)
                {
                    StoreError::ReadOnly { path, what }
                } else if is(&SqlState::DATA_CORRUPTED) || is(&SqlState::INDEX_CORRUPTED) {
                    StoreError::Corrupt { path, what }
                } else {
                    StoreError::Io { path, what }
                }
            }
        }
    }
}

/// Class 57, "operator intervention", ends sessions; so do those that were silent for too long.
fn is_shutdown(code: Option<&SqlState>) -> bool {
    let ends = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::IDLE_SESSION_TIMEOUT,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    code.is_some_and(|code| ends.contains(&code))
}

//! Where an edge reads what was published. Nothing that comes from there is believed before it was checked.

use std::fmt;
use std::io;

use seawall_bundle::Hash;

use super::folder::Folder;

/// A place that things are published in.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder on this machine.
    Folder(Folder),
}

impl Source {
    /// The manifest or the list of keys; none where it is not.
    ///
    /// # Errors
    /// What kept us from reading it: another source may have it.
    pub async fn signed(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.signed(name),
        }
    }

    /// An object, as it was packed; none where it is not.
    ///
    /// # Errors
    /// As [`Source::signed`].
    pub async fn object(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.object(name),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.path().display()),
        }
    }
}

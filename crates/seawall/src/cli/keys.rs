//! Flags about the keys that sign what is published.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::At;

pub const EXAMPLES: &str = "Examples:
  seawall keys show
  seawall keys root --to /media/safe/seawall-root.key      the root key is moved there: lock it away
  seawall keys rotate --root /media/safe/seawall-root.key  another online key; the one before it stays good until the next
  seawall keys revoke 0123…cdef --root …                   a key that was stolen signs nothing any more, at once

Edges believe what goes back to the root key, and fetch the list of online keys beside what is published.";

/// Flags of `keys`.
#[derive(Args)]
pub struct Keys {
    /// What is to be done
    #[command(subcommand)]
    pub what: KeysWhat,
}

/// What is done with keys.
#[derive(Subcommand)]
pub enum KeysWhat {
    /// List the online keys, and where the root key is
    Show(KeysShow),
    /// Make another online key
    Rotate(KeysRotate),
    /// Take the right to sign from a key
    Revoke(KeysRevoke),
    /// Move the root key out of the data folder
    Root(KeysRoot),
}

/// Flags of `keys show`.
#[derive(Args)]
pub struct KeysShow {
    #[command(flatten)]
    pub at: At,
}

/// Flags of `keys rotate`.
#[derive(Args)]
pub struct KeysRotate {
    /// Where the root key is [default: in the data folder]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `keys revoke`.
#[derive(Args)]
pub struct KeysRevoke {
    /// The key, as `keys show` names it
    pub key: String,
    /// Where the root key is [default: in the data folder]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `keys root`.
#[derive(Args)]
pub struct KeysRoot {
    /// A file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub at: At,
}

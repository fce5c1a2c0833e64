//! The command line about locations, and about the keys that they believe.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{At, duration, location};

pub(super) const DRAIN_EXAMPLES: &str = "Examples:
  seawall drain --location lhr --why \"new disks\"    /readyz of lhr answers 503; what still comes is served
  seawall undrain --location lhr";

pub(super) const TOKEN_EXAMPLES: &str = "Example:
  seawall control token --location lhr
  seawall edge --join https://control.example.com:8802 --token sj_lhr_…       on the machine that is to be lhr";

pub(super) const KEYS_EXAMPLES: &str = "Examples:
  seawall keys rotate                              another key signs from now on; the old one stays good beside it
  seawall keys rotate --revoke                     the old key was stolen: nothing that it signs is believed any more
  seawall keys rotate --root /media/usb/root.key   the root key is kept elsewhere, where it is safer";

/// What is asked about locations.
#[derive(Subcommand, Clone)]
pub enum About {
    /// Make a token that lets a location join, once
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(JoinToken),
    /// List the locations: who has joined, what they serve, when they were heard of last
    Locations(Locations),
    /// A location is one of ours no more: it reads nothing new, and nobody waits for it
    Leave(Leave),
}

/// Flags of `keys`.
#[derive(Args, Clone)]
pub struct Keys {
    /// What is done
    #[command(subcommand)]
    pub what: AboutKeys,
}

/// What is done about keys.
#[derive(Subcommand, Clone)]
pub enum AboutKeys {
    /// Put another online key in place of the one in use. Control takes it by itself
    Rotate(Rotate),
}

/// Flags of `keys rotate`.
#[derive(Args, Clone)]
pub struct Rotate {
    /// The file of the root key [default: DATA/keys/root.key]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// What the old key has signed is believed no more, as soon as edges hear of it
    #[arg(long)]
    pub revoke: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `control token`.
#[derive(Args, Clone)]
pub struct JoinToken {
    /// The name of the location that is to join
    #[arg(long, value_name = "NAME", value_parser = location)]
    pub location: String,
    /// How long it is good for, an hour at most
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub good_for: Duration,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `control locations`.
#[derive(Args, Clone)]
pub struct Locations {
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `control leave`.
#[derive(Args, Clone)]
pub struct Leave {
    /// The location
    pub location: String,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `drain` and `undrain`.
#[derive(Args)]
pub struct Drain {
    /// The location; not needed where there is one
    #[arg(long, value_name = "NAME", value_parser = location)]
    pub location: Option<String>,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

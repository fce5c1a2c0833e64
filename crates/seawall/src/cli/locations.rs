//! Flags of what is about locations: `control token`, `control locations`, `control leave`, `drain` and `undrain`.

use clap::{Args, Subcommand};

use super::{At, location};

/// Examples.
pub const TOKEN_EXAMPLES: &str = "Example:
  seawall control token --location lhr
  seawall edge --join https://control.example.com:8802 --token sj_lhr_…       on the machine that is to be lhr";

/// Examples.
pub const DRAIN_EXAMPLES: &str = "Examples:
  seawall drain --location lhr --why \"new disks\"    /readyz of lhr answers 503; what still comes is served
  seawall undrain --location lhr";

/// What is asked about locations.
#[derive(Subcommand, Clone)]
pub enum About {
    /// Make a token that lets a location join: once, within an hour
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(JoinToken),
    /// List the locations: who has joined, what they serve, when they were heard of last
    Locations(Locations),
    /// A location is one of ours no more: it reads nothing new, and nobody waits for it
    Leave(Leave),
}

/// Flags of `control token`.
#[derive(Args, Clone)]
pub struct JoinToken {
    /// The name of the location that is to join
    #[arg(long, value_name = "NAME", value_parser = location)]
    pub location: String,
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

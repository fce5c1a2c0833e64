//! Flags of the commands that ask control: here, by the data folder's socket, or elsewhere, by its API.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;

/// Flags of `token`.
#[derive(Args)]
pub struct Token {
    /// What to do.
    #[command(subcommand)]
    pub what: TokenWhat,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "", global = true)]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

/// What to do with tokens.
#[derive(Subcommand)]
pub enum TokenWhat {
    /// Make a token and print it: it is told now and never again
    Make(MakeToken),
    /// List the tokens that stand
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// A token is good no more, from now on
    Revoke {
        /// Its name
        name: String,
    },
}

/// Flags of `token make`.
#[derive(Args)]
pub struct MakeToken {
    /// Its name: its holder is `token:NAME` in the log
    pub name: String,
    /// What it may do; several are possible
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',')]
    pub scope: Vec<String>,
    /// How long it is good, as 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires: Option<Duration>,
}

/// Where what runs is found on this machine.
#[derive(Args)]
pub struct Here {
    /// The data folder of what runs
    #[arg(
        long,
        env = "SEAWALL_DATA",
        value_name = "DIR",
        default_value = "./seawall-data"
    )]
    pub data: PathBuf,
}

/// Where what runs is found.
#[derive(Args, Clone)]
pub struct At {
    /// The data folder of what runs
    #[arg(
        long,
        env = "SEAWALL_DATA",
        value_name = "DIR",
        default_value = "./seawall-data",
        global = true
    )]
    pub data: PathBuf,
    /// Ask a Seawall elsewhere, by its API: https://HOST, or http:// on this machine. The token is in SEAWALL_TOKEN
    #[arg(long, env = "SEAWALL_API", value_name = "URL", global = true)]
    pub api: Option<String>,
    /// A file (PEM) of the authorities to trust in place of the public ones
    #[arg(long, env = "SEAWALL_API_CA", value_name = "FILE", global = true)]
    pub api_ca: Option<PathBuf>,
}

/// Why something is done.
#[derive(Args)]
pub struct Why {
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    /// Show how it goes, until it is everywhere (exit 0), was taken back (1) or waits for a person (3)
    #[arg(long)]
    pub wait: bool,
}

/// A zone, or what all zones share.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Of {
    /// The zone
    pub zone: Option<String>,
    /// In place of a zone: what all zones share, [edge] and [lists]
    #[arg(long)]
    pub platform: bool,
}

/// Flags of `apply`.
#[derive(Args)]
pub struct Apply {
    /// The file
    pub file: PathBuf,
    /// The number of the newest version that was looked at before: when there is a newer one, nothing is done
    #[arg(long, value_name = "N")]
    pub parent: Option<u64>,
    /// It is meant: guards that would ask for a person (much is taken away, many requests are judged otherwise) do not
    #[arg(long)]
    pub approve: bool,
    #[command(flatten)]
    pub why: Why,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `versions`.
#[derive(Args)]
pub struct OfZone {
    #[command(flatten)]
    pub of: Of,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `diff`.
#[derive(Args)]
#[command(override_usage = "seawall diff [OPTIONS] <ZONE|--platform> [A] [B]")]
pub struct Diff {
    /// The zone; with --platform there is none
    #[arg(value_name = "ZONE", required_unless_present = "platform")]
    pub zone: Option<String>,
    /// The first version [default: the one that serves]
    pub a: Option<String>,
    /// The second [default: the newest]
    pub b: Option<String>,
    /// In place of a zone: what all zones share, [edge] and [lists]
    #[arg(long)]
    pub platform: bool,
    #[command(flatten)]
    pub at: At,
}

/// Examples of `audit`.
pub const AUDIT_EXAMPLES: &str = "Examples:
  seawall audit                 the newest 20 entries of the log
  seawall audit --diff          with what each version changed
  seawall audit --limit 1000 --json > log.jsonl
  seawall audit --verify        no entry is missing, and none was changed after it was written";

/// Flags of `audit`.
#[derive(Args)]
pub struct Audit {
    /// So many entries, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Show what each new version changed
    #[arg(long, conflicts_with = "json")]
    pub diff: bool,
    /// Print them as JSON, one in a line
    #[arg(long)]
    pub json: bool,
    /// Verify the whole log instead: each entry is tied to the one before it by its hash. For the log of this machine's control
    #[arg(long, conflicts_with_all = ["limit", "diff", "json", "api"])]
    pub verify: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `rollback`.
#[derive(Args)]
#[command(override_usage = "seawall rollback [OPTIONS] <ZONE|--platform> [VERSION]")]
pub struct Rollback {
    /// The zone; with --platform there is none
    #[arg(value_name = "ZONE", required_unless_present = "platform")]
    pub zone: Option<String>,
    /// The version whose document is brought back [default: the one before]
    pub version: Option<String>,
    /// In place of a zone: what all zones share, [edge] and [lists]
    #[arg(long)]
    pub platform: bool,
    /// On this machine alone, through its edge: also with control and all else dead (break-glass)
    #[arg(long, conflicts_with_all = ["version", "wait"])]
    pub here: bool,
    #[command(flatten)]
    pub why: Why,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `delete`.
#[derive(Args)]
pub struct Delete {
    /// The zone
    pub zone: String,
    /// Bring it back, as it was
    #[arg(long)]
    pub restore: bool,
    #[command(flatten)]
    pub why: Why,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `pin`.
#[derive(Args)]
pub struct Pin {
    #[command(flatten)]
    pub of: Of,
    /// Pin it no longer; with --here: let it follow control again, also after a rollback
    #[arg(long)]
    pub remove: bool,
    /// On this machine alone, through its edge: also with control and all else dead (break-glass)
    #[arg(long)]
    pub here: bool,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `rollouts`.
#[derive(Args)]
pub struct Rollouts {
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `approve` and `abort`.
#[derive(Args)]
pub struct Decide {
    /// The rollout's number; not needed where one runs
    pub rollout: Option<u64>,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

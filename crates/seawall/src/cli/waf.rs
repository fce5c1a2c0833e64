//! Flags of `waf`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "Examples:
  seawall waf fetch --into /etc/seawall/crs-4.28.0                  a release of the OWASP Core Rule Set, by its checksum
  seawall waf test --ruleset /etc/seawall/crs recorded.har          would any of these requests be refused?
  seawall waf explain --ruleset /etc/seawall/crs request.txt        which rules looked, which matched, where and why

A file is a HAR archive, as browsers save it, or one request as it is sent: head, empty line, body. Nothing is sent anywhere. Of
an archive that has parameters instead of a body the body is made of them; where that is not possible it is told. Exit 0: all pass. 1: one would
be refused, or could not be played.";

/// Flags of `waf`.
#[derive(Args)]
pub struct Waf {
    /// What to do
    #[command(subcommand)]
    pub what: WafWhat,
}

/// What to do with rules.
#[derive(Subcommand)]
pub enum WafWhat {
    /// Fetch a release of the OWASP Core Rule Set; what has another checksum than it should is not written
    Fetch(WafFetch),
    /// Play requests against a rule set, offline: which would be refused, and by which rules
    Test(WafPlay),
    /// Play requests, and tell of each rule what became of it; the matched piece is marked, secrets are masked
    Explain(WafPlay),
}

/// What is played.
#[derive(Args)]
pub struct WafPlay {
    /// A HAR archive, or one request as it is sent
    pub file: PathBuf,
    /// The folder of the rule set, or a file of rules
    #[arg(long, value_name = "PATH")]
    pub ruleset: PathBuf,
    /// The paranoia level, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub paranoia: u8,
    /// The score from which a request is refused
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub threshold: u32,
    /// A line of JSON for each request
    #[arg(long)]
    pub json: bool,
}

/// What is fetched.
#[derive(Args)]
pub struct WafFetch {
    /// The folder that it goes into, which is not there yet
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The release
    #[arg(long, value_name = "VERSION", default_value = "4.28.0")]
    pub release: String,
    /// An archive (tar.gz) elsewhere, or on this machine, instead of GitHub's
    #[arg(long, value_name = "FILE|URL")]
    pub from: Option<String>,
    /// The checksum that its rules must have, for releases that this Seawall does not know; what it is, is told when it differs
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
}

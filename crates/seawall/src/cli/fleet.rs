//! Flags about locations: how they join and leave, how traffic is led away from them, what is switched off in them.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{At, duration, location};

pub const KILL_EXAMPLES: &str = "Examples:
  seawall kill rules --zone shop.example --for 1h --why \"rule 7 blocks the checkout\"
  seawall kill waf --for 15m --why \"cpu\" --wait      in all zones of all locations: one location first, then everywhere
  seawall kill rules --zone shop.example --end         takes it back before its time
  seawall kill waf --for 1h --why \"all else is dead\" --here
                                                       on this machine alone, also with control dead

What a switched off stage means for requests is in the reference: most are left out, `lists` and `access` are closed instead.
The time counts at each edge from when it sees the switch, on a clock that nobody sets.";

pub const PURGE_EXAMPLES: &str = "Examples:
  seawall purge shop.example --url https://shop.example/logo.png
  seawall purge shop.example --tag product-17 --tag home --soft     it becomes stale: validated, and served stale where that is allowed
  seawall purge shop.example --prefix shop.example/images/ --wait   until every location has done it, with the time that took
  seawall purge shop.example --everything --here                    on this machine alone, also with control dead

A purge is an order, and no version: it is done once, at once, and cannot be taken back.";

const TOKEN_EXAMPLES: &str = "Example:
  seawall control token --location lhr
  seawall control token --location test --canary       changes come there first
  seawall edge --join https://control.example.com:8802 --token sj_lhr_…       on the machine that is to be lhr";

const STEERING_EXAMPLES: &str = "Example:
  seawall control steering --name www --record lhr=192.0.2.1 --record ams=192.0.2.2 > config/example.com.yaml
  octodns-sync --config-file octodns.yaml --doit

Those that are drained are left out, and those that are ill, but never the last one and never more than a third of all.";

pub const ANNOUNCE_EXAMPLES: &str = "Example, for a BGP daemon that asks every few seconds (packaging/bird/seawall-announce):
  seawall announce --data /var/lib/seawall --quiet && birdc enable seawall || birdc disable seawall

Exit 0: announce this location. Exit 1: withdraw it: it was drained, or it is ill and control lets it (never the last location,
never more than a third). With control dead nothing changes. It reads a file in the data folder, and needs nothing that runs.";

pub const DRAIN_EXAMPLES: &str = "Examples:
  seawall drain --location lhr --why \"new disks\"    /readyz of lhr answers 503; what still comes is served
  seawall undrain --location lhr";

/// What is asked about locations.
#[derive(Subcommand, Clone)]
pub enum About {
    /// Make a token that lets a location join, once
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(JoinToken),
    /// List the locations: who has joined, what they serve, when they were heard of last
    Locations(Locations),
    /// Print records of the locations that traffic is to be led to, for octoDNS
    #[command(after_help = STEERING_EXAMPLES)]
    Steering(Steering),
    /// A location is one of ours no more: it reads nothing new, and nobody waits for it
    Leave(Leave),
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
    /// Changes are to begin there: it is a canary location
    #[arg(long)]
    pub canary: bool,
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

/// Flags of `announce`.
#[derive(Args)]
pub struct Announce {
    /// Say nothing, but for the exit code
    #[arg(long)]
    pub quiet: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `control steering`.
#[derive(Args, Clone)]
pub struct Steering {
    /// A location and its address: lhr=192.0.2.1; one for each record
    #[arg(long = "record", value_name = "LOCATION=ADDRESS", required = true)]
    pub records: Vec<String>,
    /// The name in the zone, as octoDNS writes it; "" is the zone itself
    #[arg(long, value_name = "NAME", default_value = "")]
    pub name: String,
    /// Seconds that resolvers may keep an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub ttl: u32,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `kill`.
#[derive(Args)]
pub struct Kill {
    /// The stage: lists, ddos, rules, …
    pub stage: String,
    /// In this zone alone [default: in all]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// In this location alone [default: in all]
    #[arg(long, value_name = "NAME", value_parser = location)]
    pub location: Option<String>,
    /// For how long: 15m, 1h, at most 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, required_unless_present = "end")]
    pub lasts: Option<Duration>,
    /// On this machine alone, through its edge: also with control and all else dead (break-glass)
    #[arg(long, conflicts_with_all = ["location", "wait"])]
    pub here: bool,
    /// It is to be on again
    #[arg(long, conflicts_with_all = ["lasts", "wait"])]
    pub end: bool,
    /// Why, for the log that keeps who changed what
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "end",
        default_value_if("end", "true", "")
    )]
    pub why: Option<String>,
    /// Show how it goes, until it is everywhere (exit 0), was taken back (1) or waits for a person (3)
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `purge`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Purge {
    /// The zone
    pub zone: String,
    /// This URL, with all that is stored for it, over HTTP and HTTPS alike, whatever the port
    #[arg(long = "url", value_name = "URL", group = "what")]
    pub urls: Vec<String>,
    /// What has this host and a path that begins so: example.com/images/
    #[arg(long = "prefix", value_name = "HOST/PATH", group = "what")]
    pub prefixes: Vec<String>,
    /// What was asked for under this host, whatever the port
    #[arg(long = "host", value_name = "HOST", group = "what")]
    pub hosts: Vec<String>,
    /// What has this tag, in Cache-Tag or Surrogate-Key
    #[arg(long = "tag", value_name = "TAG", group = "what")]
    pub tags: Vec<String>,
    /// All of the zone
    #[arg(long, group = "what")]
    pub everything: bool,
    /// It becomes stale, and does not go
    #[arg(long)]
    pub soft: bool,
    /// On this machine alone, through its edge: also with control and all else dead (break-glass)
    #[arg(long, conflicts_with = "wait")]
    pub here: bool,
    /// Wait until every location has done it, and show how long that took
    #[arg(long)]
    pub wait: bool,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

/// Flags of `drain` and `undrain`.
#[derive(Args)]
pub struct Drain {
    /// On this machine alone, through its edge: also with control and all else dead (break-glass)
    #[arg(long, conflicts_with = "location")]
    pub here: bool,
    /// The location; not needed where there is one
    #[arg(long, value_name = "NAME", value_parser = location)]
    pub location: Option<String>,
    /// Why, for the log that keeps who changed what
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    #[command(flatten)]
    pub at: At,
}

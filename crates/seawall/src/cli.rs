//! The command line: names are the contract's, help teaches. Flags of commands that ask control are in [`asking`].

mod asking;
mod backup;
mod drill;
mod fleet;
mod geo;
mod keys;
mod waf;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use seawall_control::store::postgres;
use seawall_model::{Host, document, units};

use crate::token;

pub use asking::{
    Apply, At, Audit, Decide, Delete, Diff, Here, Of, OfZone, Pin, Rollback, Rollouts, Token,
    TokenWhat, Why,
};

pub use backup::{Backup, Restore};
pub use drill::Drill;
use fleet::{ANNOUNCE_EXAMPLES, DRAIN_EXAMPLES, KILL_EXAMPLES, PURGE_EXAMPLES};
pub use fleet::{About, Announce, Drain, JoinToken, Kill, Locations, Purge, Steering};
pub use geo::{Geo, GeoUpdate, GeoWhat};
pub use keys::{Keys, KeysWhat};
pub use waf::{Waf, WafFetch, WafPlay, WafWhat};

/// An open edge platform on machines that you own.
#[derive(Parser)]
#[command(name = "seawall", version, about, long_about = None, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Serve: everything on one machine. Without --origin or --config it serves a built-in sample site
    #[command(after_help = UP_EXAMPLES)]
    Up(Box<Up>),
    /// Serve as an edge alone, without the other roles
    #[command(after_help = EDGE_EXAMPLES)]
    Edge(Box<Edge>),
    /// Tell what runs on a data folder, which versions, and what is degraded
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Replace the program that serves by this one, without a refused connection or a lost request
    #[command(after_help = UPGRADE_EXAMPLES)]
    Upgrade(Upgrade),
    /// Make versions of what is new in a file, and roll them out
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(Apply),
    /// List the versions of a zone, newest first
    #[command(after_help = VERSIONS_EXAMPLES)]
    Versions(OfZone),
    /// Show what differs between two versions of a zone
    Diff(Diff),
    /// Show the log: who did what, when and why; with --diff also what changed
    #[command(after_help = asking::AUDIT_EXAMPLES)]
    Audit(Audit),
    /// Bring an earlier version of a zone back, as a new version
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(Rollback),
    /// Take a zone out of service; `--restore` brings it back
    Delete(Delete),
    /// Keep a zone at the version that serves, whatever is applied, until `--remove`
    Pin(Pin),
    /// List the rollouts that run
    Rollouts(Rollouts),
    /// Let a rollout go on past a guard that asks for a person
    Approve(Decide),
    /// End a rollout: what served before serves all again
    Abort(Decide),
    /// Switch a stage off for a while, in an emergency
    #[command(after_help = KILL_EXAMPLES)]
    Kill(Kill),
    /// Purge what edges keep of a zone's responses: by URL, prefix, host, tag, or everything
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(Purge),
    /// The keys that sign what is published: show, rotate, revoke them
    #[command(after_help = keys::EXAMPLES)]
    Keys(Keys),
    /// Write all that a data folder cannot be without into one file, while it is used or not
    #[command(after_help = backup::EXAMPLES)]
    Backup(Backup),
    /// Bring a backup back into a data folder on which nothing runs
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(Restore),
    /// Lead traffic away from a location: it says that it is not ready, and no rollout waits for it
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(Drain),
    /// Lead traffic back to a location
    Undrain(Drain),
    /// Tell by the exit code whether this location is to be announced to the network
    #[command(after_help = ANNOUNCE_EXAMPLES)]
    Announce(Announce),
    /// Make, list and revoke tokens of the API; without --api also when all tokens are lost
    #[command(after_help = token_examples())]
    Token(Token),
    /// The process that keeps versions and rolls them out; `up` starts it
    #[command(after_help = CONTROL_EXAMPLES)]
    Control(Box<Control>),
    /// Compiles parts of documents from its input; the agent starts it
    #[command(hide = true)]
    Trial(Trial),
    /// The process that serves requests; the edge starts it
    #[command(hide = true)]
    Worker(Box<Worker>),
    /// The process beside the worker; the edge starts it
    #[command(hide = true)]
    Agent(Box<Worker>),
    /// Compile a configuration file and print all of its problems
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Play requests against a rule set of the web application firewall, offline, and tell why
    #[command(after_help = waf::EXAMPLES)]
    Waf(Waf),
    /// Fetch the files by which rules know countries and autonomous systems
    #[command(after_help = geo::EXAMPLES)]
    Geo(Geo),
    /// Re-enact outages on this machine, and show what clients see
    #[command(after_help = drill::EXAMPLES)]
    Drill(Drill),
    /// Look at ports, limits, clock, DNS, certificates, origins and disk; each finding with its fix
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Box<Doctor>),
}

const UP_EXAMPLES: &str = "Examples:
  seawall up                                         the sample site, on 8080 and 8443
  seawall up --origin http://127.0.0.1:3000          in front of your site, for every host name
  seawall up --origin http://127.0.0.1:3000 --host example.com
                                                     on 80 and 443, plain HTTP redirected
  seawall up --config seawall.toml                   what the file says; SIGHUP reloads it

Signals: TERM ends when the last request has ended (at the latest after --drain), QUIT or a second INT (Ctrl-C) at once, HUP
reloads the file, USR2 upgrades to the program that now lies where this one was started from.
It may be killed without harm: sites are served on, and the next `up` on the same --data takes over what runs.
Every flag can also be given as SEAWALL_<FLAG>, for example SEAWALL_ORIGIN.";

const EDGE_EXAMPLES: &str = "Examples:
  seawall edge --config seawall.toml   the edge's supervisor and its worker; the signals are those of `seawall up`
  seawall edge --join https://control.example.com:8802 --token TOKEN
                                       becomes a location of that control; later starts need neither
What an edge that has joined serves is control's to say. It serves on when control is dead, and starts without it.";

const STATUS_EXAMPLES: &str = "Examples:
  seawall status                    what runs on ./seawall-data; exit 0 when all is well, 1 when degraded, 2 when down
  seawall status --data DIR --json  the same for programs";

const UPGRADE_EXAMPLES: &str = "Example:
  seawall upgrade --data DIR        run by the new program (an older one goes back in the same way): its worker must pass a
                                    probe of its own before the old one lets go; if it does not, nothing changes

Requests and tunnels of the old worker go on until they end, at the latest after [edge.limits] retire.";

const APPLY_EXAMPLES: &str = "Examples:
  seawall apply seawall.toml               each zone in it that is new or changed gets a version, which is rolled out
  seawall apply seawall.toml --wait        shows how it goes; exit 0 when it is everywhere, 1 when it was taken back
  seawall apply shop.toml --parent 12      only if 12 is still the newest version of the one zone in it

What the file leaves out stays. `[edge]` and `[lists]` are taken when there is something in them.
A version is tried on 5 %, then 50 %, then all of the clients, and taken back when it does worse than what serves.";

const VERSIONS_EXAMPLES: &str = "Examples:
  seawall versions example.com       `serves` stands beside the one that does
  seawall versions --platform        those of [edge] and [lists]";

const ROLLBACK_EXAMPLES: &str = "Examples:
  seawall rollback example.com --why \"the shop is empty\"   to what served before
  seawall rollback example.com 7                             to version 7
  seawall rollback example.com --here                        with control dead: this machine's edge goes back to what had
                                                             proved good, until there is a newer version";

const CONTROL_EXAMPLES: &str = "Examples:
  seawall control --edges 0.0.0.0:8802    control alone, for edges in other locations
  seawall control token --location lhr    lets a location join, once";

const TOKEN_EXAMPLES: &str = "Examples:
  seawall token make ci --scope write:example.com --expires 90d   prints the token, once
  seawall token list
  seawall token revoke ci                                         from then on it is good no more

Scopes: ";

/// With all scopes, of their table.
fn token_examples() -> String {
    let names = token::SCOPES.iter().map(|scope| match scope.name {
        "*" => "* (everything)",
        name => name,
    });
    let names: Vec<&str> = names.collect();
    format!(
        "{TOKEN_EXAMPLES}{}. docs/reference/api.md says what each allows.\nThe first token is in DATA/{}, which its owner alone reads.",
        names.join(", "),
        token::FIRST_FILE
    )
}

const CHECK_EXAMPLES: &str = "Example:
  seawall check seawall.toml        exit 0 when it is good, 1 when not; each problem as `path: what (help)`";

const DOCTOR_EXAMPLES: &str = "Examples:
  seawall doctor --config seawall.toml
  seawall doctor --origin http://127.0.0.1:3000 --host example.com --acme me@example.com

It takes the flags of `up`, serves nothing and changes nothing. Exit 0 when nothing is bad, 1 else.";

/// Flags of `doctor`.
#[derive(Args)]
pub struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub up: Up,
}

/// Flags of `trial`.
#[derive(Args)]
pub struct Trial {
    /// Where contents of files lie
    #[arg(long)]
    pub contents: Option<PathBuf>,
}

/// Flags of `up`.
#[derive(Args, Clone)]
pub struct Up {
    /// The site to put Seawall in front of, as http://HOST:PORT or https://HOST:PORT
    #[arg(
        long,
        env = "SEAWALL_ORIGIN",
        value_name = "URL",
        conflicts_with = "config"
    )]
    pub origin: Option<String>,
    /// A host name of the site; several are possible. Without one: every host
    #[arg(long, env = "SEAWALL_HOST", value_name = "NAME", num_args = 1.., value_delimiter = ',', conflicts_with = "config")]
    pub host: Vec<String>,
    /// Get the certificate by ACME, with this contact; it means agreeing to the authority's terms. Needs --host
    #[arg(
        long,
        env = "SEAWALL_ACME",
        value_name = "EMAIL",
        value_parser = contact,
        conflicts_with = "config"
    )]
    pub acme: Option<String>,
    /// The ACME authority's directory [default: Let's Encrypt]
    #[arg(
        long,
        env = "SEAWALL_ACME_DIRECTORY",
        value_name = "URL",
        conflicts_with = "config"
    )]
    pub acme_directory: Option<String>,
    /// The configuration file
    #[arg(long, env = "SEAWALL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where Seawall keeps its files
    #[arg(
        long,
        env = "SEAWALL_DATA",
        value_name = "DIR",
        default_value = "./seawall-data"
    )]
    pub data: PathBuf,
    /// Where control keeps versions: a PostgreSQL database as postgres://USER@HOST/DATABASE, or @FILE for a file with such an
    /// address in it [default: a file in --data]. One with a password comes by the file or by SEAWALL_STORE
    #[arg(
        long,
        env = "SEAWALL_STORE",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub store: Option<String>,
    /// Where HTTP is served; `none` leaves it out, port 0 picks a free one [default: 0.0.0.0:8080, or port 80 with --host]
    #[arg(long, env = "SEAWALL_HTTP", value_name = "ADDRESS")]
    pub http: Option<Listen>,
    /// Where HTTPS is served [default: 0.0.0.0:8443, or port 443 with --host]
    #[arg(long, env = "SEAWALL_HTTPS", value_name = "ADDRESS")]
    pub https: Option<Listen>,
    /// The API, and the dashboard, which is not in this build [default: 127.0.0.1:8800]
    #[arg(long, env = "SEAWALL_DASHBOARD", value_name = "ADDRESS")]
    pub dashboard: Option<Listen>,
    /// A name by which the API may be asked, beside addresses and localhost; several are possible
    #[arg(long, env = "SEAWALL_DASHBOARD_HOST", value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = host)]
    pub dashboard_host: Vec<String>,
    /// Health, readiness, metrics and state, read-only [default: 127.0.0.1:8801]
    #[arg(long, env = "SEAWALL_ADMIN", value_name = "ADDRESS")]
    pub admin: Option<Listen>,
    /// The status page [default: 127.0.0.1:8900] (not in this build)
    #[arg(long, env = "SEAWALL_STATUS_PAGE", value_name = "ADDRESS")]
    pub status_page: Option<Listen>,
    /// Where an edge hands on what control has published, to other edges near it [default: none]
    #[arg(long, env = "SEAWALL_RELAY", value_name = "ADDRESS")]
    pub relay: Option<Listen>,
    /// Where an edge that has joined is asked by other locations before they ask an origin, see `[edge.parents]` [default: none]
    #[arg(long, env = "SEAWALL_PARENT", value_name = "ADDRESS")]
    pub parent: Option<Listen>,
    /// Where control listens for edges in other locations, which join with a token [default: none]
    #[arg(long, env = "SEAWALL_EDGES", value_name = "ADDRESS")]
    pub edges: Option<Listen>,
    /// A bucket that control mirrors what it publishes to, s3://BUCKET/PREFIX; the usual AWS_* variables say where and by whom
    #[arg(long, env = "SEAWALL_BUCKET", value_name = "URL")]
    pub bucket: Option<String>,
    /// The name of this location [default: local]
    #[arg(long, env = "SEAWALL_LOCATION", value_name = "NAME", value_parser = location)]
    pub location: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(long, env = "SEAWALL_WORKERS", value_name = "N", value_parser = workers)]
    pub workers: Option<usize>,
    /// How long running requests may go on after TERM [default: 10s]
    #[arg(long, env = "SEAWALL_DRAIN", value_name = "DURATION", value_parser = duration)]
    pub drain: Option<Duration>,
    /// What every time of a rollout is divided by, for tests and drills
    #[arg(
        long,
        env = "SEAWALL_SPEED",
        value_name = "N",
        default_value_t = 1,
        hide = true
    )]
    pub speed: u32,
}

impl Up {
    /// The same flags as words of a command line, so that other processes of ours need no variables of the environment.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([format!("--{name}"), value]);
            }
        };
        let shown = |listen: &Option<Listen>| listen.map(|listen| listen.to_string());
        put("origin", self.origin.clone());
        put("acme", self.acme.clone());
        put("acme-directory", self.acme_directory.clone());
        put("config", self.config.as_deref().map(path_word));
        put("data", Some(path_word(&self.data)));
        // A password is nothing for a command line: it goes on as it came.
        let store = self.store.clone();
        put("store", store.filter(|store| !has_password(store)));
        put("http", shown(&self.http));
        put("https", shown(&self.https));
        put("dashboard", shown(&self.dashboard));
        put("admin", shown(&self.admin));
        put("status-page", shown(&self.status_page));
        put("relay", shown(&self.relay));
        put("parent", shown(&self.parent));
        put("edges", shown(&self.edges));
        put("bucket", self.bucket.clone());
        put("location", self.location.clone());
        put("workers", self.workers.map(|workers| workers.to_string()));
        let drain = self.drain.map(|drain| format!("{}ms", drain.as_millis()));
        put("drain", drain);
        let speed = (self.speed != 1).then(|| self.speed.to_string());
        put("speed", speed);
        for host in &self.host {
            put("host", Some(host.clone()));
        }
        for host in &self.dashboard_host {
            put("dashboard-host", Some(host.clone()));
        }
        words
    }
}

fn has_password(store: &str) -> bool {
    !store.starts_with('@') && postgres::has_password(store)
}

/// A path as it can stand on a command line; ours are UTF-8, for they came from there or from a document.
fn path_word(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Flags of `status`.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    pub at: At,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `upgrade`.
#[derive(Args)]
pub struct Upgrade {
    #[command(flatten)]
    pub at: Here,
}

/// Flags of `edge`.
#[derive(Args, Clone)]
pub struct Edge {
    /// The descriptor of the wire to whoever started it
    #[arg(long, hide = true)]
    pub wire: Option<i32>,
    /// How many listening sockets a service manager handed over
    #[arg(long, hide = true)]
    pub given: Option<i32>,
    /// The descriptor of the lock of the supervisor that became this one
    #[arg(long, hide = true)]
    pub held: Option<i32>,
    /// What is served comes by orders, and the file is for the first start alone
    #[arg(long, hide = true)]
    pub managed: bool,
    /// Become a location of this control, https://HOST:PORT (what it was given with --edges)
    #[arg(long, env = "SEAWALL_JOIN", value_name = "URL", requires = "token")]
    pub join: Option<String>,
    /// The token to join with: `seawall control token` makes it
    #[arg(
        long,
        env = "SEAWALL_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Another source of what control has published: an edge that hands it on, https://HOST:PORT, or the bucket that control
    /// mirrors it to, s3://BUCKET/PREFIX; several are possible
    #[arg(
        long,
        env = "SEAWALL_RELAYS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub source: Vec<String>,
    /// What all processes of the edge are given
    #[command(flatten)]
    pub up: Up,
}

/// Flags of a worker and of an agent.
#[derive(Args, Clone)]
pub struct Worker {
    /// How many workers were started on this data folder before it
    #[arg(long, default_value_t = 0)]
    pub generation: u64,
    /// The descriptor of the wire to the supervisor
    #[arg(long)]
    pub wire: i32,
    /// What is served comes by orders
    #[arg(long, hide = true)]
    pub managed: bool,
    /// What all processes of the edge are given
    #[command(flatten)]
    pub up: Up,
}

/// Flags of `control`.
#[derive(Args, Clone)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Control {
    /// In place of running: something about locations
    #[command(subcommand)]
    pub about: Option<About>,
    /// The descriptor of the wire to whoever started it
    #[arg(long, hide = true)]
    pub wire: Option<i32>,
    #[command(flatten)]
    pub up: Up,
}

/// Flags of `check`.
#[derive(Args)]
pub struct Check {
    /// The configuration file
    pub file: PathBuf,
    /// Print the problems as JSON
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|wrong| wrong.to_string())
}

fn host(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(host) => Ok(host.to_string()),
        Err(wrong) => Err(wrong.to_string()),
    }
}

fn location(text: &str) -> Result<String, String> {
    document::location(text).map_err(|wrong| wrong.to_string())
}

fn contact(text: &str) -> Result<String, String> {
    document::contact(text).map_err(|wrong| wrong.to_string())
}

fn workers(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| format!("{text:?} is no number of threads (1 to 1024)"))
}

/// An address to listen on, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Do not listen.
    None,
    /// Listen here.
    At(SocketAddr),
}

impl Listen {
    /// The address, if there is one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::At(address) => Some(address),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => to.write_str("none"),
            Self::At(address) => address.fmt(to),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let help = || {
            format!("{text:?} is no address: write IP:PORT, as 0.0.0.0:8080 or [::]:8080, or none")
        };
        text.parse().map(Self::At).map_err(|_| help())
    }
}

//! `seawall doctor`: looks at what a site needs from this machine and its surroundings; each finding with its fix.
//!
//! It changes nothing, sends nothing to anybody but origins, resolvers, what the hosts of zones lead to and (for the clock) the ACME
//! authority that the document names, and says what cannot be seen from here.

mod certificates;
mod listeners;
mod origins;
mod reach;
mod served;

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall_acme::plan;
use seawall_guard::StageDef;
use seawall_model::document::{Certificate, Parsed};
use seawall_model::{Document, HostPattern};
use seawall_net::outward::{self, Outward};
use serde_json::json;

use crate::cli::{Doctor, Up};
use crate::configure;
use crate::data;
use crate::file;
use crate::message::Plan;
use crate::process::{raise_descriptors, room};
use crate::say::say;
use crate::supervisor::process::{memory_for_a_worker, resident};
use crate::worker::answer;

/// One connection or look-up may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Hosts and origins that are looked at, each.
const MOST: usize = 50;
const MIB: u64 = 1 << 20;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    /// It serves, but not well, or not for long; or it cannot be seen from here.
    Warning,
    Bad,
}

struct Finding {
    health: Health,
    about: String,
    what: String,
    fix: String,
}

/// Looks, and tells. Exit 0 when nothing is bad, 1 else.
pub fn run(doctor: &Doctor, stages: &'static [&'static StageDef]) -> ExitCode {
    let up = &doctor.up;
    let parsed = configure::parsed(up);
    let mut all = Findings::default();
    let document = &parsed.document;
    all.document(up, &parsed, stages);
    all.data(&up.data);
    let plan = answer::plan(up, document);
    all.ports(up, &plan);
    all.descriptors(&plan, document);
    all.memory(document);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, async {
            all.clock(configure::base(up), document).await;
            all.hosts(document).await;
            all.reach(&up.data, document).await;
            all.origins(&up.data, document).await;
        }),
        Err(error) => all.bad(
            "process",
            format!("no runtime: {error}"),
            "raise the limits of this user",
        ),
    }
    all.certificates(&up.data, document);
    all.tell(doctor.json)
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        health: Health,
        about: impl Into<String>,
        what: impl Into<String>,
        fix: &str,
    ) {
        self.0.push(Finding {
            health,
            about: about.into(),
            what: what.into(),
            fix: fix.into(),
        });
    }

    fn good(&mut self, about: impl Into<String>, what: impl Into<String>) {
        self.add(Health::Good, about, what, "");
    }

    fn warn(&mut self, about: impl Into<String>, what: impl Into<String>, fix: &str) {
        self.add(Health::Warning, about, what, fix);
    }

    fn bad(&mut self, about: impl Into<String>, what: impl Into<String>, fix: &str) {
        self.add(Health::Bad, about, what, fix);
    }

    /// All that `seawall check` would find: what it refuses does not serve.
    fn document(&mut self, up: &Up, parsed: &Parsed, stages: &'static [&'static StageDef]) {
        let problems = file::problems(parsed, configure::base(up), stages);
        for problem in problems.list.iter().take(MOST) {
            let fix = match problem.help.as_str() {
                "" => "`seawall check FILE` tells all of them, with their lines",
                help => help,
            };
            let what = format!("{}: {}", problem.path, problem.what);
            self.bad("configuration", what, fix);
        }
        let more = problems.list.len().saturating_sub(MOST) as u64 + problems.more;
        if more > 0 {
            let fix = "`seawall check FILE` tells all of them";
            self.bad("configuration", format!("{more} problem(s) more"), fix);
        }
        if problems.list.is_empty() {
            let zones = parsed.document.zones.len();
            self.good("configuration", format!("compiles, {zones} zone(s)"));
        }
    }

    /// The data folder: there or makeable, writable, with room.
    fn data(&mut self, folder: &Path) {
        let about = format!("data {}", folder.display());
        let there = folder.ancestors().find(|path| path.exists());
        let there = there.unwrap_or(Path::new("."));
        let probe = there.join(format!(".seawall-doctor-{}", std::process::id()));
        let written = std::fs::write(&probe, b"x");
        // On a full disk there is a file, with nothing in it.
        let _ = std::fs::remove_file(&probe);
        if let Err(error) = written {
            let what = format!("cannot be written: {error}");
            return self.bad(about, what, unwritten(&error));
        }
        match data::free(there) {
            Some(bytes) if bytes < 64 * MIB => {
                let fix = "free some: the access log rotates at [edge.access_log] rotate_at, and keeps `keep` files";
                self.bad(about, format!("only {} MiB are free", bytes / MIB), fix);
            }
            Some(bytes) if bytes < 1024 * MIB => {
                let fix = "the access log alone may take 600 MiB: free some, or lower [edge.access_log] keep";
                self.warn(about, format!("{} MiB are free", bytes / MIB), fix);
            }
            Some(bytes) => self.good(about, format!("writable, {} MiB free", bytes / MIB)),
            None => self.good(about, "writable"),
        }
    }

    /// Whether so many clients as may come at once can have what they take.
    fn descriptors(&mut self, plan: &Plan, document: &Document) {
        let most = raise_descriptors();
        let listeners = plan.listen.len() * plan.threads;
        let wanted = document.edge.limits.connections;
        let fix = "LimitNOFILE=1048576 in systemd, or `ulimit -n`: each client takes two, the second for its origin; or lower [edge.limits] connections";
        match room(most, plan.threads, listeners) {
            Err(error) => self.bad("open files", error.to_string(), fix),
            Ok(room) if room < wanted => self.warn(
                "open files",
                format!(
                    "{most} are allowed, which is enough for {room} clients at once; [edge.limits] connections lets in {wanted}"
                ),
                fix,
            ),
            Ok(room) => {
                self.good("open files", format!("{most} are allowed: {room} clients at once"));
            }
        }
    }

    /// Whether a worker may hold what it takes: we have compiled the same, and serve nobody.
    fn memory(&mut self, document: &Document) {
        let (limits, machine) = (&document.edge.limits, memory_for_a_worker());
        let (most, fix) = match limits.memory {
            0 => (
                machine,
                "MemoryMax= of systemd, --memory of containers: a worker may have four fifths of it; or lower [edge.limits] cache_memory",
            ),
            most => (
                most,
                "raise [edge.limits] memory, or leave it out: then it is four fifths of the machine, or of its group; or lower cache_memory",
            ),
        };
        let may = format!("a worker may hold {} MiB", most / MIB);
        let own = resident("self").unwrap_or(0);
        let cache = limits.cache_memory.saturating_add(limits.cache_memory / 4);
        if own > most {
            let what = format!(
                "{may}, and holds {} before it serves anybody: it would be replaced again and again",
                own / MIB
            );
            self.bad("memory", what, fix);
        } else if own.saturating_add(cache) > most {
            let what = format!(
                "{may}; with its cache full, which is {} MiB at most, it holds more and is replaced, with an empty cache",
                cache / MIB
            );
            self.warn("memory", what, fix);
        } else {
            self.good("memory", may);
        }
    }

    /// Our clock beside that of the first authority that says its own.
    async fn clock(&mut self, base: &Path, document: &Document) {
        let edge = &document.edge;
        let by_acme = document
            .zones
            .iter()
            .any(|zone| zone.tls.certificate == Certificate::Acme);
        if !by_acme {
            return;
        }
        let ca = match edge.acme.ca.as_ref().map(|ca| base.join(ca)) {
            None => Vec::new(),
            Some(path) => match std::fs::read(&path) {
                Ok(ca) => ca,
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", path.display());
                    let fix = "name the PEM file of the authority's authority, and let the user read it that Seawall runs as";
                    return self.bad("[edge.acme] ca", what, fix);
                }
            },
        };
        let outward = outward_of(document);
        for directory in &edge.acme.directories {
            let Ok(date) = seawall_acme::authority::date(&outward, directory, &ca).await else {
                let fix = "outgoing HTTPS must be allowed, and [edge.acme] ca name its authority where that is a private one; another in [edge.acme] directories would be asked next";
                self.warn(
                    format!("authority {directory}"),
                    "cannot be reached, or does not say its time",
                    fix,
                );
                continue;
            };
            let ahead = now() as i64 - date as i64;
            if ahead.unsigned_abs() > plan::SKEW {
                let fix = "timedatectl set-ntp true";
                let whose = if ahead > 0 { "ahead of" } else { "behind" };
                let what = format!("{} s {whose} {directory}", ahead.unsigned_abs());
                return self.bad("clock", what, fix);
            }
            return self.good(
                "clock",
                format!("within {} s of {directory}", ahead.unsigned_abs().max(1)),
            );
        }
        self.warn("clock", "nobody to compare it with", "timedatectl status");
    }

    /// Do the hosts lead here?
    async fn hosts(&mut self, document: &Document) {
        for name in names(document).take(MOST) {
            let about = format!("dns {name}");
            let found = outward::resolve(name.trim_matches(['[', ']']), 443);
            let found = tokio::time::timeout(PATIENCE, found).await;
            match found {
                Ok(Ok(addresses)) => {
                    let here = addresses
                        .iter()
                        .filter(|address| is_here(address.ip()))
                        .count();
                    let listed: Vec<String> =
                        addresses.iter().map(|a| a.ip().to_string()).collect();
                    let listed = listed.join(", ");
                    if here == addresses.len() {
                        self.good(about, format!("leads to this machine ({listed})"));
                    } else {
                        let fix = "right where a router or load balancer forwards ports 80 and 443 to this machine; else let A and AAAA records name this machine";
                        self.warn(
                            about,
                            format!(
                                "leads to {listed}, of which {here} are addresses of this machine"
                            ),
                            fix,
                        );
                    }
                }
                _ => self.bad(
                    about,
                    "has no address",
                    "add an A or AAAA record that names this machine, and wait for its TTL",
                ),
            }
        }
    }

    fn tell(self, as_json: bool) -> ExitCode {
        let bad = self.0.iter().any(|finding| finding.health == Health::Bad);
        let word = |health| match health {
            Health::Good => "good",
            Health::Warning => "warning",
            Health::Bad => "bad",
        };
        if as_json {
            let list = self.0.iter().map(|finding| {
                json!({ "health": word(finding.health), "about": finding.about, "what": finding.what, "fix": finding.fix })
            });
            say(format_args!(
                "{:#}",
                json!({ "ok": !bad, "findings": list.collect::<Vec<_>>() })
            ));
        } else {
            for Finding {
                health,
                about,
                what,
                fix,
            } in &self.0
            {
                say(format_args!("{:8} {about}: {what}", word(*health)));
                if !fix.is_empty() {
                    say(format_args!("         fix: {fix}"));
                }
            }
        }
        if bad {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// What can be done when the data folder cannot be written.
fn unwritten(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull => {
            "the disk is full (`df -h`, `df -i`): free some; of ours, `crashes` and old access logs can go, and [edge.access_log] keep says how many stay"
        }
        ErrorKind::QuotaExceeded => {
            "the quota of this user is used up (`quota`): raise it, or free some"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the disk is mounted read-only (`findmnt`, `dmesg`): mount it read-write, or choose another folder with --data; in systemd: ReadWritePaths="
        }
        ErrorKind::PermissionDenied => {
            "give it to the user that Seawall runs as (chown), or choose another with --data"
        }
        ErrorKind::NotADirectory => "there is a file of this name: choose another with --data",
        _ => "look at the disk (`dmesg`), or choose another folder with --data",
    }
}

/// The hosts that are names, and no patterns of such.
fn names(document: &Document) -> impl Iterator<Item = &str> {
    let hosts = document.zones.iter().flat_map(|zone| &zone.hosts);
    hosts.filter_map(|host| match host {
        HostPattern::Exact(name) => Some(name.as_str()),
        _ => None,
    })
}

fn outward_of(document: &Document) -> Arc<Outward> {
    let allowed = document.edge.outward(false);
    Arc::new(Outward::new(
        allowed.public,
        allowed.private,
        allowed.loopback,
    ))
}

/// Whether this machine has the address: one that it has can be bound.
fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

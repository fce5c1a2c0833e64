//! `seawall doctor`: looks at what a site needs from this machine and its surroundings; each finding with its fix.
//!
//! It changes nothing, sends nothing to anybody but origins, resolvers and (for the clock) the ACME authority that the document
//! names, and says what cannot be seen from here.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall_acme::plan;
use seawall_acme::store::Store;
use seawall_model::document::{Certificate, OriginUrl};
use seawall_model::{Document, HostPattern};
use seawall_net::alarm::Alarm;
use seawall_net::outward::{self, ConnectFault, Outward};
use serde_json::json;

use crate::cli::{Doctor, Listen, Up};
use crate::configure;
use crate::process::raise_descriptors;
use crate::say::say;

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
pub fn run(doctor: &Doctor) -> ExitCode {
    let up = &doctor.up;
    let parsed = configure::parsed(up);
    let mut all = Findings::default();
    if let Some(problems) = &parsed.problems {
        let fix = "`seawall check FILE` tells all of them";
        all.bad("configuration", format!("has problems:\n{problems}"), fix);
    }
    let document = &parsed.document;
    all.data(&up.data);
    all.ports(up, document);
    all.descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, async {
            all.clock(document).await;
            all.hosts(document).await;
            all.origins(document).await;
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

    /// The data folder: there or makeable, writable, with room.
    fn data(&mut self, folder: &Path) {
        let about = format!("data {}", folder.display());
        let there = folder.ancestors().find(|path| path.exists());
        let there = there.unwrap_or(Path::new("."));
        let probe = there.join(format!(".seawall-doctor-{}", std::process::id()));
        match std::fs::write(&probe, b"x") {
            Ok(()) => drop(std::fs::remove_file(&probe)),
            Err(error) => {
                let fix = "give it to the user that Seawall runs as (chown), or choose another with --data";
                return self.bad(about, format!("cannot be written: {error}"), fix);
            }
        }
        match free(there) {
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

    /// Each listener: can it be bound, or does our own process hold it already?
    fn ports(&mut self, up: &Up, document: &Document) {
        let ours = std::fs::read(up.data.join("up.json")).unwrap_or_default();
        let ours = String::from_utf8_lossy(&ours).into_owned();
        let edge = &document.edge;
        let public = up.config.is_none() && !up.host.is_empty();
        let mut wanted = Vec::new();
        for (flag, own, port) in [(up.http, &edge.http, 80), (up.https, &edge.https, 443)] {
            match flag {
                Some(flag) => wanted.extend(flag.address()),
                None if public => {
                    wanted.extend(
                        own.iter()
                            .map(|address| SocketAddr::new(address.ip(), port)),
                    );
                }
                None => wanted.extend(own),
            }
        }
        wanted.extend(up.admin.map_or(edge.admin, Listen::address));
        for address in wanted {
            let about = format!("port {address}");
            if ours.contains(&format!("\"{address}\"")) {
                self.good(about, "held by the Seawall that runs on this data folder");
                continue;
            }
            match TcpListener::bind(address) {
                Ok(_) => self.good(about, "free"),
                Err(error) => {
                    let fix = match error.kind() {
                        std::io::ErrorKind::AddrInUse => {
                            "`ss -ltnp` tells who has it: stop that, or choose another port"
                        }
                        std::io::ErrorKind::PermissionDenied => {
                            "run as root, or give the right: setcap cap_net_bind_service=+ep $(command -v seawall), or AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd"
                        }
                        _ => "choose an address that this machine has (`ip address`)",
                    };
                    self.bad(about, format!("cannot be bound: {error}"), fix);
                }
            }
        }
    }

    fn descriptors(&mut self) {
        let most = raise_descriptors();
        if most < 65_536 {
            let fix = "LimitNOFILE=1048576 in systemd, or `ulimit -n`: each client takes two";
            self.warn("open files", format!("{most} are allowed"), fix);
        } else {
            self.good("open files", format!("{most} are allowed"));
        }
    }

    /// Our clock beside that of the first authority that says its own.
    async fn clock(&mut self, document: &Document) {
        let edge = &document.edge;
        let by_acme = document
            .zones
            .iter()
            .any(|zone| zone.tls.certificate == Certificate::Acme);
        if !by_acme {
            return;
        }
        let outward = outward_of(document);
        for directory in &edge.acme.directories {
            let Ok(date) = seawall_acme::authority::date(&outward, directory).await else {
                let fix = "outgoing HTTPS must be allowed; another in [edge.acme] directories would be asked next";
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
                return self.bad("clock", format!("{ahead} s ahead of {directory}"), fix);
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
        let hosts = document.zones.iter().flat_map(|zone| &zone.hosts);
        let names = hosts.filter_map(|host| match host {
            HostPattern::Exact(name) => Some(name),
            _ => None,
        });
        for name in names.take(MOST) {
            let about = format!("dns {name}");
            let found = tokio::time::timeout(PATIENCE, outward::resolve(name, 443)).await;
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
        let fix = "from another network: curl -I http://YOUR-HOST/ and https://YOUR-HOST/; when it hangs, open ports 80 and 443 in firewall, cloud security group and router";
        self.warn(
            "public reachability",
            "cannot be seen from this machine alone, and Seawall asks no outside service",
            fix,
        );
    }

    async fn origins(&mut self, document: &Document) {
        let outward = outward_of(document);
        let origins = document.zones.iter().flat_map(|zone| &zone.origins);
        for origin in origins.take(MOST) {
            let (host, port) = match &origin.url {
                OriginUrl::Server { host, port, .. } => (host, port),
                OriginUrl::Unix(path) => {
                    let connected = outward.connect_unix(path, &mut Alarm::new(PATIENCE)).await;
                    self.origin(format!("origin {}", origin.url), connected.err());
                    continue;
                }
                OriginUrl::Files(path) => {
                    let about = format!("origin {}", origin.url);
                    match std::fs::read_dir(path) {
                        Ok(_) => self.good(about, "is a folder that can be read"),
                        Err(why) => self.bad(
                            about,
                            why.to_string(),
                            "make it, or let the user read it that Seawall runs as",
                        ),
                    }
                    continue;
                }
                OriginUrl::Sample => continue,
            };
            let about = format!("origin {host}:{port}");
            let found =
                tokio::time::timeout(PATIENCE, outward::resolve(&host.to_string(), *port)).await;
            let Ok(Ok(addresses)) = found else {
                self.bad(
                    about,
                    "has no address",
                    "correct its name in `url`, or the resolver in /etc/resolv.conf",
                );
                continue;
            };
            let mut fault = None;
            for address in addresses {
                match outward.connect(address, &mut Alarm::new(PATIENCE)).await {
                    Ok(_) => {
                        fault = None;
                        break;
                    }
                    Err(why) => fault = Some(why),
                }
            }
            self.origin(about, fault);
        }
    }

    fn origin(&mut self, about: String, fault: Option<ConnectFault>) {
        let Some(why) = fault else {
            return self.good(about, "takes connections");
        };
        let fix = match why {
            ConnectFault::Refused => "start it, or correct its `url`",
            ConnectFault::Forbidden { .. } => "allow its kind of address in [edge] outward",
            _ => "look at routes and firewalls between here and there",
        };
        self.bad(about, why.to_string(), fix);
    }

    /// What is kept of ACME's, and the files that zones name.
    fn certificates(&mut self, data: &Path, document: &Document) {
        let folder = data.join("certificates");
        // Opening it without a key would make one.
        let kept = folder.join("key").exists().then(|| Store::open(&folder));
        let (kept, broken) = match kept {
            Some(Ok(store)) => store.restore(),
            Some(Err(fault)) => {
                return self.bad(
                    "certificates",
                    fault.to_string(),
                    "run as the user that Seawall runs as",
                );
            }
            None => Default::default(),
        };
        for what in broken {
            self.warn("certificates", what, "it is got anew; remove the file");
        }
        let by_acme = document
            .zones
            .iter()
            .filter(|zone| zone.tls.certificate == Certificate::Acme);
        for host in by_acme.flat_map(|zone| &zone.hosts).take(MOST) {
            let name = match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Under(name) => format!("*.{name}"),
                HostPattern::Any => continue,
            };
            let about = format!("certificate {name}");
            match kept.get(&name) {
                None => self.warn(
                    about,
                    "is not there yet",
                    "`seawall up` gets it; /state of the admin port tells how that goes",
                ),
                Some((_, facts)) => {
                    let left = facts.not_after as i64 - now() as i64;
                    let days = left / 86_400;
                    if left <= 0 {
                        self.bad(
                            about,
                            "has expired",
                            "/state of the admin port tells why it was not renewed",
                        );
                    } else if now() > plan::alarm_at(facts.not_before, facts.not_after) {
                        self.bad(
                            about,
                            format!("expires in {days} days, its renewal is overdue"),
                            "/state of the admin port tells why",
                        );
                    } else {
                        self.good(about, format!("expires in {days} days"));
                    }
                }
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

/// Bytes that an ordinary user may still write.
fn free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeroes is a value of this struct of numbers.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a path that ends with a zero, and a struct of ours that outlives the call.
    let done = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    (done == 0).then(|| stat.f_bavail as u64 * stat.f_frsize as u64)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

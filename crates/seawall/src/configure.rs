//! What is served: read, compiled and told of in the same way at the start and at every reload.
//!
//! A zone with problems is refused and its last good version stays; what all zones share is good as a whole, or nothing changes.
//! Not here: sockets and threads, which are set up once ([`up`](crate::up)).

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall_guard::StageDef;
use seawall_model::document::{Parsed, Up as UpDocument, up_default};
use seawall_model::{Document, HostPattern, Limits, Problem, Problems, Wrong};
use seawall_proxy::compile::{Compiled, Refused};
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::state::State;
use seawall_proxy::thread::Shared;
use tokio::sync::mpsc;

use crate::cli::Up;
use crate::data::Data;
use crate::file;
use crate::say::{complain, say};

/// So many refused zones are named, and the others counted.
const NAMED: usize = 100;

/// What is to be served: the file, or what the flags mean; the flags' addresses before the file's.
pub fn parsed(up: &Up) -> Parsed {
    let mut parsed = match &up.config {
        Some(file) => file::read(file),
        None => {
            let flags = UpDocument {
                origin: up.origin.as_deref(),
                hosts: &up.host,
                acme: up.acme.is_some(),
            };
            match up_default(&flags, &Limits::default()) {
                Ok(document) => Parsed {
                    document,
                    problems: None,
                    bad_zones: Default::default(),
                    platform_ok: true,
                },
                Err(problems) => file::bad(problems),
            }
        }
    };
    let acme = &mut parsed.document.edge.acme;
    if up.acme.is_some() {
        acme.contact.clone_from(&up.acme);
    }
    if let Some(directory) = &up.acme_directory {
        acme.directories = vec![directory.clone()];
    }
    if let Some(location) = &up.location {
        parsed.document.edge.location.clone_from(location);
    }
    parsed
}

/// What can be told before anything is set up: all problems, where nothing of it could be served.
pub fn hopeless(
    up: &Up,
    parsed: &Parsed,
    stages: &'static [&'static StageDef],
) -> Option<Problems> {
    let zones = parsed.document.zones.len();
    let no_zone = zones > 0 && parsed.bad_zones.len() == zones;
    (no_zone || !parsed.platform_ok).then(|| file::problems(parsed, base(up), stages))
}

pub fn base(up: &Up) -> &Path {
    up.config.as_deref().map_or(Path::new("."), file::folder)
}

/// Where configurations come from and what they leave behind.
#[derive(Clone)]
pub struct Configuration {
    /// The flags.
    pub up: Arc<Up>,
    /// The data folder.
    pub data: Arc<Data>,
    /// What outlives a snapshot.
    pub state: Arc<State>,
}

/// What was read and compiled, and is not live yet.
pub struct Prepared {
    parsed: Parsed,
    compiled: Compiled,
}

impl Configuration {
    /// Takes what an earlier process left for this one.
    pub fn resume(&self) {
        let kept = self.data.zone_ids();
        let ids = kept.iter().map(|(name, id)| (name.as_str(), *id));
        let left_out = self.state.zone_ids.restore(ids);
        if left_out > 0 {
            complain(format_args!(
                "zone-ids.json: {left_out} id(s) are none or another zone's; those zones get new ones"
            ));
        }
    }

    /// Compiles what was parsed.
    pub fn compile(&self, parsed: &Parsed, live: Option<&Snapshot>) -> Compiled {
        let mut names = vec!["localhost".to_string()];
        for zone in &parsed.document.zones {
            let hosts = zone.hosts.iter();
            let named = hosts.filter(|host| **host != HostPattern::Any);
            names.extend(named.map(ToString::to_string));
        }
        match self.data.self_signed(names) {
            Ok(self_signed) => {
                file::compile(parsed, base(&self.up), self_signed, &self.state, live)
            }
            Err(error) => {
                let what = format!("self-signed certificate: {error:#}");
                let wrong = Wrong::new(what, "see the data folder");
                Compiled {
                    snapshot: None,
                    problems: Problems::one(Problem::new("document", wrong)),
                    refused: Vec::new(),
                }
            }
        }
    }

    /// This is live from now on: what nothing needs any more is forgotten, and what the next process needs is kept.
    pub fn settle(&self, live: &Snapshot, refused: &[Refused]) {
        self.state.settle(live, refused);
        self.data.keep_zone_ids(&self.state.zone_ids.all());
    }

    /// Reads and compiles anew, on a thread of its own: that may take long, and whoever waits for signals must hear them. What
    /// comes of it is sent; nothing when it panicked.
    pub fn prepare(&self, live: Arc<Snapshot>, done: mpsc::Sender<Option<Prepared>>) {
        let configuration = self.clone();
        let prepare = move || {
            let made = catch_unwind(AssertUnwindSafe(|| {
                let parsed = parsed(&configuration.up);
                let compiled = configuration.compile(&parsed, Some(&live));
                Prepared { parsed, compiled }
            }));
            // Nobody waits any more when the process ends.
            let _ = done.blocking_send(made.ok());
        };
        let thread = std::thread::Builder::new().name("reload".into());
        if let Err(error) = thread.spawn(prepare) {
            complain(format_args!(
                "not reloaded: no thread to compile on: {error}"
            ));
        }
    }

    /// Swaps what is good, or tells all problems and changes nothing. The document that went live is returned.
    pub fn put_live(
        &self,
        prepared: Prepared,
        shared: &Shared,
        configured: &AtomicU64,
        retired: &mut Vec<Arc<Snapshot>>,
    ) -> Option<Document> {
        let Prepared { parsed, compiled } = prepared;
        let Compiled {
            snapshot,
            problems,
            refused,
        } = compiled;
        let Some(snapshot) = snapshot else {
            complain(format_args!(
                "not reloaded, what is live stays live:\n{problems}"
            ));
            return None;
        };
        let snapshot = Arc::new(snapshot);
        let version = snapshot.version.clone();
        retired.push(shared.slot.swap(snapshot.clone()));
        configured.store(shared.now(), Ordering::Relaxed);
        self.settle(&snapshot, &refused);
        tell_refused(&problems, &refused);
        say(format_args!("Seawall reloaded: version {version}"));
        Some(parsed.document)
    }
}

/// Tells which zones were refused, why, and what becomes of them.
pub fn tell_refused(problems: &Problems, refused: &[Refused]) {
    if refused.is_empty() {
        return;
    }
    let mut text = format!("{} zone(s) refused:\n{problems}", refused.len());
    for zone in refused.iter().take(NAMED) {
        let Refused { index, name, stays } = zone;
        let name = if name.is_empty() {
            "without a name"
        } else {
            name
        };
        let becomes = match stays {
            Some(version) => format!("its last good version {version} stays live"),
            None => "it is not served: there is no good version of it yet".into(),
        };
        // Writing to a text does not fail.
        let _ = write!(text, "\nzone[{index}] {name}: {becomes}");
    }
    if let Some(more @ 1..) = refused.len().checked_sub(NAMED) {
        let _ = write!(text, "\nand {more} more zone(s)");
    }
    complain(text);
}

/// Says what a reload leaves as it is: sockets, threads and the log's place are set up once.
pub fn tell_fixed(live: &Document, new: &Document) {
    let (old, new) = (&live.edge, &new.edge);
    let fixed = [
        ("http", old.http != new.http),
        ("https", old.https != new.https),
        ("acme", old.acme != new.acme),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("access_log", old.access_log != new.access_log),
        ("limits.drain", old.limits.drain != new.limits.drain),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        say(format_args!(
            "  note       [edge] {key} changed: it takes effect at the next start"
        ));
    }
}

//! What is served: read, compiled and told of in the same way at the start and at every reload.
//!
//! A zone with problems is refused and its last good version stays; what all zones share is good as a whole, or nothing changes.
//! Not here: sockets and threads, which are set up once ([`up`](crate::up)).

use std::collections::HashMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seawall_guard::{StageDef, blame};
use seawall_model::document::{Parsed, Up as UpDocument, up_default};
use seawall_model::{Document, HostPattern, Limits, Problems};
use seawall_proxy::compile::{Compiled, Refused};
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::state::State;
use seawall_proxy::thread::Shared;
use seawall_proxy::trial::Live;
use tokio::sync::mpsc;

use crate::cli::Up;
use crate::data::Data;
use crate::file;
use crate::live;
use crate::page::SharedPage;
use crate::quarantine::Quarantine;
use crate::say::{complain, say};
use crate::worker::Finished;

/// So many refused zones are named, and the others counted.
const NAMED: usize = 100;

/// What is to be served: the file, or what the flags mean; the flags' addresses before the file's.
pub fn parsed(up: &Up) -> Parsed {
    let mut parsed = match &up.config {
        Some(file) => {
            let mut parsed = file::read(file);
            // So that the document means the same wherever it is kept; where we are is known, or paths stay as they are.
            if let Ok(base) = std::path::absolute(file::folder(file)) {
                parsed.document.make_absolute(&base);
            }
            parsed
        }
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
    /// What brought workers down.
    pub quarantine: Arc<Quarantine>,
    /// What is kept for the next process.
    pub kept: Arc<Kept>,
    /// What is served comes by orders; a reload reads files anew, and no document.
    pub managed: bool,
    /// Where it is told what is compiled.
    pub page: &'static SharedPage,
}

/// Keeps the youngest of what was live, one after the other.
#[derive(Default)]
pub struct Kept {
    last: AtomicU64,
    written: Mutex<u64>,
}

/// What is to be compiled: a document and the files that it names.
pub struct Source {
    /// The document, as far as it could be read.
    pub parsed: Parsed,
    /// The files.
    pub materials: Materials,
}

/// What went live.
pub struct Put {
    /// Its version.
    pub version: Box<str>,
    /// The document as it was written.
    pub document: Document,
    /// What serves, to be kept.
    pub source: Source,
    /// Some of it is as it was before, with its files.
    pub with_old_files: bool,
}

/// What was read and compiled, and is not live yet.
pub struct Prepared {
    source: Source,
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

    /// What the flags and their file say now.
    pub fn read(&self) -> Source {
        let parsed = match live::read(&self.data.path(live::LIVE)) {
            Ok((parsed, _)) if self.managed => parsed,
            _ => parsed(&self.up),
        };
        let materials = Materials::load(
            &parsed.document,
            base(&self.up),
            self.self_signed(&parsed.document),
        );
        Source { parsed, materials }
    }

    /// What was served last, whatever the file says by now; the file, where that is not known.
    pub fn read_live(&self) -> Source {
        match live::read(&self.data.path(live::LIVE)) {
            Ok((parsed, files)) => {
                let self_signed = self.self_signed(&parsed.document);
                let materials = Materials::of(files, self_signed);
                Source { parsed, materials }
            }
            Err(error) => {
                complain(format_args!(
                    "what was live cannot be read ({error}): the configuration is read anew"
                ));
                self.read()
            }
        }
    }

    /// The certificate of zones that have none of their own. Without one, zones that need it say so.
    pub fn self_signed(&self, document: &Document) -> Option<(String, String)> {
        let mut names = vec!["localhost".to_string()];
        for zone in &document.zones {
            let hosts = zone.hosts.iter();
            let named = hosts.filter(|host| **host != HostPattern::Any);
            names.extend(named.map(ToString::to_string));
        }
        let made = self.data.self_signed(names);
        made.map_err(|error| complain(format_args!("self-signed certificate: {error:#}")))
            .ok()
    }

    /// Compiles; what brought workers down is replaced first.
    pub fn compile(&self, source: &mut Source, live: Option<&Snapshot>) -> Compiled {
        self.quarantine.compile(source, &self.state, live)
    }

    /// Keeps the zones' ids for the next process.
    pub fn keep_zone_ids(&self) {
        self.data.keep_zone_ids(&self.state.zone_ids.all());
    }

    /// Reads and compiles anew, on a thread of its own: that may take long, and whoever waits for signals must hear them. What
    /// comes of it is sent; nothing when it panicked.
    pub fn prepare(&self, live: Arc<Live>, done: mpsc::Sender<Finished>) {
        let configuration = self.clone();
        let prepare = move || {
            let words = configuration.page.words();
            blame::take_slot(words, blame::Page::of(words).compile_slot());
            let made = catch_unwind(AssertUnwindSafe(|| {
                let mut source = configuration.read();
                let compiled = configuration.compile(&mut source, Some(&live));
                Prepared { source, compiled }
            }));
            // Nobody waits any more when the process ends.
            let _ = done.blocking_send(Finished::Reload(made.ok()));
        };
        let thread = std::thread::Builder::new().name("reload".into());
        if let Err(error) = thread.spawn(prepare) {
            complain(format_args!(
                "not reloaded: no thread to compile on: {error}"
            ));
        }
    }

    /// Swaps what is good, or tells all problems and changes nothing. `live` is the document that is live.
    pub fn put_live(
        &self,
        prepared: Prepared,
        shared: &Shared,
        retired: &mut Vec<Arc<Live>>,
        live: &Document,
    ) -> Option<Put> {
        let Prepared {
            mut source,
            compiled,
        } = prepared;
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
        let version = snapshot.version.clone();
        retired.push(shared.slot.swap(snapshot));
        self.state.settle(&shared.slot.load(), &refused);
        tell_refused(&problems, &refused);
        let document = source.parsed.document.clone();
        source.parsed.document = effective(source.parsed.document, &refused, live);
        Some(Put {
            version,
            document,
            source,
            with_old_files: !refused.is_empty(),
        })
    }

    /// Keeps what serves now for the next process, on a thread of its own: a disk may hang.
    /// Tells `done` when that is done.
    pub fn keep_live(&self, source: Source, with_old_files: bool, done: mpsc::Sender<()>) {
        let (data, kept) = (self.data.clone(), self.kept.clone());
        let number = kept.last.fetch_add(1, Ordering::Relaxed) + 1;
        let keep = move || {
            let mut written = kept.written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > number {
                return;
            }
            *written = number;
            let Source {
                parsed,
                mut materials,
            } = source;
            let path = data.path(live::LIVE);
            if with_old_files && let Ok((_, files)) = live::read(&path) {
                materials.complete(Materials::of(files, None));
            }
            match live::write(&path, &parsed.document, &materials) {
                // One that waits to be heard stands for this one too.
                Ok(()) => drop(done.try_send(())),
                Err(error) => complain(format_args!(
                    "{} cannot be written: {error}",
                    path.display()
                )),
            }
        };
        let thread = std::thread::Builder::new().name("keep".into());
        if let Err(error) = thread.spawn(keep) {
            complain(format_args!("what is live is not kept: {error}"));
        }
    }
}

/// What serves: the document, with those of the zones that were refused in it as they were before.
pub fn effective(mut document: Document, refused: &[Refused], before: &Document) -> Document {
    if refused.is_empty() {
        return document;
    }
    let mut refused: HashMap<usize, &Refused> =
        refused.iter().map(|zone| (zone.index, zone)).collect();
    let zones = std::mem::take(&mut document.zones);
    for (index, zone) in zones.into_iter().enumerate() {
        match refused.remove(&index) {
            None => document.zones.push(zone),
            Some(refused) if refused.stays.is_some() => {
                let old = before.zones.iter().find(|old| old.name == refused.name);
                document.zones.extend(old.cloned());
            }
            Some(_) => {}
        }
    }
    document
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
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        say(format_args!(
            "  note       [edge] {key} changed: it takes effect at the next start"
        ));
    }
}

//! What is served: read, compiled and told of in the same way at the start and at every reload.
//!
//! A zone with problems is refused and its last good version stays; what all zones share is good as a whole, or nothing changes.
//! Not here: sockets and threads, which are set up once ([`up`](crate::up)).

mod anew;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_guard::StageDef;
use seawall_model::document::{self, Parsed, Up as UpDocument, up_default};
use seawall_model::{Document, HostPattern, Limits, Problems};
use seawall_proxy::compile::{Compiled, Refused};
use seawall_proxy::materials::{ALL, Materials};
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::state::State;
use seawall_proxy::thread::Shared;
use seawall_proxy::trial::Live;
use tokio::sync::mpsc;

use crate::cli::Up;
use crate::contents::Contents;
use crate::data::Data;
use crate::file;
use crate::good::{self, Recalled};
use crate::kept::{Kept, StateLock};
use crate::lasting;
use crate::live;
use crate::page::SharedPage;
use crate::quarantine::Quarantine;
use crate::say::{complain, say};
use crate::unkept::Unkept;
use crate::worker::Members;
pub use anew::Of;

/// A self-signed certificate names fewer hosts than these, or none.
const MOST_NAMES: usize = 100;
/// So many ids are written at once: that takes no longer than a disk does.
const FEW_IDS: usize = 10_000;
/// After how long a disk that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// So many refused zones are named, and the others counted.
const NAMED: usize = 100;

/// What is to be served: the file, or what the flags mean; the flags' addresses before the file's.
pub fn parsed(up: &Up) -> Parsed {
    read_by(up, document::parse_zones)
}

/// What all zones share of what is to be served: zones are not read for it.
pub fn shared(up: &Up) -> Parsed {
    read_by(up, document::parse_head)
}

fn read_by(up: &Up, parse: fn(&str, &Limits) -> Parsed) -> Parsed {
    let mut parsed = match &up.config {
        Some(file) => {
            let mut parsed = match file::text(file) {
                Ok(text) => parse(&text, &Limits::default()),
                Err(problems) => file::bad(problems),
            };
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
                Ok(document) => whole(document),
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

/// A document without a problem.
pub fn whole(document: Document) -> Parsed {
    Parsed {
        document,
        problems: None,
        bad_zones: Default::default(),
        platform_ok: true,
        names_platform: true,
    }
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
    /// The fleet that this location has joined.
    pub fleet: Option<Arc<Members>>,
    /// Where it is told what is compiled.
    pub page: &'static SharedPage,
}

/// What is to be compiled: a document and the files that it names.
pub struct Source {
    /// The document, as far as it could be read.
    pub parsed: Parsed,
    /// The files.
    pub materials: Materials,
    /// The name under which all of it is published, if that is known.
    pub stand: Option<String>,
}

/// What went live.
pub struct Put {
    /// Its version.
    pub version: Box<str>,
    /// The document as it was written, without its zones.
    pub head: Document,
    /// What serves, to be kept.
    pub source: Arc<Source>,
    /// Some of it is as it was before, with its files.
    pub with_old_files: bool,
}

/// What was read and compiled, and is not live yet.
pub struct Prepared {
    source: Source,
    compiled: Compiled,
    head: Document,
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

    /// What the flags and their file say now; where what serves comes by orders, that, with its files as they were brought: what they
    /// hold by now is for control to take in.
    pub fn read(&self, before: &Unkept) -> Source {
        match self.managed.then(|| self.live_document(before)) {
            Some(Ok(document)) => self.source_as_it_serves(document, before),
            _ => self.source(parsed(&self.up)),
        }
    }

    /// A document that serves, with the files that serve with it.
    fn source_as_it_serves(&self, document: Document, unkept: &Unkept) -> Source {
        let files = self.recall().map_or_else(|_| Vec::new(), |kept| kept.files);
        self.source_with(document, files, unkept)
    }

    /// The same, with the files that are on disk.
    fn source_with(&self, document: Document, mut files: live::Files, unkept: &Unkept) -> Source {
        let base = unkept.base.iter().map(|base| &base.materials);
        let later = base.chain(unkept.altered().map(|zone| &zone.materials));
        let later = later.flat_map(Materials::readable);
        files.extend(later.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())));
        let mut materials = Materials::of(files, self.self_signed(&document));
        let contents = Contents::of(&self.data);
        let read = |path: &Path, room| contents.read(path, room);
        materials.fill(&document, &mut { ALL }, read);
        Source {
            parsed: whole(document),
            materials,
            stand: None,
        }
    }

    fn source(&self, parsed: Parsed) -> Source {
        let materials = Materials::load(
            &parsed.document,
            base(&self.up),
            self.self_signed(&parsed.document),
        );
        Source {
            parsed,
            materials,
            stand: None,
        }
    }

    /// What was served last, for a start by hand: with what of the file takes effect at a start alone. All else that has changed in
    /// the file comes by and by.
    pub fn read_managed(&self) -> Source {
        let kept = self.recall();
        if matches!(&kept, Err(error) if error.kind() == ErrorKind::NotFound) {
            return self.read(&Unkept::default());
        }
        let mut source = self.source_of(kept);
        let file = shared(&self.up);
        if file.platform_ok {
            let (edge, new) = (&mut source.parsed.document.edge, file.document.edge);
            edge.location = new.location;
            edge.http = new.http;
            edge.https = new.https;
            edge.acme = new.acme;
            edge.admin = new.admin;
            edge.workers = new.workers;
            edge.access_log = new.access_log;
        }
        source
    }

    /// What was served last, whatever the file says by now, and whether it is what lies on disk as such; the file, where that is not
    /// known.
    pub fn read_live(&self) -> (Source, bool) {
        let path = self.data.path(live::LIVE);
        // Should it be replaced before it is read, it is taken for one that is to be read once more.
        self.kept.has_read(live::Which::of(&path));
        let kept = self.recall();
        // What is damaged, older or of an earlier program is written anew.
        let whole = matches!(&kept, Ok(kept) if kept.passed_over == 0 && kept.from == live::LIVE)
            && live::is_current(&path);
        (self.source_of(kept), whole)
    }

    /// What was served last, as far as it is on disk: an older one in place of one that is damaged, which is told as long as it
    /// serves.
    fn recall(&self) -> std::io::Result<Recalled> {
        let kept = good::recall(&self.data.path(""));
        let older = match &kept {
            Ok(kept) => kept.passed_over > 0,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        if older {
            self.state.disk.older.store(true, Ordering::Relaxed);
        }
        kept
    }

    fn source_of(&self, kept: std::io::Result<Recalled>) -> Source {
        match kept {
            Ok(kept) => {
                let self_signed = self.self_signed(&kept.parsed.document);
                Source {
                    materials: Materials::of(kept.files, self_signed),
                    parsed: kept.parsed,
                    stand: kept.stand.filter(|_| kept.from == live::LIVE),
                }
            }
            Err(error) => {
                complain(format_args!(
                    "what was live cannot be read, nor anything that has proved good ({error}): the flags or their file are served. \
                     If that is not what should serve, bring a backup back with `seawall restore`, or apply the configuration anew"
                ));
                self.source(parsed(&self.up))
            }
        }
    }

    /// The certificate of zones that have none of their own. Without one, zones that need it say so.
    pub fn self_signed(&self, document: &Document) -> Option<(String, String)> {
        self.self_signed_for(document.zones.iter().flat_map(|zone| &zone.hosts))
    }

    /// As [`self_signed`](Self::self_signed), of zones with these hosts.
    pub fn self_signed_for<'h>(
        &self,
        hosts: impl Iterator<Item = &'h HostPattern> + Clone,
    ) -> Option<(String, String)> {
        let mut names = vec!["localhost".to_string()];
        let named = hosts.filter(|host| **host != HostPattern::Any);
        // Which ones of more would be in it, is by chance; and it would be another one whenever that changes.
        if named.clone().take(MOST_NAMES).count() < MOST_NAMES {
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

    /// The document that serves: what is on disk, with what is not there yet.
    ///
    /// # Errors
    /// As the system says; and when what is there is not ours.
    pub fn live_document(&self, unkept: &Unkept) -> std::io::Result<Document> {
        let mut document = match &unkept.base {
            Some(base) => base.parsed.document.clone(),
            None => self.recall()?.parsed.document,
        };
        unkept.put_into(&mut document);
        Ok(document)
    }

    /// What is compiled becomes what serves: zones that were refused are as they were.
    fn take_effective(&self, source: &mut Source, compiled: &Compiled, before: &Unkept) {
        if compiled.snapshot.is_none() || compiled.refused.is_empty() {
            return;
        }
        let document = std::mem::take(&mut source.parsed.document);
        let before = self.live_document(before).unwrap_or_else(|error| {
            complain(format_args!(
                "what was live cannot be read ({error}): zones that were refused are not kept for the next process"
            ));
            Document::default()
        });
        source.parsed.document = effective(document, &compiled.refused, &before);
        // What was read of their files was refused with them.
        let stays: HashSet<&str> = compiled.refused.iter().map(|zone| &*zone.name).collect();
        source
            .materials
            .forget_those_of(&source.parsed.document, |zone| stays.contains(&*zone.name));
    }

    /// Swaps what is good, or tells all problems and changes nothing.
    pub fn put_live(
        &self,
        prepared: Prepared,
        shared: &Shared,
        retired: &mut Vec<Arc<Live>>,
    ) -> Option<Put> {
        let Prepared {
            source,
            compiled,
            head,
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
        Some(Put {
            version,
            head,
            source: Arc::new(source),
            with_old_files: !refused.is_empty(),
        })
    }

    /// Keeps what serves now, and the zones' ids, for the next process, on a thread of its own: a disk may hang, and writing many
    /// zones takes long. Tells `done` when that is done. A disk that is full or read-only is tried again, and what serves serves.
    pub fn keep_live(&self, unkept: Unkept, done: mpsc::Sender<()>) {
        let (configuration, number) = (self.clone(), self.kept.next());
        // Few are there before anybody is told what serves.
        if self.state.zone_ids.len() <= FEW_IDS
            && let Some(lock) = self.kept.lock()
        {
            keep_zone_ids(&self.data, &self.state, &lock);
        }
        let keep = move || {
            let live = configuration.data.path(live::LIVE).display().to_string();
            let written = loop {
                match configuration.keep_once(number, &unkept, &done) {
                    Ok(written) => break written,
                    Err(error) => lasting::fails(
                        &live,
                        format_args!(
                            "{live} cannot be written ({error}): what serves serves on, but a restart would bring back what was live before; \
                             it is tried again every {} s",
                            AGAIN.as_secs()
                        ),
                    ),
                }
                std::thread::sleep(AGAIN);
            };
            if written {
                lasting::works(&live, &format!("{live} is written again"));
            }
        };
        let thread = std::thread::Builder::new().name("keep".into());
        if let Err(error) = thread.spawn(keep) {
            complain(format_args!("what is live is not kept: {error}"));
        }
    }

    /// Writes it, unless something younger is live by now, or another worker has what only one may write. Whether it was written.
    fn keep_once(
        &self,
        number: u64,
        unkept: &Unkept,
        done: &mpsc::Sender<()>,
    ) -> std::io::Result<bool> {
        let written = self.kept.once(number, |lock| {
            keep_zone_ids(&self.data, &self.state, lock);
            let written = self.write(unkept, lock);
            if written.is_ok() {
                self.kept.has_written(&self.data.path(live::LIVE));
            }
            let unwritten = &self.state.disk.unwritten;
            unwritten.store(written.is_err(), Ordering::Relaxed);
            written
        })?;
        if written {
            // One that waits to be heard stands for this one too.
            let _ = done.try_send(());
        }
        Ok(written)
    }

    /// Writes what serves: what is not on disk, and of that what has not changed.
    fn write(&self, unkept: &Unkept, lock: &StateLock) -> std::io::Result<()> {
        let path = self.data.path(live::LIVE);
        let stand = unkept.stand.as_deref();
        if unkept.base.is_none() {
            match live::changed::write(&path, unkept.altered(), stand, || lock.check()) {
                // There is none, or it is damaged: what is kept beside it may do.
                Err(error) if is_none(&error) => {}
                written => return written,
            }
        }
        let (mut old, mut document) = (Materials::default(), Document::default());
        if unkept.base.is_none() || unkept.with_old_files {
            match self.recall() {
                Ok(kept) => {
                    old = Materials::of(kept.files, None);
                    document = kept.parsed.document;
                }
                Err(error) if unkept.base.is_none() => return Err(error),
                // Their files are lost with them.
                Err(_) => {}
            }
        }
        let mut materials: Vec<&Materials> = unkept.altered().map(|zone| &zone.materials).collect();
        let mut base = None;
        if let Some(source) = &unkept.base {
            base = Some(&source.parsed.document);
            materials.push(&source.materials);
        }
        materials.push(&old);
        if unkept.altered().next().is_some() {
            if let Some(base) = base.take() {
                document.clone_from(base);
            }
            unkept.put_into(&mut document);
        }
        let document = base.unwrap_or(&document);
        live::write_if(&path, document, &materials, stand, || lock.check())
    }
}

/// Whether a file is not there, or not what it should be.
fn is_none(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

/// Keeps the zones' ids for the next process, if they changed.
fn keep_zone_ids(data: &Data, state: &State, lock: &StateLock) {
    if let Some(ids) = state.zone_ids.changed()
        && !data.keep_zone_ids(&ids, || lock.check())
    {
        state.zone_ids.keep_again();
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

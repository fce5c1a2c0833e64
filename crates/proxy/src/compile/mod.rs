//! From a document to a snapshot: everything is checked, built and ready before anything goes live.
//!
//! The validator is the compiler: `seawall check`, a start and a reload run this very function. It is deterministic, touches no
//! disk, and tells all problems at once. It works zone by zone: a zone with problems is refused and its live version stays, the
//! others go live; what did not change is not compiled again but shared with the live snapshot. What all zones share, the
//! sections `[edge]` and `[lists]`, is good as a whole or nothing goes live.
//!
//! Of State it looks up and holds handles by stable ids: a snapshot that is never used leaves nothing behind there but ids, which
//! [`State::settle`] forgets.

mod change;
pub mod digest;
mod early;
mod edge;
mod found;
mod lists;
#[cfg(test)]
mod tests;
mod tls;
mod zone;

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_guard::States;
use seawall_guard::blame::{self, Phase, Runs};
use seawall_model::document::Parsed;
use seawall_model::{Document, Limits, Problem, Problems, Wrong};
use seawall_rules::{Bounds, Patterns};

use crate::materials::Materials;
use crate::snapshot::{Home, Snapshot, Zone};
use crate::state::State;
use crate::table::ZoneTable;
pub use change::{Change, Changed, change};
use digest::Digest;
use found::Found;
use lists::Lists;
use zone::ZoneCompiler;

/// What is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The document, as far as it could be read.
    pub document: &'a Document,
    /// The zones in it that have problems already, by index.
    pub bad_zones: &'a BTreeSet<usize>,
    /// Whether nothing is wrong but in those.
    pub platform_ok: bool,
    /// The files that it names.
    pub materials: &'a Materials,
}

impl<'a> Sources<'a> {
    /// What was parsed, with the files that it names.
    pub fn new(parsed: &'a Parsed, materials: &'a Materials) -> Self {
        Self {
            document: &parsed.document,
            bad_zones: &parsed.bad_zones,
            platform_ok: parsed.platform_ok,
            materials,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Compiled {
    /// What may go live; none when what all zones share has problems, or when no zone is left.
    pub snapshot: Option<Snapshot>,
    /// What compiling found, beyond what parsing had found.
    pub problems: Problems,
    /// The zones that were refused, in the order of the document.
    pub refused: Vec<Refused>,
}

/// A zone that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the document: its problems begin with `zone[index]`.
    pub index: usize,
    /// Its name; empty when that is wrong too.
    pub name: String,
    /// The version of it that stays live; none when none was live, or when nothing goes live.
    pub stays: Option<Box<str>>,
}

/// Compiles a document; `live` is what serves now.
pub fn compile(
    sources: &Sources<'_>,
    limits: &Limits,
    state: &State,
    live: Option<&Snapshot>,
) -> Compiled {
    let document = sources.document;
    let mut found = Found::new(limits.problems);
    let lists = Lists::new(sources, limits, live, &mut found);
    edge::check(&document.edge, state, &mut found);
    let platform_ok = sources.platform_ok && found.is_empty();
    let platform = Digest::version_number(platform_version(document, &lists));
    let home = home(&document.edge.location, state, live);
    let shop = Shop {
        location: &document.edge.location,
        materials: sources.materials,
        state,
        lists: &lists,
        limits,
        https_port: edge::https_port(&document.edge, state),
        home: &home,
    };
    let mut early = match platform_ok {
        true => early::compile(&shop, sources, live),
        false => Vec::new(),
    };
    let mut compiler = shop.compiler();
    let mut zones = Zones::new(live);
    for (index, zone) in document.zones.iter().enumerate() {
        if let Some(zone) = early.get_mut(index).and_then(Option::take) {
            zones.good(zone);
            continue;
        }
        let made = compiler.made(zone);
        let is_bad = sources.bad_zones.contains(&index);
        // It is charged for its patterns as if it were compiled: what is live has no say in what is refused.
        if !is_bad
            && let Some(same) = same(live, &zone.name, made.content, state)
            && compiler.patterns.take_over(&same.patterns)
        {
            zones.good(same);
            continue;
        }
        // What is only checked gets no id that it has not.
        let id = if is_bad || !platform_ok {
            state.zone_ids.get(&zone.name).unwrap_or_default()
        } else {
            state.zone_ids.of(&zone.name)
        };
        let _within = blame::enter(&Runs {
            zone: id.0,
            version: Digest::version_number(made.version),
            platform,
            stage: Phase::Compile.alone(),
            ray: 0,
        });
        // A bug in what compiles one zone must not take the others down.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            if is_bad || !platform_ok {
                Err(compiler.check(index, zone))
            } else {
                compiler.zone(index, zone, made)
            }
        }));
        match compiled {
            Ok(Ok(zone)) => zones.good(arrived(zone, live)),
            Ok(Err(problems)) => {
                // Where the platform is bad a good zone has none, and is not refused for what is wrong elsewhere.
                if is_bad || !problems.is_empty() {
                    zones.refuse(index, &zone.name);
                }
                for problem in problems {
                    found.add(|| problem);
                }
            }
            Err(_) => {
                zones.refuse(index, &zone.name);
                let help = "this is a bug in Seawall: please report it with the zone";
                let wrong = Wrong::new("cannot be compiled: compiling it failed", help);
                found.add(|| Problem::new(format!("zone[{index}]"), wrong));
            }
        }
    }
    let mut patterns = std::mem::replace(&mut compiler.patterns, shop.patterns());
    drop(early);
    let (zones, mut refused) = zones.finish();
    let snapshot = if platform_ok && (refused.is_empty() || !zones.is_empty()) {
        patterns.settle();
        let edge_content = Digest::of(&document.edge);
        Some(Snapshot {
            version: version(edge_content, &zones),
            platform,
            zones,
            edge: Arc::new(edge::edge(&document.edge, state)),
            edge_content,
            lists: lists.kept,
            patterns,
            home,
        })
    } else {
        for zone in &mut refused {
            zone.stays = None;
        }
        None
    };
    Compiled {
        snapshot,
        problems: found.finish(),
        refused,
    }
}

/// The version of what all zones share. It depends on nothing but what was written.
fn platform_version(document: &Document, lists: &Lists) -> u64 {
    let mut digest = Digest::default();
    digest.add(&document.edge);
    for list in &*lists.kept {
        digest.add(&*list.name);
        digest.number(list.content);
    }
    digest.finish()
}

/// The version of all of it: what holds for all zones, and each zone's own.
fn version(edge: u64, zones: &ZoneTable) -> Box<str> {
    let mut digest = Digest::default();
    digest.number(edge);
    digest.add(&zones.len());
    digest.number(zones.versions());
    Digest::version(digest.finish())
}

/// What all zones reach beyond the snapshot: that of the live one, where it is the same.
fn home(location: &str, state: &State, live: Option<&Snapshot>) -> Arc<Home> {
    match live {
        Some(live) if *live.home.location == *location => live.home.clone(),
        _ => Arc::new(Home {
            location: location.into(),
            members: state.members.clone(),
            tickets: state.tickets.clone(),
            certificates: state.certificates.clone(),
            keys: state.keys.clone(),
        }),
    }
}

/// What compilers of zones are made from.
struct Shop<'a> {
    location: &'a str,
    materials: &'a Materials,
    state: &'a State,
    lists: &'a Lists,
    limits: &'a Limits,
    https_port: u16,
    home: &'a Arc<Home>,
}

impl<'a> Shop<'a> {
    fn compiler(&self) -> ZoneCompiler<'a> {
        let names = self.state.stages.iter().map(|stage| stage.name);
        ZoneCompiler {
            location: self.location,
            materials: self.materials,
            state: self.state,
            lists: self.lists,
            bounds: Bounds::default(),
            patterns: self.patterns(),
            https_port: self.https_port,
            nowhere: Arc::new(States::new(names, 0)),
            shelf: tls::Shelf::new(self.materials, self.home.keys.clone()),
            home: self.home.clone(),
            manner: None,
        }
    }

    fn patterns(&self) -> Patterns {
        Patterns::new(
            self.limits.pattern_bytes_per_zone,
            self.limits.pattern_bytes_per_document,
        )
    }
}

/// The live zone of this name, if it is made of the same.
fn same(live: Option<&Snapshot>, name: &str, content: u64, state: &State) -> Option<Arc<Zone>> {
    let live = live?.zones.named(name)?;
    let is_same = live.content == content && state.zone_ids.get(name) == Some(live.id);
    is_same.then(|| live.clone())
}

/// A zone that may serve. What the live one of its name has learnt of origins it knows from its first moment on.
fn arrived(zone: Zone, live: Option<&Snapshot>) -> Arc<Zone> {
    let before = live.and_then(|live| live.zones.named(&zone.name));
    let is_in_use = before.is_some_and(|before| before.pool_in_use().is_some());
    if is_in_use || zone.is_watched() {
        zone.pool();
    }
    Arc::new(zone)
}

/// The zones of a snapshot that is being made.
struct Zones<'l> {
    live: Option<&'l Snapshot>,
    table: ZoneTable,
    /// Those that are of the live snapshot because what the document has is bad.
    kept: Vec<Arc<Zone>>,
    kept_names: HashSet<Box<str>>,
    refused: Vec<Refused>,
}

impl<'l> Zones<'l> {
    fn new(live: Option<&'l Snapshot>) -> Self {
        Self {
            live,
            table: ZoneTable::default(),
            kept: Vec::new(),
            kept_names: HashSet::new(),
            refused: Vec::new(),
        }
    }

    fn good(&mut self, zone: Arc<Zone>) {
        self.table.put(&zone);
        self.table.claim(&zone);
    }

    /// Two bad zones may have one name: what is live of it stays once.
    fn refuse(&mut self, index: usize, name: &str) {
        let live = self.live.and_then(|live| live.zones.named(name));
        if let Some(live) = live
            && self.kept_names.insert(name.into())
        {
            self.table.put(live);
            self.kept.push(live.clone());
        }
        self.refused.push(Refused {
            index,
            name: name.into(),
            stays: live.map(|live| (*live.version).into()),
        });
    }

    /// All zones with their hosts. A host that a good zone claims is that one's, whoever had it before.
    fn finish(mut self) -> (ZoneTable, Vec<Refused>) {
        for zone in &self.kept {
            self.table.claim(zone);
        }
        (self.table, self.refused)
    }
}

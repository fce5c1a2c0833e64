//! From a document to a snapshot: everything is checked, built and ready before anything goes live.
//!
//! The validator is the compiler: `seawall check`, a start and a reload run this very function. It is deterministic, touches no
//! disk, and tells all problems at once. It works zone by zone: a zone with problems is refused and its live version stays, the
//! others go live; what did not change is not compiled again but shared with the live snapshot. What all zones share, the
//! sections `[edge]` and `[lists]`, is good as a whole or nothing goes live.
//!
//! Of State it looks up and holds handles by stable ids: a snapshot that is never used leaves nothing behind there but ids, which
//! [`State::settle`] forgets.

pub mod digest;
mod edge;
mod found;
mod lists;
#[cfg(test)]
mod tests;
mod tls;
mod zone;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_guard::States;
use seawall_guard::blame::{self, Phase, Runs};
use seawall_model::document::Parsed;
use seawall_model::{Document, Limits, Problem, Problems, Wrong};
use seawall_rules::{Bounds, Patterns};

use crate::hosts::HostTable;
use crate::materials::Materials;
use crate::snapshot::{Snapshot, Zone};
use crate::state::State;
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
    let names = state.stages.iter().map(|stage| stage.name);
    let mut compiler = ZoneCompiler {
        location: &document.edge.location,
        materials: sources.materials,
        state,
        lists: &lists,
        bounds: Bounds::default(),
        patterns: Patterns::new(
            limits.pattern_bytes_per_zone,
            limits.pattern_bytes_per_document,
        ),
        https_port: edge::https_port(&document.edge, state),
        nowhere: Arc::new(States::new(names, 0)),
        shelf: tls::Shelf::new(sources.materials, state.certificates.clone()),
    };
    let mut zones = Zones::new(live, document.zones.len());
    for (index, zone) in document.zones.iter().enumerate() {
        let made = compiler.made(zone);
        let is_bad = sources.bad_zones.contains(&index);
        // It is charged for its patterns as if it were compiled: what is live has no say in what is refused.
        if !is_bad
            && let Some(same) = zones.same(&zone.name, made.content, state)
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
            Ok(Ok(zone)) => zones.good(Arc::new(zone)),
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
    let (zones, hosts, mut refused) = zones.finish();
    let snapshot = if platform_ok && (refused.is_empty() || !zones.is_empty()) {
        Some(Snapshot {
            version: version(document, &zones),
            platform,
            zones,
            hosts,
            edge: edge::edge(&document.edge, state),
            lists: lists.kept,
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
    for list in &lists.kept {
        digest.add(&*list.name);
        digest.number(list.content);
    }
    digest.finish()
}

/// The version of all of it: what holds for all zones, and each zone's own.
fn version(document: &Document, zones: &[Arc<Zone>]) -> Box<str> {
    let mut digest = Digest::default();
    digest.add(&document.edge);
    for zone in zones {
        digest.add(&*zone.name);
        digest.add(&*zone.version);
    }
    Digest::version(digest.finish())
}

/// The zones of a snapshot that is being made.
struct Zones<'l> {
    live: HashMap<&'l str, &'l Arc<Zone>>,
    all: Vec<Arc<Zone>>,
    /// Those of them, by place, that are of the live snapshot because what the document has is bad.
    kept: Vec<usize>,
    kept_names: HashSet<Box<str>>,
    refused: Vec<Refused>,
}

impl<'l> Zones<'l> {
    fn new(live: Option<&'l Snapshot>, room: usize) -> Self {
        let live = live.iter().flat_map(|live| &live.zones);
        Self {
            live: live.map(|zone| (&*zone.name, zone)).collect(),
            all: Vec::with_capacity(room),
            kept: Vec::new(),
            kept_names: HashSet::new(),
            refused: Vec::new(),
        }
    }

    /// The live zone of this name, if it is made of the same.
    fn same(&self, name: &str, content: u64, state: &State) -> Option<Arc<Zone>> {
        let live = self.live.get(name)?;
        let is_same = live.content == content && state.zone_ids.get(name) == Some(live.id);
        is_same.then(|| (*live).clone())
    }

    fn good(&mut self, zone: Arc<Zone>) {
        self.all.push(zone);
    }

    /// Two bad zones may have one name: what is live of it stays once.
    fn refuse(&mut self, index: usize, name: &str) {
        let live = self.live.get(name);
        if let Some(live) = live
            && self.kept_names.insert(name.into())
        {
            self.kept.push(self.all.len());
            self.all.push((*live).clone());
        }
        self.refused.push(Refused {
            index,
            name: name.into(),
            stays: live.map(|live| live.version.clone()),
        });
    }

    /// All zones with their hosts. A host that a good zone claims is that one's, whoever had it before.
    fn finish(self) -> (Box<[Arc<Zone>]>, HostTable, Vec<Refused>) {
        let mut hosts = HostTable::default();
        let mut kept = self.kept.iter().peekable();
        for (place, zone) in self.all.iter().enumerate() {
            if kept.next_if(|kept| **kept == place).is_none() {
                hosts.claim(&zone.hosts, place as u32);
            }
        }
        for place in self.kept {
            if let Some(zone) = self.all.get(place) {
                hosts.claim(&zone.hosts, place as u32);
            }
        }
        (self.all.into(), hosts, self.refused)
    }
}

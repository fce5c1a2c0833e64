//! What would serve if every newest version did: compiled, and kept for the next change, which is put into it as an edge would put it.
//!
//! It says whether a change is good in the time that the change takes, whatever the number of other zones; what exactly is wrong
//! with one that is not is for whoever compiles it with what it touches ([`make`](super::make)). Everything that anybody made
//! since comes in by the log. It is forgotten when nobody changes anything for a while: among a million zones it takes as much memory
//! as a worker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_control::Hash;
use seawall_control::store::{Change as StoreChange, ConfigStore, StoreError};
use seawall_guard::StageDef;
use seawall_model::document::{self, Zone};
use seawall_model::tempo::Kind;
use seawall_model::{Document, Limits};
use seawall_net::tls::config::self_signed;
use seawall_proxy::compile::{self, Change};
use seawall_proxy::materials::{Materials, Room};
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::state::State;

use super::files::{self, Safe};
use crate::contents::named;
use crate::file;
use crate::order::Chain;
use crate::process::registry;

/// How files are read, by their names.
type Read<'r> = &'r mut dyn FnMut(&Path, Room) -> Result<Vec<u8>, String>;

/// It is forgotten after so long in which nobody asked.
const KEPT: Duration = Duration::from_secs(10 * 60);
/// After so many changes it is made anew: what zones that have gone leave in State is freed with it.
const CHANGES: usize = 10_000;

/// Fewer zones than these are compiled as fast as they are looked up.
const FEW: usize = 100;

/// All that is newest, compiled.
pub struct Newest {
    snapshot: Snapshot,
    state: State,
    /// Up to which entry of the log it goes.
    seq: u64,
    /// Zones that are newest and do not compile: they are not in the snapshot.
    bad: BTreeSet<String>,
    self_signed: Option<(String, String)>,
    changes: usize,
    asked: Instant,
}

impl Newest {
    /// Compiles a configuration that is newest as of an entry of the log. None when it is not worth being kept: there are few
    /// zones, or none that compiles.
    pub fn of(
        parsed: &document::Parsed,
        seq: u64,
        stages: &'static [&'static StageDef],
        read: Read<'_>,
    ) -> Option<Self> {
        if parsed.document.zones.len() < FEW {
            return None;
        }
        let self_signed = self_signed(vec!["localhost".into()]).ok();
        let state = State::new(registry(), stages);
        let materials = Materials::read_by(&parsed.document, self_signed.clone(), read);
        let compiled = file::compile(parsed, &materials, &state, None);
        let zones = &parsed.document.zones;
        let bad = zones.iter().enumerate().filter(|(index, zone)| {
            parsed.bad_zones.contains(index)
                || compiled.refused.iter().any(|one| one.name == zone.name)
        });
        Some(Self {
            bad: bad.map(|(_, zone)| zone.name.clone()).collect(),
            snapshot: compiled.snapshot?,
            state,
            seq,
            self_signed,
            changes: 0,
            asked: Instant::now(),
        })
    }

    /// Whether nobody has asked for long.
    pub fn is_idle(&self) -> bool {
        self.asked.elapsed() > KEPT
    }

    /// Takes in what was made since. False: it is to be made anew.
    ///
    /// # Errors
    /// As the store says.
    pub fn catch_up(
        &mut self,
        store: &mut dyn ConfigStore,
        safe: &Safe,
        new: &HashMap<Hash, Arc<[u8]>>,
    ) -> Result<bool, StoreError> {
        self.asked = Instant::now();
        let last = store.last()?;
        let most = CHANGES.saturating_sub(self.changes);
        let since = store.changed_since(self.seq, most + 1)?;
        if since.len() > most {
            return Ok(false);
        }
        let mut changes = BTreeMap::new();
        for (_, chain) in since {
            let Chain::Zone(name) = &chain else {
                return Ok(false);
            };
            let head = store.head(&chain)?.filter(|head| !head.tombstone);
            let text = match head {
                Some(head) => store.document(&head.hash)?,
                None => None,
            };
            changes.insert(name.clone(), text);
        }
        self.changes += changes.len();
        let mut read = |path: &Path, room| files::read(safe, store, new, path, room);
        let (next, failed) = self.put(&changes, &mut read);
        self.snapshot = next;
        self.bad.retain(|name| !changes.contains_key(name));
        self.bad.extend(failed);
        self.seq = last;
        Ok(true)
    }

    /// Whether changes are good; false where that is not sure.
    pub fn takes(&mut self, changes: &[(Chain, StoreChange, Kind)], read: Read<'_>) -> bool {
        if !self.bad.is_empty() || changes.len() > CHANGES {
            // A bad zone may become good by them, or be what makes them bad.
            return false;
        }
        let mut texts = BTreeMap::new();
        for (chain, change, _) in changes {
            let (Chain::Zone(name), Some(text)) = (chain, text_of(change)) else {
                return false;
            };
            texts.insert(name.clone(), text);
        }
        let (_, failed) = self.put(&texts, read);
        for name in texts.keys() {
            if self.snapshot.zones.named(name).is_none() {
                self.state.zone_ids.forget(name);
            }
        }
        self.changes += texts.len();
        failed.is_empty()
    }

    /// Which other zones have a host that one of these documents claims.
    pub fn rivals(&self, document: &Document) -> BTreeSet<String> {
        let hosts = document.zones.iter().flat_map(|zone| &zone.hosts);
        let holders = hosts.filter_map(|host| self.snapshot.zones.holder(host));
        holders.map(|zone| zone.name.to_string()).collect()
    }

    /// A snapshot with these zones changed, in whose order allows it, and those that could not be.
    fn put(
        &self,
        changes: &BTreeMap<String, Option<String>>,
        read_file: Read<'_>,
    ) -> (Snapshot, Vec<String>) {
        let mut next = self.snapshot.clone();
        let mut left: Vec<(&String, Option<Option<Zone>>)> = changes
            .iter()
            .map(|(name, text)| (name, read(text.as_deref())))
            .collect();
        loop {
            let before = left.len();
            left.retain(|(name, zone)| {
                let made = zone
                    .as_ref()
                    .and_then(|zone| self.one(&next, name, zone.as_ref(), read_file));
                made.map(|made| next = made).is_none()
            });
            if left.is_empty() || left.len() == before {
                return (
                    next,
                    left.into_iter().map(|(name, _)| name.clone()).collect(),
                );
            }
        }
    }

    /// One of them; none when it does not compile.
    fn one(
        &self,
        next: &Snapshot,
        name: &str,
        zone: Option<&Zone>,
        read: Read<'_>,
    ) -> Option<Snapshot> {
        let Some(zone) = zone else {
            if next.zones.named(name).is_none() {
                return Some(next.clone());
            }
            let limits = Limits::default();
            let gone = compile::change(next, Change::Remove(name), &limits, &self.state);
            return Some(gone.ok()?.snapshot);
        };
        if zone.list_names().any(|list| next.list(list).is_none()) {
            return None;
        }
        let alone = Document {
            zones: vec![zone.clone()],
            ..Document::default()
        };
        let materials = Materials::read_by(&alone, self.self_signed.clone(), read);
        let change = Change::Put(zone, &materials);
        let made = compile::change(next, change, &Limits::default(), &self.state);
        Some(made.ok()?.snapshot)
    }
}

/// What a change makes of its zone; nothing when it changes none. Of a deletion: that it goes.
fn text_of(change: &StoreChange) -> Option<Option<String>> {
    match change {
        StoreChange::Document(_, text) => Some(Some(text.clone())),
        StoreChange::Delete(_) => Some(None),
        _ => None,
    }
}

/// The zone of a text; within, none where there is no text. None when it cannot be read.
fn read(text: Option<&str>) -> Option<Option<Zone>> {
    let Some(text) = text else {
        return Some(None);
    };
    let parsed = document::parse_alone(&named(text), &Limits::default());
    if parsed.problems.is_some() {
        return None;
    }
    let [zone] = <[Zone; 1]>::try_from(parsed.document.zones).ok()?;
    Some(Some(zone))
}

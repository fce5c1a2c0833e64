//! What brought workers down is not served again as it was: a zone's version, or that of what all zones share.
//!
//! In its place comes what last proved good. Where there is nothing of that kind, or it is the very same, the version stays with
//! its optional stages off; a zone that kills even so is left out, which is the last resort. Never is nothing served.
//!
//! Versions are found by compiling: so what is read is compiled, what is in quarantine is replaced, and the rest is shared with
//! the first attempt. Not here: who decides on it ([`judge`](crate::supervisor)).

use std::collections::HashMap;
use std::sync::Arc;

use seawall_guard::ZoneId;
use seawall_model::Document;
use seawall_model::document::{Parsed, Zone};
use seawall_proxy::compile::Compiled;
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::{Snapshot, Zone as SnapshotZone};
use seawall_proxy::state::State;

use crate::configure::Source;
use crate::data::Data;
use crate::file;
use crate::good;
use crate::live;
use crate::message::{Begin, Quarantined};
use crate::say::complain;

/// What is in quarantine, for the life of a worker.
pub struct Quarantine {
    zones: HashMap<u64, Vec<Quarantined>>,
    platform: Option<u64>,
    data: Arc<Data>,
}

/// What last proved good.
struct LastGood {
    document: Document,
    files: live::Files,
}

impl Quarantine {
    /// What the supervisor says.
    pub fn new(begin: &Begin, data: Arc<Data>) -> Self {
        let mut zones: HashMap<u64, Vec<Quarantined>> = HashMap::new();
        for one in &begin.quarantined {
            zones.entry(one.zone).or_default().push(*one);
        }
        Self {
            zones,
            platform: begin.platform,
            data,
        }
    }

    fn of(&self, zone: ZoneId, version: u64) -> Option<Quarantined> {
        let known = self.zones.get(&zone.0)?;
        known.iter().find(|one| one.version == version).copied()
    }

    /// Compiles; what is in quarantine is replaced. What is live then is what `source` says afterwards.
    pub fn compile(&self, source: &mut Source, state: &State, live: Option<&Snapshot>) -> Compiled {
        let mut compiled = file::compile(&source.parsed, &source.materials, state, live);
        if self.zones.is_empty() && self.platform.is_none() {
            return compiled;
        }
        let last_good = self.last_good();
        if self.platform.is_some() && self.is_platform_bad(&compiled) {
            if let Some(good) = &last_good {
                compiled = replace_platform(source, good, state, compiled);
            }
            if self.is_platform_bad(&compiled) {
                complain(
                    "what all zones share brought workers down, and no other version of it proved good: optional stages are off",
                );
                state.set_safe_mode(true);
            }
        }
        let Some(snapshot) = &compiled.snapshot else {
            return compiled;
        };
        if self.replace_zones(source, snapshot, last_good.as_ref()) {
            let again = file::compile(&source.parsed, &source.materials, state, Some(snapshot));
            if again.snapshot.is_some() {
                compiled = again;
            } else {
                complain("what last proved good does not compile any more");
            }
        }
        if let Some(snapshot) = &compiled.snapshot {
            self.switch_off(snapshot, state);
        }
        compiled
    }

    /// Whether this version of a zone brought workers down.
    pub fn is_bad(&self, zone: &SnapshotZone) -> bool {
        self.of(zone.id, zone.version_number).is_some()
    }

    fn is_platform_bad(&self, compiled: &Compiled) -> bool {
        let snapshot = compiled.snapshot.as_ref();
        snapshot.is_some_and(|snapshot| self.platform == Some(snapshot.platform))
    }

    fn last_good(&self) -> Option<LastGood> {
        let kept = good::last_good(&self.data.path("")).ok()?;
        Some(LastGood {
            document: kept.parsed.document,
            files: kept.files,
        })
    }

    /// Replaces zones whose versions are in quarantine, or leaves them out. Tells whether there was one.
    fn replace_zones(
        &self,
        source: &mut Source,
        snapshot: &Snapshot,
        last_good: Option<&LastGood>,
    ) -> bool {
        let mut bad: HashMap<&str, Quarantined> = HashMap::new();
        for zone in &snapshot.zones {
            if let Some(known) = self.of(zone.id, number(&zone.version)) {
                bad.insert(&zone.name, known);
            }
        }
        if bad.is_empty() {
            return false;
        }
        let good = |name: &str| -> Option<&Zone> {
            let zones = &last_good?.document.zones;
            zones.iter().find(|zone| zone.name == name)
        };
        let mut replaced = false;
        let mut zones = Vec::new();
        let mut bad_zones = std::collections::BTreeSet::new();
        let Parsed {
            document,
            bad_zones: bad_before,
            ..
        } = &mut source.parsed;
        for (index, zone) in std::mem::take(&mut document.zones).into_iter().enumerate() {
            let is_bad = bad_before.contains(&index);
            let kept = match bad.get(&*zone.name) {
                None => Some(zone),
                Some(known) => {
                    let other = good(&zone.name).filter(|good| **good != zone);
                    replaced |= other.is_some() || known.left_out;
                    match other {
                        Some(good) => {
                            told(&zone.name, "its last good version is served instead");
                            Some(good.clone())
                        }
                        None if known.left_out => {
                            told(
                                &zone.name,
                                "with its optional stages off too: it is not served",
                            );
                            None
                        }
                        None => {
                            told(&zone.name, "its optional stages are off");
                            Some(zone)
                        }
                    }
                }
            };
            if let Some(zone) = kept {
                if is_bad {
                    bad_zones.insert(zones.len());
                }
                zones.push(zone);
            }
        }
        document.zones = zones;
        *bad_before = bad_zones;
        if replaced && let Some(good) = last_good {
            let files = Materials::of(good.files.iter().cloned(), None);
            source.materials.complete(files);
        }
        replaced
    }

    /// Zones that are served although their version is in quarantine are served without optional stages.
    fn switch_off(&self, snapshot: &Snapshot, state: &State) {
        let bad = snapshot
            .zones
            .iter()
            .filter(|zone| self.of(zone.id, number(&zone.version)).is_some());
        state.set_quarantined(bad.map(|zone| zone.id).collect());
    }
}

fn told(zone: &str, what: &str) {
    complain(format_args!(
        "zone {zone}: its version brought workers down; {what}"
    ));
}

/// A zone's version, as it is written, as a number.
pub fn number(version: &str) -> u64 {
    u64::from_str_radix(version, 16).unwrap_or(0)
}

/// Takes the sections that all zones share from what last proved good; what was compiled stays where that does not compile.
fn replace_platform(
    source: &mut Source,
    good: &LastGood,
    state: &State,
    compiled: Compiled,
) -> Compiled {
    let before = source.parsed.document.clone();
    let document = &mut source.parsed.document;
    document.edge.clone_from(&good.document.edge);
    document.lists.clone_from(&good.document.lists);
    let files = Materials::of(good.files.iter().cloned(), None);
    source.materials.complete(files);
    let live = compiled.snapshot.as_ref();
    let again = file::compile(&source.parsed, &source.materials, state, live);
    if again.snapshot.is_none() {
        source.parsed.document = before;
        return compiled;
    }
    complain("what all zones share brought workers down: its last good version is served instead");
    again
}

//! What all zones share has changed, or somebody says which zones there are: all of it is put together and compiled, and what is
//! as it was is shared with what serves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use seawall_control::Hash;
use seawall_model::document::Zone;
use seawall_model::{Document, Problems};
use seawall_proxy::compile::Compiled;
use seawall_proxy::materials::{ALL, Materials};
use seawall_proxy::snapshot::Snapshot;

use super::{Changed, Making};
use crate::configure::{Source, whole};
use crate::contents::{Contents, Name};
use crate::draft::Draft;
use crate::file;
use crate::live;
use crate::order::{Chain, Change, OnTrial, Order};
use crate::unkept::Unkept;

impl Making<'_> {
    /// Puts changes into a document, and refuses those that cannot be put there.
    fn put<'o>(
        &mut self,
        draft: &mut Draft,
        changes: impl IntoIterator<Item = &'o Change>,
    ) -> Vec<(&'o Change, bool)> {
        let (put, failed) = draft.put_all(changes);
        for (change, problems) in failed {
            self.refuse(change, problems);
        }
        put
    }

    /// What is for all; none has changed when nothing of it is new.
    pub fn everything(
        &mut self,
        order: &Order,
        live: &Arc<Snapshot>,
    ) -> std::io::Result<(Arc<Snapshot>, Option<Changed>)> {
        if self.is_on_disk(order) {
            return Ok((live.clone(), None));
        }
        let document = self.document()?.clone();
        let gone = gone(order, &document);
        let mut draft = Draft::of(document);
        let put = self.put(&mut draft, gone.iter().chain(&order.live));
        let new = put.into_iter().filter(|(_, is_new)| *is_new);
        let taken: Vec<&Change> = new.map(|(change, _)| change).collect();
        if taken.is_empty() {
            return Ok((live.clone(), None));
        }
        let mut source = self.source(draft.finish(), &taken);
        let compiled = self.configuration.compile(&mut source, Some(live));
        let bad = self.told(&taken, &compiled, &source.parsed.document);
        let Some(snapshot) = compiled.snapshot else {
            return Ok((live.clone(), None));
        };
        if !bad.is_empty() {
            self.stay_as_they_were(&mut source, &bad)?;
        }
        let source = Arc::new(source);
        self.unkept = Unkept::whole(source.clone(), true);
        self.document = None;
        Ok((Arc::new(snapshot), Some(Changed::All(source))))
    }

    /// Whether all that is ordered is what serves, word for word as it is on disk. So it is when control tells for the first time of what it
    /// was told by us: a document of a million zones is not made for that.
    fn is_on_disk(&self, order: &Order) -> bool {
        let is_kept = self.unkept.base.is_none() && self.unkept.altered().next().is_none();
        if !is_kept {
            return false;
        }
        let path = self.configuration.data.path(live::LIVE);
        let (mut zones, mut platform) = (HashSet::new(), String::new());
        let read = live::read_sections(&path, |section| {
            if section.starts_with(live::ZONE) {
                zones.insert(Hash::of(section.as_bytes()));
            } else {
                platform.push_str(section);
            }
        });
        let all_of_it = order.only.is_some();
        if read.is_err()
            || self.configuration.others_on_disk(&self.unkept).is_some()
            || order
                .only
                .as_ref()
                .is_some_and(|only| only.len() != zones.len())
        {
            return false;
        }
        order.live.iter().all(|change| match &change.text {
            Some(text) if change.chain == Chain::Platform => *text == platform,
            Some(text) => {
                let section = text.strip_prefix(live::HEAD).unwrap_or(text);
                zones.remove(&Hash::of(section.as_bytes()))
            }
            // Whether it is there shows where all that is to be there is told.
            None => all_of_it && change.chain != Chain::Platform,
        }) && (zones.is_empty() || !all_of_it)
    }

    /// Zones that are bad stay as they were; the document says so.
    fn stay_as_they_were(
        &mut self,
        source: &mut Source,
        bad: &BTreeSet<String>,
    ) -> std::io::Result<()> {
        let document = self.document()?;
        let before: HashMap<&str, &Zone> = document
            .zones
            .iter()
            .map(|zone| (&*zone.name, zone))
            .collect();
        let zones = std::mem::take(&mut source.parsed.document.zones);
        source.parsed.document.zones = zones
            .into_iter()
            .filter_map(|zone| match bad.contains(&zone.name) {
                false => Some(zone),
                true => before.get(&*zone.name).map(|zone| (*zone).clone()),
            })
            .collect();
        // What was read of their files was refused with them.
        source
            .materials
            .forget_those_of(&source.parsed.document, |zone| bad.contains(&zone.name));
        Ok(())
    }

    /// What all zones share, on trial: everything compiled with it; none when that cannot be served.
    pub fn platform_on_trial(
        &mut self,
        on: &OnTrial,
        snapshot: &Snapshot,
    ) -> std::io::Result<Option<Arc<Snapshot>>> {
        let mut draft = Draft::of(self.document()?.clone());
        if self.put(&mut draft, [&on.change]).is_empty() {
            return Ok(None);
        }
        let source = self.source(draft.finish(), &[&on.change]);
        let state = &self.configuration.state;
        let compiled = file::compile(&source.parsed, &source.materials, state, Some(snapshot));
        let bad = self.told(&[&on.change], &compiled, &source.parsed.document);
        let candidate = compiled.snapshot.filter(|_| bad.is_empty());
        Ok(candidate.map(Arc::new))
    }

    /// A document with the files that it names: those of the changes as they were brought, all others as they are live.
    fn source(&mut self, document: Document, changes: &[&Change]) -> Source {
        let changed: HashSet<&str> = changes
            .iter()
            .filter_map(|change| change.chain.zone())
            .collect();
        let is_changed = |zone: &&Zone| changed.contains(zone.name.as_str());
        let mut named = Document {
            zones: document.zones.iter().filter(is_changed).cloned().collect(),
            ..Document::default()
        };
        if changes.iter().any(|change| change.chain == Chain::Platform) {
            named.lists.clone_from(&document.lists);
        }
        let self_signed = self.configuration.self_signed(&document);
        let contents = Contents::of(&self.configuration.data);
        let read = |path: &Path, room| contents.read(path, room);
        let mut materials = Materials::read_by(&named, self_signed, read);
        materials.complete(Materials::of(self.files().iter().cloned(), None));
        // Zones that are live and not on disk yet.
        let brought = |path: &Path, room| match Name::of(path) {
            Some(_) => contents.read(path, room),
            None => Err(format!("{} was not read", path.display())),
        };
        materials.fill(&document, &mut { ALL }, brought);
        Source {
            parsed: whole(document),
            materials,
            stand: None,
        }
    }

    /// Tells which changes were refused, and names their zones.
    fn told(
        &mut self,
        changes: &[&Change],
        compiled: &Compiled,
        document: &Document,
    ) -> BTreeSet<String> {
        let refused: HashMap<&str, usize> = compiled
            .refused
            .iter()
            .map(|zone| (zone.name.as_str(), zone.index))
            .collect();
        let nothing = compiled.snapshot.is_none();
        let mut bad = BTreeSet::new();
        for change in changes {
            let problems = match &change.chain {
                // A platform that makes a zone bad is bad itself: nobody else's zone has changed.
                Chain::Platform if nothing || !compiled.refused.is_empty() => {
                    compiled.problems.to_string()
                }
                Chain::Platform => continue,
                Chain::Zone(name) => match refused.get(name.as_str()) {
                    Some(index) => of_zone(&compiled.problems, *index),
                    None if nothing => compiled.problems.to_string(),
                    None => continue,
                },
            };
            if let Chain::Zone(name) = &change.chain {
                bad.insert(name.clone());
            } else {
                bad.extend(document.zones.first().map(|zone| zone.name.clone()));
            }
            self.refuse(change, problems);
        }
        bad
    }
}

/// Zones that are live and that there are no longer.
fn gone(order: &Order, document: &Document) -> Vec<Change> {
    let Some(only) = &order.only else {
        return Vec::new();
    };
    let only: HashSet<&str> = only.iter().map(String::as_str).collect();
    let zones = document.zones.iter().map(|zone| &zone.name);
    zones
        .filter(|name| !only.contains(name.as_str()))
        .map(|name| Change {
            chain: Chain::Zone(name.clone()),
            version: 0,
            text: None,
        })
        .collect()
}

/// The problems of one zone.
fn of_zone(problems: &Problems, index: usize) -> String {
    let path = format!("zone[{index}]");
    let its = problems.list.iter();
    let its = its.filter(|problem| problem.path.starts_with(&path));
    let lines: Vec<String> = its.map(ToString::to_string).collect();
    lines.join("\n")
}

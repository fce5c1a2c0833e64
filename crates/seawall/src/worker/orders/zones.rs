//! Zones put into a snapshot, one by one, each in the time that it takes alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use seawall_model::document::{self, Zone};
use seawall_model::{Document, Limits};
use seawall_proxy::compile;
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::{Snapshot, Zone as Served};

use super::{Making, PANICKED};
use crate::configure::Configuration;
use crate::contents::Contents;
use crate::order::{Chain, Change};
use crate::unkept::Altered;

/// A change that is in the snapshot.
pub struct Put<'o> {
    /// Which.
    pub change: &'o Change,
    /// The zone before it.
    pub before: Option<Arc<Served>>,
    /// The zone after it; none when it went.
    pub after: Option<Arc<Served>>,
    /// What is to be kept; none when it was so already.
    pub altered: Option<Arc<Altered>>,
}

impl Making<'_> {
    /// Puts changes of zones into a snapshot, in whose order allows it: one zone may take a host that another one gives up. Those
    /// that cannot be put are refused.
    pub fn zones<'o>(
        &mut self,
        snapshot: &Snapshot,
        changes: &[&'o Change],
    ) -> (Snapshot, Vec<Put<'o>>) {
        let mut next = snapshot.clone();
        let mut put = Vec::new();
        let mut left = changes.to_vec();
        loop {
            let mut failed = Vec::new();
            for change in &left {
                // Nothing is in the snapshot before it has compiled.
                let compile = || self.one(&mut next, change);
                match catch_unwind(AssertUnwindSafe(compile)) {
                    Ok(Ok(one)) => put.push(one),
                    Ok(Err(problems)) => failed.push((*change, problems)),
                    Err(_) => failed.push((*change, PANICKED.to_owned())),
                }
            }
            if failed.is_empty() || failed.len() == left.len() {
                for (change, problems) in failed {
                    self.refuse(change, problems);
                }
                return (next, put);
            }
            left = failed.into_iter().map(|(change, _)| change).collect();
        }
    }

    /// One of them.
    fn one<'o>(&mut self, next: &mut Snapshot, change: &'o Change) -> Result<Put<'o>, String> {
        let Chain::Zone(name) = &change.chain else {
            return Err("it is of all zones".into());
        };
        let zone = match &change.text {
            Some(text) => Some(alone(name, text)?),
            None => None,
        };
        if zone.is_none() && next.zones.named(name).is_none() {
            return Ok(Put {
                change,
                before: None,
                after: None,
                altered: None,
            });
        }
        let materials = match &zone {
            Some(zone) => self.materials_of(zone, next)?,
            None => Materials::default(),
        };
        let it = match &zone {
            Some(zone) => compile::Change::Put(zone, &materials),
            None => compile::Change::Remove(name),
        };
        let Configuration {
            state, quarantine, ..
        } = self.configuration;
        let changed = compile::change(next, it, &Limits::default(), state);
        let changed = changed.map_err(|problems| problems.to_string())?;
        let is_same = match (&changed.before, &changed.after) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            _ => false,
        };
        let after = changed.after.as_deref();
        if !is_same && after.is_some_and(|after| quarantine.is_bad(after)) {
            return Err("it brought workers down here before".into());
        }
        let altered = Altered {
            name: name.clone(),
            zone,
            materials,
        };
        *next = changed.snapshot;
        Ok(Put {
            change,
            before: changed.before,
            after: changed.after,
            altered: (!is_same).then(|| Arc::new(altered)),
        })
    }

    /// The files of a zone, as they were brought; of a version that brings none, as they are on this machine now. Those that cannot be
    /// read any more, as they were when they became live.
    fn materials_of(&mut self, zone: &Zone, beside: &Snapshot) -> Result<Materials, String> {
        if let Some(list) = zone.list_names().find(|list| beside.list(list).is_none()) {
            return Err(format!("{list:?} is no list of [lists]"));
        }
        let others = beside
            .zones
            .iter()
            .filter(|other| *other.name != *zone.name);
        let hosts = others.flat_map(|other| &*other.hosts).chain(&zone.hosts);
        let self_signed = self.configuration.self_signed_for(hosts);
        let named = Document {
            zones: vec![zone.clone()],
            ..Document::default()
        };
        let contents = Contents::of(&self.configuration.data);
        let read = |path: &Path, room| contents.read(path, room);
        let mut materials = Materials::read_by(&named, self_signed, read);
        if zone.files().any(|file| materials.file(file).is_err()) {
            let kept = self.files().iter();
            let of_it = kept.filter(|(path, _)| zone.files().any(|file| file == path));
            materials.complete(Materials::of(of_it.cloned(), None));
        }
        Ok(materials)
    }
}

/// The document of one zone, of this name.
fn alone(name: &str, text: &str) -> Result<Zone, String> {
    let parsed = document::parse_alone(text, &Limits::default());
    if let Some(problems) = parsed.problems {
        return Err(problems.to_string());
    }
    let Ok([zone]) = <[Zone; 1]>::try_from(parsed.document.zones) else {
        return Err("it is to be the document of one zone".into());
    };
    if zone.name != name {
        return Err(format!("it is to be zone {name:?}, not {:?}", zone.name));
    }
    Ok(zone)
}

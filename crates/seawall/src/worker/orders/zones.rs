//! Zones put into a snapshot, one by one, each in the time that it takes alone.

use std::collections::HashSet;
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

/// How often zones whose hosts go round are tried without those of them that cannot be put.
const ROUNDS: usize = 16;

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

/// A change that could not be put into a snapshot.
struct Left<'o> {
    change: &'o Change,
    problems: String,
    /// A host of it is another zone's.
    waits: bool,
}

impl<'o> Left<'o> {
    const fn of(change: &'o Change, problems: String) -> Self {
        Self {
            change,
            problems,
            waits: false,
        }
    }
}

impl Making<'_> {
    /// Puts changes of zones into a snapshot: one zone may take a host that another one gives up, whichever comes first, and hosts may
    /// go round. Those that cannot be put are refused.
    pub fn zones<'o>(
        &mut self,
        snapshot: &Snapshot,
        changes: &[&'o Change],
    ) -> (Snapshot, Vec<Put<'o>>) {
        let mut next = snapshot.clone();
        let (mut put, mut left) = self.each(&mut next, changes);
        let waits = left.iter().filter(|left| left.waits);
        let waits: Vec<&Change> = waits.map(|left| left.change).collect();
        if let Some((all, round)) = self.round(&next, waits) {
            next = all;
            let done: HashSet<*const Change> =
                round.iter().map(|put| &raw const *put.change).collect();
            left.retain(|left| !done.contains(&(&raw const *left.change)));
            put.extend(round);
        }
        if !put.is_empty() && !left.is_empty() {
            // What stood in the way may have gone.
            let changes: Vec<&Change> = left.iter().map(|left| left.change).collect();
            let (more, failed) = self.each(&mut next, &changes);
            put.extend(more);
            left = failed;
        }
        for left in left {
            self.refuse(left.change, left.problems);
        }
        (next, put)
    }

    /// Puts changes in, one after the other, and gives those that could not be put.
    fn each<'o>(
        &mut self,
        next: &mut Snapshot,
        changes: &[&'o Change],
    ) -> (Vec<Put<'o>>, Vec<Left<'o>>) {
        let (mut put, mut left) = (Vec::new(), Vec::new());
        for change in changes.iter().copied() {
            // Nothing is in the snapshot before it has compiled.
            let compile = || self.one(next, change);
            match catch_unwind(AssertUnwindSafe(compile)) {
                Ok(Ok(one)) => put.push(one),
                Ok(Err(failed)) => left.push(failed),
                Err(_) => left.push(Left::of(change, PANICKED.to_owned())),
            }
        }
        (put, left)
    }

    /// Zones that wait for one another's hosts go out of a copy, and all of them in as they are to be. As many of them as can; a request
    /// meets what was before, or all of it.
    fn round<'o>(
        &mut self,
        before: &Snapshot,
        mut changes: Vec<&'o Change>,
    ) -> Option<(Snapshot, Vec<Put<'o>>)> {
        // What stands first among zones does so afterwards.
        let first = before.zones.first().map(|zone| &*zone.name);
        changes.sort_by_key(|change| change.chain.zone() != first);
        for _ in 0..ROUNDS {
            if changes.is_empty() {
                return None;
            }
            let mut next = self.without(before, &changes);
            let (mut put, left) = self.each(&mut next, &changes);
            if left.is_empty() {
                for put in &mut put {
                    let name = put.change.chain.zone()?;
                    put.before = before.zones.named(name).cloned();
                    let is_in_use = |zone: &Arc<Served>| zone.pool_in_use().is_some();
                    if let Some(after) = put.after.as_ref()
                        && put.before.as_ref().is_some_and(is_in_use)
                    {
                        // It knows what the one before has learnt of origins.
                        after.pool();
                    }
                }
                return Some((next, put));
            }
            // Those stay as they are, with their hosts.
            changes = put.into_iter().map(|put| put.change).collect();
        }
        None
    }

    /// A snapshot without the zones of these changes.
    fn without(&self, snapshot: &Snapshot, changes: &[&Change]) -> Snapshot {
        let (limits, state) = (Limits::default(), &self.configuration.state);
        let mut next = snapshot.clone();
        for name in changes.iter().filter_map(|change| change.chain.zone()) {
            // One that is new is not there.
            if let Ok(gone) = compile::change(&next, compile::Change::Remove(name), &limits, state)
            {
                next = gone.snapshot;
            }
        }
        next
    }

    /// One of them.
    fn one<'o>(&mut self, next: &mut Snapshot, change: &'o Change) -> Result<Put<'o>, Left<'o>> {
        let fails = |problems: String| Left::of(change, problems);
        let Chain::Zone(name) = &change.chain else {
            return Err(fails("it is of all zones".into()));
        };
        let zone = match &change.text {
            Some(text) => Some(alone(name, text).map_err(fails)?),
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
            Some(zone) => self.materials_of(zone, next).map_err(fails)?,
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
        let changed = changed.map_err(|problems| Left {
            waits: zone.as_ref().is_some_and(|zone| waits(next, zone)),
            ..fails(problems.to_string())
        })?;
        let is_same = match (&changed.before, &changed.after) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            _ => false,
        };
        let after = changed.after.as_deref();
        if !is_same && after.is_some_and(|after| quarantine.is_bad(after)) {
            return Err(fails("it brought workers down here before".into()));
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

/// Whether another zone has a host of this one.
fn waits(snapshot: &Snapshot, zone: &Zone) -> bool {
    let mut holders = zone
        .hosts
        .iter()
        .filter_map(|host| snapshot.zones.holder(host));
    holders.any(|holder| *holder.name != *zone.name)
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

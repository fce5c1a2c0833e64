//! One zone's change: from the live snapshot to the next one, with all that a whole compile would check of it, and nothing that
//! depends on how many other zones there are.
//!
//! What it makes is what a whole compile of the changed document would make, but for which zone stands first where that one is
//! taken out. Not here: what all zones share, `[edge]` and `[lists]`: who changes those compiles all.

use std::sync::Arc;

use seawall_guard::blame::{self, Phase, Runs};
use seawall_model::document::Zone as ZoneDocument;
use seawall_model::problem::quote;
use seawall_model::{Limits, Problem, Problems, Wrong};

use super::digest::Digest;
use super::{Lists, Shop, arrived, same, version};
use crate::materials::Materials;
use crate::snapshot::{Snapshot, Zone};
use crate::state::State;

/// What changes.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A zone is new, or another than before. Problems name it as the only one.
    Put(&'a ZoneDocument, &'a Materials),
    /// The zone of this name goes.
    Remove(&'a str),
}

/// What came of it.
#[derive(Debug)]
pub struct Changed {
    /// What may go live.
    pub snapshot: Snapshot,
    /// The zone as it was; none when it is new.
    pub before: Option<Arc<Zone>>,
    /// The zone as it is; none when it is gone.
    pub after: Option<Arc<Zone>>,
}

/// The next snapshot.
///
/// # Errors
/// All problems, below `zone[0]`; and when the zone that is to go is not there, below `zone`.
pub fn change(
    live: &Snapshot,
    change: Change<'_>,
    limits: &Limits,
    state: &State,
) -> Result<Changed, Problems> {
    match change {
        Change::Put(zone, materials) => put(live, zone, materials, limits, state),
        Change::Remove(name) => remove(live, name),
    }
}

fn put(
    live: &Snapshot,
    zone: &ZoneDocument,
    materials: &Materials,
    limits: &Limits,
    state: &State,
) -> Result<Changed, Problems> {
    let mut problems = claims(live, zone);
    let before = live.zones.named(&zone.name).cloned();
    if before.is_none() && live.zones.len() >= limits.zones {
        let what = format!("has {} entries", live.zones.len() + 1);
        let wrong = Wrong::new(what, format!("at most {}", limits.zones));
        problems.push(Problem::new("zone", wrong));
    }
    let lists = Lists::of(live);
    let shop = Shop {
        location: &live.edge.location,
        materials,
        state,
        lists: &lists,
        limits,
        https_port: live.edge.public_https,
        home: &live.home,
    };
    let mut compiler = shop.compiler();
    let made = compiler.made(zone);
    if problems.is_empty()
        && let Some(same) = same(Some(live), &zone.name, made.content, state)
    {
        return Ok(Changed {
            snapshot: live.clone(),
            before,
            after: Some(same),
        });
    }
    compiler.patterns = live.patterns.clone();
    if let Some(before) = &before {
        compiler.patterns.release(&before.patterns);
    }
    let is_new = state.zone_ids.get(&zone.name).is_none();
    if !problems.is_empty() {
        problems.extend(compiler.check(0, zone));
        return Err(all(problems, limits));
    }
    let _within = blame::enter(&Runs {
        zone: state.zone_ids.of(&zone.name).0,
        version: Digest::version_number(made.version),
        platform: live.platform,
        stage: Phase::Compile.alone(),
        ray: 0,
    });
    let compiled = compiler.zone(0, zone, made).map_err(|problems| {
        if is_new {
            state.zone_ids.forget(&zone.name);
        }
        all(problems, limits)
    })?;
    let after = arrived(compiled, Some(live));
    let mut snapshot = live.clone();
    snapshot.patterns = compiler.patterns;
    snapshot.zones.put(&after);
    snapshot.zones.claim(&after);
    snapshot.version = version(snapshot.edge_content, &snapshot.zones);
    Ok(Changed {
        snapshot,
        before,
        after: Some(after),
    })
}

fn remove(live: &Snapshot, name: &str) -> Result<Changed, Problems> {
    let mut snapshot = live.clone();
    let Some(before) = snapshot.zones.remove(name) else {
        let wrong = Wrong::new(
            format!("{} is no zone", quote(name)),
            "name one that serves",
        );
        return Err(Problems::one(Problem::new("zone", wrong)));
    };
    snapshot.patterns.release(&before.patterns);
    snapshot.version = version(snapshot.edge_content, &snapshot.zones);
    Ok(Changed {
        snapshot,
        before: Some(before),
        after: None,
    })
}

/// Hosts that other zones have.
fn claims(live: &Snapshot, zone: &ZoneDocument) -> Vec<Problem> {
    let hosts = zone.hosts.iter().enumerate();
    let taken = hosts.filter_map(|(nth, host)| {
        let holder = live.zones.holder(host)?;
        let is_other = *holder.name != *zone.name;
        is_other.then(|| {
            let shown = quote(&host.to_string());
            let what = format!("{shown} is also one of zone {}", holder.name);
            let wrong = Wrong::new(what, "a host belongs to one zone");
            Problem::new(format!("zone[0].hosts[{nth}]"), wrong)
        })
    });
    taken.collect()
}

fn all(mut list: Vec<Problem>, limits: &Limits) -> Problems {
    let more = list.len().saturating_sub(limits.problems) as u64;
    list.truncate(limits.problems);
    Problems { list, more }
}

//! An order, carried out on a thread of its own: what is for all, and what is on trial beside it; then swapped in as a whole.
//!
//! Each change stands alone: one that cannot be served is refused, with all its problems, and the rest is done. What zones change
//! is put into the snapshot that serves, zone by zone, whatever the number of the others ([`zones`]); only what all zones share
//! takes a compile of everything ([`everything`]).

mod everything;
mod zones;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_guard::{ZoneId, blame};
use seawall_model::{Document, HostPattern};
use seawall_net::clock::monotonic_ms;
use seawall_proxy::mishaps::Totals;
use seawall_proxy::recent::Replayed;
use seawall_proxy::snapshot::{Snapshot, Zone as Served};
use seawall_proxy::trial::{Arms, Live, Trial, Trials};
use tokio::sync::mpsc;

use super::changes::Finished;
use crate::configure::{Configuration, Source};
use crate::good;
use crate::live;
use crate::order::{Chain, Change, Counted, OnTrial, Order, Ordered, Refusal, Taken, Trialed};
use crate::say::complain;
use crate::unkept::{Altered, Unkept};

/// Why something is refused that compiles neither well nor badly.
const PANICKED: &str = "compiling it failed: please report it";

/// A version on trial, and what is counted of it.
#[derive(Clone)]
pub struct Tried {
    on: OnTrial,
    arms: Arc<Arms>,
    /// The zone's id (0: all of them), and the number of the version here.
    blamed: Option<(u64, u64)>,
    /// A host of its, and a path.
    probe: Option<(String, String)>,
    /// Requests of late, judged by it and by what is live before it served anybody; none: that was not done yet.
    replayed: Option<Replayed>,
}

/// What is live for all and was not before.
pub enum Changed {
    /// All of it.
    All(Arc<Source>),
    /// These zones.
    Zones(Vec<Arc<Altered>>),
}

/// An order that is ready to be swapped in.
pub struct Made {
    /// What is to be live.
    pub live: Live,
    /// Something else than before is live for all.
    pub changed: Option<Changed>,
    /// What is on trial.
    pub tried: Vec<Tried>,
    /// What is told.
    pub ordered: Ordered,
    /// The order said what is live for all; what is as it was already is said too.
    pub says_what_is_live: bool,
    /// The name under which what is live is published, if that is known.
    pub stand: Option<String>,
}

/// Carries an order out on a thread of its own; what comes of it is sent, nothing when that panicked. Whether there is such a thread.
pub fn prepare(
    configuration: &Configuration,
    order: Order,
    live: Arc<Live>,
    unkept: Unkept,
    before: Vec<Tried>,
    done: mpsc::Sender<Finished>,
) -> bool {
    let configuration = configuration.clone();
    let number = order.number;
    let run = move || {
        let words = configuration.page.words();
        blame::take_slot(words, blame::Page::of(words).compile_slot());
        let made = catch_unwind(AssertUnwindSafe(|| {
            make(&configuration, &order, &live, unkept, &before)
                .map_err(|error| complain(format_args!("what is live cannot be read: {error}")))
                .ok()
                .map(Box::new)
        }));
        // Nobody waits any more when the process ends.
        let _ = done.blocking_send(Finished::Order(number, made.ok().flatten()));
    };
    let thread = std::thread::Builder::new().name("order".into());
    let begun = thread.spawn(run);
    if let Err(error) = &begun {
        complain(format_args!(
            "an order is not carried out: no thread to compile on: {error}; it is given again"
        ));
    }
    begun.is_ok()
}

fn make(
    configuration: &Configuration,
    order: &Order,
    live: &Live,
    unkept: Unkept,
    before: &[Tried],
) -> std::io::Result<Made> {
    let mut making = Making {
        configuration,
        unkept,
        document: None,
        files: None,
        ordered: Ordered {
            number: order.number,
            ..Ordered::default()
        },
    };
    let (before_it, says_nothing) = (making.unkept.stand.clone(), order.says_nothing_of_live());
    let (snapshot, mut changed) = making.live(order, &live.snapshot)?;
    let stand = match &order.stand {
        _ if !making.ordered.refused.is_empty() => None,
        None if says_nothing => before_it.clone(),
        stand => stand.clone(),
    };
    if changed.is_none() && stand.is_some() && stand != before_it {
        // Nothing but what is known of it, which is kept too.
        changed = Some(Changed::Zones(Vec::new()));
    }
    making.ordered.stand.clone_from(&stand);
    let beside = Beside {
        order,
        live,
        tried: before,
        changed: changed.as_ref(),
    };
    let (trials, tried) = making.trials(&beside, &snapshot)?;
    making.ordered.taken = tried.iter().map(Tried::taken).collect();
    Ok(Made {
        live: Live {
            snapshot,
            trials: (!tried.is_empty()).then_some(trials),
        },
        changed,
        tried,
        says_what_is_live: !order.live.is_empty(),
        stand,
        ordered: making.ordered,
    })
}

/// What is on trial, beside what.
struct Beside<'o> {
    order: &'o Order,
    /// What served before.
    live: &'o Live,
    /// What was on trial then.
    tried: &'o [Tried],
    /// What is for all by now, and was not then.
    changed: Option<&'o Changed>,
}

struct Making<'c> {
    configuration: &'c Configuration,
    /// What serves, as far as it is not on disk.
    unkept: Unkept,
    /// What serves, once somebody needs it.
    document: Option<Document>,
    /// Contents of the files that what is live names, as they were then, once somebody needs them.
    files: Option<live::Files>,
    ordered: Ordered,
}

impl Making<'_> {
    fn refuse(&mut self, change: &Change, problems: impl ToString) {
        self.ordered.refused.push(Refusal {
            chain: change.chain.clone(),
            version: change.version,
            problems: problems.to_string(),
        });
    }

    /// The document that serves. Linear in it.
    fn document(&mut self) -> std::io::Result<&Document> {
        let document = match self.document.take() {
            Some(document) => document,
            None => self.read_document()?,
        };
        Ok(self.document.insert(document))
    }

    fn read_document(&self) -> std::io::Result<Document> {
        let document = self.configuration.live_document(&self.unkept)?;
        if self.configuration.others_on_disk(&self.unkept).is_some() {
            let why = "another worker has written it meanwhile; it is read anew first";
            return Err(std::io::Error::other(why));
        }
        Ok(document)
    }

    /// Contents of the files that what is live names, as they were when it became so. Linear in it.
    fn files(&mut self) -> &live::Files {
        let data = &self.configuration.data;
        self.files.get_or_insert_with(|| {
            good::recall(&data.path("")).map_or_else(|_| Vec::new(), |kept| kept.files)
        })
    }

    /// What is for all; none has changed when nothing of it is new.
    fn live(
        &mut self,
        order: &Order,
        live: &Arc<Snapshot>,
    ) -> std::io::Result<(Arc<Snapshot>, Option<Changed>)> {
        let is_of_all = |change: &Change| change.chain == Chain::Platform;
        if order.only.is_some() || order.live.iter().any(is_of_all) {
            return self.everything(order, live);
        }
        let changes: Vec<&Change> = order.live.iter().collect();
        let (snapshot, put) = self.zones(live, &changes);
        let altered: Vec<Arc<Altered>> = put.into_iter().filter_map(|put| put.altered).collect();
        if altered.is_empty() {
            return Ok((live.clone(), None));
        }
        self.unkept.alter(altered.iter().cloned());
        self.document = None;
        Ok((Arc::new(snapshot), Some(Changed::Zones(altered))))
    }

    /// All that is on trial, compiled beside what is live.
    fn trials(
        &mut self,
        beside: &Beside<'_>,
        snapshot: &Arc<Snapshot>,
    ) -> std::io::Result<(Trials, Vec<Tried>)> {
        let (order, before) = (beside.order, beside.tried);
        let (of_platform, of_zones): (Vec<&OnTrial>, Vec<&OnTrial>) = order
            .trials
            .iter()
            .partition(|trial| trial.change.chain == Chain::Platform);
        let mut tried = Vec::new();
        let zones = self.zones_on_trial(&of_zones, snapshot, before, &mut tried);
        let mut trials = Trials {
            platform: None,
            zones,
        };
        let candidate = match of_platform.first() {
            None => None,
            Some(on) => {
                let compile = || match self.platform_as_it_was(on, beside) {
                    Some(candidate) => Ok(Some(candidate)),
                    None => self.platform_on_trial(on, snapshot),
                };
                match catch_unwind(AssertUnwindSafe(compile)) {
                    Ok(candidate) => candidate?.map(|candidate| (on, candidate)),
                    Err(_) => {
                        self.refuse(&on.change, PANICKED);
                        None
                    }
                }
            }
        };
        if let Some((on, candidate)) = candidate {
            let mut one = with_arms(on, before);
            one.probe = candidate.zones.first().map(|zone| probe_of(zone, snapshot));
            // Whatever zone was served under it: no zone has this id.
            one.blamed = Some((0, candidate.platform));
            if one.replayed.is_none() {
                let recent = &self.configuration.state.recent;
                one.replayed = Some(recent.replay_all(snapshot, &candidate, monotonic_ms()));
            }
            let trial = one.trial(None);
            tried.push(one);
            let kept = self.ordered.refused.len();
            let within =
                self.zones_on_trial(&of_zones, &candidate, &tried.clone(), &mut Vec::new());
            // Told already, as they are beside what is live.
            self.ordered.refused.truncate(kept);
            let live = Live {
                snapshot: candidate,
                trials: within.map(|zones| Trials {
                    platform: None,
                    zones: Some(zones),
                }),
            };
            trials.platform = Some((trial, Arc::new(live)));
        }
        Ok((trials, tried))
    }

    /// What all zones share, on trial, as it was before this order, with the zones that the order has changed; none where that is not
    /// known, or cannot be: all of it is compiled then.
    fn platform_as_it_was(&mut self, on: &OnTrial, beside: &Beside<'_>) -> Option<Arc<Snapshot>> {
        let is_it = |tried: &Tried| {
            let (was, is) = (&tried.on.change, &on.change);
            (&was.chain, was.version) == (&is.chain, is.version)
        };
        if !beside.tried.iter().any(is_it) {
            return None;
        }
        let (_, candidate) = beside.live.trials.as_ref()?.platform.as_ref()?;
        let altered: HashSet<&str> = match beside.changed {
            None => HashSet::new(),
            Some(Changed::Zones(zones)) => zones.iter().map(|zone| zone.name.as_str()).collect(),
            Some(Changed::All(_)) => return None,
        };
        let is_altered = |change: &&Change| {
            let zone = change.chain.zone();
            zone.is_some_and(|name| altered.contains(name))
        };
        let changes: Vec<&Change> = beside.order.live.iter().filter(is_altered).collect();
        if changes.is_empty() {
            return Some(candidate.snapshot.clone());
        }
        let kept = self.ordered.refused.len();
        let (next, put) = self.zones(&candidate.snapshot, &changes);
        // Whose fault it is shows when all is compiled.
        self.ordered.refused.truncate(kept);
        (put.len() == changes.len()).then(|| Arc::new(next))
    }

    /// Zones on trial, in one configuration.
    fn zones_on_trial(
        &mut self,
        wanted: &[&OnTrial],
        snapshot: &Snapshot,
        before: &[Tried],
        tried: &mut Vec<Tried>,
    ) -> Option<(HashMap<ZoneId, Trial>, Arc<Snapshot>)> {
        let changes: Vec<&Change> = wanted.iter().map(|on| &on.change).collect();
        let (candidate, put) = self.zones(snapshot, &changes);
        let mut trials = HashMap::new();
        for put in put {
            let is_it = |on: &&&OnTrial| std::ptr::eq(&raw const on.change, put.change);
            let Some(on) = wanted.iter().find(is_it) else {
                continue;
            };
            // One that is to go is asked for by its host too.
            let Some(known) = put.after.as_ref().or(put.before.as_ref()) else {
                // What is to be taken away is not there: that is done.
                tried.push(with_arms(on, before));
                continue;
            };
            let mut one = with_arms(on, before);
            one.probe = Some(probe_of(known, snapshot));
            let after = put.after.as_ref();
            one.blamed = after.map(|zone| (zone.id.0, zone.version_number));
            if let (None, Some(before), Some(after)) = (&one.replayed, &put.before, after) {
                let recent = &self.configuration.state.recent;
                let now_ms = monotonic_ms();
                one.replayed = Some(recent.replay(before, after, snapshot, &candidate, now_ms));
            }
            trials.insert(known.id, one.trial(after));
            tried.push(one);
        }
        (!trials.is_empty()).then_some((trials, Arc::new(candidate)))
    }
}

/// A host of a zone, and a path, for a request that says whether it is served: one that no other zone has as long as what is live serves,
/// where there is one. Requests for those of others are counted with them.
fn probe_of(zone: &Served, live: &Snapshot) -> (String, String) {
    let is_others = |host: &&HostPattern| {
        let holder = live.zones.holder(host);
        holder.is_some_and(|holder| holder.name != zone.name)
    };
    let own = zone.hosts.iter().find(|host| !is_others(host));
    let host = own
        .or(zone.hosts.first())
        .map_or_else(String::new, |host| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Under(name) => format!("seawall-probe.{name}"),
            HostPattern::Any => "seawall-probe.invalid".into(),
        });
    let path = zone.probe.as_ref().map_or("/", |probe| &probe.path);
    (host, path.to_owned())
}

fn with_arms(on: &OnTrial, before: &[Tried]) -> Tried {
    let same = |tried: &&Tried| {
        let (was, is) = (&tried.on.change, &on.change);
        (&was.chain, was.version) == (&is.chain, is.version) && tried.on.salt == on.salt
    };
    let same = before.iter().find(same);
    Tried {
        on: on.clone(),
        arms: same.map_or_else(Arc::default, |tried| tried.arms.clone()),
        blamed: None,
        probe: None,
        replayed: same.and_then(|tried| tried.replayed.clone()),
    }
}

impl Tried {
    fn taken(&self) -> Taken {
        Taken {
            chain: self.on.change.chain.clone(),
            version: self.on.change.version,
            share: self.on.share,
            salt: self.on.salt,
            blamed: self.blamed,
            probe: self.probe.clone(),
        }
    }

    fn trial(&self, zone: Option<&Arc<Served>>) -> Trial {
        Trial {
            share: self.on.share,
            salt: self.on.salt,
            arms: self.arms.clone(),
            zone: zone.cloned(),
        }
    }
}

/// What is on trial, once more.
pub fn again(tried: &[Tried]) -> Order {
    Order {
        trials: tried.iter().map(|tried| tried.on.clone()).collect(),
        ..Order::default()
    }
}

/// What was counted.
pub fn counted(tried: &[Tried], totals: Totals) -> Counted {
    let one = |tried: &Tried| Trialed {
        chain: tried.on.change.chain.clone(),
        version: tried.on.change.version,
        share: tried.on.share,
        live: tried.arms.live.counts(),
        candidate: tried.arms.candidate.counts(),
        replayed: tried.replayed.clone().unwrap_or_default(),
        kinds: tried.arms.kinds().collect(),
    };
    Counted {
        switches: Vec::new(),
        totals,
        kinds: Vec::new(),
        purged: 0,
        orders: None,
        trials: tried.iter().map(one).collect(),
    }
}

#[cfg(test)]
mod tests;

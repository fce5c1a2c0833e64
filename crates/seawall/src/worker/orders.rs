//! An order, carried out: documents are put together and compiled on a thread of their own, then swapped in as a whole.
//!
//! Each change stands alone: one that cannot be served is refused, with all its problems, and the rest is done.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use seawall_guard::blame;
use seawall_model::document::{Parsed, Zone};
use seawall_model::{Document, HostPattern, Problems};
use seawall_proxy::compile::Compiled;
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::{Snapshot, Zone as Served};
use seawall_proxy::trial::{Arms, Live, Trial, Trials};
use tokio::sync::mpsc;

use super::changes::Finished;
use crate::configure::{Configuration, Source};
use crate::draft::Draft;
use crate::file;
use crate::good;
use crate::live;
use crate::order::{Chain, Change, Counted, OnTrial, Order, Ordered, Refusal, Taken, Trialed};
use crate::say::complain;

/// A version on trial, and what is counted of it.
#[derive(Clone)]
pub struct Tried {
    on: OnTrial,
    arms: Arc<Arms>,
    /// The zone's id, and the number of its version here.
    blamed: Option<(u64, u64)>,
    /// A host of its, and a path.
    probe: Option<(String, String)>,
}

/// An order that is ready to be swapped in.
pub struct Made {
    /// What is to be live.
    pub live: Live,
    /// Something else than before is live for all.
    pub changed: Option<Source>,
    /// What is on trial.
    pub tried: Vec<Tried>,
    /// What is told.
    pub ordered: Ordered,
    /// The order said what is live for all; what is as it was already is said too.
    pub says_what_is_live: bool,
}

/// Carries an order out on a thread of its own; what comes of it is sent, nothing when that panicked.
pub fn prepare(
    configuration: &Configuration,
    order: Order,
    live: Arc<Live>,
    source: Option<Arc<Source>>,
    before: Vec<Tried>,
    done: mpsc::Sender<Finished>,
) {
    let configuration = configuration.clone();
    let run = move || {
        let words = configuration.page.words();
        blame::take_slot(words, blame::Page::of(words).compile_slot());
        let made = catch_unwind(AssertUnwindSafe(|| {
            let document = configuration
                .live_document(source.as_deref())
                .map_err(|error| complain(format_args!("what is live cannot be read: {error}")))
                .ok()?;
            drop(source);
            let made = make(&configuration, &order, &live, document, &before);
            Some(Box::new(made))
        }));
        // Nobody waits any more when the process ends.
        let _ = done.blocking_send(Finished::Order(made.ok().flatten()));
    };
    let thread = std::thread::Builder::new().name("order".into());
    if let Err(error) = thread.spawn(run) {
        complain(format_args!(
            "an order is lost: no thread to compile on: {error}"
        ));
    }
}

fn make(
    configuration: &Configuration,
    order: &Order,
    live: &Live,
    document: Document,
    before: &[Tried],
) -> Made {
    let mut making = Making {
        configuration,
        kept: good::recall(&configuration.data.path(""))
            .map_or_else(|_| Vec::new(), |kept| kept.files),
        ordered: Ordered {
            number: order.number,
            ..Ordered::default()
        },
    };
    let (document, changed) = making.live(order, live, document);
    let (snapshot, changed) = match changed {
        None => (live.snapshot.clone(), None),
        Some((snapshot, source)) => (Arc::new(snapshot), Some(source)),
    };
    let (trials, tried) = making.trials(order, &snapshot, &document, before);
    making.ordered.taken = tried.iter().map(Tried::taken).collect();
    Made {
        live: Live {
            snapshot,
            trials: (!tried.is_empty()).then_some(trials),
        },
        changed,
        tried,
        says_what_is_live: !order.live.is_empty(),
        ordered: making.ordered,
    }
}

struct Making<'c> {
    configuration: &'c Configuration,
    /// Contents of the files that what is live names, as they were then.
    kept: live::Files,
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

    /// What is for all; none when nothing of it is new.
    fn live(
        &mut self,
        order: &Order,
        live: &Live,
        document: Document,
    ) -> (Document, Option<(Snapshot, Source)>) {
        let gone = gone(order, &document);
        if order.live.is_empty() && gone.is_empty() {
            return (document, None);
        }
        let mut draft = Draft::of(document.clone());
        let put = self.put(&mut draft, gone.iter().chain(&order.live));
        let new = put.into_iter().filter(|(_, is_new)| *is_new);
        let taken: Vec<&Change> = new.map(|(change, _)| change).collect();
        if taken.is_empty() {
            return (document, None);
        }
        let next = draft.finish();
        let mut source = self.source(next, &taken);
        let compiled = self.configuration.compile(&mut source, Some(live));
        let bad = self.told(&taken, &compiled, &source.parsed.document);
        let Some(snapshot) = compiled.snapshot else {
            return (document, None);
        };
        if !bad.is_empty() {
            // Those that are bad stay as they were; the document says so.
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
        }
        (source.parsed.document.clone(), Some((snapshot, source)))
    }

    /// All that is on trial, compiled beside what is live.
    fn trials(
        &mut self,
        order: &Order,
        snapshot: &Arc<Snapshot>,
        document: &Document,
        before: &[Tried],
    ) -> (Trials, Vec<Tried>) {
        let (of_platform, of_zones): (Vec<&OnTrial>, Vec<&OnTrial>) = order
            .trials
            .iter()
            .partition(|trial| trial.change.chain == Chain::Platform);
        let mut tried = Vec::new();
        let zones = self.zones(&of_zones, snapshot, document, before, &mut tried);
        let mut trials = Trials {
            platform: None,
            zones,
        };
        if let Some(on) = of_platform.first() {
            let mut draft = Draft::of(document.clone());
            match &*self.put(&mut draft, [&on.change]) {
                [] => {}
                _ => {
                    let next = draft.finish();
                    let source = self.source(next, &[&on.change]);
                    let compiled = self.compile(&source, snapshot);
                    let bad = self.told(&[&on.change], &compiled, &source.parsed.document);
                    if let Some(candidate) = compiled.snapshot.filter(|_| bad.is_empty()) {
                        let candidate = Arc::new(candidate);
                        let mut one = with_arms(on, before);
                        one.probe = candidate.zones.first().map(|zone| probe_of(zone));
                        let trial = one.trial();
                        tried.push(one);
                        let kept = self.ordered.refused.len();
                        let within = self.zones(
                            &of_zones,
                            &candidate,
                            &source.parsed.document,
                            &tried.clone(),
                            &mut Vec::new(),
                        );
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
                }
            }
        }
        (trials, tried)
    }

    /// Zones on trial, in one configuration.
    fn zones(
        &mut self,
        wanted: &[&OnTrial],
        snapshot: &Snapshot,
        document: &Document,
        before: &[Tried],
        tried: &mut Vec<Tried>,
    ) -> Option<(HashMap<seawall_guard::ZoneId, Trial>, Arc<Snapshot>)> {
        if wanted.is_empty() {
            return None;
        }
        let mut draft = Draft::of(document.clone());
        let put = self.put(&mut draft, wanted.iter().map(|on| &on.change));
        let changes: Vec<&Change> = put.into_iter().map(|(change, _)| change).collect();
        let is_taken = |on: &&&OnTrial| changes.contains(&&on.change);
        let taken: Vec<&OnTrial> = wanted.iter().filter(is_taken).copied().collect();
        if taken.is_empty() {
            return None;
        }
        let source = self.source(draft.finish(), &changes);
        let compiled = self.compile(&source, snapshot);
        let bad = self.told(&changes, &compiled, &source.parsed.document);
        let candidate = compiled.snapshot?;
        let ids: HashMap<&str, seawall_guard::ZoneId> = candidate
            .zones
            .iter()
            .chain(&snapshot.zones)
            .map(|zone| (&*zone.name, zone.id))
            .collect();
        let mut trials = HashMap::new();
        for on in taken {
            let Chain::Zone(name) = &on.change.chain else {
                continue;
            };
            let id = ids.get(&**name);
            if id.is_none() && on.change.text.is_none() {
                // What is to be taken away is not there: that is done.
                tried.push(with_arms(on, before));
            }
            if let (false, Some(id)) = (bad.contains(name), id) {
                let mut one = with_arms(on, before);
                let is_it = |zone: &&Arc<Served>| zone.id == *id;
                // One that is to go is asked for by its host too.
                let live = snapshot.zones.iter().find(is_it);
                one.probe = live.map(|zone| probe_of(zone));
                if let Some(zone) = candidate.zones.iter().find(is_it) {
                    one.blamed = Some((id.0, zone.version_number));
                    one.probe = Some(probe_of(zone));
                }
                trials.insert(*id, one.trial());
                tried.push(one);
            }
        }
        let candidate = Arc::new(candidate);
        (!trials.is_empty()).then_some((trials, candidate))
    }

    /// A document with the files that it names: those of the changes as they are now, all others as they are live.
    fn source(&self, document: Document, changes: &[&Change]) -> Source {
        let is_changed = |zone: &&Zone| {
            let is_it =
                |change: &&Change| matches!(&change.chain, Chain::Zone(name) if *name == zone.name);
            changes.iter().any(is_it)
        };
        let mut named = Document {
            zones: document.zones.iter().filter(is_changed).cloned().collect(),
            ..Document::default()
        };
        if changes.iter().any(|change| change.chain == Chain::Platform) {
            named.lists.clone_from(&document.lists);
        }
        let self_signed = self.configuration.self_signed(&document);
        let mut materials = Materials::load(&named, Path::new("/"), self_signed);
        materials.complete(Materials::of(self.kept.iter().cloned(), None));
        Source {
            parsed: Parsed {
                document,
                problems: None,
                bad_zones: BTreeSet::new(),
                platform_ok: true,
            },
            materials,
        }
    }

    fn compile(&self, source: &Source, beside: &Snapshot) -> Compiled {
        let state = &self.configuration.state;
        file::compile(&source.parsed, &source.materials, state, Some(beside))
    }

    /// Tells which changes were refused, and names their zones.
    fn told(
        &mut self,
        changes: &[&Change],
        compiled: &Compiled,
        document: &Document,
    ) -> BTreeSet<String> {
        let refused = |name: &str| compiled.refused.iter().find(|zone| zone.name == name);
        let nothing = compiled.snapshot.is_none();
        let mut bad = BTreeSet::new();
        for change in changes {
            let problems = match &change.chain {
                // A platform that makes a zone bad is bad itself: nobody else's zone has changed.
                Chain::Platform if nothing || !compiled.refused.is_empty() => {
                    compiled.problems.to_string()
                }
                Chain::Platform => continue,
                Chain::Zone(name) => match refused(name) {
                    Some(zone) => of_zone(&compiled.problems, zone.index),
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

/// A host of a zone, and a path, for a request that says whether it is served.
fn probe_of(zone: &Served) -> (String, String) {
    let host = zone
        .hosts
        .first()
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
    Tried {
        on: on.clone(),
        arms: before
            .iter()
            .find(same)
            .map_or_else(Arc::default, |tried| tried.arms.clone()),
        blamed: None,
        probe: None,
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

    fn trial(&self) -> Trial {
        Trial {
            share: self.on.share,
            salt: self.on.salt,
            arms: self.arms.clone(),
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
pub fn counted(tried: &[Tried]) -> Counted {
    let one = |tried: &Tried| Trialed {
        chain: tried.on.change.chain.clone(),
        version: tried.on.change.version,
        share: tried.on.share,
        live: tried.arms.live.counts(),
        candidate: tried.arms.candidate.counts(),
    };
    Counted {
        switches: Vec::new(),
        trials: tried.iter().map(one).collect(),
    }
}

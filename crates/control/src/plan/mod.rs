//! The planner of rollouts: a pure function of what is wanted, what locations tell, and the time.
//!
//! [`plan`] reads Reports and nothing else; analytics may be dead. It keeps nothing: what it needs to know of the steps before
//! stands in the [`Target`]. Its answer is one [`Step`]; who carries it out writes it into the log first.
//!
//! The order in which it looks: what takes a rollout back; who asks for a person; who is silent; who has not taken the step; the
//! hold; whether enough was seen; the comparison at the end of a hold. So a bad candidate goes back also while a person is
//! waited for, and whatever is not known holds. Silence never passes for health.
//!
//! `fleet` orders the locations, `report` is what they tell, `gates` judges it, `sequential` is the test of counts, `flap` finds
//! streams that alternate, `told` speaks with the log.

mod flap;
mod fleet;
mod gates;
mod report;
mod sequential;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[cfg(feature = "unsafe-drills")]
use seawall_model::safeguard::{Safeguard, is_off};
#[cfg(feature = "unsafe-drills")]
use seawall_model::tempo::Ring;
use seawall_model::tempo::{AtOnce, Kind, Share, Tempo};

pub use flap::alternates;
pub use fleet::{Location, Order};
pub use gates::{ENOUGH, MARGIN};
pub use report::{Arm, Candidate, Circles, Counts, Histogram, Probes, Report, Shift};
pub use sequential::{ALPHA, Seen, above, rejects, worse};

/// Verdicts that a change may change where nothing that judges is changed: a binary, origins, a cache.
pub const ALLOWED_SHIFT: Share = Share::percent(1);
/// Verdicts that a change of what judges (rules, lists, a WAF rule set) may change. More needs a person's approval.
pub const ALLOWED_SHIFT_OF_RULES: Share = Share::percent(20);

/// A rollout: what is wanted, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its tempo.
    pub kind: Kind,
    /// What serves now; none: nothing does, so that there is nobody to compare with and nobody to harm by a larger share.
    pub from: Option<u64>,
    /// What is to serve; of an emergency switch the number of its rollout.
    pub to: u64,
    /// The step that it is in; none before the first.
    pub taken: Option<Taken>,
    /// Why a person is asked first: delta guard, mass-change breaker, a stream that alternates. None: nobody is.
    pub asks: Vec<String>,
    /// Whether a person let it go on nevertheless.
    pub approved: bool,
    /// Whether its chain is pinned to another version.
    pub pinned: bool,
    /// How many verdicts it may change: [`ALLOWED_SHIFT`] or [`ALLOWED_SHIFT_OF_RULES`]. An approved rollout and an emergency
    /// switch may change all.
    pub allowed_shift: Share,
    /// Nothing differs but where requests go behind the edge: origins, and what rules rewrite. Then the answers from there are compared.
    pub routes_only: bool,
    /// The locations that have what is changed.
    pub fleet: Vec<Location>,
    /// The pace.
    pub tempo: Tempo,
}

impl Target {
    fn allowed_shift(&self) -> Share {
        if self.approved || self.kind == Kind::Kill {
            return Share::ALL;
        }
        self.allowed_shift
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which, from 0.
    pub step: u32,
    /// The locations that have the candidate.
    pub ring: Vec<String>,
    /// For how many of the clients there.
    pub share: Share,
    /// When, on the clock of `now`.
    pub at_ms: u64,
    /// [`StepSpec::requests`] of the step.
    pub requests: u64,
    /// [`StepSpec::probes`] of the step.
    pub probes: u64,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Hold {
        /// Until then, on the clock of `now`; none: until something else than the time has changed.
        until: Option<u64>,
        /// What is waited for.
        why: String,
    },
    /// The next step.
    Advance {
        /// Which.
        to: StepSpec,
    },
    /// Back to what was before, everywhere, by a [`Kind::Return`].
    TakeBack {
        /// What is wrong with it.
        why: String,
    },
    /// It is everywhere, and was good for a hold.
    Done,
}

/// A step to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// Which, from 0.
    pub step: u32,
    /// All locations that have the candidate then, the canary first.
    pub ring: Vec<String>,
    /// For how many of the clients there.
    pub share: Share,
    /// How long it is watched, at the least.
    pub hold: Duration,
    /// Requests through the candidate until now.
    pub requests: u64,
    /// Probes through the candidate until now.
    pub probes: u64,
}

/// The next step of a rollout. `now_ms` is on control's monotonic clock; after a restart of control, steps that were taken before
/// are as if taken at its start, so that a hold is only ever longer. Reports of locations that are not in the fleet count for
/// nothing; of two of one location the later one in the list counts.
///
/// Takes time linear in locations and Reports.
pub fn plan(target: &Target, reports: &[Report], now_ms: u64) -> Step {
    let Some(taken) = &target.taken else {
        return begin(target, reports);
    };
    let watch = Watch::of(target, taken, reports, now_ms);
    #[cfg(feature = "unsafe-drills")]
    if is_off(Safeguard::Gates) {
        return watch.onward();
    }
    if watch.locations == 0 {
        return hold(NOWHERE);
    }
    match (watch.absolute(), target.kind) {
        (None, _) => {}
        // There is nothing good to go back to: a person must choose.
        (Some(why), Kind::Return) => {
            return hold(format!("what is returned to is not good either: {why}"));
        }
        (Some(why), _) => return Step::TakeBack { why },
    }
    if target.kind != Kind::Return
        && let Some(why) = gates::sums(&watch.sums, watch.both, target)
    {
        return Step::TakeBack { why };
    }
    if is_urgent(target.kind) {
        return watch.urgent();
    }
    if let Some(step) = held(target) {
        return step;
    }
    if let Some(step) = watch.waits() {
        return step;
    }
    if let Some(why) = gates::times(&watch.sums, watch.both) {
        return Step::TakeBack { why };
    }
    watch.onward()
}

/// At any pace.
const LEAST_SILENT: Duration = Duration::from_secs(2);
const NOWHERE: &str = "no location is there to take it: join one, or undrain one";

fn hold(why: impl Into<String>) -> Step {
    Step::Hold {
        until: None,
        why: why.into(),
    }
}

fn begin(target: &Target, reports: &[Report]) -> Step {
    if let Some(step) = held(target) {
        return step;
    }
    let sums = gates::Sums::of(reports.iter(), |_| false);
    match next(target, None, &sums) {
        Some(to) => Step::Advance { to },
        None => hold(NOWHERE),
    }
}

/// Whether it goes on without being sure: going back and switching off must not wait for those who are silent.
const fn is_urgent(kind: Kind) -> bool {
    matches!(kind, Kind::Return | Kind::Kill)
}

/// Whether somebody keeps it where it is. Going back and switching off ask nobody.
fn held(target: &Target) -> Option<Step> {
    if is_urgent(target.kind) {
        return None;
    }
    if target.pinned {
        return Some(hold("it is pinned to another version: unpin it first"));
    }
    let first = target.asks.first().filter(|_| !target.approved)?;
    Some(hold(format!("waits for approval: {first}")))
}

/// The step behind the one that was taken, leaving out those that would change nothing; none behind the last.
fn next(target: &Target, taken: Option<&Taken>, sums: &gates::Sums) -> Option<StepSpec> {
    let order = Order::of(&target.fleet);
    if order.is_empty() {
        return None;
    }
    let reached = taken.map(|taken| (taken.ring.as_slice(), taken.share));
    let (before, share_before) = reached.unwrap_or((&[], Share::NONE));
    let stages = target.tempo.stages(target.kind, order.len());
    #[cfg(feature = "unsafe-drills")]
    let stages = stages.filter(|stage| {
        let is_last = (stage.ring, stage.share) == (Ring::Locations(Share::ALL), Share::ALL);
        is_last || !is_off(Safeguard::Gates)
    });
    stages
        .map(|stage| {
            // Where nothing serves, a share is no protection: the rest of the clients would get nothing.
            let share = if target.from.is_none() {
                Share::ALL
            } else {
                stage.share
            };
            (
                order.ring(stage.ring, before),
                share.max(share_before),
                stage,
            )
        })
        .find(|(ring, share, _)| ring.len() > before.len() || *share > share_before)
        .map(|(ring, share, stage)| StepSpec {
            step: taken.map_or(0, |taken| taken.step.saturating_add(1)),
            ring,
            share,
            hold: stage.hold,
            requests: sums.with.all.requests,
            probes: sums.with.probes.all(),
        })
}

/// What is seen of a step.
struct Watch<'p> {
    target: &'p Target,
    taken: &'p Taken,
    now_ms: u64,
    /// The Reports of the ring, by location; none where none came.
    ring: Vec<(&'p str, Option<&'p Report>)>,
    sums: gates::Sums,
    /// How many locations are not drained.
    locations: usize,
    /// Whether the ring serves both versions.
    both: bool,
}

impl<'p> Watch<'p> {
    fn of(target: &'p Target, taken: &'p Taken, reports: &'p [Report], now_ms: u64) -> Self {
        let fleet: BTreeMap<&str, bool> = target
            .fleet
            .iter()
            .map(|location| (location.name.as_str(), location.drained))
            .collect();
        let by_name: BTreeMap<&str, &Report> = reports
            .iter()
            .filter(|report| fleet.contains_key(report.location.as_str()))
            .map(|report| (report.location.as_str(), report))
            .collect();
        let members: BTreeSet<&str> = taken.ring.iter().map(String::as_str).collect();
        let has = |report: &Report| members.contains(report.location.as_str());
        // Who was drained or has left meanwhile is not waited for.
        let waited = taken
            .ring
            .iter()
            .filter(|name| fleet.get(name.as_str()) == Some(&false));
        Self {
            target,
            taken,
            now_ms,
            ring: waited
                .map(|name| (name.as_str(), by_name.get(name.as_str()).copied()))
                .collect(),
            sums: gates::Sums::of(by_name.values().copied(), has),
            locations: fleet.values().filter(|drained| !**drained).count(),
            both: taken.share < Share::ALL,
        }
    }

    /// Why it must go back at once, by what one location tells.
    fn absolute(&self) -> Option<String> {
        let told = self.ring.iter().filter_map(|(_, report)| *report);
        let of_this = |report: &&Report| {
            report
                .candidate
                .is_none_or(|one| one.version == self.target.to)
        };
        told.filter(of_this).find_map(gates::absolute)
    }

    /// The step behind this one, or the end.
    fn onward(&self) -> Step {
        match next(self.target, Some(self.taken), &self.sums) {
            Some(to) => Step::Advance { to },
            None => Step::Done,
        }
    }

    /// What an urgent rollout does: it goes on after the hold when all have taken the step, and after
    /// [`Tempo::URGENT`] in any case.
    fn urgent(&self) -> Step {
        let since = self.now_ms.saturating_sub(self.taken.at_ms);
        let until = |ms: u64| self.watching(self.taken.at_ms.saturating_add(ms));
        if since < self.hold_ms() {
            return until(self.hold_ms());
        }
        let has = |report: &Report| has(report, self.target);
        let all = self.ring.iter().all(|(_, report)| report.is_some_and(has));
        let most = self.millis(Tempo::URGENT);
        if !all && since < most {
            return until(most);
        }
        match self.onward() {
            // It reaches everybody by now. Before a return is called complete, whoever is heard of has it.
            Step::Done if self.target.kind == Kind::Return => self.late().unwrap_or(Step::Done),
            step => step,
        }
    }

    /// Waits for one that is heard of, could take it, and has not.
    fn late(&self) -> Option<Step> {
        let silent_ms = gone_ms(self.target);
        let told = self
            .ring
            .iter()
            .filter_map(|(name, report)| Some((name, (*report)?)));
        let mut late = told.filter(|(_, report)| {
            report.age_ms <= silent_ms && !report.held && !has(report, self.target)
        });
        let (name, _) = late.next()?;
        Some(hold(format!(
            "{name} has not taken it yet: look at it, or drain it"
        )))
    }

    /// What is waited for before the step is over.
    fn waits(&self) -> Option<Step> {
        let silent_ms = self.millis(Tempo::SILENT);
        let report_ms = self.millis(Tempo::REPORT);
        let since = self.now_ms.saturating_sub(self.taken.at_ms);
        // A location that was silent before it was given the candidate says nothing about it. Of a large ring some may be.
        let mut spared = self.ring.len() / 20;
        let hold_ms = self.hold_ms();
        for (name, report) in &self.ring {
            let age = report.map_or(u64::MAX, |report| report.age_ms);
            if age > silent_ms {
                if age > since.saturating_add(silent_ms) && spared > 0 {
                    spared -= 1;
                    continue;
                }
                return Some(hold(format!("{name} is silent: look at it, or drain it")));
            }
            let has = report.and_then(|report| report.candidate);
            let has =
                has.filter(|one| one.version == self.target.to && one.share >= self.taken.share);
            let Some(candidate) = has else {
                return Some(hold(format!("{name} has not taken the step yet")));
            };
            // What a Report says of the hold is one interval of Reports old at most.
            let watched = candidate
                .for_ms
                .saturating_add(age)
                .saturating_add(report_ms);
            if watched < hold_ms {
                let until = self.now_ms.saturating_add(hold_ms - watched);
                return Some(self.watching(until));
            }
        }
        if since < hold_ms {
            return Some(self.watching(self.taken.at_ms.saturating_add(hold_ms)));
        }
        if hold_ms > 0 && self.seen() < ENOUGH {
            let seen = self.seen();
            return Some(hold(format!(
                "{seen} requests and probes in this step, fewer than {ENOUGH}: it waits for traffic or probes"
            )));
        }
        None
    }

    fn watching(&self, until: u64) -> Step {
        Step::Hold {
            until: Some(until),
            why: format!(
                "step {} at {} is watched",
                self.taken.step + 1,
                self.taken.share
            ),
        }
    }

    /// Requests and probes through the candidate since the step was taken.
    fn seen(&self) -> u64 {
        let requests = self
            .sums
            .with
            .all
            .requests
            .saturating_sub(self.taken.requests);
        let probes = self
            .sums
            .with
            .probes
            .all()
            .saturating_sub(self.taken.probes);
        requests.saturating_add(probes)
    }

    /// The hold of the step that was taken: the longest that the table has for such a change.
    fn hold_ms(&self) -> u64 {
        let locations = self.locations.max(self.taken.ring.len());
        let holds = self
            .target
            .tempo
            .stages(self.target.kind, locations)
            .map(|stage| stage.hold);
        holds.max().map_or(0, as_millis)
    }

    fn millis(&self, time: Duration) -> u64 {
        as_millis(self.target.tempo.scaled(time))
    }
}

/// After so long a location is gone on without. However fast all goes, a Report takes its time.
fn gone_ms(target: &Target) -> u64 {
    as_millis(target.tempo.scaled(Tempo::SILENT).max(LEAST_SILENT))
}

/// Whether a location said last that it has what a rollout brings.
fn has(report: &Report, target: &Target) -> bool {
    let candidate = report.candidate;
    candidate.is_some_and(|one| one.version == target.to)
}

/// The locations that have not said that they have what a rollout brings, each with why, for who is told that it is everywhere.
/// Drained ones are left out: nobody is led there.
pub fn without(target: &Target, reports: &[Report]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Report> = reports
        .iter()
        .map(|report| (report.location.as_str(), report))
        .collect();
    let silent_ms = gone_ms(target);
    let waited = target.fleet.iter().filter(|location| !location.drained);
    let lacks = waited.filter_map(|location| {
        let report = by_name.get(location.name.as_str());
        let why = match report {
            Some(report) if has(report, target) => return None,
            Some(report) if report.held => "does not follow control",
            Some(report) if report.age_ms <= silent_ms => "has not taken it yet",
            _ => "is silent",
        };
        Some(format!("{} {why}", location.name))
    });
    lacks.collect()
}

fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What becomes of a rollout that wants to begin while others run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It begins.
    Start,
    /// It waits for the end of this one.
    Wait(u64),
    /// It begins, and these end with it, aborted.
    Preempt(Vec<u64>),
}

/// Whether a rollout may begin, beside those that run: each with its number, its kind, and what it is of
/// ([`crate::store::Rollout::key`]).
pub fn admit(kind: Kind, key: &str, running: &[(u64, Kind, String)]) -> Admission {
    let of_key = running.iter().filter(|(_, _, other)| other == key);
    match kind.row().at_once {
        AtOnce::Preempts => {
            let ended: Vec<u64> = of_key.map(|(id, ..)| *id).collect();
            if ended.is_empty() {
                Admission::Start
            } else {
                Admission::Preempt(ended)
            }
        }
        AtOnce::ManyChains => of_key
            .map(|(id, ..)| Admission::Wait(*id))
            .next()
            .unwrap_or(Admission::Start),
        AtOnce::One => running
            .iter()
            .find(|(_, other, running)| *other == kind || running == key)
            .map_or(Admission::Start, |(id, ..)| Admission::Wait(*id)),
    }
}

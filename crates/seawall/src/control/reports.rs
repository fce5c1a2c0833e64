//! What a location tells, as the planner reads it.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;

use seawall_control::plan::{self, Arm, Candidate, Circles, Counts, Histogram, Shift};
use seawall_model::Share;
use seawall_proxy::trial::{Counts as Counted, class_begins_at};

use super::words::Report;
use crate::order::Chain;

/// A Report, with what it says of each version found by it: there may be thousands on trial, and each is asked for.
pub struct Heard {
    report: Report,
    of: HashMap<(Chain, u64), Of>,
    held: HashSet<Chain>,
}

/// Where a Report tells of a version.
#[derive(Default)]
struct Of {
    taken: Option<usize>,
    arms: Option<usize>,
    refused: Vec<usize>,
    restarts: u64,
    failed_probes: u64,
}

impl Deref for Heard {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Heard {
    /// A Report that came just now.
    pub fn of(report: Report) -> Self {
        let mut of: HashMap<(Chain, u64), Of> = HashMap::new();
        for (nth, (chain, version, ..)) in report.taken.iter().enumerate() {
            let of = of.entry((chain.clone(), *version)).or_default();
            of.taken.get_or_insert(nth);
        }
        for (nth, trial) in report.counted.trials.iter().enumerate() {
            let of = of.entry((trial.chain.clone(), trial.version)).or_default();
            of.arms.get_or_insert(nth);
        }
        for (nth, (chain, version, _)) in report.refused.iter().enumerate() {
            let of = of.entry((chain.clone(), *version)).or_default();
            of.refused.push(nth);
        }
        for (chain, version, many) in &report.restarts {
            of.entry((chain.clone(), *version)).or_default().restarts = *many;
        }
        for (chain, version, many) in &report.failed_probes {
            let of = of.entry((chain.clone(), *version)).or_default();
            of.failed_probes = *many;
        }
        let held = report.held.iter().cloned().collect();
        Self { report, of, held }
    }
}

/// What a location's Report says of one rollout.
pub fn about(
    heard: &Heard,
    location: &str,
    chain: &Chain,
    version: u64,
    age_ms: u64,
) -> plan::Report {
    let nothing = Of::default();
    let of = heard.of.get(&(chain.clone(), version)).unwrap_or(&nothing);
    let taken = of.taken.and_then(|nth| heard.taken.get(nth));
    let arms = of.arms.and_then(|nth| heard.counted.trials.get(nth));
    let refused = of.refused.iter().filter_map(|nth| heard.refused.get(*nth));
    let mut with = arms.map(|arms| arm(&arms.candidate)).unwrap_or_default();
    let mut base = arms.map(|arms| arm(&arms.live)).unwrap_or_default();
    for (kind, [live, candidate]) in arms.into_iter().flat_map(|arms| &arms.kinds) {
        base.kinds.insert(kind.clone(), counts(live));
        with.kinds.insert(kind.clone(), counts(candidate));
    }
    // Those that went well are among the requests.
    with.probes.bad = of.failed_probes;
    plan::Report {
        location: location.into(),
        age_ms,
        candidate: taken.map(|(_, version, share, for_ms)| Candidate {
            version: *version,
            share: Share::per_myriad(*share),
            for_ms: *for_ms,
        }),
        with,
        base,
        restarts: of.restarts,
        refused: refused
            .flat_map(|(_, _, problems)| problems.lines().map(str::to_owned))
            .collect(),
        held: heard.held.contains(chain),
        replay: arms.map_or_else(Shift::default, |arms| Shift {
            judged: arms.replayed.judged,
            changed: arms.replayed.changed,
        }),
        circles: arms.map_or_else(Circles::default, |arms| Circles {
            requests: arms.replayed.circled,
            one: arms.replayed.circle.clone(),
        }),
        ..plan::Report::default()
    }
}

fn arm(counted: &Counted) -> Arm {
    let histogram = |classes: &[u64]| {
        let mut all = Histogram::default();
        for (class, count) in classes.iter().enumerate() {
            all.add_many(class_begins_at(class), *count);
        }
        all
    };
    Arm {
        all: counts(counted),
        own_us: histogram(&counted.durations),
        cpu_us: histogram(&counted.judging),
        ..Arm::default()
    }
}

fn counts(counted: &Counted) -> Counts {
    Counts {
        requests: counted.requests,
        edge_5xx: counted.edge_errors,
        resets: counted.resets,
        verdict_changed: counted.judged_otherwise,
        clients: counted.networks,
        refused_clients: counted.refused_networks,
        answered_clients: counted.answered_networks,
        failed_clients: counted.failed_networks,
    }
}

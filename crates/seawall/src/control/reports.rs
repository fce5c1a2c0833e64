//! What a location tells, as the planner reads it.

use seawall_control::plan::{self, Arm, Candidate, Counts, Histogram, Shift};
use seawall_model::Share;
use seawall_proxy::trial::{Counts as Counted, class_begins_at};

use super::words::Report;
use crate::order::Chain;

/// What a location's Report says of one rollout.
pub fn about(
    report: &Report,
    location: &str,
    chain: &Chain,
    version: u64,
    age_ms: u64,
) -> plan::Report {
    let taken = report
        .taken
        .iter()
        .find(|taken| (&taken.0, taken.1) == (chain, version));
    let counted = report.counted.trials.iter();
    let mut counted = counted.filter(|trial| (&trial.chain, trial.version) == (chain, version));
    let arms = counted.next();
    let of_this = |told: &&(Chain, u64, u64)| (&told.0, told.1) == (chain, version);
    let refused = report
        .refused
        .iter()
        .filter(|told| (&told.0, told.1) == (chain, version));
    let bad = report
        .failed_probes
        .iter()
        .find(of_this)
        .map_or(0, |told| told.2);
    let mut with = arms.map(|arms| arm(&arms.candidate)).unwrap_or_default();
    let mut base = arms.map(|arms| arm(&arms.live)).unwrap_or_default();
    for (kind, [live, candidate]) in arms.into_iter().flat_map(|arms| &arms.kinds) {
        base.kinds.insert(kind.clone(), counts(live));
        with.kinds.insert(kind.clone(), counts(candidate));
    }
    // Those that went well are among the requests.
    with.probes.bad = bad;
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
        restarts: report
            .restarts
            .iter()
            .find(of_this)
            .map_or(0, |told| told.2),
        refused: refused
            .flat_map(|(_, _, problems)| problems.lines().map(str::to_owned))
            .collect(),
        held: report.held.contains(chain),
        replay: arms.map_or_else(Shift::default, |arms| Shift {
            judged: arms.replayed.judged,
            changed: arms.replayed.changed,
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
    }
}

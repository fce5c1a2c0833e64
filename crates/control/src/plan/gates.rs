//! What takes a rollout back: absolute guards, the sequential test of counts, and at the end of a hold the comparison of times.
//!
//! **At once, without statistics**: a location refuses the candidate; a worker died of it; fewer than 90 % of at least 20 requests
//! and probes went well. The last one does not count while the base is no better: a site that is down must be mendable.
//!
//! **Errors, resets**: the sequential test ([`super::sequential`]), all zones together and each kind of zone by itself. While a
//! location serves both versions, its own two arms are compared: same place, same time. Where it serves the candidate alone, it
//! must do worse than the rest of the fleet *and* worse than its own past, each by [`MARGIN`]: places differ, and so do
//! hours, and each of the two rules one of them out. The smaller evidence counts.
//!
//! **Changed verdicts**: of the requests that both versions judged, in replay and beside the live ones,
//!
//! ```text
//! shift = changed of the candidate ÷ judged − changed of the base ÷ judged
//! ```
//!
//! where the base's own is the noise of judging twice (counters move on meanwhile). The rollout goes back when the
//! sequential test shows that the candidate's share is above `allowed + noise`: of what was replayed, of what was served, or of
//! both together.
//!
//! **Refused clients**: whatever refuses, also what counts clients and so has no say in replay. The rollout goes back when at least
//! 50 of 100 clients more than beside it were refused once at least; of each side 20 must be known.
//!
//! **Circles**: the rollout goes back when of the requests that were replayed more than one in a hundred, by the sequential test, would be
//! sent in a circle by redirects. Nobody means that, whatever else a change may change.
//!
//! **Failed clients**, where nothing differs but where requests go behind the edge: then both sides ask for the same there. Of the clients
//! that were answered from there, at least 50 of 100 more than beside it got an answer from 400 on once at least, and the sequential
//! test, with clients in place of requests, says so too.
//!
//! **Times** (the edge's own time: median and 99th percentile; CPU: median) once, at the end of a hold: the candidate fails when
//! for sure more than `1 − q` of its requests took longer than `T = base's q-quantile · (1 + relative) + absolute`. "For sure"
//! is the lower end of Wilson's interval at 99.9 %, and the base's quantile is the upper end of its own (by ranks) at 99.9 %. It
//! is a difference of quantiles with a minimum effect; no rank-sum test, which at a million requests rejects what nobody
//! notices.

use seawall_model::tempo::Share;

use super::report::{Arm, Counts, Histogram, Report};
use super::sequential::{self, Seen};
use super::{ALLOWED_SHIFT, Target};

/// Requests and probes below which nothing is judged.
pub const ENOUGH: u64 = 20;
/// Of them so many per cent must go well.
const WELL: u64 = 90;
/// Clients of a hundred by which a candidate may refuse, or fail, more than what it stands beside.
const MORE: u64 = 50;
/// By how much other places and other hours may do better before that means something.
pub const MARGIN: f64 = 1.5;
/// Requests of both arms below which a median and a 99th percentile are not compared.
const ENOUGH_FOR: [(f64, u64); 2] = [(0.5, 100), (0.99, 1_000)];
/// One-sided 99.9 % of the normal distribution.
const Z: f64 = 3.09;

/// The Reports of a rollout, summed.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Candidate, in all locations that have it.
    pub(super) with: Arm,
    /// Base, in those same locations.
    beside: Arm,
    /// Base, in all locations.
    base: Arm,
    /// Past of the locations that have the candidate.
    past: Arm,
    /// The edge's own time and the CPU time of all, in the past.
    fleet_past: Arm,
    replay: (u64, u64),
    /// Of what was replayed: how many would be sent in a circle, and one of the circles.
    circles: (u64, Option<String>),
}

impl Arm {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        for (kind, counts) in &other.kinds {
            match self.kinds.get_mut(kind) {
                Some(sum) => sum.add(counts),
                None => {
                    self.kinds.insert(kind.clone(), *counts);
                }
            }
        }
        self.probes.ok = self.probes.ok.saturating_add(other.probes.ok);
        self.probes.bad = self.probes.bad.saturating_add(other.probes.bad);
        self.own_us.merge(&other.own_us);
        self.cpu_us.merge(&other.cpu_us);
    }

    /// Requests and probes, and those of them that went well.
    fn judged(&self) -> (u64, u64) {
        let all = self.all.requests.saturating_add(self.probes.all());
        let well = self.all.requests.saturating_sub(self.all.bad());
        (all, well.saturating_add(self.probes.ok))
    }
}

impl Sums {
    /// Sums up Reports; `has` says which are of locations that have the candidate.
    pub(super) fn of<'r>(
        reports: impl Iterator<Item = &'r Report>,
        has: impl Fn(&Report) -> bool,
    ) -> Self {
        let mut sums = Self::default();
        for report in reports {
            sums.base.add(&report.base);
            sums.fleet_past.own_us.merge(&report.past.own_us);
            sums.fleet_past.cpu_us.merge(&report.past.cpu_us);
            if has(report) {
                sums.with.add(&report.with);
                sums.beside.add(&report.base);
                sums.past.add(&report.past);
                sums.replay.0 = sums.replay.0.saturating_add(report.replay.judged);
                sums.replay.1 = sums.replay.1.saturating_add(report.replay.changed);
                let circles = &report.circles;
                sums.circles.0 = sums.circles.0.saturating_add(circles.requests);
                if sums.circles.1.is_none() {
                    sums.circles.1.clone_from(&circles.one);
                }
            }
        }
        sums
    }
}

/// Why the candidate must go at once, by what one location tells of it.
pub(super) fn absolute(report: &Report) -> Option<String> {
    let at = &report.location;
    if let Some(first) = report.refused.first() {
        let more = report.refused.len() - 1;
        let more = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        return Some(format!("{at} refuses it: {first}{more}"));
    }
    if report.restarts > 0 {
        return Some(format!("a worker at {at} died of it"));
    }
    unwell(&report.with, &report.base).map(|why| format!("{why} at {at}"))
}

/// Whether fewer than 90 % of what a candidate did went well, and the base does better.
fn unwell(with: &Arm, base: &Arm) -> Option<String> {
    let fails = |(all, well): (u64, u64)| {
        all >= ENOUGH && u128::from(well) * 100 < u128::from(all) * u128::from(WELL)
    };
    let (all, well) = with.judged();
    if !fails((all, well)) || fails(base.judged()) {
        return None;
    }
    Some(format!(
        "{well} of {all} requests and probes went well, fewer than {WELL} %"
    ))
}

/// Why the candidate must go by what all locations tell together; `both` says whether its locations serve both versions.
pub(super) fn sums(sums: &Sums, both: bool, target: &Target) -> Option<String> {
    let allowed = target.allowed_shift();
    // A person, or an emergency, wants it so.
    let is_meant = allowed >= Share::ALL;
    unwell(&sums.with, &sums.beside)
        .or_else(|| worse(sums, both))
        .or_else(|| circles(sums).filter(|_| !is_meant))
        .or_else(|| shifted(sums, allowed))
        .or_else(|| refuses(sums).filter(|_| both && !is_meant))
        .or_else(|| fails(sums).filter(|_| both && !is_meant && target.routes_only))
}

/// Whether the candidate refuses most clients, and the base beside it does not. Clients count, not requests: one that is refused a
/// thousand times, as an attacker is, is one on whichever side it is.
fn refuses(sums: &Sums) -> Option<String> {
    let (with, base) = (&sums.with.all, &sums.beside.all);
    let of = |counts: &Counts| (counts.refused_clients, counts.clients);
    (more_of_hundred(of(with), of(base))? >= MORE).then(|| {
        format!(
            "about {} of {} clients are refused, of those without it {} of {}",
            with.refused_clients, with.clients, base.refused_clients, base.clients
        )
    })
}

/// Whether most clients of the candidate are told from behind the edge that something is not there, or not to be had, and those
/// beside it are not.
fn fails(sums: &Sums) -> Option<String> {
    let (with, base) = (&sums.with.all, &sums.beside.all);
    let of = |counts: &Counts| (counts.failed_clients, counts.answered_clients);
    let seen = |counts: &Counts| Seen {
        bad: counts.failed_clients.min(counts.answered_clients),
        requests: counts.answered_clients,
    };
    let is_more = more_of_hundred(of(with), of(base))? >= MORE;
    let is_sure = || sequential::rejects(sequential::worse(seen(with), seen(base), 1.0));
    (is_more && is_sure()).then(|| {
        format!(
            "about {} of {} clients get an error (4xx, 5xx) from the origin, of those without it {} of {}",
            with.failed_clients, with.answered_clients, base.failed_clients, base.answered_clients
        )
    })
}

/// By how many clients of a hundred one side has more of some kind than the other; none where too few are known of either.
fn more_of_hundred(with: (u64, u64), base: (u64, u64)) -> Option<u64> {
    let of_hundred =
        |(some, all): (u64, u64)| (all >= ENOUGH).then(|| some.min(all).saturating_mul(100) / all);
    Some(of_hundred(with)?.saturating_sub(of_hundred(base)?))
}

/// Whether requests of late would be sent in a circle.
fn circles(sums: &Sums) -> Option<String> {
    let (requests, one) = &sums.circles;
    let seen = Seen {
        bad: *requests,
        requests: sums.replay.0,
    };
    let most = f64::from(ALLOWED_SHIFT.parts()) / f64::from(Share::ALL.parts());
    sequential::rejects(sequential::above(seen, most)).then(|| {
        format!(
            "{} of {} requests of late would be sent round in a circle: {}",
            seen.bad,
            seen.requests,
            one.as_deref().unwrap_or("by redirects")
        )
    })
}

fn worse(sums: &Sums, both: bool) -> Option<String> {
    let none = Counts::default();
    let all = [
        ("errors", Counts::edge as fn(&Counts) -> u64),
        ("resets", |counts: &Counts| counts.resets),
    ];
    for (what, of) in all {
        let arms = Compared {
            with: &sums.with.all,
            beside: &sums.beside.all,
            base: &sums.base.all,
            past: &sums.past.all,
        };
        if let Some(why) = arms.worse(both, of) {
            return Some(format!("more {what} than without it: {why}"));
        }
    }
    sums.with.kinds.iter().find_map(|(kind, with)| {
        let of = |arm: &'_ Arm| arm.kinds.get(kind).copied().unwrap_or(none);
        let (beside, base, past) = (of(&sums.beside), of(&sums.base), of(&sums.past));
        let arms = Compared {
            with,
            beside: &beside,
            base: &base,
            past: &past,
        };
        let why = arms.worse(both, Counts::bad)?;
        Some(format!(
            "more errors than without it in zones of kind {kind}: {why}"
        ))
    })
}

impl Counts {
    fn edge(&self) -> u64 {
        self.edge_5xx
    }
}

/// The counts of a candidate, and those that it is held against.
struct Compared<'c> {
    with: &'c Counts,
    beside: &'c Counts,
    base: &'c Counts,
    past: &'c Counts,
}

impl Compared<'_> {
    fn worse(&self, both: bool, bad: impl Fn(&Counts) -> u64) -> Option<String> {
        let seen = |counts: &Counts| Seen {
            bad: bad(counts),
            requests: counts.requests,
        };
        let against =
            |base: &Counts, margin| sequential::worse(seen(self.with), seen(base), margin);
        let (evidence, shown) = match (both, self.base.requests, self.past.requests) {
            (true, ..) => (against(self.beside, 1.0), self.beside),
            (false, _, 0) => (against(self.base, MARGIN), self.base),
            (false, 0, _) => (against(self.past, MARGIN), self.past),
            (false, ..) => (
                against(self.base, MARGIN).min(against(self.past, MARGIN)),
                self.base,
            ),
        };
        sequential::rejects(evidence).then(|| {
            format!(
                "{} of {} requests against {} of {}",
                bad(self.with),
                self.with.requests,
                bad(shown),
                shown.requests
            )
        })
    }
}

fn shifted(sums: &Sums, allowed: Share) -> Option<String> {
    let ratio = |part: u64, whole: u64| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let noise = ratio(sums.base.all.verdict_changed, sums.base.all.requests);
    let limit = f64::from(allowed.parts()) / f64::from(Share::ALL.parts()) + noise;
    let (judged, changed) = sums.replay;
    let replayed = Seen {
        bad: changed,
        requests: judged,
    };
    let served = Seen {
        bad: sums.with.all.verdict_changed,
        requests: sums.with.all.requests,
    };
    let both = Seen {
        bad: served.bad.saturating_add(replayed.bad),
        requests: served.requests.saturating_add(replayed.requests),
    };
    // Replay by itself too: probes, and clients who ask for other things, are no evidence against it.
    let over = |seen: &Seen| sequential::rejects(sequential::above(*seen, limit));
    let seen = [replayed, served, both].into_iter().find(over)?;
    Some(format!(
        "{} of {} requests are judged otherwise than without it, more than the {allowed} that it may change",
        seen.bad, seen.requests
    ))
}

/// Why the candidate must go at the end of a hold: it is slower or dearer.
pub(super) fn times(sums: &Sums, both: bool) -> Option<String> {
    let own = Times {
        what: "own time",
        relative: 0.15,
        absolute_us: 5_000.0,
    };
    let cpu = Times {
        what: "CPU time",
        relative: 0.25,
        absolute_us: 50.0,
    };
    let own_of = |arm: &Arm| arm.own_us.clone();
    let cpu_of = |arm: &Arm| arm.cpu_us.clone();
    let [median, tail] = ENOUGH_FOR;
    own.slower(sums, both, own_of, median)
        .or_else(|| own.slower(sums, both, own_of, tail))
        .or_else(|| cpu.slower(sums, both, cpu_of, median))
}

/// By how much a time may grow.
struct Times {
    what: &'static str,
    relative: f64,
    absolute_us: f64,
}

impl Times {
    fn slower(
        &self,
        sums: &Sums,
        both: bool,
        of: impl Fn(&Arm) -> Histogram,
        (quantile, enough): (f64, u64),
    ) -> Option<String> {
        let with = of(&sums.with);
        let (before, drift) = if both {
            (of(&sums.beside), 1.0)
        } else {
            // Its own past, by as much slower as all others have become meanwhile.
            let (now, then) = (of(&sums.base), of(&sums.fleet_past));
            let drift = match (
                upper(&now, quantile, enough),
                upper(&then, quantile, enough),
            ) {
                (Some(now), Some(then)) => (now / then).max(1.0),
                _ => 1.0,
            };
            (of(&sums.past), drift)
        };
        let limit =
            upper(&before, quantile, enough)? * drift * (1.0 + self.relative) + self.absolute_us;
        let all = with.count();
        let over = with.above(limit);
        if all < enough || wilson_lower(over, all) <= 1.0 - quantile {
            return None;
        }
        Some(format!(
            "{}: {over} of {all} requests took more than {:.1} ms, which {:.0} % may",
            self.what,
            limit / 1_000.0,
            (1.0 - quantile) * 100.0
        ))
    }
}

/// The upper end of a quantile, by ranks; none if there are too few.
fn upper(of: &Histogram, quantile: f64, enough: u64) -> Option<f64> {
    let count = of.count();
    if count < enough {
        return None;
    }
    let n = count as f64;
    let rank = n * quantile + Z * (n * quantile * (1.0 - quantile)).sqrt() + 1.0;
    of.upper((rank as u64).min(count))
}

/// The lower end of the share that so many of so many are (E. B. Wilson, 1927).
fn wilson_lower(part: u64, whole: u64) -> f64 {
    let (n, p) = (whole as f64, part as f64 / whole.max(1) as f64);
    let square = Z * Z / n;
    let half = Z * (p * (1.0 - p) / n + square / (4.0 * n)).sqrt();
    (p + square / 2.0 - half) / (1.0 + square)
}

//! From what clients saw to a verdict: contained, not contained, or void. Pure.
//!
//! Contained is a drill in which 99.9 % of all requests were right over the whole run, only canary locations had less, what was changed
//! was taken back within thirty seconds of tempo time, nobody had to act, and all that the drill claims beside that held. Void is one
//! whose fault could not be injected, or whose bed was not well before: it says nothing, and never counts as contained.

use serde::Serialize;

use crate::ledger::{Counts, Ledger, Ring};

/// The share of requests that must be right.
pub const RIGHT: f64 = 0.999;
/// From the first bad answer to the way back, in seconds of tempo time.
pub const REVERTED_WITHIN_S: f64 = 30.0;
/// Where others used more than this share of the machine, late answers say nothing.
pub const OTHERS: f64 = 0.4;
/// Fewer requests than these say nothing.
pub const ENOUGH: u64 = 500;

/// Something that a drill says must be so, beside what holds for all drills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// What.
    pub what: String,
    /// Whether it was.
    pub held: bool,
}

/// What a drill lost that is measured apart: of its fault it is known that it costs more than what counts as contained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// Locations whose clients got no right answer for a while.
    pub locations: usize,
    /// The longest that those of one location had none, in seconds of the wall, all together.
    pub longest_s: f64,
    /// The same, on average over all locations.
    pub mean_s: f64,
    /// It was no more than what the drill says that it may be.
    pub bounded: bool,
}

/// What became of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The drill.
    pub id: String,
    /// All held.
    pub contained: bool,
    /// It says nothing.
    pub void: bool,
    /// Requests right, of all; none where nobody was asked.
    pub sr_global: Option<f64>,
    /// Of those in canary locations.
    pub sr_canary: Option<f64>,
    /// From the first bad answer to the way back, in seconds of tempo time; none where nobody was answered badly, or nothing
    /// was to be taken back.
    pub reverted_after_s: Option<f64>,
    /// What every time was divided by.
    pub speed: u32,
    /// All requests.
    pub requests: u64,
    /// Those that were not right.
    pub bad: u64,
    /// What was claimed.
    pub claims: Vec<Claim>,
    /// Why it is void, or not contained.
    pub why: Vec<String>,
    /// How long it took, in seconds of the wall.
    pub took_s: f64,
    /// The share of the machine that other programs used meanwhile, 0 to 1.
    pub others_cpu: f64,
    /// What was wrong with answers, and how often.
    pub reasons: std::collections::BTreeMap<String, u64>,
    /// What was lost, in a drill that is measured apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

impl Outcome {
    /// How it is told in a word.
    pub const fn word(&self) -> &'static str {
        match (self.void, self.contained, &self.loss) {
            (true, ..) => "void",
            (false, true, _) => "contained",
            (false, false, Some(Loss { bounded: true, .. })) => "measured apart",
            (false, false, _) => "not contained",
        }
    }

    /// What it adds to the exit code: 0 contained, or lost no more than it may; 1 not; 2 void.
    pub const fn code(&self) -> u8 {
        match (self.void, self.contained, &self.loss) {
            (true, ..) => 2,
            (false, true, _) | (false, false, Some(Loss { bounded: true, .. })) => 0,
            (false, false, _) => 1,
        }
    }
}

/// What happened in a drill, beside what clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Why the fault was not injected, if so.
    pub void: Option<String>,
    /// Claims of the drill's own.
    pub claims: Vec<Claim>,
    /// A change is to be taken back, and when it was, in milliseconds.
    pub reverted: Option<u64>,
    /// Whether something is to be taken back at all, once somebody was answered badly.
    pub reverts: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// It is measured apart.
    pub apart: bool,
    /// The share of the machine that other programs used meanwhile, 0 to 1.
    pub others: f64,
    /// Requests that were answered wrongly while the clients and the origin, which are one process, did not run.
    pub stalled: u64,
}

/// Judges.
pub fn judge(id: &str, ledger: &Ledger, seen: &Seen, speed: u32) -> Outcome {
    let total = ledger.total();
    let reverted_after_s = reverted(ledger, seen, speed);
    let mut why = failures(ledger, seen, reverted_after_s);
    let loss = seen.apart.then(|| loss(ledger, &seen.claims));
    let is_bounded = loss.as_ref().is_some_and(|loss| loss.bounded);
    let void = match &seen.void {
        Some(reason) => Some(reason.clone()),
        None if total.all() < ENOUGH => Some(format!(
            "{} requests were answered, fewer than {ENOUGH}: that says nothing",
            total.all()
        )),
        // Never what was contained all the same, nor what was answered wrongly.
        None if !why.is_empty()
            && !is_bounded
            && total.bad() > 0
            && total.wrong <= seen.stalled
            && seen.others > OTHERS =>
        {
            Some(format!(
                "other programs used {:.0} % of this machine, and {} answers were late: that says nothing (end them, and run it again)",
                seen.others * 100.0,
                total.bad()
            ))
        }
        None => None,
    };
    if void.is_some() {
        why.clear();
    }
    Outcome {
        id: id.to_owned(),
        contained: void.is_none() && why.is_empty(),
        void: void.is_some(),
        sr_global: share(total),
        sr_canary: share(ledger.ring(Ring::Canary)),
        reverted_after_s,
        speed,
        requests: total.all(),
        bad: total.bad(),
        claims: seen.claims.clone(),
        why: void.into_iter().chain(why).collect(),
        took_s: seen.took_ms as f64 / 1_000.0,
        others_cpu: (seen.others * 100.0).round() / 100.0,
        reasons: ledger.reasons.clone(),
        loss,
    }
}

fn loss(ledger: &Ledger, claims: &[Claim]) -> Loss {
    let dark: Vec<u64> = ledger.dark_ms().map(|(_, ms)| ms).collect();
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    let mean = seconds(dark.iter().sum()) / dark.len().max(1) as f64;
    Loss {
        locations: dark.iter().filter(|ms| **ms > 0).count(),
        longest_s: seconds(dark.iter().copied().max().unwrap_or(0)),
        mean_s: (mean * 10.0).round() / 10.0,
        bounded: claims.iter().all(|claim| claim.held),
    }
}

fn failures(ledger: &Ledger, seen: &Seen, reverted_after_s: Option<f64>) -> Vec<String> {
    let mut why = Vec::new();
    let total = ledger.total();
    if total.rate() < RIGHT {
        why.push(format!(
            "{} of {} requests were not right: {:.3} % were, fewer than 99.9 %",
            total.bad(),
            total.all(),
            total.rate() * 100.0
        ));
    }
    for tally in &ledger.locations {
        if tally.ring != Ring::Canary && tally.total.rate() < RIGHT {
            why.push(format!(
                "{} is no canary location, and {} of its {} requests were not right",
                tally.name,
                tally.total.bad(),
                tally.total.all()
            ));
        }
    }
    match reverted_after_s {
        Some(after) if after > REVERTED_WITHIN_S => why.push(format!(
            "it was taken back {after:.1} s of tempo time after the first bad answer, later than {REVERTED_WITHIN_S} s"
        )),
        None if seen.reverts && ledger.first_bad.is_some() && seen.reverted.is_none() => {
            why.push("it was not taken back".into());
        }
        _ => {}
    }
    let broken = seen.claims.iter().filter(|claim| !claim.held);
    why.extend(broken.map(|claim| format!("it does not hold that {}", claim.what)));
    why
}

/// To the way back, or to the last bad answer if that came later.
fn reverted(ledger: &Ledger, seen: &Seen, speed: u32) -> Option<f64> {
    let (first, last) = (ledger.first_bad?, ledger.last_bad?);
    let back = seen.reverted?.max(last);
    let ms = back.saturating_sub(first) * u64::from(speed);
    Some((ms as f64 / 100.0).round() / 10.0)
}

/// The share of right ones, down to a hundred-thousandth and never up to what it was not; none of nothing.
fn share(counts: Counts) -> Option<f64> {
    (counts.all() > 0).then(|| (counts.rate() * 1e5).floor() / 1e5)
}

/// A share as people are told: in per cent, or a dash where there is none.
pub fn percent(share: Option<f64>) -> String {
    match share {
        Some(share) => format!("{:.3} %", share * 100.0),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Judged, Note};

    fn ledger(canary: (u64, u64), late: (u64, u64)) -> Ledger {
        let names = [("c", Ring::Canary), ("l", Ring::Late)];
        let mut ledger = Ledger::new(names.iter().map(|(name, ring)| ((*name).into(), *ring)));
        for (location, (right, wrong)) in [canary, late].into_iter().enumerate() {
            for nth in 0..right + wrong {
                let judged = if nth < right {
                    Judged::Right
                } else {
                    Judged::Wrong
                };
                ledger.note(&Note {
                    sent: nth,
                    ended: 1_000 + nth,
                    location,
                    zone: "z",
                    judged,
                    why: "wrong",
                });
            }
        }
        ledger
    }

    #[test]
    fn canary_locations_alone_may_be_worse() {
        let judged = |canary, late| judge("x", &ledger(canary, late), &Seen::default(), 20);
        assert!(judged((1_000, 0), (9_000, 0)).contained);
        let one = judged((995, 5), (9_000, 0));
        assert!(one.contained, "{:?}", one.why);
        assert!(one.sr_canary < one.sr_global);
        assert!(!judged((1_000, 0), (4_000, 5)).contained);
        assert!(!judged((980, 20), (9_000, 0)).contained);
    }

    #[test]
    fn who_could_not_inject_or_saw_too_little_is_void_and_never_contained() {
        let few = judge("x", &ledger((100, 0), (100, 0)), &Seen::default(), 20);
        assert!(few.void && !few.contained);
        let seen = Seen {
            void: Some("refused".into()),
            ..Seen::default()
        };
        let refused = judge("x", &ledger((1_000, 0), (1_000, 0)), &seen, 20);
        assert!(refused.void && !refused.contained && refused.why == ["refused"]);
    }

    #[test]
    fn late_answers_on_a_machine_that_others_keep_busy_are_void_and_wrong_ones_are_not() {
        let late = |judged| {
            let mut ledger = ledger((1_000, 0), (4_000, 0));
            for nth in 0..50 {
                ledger.note(&Note {
                    sent: nth,
                    ended: 2_000 + nth,
                    location: 1,
                    zone: "z",
                    judged,
                    why: "late",
                });
            }
            ledger
        };
        let judged = |judged, others| {
            let seen = Seen {
                others,
                ..Seen::default()
            };
            judge("x", &late(judged), &seen, 20)
        };
        let busy = judged(Judged::Late, 0.7);
        assert!(busy.void && !busy.contained, "{busy:?}");
        assert!(!judged(Judged::Late, 0.1).void, "Seawall itself was late");
        let wrong = judged(Judged::Wrong, 0.7);
        assert!(!wrong.void && !wrong.contained);
        // Those that the origin was too late for, as it did not run itself.
        let stalled = |stalled, others| {
            let seen = Seen {
                stalled,
                others,
                ..Seen::default()
            };
            judge("x", &late(Judged::Wrong), &seen, 20).void
        };
        assert!(stalled(50, 0.7) && !stalled(49, 0.7) && !stalled(50, 0.1));
        let seen = Seen {
            others: 0.9,
            ..Seen::default()
        };
        assert!(judge("x", &ledger((1_000, 0), (9_000, 0)), &seen, 20).contained);
    }

    #[test]
    fn the_way_back_is_timed_in_tempo_time_and_must_come() {
        let ledger = ledger((1_999, 1), (9_000, 0));
        let mut seen = Seen {
            reverts: true,
            ..Seen::default()
        };
        assert!(!judge("x", &ledger, &seen, 20).contained, "it never came");
        // The first bad answer was at 2,999.
        seen.reverted = Some(3_499);
        let back = judge("x", &ledger, &seen, 20);
        assert_eq!(back.reverted_after_s, Some(10.0));
        assert!(back.contained, "{:?}", back.why);
        seen.reverted = Some(5_000);
        assert!(!judge("x", &ledger, &seen, 20).contained);
        assert!(judge("x", &ledger, &seen, 1).contained);
    }

    #[test]
    fn what_is_measured_apart_is_told_with_its_loss_and_never_as_contained_when_it_was_not() {
        let claim = |held| Claim {
            what: "it ends".into(),
            held,
        };
        let seen = |held| Seen {
            claims: vec![claim(held)],
            apart: true,
            ..Seen::default()
        };
        let bounded = judge("x", &ledger((900, 100), (9_000, 900)), &seen(true), 20);
        assert_eq!((bounded.word(), bounded.code()), ("measured apart", 0));
        assert!(!bounded.contained && bounded.loss.is_some());
        let worse = judge("x", &ledger((900, 100), (9_000, 900)), &seen(false), 20);
        assert_eq!((worse.word(), worse.code()), ("not contained", 1));
        let usual = judge("x", &ledger((1_000, 0), (9_000, 0)), &Seen::default(), 20);
        assert_eq!((usual.word(), usual.code()), ("contained", 0));
        let line = serde_json::to_string(&usual).unwrap();
        assert!(!line.contains("loss"), "{line}");
    }

    #[test]
    fn a_claim_that_does_not_hold_is_enough() {
        let seen = Seen {
            claims: vec![Claim {
                what: "it waits".into(),
                held: false,
            }],
            ..Seen::default()
        };
        let outcome = judge("x", &ledger((1_000, 0), (9_000, 0)), &seen, 20);
        assert!(!outcome.contained && !outcome.void);
    }
}

//! The planner on a bench: Reports are written by hand, and time passes when a test says so.
//!
//! Here: steps, holds, who is waited for. `judged`: what takes a rollout back.

mod judged;

use super::*;
use crate::version::{Chain, Hash, Version};

/// A rollout of version 2 in place of 1, and what its locations tell.
struct Bench {
    target: Target,
    reports: Vec<Report>,
    now_ms: u64,
}

impl Bench {
    fn new(kind: Kind, locations: usize) -> Self {
        let name = |nth: usize| format!("l{nth:02}");
        let location = |nth| Location {
            name: name(nth),
            weight: 10 + nth as u64,
            ..Location::default()
        };
        let report = |nth| Report {
            location: name(nth),
            ..Report::default()
        };
        Self {
            target: Target {
                kind,
                from: Some(1),
                to: 2,
                taken: None,
                asks: Vec::new(),
                approved: false,
                pinned: false,
                allowed_shift: ALLOWED_SHIFT,
                routes_only: false,
                fleet: (0..locations).map(location).collect(),
                tempo: Tempo::default(),
            },
            reports: (0..locations).map(report).collect(),
            now_ms: 1_000_000,
        }
    }

    fn plan(&self) -> Step {
        plan(&self.target, &self.reports, self.now_ms)
    }

    /// Takes the step that the planner wants: its locations have it at once.
    fn take(&mut self) -> StepSpec {
        let Step::Advance { to } = self.plan() else {
            panic!("expected a step: {:?}", self.plan());
        };
        for report in &mut self.reports {
            if to.ring.contains(&report.location) {
                report.candidate = Some(Candidate {
                    version: 2,
                    share: to.share,
                    for_ms: 0,
                });
            }
        }
        self.target.taken = Some(Taken {
            step: to.step,
            ring: to.ring.clone(),
            share: to.share,
            at_ms: self.now_ms,
            requests: to.requests,
            probes: to.probes,
        });
        to
    }

    /// Time passes, and every location reports.
    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for report in &mut self.reports {
            if let Some(candidate) = &mut report.candidate {
                candidate.for_ms += ms;
            }
        }
    }

    /// A hold passes, with so many good requests at each location that has the candidate.
    fn watch(&mut self, requests: u64) {
        let hold = self
            .target
            .tempo
            .stages(self.target.kind, self.reports.len())
            .map(|stage| stage.hold)
            .max();
        self.pass(hold.map_or(0, as_millis));
        for report in self
            .reports
            .iter_mut()
            .filter(|report| report.candidate.is_some())
        {
            report.with.all.requests += requests;
            report.base.all.requests += requests;
        }
    }

    fn why_back(&self) -> String {
        match self.plan() {
            Step::TakeBack { why } => why,
            other => panic!("expected it to go back: {other:?}"),
        }
    }

    fn why_hold(&self) -> String {
        match self.plan() {
            Step::Hold { why, .. } => why,
            other => panic!("expected a hold: {other:?}"),
        }
    }
}

fn counts(requests: u64, edge_5xx: u64) -> Counts {
    Counts {
        requests,
        edge_5xx,
        ..Counts::default()
    }
}

#[test]
fn a_zone_on_one_machine_takes_three_steps_and_thirty_seconds() {
    let mut bench = Bench::new(Kind::Zone, 1);
    let begun = bench.now_ms;
    for percent in [5, 50, 100] {
        assert_eq!(bench.take().share, Share::percent(percent));
        assert!(
            matches!(bench.plan(), Step::Hold { until: Some(until), .. } if until <= bench.now_ms + 10_000)
        );
        bench.watch(50);
    }
    assert_eq!(bench.plan(), Step::Done);
    assert_eq!(bench.now_ms - begun, 30_000);
}

#[test]
fn the_divisor_makes_it_faster_and_nothing_else() {
    let mut bench = Bench::new(Kind::Platform, 1);
    bench.target.tempo = Tempo::faster(60);
    for _ in 0..3 {
        assert_eq!(bench.take().hold, Duration::from_millis(500));
        bench.watch(50);
    }
    assert_eq!(bench.plan(), Step::Done);
}

#[test]
fn on_an_idle_site_probes_stand_in_and_without_them_it_waits() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.take();
    bench.watch(0);
    bench.pass(3_600_000);
    assert!(bench.why_hold().contains("waits for traffic or probes"));
    bench.reports[0].with.probes.ok = 15;
    bench.reports[0].with.all.requests = 5;
    assert_eq!(bench.take().share, Share::percent(50));
    // Those of the step before do not count for this one.
    bench.watch(0);
    assert!(bench.why_hold().contains("0 requests and probes"));
    bench.reports[0].with.probes.ok += 20;
    bench.take();
    bench.watch(0);
    bench.reports[0].with.probes.bad += 20;
    assert!(bench.why_back().contains("went well"));
}

#[test]
fn silence_and_a_step_that_was_not_taken_are_a_hold() {
    let mut bench = Bench::new(Kind::Zone, 3);
    bench.take();
    bench.take_nothing_for(60_000);
    assert!(bench.why_hold().contains("l00 is silent"));
    bench
        .reports
        .iter_mut()
        .for_each(|report| report.age_ms = 0);
    bench.reports[0].candidate = None;
    assert!(bench.why_hold().contains("l00 has not taken"));
    // It took the step a minute late: it is watched from then on.
    bench.reports[0].candidate = Some(Candidate {
        version: 2,
        share: Share::percent(5),
        for_ms: 1_000,
    });
    bench.reports[0].with.all.requests = 100;
    assert!(bench.why_hold().contains("watched"));
    bench.pass(5_000);
    assert_eq!(bench.take().ring.len(), 3);
    bench.reports.remove(1);
    bench.watch(100);
    assert!(bench.why_hold().contains("l01 is silent"));
    // Drained, nobody waits for it.
    bench.target.fleet[1].drained = true;
    assert_eq!(bench.take().share, Share::percent(50));
}

impl Bench {
    fn take_nothing_for(&mut self, ms: u64) {
        self.pass(ms);
        for report in &mut self.reports {
            report.age_ms = ms;
        }
    }
}

#[test]
fn of_a_large_ring_a_few_may_have_been_silent_before() {
    let mut bench = Bench::new(Kind::Zone, 40);
    bench.take();
    bench.watch(100);
    bench.take();
    bench.watch(100);
    let dead = |bench: &mut Bench, which: usize| {
        bench.reports[which].age_ms = 3_600_000;
        bench.reports[which].candidate = None;
    };
    dead(&mut bench, 7);
    dead(&mut bench, 9);
    assert!(matches!(bench.plan(), Step::Advance { .. }), "two of forty");
    dead(&mut bench, 11);
    assert!(bench.why_hold().contains("silent"), "three of forty");
    // One that fell silent with the candidate is not one that was silent before.
    let mut bench = Bench::new(Kind::Zone, 40);
    bench.take();
    bench.watch(100);
    bench.take();
    bench.watch(100);
    bench.reports[7].age_ms = 17_000;
    assert!(bench.why_hold().contains("l07 is silent"));
}

#[test]
fn who_must_be_asked_is_asked_and_a_bad_one_goes_back_meanwhile() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.target.asks = vec!["lists.office goes from 90 rows to none".into()];
    assert!(
        bench
            .why_hold()
            .contains("waits for approval: lists.office")
    );
    bench.target.approved = true;
    bench.take();
    bench.watch(100);
    bench.target.approved = false;
    assert!(bench.why_hold().contains("waits for approval"));
    bench.reports[0].restarts = 1;
    bench.why_back();
    let mut pinned = Bench::new(Kind::Platform, 1);
    (pinned.target.pinned, pinned.target.approved) = (true, true);
    assert!(pinned.why_hold().contains("pinned"));
}

#[test]
fn where_nothing_serves_a_share_protects_nobody() {
    let mut bench = Bench::new(Kind::Zone, 3);
    bench.target.from = None;
    let first = bench.take();
    assert_eq!(
        (first.ring.as_slice(), first.share),
        (["l00".to_owned()].as_slice(), Share::ALL)
    );
    bench.watch(100);
    assert_eq!(bench.take().ring.len(), 3);
    bench.watch(100);
    assert_eq!(bench.plan(), Step::Done);
}

#[test]
fn a_platform_goes_from_one_location_to_all() {
    let mut bench = Bench::new(Kind::Platform, 200);
    let mut seen = Vec::new();
    while matches!(bench.plan(), Step::Advance { .. }) {
        let step = bench.take();
        seen.push((step.ring.len(), step.share.parts()));
        bench.watch(100);
    }
    assert_eq!(
        seen,
        [
            (1, 500),
            (1, 10_000),
            (2, 10_000),
            (10, 10_000),
            (50, 10_000),
            (200, 10_000)
        ]
    );
    assert_eq!(bench.plan(), Step::Done);
    // Rings that would add nobody are left out.
    let mut few = Bench::new(Kind::Platform, 3);
    let mut rings = Vec::new();
    while matches!(few.plan(), Step::Advance { .. }) {
        rings.push(few.take().ring.len());
        few.watch(100);
    }
    assert_eq!(rings, [1, 1, 3]);
}

#[test]
fn a_return_is_at_once_on_one_machine_and_waits_for_nobody_on_many() {
    let mut one = Bench::new(Kind::Return, 1);
    (one.target.pinned, one.target.asks) = (true, vec!["asked".into()]);
    assert_eq!(one.take().share, Share::ALL);
    assert_eq!(one.plan(), Step::Done);
    let mut many = Bench::new(Kind::Return, 3);
    assert_eq!(many.take().ring, ["l00"]);
    // The canary lies dead of what is taken back.
    many.reports[0].candidate = None;
    many.reports[0].age_ms = 100_000;
    many.pass(20_000);
    assert!(many.why_hold().contains("watched"));
    many.pass(40_000);
    assert_eq!(many.take().ring.len(), 3);
    many.reports[0].refused = vec!["its key is gone".into()];
    assert!(
        many.why_hold().contains("not good either"),
        "nothing to go back to: a person must choose"
    );
}

#[test]
fn a_return_is_complete_once_all_have_it_and_who_has_not_is_named() {
    let mut bench = Bench::new(Kind::Return, 4);
    bench.take();
    bench.watch(20);
    assert_eq!(bench.take().ring.len(), 4);
    bench.watch(20);
    bench.reports[1].candidate = None;
    // It is heard of and has not got it: that is nowhere near everywhere, however long it lasts.
    bench.pass(100_000);
    bench
        .reports
        .iter_mut()
        .for_each(|report| report.age_ms = 0);
    assert!(bench.why_hold().contains("l01 has not taken it"));
    bench.reports[1].held = true;
    assert_eq!(bench.plan(), Step::Done);
    assert_eq!(
        without(&bench.target, &bench.reports),
        ["l01 does not follow control"]
    );
    bench.reports[1].held = false;
    bench.reports[1].age_ms = 100_000;
    assert_eq!(bench.plan(), Step::Done);
    assert_eq!(without(&bench.target, &bench.reports), ["l01 is silent"]);
    bench.target.fleet[1].drained = true;
    bench.reports.remove(2);
    assert_eq!(without(&bench.target, &bench.reports), ["l02 is silent"]);
}

#[test]
fn a_switch_is_everywhere_within_three_minutes_whoever_is_silent() {
    let mut bench = Bench::new(Kind::Kill, 50);
    let begun = bench.now_ms;
    let mut steps = 0;
    while bench.plan() != Step::Done {
        match bench.plan() {
            Step::Advance { .. } => {
                steps += 1;
                bench.take();
                bench
                    .reports
                    .iter_mut()
                    .for_each(|report| report.candidate = None);
            }
            Step::Hold {
                until: Some(until), ..
            } => bench.now_ms = until,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(steps, 2);
    assert!(bench.now_ms - begun <= 180_000);
}

#[test]
fn nobody_to_take_it_is_a_hold() {
    let mut bench = Bench::new(Kind::Zone, 2);
    bench
        .target
        .fleet
        .iter_mut()
        .for_each(|location| location.drained = true);
    assert!(bench.why_hold().contains("no location"));
    bench.target.fleet[0].drained = false;
    bench.take();
    bench.target.fleet[0].drained = true;
    assert!(bench.why_hold().contains("no location"));
}

#[test]
fn who_may_begin_beside_whom() {
    let running = [
        (7, Kind::Zone, "zone/a".to_owned()),
        (9, Kind::Platform, "platform".to_owned()),
    ];
    assert_eq!(admit(Kind::Zone, "zone/b", &running), Admission::Start);
    assert_eq!(admit(Kind::Zone, "zone/a", &running), Admission::Wait(7));
    assert_eq!(
        admit(Kind::Return, "zone/a", &running),
        Admission::Preempt(vec![7])
    );
    assert_eq!(admit(Kind::Return, "zone/b", &running), Admission::Start);
    assert_eq!(
        admit(Kind::Platform, "platform", &running),
        Admission::Wait(9)
    );
    assert_eq!(
        admit(Kind::Platform, "binary", &running),
        Admission::Wait(9),
        "one of the kind"
    );
    assert_eq!(
        admit(Kind::Platform, "platform", &running[..1]),
        Admission::Start
    );
    assert_eq!(
        admit(Kind::Kill, "kill waf * *", &running),
        Admission::Start
    );
}

#[test]
fn a_stream_that_alternates_is_frozen() {
    let made = |documents: &[&str], apart: u64| -> Vec<Version> {
        let version = |(nth, text): (usize, &&str)| Version {
            chain: Chain::Platform,
            number: nth as u64 + 1,
            parent: None,
            hash: Hash::of(text.as_bytes()),
            author: "file:/etc/bots".into(),
            why: String::new(),
            at: nth as u64 * apart,
            tombstone: false,
        };
        let mut versions: Vec<_> = documents.iter().enumerate().map(version).collect();
        versions.reverse();
        versions
    };
    let frozen = |documents: &[&str], apart| alternates(&made(documents, apart), Tempo::default());
    let why = frozen(&["x", "a", "b", "a", "b"], 300).expect("frozen");
    assert!(
        why.contains("versions 2 to 5") && why.contains("file:/etc/bots"),
        "{why}"
    );
    for calm in [
        &["a", "b", "a"][..],
        &["a", "b", "a", "c"],
        &["a", "a", "a", "a"],
        &["a", "b", "c", "a"],
    ] {
        assert_eq!(frozen(calm, 300), None, "{calm:?}");
    }
    assert_eq!(
        frozen(&["a", "b", "a", "b"], 1_201),
        None,
        "over more than an hour"
    );
}

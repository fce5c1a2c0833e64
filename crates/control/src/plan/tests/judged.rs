//! What takes a rollout back, and what does not.

use super::*;

#[test]
fn what_is_refused_or_kills_or_fails_goes_back_at_once() {
    let begun = || {
        let mut bench = Bench::new(Kind::Platform, 3);
        bench.take();
        bench
    };
    let mut bench = begun();
    bench.reports[0].refused = vec!["zone[3].rule: too long".into(), "another".into()];
    bench.reports[0].candidate = None;
    assert_eq!(
        bench.why_back(),
        "l00 refuses it: zone[3].rule: too long (and 1 more)"
    );
    let mut bench = begun();
    bench.reports[0].restarts = 1;
    assert!(bench.why_back().contains("died of it"));
    let mut bench = begun();
    bench.reports[0].with.all = counts(19, 19);
    assert!(bench.why_hold().contains("watched"), "too few");
    bench.reports[0].with.all = counts(20, 3);
    assert!(bench.why_back().contains("17 of 20"));
    bench.reports[0].with.all = counts(20, 2);
    assert!(bench.why_hold().contains("watched"), "90 % is enough");
    // Others' candidates, and locations that nobody knows, count for nothing.
    let mut bench = begun();
    bench.reports[0].candidate = Some(Candidate {
        version: 1,
        share: Share::ALL,
        for_ms: 0,
    });
    bench.reports[0].restarts = 1;
    bench.reports.push(Report {
        location: "stranger".into(),
        restarts: 9,
        ..Report::default()
    });
    assert!(bench.why_hold().contains("not taken"));
}

#[test]
fn a_site_that_is_down_can_be_mended() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.take();
    bench.reports[0].base.all = counts(1_000, 1_000);
    bench.reports[0].with.all = counts(50, 50);
    bench.watch(0);
    assert!(
        matches!(bench.plan(), Step::Advance { .. }),
        "no worse than what is there: {:?}",
        bench.plan()
    );
    bench.reports[0].base.all = counts(1_000, 50);
    assert!(bench.why_back().contains("went well"));
}

#[test]
fn more_errors_than_beside_it_go_back_early() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.take();
    bench.pass(2_000);
    bench.reports[0].base.all = counts(1_900, 1);
    bench.reports[0].with.all = counts(100, 1);
    assert!(bench.why_hold().contains("watched"), "one error is none");
    bench.reports[0].with.all = counts(100, 6);
    assert!(
        bench
            .why_back()
            .contains("6 of 100 requests against 1 of 1900")
    );
    bench.reports[0].with.all = Counts {
        resets: 6,
        ..counts(100, 0)
    };
    assert!(bench.why_back().contains("more resets"));
    // In one kind of zone, while all together look well.
    bench.reports[0].with.all = counts(100_000, 50);
    bench.reports[0].base.all = counts(1_900_000, 950);
    bench.reports[0]
        .with
        .kinds
        .insert("access".into(), counts(100, 6));
    bench.reports[0]
        .base
        .kinds
        .insert("access".into(), counts(1_900, 1));
    assert!(bench.why_back().contains("kind access"));
}

#[test]
fn a_place_or_an_hour_with_more_errors_is_no_fault() {
    let whole = || {
        let mut bench = Bench::new(Kind::Platform, 2);
        bench.take();
        bench.watch(100);
        assert_eq!(bench.take().share, Share::ALL);
        bench.pass(60_000);
        bench
    };
    // The place has always had ten times the errors of others.
    let mut bench = whole();
    bench.reports[0].with.all = counts(100_000, 1_000);
    bench.reports[0].past.all = counts(100_000, 1_000);
    bench.reports[1].base.all = counts(1_000_000, 1_000);
    assert!(bench.why_hold().contains("watched"));
    // All places have more than before.
    let mut bench = whole();
    bench.reports[0].with.all = counts(100_000, 1_000);
    bench.reports[0].past.all = counts(100_000, 100);
    bench.reports[1].base.all = counts(1_000_000, 10_000);
    assert!(bench.why_hold().contains("watched"));
    // Neither explains it.
    bench.reports[1].base.all = counts(1_000_000, 1_000);
    assert!(bench.why_back().contains("more errors"));
    // A new place has no past: others must do.
    bench.reports[0].past = Arm::default();
    assert!(bench.why_back().contains("more errors"));
}

#[test]
fn verdicts_may_change_as_far_as_is_allowed() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.take();
    bench.pass(2_000);
    let changed = |requests, changed| Counts {
        verdict_changed: changed,
        ..counts(requests, 0)
    };
    bench.reports[0].base.all = changed(19_000, 19);
    bench.reports[0].with.all = changed(1_000, 11);
    assert!(
        bench.why_hold().contains("watched"),
        "one in a hundred, and the noise of judging twice"
    );
    bench.reports[0].with.all = changed(1_000, 60);
    assert!(
        bench
            .why_back()
            .contains("60 of 1000 requests are judged otherwise")
    );
    bench.target.allowed_shift = ALLOWED_SHIFT_OF_RULES;
    assert!(
        bench.why_hold().contains("watched"),
        "a rule is meant to change verdicts"
    );
    bench.reports[0].with.all = counts(0, 0);
    bench.reports[0].replay = Shift {
        judged: 256,
        changed: 256,
    };
    assert!(
        bench.why_back().contains("256 of 256"),
        "replay tells it before the first request"
    );
    // However much else is served meanwhile.
    bench.reports[0].with.all = counts(100_000, 0);
    bench.reports[0].replay = Shift {
        judged: 12,
        changed: 12,
    };
    assert!(bench.why_back().contains("12 of 12"));
    bench.target.approved = true;
    assert!(bench.why_hold().contains("watched"), "a person wants it so");
    let mut kill = Bench::new(Kind::Kill, 2);
    kill.take();
    kill.reports[0].with.all = changed(1_000, 900);
    assert!(
        kill.why_hold().contains("watched"),
        "a switch is meant to change verdicts"
    );
    kill.reports[0].with.all = counts(1_000, 900);
    kill.why_back();
}

#[test]
fn a_candidate_that_refuses_most_clients_goes_back_and_one_client_is_one() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.take();
    bench.pass(2_000);
    let of = |clients, refused_clients| Counts {
        clients,
        refused_clients,
        ..counts(1_000, 0)
    };
    bench.reports[0].base.all = of(400, 12);
    bench.reports[0].with.all = of(40, 2);
    assert!(bench.why_hold().contains("watched"), "as many as beside it");
    bench.reports[0].with.all = of(19, 19);
    assert!(bench.why_hold().contains("watched"), "too few to be told");
    bench.reports[0].with.all = of(40, 30);
    assert!(bench.why_back().contains("30 of 40 clients are refused"));
    bench.reports[0].base.all = of(400, 300);
    assert!(bench.why_hold().contains("watched"), "so are all others");
    bench.reports[0].base.all = of(400, 12);
    bench.target.approved = true;
    assert!(bench.why_hold().contains("watched"), "a person wants it so");
}

#[test]
fn a_candidate_that_would_send_requests_in_a_circle_goes_back() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.target.allowed_shift = ALLOWED_SHIFT_OF_RULES;
    bench.take();
    bench.pass(2_000);
    let report = &mut bench.reports[0];
    report.replay = Shift {
        judged: 100,
        changed: 12,
    };
    assert!(
        bench.why_hold().contains("watched"),
        "a rule may refuse as many"
    );
    bench.reports[0].circles = Circles {
        requests: 12,
        one: Some("/a -> /b -> /a".into()),
    };
    assert_eq!(
        bench.why_back(),
        "12 of 100 requests of late would be sent round in a circle: /a -> /b -> /a"
    );
    bench.reports[0].circles.requests = 1;
    assert!(bench.why_hold().contains("watched"), "one may be odd");
    bench.reports[0].circles.requests = 100;
    bench.target.approved = true;
    assert!(bench.why_hold().contains("watched"), "a person wants it so");
}

#[test]
fn a_candidate_whose_clients_get_errors_from_the_origin_goes_back() {
    let mut bench = Bench::new(Kind::Zone, 1);
    bench.target.routes_only = true;
    bench.take();
    bench.pass(2_000);
    let of = |answered_clients, failed_clients| Counts {
        answered_clients,
        failed_clients,
        ..counts(1_000, 0)
    };
    bench.reports[0].base.all = of(400, 200);
    bench.reports[0].with.all = of(40, 24);
    assert!(bench.why_hold().contains("watched"), "as many as beside it");
    bench.reports[0].base.all = of(400, 12);
    bench.reports[0].with.all = of(19, 19);
    assert!(bench.why_hold().contains("watched"), "too few to be told");
    bench.reports[0].with.all = of(40, 39);
    assert!(bench.why_back().contains("39 of 40 clients get an error"));
    bench.reports[0].base.all = of(5, 0);
    assert!(
        bench.why_hold().contains("watched"),
        "nobody came to the origin before: it is mended"
    );
    bench.reports[0].base.all = of(400, 12);
    bench.target.routes_only = false;
    assert!(
        bench.why_hold().contains("watched"),
        "others may come to the origin than before"
    );
    bench.target.routes_only = true;
    bench.target.approved = true;
    assert!(bench.why_hold().contains("watched"), "a person wants it so");
}

#[test]
fn a_slower_or_dearer_candidate_goes_back_at_the_end_of_a_hold() {
    let filled = |sizes: &dyn Fn(u64) -> u64, count: u64| {
        let mut histogram = Histogram::default();
        (0..count).for_each(|nth| histogram.add(sizes(nth)));
        histogram
    };
    let begun = |with: &dyn Fn(u64) -> u64, cpu: &dyn Fn(u64) -> u64| {
        let mut bench = Bench::new(Kind::Zone, 1);
        bench.take();
        bench.watch(2_000);
        let report = &mut bench.reports[0];
        report.base.own_us = filled(
            &|nth| 200 + nth % 300 + if nth.is_multiple_of(100) { 20_000 } else { 0 },
            20_000,
        );
        report.base.cpu_us = filled(&|nth| 40 + nth % 20, 20_000);
        report.with.own_us = filled(with, 2_000);
        report.with.cpu_us = filled(cpu, 2_000);
        bench
    };
    let usual = |nth: u64| 200 + nth % 300 + if nth.is_multiple_of(100) { 20_000 } else { 0 };
    let cheap = |nth: u64| 45 + nth % 20;
    assert!(matches!(begun(&usual, &cheap).plan(), Step::Advance { .. }));
    // Every 30th request takes 40 ms: the median does not show it, the tail does.
    let tail = |nth: u64| if nth.is_multiple_of(30) { 40_000 } else { 300 };
    assert!(begun(&tail, &cheap).why_back().contains("own time"));
    let slow = |nth: u64| 9_000 + nth % 300;
    assert!(begun(&slow, &cheap).why_back().contains("own time"));
    // Three milliseconds more are under the least effect that counts, twice the CPU time is not.
    let little = |nth: u64| 3_000 + nth % 300;
    assert!(matches!(
        begun(&little, &cheap).plan(),
        Step::Advance { .. }
    ));
    assert!(
        begun(&usual, &|nth| 140 + nth % 20)
            .why_back()
            .contains("CPU time")
    );
    // Not before the hold is over: it is looked at once.
    let mut early = begun(&slow, &cheap);
    early.now_ms -= 5_000;
    assert!(early.why_hold().contains("watched"));
}

#[test]
fn equal_times_are_seldom_called_slower() {
    let mut state = 5_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // A long tail; no least effect could hide a wrong bound here, since the tail is far above 5 ms.
    let mut drawn = |count: usize| {
        let mut histogram = Histogram::default();
        (0..count).for_each(|_| histogram.add((30_000.0 * (1.0 - random()).powf(-0.5)) as u64));
        histogram
    };
    let mut alarms = 0;
    for _ in 0..400 {
        let mut bench = Bench::new(Kind::Zone, 1);
        bench.take();
        bench.watch(2_000);
        bench.reports[0].with.own_us = drawn(2_000);
        bench.reports[0].base.own_us = drawn(4_000);
        alarms += u32::from(matches!(bench.plan(), Step::TakeBack { .. }));
    }
    println!("measured: comparison of times, alarms of 400 equal pairs = {alarms} pairs");
    assert!(alarms <= 2, "{alarms}");
}

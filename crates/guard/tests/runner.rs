//! The runner holds stages to what they declared, whatever they do and whoever asks.

mod acting;

use acting::*;
use seawall_guard::{
    Budget, HALF_OPEN_AFTER, OnFault, OnKill, OnSpent, Scope, Seam, Seams, StageDef, Trail,
};
use seawall_model::document::{SkipSet, StageMode};

/// A stage of this name that judges.
macro_rules! judging {
    ($name:literal, $mode:ident, $($key:ident: $value:expr),*) => {
        stage(StageDef {
            name: $name,
            build: |_| judge($name, StageMode::$mode),
            $($key: $value,)*
            ..PLAIN
        })
    };
    ($name:literal, $mode:ident) => { judging!($name, $mode,) };
}

#[test]
fn a_spent_budget_means_what_the_stage_declared() {
    let rig = rig(&[
        judging!("deny", Enforce),
        judging!("pass", Enforce, on_spent: OnSpent::Pass),
        judging!("watch", Watch),
    ]);
    for way in ["burn", "loop"] {
        assert_eq!(rig.ask(&[&format!("deny:{way}")]), "403 deny/spent");
        assert_eq!(rig.ask(&[&format!("pass:{way}")]), "pass/spent?");
        assert_eq!(rig.ask(&[&format!("watch:{way}")]), "watch/spent?");
    }
    assert_eq!(
        rig.ask(&["pass:burn", "watch:deny"]),
        "pass/spent? watch/told?"
    );
    assert_eq!(rig.count("deny").spent, 2);
    assert_eq!(rig.count("deny").refused, 2);
    assert_eq!(rig.count("pass").refused, 0);
    let mut trail = Trail::default();
    let subject = rig.subject("192.0.2.1", 0);
    let mut head = telling(&["pass:loop"]);
    assert!(rig.guard.admit(&mut head, &subject, &mut trail).is_ok());
    assert!(
        trail.fuel <= 1_002,
        "{}: a stage spends its own budget only",
        trail.fuel
    );
}

#[test]
fn a_panic_means_what_the_stage_declared() {
    let rig = rig(&[
        judging!("open", Enforce),
        judging!("closed", Enforce, on_fault: OnFault::Closed),
        judging!("watch", Watch, on_fault: OnFault::Closed),
        judging!("last", Enforce),
    ]);
    assert_eq!(rig.ask(&["open:panic"]), "open/fault?");
    assert_eq!(rig.ask(&["closed:panic"]), "503! closed/fault");
    assert_eq!(rig.ask(&["watch:panic"]), "watch/fault?");
    assert_eq!(
        rig.ask(&["open:panic", "watch:panic", "last:deny"]),
        "418 open/fault? watch/fault? last/told",
        "it costs one stage of one request"
    );
    assert_eq!(rig.ask(&["open:deny"]), "418 open/told");
    assert_eq!(rig.count("open").faults, 2);
}

#[test]
fn only_an_enforcing_stage_refuses() {
    let rig = rig(&[judging!("watch", Watch), judging!("acts", Enforce)]);
    for act in ["deny", "throttle", "challenge"] {
        assert_eq!(rig.ask(&[&format!("watch:{act}")]), "watch/told?");
    }
    assert_eq!(rig.count("watch").watched, 3);
    assert_eq!(rig.ask(&["acts:throttle"]), "429 acts/told");
    assert_eq!(rig.ask(&["acts:challenge"]), "403 acts/told");
    assert_eq!(rig.ask(&["acts:note"]), "acts/told");
    assert_eq!(rig.ask(&[]), "");
    assert_eq!(rig.count("acts").refused, 2);
}

#[test]
fn three_networks_open_a_breaker_and_a_trial_closes_it() {
    let open = judging!("open", Enforce);
    let closed = judging!("closed", Enforce, on_fault: OnFault::Closed);
    let rig = rig(&[open, closed]);
    let from = ["192.0.2.1", "198.51.100.1", "2001:db8::1"];
    for client in from {
        assert_eq!(rig.ask_as(client, 5, &["open:deny"]), "418 open/told");
        assert_eq!(rig.ask_as(client, 5, &["open:panic"]), "open/fault?");
    }
    assert_eq!(rig.states.open_breakers().len(), 1);
    assert_eq!(rig.count("open").opened, 1);
    assert_eq!(
        rig.ask_as("203.0.113.1", 6, &["open:deny"]),
        "open/fault?",
        "it is left out"
    );
    for client in from {
        rig.ask_as(client, 5, &["closed:panic"]);
    }
    let left_out = rig.ask_as("203.0.113.1", 6, &[]);
    assert_eq!(left_out, "503! open/fault? closed/fault");
    let later = 5 + HALF_OPEN_AFTER;
    assert_eq!(rig.ask_as("203.0.113.1", later - 1, &[]), left_out);
    assert_eq!(
        rig.ask_as("203.0.113.1", later, &["open:panic"]),
        "open/fault?",
        "a trial fails"
    );
    let still = rig.ask_as("203.0.113.1", later + 1, &["open:deny"]);
    assert_eq!(
        still, "open/fault?",
        "the other one was mended by the same request"
    );
    let later = later + HALF_OPEN_AFTER;
    assert_eq!(
        rig.ask_as("203.0.113.1", later, &["open:deny"]),
        "418 open/told"
    );
    assert!(rig.states.open_breakers().is_empty());
    assert_eq!(rig.ask_as("203.0.113.1", later, &[]), "");
}

#[test]
fn a_breaker_outlives_the_snapshot_it_was_opened_under() {
    let open = judging!("open", Enforce);
    let mut rig = rig(&[open]);
    for client in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        rig.ask_as(client, 5, &["open:panic"]);
    }
    rig.guard = guard(&[open], &[], &rig.states);
    rig.states.sweep();
    assert_eq!(rig.ask_as("203.0.113.1", 6, &["open:deny"]), "open/fault?");
}

#[test]
fn one_client_cannot_switch_a_stage_off_for_another() {
    let rig = rig(&[
        judging!("open", Enforce),
        judging!("closed", Enforce, on_fault: OnFault::Closed),
    ]);
    for _ in 0..1_000 {
        rig.ask_as("192.0.2.66", 5, &["open:panic"]);
        rig.ask_as("192.0.2.66", 5, &["closed:panic"]);
        rig.ask_as("192.0.2.66", 5, &["open:burn"]);
    }
    assert_eq!(
        rig.ask_as("203.0.113.1", 6, &["open:deny"]),
        "418 open/told"
    );
    assert_eq!(rig.ask_as("203.0.113.1", 6, &[]), "");
    assert_eq!(
        rig.ask_as("192.0.2.66", 6, &["open:deny"]),
        "418 open/told",
        "nor for itself"
    );
}

#[test]
fn spending_never_opens_a_breaker() {
    let rig = rig(&[judging!("open", Enforce)]);
    for net in 0..1_000 {
        let client = format!("10.{}.{}.1", net / 250, net % 250);
        assert_eq!(rig.ask_as(&client, 5, &["open:burn"]), "403 open/spent");
    }
    assert_eq!(rig.count("open").opened, 0);
    assert_eq!(rig.ask(&["open:deny"]), "418 open/told");
}

fn weighing(mode: StageMode) -> Seams {
    let part = |name| {
        (
            Seam::Judge(Box::new(Part(name))),
            StageMode::Enforce,
            Some(name),
        )
    };
    let mut seams = parts(mode, vec![part("a"), part("b"), part("c")]);
    seams.threshold = Some(10);
    seams
}

#[test]
fn scores_of_one_stage_are_summed_and_judged_at_its_end() {
    let first = stage(StageDef {
        name: "first",
        build: |_| weighing(StageMode::Enforce),
        ..PLAIN
    });
    let second = stage(StageDef {
        name: "second",
        ..*first
    });
    let watch = stage(StageDef {
        name: "watch",
        build: |_| weighing(StageMode::Watch),
        ..PLAIN
    });
    let one = rig(&[first]);
    assert_eq!(one.ask(&["a:weigh5"]), "first/told");
    let both = ["a:weigh5", "c:weigh5"];
    assert_eq!(one.ask(&both), "403 first/told first/told first/score(10)");
    let and_more = one.ask(&["a:weigh5", "b:weigh5", "c:deny"]);
    assert_eq!(
        and_more, "418 first/told first/told first/told",
        "what refuses comes first"
    );
    // Stages do not weigh together.
    let two = rig(&[first, second]);
    assert_eq!(two.ask(&["a:weigh5"]), "first/told second/told");
    let watching = rig(&[watch]);
    assert_eq!(
        watching.ask(&["a:weigh5", "b:weigh5"]),
        "watch/told? watch/told?"
    );
}

#[test]
fn only_what_may_be_skipped_is_skipped_and_only_later() {
    let rig = rig(&[
        judging!("early", Enforce, skipped_by: SkipSet::WAF),
        judging!("says", Enforce),
        judging!("watch", Watch),
        judging!("waf", Enforce, skipped_by: SkipSet::WAF),
        judging!("rate", Enforce, skipped_by: SkipSet::RATE),
        judging!("access", Enforce),
    ]);
    let skip = "says:skip-waf";
    assert_eq!(rig.ask(&["waf:deny"]), "418 waf/told");
    assert_eq!(rig.ask(&[skip, "waf:deny"]), "says/told");
    assert_eq!(rig.ask(&[skip, "waf:panic"]), "says/told");
    assert_eq!(rig.ask(&[skip, "rate:deny"]), "418 says/told rate/told");
    assert_eq!(rig.ask(&[skip, "access:deny"]), "418 says/told access/told");
    assert_eq!(rig.ask(&[skip, "early:deny"]), "418 early/told");
    let watching = rig.ask(&["watch:skip-waf", "waf:deny"]);
    assert_eq!(watching, "418 watch/told? waf/told");
}

#[test]
fn a_scope_leaves_stages_out() {
    let rig = rig(&[judging!("a", Enforce), judging!("b", Enforce)]);
    let mut subject = rig.subject("192.0.2.1", 0);
    subject.scope = Scope::of(&rig.stages, &["b", "unknown"]);
    assert_eq!(rig.ask_subject(&subject, &["a:deny"]), "");
    assert_eq!(rig.ask_subject(&subject, &["b:deny"]), "418 b/told");
}

#[test]
fn a_killed_stage_is_off_or_closed_as_it_declared() {
    let off = judging!("off", Enforce);
    let closed = judging!("closed", Enforce, on_kill: OnKill::Closed);
    let idle = stage(StageDef {
        name: "idle",
        on_kill: OnKill::Closed,
        build: |_| Seams::default(),
        ..PLAIN
    });
    let without = rig_without(&[off, closed, idle], &["off", "idle", "unknown"]);
    assert_eq!(without.ask(&["off:deny"]), "");
    assert_eq!(without.ask(&["closed:deny"]), "418 closed/told");
    let without = rig_without(&[off, closed], &["closed"]);
    assert_eq!(without.ask(&[]), "503! closed/killed");
    let mut subject = without.subject("192.0.2.1", 0);
    subject.scope = Scope::of(&without.stages, &["off"]);
    assert_eq!(
        without.ask_subject(&subject, &[]),
        "",
        "where it would not be asked"
    );
}

#[test]
fn what_goes_on_is_judged_again_by_those_who_can() {
    let counting = judging!("counting", Enforce, asks_again: false);
    let again = judging!("again", Enforce);
    let closed = judging!("closed", Enforce, on_kill: OnKill::Closed);
    let mut rig = rig(&[counting, again, closed]);
    let ask = |rig: &Rig, acts: &[&str]| {
        let judged = rig
            .guard
            .judge_again(&telling(acts), &rig.subject("192.0.2.1", 0));
        judged
            .err()
            .map(|refusal| (refusal.stage, refusal.answer.status()))
    };
    assert_eq!(ask(&rig, &["counting:deny", "counting:panic"]), None);
    assert_eq!(ask(&rig, &["again:note"]), None);
    assert_eq!(ask(&rig, &["again:deny"]), Some(("again", 418)));
    rig.guard = guard(&rig.stages, &["closed"], &rig.states);
    assert_eq!(ask(&rig, &[]), Some(("closed", 503)));
}

#[test]
fn three_open_rules_open_their_stage() {
    fn rules() -> Seams {
        let rule = |name| {
            (
                Seam::Judge(Box::new(Part(name))),
                StageMode::Enforce,
                Some(name),
            )
        };
        parts(
            StageMode::Enforce,
            vec![rule("r1"), rule("r2"), rule("r3"), rule("r4")],
        )
    }
    let rig = rig(&[stage(StageDef {
        name: "rules",
        build: |_| rules(),
        ..PLAIN
    })]);
    let open = |rule: &str| {
        for client in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
            rig.ask_as(client, 5, &[&format!("{rule}:panic")]);
        }
    };
    open("r1");
    open("r2");
    assert_eq!(rig.states.open_breakers().len(), 2);
    let told = rig.ask_as("203.0.113.1", 6, &["r1:deny", "r4:deny"]);
    assert_eq!(
        told, "418 rules/fault? rules/fault? rules/told",
        "a rule by itself"
    );
    open("r3");
    assert_eq!(
        rig.states.open_breakers().len(),
        4,
        "three rules and the stage"
    );
    let told = rig.ask_as("203.0.113.1", 6, &["r4:deny"]);
    assert!(!told.starts_with("418"), "{told}: the stage is left out");
    let later = 5 + HALF_OPEN_AFTER;
    for _ in 0..5 {
        rig.ask_as("203.0.113.1", later, &[]);
    }
    assert!(
        rig.states.open_breakers().is_empty(),
        "{:?}",
        rig.states.open_breakers()
    );
    assert_eq!(
        rig.ask_as("203.0.113.1", later, &["r4:deny"]),
        "418 rules/told"
    );
}

#[test]
fn edits_are_what_later_parts_see() {
    fn two(mode: StageMode) -> Seams {
        parts(
            StageMode::Enforce,
            vec![
                (Seam::Transform(Box::new(Part("first"))), mode, None),
                (
                    Seam::Judge(Box::new(Part("second"))),
                    StageMode::Enforce,
                    None,
                ),
            ],
        )
    }
    let edits = stage(StageDef {
        name: "edits",
        build: |_| two(StageMode::Enforce),
        ..PLAIN
    });
    let watches = stage(StageDef {
        name: "watches",
        build: |_| two(StageMode::Watch),
        ..PLAIN
    });
    let acts = ["first:edit-second=deny", "second:note"];
    assert_eq!(rig(&[edits]).ask(&acts), "418 edits/told edits/told");
    assert_eq!(rig(&[watches]).ask(&acts), "watches/told? watches/told");
    assert_eq!(rig(&[edits]).ask(&["first:leave"]), "302 edits/told");
    assert_eq!(rig(&[watches]).ask(&["first:leave"]), "watches/told?");
    let rig = rig(&[edits]);
    let mut head = telling(&["first:edit-x=y"]);
    let subject = rig.subject("192.0.2.1", 0);
    let admitted = rig
        .guard
        .admit(&mut head, &subject, &mut Trail::default())
        .unwrap();
    assert_eq!(admitted.head().target(), b"/edited");
}

#[test]
fn the_parts_of_a_stage_share_its_fuel() {
    fn many() -> Seams {
        let part = || (Seam::Judge(Box::new(Part("p"))), StageMode::Enforce, None);
        parts(StageMode::Enforce, (0..20).map(|_| part()).collect())
    }
    let budget = Budget {
        fuel: 19,
        ..PLAIN.budget
    };
    let short = stage(StageDef {
        name: "short",
        budget,
        build: |_| many(),
        ..PLAIN
    });
    let enough = stage(StageDef {
        name: "enough",
        budget: Budget {
            fuel: 20,
            ..PLAIN.budget
        },
        build: |_| many(),
        ..PLAIN
    });
    assert_eq!(rig(&[enough]).ask(&[]), "");
    assert_eq!(rig(&[short]).ask(&[]), "403 short/spent");
    let many = rig(&[enough]).ask(&["p:note"]);
    assert_eq!(
        many.split(' ').count(),
        16,
        "what is told is bounded: {many}"
    );
}

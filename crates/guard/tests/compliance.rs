//! Each stage of this room alone, over the shared corpus.

mod acting;

use acting::{PLAIN, judge, stage};
use seawall_guard::kit::{self, Case};
use seawall_guard::stages::{body, ddos, hygiene, lists, maintenance, rules, transform};
use seawall_guard::{Budget, OnSpent, Reason, ReasonDef, Seam, Seams, Stage, StageDef, Verdict};
use seawall_model::document::StageMode;
use seawall_model::{Fuel, RequestView, Spent};

const STAGES: &[&StageDef] = &[
    &lists::DEF,
    &ddos::DEF,
    &maintenance::DEF,
    &transform::DEF,
    &rules::DEF,
    &body::DEF,
    &hygiene::DEF,
];

#[test]
fn every_stage_keeps_to_what_it_declares() {
    let wrong = kit::check(STAGES, kit::CASES);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_stage_without_a_case_fails() {
    let wrong = kit::check(&[&lists::DEF], &[]);
    assert_eq!(
        wrong,
        ["stage lists: has no case: add one with documents that configure it"]
    );
}

/// What the kit says of a stage that has one document.
fn told_of(def: StageDef, text: &'static str) -> String {
    let def = stage(def);
    let documents: &[&str] = Box::leak(Box::new([text]));
    let case = Case {
        stage: def.name,
        documents,
    };
    kit::check(&[def], &[case]).join("\n")
}

/// Ways to be a bad stage.
struct Bad(fn(&RequestView<'_>, &mut Fuel) -> Result<Verdict, Spent>);

impl Stage for Bad {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        (self.0)(request, fuel)
    }
}

fn bad(judge: fn(&RequestView<'_>, &mut Fuel) -> Result<Verdict, Spent>) -> Seams {
    let mut seams = Seams::new(StageMode::Enforce);
    seams.add(Seam::Judge(Box::new(Bad(judge))));
    seams
}

#[test]
fn the_kit_finds_what_is_wrong_with_a_stage() {
    let good = told_of(PLAIN, "");
    assert_eq!(good, "");
    for (build, says) in [
        ((|_| Seams::default()) as acting::Build, "has nothing to do"),
        (
            |_| {
                bad(|request, fuel| {
                    fuel.spend(1)?;
                    match request.head.target().contains(&0xff) {
                        true => std::panic::resume_unwind(Box::new("odd bytes")),
                        false => Ok(Verdict::Pass),
                    }
                })
            },
            "panics at GET /\u{fffd}",
        ),
        (
            |_| {
                bad(|_, fuel| {
                    fuel.spend(1)
                        .map(|()| Verdict::Note(Reason::plain("secret")))
                })
            },
            "gives \"secret\", which it does not document",
        ),
        (|_| bad(|_, _| Ok(Verdict::Pass)), "never spends fuel"),
        (
            |_| bad(|_, _| Ok(Verdict::Deny(403, Reason::plain("told")))),
            "without fuel: refused",
        ),
        (
            |_| {
                bad(|view, fuel| {
                    fuel.spend(view.head.path().len() as u64)
                        .map(|()| Verdict::Pass)
                })
            },
            "spent its budget",
        ),
        (
            |_| std::panic::resume_unwind(Box::new("no zone is as I thought")),
            "panics while it is built",
        ),
    ] {
        let told = told_of(StageDef { build, ..PLAIN }, "");
        assert!(told.contains(says), "{says}: {told}");
    }
}

#[test]
fn the_kit_finds_modes_that_are_not_heeded_and_what_is_declared_badly() {
    let ignores = told_of(PLAIN, "body = { mode = '{mode}' }");
    assert!(
        ignores.contains("has something to do although it is off"),
        "{ignores}"
    );
    fn deny() -> Seams {
        bad(|_, fuel| {
            fuel.spend(1)
                .map(|()| Verdict::Deny(403, Reason::plain("told")))
        })
    }
    let refuses = StageDef {
        build: |_| deny(),
        ..PLAIN
    };
    let told = told_of(refuses, "body = { mode = '{mode}' }");
    assert!(
        told.contains("refuses although it should only watch"),
        "{told}"
    );
    let declared = StageDef {
        name: "Bad name",
        what: "no sentence",
        budget: Budget {
            fuel: 0,
            ..PLAIN.budget
        },
        reasons: &[ReasonDef {
            name: "told so",
            what: "It was told to.",
        }],
        on_spent: OnSpent::Pass,
        build: |_| judge("x", StageMode::Enforce),
        ..PLAIN
    };
    let told = told_of(declared, "");
    for says in [
        "its name is not",
        "is no name of a reason",
        "is no sentence",
        "its budget",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let wrong = told_of(PLAIN, "[zone.body]\njson_dept = 1");
    assert!(
        wrong.contains("its document is wrong: zone[0].body.json_dept"),
        "{wrong}"
    );
    let twice = stage(PLAIN);
    let told = kit::check(&[twice, twice], kit::CASES).join("\n");
    assert!(told.contains("is in the slice twice"), "{told}");
}

//! Bodies and responses on their way past their stages.

mod acting;

use acting::*;
use seawall_guard::{OnFault, OnSpent, Seam, Seams, StageDef, Trail};
use seawall_model::document::StageMode;

fn body(name: &'static str, mode: StageMode) -> Seams {
    let mut seams = Seams::new(mode);
    seams.add(Seam::Body(Box::new(Part(name))));
    seams
}

fn response(name: &'static str, mode: StageMode) -> Seams {
    let mut seams = Seams::new(mode);
    seams.add(Seam::Response(Box::new(Part(name))));
    seams
}

fn made(name: &'static str, build: Build) -> StageDef {
    StageDef {
        name,
        build,
        ..PLAIN
    }
}

#[test]
fn a_body_is_refused_before_it_comes_or_late() {
    let rig = rig(&[
        stage(made("a", |_| body("a", StageMode::Enforce))),
        stage(made("b", |_| body("b", StageMode::Enforce))),
    ]);
    assert_eq!(rig.send(&["a:deny"], &["never read"]), "418 a/told");
    assert_eq!(rig.send(&[], &["b:deny"]), "", "nobody wants to see it");
    assert_eq!(rig.send(&["b:watch"], &["x", "b:deny", "y"]), "418 b/told");
    assert_eq!(
        rig.send(&["b:watch"], &["x", "b:late"]),
        "418 b/told",
        "at its very end"
    );
    assert_eq!(rig.send(&["b:watch"], &["b:late", "x"]), "");
    assert_eq!(
        rig.send(&["a:watch", "b:watch"], &["x", "b:deny"]),
        "418 b/told"
    );
    assert_eq!(rig.count("b").refused, 3);
}

#[test]
fn a_body_that_is_only_watched_goes_on_and_is_told_once() {
    let rig = rig(&[stage(made("a", |_| body("a", StageMode::Watch)))]);
    assert_eq!(rig.send(&["a:deny"], &["x"]), "a/told?");
    assert_eq!(
        rig.send(&["a:watch"], &["a:deny", "a:deny", "a:late"]),
        "a/told?"
    );
    assert_eq!(rig.send(&["a:watch"], &["a:loop", "a:deny"]), "a/spent?");
    assert_eq!(rig.send(&["a:watch"], &["a:panic", "a:deny"]), "a/fault?");
}

#[test]
fn failing_and_spending_in_the_middle_of_a_body() {
    let rig = rig(&[
        stage(made("open", |_| body("open", StageMode::Enforce))),
        stage(StageDef {
            on_fault: OnFault::Closed,
            on_spent: OnSpent::Pass,
            ..made("closed", |_| body("closed", StageMode::Enforce))
        }),
    ]);
    let both = ["open:watch", "closed:watch"];
    assert_eq!(rig.send(&both, &["open:panic", "open:deny"]), "open/fault?");
    assert_eq!(
        rig.send(&both, &["open:panic", "closed:deny"]),
        "418 open/fault? closed/told",
        "the other one still looks"
    );
    assert_eq!(rig.send(&both, &["closed:panic"]), "503! closed/fault");
    assert_eq!(rig.send(&both, &["open:burn"]), "403 open/spent");
    assert_eq!(
        rig.send(&both, &["closed:burn", "closed:deny"]),
        "closed/spent?"
    );
    assert_eq!(rig.send(&["closed:panic"], &[]), "503! closed/fault");
    assert_eq!(rig.send(&["open:loop"], &[]), "403 open/spent");
}

#[test]
fn as_much_is_held_back_as_an_enforcing_stage_wants_and_declared() {
    let enforcing = stage(made("a", |_| body("a", StageMode::Enforce)));
    let watching = stage(made("a", |_| body("a", StageMode::Watch)));
    for (def, act, hold) in [
        (enforcing, "a:watch", 40),
        (enforcing, "a:watch-long", 100),
        (watching, "a:watch", 0),
    ] {
        let rig = rig(&[def]);
        let (subject, mut trail) = (rig.subject("192.0.2.1", 0), Trail::default());
        let mut head = telling(&[act]);
        let admitted = rig.guard.admit(&mut head, &subject, &mut trail).unwrap();
        let inspection = rig.guard.inspect(&admitted, None, &subject, &mut trail);
        assert_eq!(inspection.unwrap().unwrap().hold(), hold, "{act}");
    }
}

#[test]
fn responses_are_changed_and_refused() {
    let rig = rig(&[
        stage(made("a", |_| response("a", StageMode::Enforce))),
        stage(made("b", |_| response("b", StageMode::Enforce))),
    ]);
    let told = |said: &str, fields: &str| (said.to_owned(), fields.to_owned());
    assert_eq!(rig.respond(&[], b""), told("", "server"));
    assert_eq!(rig.respond(&["a:edit"], b""), told("", "x-edited"));
    assert_eq!(rig.respond(&["b:deny"], b"").0, "502 b/told");
    assert_eq!(
        rig.respond(&["a:panic", "b:edit"], b""),
        told("a/fault?", "x-edited")
    );
    assert_eq!(rig.respond(&["a:burn"], b"").0, "403 a/spent");
    let watching = acting::rig(&[stage(made("a", |_| response("a", StageMode::Watch)))]);
    assert_eq!(
        watching.respond(&["a:deny"], b""),
        told("a/told?", "server")
    );
    assert_eq!(watching.respond(&["a:edit"], b""), told("", "server"));
    assert_eq!(watching.respond(&["a:burn"], b"").0, "a/spent?");
}

#[test]
fn no_more_of_a_response_is_shown_than_was_declared() {
    let rig = rig(&[stage(made("a", |_| response("a", StageMode::Enforce)))]);
    let within = [vec![b'x'; 94].as_slice(), b"secret"].concat();
    assert_eq!(rig.respond(&["a:secret"], &within).0, "502 a/told");
    let cut = [within.as_slice(), b"secret"].concat();
    assert_eq!(
        rig.respond(&["a:secret"], &cut).0,
        "502 a/told",
        "of 106 bytes it sees 100"
    );
    let behind = [vec![b'x'; 95].as_slice(), b"secret"].concat();
    assert_eq!(rig.respond(&["a:secret"], &behind).0, "");
}

//! What the blame page says while stages run and when they fail, and what the runner does without in an emergency.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod acting;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use acting::*;
use seawall_guard::blame::{self, Page, Phase, Runs};
use seawall_guard::{
    BodyStage, Inspect, OnKill, Opened, ResponseStage, ResponseView, Reviewed, Seam, Seams, Stage,
    StageDef, Trail, Transform, Transformed, Verdict, ZoneId,
};
use seawall_model::document::StageMode;
use seawall_model::{Fuel, RequestView, ResponseHead, Spent};

/// A stage that dies: it marks the page as the handler of a deadly signal would, notes what the page says then, and panics.
struct Dies;

static WORDS: Mutex<Option<&'static [AtomicU64]>> = Mutex::new(None);
static SEEN: Mutex<Vec<Option<Runs>>> = Mutex::new(Vec::new());

fn die() -> ! {
    let words = WORDS.lock().unwrap().unwrap();
    Page::of(words).mark_dying(blame::own_slot(), 11);
    SEEN.lock().unwrap().push(Page::of(words).culprit());
    std::panic::resume_unwind(Box::new("on purpose"))
}

impl Stage for Dies {
    fn judge(&self, _: &RequestView<'_>, _: &mut Fuel) -> Result<Verdict, Spent> {
        die()
    }
}

impl Transform for Dies {
    fn transform(&self, _: &RequestView<'_>, _: &mut Fuel) -> Result<Transformed, Spent> {
        die()
    }
}

impl BodyStage for Dies {
    fn open(&self, _: &RequestView<'_>, _: Option<u64>, _: &mut Fuel) -> Result<Opened, Spent> {
        Ok(Opened::Watch(Box::new(Dies), 0))
    }
}

impl Inspect for Dies {
    fn feed(&mut self, _: &[u8], _: bool, _: &mut Fuel) -> Result<Verdict, Spent> {
        die()
    }
}

impl ResponseStage for Dies {
    fn review(&self, _: &ResponseView<'_>, _: &mut Fuel) -> Result<Reviewed, Spent> {
        die()
    }
}

#[test]
fn a_stage_that_dies_is_named_with_its_zone_and_what_it_looked_at() {
    let dies = stage(StageDef {
        name: "dies",
        build: |_| {
            let mut seams = Seams::new(StageMode::Enforce);
            seams.add(Seam::Judge(Box::new(Dies)));
            seams.add(Seam::Transform(Box::new(Dies)));
            seams.add(Seam::Body(Box::new(Dies)));
            seams.add(Seam::Response(Box::new(Dies)));
            seams
        },
        ..PLAIN
    });
    let rig = rig(&[stage(PLAIN), dies]);
    let words = blame::leaked(2);
    let page = Page::of(words);
    page.begin(2, 1);
    *WORDS.lock().unwrap() = Some(words);
    blame::take_slot(words, 1);
    let runs = Runs {
        zone: 0xab,
        version: 0xcd,
        platform: 0xef,
        stage: Phase::Between.alone(),
        ray: 0x1234,
    };
    let within = blame::enter(&runs);
    let (subject, mut trail) = (rig.subject("192.0.2.1", 0), Trail::default());
    let mut head = telling(&[]);
    let admitted = rig.guard.admit(&mut head, &subject, &mut trail).unwrap();
    let inspection = rig.guard.inspect(&admitted, None, &subject, &mut trail);
    let mut inspection = inspection.unwrap().unwrap();
    inspection.feed(b"x", true, &subject, &mut trail).unwrap();
    let mut answer = ResponseHead::default();
    let cleared = rig.guard.clear(&mut answer, b"", &subject, &mut trail);
    assert!(cleared.is_ok());
    assert_eq!(page.read(1), Some(runs), "each of them failed, and is over");
    let phases = [Phase::Judge, Phase::Transform, Phase::Body, Phase::Response];
    let blamed = phases.map(|phase| {
        let stage = phase.with(1);
        Some(Runs { stage, ..runs })
    });
    assert_eq!(*SEEN.lock().unwrap(), blamed);
    drop(within);
    assert_eq!(page.culprit(), None, "what died is not what ran");
}

#[test]
fn an_emergency_leaves_optional_stages_out_and_no_others() {
    let needed = stage(PLAIN);
    let optional = stage(StageDef {
        name: "optional",
        optional: true,
        // What a switch on it would mean does not matter.
        on_kill: OnKill::Closed,
        build: |_| judge("optional", StageMode::Enforce),
        ..PLAIN
    });
    let rig = rig(&[needed, optional]);
    let modes = || -> Vec<_> { rig.guard.stages().collect() };
    let (on, off) = (StageMode::Enforce, StageMode::Off);
    assert_eq!(rig.ask(&["optional:deny"]), "418 optional/told");
    assert_eq!(modes(), [("plain", on), ("optional", on)]);

    rig.states.set_safe_mode(true);
    assert_eq!(rig.ask(&["optional:deny"]), "");
    assert_eq!(rig.ask(&["plain:deny"]), "418 plain/told");
    assert_eq!(modes(), [("plain", on), ("optional", off)]);
    rig.states.set_safe_mode(false);
    assert_eq!(rig.ask(&["optional:deny"]), "418 optional/told");

    let other = ZoneId(2);
    rig.states.set_quarantined(&HashSet::from([other]));
    assert_eq!(rig.ask(&["optional:deny"]), "418 optional/told");
    let both = HashSet::from([other, rig.guard.zone()]);
    rig.states.set_quarantined(&both);
    assert!(rig.guard.does_without());
    assert_eq!(rig.ask(&["optional:deny"]), "");
    assert_eq!(rig.states.quarantined(), [rig.guard.zone(), other]);
    // A zone that comes later, as after a reload, is met by it; sweeping forgets nothing that is on.
    rig.states.sweep();
    assert!(guard(&rig.stages, &[], &rig.states).does_without());
    rig.states.set_quarantined(&HashSet::new());
    assert_eq!(rig.ask(&["optional:deny"]), "418 optional/told");
    assert_eq!(rig.states.quarantined(), []);
}

//! What the kit finds out of a stage.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use seawall_model::document::{Document, StageMode};
use seawall_model::{Fuel, RequestView, ResponseHead, Spent};
use seawall_rules::{Bounds, Patterns};

use super::corpus::{self, Sent};
use super::{Case, conn, document, lists};
use crate::assemble::Assembly;
use crate::inspection::Inspection;
use crate::runner::{Guard, Scope, Subject};
use crate::stage::{
    BodyStage, Budget, OnFault, OnSpent, Opened, ResponseStage, ResponseView, Seam, Seams, Stage,
    StageDef,
};
use crate::states::{States, ZoneId};
use crate::trail::Trail;
use crate::verdict::{Refusal, Reviewed, Verdict};

/// Lengths of the pieces in which bodies are shown.
const PIECES: [usize; 3] = [1_000, 7, 16 << 10];
/// Fields that a body of this type is sent with.
const CONTENT_TYPE: &str = "content-type";

/// Checks each stage alone, as its case configures it. Returns all that is wrong; empty if nothing is.
pub fn check(stages: &[&'static StageDef], cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for def in stages {
        let mut bench = Bench {
            def,
            doing: String::new(),
            wrong: &mut wrong,
        };
        bench.declared(stages);
        match cases.iter().find(|case| case.stage == def.name) {
            Some(case) => bench.stage(case),
            None => bench.tell("has no case: add one with documents that configure it".into()),
        }
        bench.faults();
    }
    wrong
}

/// One stage that is looked at.
struct Bench<'w> {
    def: &'static StageDef,
    doing: String,
    wrong: &'w mut Vec<String>,
}

/// What became of everything that a guard was shown.
#[derive(Default)]
struct Seen {
    refused: u64,
    spent: u64,
    other_refusals: u64,
}

impl Bench<'_> {
    fn tell(&mut self, what: String) {
        let told = format!("stage {}{}: {what}", self.def.name, self.doing);
        self.wrong.push(told);
    }

    /// What it says of itself.
    fn declared(&mut self, stages: &[&'static StageDef]) {
        let def = self.def;
        if stages.iter().filter(|other| other.name == def.name).count() > 1 {
            self.tell("is in the slice twice".into());
        }
        let word = |text: &str| {
            let known =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            !text.is_empty() && text.bytes().all(known)
        };
        if !word(def.name) {
            self.tell("its name is not of a-z, 0-9 and _".into());
        }
        for reason in def.reasons {
            if !word(reason.name) {
                self.tell(format!("{:?} is no name of a reason", reason.name));
            }
        }
        let sentence = |text: &str| text.ends_with('.') && text.starts_with(char::is_uppercase);
        let mut texts = def
            .reasons
            .iter()
            .map(|reason| reason.what)
            .chain([def.what]);
        if let Some(text) = texts.find(|text| !sentence(text)) {
            self.tell(format!("{text:?} is no sentence"));
        }
        // Half a millisecond for each head is what all stages together may well cost; thirty, what one may that looks into bodies
        // as a whole, and refuses who makes it dearer.
        let most = match (def.budget.body, def.on_spent) {
            (1.., OnSpent::Deny) => 30_000_000,
            _ => 500_000,
        };
        if def.budget.fuel == 0 || def.budget.fuel > most {
            self.tell(format!("its budget is not between 1 and {most}"));
        }
    }

    fn stage(&mut self, case: &Case) {
        if case.documents.is_empty() {
            self.tell("its case has no documents".into());
        }
        for (nth, text) in case.documents.iter().enumerate() {
            let mode = |mode: StageMode| text.replace("{mode}", mode.word());
            let has_mode = text.contains("{mode}");
            self.doing = format!(", document {nth}, enforce");
            if let Some(guard) = self.guard(self.def, &mode(StageMode::Enforce)) {
                if guard.stages().next().is_none() {
                    self.tell("has nothing to do".into());
                }
                self.all(&guard);
            }
            if has_mode {
                self.doing = format!(", document {nth}, watch");
                if let Some(guard) = self.guard(self.def, &mode(StageMode::Watch))
                    && self.all(&guard).refused > 0
                {
                    self.tell("refuses although it should only watch".into());
                }
                self.doing = format!(", document {nth}, off");
                if let Some(guard) = self.guard(self.def, &mode(StageMode::Off))
                    && guard.stages().next().is_some()
                {
                    self.tell("has something to do although it is off".into());
                }
            }
            self.doing = format!(", document {nth}, without fuel");
            self.starved(&mode(StageMode::Enforce));
        }
        self.doing = String::new();
    }

    /// With no fuel at all: what it declared of that is what happens.
    fn starved(&mut self, text: &str) {
        let budget = Budget {
            fuel: 0,
            body_fuel: 0,
            body: self.def.budget.body,
        };
        // A test makes a handful of these.
        let def: &'static StageDef = Box::leak(Box::new(StageDef {
            budget,
            ..*self.def
        }));
        let Some(guard) = self.guard(def, text) else {
            return;
        };
        let seen = self.shown(&guard);
        if seen.spent == 0 {
            self.tell("never spends fuel: it must pay before it looks".into());
        }
        let refuses = seen.refused > 0;
        if refuses != (def.on_spent == OnSpent::Deny) {
            self.tell(format!("refused {} where its fuel ended", seen.refused));
        }
        if seen.other_refusals > 0 {
            self.tell(format!("refused {} without fuel", seen.other_refusals));
        }
    }

    /// Failing: what it declared of that is what happens.
    fn faults(&mut self) {
        self.doing = ", failing".into();
        let builds: [fn(&mut crate::ZoneInput<'_>) -> Seams; 3] = [
            |_| failing(Seam::Judge(Box::new(Failing))),
            |_| failing(Seam::Body(Box::new(Failing))),
            |_| failing(Seam::Response(Box::new(Failing))),
        ];
        for build in builds {
            let def: &'static StageDef = Box::leak(Box::new(StageDef { build, ..*self.def }));
            let Some(guard) = self.guard(def, "") else {
                continue;
            };
            let conn = conn();
            let refusals = [
                self.admitted(&guard, &conn, &mut plain()),
                self.responded(&guard, &conn, ResponseHead::default()),
            ];
            for refusal in refusals.into_iter().flatten() {
                if def.on_fault == OnFault::Open
                    || refusal.answer.status() != 503
                    || !refusal.failed
                {
                    self.tell(format!("is answered {refusal:?} when it fails"));
                }
            }
        }
        self.doing = String::new();
    }

    fn guard(&mut self, def: &'static StageDef, text: &str) -> Option<Guard> {
        let document = match document(text) {
            Ok(document) => document,
            Err(problems) => {
                self.tell(format!("its document is wrong: {problems}"));
                return None;
            }
        };
        let mut problems = Vec::new();
        let guard = built(def, &document, &mut problems);
        for problem in problems {
            self.tell(problem);
        }
        guard
    }

    /// Shows it everything, with its whole budget: nothing may be spent.
    fn all(&mut self, guard: &Guard) -> Seen {
        let seen = self.shown(guard);
        if seen.spent > 0 {
            self.tell(format!("spent its budget {} times", seen.spent));
        }
        seen
    }

    fn shown(&mut self, guard: &Guard) -> Seen {
        let mut seen = Seen::default();
        let conn = conn();
        for mut sent in corpus::requests() {
            let refusal = self.admitted(guard, &conn, &mut sent);
            seen.count(refusal);
        }
        for (kind, body) in corpus::bodies() {
            for piece in PIECES {
                for length in [None, Some(body.len() as u64)] {
                    let refusal = self.inspected(guard, &conn, kind, (length, &body), piece);
                    seen.count(refusal);
                }
            }
        }
        for head in corpus::responses() {
            let refusal = self.responded(guard, &conn, head);
            seen.count(refusal);
        }
        seen.spent += guard_spent(guard);
        seen
    }

    fn admitted(
        &mut self,
        guard: &Guard,
        conn: &seawall_model::ConnFacts,
        sent: &mut Sent,
    ) -> Option<Refusal> {
        let subject = Subject {
            conn,
            client: sent.client,
            https: sent.https,
            now: 1_000,
            scope: Scope::ALL,
        };
        let mut trail = Trail::default();
        let admitted = guard.admit(&mut sent.head, &subject, &mut trail);
        let refusal = match admitted {
            Ok(admitted) => {
                let inspected = guard.inspect(&admitted, Some(0), &subject, &mut trail);
                inspected.err()
            }
            Err(refusal) => Some(refusal),
        };
        self.said(&sent.name, &trail, self.def.budget.fuel * 2);
        if refusal.is_none() {
            // It is asked again of what goes on for long; what it says is not counted here.
            let again = guard.judge_again(&sent.head, &subject);
            if let Err(refusal) = again
                && !self.def.documents(refusal.reason.name)
            {
                self.tell(format!("{} is not documented", refusal.reason.name));
            }
        }
        refusal.map(|refusal| *refusal)
    }

    fn inspected(
        &mut self,
        guard: &Guard,
        conn: &seawall_model::ConnFacts,
        kind: &str,
        (length, body): (Option<u64>, &[u8]),
        piece: usize,
    ) -> Option<Refusal> {
        let mut sent = plain();
        sent.head
            .fields
            .push(CONTENT_TYPE.as_bytes(), kind.as_bytes());
        let subject = Subject {
            conn,
            client: sent.client,
            https: false,
            now: 1_000,
            scope: Scope::of(&[], &[]),
        };
        let mut trail = Trail::default();
        // No stage judges the head here: that was done before.
        let admitted = guard.admit(&mut sent.head, &subject, &mut trail).ok()?;
        let opened = guard.inspect(&admitted, length, &subject, &mut trail);
        let fed = opened.and_then(|inspection| match inspection {
            Some(inspection) => feed(inspection, body, piece, &subject, &mut trail),
            None => Ok(()),
        });
        let pieces = 1 + body.len() / piece.max(1);
        let kib = (2 * pieces + body.len() / 1024 + 2) as u64;
        let most = self.def.budget.fuel + self.def.budget.body_fuel * kib;
        self.said(&format!("a body of {kind:?}"), &trail, most);
        fed.err().map(|refusal| *refusal)
    }

    fn responded(
        &mut self,
        guard: &Guard,
        conn: &seawall_model::ConnFacts,
        mut head: ResponseHead,
    ) -> Option<Refusal> {
        let subject = Subject {
            conn,
            client: plain().client,
            https: false,
            now: 1_000,
            scope: Scope::ALL,
        };
        let mut trail = Trail::default();
        let status = head.status;
        let cleared = guard.clear(&mut head, b"<html>", &subject, &mut trail);
        let refusal = cleared.err().map(|refusal| *refusal);
        self.said(
            &format!("a response {status}"),
            &trail,
            self.def.budget.fuel,
        );
        refusal
    }

    /// Looks at what was said of one thing.
    fn said(&mut self, name: &str, trail: &Trail, most: u64) {
        for entry in trail.entries() {
            let reason = entry.reason.name;
            let failing = self.doing.starts_with(", failing");
            if reason == "fault" && !failing {
                self.tell(format!("panics at {name}"));
            } else if !self.def.documents(reason) {
                self.tell(format!(
                    "gives {reason:?}, which it does not document, at {name}"
                ));
            }
        }
        if trail.fuel > most {
            self.tell(format!("used {} of {most} at {name}", trail.fuel));
        }
    }
}

impl Seen {
    fn count(&mut self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.refused += 1;
            self.other_refusals += u64::from(refusal.reason.name != "spent");
        }
    }
}

fn feed(
    mut inspection: Inspection<'_>,
    body: &[u8],
    piece: usize,
    subject: &Subject<'_>,
    trail: &mut Trail,
) -> Result<(), Box<Refusal>> {
    for piece in body.chunks(piece) {
        inspection.feed(piece, false, subject, trail)?;
    }
    inspection.feed(b"", true, subject, trail)
}

/// How often the stage spent its fuel.
fn guard_spent(guard: &Guard) -> u64 {
    let counts = guard.states().counts();
    counts
        .map(|(_, counts)| counts.spent.load(std::sync::atomic::Ordering::Relaxed))
        .sum()
}

/// Makes the guard; also a panic is a problem.
fn built(def: &'static StageDef, document: &Document, problems: &mut Vec<String>) -> Option<Guard> {
    let zone = document.zones.first()?;
    let (lists, bounds) = (lists(document), Bounds::default());
    let states = Arc::new(States::new([def.name], 100_000));
    let assembly = Assembly {
        stages: &[def],
        lists: &lists,
        bounds: &bounds,
        files: &super::Samples,
        https_port: 8443,
        states: &states,
    };
    let mut found = Vec::new();
    let make = || {
        assembly.guard(
            zone,
            ZoneId(1),
            "zone[0]",
            &mut Patterns::unbounded(),
            &mut found,
        )
    };
    let guard = catch_unwind(AssertUnwindSafe(make));
    problems.extend(found.iter().map(ToString::to_string));
    guard
        .map_err(|_| problems.push("panics while it is built".into()))
        .ok()
}

fn plain() -> Sent {
    let none: &[(&str, &str)] = &[];
    Sent {
        name: "a plain request".into(),
        head: super::request("POST", b"/", none),
        client: std::net::Ipv4Addr::new(192, 0, 2, 9).into(),
        https: true,
    }
}

fn failing(seam: Seam) -> Seams {
    let mut seams = Seams::new(StageMode::Enforce);
    seams.add(seam);
    seams
}

/// Panics, without a message on standard error.
struct Failing;

fn fail() -> ! {
    let payload: Box<dyn Any + Send> = Box::new("on purpose");
    resume_unwind(payload)
}

impl Stage for Failing {
    fn judge(&self, _: &RequestView<'_>, _: &mut Fuel) -> Result<Verdict, Spent> {
        fail()
    }
}

impl BodyStage for Failing {
    fn open(&self, _: &RequestView<'_>, _: Option<u64>, _: &mut Fuel) -> Result<Opened, Spent> {
        fail()
    }
}

impl ResponseStage for Failing {
    fn review(&self, _: &ResponseView<'_>, _: &mut Fuel) -> Result<Reviewed, Spent> {
        fail()
    }
}

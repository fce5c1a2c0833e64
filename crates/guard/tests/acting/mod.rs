//! Stages that do what a request tells them to, and a zone made of them.
//!
//! A field `x-do: <part>:<act>` speaks to the part of that name: `panic`, `burn`, `loop`, `deny`, `note`, `weigh5`, `skip-waf`,
//! `edit`, `leave`, `late`, `long`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; each file of tests uses some of them"
)]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use seawall_guard::{
    Assembly, BodyStage, Budget, Edits, Guard, HeadEdit, Inspect, OnFault, OnKill, OnSpent, Opened,
    Page, Reason, ReasonDef, Refusal, ResponseStage, ResponseView, Reviewed, Scope, Seam, Seams,
    Stage, StageDef, States, Subject, Trail, Transform, Transformed, Verdict, ZoneId, ZoneInput,
    kit,
};
use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{ConnFacts, Fields, Fuel, RequestHead, RequestView, ResponseHead, Spent};
use seawall_rules::{Bounds, Lists, Patterns};

pub const PLAIN: StageDef = StageDef {
    name: "plain",
    what: "Does what it is told.",
    budget: Budget {
        fuel: 1_000,
        body_fuel: 1_000,
        body: 100,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[],
    reasons: &[ReasonDef {
        name: "told",
        what: "It was told to.",
    }],
    asks_again: true,
    optional: false,
    skipped_by: SkipSet::NONE,
    build: |_| judge("plain", StageMode::Enforce),
};

pub fn judge(name: &'static str, mode: StageMode) -> Seams {
    let mut seams = Seams::new(mode);
    seams.add(Seam::Judge(Box::new(Part(name))));
    seams
}

/// One part, by its name.
pub struct Part(pub &'static str);

fn told() -> Reason {
    Reason::plain("told")
}

/// Does what costs; gives the act otherwise.
fn act(name: &str, fields: &Fields, fuel: &mut Fuel) -> Result<Option<String>, Spent> {
    let mut acts = fields.iter().filter(|field| field.name == b"x-do");
    let act = acts.find_map(|field| {
        let text = std::str::from_utf8(field.value).ok()?;
        let (part, act) = text.split_once(':')?;
        (part == name).then_some(act)
    });
    fuel.spend(1)?;
    match act {
        Some("panic") => resume_unwind(Box::new("on purpose")),
        Some("burn") => fuel.spend(1 << 40)?,
        Some("loop") => loop {
            fuel.spend(7)?;
        },
        act => return Ok(act.map(ToOwned::to_owned)),
    }
    Ok(None)
}

impl Stage for Part {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        Ok(match act(self.0, &request.head.fields, fuel)?.as_deref() {
            Some("deny") => Verdict::Deny(418, told()),
            Some("throttle") => Verdict::Throttle(Duration::from_secs(3), told()),
            Some("challenge") => Verdict::Challenge(told()),
            Some("note") => Verdict::Note(told()),
            Some("weigh5") => Verdict::Weigh(5, told()),
            Some("skip-waf") => Verdict::Skip(SkipSet::WAF, told()),
            _ => Verdict::Pass,
        })
    }
}

impl Transform for Part {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        let act = act(self.0, &request.head.fields, fuel)?;
        Ok(match act.as_deref() {
            Some("leave") => {
                let location = b"/elsewhere".to_vec();
                let status = 302;
                Transformed::Respond(Page::Redirect { status, location }, told())
            }
            // What the next part does is up to this one.
            Some(act) => match act.strip_prefix("edit-") {
                Some(next) => {
                    let mut put = Fields::default();
                    put.push(b"x-do", next.replace('=', ":").as_bytes());
                    let remove = [b"x-do".as_slice().into()].into();
                    let edit = HeadEdit {
                        target: Some(b"/edited".to_vec()),
                        fields: Edits { remove, put },
                    };
                    Transformed::Edit(Arc::new(edit), Some(told()))
                }
                None => Transformed::Same,
            },
            None => Transformed::Same,
        })
    }
}

impl BodyStage for Part {
    fn open(
        &self,
        request: &RequestView<'_>,
        _: Option<u64>,
        fuel: &mut Fuel,
    ) -> Result<Opened, Spent> {
        Ok(match act(self.0, &request.head.fields, fuel)?.as_deref() {
            Some("deny") => Opened::Verdict(Verdict::Deny(418, told())),
            Some("watch") => Opened::Watch(Box::new(Part(self.0)), 40),
            Some("watch-long") => Opened::Watch(Box::new(Part(self.0)), 1 << 20),
            _ => Opened::Pass,
        })
    }
}

impl Inspect for Part {
    fn feed(&mut self, piece: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let mut fields = Fields::default();
        fields.push(b"x-do", piece);
        let act = act(self.0, &fields, fuel)?;
        Ok(match (act.as_deref(), end) {
            (Some("deny"), _) | (Some("late"), true) => Verdict::Deny(418, told()),
            _ => Verdict::Pass,
        })
    }
}

impl ResponseStage for Part {
    fn review(&self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent> {
        let act = act(self.0, &response.head.fields, fuel)?;
        Ok(match act.as_deref() {
            Some("deny") => Reviewed::Deny(502, told()),
            Some("secret") if response.body.ends_with(b"secret") => Reviewed::Deny(502, told()),
            Some("edit") => {
                let mut put = Fields::default();
                put.push(b"x-edited", b"yes");
                let remove = [b"server".as_slice().into()].into();
                Reviewed::Edit(Arc::new(Edits { remove, put }), None)
            }
            _ => Reviewed::Same,
        })
    }
}

/// A zone with some stages.
pub struct Rig {
    pub guard: Guard,
    pub states: Arc<States>,
    pub stages: Vec<&'static StageDef>,
    pub conn: ConnFacts,
}

/// A stage for as long as the tests run.
pub fn stage(def: StageDef) -> &'static StageDef {
    Box::leak(Box::new(def))
}

pub fn rig(stages: &[&'static StageDef]) -> Rig {
    rig_without(stages, &[])
}

/// The same, with some of them switched off.
pub fn rig_without(stages: &[&'static StageDef], killed: &[&str]) -> Rig {
    let states = Arc::new(States::new(stages.iter().map(|def| def.name), 1_000));
    let guard = guard(stages, killed, &states);
    Rig {
        guard,
        states,
        stages: stages.to_vec(),
        conn: kit::conn(),
    }
}

pub fn guard(stages: &[&'static StageDef], killed: &[&str], states: &Arc<States>) -> Guard {
    let killed: Vec<String> = killed.iter().map(ToString::to_string).collect();
    states.kill(&killed);
    let assembly = Assembly {
        stages,
        lists: &Lists::new(),
        bounds: &Bounds::default(),
        files: &seawall_guard::NoFiles,
        https_port: 443,
        states,
    };
    let document = kit::document("").unwrap();
    let mut problems = Vec::new();
    let guard = assembly.guard(
        &document.zones[0],
        ZoneId(1),
        "zone[0]",
        &mut Patterns::unbounded(),
        &mut problems,
    );
    assert!(problems.is_empty(), "{problems:?}");
    guard
}

/// A request that tells the stages these acts.
pub fn telling(acts: &[&str]) -> RequestHead {
    let fields: Vec<_> = acts.iter().map(|act| ("x-do", *act)).collect();
    kit::request("POST", b"/", &fields)
}

impl Rig {
    pub fn subject(&self, client: &str, now: u64) -> Subject<'_> {
        Subject {
            conn: &self.conn,
            client: client.parse().unwrap(),
            https: false,
            now,
            scope: Scope::ALL,
        }
    }

    /// What was said, with the status before it if that was no.
    pub fn ask(&self, acts: &[&str]) -> String {
        self.ask_as("192.0.2.1", 0, acts)
    }

    pub fn ask_as(&self, client: &str, now: u64, acts: &[&str]) -> String {
        self.ask_subject(&self.subject(client, now), acts)
    }

    pub fn ask_subject(&self, subject: &Subject<'_>, acts: &[&str]) -> String {
        let mut trail = Trail::default();
        let mut head = telling(acts);
        let judged = self.guard.admit(&mut head, subject, &mut trail);
        said(judged.err().as_deref(), &trail)
    }

    /// What is said of a body in these pieces, the last of which is the end.
    pub fn send(&self, acts: &[&str], pieces: &[&str]) -> String {
        let subject = self.subject("192.0.2.1", 0);
        let mut trail = Trail::default();
        let mut head = telling(acts);
        let admitted = self.guard.admit(&mut head, &subject, &mut trail).unwrap();
        let opened = self.guard.inspect(&admitted, None, &subject, &mut trail);
        let fed = opened.and_then(|inspection| {
            let Some(mut inspection) = inspection else {
                return Ok(());
            };
            for (nth, piece) in pieces.iter().enumerate() {
                let end = nth + 1 == pieces.len();
                inspection.feed(piece.as_bytes(), end, &subject, &mut trail)?;
            }
            Ok(())
        });
        said(fed.err().as_deref(), &trail)
    }

    /// What is said of a response, and its fields but for the acts.
    pub fn respond(&self, acts: &[&str], body: &[u8]) -> (String, String) {
        let mut head = ResponseHead {
            status: 200,
            ..ResponseHead::default()
        };
        head.fields.push(b"server", b"x");
        for act in acts {
            head.fields.push(b"x-do", act.as_bytes());
        }
        let mut trail = Trail::default();
        let subject = self.subject("192.0.2.1", 0);
        let cleared = self.guard.clear(&mut head, body, &subject, &mut trail);
        let said = said(cleared.err().as_deref(), &trail);
        let fields = head.fields.iter().filter(|field| field.name != b"x-do");
        let names = fields.map(|field| String::from_utf8_lossy(field.name).into_owned());
        (said, names.collect::<Vec<_>>().join(" "))
    }

    pub fn count(&self, stage: &str) -> Counts {
        use std::sync::atomic::Ordering::Relaxed;
        let mut all = self.states.counts();
        let (_, counts) = all.find(|(name, _)| *name == stage).unwrap();
        Counts {
            refused: counts.refused.load(Relaxed),
            watched: counts.watched.load(Relaxed),
            spent: counts.spent.load(Relaxed),
            faults: counts.faults.load(Relaxed),
            opened: counts.opened.load(Relaxed),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    pub refused: u64,
    pub watched: u64,
    pub spent: u64,
    pub faults: u64,
    pub opened: u64,
}

pub fn said(refusal: Option<&Refusal>, trail: &Trail) -> String {
    let mut said = String::new();
    if let Some(refusal) = refusal {
        said = refusal.answer.status().to_string();
        if refusal.failed {
            said.push('!');
        }
    }
    let mut stages = String::new();
    trail.write_stages(&mut stages);
    if !said.is_empty() && !stages.is_empty() {
        said.push(' ');
    }
    said + &stages
}

/// Builds a stage of these parts.
pub fn parts(mode: StageMode, parts: Vec<(Seam, StageMode, Option<&'static str>)>) -> Seams {
    let mut seams = Seams::new(mode);
    let named = parts.into_iter();
    seams.parts = named
        .map(|(seam, mode, name)| (seam, mode, name.map(Arc::from)))
        .collect();
    seams
}

pub type Build = fn(&mut ZoneInput<'_>) -> Seams;

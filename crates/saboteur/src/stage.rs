//! Stages that do what a field of the request says: `panic`, `burn`, `loop:MS`, `eat:MIB`, `note`, `deny:STATUS`, `weigh:SCORE`, and
//! what no `catch_unwind` catches: `abort`, `overflow` of the stack, `spin` for ever;
//! before a body `body-panic`, `body-burn`, `body-deny`; before a response `response-panic`, `response-burn`, `response-deny`,
//! told by the origin's field of the same name.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use seawall_guard::{
    BodyStage, Budget, Inspect, OnFault, OnKill, OnSpent, Opened, Reason, ReasonDef, ResponseStage,
    ResponseView, Reviewed, Seam, Seams, Stage, StageDef, Verdict, ZoneInput,
};
use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fields, Fuel, RequestView, Spent};

/// Its failing lets requests go on.
pub static OPEN: StageDef = StageDef {
    name: "sabotage",
    on_fault: OnFault::Open,
    on_spent: OnSpent::Pass,
    optional: true,
    build: |zone| build(zone, "x-sabotage"),
    ..CLOSED
};

/// Its failing does not.
pub static CLOSED: StageDef = StageDef {
    name: "sabotage_closed",
    what: "Fails when it is told to.",
    budget: Budget {
        fuel: 100_000,
        body_fuel: 10_000,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Closed,
    on_kill: OnKill::Closed,
    needs: &[],
    reasons: &[ReasonDef {
        name: "told",
        what: "The request told the stage to do so.",
    }],
    asks_again: false,
    optional: false,
    skipped_by: SkipSet::NONE,
    build: |zone| build(zone, "x-sabotage-closed"),
};

fn build(_: &mut ZoneInput<'_>, field: &'static str) -> Seams {
    let mut seams = Seams::new(StageMode::Enforce);
    seams.threshold = Some(10);
    seams.add(Seam::Judge(Box::new(Saboteur(field))));
    seams.add(Seam::Body(Box::new(Saboteur(field))));
    seams.add(Seam::Response(Box::new(Saboteur(field))));
    seams
}

struct Saboteur(&'static str);

const TOLD: Reason = Reason::plain("told");

impl Saboteur {
    fn order<'f>(&self, fields: &'f Fields) -> (&'f str, u64) {
        let said = fields.named(self.0.as_bytes()).unwrap_or_default();
        let said = std::str::from_utf8(said).unwrap_or_default();
        let (word, number) = said.split_once(':').unwrap_or((said, ""));
        (word, number.parse().unwrap_or(0))
    }
}

impl Stage for Saboteur {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let (word, number) = self.order(&request.head.fields);
        fail(word, number, fuel)?;
        Ok(match word {
            "note" => Verdict::Note(TOLD),
            "deny" => Verdict::Deny(u16::try_from(number).unwrap_or(403), TOLD),
            "weigh" => Verdict::Weigh(u32::try_from(number).unwrap_or(0), TOLD),
            _ => Verdict::Pass,
        })
    }
}

impl BodyStage for Saboteur {
    fn open(
        &self,
        request: &RequestView<'_>,
        _: Option<u64>,
        _: &mut Fuel,
    ) -> Result<Opened, Spent> {
        let (word, number) = self.order(&request.head.fields);
        Ok(match word.strip_prefix("body-") {
            Some(word) => Opened::Watch(
                Box::new(Watch {
                    word: word.to_owned(),
                    number,
                }),
                0,
            ),
            None => Opened::Pass,
        })
    }
}

struct Watch {
    word: String,
    number: u64,
}

impl Inspect for Watch {
    fn feed(&mut self, _: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fail(&self.word, self.number, fuel)?;
        Ok(match self.word.as_str() {
            // As late as can be: with the last piece.
            "deny" if end => Verdict::Deny(403, TOLD),
            _ => Verdict::Pass,
        })
    }
}

impl ResponseStage for Saboteur {
    fn review(&self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent> {
        let (word, number) = self.order(&response.head.fields);
        let Some(word) = word.strip_prefix("response-") else {
            return Ok(Reviewed::Same);
        };
        fail(word, number, fuel)?;
        Ok(match word {
            "deny" => Reviewed::Deny(403, TOLD),
            _ => Reviewed::Same,
        })
    }
}

static EATEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[expect(clippy::panic, reason = "that is what it is for")]
fn fail(word: &str, number: u64, fuel: &mut Fuel) -> Result<(), Spent> {
    match word {
        "panic" => panic!("told to"),
        "burn" => loop {
            fuel.spend(1_000)?;
        },
        "loop" => {
            // What fuel does not meter.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(number) {
                black_box(number);
            }
        }
        "abort" => std::process::abort(),
        "overflow" => {
            black_box(deeper(number));
        }
        "spin" => loop {
            black_box(number);
        },
        "eat" => {
            let eaten = vec![1; usize::try_from(number << 20).unwrap_or(0)];
            EATEN
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(eaten);
        }
        _ => {}
    }
    Ok(())
}

/// Takes more of the stack than there is.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(number: u64) -> u64 {
    let frame = black_box([number; 512]);
    deeper(number + 1) + frame[0]
}

//! What a terminal shows while a drill runs: who is on which version, how many requests are right in each ring, what has happened.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, Edge};
use crate::drills::Drill;
use crate::ledger::Ring;
use crate::site::VICTIM;
use crate::timeline::{Event, Kind};

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(300);
/// Events that are shown.
const EVENTS: usize = 8;

/// Pictures, until they are ended.
pub struct Show(Rc<Cell<bool>>);

impl Show {
    /// Begins, where there is a terminal.
    pub fn start(bed: &Rc<Bed>, drill: &'static Drill, live: bool) -> Self {
        let ended = Rc::new(Cell::new(!live));
        if live {
            let (bed, ended) = (bed.clone(), ended.clone());
            tokio::task::spawn_local(async move {
                while !ended.get() {
                    let versions = versions(&bed).await;
                    if !ended.get() {
                        draw(&picture(&bed, drill, &versions));
                    }
                    tokio::time::sleep(EVERY).await;
                }
            });
        }
        Self(ended)
    }

    /// No more pictures.
    pub fn end(&self) {
        self.0.set(true);
    }
}

/// Of each location: the version of the victim that serves, and the one on trial.
async fn versions(bed: &Bed) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for edge in &bed.edges {
        let admin = edge.admin.get();
        let state = Edge::state(admin).await;
        let zone = state
            .get("zones")
            .and_then(|zones| zones.get(VICTIM))
            .unwrap_or(&Value::Null);
        let short = |name: &str| {
            let version = zone.get(name).and_then(Value::as_str)?;
            Some(version.chars().take(8).collect::<String>())
        };
        all.push((
            short("active").unwrap_or_else(|| "away".into()),
            short("candidate"),
        ));
    }
    all
}

fn picture(bed: &Bed, drill: &Drill, versions: &[(String, Option<String>)]) -> String {
    let ledger = bed.shared.ledger.borrow();
    let mut text = format!(
        "{} {} ({})\n{}\n\n",
        drill.id, drill.outage.title, drill.outage.date, drill.injects
    );
    for (tally, (active, candidate)) in ledger.locations.iter().zip(versions) {
        let recent = tally.buckets.iter().rev().take(10);
        let (all, bad) = recent.fold((0, 0), |(all, bad), counts| {
            (all + counts.all(), bad + counts.bad())
        });
        let trial = candidate
            .as_ref()
            .map(|version| format!("tries {version}"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:<10} {active:<9} {trial:<16} {:>7.3} % right   now {:>3} of {all}",
            tally.name,
            tally.total.rate() * 100.0,
            all - bad,
        );
    }
    text.push('\n');
    for ring in Ring::ALL {
        let counts = ledger.ring(ring);
        let _ = writeln!(
            text,
            "  {:<10} {:>7.3} % of {} requests",
            ring.name(),
            counts.rate() * 100.0,
            counts.all()
        );
    }
    text.push('\n');
    let events = bed.timeline.events();
    for event in events.iter().rev().take(EVENTS).rev() {
        text.push_str(&line(event));
    }
    text
}

fn line(event: &Event) -> String {
    let mark = match event.kind {
        Kind::Fault => "fault",
        Kind::Detected => "noticed",
        Kind::Reverted => "back",
        Kind::Note => "",
    };
    format!(
        "  {:>7.1} s  {mark:<8} {}\n",
        event.at_ms as f64 / 1_000.0,
        event.what
    )
}

/// In place of the picture before it.
fn draw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\x1b[H\x1b[2J{text}");
    let _ = out.flush();
}

//! What `/state` and `/metrics` tell of the stages.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall_guard::{Guard, StageCounts, States};
use seawall_telemetry::{STAGE_METRICS, StageFigure};
use serde_json::{Map, Value, json};

use crate::snapshot::Snapshot;

fn figure(counts: &StageCounts, figure: StageFigure) -> u64 {
    let count: &AtomicU64 = match figure {
        StageFigure::Refused => &counts.refused,
        StageFigure::Watched => &counts.watched,
        StageFigure::Noted => &counts.noted,
        StageFigure::Spent => &counts.spent,
        StageFigure::Faults => &counts.faults,
        StageFigure::BreakersOpened => &counts.opened,
    };
    count.load(Ordering::Relaxed)
}

/// Appends the stages' metrics in Prometheus' text format.
pub(super) fn render(states: &States, out: &mut String) {
    for metric in STAGE_METRICS {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(out, "# TYPE {} {}", metric.name, metric.kind.name());
        match metric.figure {
            Some(which) => {
                for (stage, counts) in states.counts() {
                    let value = figure(counts, which);
                    let _ = writeln!(out, "{}{{stage=\"{stage}\"}} {value}", metric.name);
                }
            }
            None => {
                let open = states.open_breakers().len();
                let _ = writeln!(out, "{} {open}", metric.name);
            }
        }
    }
}

/// What each stage has done, in all zones.
pub(super) fn counts(states: &States) -> Vec<Value> {
    let stages = states.counts().map(|(stage, counts)| {
        json!({
            "name": stage,
            "refused": figure(counts, StageFigure::Refused),
            "watched": figure(counts, StageFigure::Watched),
            "noted": figure(counts, StageFigure::Noted),
            "spent": figure(counts, StageFigure::Spent),
            "faults": figure(counts, StageFigure::Faults),
            "breakers_opened": figure(counts, StageFigure::BreakersOpened),
        })
    });
    stages.collect()
}

/// Breakers that are open.
pub(super) fn breakers(states: &States, snapshot: &Snapshot, now: u64) -> Vec<Value> {
    let open = states.open_breakers().into_iter();
    let shown = open.map(|(id, stage, rule, since)| {
        let zone = snapshot.zones.iter().find(|zone| zone.id == id);
        json!({
            "zone": zone.map(|zone| &*zone.name),
            "stage": stage,
            "rule": rule.as_deref(),
            "open_for_ms": now.saturating_sub(since),
        })
    });
    shown.collect()
}

/// The stages that have something to do in a zone, with their modes.
pub(super) fn of_zone(guard: &Guard) -> Value {
    let stages = guard
        .stages()
        .map(|(name, mode)| (name.to_owned(), Value::from(mode.word())));
    Value::Object(stages.collect::<Map<_, _>>())
}

//! Emergency switches.

use std::time::Duration;

use serde_json::Value;

use super::Found;
use crate::bed::{Bed, Edge, LOCATIONS};
use crate::error::Void;
use crate::fault::BUG;
use crate::timeline::Kind;

/// What is said of a switch that is not set, or not any more.
const NONE_SET: &str = "no such switch is set";
/// So long nowhere, a switch is over.
const GONE: Duration = Duration::from_secs(2);
/// From a switch to everywhere, in tempo time.
const EVERYWHERE: Duration = Duration::from_secs(180);

/// O11: each stage that there is, as an edge tells them.
pub async fn every_stage(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let state = match bed.edges.first() {
        Some(edge) => Edge::state(edge.admin.get()).await,
        None => Value::Null,
    };
    let stages = state.get("stages").and_then(Value::as_array);
    let names = stages
        .into_iter()
        .flatten()
        .filter_map(|stage| stage.get("name")?.as_str());
    // The bed's own bug is no stage of Seawall's.
    let stages: Vec<&str> = names.filter(|name| *name != BUG).collect();
    if stages.is_empty() {
        return Err(Void::NotInjected("no edge tells its stages".into()));
    }
    for stage in stages {
        if !has_work(&state, stage) {
            return Err(Void::NotInjected(format!(
                "no zone of the bed has something for {stage} to do: that it is off would be nothing"
            )));
        }
        one(bed, stage, &mut found).await?;
    }
    Ok(found)
}

/// Whether a stage has something to do in a zone, by what an edge tells.
fn has_work(state: &Value, stage: &str) -> bool {
    let zones = state.get("zones").and_then(Value::as_object);
    let mut zones = zones.into_iter().flat_map(|zones| zones.values());
    zones.any(|zone| zone.pointer(&format!("/stages/{stage}")).is_some())
}

/// One of them.
pub async fn rules(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    one(bed, "rules", &mut found).await?;
    Ok(found)
}

async fn one(bed: &Bed, stage: &str, found: &mut Found) -> Result<(), Void> {
    // From now on a request is right with the stage and without it, as the stage declares.
    bed.shared.mood.borrow_mut().without.insert(stage.into());
    bed.timeline
        .note(Kind::Fault, format!("emergency switch on {stage}"));
    let began = bed.timeline.now();
    let words = ["kill", stage, "--for", "1h", "--why", "a drill"];
    let (code, said) = bed.command(&words).await?;
    if code != Some(0) {
        return Err(Void::NotInjected(format!("the switch on {stage}: {said}")));
    }
    let due = bed.tempo().scaled(EVERYWHERE) + Duration::from_secs(10);
    let (first, last) = spreads(bed, stage, true, due).await;
    found.claim(
        format!("the switch on {stage} comes to one location first, then to all"),
        first == [LOCATIONS[0].0] && last,
    );
    let took = (bed.timeline.now() - began) * u64::from(bed.setting.speed) / 1_000;
    if last {
        bed.timeline.note(
            Kind::Note,
            format!("{stage} is off everywhere after {took} s of tempo time"),
        );
    }
    bed.tempo_time(Duration::from_secs(20)).await;
    let (code, said) = bed.command(&["kill", stage, "--end"]).await?;
    match code {
        Some(0) => {}
        // It broke what it was to save, and control has ended it.
        _ if said.contains(NONE_SET) => {
            let what = format!("control has ended the switch on {stage}");
            bed.timeline.note(Kind::Reverted, what);
            found.claim(format!("the switch on {stage} stays until its end"), false);
        }
        _ => return Err(Void::NotInjected(format!("its end on {stage}: {said}"))),
    }
    let (_, ended) = spreads(bed, stage, false, due).await;
    found.claim(format!("{stage} is on again everywhere"), ended);
    // Requests that were under way when it came back were judged without it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    bed.shared.mood.borrow_mut().without.remove(stage);
    Ok(())
}

/// Waits until the switch is on, or off, in all locations. Those where it was when it was anywhere first, and whether it came to all.
async fn spreads(
    bed: &Bed,
    stage: &str,
    on: bool,
    patience: Duration,
) -> (Vec<&'static str>, bool) {
    let due = tokio::time::Instant::now() + patience;
    let (mut first, mut seen) = (Vec::new(), tokio::time::Instant::now());
    loop {
        let mut there = Vec::new();
        for edge in &bed.edges {
            let (name, admin) = (edge.name, edge.admin.get());
            if is_off(&Edge::state(admin).await, stage) == on {
                there.push(name);
            }
        }
        let all = there.len() == bed.edges.len();
        let now = tokio::time::Instant::now();
        if !there.is_empty() {
            seen = now;
        }
        // It was somewhere and is nowhere any more: it was taken back.
        let is_gone = !first.is_empty() && now - seen > GONE;
        if first.is_empty() {
            first = there;
        }
        if all || is_gone || now > due {
            return (first, all);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the worker that tells this has the stage switched off.
fn is_off(state: &Value, stage: &str) -> bool {
    let killed = state.get("killed").and_then(Value::as_array);
    let mut named = killed.into_iter().flatten();
    named.any(|one| one.as_str() == Some(stage))
}

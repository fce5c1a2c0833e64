//! Judgement: of a response, and of everything that can be looked at behind it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::answer::{Answer, bytes_of, leaves_pattern};
use crate::edge::{Record, metric};
use crate::patience::until;
use crate::scenario::{Condition, Expect, Expected, Lines, Until};
use crate::world::World;

/// Judges a response by what its step says.
pub fn answer(world: &World, answer: &Answer, expected: &Expected) -> Result<()> {
    judge(world, answer, expected).with_context(|| format!("the response was\n{answer}"))
}

fn judge(world: &World, answer: &Answer, expected: &Expected) -> Result<()> {
    if let Some(status) = &expected.status {
        ensure!(
            status.0.contains(&answer.status),
            "status {} should be {:?}",
            answer.status,
            status.0
        );
    }
    if expected.broken {
        let said = matches!(answer.status, 502 | 504) && answer.field("proxy-status").is_some();
        ensure!(answer.cut.is_some() || said, "the response looks whole");
        return Ok(());
    }
    match expected.aborted {
        Some(true) => ensure!(answer.cut.is_some(), "the response looks whole"),
        _ => ensure!(
            answer.cut.is_none(),
            "the response is not whole: {}",
            answer.cut.as_deref().unwrap_or_default()
        ),
    }
    fields(world, answer, &expected.has)?;
    for (name, value) in &expected.equals.0 {
        let (value, found) = (world.fill(value)?, answer.field(name));
        ensure!(
            found.as_deref() == Some(value.as_str()),
            "{name} is {found:?}, not {value:?}"
        );
    }
    for name in &expected.lacks {
        ensure!(answer.field(name).is_none(), "{name} should not be there");
    }
    if let Some(wanted) = &expected.body_equals {
        let wanted = bytes_of(&world.fill(wanted)?);
        ensure!(
            answer.body == wanted,
            "the body is not {:?}",
            String::from_utf8_lossy(&wanted)
        );
    }
    let text = answer.text();
    for part in expected.body_contains.iter().flat_map(|parts| &parts.0) {
        let part = world.fill(part)?;
        ensure!(text.contains(&part), "the body does not contain {part:?}");
    }
    for part in expected.body_lacks.iter().flat_map(|parts| &parts.0) {
        ensure!(!text.contains(part.as_str()), "the body contains {part:?}");
    }
    if let Some(size) = expected.pattern {
        is_pattern_from(&answer.body, size, expected.pattern_from)?;
    }
    for (name, value) in &expected.trailers.0 {
        ensure!(
            answer.trailer(name) == Some(value),
            "trailer {name} is {:?}, not {value:?}",
            answer.trailer(name)
        );
    }
    for name in &expected.lacks_trailers {
        ensure!(
            answer.trailer(name).is_none(),
            "trailer {name} should not be there"
        );
    }
    if let Some(informational) = &expected.informational {
        ensure!(
            &answer.informational == informational,
            "1xx were {:?}, not {informational:?}",
            answer.informational
        );
    }
    if !expected.json.is_empty() {
        let body: Value = serde_json::from_slice(&answer.body).context("the body is not JSON")?;
        for (pointer, wanted) in &expected.json {
            let found = body.pointer(pointer).unwrap_or(&Value::Null);
            ensure!(fits(found, wanted), "{pointer} is {found}, not {wanted}");
        }
    }
    Ok(())
}

/// Each field contains its text.
pub fn fields(world: &World, answer: &Answer, has: &Lines) -> Result<()> {
    for (name, part) in &has.0 {
        let (part, found) = (world.fill(part)?, answer.field(name));
        let holds = found
            .as_deref()
            .is_some_and(|value| part.split(" | ").any(|one| value.contains(one)));
        ensure!(holds, "{name} is {found:?} and does not contain {part:?}");
    }
    Ok(())
}

/// The body is so many bytes of the known pattern.
pub fn is_pattern(body: &[u8], size: usize) -> Result<()> {
    is_pattern_from(body, size, 0)
}

/// The same, from this byte of the pattern on.
fn is_pattern_from(body: &[u8], size: usize, from: usize) -> Result<()> {
    ensure!(body.len() == size, "{} bytes instead of {size}", body.len());
    match leaves_pattern(body, from) {
        None => Ok(()),
        Some(at) => bail!("bytes were lost or exchanged at {at} of {size}"),
    }
}

/// Waits until everything holds that a step expects; what must never be is looked at once that holds.
pub async fn everything(world: &World, expect: &Expect) -> Result<()> {
    if let Some(name) = &expect.origin {
        at_origin(world, name, expect).await?;
    }
    if !expect.record.is_empty() {
        let ray = world
            .last()
            .and_then(|answer| answer.ray())
            .context("the last response has no Seawall-Ray")?;
        let record = world.edge.record(&ray).await?;
        has_fields(world, &record, &expect.record)
            .with_context(|| format!("the record is {}", Value::Object(record.clone())))?;
    }
    if !expect.some_record.is_empty() {
        let found = || {
            world
                .edge
                .records()
                .into_iter()
                .find(|record| has_fields(world, record, &expect.some_record).is_ok())
        };
        until(&format!("a record with {:?}", expect.some_record), found).await?;
    }
    if let Some(condition) = expect.records {
        let holds = || {
            condition
                .holds(world.edge.records().len() as f64)
                .then_some(())
        };
        until(&format!("records {condition:?}"), holds).await?;
    }
    for part in &expect.log.0 {
        let part = world.fill(part)?;
        until(&format!("{part:?} in the edge's log"), || {
            world.edge.log().contains(&part).then_some(())
        })
        .await?;
    }
    if let Some(condition) = expect.memory_kib {
        let memory = world.edge.memory_kib()?;
        ensure!(
            condition.holds(memory as f64),
            "the worker has {memory} KiB, not {condition:?}"
        );
    }
    at_admin(world, expect).await
}

async fn at_origin(world: &World, name: &str, expect: &Expect) -> Result<()> {
    let origin = world.origin(name)?;
    if let Some(condition) = expect.requests {
        let holds = || condition.holds(origin.requests() as f64).then_some(());
        until("the origin's requests", holds)
            .await
            .with_context(|| {
                format!(
                    "{name} saw {} requests, not {condition:?}",
                    origin.requests()
                )
            })?;
    }
    if let Some(condition) = expect.connections {
        let holds = || condition.holds(origin.connections() as f64).then_some(());
        until("the origin's connections", holds)
            .await
            .with_context(|| {
                format!(
                    "{name} saw {} connections, not {condition:?}",
                    origin.connections()
                )
            })?;
    }
    if let Some(condition) = expect.most_streams {
        let most = origin.most_streams();
        ensure!(
            condition.holds(most as f64),
            "{name} had {most} streams at once, not {condition:?}"
        );
    }
    if let Some(condition) = expect.whole {
        let holds = || condition.holds(origin.whole() as f64).then_some(());
        until("whole requests at the origin", holds)
            .await
            .with_context(|| format!("{name} saw {}, not {condition:?}", origin.whole()))?;
    }
    for part in &expect.received.0 {
        let part = bytes_of(&world.fill(part)?);
        let received = || origin.received(&part).then_some(());
        until("bytes at the origin", received).await?;
    }
    for part in &expect.never_received.0 {
        let part = bytes_of(&world.fill(part)?);
        ensure!(!origin.received(&part), "{name} received {part:?}");
    }
    let texts = || -> Vec<String> {
        origin
            .seen()
            .iter()
            .map(|seen| seen.request.text().to_lowercase())
            .collect()
    };
    for part in &expect.saw.0 {
        let part = world.fill(part)?.to_lowercase();
        let seen = || {
            texts()
                .iter()
                .any(|text| text.contains(&part))
                .then_some(())
        };
        until("a request", seen).await.with_context(|| {
            format!("{name} never saw {part:?} in\n{}", texts().join("\n----\n"))
        })?;
    }
    for part in &expect.never_saw.0 {
        let part = world.fill(part)?.to_lowercase();
        if let Some(text) = texts().into_iter().find(|text| text.contains(&part)) {
            bail!("{name} saw {part:?} in\n{text}");
        }
    }
    for (name, field) in &expect.keep.0 {
        let seen = origin.seen();
        let values = seen.last().map(|seen| {
            seen.request
                .values(field)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
        });
        let values = values
            .filter(|values| !values.is_empty())
            .with_context(|| format!("{field} was never seen"))?;
        world.keep(name, values.join(", "));
    }
    if let Some(size) = expect.saw_pattern {
        let body = || {
            origin
                .seen()
                .last()
                .filter(|seen| seen.whole)
                .map(|seen| seen.request.body.clone())
        };
        is_pattern(&until("a whole request", body).await?, size)?;
    }
    Ok(())
}

/// What is still wanting for an `until` to hold, if anything is.
pub async fn wanting(world: &World, until: &Until) -> Result<Option<String>> {
    if let (Some(name), Some(condition)) = (&until.origin, until.requests) {
        let seen = world.origin(name)?.requests();
        if !condition.holds(seen as f64) {
            return Ok(Some(format!(
                "{name} saw {seen} requests, not {condition:?}"
            )));
        }
    }
    if !until.some_record.is_empty() {
        let records = world.edge.records();
        let mut fitting = records
            .iter()
            .map(|record| has_fields(world, record, &until.some_record));
        if !fitting.any(|fits| fits.is_ok()) {
            return Ok(Some(format!("no record has {:?}", until.some_record)));
        }
    }
    if !until.metrics.is_empty() {
        let text = world.edge.admin("/metrics").await?.text();
        return Ok(wrong_metric(&text, &until.metrics));
    }
    Ok(None)
}

fn wrong_metric(text: &str, wanted: &BTreeMap<String, Condition>) -> Option<String> {
    wanted.iter().find_map(|(selector, condition)| {
        let value = metric(text, selector);
        (!value.is_some_and(|value| condition.holds(value)))
            .then(|| format!("{selector} is {value:?}, not {condition:?}"))
    })
}

async fn at_admin(world: &World, expect: &Expect) -> Result<()> {
    if !expect.metrics.is_empty() {
        let start = std::time::Instant::now();
        loop {
            let text = world.edge.admin("/metrics").await?.text();
            let wrong = wrong_metric(&text, &expect.metrics);
            match wrong {
                None => break,
                Some(wrong) if start.elapsed() > crate::patience::patience() => {
                    bail!("{wrong}\n{text}")
                }
                Some(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
    if let Some(admin) = &expect.admin {
        let start = std::time::Instant::now();
        loop {
            let answer = world.edge.admin(&admin.path).await?;
            let text = answer.text();
            let status = admin
                .status
                .as_ref()
                .is_none_or(|status| status.0.contains(&answer.status));
            if status
                && admin
                    .contains
                    .0
                    .iter()
                    .all(|part| text.contains(part.as_str()))
            {
                break;
            }
            ensure!(
                start.elapsed() < crate::patience::patience(),
                "{} on the admin port is\n{answer}",
                admin.path
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

fn has_fields(world: &World, record: &Record, wanted: &BTreeMap<String, Value>) -> Result<()> {
    for (name, value) in wanted {
        let value = match value {
            Value::String(text) => Value::String(world.fill(text)?),
            other => other.clone(),
        };
        let found = record.get(name).unwrap_or(&Value::Null);
        ensure!(fits(found, &value), "{name} is {found}, not {value}");
    }
    Ok(())
}

/// Equal; or, for a text that begins with `~`, contained; or, for an object `{at_least = n}`, not less.
fn fits(found: &Value, wanted: &Value) -> bool {
    if let (Value::String(found), Value::String(wanted)) = (found, wanted)
        && let Some(part) = wanted.strip_prefix('~')
    {
        return found.contains(part);
    }
    if let Some(least) = wanted.get("at_least").and_then(Value::as_f64) {
        return found.as_f64().is_some_and(|found| found >= least);
    }
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_fit() {
        assert!(fits(&json!("abc"), &json!("abc")) && !fits(&json!("abc"), &json!("ab")));
        assert!(fits(&json!("abc"), &json!("~bc")) && !fits(&json!("abc"), &json!("~x")));
        assert!(
            fits(&json!(5), &json!({ "at_least": 5 }))
                && !fits(&json!(4), &json!({ "at_least": 5 }))
        );
        assert!(!fits(&Value::Null, &json!("")));
    }
}

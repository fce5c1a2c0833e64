//! What reaches everything at once: deletions, an old plan, a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use super::Found;
use crate::bed::{Bed, Edge};
use crate::error::Void;
use crate::site::{VICTIM, small, waking};
use crate::timeline::Kind;

/// How long an old plan is put over a new one, at least.
const LATE: Duration = Duration::from_secs(4);
/// Zones that are to be deleted.
const DELETED: usize = 10;

/// O12 and O13.
pub async fn withdrawal(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.timeline.note(Kind::Fault, "a filter that is empty");
    let mut refused = true;
    for path in ["/zones/", "/zones", "/zones/%20", "/zones?name="] {
        let answer = bed.api().ask("DELETE", path, "").await;
        let status = answer.map_or(0, |answer| answer.status);
        refused &= (400..500).contains(&status);
    }
    found.claim("an empty name is refused, and means nothing", refused);

    bed.timeline.note(
        Kind::Fault,
        format!("{DELETED} zones are deleted, one after the other"),
    );
    let mut rollouts = Vec::new();
    for nth in 0..DELETED {
        let zone = small(nth);
        if nth == 0 {
            // One is allowed: it is really meant.
            bed.shared.mood.borrow_mut().gone.insert(zone.clone());
        }
        let answer = bed.api().ask("DELETE", &format!("/zones/{zone}"), "").await;
        let answer = answer.map_err(|error| Void::NotInjected(error.to_string()))?;
        let said = crate::api::json(&answer);
        let rollout = said.pointer("/versions/0/rollout").and_then(Value::as_u64);
        rollouts.push(rollout.ok_or_else(|| {
            Void::NotInjected(format!("{zone} was not deleted: {} {said}", answer.status))
        })?);
    }
    bed.tempo_time(Duration::from_secs(120)).await;
    let mut waiting = 0;
    for rollout in rollouts.iter().skip(1) {
        let standing = bed.api().rollout(*rollout).await;
        waiting +=
            usize::from(standing.is_some_and(|one| one.ended.is_none() && one.locations == 0));
    }
    bed.timeline.note(
        Kind::Detected,
        format!("{waiting} of {} deletions wait for a person", DELETED - 1),
    );
    found.claim(
        "all deletions but the first wait for a person",
        waiting == DELETED - 1,
    );
    let answer = bed
        .api()
        .ask("POST", &format!("/zones/{}/restore", small(0)), "")
        .await;
    let back = answer.is_ok_and(|answer| answer.status < 300);
    found.claim("what was deleted can be restored in one call", back);
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// O16.
pub async fn stale_applier(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let none = settles(bed, "").await?;
    let first = bed.site.shop(&waking("first"));
    bed.brings_everywhere(&first).await?;
    let one = settles(bed, &none).await?;
    let manifest = bed.control.data().join("published/manifest");
    let old = fs::read(&manifest).map_err(Void::at("the manifest"))?;
    let second = bed.site.shop(&waking("second"));
    bed.brings_everywhere(&second).await?;
    let two = settles(bed, &one).await?;
    bed.timeline.note(
        Kind::Fault,
        "the manifest of the first version is put over that of the second",
    );
    let (mut never, mut put_over) = (true, 0);
    let lasts = bed.tempo().scaled(Duration::from_secs(60)).max(LATE);
    let until = tokio::time::Instant::now() + lasts;
    while tokio::time::Instant::now() < until {
        // Control makes a new one now and then; the one who is late does so again and again.
        let temporary = manifest.with_extension("late");
        let put = fs::write(&temporary, &old).and_then(|()| fs::rename(&temporary, &manifest));
        put.map_err(Void::at("the manifest"))?;
        put_over += 1;
        tokio::time::sleep(Duration::from_millis(70)).await;
        if put_over % 10 == 0 {
            never &= versions(bed).await.iter().all(|version| *version == two);
        }
    }
    found.claim("no edge went back to what is older", never);
    bed.timeline.note(Kind::Detected, "no edge believes it");
    let next = bed
        .brings_everywhere(&bed.site.shop(&waking("third")))
        .await;
    found.claim("the next version is everywhere", next.is_ok());
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// Waits until one version of the victim, and not this one, is what serves all in all locations. Which.
async fn settles(bed: &Bed, not: &str) -> Result<String, Void> {
    let due = tokio::time::Instant::now() + bed.patience();
    while tokio::time::Instant::now() < due {
        let all = versions(bed).await;
        if let Some(first) = all.first()
            && first != not
            && !first.is_empty()
            && all.iter().all(|version| version == first)
        {
            return Ok(first.clone());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Void::NotInjected(
        "a version did not come to all locations".into(),
    ))
}

/// The victim's version in each location.
async fn versions(bed: &Bed) -> Vec<String> {
    let mut all = Vec::new();
    for edge in &bed.edges {
        let admin = edge.admin.get();
        let state = Edge::state(admin).await;
        let zone = state.get("zones").and_then(|zones| zones.get(VICTIM));
        let version = zone
            .and_then(|zone| zone.get("active"))
            .and_then(Value::as_str);
        all.push(version.unwrap_or_default().to_owned());
    }
    all
}

/// One of our own.
pub async fn bad_program(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let program = bed.folder.join("seawall");
    let good = bed.folder.join("seawall.good");
    fs::rename(&program, &good).map_err(Void::at("the program"))?;
    fs::write(&program, "#!/bin/sh\nexit 7\n").map_err(Void::at("the bad program"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(Void::at("the bad program"))?;
    let workers = |bed: &Bed| -> Vec<Option<i32>> {
        let edges = bed.edges.iter();
        edges.map(|edge| edge.pid("worker")).collect()
    };
    let before = workers(bed);
    bed.timeline.note(
        Kind::Fault,
        "every edge is told to become a program that cannot serve",
    );
    for edge in &bed.edges {
        if !edge.signal("supervisor", libc::SIGUSR2) {
            return Err(Void::NotInjected("an edge has no supervisor".into()));
        }
    }
    let refused = |bed: &Bed| {
        let mut edges = bed.edges.iter();
        edges.all(|edge| edge.said().contains("not upgraded"))
    };
    let all = bed.until(Duration::from_secs(15), || refused(bed)).await;
    if all {
        bed.timeline
            .note(Kind::Detected, "every edge says that it does not");
    }
    found.claim("every edge tries it, and says that it cannot serve", all);
    bed.tempo_time(Duration::from_secs(60)).await;
    found.claim(
        "every worker is the one that it was",
        workers(bed) == before,
    );
    fs::rename(&good, &program).map_err(Void::at("the program"))?;
    bed.timeline
        .note(Kind::Reverted, "the good program is back");
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

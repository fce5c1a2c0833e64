//! What reaches everything at once: deletions, an old plan, a program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use serde_json::Value;

use super::Found;
use crate::bed::{Bed, Edge};
use crate::error::Void;
use crate::http;
use crate::load::PATIENCE;
use crate::opens::Opens;
use crate::origin::ECHO;
use crate::site::{VICTIM, small, waking};
use crate::timeline::Kind;

/// How long an old plan is put over a new one, at least.
const LATE: Duration = Duration::from_secs(4);
/// Zones that are to be deleted.
const DELETED: usize = 10;

/// Filters that name nothing, of the one call that takes a filter. None of them may mean all.
const EMPTY: [&str; 4] = [
    "{}",
    "{\"urls\":[],\"tags\":[]}",
    "{\"tags\":[\"\"]}",
    "{\"everything\":false}",
];

/// O12 and O13.
pub async fn withdrawal(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    filters_nothing(bed, &mut found).await?;
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
        rollouts.push(deletes(bed, "DELETE", &format!("/zones/{zone}")).await?);
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
    let first = rollouts.first().copied().unwrap_or_default();
    comes_back(bed, first, &mut found).await?;
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// Orders of which the filter is empty. The call itself must be there: that one names something is taken.
async fn filters_nothing(bed: &Bed, found: &mut Found) -> Result<(), Void> {
    bed.timeline.note(Kind::Fault, "a filter that is empty");
    let path = format!("/zones/{VICTIM}/purges");
    let mut told = Vec::new();
    for filter in EMPTY {
        let answer = bed.api().ask("POST", &path, filter).await;
        told.push(answer.map_or(0, |answer| answer.status));
    }
    let named = bed.api().ask("POST", &path, "{\"tags\":[\"drill\"]}").await;
    let named = named.map_or(0, |answer| answer.status);
    if !(200..300).contains(&named) {
        return Err(Void::NotInjected(format!(
            "there is no filter to be empty: one that names something was answered {named}"
        )));
    }
    found.claim(
        format!("a filter that names nothing is refused, and never means all ({told:?})"),
        told.iter().all(|status| (400..500).contains(status)),
    );
    let (mut refused, mut nameless) = (true, Vec::new());
    for path in ["/zones/", "/zones", "/zones/%20", "/zones?name="] {
        let answer = bed.api().ask("DELETE", path, "").await;
        let status = answer.map_or(0, |answer| answer.status);
        refused &= (400..500).contains(&status);
        nameless.push(status);
    }
    found.claim(
        format!("nothing is deleted without a name ({nameless:?})"),
        refused,
    );
    Ok(())
}

/// Deletes or restores a zone. The rollout of it.
async fn deletes(bed: &Bed, method: &str, path: &str) -> Result<u64, Void> {
    let answer = bed.api().ask(method, path, "").await;
    let answer = answer.map_err(|error| Void::NotInjected(error.to_string()))?;
    let said = crate::api::json(&answer);
    let rollout = said.pointer("/versions/0/rollout").and_then(Value::as_u64);
    rollout.ok_or_else(|| {
        Void::NotInjected(format!(
            "{method} {path} was answered {} {said}",
            answer.status
        ))
    })
}

/// The first of the deletions is carried out; then a person takes it back.
async fn comes_back(bed: &Bed, first: u64, found: &mut Found) -> Result<(), Void> {
    let zone = small(0);
    let ended = bed.api().ended(first, bed.patience()).await;
    let ended = ended.is_some_and(|standing| standing.ended == Some(true));
    found.claim(
        "the first deletion, which is allowed, is carried out: no location serves the zone",
        ended && served_by(bed, &zone, 0).await,
    );
    let path = format!("/zones/{zone}/restore");
    let rollout = deletes(bed, "POST", &path).await?;
    bed.is_back("the zone is restored by one call");
    // It is one of many changes too: who restores says that it is meant.
    let approves = format!("/rollouts/{rollout}/approve");
    let _ = bed.api().ask("POST", &approves, "").await;
    let back = bed.api().ended(rollout, bed.patience()).await;
    let back = back.is_some_and(|standing| standing.ended == Some(true));
    found.claim(
        "what was deleted is restored by one call, and every location serves it again",
        back && served_by(bed, &zone, bed.edges.len()).await,
    );
    if back {
        bed.shared.mood.borrow_mut().gone.remove(&zone);
    }
    Ok(())
}

/// What control takes for done is done by workers a moment later.
const MOMENT: Duration = Duration::from_secs(10);

/// Whether so many locations serve a zone, within a moment.
async fn served_by(bed: &Bed, zone: &str, wanted: usize) -> bool {
    let due = tokio::time::Instant::now() + MOMENT;
    loop {
        let is = serve(bed, zone).await == wanted;
        if is || tokio::time::Instant::now() > due {
            return is;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many locations serve a zone: those that answer as its origin does.
async fn serve(bed: &Bed, zone: &str) -> usize {
    let request = format!("GET /page/1 HTTP/1.1\r\nHost: {zone}\r\nConnection: close\r\n\r\n");
    let mut count = 0;
    for edge in &bed.edges {
        let to = edge.http.get();
        let answer = http::ask(to, None, request.as_bytes(), PATIENCE).await;
        count += usize::from(answer.is_ok_and(|answer| answer.field(ECHO).is_some()));
    }
    count
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
    let mut opens = Opens::of(&manifest).map_err(Void::at("the manifest"))?;
    let (mut never, mut put_over, mut read) = (true, 0, 0);
    let lasts = bed.tempo().scaled(Duration::from_secs(60)).max(LATE);
    let until = tokio::time::Instant::now() + lasts;
    while tokio::time::Instant::now() < until {
        // Control makes a new one now and then; the one who is late does so again and again.
        let temporary = manifest.with_extension("late");
        let put = fs::write(&temporary, &old).and_then(|()| fs::rename(&temporary, &manifest));
        put.map_err(Void::at("the manifest"))?;
        put_over += 1;
        let inode = || fs::metadata(&manifest).map_or(0, |told| told.ino());
        let (ours, _) = (inode(), opens.since());
        tokio::time::sleep(Duration::from_millis(70)).await;
        let opened = opens.since();
        // Where it is ours still nobody read another one meanwhile.
        read += if inode() == ours { opened } else { 0 };
        if put_over % 10 == 0 {
            never &= versions(bed).await.iter().all(|version| *version == two);
        }
    }
    if never && read < bed.edges.len() as u64 {
        return Err(Void::NotInjected(format!(
            "the old manifest was read {read} times: not every edge has seen it"
        )));
    }
    found.claim(
        format!("no edge went back to what is older, of which {read} reads got the old manifest"),
        never,
    );
    if never {
        let said = format!("it was read {read} times, and no edge believes it");
        bed.timeline.note(Kind::Detected, said);
    }
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
    let before = bed.workers();
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
        bed.workers() == before,
    );
    fs::rename(&good, &program).map_err(Void::at("the program"))?;
    bed.timeline
        .note(Kind::Note, "the drill puts the good program back");
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

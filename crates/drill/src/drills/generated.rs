//! Data that a program makes, and that comes often: a list of networks that are refused.

use std::time::Duration;

use tokio::time::Instant;

use super::Found;
use super::latent::for_its_bug;
use crate::bed::Bed;
use crate::error::Void;
use crate::site::{VICTIM, rows, waking};
use crate::timeline::Kind;

/// One more than a zone may have, with the two that it has.
const RULES: usize = 999;
/// Clients of the bed, as a network.
const CLIENTS: &str = "127.64.0.0/10";

/// How long an edge may take to tell whom it has in place of a worker that died.
const TOLD: Duration = Duration::from_secs(3);

/// O10a: each row twice, as from two databases; and what the second one holds are clients.
pub async fn doubled(bed: &Bed) -> Result<Found, Void> {
    let mut all = rows(0);
    all.extend(rows(1));
    all.push(CLIENTS.into());
    waits(bed, &all, "the list comes with twice its rows").await
}

/// O10b: no row at all.
pub async fn emptied(bed: &Bed) -> Result<Found, Void> {
    waits(bed, &[], "the list comes without a row").await
}

/// O10c: as the file of that day, which had a limit of 200.
pub async fn over_the_limit(bed: &Bed) -> Result<Found, Void> {
    let rules: String = (0..RULES)
        .map(|nth| waking(&format!("row {nth}")))
        .collect();
    is_refused(
        bed,
        &bed.site.shop(&rules),
        "one rule more than there may be",
    )
    .await
}

/// O10d: half of it.
pub async fn truncated(bed: &Bed) -> Result<Found, Void> {
    let whole = bed.site.shop(&waking("the last"));
    let half: String = whole.chars().take(whole.chars().count() - 30).collect();
    is_refused(bed, &half, "a document that was cut").await
}

/// O10e: a number that is none.
pub async fn not_a_number(bed: &Bed) -> Result<Found, Void> {
    let weight = bed.site.shop("").replace("\" }]", "\", weight = nan }]");
    is_refused(bed, &weight, "a weight that is no number").await
}

/// Something that control must refuse, with what is wrong.
async fn is_refused(bed: &Bed, document: &str, what: &str) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.timeline.note(Kind::Fault, what);
    let (status, said) = bed
        .api()
        .apply(document)
        .await
        .map_err(|error| Void::NotInjected(error.to_string()))?;
    let told = said
        .get("problems")
        .is_some_and(|problems| !problems.is_null());
    if status == 422 {
        bed.timeline
            .note(Kind::Detected, "it is refused, with all that is wrong");
    }
    found.claim(
        "it is refused where it comes in, with what is wrong",
        status == 422 && told,
    );
    bed.tempo_time(Duration::from_secs(200)).await;
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// O10f: good and other data by turns, every five seconds.
pub async fn alternating(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.timeline.note(
        Kind::Fault,
        "two documents, one after the other, again and again",
    );
    let mut last = None;
    for nth in 0..6 {
        let name = if nth % 2 == 0 { "one" } else { "two" };
        last = Some(bed.api().applied(&bed.site.shop(&waking(name))).await?);
        bed.tempo_time(Duration::from_secs(5)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = last.unwrap_or_default();
    bed.tempo_time(Duration::from_secs(60)).await;
    let standing = bed.api().rollout(last).await;
    let why = standing
        .as_ref()
        .map(|one| one.why.clone())
        .unwrap_or_default();
    let frozen = standing.is_some_and(|one| one.ended.is_none() && one.locations == 0);
    if frozen {
        bed.timeline.note(Kind::Detected, format!("it {why}"));
    }
    found.claim(
        "the stream waits for a person",
        frozen && why.contains("alternate"),
    );
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// O10g: what only the edges' reader cannot stand.
pub async fn breaks_the_reader(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let before = bed.workers();
    let document = bed.site.shop(&waking("drill:compile"));
    let standing = bed
        .tries(&document, &format!("{VICTIM} gets what crashes the reader"))
        .await?;
    if standing.ended == Some(true) {
        return Err(Void::NotInjected(
            "it is everywhere, and nothing crashed: no edge has the bug".into(),
        ));
    }
    for_its_bug(&standing)?;
    found.reverts = true;
    found.claim("it was taken back", standing.ended == Some(false));
    // Control hears of a death before the edge tells who serves in its place.
    let due = Instant::now() + TOLD;
    while bed.workers() == before && Instant::now() < due {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found.claim(
        "no worker died of it",
        before.iter().all(Option::is_some) && bed.workers() == before,
    );
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// A list that must wait for a person, and that nobody may see until then.
async fn waits(bed: &Bed, rows: &[String], what: &str) -> Result<Found, Void> {
    let mut found = Found::default();
    let document = bed.site.platform(rows);
    bed.timeline.note(Kind::Fault, what);
    let rollout = bed.api().applied(&document).await?;
    // The first of its steps would be over by then.
    let due = Instant::now() + bed.tempo().scaled(Duration::from_secs(200));
    let looks = bed.tempo().scaled(Duration::from_secs(1));
    let (mut noticed, mut held) = (false, false);
    while Instant::now() < due {
        tokio::time::sleep(looks).await;
        let Some(standing) = bed.api().rollout(rollout).await else {
            continue;
        };
        held = standing.ended.is_none() && standing.locations == 0;
        if !noticed && held && standing.why.contains("approval") {
            noticed = true;
            let what = format!("it {}", standing.why);
            bed.timeline.note(Kind::Detected, what);
        }
    }
    let held = held && noticed;
    found.claim("it waits for a person, and no location has it", held);
    found.claim("no client was refused by it", bed.nobody_saw_it());
    Ok(found)
}

impl Bed {
    /// The pid of each edge's worker.
    pub fn workers(&self) -> Vec<Option<i32>> {
        let edges = self.edges.iter();
        edges.map(|edge| edge.pid("worker")).collect()
    }

    /// Whether every answer was right so far.
    pub fn nobody_saw_it(&self) -> bool {
        self.shared.ledger.borrow().total().bad() == 0
    }
}

//! Data that a program makes, and that comes often: a list of networks that are refused.

use std::time::Duration;

use super::Found;
use crate::bed::Bed;
use crate::error::Void;
use crate::site::rows;

/// Clients of the bed, as a network.
const CLIENTS: &str = "127.64.0.0/10";

/// O10a: each row twice, as from two databases; and what the second one holds are clients.
pub async fn doubled(bed: &Bed) -> Result<Found, Void> {
    let mut all = rows(0);
    all.extend(rows(1));
    all.push(CLIENTS.into());
    waits(bed, &all, "the list comes with twice its rows").await
}

/// A list that must wait for a person, and that nobody may see until then.
async fn waits(bed: &Bed, rows: &[String], what: &str) -> Result<Found, Void> {
    let mut found = Found::default();
    let document = bed.site.platform(rows);
    bed.timeline.note(crate::timeline::Kind::Fault, what);
    let rollout = bed.api().applied(&document).await?;
    // As long as the first two of its steps would be.
    bed.tempo_time(Duration::from_secs(420)).await;
    let standing = bed.api().rollout(rollout).await;
    let why = standing.as_ref().map(|one| one.why.clone());
    let held = standing
        .as_ref()
        .is_some_and(|one| one.ended.is_none() && one.locations == 0);
    if held {
        let why = why.unwrap_or_default();
        bed.timeline
            .note(crate::timeline::Kind::Detected, format!("it {why}"));
    }
    found.claim("it waits for a person, and no location has it", held);
    found.claim("no client was refused by it", bed.nobody_saw_it());
    Ok(found)
}

impl Bed {
    /// Whether every answer was right so far.
    pub fn nobody_saw_it(&self) -> bool {
        self.shared.ledger.borrow().total().bad() == 0
    }
}

//! Bugs that have been there for weeks, and one customer's good document that wakes them.

use std::time::Duration;

use serde_json::Value;

use super::Found;
use crate::bed::{Bed, Edge};
use crate::error::Void;
use crate::site::{VICTIM, waking};
use crate::timeline::Kind;

/// O14: each request for a rare path panics.
pub async fn panics(bed: &Bed) -> Result<Found, Void> {
    wakes(bed, "drill:panic", "each request for a rare path panics").await
}

async fn wakes(bed: &Bed, bug: &str, what: &str) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.brings_everywhere(&bed.site.shop(&waking(bug))).await?;
    bed.timeline.note(Kind::Fault, what);
    bed.shared.mood.borrow_mut().rare = true;
    bed.tempo_time(Duration::from_secs(200)).await;
    bed.shared.mood.borrow_mut().rare = false;
    if !bed.met_its_bug().await {
        return Err(Void::NotInjected(
            "no edge tells that its stage `drill` did anything: it has no bug".into(),
        ));
    }
    let others = bed.shared.ledger.borrow().but(VICTIM);
    found.claim(
        "99.99 % of the requests of all other customers were right",
        others.rate() >= 0.9999,
    );
    Ok(found)
}

impl Bed {
    /// Whether the stage with the bug is there, and has failed somewhere: by its own counts, or because somebody was answered badly.
    async fn met_its_bug(&self) -> bool {
        for edge in &self.edges {
            let admin = edge.borrow().admin;
            let state = Edge::state(admin).await;
            let stages = state.get("stages").and_then(Value::as_array);
            let is_it = |stage: &&Value| stage.get("name").and_then(Value::as_str) == Some("drill");
            let Some(stage) = stages.and_then(|stages| stages.iter().find(is_it)) else {
                continue;
            };
            let count = |name: &str| stage.get(name).and_then(Value::as_u64).unwrap_or(0);
            if count("faults") + count("spent") > 0 || !self.nobody_saw_it() {
                return true;
            }
        }
        false
    }
}

//! Bugs that have been there for weeks, and one customer's good document that wakes them.

use std::time::Duration;

use seawall_model::Tempo;
use serde_json::Value;

use super::Found;
use crate::api::Standing;
use crate::bed::{Bed, Edge};
use crate::error::Void;
use crate::fault::BUG;
use crate::site::{VICTIM, waking};
use crate::timeline::Kind;

/// O14: each request for a rare path panics.
pub async fn panics(bed: &Bed) -> Result<Found, Void> {
    let mut found = wakes(bed, "drill:panic", "each request for a rare path panics").await?;
    let opened = bed.counted_of_bug(&["breakers_opened"]).await > Some(0);
    if !opened && bed.nobody_saw_it() && forgets_too_soon(bed.tempo()) {
        return Err(Void::NotInjected(format!(
            "at this speed a stage has forgotten a panic after {:?}, before a location meets three: say --speed 20",
            bed.tempo().scaled(REMEMBERED)
        )));
    }
    found.claim(
        "a stage that panics for three networks is left out for a while",
        opened,
    );
    Ok(found)
}

/// For so long a stage remembers whom it panicked for.
const REMEMBERED: Duration = Duration::from_secs(60);
/// A location's clients ask for the rare path three times in this time, on the wall: one in twenty of thirty requests a second.
const THREE: Duration = Duration::from_secs(2);

/// Whether three panics are never remembered at once, whatever a stage does.
fn forgets_too_soon(tempo: Tempo) -> bool {
    tempo.scaled(REMEMBERED) < THREE
}

/// O14: each of them burns all the fuel that there is.
pub async fn burns(bed: &Bed) -> Result<Found, Void> {
    wakes(bed, "drill:burn", "each request for a rare path burns").await
}

/// O14: each of them leaves memory behind.
pub async fn eats(bed: &Bed) -> Result<Found, Void> {
    let found = wakes(bed, "drill:eat", "each request for a rare path eats memory");
    let watched = async {
        let mut most = 0;
        loop {
            for edge in &bed.edges {
                let pid = edge.pid("worker");
                most = most.max(pid.and_then(resident).unwrap_or(0));
                MOST.set(most);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    MOST.set(0);
    let mut found = tokio::select! {
        found = found => found?,
        () = watched => Found::default(),
    };
    let mib = MOST.get() >> 20;
    if mib < 100 {
        return Err(Void::NotInjected(format!(
            "no worker held more than {mib} MiB"
        )));
    }
    found.claim(
        format!("no worker held more than 256 MiB: {mib} MiB at most"),
        mib <= 256,
    );
    Ok(found)
}

/// How long the rare path is asked for, at any speed: what is asked for a moment says nothing.
const ASKS: Duration = Duration::from_secs(10);
/// How long memory is eaten, at any speed.
const EATS: Duration = Duration::from_secs(30);

std::thread_local! {
    /// The most that a worker held, in bytes.
    static MOST: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The memory that a process holds, in bytes.
fn resident(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

/// Two threads that hang, each of them seen after three seconds, and what it takes to start the next worker, on a busy machine.
const MOST_LOST: Duration = Duration::from_secs(10);
/// How long requests that never end are made, at any speed: what bounds a machine is not divided.
const SPINS: Duration = Duration::from_secs(20);
/// The stage of the victim that a version in quarantine has not.
const OPTIONAL: &str = "hotlink";
/// From the last of them that somebody lost by to the end, at least.
const QUIET: Duration = Duration::from_secs(5);

/// O14, apart: an endless loop that no fuel meters. It costs more than what counts as contained; what is claimed is that it ends by
/// itself, and how soon.
pub async fn spins(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.brings_everywhere(&bed.site.shop(&waking("drill:spin")))
        .await?;
    bed.timeline
        .note(Kind::Fault, "each request for a rare path never ends");
    // It is the youngest good version by then: in quarantine it stays, without its optional stages.
    bed.shared.mood.borrow_mut().without.insert(OPTIONAL.into());
    bed.shared.mood.borrow_mut().rare = true;
    let all_say = |words: &str| bed.edges.iter().all(|edge| edge.said().contains(words));
    let hung = bed.until(SPINS, || all_say("does not move")).await;
    let ended = bed.until(SPINS, || all_say("is in quarantine")).await;
    if ended {
        let said = "its version is in quarantine everywhere: its optional stages are off";
        bed.timeline.note(Kind::Detected, said);
    }
    tokio::time::sleep(SPINS).await;
    bed.shared.mood.borrow_mut().rare = false;
    if !hung && bed.nobody_saw_it() {
        return Err(Void::NotInjected(
            "nothing hung: no edge has the bug".into(),
        ));
    }
    found.claim("the version that hangs is put into quarantine", ended);
    let ledger = bed.shared.ledger.borrow();
    let longest = ledger.dark_ms().map(|(_, ms)| ms).max().unwrap_or(0);
    found.claim(
        format!("no location gave no right answer for longer than {MOST_LOST:?}"),
        u128::from(longest) <= MOST_LOST.as_millis(),
    );
    let since = bed.shared.now() - ledger.last_bad.unwrap_or(0);
    found.claim(
        "then all is right, though requests for that path go on",
        u128::from(since) >= QUIET.as_millis(),
    );
    Ok(found)
}

/// O17: what every check lets pass, and what crashes later.
pub async fn crashes_later(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let after = bed.tempo().scaled(Duration::from_secs(90)).as_millis();
    let latent = waking(&format!("drill:later:{after}"));
    bed.brings_everywhere(&bed.site.shop(&latent)).await?;
    let mut all = crate::site::rows(0);
    all.push(crate::fault::POISON.to_string());
    let document = bed.site.platform(&all);
    let standing = bed
        .tries(
            &document,
            "generated data that crashes workers 90 s after they took it",
        )
        .await?;
    if standing.ended == Some(true) {
        // It is everywhere: what it does there is still to come, twice.
        bed.tempo_time(Duration::from_secs(240)).await;
    }
    if bed.nobody_saw_it() && standing.ended == Some(true) {
        return Err(Void::NotInjected(
            "nothing crashed: no edge has the bug".into(),
        ));
    }
    for_its_bug(&standing)?;
    found.reverts = true;
    found.claim("it was taken back by itself", standing.ended == Some(false));
    bed.tempo_time(Duration::from_secs(60)).await;
    Ok(found)
}

/// Whether a change that was taken back was so because an edge crashed at it, and not for anything else.
pub fn for_its_bug(standing: &Standing) -> Result<(), Void> {
    if standing.ended == Some(false) && !standing.why.contains("refuses it") {
        return Err(Void::NotInjected(format!(
            "it was taken back, and no edge had crashed: {}",
            standing.why
        )));
    }
    Ok(())
}

async fn wakes(bed: &Bed, bug: &str, what: &str) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.brings_everywhere(&bed.site.shop(&waking(bug))).await?;
    bed.timeline.note(Kind::Fault, what);
    bed.shared.mood.borrow_mut().rare = true;
    // How fast memory is eaten does not depend on the speed: four workers in each location are replaced in that time.
    let least = if bug == "drill:eat" { EATS } else { ASKS };
    let lasts = bed.tempo().scaled(Duration::from_secs(260)).max(least);
    tokio::time::sleep(lasts).await;
    bed.shared.mood.borrow_mut().rare = false;
    // Memory that is eaten is nothing that a stage counts: that drill looks at memory.
    if bug != "drill:eat" && !bed.met_its_bug().await {
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
    /// The most that the stage with the bug has counted of something in one location; none where no location has it.
    async fn counted_of_bug(&self, what: &[&str]) -> Option<u64> {
        let mut most = None;
        for edge in &self.edges {
            let state = Edge::state(edge.admin.get()).await;
            let stages = state.get("stages").and_then(Value::as_array);
            let is_it = |stage: &&Value| stage.get("name").and_then(Value::as_str) == Some(BUG);
            let Some(stage) = stages.and_then(|stages| stages.iter().find(is_it)) else {
                continue;
            };
            let counts = what.iter().filter_map(|name| stage.get(name)?.as_u64());
            most = most.max(Some(counts.sum()));
        }
        most
    }

    /// Whether the stage with the bug is there, and has failed somewhere: by its own counts, or because somebody was answered badly.
    async fn met_its_bug(&self) -> bool {
        let failed = self.counted_of_bug(&["faults", "spent"]).await;
        failed.is_some_and(|count| count > 0 || !self.nobody_saw_it())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_usual_speeds_three_panics_are_remembered_and_at_high_ones_that_is_said() {
        for (speed, too_soon) in [(1, false), (20, false), (200, true), (1_000, true)] {
            assert_eq!(forgets_too_soon(Tempo::faster(speed)), too_soon, "{speed}");
        }
    }
}

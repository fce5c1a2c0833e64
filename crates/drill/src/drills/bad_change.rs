//! Changes that somebody makes in good faith, and that are bad.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Found;
use crate::bed::Bed;
use crate::error::Void;
use crate::timeline::Kind;

/// The pattern of 2019-07-02, as its operator published it; braces that stand for themselves are written so here.
const OF_2019: &str = r#"(?:(?:\"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|\`|\-|\+)+[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"#;
/// Costly rules, and conditions of each. A dozen locations compile them on one machine: that must not be what clients notice.
const RULES: usize = 100;
const CONDITIONS: usize = 17;

/// What a request is told that is refused because its rules spent all of its fuel.
const SPENT: &str = "rules/spent";

/// How long control may take to answer.
const ANSWERS: Duration = Duration::from_secs(2);

/// O1.
pub async fn costly_rules(bed: &Bed) -> Result<Found, Void> {
    let slowest = Cell::new(Duration::ZERO);
    let mut found = tokio::select! {
        found = bring(bed) => found?,
        () = asks_control(bed, &slowest) => Found::default(),
    };
    found.claim(
        format!(
            "control answers within two seconds all along: {} ms at most",
            slowest.get().as_millis()
        ),
        slowest.get() <= ANSWERS,
    );
    Ok(found)
}

/// Asks control for its status, twice a second; keeps how long it took at most.
async fn asks_control(bed: &Bed, slowest: &Cell<Duration>) {
    loop {
        let asked = Instant::now();
        let answer = bed.api().ask("GET", "/status", "").await;
        let took = match answer {
            Ok(answer) if answer.status == 200 => asked.elapsed(),
            _ => Duration::MAX,
        };
        slowest.set(slowest.get().max(took));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn bring(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let old = bed.site.shop(&watching("http.request.uri.query", OF_2019));
    bed.timeline
        .note(Kind::Fault, "the pattern of that day, in watch mode");
    bed.brings_everywhere(&old).await?;
    found.claim(
        "the pattern of that day is everywhere, and harms nobody",
        bed.nobody_saw_it(),
    );

    let words: Vec<String> = (0..50_000).map(|nth| format!("w{nth}x")).collect();
    let large = bed
        .site
        .shop(&watching("http.request.uri.query", &words.join("|")));
    bed.timeline
        .note(Kind::Fault, "a pattern of fifty thousand alternatives");
    let (status, _) = bed.api().apply(&large).await.unwrap_or_default();
    if status == 422 {
        bed.timeline.note(Kind::Detected, "it is refused");
    }
    found.claim(
        "fifty thousand alternatives are refused before anybody has them",
        status == 422,
    );

    let rules: String = (0..RULES).map(costly).collect();
    let standing = bed
        .means(
            &bed.site.shop(&rules),
            "a hundred costly rules, in watch mode; a person means them",
        )
        .await?;
    bed.tempo_time(Duration::from_secs(60)).await;
    // Control may take it back for the time that it takes of each request, which is another safeguard.
    found.reverts = standing.ended != Some(true);
    let spent = bed.shared.ledger.borrow().answered(SPENT);
    found.claim(
        format!("no request was refused because rules that watch spent its fuel ({spent} were)"),
        spent == 0,
    );
    Ok(found)
}

fn watching(field: &str, pattern: &str) -> String {
    format!(
        "[[zone.rule]]\nwhen = '''{field} matches r#\"{pattern}\"#'''\naction = \"block\"\nmode = \"watch\"\n"
    )
}

/// A rule whose conditions all work on a text of a megabyte, and never fit. No two are the same: what many rules ask is asked once.
/// Without fuel a request takes seconds, and all behind it on its thread wait; with less, control would take it back before anybody noticed.
fn costly(nth: usize) -> String {
    let eightfold = "${1}".repeat(8);
    let longer = |text: String| format!("wildcard_replace({text}, \"*\", \"{eightfold}\")");
    let long = longer(longer(longer("http.user_agent".into())));
    let all = (0..CONDITIONS).map(|at| format!("lower(concat({long}, \"{nth}.{at}\")) eq \"x\""));
    let all = all.collect::<Vec<String>>().join(" or ");
    format!(
        "[[zone.rule]]\nname = \"costly {nth}\"\nwhen = '''{all}'''\naction = \"block\"\nmode = \"watch\"\n"
    )
}

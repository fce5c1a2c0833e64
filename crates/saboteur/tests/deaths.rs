//! Workers that die, hang or eat memory because of one zone: who is blamed, what becomes of it, and that others are served.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use seawall_harness::answer::Answer;
use seawall_harness::client::{Connection, Target};
use seawall_harness::edge::Edge;
use seawall_harness::patience::until;
use seawall_harness::temp::TempFolder;
use serde_json::Value;

async fn start(document: &str, flags: &[&str]) -> Edge {
    let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_seawall-saboteur"));
    Edge::start(binary, document, TempFolder::new().unwrap(), &flags)
        .await
        .unwrap()
}

/// Two zones in front of the built-in site.
fn zones(edge: &str, first: &str) -> String {
    let zone = |name: &str, more: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"sample\" }}]\n{more}\n"
        )
    };
    format!(
        "schema = 1\n{edge}\n{}{}",
        zone("bad", first),
        zone("good", "")
    )
}

/// Asks, with an order for the stage; none when the connection ends without an answer.
async fn ask(edge: &Edge, host: &str, order: &str) -> Option<Answer> {
    let target = Target {
        address: edge.http,
        tls: None,
    };
    let mut connection = Connection::open(&target).await.ok()?;
    let order = if order.is_empty() {
        String::new()
    } else {
        format!("x-sabotage: {order}\r\n")
    };
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{order}Connection: close\r\n\r\n");
    connection.exchange("GET", head.as_bytes()).await.ok()?
}

fn role(edge: &Edge, role: &str) -> Option<u64> {
    let text = std::fs::read(edge.data().join("up.json")).ok()?;
    let up: Value = serde_json::from_slice(&text).ok()?;
    up.pointer(&format!("/pids/{role}"))?.as_u64()
}

async fn another_worker(edge: &Edge, old: u64) -> u64 {
    let found = until("another worker", || {
        role(edge, "worker").filter(|now| *now != old)
    })
    .await;
    found.unwrap_or_else(|why| panic!("{why}:\n{}", edge.log()))
}

async fn state(edge: &Edge) -> Value {
    let answer = edge.admin("/state").await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// Kills the worker through the bad zone.
async fn kill(edge: &Edge, order: &str) {
    let worker = role(edge, "worker").unwrap();
    assert!(
        ask(edge, "bad.test", order).await.is_none(),
        "{order} kills"
    );
    another_worker(edge, worker).await;
}

#[tokio::test]
async fn the_second_death_quarantines_the_zones_version_and_no_other() {
    let edge = start(&zones("", ""), &[]).await;
    for order in ["abort", "overflow"] {
        kill(&edge, order).await;
        assert_eq!(ask(&edge, "good.test", "").await.unwrap().status, 200);
    }
    let log = edge.log();
    for part in [
        "the worker dies of SIGABRT",
        "the worker dies of SIGSEGV",
        "while it served zone bad",
        "zone bad: version",
        "its optional stages are off",
    ] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    // The stage that kills is optional: it is not asked any more.
    let answer = ask(&edge, "bad.test", "abort").await.unwrap();
    assert_eq!(answer.status, 200, "{}", edge.log());
    // And the other zone's is: its version is another.
    assert_eq!(
        ask(&edge, "good.test", "deny:418").await.unwrap().status,
        418
    );
    let state = state(&edge).await;
    assert_eq!(
        state["degraded"],
        serde_json::json!(["quarantine"]),
        "{state:#}"
    );
    let reports: Vec<Value> = std::fs::read_dir(edge.data().join("crashes"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .map(|text| serde_json::from_slice(&text).unwrap())
        .collect();
    assert_eq!(reports.len(), 2);
    for report in &reports {
        assert_eq!(report["culprit"]["zone"], "bad", "{report:#}");
        assert_eq!(report["threads"][0]["runs"]["phase"], "judge", "{report:#}");
    }
    // A new version of the zone is no concern of the judge.
    let new = zones("", "max_body = \"1MiB\"");
    edge.reload(&new).await.unwrap();
    until("the new version", || {
        edge.log().contains("Seawall reloaded").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        ask(&edge, "bad.test", "deny:418").await.unwrap().status,
        418
    );
}

/// The worker that waits for the other one to die.
async fn spare(edge: &Edge) -> u64 {
    let found = until("a spare worker", || {
        let mut status = std::process::Command::new(env!("CARGO_BIN_EXE_seawall-saboteur"));
        status.args(["status", "--json", "--data"]).arg(edge.data());
        let told: Value = serde_json::from_slice(&status.output().ok()?.stdout).ok()?;
        let workers = told["edge"]["workers"].as_array()?;
        let spare = workers.iter().find(|worker| worker["phase"] == "spare")?;
        spare["pid"].as_u64()
    })
    .await;
    found.unwrap_or_else(|why| panic!("{why}:\n{}", edge.log()))
}

#[tokio::test]
async fn a_spare_serves_after_a_death_but_never_what_was_quarantined_because_of_it() {
    let edge = start(&zones("[edge]\nspare = true", ""), &[]).await;
    let waits = spare(&edge).await;
    kill(&edge, "abort").await;
    assert_eq!(role(&edge, "worker"), Some(waits), "{}", edge.log());
    assert_eq!(ask(&edge, "good.test", "").await.unwrap().status, 200);
    // The next one was started before the death that decides.
    let waits = spare(&edge).await;
    kill(&edge, "abort").await;
    assert_ne!(role(&edge, "worker"), Some(waits), "{}", edge.log());
    let answer = ask(&edge, "bad.test", "abort").await.unwrap();
    assert_eq!(answer.status, 200, "{}", edge.log());
    // And the one after it knows.
    let waits = spare(&edge).await;
    let worker = role(&edge, "worker").unwrap();
    let mut killed = std::process::Command::new("kill");
    assert!(
        killed
            .args(["-KILL", &worker.to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(another_worker(&edge, worker).await, waits);
    let answer = ask(&edge, "bad.test", "abort").await.unwrap();
    assert_eq!(answer.status, 200, "{}", edge.log());
}

#[tokio::test]
async fn what_last_proved_good_is_served_in_place_of_what_kills() {
    let soak = "[edge.limits]\nsoak = \"0s\"";
    let edge = start(&zones(soak, "max_body = \"1MiB\""), &[]).await;
    let good = until("the last good version", || {
        edge.data().join("last-good").exists().then_some(())
    });
    good.await.unwrap();
    let first = std::fs::metadata(edge.data().join("live")).unwrap();
    let version = state(&edge).await["zones"]["bad"]["active"].clone();
    edge.reload(&zones(
        "[edge.limits]\nsoak = \"1h\"",
        "max_body = \"2MiB\"",
    ))
    .await
    .unwrap();
    until("the reload", || {
        edge.log().contains("Seawall reloaded").then_some(())
    })
    .await
    .unwrap();
    assert_ne!(state(&edge).await["zones"]["bad"]["active"], version);
    // Which is live, and kept, and has not proved good.
    until("the second version to be kept", || {
        use std::os::unix::fs::MetadataExt;
        let live = std::fs::metadata(edge.data().join("live")).ok()?;
        (live.ino() != first.ino()).then_some(())
    })
    .await
    .unwrap();
    kill(&edge, "abort").await;
    kill(&edge, "abort").await;
    assert_eq!(
        state(&edge).await["zones"]["bad"]["active"],
        version,
        "{}",
        edge.log()
    );
    assert!(
        edge.log()
            .contains("its last good version is served instead"),
        "{}",
        edge.log()
    );
    assert_eq!(ask(&edge, "bad.test", "").await.unwrap().status, 200);
}

/// The new worker is there before the old one goes, and only the thread that hangs loses its connections.
#[tokio::test]
async fn a_thread_that_does_not_move_is_replaced_with_its_worker() {
    let limits = "[edge.limits]\ndrain = \"1s\"";
    let edge = start(&zones(limits, ""), &["--workers", "2"]).await;
    let worker = role(&edge, "worker").unwrap();
    let began = Instant::now();
    let hung = ask(&edge, "bad.test", "spin");
    let served = async {
        let now = another_worker(&edge, worker).await;
        let took = began.elapsed();
        println!(
            "measured: a thread that spins: another worker serves after {} ms",
            took.as_millis()
        );
        now
    };
    let (hung, now) = tokio::join!(hung, served);
    assert!(hung.is_none(), "what hung was lost");
    assert!(edge.log().contains("does not move"), "{}", edge.log());
    assert!(
        edge.log().contains("while it served zone bad"),
        "{}",
        edge.log()
    );
    assert_eq!(role(&edge, "worker"), Some(now));
    until("the end of the old worker", || {
        let gone = !Path::new(&format!("/proc/{worker}")).exists();
        gone.then_some(())
    })
    .await
    .unwrap();
    for _ in 0..8 {
        assert_eq!(ask(&edge, "good.test", "").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_replaced() {
    let limits = "[edge.limits]\nmemory = \"128MiB\"\nretire = \"1s\"\ndrain = \"1s\"";
    let edge = start(&zones(limits, ""), &[]).await;
    let worker = role(&edge, "worker").unwrap();
    assert_eq!(ask(&edge, "bad.test", "eat:200").await.unwrap().status, 200);
    another_worker(&edge, worker).await;
    assert_eq!(ask(&edge, "good.test", "").await.unwrap().status, 200);
    assert!(edge.log().contains("of 128 MiB"), "{}", edge.log());
    assert!(edge.memory_kib().unwrap() > 0);
}

/// Who is stopped from outside hangs as a whole. It goes on, ends what it has begun, and loses nothing.
#[tokio::test]
async fn a_worker_that_is_stopped_is_replaced_and_loses_nothing() {
    let edge = start(&zones("", ""), &["--workers", "2"]).await;
    let worker = role(&edge, "worker").unwrap();
    let stopped = std::process::Command::new("sh")
        .args(["-c", &format!("kill -STOP {worker}")])
        .status();
    assert!(stopped.unwrap().success());
    // It waits in the backlog, or in the process that is stopped; either way it is answered.
    let (answer, _) = tokio::join!(ask(&edge, "good.test", ""), another_worker(&edge, worker));
    assert_eq!(answer.unwrap().status, 200, "{}", edge.log());
    tokio::time::sleep(Duration::from_millis(1)).await;
}

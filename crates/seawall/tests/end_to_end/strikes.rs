//! Control, the S3 server and the processes of edges are killed at random moments while versions come one after the other: no version is
//! lost, none is half there, and no edge is without something good to serve.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::buckets::{BUCKET, S3};
use crate::fleet::{Control, first, get, told, without, zone};
use crate::origin::Answering;
use crate::rollouts::{applied, asks, start};
use crate::tools::curl;
use crate::up::{Folder, Up, patience, send, until};

/// Numbers that look random, and are the same for the same seed.
struct Random(u64);

impl Random {
    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        // Steele, Lea and Flood's SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// A version with two rules, which come together or not at all.
fn numbered(origin: &str, number: u64) -> String {
    let rule = |side: &str| {
        format!(
            "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/{side}{number}\"'\naction = \"block\"\n"
        )
    };
    zone(origin, &[rule("a"), rule("b")].concat())
}

fn pid(edge: &Up, role: &str) -> Option<u32> {
    let text = fs::read(edge.data().join("up.json")).ok()?;
    let up: Value = serde_json::from_slice(&text).ok()?;
    up["pids"][role].as_u64().map(|pid| pid as u32)
}

/// Kills a process of an edge, if it is there.
fn strike(edge: &Up, role: &str) -> bool {
    let Some(pid) = pid(edge, role) else {
        return false;
    };
    let ours = fs::read_link(format!("/proc/{pid}/exe"));
    let is_ours = ours.is_ok_and(|exe| exe.to_string_lossy().contains("seawall"));
    if is_ours {
        send(pid, libc::SIGKILL);
    }
    is_ours
}

fn serves(edge: &Up, number: u64) {
    until(&format!("version {number}"), || {
        (get(edge, &format!("/a{number}")) == 403).then_some(())
    });
    assert_eq!(get(edge, &format!("/b{number}")), 403, "half of it");
    assert_eq!(get(edge, &format!("/a{}", number - 1)), 200);
    assert_eq!(get(edge, "/"), 200);
}

fn rounds(rounds: u64) {
    let seed = std::env::var("SEAWALL_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEAWALL_SEED={seed}");
    let mut random = Random(seed);
    let site = Answering::start("good");
    let mut server = S3::start();
    let mut control = Control::spawned(200, &["--bucket", BUCKET], |command| {
        server.variables(command);
    });
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let url = control.url();
    let edges: Vec<Up> = ["ams", "lhr"]
        .iter()
        .map(|location| {
            let token = control.token(location, &[]);
            let words = ["--join", &url, "--token", &token, "--source", BUCKET];
            server.edge(Folder::new(), &words)
        })
        .collect();
    let mut made = Vec::new();
    let mut struck = std::collections::BTreeMap::<String, u64>::new();
    for number in 2..rounds + 2 {
        let text = numbered(&site.url(), number);
        let (code, _) = control.apply(&text, &["--approve"]);
        assert_eq!(code, Some(0), "control was there");
        made.push(number);
        for _ in 0..=random.below(2) {
            thread::sleep(Duration::from_millis(random.below(150)));
            let edge = &edges[random.below(2) as usize];
            let what = match random.below(4) {
                0 => {
                    control.kill();
                    thread::sleep(Duration::from_millis(random.below(100)));
                    control.again();
                    "control"
                }
                1 => {
                    server.kill();
                    server.again();
                    "S3 server"
                }
                2 if strike(edge, "agent") => "agent",
                3 if strike(edge, "worker") => "worker",
                _ => continue,
            };
            *struck.entry(what.to_owned()).or_default() += 1;
        }
        for edge in &edges {
            serves(edge, number);
        }
    }
    println!("{} versions, {struck:?} killed", made.len());
    let output = crate::fleet::seawall(&["versions", "a.test", "--json"], &control.data());
    let versions: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    // None is lost, none came twice.
    assert_eq!(versions.len() as u64, rounds + 1);
    assert!(
        struck.values().sum::<u64>() >= rounds / 2,
        "too little was killed"
    );
    // Each edge serves the last one from its disk alone, once it has heard that it is for all.
    for edge in &edges {
        until("it is on disk", || {
            let live = fs::read(edge.data().join("live")).ok()?;
            let mark = format!("/b{}", rounds + 1);
            String::from_utf8_lossy(&live).contains(&mark).then_some(())
        });
    }
    control.kill();
    server.kill();
    for edge in edges {
        let folder = crate::fleet::struck(edge);
        let edge = server.edge(folder, &[]);
        serves(&edge, rounds + 1);
    }
}

#[test]
fn whatever_is_killed_no_version_is_lost_and_none_is_half_there() {
    let long = std::env::var_os("SEAWALL_TEST_LONG").is_some();
    rounds(if long { 200 } else { 10 });
}

#[test]
fn a_zone_that_was_deleted_stays_so_though_the_agent_that_was_to_be_told_was_killed() {
    let site = Answering::start("good");
    let more = |name: &str| {
        let zone = zone(&site.url(), "").replace("a.test", name);
        zone.replacen("schema = 1\n", "", 1)
    };
    let config = [zone(&site.url(), ""), more("b.test"), more("c.test")].concat();
    let up = start(&config, "50");
    let status = |host: &str, path: &str| {
        let host = format!("Host: {host}");
        curl(&["-H", &host, &up.url(path)]).status
    };
    assert_eq!(status("b.test", "/"), 200);
    let agent = until("the agent", || pid(&up, "agent"));
    let (code, said) = told(asks(&up, &["delete", "b.test"]));
    assert_eq!(code, Some(0), "{said}");
    // Control says so, and then publishes it: the sooner, the less the agent has heard.
    let begun = Instant::now();
    while !up.log().contains("of zone/b.test to all") {
        assert!(begun.elapsed() < patience(), "it is not deleted");
    }
    send(agent, libc::SIGKILL);
    until("another agent", || {
        pid(&up, "agent").filter(|pid| *pid != agent)
    });
    let (code, said) = applied(&up, &without(&site.url(), "/no"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((status("a.test", "/no"), status("b.test", "/")), (403, 421));
    until("it is gone from disk", || {
        let live = fs::read(up.data().join("live")).ok()?;
        let live = String::from_utf8_lossy(&live);
        (live.contains("c.test") && !live.contains("b.test")).then_some(())
    });
}

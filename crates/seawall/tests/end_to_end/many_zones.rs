//! One zone's change among very many zones: how long after it is published a client in another location is served by it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::buckets::{BUCKET, S3};
use crate::clients::statuses;
use crate::fleet::{Lead, edge_command, seawall, told, without};
use crate::origin::Answering;
use crate::up::{Folder, Up, command, until};

/// A document with `a.test` and so many others.
fn document(origin: &str, zones: usize) -> String {
    let mut text = crate::fleet::first(origin);
    for nth in 0..zones {
        let _ = write!(
            text,
            "[[zone]]\nname = \"z{nth}.test\"\nhosts = [\"z{nth}.test\"]\norigin = [{{ url = \"{origin}\" }}]\n"
        );
    }
    text
}

/// Everything on one machine with so many zones, with a bucket, and where it listens for locations.
fn machine(server: &S3, origin: &str, zones: usize) -> (Up, String) {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &document(origin, zones));
    let mut up = command(&folder.join("data"));
    up.args(["--config", file.to_str().unwrap(), "--speed", "1"]);
    up.args([
        "--edges",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--bucket",
        BUCKET,
    ]);
    server.variables(&mut up);
    up.stdout(folder.log());
    let up = Up::spawned(folder, up);
    let url = until("control", || {
        let log = up.log();
        let (_, rest) = log.split_once("listens for locations on ")?;
        Some(rest.lines().next()?.to_owned())
    });
    until("all is published", || {
        let (_, said) = told(seawall(&["control", "locations", "--json"], &up.data()));
        up.data()
            .join("published/manifest")
            .exists()
            .then_some(())?;
        said.contains("local").then_some(())
    });
    (up, url)
}

fn joined(server: &S3, up: &Up, location: &str, at: &str, more: &[&str]) -> Up {
    let words = ["control", "token", "--location", location];
    // What reads from the bucket alone is to be before the others.
    let first: &[&str] = if more.is_empty() { &[] } else { &["--canary"] };
    let output = seawall(&[&words, first].concat(), &up.data());
    let token = String::from_utf8(output.stdout).unwrap();
    let url = format!("https://{at}");
    let words = ["--join", &url, "--token", token.trim()];
    let folder = Folder::new();
    let mut edge = edge_command(&folder, "1", &[&words[..], more].concat());
    server.variables(&mut edge);
    let edge = Up::spawned(folder, edge);
    // All zones come first: that takes as long as there are many of them.
    until("the location serves", || {
        statuses(edge.http(), "/")
            .iter()
            .all(|status| *status == Some(200))
            .then_some(())
    });
    until("it is in step", || {
        let mine = generation(up, location)?;
        (mine >= generation(up, "local")?).then_some(())
    });
    edge
}

/// The generation of the manifest that a location acts on, as it reported.
fn generation(up: &Up, location: &str) -> Option<u64> {
    let (_, said) = told(seawall(&["control", "locations", "--json"], &up.data()));
    let all: Value = serde_json::from_str(&said).ok()?;
    let all = all.as_array().or_else(|| all["locations"].as_array())?;
    let place = all.iter().find(|one| one["name"] == location)?;
    place["generation"].as_u64()
}

/// Whether the manifest puts this version of `a.test` on trial.
fn publishes(up: &Up, version: &str) -> Option<()> {
    let manifest = std::fs::read_to_string(up.data().join("published/manifest")).ok()?;
    let trial = format!("{{\"chain\":{{\"zone\":\"a.test\"}},\"version\":{version},");
    manifest.contains(&trial).then_some(())
}

/// How long after its manifest a change is served to somebody, several times.
fn changes(up: &Up, edge: &Up, origin: &str, first: usize, times: usize) -> Vec<Duration> {
    let mut all = Vec::new();
    for nth in first..first + times {
        let path = format!("/n{nth}");
        let file = up.folder().write("next.toml", &without(origin, &path));
        let words = ["apply", file.to_str().unwrap(), "--approve"];
        let asked = Instant::now();
        let (code, said) = told(seawall(&words, &up.data()));
        let made = asked.elapsed();
        assert_eq!(code, Some(0), "{said}");
        let (_, version) = said.split_once("zone/a.test: version ").expect("a version");
        let version = version.split(' ').next().unwrap();
        until("its manifest", || publishes(up, version));
        let began = Instant::now();
        until("its first request", || {
            statuses(edge.http(), &path)
                .contains(&Some(403))
                .then_some(())
        });
        let (served, published) = (began.elapsed(), began - asked - made);
        println!(
            "{path}: a version after {made:?}, published after {published:?}, served after {served:?}"
        );
        all.push(served);
    }
    all.sort();
    all
}

fn shown(what: &str, zones: usize, all: &[Duration]) {
    for (name, at) in [("median", all.len() / 2), ("longest", all.len() - 1)] {
        let ms = all[at].as_secs_f64() * 1_000.0;
        println!(
            "measured: one of {zones} zones, published to first request, {what}, {name} = {ms:.0} ms"
        );
    }
}

fn measured(zones: usize, times: usize) -> (Vec<Duration>, Vec<Duration>) {
    let site = Answering::start("good");
    let server = S3::start();
    let (up, listens) = machine(&server, &site.url(), zones);
    let ams = joined(&server, &up, "ams", &listens, &[]);
    let waiting = changes(&up, &ams, &site.url(), 0, times);
    shown("long poll", zones, &waiting);
    // Another one that is before all others, and reads from the bucket alone.
    let lead = Lead::to(listens.parse().unwrap());
    let at = lead.listens.to_string();
    let aaa = joined(&server, &up, "aaa", &at, &["--source", BUCKET]);
    lead.close();
    let polling = changes(&up, &aaa, &site.url(), times, times);
    shown("poll alone", zones, &polling);
    (waiting, polling)
}

/// They come in turns, and what is asked meanwhile is answered.
#[test]
#[ignore = "long: twenty probes for each of very many zones"]
fn more_new_zones_than_can_be_on_trial_all_come() {
    let site = Answering::start("good");
    let up = crate::rollouts::start(&document(&site.url(), 0), "20");
    let file = up
        .folder()
        .write("many.toml", &document(&site.url(), 1_300));
    let (code, said) = told(seawall(&["apply", file.to_str().unwrap()], &up.data()));
    assert_eq!(code, Some(0), "{said}");
    let status_of = |zone: usize| {
        let host = format!("Host: z{zone}.test");
        crate::tools::curl(&["-H", &host, &up.url("/")]).status
    };
    until("the first zone", || (status_of(0) == 200).then_some(()));
    assert_eq!(status_of(1_299), 421, "it waits for its turn");
    let (_, said) = told(seawall(&["rollouts"], &up.data()));
    assert!(said.contains("waits for its turn: 1000 are on trial"));
    // The others come when those have had their probes, some hundred a second.
    let begun = Instant::now();
    while status_of(1_299) != 200 {
        assert!(begun.elapsed() < Duration::from_secs(300), "{}", up.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_change_of_one_zone_among_many_comes_to_its_first_client() {
    measured(300, 1);
}

#[test]
#[ignore = "long: 100,000 zones"]
fn a_change_of_one_zone_among_100_000_comes_in_time() {
    let (waiting, polling) = measured(100_000, 5);
    assert!(waiting.iter().all(|took| *took <= Duration::from_secs(1)));
    assert!(polling.iter().all(|took| *took <= Duration::from_secs(6)));
}

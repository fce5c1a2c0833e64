//! What many zones cost: reading a document of them, compiling it from nothing, one zone's change, finding a zone by its host,
//! and the memory that stays. The document comes from disk and meets the limits that a build ships with.
//!
//! `cargo run --release -p seawall-proxy --example zones [ZONES]`

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails is none"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use seawall_model::document::Parsed;
use seawall_model::{Limits, document};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{self, Change, Sources};
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::stages::STAGES;
use seawall_proxy::state::State;
use seawall_proxy::trial::Live;
use seawall_telemetry::{BuildInfo, Registry};

const BUILD: BuildInfo = BuildInfo {
    version: "0",
    commit: "",
};
/// As the edge's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Zones that are changed, one at a time.
const CHANGES: usize = 201;
/// Hosts that are looked up in one round, the same number in a snapshot of one zone.
const LOOKUPS: usize = 1 << 20;

fn main() {
    let zones = std::env::args().nth(1);
    let zones: usize = zones.map_or(1_000_000, |text| text.parse().expect("a number of zones"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("zones.toml");
    std::fs::write(&path, text(0..zones, "")).expect("a file");
    let pem = self_signed(vec!["localhost".into()]).expect("a certificate");
    let state = State::new(Registry::new(&WORDS, BUILD), STAGES);
    let before = resident();

    let began = Instant::now();
    let start = began;
    let text = std::fs::read_to_string(&path).expect("the file");
    folder.close().expect("the folder");
    let parsed = parsed(&text);
    println!("{zones} zones, read: {:.0} ms", millis(began));
    drop(text);
    let read = resident();
    println!(
        "{zones} zones, document: {} bytes a zone",
        (read - before) / zones
    );

    let began = Instant::now();
    let live = Live::from(compiled(&parsed, &pem, &state, None));
    println!("{zones} zones, compiled: {:.0} ms", millis(began));
    let began = Instant::now();
    state.settle(&live, &[]);
    println!("{zones} zones, settled: {:.0} ms", millis(began));
    println!("{zones} zones, start: {:.0} ms", millis(start));
    let each = (resident() - read) / zones;
    println!("{zones} zones, each: {each} bytes, without its document");
    drop(parsed);
    println!("{zones} zones, peak: {} MiB", peak() >> 20);

    let live = live.snapshot;
    let mut changes: Vec<f64> = (0..CHANGES)
        .map(|nth| change(&live, zones, nth, &pem, &state))
        .collect();
    changes.sort_by(f64::total_cmp);
    let [median, most] = [changes[CHANGES / 2], changes[CHANGES - 1]];
    println!("{zones} zones, one changed: {median:.2} ms, at most {most:.2} ms");

    let one = compiled(&self::parsed(&self::text(0..1, "")), &pem, &state, None);
    let hosts: Vec<String> = (0..LOOKUPS)
        .map(|n| format!("site{}.test", n.wrapping_mul(7919) % zones))
        .collect();
    // The same bytes are read in both: only the tables differ.
    let first: Vec<String> = vec!["site0.test".into(); LOOKUPS];
    println!(
        "{zones} zones, lookup of all hosts: {:.1} ns",
        lookup(&live, &hosts)
    );
    println!(
        "{zones} zones, lookup of one host: {:.1} ns",
        lookup(&live, &first)
    );
    println!(
        "1 zones, lookup of one host: {:.1} ns",
        lookup(&one, &first)
    );
}

fn lookup(snapshot: &Snapshot, hosts: &[String]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let began = Instant::now();
        for host in hosts {
            assert!(black_box(snapshot.zone(host.as_bytes())).is_some());
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e9 / hosts.len() as f64);
    }
    best
}

fn parsed(text: &str) -> Parsed {
    let parsed = document::parse_zones(text, &Limits::default());
    assert_eq!(parsed.problems, None);
    parsed
}

fn compiled(
    parsed: &Parsed,
    pem: &(String, String),
    state: &State,
    live: Option<&Snapshot>,
) -> Snapshot {
    let materials = Materials::load(&parsed.document, Path::new("."), Some(pem.clone()));
    let sources = Sources::new(parsed, &materials);
    let compiled = compile::compile(&sources, &Limits::default(), state, live);
    compiled.snapshot.expect("a good document")
}

/// One zone becomes another one: from its text to what would be swapped, and back to nothing.
fn change(
    live: &Arc<Snapshot>,
    zones: usize,
    nth: usize,
    pem: &(String, String),
    state: &State,
) -> f64 {
    let nth = nth.wrapping_mul(7919) % zones;
    let text = text(nth..nth + 1, "[zone.hygiene]\nnosniff = true\n");
    let began = Instant::now();
    let parsed = parsed(&text);
    let materials = Materials::load(&parsed.document, Path::new("."), Some(pem.clone()));
    let zone = parsed.document.zones.first().expect("a zone");
    let put = Change::Put(zone, &materials);
    let changed = compile::change(live, put, &Limits::default(), state).expect("a good zone");
    let after = Live::from(Arc::new(changed.snapshot.clone()));
    state.settle_zones(&Live::from(live.clone()), &after, [&*zone.name]);
    drop(black_box((changed, after)));
    millis(began)
}

fn text(zones: std::ops::Range<usize>, more: &str) -> String {
    let mut text = String::from("schema = 1\n");
    for n in zones {
        // Writing to a text does not fail.
        let _ = write!(
            text,
            "[[zone]]\nname = \"site{n}.test\"\nhosts = [\"site{n}.test\", \"*.site{n}.test\"]\n\
             origin = [{{ url = \"http://10.{}.{}.{}:8080\" }}]\n{more}",
            n >> 16,
            n >> 8 & 255,
            n & 255
        );
    }
    text
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Bytes that are resident now.
fn resident() -> usize {
    status("VmRSS:")
}

/// The most that were.
fn peak() -> usize {
    status("VmHWM:")
}

fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("a figure").parse::<usize>().expect("a number") << 10
}

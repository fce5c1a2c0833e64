//! What zones with certificates of their own cost: compiling them, the memory that stays, and a handshake's certificate, the first
//! time and after that. Each zone has an ECDSA certificate in a file, below an intermediate that all have in common.
//!
//! `cargo run --release -p seawall-proxy --example certificates [ZONES]`

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails is none"
)]

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use seawall_model::{Limits, document};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{self, Sources};
use seawall_proxy::materials::Materials;
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

fn main() {
    let zones = std::env::args().nth(1);
    let zones: usize = zones.map_or(20_000, |text| text.parse().expect("a number of zones"));
    let folder = tempfile::tempdir().expect("a folder");
    let text = made(zones, folder.path());
    let pem = self_signed(vec!["localhost".into()]).expect("a certificate");
    let state = State::new(Registry::new(&WORDS, BUILD), STAGES);
    let parsed = document::parse_zones(&text, &Limits::default());
    assert_eq!(parsed.problems, None);

    let began = Instant::now();
    let materials = Materials::load(&parsed.document, folder.path(), Some(pem));
    println!("{zones} zones, files read: {:.0} ms", millis(began));
    let before = resident();
    let began = Instant::now();
    let sources = Sources::new(&parsed, &materials);
    let compiled = compile::compile(&sources, &Limits::default(), &state, None);
    let live = Live::from(compiled.snapshot.expect("a good document"));
    println!("{zones} zones, compiled: {:.0} ms", millis(began));
    println!(
        "{zones} zones, each: {} bytes, without its document and files",
        resident().saturating_sub(before) / zones
    );

    for round in ["first", "next"] {
        let began = Instant::now();
        for n in 0..zones {
            let host = format!("site{n}.test");
            let zone = live.zone(host.as_bytes()).expect("a zone");
            assert!(zone.tls().is_some());
            let kept = zone.certificate.as_ref().expect("a certificate");
            assert!(state.keys.ready(kept, zone.id.0).is_some());
        }
        println!(
            "{zones} zones, TLS and key of each, {round} time: {:.1} us",
            millis(began) * 1e3 / zones as f64
        );
    }
    let zone = live.zone(b"site0.test").expect("a zone");
    let kept = zone.certificate.as_ref().expect("a certificate");
    let began = Instant::now();
    for _ in 0..zones {
        assert!(state.keys.ready(kept, zone.id.0).is_some());
    }
    println!(
        "{zones} zones, a key that is ready: {:.3} us",
        millis(began) * 1e3 / zones as f64
    );
    println!(
        "{zones} zones, each, when all were asked for: {} bytes",
        resident().saturating_sub(before) / zones
    );
    folder.close().expect("the folder");
}

/// A document with a certificate for each zone, in a folder.
fn made(zones: usize, folder: &Path) -> String {
    let mut text = String::from("schema = 1\n");
    let (intermediate, _) = self_signed(vec!["intermediate.test".into()]).expect("a certificate");
    for n in 0..zones {
        let name = format!("site{n}.test");
        let made = self_signed(vec![name.clone(), format!("*.{name}")]);
        let (certificate, key) = made.expect("a certificate");
        let chain = certificate + &intermediate;
        std::fs::write(folder.join(format!("{n}.pem")), chain).expect("a file");
        std::fs::write(folder.join(format!("{n}.key")), key).expect("a file");
        // Writing to a text does not fail.
        let _ = write!(
            text,
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\", \"*.{name}\"]\n\
             origin = [{{ url = \"http://10.{}.{}.{}:8080\" }}]\n\
             tls = {{ certificate = {{ cert = \"{n}.pem\", key = \"{n}.key\" }} }}\n",
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
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("a figure").parse::<usize>().expect("a number") << 10
}

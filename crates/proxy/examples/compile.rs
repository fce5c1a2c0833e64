//! What compiling costs: ten thousand zones from nothing, and one change among them. Prints milliseconds, the best of five.
//!
//! `cargo run --release -p seawall-proxy --example compile [ZONES]`

#![allow(clippy::expect_used, reason = "a measurement that fails is none")]

use std::path::Path;
use std::time::Instant;

use seawall_model::document::Parsed;
use seawall_model::{Limits, document};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{Sources, compile};
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::stages::STAGES;
use seawall_proxy::state::State;
use seawall_proxy::trial::Live;
use seawall_telemetry::{BuildInfo, Registry};

const RUNS: usize = 5;
const BUILD: BuildInfo = BuildInfo {
    version: "0",
    commit: "",
};

fn main() {
    let zones = std::env::args().nth(1);
    let zones: usize = zones.map_or(10_000, |text| text.parse().expect("a number of zones"));
    let pem = self_signed(vec!["localhost".into()]).expect("a certificate");
    for (what, more) in [("plain", ""), ("https origins", "s"), ("guarded", "rules")] {
        let first = parsed(zones, more, false);
        let second = parsed(zones, more, true);
        let (mut cold, mut one, mut none, mut settled) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let state = State::new(Registry::new(&WORDS, BUILD), STAGES);
            let mut go = |parsed: &Parsed, live: Option<&Snapshot>, times: &mut Vec<f64>| {
                let materials =
                    Materials::load(&parsed.document, Path::new("."), Some(pem.clone()));
                let began = Instant::now();
                let sources = Sources::new(parsed, &materials);
                let compiled = compile(&sources, &Limits::default(), &state, live);
                times.push(began.elapsed().as_secs_f64() * 1e3);
                let snapshot = Live::from(compiled.snapshot.expect("a good document"));
                let began = Instant::now();
                state.settle(&snapshot, &compiled.refused);
                settled.push(began.elapsed().as_secs_f64() * 1e3);
                snapshot
            };
            let live = go(&first, None, &mut cold);
            let live = go(&second, Some(&live), &mut one);
            go(&second, Some(&live), &mut none);
        }
        for (kind, times) in [
            ("cold", &cold),
            ("one zone changed", &one),
            ("nothing changed", &none),
            ("settling", &settled),
        ] {
            let best = times.iter().copied().fold(f64::INFINITY, f64::min);
            println!("{zones} {what} zones, {kind}: {best:.1} ms");
        }
    }
}

fn parsed(zones: usize, more: &str, changed: bool) -> Parsed {
    let mut text = String::from("schema = 1\n[lists.office]\nips = [\"192.0.2.0/24\"]\n");
    for n in 0..zones {
        let s = if more == "s" { "s" } else { "" };
        text.push_str(&format!(
            "[[zone]]\nname = \"site{n}.test\"\nhosts = [\"site{n}.test\", \"*.site{n}.test\"]\n\
             origin = [{{ url = \"http{s}://10.{}.{}.{}:8080\" }}]\n",
            n >> 16,
            n >> 8 & 255,
            n & 255
        ));
        if more == "rules" {
            text.push_str(
                "[zone.lists]\nblock = [\"office\"]\n\
                 [[zone.rule]]\nwhen = 'http.request.uri.path contains \"/admin\" and not ip.src in $office'\naction = \"block\"\n",
            );
        }
        if changed && n == zones / 2 {
            text.push_str("[zone.hygiene]\nnosniff = true\n");
        }
    }
    let began = Instant::now();
    let limits = Limits {
        document_bytes: usize::MAX,
        ..Limits::default()
    };
    let parsed = document::parse_zones(&text, &limits);
    assert_eq!(parsed.problems, None);
    println!("  parsed {} bytes in {:?}", text.len(), began.elapsed());
    parsed
}

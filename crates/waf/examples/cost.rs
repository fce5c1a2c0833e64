//! What the rules cost: CPU time per request and what a unit of fuel is worth, for the requests of `docs/waf.md`.
//!
//! `cargo run --release -p seawall-waf --example cost [CRS_DIR] [paranoia]`. One thread; the least of several rounds, because others
//! on the machine only make work dearer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a tool for developers"
)]

use std::time::Instant;

use seawall_waf::{Options, Program, Workspace, Zone};

#[path = "asked/mod.rs"]
mod asked;
#[path = "played/mod.rs"]
mod played;

use asked::{Asked, requests};
use played::{hostile, read, run, watching};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = played::folder(arguments.next());
    let paranoia: u8 = arguments.next().map_or(1, |text| text.parse().unwrap());
    let began = Instant::now();
    let set = read(&folder);
    let parsed = began.elapsed();
    let program = set
        .compile(Options { paranoia })
        .unwrap_or_else(|problems| panic!("{problems}"));
    println!(
        "{} rules, {:?} patterns (in one pass), parsed in {parsed:?}, with compiling {:?}, {} KiB",
        program.rules(),
        program.patterns(),
        began.elapsed(),
        program.memory() >> 10
    );
    let zone = watching(paranoia);
    let mut work = Workspace::default();
    let began = Instant::now();
    work.warm(&program);
    println!(
        "warmed in {:?}: {:?} bytes, set emptied",
        began.elapsed(),
        work.memory()
    );
    // For a profiler: one request alone (`ASKS`, 0 to 3), so many times.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(times) = number("TIMES") {
        let plain = &requests()[number("ASKS").unwrap_or_default()];
        let mut other = vec![0u8; evicted()];
        for _ in 0..times {
            touch(&mut other);
            run(&program, &zone, plain, &mut work);
        }
        return;
    }
    println!(
        "{:<28} {:>10} {:>10} {:>8} {:>10} {:>10} {:>8}  rules",
        "request", "first us", "fuel", "unit ns", "us", "fuel", "unit ns"
    );
    for asked in requests() {
        measure(&program, &zone, &asked, &mut work);
        println!(
            "  given up, side by side: {:?}; bytes, set emptied: {:?}",
            work.fallbacks(),
            work.memory()
        );
    }
    println!("given up, side by side: {:?}", work.fallbacks());
    if std::env::var_os("LOOP").is_some() {
        let all = requests();
        for _ in 0..20_000 {
            run(&program, &zone, &all[0], &mut work);
            run(&program, &zone, &all[1], &mut work);
        }
        return;
    }
    println!("each alone, on cold caches:");
    for asked in hostile() {
        measure(&program, &zone, &asked, &mut Workspace::default());
    }
}

fn touch(memory: &mut [u8]) {
    for line in memory.chunks_mut(64) {
        line[0] = line[0].wrapping_add(1);
    }
    std::hint::black_box(memory);
}

/// Bytes of other memory to touch between requests (`EVICT`, in KiB).
fn evicted() -> usize {
    let kib = std::env::var("EVICT")
        .ok()
        .and_then(|text| text.parse().ok());
    kib.unwrap_or(0usize) << 10
}

fn measure(program: &Program, zone: &Zone, asked: &Asked, work: &mut Workspace) {
    let began = Instant::now();
    let (cold, ids) = run(program, zone, asked, work);
    let first = began.elapsed();
    let mut least = first;
    let mut fuel = 0;
    let mut other = vec![0u8; evicted()];
    let rounds = if first.as_micros() > 3000 { 20 } else { 300 };
    for _ in 0..rounds {
        // What a kernel and a proxy do in between: other memory is in the nearest caches.
        touch(&mut other);
        let began = Instant::now();
        fuel = run(program, zone, asked, work).0;
        least = least.min(began.elapsed());
    }
    let unit = least.as_nanos() as f64 / fuel as f64;
    println!(
        "{:<28} {:>10.1} {:>10} {:>8.2} {:>10.1} {:>10} {:>8.2}  {:?}",
        asked.name,
        first.as_nanos() as f64 / 1e3,
        cold,
        first.as_nanos() as f64 / cold as f64,
        least.as_nanos() as f64 / 1e3,
        fuel,
        unit,
        ids.iter().take(6).collect::<Vec<_>>()
    );
}

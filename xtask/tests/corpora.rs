//! Replays what lies in `fuzz/corpus` through the functions that the fuzzer calls: what was found once stays found, and what
//! the functions ask holds of every seed. Making new bytes up is `scripts/fuzz`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a target's seeds may be in all, so that replaying them stays cheap.
const MOST_SEEDS: usize = 100;
const MOST_BYTES: usize = 200 * 1024;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

#[test]
fn every_seed_passes_what_the_fuzzer_asks() {
    let mut broken = Vec::new();
    for (target, asks) in fuzz::TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 10, "{target}: {} seeds only", seeds.len());
        assert!(seeds.len() <= MOST_SEEDS, "{target}: {} seeds", seeds.len());
        let bytes: usize = seeds.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= MOST_BYTES, "{target}: {bytes} bytes of seeds");
        for (path, bytes) in seeds {
            if catch_unwind(|| asks(&bytes)).is_err() {
                broken.push(path.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "what broke: {broken:#?}");
}

#[test]
fn every_target_has_a_corpus_and_a_door_and_no_more() {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "planted")
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}

/// What is asked would notice: no seed shows the planted mistake, and one byte more does.
#[test]
fn a_planted_mistake_is_noticed() {
    for (path, bytes) in seeds("h1_request") {
        let noticed = catch_unwind(|| fuzz::planted::requests(&bytes)).is_err();
        assert!(!noticed, "{}", path.display());
    }
    let smuggled = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +5\r\n\r\nhello";
    fuzz::h1::requests(smuggled);
    assert!(catch_unwind(|| fuzz::planted::requests(smuggled)).is_err());
}

/// The fuzzer itself: it is built and finds the planted mistake, beginning with the seeds of the healthy reader.
#[test]
#[ignore = "long: builds the fuzzer"]
fn the_fuzzer_finds_the_planted_mistake_within_a_minute() {
    let run = Command::new(root().join("../scripts/fuzz"))
        .args(["planted", "60"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{complaint}");
    let found = said.lines().find_map(|line| {
        let seconds = line.strip_prefix("planted: found after ")?;
        seconds.strip_suffix(" s")
    });
    let seconds = found.unwrap_or_else(|| panic!("{said}{complaint}"));
    println!("measured: the fuzzer finds a planted mistake after = {seconds} s");
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(root().join("corpus").join(target)).expect("a corpus");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let bytes = fs::read(&path).expect("a seed");
            (path, bytes)
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

//! The Core Rule Set's own regression tests, over real HTTP through `seawall up`: what is sent is what go-ftw would send, byte for byte,
//! and which rules matched is read from `Seawall-Waf-Rules`.
//!
//! The rule set is read from `CRS_DIR`, or from `../shared/crs` beside the repository; where neither is there, a line says so and
//! nothing is tested. `cargo xtask crs` plays all of them. Not here: the same tests offline (`crates/waf/tests/crs_regression.rs`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests fail as tests do, and each test uses some of them"
)]

#[path = "../../waf/tests/crs/ftw.rs"]
mod ftw;
#[path = "crs/origin.rs"]
mod origin;
#[path = "crs/otherwise.rs"]
mod otherwise;
#[path = "end_to_end/up.rs"]
mod up;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use otherwise::OTHERWISE;
use up::{Folder, Up, patience};

/// Tests that are played at once.
const AT_ONCE: usize = 4;

fn rules() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs");
    let folder = std::env::var_os("CRS_DIR").map_or(beside, PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: there is no rule set at {}; set CRS_DIR",
        folder.display()
    );
    None
}

/// A Seawall before the reflecting origin, with the set-up that the suite asks for; or without rules.
fn seawall(rules: Option<&PathBuf>) -> Up {
    let folder = Folder::new();
    let mut waf = String::new();
    if let Some(rules) = rules {
        let set = folder.join("crs");
        std::fs::create_dir(&set).unwrap();
        let setup = std::fs::read_to_string(rules.join("crs-setup.conf.example")).unwrap();
        std::fs::write(set.join("crs-setup.conf"), setup + "\n" + ftw::SETUP).unwrap();
        std::os::unix::fs::symlink(rules.join("rules"), set.join("rules")).unwrap();
        waf = format!(
            "[zone.waf]\nmode = \"watch\"\nruleset = \"{}\"\nparanoia = 4\nresponses = true\n\
             body_limit = \"1MiB\"\nresponse_limit = \"1MiB\"\ndebug_header = [\"127.0.0.0/8\"]\n",
            set.display()
        );
    }
    let config = format!(
        "schema = 1\n[[zone]]\nname = \"crs\"\nhosts = [\"*\"]\ncache = {{ mode = \"off\" }}\n\
         origin = [{{ url = \"http://{}\" }}]\n{waf}",
        origin::start()
    );
    folder.write("seawall.toml", &config);
    Up::edge_in(folder)
}

/// What came back: the status, 0 for nothing, and the rules that matched. Nobody but us asks this zone, and all at once: when it has used up
/// its share of fuel for this second it says so, and is asked again.
fn asked(at: SocketAddr, sent: &[u8]) -> (u16, BTreeSet<u64>) {
    let mut came = (503, BTreeSet::new());
    up::until("room in the zone's share", || {
        came = asked_once(at, sent);
        (came.0 != 503).then_some(())
    });
    came
}

fn asked_once(at: SocketAddr, sent: &[u8]) -> (u16, BTreeSet<u64>) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    // Who is refused early may be cut off while he still speaks.
    let _ = stream.write_all(sent);
    let mut got = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(n) => got.extend_from_slice(&piece[..n]),
        }
        if is_whole(&got) {
            break;
        }
    }
    let end = got.windows(4).position(|four| four == b"\r\n\r\n");
    let head = String::from_utf8_lossy(&got[..end.unwrap_or(got.len())]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
    let matched = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("seawall-waf-rules")
            .then_some(value)
    });
    let ids = matched.flat_map(|value| value.split(',').filter_map(|id| id.trim().parse().ok()));
    (status, ids.collect())
}

/// Whether a response with a length is there; what has none ends with its connection.
fn is_whole(got: &[u8]) -> bool {
    let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
    let length = head.split("\r\n").find_map(|line| {
        line.strip_prefix("content-length:")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    length.is_some_and(|length| got.len() >= end + 4 + length)
}

/// What is wrong with what came of a test; empty if nothing is.
fn judged(at: SocketAddr, test: &ftw::Test) -> String {
    let mut wrong = String::new();
    for stage in &test.stages {
        let (status, fired) = asked(at, &stage.sent);
        let log = fired.iter().map(|id| format!("[id \"{id}\"]\n")).collect();
        let played = ftw::Played {
            fired,
            log,
            fuel: 0,
            spent: false,
        };
        let said = match ftw::judge(stage, &played) {
            ftw::Judged::Pass => String::new(),
            ftw::Judged::Fail(what) => format!("{what} (status {status})"),
            ftw::Judged::Server => match stage.output["status"].as_i64() {
                Some(expected) if expected != i64::from(status) => {
                    format!("status {status}, not {expected}")
                }
                _ => String::new(),
            },
        };
        if !said.is_empty() {
            wrong = said;
        }
    }
    wrong
}

/// The names of the tests that fail, each with what is wrong.
fn failing(up: &Up, tests: &[&ftw::Test]) -> Vec<(String, String)> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let at = up.http();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = judged(at, test);
                    if !wrong.is_empty() {
                        failed.lock().unwrap().push((test.name.clone(), wrong));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    failed
}

fn play(step: usize) {
    let Some(rules) = rules() else { return };
    let all = ftw::all(&rules);
    assert_eq!(all.len(), 4966);
    let only = std::env::var("CRS_ONLY").ok();
    let chosen: Vec<&ftw::Test> = match &only {
        Some(only) => all
            .iter()
            .filter(|test| test.name.starts_with(only))
            .collect(),
        None => all.iter().step_by(step).collect(),
    };
    let up = seawall(Some(&rules));
    let failed = failing(&up, &chosen);
    println!("{} of {} pass", chosen.len() - failed.len(), chosen.len());
    for (name, wrong) in &failed {
        println!("FAIL {name}: {wrong}");
    }
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected: Vec<&str> = OTHERWISE.iter().map(|(name, _)| *name).collect();
    expected.retain(|name| chosen.iter().any(|test| test.name == *name));
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn a_sample_of_the_core_rule_sets_tests_passes() {
    play(10);
}

#[test]
#[ignore = "long: all of the rule set's tests over HTTP take some minutes"]
fn all_of_the_core_rule_sets_tests_pass() {
    play(1);
}

/// What judges has to be able to fail.
#[test]
fn without_rules_they_fail() {
    let Some(rules) = rules() else { return };
    let all = ftw::all(&rules);
    let chosen: Vec<&ftw::Test> = all.iter().step_by(50).collect();
    let up = seawall(None);
    let failed = failing(&up, &chosen);
    assert!(
        failed.len() * 10 > chosen.len() * 7,
        "{} fail",
        failed.len()
    );
}

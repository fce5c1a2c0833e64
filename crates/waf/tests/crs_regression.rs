//! The Core Rule Set's own regression tests, offline.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "helpers of tests fail as tests do, and each test uses some of them"
)]

#[path = "crs/mod.rs"]
mod crs;
#[path = "crs/ftw.rs"]
mod ftw;

use seawall_waf::{Options, RuleSet, Workspace, Zone};

/// Tests whose expectation is what Apache does, each with the reason why ours is another. The list may only shrink.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "920620-1",
        "Apache joins two Content-Type lines to one before rules see them; here rules see what was sent, as on nginx",
    ),
    (
        "921140-1",
        "a CR within a field's value: a server answers 400 (RFC 9110 §5.5) before any rule; offline the rule sees it, and fires",
    ),
];

/// Tests that say nothing of rules, but which status an HTTP server answers to a request that is none. They are played over HTTP.
const SERVER: &[(&str, &str)] = &[
    ("920100-2", "white space before the method"),
    ("920100-5", "a method that is none"),
    ("920100-8", "a colon in the path"),
    ("920100-11", "a request line that is none"),
    ("920100-12", "a request line that is none"),
    ("920100-13", "a request line that is none"),
    ("920100-15", "a request line that is none"),
    ("920160-1", "a Content-Length that is no number"),
    ("920160-2", "a Content-Length that is no number"),
    ("920160-3", "a Content-Length that is no number"),
    ("920160-5", "a Content-Length that is no number"),
    ("920270-4", "a NUL in Host"),
    ("920274-1", "an invalid Host"),
    ("920280-3", "no Host"),
    ("920290-1", "an empty Host"),
    ("920430-3", "a version that is none"),
    ("920430-6", "a version that is none"),
    ("920430-7", "a version that is none"),
    ("920430-9", "a version that is none"),
    ("920430-10", "a version that is none"),
    ("920610-2", "a fragment in the target"),
];

fn exceptions(list: &[(&'static str, &str)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

#[test]
fn a_sample_of_the_rule_sets_own_tests_passes() {
    play(10);
}

#[test]
#[ignore = "long: all of the rule set's tests take most of a minute"]
fn all_of_the_rule_sets_own_tests_pass() {
    play(1);
}

/// Whether the workspace is warmed first, as the edge does: `CRS_WARM=1`.
fn only_warm() -> bool {
    std::env::var_os("CRS_WARM").is_some()
}

/// Plays every so manieth test.
fn play(step: usize) {
    let Some(folder) = crs::folder() else { return };
    let Some(set) = crs::rules(ftw::SETUP) else {
        return;
    };
    let program = set
        .compile(Options { paranoia: 4 })
        .unwrap_or_else(|problems| panic!("{problems}"));
    let mut work = Workspace::default();
    if only_warm() {
        work.warm(&program);
    }
    let (mut passed, mut failed, mut server) = (0, Vec::new(), Vec::new());
    let mut dearest: Vec<(u64, &str)> = Vec::new();
    let tests = ftw::all(&folder);
    assert_eq!(tests.len(), 4966);
    let only = std::env::var("CRS_ONLY").ok();
    let chosen: Vec<_> = match &only {
        Some(only) => tests
            .iter()
            .filter(|test| test.name.starts_with(only))
            .collect(),
        None => tests.iter().step_by(step).collect(),
    };
    for test in &chosen {
        let mut wrong = String::new();
        let mut by_server = false;
        for stage in &test.stages {
            let played = ftw::play(&program, &Zone::default(), stage, &mut work);
            assert!(!played.spent);
            dearest.push((played.fuel, &test.name));
            if only.is_some() {
                println!(
                    "{}: {} units of fuel\n{}",
                    test.name, played.fuel, played.log
                );
            }
            match ftw::judge(stage, &played) {
                ftw::Judged::Pass => {}
                ftw::Judged::Server => by_server = true,
                ftw::Judged::Fail(what) => wrong = what,
            }
        }
        match (wrong.is_empty(), by_server) {
            (false, _) => failed.push(format!("{}: {wrong}", test.name)),
            (true, true) => server.push(test.name.as_str()),
            (true, false) => passed += 1,
        }
    }
    println!(
        "{passed} of {} pass, {} fail, {} need a server; texts given up and patterns side by side: {:?}",
        chosen.len(),
        failed.len(),
        server.len(),
        work.fallbacks()
    );
    dearest.sort_unstable_by_key(|(fuel, _)| std::cmp::Reverse(*fuel));
    dearest.truncate(8);
    println!("units of fuel that the dearest take: {dearest:?}");
    for line in &failed {
        println!("FAIL {line}");
    }
    let is_chosen = |name: &&str| chosen.iter().any(|test| test.name == *name);
    let names: Vec<&str> = failed
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    let expected: Vec<&str> = exceptions(OTHERWISE)
        .into_iter()
        .filter(is_chosen)
        .collect();
    assert_eq!(names, expected);
    let expected: Vec<&str> = exceptions(SERVER).into_iter().filter(is_chosen).collect();
    assert_eq!(server, expected);
}

/// What judges has to be able to fail: without rules only tests that expect nothing pass.
#[test]
fn without_rules_the_tests_fail() {
    let Some(folder) = crs::folder() else { return };
    let program = RuleSet::parse(&[], &|_| None)
        .unwrap()
        .compile(Options::default())
        .unwrap();
    let mut work = Workspace::default();
    let tests = ftw::all(&folder);
    let fails = |stage: &ftw::Stage, work: &mut Workspace| {
        let played = ftw::play(&program, &Zone::default(), stage, work);
        matches!(ftw::judge(stage, &played), ftw::Judged::Fail(_))
    };
    let failed = tests
        .iter()
        .filter(|test| test.stages.iter().any(|stage| fails(stage, &mut work)))
        .count();
    assert!((3900..4100).contains(&failed), "{failed}");
}

//! The Core Rule Set's own regression tests, offline.

#[path = "crs/mod.rs"]
mod crs;
#[path = "crs/ftw.rs"]
mod ftw;

use seawall_waf::{Options, Workspace, Zone};

#[test]
fn the_core_rule_set_passes_its_own_tests() {
    let Some(set) = crs::rules(ftw::SETUP) else {
        return;
    };
    let began = std::time::Instant::now();
    let program = set
        .compile(Options { paranoia: 4 })
        .unwrap_or_else(|problems| panic!("{problems}"));
    println!(
        "compiled in {:?}, {} KiB",
        began.elapsed(),
        program.memory() >> 10
    );
    let mut work = Workspace::default();
    let (mut passed, mut failed, mut server) = (0, Vec::new(), Vec::new());
    let (mut most, mut fuel) = (0, 0);
    let tests = ftw::all(&crs::folder().unwrap());
    let only = std::env::var("CRS_ONLY").ok();
    for test in &tests {
        if only
            .as_ref()
            .is_some_and(|only| !test.name.starts_with(only))
        {
            continue;
        }
        let mut wrong = String::new();
        let mut by_server = false;
        for stage in &test.stages {
            let played = ftw::play(&program, &Zone::default(), stage, &mut work);
            assert!(!played.spent);
            fuel += played.fuel;
            most = most.max(played.fuel);
            if only.is_some() {
                println!("{}:\n{}", test.name, played.log);
            }
            match ftw::judge(stage, &played) {
                ftw::Judged::Pass => {}
                ftw::Judged::Server => by_server = true,
                ftw::Judged::Fail(what) => wrong = what,
            }
        }
        if !wrong.is_empty() {
            failed.push(format!("{}: {wrong}", test.name));
        } else if by_server {
            server.push(test.name.clone());
        } else {
            passed += 1;
        }
    }
    println!(
        "{passed} of {} pass, {} fail, {} need a server: {}",
        tests.len(),
        failed.len(),
        server.len(),
        server.join(" ")
    );
    println!(
        "fuel: {} at most, {} on average; {:?}; given up {:?}",
        most,
        fuel / tests.len() as u64,
        began.elapsed(),
        work.fallbacks()
    );
    for line in &failed {
        println!("FAIL {line}");
    }
    if only.is_none() {
        assert!(failed.is_empty());
    }
}

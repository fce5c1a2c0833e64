//! Every scenario of `scenarios/`, played against the real binary over real sockets: one test for each area.
//!
//! `SEAWALL_SCENE=text` plays only files whose path contains the text; `SEAWALL_BIN` names another binary;
//! `SEAWALL_PATIENCE` is how long (in seconds) an event is waited for; `SEAWALL_KEEP=1` leaves the folders there.

#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use seawall_harness::folder::run_folder;

fn play(area: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../scenarios")
        .join(area);
    let report = run_folder(Path::new(env!("CARGO_BIN_EXE_seawall")), &folder)
        .expect("the folder can be read");
    println!("{area}: {report}");
    assert_eq!(report.failed(), 0, "{area}: {report}");
}

/// Areas whose scenarios need another binary: `sabotage` is played by the crate `saboteur`, against the edge with stages that
/// fail when they are told to.
const PLAYED_ELSEWHERE: &[&str] = &["sabotage"];

macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        $(#[test]
        fn $area() {
            play(stringify!($area));
        })*

        /// A folder that no test plays would be a promise that nobody keeps.
        #[test]
        fn every_area_is_played() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
            let mut found: Vec<String> = std::fs::read_dir(root)
                .expect("the folder can be read")
                .filter_map(Result::ok)
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| !PLAYED_ELSEWHERE.contains(&name.as_str()))
                .collect();
            found.sort();
            let mut played = vec![$(stringify!($area)),*];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

areas![
    balance, cache, errors, forwarding, framing, guard, h2, headers, health, life, reload, retry,
    routing, shares, slow, tls, tunnels
];

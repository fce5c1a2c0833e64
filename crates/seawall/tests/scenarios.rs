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
                .collect();
            found.sort();
            let mut played = vec![$(stringify!($area)),*];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

areas![
    errors, forwarding, framing, h2, headers, health, life, retry, routing, slow, tls, tunnels
];

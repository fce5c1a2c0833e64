//! The scenarios of `scenarios/sabotage`, played against the edge whose stages fail when they are told to.

#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use seawall_harness::folder::run_folder;

#[test]
fn sabotage() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/sabotage");
    let binary = Path::new(env!("CARGO_BIN_EXE_seawall-saboteur"));
    let report = run_folder(binary, &folder).expect("the folder can be read");
    println!("sabotage: {report}");
    assert_eq!(report.failed(), 0, "{report}");
}

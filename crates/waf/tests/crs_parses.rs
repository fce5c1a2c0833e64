//! All files of the OWASP Core Rule Set parse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "helpers of tests fail as tests do, and each test uses some of them"
)]

mod crs;

#[test]
fn the_core_rule_set_parses() {
    let Some(set) = crs::rules("") else { return };
    assert_eq!(set.rules(), 629 + 1);
}

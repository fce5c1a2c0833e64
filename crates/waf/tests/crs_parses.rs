//! All files of the OWASP Core Rule Set parse.

mod crs;

#[test]
fn the_core_rule_set_parses() {
    let Some(set) = crs::rules("") else { return };
    assert_eq!(set.rules(), 629 + 1);
}

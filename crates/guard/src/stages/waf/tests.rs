use super::DEF;
use crate::kit;
use crate::stages::places::Place;

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

fn place(more: &str) -> Place {
    Place::of(&DEF, &format!("[zone.waf]\nruleset = 'sample'\n{more}"))
}

#[test]
fn without_a_rule_set_there_is_no_such_stage() {
    assert!(Place::of(&DEF, "[zone.waf]\nmode = 'enforce'").is_unguarded());
    assert!(Place::of(&DEF, "[zone.waf]\nmode = 'off'\nruleset = 'none'").is_unguarded());
    assert!(!place("").is_unguarded());
}

#[test]
fn a_request_is_refused_by_its_head_and_by_its_body() {
    let place = place("");
    let sent = |body: &[u8], piece| place.sent(FORM, None, body, piece);
    assert_eq!(sent(b"q=1", 2), "");
    assert_eq!(sent(b"q=union%20select", 3), "403 waf/rule(1)");
    assert_eq!(sent(b"q=[[[[", 100), "400 waf/rule(2)");
    let bad = &[FORM[0], ("x-a", "/etc/passwd")];
    assert_eq!(place.sent(bad, Some(0), b"", 1), "403 waf/rule(1)");
}

#[test]
fn who_watches_refuses_nobody_and_tells() {
    let place = place("mode = 'watch'");
    assert_eq!(place.sent(FORM, None, b"q=union+select", 3), "waf/rule(1)?");
}

#[test]
fn a_body_beyond_the_limit_is_refused_or_looked_at_in_part() {
    let refuses = place("body_limit = '10B'");
    assert_eq!(refuses.sent(FORM, Some(11), b"", 1), "413 waf/too_long");
    assert_eq!(
        refuses.sent(FORM, None, b"q=123456789", 4),
        "413 waf/too_long"
    );
    assert_eq!(refuses.sent(FORM, None, b"q=12345678", 4), "");
    let passes = place("body_limit = '20B'\nlonger = 'pass'");
    let long = b"q=union+select&b=123456789";
    assert_eq!(passes.sent(FORM, Some(26), long, 7), "403 waf/rule(1)");
    let late = b"b=12345678901234567890&q=union+select";
    assert_eq!(passes.sent(FORM, None, late, 7), "waf/beginning");
}

#[test]
fn what_is_excepted_is_not_asked() {
    let by_target = place("[[zone.waf.exception]]\nrules = ['1']\ntargets = ['ARGS:q']");
    assert_eq!(by_target.sent(FORM, None, b"q=union+select", 9), "");
    assert_eq!(
        by_target.sent(FORM, None, b"p=union+select", 9),
        "403 waf/rule(1)"
    );
    let elsewhere = place("[[zone.waf.exception]]\ntags = ['attack-sample']\npaths = ['/x*']");
    assert_eq!(
        elsewhere.sent(FORM, None, b"q=union+select", 9),
        "403 waf/rule(1)"
    );
    let here = place("[[zone.waf.exception]]\ntags = ['attack-sample']\npaths = ['/*']");
    assert_eq!(here.sent(FORM, None, b"q=union+select", 9), "");
}

#[test]
fn what_is_wrong_is_told() {
    let wrong = |text: &str| Place::made(&DEF, &format!("[zone.waf]\n{text}"), true).problems;
    let none = wrong("ruleset = 'none'");
    assert!(
        none[0].starts_with("zone[0].waf.ruleset: none cannot be read"),
        "{none:?}"
    );
    let unknown = wrong("ruleset = 'sample'\n[[zone.waf.exception]]\nrules = ['99']");
    assert!(
        unknown[0].starts_with("zone[0].waf.exception[0]: no rule has the id"),
        "{unknown:?}"
    );
}

#[test]
fn zones_share_a_rule_set() {
    use crate::assemble::Files;
    let sets = crate::rule_sets::RuleSets::default();
    let (bytes, content) = kit::Samples.file("sample".as_ref()).unwrap();
    let one = sets.get(bytes, content, 1).unwrap();
    let again = sets.get(bytes, content, 1).unwrap();
    let other = sets.get(bytes, content, 4).unwrap();
    assert!(std::sync::Arc::ptr_eq(&one, &again) && !std::sync::Arc::ptr_eq(&one, &other));
}

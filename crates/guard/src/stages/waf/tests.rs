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
fn what_had_matched_before_the_fuel_ended_is_told() {
    let growing = "t:hexEncode,".repeat(9);
    let patches = format!(
        "patches = '''\nSecRule ARGS:a \"@streq 1\" \"id:7,phase:2,pass,log\"\n\
         SecRule ARGS \"@contains zz\" \"id:8,phase:2,pass,{growing}nolog\"\n'''\n"
    );
    let mut body = b"a=1&b=".to_vec();
    body.resize(100 << 10, b'x');
    let watches = place(&format!("mode = 'watch'\n{patches}"));
    assert_eq!(watches.sent(FORM, None, &body, 10_000), "waf/spent(7)?");
    let enforces = place(&patches);
    assert_eq!(enforces.sent(FORM, None, &body, 10_000), "403 waf/spent(7)");
    body.drain(..4);
    assert_eq!(enforces.sent(FORM, None, &body, 10_000), "403 waf/spent");
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
fn what_is_excepted_by_its_path_is_read_alike_by_all() {
    let place = place("[[zone.waf.exception]]\nrules = ['1']\npaths = ['/static/*', '/one']");
    let asked = |path: &str| {
        let target = format!("{path}?id=union+select");
        place.sent_to(&target, &[], Some(0), b"", 1)
    };
    assert_eq!(asked("/static/x"), "");
    assert_eq!(asked("/one"), "");
    for path in [
        "/api",
        "/api/user/..%2f..%2fstatic%2fx",
        "/api/user/..%5c..%5c..%5cstatic%5cx",
        "/api/..\\static/x",
        "/static/..;/api/user/1",
        "/static/%2e%2e;/api",
        "/static/%252e%252e/api",
        "/static/.%00./api",
        "/static%2fx",
        "//static/x",
        "/x/../one",
        "/%6fne",
    ] {
        assert_eq!(asked(path), "403 waf/rule(1)", "{path}");
    }
}

/// In gzip, stored and not compressed (RFC 1951 §3.2.4), so that no encoder is needed.
fn gzip(text: &[u8]) -> Vec<u8> {
    gzip_with(0, b"", text)
}

/// The same, with these flags and what they say is there behind the header (RFC 1952 §2.3.1).
fn gzip_with(flags: u8, more: &[u8], text: &[u8]) -> Vec<u8> {
    let length = text.len() as u16;
    let mut out = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    out.extend_from_slice(more);
    out.push(1);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(text);
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

#[test]
fn codings_are_taken_off_before_a_body_is_looked_at() {
    let refuses = place("body_limit = '64B'");
    let coded = |coding: &'static str| [FORM[0], ("content-encoding", coding)];
    let bad = gzip(b"q=union+select");
    assert_eq!(
        refuses.sent(&coded("gzip"), None, &bad, 5),
        "403 waf/rule(1)"
    );
    assert_eq!(refuses.sent(&coded("gzip"), None, &gzip(b"q=1"), 5), "");
    assert_eq!(
        refuses.sent(&coded("gzip"), None, b"q=union+select", 5),
        "415 waf/coded"
    );
    assert_eq!(
        refuses.sent(&coded("rot13"), None, b"q=1", 5),
        "415 waf/coded"
    );
    assert_eq!(refuses.sent(&coded("rot13"), Some(0), b"", 5), "");
    let passes = place("coded = 'pass'");
    assert_eq!(passes.sent(&coded("rot13"), None, b"q=1", 5), "waf/coded");
    assert_eq!(
        passes.sent(&coded("rot13"), None, b"q=union+select", 5),
        "403 waf/rule(1)"
    );
}

/// An origin that passes `Content-Encoding` over reads the coded bytes.
#[test]
fn what_a_coding_hides_is_looked_at_too() {
    let place = place("");
    let gzip_of = |body: &[u8]| place.sent(&[FORM[0], ("content-encoding", "gzip")], None, body, 9);
    let bad = b"&q=union select&z=\0";
    for (flags, more) in [
        (0x10, bad.to_vec()),
        (0x08, bad.to_vec()),
        (0x04, [&[19, 0][..], bad].concat()),
        (0x10, b"&q=union%20select&z=\0".to_vec()),
        (0x10, b"&q\x01=1&q[\x80]=union select&\0".to_vec()),
    ] {
        let body = gzip_with(flags, &more, b"q=1");
        assert_eq!(gzip_of(&body), "403 waf/rule(1)", "{flags} {more:?}");
        let empty = gzip_with(flags, &more, b"");
        assert_eq!(gzip_of(&empty), "403 waf/rule(1)", "{flags} {more:?}");
    }
    // A file's name, as gzip(1) writes it.
    assert_eq!(gzip_of(&gzip_with(0x08, b"form.txt\0", b"q=1")), "");
    assert_eq!(gzip_of(&[gzip(b"q=1"), gzip(b"&b=2")].concat()), "");
    // Behind the end there is nothing.
    let sent = |coding: &'static str, body: &[u8]| {
        let fields = [FORM[0], ("content-encoding", coding)];
        place.sent(&fields, None, body, 9)
    };
    let stored = b"\x01\x03\0\xfc\xffq=1";
    assert_eq!(sent("deflate", stored), "");
    let behind = [&stored[..], b"&b=2"].concat();
    assert_eq!(sent("deflate", &behind), "415 waf/coded");
    // What zstd skips (RFC 8878 §3.1.2), and a frame of one block as it is.
    let frame = b"\x28\xb5\x2f\xfd\x20\x03\x19\0\0q=1";
    assert_eq!(sent("zstd", frame), "");
    let skipped = [&b"\x50\x2a\x4d\x18\x13\0\0\0"[..], bad, frame].concat();
    assert_eq!(sent("zstd", &skipped), "403 waf/rule(1)");
    // One of two is taken off.
    let twice = gzip(&gzip_with(0x10, bad, b"q=1"));
    assert_eq!(sent("gzip, gzip", &twice), "403 waf/rule(1)");
}

#[test]
fn what_a_coding_hides_from_other_formats_is_looked_at_too() {
    let place = place("");
    let sent = |kind: &'static str, more: &[u8], text: &[u8]| {
        let fields = [("content-type", kind), ("content-encoding", "gzip")];
        let more = [&[more.len() as u8, 0][..], more].concat();
        place.sent(&fields, None, &gzip_with(0x04, &more, text), 9)
    };
    let part =
        b"\r\n--x1\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nunion select\r\n--x1--\r\n";
    let form = "multipart/form-data; boundary=x1";
    assert_eq!(sent(form, part, b"--x1--\r\n"), "403 waf/rule(1)");
    assert_eq!(sent(form, b"a name", b"--x1--\r\n"), "");
    assert_eq!(sent("text/plain", b"[[[[", b"a"), "400 waf/rule(2)");
    assert_eq!(sent("text/plain", b"[[[", b"["), "");
    assert_eq!(sent("application/json", b"[[[[", b"[1]"), "");
}

#[test]
fn methods_and_a_description_say_what_may_come() {
    let methods = place("methods = ['GET', 'HEAD']");
    assert_eq!(methods.asked("GET", "/", &[]).0, "");
    assert_eq!(methods.asked("PUT", "/", &[]).0, "405 waf/method");
    let watched = place("mode = 'watch'\nmethods = ['GET']");
    assert_eq!(watched.asked("PUT", "/", &[]).0, "waf/method?");
    let described = |more: &str| {
        let text = format!("[zone.waf.openapi]\nfile = 'openapi'\n{more}");
        Place::of(&DEF, &text)
    };
    let json = &[("content-type", "application/json")];
    let place = described("");
    assert_eq!(place.sent(json, None, b"{\"n\": 1}", 3), "");
    assert_eq!(
        place.sent(json, None, b"{\"n\": \"x\"}", 3),
        "400 waf/openapi(/n is of another type)"
    );
    assert_eq!(
        place.sent(FORM, None, b"n=1", 3),
        "415 waf/openapi(the type of the body is not described)"
    );
    assert_eq!(
        place.sent(json, Some(0), b"", 3),
        "400 waf/openapi(the body is not there)"
    );
    assert_eq!(
        described("mode = 'watch'").sent(json, None, b"[]", 3),
        "waf/openapi(/ is of another type)?"
    );
}

#[test]
fn what_is_described_is_a_path_that_all_read_alike() {
    let place = Place::of(&DEF, "[zone.waf.openapi]\nfile = 'openapi'");
    let json = &[("content-type", "application/json")];
    let asked = |target: &str| place.sent_to(target, json, None, b"{\"n\": 1}", 3);
    assert_eq!(asked("/"), "");
    assert_eq!(asked("/?a=..%2f"), "");
    for target in [
        "//",
        "/.",
        "/admin/..",
        "/admin/..%2f",
        "/admin\\..\\",
        "/%2e",
    ] {
        let told = "404 waf/openapi(the path can be read in several ways)";
        assert_eq!(asked(target), told, "{target}");
    }
    let other = "404 waf/openapi(the path is not described)";
    assert_eq!(asked("/admin"), other);
}

#[test]
fn a_shadow_tells_what_it_would_do() {
    let place = place("mode = 'watch'\n[zone.waf.shadow]\nruleset = 'sample'");
    assert_eq!(
        place.sent(FORM, None, b"q=union+select", 3),
        "waf/rule(1)? waf/shadow(1;would=403)?"
    );
    let alone = Place::of(&DEF, "[zone.waf.shadow]\nruleset = 'sample'");
    assert_eq!(
        alone.sent(FORM, None, b"q=union+select", 3),
        "waf/shadow(1;would=403)?"
    );
    assert_eq!(alone.sent(FORM, None, b"q=1", 3), "");
}

#[test]
fn a_patch_refuses_at_once_and_is_wrong_by_its_lines() {
    let patch =
        "patches = '''\nSecRule ARGS:q \"@streq zero day\" \"id:77,phase:2,deny,t:none\"\n'''";
    let place = place(patch);
    let day = b"q=zero+day";
    assert_eq!(place.sent(FORM, None, day, 3), "403 waf/rule(77)");
    let old = b"q=union+select";
    assert_eq!(place.sent(FORM, None, old, 3), "403 waf/rule(1)");
    let alone = Place::of(&DEF, &format!("[zone.waf]\n{patch}"));
    assert_eq!(alone.sent(FORM, None, day, 3), "403 waf/rule(77)");
    assert_eq!(alone.sent(FORM, None, old, 3), "");
    let wrong = "[zone.waf]\nruleset = 'sample'\npatches = '''\nSecRule ARGS:q\n'''";
    let wrong = Place::made(&DEF, wrong, true).problems;
    assert!(
        wrong[0].starts_with("zone[0].waf.patches: patches:"),
        "{wrong:?}"
    );
}

#[test]
fn what_rules_keep_outlives_a_request() {
    let place = Place::of(
        &DEF,
        "[zone.waf]\npatches = '''\n\
         SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}\"\n\
         SecRule IP:count \"@ge 2\" \"id:2,phase:1,deny,status:429,t:none\"\n\
         SecAction \"id:3,phase:1,pass,nolog,setvar:ip.count=+1,expirevar:ip.count=60\"\n'''",
    );
    let sent = || place.sent(FORM, Some(0), b"", 1);
    assert_eq!([sent(), sent(), sent()], ["", "", "429 waf/rule(2)"]);
}

#[test]
fn events_show_what_matched_and_no_secrets() {
    let place = place("events = 2");
    place.sent(FORM, None, b"q=1", 30);
    place.sent(FORM, None, b"q=1+union+select+2", 30);
    place.sent(FORM, None, b"password=hunter2+union+select", 30);
    let (events, left_out) = place.guard.states().waf_events.last(Some("a.test"), 10);
    let values: Vec<_> = events
        .iter()
        .map(|event| {
            let found = &event.matches[0];
            (event.status, found.variable.as_str(), found.value.as_str())
        })
        .collect();
    assert_eq!(
        (values, left_out),
        (
            vec![
                (403, "ARGS:password", "******* ***** ******"),
                (403, "ARGS:q", "1 union select 2")
            ],
            0
        )
    );
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
    let one = sets.get(bytes, content, 1, "").unwrap();
    let again = sets.get(bytes, content, 1, "").unwrap();
    let other = sets.get(bytes, content, 4, "").unwrap();
    assert!(std::sync::Arc::ptr_eq(&one, &again) && !std::sync::Arc::ptr_eq(&one, &other));
}

//! What a 304, a HEAD and an unsafe request make of what is stored.

use super::*;

fn stored(lines: Lines<'_>) -> crate::head::Head {
    let mut all = vec![("Cache-Control", "max-age=2"), ("Date", "@-100")];
    all.extend_from_slice(lines);
    let mut answer = response(200, &all);
    answer.fields.push(b"x-same", b"1");
    kept(&get(&[]), &answer, &Plan::STANDARD).unwrap().head
}

fn freshened(head: &crate::head::Head, lines: Lines<'_>) -> Freshened {
    let (request, response) = (get(&[]), response(304, lines));
    freshen(
        head,
        &Answer {
            request: &request,
            response: &response,
            plan: &Plan::STANDARD,
            times: AT_ONCE,
        },
    )
}

#[track_caller]
fn updated(head: &crate::head::Head, lines: Lines<'_>) -> Kept {
    match freshened(head, lines) {
        Freshened::Updated(kept) => *kept,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_304_replaces_all_fields_but_those_about_the_bytes() {
    let tag = ("ETag", "\"a\"");
    for (name, old, new, wanted) in [
        ("Test-Header", "A", "B", "B"),
        ("X-Test-Header", "A", "B", "B"),
        ("Content-Foo", "A", "B", "B"),
        ("Cache-Control", "max-age=1", "max-age=3600", "max-age=3600"),
        ("Content-Encoding", "A", "B", "A"),
        ("Content-Length", "5", "10", "5"),
        ("Content-Location", "/foo", "/bar", "/bar"),
        ("Content-MD5", "A", "B", "A"),
        // Of what comes with a 304 the digest is that of nothing.
        ("Content-Digest", "A", "B", "A"),
        ("Repr-Digest", "A", "B", "A"),
        ("Digest", "A", "B", "A"),
        ("Content-Range", "A", "B", "A"),
        ("Content-Security-Policy", "A", "B", "B"),
        ("Content-Type", "text/plain", "text/html", "text/html"),
        ("Clear-Site-Data", "A", "B", "B"),
        ("Expires", "@-5", "@5", "@5"),
        ("Public-Key-Pins", "A", "B", "B"),
        ("X-Frame-Options", "deny", "sameorigin", "sameorigin"),
        ("X-XSS-Protection", "1", "1; mode=block", "1; mode=block"),
    ] {
        let mut answer = response(200, &[tag, (name, old)]);
        answer.fields.push(b"CDN-Cache-Control", b"max-age=2");
        let head = kept(&get(&[]), &answer, &Plan::STANDARD).unwrap().head;
        let kept = updated(&head, &[tag, (name, new)]);
        let got = kept.head.only(name.as_bytes());
        assert_eq!(
            got,
            Some(&value(wanted)[..]),
            "304-etag-update-response-{name}"
        );
    }
}

#[test]
fn what_a_304_omits_stays_and_its_time_begins_anew() {
    let head = stored(&[("Last-Modified", "@-500"), ("Test-Header", "A")]);
    let kept = updated(&head, &[("Last-Modified", "@-500"), ("Date", "@0")]);
    assert_eq!(
        kept.head.only(b"test-header"),
        Some(&b"A"[..]),
        "304-lm-use-stored-Test-Header"
    );
    assert_eq!(kept.head.only(b"x-same"), Some(&b"1"[..]));
    assert_eq!(kept.head.only(b"date"), Some(&value("@0")[..]));
    assert_eq!(kept.life.age(NOW), 0);
    // Without a date it is of now, and with an age it is that old.
    let kept = updated(&head, &[("Age", "7")]);
    assert_eq!(kept.head.only(b"date"), Some(&value("@0")[..]));
    assert_eq!(kept.life.age(NOW), 7_000);
    assert!(kept.head.named(b"age").is_none());
    // What is named in Connection ends here, and so replaces nothing.
    let kept = updated(&head, &[("Connection", "x-same"), ("x-same", "2")]);
    assert_eq!(kept.head.only(b"x-same"), Some(&b"1"[..]));
    // Several lines replace several.
    let two = stored(&[("Link", "a"), ("Link", "b"), ("ETag", "\"a\"")]);
    let kept = updated(&two, &[("link", "c"), ("Link", "d")]);
    let links: Vec<_> = kept
        .head
        .iter()
        .filter(|(_, name, _)| name.eq_ignore_ascii_case(b"link"))
        .map(|(_, _, value)| value)
        .collect();
    assert_eq!(links, [b"c", b"d"]);
}

#[test]
fn a_304_about_other_content_updates_nothing() {
    let both = stored(&[("ETag", "\"a\""), ("Last-Modified", "@-500")]);
    for lines in [
        &[("ETag", "\"b\"")][..],
        &[("ETag", "W/\"b\"")],
        &[("Last-Modified", "@-400")],
    ] {
        assert!(
            matches!(freshened(&both, lines), Freshened::Mismatch),
            "{lines:?}"
        );
    }
    for lines in [&[("ETag", "\"a\"")][..], &[("ETag", "W/\"a\"")], &[]] {
        assert!(
            matches!(freshened(&both, lines), Freshened::Updated(_)),
            "{lines:?}"
        );
    }
}

#[test]
fn what_a_304_forbids_is_served_once() {
    let head = stored(&[("ETag", "\"a\"")]);
    for lines in [
        &[("Cache-Control", "no-store")][..],
        &[("Cache-Control", "private")],
        &[("Vary", "*")],
        &[("Set-Cookie", "a=b")],
    ] {
        let Freshened::Once(head, refused) = freshened(&head, lines) else {
            panic!("{lines:?}");
        };
        assert!(!refused.is_of_request(), "it is so for all: {lines:?}");
        assert_eq!(refused.again(false), Again::Everybody);
        assert_eq!(
            head.only(lines[0].0.as_bytes()),
            Some(lines[0].1.as_bytes())
        );
    }
}

/// What one client asks for is not for all to be without.
#[test]
fn what_a_request_forbids_says_nothing_of_what_is_stored() {
    let head = stored(&[("ETag", "\"a\"")]);
    let tag = [("ETag", "\"a\""), ("Cache-Control", "max-age=9")];
    for own in [("Authorization", "x"), ("Cache-Control", "no-store")] {
        let (request, response) = (get(&[own]), response(304, &tag));
        let answer = Answer {
            request: &request,
            response: &response,
            plan: &Plan::STANDARD,
            times: AT_ONCE,
        };
        let Freshened::Once(_, refused) = freshen(&head, &answer) else {
            panic!("{own:?}");
        };
        assert!(refused.is_of_request(), "{own:?}");
        assert_ne!(refused.again(false), Again::Everybody, "{own:?}");
        let unrelated = by_head_of(&[own], &head, 200, &tag);
        assert!(matches!(unrelated, HeadUpdate::Unrelated), "{own:?}");
    }
    assert_eq!(Refused::Private.again(true), Again::WithCredentials);
}

#[test]
fn a_digest_of_nothing_does_not_come_beside_a_body() {
    let head = stored(&[("ETag", "\"a\""), ("Content-Digest", "sha-256=:AAAA:")]);
    let lines = [
        ("ETag", "\"a\""),
        ("Cache-Control", "max-age=9"),
        ("Content-Digest", "sha-256=:BBBB:"),
        ("Repr-Digest", "sha-256=:CCCC:"),
    ];
    let HeadUpdate::Updated(kept) = by_head(&head, 200, &lines) else {
        panic!("it is the same");
    };
    let digest = kept.head.only(b"content-digest");
    assert_eq!(digest, Some(&b"sha-256=:AAAA:"[..]));
    // Nor does one come to be there that the bytes came without.
    assert_eq!(kept.head.only(b"repr-digest"), None);
}

fn by_head(head: &crate::head::Head, status: u16, lines: Lines<'_>) -> HeadUpdate {
    by_head_of(&[], head, status, lines)
}

fn by_head_of(
    own: Lines<'_>,
    head: &crate::head::Head,
    status: u16,
    lines: Lines<'_>,
) -> HeadUpdate {
    let (request, response) = (request("HEAD", "/x", own), response(status, lines));
    update_by_head(
        head,
        &Answer {
            request: &request,
            response: &response,
            plan: &Plan::STANDARD,
            times: AT_ONCE,
        },
    )
}

#[test]
fn a_head_updates_what_it_agrees_with() {
    let head = stored(&[
        ("ETag", "\"a\""),
        ("Content-Length", "3"),
        ("Template-A", "1"),
    ]);
    let HeadUpdate::Updated(kept) = by_head(
        &head,
        200,
        &[
            ("Template-A", "2"),
            ("Cache-Control", "max-age=1000"),
            ("Content-Length", "3"),
        ],
    ) else {
        panic!();
    };
    assert_eq!(kept.head.only(b"template-a"), Some(&b"2"[..]));
    assert_eq!(kept.life.lifetime, 1_000);
    for lines in [
        &[("ETag", "\"b\"")][..],
        &[("Content-Length", "4")],
        &[("Last-Modified", "@0")],
        &[("Cache-Control", "no-store")],
    ] {
        assert!(
            matches!(by_head(&head, 200, lines), HeadUpdate::Outdated),
            "{lines:?}"
        );
    }
    // Nothing says that it is of the same content.
    let bare = stored(&[("ETag", "\"a\"")]);
    let fresh = response(200, &[("Cache-Control", "max-age=2000"), ("Date", "@-100")]);
    let nothing = super::kept(&get(&[]), &fresh, &Plan::STANDARD)
        .unwrap()
        .head;
    for (head, lines) in [
        (&head, &[("Cache-Control", "max-age=1000")][..]),
        (&bare, &[]),
        (&nothing, &[]),
    ] {
        assert!(
            matches!(by_head(head, 200, lines), HeadUpdate::Unrelated),
            "{lines:?}"
        );
    }
    for status in [204, 304, 404, 410, 500] {
        assert!(
            matches!(by_head(&head, status, &[]), HeadUpdate::Unrelated),
            "{status}"
        );
    }
}

#[test]
fn unsafe_requests_that_did_not_fail_invalidate() {
    for (method, status, does) in [
        (Method::Post, 200, true),
        (Method::Post, 303, true),
        (Method::Put, 204, true),
        (Method::Delete, 200, true),
        (Method::Patch, 200, true),
        (Method::Other, 200, true),
        (Method::Post, 500, false),
        (Method::Put, 404, false),
        (Method::Other, 500, false),
        (Method::Get, 200, false),
        (Method::Head, 200, false),
        (Method::Options, 200, false),
        (Method::Trace, 200, false),
    ] {
        assert_eq!(invalidates(method, status), does, "{method:?} {status}");
    }
}

#[test]
fn what_an_answer_names_on_its_own_origin_is_invalid_too() {
    let asked = request("POST", "/a/b?c", &[]);
    let of = |location: &str, content: &str| -> Vec<String> {
        let answer = response(
            200,
            &[("Location", location), ("Content-Location", content)],
        );
        invalidated(&asked, b"https", &answer.fields)
            .into_iter()
            .map(|target| String::from_utf8(target.into()).unwrap())
            .collect()
    };
    assert_eq!(of("/x", "y"), ["/a/b?c", "/x", "/a/y"]);
    assert_eq!(
        of("https://A.test:443/x?y#z", "//a.test"),
        ["/a/b?c", "/x?y", "/"]
    );
    assert_eq!(of("../x", "?q"), ["/a/b?c", "/x", "/a/b?q"]);
    assert_eq!(of("HTTPS://a.test?q", "#z"), ["/a/b?c", "/?q"]);
    // Not of others, and not of another scheme.
    for other in [
        "https://b.test/x",
        "http://a.test/x",
        "//b.test/x",
        "mailto:x",
        "https://a.test:8443/x",
        "https://u@a.test/x",
    ] {
        assert_eq!(of(other, ""), ["/a/b?c"], "{other}");
    }
}

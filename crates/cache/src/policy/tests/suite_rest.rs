//! What the public suite asks beside freshness: targeted fields, statuses, heuristics, authorization, selection, advice.

use super::Outcome::{Cached, Fetched};
use super::*;

#[test]
fn directives_for_cdns() {
    check(&[
        (
            "cdn-max-age",
            &[("CDN-Cache-Control", "max-age=3600")],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-max",
            &[("CDN-Cache-Control", "max-age=2147483648")],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-max-plus",
            &[("CDN-Cache-Control", "max-age=99999999999")],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-age",
            &[
                ("Date", "@0"),
                ("CDN-Cache-Control", "max-age=3600"),
                ("Age", "7200"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "cdn-max-age-0",
            &[("CDN-Cache-Control", "max-age=0")],
            PAUSE,
            Fetched,
        ),
        (
            "cdn-max-age-extension",
            &[("CDN-Cache-Control", "foobar, max-age=3600")],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-expires",
            &[
                ("CDN-Cache-Control", "max-age=3600"),
                ("Expires", "@-10000"),
                ("Date", "@0"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-0-expires",
            &[
                ("CDN-Cache-Control", "max-age=0"),
                ("Expires", "@10000"),
                ("Date", "@0"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "cdn-max-age-short-cc-max-age",
            &[
                ("Cache-Control", "max-age=1"),
                ("CDN-Cache-Control", "max-age=3600"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "cdn-max-age-long-cc-max-age",
            &[
                ("Cache-Control", "max-age=3600"),
                ("CDN-Cache-Control", "max-age=1"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "cdn-private",
            &[
                ("CDN-Cache-Control", "private"),
                ("Cache-Control", "max-age=10000"),
            ],
            0,
            Fetched,
        ),
        (
            "cdn-no-cache",
            &[
                ("CDN-Cache-Control", "no-cache"),
                ("Cache-Control", "max-age=10000"),
                ("Expires", "@10000"),
            ],
            0,
            Fetched,
        ),
        (
            "cdn-no-store-cc-fresh",
            &[
                ("CDN-Cache-Control", "no-store"),
                ("Cache-Control", "max-age=10000"),
            ],
            0,
            Fetched,
        ),
        (
            "cdn-fresh-cc-nostore",
            &[
                ("CDN-Cache-Control", "max-age=10000"),
                ("Cache-Control", "no-store"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "cdn-cc-invalid-sh-type-unknown",
            &[
                ("CDN-Cache-Control", "max-age=10000, &&&&&"),
                ("Cache-Control", "no-store"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "cdn-cc-invalid-sh-type-wrong",
            &[
                ("CDN-Cache-Control", "max-age=\"10000\""),
                ("Cache-Control", "no-store"),
            ],
            PAUSE,
            Fetched,
        ),
    ]);
}

#[test]
fn statuses_with_and_without_lifetimes() {
    let fresh = [
        ("Expires", "@100000"),
        ("Last-Modified", "@0"),
        ("Date", "@0"),
    ];
    let stale = [
        ("Expires", "@-5000"),
        ("Last-Modified", "@-100000"),
        ("Date", "@0"),
    ];
    for status in [
        200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599,
    ] {
        let of = |lines| {
            second(
                &get(&[]),
                &response(status, lines),
                0,
                &get(&[]),
                &Plan::STANDARD,
            )
        };
        assert_eq!(of(&fresh), Cached, "status-{status}-fresh");
        assert_ne!(of(&stale), Cached, "status-{status}-stale");
    }
    let answer = response(599, &[("Cache-Control", "max-age=3600, must-understand")]);
    let got = second(&get(&[]), &answer, 0, &get(&[]), &Plan::STANDARD);
    assert_eq!(got, Fetched, "status-599-must-understand");
}

#[test]
fn heuristics_only_where_asked_for() {
    let asked = Plan {
        heuristics: true,
        ..Plan::STANDARD
    };
    let lines = [("Last-Modified", "@-86400"), ("Date", "@0")];
    for (status, outcome) in [
        (200, Cached),
        (201, Fetched),
        (202, Fetched),
        (203, Cached),
        (204, Cached),
        (403, Fetched),
        (404, Cached),
        (405, Cached),
        (410, Cached),
        (414, Cached),
        (501, Cached),
        (502, Fetched),
        (503, Fetched),
        (504, Fetched),
        (599, Fetched),
    ] {
        let of = |plan| second(&get(&[]), &response(status, &lines), PAUSE, &get(&[]), plan);
        assert_eq!(of(&asked), outcome, "heuristic-{status}");
        assert_eq!(
            of(&Plan::STANDARD),
            Fetched,
            "heuristic-{status}, not asked for"
        );
    }
    let public = [
        ("Last-Modified", "@-86400"),
        ("Date", "@0"),
        ("Cache-Control", "public"),
    ];
    let of = |plan| second(&get(&[]), &response(599, &public), 0, &get(&[]), plan);
    assert_eq!(of(&asked), Cached, "heuristic-599-cached");
    for (delta, outcome) in [(5, Fetched), (30, Fetched), (60, Cached), (86_400, Cached)] {
        let modified = format!("@-{delta}");
        let lines = [("Last-Modified", modified.as_str()), ("Date", "@0")];
        let got = second(&get(&[]), &response(200, &lines), PAUSE, &get(&[]), &asked);
        assert_eq!(got == Cached, outcome == Cached, "heuristic-delta-{delta}");
    }
}

#[test]
fn authorization() {
    let first = get(&[("Authorization", "FOO")]);
    for (name, control, outcome) in [
        ("other-authorization", "max-age=3600", Fetched),
        ("other-authorization-public", "max-age=3600, public", Cached),
        (
            "other-authorization-must-revalidate",
            "max-age=3600, must-revalidate",
            Cached,
        ),
        ("other-authorization-smaxage", "s-maxage=3600", Cached),
    ] {
        let answer = response(200, &[("Cache-Control", control), ("Date", "@0")]);
        let got = second(&first, &answer, PAUSE, &get(&[]), &Plan::STANDARD);
        assert_eq!(got, outcome, "{name}");
        // The edge adds an identity: the same.
        let plan = Plan {
            has_identity: true,
            ..Plan::STANDARD
        };
        assert_eq!(second(&get(&[]), &answer, PAUSE, &get(&[]), &plan), outcome);
    }
}

#[test]
fn vary() {
    let base = [
        ("Expires", "@5000"),
        ("Last-Modified", "@-3000"),
        ("Date", "@0"),
    ];
    let rows: &[(&str, &[&str], Lines<'_>, Lines<'_>, Outcome)] = &[
        (
            "vary-match",
            &["Foo"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Cached,
        ),
        (
            "vary-no-match",
            &["Foo"],
            &[("Foo", "1")],
            &[("Foo", "2")],
            Fetched,
        ),
        ("vary-omit-stored", &["Foo"], &[], &[("Foo", "1")], Fetched),
        ("vary-omit", &["Foo"], &[("Foo", "1")], &[], Fetched),
        (
            "vary-cache-key",
            &["Foo"],
            &[("Foo", "1"), ("Other", "2")],
            &[("Foo", "1"), ("Other", "3")],
            Cached,
        ),
        (
            "vary-2-match",
            &["Foo, Bar"],
            &[("Foo", "1"), ("Bar", "a")],
            &[("Foo", "1"), ("Bar", "a")],
            Cached,
        ),
        (
            "vary-2-no-match",
            &["Foo, Bar"],
            &[("Foo", "1"), ("Bar", "a")],
            &[("Foo", "2"), ("Bar", "a")],
            Fetched,
        ),
        (
            "vary-2-match-omit",
            &["Foo, Bar"],
            &[("Foo", "1")],
            &[],
            Fetched,
        ),
        (
            "vary-3-match",
            &["Foo, Bar, Baz"],
            &[("Foo", "1"), ("Bar", "a"), ("Baz", "7")],
            &[("Foo", "1"), ("Bar", "a"), ("Baz", "7")],
            Cached,
        ),
        (
            "vary-3-order",
            &["Foo, Bar, Baz"],
            &[("Foo", "1"), ("Bar", "a4"), ("Baz", "7")],
            &[("Foo", "1"), ("Bar", "a"), ("Baz", "7")],
            Fetched,
        ),
        (
            "vary-3-omit",
            &["Foo, Bar, Baz"],
            &[("Foo", "1"), ("Baz", "7")],
            &[("Foo", "1"), ("Baz", "7")],
            Cached,
        ),
        (
            "vary-normalise-combine",
            &["Foo"],
            &[("Foo", "1, 2")],
            &[("Foo", "1"), ("Foo", "2")],
            Cached,
        ),
        (
            "vary-normalise-lang-order",
            &["Accept-Language"],
            &[("Accept-Language", "en, de")],
            &[("Accept-Language", "de, en")],
            Cached,
        ),
        (
            "vary-normalise-lang-case",
            &["Accept-Language"],
            &[("Accept-Language", "en, de")],
            &[("Accept-Language", "eN, De")],
            Cached,
        ),
        (
            "vary-normalise-lang-space",
            &["Accept-Language"],
            &[("Accept-Language", "en, de")],
            &[("Accept-Language", " en ,   de")],
            Cached,
        ),
        (
            "vary-normalise-space",
            &["Foo"],
            &[("Foo", "1,2")],
            &[("Foo", " 1, 2 ")],
            Cached,
        ),
        (
            "vary-syntax-star",
            &["*"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-star-star",
            &["*, *"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-star-star-lines",
            &["*", "*"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-empty-star",
            &[", *"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-empty-star-lines",
            &["", "*"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-star-foo",
            &["*, Foo"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "vary-syntax-foo-star",
            &["Foo, *"],
            &[("Foo", "1")],
            &[("Foo", "1")],
            Fetched,
        ),
        (
            "two lines",
            &["Foo", "Bar"],
            &[("Foo", "1"), ("Bar", "2")],
            &[("Foo", "1"), ("Bar", "3")],
            Fetched,
        ),
    ];
    for (name, vary, first, then, outcome) in rows {
        let mut lines = base.to_vec();
        lines.extend(vary.iter().map(|vary| ("Vary", *vary)));
        let got = second(
            &get(first),
            &response(200, &lines),
            0,
            &get(then),
            &Plan::STANDARD,
        );
        assert_eq!(got, *outcome, "{name}");
    }
}

#[test]
fn advice_is_followed_where_it_harms_nobody() {
    let all = Plan {
        advice: Advice::All,
        ..Plan::STANDARD
    };
    let fresh = [("Cache-Control", "max-age=3600"), ("ETag", "\"a\"")];
    let rows: &[(&str, Lines<'_>, u64, Lines<'_>, bool)] = &[
        (
            "ccreq-ma0",
            &fresh,
            PAUSE,
            &[("Cache-Control", "max-age=0")],
            false,
        ),
        (
            "ccreq-ma1",
            &fresh,
            PAUSE,
            &[("Cache-Control", "max-age=1")],
            false,
        ),
        (
            "ccreq-magreaterage",
            &[("Cache-Control", "max-age=3600"), ("Age", "1800")],
            0,
            &[("Cache-Control", "max-age=600")],
            false,
        ),
        (
            "ccreq-max-stale",
            &[("Cache-Control", "max-age=1"), ("ETag", "x")],
            PAUSE,
            &[("Cache-Control", "max-stale=1000")],
            true,
        ),
        (
            "ccreq-max-stale-age",
            &[
                ("Cache-Control", "max-age=1500"),
                ("ETag", "x"),
                ("Age", "2000"),
            ],
            0,
            &[("Cache-Control", "max-stale=1000")],
            true,
        ),
        (
            "ccreq-min-fresh",
            &[("Cache-Control", "max-age=1500")],
            0,
            &[("Cache-Control", "min-fresh=2000")],
            false,
        ),
        (
            "ccreq-min-fresh-age",
            &[("Cache-Control", "max-age=1500"), ("Age", "1000")],
            0,
            &[("Cache-Control", "min-fresh=1000")],
            false,
        ),
        (
            "ccreq-no-cache",
            &fresh,
            0,
            &[("Cache-Control", "no-cache")],
            false,
        ),
        (
            "pragma-request-no-cache",
            &fresh,
            0,
            &[("Pragma", "no-cache")],
            false,
        ),
    ];
    for (name, lines, wait, then, cached) in rows {
        let of = |plan| second(&get(&[]), &response(200, lines), *wait, &get(then), plan) == Cached;
        assert_eq!(of(&all), *cached, "{name}");
        // Nobody can make the origin work by asking for it, nor get what is stale.
        let is_fresh = lines
            .iter()
            .all(|(name, value)| *name != "Cache-Control" || *value != "max-age=1");
        let is_stale = *name == "ccreq-max-stale-age" || !is_fresh;
        assert_eq!(of(&Plan::STANDARD), !is_stale, "{name}, harmless only");
    }
    let no_store = get(&[("Cache-Control", "no-store")]);
    let answer = response(200, &fresh);
    assert!(matches!(
        kept(&no_store, &answer, &Plan::STANDARD),
        Err(Refused::RequestNoStore)
    ));
    let only = get(&[("Cache-Control", "only-if-cached")]);
    assert!(advice(&only, &Plan::STANDARD).only_if_cached, "ccreq-oic");
    let immutable = [("Cache-Control", "max-age=3600, immutable"), ("ETag", "x")];
    let reload = |value| {
        second(
            &get(&[]),
            &response(200, &immutable),
            PAUSE,
            &get(&[("Cache-Control", value)]),
            &all,
        )
    };
    assert_eq!(reload("max-age=0"), Cached, "RFC 8246 §2.1");
    assert_ne!(reload("no-cache"), Cached, "RFC 8246 §2.1");
}

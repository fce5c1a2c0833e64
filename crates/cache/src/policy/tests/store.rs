//! What is stored, and what of it.

use super::*;

fn refused(status: u16, lines: Lines<'_>) -> Option<Refused> {
    kept(&get(&[]), &response(status, lines), &Plan::STANDARD).err()
}

fn names(head: &crate::head::Head) -> Vec<String> {
    head.iter()
        .map(|(_, name, _)| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

#[test]
fn each_reason_not_to_store() {
    let max_age = ("Cache-Control", "max-age=3600");
    for (status, lines, reason) in [
        (200, &[][..], Some(Refused::NoLifetime)),
        (200, &[("ETag", "\"a\"")], Some(Refused::NoLifetime)),
        (
            200,
            &[("Last-Modified", "@-100")],
            Some(Refused::NoLifetime),
        ),
        (200, &[max_age], None),
        (
            200,
            &[("Cache-Control", "max-age=0")],
            Some(Refused::Useless),
        ),
        (
            200,
            &[("Cache-Control", "max-age=0"), ("ETag", "\"a\"")],
            None,
        ),
        (
            200,
            &[("Cache-Control", "no-cache")],
            Some(Refused::Useless),
        ),
        (
            200,
            &[("Cache-Control", "no-cache, stale-if-error=60")],
            Some(Refused::Useless),
        ),
        (
            200,
            &[("Cache-Control", "max-age=0, stale-while-revalidate=60")],
            None,
        ),
        (200, &[("Cache-Control", "public"), ("ETag", "\"a\"")], None),
        (
            200,
            &[max_age, ("Set-Cookie", "a=b")],
            Some(Refused::SetCookie),
        ),
        (
            200,
            &[max_age, ("Vary", "*")],
            Some(Refused::Vary(VaryRefused::Anything)),
        ),
        (
            200,
            &[("Cache-Control", "no-store")],
            Some(Refused::NoStore),
        ),
        (200, &[("Cache-Control", "private")], Some(Refused::Private)),
        (
            200,
            &[("Cache-Control", "max-age=1, must-understand, no-store")],
            None,
        ),
        (
            299,
            &[("Cache-Control", "max-age=1, must-understand, no-store")],
            Some(Refused::Status),
        ),
        (206, &[max_age], Some(Refused::Partial)),
        (304, &[max_age], Some(Refused::Status)),
        (103, &[max_age], Some(Refused::Status)),
        (101, &[max_age], Some(Refused::Status)),
        (201, &[max_age], None),
    ] {
        assert_eq!(refused(status, lines), reason, "{status} {lines:?}");
    }
    let many: Vec<String> = (0..=MOST_NAMES).map(|n| format!("x-{n}")).collect();
    let many = many.join(",");
    assert_eq!(
        refused(200, &[max_age, ("Vary", &many)]),
        Some(Refused::Vary(VaryRefused::TooMany))
    );
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "M-SEARCH"] {
        let asked = request(method, "/x", &[]);
        let got = kept(&asked, &response(200, &[max_age]), &Plan::STANDARD);
        assert_eq!(got.err(), Some(Refused::Method), "{method}");
    }
    let got = kept(&get(&[]), &response(200, &[max_age]), &Plan::BYPASS);
    assert_eq!(got.err(), Some(Refused::Bypass));
}

#[test]
fn fields_that_are_not_of_the_response_are_not_stored() {
    let answer = response(
        200,
        &[
            (
                "Cache-Control",
                "max-age=3600, no-cache=\"x-a, Set-Cookie\", private=\"x-p\"",
            ),
            ("Connection", "x-c, keep-alive"),
            ("X-A", "1"),
            ("x-p", "1"),
            ("x-c", "1"),
            ("Keep-Alive", "1"),
            ("Proxy-Authenticate", "1"),
            ("Proxy-Authentication-Info", "1"),
            ("Proxy-Authorization", "1"),
            ("Proxy-Connection", "1"),
            ("TE", "1"),
            ("Trailer", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "x"),
            ("Age", "5"),
            ("Set-Cookie", "a=b"),
            ("ETag", "\"a\""),
            ("Content-Length", "10"),
            ("x-b", "2"),
        ],
    );
    let kept = kept(&get(&[]), &answer, &Plan::STANDARD).unwrap();
    let stored = names(&kept.head);
    assert_eq!(
        stored,
        ["Cache-Control", "ETag", "Content-Length", "x-b", "Date"]
    );
    // Its own date is kept (RFC 9110 §6.6.1 asks for one where there is none).
    assert_eq!(kept.head.only(b"date"), Some(&value("@0")[..]));
    assert_eq!(age(&kept.life, later(3)), 8);
}

#[test]
fn cookies_are_stored_where_a_rule_says_so() {
    let plan = Plan {
        stores_cookies: true,
        ..Plan::STANDARD
    };
    let answer = response(
        200,
        &[("Cache-Control", "max-age=3600"), ("Set-Cookie", "a=b")],
    );
    let kept = kept(&get(&[]), &answer, &plan).unwrap();
    assert_eq!(kept.head.only(b"set-cookie"), Some(&b"a=b"[..]));
}

#[test]
fn a_plan_has_the_last_word_on_lifetimes_but_not_on_what_is_private() {
    let plan = |edge_ttl| Plan {
        edge_ttl,
        ..Plan::STANDARD
    };
    let lifetime = |plan: &Plan, status, lines: Lines<'_>| {
        kept(&get(&[]), &response(status, lines), plan).map(|kept| kept.life.lifetime)
    };
    let overridden = plan(EdgeTtl::Override(60));
    for lines in [
        &[][..],
        &[("Cache-Control", "no-store")],
        &[("Cache-Control", "private, max-age=5")],
        &[("Cache-Control", "no-cache, s-maxage=5")],
        &[("CDN-Cache-Control", "no-store")],
    ] {
        assert_eq!(lifetime(&overridden, 200, lines), Ok(60), "{lines:?}");
    }
    let cookie = [("Set-Cookie", "a=b")];
    assert_eq!(lifetime(&overridden, 200, &cookie), Err(Refused::SetCookie));
    assert!(lifetime(&overridden, 200, &[("Vary", "*")]).is_err());
    let asked = get(&[("Authorization", "x")]);
    let got = kept(&asked, &response(200, &[]), &overridden);
    assert_eq!(got.err(), Some(Refused::Authorization));
    let default = plan(EdgeTtl::Default(60));
    assert_eq!(lifetime(&default, 200, &[]), Ok(60));
    assert_eq!(
        lifetime(&default, 200, &[("Cache-Control", "max-age=5")]),
        Ok(5)
    );
    assert_eq!(
        lifetime(&default, 200, &[("Cache-Control", "no-store")]),
        Err(Refused::NoStore)
    );
    assert_eq!(lifetime(&default, 500, &[]), Err(Refused::NoLifetime));
    // An error passes soon.
    for (status, seconds) in [
        (400, 10),
        (403, 10),
        (451, 10),
        (500, 10),
        (404, 3_600),
        (410, 3_600),
        (302, 3_600),
    ] {
        let lines = [("Cache-Control", "max-age=3600")];
        assert_eq!(
            lifetime(&Plan::STANDARD, status, &lines),
            Ok(seconds),
            "{status}"
        );
    }
}

#[test]
fn age_is_the_larger_of_what_date_and_age_tell() {
    let initial = |lines: Lines<'_>, requested: u64| {
        let answer = response(200, lines);
        let request = get(&[]);
        let kept = keep(&Answer {
            request: &request,
            response: &answer,
            plan: &Plan::STANDARD,
            times: Times {
                requested: Time(NOW.0 - requested),
                received: NOW,
            },
        });
        kept.unwrap().life.initial_age
    };
    let control = ("Cache-Control", "max-age=3600, stale-if-error=1");
    assert_eq!(initial(&[control, ("Date", "@0")], 0), 0);
    assert_eq!(
        initial(&[control, ("Date", "@-20"), ("Age", "5")], 0),
        20_000
    );
    assert_eq!(initial(&[control, ("Date", "@-2"), ("Age", "5")], 0), 5_000);
    assert_eq!(
        initial(&[control, ("Date", "@0"), ("Age", "5")], 1_500),
        6_500
    );
    assert_eq!(initial(&[control, ("Date", "@100")], 0), 0);
    assert_eq!(
        initial(&[control, ("Age", "99999999999")], 0),
        (1 << 31) * 1_000
    );
}

#[test]
fn selecting_values_say_what_decodes_and_nothing_else() {
    let of = |name: &str, value: &str| {
        let mut vary = seawall_model::Fields::default();
        vary.push(b"vary", name.as_bytes());
        Vary::of(&vary).unwrap().selecting(&get(&[(name, value)]))
    };
    let same = |name: &str, one: &str, other: &str| {
        assert_eq!(of(name, one), of(name, other), "{one} {other}")
    };
    let differ = |name: &str, one: &str, other: &str| {
        assert_ne!(of(name, one), of(name, other), "{one} {other}")
    };
    same("accept-encoding", "gzip, br", "br;q=0.5,GZIP;q=0.1");
    same("accept-encoding", "gzip, gzip", "gzip");
    differ("accept-encoding", "gzip", "gzip;q=0");
    differ("accept-encoding", "gzip", "br");
    differ("accept-encoding", "gzip", "gzip, identity;q=0");
    differ("accept-language", "en;q=0.5, de", "en, de;q=0.5");
    same("accept-language", "en;q=0.5, de;q=0.5", "de;q=0.5,en;q=0.5");
    same("user-agent", "a  b (x, y)", "a b (x,y)");
    differ("x", "\"a, b\"", "\"a,b\"");
    differ("x", "ab", "a b");
    differ("x", "a", "A");
    differ("x", "", " ,");
}

#[test]
fn the_favourite_language_is_what_an_origin_would_choose() {
    let first = get(&[("Accept-Language", "en, de"), ("x", "1")]);
    let answer = |language| {
        let lines = [
            ("Cache-Control", "max-age=60"),
            ("Vary", "Accept-Language, x"),
            ("Content-Language", language),
        ];
        response(200, &lines)
    };
    for (language, asked, x, outcome) in [
        ("de", "fr;q=0.5, de;q=1.0", "1", Outcome::Cached),
        ("de", "DE", "1", Outcome::Cached),
        ("de", "de", "2", Outcome::Fetched),
        ("de", "de, fr", "1", Outcome::Fetched),
        ("de", "fr, de;q=0.5", "1", Outcome::Fetched),
        ("de", "de-AT", "1", Outcome::Fetched),
        ("de", "de;q=0", "1", Outcome::Fetched),
        ("*", "*", "1", Outcome::Fetched),
        ("de, en", "de", "1", Outcome::Fetched),
    ] {
        let then = get(&[("Accept-Language", asked), ("x", x)]);
        let got = second(&first, &answer(language), 0, &then, &Plan::STANDARD);
        assert_eq!(got, outcome, "{language} {asked} {x}");
    }
    let without = second(
        &first,
        &answer("de"),
        0,
        &get(&[("x", "1")]),
        &Plan::STANDARD,
    );
    assert_eq!(without, Outcome::Fetched);
}

#[test]
fn an_answer_to_post_is_kept_where_the_origin_says_that_it_is_what_get_would_give() {
    let lines = [("Cache-Control", "max-age=60"), ("Content-Location", "/x")];
    let of = |request: &RequestHead, status, lines: Lines<'_>| {
        keep_of_post(
            &Answer {
                request,
                response: &response(status, lines),
                plan: &Plan::STANDARD,
                times: AT_ONCE,
            },
            b"https",
        )
        .is_ok()
    };
    let post = request("POST", "/x", &[]);
    assert!(of(&post, 200, &lines));
    assert!(of(
        &post,
        200,
        &[("Expires", "@60"), ("Content-Location", "https://a.test/x")]
    ));
    assert!(!of(&post, 200, &[("Cache-Control", "max-age=60")]));
    assert!(!of(
        &post,
        200,
        &[("Cache-Control", "max-age=60"), ("Content-Location", "/y")]
    ));
    assert!(!of(
        &post,
        200,
        &[
            ("Cache-Control", "public"),
            ("ETag", "x"),
            ("Content-Location", "/x")
        ]
    ));
    assert!(!of(&post, 201, &lines));
    assert!(!of(&request("PUT", "/x", &[]), 200, &lines));
    for own in [("Cookie", "a=b"), ("Authorization", "x")] {
        assert!(!of(&request("POST", "/x", &[own]), 200, &lines));
    }
}

#[test]
fn tags_come_from_both_fields_and_are_bounded() {
    let answer = response(
        200,
        &[
            ("Cache-Tag", "a, b,,c"),
            ("Surrogate-Key", "d  e"),
            ("cache-tag", "f"),
        ],
    );
    let all: Vec<&[u8]> = tags(&answer.fields).collect();
    assert_eq!(all, [b"a", b"b", b"c", b"f", b"d", b"e"]);
    let many = "t,".repeat(1_000);
    assert_eq!(
        tags(&response(200, &[("Cache-Tag", &many)]).fields).count(),
        MOST_TAGS + 1,
        "whoever counts them sees that they are too many"
    );
}

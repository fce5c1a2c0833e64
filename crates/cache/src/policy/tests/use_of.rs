//! What clients get of what is stored: conditions, ranges, stale responses; and what they are told.

use super::*;

fn stored(status: u16, lines: Lines<'_>) -> Kept {
    let mut all = vec![("CDN-Cache-Control", "max-age=100000")];
    all.extend_from_slice(lines);
    kept(&get(&[]), &response(status, &all), &Plan::STANDARD).unwrap()
}

#[test]
fn conditions_of_clients() {
    use Precondition::{Holds, NotModified};
    let rows: &[(&str, Lines<'_>, Lines<'_>, Precondition)] = &[
        (
            "conditional-etag-strong-respond",
            &[("ETag", "\"a\"")],
            &[("If-None-Match", "\"a\"")],
            NotModified,
        ),
        (
            "conditional-etag-precedence",
            &[("ETag", "\"a\""), ("Last-Modified", "@-5000")],
            &[("If-None-Match", "\"a\""), ("If-Modified-Since", "@-10000")],
            NotModified,
        ),
        (
            "precedence the other way",
            &[("ETag", "\"a\""), ("Last-Modified", "@-5000")],
            &[("If-None-Match", "\"b\""), ("If-Modified-Since", "@-1")],
            Holds,
        ),
        (
            "conditional-etag-strong-respond-obs-text",
            &[("ETag", "\"\u{fc}\"")],
            &[("If-None-Match", "\"\u{fc}\"")],
            NotModified,
        ),
        (
            "conditional-etag-unquoted-respond-unquoted",
            &[("ETag", "a")],
            &[("If-None-Match", "a")],
            NotModified,
        ),
        (
            "conditional-etag-weak-respond",
            &[("ETag", "W/\"a\"")],
            &[("If-None-Match", "W/\"a\"")],
            NotModified,
        ),
        (
            "weak and strong",
            &[("ETag", "W/\"a\"")],
            &[("If-None-Match", "\"a\"")],
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-multiple-first",
            &[("ETag", "\"a\"")],
            &[("If-None-Match", "\"a\", \"1\"")],
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-multiple-second",
            &[("ETag", "\"a\"")],
            &[("If-None-Match", "\"1\", \"a\", \"2\"")],
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-multiple-last",
            &[("ETag", "\"a\"")],
            &[("If-None-Match", "\"1\"  ,\"a\"")],
            NotModified,
        ),
        (
            "two lines",
            &[("ETag", "\"a\"")],
            &[("If-None-Match", "\"1\""), ("If-None-Match", "\"a\"")],
            NotModified,
        ),
        ("any", &[], &[("If-None-Match", "*")], NotModified),
        ("no tag", &[], &[("If-None-Match", "\"a\"")], Holds),
        (
            "a comma in a tag",
            &[("ETag", "\"a,b\"")],
            &[("If-None-Match", "\"x\", \"a,b\"")],
            NotModified,
        ),
        (
            "half of a tag",
            &[("ETag", "\"b\"")],
            &[("If-None-Match", "\"a,\"b\"")],
            Holds,
        ),
        (
            "conditional-lm-fresh",
            &[("Last-Modified", "@-3000")],
            &[("If-Modified-Since", "@-3000")],
            NotModified,
        ),
        (
            "conditional-lm-fresh-earlier",
            &[("Last-Modified", "@-3000")],
            &[("If-Modified-Since", "@-2000")],
            NotModified,
        ),
        (
            "changed since",
            &[("Last-Modified", "@-3000")],
            &[("If-Modified-Since", "@-3001")],
            Holds,
        ),
        (
            "no Last-Modified: the date counts",
            &[("Date", "@-10")],
            &[("If-Modified-Since", "@-10")],
            NotModified,
        ),
        (
            "no Last-Modified, and of later",
            &[("Date", "@0")],
            &[("If-Modified-Since", "@-10")],
            Holds,
        ),
        (
            "conditional-lm-fresh-rfc850",
            &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
            &[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")],
            NotModified,
        ),
        (
            "no date",
            &[("Last-Modified", "@-3000")],
            &[("If-Modified-Since", "x")],
            Holds,
        ),
        (
            "two dates",
            &[("Last-Modified", "@-3000")],
            &[("If-Modified-Since", "@0"), ("If-Modified-Since", "@0")],
            Holds,
        ),
    ];
    for (name, of, asked, wanted) in rows {
        let kept = stored(200, of);
        assert_eq!(
            precondition(&get(asked), &kept.head, NOW),
            *wanted,
            "{name}"
        );
    }
    let error = stored(404, &[("ETag", "\"a\"")]);
    let asked = get(&[("If-None-Match", "\"a\"")]);
    assert_eq!(
        precondition(&asked, &error.head, NOW),
        Holds,
        "RFC 9110 §13.2.1"
    );
    assert!(asks_the_origin(&get(&[("If-Match", "\"a\"")])));
    assert!(asks_the_origin(&get(&[("If-Unmodified-Since", "@0")])));
    assert!(!asks_the_origin(&asked));
}

#[test]
fn ranges_are_cut_from_the_whole() {
    let part = |start, length| Ranged::Part(Part { start, length });
    let kept = stored(200, &[("ETag", "\"a\"")]);
    let of = |lines: Lines<'_>| ranged(&get(lines), &kept.head, 11, NOW);
    for (range, wanted) in [
        ("bytes=0-1", part(0, 2)),
        ("bytes=1-", part(1, 10)),
        ("bytes=-1", part(10, 1)),
        ("BYTES=-100", part(0, 11)),
        ("bytes=5-99", part(5, 6)),
        ("bytes=5-99999999999999999999999999", part(5, 6)),
        ("bytes=11-", Ranged::Unsatisfiable),
        ("bytes=-0", Ranged::Unsatisfiable),
        ("bytes=20-30, 40-", Ranged::Unsatisfiable),
        ("bytes=20-30, 0-0", part(0, 1)),
        (
            "bytes=0-0,-1",
            Ranged::Parts(vec![
                Part {
                    start: 0,
                    length: 1,
                },
                Part {
                    start: 10,
                    length: 1,
                },
            ]),
        ),
        ("bytes=0-5,3-6", Ranged::Whole),
        ("bytes=2-1", Ranged::Whole),
        ("bytes=", Ranged::Whole),
        ("bytes=a-b", Ranged::Whole),
        ("bytes=-", Ranged::Whole),
        ("bytes=1", Ranged::Whole),
        ("bytes=+1-2", Ranged::Whole),
        ("lines=0-1", Ranged::Whole),
    ] {
        assert_eq!(of(&[("Range", range)]), wanted, "{range}");
    }
    let many: Vec<String> = (0..=MOST_PARTS).map(|at| format!("{at}-{at}")).collect();
    let many = format!("bytes={}", many.join(","));
    assert_eq!(
        ranged(&get(&[("Range", &many)]), &kept.head, 100, NOW),
        Ranged::Whole
    );
    assert_eq!(
        of(&[("Range", "bytes=0-1"), ("Range", "bytes=2-3")]),
        Ranged::Whole
    );
    // Another method, another status, an empty body.
    let head = request("HEAD", "/x", &[("Range", "bytes=0-1")]);
    assert_eq!(ranged(&head, &kept.head, 11, NOW), Ranged::Whole);
    let error = stored(404, &[]);
    assert_eq!(
        ranged(&get(&[("Range", "bytes=0-1")]), &error.head, 11, NOW),
        Ranged::Whole
    );
    assert_eq!(
        ranged(&get(&[("Range", "bytes=0-")]), &kept.head, 0, NOW),
        Ranged::Unsatisfiable
    );
}

#[test]
fn parts_make_sense_only_of_the_same_content() {
    let asks = |value| get(&[("Range", "bytes=0-1"), ("If-Range", value)]);
    let dated = [
        ("ETag", "\"a\""),
        ("Last-Modified", "@-500"),
        ("Date", "@0"),
    ];
    let soon = [
        ("ETag", "W/\"a\""),
        ("Last-Modified", "@-30"),
        ("Date", "@0"),
    ];
    for (lines, asked, cut) in [
        (&dated, "\"a\"", true),
        (&dated, "\"b\"", false),
        (&dated, "W/\"a\"", false),
        (&dated, "@-500", true),
        (&dated, "@-400", false),
        (&dated, "@0", false),
        (&dated, "x", false),
        (&soon, "W/\"a\"", false),
        (&soon, "@-30", false),
    ] {
        let kept = stored(200, lines);
        let got = ranged(&asks(asked), &kept.head, 11, NOW);
        assert_eq!(got != Ranged::Whole, cut, "{lines:?} {asked}");
    }
}

#[test]
fn stale_responses_stand_in_only_as_allowed() {
    use Failure::{Status, Unreachable};
    let rows: &[(&str, u64, Failure, bool)] = &[
        ("max-age=2", 3, Unreachable, true),
        ("max-age=2", 3, Status(503), false),
        ("max-age=2", 90_000, Unreachable, false),
        ("max-age=2, stale-if-error=60", 3, Status(503), true),
        ("max-age=2, stale-if-error=60", 3, Status(500), true),
        ("max-age=2, stale-if-error=60", 3, Status(404), false),
        ("max-age=2, stale-if-error=60", 3, Status(501), false),
        ("max-age=2, stale-if-error=60", 61, Status(503), true),
        ("max-age=2, stale-if-error=60", 62, Status(503), false),
        ("max-age=2, must-revalidate", 3, Unreachable, false),
        (
            "max-age=2, must-revalidate, stale-if-error=60",
            3,
            Unreachable,
            false,
        ),
        ("max-age=2, proxy-revalidate", 3, Unreachable, false),
        ("max-age=2, no-cache", 3, Unreachable, false),
        ("max-age=2, s-maxage=2", 3, Unreachable, false),
        (
            "max-age=2, s-maxage=2, stale-if-error=60",
            3,
            Unreachable,
            true,
        ),
    ];
    for (control, wait, failure, may) in rows {
        let answer = response(200, &[("Cache-Control", control), ("ETag", "\"a\"")]);
        let kept = kept(&get(&[]), &answer, &Plan::STANDARD).unwrap();
        let got = may_stand_in(&kept.life, *failure, &Plan::STANDARD, later(*wait), None);
        assert_eq!(got, *may, "{control} {wait} {failure:?}");
    }
}

#[test]
fn what_is_never_served_stale_must_be_validated() {
    let rows: &[(&str, u64, bool)] = &[
        ("max-age=2", 3, false),
        ("max-age=2, stale-if-error=60", 90_000, false),
        ("max-age=2, must-revalidate", 1, false),
        ("max-age=2, must-revalidate", 2, true),
        ("max-age=2, proxy-revalidate", 3, true),
        ("max-age=2, s-maxage=2", 3, true),
        ("max-age=2, s-maxage=9", 3, false),
        ("max-age=2, no-cache", 0, true),
    ];
    for (control, wait, must) in rows {
        let answer = response(200, &[("Cache-Control", control), ("ETag", "\"a\"")]);
        let kept = kept(&get(&[]), &answer, &Plan::STANDARD).unwrap();
        let got = must_be_validated(&kept.life, later(*wait), None);
        assert_eq!(got, *must, "{control} {wait}");
    }
    // A soft purge makes stale what nobody may have stale.
    for (control, must) in [("max-age=9", false), ("max-age=9, must-revalidate", true)] {
        let answer = response(200, &[("Cache-Control", control), ("ETag", "\"a\"")]);
        let kept = kept(&get(&[]), &answer, &Plan::STANDARD).unwrap();
        let got = must_be_validated(&kept.life, later(3), Some(later(2)));
        assert_eq!(got, must, "{control}");
    }
}

#[test]
fn a_soft_purge_makes_stale_at_once() {
    let of = |control| {
        let answer = response(200, &[("Cache-Control", control), ("ETag", "\"a\"")]);
        kept(&get(&[]), &answer, &Plan::STANDARD).unwrap().life
    };
    let nobody = advice(&get(&[]), &Plan::STANDARD);
    let use_of = |control, now| consider(&of(control), &nobody, later(now), Some(later(10)));
    assert_eq!(
        consider(&of("max-age=100"), &nobody, later(10), None),
        Use::Fresh
    );
    assert_eq!(use_of("max-age=100", 10), Use::Validate);
    assert_eq!(
        use_of("max-age=100, stale-while-revalidate=5", 14),
        Use::WhileValidated
    );
    assert_eq!(
        use_of("max-age=100, stale-while-revalidate=5", 15),
        Use::Validate
    );
    assert_eq!(
        use_of("max-age=1, stale-while-revalidate=5", 6),
        Use::Validate
    );
    let s_maxage = of("s-maxage=1, stale-while-revalidate=5");
    assert_eq!(
        consider(&s_maxage, &nobody, later(3), None),
        Use::WhileValidated
    );
    let must = of("max-age=1, must-revalidate, stale-while-revalidate=5");
    assert_eq!(consider(&must, &nobody, later(3), None), Use::Validate);
}

#[test]
fn what_clients_are_told() {
    let told = |status: Status<'_>| {
        let mut out = Vec::new();
        status.write(&mut out);
        assert!(crate::structured::list(&out).is_ok());
        String::from_utf8(out).unwrap()
    };
    let hit = Status {
        ttl: Some(30),
        ..Status::default()
    };
    assert_eq!(told(hit), "seawall; hit; ttl=30");
    let miss = Status {
        forwarded: Some(Forwarded::UriMiss),
        stored: true,
        ..Status::default()
    };
    assert_eq!(told(miss), "seawall; fwd=uri-miss; stored");
    let stale = Status {
        forwarded: Some(Forwarded::Stale),
        origin_status: Some(503),
        ttl: Some(-5),
        collapsed: true,
        detail: Some("stale-if-error"),
        ..Status::default()
    };
    assert_eq!(
        told(stale),
        "seawall; fwd=stale; fwd-status=503; ttl=-5; collapsed; detail=stale-if-error"
    );
    let kept = stored(200, &[("Age", "30"), ("Date", "@0")]);
    assert_eq!(age(&kept.life, later(3)), 33);
    assert_eq!(kept.life.ttl(later(3)), 100_000 - 33);
}

/// Whatever the origin sends: no response is older later, and none is fresh past its lifetime.
#[test]
fn time_only_ever_makes_older() {
    let mut random = crate::made_up::Random::new(11);
    let parts = [
        "max-age=",
        "s-maxage=",
        "0",
        "1",
        "60",
        "99999999999",
        ", ",
        "no-cache",
        "public",
        "stale-while-revalidate=9",
        "immutable",
    ];
    for _ in 0..5_000 {
        let control: String = (0..random.below(8))
            .map(|_| parts[random.below(parts.len())])
            .collect();
        let date = format!("@{}", random.below(200) as i64 - 100);
        let aged = random.below(200).to_string();
        let lines = [
            ("Cache-Control", control.as_str()),
            ("Date", &date),
            ("Age", &aged),
            ("ETag", "\"a\""),
        ];
        let Ok(kept) = kept(&get(&[]), &response(200, &lines), &Plan::STANDARD) else {
            continue;
        };
        let nobody = Advised::default();
        let mut was_fresh = true;
        for second in 0..150 {
            let now = later(second);
            assert!(kept.life.age(later(second + 1)) > kept.life.age(now));
            let is_fresh = consider(&kept.life, &nobody, now, None) == Use::Fresh;
            assert!(was_fresh || !is_fresh, "{control} {second}");
            assert!(!is_fresh || age(&kept.life, now) < u64::from(kept.life.lifetime));
            was_fresh = is_fresh;
        }
    }
}

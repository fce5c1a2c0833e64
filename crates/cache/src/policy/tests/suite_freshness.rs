//! What the public suite asks of the response alone: stored, fresh, selected, or not.

use super::Outcome::{Cached, Fetched, Validated};
use super::*;

#[test]
fn freshness_by_cache_control() {
    check(&[
        ("freshness-none", &[], PAUSE, Fetched),
        (
            "freshness-max-age",
            &[("Cache-Control", "max-age=3600")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-0",
            &[("Cache-Control", "max-age=0")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-max-minus-1",
            &[("Cache-Control", "max-age=2147483647")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-max",
            &[("Cache-Control", "max-age=2147483648")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-max-plus-1",
            &[("Cache-Control", "max-age=2147483649")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-max-plus",
            &[("Cache-Control", "max-age=99999999999")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-age",
            &[
                ("Date", "@0"),
                ("Cache-Control", "max-age=3600"),
                ("Age", "7200"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-date",
            &[("Date", "@-7200"), ("Cache-Control", "max-age=3600")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-expires",
            &[
                ("Cache-Control", "max-age=3600"),
                ("Expires", "@-7200"),
                ("Date", "@0"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-expires-invalid",
            &[
                ("Cache-Control", "max-age=3600"),
                ("Expires", "0"),
                ("Date", "@0"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-0-expires",
            &[
                ("Expires", "@3600"),
                ("Cache-Control", "max-age=0"),
                ("Date", "@0"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-negative",
            &[("Cache-Control", "max-age=-3600")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-s-maxage-shared",
            &[("Cache-Control", "s-maxage=3600")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-s-maxage-shared-longer",
            &[("Cache-Control", "max-age=3600, s-maxage=1")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-s-maxage-shared-longer-reversed",
            &[("Cache-Control", "s-maxage=1, max-age=3600")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-s-maxage-shared-longer-multiple",
            &[
                ("Cache-Control", "max-age=3600"),
                ("Cache-Control", "s-maxage=1"),
            ],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-s-maxage-shared-shorter",
            &[("Cache-Control", "max-age=1, s-maxage=3600")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-s-maxage-shared-shorter-expires",
            &[
                ("Expires", "@-10"),
                ("Cache-Control", "max-age=0, s-maxage=3600"),
            ],
            PAUSE,
            Cached,
        ),
        (
            "freshness-max-age-single-quoted",
            &[("Cache-Control", "max-age='3600'")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-ignore-quoted",
            &[("Cache-Control", "extension=\"max-age=3600\", max-age=1")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-ignore-quoted-rev",
            &[("Cache-Control", "max-age=1, extension=\"max-age=3600\"")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-max-age-leading-zero",
            &[("Cache-Control", "max-age=003600")],
            PAUSE,
            Cached,
        ),
    ]);
}

#[test]
fn age_as_the_newer_edition_and_the_rfc_have_it() {
    let rows: &[(&str, &[&str], Outcome)] = &[
        ("age-parse-nonnumeric", &["abc"], Cached),
        ("age-parse-negative", &["-7200"], Cached),
        ("age-parse-float", &["7200.0"], Cached),
        ("age-parse-large-minus-one", &["2147483647"], Fetched),
        ("age-parse-large", &["2147483648"], Fetched),
        ("age-parse-larger", &["2147483649"], Fetched),
        ("age-parse-suffix", &["7200, 0"], Fetched),
        ("age-parse-prefix", &["0, 7200"], Cached),
        ("age-parse-suffix-twoline", &["7200", "0"], Fetched),
        ("age-parse-prefix-twoline", &["0", "7200"], Cached),
        ("age-parse-dup-0", &["0, 0"], Cached),
        ("age-parse-dup-0-twoline", &["0", "0"], Cached),
    ];
    for (name, ages, outcome) in rows {
        let mut lines = vec![("Date", "@0"), ("Cache-Control", "max-age=3600")];
        lines.extend(ages.iter().map(|age| ("Age", *age)));
        check(&[(name, &lines, PAUSE, *outcome)]);
    }
    let dup = [
        ("Date", "@0"),
        ("Cache-Control", "max-age=10000"),
        ("Age", "3600"),
        ("Age", "3600"),
    ];
    check(&[("age-parse-dup-old", &dup, PAUSE, Cached)]);
}

#[test]
fn freshness_by_expires() {
    check(&[
        (
            "freshness-expires-future",
            &[("Expires", "@2592000"), ("Date", "@0")],
            PAUSE,
            Cached,
        ),
        (
            "freshness-expires-past",
            &[("Expires", "@-2592000"), ("Date", "@0")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-expires-present",
            &[("Expires", "@0"), ("Date", "@0")],
            0,
            Fetched,
        ),
        (
            "freshness-expires-old-date",
            &[("Expires", "@300"), ("Date", "@400")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-expires-invalid",
            &[("Expires", "0"), ("Date", "@0")],
            PAUSE,
            Fetched,
        ),
        (
            "freshness-expires-invalid-date",
            &[("Date", "foo"), ("Expires", "@10")],
            0,
            Cached,
        ),
        (
            "freshness-expires-age-slow-date",
            &[("Date", "@-10"), ("Expires", "@10"), ("Age", "25")],
            0,
            Fetched,
        ),
        (
            "freshness-expires-age-fast-date",
            &[("Date", "@10"), ("Expires", "@20"), ("Age", "15")],
            0,
            Fetched,
        ),
    ]);
    for (name, expires, outcome) in [
        ("32bit", "Tue, 19 Jan 2038 14:14:08 GMT", Cached),
        ("far-future", "Sun, 21 Nov 2286 04:46:39 GMT", Cached),
        ("rfc850", "Thursday, 18-Aug-50 02:01:18 GMT", Cached),
        ("ansi-c", "Thu Aug  8 02:01:18 2050", Cached),
        (
            "wrong-case-weekday",
            "THU, 18 Aug 2050 02:01:18 GMT",
            Cached,
        ),
        ("wrong-case-month", "Thu, 18 AUG 2050 02:01:18 GMT", Cached),
        ("wrong-case-tz", "Thu, 18 Aug 2050 02:01:18 gMT", Cached),
        ("invalid-utc", "Thu, 18 Aug 2050 02:01:18 UTC", Fetched),
        ("invalid-aest", "Thu, 18 Aug 2050 02:01:18 AEST", Fetched),
        (
            "invalid-2-digit-year",
            "Thu, 18 Aug 50 02:01:18 GMT",
            Fetched,
        ),
        ("invalid-no-comma", "Thu 18 Aug 2050 02:01:18 GMT", Fetched),
        (
            "invalid-multiple-spaces",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            Fetched,
        ),
        (
            "invalid-date-dashes",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            Fetched,
        ),
        (
            "invalid-time-periods",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            Fetched,
        ),
        (
            "invalid-1-digit-hour",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            Fetched,
        ),
    ] {
        check(&[(
            name,
            &[("Expires", expires), ("Date", "@0")],
            PAUSE,
            outcome,
        )]);
    }
    let date = "Thu, 18 Aug 2050 02:01:18 GMT";
    let twice = [("Expires", date), ("Expires", date), ("Date", "@0")];
    check(&[("invalid-multiple-lines", &twice, 0, Fetched)]);
}

#[test]
fn directives_of_responses() {
    check(&[
        (
            "cc-resp-private-shared",
            &[("Cache-Control", "private, max-age=3600")],
            0,
            Fetched,
        ),
        (
            "cc-resp-no-store",
            &[("Cache-Control", "no-store")],
            0,
            Fetched,
        ),
        (
            "cc-resp-no-store-case-insensitive",
            &[("Cache-Control", "No-StOrE")],
            0,
            Fetched,
        ),
        (
            "cc-resp-no-store-fresh",
            &[
                ("Cache-Control", "max-age=10000, no-store"),
                ("Expires", "@10000"),
                ("Date", "@0"),
            ],
            0,
            Fetched,
        ),
        (
            "cc-resp-no-cache",
            &[
                ("Cache-Control", "max-age=10000, no-cache"),
                ("Expires", "@10000"),
                ("Date", "@0"),
            ],
            0,
            Fetched,
        ),
        (
            "cc-resp-no-cache-revalidate",
            &[("Cache-Control", "no-cache"), ("ETag", "\"abcd\"")],
            0,
            Validated("If-None-Match"),
        ),
        (
            "cc-resp-no-cache-revalidate-fresh",
            &[
                ("Cache-Control", "max-age=10000, no-cache"),
                ("ETag", "\"abcd\""),
            ],
            0,
            Validated("If-None-Match"),
        ),
        (
            "cc-resp-must-revalidate-fresh",
            &[
                ("Cache-Control", "max-age=10000, must-revalidate"),
                ("ETag", "\"abcd\""),
            ],
            0,
            Cached,
        ),
        (
            "cc-resp-must-revalidate-stale",
            &[
                ("Cache-Control", "max-age=2, must-revalidate"),
                ("ETag", "\"abcd\""),
            ],
            PAUSE,
            Validated("If-None-Match"),
        ),
        (
            "stale-while-revalidate",
            &[
                ("Cache-Control", "max-age=1, stale-while-revalidate=3600"),
                ("ETag", "\"abc\""),
            ],
            PAUSE,
            Cached,
        ),
        (
            "stale-while-revalidate-window",
            &[
                ("Cache-Control", "max-age=1, stale-while-revalidate=4"),
                ("ETag", "\"abc\""),
            ],
            2 * PAUSE,
            Fetched,
        ),
        (
            "conditional-lm-stale",
            &[
                ("Cache-Control", "max-age=2"),
                ("Last-Modified", "@-3000"),
                ("Date", "@0"),
            ],
            PAUSE,
            Validated("If-Modified-Since"),
        ),
        (
            "conditional-etag-strong-generate-unquoted",
            &[("Expires", "@1"), ("ETag", "abcdef"), ("Date", "@0")],
            PAUSE,
            Validated("If-None-Match"),
        ),
        (
            "pragma-response-no-cache",
            &[("Cache-Control", "max-age=3600"), ("Pragma", "no-cache")],
            0,
            Cached,
        ),
        (
            "other-fresh-content-disposition-attachment",
            &[
                ("Cache-Control", "max-age=3600"),
                ("Content-Disposition", "attachment; filename=x"),
            ],
            0,
            Cached,
        ),
    ]);
}

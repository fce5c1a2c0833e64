//! Tables of fields and what they mean.

use seawall_model::Fields;

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn response(value: &str) -> ResponseDirectives {
    ResponseDirectives::of(&fields(&[("Cache-Control", value)]))
}

#[test]
fn lifetimes_are_numbers_or_nothing() {
    use Seconds::{Absent, Given, Wrong};
    for (value, seconds) in [
        ("max-age=3600", Given(3_600)),
        ("MaX-aGe=3600", Given(3_600)),
        ("foobar, max-age=3600", Given(3_600)),
        ("max-age=\"3600\"", Given(3_600)),
        ("max-age=\"36\\00\"", Given(3_600)),
        ("max-age=003600", Given(3_600)),
        ("max-age=2147483647", Given(2_147_483_647)),
        ("max-age=2147483648", Given(MOST_SECONDS)),
        ("max-age=99999999999", Given(MOST_SECONDS)),
        ("max-age=99999999999999999999999999", Given(MOST_SECONDS)),
        (",, max-age=1 ,", Given(1)),
        ("max-age=-3600", Wrong),
        ("max-age='3600'", Wrong),
        ("max-age=3600.0", Wrong),
        ("max-age=3600.5", Wrong),
        ("max-age=a3600", Wrong),
        ("max-age=3600a", Wrong),
        ("max-age =3600", Wrong),
        ("max-age= 3600", Wrong),
        ("max-age", Wrong),
        ("max-age=", Wrong),
        ("max-age=\"\"", Wrong),
        ("max-age=1, max-age=2", Wrong),
        ("max-age=2, max-age=1", Wrong),
        ("max-age=1, max-age=1", Given(1)),
        ("extension=\"max-age=3600\", max-age=1", Given(1)),
        ("max-age=1, extension=\"max-age=3600\"", Given(1)),
        ("extension=\"a\\\"max-age=3600\", max-age=\"1\"", Given(1)),
        ("x-max-age=1", Absent),
        ("", Absent),
    ] {
        assert_eq!(response(value).max_age, seconds, "{value}");
    }
    let two = fields(&[
        ("Cache-Control", "max-age=1"),
        ("cache-control", "max-age=1800"),
    ]);
    assert_eq!(ResponseDirectives::of(&two).max_age, Wrong);
    let both = fields(&[
        ("Cache-Control", "max-age=3600"),
        ("Cache-Control", "s-maxage=1"),
    ]);
    assert_eq!(ResponseDirectives::of(&both).s_maxage, Given(1));
}

#[test]
fn what_forbids_is_heard_however_it_is_written() {
    for value in [
        "no-store",
        "No-StOrE",
        "max-age=1, no-store",
        "no-store=1",
        "no-store =x",
        "a=\"b",
    ] {
        assert!(response(value).no_store, "{value}");
    }
    for value in [
        "private",
        "private=\"\"",
        "private=\"a b\"",
        "private=,",
        "private=\"a\", private",
    ] {
        assert!(response(value).private.is_all(), "{value}");
    }
    for value in ["no-cache", "No-CaChE", "no-cache=\"a\", no-cache"] {
        assert!(response(value).no_cache.is_all(), "{value}");
    }
    let named = response("no-cache=\"A, set-cookie\", no-cache=b");
    for name in ["a", "Set-Cookie", "B"] {
        assert!(named.no_cache.names(name.as_bytes()), "{name}");
    }
    assert!(!named.no_cache.names(b"c") && !named.no_cache.is_all());
    let all = response(
        "public, must-revalidate, proxy-revalidate, must-understand, no-transform, immutable",
    );
    assert!(all.public && all.must_revalidate && all.proxy_revalidate);
    assert!(all.must_understand && all.no_transform && all.immutable);
}

#[test]
fn a_targeted_field_holds_in_place_of_all_others_if_it_is_valid() {
    use Seconds::{Absent, Given, Wrong};
    for (lines, targeted, max_age, no_store) in [
        (
            &[
                ("CDN-Cache-Control", "max-age=100"),
                ("Cache-Control", "no-store"),
            ][..],
            true,
            Given(100),
            false,
        ),
        (
            &[
                ("CDN-Cache-Control", "no-store"),
                ("Cache-Control", "max-age=1"),
            ],
            true,
            Absent,
            true,
        ),
        (
            &[("CDN-Cache-Control", "max-age=2147483648")],
            true,
            Given(MOST_SECONDS),
            false,
        ),
        (
            &[("CDN-Cache-Control", "max-age=99999999999")],
            true,
            Given(MOST_SECONDS),
            false,
        ),
        (&[("CDN-Cache-Control", "max-age=-1")], true, Wrong, false),
        (
            &[("CDN-Cache-Control", "foobar, max-age=3600")],
            true,
            Given(3_600),
            false,
        ),
        (
            &[("CDN-Cache-Control", "max-age=10;a=1, no-store=?0")],
            true,
            Given(10),
            false,
        ),
        // Two lines are one dictionary.
        (
            &[
                ("CDN-Cache-Control", "max-age=1"),
                ("CDN-Cache-Control", "max-age=2"),
            ],
            true,
            Given(2),
            false,
        ),
        // What is wrong or empty is not there.
        (
            &[
                ("CDN-Cache-Control", "max-age=10000, &&&&&"),
                ("Cache-Control", "no-store"),
            ],
            false,
            Absent,
            true,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age=\"10000\""),
                ("Cache-Control", "no-store"),
            ],
            false,
            Absent,
            true,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age"),
                ("Cache-Control", "max-age=1"),
            ],
            false,
            Given(1),
            false,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age=1.5"),
                ("Cache-Control", "max-age=1"),
            ],
            false,
            Given(1),
            false,
        ),
        (
            &[
                ("CDN-Cache-Control", "MaX-aGe=3600"),
                ("Cache-Control", "max-age=1"),
            ],
            false,
            Given(1),
            false,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age =100"),
                ("Cache-Control", "max-age=1"),
            ],
            false,
            Given(1),
            false,
        ),
        (
            &[("CDN-Cache-Control", ""), ("Cache-Control", "max-age=1")],
            false,
            Given(1),
            false,
        ),
        // Ours goes before the one of all.
        (
            &[
                ("CDN-Cache-Control", "no-store"),
                ("Seawall-CDN-Cache-Control", "max-age=5"),
            ],
            true,
            Given(5),
            false,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age=7"),
                ("Seawall-CDN-Cache-Control", "&"),
            ],
            true,
            Given(7),
            false,
        ),
    ] {
        let found = ResponseDirectives::of(&fields(lines));
        let got = (found.targeted, found.max_age, found.no_store);
        assert_eq!(got, (targeted, max_age, no_store), "{lines:?}");
    }
    let strict =
        ResponseDirectives::of(&fields(&[("CDN-Cache-Control", "private, no-cache=\"a\"")]));
    assert!(strict.private.is_all() && strict.no_cache.is_all());
}

#[test]
fn requests_have_directives_of_their_own() {
    let of = |name, value| RequestDirectives::of(&fields(&[(name, value)]));
    let all = of(
        "cache-control",
        "max-age=5, min-fresh=6, max-stale=7, no-cache, no-store, only-if-cached",
    );
    assert_eq!(all.max_age, Seconds::Given(5));
    assert_eq!(all.min_fresh, Seconds::Given(6));
    assert_eq!(all.max_stale, Seconds::Given(7));
    assert!(all.no_cache && all.no_store && all.only_if_cached);
    assert_eq!(
        of("cache-control", "max-stale").max_stale,
        Seconds::Given(MOST_SECONDS)
    );
    assert!(of("pragma", "No-Cache").no_cache);
    assert!(!of("pragma", "other").no_cache);
    let both = fields(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]);
    assert!(!RequestDirectives::of(&both).no_cache, "RFC 9111 §5.4");
}

#[test]
fn made_up_bytes_are_read() {
    let mut random = crate::made_up::Random::new(3);
    let alphabet = b"max-age=10,\" \\no-store\tprivate\xff";
    for _ in 0..20_000 {
        let value: Vec<u8> = (0..random.below(50))
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect();
        let mut fields = Fields::default();
        fields.push(b"cache-control", &value);
        let _ = ResponseDirectives::of(&fields);
        let _ = RequestDirectives::of(&fields);
    }
}

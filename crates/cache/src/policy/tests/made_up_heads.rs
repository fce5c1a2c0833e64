//! Made-up requests and responses: nothing panics, and what must never be is not, whatever the origin and the client say.

use super::*;
use crate::key::{Key, Parts, Shape};
use crate::made_up::Random;

const NAMES: [&str; 25] = [
    "Cache-Control",
    "CDN-Cache-Control",
    "Expires",
    "Date",
    "Age",
    "ETag",
    "Last-Modified",
    "Vary",
    "Set-Cookie",
    "Content-Length",
    "Content-Range",
    "Connection",
    "Authorization",
    "If-None-Match",
    "If-Modified-Since",
    "If-Range",
    "Range",
    "Pragma",
    "Location",
    "Content-Location",
    "Cache-Tag",
    "Content-Type",
    "Content-Digest",
    "X-Original-URL",
    "x",
];

const VALUES: [&str; 42] = [
    "",
    "max-age=60",
    "max-age=0",
    "s-maxage=9",
    "no-store",
    "private",
    "no-cache",
    "no-cache=\"x\"",
    "public",
    "must-revalidate",
    "stale-if-error=9",
    "max-age=\"",
    "@0",
    "@-50",
    "@50",
    "0",
    "-1",
    "7, 8",
    "99999999999999999999",
    "\"a\"",
    "W/\"a\"",
    "a",
    "*",
    "x, *",
    "x",
    "Accept-Encoding",
    "bytes=0-1",
    "bytes=-1",
    "bytes=1-,0-",
    "bytes=9-",
    "keep-alive, x",
    "/y",
    "//b.test/z",
    "../..",
    "%zz%2",
    "\"\\",
    "bytes 0-1/11",
    "bytes 5-4/11",
    "bytes 0-18446744073709551615/18446744073709551615",
    "text/css",
    "sha-256=:AAAA:",
    "sha-512=:",
];

fn lines(random: &mut Random, most: usize) -> Vec<(&'static str, &'static str)> {
    (0..random.below(most))
        .map(|_| {
            (
                NAMES[random.below(NAMES.len())],
                VALUES[random.below(VALUES.len())],
            )
        })
        .collect()
}

#[test]
fn whatever_comes_is_decided() {
    let mut random = Random::new(21);
    let mut stored = 0;
    for _ in 0..45_000 {
        let targets = [
            "/x",
            "/",
            "*",
            "",
            "/a/../b?c#d",
            "/%2e%2e/%",
            "x",
            "/x.css",
            "/.",
            "/%2",
        ];
        let target = targets[random.below(targets.len())];
        let methods = ["GET", "GET", "GET", "HEAD", "POST", "M-SEARCH"];
        let asked = request(
            methods[random.below(methods.len())],
            target,
            &lines(&mut random, 6),
        );
        let statuses = [200, 200, 200, 204, 206, 301, 304, 404, 500, 599];
        let came = response(
            statuses[random.below(statuses.len())],
            &lines(&mut random, 8),
        );
        let shape = Shape::default();
        let parts = Parts {
            zone: 1,
            https: true,
            request: &asked,
            shape: &shape,
        };
        let _ = Key::of(&parts);
        let _ = invalidated(&asked, b"https", &came.fields);
        let _ = tags(&came.fields).count();
        let _ = Digest::all(came.status, &came.fields).count();
        let _ = steers(&asked.fields, |_, _| false);
        let rule = Plan {
            edge_ttl: EdgeTtl::Override(60),
            ..Plan::STANDARD
        };
        let part = Answer {
            request: &asked,
            response: &came,
            plan: &rule,
            times: AT_ONCE,
        };
        if let Ok((whole, range)) = keep_part(&part) {
            assert_eq!((came.status, whole.head.status()), (206, 200));
            assert!(range.part.end() <= range.total && strong_tag(&whole.head).is_some());
            assert!(whole.head.named(b"content-range").is_none());
        }
        let Ok(one) = kept(&asked, &came, &Plan::STANDARD) else {
            continue;
        };
        stored += 1;
        check_stored(&asked, &came, &one);
        let again = response(304, &lines(&mut random, 6));
        let answer = Answer {
            request: &asked,
            response: &again,
            plan: &Plan::STANDARD,
            times: AT_ONCE,
        };
        if let Freshened::Updated(kept) = freshen(&one.head, &answer) {
            assert_eq!(kept.head.only(b"etag"), one.head.only(b"etag"));
        }
        let other = get(&lines(&mut random, 6));
        let _ = precondition(&other, &one.head, NOW);
        match ranged(&other, &one.head, 11, NOW) {
            Ranged::Part(part) => assert!(part.length > 0 && part.end() <= 11),
            Ranged::Parts(parts) => {
                assert!((2..=MOST_PARTS).contains(&parts.len()));
                assert!(parts.iter().all(|part| part.length > 0 && part.end() <= 11));
            }
            Ranged::Whole | Ranged::Unsatisfiable => {}
        }
        let _ = one.vary.selecting(&other);
    }
    assert!(stored > 500, "{stored}");
}

/// What a shared cache must never have, read from the lines by the plainest means.
fn check_stored(asked: &RequestHead, came: &ResponseHead, one: &Kept) {
    let says = |head: &seawall_model::Fields, name: &str, word: &str| {
        head.iter().any(|field| {
            let value = String::from_utf8_lossy(field.value).into_owned();
            field.name.eq_ignore_ascii_case(name.as_bytes()) && value.contains(word)
        })
    };
    assert_eq!(asked.method, Method::Get);
    assert!(!matches!(came.status, 206 | 304));
    // A valid targeted field goes before: only where there is none does this one hold.
    if !came
        .fields
        .iter()
        .any(|field| field.name == b"CDN-Cache-Control")
    {
        assert!(!says(&came.fields, "Cache-Control", "no-store"));
        assert!(!says(&came.fields, "Cache-Control", "private"));
    }
    assert!(!says(&came.fields, "Vary", "*"));
    assert!(one.head.named(b"set-cookie").is_none());
    assert!(one.head.named(b"age").is_none() && one.head.named(b"connection").is_none());
    if says(&asked.fields, "Authorization", "") {
        let allowed = ["public", "must-revalidate", "s-maxage"];
        let control = |word| {
            says(&came.fields, "Cache-Control", word)
                || says(&came.fields, "CDN-Cache-Control", word)
        };
        assert!(allowed.iter().any(|word| control(word)));
    }
}

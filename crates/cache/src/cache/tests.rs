//! The store as the proxy sees it: what is stored is found, by whom it is for, until it is purged.

use std::sync::Arc;

use seawall_model::{Method, RequestHead, ResponseHead};

use super::*;
use crate::key::{Parts, Shape};
use crate::policy::{Answer, Plan, Times, keep};

pub(crate) const NOW: Time = Time(1_790_000_000_000);

pub(crate) fn request(target: &str, lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead {
        method: Method::Get,
        ..RequestHead::default()
    };
    head.method_span = head.fields.store(b"GET");
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(b"a.test");
    for (name, value) in lines {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

pub(crate) fn key_of(zone: u64, https: bool, request: &RequestHead) -> Arc<Key> {
    let shape = Shape::default();
    Arc::new(
        Key::of(&Parts {
            zone,
            https,
            request,
            shape: &shape,
        })
        .unwrap(),
    )
}

pub(crate) fn key(request: &RequestHead) -> Arc<Key> {
    key_of(1, true, request)
}

pub(crate) fn kept_at(request: &RequestHead, lines: &[(&str, &str)], now: Time) -> Kept {
    let mut response = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    response.fields.push(b"Cache-Control", b"max-age=3600");
    for (name, value) in lines {
        response.fields.push(name.as_bytes(), value.as_bytes());
    }
    keep(&Answer {
        request,
        response: &response,
        plan: &Plan::STANDARD,
        times: Times {
            requested: now,
            received: now,
        },
    })
    .unwrap()
}

pub(crate) fn kept(request: &RequestHead, lines: &[(&str, &str)]) -> Kept {
    kept_at(request, lines, NOW)
}

pub(crate) fn small() -> Arc<Cache> {
    Cache::new(Size {
        bytes: 4 * 1024 * 1024,
        zone_share: 100,
    })
}

/// Fetches and stores.
pub(crate) fn store(
    cache: &Arc<Cache>,
    key: &Arc<Key>,
    request: &RequestHead,
    lines: &[(&str, &str)],
    body: &[u8],
) -> Arc<Entry> {
    store_at(cache, key, request, lines, body, NOW)
}

pub(crate) fn store_at(
    cache: &Arc<Cache>,
    key: &Arc<Key>,
    request: &RequestHead,
    lines: &[(&str, &str)],
    body: &[u8],
    now: Time,
) -> Arc<Entry> {
    let seen = match cache.find(key, request) {
        Found::Entry(entry) => Some(entry),
        _ => None,
    };
    let Joined::Lead(mut lead) = cache.join(key, request, seen.as_ref(), None, now) else {
        panic!("somebody else leads");
    };
    assert!(lead.begin(kept_at(request, lines, now), request, None, 7, now));
    lead.push(body);
    lead.finish().unwrap()
}

#[track_caller]
pub(crate) fn body(cache: &Cache, key: &Arc<Key>, request: &RequestHead) -> Option<Vec<u8>> {
    match cache.find(key, request) {
        Found::Entry(entry) => Some(entry.body.pieces().concat()),
        _ => None,
    }
}

#[test]
fn what_is_stored_is_found_by_its_key_only() {
    let cache = small();
    let asked = request("/a?b", &[]);
    assert!(matches!(cache.find(&key(&asked), &asked), Found::Nothing));
    let entry = store(&cache, &key(&asked), &asked, &[("x", "y")], b"hello");
    assert_eq!((entry.rules, entry.head.only(b"x")), (7, Some(&b"y"[..])));
    assert_eq!(
        body(&cache, &key(&asked), &asked).as_deref(),
        Some(&b"hello"[..])
    );
    for other in [
        key_of(2, true, &asked),
        key_of(1, false, &asked),
        key(&request("/a", &[])),
        key(&request("/%61?b", &[])),
    ] {
        assert!(body(&cache, &other, &asked).is_none());
    }
    cache.forget(&key(&asked), &entry);
    assert!(body(&cache, &key(&asked), &asked).is_none());
    assert_eq!(cache.used(), (0, 0));
}

#[test]
fn a_request_gets_the_variant_that_it_selects() {
    let cache = small();
    let de = request("/", &[("accept-language", "de")]);
    let en = request("/", &[("accept-language", "en")]);
    let vary = [("Vary", "accept-language")];
    store(&cache, &key(&de), &de, &vary, b"hallo");
    assert!(matches!(cache.find(&key(&en), &en), Found::Others(_)));
    store(&cache, &key(&en), &en, &vary, b"hello");
    assert_eq!(body(&cache, &key(&de), &de).unwrap(), b"hallo");
    assert_eq!(body(&cache, &key(&en), &en).unwrap(), b"hello");
    assert_eq!(cache.used().1, 2);
    // The same one anew takes the old one's place.
    let later = Time(NOW.0 + 1);
    store_at(&cache, &key(&en), &en, &vary, b"hi", later);
    assert_eq!(cache.used().1, 2);
    assert_eq!(body(&cache, &key(&en), &en).unwrap(), b"hi");
    // One that varies by something else now: the latest of those that fit.
    store_at(&cache, &key(&en), &en, &[], b"for all", Time(NOW.0 + 2));
    assert_eq!(body(&cache, &key(&en), &en).unwrap(), b"for all");
    assert_eq!(body(&cache, &key(&de), &de).unwrap(), b"for all");
}

#[test]
fn a_url_has_a_bounded_number_of_variants() {
    let cache = small();
    for number in 0..crate::memory::MOST_VARIANTS + 5 {
        let asked = request("/", &[("x", &number.to_string())]);
        store(&cache, &key(&asked), &asked, &[("Vary", "x")], b"body");
    }
    assert_eq!(cache.used().1, crate::memory::MOST_VARIANTS);
    let first = request("/", &[("x", "0")]);
    assert!(matches!(cache.find(&key(&first), &first), Found::Others(_)));
    let last = request(
        "/",
        &[("x", &(crate::memory::MOST_VARIANTS + 4).to_string())],
    );
    assert!(body(&cache, &key(&last), &last).is_some());
}

#[test]
fn purging_a_url_meets_all_of_it() {
    let cache = small();
    let spellings = ["/a?b", "/%61?b", "/x/../a?b"];
    let fill = || {
        for target in spellings {
            for https in [true, false] {
                let asked = request(target, &[("x", "1")]);
                store(
                    &cache,
                    &key_of(1, https, &asked),
                    &asked,
                    &[("Vary", "x")],
                    b"body",
                );
            }
        }
        let other = request("/a?c", &[]);
        store(&cache, &key(&other), &other, &[], b"other");
    };
    fill();
    cache.purge_url(2, b"a.test", b"/a?b", None);
    cache.purge_url(1, b"b.test", b"/a?b", None);
    assert_eq!(cache.used().1, 7);
    cache.purge_url(1, b"A.test", b"/a?b", None);
    assert_eq!(cache.used().1, 1);
    cache.purge_url(1, b"a.test", b"/a?c", None);
    assert_eq!(cache.used(), (0, 0));
    fill();
    cache.purge_url(1, b"a.test", b"/a?b", Some(NOW));
    let asked = request("/a?b", &[("x", "1")]);
    let Found::Entry(entry) = cache.find(&key(&asked), &asked) else {
        panic!();
    };
    assert_eq!(entry.stamp.outdated(), Some(NOW));
}

#[test]
fn purges_by_scope_meet_what_is_stored_and_what_is_on_its_way() {
    let scopes: &[Scope<'_>] = &[
        Scope::Everything,
        Scope::Host(b"a.test"),
        Scope::Tag(b"t"),
        Scope::Prefix(b"a.test", b"/a"),
    ];
    for scope in scopes {
        let cache = small();
        let (one, two) = (request("/a", &[]), request("/a/b", &[]));
        store(&cache, &key(&one), &one, &[("Cache-Tag", "t")], b"old");
        let Joined::Lead(mut lead) = cache.join(&key(&two), &two, None, None, NOW) else {
            panic!();
        };
        cache.purge(1, *scope, Purge::Hard);
        assert!(body(&cache, &key(&one), &one).is_none(), "{scope:?}");
        assert_eq!(cache.used(), (0, 0));
        assert!(lead.begin(kept(&two, &[("Cache-Tag", "t")]), &two, None, 0, NOW));
        // Who comes after the purge does not get what was asked for before it.
        let joined = cache.join(&key(&two), &two, None, None, NOW);
        assert!(matches!(joined, Joined::Lead(_)), "{scope:?}");
        lead.push(b"old");
        assert!(lead.finish().is_err(), "{scope:?}");
        drop(joined);
        store(&cache, &key(&one), &one, &[("Cache-Tag", "t")], b"new");
        assert_eq!(body(&cache, &key(&one), &one).unwrap(), b"new", "{scope:?}");
    }
}

#[test]
fn what_was_validated_takes_the_place_of_what_was_stale() {
    let cache = small();
    let asked = request("/", &[]);
    let old = store(
        &cache,
        &key(&asked),
        &asked,
        &[("ETag", "\"a\""), ("x", "1")],
        b"body",
    );
    let lead = cache.lead(&key(&asked), &asked, &old, NOW).unwrap();
    assert!(
        cache.lead(&key(&asked), &asked, &old, NOW).is_none(),
        "one is enough"
    );
    let later = Time(NOW.0 + 5_000);
    let fresh = kept_at(&asked, &[("ETag", "\"a\""), ("x", "2")], later);
    let (new, stored) = cache.validated(&key(&asked), &old, fresh, &asked, lead.begun());
    assert_eq!(stored, Ok(()));
    lead.resolve(Arc::clone(&new));
    let Found::Entry(found) = cache.find(&key(&asked), &asked) else {
        panic!();
    };
    assert!(Arc::ptr_eq(&found, &new));
    assert_eq!(found.head.only(b"x"), Some(&b"2"[..]));
    assert!(
        Arc::ptr_eq(&found.body.pieces()[0], &old.body.pieces()[0]),
        "the body is not copied"
    );
    assert_eq!(cache.used().1, 1);
    // Purged while it was validated: gone.
    let lead = cache.lead(&key(&asked), &asked, &new, later).unwrap();
    cache.purge_url(1, b"a.test", b"/", None);
    let fresh = kept_at(&asked, &[("ETag", "\"a\"")], Time(later.0 + 1));
    let (_, stored) = cache.validated(&key(&asked), &new, fresh, &asked, lead.begun());
    assert_eq!(stored, Err(Outside::Purged));
    assert_eq!(cache.used(), (0, 0));
}

#[test]
fn what_is_validated_late_brings_nothing_back() {
    let cache = small();
    let asked = request("/", &[]);
    let tag = [("ETag", "\"a\"")];
    let late = |old: &Arc<Entry>, begun| {
        let fresh = kept_at(&asked, &tag, Time(NOW.0 + 9_000));
        cache.validated(&key(&asked), old, fresh, &asked, begun).1
    };
    let begun = cache.begun();
    let old = store(&cache, &key(&asked), &asked, &tag, b"old");
    // Another content came meanwhile; the next one varies besides, so that the old one lies beside it.
    let new = store_at(&cache, &key(&asked), &asked, &[], b"new", Time(NOW.0 + 1));
    assert_eq!(late(&old, begun), Err(Outside::Replaced));
    let vary = [("Vary", "x")];
    store_at(
        &cache,
        &key(&asked),
        &asked,
        &vary,
        b"newer",
        Time(NOW.0 + 2),
    );
    assert_eq!(cache.used().1, 2);
    assert_eq!(late(&new, begun), Err(Outside::Replaced));
    assert_eq!(body(&cache, &key(&asked), &asked).unwrap(), b"newer");
    // It was forgotten.
    cache.purge_url(1, b"a.test", b"/", None);
    let begun = cache.begun();
    let old = store(&cache, &key(&asked), &asked, &tag, b"old");
    cache.forget(&key(&asked), &old);
    assert_eq!(late(&old, begun), Err(Outside::Replaced));
    // It was purged before the request went out, and after it was found.
    let old = store(&cache, &key(&asked), &asked, &tag, b"old");
    cache.purge(1, Scope::Everything, Purge::Hard);
    assert_eq!(late(&old, cache.begun()), Err(Outside::Purged));
    assert!(body(&cache, &key(&asked), &asked).is_none());
}

#[test]
fn what_is_outdated_says_so() {
    let cache = small();
    let asked = request("/", &[]);
    let entry = store(&cache, &key(&asked), &asked, &[], b"body");
    let at = |seconds: u64| Time(NOW.0 + seconds * 1_000);
    assert_eq!((entry.ttl(at(10)), entry.age(at(10))), (3_590, 10));
    cache.purge_url(1, b"a.test", b"/", Some(at(10)));
    assert_eq!((entry.ttl(at(10)), entry.age(at(10))), (0, 3_600));
    assert_eq!((entry.ttl(at(17)), entry.age(at(17))), (-7, 3_600));
    assert_eq!(
        (entry.ttl(at(4_000)), entry.age(at(4_000))),
        (-3_990, 4_000)
    );
}

#[test]
fn purges_of_what_is_on_its_way_are_told() {
    let cache = small();
    let asked = request("/a", &[]);
    let mut fields = Fields::default();
    fields.push(b"Cache-Tag", b"t");
    let was_purged = |begun| cache.was_purged(&key(&asked), begun, &fields);
    let begun = cache.begun();
    cache.purge_url(1, b"a.test", b"/b", None);
    cache.purge(1, Scope::Tag(b"u"), Purge::Hard);
    assert!(!was_purged(begun));
    cache.purge_url(1, b"a.test", b"/a", None);
    assert!(was_purged(begun) && !was_purged(cache.begun()));
    for purge in [Purge::Hard, Purge::Soft(NOW)] {
        let begun = cache.begun();
        cache.purge(1, Scope::Tag(b"t"), purge);
        assert!(was_purged(begun) && !was_purged(cache.begun()));
    }
}

#[test]
fn who_came_while_another_finished_finds_it() {
    let cache = small();
    let asked = request("/", &[]);
    let looked = cache.find(&key(&asked), &asked);
    assert!(matches!(looked, Found::Nothing));
    let entry = store(&cache, &key(&asked), &asked, &[], b"body");
    // It looked before that was stored, and asks to join after.
    let Joined::Found(found) = cache.join(&key(&asked), &asked, None, None, NOW) else {
        panic!();
    };
    assert!(Arc::ptr_eq(&found, &entry));
    let joined = cache.join(&key(&asked), &asked, Some(&entry), None, NOW);
    assert!(matches!(joined, Joined::Lead(_)));
}

#[test]
fn tidying_forgets_records_and_nothing_else() {
    let cache = small();
    let (one, two) = (request("/1", &[]), request("/2", &[]));
    store(&cache, &key(&one), &one, &[("Cache-Tag", "stays")], b"1");
    store(&cache, &key(&two), &two, &[("Cache-Tag", "5")], b"2");
    for number in 0..crate::purge::MOST_RECORDS / 2 + 1 {
        cache.purge(1, Scope::Tag(number.to_string().as_bytes()), Purge::Hard);
    }
    cache.tidy();
    assert_eq!(cache.used().1, 1);
    assert!(body(&cache, &key(&one), &one).is_some());
    assert!(cache.purges().crowded().is_empty());
}

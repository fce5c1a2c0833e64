//! Which requests share a key, and which must not.

use super::*;
use seawall_model::Method;

fn request(authority: &str, target: &str, lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead {
        method: Method::Get,
        ..RequestHead::default()
    };
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(authority.as_bytes());
    for (name, value) in lines {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn key(zone: u64, https: bool, request: &RequestHead, shape: &Shape) -> Key {
    Key::of(&Parts {
        zone,
        https,
        request,
        shape,
    })
    .unwrap()
}

fn names(names: &[&str]) -> Box<[Box<[u8]>]> {
    names.iter().map(|name| name.as_bytes().into()).collect()
}

#[test]
fn whatever_tells_two_requests_apart_tells_their_keys_apart() {
    let plain = Shape::default();
    let of = |authority: &str, target: &str| key(1, true, &request(authority, target, &[]), &plain);
    let different = [
        of("a.test", "/"),
        of("b.test", "/"),
        of("a.test:8443", "/"),
        // An origin may make URLs of what it is called.
        of("A.TEST", "/"),
        of("a.test:443", "/"),
        of("a.test.", "/"),
        of("a.test.:443", "/"),
        of("a.test", "/?"),
        of("a.test", "/?a"),
        of("a.test", "/a"),
        of("a.test", "/A"),
        of("a.test", "/%61"),
        of("a.test", "//a"),
        of("a.test", "/a/../b"),
        of("a.test", "/b"),
        of("a.test", "/?a=1&b=2"),
        of("a.test", "/?b=2&a=1"),
        key(2, true, &request("a.test", "/", &[]), &plain),
        key(1, false, &request("a.test", "/", &[]), &plain),
    ];
    for (at, one) in different.iter().enumerate() {
        for other in &different[at + 1..] {
            assert_ne!(one.bytes, other.bytes);
        }
    }
    // A purge finds odd spellings by the usual one.
    for odd in ["A.TEST", "a.test:443", "a.test.", "a.test.:443"] {
        assert_eq!(of(odd, "/").host, of("a.test", "/").host, "{odd}");
    }
    for (odd, usual) in [
        ("/%61", "/a"),
        ("/a/../b", "/b"),
        ("/%2e/b?%7e", "/b?~"),
        ("/%2f", "/%2F"),
    ] {
        assert_eq!(&*of("a.test", odd).target, usual.as_bytes(), "{odd}");
    }
}

#[test]
fn no_two_values_can_pretend_to_be_others() {
    let shape = Shape {
        fields: names(&["x-a", "x-b"]),
        cookies: names(&["c"]),
        ..Shape::default()
    };
    let of = |lines: &[(&str, &str)]| key(1, true, &request("a.test", "/", lines), &shape).bytes;
    let different = [
        of(&[]),
        of(&[("x-a", "")]),
        of(&[("x-b", "")]),
        of(&[("x-a", "1"), ("x-b", "2")]),
        of(&[("x-a", "1\0\0\0\x012")]),
        of(&[("cookie", "c=1")]),
        of(&[("cookie", "c=")]),
        of(&[("cookie", "d=1; c=2")]),
    ];
    for (at, one) in different.iter().enumerate() {
        for other in &different[at + 1..] {
            assert_ne!(one, other);
        }
    }
    assert_eq!(of(&[("cookie", "d=1")]), of(&[]));
    assert_eq!(of(&[("x-other", "1")]), of(&[]));
}

#[test]
fn queries_count_as_the_rules_say() {
    let of = |query: Query, target: &str| {
        let shape = Shape {
            query,
            ..Shape::default()
        };
        key(1, true, &request("a.test", target, &[]), &shape).bytes
    };
    let plain = of(Query::All, "/x");
    assert_eq!(of(Query::Ignored, "/x?a=1"), plain);
    assert_eq!(
        of(Query::Only(names(&["a"])), "/x?b=1&a=2"),
        of(Query::All, "/x?a=2")
    );
    assert_eq!(of(Query::Only(names(&["a"])), "/x?ab=1"), plain);
    assert_eq!(
        of(Query::Except(names(&["utm"])), "/x?utm=1&a=2&b"),
        of(Query::All, "/x?a=2&b")
    );
}

#[test]
fn what_may_be_read_as_something_that_counts_does_count() {
    let of = |query: Query, target: &str| {
        let shape = Shape {
            query,
            ..Shape::default()
        };
        key(1, true, &request("a.test", target, &[]), &shape).bytes
    };
    let plain = of(Query::All, "/x");
    let only = |target: &str| of(Query::Only(names(&["id", "user_id"])), target);
    for query in [
        "%69d=1",
        "%49D=1",
        "ID=1",
        "id[]=1",
        "id%5B%5D=1",
        "id[x]=1",
        "id.x=1",
        "+id=1",
        "%20id=1",
        "id+=1",
        "id%00=1",
        "?id=1",
        "%2569d=1",
        "%u0069d=1",
        "id%3d1",
        "x=1;id=1",
        "x;id=1",
        "amp;id=1",
        "%ef%bd%89d=1",
        "user.id=1",
        "user%20id=1",
        "id",
        "x=1&id=1",
        "a%26id=1",
    ] {
        assert_ne!(only(&format!("/x?{query}")), plain, "{query}");
    }
    let bracketed = |target: &str| of(Query::Only(names(&["user[id]"])), target);
    for query in [
        "user[id][0]=6",
        "user%5Bid%5D%5B0%5D=8",
        "user=x",
        "user[]=1",
        "user.id=1",
    ] {
        assert_ne!(bracketed(&format!("/x?{query}")), plain, "{query}");
    }
    assert_eq!(bracketed("/x?id=1&users[id]=2"), plain);
    let dotted = |target: &str| of(Query::Only(names(&["a.b"])), target);
    for query in ["a_b=1", "a_b[0]=1", "a%20b%5B%5D=1", "a.b[c]=1", "a[b]=1"] {
        assert_ne!(dotted(&format!("/x?{query}")), plain, "{query}");
    }
    assert_eq!(dotted("/x?b[a_b]=1"), plain);
    for query in [
        "x=1", "x[]=1", "x[id]=1", "%78=1", "idx=1", "x=%69d", "x=a%3bid", "x.id=1", "",
    ] {
        assert_eq!(only(&format!("/x?{query}")), plain, "{query}");
    }
    // Of what is named by its escapes too.
    assert_ne!(
        of(Query::Only(names(&["caf%C3%A9"])), "/x?caf%c3%a9=1"),
        plain
    );
    let except = |target: &str| of(Query::Except(names(&["utm"])), target);
    assert_eq!(except("/x?utm=1"), plain);
    for query in ["utm=1;id=1", "utm;id=1", "UTM=1", "utm[]=1", "%75tm=1"] {
        assert_ne!(except(&format!("/x?{query}")), plain, "{query}");
    }
}

#[test]
fn all_that_may_be_a_cookie_or_a_field_counts() {
    let shape = Shape {
        fields: names(&["x-tenant"]),
        cookies: names(&["lang"]),
        device: true,
        ..Shape::default()
    };
    let of = |lines: &[(&str, &str)]| key(1, true, &request("a.test", "/", lines), &shape).bytes;
    let different = [
        of(&[]),
        of(&[("cookie", "lang=de")]),
        of(&[("cookie", "lang=xx")]),
        of(&[("cookie", "lang=de; lang=xx")]),
        of(&[("cookie", "lang=de"), ("cookie", "lang=yy")]),
        of(&[("cookie", "lang =xx")]),
        of(&[("cookie", "LANG=xx")]),
        of(&[("cookie", "l%61ng=xx")]),
        of(&[("cookie", "a=1 lang=xx")]),
        of(&[("cookie", "a=1,lang=xx")]),
        of(&[("cookie", "a=\"1; lang=de; b=1\"")]),
        of(&[("cookie", "a=\"\\\"; lang=de; b=\\\"\"")]),
        of(&[("x-tenant", "a")]),
        of(&[("x_tenant", "a")]),
        of(&[("x-tenant", "a"), ("X_Tenant", "b")]),
        of(&[("user-agent", "IPHONE")]),
        of(&[("user-agent", "x"), ("user-agent", "iPhone")]),
    ];
    for (at, one) in different.iter().enumerate() {
        for (nth, other) in different.iter().enumerate().skip(at + 1) {
            assert_ne!(one, other, "{at} and {nth}");
        }
    }
    let one = of(&[("cookie", "lang=de")]);
    for same in ["lang=de; a=1", "a=b=c; lang=de ", "language=1;lang=de;"] {
        assert_eq!(of(&[("cookie", same)]), one, "{same}");
    }
}

/// An origin that reads the first hundred, or thousand, has not seen what counts.
#[test]
fn of_very_many_all_count() {
    let of = |query: Query, target: &str| {
        let shape = Shape {
            query,
            ..Shape::default()
        };
        key(1, true, &request("a.test", target, &[]), &shape)
    };
    for query in [Query::Only(names(&["id"])), Query::Except(names(&["a"]))] {
        let usual = of(query.clone(), "/x?id=6");
        let with = |many: usize| format!("/x?{}id=6", "a&".repeat(many));
        assert_eq!(of(query.clone(), &with(99)).bytes, usual.bytes);
        for many in [100, 101, 1_000] {
            let odd = of(query.clone(), &with(many));
            assert_ne!(odd.bytes, usual.bytes, "{query:?} {many}");
            // A purge of it finds it.
            let form = counted_target(with(many).as_bytes(), &query).into_owned();
            assert_eq!(*odd.target, *normal(&form));
        }
    }
    let shape = Shape {
        cookies: names(&["lang"]),
        ..Shape::default()
    };
    let of = |cookie: &str| {
        let lines = [("cookie", cookie)];
        key(1, true, &request("a.test", "/", &lines), &shape).bytes
    };
    let with = |junk: &str, many: usize| junk.repeat(many) + "; lang=de";
    let usual = of("lang=de");
    assert_eq!(of(&with("; a", 99)), usual);
    for odd in [with("; a", 100), with("; a", 1_000), with("a=,", 200)] {
        assert_ne!(of(&odd), usual);
    }
    // One whose value is a list.
    assert_eq!(of(&with("1,", 200)), usual);
}

/// What is asked for all who share a key is asked with what is in the key.
#[test]
fn what_counts_of_a_request_has_the_same_key() {
    let shape = Shape {
        fields: names(&["x-tenant"]),
        cookies: names(&["lang", "theme"]),
        device: true,
        ..Shape::default()
    };
    let many = "a=1; ".repeat(200) + "lang=de";
    let rows: &[&[(&str, &str)]] = &[
        &[],
        &[("X-Tenant", "a"), ("x_tenant", "b"), ("X-Other", "c")],
        &[("Cookie", "secret=1; lang=de; a=\"b\";theme=dark")],
        &[("cookie", "secret=1"), ("cookie", "a=1 lang=xx")],
        &[("cookie", "a=\"1; lang=de; b=1\"")],
        &[("cookie", &many)],
        &[("User-Agent", "iPhone"), ("accept", "*/*")],
        &[("user-agent", "x"), ("user-agent", "iPhone")],
    ];
    for lines in rows {
        let whole = request("a.test", "/", lines);
        let mut part = request("a.test", "/", &[]);
        for field in whole.fields.iter() {
            if let Some(value) = shape.counted(&whole, field) {
                part.fields.push(field.name, &value);
            }
        }
        let of = |request: &RequestHead| key(1, true, request, &shape).bytes;
        assert_eq!(of(&part), of(&whole), "{lines:?}");
        let mut six = part.fields.raw().windows(6);
        assert!(!six.any(|six| six == b"secret"), "{lines:?}");
    }
    let one = request("a.test", "/", &[("Cookie", "s=1; Lang=de;theme=x; b")]);
    let field = one.fields.iter().next().unwrap();
    let counted = shape.counted(&one, field);
    assert_eq!(counted.as_deref(), Some(&b"Lang=de; theme=x"[..]));
    let plain = Shape::default();
    assert_eq!(plain.counted(&one, field), None);
}

#[test]
fn devices_have_three_classes() {
    for (agent, device) in [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Device::Desktop),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)", Device::Mobile),
        ("Mozilla/5.0 (Linux; Android 14) Mobile", Device::Mobile),
        ("Mozilla/5.0 (Linux; Android 14; SM-X200)", Device::Tablet),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_0) Mobile/15E148",
            Device::Tablet,
        ),
        ("", Device::Desktop),
    ] {
        let request = request("a.test", "/", &[("user-agent", agent)]);
        assert_eq!(Device::of(&request), device, "{agent}");
    }
}

#[test]
fn a_key_that_is_too_long_is_none() {
    let long = format!("/{}", "a".repeat(MOST_BYTES));
    let request = request("a.test", &long, &[]);
    let shape = Shape::default();
    let parts = Parts {
        zone: 1,
        https: true,
        request: &request,
        shape: &shape,
    };
    assert!(Key::of(&parts).is_none());
}

#[test]
fn dots_are_resolved_as_the_rfc_does() {
    for (path, resolved) in [
        ("/a/b/c/./../../g", "/a/g"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a//../b", "/a/b"),
        ("/a...", "/a..."),
        ("/?../x", "/?../x"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(without_dots(path.as_bytes()), resolved.as_bytes(), "{path}");
    }
    let mut random = crate::made_up::Random::new(5);
    for _ in 0..10_000 {
        let text: Vec<u8> = (0..random.below(20))
            .map(|_| b"/.%2eE?aF5"[random.below(10)])
            .collect();
        let once = normal(&text);
        assert_eq!(without_dots(&once), *once, "{text:?}");
    }
}

#[test]
fn a_purge_names_a_host_whatever_its_port() {
    for (authority, host) in [
        ("a.test", "a.test"),
        ("A.test.:8080", "a.test"),
        ("a.test:80", "a.test"),
        ("a.test:443", "a.test"),
        ("a.test:", "a.test"),
        ("a.test.", "a.test"),
        ("[::1]:8080", "[::1]"),
        ("[2001:db8::80]", "[2001:db8::80]"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("", ""),
    ] {
        let found = purged_host(authority.as_bytes());
        assert_eq!(found, host.as_bytes(), "{authority}");
        assert_eq!(purged_host(&found), found);
    }
}

//! Conditions of rules: bounded, the same each time, and never decided by how much fuel there is.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_model::{ConnFacts, Fuel, HttpVersion, RequestHead, RequestView};
use seawall_rules::{Bounds, Expression, Lists, NetworkSet, Set, Value};

/// More than any condition of 4 KiB may ask of the requests below.
const PLENTY: u64 = 50_000_000;

pub fn conditions(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let mut lists = Lists::new();
    lists.insert("office", Arc::new(NetworkSet::default()));
    let bounds = Bounds::default();
    keys(source, &lists, &bounds);
    let expression = match Expression::parse(source, &lists, &bounds) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(error.at + error.len <= source.len(), "{error:?}");
            assert!(source.is_char_boundary(error.at), "{error:?}");
            assert!(error.what.len() < 1000 && error.help.len() < 2000);
            assert!(error.render(source).len() < 2000);
            return;
        }
    };
    assert_eq!(expression.source(), source);
    let contrary = format!("not ({source})");
    let contrary = Expression::parse(&contrary, &lists, &bounds).ok();
    // Beside others it says what it says by itself.
    let others =
        OTHERS.map(|other| Expression::parse(other, &lists, &bounds).expect("another one"));
    let set = Set::new(others.iter().chain([&expression]).chain(&contrary));
    for (method, host, target, lines) in REQUESTS {
        let (head, conn) = (head(method, host, target, lines), conn());
        let view = || RequestView::new(&head, &conn, [192, 0, 2, 1].into(), true);
        let mut fuel = Fuel::new(PLENTY);
        let holds = expression.matches(&view(), &mut fuel);
        let holds = holds.expect("more than it may cost");
        let used = fuel.used();
        let with = |units| expression.matches(&view(), &mut Fuel::new(units));
        assert_eq!(with(used), Ok(holds), "what it costs is what it cost");
        for less in [0, used / 2, used - 1] {
            assert!(with(less).is_err(), "{less} of {used} are not enough");
        }
        let (mut fuel, mut found) = (Fuel::new(3 * PLENTY), Vec::new());
        let asked = set.fitting(&view(), &mut fuel, &mut found);
        asked.expect("more than it may cost");
        let place = others.len() as u32;
        assert_eq!(found.contains(&place), holds, "beside others");
        assert_eq!(found.contains(&(place + 1)), contrary.is_some() && !holds);
        if let Some(contrary) = &contrary {
            let said = contrary.matches(&view(), &mut Fuel::new(2 * PLENTY));
            assert_eq!(said, Ok(!holds), "{method} {target}");
        }
    }
}

/// Values that make keys: each its own place in them, the same each time.
fn keys(source: &str, lists: &Lists, bounds: &Bounds) {
    let value = match Value::parse(source, lists, bounds) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.at + error.len <= source.len(), "{error:?}");
            return;
        }
    };
    for (method, host, target, lines) in REQUESTS {
        let (head, conn) = (head(method, host, target, lines), conn());
        let view = RequestView::new(&head, &conn, [192, 0, 2, 1].into(), true);
        let mut keys = [Vec::new(), Vec::new()];
        for key in &mut keys {
            let told = value.append(&view, &mut Fuel::new(PLENTY), key);
            told.expect("more than it may cost");
        }
        assert_eq!(keys.first(), keys.last());
        let length = keys[0]
            .first_chunk::<4>()
            .map(|length| u32::from_be_bytes(*length));
        let behind = keys[0].len() - 4;
        assert!(length == Some(behind as u32) || (length == Some(u32::MAX) && behind == 0));
    }
}

/// So that tables of a set have something in them.
const OTHERS: [&str; 9] = [
    "http.host eq \"a.test\"",
    "starts_with(http.request.uri.path, \"/B\")",
    "ends_with(http.request.uri.path, \".css\")",
    "http.user_agent contains \"curl\"",
    "http.user_agent contains \"url\"",
    "http.user_agent contains \"wget\"",
    "http.user_agent contains \"bot\"",
    "ip.src in {192.0.2.0/24 2001:db8::/32}",
    "http.request.method in {\"GET\" \"POST\"} and not ssl",
];

type Lines = &'static [(&'static str, &'static str)];

const REQUESTS: [(&str, &str, &str, Lines); 3] = [
    ("GET", "a.test", "/", &[]),
    (
        "POST",
        "Shop.Test:8443",
        "/a/%2e%2e//B.css?x=1&y=%00",
        &[
            ("cookie", "a=b"),
            ("Cookie", "c=d"),
            ("user-agent", "curl/8"),
            ("x-a", ""),
            (
                "X-A",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            ),
        ],
    ),
    ("\u{e9}", "", "*", &[("x-a", "\u{ff}"), ("referer", "\t")]),
];

fn head(method: &str, host: &str, target: &str, lines: Lines) -> RequestHead {
    let mut head = RequestHead::default();
    head.method_span = head.fields.store(method.as_bytes());
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(host.as_bytes());
    head.version = HttpVersion::Http2;
    for (name, value) in lines {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn conn() -> ConnFacts {
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    ConnFacts {
        peer,
        local: peer,
        tls: None,
    }
}

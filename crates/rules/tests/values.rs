//! Values by which requests are told apart.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use request::Request;
use seawall_model::Fuel;
use seawall_rules::{Bounds, Lists, Value};

fn key(sources: &[&str], request: &Request) -> Vec<u8> {
    let mut key = Vec::new();
    for source in sources {
        let value = Value::parse(source, &Lists::new(), &Bounds::default()).unwrap();
        let fuel = &mut Fuel::new(10_000);
        value.append(&request.view(), fuel, &mut key).unwrap();
    }
    key
}

#[test]
fn requests_with_other_values_have_other_keys() {
    let of = |sources: &[&str], lines: &[(&str, &str)]| {
        key(sources, &Request::new("GET", "a.test", "/x", lines))
    };
    let named = "http.request.headers[\"x-key\"][0]";
    assert_eq!(
        of(&[named], &[("x-key", "a")]),
        of(&[named], &[("X-Key", "a")])
    );
    assert_ne!(
        of(&[named], &[("x-key", "a")]),
        of(&[named], &[("x-key", "A")])
    );
    assert_ne!(
        of(&[named], &[("x-key", "")]),
        of(&[named], &[]),
        "empty is not absent"
    );
    let two = [named, "http.cookie"];
    let (left, right) = (
        [("x-key", "ab"), ("cookie", "c")],
        [("x-key", "a"), ("cookie", "bc")],
    );
    assert_ne!(
        of(&two, &left),
        of(&two, &right),
        "values do not run into one another"
    );
    for source in [
        "len(http.cookie)",
        "ssl",
        "lower(http.request.method)",
        "ip.src.country",
    ] {
        assert!(
            of(&[source], &[]).len() > 4 || source == "ip.src.country",
            "{source}"
        );
    }
}

#[test]
fn an_ipv6_client_is_its_network_unless_it_is_cut_otherwise() {
    let of = |source: &str, ip: &str| {
        let mut request = Request::new("GET", "a.test", "/x", &[]);
        request.client = ip.parse().unwrap();
        key(&[source], &request)
    };
    assert_eq!(
        of("ip.src", "2001:db8::1"),
        of(" ip.src ", "2001:db8::ffff:1")
    );
    assert_ne!(of("ip.src", "2001:db8::1"), of("ip.src", "2001:db8:0:1::1"));
    let whole = "cidr(ip.src, 32, 128)";
    assert_ne!(of(whole, "2001:db8::1"), of(whole, "2001:db8::2"));
    assert_ne!(of("ip.src", "192.0.2.1"), of("ip.src", "192.0.2.2"));
    let net = "cidr(ip.src, 24, 64)";
    assert_eq!(of(net, "192.0.2.1"), of(net, "192.0.2.2"));
}

#[test]
fn what_is_no_value_is_pointed_at() {
    for (source, place, says) in [
        ("ip.src eq 1.2.3.4", 7..9, "one value is meant"),
        ("http.request.headers", 0..20, "write [\"name\"][0]"),
        (
            "starts_with(http.host, \"a\")",
            0..27,
            "write it into `when`",
        ),
        ("ip.srcs", 0..7, "did you mean `ip.src`?"),
        ("", 0..0, "missing"),
    ] {
        let error = Value::parse(source, &Lists::new(), &Bounds::default()).unwrap_err();
        assert_eq!(error.at..error.at + error.len, place, "{source}: {error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

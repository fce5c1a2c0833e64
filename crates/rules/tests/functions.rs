//! What each function, map, array, wildcard and kind of list means. Expectations are those of Cloudflare's documentation where it
//! gives some.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use std::net::IpAddr;
use std::sync::Arc;

use request::{Request, parse};
use seawall_model::place::Code;
use seawall_model::{Fuel, HostPattern, Place, Places, RequestView, TlsFacts};
use seawall_rules::{HostSet, List, Lists, NumberSet, TextSet};

fn request() -> Request {
    Request::new(
        "GET",
        "Shop.Example.test",
        "/Apps/calendar/login?category=Foo&ord%65r=desc&category=Bar&q=a%2520b+c&flag&&id=7",
        &[
            ("Accept-Language", "de, en;q=0.5"),
            ("X-Categories", "groceries,,electronics,diy"),
            ("X-Categories", "auto"),
            ("Client-Id", "MTIzYWJj"),
            ("Cookie", "app=test; session=\"a=b\""),
            ("Cookie", "App=other; %61pp=third; lone"),
            (
                "X-Json",
                r#"{"network":{"name":"x","ids":[4,-5]},"a":"b\u0063"}"#,
            ),
        ],
    )
}

fn lists() -> Lists {
    let mut lists = Lists::new();
    let texts = ["GET", "a"].map(|text| text.as_bytes().into()).to_vec();
    lists.insert("texts", List::Texts(Arc::new(TextSet::new(texts))));
    let numbers = NumberSet::new(vec![7..=7, 64_512..=65_534]);
    lists.insert("numbers", List::Numbers(Arc::new(numbers)));
    let hosts = ["a.test", "*.EXAMPLE.test"].map(|host| HostPattern::parse(host).unwrap());
    let hosts = HostSet::new(&hosts);
    lists.insert("hosts", List::Hosts(Arc::new(hosts)));
    lists
}

#[track_caller]
fn check(expected: bool, sources: &[&str]) {
    for source in sources {
        assert_eq!(request().matches(source, &lists()), expected, "{source}");
    }
}

#[test]
fn texts_are_put_together_and_taken_apart() {
    check(
        true,
        &[
            r#"concat("String1", " ", "String", "2") eq "String1 String2""#,
            r#"concat(http.host, http.request.method) eq "shop.example.testGET""#,
            r#"substring(http.request.uri.path, 1, 5) eq "Apps""#,
            r#"substring(http.request.uri.path, -5) eq "login""#,
            r#"substring(http.request.uri.path, 0, -15) eq "/Apps""#,
            r#"substring(http.request.uri.path, 5, 2) eq """#,
            r#"substring(http.request.uri.path, 999) eq """#,
            r#"substring(http.request.uri.path, -999, 1) eq "/""#,
            r#"substring(lower(http.request.uri.path), 1, 5) eq "apps""#,
            r#"remove_bytes(http.host, "\x2e\x65") eq "shopxampltst""#,
            r#"len(split(http.request.headers["x-categories"][0], ",", 64)) eq 4"#,
            r#"split(http.request.headers["x-categories"][0], ",", 64)[1] eq """#,
            r#"split(http.request.headers["x-categories"][0], ",", 3)[2] eq "electronics,diy""#,
            r#"any(split(http.request.headers["x-categories"][0], ",", 64)[*] eq "diy")"#,
            r#"join(http.request.headers["x-categories"], "|") eq "groceries,,electronics,diy|auto""#,
            r#"join(http.request.headers["x-none"], "|") eq """#,
            r#"join(split(http.host, ".", 9), "-") eq "shop-example-test""#,
            r#"decode_base64(http.request.headers["client-id"][0]) eq "123abc""#,
            r#"any(decode_base64(http.request.headers["client-id"][*])[*] eq "123abc")"#,
            r#"encode_base64(http.request.method) eq "R0VU""#,
            r#"to_string(len(http.request.method)) eq "3""#,
            r#"to_string(ip.src) eq "192.0.2.1""#,
            r#"to_string(ssl) eq "true""#,
            r#"upper(concat("a", http.request.method)) eq "AGET""#,
        ],
    );
    check(
        false,
        &[
            // What is made of nothing is nothing.
            r#"concat("a", http.request.headers["x-none"][0]) eq "a""#,
            r#"lower(substring(http.request.headers["x-none"][0], 0)) eq """#,
            r#"decode_base64(http.host) eq """#,
            r#"split(http.host, ".", 9)[3] eq """#,
            r#"any(split(http.request.headers["x-none"][0], ",", 9)[*] eq "")"#,
        ],
    );
}

#[test]
fn arguments_and_cookies_are_found_by_their_decoded_names() {
    check(
        true,
        &[
            r#"http.request.uri.args["category"][0] eq "Foo""#,
            r#"http.request.uri.args["category"][1] eq "Bar""#,
            r#"len(http.request.uri.args["category"]) eq 2"#,
            r#"http.request.uri.args["order"][0] eq "desc""#,
            r#"any(http.request.uri.args["q"][*] eq "a%2520b+c")"#,
            r#"any(url_decode(http.request.uri.args["q"][*])[*] eq "a%20b c")"#,
            r#"url_decode(http.request.uri.args["q"][0], "r") eq "a b c""#,
            r#"http.request.uri.args["flag"][0] eq """#,
            r#"len(http.request.uri.args.names) eq 6"#,
            r#"any(http.request.uri.args.names[*] eq "ord%65r")"#,
            r#"any(http.request.uri.args.values[*] eq "7")"#,
            r#"any(raw.http.request.uri.args.values[*] eq "7")"#,
            r#"any(len(http.request.uri.args.values[*])[*] eq 9)"#,
            r#"has_key(http.request.uri.args, "id")"#,
            r#"not has_key(http.request.uri.args, "ID")"#,
            r#"has_value(http.request.uri.args, "desc")"#,
            r#"has_value(http.request.uri.args["category"], "Bar")"#,
            r#"not has_value(http.request.uri.args["order"], "Bar")"#,
            r#"remove_query_args(http.request.uri.query, "category", "q") eq "ord%65r=desc&flag&&id=7""#,
            r#"http.request.cookies["app"][0] eq "test""#,
            r#"http.request.cookies["app"][1] eq "third""#,
            r#"http.request.cookies["session"][0] eq "\"a=b\"""#,
            r#"all(http.request.cookies["app"][*] in {"test" "third"})"#,
            r#"len(http.request.cookies.names) eq 5"#,
            r#"has_key(http.request.cookies, "lone")"#,
            r#"any(http.request.cookies.values[*] eq "other")"#,
        ],
    );
}

#[test]
fn names_and_values_of_headers() {
    check(
        true,
        &[
            r#"any(http.request.headers.names[*] eq "x-categories")"#,
            r#"any(http.request.headers.names[*] eq "X-Categories")"#,
            r#"any(lower(http.request.headers.names[*])[*] contains "json")"#,
            r#"any(http.request.headers.names[*] contains "JSON")"#,
            r#"http.request.headers.names[0] eq "accept-language""#,
            r#"len(http.request.headers.names) eq 7"#,
            r#"any(http.request.headers.values[*] eq "auto")"#,
            r#"any(len(http.request.headers.values[*])[*] gt 40)"#,
            r#"not any(len(http.request.headers.values[*]) gt 400)"#,
            r#"has_key(http.request.headers, "ACCEPT-language")"#,
            r#"has_value(http.request.headers, "auto")"#,
            r#"has_value(http.request.headers.names, "Cookie")"#,
        ],
    );
}

#[test]
fn values_in_json_are_looked_up() {
    check(
        true,
        &[
            r#"lookup_json_string(http.request.headers["x-json"][0], "network", "name") eq "x""#,
            r#"lookup_json_string(http.request.headers["x-json"][0], "a") eq "bc""#,
            r#"lookup_json_integer(http.request.headers["x-json"][0], "network", "ids", 1) eq -5"#,
            r#"lookup_json_integer(http.request.headers["x-json"][0], "network", "ids", 2) ne 4"#,
        ],
    );
    check(
        false,
        &[
            r#"lookup_json_string(http.request.headers["x-json"][0], "network") contains """#,
            r#"lookup_json_string(http.request.headers["x-json"][0], "none") eq """#,
            r#"lookup_json_integer(http.request.headers["x-json"][0], "a") lt 9"#,
        ],
    );
}

#[test]
fn wildcards_describe_the_whole_text() {
    check(
        true,
        &[
            r#"http.request.full_uri wildcard "https://*.example.test/apps/*""#,
            r#"http.request.uri.path wildcard "/apps/*/LOGIN""#,
            r#"http.request.uri.path strict wildcard "/Apps/*/login""#,
            r#"http.host strict wildcard "SHOP.*""#,
            r#"http.request.uri.path wildcard "*""#,
            r#"lower(http.request.uri.path) strict wildcard "/apps/*""#,
            r#"upper(http.request.uri.path) wildcard "/apps/*""#,
            r#"any(http.request.headers["x-categories"][*] wildcard "au*")"#,
            r#"wildcard_replace(http.request.uri.path, "/apps/*/login", "/${1}/login") eq "/calendar/login""#,
            r#"wildcard_replace(http.request.uri.path, "/apps/*", "/x", "s") eq "/Apps/calendar/login""#,
            r#"regex_replace(http.request.uri.path, r"^/(\w+)/(\w+)", "/${2}/${1}") eq "/calendar/Apps/login""#,
            r#"regex_replace(http.request.uri.path, r"x{3}", "") eq "/Apps/calendar/login""#,
        ],
    );
    check(
        false,
        &[
            r#"http.request.uri.path wildcard "/apps""#,
            r#"http.request.uri.path wildcard "apps/*""#,
            r#"http.request.uri.path strict wildcard "/apps/*""#,
            r#"http.request.uri.path wildcard "/apps/*/*/login""#,
        ],
    );
}

#[test]
fn lists_are_of_texts_numbers_and_hosts() {
    check(
        true,
        &[
            "http.request.method in $texts",
            "http.host in $hosts",
            "len(http.request.uri.args[\"id\"]) in {1}",
            "not len(http.request.method) in $numbers",
            "any(http.request.uri.args.values[*] in {\"7\"})",
            "not lower(http.request.method) in $texts",
        ],
    );
}

#[test]
fn addresses_are_cut_to_their_networks() {
    let mut request = request();
    let holds = |request: &Request, source: &str| request.matches(source, &lists());
    request.client = "113.10.0.2".parse().unwrap();
    assert!(holds(&request, "cidr(ip.src, 24, 24) eq 113.10.0.0"));
    assert!(holds(&request, "cidr(ip.src, 32, 24) eq 113.10.0.2"));
    assert!(holds(&request, "cidr6(ip.src, 24) eq 113.10.0.2"));
    assert!(holds(
        &request,
        "to_string(cidr(ip.src, 8, 24)) eq \"113.0.0.0\""
    ));
    request.client = "2001:0000:130F:0000:0000:09C0:876A:130B".parse().unwrap();
    assert!(holds(&request, "cidr(ip.src, 24, 24) eq 2001::"));
    assert!(holds(&request, "cidr6(ip.src, 48) in {2001:0:130f::}"));
    assert!(holds(
        &request,
        "cidr6(ip.src, 128) eq 2001:0:130f::9c0:876a:130b"
    ));
}

#[derive(Debug)]
struct Berlin;

impl Places for Berlin {
    fn price(&self) -> u64 {
        1_000
    }

    fn place(&self, ip: IpAddr) -> Place {
        match ip.is_ipv4() {
            true => Place {
                country: Code::new(b"de"),
                continent: Code::new(b"EU"),
                asn: 64_512,
            },
            false => Place::default(),
        }
    }
}

#[test]
fn places_are_known_where_there_is_data() {
    let known = [
        r#"ip.src.country eq "DE""#,
        r#"ip.geoip.country in {"DE" "FR"}"#,
        r#"ip.src.continent eq "EU""#,
        "ip.src.asnum eq 64512",
        "ip.geoip.asnum in $numbers",
        "ip.src.is_in_european_union",
    ];
    let mut request = request();
    for source in known {
        let expression = parse(source, &lists());
        let holds = |view: RequestView<'_>| expression.matches(&view, &mut Fuel::new(10_000));
        assert_eq!(
            holds(request.view().with_places(Some(&Berlin))),
            Ok(true),
            "{source}"
        );
        assert_eq!(holds(request.view()), Ok(false), "{source} without data");
    }
    assert!(request.matches(r#"ip.src.country eq "" and ip.src.asnum eq 0"#, &lists()));
    request.client = "::1".parse().unwrap();
    let expression = parse(known[0], &lists());
    let view = request.view().with_places(Some(&Berlin));
    assert_eq!(expression.matches(&view, &mut Fuel::new(10_000)), Ok(false));
}

#[test]
fn connections_tell_of_themselves() {
    let mut request = request();
    let holds = |request: &Request, source: &str| request.matches(source, &lists());
    assert!(holds(
        &request,
        r#"cf.tls_version eq "" and not cf.tls_client_auth.cert_verified"#
    ));
    assert!(holds(
        &request,
        "cf.edge.server_port eq 1 and cf.edge.server_ip eq 127.0.0.1"
    ));
    request.conn.tls = Some(TlsFacts {
        version: "TLSv1.3",
        client_verified: true,
        ..TlsFacts::default()
    });
    assert!(holds(
        &request,
        r#"cf.tls_version eq "TLSv1.3" and cf.tls_client_auth.cert_verified"#
    ));
}

#[test]
fn raw_fields_are_what_the_client_sent() {
    let request = Request::new("GET", "A.test", "/x/..%2fb.TAR.Gz?a", &[]);
    for source in [
        r#"raw.http.request.full_uri eq "https://a.test/x/..%2fb.TAR.Gz?a""#,
        r#"raw.http.request.uri.path.extension eq "Gz""#,
        r#"http.request.uri.path.extension eq "gz""#,
        r#"http.request.full_uri eq "https://a.test/b.TAR.Gz?a""#,
    ] {
        assert!(request.matches(source, &lists()), "{source}");
    }
}

//! What each field, operator and function means.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use std::sync::Arc;

use request::{Request, parse};
use seawall_model::{Fuel, Network, Spent};
use seawall_rules::{
    Bounds, Expression, FIELDS, FUNCTIONS, Lists, NetworkSet, OPERATORS, REFUSED_FIELDS,
    REFUSED_FUNCTIONS, Set,
};

fn lists() -> Lists {
    let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
    let mut lists = Lists::new();
    lists.insert("office", Arc::new(NetworkSet::new(networks)));
    lists.insert("none", Arc::new(NetworkSet::default()));
    lists
}

fn request() -> Request {
    Request::new(
        "POST",
        "Shop.Example.test:8443",
        "/a/../Docs//%41dmin/cart.tar.GZ?q=1&next=/x?y",
        &[
            ("User-Agent", "Mozilla/5.0 (X11)"),
            ("Cookie", "a=1"),
            ("X-Token", "first"),
            ("cookie", "b=2"),
            ("x-token", "Second"),
            ("X_Forwarded_For", "9.9.9.9"),
            ("X-Empty", ""),
        ],
    )
}

#[track_caller]
fn check(request: &Request, expected: bool, sources: &[&str]) {
    for source in sources {
        assert_eq!(request.matches(source, &lists()), expected, "{source}");
    }
}

#[test]
fn fields_say_what_the_request_has() {
    check(
        &request(),
        true,
        &[
            r#"http.request.method eq "POST""#,
            r#"http.request.version == "HTTP/2""#,
            r#"http.host eq "shop.example.test""#,
            r#"http.request.uri.path eq "/Docs/Admin/cart.tar.GZ""#,
            r#"http.request.uri.path.extension eq "gz""#,
            r#"http.request.uri.query eq "q=1&next=/x?y""#,
            r#"http.request.uri eq "/Docs/Admin/cart.tar.GZ?q=1&next=/x?y""#,
            r#"raw.http.request.uri eq "/a/../Docs//%41dmin/cart.tar.GZ?q=1&next=/x?y""#,
            r#"raw.http.request.uri.path eq "/a/../Docs//%41dmin/cart.tar.GZ""#,
            r#"raw.http.request.uri.query eq "q=1&next=/x?y""#,
            r#"http.request.full_uri eq "https://shop.example.test/Docs/Admin/cart.tar.GZ?q=1&next=/x?y""#,
            r#"http.user_agent eq "Mozilla/5.0 (X11)""#,
            r#"http.referer eq """#,
            r#"http.cookie eq "a=1; b=2""#,
            r#"http.x_forwarded_for eq """#,
            "ip.src eq 192.0.2.1",
            "ssl",
        ],
    );
    let mut plain = Request::new("GET", "[2001:db8::1]:80", "/plain", &[]);
    plain.https = false;
    plain.client = "2001:db8::7".parse().unwrap();
    check(
        &plain,
        true,
        &[
            r#"http.host eq "[2001:DB8::1]""#,
            r#"http.request.uri eq "/plain""#,
            r#"http.request.full_uri eq "http://[2001:db8::1]/plain""#,
            r#"http.request.uri.query eq """#,
            r#"http.request.uri.path.extension eq """#,
            "not ssl",
            "ip.src eq 2001:db8::7",
            "ip.src eq 2001:DB8:0:0::7",
        ],
    );
    let all = Request::new("OPTIONS", "a.test", "*", &[]);
    check(&all, true, &[r#"http.request.uri.path eq "*""#]);
}

#[test]
fn texts_are_compared() {
    check(
        &request(),
        true,
        &[
            r#"http.request.method ne "post""#,
            r#"http.request.uri.path contains "Admin""#,
            r#"http.request.uri.path contains """#,
            r#"http.request.uri.path matches r"^/Docs/.*\.GZ$""#,
            r#"http.request.uri.path ~ "(?i)admin""#,
            r#"http.request.method in {"GET" "POST"}"#,
            r##"http.request.method in {r"GET" r#"POST"# "\x50OST"}"##,
            r#"http.user_agent contains "\x4dozilla""#,
            r#"http.user_agent eq "Mozilla\x2f5.0 (X11)""#,
            r#"starts_with(http.request.uri.path, "/Docs/")"#,
            r#"ends_with( http.request.uri.path , ".GZ" )"#,
            r#"starts_with(http.request.method, "")"#,
            r#"lower(http.request.uri.path) eq "/docs/admin/cart.tar.gz""#,
            r#"lower(http.request.uri.path) contains "/admin/""#,
            r#"lower(http.request.uri.path) matches "^/docs/admin""#,
            r#"upper(http.request.uri.path) matches "^/DOCS/ADMIN""#,
            r#"upper(lower(http.request.method)) eq "POST""#,
            r#"lower(http.cookie) contains "; b=2""#,
            r#"lower(http.request.method) in {"get" "post"}"#,
            r#"ends_with(lower(http.request.uri.path), ".gz")"#,
        ],
    );
    check(
        &request(),
        false,
        &[
            r#"http.request.method eq "post""#,
            r#"http.request.method eq "POST ""#,
            r#"http.request.uri.path contains "admin""#,
            r#"http.request.uri.path matches "^Docs""#,
            r#"http.request.method in {"GET" "PUT" "post"}"#,
            r#"starts_with(http.request.uri.path, "/docs/")"#,
            r#"ends_with(http.request.method, "A POST")"#,
            r#"lower(http.request.uri.path) matches "[A-Z]""#,
        ],
    );
}

#[test]
fn hosts_and_extensions_have_no_case() {
    check(
        &request(),
        true,
        &[
            r#"http.host eq "SHOP.example.TEST""#,
            r#"http.host contains "EXAMPLE""#,
            r#"http.host matches "^Shop\\.""#,
            r#"http.host in {"a.test" "Shop.Example.Test"}"#,
            r#"starts_with(http.host, "SHOP.")"#,
            r#"ends_with(http.host, ".Test")"#,
            r#"lower(http.host) eq "Shop.example.test""#,
            r#"upper(http.host) eq "SHOP.EXAMPLE.TEST""#,
            r#"http.request.uri.path.extension in {"gz" "zip"}"#,
            r#"http.request.uri.path.extension eq "GZ""#,
        ],
    );
}

#[test]
fn numbers_are_compared() {
    check(
        &request(),
        true,
        &[
            "len(http.request.method) eq 4",
            "len(http.request.method) ne 5",
            "len(http.request.method) lt 5",
            "len(http.request.method) <= 4",
            "len(http.request.method) gt -1",
            "len(http.request.method) >= 4",
            "len(http.request.method) in {1 4}",
            "len(http.request.method) in {3..5}",
            "len(upper(http.request.method)) in {1..2 4..4}",
            "len(http.referer) == 0",
        ],
    );
    check(
        &request(),
        false,
        &[
            "len(http.request.method) lt 4",
            "len(http.request.method) gt 4",
            "len(http.request.method) in {1..3 5..9}",
        ],
    );
}

#[test]
fn addresses_are_compared() {
    check(
        &request(),
        true,
        &[
            "ip.src ne 192.0.2.2",
            "ip.src in {192.0.2.1}",
            "ip.src in {10.0.0.0/8 192.0.2.0/25 2001:db8::/32}",
            "ip.src in {192.0.1.255..192.0.2.1}",
            "ip.src in $office",
            "not ip.src in $none",
        ],
    );
    check(
        &request(),
        false,
        &[
            "ip.src in {10.0.0.0/8 192.0.2.128/25 2001:db8::/32 ::/0}",
            "ip.src in {192.0.2.2..192.0.2.9}",
            "ip.src in $none",
        ],
    );
}

#[test]
fn header_lines_are_asked_one_by_one_or_all() {
    check(
        &request(),
        true,
        &[
            r#"http.request.headers["x-token"][0] eq "first""#,
            r#"http.request.headers["X-TOKEN"][1] eq "Second""#,
            r#"lower(http.request.headers["x-token"][1]) eq "second""#,
            r#"http.request.headers["cookie"][1] eq "b=2""#,
            r#"http.request.headers["x-empty"][0] eq """#,
            r#"any(http.request.headers["x-token"][*] eq "Second")"#,
            r#"any(http.request.headers["x-token"][*] ne "Second")"#,
            r#"any(lower(http.request.headers["x-token"][*]) contains "second")"#,
            r#"any(starts_with(http.request.headers["cookie"][*], "b="))"#,
            r#"all(http.request.headers["x-token"][*] in {"first" "Second"})"#,
            r#"all(http.request.headers[ "cookie" ] [ * ] matches "^[ab]=")"#,
            r#"len(http.request.headers["x-token"]) eq 2"#,
            r#"len(http.request.headers["cookie"]) eq 2"#,
            r#"len(http.request.headers["x-none"]) eq 0"#,
            r#"len(http.request.headers["x-token"][1]) eq 6"#,
            r#"len(http.request.headers["x_forwarded-by"]) eq 0"#,
        ],
    );
    check(
        &request(),
        false,
        &[
            r#"http.request.headers["x-token"][0] contains "Second""#,
            r#"any(http.request.headers["x-token"][*] eq "third")"#,
            r#"all(http.request.headers["x-token"][*] eq "first")"#,
            r#"all(http.request.headers["x-token"][*] ne "first")"#,
        ],
    );
}

/// What is not there is not equal, not contained, not short: a rule that lets a request pass does not hold for want of a line.
#[test]
fn a_line_that_is_not_there_makes_all_false_but_ne() {
    check(
        &request(),
        false,
        &[
            r#"http.request.headers["x-none"][0] eq """#,
            r#"http.request.headers["x-token"][2] contains """#,
            r#"http.request.headers["x-none"][0] matches """#,
            r#"http.request.headers["x-none"][0] in {""}"#,
            r#"starts_with(http.request.headers["x-none"][0], "")"#,
            r#"len(http.request.headers["x-none"][0]) eq 0"#,
            r#"len(http.request.headers["x-none"][0]) lt 5"#,
            r#"any(http.request.headers["x-none"][*] ne "a")"#,
            r#"all(http.request.headers["x-none"][*] eq "a")"#,
            r#"all(http.request.headers["x-none"][*] ne "a")"#,
        ],
    );
    check(
        &request(),
        true,
        &[
            r#"http.request.headers["x-none"][0] ne "a""#,
            r#"len(http.request.headers["x-none"][0]) ne 0"#,
        ],
    );
}

#[test]
fn not_binds_more_than_and_more_than_xor_more_than_or() {
    // `ssl` holds, `no` does not.
    let no = r#"http.request.method eq "GET""#;
    for (source, expected) in [
        ("ssl or ssl and NO", true),
        ("(ssl or ssl) and NO", false),
        ("NO and NO or ssl", true),
        ("NO and (NO or ssl)", false),
        ("not NO and NO", false),
        ("not (NO and NO)", true),
        ("not NO or ssl", true),
        ("not (NO or ssl)", false),
        ("ssl xor ssl and NO", true),
        ("(ssl xor ssl) and NO", false),
        ("ssl or ssl xor ssl", true),
        ("(ssl or ssl) xor ssl", false),
        ("ssl xor ssl xor ssl", true),
        ("ssl xor ssl", false),
        ("ssl ^^ NO", true),
        ("not not ssl", true),
        ("!!!ssl", false),
        ("! NO && !NO || NO", true),
        ("not(ssl)", false),
        ("(ssl)and(ssl)", true),
        ("NO||ssl", true),
        ("\n ssl\tand\r\n ssl ", true),
    ] {
        let source = source.replace("NO", no);
        assert_eq!(request().matches(&source, &lists()), expected, "{source}");
    }
}

#[test]
fn spaces_may_be_left_out_where_nothing_is_unclear() {
    check(
        &request(),
        true,
        &[
            r#"http.request.method=="POST"&&http.request.method!="GET""#,
            r#"len(http.request.method)>3"#,
            r#"http.request.method in{"POST"}"#,
            r#"http.request.method~"OS""#,
            "ip.src in{192.0.2.1}",
            r#"(((ssl)))"#,
        ],
    );
}

#[test]
fn fuel_runs_out_and_says_so() {
    let long = "a".repeat(60_000);
    let request = Request::new(
        "GET",
        "a.test",
        "/",
        &[("x-long", &long), ("cookie", &long)],
    );
    let lists = lists();
    for source in [
        r#"http.request.headers["x-long"][0] contains "b""#,
        r#"http.request.headers["x-long"][0] matches "b""#,
        r#"http.request.headers["x-long"][0] matches "a.{80}b""#,
        r#"lower(http.cookie) contains "b""#,
        r#"any(http.request.headers["x-long"][*] contains "b")"#,
    ] {
        let expression = parse(source, &lists);
        let mut fuel = Fuel::new(u64::MAX);
        assert_eq!(expression.matches(&request.view(), &mut fuel), Ok(false));
        let needed = fuel.used();
        assert!(needed > 200, "{source}: {needed}");
        let mut fuel = Fuel::new(needed);
        assert_eq!(
            expression.matches(&request.view(), &mut fuel),
            Ok(false),
            "{source}"
        );
        for less in [0, 1, 100, needed / 2, needed - 1] {
            let mut fuel = Fuel::new(less);
            assert_eq!(
                expression.matches(&request.view(), &mut fuel),
                Err(Spent),
                "{source} with {less} of {needed}"
            );
        }
    }
    let short = parse(
        r#"http.host eq "b.test" or http.request.uri.path eq "/x""#,
        &lists,
    );
    let mut fuel = Fuel::new(60);
    assert_eq!(short.matches(&request.view(), &mut fuel), Ok(false));
}

#[test]
fn what_is_decided_is_not_asked_further() {
    let long = "a".repeat(60_000);
    let request = Request::new("GET", "a.test", "/", &[("x-long", &long)]);
    for source in [
        r#"not ssl and http.request.headers["x-long"][0] matches "b""#,
        r#"not (ssl or http.request.headers["x-long"][0] matches "b")"#,
    ] {
        let mut fuel = Fuel::new(100);
        let expression = parse(source, &lists());
        assert_eq!(expression.matches(&request.view(), &mut fuel), Ok(false));
    }
}

#[test]
fn every_entry_of_the_tables_can_be_written() {
    for field in FIELDS {
        assert!(!field.what.is_empty());
        let name = field.name;
        let test = match field.kind.name() {
            "text" => format!("{name} eq \"\""),
            "an address" => format!("{name} eq ::1"),
            "a number" => format!("{name} eq 0"),
            "several texts" => format!("len({name}) eq 0"),
            "several texts by name" => format!("len({name}[\"a\"]) eq 0"),
            _ => name.to_owned(),
        };
        parse(&test, &lists());
    }
    for operator in OPERATORS {
        let test = |spelling: &str| match operator.name {
            "not" => format!("{spelling} ssl"),
            "and" | "or" | "xor" => format!("ssl {spelling} ssl"),
            "contains" | "matches" | "wildcard" | "strict wildcard" => {
                format!("http.host {spelling} \"a\"")
            }
            "in" => format!("http.host {spelling} {{\"a\"}}"),
            _ => format!("len(http.host) {spelling} 1"),
        };
        parse(&test(operator.name), &lists());
        operator.symbol.map(|symbol| parse(&test(symbol), &lists()));
    }
    for function in FUNCTIONS {
        let call = function
            .form
            .replace("\"…\"", "\"a\"")
            .replace("texts", "http.request.headers[\"a\"]")
            .replace("map", "http.request.headers")
            .replace("address", "ip.src")
            .replace("number", "len(http.cookie)")
            .replace(" …)", " eq \"a\")");
        let field = match function.name {
            "remove_query_args" => "http.request.uri.query",
            _ => "http.cookie",
        };
        let call = call.replace("text", field);
        let test = match function.gives.name() {
            "text" => format!("{call} eq \"1\""),
            "a number" => format!("{call} eq 1"),
            "an address" => format!("{call} eq ::1"),
            "several texts" => format!("len({call}) eq 1"),
            _ => call,
        };
        parse(&test, &lists());
    }
    for refusal in REFUSED_FIELDS {
        let source = match refusal.name.strip_suffix(['.', '_']) {
            Some(_) => format!("{}x", refusal.name),
            None => refusal.name.to_owned(),
        };
        let error = Expression::parse(&source, &lists(), &Bounds::default()).unwrap_err();
        assert_eq!((error.at, error.len), (0, source.len()), "{source}");
        assert_eq!(error.help, refusal.instead, "{source}");
    }
    for refusal in REFUSED_FUNCTIONS {
        let source = format!("{}(http.host)", refusal.name);
        let error = Expression::parse(&source, &lists(), &Bounds::default()).unwrap_err();
        assert_eq!(error.help, refusal.instead, "{source}");
    }
}

#[test]
fn threads_share_an_expression() {
    fn shared<T: Send + Sync>(_: &T) {}
    let expression = Expression::parse("ssl", &Lists::new(), &Bounds::default()).unwrap();
    shared(&expression);
}

#[test]
fn constants_stand_for_all_requests_and_for_none() {
    let yes = [
        "true",
        "not false",
        "false or http.request.method eq \"POST\"",
        "(true) and not (false xor false)",
        "true xor false",
    ];
    let no = [
        "false",
        "not true",
        "true and http.request.method eq \"GET\"",
        "false and http.request.method eq \"POST\"",
    ];
    check(&request(), true, &yes);
    check(&request(), false, &no);
    let expressions: Vec<Expression> = yes
        .iter()
        .chain(&no)
        .map(|source| parse(source, &lists()))
        .collect();
    let set = Set::new(&expressions);
    let (mut found, mut fuel) = (Vec::new(), Fuel::new(1_000_000));
    set.fitting(&request().view(), &mut fuel, &mut found)
        .unwrap();
    assert_eq!(found, [0, 1, 2, 3, 4]);
    let error = Expression::parse("true eq 1", &lists(), &Bounds::default()).unwrap_err();
    assert!(
        error.to_string().contains("is not expected here"),
        "{error}"
    );
}

#[test]
fn who_asks_the_path_is_known() {
    for field in FIELDS.iter().map(|field| field.name) {
        let has_path = field.contains("uri") && !field.contains("query") && !field.contains("args");
        let asked = [
            format!("{field} eq \"a\""),
            format!("{field} eq 1"),
            format!("{field} eq 192.0.2.1"),
            field.to_owned(),
            format!("has_value({field}, \"a\")"),
            format!("has_key({field}, \"a\")"),
        ]
        .into_iter()
        .find_map(|source| Expression::parse(&source, &lists(), &Bounds::default()).ok())
        .unwrap_or_else(|| panic!("{field} can be asked nothing"));
        assert_eq!(asked.reads_path(), has_path, "{field}");
    }
    for (source, reads) in [
        (
            r#"ssl or not (ssl and http.request.uri.path eq "/a")"#,
            true,
        ),
        ("len(lower(http.request.uri)) gt 5", true),
        (
            r#"any(split(http.request.uri.path, "/", 9)[*] eq "a")"#,
            true,
        ),
        (r#"http.referer contains "/a" and ip.src in $office"#, false),
    ] {
        assert_eq!(parse(source, &lists()).reads_path(), reads, "{source}");
    }
}

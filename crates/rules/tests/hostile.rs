//! Sources that nobody means well: refused or taken in bounded time, never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use request::{Numbers, Request};
use seawall_model::Fuel;
use seawall_rules::{Bounds, Expression, Lists, NetworkSet};

const MANY: usize = 300_000;

/// What takes the square of that takes longer, and what is linear takes less on any machine.
const FOREVER: Duration = Duration::from_secs(60);

/// Bounds that let long sources in, to see that reading them is linear.
const WIDE: Bounds = Bounds {
    source_bytes: 100_000_000,
    depth: usize::MAX,
    nodes: usize::MAX,
    set_members: usize::MAX,
    pattern_bytes: 256 << 10,
};

fn lists() -> Lists {
    let mut lists = Lists::new();
    lists.insert("office", Arc::new(NetworkSet::default()));
    lists
}

#[test]
fn what_is_too_long_is_refused_unread() {
    for source in ["(".repeat(MANY), "not ".repeat(MANY), "\"".repeat(MANY)] {
        let error = Expression::parse(&source, &lists(), &Bounds::default()).unwrap_err();
        assert_eq!(error.what, "this expression is longer than 4096 bytes");
    }
}

#[test]
fn long_sources_take_linear_time() {
    let set = |member: &str, count: usize| format!("{{{}}}", format!("{member} ").repeat(count));
    let sources = [
        ("(".repeat(MANY), false),
        (format!("{}ssl", "not ".repeat(MANY)), true),
        (format!("{}ssl", "!".repeat(MANY)), true),
        (format!("{}ssl", "ssl or ".repeat(MANY)), true),
        ("lower(".repeat(MANY), false),
        ("any(".repeat(MANY), false),
        (format!("http.host in {}", set("\"aaaa\"", MANY)), true),
        (format!("ip.src in {}", set("10.0.0.0/8", MANY / 4)), true),
        (format!("len(http.host) in {}", set("1..9", MANY)), true),
        (format!("http.host eq \"{}", "a".repeat(MANY)), false),
        (format!("http.host eq \"{}\"", "\\x41".repeat(MANY)), true),
        (format!("http.host eq r{}\"", "#".repeat(MANY)), false),
        (format!("http.host eq r#\"{}", "\"".repeat(MANY)), false),
        (format!("http.host eq {}", "1".repeat(MANY)), false),
        (format!("ip.src eq {}", "1.".repeat(MANY)), false),
        (format!("ip.src eq {}", "1:".repeat(MANY)), false),
        (format!("ip.src in ${}", "a".repeat(MANY)), false),
        ("a".repeat(MANY), false),
        (format!("http.host {}", "a".repeat(MANY)), false),
        (" ".repeat(MANY), false),
        ("\u{0}".repeat(MANY), false),
        ("é".repeat(MANY), false),
        (format!("http.host ~ \"{}\"", "a|".repeat(MANY)), false),
        (format!("http.host ~ \"{}\"", "(".repeat(MANY)), false),
        (format!("http.host ~ \"{}\"", "a{9}".repeat(MANY)), false),
        (format!("http.host ~ \"a{}\"", "{99}".repeat(40)), false),
        (format!("http.host ~ \"{}\"", "[a-z]".repeat(MANY)), false),
        (format!("http.host ~ \"[{}]\"", "a-z".repeat(MANY)), true),
    ];
    for (source, taken) in &sources {
        let begin = Instant::now();
        let parsed = Expression::parse(source, &lists(), &WIDE);
        let shown: String = source.chars().take(40).collect();
        assert_eq!(parsed.is_ok(), *taken, "{shown} {:?}", parsed.err());
        if let Err(error) = parsed {
            let length = error.to_string().len() + error.render(source).len();
            assert!(length < 2000, "{shown}: a message of {length} bytes");
            assert!(error.at + error.len <= source.len(), "{shown}");
        }
        let took = begin.elapsed();
        assert!(took < FOREVER, "{shown}: {took:?}");
    }
}

#[test]
fn patterns_are_compiled_in_bounded_time_and_matched_in_linear_time() {
    let long = "a".repeat(30_000);
    let request = Request::new("GET", "a.test", "/", &[("x-long", &long)]);
    for pattern in [
        "(a*)*b",
        "(a+)+$b",
        "(a|aa)+b",
        "(.*)(.*)(.*)(.*)(.*)x",
        "a{1,200}b",
        ".*a.{60}b",
        "(?:a?){80}a{80}b",
        "([a-z]{1,9}[0-9]?){1,30}!",
        r"(\w+\s?)+!",
    ] {
        let source = format!("http.request.headers[\"x-long\"][0] matches r\"{pattern}\"");
        let begin = Instant::now();
        let Ok(expression) = Expression::parse(&source, &lists(), &Bounds::default()) else {
            continue;
        };
        let mut fuel = Fuel::new(u64::MAX);
        assert_eq!(
            expression.matches(&request.view(), &mut fuel),
            Ok(false),
            "{pattern}"
        );
        assert!(
            fuel.used() < 30_000 * 6500 * 10,
            "{pattern} {}",
            fuel.used()
        );
        assert!(begin.elapsed() < FOREVER, "{pattern}");
    }
}

/// Twice as much text costs twice as much fuel at most, whatever it is and whatever is made of it.
#[test]
fn what_functions_make_costs_linear_fuel() {
    let of = |function: &str| format!("{function} eq \"x\"");
    let header = "http.request.headers[\"x-long\"][0]";
    let sources = [
        of("lower(url_decode(HEADER, \"ru\"))"),
        of("url_decode(url_decode(HEADER))"),
        of("decode_base64(HEADER)"),
        of("encode_base64(HEADER)"),
        of("concat(HEADER, HEADER, HEADER)"),
        of("join(split(HEADER, \"%2\", 128), \"--------\")"),
        of("remove_bytes(HEADER, \"%a\")"),
        of("substring(HEADER, 3, -3)"),
        of("lookup_json_string(HEADER, \"a\", 0, \"a\", 0)"),
        of("regex_replace(HEADER, \"(a|2|5)*b\", \"${1}\")"),
        of("wildcard_replace(HEADER, \"*2*5*%*2*a*\", \"${1}${2}${3}${4}\")"),
        of("http.request.uri.args[\"a\"][0]"),
        of("remove_query_args(http.request.uri.query, \"a\", \"aa\", \"%\")"),
        of("http.request.cookies[\"a\"][60000]"),
        "any(http.request.uri.args.values[*] contains \"ab\")".to_owned(),
        "HEADER wildcard \"*a*a*a*a*a*a*a*a*a*b*a*\"".to_owned(),
        "any(split(HEADER, \"a\", 128)[*] wildcard \"*%*%*5\")".to_owned(),
    ];
    let texts = [
        "%25",
        "%2525",
        "a",
        "a=%61&",
        "{\"a\":[",
        "\\",
        "[",
        "a;",
        "aaaaaaaaab",
        "+",
        "%",
        "\"a\",",
    ];
    for source in sources.map(|source| source.replace("HEADER", header)) {
        let expression = Expression::parse(&source, &lists(), &Bounds::default()).unwrap();
        for text in texts {
            let cost = |bytes: usize| {
                let long = text.repeat(bytes / text.len());
                let lines = [("x-long", long.as_str()), ("cookie", &long)];
                let request = Request::new("GET", "a.test", &format!("/?{long}"), &lines);
                let mut fuel = Fuel::new(u64::MAX);
                expression.matches(&request.view(), &mut fuel).unwrap();
                fuel.used()
            };
            let (once, twice) = (cost(8_000), cost(16_000));
            assert!(
                twice <= 2 * once + 500,
                "{source} of {text}: {once}, then {twice}"
            );
            assert!(twice < 16_000 * 60, "{source} of {text}: {twice}");
        }
    }
}

#[test]
fn sources_changed_at_random_never_panic() {
    let seeds = [
        r#"any(split(concat(http.host, "a", http.cookie), ";", 12)[*] strict wildcard r"*\**") or http.request.uri.args["a"][0] in {"b"}"#,
        r#"wildcard_replace(url_decode(http.cookie, "ur"), "*=*", "${2}$$${1}", "s") ne substring(http.host, -3, 9) or has_key(http.request.cookies, "a")"#,
        r#"lookup_json_integer(decode_base64(http.cookie), "a", 0) in {1..4} and cidr(ip.src, 24, 48) in $office and to_string(ssl) eq "true""#,
        r#"http.host eq "shop.test" and starts_with(http.request.uri.path, "/admin") and not ip.src in $office"#,
        r#"(http.request.method in {"GET" "POST"} or len(http.cookie) >= 1024) xor ssl"#,
        r##"any(lower(http.request.headers["x-a"][*]) matches r#"^[a-z]+(x|y){2,5}$"#) && !ssl"##,
        r#"ip.src in {10.0.0.0/8 192.0.2.1..192.0.2.9 2001:db8::/32} || http.user_agent ~ "\x41(b|c)*""#,
        r#"len(http.request.headers["cookie"]) in {1 3..5} and http.request.headers["x"][0] ne "é""#,
    ];
    let pieces = [
        "(",
        ")",
        "\"",
        "not ",
        "and ",
        " or ",
        "{",
        "}",
        "[",
        "]",
        "[*]",
        "[\"a\"]",
        "[0]",
        "split(",
        "concat(",
        "wildcard ",
        "${1}",
        "*",
        "\\",
        "\\x",
        "..",
        "$",
        "r#\"",
        "\u{0}",
        "é",
        "\u{1f600}",
        "http.host",
        "ip.src",
        "lower(",
        "any(",
        "len(",
        "99999999999999999999",
        "-",
        ",",
        "{1000}",
        "::",
        "/",
        "^^",
        "=",
        " in ",
        "matches ",
        "\n",
        "|",
        "(?i)",
        "\\p{L}",
    ];
    let request = Request::new(
        "GET",
        "a.test",
        "/?a",
        &[("x-a", "abcxy"), ("cookie", "a=b")],
    );
    let bounds = Bounds {
        pattern_bytes: 16 << 10,
        ..Bounds::default()
    };
    let (lists, mut numbers, mut taken) = (lists(), Numbers(11), 0);
    for round in 0..20_000 {
        let mut source: Vec<char> = numbers.pick(&seeds).chars().collect();
        for _ in 0..=round % 5 {
            let at = numbers.below(source.len() + 1);
            let until = (at + numbers.below(6)).min(source.len());
            match numbers.below(4) {
                0 => {
                    source.drain(at..until);
                }
                1 => {
                    let copy: Vec<char> = source.get(at..until).unwrap_or_default().to_vec();
                    source.splice(at..at, copy);
                }
                _ => {
                    let piece = numbers.pick(&pieces).chars();
                    source.splice(at..at, piece);
                }
            }
        }
        let source: String = source.into_iter().collect();
        match Expression::parse(&source, &lists, &bounds) {
            Ok(expression) => {
                taken += 1;
                let mut fuel = Fuel::new(1_000_000);
                assert!(
                    expression.matches(&request.view(), &mut fuel).is_ok(),
                    "{source}"
                );
            }
            Err(error) => {
                assert!(
                    !error.what.is_empty() && !error.what.contains('\n'),
                    "{source}"
                );
                assert!(source.is_char_boundary(error.at), "{source}: {error:?}");
                assert!(
                    source.is_char_boundary(error.at + error.len),
                    "{source}: {error:?}"
                );
                assert_eq!(error.render(&source).lines().count(), 2, "{source}");
            }
        }
    }
    assert!(taken > 500, "only {taken} sources were taken");
}

//! Measures what a unit of fuel is worth: nanoseconds for each unit that an operator takes, which should be 0.5 to 2.
//!
//! `cargo run --release -p seawall-rules --example fuel_of_rules`
#![allow(clippy::expect_used, reason = "a program to measure with")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use seawall_model::{ConnFacts, Fuel, Network, RequestHead, RequestView};
use seawall_rules::{Bounds, Expression, Lists, NetworkSet};

const LONG: usize = 16 << 10;
const PATH: &str = "starts_with(http.request.uri.path, \"/admin\")";

fn main() {
    let words = "The quick brown fox jumps over the lazy dog 0123456789 ";
    let prose: String = words.chars().cycle().take(LONG).collect();
    let letters = "a".repeat(LONG);
    let plain_path = format!("/{}", "segment/".repeat(LONG / 8));
    let short = head(
        "/shop/cart.php?id=17",
        &[("user-agent", "Mozilla/5.0 (X11; Linux)")],
    );
    let other = [
        ("x-one", "1"),
        ("x-two", "2"),
        ("accept", "*/*"),
        ("cookie", "a=b; c=d"),
    ];
    let mut lines: Vec<(&str, &str)> = other.into_iter().cycle().take(40).collect();
    lines.push(("x-prose", &prose));
    lines.push(("x-letters", &letters));
    let pairs = "ab".repeat(LONG / 2);
    lines.push(("x-pairs", &pairs));
    let rare = "qxxxxxxx_xxxxxxxz".repeat(LONG / 17);
    lines.push(("x-rare", &rare));
    let dense = "qz".repeat(LONG / 2);
    lines.push(("x-dense", &dense));
    lines.push(("cookie", &prose));
    lines.push(("user-agent", "x"));
    let long = head(&plain_path, &lines);
    let cookies = head("/", &[("cookie", "name=a-value-of-some-length;1234"); 200]);
    // Each request's first rule that asks for its path has it normalised.
    let dirty = head(&format!("/{}", "%61b//./c%2fd\\\\".repeat(LONG / 16)), &[]);
    let encoded = head(&format!("/{}", "%61".repeat(LONG / 3)), &[]);
    let dots = head(&format!("/{}", "a/../".repeat(LONG / 5)), &[]);
    // No slash and no dot: both are looked for to the end.
    let flat = head(&format!("/{letters}"), &[]);
    let arguments = head(
        &format!("/?{}", "name=a+value&%6eame=%41b&".repeat(LONG / 25)),
        &[],
    );
    let json = format!(
        "{{{}\"z\":1}}",
        "\"name\":{\"a\":[1,2,\"\\u0041\"]},".repeat(LONG / 34)
    );
    let base64 = "MTIzYWJj".repeat(LONG / 8);
    let commas = "some words,".repeat(LONG / 11);
    let encodings = "%41%2541+".repeat(LONG / 9);
    let escapes = format!("{{\"a\":\"{}\"}}", "\\n\\u0041x".repeat(LONG / 9));
    let other = head(
        "/shop/cart.php?id=17",
        &[
            ("x-json", json.as_str()),
            ("x-base64", &base64),
            ("x-commas", &commas),
            ("x-encodings", &encodings),
            ("x-escapes", &escapes),
            ("x-prose", &prose),
            ("x-pairs", &pairs),
        ],
    );
    let of = |function: &str, name: &str, more: &str| {
        format!("{function}(http.request.headers[\"{name}\"][0]{more}) eq \"x\"")
    };
    let lists = lists();
    let equal = |text: &str| format!("eq \"{text}\"");
    let cases: Vec<(&str, &RequestHead, String)> = vec![
        ("short: method eq", &short, "http.request.method eq \"GET\"".into()),
        ("first: path begins", &short, PATH.into()),
        ("first: path begins, long", &long, PATH.into()),
        ("first: path begins, dirty", &dirty, PATH.into()),
        ("first: path begins, encoded", &encoded, PATH.into()),
        ("first: path begins, dots", &dots, PATH.into()),
        ("short: host eq", &short, "http.host eq \"shop.example.test\"".into()),
        ("short: host in 3", &short, "http.host in {\"a.test\" \"shop.example.test\" \"b.test\"}".into()),
        ("short: path begins", &short, "starts_with(http.request.uri.path, \"/admin\")".into()),
        ("short: path contains", &short, "http.request.uri.path contains \"admin\"".into()),
        ("short: path matches", &short, "http.request.uri.path matches r\"^/api/v[0-9]+/\"".into()),
        ("short: path matches (all)", &short, "http.request.uri.path matches r\"[0-9]{3}$\"".into()),
        ("short: extension in", &short, "http.request.uri.path.extension in {\"css\" \"js\" \"png\"}".into()),
        ("short: query contains", &short, "http.request.uri.query contains \"select\"".into()),
        ("short: user agent contains", &short, "http.user_agent contains \"curl\"".into()),
        ("short: lower(ua) contains", &short, "lower(http.user_agent) contains \"curl\"".into()),
        ("short: uri contains", &short, "http.request.uri contains \"../\"".into()),
        ("short: full_uri eq", &short, "http.request.full_uri eq \"x\"".into()),
        ("short: header [0]", &short, "http.request.headers[\"x-no\"][0] eq \"1\"".into()),
        ("short: ip eq", &short, "ip.src eq 192.0.2.1".into()),
        ("short: ip in 3", &short, "ip.src in {192.0.2.1 10.0.0.0/8 2001:db8::/32}".into()),
        ("short: ssl", &short, "ssl".into()),
        ("short: ten nodes", &short, ["ssl"; 10].join(" or ")),
        ("list of 10,000", &short, "ip.src in $small".into()),
        ("list of 500,000", &short, "ip.src in $large".into()),
        ("list of 1,000,000", &short, "ip.src in $largest".into()),
        ("long: path begins", &long, "starts_with(http.request.uri.path, \"/admin\")".into()),
        ("long: raw path begins", &long, "starts_with(raw.http.request.uri.path, \"/admin\")".into()),
        ("long: query", &long, "http.request.uri.query eq \"x\"".into()),
        ("long: extension", &flat, "http.request.uri.path.extension eq \"css\"".into()),
        ("long: uri ends", &long, "ends_with(http.request.uri, \"x\")".into()),
        ("long: full_uri ends", &long, "ends_with(http.request.full_uri, \"x\")".into()),
        ("long: header absent", &long, "http.request.headers[\"x-none\"][0] eq \"1\"".into()),
        ("long: known header, last", &long, "http.user_agent eq \"1\"".into()),
        ("long: known header", &long, "http.request.headers[\"cookie\"][0] eq \"1\"".into()),
        ("long: cookie joined", &long, "http.cookie eq \"x\"".into()),
        ("long: cookie joined, many", &cookies, "http.cookie eq \"x\"".into()),
        ("long: eq", &long, format!("http.request.headers[\"x-prose\"][0] {}", equal(&prose))),
        ("long: lower eq", &long, format!("lower(http.request.headers[\"x-letters\"][0]) {}", equal(&letters))),
        ("long: in 1", &long, format!("http.request.headers[\"x-prose\"][0] in {{\"{prose}\"}}")),
        ("long: lower in 1", &long, format!("lower(http.request.headers[\"x-letters\"][0]) in {{\"{letters}\"}}")),
        ("long: contains", &long, "http.request.headers[\"x-prose\"][0] contains \"union select\"".into()),
        ("long: contains 1", &long, "http.request.headers[\"x-prose\"][0] contains \"!\"".into()),
        ("long: contains, worst", &long, "http.request.headers[\"x-letters\"][0] contains \"aaaaaaaaaaaaaaab\"".into()),
        ("long: contains, worst 2", &long, "http.request.headers[\"x-letters\"][0] contains \"baaaaaaaaaaaaaaa\"".into()),
        (
            "long: contains, pairs",
            &long,
            "http.request.headers[\"x-pairs\"][0] contains \"abababababababba\"".into(),
        ),
        (
            "long: contains, dense",
            &long,
            "http.request.headers[\"x-dense\"][0] contains \"aqzb\"".into(),
        ),
        (
            "long: contains, denser",
            &long,
            "http.request.headers[\"x-dense\"][0] contains \"qzqzqzqzqzqzqzzq\"".into(),
        ),
        (
            "long: contains, rare",
            &long,
            "http.request.headers[\"x-rare\"][0] contains \"qxxxxxxxxxxxxxxxz\"".into(),
        ),
        ("long: contains, worst 3", &long, "http.request.headers[\"x-letters\"][0] contains \"aaaaaaaabaaaaaaaaaaaaaaa\"".into()),
        ("long: lower contains", &long, "lower(http.request.headers[\"x-prose\"][0]) contains \"union select\"".into()),
        ("long: any lines contain", &long, "any(http.request.headers[\"cookie\"][*] contains \"union select\")".into()),
        ("long: table", &long, "http.request.headers[\"x-prose\"][0] matches r\"union\\s+select\"".into()),
        ("long: table (?i)", &long, "http.request.headers[\"x-prose\"][0] matches r\"(?i)union\\s+select|drop\\s+table|insert\\s+into\"".into()),
        ("long: table, classes", &long, "http.request.headers[\"x-letters\"][0] matches r\"[a-z]+@[a-z]+\"".into()),
        ("long: side by side, few", &long, "http.request.headers[\"x-prose\"][0] matches r\"select.{1,80}from\"".into()),
        ("long: side by side, many", &long, "http.request.headers[\"x-letters\"][0] matches r\"a.{1,80}from\"".into()),
        ("long: side by side, classes", &long, "http.request.headers[\"x-prose\"][0] matches r\"[a-z ]{40}.{30}[!?]|o.{80}x!\"".into()),
        ("short: argument", &short, "http.request.uri.args[\"id\"][0] eq \"17\"".into()),
        ("short: wildcard", &short, "http.request.uri.path wildcard \"/shop/*.php\"".into()),
        ("short: concat", &short, "concat(http.host, http.request.uri.path) eq \"x\"".into()),
        ("short: cidr", &short, "cidr(ip.src, 24, 48) in {192.0.2.0/24 10.0.0.0/8}".into()),
        ("long: argument", &arguments, "http.request.uri.args[\"none\"][0] eq \"1\"".into()),
        ("long: argument, many", &arguments, "all(http.request.uri.args[\"name\"][*] ne \"1\")".into()),
        ("long: cookies", &cookies, "http.request.cookies[\"none\"][0] eq \"1\"".into()),
        ("long: split", &other, "any(split(http.request.headers[\"x-commas\"][0], \",\", 128)[*] eq \"x\")".into()),
        ("long: join", &other, "join(split(http.request.headers[\"x-commas\"][0], \",\", 128), \"--\") eq \"x\"".into()),
        ("long: url_decode", &other, of("url_decode", "x-encodings", "")),
        ("long: url_decode r", &other, of("url_decode", "x-encodings", ", \"ru\"")),
        ("long: url_decode, none", &other, of("url_decode", "x-prose", "")),
        ("long: decode_base64", &other, of("decode_base64", "x-base64", "")),
        ("long: encode_base64", &other, of("encode_base64", "x-prose", "")),
        ("long: remove_bytes", &other, of("remove_bytes", "x-prose", ", \"aeiou\"")),
        ("long: substring", &other, of("substring", "x-prose", ", 5, -5")),
        ("long: json", &other, "lookup_json_integer(http.request.headers[\"x-json\"][0], \"z\") eq 2".into()),
        ("long: json, deep", &other, of("lookup_json_string", "x-json", ", \"name\", \"a\", 2")),
        ("long: json, escapes", &other, of("lookup_json_string", "x-escapes", ", \"a\"")),
        ("long: wildcard", &other, "http.request.headers[\"x-prose\"][0] wildcard \"*lazy*union*select*\"".into()),
        ("long: wildcard, pieces", &other, format!("http.request.headers[\"x-prose\"][0] strict wildcard \"{}*!\"", "*lazy".repeat(60))),
        ("long: wildcard_replace", &other, of("wildcard_replace", "x-prose", ", \"*quick*dog*\", \"${3}${1}\"")),
    ];
    println!("{:<32} {:>10} {:>10} {:>8}", "", "ns", "units", "ns/unit");
    for (name, head, source) in &cases {
        measure(name, head, source, &lists);
    }
}

fn measure(name: &str, head: &RequestHead, source: &str, lists: &Lists) {
    let bounds = Bounds {
        source_bytes: 1 << 20,
        ..Bounds::default()
    };
    let begin = Instant::now();
    let expression = Expression::parse(source, lists, &bounds).expect(name);
    let compiled = begin.elapsed();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let conn = ConnFacts {
        peer,
        local: peer,
        tls: None,
    };
    // So many that a large list is not in the caches: as it is where many clients ask, each now and then.
    let many = if name.starts_with("list") {
        1 << 17
    } else {
        1 << 10
    };
    let clients: Vec<Ipv4Addr> = (0..many)
        .map(|nth: u32| Ipv4Addr::from_bits(nth.wrapping_mul(0x9e37_79b9)))
        .collect();
    let views = clients
        .iter()
        .map(|ip| RequestView::new(head, &conn, (*ip).into(), false));
    let views: Vec<RequestView<'_>> = views.collect();
    let mut units = 0;
    let anew = name.starts_with("first");
    let mut run = |views: &[RequestView<'_>]| {
        for view in views {
            let new = anew.then(|| RequestView::new(head, &conn, view.client, false));
            let view = new.as_ref().unwrap_or(view);
            let mut fuel = Fuel::new(u64::MAX);
            black_box(expression.matches(black_box(view), &mut fuel)).expect("enough fuel");
            units = fuel.used();
        }
    };
    // The first time each normalises its path.
    let begin = Instant::now();
    let mut warm = 0_u128;
    for view in &views {
        run(std::slice::from_ref(view));
        warm += 1;
        if begin.elapsed().as_millis() > 200 {
            break;
        }
    }
    // Short rounds, few of which anybody else on the machine falls into.
    let each = begin.elapsed().as_nanos() / warm;
    let few = usize::try_from(20_000 / each.max(1))
        .unwrap_or(1)
        .clamp(1, 64);
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_millis() < 60 {
        for few in views.chunks(few).take(warm as usize) {
            let round = Instant::now();
            run(few);
            best = best.min(round.elapsed().as_secs_f64() * 1e9 / few.len() as f64);
            if begin.elapsed().as_millis() > 500 {
                break;
            }
        }
    }
    let slow = if compiled.as_millis() > 1 {
        format!("  compiled in {compiled:.1?}")
    } else {
        String::new()
    };
    println!(
        "{name:<32} {best:>10.1} {units:>10} {:>8.2}{slow}",
        best / units as f64
    );
}

fn lists() -> Lists {
    let mut lists = Lists::new();
    for (name, count) in [
        ("small", 10_000u32),
        ("large", 500_000),
        ("largest", 1_000_000),
    ] {
        let step = u32::MAX / count;
        let networks = (0..count).map(|nth| {
            let address = Ipv4Addr::from_bits((nth * step) & !0x1ff);
            Network::parse(&format!("{address}/24")).expect("a network")
        });
        lists.insert(name, Arc::new(NetworkSet::new(networks)));
    }
    lists
}

fn head(target: &str, lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.method_span = head.fields.store(b"GET");
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(b"Shop.example.test:8443");
    for (name, value) in lines {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

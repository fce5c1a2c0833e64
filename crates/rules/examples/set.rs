//! Measures a thousand expressions over a typical request: together, and one after the other.
//!
//! `cargo run --release -p seawall-rules --example set`; with `once` as its argument it asks them 1,000 times and prints nothing, for
//! `valgrind --tool=callgrind`.
#![allow(clippy::expect_used, reason = "a program to measure with")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use seawall_model::{ConnFacts, Fuel, HttpVersion, RequestHead, RequestView};
use seawall_rules::{Bounds, Expression, Lists, Set};

const EXPRESSIONS: usize = 1_000;

fn main() {
    let sources: Vec<String> = (0..EXPRESSIONS).map(source).collect();
    let parse = |source: &String| {
        Expression::parse(source, &Lists::new(), &Bounds::default()).expect("an expression")
    };
    let expressions: Vec<Expression> = sources.iter().map(parse).collect();
    let begin = Instant::now();
    let set = Set::new(&expressions);
    let built = begin.elapsed();
    let (head, conn) = (head(), conn());
    let view = || RequestView::new(&head, &conn, Ipv4Addr::new(203, 0, 113, 77).into(), true);
    let mut found = Vec::new();
    if std::env::args().any(|argument| argument == "once") {
        for _ in 0..1_000 {
            let fuel = &mut Fuel::new(u64::MAX);
            set.fitting(black_box(&view()), fuel, &mut found)
                .expect("fuel");
        }
        black_box(&found);
        return;
    }
    let together = time(|fuel| {
        set.fitting(&view(), fuel, &mut found).expect("fuel");
        found.len()
    });
    let alone = time(|fuel| {
        let view = view();
        let holds = |expression: &&Expression| expression.matches(&view, fuel).expect("fuel");
        expressions.iter().filter(holds).count()
    });
    println!(
        "{EXPRESSIONS} expressions, of which {} hold; the set is built in {built:.1?}",
        found.len()
    );
    println!("together      {:8.2} µs {:8} fuel", together.0, together.1);
    println!("one by one    {:8.2} µs {:8} fuel", alone.0, alone.1);
}

/// The least of many: others on the machine only make it dearer. Microseconds, and fuel.
fn time(mut ask: impl FnMut(&mut Fuel) -> usize) -> (f64, u64) {
    let mut least = (f64::MAX, 0);
    for _ in 0..3_000 {
        let mut fuel = Fuel::new(u64::MAX);
        let begin = Instant::now();
        black_box(ask(&mut fuel));
        let took = begin.elapsed().as_secs_f64() * 1e6;
        least = (least.0.min(took), fuel.used());
    }
    least
}

/// What people write, in proportions that they write it in: most ask the path, many ask it beside something else, some look for
/// pieces, and one in fifty has a pattern or a wildcard by itself.
fn source(nth: usize) -> String {
    match nth % 50 {
        0 => format!("http.request.uri.path matches r\"^/v[0-9]+/private{nth}/\""),
        1 => format!("http.request.uri.path wildcard \"/wild{nth}/*/edit\""),
        2..=6 => format!("http.user_agent contains \"BadBot{nth}\""),
        7..=9 => format!("lower(http.user_agent) contains \"scan{nth}\""),
        10..=12 => format!("http.request.uri.query contains \"attack{nth}=\""),
        13..=17 => {
            let (high, low) = (nth / 256, nth % 256);
            format!("ip.src in {{198.{high}.{low}.0/24 10.{high}.{low}.7}} and not ssl")
        }
        18..=19 => format!("ip.src eq 192.0.{}.{}", nth / 256, nth % 256),
        20..=24 => format!(
            "http.request.method eq \"POST\" and http.request.uri.path eq \"/api/form{nth}\" and len(http.cookie) gt 10"
        ),
        25..=34 => format!(
            "http.host eq \"shop.example.test\" and starts_with(http.request.uri.path, \"/section{nth}/\")"
        ),
        35..=37 => format!("http.host in {{\"a{nth}.test\" \"b{nth}.test\"}} and ssl"),
        38..=40 => format!(
            "(http.request.uri.path eq \"/old{nth}\" or starts_with(http.request.uri.path, \"/older{nth}/\")) and http.referer eq \"\""
        ),
        41..=43 => format!(
            "http.request.uri.path.extension in {{\"x{nth}\" \"y{nth}\"}} and http.request.uri.query contains \"v=\""
        ),
        44..=45 => format!(
            "any(http.request.headers[\"x-tenant\"][*] eq \"t{nth}\") and ends_with(http.request.uri.path, \".tenant{nth}\")"
        ),
        46..=47 => format!(
            "http.request.uri.args[\"page\"][0] eq \"{nth}\" and http.request.uri.path eq \"/list{nth}\""
        ),
        48 => format!("http.cookie contains \"session{nth}=\""),
        _ => format!(
            "http.request.uri.path eq \"/shop/cart.php\" and len(http.request.uri.query) lt {nth}"
        ),
    }
}

/// Ten headers, five arguments, three cookies.
fn head() -> RequestHead {
    let mut head = RequestHead::default();
    head.method_span = head.fields.store(b"GET");
    head.target_span = head
        .fields
        .store(b"/shop/cart.php?id=17&page=2&sort=price&view=grid&q=red+shoes");
    head.authority_span = head.fields.store(b"shop.example.test");
    head.version = HttpVersion::Http2;
    for (name, value) in [
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://shop.example.test/shop/index.php"),
        (
            "cookie",
            "session=8521F670545D7865F79C3D7BEDC29CCE; theme=dark; _ga=GA1.2.1",
        ),
        ("dnt", "1"),
        ("upgrade-insecure-requests", "1"),
        ("sec-fetch-mode", "navigate"),
        ("x-tenant", "t1"),
    ] {
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

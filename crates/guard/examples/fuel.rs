//! Measures what a unit of fuel is worth in the stages: nanoseconds for each unit, which should be 0.5 to 2. What making the
//! head for each run takes is measured by itself and taken off.
//!
//! `cargo run --release -p seawall-guard --example fuel`
#![allow(clippy::expect_used, reason = "a program to measure with")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_guard::stages::{body, ddos, hotlink, hygiene, lists, maintenance, rules, transform};
use seawall_guard::{Assembly, Guard, Scope, StageDef, States, Subject, Trail, ZoneId, kit};
use seawall_model::{RequestHead, ResponseHead};
use seawall_rules::{Bounds, Patterns};

/// What is done, and what is asked for.
struct Case {
    name: &'static str,
    def: &'static StageDef,
    text: String,
    target: String,
    fields: usize,
}

fn main() {
    let long = format!("/{}", "segment/".repeat(1_000));
    let names: Vec<String> = (0..100).map(|nth| format!("'x-gone-{nth}'")).collect();
    let remove = format!("remove = [{}]", names.join(", "));
    let case = |name, def, text: &str, target: &str, fields| Case {
        name,
        def,
        text: text.to_owned(),
        target: target.to_owned(),
        fields,
    };
    let always = "[[zone.rule]]\nwhen = 'http.request.method eq \"GET\"'\n";
    let redirect = format!("{always}action = 'redirect'\nto = '/x'\nkeep_path = true");
    let rewrite = format!("{always}action = 'rewrite'\nadd_prefix = '/v2'");
    // Decoded as often as anybody would.
    let encoded = format!("/{}", "%252525".repeat(1_000));
    let networks: Vec<String> = (0..1_000)
        .map(|nth| format!("'10.{}.{}.0/25'", nth / 250, nth % 250))
        .collect();
    let heads = [
        case(
            "lists: block",
            &lists::DEF,
            "[zone.lists]\nblock = ['203.0.113.0/24']",
            "/",
            10,
        ),
        case(
            "lists: block, 1,000",
            &lists::DEF,
            &format!("[zone.lists]\nblock = [{}]", networks.join(", ")),
            "/",
            10,
        ),
        case(
            "hotlink: another type",
            &hotlink::DEF,
            "[zone.hotlink]\nenabled = true",
            "/shop/cart.php?id=17",
            10,
        ),
        case(
            "hotlink: long",
            &hotlink::DEF,
            "[zone.hotlink]\nenabled = true",
            &format!("{long}a.png"),
            10,
        ),
        case(
            "ddos: requests",
            &ddos::DEF,
            "[zone.ddos]\nrequests_per_client = 100000000",
            "/",
            10,
        ),
        case(
            "maintenance",
            &maintenance::DEF,
            "[zone.maintenance]\nenabled = true",
            "/",
            10,
        ),
        case(
            "transform: https",
            &transform::DEF,
            "redirect_https = true",
            &long,
            10,
        ),
        case("rules: redirect", &rules::DEF, &redirect, &long, 10),
        case("rules: rewrite", &rules::DEF, &rewrite, &long, 10),
        case(
            "rules: rewrite, encoded",
            &rules::DEF,
            &rewrite,
            &encoded,
            10,
        ),
    ];
    println!("{:<32} {:>10} {:>10} {:>8}", "", "ns", "units", "ns/unit");
    for case in &heads {
        let guard = guard(case);
        let head = head(case);
        let copying = best(|_, _| drop(black_box(head.clone()))).0;
        measure(case.name, copying, |trail, subject| {
            drop(black_box(guard.admit(&mut head.clone(), subject, trail)));
        });
    }
    let hygiene = format!("[zone.hygiene]\n{remove}");
    let case_of = case("hygiene: 100 names", &hygiene::DEF, &hygiene, "/", 100);
    let cleaning = guard(&case_of);
    let response = ResponseHead {
        fields: head(&case_of).fields,
        status: 200,
        ..ResponseHead::default()
    };
    let copying = best(|_, _| drop(black_box(response.clone()))).0;
    measure(case_of.name, copying, |trail, subject| {
        drop(black_box(cleaning.clear(
            &mut response.clone(),
            b"",
            subject,
            trail,
        )));
    });
    let edits = format!("[zone.request_headers]\n{remove}");
    let case_of = case("transform: 100 names", &transform::DEF, &edits, "/", 100);
    let editing = guard(&case_of);
    let request = head(&case_of);
    let copying = best(|_, _| drop(black_box(request.clone()))).0;
    measure(case_of.name, copying, |trail, subject| {
        drop(black_box(editing.admit(
            &mut request.clone(),
            subject,
            trail,
        )));
    });
    let json = "[zone.body]\njson_depth = 32";
    let deep = guard(&case("body", &body::DEF, json, "/", 0));
    for (name, unit) in [
        (
            "body: JSON, text",
            &b"{\"key\": \"some words of text\", \"n\": [1, 2.5, true]},"[..],
        ),
        ("body: JSON, brackets", b"[[[{}]]],"),
        (
            "body: JSON, UTF-8",
            "\"\u{20ac}\u{e4}\u{10348}\",".as_bytes(),
        ),
    ] {
        let piece = [b"[".as_slice(), &unit.repeat(16_384 / unit.len())].concat();
        let mut head = kit::request("POST", b"/", &[("content-type", "application/json")]);
        measure(name, 0.0, |trail, subject| {
            let admitted = deep
                .admit(&mut head, subject, trail)
                .expect("it is admitted");
            let opened = deep.inspect(&admitted, None, subject, trail);
            let mut inspection = opened.expect("it goes on").expect("it is looked at");
            let fed = inspection.feed(&piece, false, subject, trail);
            fed.expect("it is JSON");
        });
    }
}

fn guard(case: &Case) -> Guard {
    let document = kit::document(&case.text).expect("the document is right");
    let states = Arc::new(States::new([case.def.name], 10_000));
    let assembly = Assembly {
        stages: &[case.def],
        lists: &kit::lists(&document),
        bounds: &Bounds::default(),
        files: &kit::Samples,
        https_port: 443,
        states: &states,
    };
    let mut problems = Vec::new();
    let zone = document.zones.first().expect("there is one");
    let guard = assembly.guard(
        zone,
        ZoneId(1),
        "zone[0]",
        &mut Patterns::unbounded(),
        &mut problems,
    );
    assert!(problems.is_empty(), "{problems:?}");
    guard
}

fn head(case: &Case) -> RequestHead {
    let fields: Vec<(String, &str)> = (0..case.fields)
        .map(|nth| (format!("x-field-{nth}"), "a value"))
        .collect();
    kit::request("GET", case.target.as_bytes(), &fields)
}

/// Says what one unit is worth; `copying` nanoseconds of each run are not the stage's.
fn measure(name: &str, copying: f64, ask: impl FnMut(&mut Trail, &Subject<'_>)) {
    let (nanos, units) = best(ask);
    let nanos = nanos - copying;
    let worth = nanos / units.max(1) as f64;
    println!("{name:<32} {nanos:>10.1} {units:>10} {worth:>8.2}");
}

/// Nanoseconds and units of one run: the best of many short rounds, few of which anybody else on the machine falls into.
fn best(mut ask: impl FnMut(&mut Trail, &Subject<'_>)) -> (f64, u64) {
    const ROUND: Duration = Duration::from_micros(20);
    let conn = kit::conn();
    let mut trail = Trail::default();
    let (mut best, mut units) = (f64::INFINITY, 0);
    let mut few = 1_u32;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(100) {
        let now = begun.elapsed().as_millis() as u64;
        let round = Instant::now();
        for _ in 0..few {
            trail.clear();
            let subject = Subject {
                conn: &conn,
                client: conn.peer.ip(),
                https: false,
                now,
                scope: Scope::ALL,
            };
            ask(&mut trail, &subject);
            units = trail.fuel;
        }
        let took = round.elapsed();
        best = best.min(took.as_secs_f64() * 1e9 / f64::from(few));
        if took < ROUND / 2 && few < 1 << 12 {
            few *= 2;
        }
    }
    (best, units)
}

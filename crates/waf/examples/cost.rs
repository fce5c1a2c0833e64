//! What the rules cost: CPU time per request and what a unit of fuel is worth, for the requests of `docs/waf.md`.
//!
//! `cargo run --release -p seawall-waf --example cost [CRS_DIR] [paranoia]`. One thread; the least of several rounds, because others
//! on the machine only make work dearer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a tool for developers"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use seawall_model::Fuel;
use seawall_waf::{
    Body, Engine, File, Nothing, Options, Program, Request, RuleSet, Transaction, Workspace, Zone,
};

type Headers = Vec<(&'static str, String)>;

struct Asked {
    name: &'static str,
    method: &'static str,
    target: String,
    headers: Headers,
    body: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs"),
        PathBuf::from,
    );
    let paranoia: u8 = arguments.next().map_or(1, |text| text.parse().unwrap());
    let began = Instant::now();
    let set = read(&folder);
    let parsed = began.elapsed();
    let program = set
        .compile(Options { paranoia })
        .unwrap_or_else(|problems| panic!("{problems}"));
    println!(
        "{} rules, {:?} patterns (in one pass), parsed in {parsed:?}, with compiling {:?}, {} KiB",
        program.rules(),
        program.patterns(),
        began.elapsed(),
        program.memory() >> 10
    );
    let zone = Zone {
        engine: Some(Engine::DetectionOnly),
        variables: vec![
            ("blocking_paranoia_level".into(), paranoia.to_string()),
            ("detection_paranoia_level".into(), paranoia.to_string()),
        ],
        partial: false,
    };
    let mut work = Workspace::default();
    let began = Instant::now();
    work.warm(&program);
    println!(
        "warmed in {:?}: {:?} bytes, set emptied",
        began.elapsed(),
        work.memory()
    );
    // For a profiler: the plain request alone, so many times.
    if let Some(times) = std::env::var("PLAIN")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        let plain = &requests()[0];
        for _ in 0..times {
            run(&program, &zone, plain, &mut work);
        }
        return;
    }
    println!(
        "{:<28} {:>10} {:>10} {:>8} {:>10} {:>10} {:>8}  rules",
        "request", "first us", "fuel", "unit ns", "us", "fuel", "unit ns"
    );
    for asked in requests() {
        measure(&program, &zone, &asked, &mut work);
        println!(
            "  given up, side by side: {:?}; bytes, set emptied: {:?}",
            work.fallbacks(),
            work.memory()
        );
    }
    println!("given up, side by side: {:?}", work.fallbacks());
    if std::env::var_os("LOOP").is_some() {
        let all = requests();
        for _ in 0..20_000 {
            run(&program, &zone, &all[0], &mut work);
            run(&program, &zone, &all[1], &mut work);
        }
        return;
    }
    println!("each alone, on cold caches:");
    for asked in hostile() {
        measure(&program, &zone, &asked, &mut Workspace::default());
    }
}

fn measure(program: &Program, zone: &Zone, asked: &Asked, work: &mut Workspace) {
    let began = Instant::now();
    let (cold, ids) = run(program, zone, asked, work);
    let first = began.elapsed();
    let mut least = first;
    let mut fuel = 0;
    let rounds = if first.as_micros() > 3000 { 20 } else { 300 };
    for _ in 0..rounds {
        let began = Instant::now();
        fuel = run(program, zone, asked, work).0;
        least = least.min(began.elapsed());
    }
    let unit = least.as_nanos() as f64 / fuel as f64;
    println!(
        "{:<28} {:>10.1} {:>10} {:>8.2} {:>10.1} {:>10} {:>8.2}  {:?}",
        asked.name,
        first.as_nanos() as f64 / 1e3,
        cold,
        first.as_nanos() as f64 / cold as f64,
        least.as_nanos() as f64 / 1e3,
        fuel,
        unit,
        ids.iter().take(6).collect::<Vec<_>>()
    );
}

fn run(program: &Program, zone: &Zone, asked: &Asked, work: &mut Workspace) -> (u64, Vec<u64>) {
    let headers: Vec<(&[u8], &[u8])> = asked
        .headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let line = format!("{} {} HTTP/1.1", asked.method, asked.target);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        client: local,
        client_port: 1,
        server: local,
        server_port: 80,
        line: line.as_bytes(),
        method: asked.method.as_bytes(),
        target: asked.target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        unique_id: b"0123456789abcdef",
        time: 1_790_000_000,
    };
    let mut nothing = Nothing;
    let mut fuel = Fuel::new(u64::MAX);
    let mut transaction = Transaction::new(program, zone, request, work, &mut nothing);
    transaction.request_head(&mut fuel).unwrap();
    let body = Body {
        bytes: &asked.body,
        cut: false,
    };
    transaction.request_body(body, &mut fuel).unwrap();
    let ids = transaction
        .matches()
        .iter()
        .map(|matched| matched.id)
        .collect();
    (fuel.used(), ids)
}

fn read(folder: &std::path::Path) -> RuleSet {
    let mut paths = vec![folder.join("crs-setup.conf.example")];
    let mut rules: Vec<_> = std::fs::read_dir(folder.join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    rules.sort();
    paths.extend(rules);
    let texts: Vec<(String, String)> = paths
        .iter()
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    let files: Vec<File<'_>> = texts
        .iter()
        .map(|(name, text)| File { name, text })
        .collect();
    let data = |name: &str| std::fs::read(folder.join("rules").join(name)).ok();
    RuleSet::parse(&files, &data).unwrap_or_else(|problems| panic!("{problems}"))
}

const WORDS: [&str; 40] = [
    "garden", "window", "paper", "please", "London", "music", "summer", "number", "coffee",
    "travel", "yellow", "market", "simple", "bridge", "planet", "orange", "silver", "winter",
    "letter", "doctor", "mountain", "river", "people", "morning", "picture", "kitchen", "teacher",
    "holiday", "library", "station", "computer", "keyboard", "football", "village", "harbour",
    "blanket", "journey", "captain", "history", "weather",
];

/// Words, the same each time.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.next() as usize % WORDS.len()]
    }
}

fn common() -> Headers {
    vec![
        ("Host", "shop.test".into()),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into(),
        ),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".into(),
        ),
    ]
}

fn requests() -> Vec<Asked> {
    let mut words = Words(7);
    let plain = Asked {
        name: "plain GET",
        method: "GET",
        target: "/index.html".into(),
        headers: common(),
        body: Vec::new(),
    };
    let mut headers = common();
    headers.extend([
        ("Accept-Language", "en-GB,en;q=0.5".to_string()),
        ("Accept-Encoding", "gzip, deflate, br".into()),
        ("Referer", "https://shop.test/products/garden".into()),
        ("Connection", "keep-alive".into()),
        (
            "Cookie",
            "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; lang=en".into(),
        ),
        ("Upgrade-Insecure-Requests", "1".into()),
        ("Cache-Control", "max-age=0".into()),
    ]);
    let typical = Asked {
        name: "typical GET",
        method: "GET",
        target: "/products/search?q=garden+chair&page=2&sort=price&category=outdoor&in_stock=true"
            .into(),
        headers: headers.clone(),
        body: Vec::new(),
    };
    let mut form = String::new();
    for nth in 0..30 {
        let value: Vec<_> = (0..8).map(|_| words.word()).collect();
        form.push_str(&format!(
            "{}field_{nth}={}",
            if nth > 0 { "&" } else { "" },
            value.join("+")
        ));
    }
    let post = |name, kind: &str, body: Vec<u8>| {
        let mut headers = headers.clone();
        headers.push(("Content-Type", kind.to_owned()));
        headers.push(("Content-Length", body.len().to_string()));
        Asked {
            name,
            method: "POST",
            target: "/api/order".into(),
            headers,
            body,
        }
    };
    let mut json = String::from("{");
    for nth in 0..600 {
        let value = match nth % 3 {
            0 => format!("\"{} {}\"", words.word(), words.word()),
            1 => words.next().to_string(),
            _ => format!("\"{}\"", words.word()),
        };
        json.push_str(&format!(
            "{}\"{}_{nth}\":{value}",
            if nth > 0 { "," } else { "" },
            words.word()
        ));
    }
    json.push('}');
    vec![
        plain,
        typical,
        post(
            "form, 30 fields",
            "application/x-www-form-urlencoded",
            form.into_bytes(),
        ),
        post("JSON, 600 leaves", "application/json", json.into_bytes()),
    ]
}

fn hostile() -> Vec<Asked> {
    let mut words = Words(11);
    let soup = [
        "select ",
        "union ",
        "<script>",
        "../",
        "/etc/passwd",
        "' or 1=1--",
        "${jndi:",
        "; cat ",
        "eval(",
        "%00",
        "\\x41",
        "onerror=",
        "javascript:",
        "&#x6a;",
        "sleep(5)",
        "$(id)",
        "`id`",
        "||",
        "&&",
        "base64_decode(",
    ];
    let mut bodies: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let mut text = Vec::new();
    while text.len() < 16 << 10 {
        text.extend(soup[words.next() as usize % soup.len()].bytes());
    }
    bodies.push(("16 KiB soup of attacks", text));
    bodies.push((
        "16 KiB random bytes",
        (0..16 << 10).map(|_| words.next() as u8).collect(),
    ));
    bodies.push((
        "16 KiB random ASCII",
        (0..16 << 10)
            .map(|_| 32 + (words.next() % 95) as u8)
            .collect(),
    ));
    bodies.push(("16 KiB x=x=x=", b"x=".repeat(8 << 10)));
    bodies.push(("16 KiB of (", b"(".repeat(16 << 10)));
    bodies
        .into_iter()
        .map(|(name, bytes)| {
            let mut body = b"q=".to_vec();
            for byte in bytes {
                body.extend(format!("%{byte:02x}").bytes());
            }
            let mut headers = common();
            headers.push(("Content-Type", "application/x-www-form-urlencoded".into()));
            headers.push(("Content-Length", body.len().to_string()));
            Asked {
                name,
                method: "POST",
                target: "/".into(),
                headers,
                body,
            }
        })
        .collect()
}

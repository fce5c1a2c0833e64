//! What texts cost that are made to cost: single patterns by the length of the text, and the Core Rule Set on cold caches.
//!
//! `cargo run --release -p seawall-waf --example hostile [CRS_DIR]`. Each line is read by `make bench`. A pattern's row has the text at one,
//! two, four and eight times its length, with nothing built before: what is linear takes about twice as much from one to the next. The rows
//! of the rule set have the fuel that the stage gives to a request of this length, and say what happened beyond it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a tool for developers"
)]

use std::time::{Duration, Instant};

use seawall_waf::{File, Options, Program, RuleSet, Workspace, Zone};

#[path = "asked/mod.rs"]
mod asked;
#[path = "played/mod.rs"]
mod played;

use asked::Asked;
use played::{form, read, run_within, values, watching};

/// What took Cloudflare down on 2019-07-02; braces that PCRE takes for themselves have a `\` here.
const OF_2019: &str = r#"(?:(?:\"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|\`|\-|\+)+[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"#;

/// Patterns that go back and forth elsewhere, and the texts that make them.
const PATTERNS: [(&str, &str, &[u8]); 9] = [
    ("that of 2019, x=x=", OF_2019, b"x="),
    ("that of 2019, digits without =", OF_2019, b"1"),
    ("that of 2019, ++))--", OF_2019, b"++))--"),
    ("(a+)+$", "(a+)+$", b"a"),
    ("^(a+)+$ and a last b", "^(a+)+$", b"a"),
    ("(a|a)*b", "(a|a)*b", b"a"),
    ("(.*)(.*)(.*)(.*)=", "(.*)(.*)(.*)(.*)=", b"x"),
    (".*.*=.*", ".*.*=.*", b"x"),
    ("(?:a?){60}a{60}b", "(?:a?){60}a{60}b", b"a"),
];

/// The stage's budget: for a request, and for each KiB of its body that is gathered.
const BUDGET: u64 = 24_000_000;
const BUDGET_KIB: u64 = 375_000;

fn main() {
    println!("hostile: patterns, a value of 4, 8, 16, 32 KiB: ms of fuel (ms taken)");
    for (name, pattern, piece) in PATTERNS {
        by_length(name, &alone(pattern), piece, [4, 8, 16, 32]);
    }
    println!("hostile: patterns, a value of 128, 256, 512, 1024 KiB");
    for (name, pattern, piece) in [PATTERNS[0], PATTERNS[3], PATTERNS[7]] {
        by_length(name, &alone(pattern), piece, [128, 256, 512, 1024]);
    }
    let folder = played::folder(std::env::args().nth(1));
    if !folder.join("rules").is_dir() {
        println!("no rule set at {}", folder.display());
        return;
    }
    let set = read(&folder);
    println!("hostile: the Core Rule Set, a value of 2, 4, 8, 16 KiB, without a budget");
    let program = compile(&set, 4);
    for (name, bytes) in values() {
        by_length(
            &format!("{}, paranoia 4", name.get(7..).unwrap_or(name)),
            &program,
            &bytes,
            [2, 4, 8, 16],
        );
    }
    println!("hostile: the Core Rule Set within its budget");
    for paranoia in 1..=4 {
        let program = compile(&set, paranoia);
        for (name, bytes) in values() {
            within(
                name.get(7..).unwrap_or(name),
                &program,
                paranoia,
                &bytes,
                16,
            );
        }
    }
    for (name, bytes) in values() {
        within(name.get(7..).unwrap_or(name), &program, 4, &bytes, 1024);
    }
}

fn compile(set: &RuleSet, paranoia: u8) -> Program {
    set.compile(Options { paranoia })
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// A rule set of this pattern alone.
fn alone(pattern: &str) -> Program {
    let text = format!(
        "SecRequestBodyAccess On\nSecRule ARGS \"@rx {pattern}\" \"id:1,phase:2,pass,log\"\n"
    );
    let file = File {
        name: "hostile.conf",
        text: &text,
    };
    let set = RuleSet::parse(&[file], &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    compile(&set, 1)
}

fn repeated(piece: &[u8], kib: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(kib << 10).collect()
}

fn by_length(name: &str, program: &Program, piece: &[u8], lengths: [usize; 4]) {
    let figures = lengths.map(|kib| {
        let mut value = repeated(piece, kib);
        if name.ends_with("a last b") {
            value.push(b'b');
        }
        let (fuel, took, _) = played(program, &watching(4), &form("value", &value), u64::MAX);
        (fuel as f64 / 1e6, took.as_secs_f64() * 1e3)
    });
    let told = figures.map(|(fuel, took)| format!("{fuel:.3} ({took:.1})"));
    let times = figures[3].0 / figures[0].0;
    println!(
        "hostile: {name}: {}; 8 times the text: {times:.1} times",
        told.join(", ")
    );
}

/// The value in a form, as the stage would judge it: the fuel is that of the value's length, which is the least that it may have.
fn within(name: &str, program: &Program, paranoia: u8, piece: &[u8], kib: usize) {
    let value = repeated(piece, kib);
    let budget = BUDGET + BUDGET_KIB * kib as u64;
    let (fuel, took, is_whole) =
        played(program, &watching(paranoia), &form("value", &value), budget);
    let end = if is_whole { "" } else { ", then on_spent" };
    println!(
        "hostile: {name}, paranoia {paranoia}, {kib} KiB: {:.2} ms of fuel in {:.2} ms{end}",
        fuel as f64 / 1e6,
        took.as_secs_f64() * 1e3
    );
}

fn played(program: &Program, zone: &Zone, asked: &Asked, most: u64) -> (u64, Duration, bool) {
    let mut work = Workspace::default();
    let began = Instant::now();
    let (fuel, _, is_whole) = run_within(program, zone, asked, &mut work, most);
    (fuel, began.elapsed(), is_whole)
}

//! What the rules of the Core Rule Set cost, counted in fuel: never more than linearly with the input, and never beyond the budget.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "helpers of tests fail as tests do, and each test uses some of them"
)]

#[path = "crs/mod.rs"]
mod crs;
mod request;

use request::get;
use seawall_model::Fuel;
use seawall_waf::{
    Body, Nothing, Options, Program, Request, RuleSet, Transaction, Workspace, Zone,
};

/// What pieces of hostile values are made of.
const PIECES: [&[u8]; 24] = [
    b"a",
    b"x=",
    b"(",
    b"' or 1=1--",
    b"/*",
    b"<script>",
    b"../",
    b"%25",
    b"\\",
    b"&#x",
    b"\xff\x00",
    b"select ",
    b"union all ",
    b"${jndi:",
    b"$(id)",
    b"\\u0041",
    b"A B ",
    b"\"\"",
    b"\n",
    b"<!--",
    b"@@",
    b"1,",
    b"; cat /etc/passwd ",
    b"o n l o a d = ",
];

/// The fuel that a form with this value takes on cold caches; None when it was not enough.
fn cost(program: &Program, value: &[u8], fuel: u64) -> Option<u64> {
    let mut body = b"q=".to_vec();
    for byte in value {
        body.extend(format!("%{byte:02x}").bytes());
    }
    let length = body.len().to_string();
    let headers: [(&[u8], &[u8]); 4] = [
        (b"Host", b"shop.test"),
        (b"User-Agent", b"test"),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Content-Length", length.as_bytes()),
    ];
    let request = Request {
        line: b"POST / HTTP/1.1",
        method: b"POST",
        ..get("/", &headers)
    };
    let mut work = Workspace::default();
    let mut nothing = Nothing;
    let zone = Zone {
        engine: Some(seawall_waf::Engine::DetectionOnly),
        variables: vec![("blocking_paranoia_level".into(), "4".into())],
        partial: false,
    };
    let mut fuel = Fuel::new(fuel);
    let mut transaction = Transaction::new(program, &zone, request, &mut work, &mut nothing);
    let body = Body {
        bytes: &body,
        cut: false,
    };
    let done = transaction
        .request_head(&mut fuel)
        .map(|_| ())
        .and_then(|()| transaction.request_body(body, &mut fuel).map(|_| ()));
    done.ok().map(|()| fuel.used())
}

fn program() -> Option<Program> {
    let set: RuleSet = crs::rules("")?;
    Some(
        set.compile(Options { paranoia: 4 })
            .unwrap_or_else(|problems| panic!("{problems}")),
    )
}

/// All rules at once: each of them then as well. Twice the input must not cost more than about twice as much; what has to be built
/// once is the same for both, so it can only be less.
#[test]
fn cost_grows_no_faster_than_the_input() {
    let Some(program) = program() else { return };
    for piece in PIECES {
        let of = |bytes: usize| {
            let value: Vec<u8> = piece.iter().copied().cycle().take(bytes).collect();
            cost(&program, &value, u64::MAX).unwrap()
        };
        let (one, two, four) = (of(2 << 10), of(4 << 10), of(8 << 10));
        assert!(
            two < one * 5 / 2 && four < two * 5 / 2,
            "{:?}: {one} {two} {four}",
            String::from_utf8_lossy(piece)
        );
    }
}

/// Each rule's pattern by itself, of texts that are hostile to many and of one that is made of the pattern. Twice the text never costs more
/// than twice as much and what is built once.
#[test]
fn no_rule_costs_more_than_linearly() {
    let Some(program) = program() else { return };
    let soup: Vec<u8> = PIECES.concat();
    type Make<'m> = &'m dyn Fn(&str) -> Vec<u8>;
    let texts: [(&str, Make<'_>); 4] = [
        ("the pattern", &|pattern| {
            pattern.bytes().take(1000).collect()
        }),
        ("its letters", &|pattern| {
            let letters = pattern.bytes().filter(u8::is_ascii_alphanumeric);
            letters.take(1000).chain(*b" ('").collect()
        }),
        ("a soup", &|_| soup.clone()),
        ("one byte", &|_| b"a".to_vec()),
    ];
    for (name, make) in texts {
        let of = |bytes: usize| {
            program.pattern_costs(|pattern| make(pattern).into_iter().cycle().take(bytes).collect())
        };
        let (one, two, four) = (of(4 << 10), of(8 << 10), of(16 << 10));
        for ((one, two), four) in one.iter().zip(&two).zip(&four) {
            let (first, second) = (two.units.saturating_sub(one.units), four.units - two.units);
            assert!(
                two.units <= 2 * one.units + 2_000 && second <= 2 * first.max(one.units) + 4_000,
                "{name}: rule {} takes {}, {}, {}",
                one.rule,
                one.units,
                two.units,
                four.units
            );
        }
        let dearest = four.iter().max_by_key(|cost| cost.units).unwrap();
        println!("16 KiB of {name}: at most {dearest:?}");
    }
}

/// Mixed values make the set of patterns build states; that is bounded for a request, and beyond the fuel there is nothing.
#[test]
fn a_hostile_value_never_takes_more_than_its_fuel() {
    let Some(program) = program() else { return };
    let mut number = 3u64;
    let mut next = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33) as usize
    };
    let mut value = Vec::new();
    while value.len() < 16 << 10 {
        value.extend(PIECES[next() % PIECES.len()]);
    }
    const BUDGET: u64 = 30_000_000;
    let used = cost(&program, &value, BUDGET);
    println!("16 KiB: {used:?} of {BUDGET}");
    assert!(used.is_none_or(|used| used <= BUDGET));
    let short = cost(&program, &value[..256], u64::MAX).unwrap();
    println!("256 bytes: {short}");
}

/// The gate at load lets the rule set pass, with room; and is quick.
#[test]
fn no_rule_of_the_set_is_too_dear() {
    let Some(program) = program() else { return };
    let half = seawall_waf::MOST_UNITS / 2;
    let began = std::time::Instant::now();
    assert_eq!(program.dear(half), []);
    println!("all patterns in {:?}", began.elapsed());
}

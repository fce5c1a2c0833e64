//! Documents: refused with their places, or good and the same after they were written and read again; and compiled, which
//! finds problems or does not, but never panics.

use std::sync::{Arc, OnceLock};

use seawall_model::document::{Parsed, parse, parse_zones};
use seawall_model::{Limits, Problems};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{Sources, compile};
use seawall_proxy::materials::Materials;
use seawall_proxy::stages::STAGES;
use seawall_proxy::state::State;
use seawall_telemetry::{BuildInfo, Registry};

pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let limits = Limits::default();
    let parsed = parse_zones(text, &limits);
    assert_eq!(parse_zones(text, &limits), parsed, "the same each time");
    let zones = parsed.document.zones.len();
    assert!(parsed.bad_zones.iter().all(|index| *index < zones));
    match &parsed.problems {
        Some(problems) => assert_shown(problems, text, &limits),
        None => {
            assert!(parsed.platform_ok && parsed.bad_zones.is_empty());
            let written = parsed.document.to_toml();
            match parse(&written, &limits) {
                Ok(again) => {
                    assert_eq!(again, parsed.document, "{written}");
                    assert_eq!(again.to_toml(), written, "one way to write it");
                }
                Err(problems) => panic!("what we wrote has problems: {problems}\n{written}"),
            }
        }
    }
    compiled(&parsed, &limits);
}

fn assert_shown(problems: &Problems, text: &str, limits: &Limits) {
    assert!(!problems.list.is_empty() && problems.list.len() <= limits.problems);
    let lines = text.lines().count() + 1;
    for problem in &problems.list {
        let line = problem.line.unwrap_or(1) as usize;
        assert!((1..=lines).contains(&line), "{problem}");
        let shown = problem.to_string();
        assert!(shown.len() < 4096, "{} bytes", shown.len());
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}

/// Nothing that a document names is read: its files are missing, which is a problem as others are.
fn compiled(parsed: &Parsed, limits: &Limits) {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    let pem = PEM.get_or_init(|| self_signed(vec!["localhost".into()]).unwrap());
    let materials = Materials::of([], Some(pem.clone()));
    let build = BuildInfo {
        version: "0",
        commit: "",
    };
    let state = State::new(Registry::new(&WORDS, build), STAGES);
    let sources = Sources::new(parsed, &materials);
    let outcome = compile(&sources, limits, &state, None);
    for problem in &outcome.problems.list {
        let shown = problem.to_string();
        // How a panic within a zone is told.
        assert!(!shown.contains("a bug in Seawall"), "{shown}");
    }
    assert!(outcome.problems.list.len() <= limits.problems);
    for refused in &outcome.refused {
        assert!(refused.index < parsed.document.zones.len());
    }
    if !parsed.platform_ok {
        assert!(outcome.snapshot.is_none(), "{}", outcome.problems);
    }
    let _live: Option<Arc<_>> = outcome.snapshot.map(Arc::new);
}

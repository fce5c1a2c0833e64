//! The firewall's language and bodies: no panic, bounded, and the same each time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use seawall_model::Fuel;
use seawall_waf::{
    Body, Engine, File, Nothing, Options, Program, Request, Response, RuleSet, TRANSFORMATIONS,
    Transaction, Workspace, Zone,
};

/// More than the texts below may cost.
const PLENTY: u64 = 3_000_000_000;

/// Files of rules: what compiles, runs.
pub fn seclang(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = File {
        name: "a.conf",
        text,
    };
    let words = |name: &str| (name.len() < 8).then(|| b"# comment\nword\nother words\n".to_vec());
    let compiled = RuleSet::parse(&[file], &words).and_then(|set| set.compile(Options::default()));
    match compiled {
        Err(problems) => {
            assert!(!problems.list.is_empty());
            for problem in &problems.list {
                assert!(
                    problem.what.len() < 2000 && problem.help.len() < 2000,
                    "{problem}"
                );
            }
        }
        Ok(program) => {
            let first = run(
                &program,
                b"a=1&b=%41+c",
                b"application/x-www-form-urlencoded",
            );
            let again = run(
                &program,
                b"a=1&b=%41+c",
                b"application/x-www-form-urlencoded",
            );
            assert_eq!(first, again);
        }
    }
}

/// Bodies of each kind, through every transformation and reader.
pub fn bodies(data: &[u8]) {
    const KINDS: [&[u8]; 5] = [
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=b",
        b"application/json",
        b"text/xml",
        b"text/plain",
    ];
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let Some(kind) = KINDS.get(usize::from(*kind) % KINDS.len()) else {
        return;
    };
    let first = run(program(), body, kind);
    assert_eq!(first, run(program(), body, kind));
}

/// A rule for each transformation and for each operator without an argument of its own.
fn program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut text = String::new();
        let targets = "ARGS|ARGS_NAMES|FILES|MULTIPART_PART_HEADERS|XML:/*|XML://@*|REQUEST_BODY";
        for (nth, entry) in (1..).zip(TRANSFORMATIONS) {
            text.push_str(&format!(
                "SecRule {targets} \"@rx (?i)(select|script)\" \"id:{nth},phase:2,pass,capture,t:none,t:{},multiMatch,setvar:tx.n=+1\"\n",
                entry.name
            ));
        }
        for (nth, operator) in (1000..).zip([
            "detectSQLi",
            "detectXSS",
            "validateUrlEncoding",
            "validateUtf8Encoding",
            "validateByteRange 32-126",
            "verifyCC \\d{13,16}",
            "verifySSN \\d{9}",
            "pm union select",
            "containsWord a",
        ]) {
            text.push_str(&format!(
                "SecRule {targets} \"@{operator}\" \"id:{nth},phase:2,pass,capture,t:none,t:urlDecodeUni\"\n"
            ));
        }
        let file = File { name: "fuzz", text: &text };
        let set = RuleSet::parse(&[file], &|_| None).expect("they parse");
        set.compile(Options::default()).expect("they compile")
    })
}

/// The ids that matched, and whether the fuel was enough.
fn run(program: &Program, body: &[u8], kind: &[u8]) -> (Vec<u64>, bool) {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        client: local,
        client_port: 1,
        server: local,
        server_port: 80,
        line: b"POST /a?b=c HTTP/1.1",
        method: b"POST",
        target: b"/a?b=c",
        protocol: b"HTTP/1.1",
        headers: &[
            (b"Host", b"a.test"),
            (b"Content-Type", kind),
            (b"Cookie", b"d=e"),
        ],
        unique_id: b"1",
        time: 1_790_000_000,
    };
    let zone = Zone {
        engine: Some(Engine::DetectionOnly),
        variables: Vec::new(),
        partial: false,
    };
    let mut work = Workspace::default();
    let mut nothing = Nothing;
    let mut fuel = Fuel::new(PLENTY);
    let mut transaction = Transaction::new(program, &zone, request, &mut work, &mut nothing);
    let response = Response {
        status: 200,
        protocol: b"HTTP/1.1",
        headers: &[(b"Content-Type", b"text/html")],
    };
    let body = Body {
        bytes: body,
        cut: false,
    };
    let mut phases = || {
        transaction.request_head(&mut fuel)?;
        transaction.request_body(body, &mut fuel)?;
        transaction.response_head(response, &mut fuel)?;
        transaction.response_body(body, &mut fuel)?;
        transaction.log(&mut fuel)
    };
    let enough = phases().is_ok();
    let ids = transaction
        .matches()
        .iter()
        .map(|matched| matched.id)
        .collect();
    (ids, enough)
}

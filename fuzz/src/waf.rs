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
            "verifyCPF \\d{3}",
            "verifySVNR \\d{3}",
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

/// Bytes behind a content coding: what comes out is bounded and the same each time, and a part never gives what the whole has not.
pub fn codings(data: &[u8]) {
    const CODINGS: [&[u8]; 5] = [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"];
    const MOST: usize = 4_096;
    let Some((coding, body)) = data.split_first() else {
        return;
    };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let off = |body: &[u8], is_whole| {
        let mut fuel = Fuel::new(PLENTY);
        seawall_waf::plain(std::iter::once(coding), body, is_whole, MOST, &mut fuel)
    };
    let whole = off(body, true);
    assert_eq!(whole, off(body, true));
    if let Ok(Some(plain)) = &whole {
        assert!(plain.bytes.len() <= MOST);
        let part = off(&body[..body.len() / 2], false);
        if let (Ok(Some(part)), false) = (part, coding.contains(&b',')) {
            assert!(part.bytes.len() <= MOST && plain.bytes.starts_with(&part.bytes));
        }
    }
}

/// A description, and behind the first empty line a body that is asked against all it describes.
pub fn openapi(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (text, body) = data.split_at(end.unwrap_or(data.len()));
    let api = match seawall_waf::OpenApi::read(text, true) {
        Ok(api) => api,
        Err(problems) => return assert!(!problems.list.is_empty()),
    };
    let ask = |method: &[u8], path: &[u8]| {
        let request = seawall_waf::Described {
            method,
            path,
            query: b"a=1&b=x&a=2",
            headers: &[(b"x-a", b"1"), (b"cookie", b"a=1; b=2")],
        };
        let mut fuel = Fuel::new(30_000_000);
        let expects = match api.head(&request, &mut fuel) {
            Ok(Ok(expects)) => expects,
            other => return format!("{other:?}"),
        };
        let asked = api.body(expects, Some(b"application/json"), body, &mut fuel);
        format!("{asked:?}")
    };
    for method in [&b"GET"[..], b"POST"] {
        for path in [&b"/"[..], b"/a", b"/a/1", b"/a/x/b"] {
            let first = ask(method, path);
            assert_eq!(first, ask(method, path));
            assert!(first.len() < 100_000);
        }
    }
}

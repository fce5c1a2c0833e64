//! Playing requests against a rule set, for the examples that measure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use seawall_model::Fuel;
use seawall_waf::{
    Body, Engine, File, Nothing, Program, Request, RuleSet, Transaction, Workspace, Zone,
};

use crate::asked::{Asked, Words, common};

/// Where the rule set is: the folder that is named, `CRS_DIR`, or `../shared/crs` beside the repository.
pub fn folder(named: Option<String>) -> PathBuf {
    let named = named.map(PathBuf::from);
    let named = named.or_else(|| std::env::var_os("CRS_DIR").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs"))
}

/// The rule set of a folder.
pub fn read(folder: &Path) -> RuleSet {
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

/// A zone that only looks, at this level.
pub fn watching(paranoia: u8) -> Zone {
    Zone {
        engine: Some(Engine::DetectionOnly),
        variables: vec![
            ("blocking_paranoia_level".into(), paranoia.to_string()),
            ("detection_paranoia_level".into(), paranoia.to_string()),
        ],
        partial: false,
    }
}

/// Plays a request with as much fuel as it takes: what it took, and the rules that matched.
pub fn run(program: &Program, zone: &Zone, asked: &Asked, work: &mut Workspace) -> (u64, Vec<u64>) {
    let (used, ids, _) = run_within(program, zone, asked, work, u64::MAX);
    (used, ids)
}

/// Plays a request with so much fuel: what it took, the rules that matched, and whether all rules were asked.
pub fn run_within(
    program: &Program,
    zone: &Zone,
    asked: &Asked,
    work: &mut Workspace,
    most: u64,
) -> (u64, Vec<u64>, bool) {
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
    let mut fuel = Fuel::new(most);
    let mut transaction = Transaction::new(program, zone, request, work, &mut nothing);
    let body = Body {
        bytes: &asked.body,
        cut: false,
    };
    let asked = transaction
        .request_head(&mut fuel)
        .map(|_| ())
        .and_then(|()| transaction.request_body(body, &mut fuel).map(|_| ()))
        .and_then(|()| transaction.log(&mut fuel));
    let is_whole = asked.is_ok();
    let ids = transaction
        .matches()
        .iter()
        .map(|matched| matched.id)
        .collect();
    (fuel.used(), ids, is_whole)
}

/// Values of 16 KiB that are made to cost.
pub fn hostile() -> Vec<Asked> {
    values()
        .into_iter()
        .map(|(name, bytes)| form(name, &bytes))
        .collect()
}

/// The same as bytes.
pub fn values() -> Vec<(&'static str, Vec<u8>)> {
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
}

/// A form with one field that has this value.
pub fn form(name: &'static str, value: &[u8]) -> Asked {
    let mut body = b"q=".to_vec();
    for byte in value {
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
}

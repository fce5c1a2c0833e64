//! The regression tests of the Core Rule Set (FTW format), played offline: each test's request as go-ftw would send it, through the
//! engine, and the ids that fired compared with what is expected.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use regex_automata::meta::Regex;
use seawall_model::Fuel;
use seawall_waf::{Body, Nothing, Program, Request, Response, Transaction, Workspace, Zone};
use yaml_rust2::{Yaml, YamlLoader};

/// What the suite's README asks for.
pub const SETUP: &str = "SecAction \"id:900005,phase:1,nolog,pass,\
    setvar:tx.blocking_paranoia_level=4,setvar:tx.detection_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535\"\n\
    SecRuleEngine DetectionOnly\n";

/// A test with one stage or more.
pub struct Test {
    pub name: String,
    pub stages: Vec<Stage>,
}

/// What is sent, and what is expected.
pub struct Stage {
    pub line: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// All of it, as it is sent over a socket.
    pub sent: Vec<u8>,
    pub output: Yaml,
}

/// All tests below a folder, in the order of their names.
pub fn all(folder: &Path) -> Vec<Test> {
    let mut paths = Vec::new();
    for family in std::fs::read_dir(folder.join("tests")).unwrap() {
        let family = family.unwrap().path();
        if family.is_dir() {
            paths.extend(
                std::fs::read_dir(family)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    let mut tests = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for document in YamlLoader::load_from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        {
            let rule = document["rule_id"].as_i64().unwrap_or(0);
            for test in document["tests"].as_vec().into_iter().flatten() {
                tests.push(Test {
                    name: format!("{rule}-{}", test["test_id"].as_i64().unwrap_or(0)),
                    stages: test["stages"]
                        .as_vec()
                        .into_iter()
                        .flatten()
                        .map(stage)
                        .collect(),
                });
            }
        }
    }
    tests
}

fn text(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// `{{ "1" | repeat 64200 }}`.
fn filled(data: String) -> String {
    let Some((before, rest)) = data.split_once("{{") else {
        return data;
    };
    let (call, after) = rest.split_once("}}").unwrap();
    let (what, times) = call.split_once("| repeat").unwrap();
    let what = what.trim().trim_matches('"');
    let times: usize = times.trim().parse().unwrap();
    filled(format!("{before}{}{after}", what.repeat(times)))
}

fn stage(yaml: &Yaml) -> Stage {
    let input = &yaml["input"];
    let output = yaml["output"].clone();
    if let Some(encoded) = input["encoded_request"].as_str() {
        return raw(&base64(encoded), output);
    }
    let or = |key: &str, default: &str| text(&input[key]).unwrap_or_else(|| default.to_owned());
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    if let Some(map) = input["headers"].as_hash() {
        for (name, value) in map {
            let value = text(value).unwrap_or_default();
            headers.push((
                text(name).unwrap().into_bytes(),
                value.trim().as_bytes().to_vec(),
            ));
        }
    }
    let has = |headers: &[(Vec<u8>, Vec<u8>)], name: &str| {
        headers
            .iter()
            .any(|(is, _)| is.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut body = filled(or("data", "")).into_bytes();
    if input["autocomplete_headers"].as_bool() != Some(false) {
        if !body.is_empty() {
            if !has(&headers, "content-type") {
                headers.push((
                    b"Content-Type".into(),
                    b"application/x-www-form-urlencoded".into(),
                ));
            }
            let is_form = headers.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case(b"content-type")
                    && value.starts_with(b"application/x-www-form-urlencoded")
            });
            if is_form && !body.iter().any(|byte| matches!(byte, b'%' | b'+')) {
                body = encoded(&body);
            }
            if !has(&headers, "content-length") {
                headers.push((
                    b"Content-Length".into(),
                    body.len().to_string().into_bytes(),
                ));
            }
        }
        if !has(&headers, "connection") {
            headers.push((b"Connection".into(), b"close".into()));
        }
    }
    let line = format!(
        "{} {} {}",
        or("method", "GET"),
        or("uri", "/"),
        or("version", "HTTP/1.1")
    );
    let mut sent = format!("{line}\r\n").into_bytes();
    for (name, value) in &headers {
        sent.extend_from_slice(name);
        sent.extend_from_slice(b": ");
        sent.extend_from_slice(value);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"\r\n");
    sent.extend_from_slice(&body);
    // What a server makes of it: chunks win over a length (RFC 9112 §6.3), and without either there is no body.
    if has(&headers, "transfer-encoding") {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
    } else if !has(&headers, "content-length") {
        body.clear();
    }
    Stage {
        line: line.into_bytes(),
        headers,
        body,
        sent,
        output,
    }
}

/// As go-ftw encodes forms that are not encoded.
fn encoded(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (nth, pair) in body.split(|byte| *byte == b'&').enumerate() {
        if nth > 0 {
            out.push(b'&');
        }
        for (nth, piece) in pair.splitn(2, |byte| *byte == b'=').enumerate() {
            if nth > 0 {
                out.push(b'=');
            }
            for byte in piece {
                match byte {
                    b' ' => out.push(b'+'),
                    b'-' | b'_' | b'.' | b'~' => out.push(*byte),
                    byte if byte.is_ascii_alphanumeric() => out.push(*byte),
                    byte => out.extend(format!("%{byte:02X}").bytes()),
                }
            }
        }
    }
    out
}

fn raw(bytes: &[u8], output: Yaml) -> Stage {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().as_bytes().to_vec();
    let headers: Vec<(Vec<u8>, Vec<u8>)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.as_bytes().to_vec(), value.trim().as_bytes().to_vec()))
        .collect();
    Stage {
        line,
        headers,
        body: body.get(4..).unwrap_or_default().to_vec(),
        sent: bytes.to_vec(),
        output,
    }
}

fn base64(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// What the reflecting back-end of the suite answers.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What it answers.
pub fn answer(target: &[u8], body: &[u8]) -> Answer {
    let mut answer = Answer {
        status: 200,
        headers: Vec::new(),
        body: Vec::new(),
    };
    if target.starts_with(b"/reflect")
        && let Ok(asked) = serde_json::from_slice::<serde_json::Value>(body)
    {
        answer.status = asked["status"].as_u64().unwrap_or(200) as u16;
        for (name, value) in asked["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            answer
                .headers
                .push((name.clone().into_bytes(), value.as_bytes().to_vec()));
        }
        if let Some(text) = asked["body"].as_str() {
            answer.body = text.as_bytes().to_vec();
        }
        if let Some(text) = asked["encodedBody"].as_str() {
            answer.body = base64(text);
        }
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
    {
        answer
            .headers
            .push((b"Content-Type".into(), b"text/plain; charset=utf-8".into()));
    }
    answer
}

/// What a stage came to.
pub struct Played {
    pub fired: BTreeSet<u64>,
    pub log: String,
    pub fuel: u64,
    pub spent: bool,
}

/// Plays a stage.
pub fn play(program: &Program, zone: &Zone, stage: &Stage, work: &mut Workspace) -> Played {
    let line = &stage.line;
    let first = line
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(line.len());
    let last = line
        .iter()
        .rposition(|byte| *byte == b' ')
        .unwrap_or(line.len())
        .max(first);
    let headers: Vec<(&[u8], &[u8])> = stage
        .headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .collect();
    let target = line.get(first + 1..last).unwrap_or_default();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        client: local,
        client_port: 40_000,
        server: local,
        server_port: 80,
        line,
        method: &line[..first],
        target,
        protocol: match line.get(last + 1..).unwrap_or_default() {
            b"" => b"HTTP/0.9",
            said => said,
        },
        headers: &headers,
        unique_id: b"0123456789abcdef",
        time: 1_790_000_000,
    };
    let answer = answer(target, &stage.body);
    let answered: Vec<(&[u8], &[u8])> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .collect();
    let mut nothing = Nothing;
    let mut fuel = Fuel::new(20_000_000_000);
    let mut transaction = Transaction::new(program, zone, request, work, &mut nothing);
    let kind = answered
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
        .map_or(&b""[..], |(_, value)| value);
    let body = Body {
        bytes: &stage.body,
        cut: false,
    };
    let response = Response {
        status: answer.status,
        protocol: b"HTTP/1.1",
        headers: &answered,
    };
    let mut run = || {
        transaction.request_head(&mut fuel)?;
        transaction.request_body(body, &mut fuel)?;
        transaction.response_head(response, &mut fuel)?;
        let seen = if transaction.wants_response_body(kind) {
            answer.body.as_slice()
        } else {
            &[]
        };
        transaction.response_body(
            Body {
                bytes: seen,
                cut: false,
            },
            &mut fuel,
        )?;
        transaction.log(&mut fuel)
    };
    let spent = run().is_err();
    let mut log = String::new();
    let escaped = |text: &str| {
        let text = text.escape_debug().to_string();
        text.replace("\\\"", "\"").replace("\\'", "'")
    };
    for matched in transaction.matches() {
        log.push_str(&format!(
            "[id \"{}\"] [msg \"{}\"] [data \"{}\"] {} = {:?}\n",
            matched.id,
            escaped(&matched.message),
            escaped(&matched.data),
            matched.variable,
            String::from_utf8_lossy(&matched.value)
        ));
    }
    Played {
        fired: transaction
            .matches()
            .iter()
            .map(|matched| matched.id)
            .collect(),
        log,
        fuel: fuel.used(),
        spent,
    }
}

/// How a stage was judged.
pub enum Judged {
    Pass,
    /// It says what an HTTP server answers, and nothing of rules.
    Server,
    Fail(String),
}

/// Compares what happened with what is expected.
pub fn judge(stage: &Stage, played: &Played) -> Judged {
    let log = &stage.output["log"];
    let ids = |key: &str| -> Vec<u64> {
        let list = log[key].as_vec().into_iter().flatten();
        list.filter_map(|id| id.as_i64())
            .map(|id| id as u64)
            .collect()
    };
    let mut wrong = Vec::new();
    let mut says = false;
    for id in ids("expect_ids") {
        says = true;
        if !played.fired.contains(&id) {
            wrong.push(format!("{id} did not fire"));
        }
    }
    for id in ids("no_expect_ids") {
        says = true;
        if played.fired.contains(&id) {
            wrong.push(format!("{id} fired"));
        }
    }
    for (key, expected) in [("match_regex", true), ("no_match_regex", false)] {
        if let Some(pattern) = log[key].as_str() {
            says = true;
            if regex(pattern).is_match(&played.log) != expected {
                wrong.push(format!("{key} {pattern}"));
            }
        }
    }
    if !wrong.is_empty() {
        return Judged::Fail(wrong.join(", "));
    }
    if says { Judged::Pass } else { Judged::Server }
}

/// Over bytes, as the log is: the tables of Unicode would be in every other test of the workspace too.
fn regex(pattern: &str) -> Regex {
    let bytes = regex_automata::util::syntax::Config::new()
        .unicode(false)
        .utf8(false);
    let built = Regex::builder().syntax(bytes).build(pattern);
    built.unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

//! `seawall waf`: requests from a file, played against a rule set, offline, by the engine that serves; and rule sets fetched.
//!
//! Not here: the engine (`seawall-waf`), the stage that asks it for a zone (`seawall-guard`).

mod fetch;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use seawall_model::Fuel;
use seawall_proxy::materials;
use seawall_waf::{
    Body, Came, Engine, Folder, Interrupted, Interruption, Looked, Match, Nothing, Options,
    Program, Request, Transaction, Workspace, Zone,
};
use serde_json::{Value, json};

use crate::cli::{Waf, WafPlay, WafWhat};
use crate::say::say;

/// What the stage gives a request, and more than a large one: what is spent here would be refused there.
const FUEL: u64 = 72_000_000;
/// A HAR archive may well be this large.
const LARGEST: u64 = 256 << 20;

/// Does what is asked for.
///
/// # Errors
/// When the file or the rule set cannot be read; a rule set's problems are all told.
pub fn run(waf: &Waf) -> Result<ExitCode> {
    let (flags, explains) = match &waf.what {
        WafWhat::Fetch(flags) => return fetch::run(flags),
        WafWhat::Test(flags) => (flags, false),
        WafWhat::Explain(flags) => (flags, true),
    };
    let program = program(flags)?;
    let shown = flags.file.display();
    let length = std::fs::metadata(&flags.file).map(|file| file.len());
    let length = length.with_context(|| format!("{shown} cannot be read"))?;
    ensure!(length <= LARGEST, "{shown} is larger than 256 MiB");
    let bytes = std::fs::read(&flags.file).with_context(|| format!("{shown} cannot be read"))?;
    let requests = requests(&bytes).with_context(|| shown.to_string())?;
    let mut work = Workspace::default();
    let mut refused = 0;
    for asked in &requests {
        let played = play(&program, flags, asked, &mut work);
        refused += usize::from(played.is_refused());
        if flags.json {
            say(played.json(asked));
        } else {
            say(played.line(asked));
            if explains {
                played.explain();
            }
        }
    }
    if !flags.json && requests.len() > 1 {
        say(format_args!(
            "{refused} of {} would be refused",
            requests.len()
        ));
    }
    Ok(match refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn program(flags: &WafPlay) -> Result<Program> {
    let packed = materials::rules(&flags.ruleset).map_err(anyhow::Error::msg)?;
    let folder = Folder::unpack(&packed).context("the rule set cannot be read")?;
    let options = Options {
        paranoia: flags.paranoia,
    };
    let told =
        |problems: seawall_model::Problems| anyhow::anyhow!("the rule set is wrong:\n{problems}");
    folder.rules().map_err(told)?.compile(options).map_err(told)
}

/// A request of the file.
struct Asked {
    method: String,
    target: String,
    protocol: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The requests of a file: an archive's, or the one that it is.
fn requests(bytes: &[u8]) -> Result<Vec<Asked>> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => archive(bytes),
        _ => Ok(vec![raw(bytes)?]),
    }
}

/// HAR 1.2.
fn archive(bytes: &[u8]) -> Result<Vec<Asked>> {
    let har: Value = serde_json::from_slice(bytes).context("is no HAR archive: it is no JSON")?;
    let Some(entries) = har.pointer("/log/entries").and_then(Value::as_array) else {
        bail!("is no HAR archive: it has no log.entries");
    };
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let asked = entries.iter().filter_map(|entry| {
        let request = entry.get("request")?;
        let url = text(request, "url");
        let (_, rest) = url.split_once("://")?;
        let path = rest.find(['/', '?']).and_then(|at| rest.get(at..));
        let target = match path {
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(query) => format!("/{query}"),
            None => "/".to_owned(),
        };
        let headers = request.get("headers").and_then(Value::as_array);
        let headers = headers.into_iter().flatten();
        // What HTTP/2 has in place of a request line is no field.
        let headers = headers
            .map(|header| (text(header, "name"), text(header, "value")))
            .filter(|(name, _)| !name.starts_with(':'))
            .collect();
        let body = request.pointer("/postData/text").and_then(Value::as_str);
        Some(Asked {
            method: text(request, "method"),
            target: target.split('#').next().unwrap_or_default().to_owned(),
            protocol: "HTTP/1.1".into(),
            headers,
            body: body.unwrap_or_default().into(),
        })
    });
    Ok(asked.collect())
}

/// One request as it is sent; its lines may end as those of a text file do.
fn raw(bytes: &[u8]) -> Result<Asked> {
    let both = |end: &[u8]| bytes.windows(end.len()).position(|some| some == end);
    let (head, body) = match (both(b"\r\n\r\n"), both(b"\n\n")) {
        (Some(at), _) => (bytes.get(..at), bytes.get(at + 4..)),
        (None, Some(at)) => (bytes.get(..at), bytes.get(at + 2..)),
        (None, None) => (Some(bytes), None),
    };
    let head = String::from_utf8_lossy(head.unwrap_or_default()).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    let (Some((method, rest)), Some((_, protocol))) = (line.split_once(' '), line.rsplit_once(' '))
    else {
        bail!("is no request: its first line is not `METHOD /path HTTP/1.1`");
    };
    let target = rest.strip_suffix(protocol).unwrap_or(rest).trim_end();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Ok(Asked {
        method: method.to_owned(),
        target: target.to_owned(),
        protocol: protocol.to_owned(),
        headers: headers.collect(),
        body: body.unwrap_or_default().to_vec(),
    })
}

/// What came of a request.
struct Played {
    interrupted: Option<Interrupted>,
    is_spent: bool,
    score: i64,
    matches: Vec<Match>,
    looked: Vec<Looked>,
}

fn play(program: &Program, flags: &WafPlay, asked: &Asked, work: &mut Workspace) -> Played {
    let headers = asked.headers.iter();
    let headers: Vec<(&[u8], &[u8])> = headers
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let line = format!("{} {} {}", asked.method, asked.target, asked.protocol);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let request = Request {
        client: local,
        client_port: 0,
        server: local,
        server_port: 443,
        line: line.as_bytes(),
        method: asked.method.as_bytes(),
        target: asked.target.as_bytes(),
        protocol: asked.protocol.as_bytes(),
        headers: &headers,
        unique_id: b"offline",
        time: now.map_or(0, |now| now.as_secs()),
    };
    let variable = |name: &str, value: u32| (name.to_owned(), value.to_string());
    let zone = Zone {
        engine: Some(Engine::On),
        variables: vec![
            variable("blocking_paranoia_level", flags.paranoia.into()),
            variable("detection_paranoia_level", flags.paranoia.into()),
            variable("inbound_anomaly_score_threshold", flags.threshold),
        ],
        partial: false,
    };
    let mut nothing = Nothing;
    let mut fuel = Fuel::new(FUEL);
    let mut transaction = Transaction::new(program, &zone, request, work, &mut nothing);
    transaction.explain();
    let body = Body {
        bytes: &asked.body,
        cut: false,
    };
    let ran = transaction
        .request_head(&mut fuel)
        .map(|_| ())
        .and_then(|()| transaction.request_body(body, &mut fuel).map(|_| ()))
        .and_then(|()| transaction.log(&mut fuel));
    Played {
        interrupted: transaction.interrupted().cloned(),
        is_spent: ran.is_err(),
        score: transaction.score("blocking_inbound_anomaly_score"),
        matches: transaction.matches().to_vec(),
        looked: transaction.looked().to_vec(),
    }
}

impl Played {
    fn is_refused(&self) -> bool {
        self.interrupted.is_some() || self.is_spent
    }

    fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = Vec::new();
        for found in &self.matches {
            if !ids.contains(&found.id) {
                ids.push(found.id);
            }
        }
        ids
    }

    fn line(&self, asked: &Asked) -> String {
        let came = match &self.interrupted {
            None if self.is_spent => "refused: it costs more than a request may".to_owned(),
            None => "passes".to_owned(),
            Some(interrupted) => match &interrupted.how {
                Interruption::Deny(status) => {
                    format!("refused with {status} by {}", interrupted.rule)
                }
                Interruption::Drop => format!("dropped by {}", interrupted.rule),
                Interruption::Redirect(status, to) => {
                    format!("sent to {to} with {status} by {}", interrupted.rule)
                }
            },
        };
        let path = asked.target.split('?').next().unwrap_or_default();
        let ids: Vec<String> = self.ids().iter().map(ToString::to_string).collect();
        let matched = match ids.as_slice() {
            [] => String::new(),
            ids => format!("; matched {}", ids.join(", ")),
        };
        format!(
            "{} {path}: {came}; score {}{matched}",
            asked.method, self.score
        )
    }

    fn json(&self, asked: &Asked) -> String {
        let matches = self.matches.iter().map(|found| {
            json!({
                "rule": found.id, "phase": found.phase, "message": found.message, "severity": found.severity_name(),
                "variable": found.variable, "value": found.shown(), "tags": found.tags,
            })
        });
        let of = |came: Came| {
            let rules = self.looked.iter().filter(|looked| looked.came == came);
            rules.map(|looked| looked.id).collect::<Vec<_>>()
        };
        json!({
            "method": asked.method, "path": asked.target.split('?').next(), "refused": self.is_refused(),
            "by": self.interrupted.as_ref().map(|interrupted| interrupted.rule), "spent": self.is_spent,
            "score": self.score, "matches": matches.collect::<Vec<_>>(),
            "looked": { "unmet": of(Came::Unmet), "absent": of(Came::Absent), "gated": of(Came::Gated) },
        })
        .to_string()
    }

    /// Which rules looked, which matched, and why.
    fn explain(&self) {
        for found in &self.matches {
            say(format_args!(
                "  {} matched in phase {} ({}): {}",
                found.id,
                found.phase,
                found.severity_name().unwrap_or("no severity"),
                found.message
            ));
            if !found.variable.is_empty() {
                say(format_args!("      {} = {}", found.variable, found.shown()));
            }
            let tags: Vec<&str> = found.tags.iter().map(String::as_str).collect();
            if !tags.is_empty() {
                say(format_args!("      tags: {}", tags.join(", ")));
            }
        }
        let count = |came: Came| {
            self.looked
                .iter()
                .filter(|looked| looked.came == came)
                .count()
        };
        let unmet = self
            .looked
            .iter()
            .filter(|looked| looked.came == Came::Unmet);
        let unmet: Vec<String> = unmet.map(|looked| looked.id.to_string()).collect();
        say(format_args!(
            "  {} rules were reached: {} matched, {} looked in vain, of {} the pattern occurs nowhere, {} ended at a level or score",
            self.looked.len(),
            count(Came::Matched),
            unmet.len(),
            count(Came::Absent),
            count(Came::Gated)
        ));
        say(format_args!("  looked in vain: {}", unmet.join(" ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_sent_or_as_a_browser_saves_it() {
        let asked = requests(b"POST /a?b HTTP/1.1\r\nHost: x\r\n\r\nbody").unwrap();
        let asked = asked.first().unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", "/a?b")
        );
        assert_eq!(
            (asked.headers.len(), asked.body.as_slice()),
            (1, &b"body"[..])
        );
        let har = br#"{"log":{"entries":[{"request":{"method":"GET","url":"https://x.test/p?q#f",
            "headers":[{"name":":path","value":"/"},{"name":"A","value":"b"}],"postData":{"text":"t"}}},
            {"request":{"method":"GET","url":"https://x.test"}}]}}"#;
        let asked = requests(har).unwrap();
        let targets: Vec<_> = asked.iter().map(|asked| asked.target.as_str()).collect();
        assert_eq!(targets, ["/p?q", "/"]);
        assert_eq!(
            asked.first().unwrap().headers,
            [("A".to_owned(), "b".to_owned())]
        );
        assert!(requests(b"nonsense").is_err() && requests(b"{}").is_err());
    }
}

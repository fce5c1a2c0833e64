//! `seawall waf`: requests from a file, played against a rule set, offline, by the engine that serves; and rule sets fetched.
//!
//! Not here: the engine (`seawall-waf`), the stage that asks it for a zone (`seawall-guard`).

mod asked;
mod fetch;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use seawall_model::Fuel;
use seawall_model::document::ZoneWaf;
use seawall_proxy::materials;
use seawall_waf::{
    Body, Came, CodingFault, Engine, Folder, Interrupted, Interruption, Looked, Match, Nothing,
    Options, Program, Request, Transaction, Workspace, Zone, plain,
};
use serde_json::json;

use crate::cli::{Waf, WafPlay, WafWhat};
use crate::say::say;
use asked::{Asked, requests};

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
    // As before a set serves: cold, a first request costs more than it may.
    work.warm(&program);
    let (mut refused, mut unplayed) = (0, 0);
    for asked in &requests {
        let played = match play(&program, flags, asked, &mut work) {
            Ok(played) => played,
            Err(why) => {
                unplayed += 1;
                say(unplayable(flags, asked, &why));
                continue;
            }
        };
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
        let all = requests.len();
        say(match unplayed {
            0 => format!("{refused} of {all} would be refused"),
            _ => format!("{refused} of {all} would be refused, {unplayed} could not be played"),
        });
    }
    Ok(match refused + unplayed {
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
    let set = folder.rules().map_err(told)?;
    gated(set.compile(options).map_err(told)?)
}

/// A rule set that would be served: none of its rules costs too much.
fn gated(program: Program) -> Result<Program> {
    let dear = program.too_dear();
    let shown: Vec<String> = dear.iter().map(ToString::to_string).collect();
    ensure!(
        shown.is_empty(),
        "the rule set is wrong:\n{}",
        shown.join("\n")
    );
    Ok(program)
}

/// What is said of a request that the file has not got as it was sent.
fn unplayable(flags: &WafPlay, asked: &Asked, why: &str) -> String {
    match flags.json {
        true => {
            json!({ "method": asked.method, "path": asked.path(), "unplayed": why }).to_string()
        }
        false => format!("{} {}: cannot be played: {why}", asked.method, asked.path()),
    }
}

/// Why a body is refused before any rule looks at it, as the stage does where a zone says nothing else.
#[derive(Clone, Copy)]
enum Unread {
    TooLong,
    Coded,
    Spent,
}

impl Unread {
    const fn words(self) -> &'static str {
        match self {
            Self::TooLong => {
                "refused with 413: its body is longer than 128 KiB, and a zone has to allow that (body_limit)"
            }
            Self::Coded => "refused with 415: the content coding of its body cannot be taken off",
            Self::Spent => SPENT,
        }
    }
}

const SPENT: &str = "refused: it costs more than a request may";

/// The body of a request as rules see it: without its content codings. Beside it what is there with them, or with one of two.
type Inspected<'a> = (Cow<'a, [u8]>, Vec<Cow<'a, [u8]>>);

fn inspected<'a>(asked: &Asked, body: &'a [u8], fuel: &mut Fuel) -> Result<Inspected<'a>, Unread> {
    let most = usize::try_from(ZoneWaf::default().body_limit).unwrap_or(usize::MAX);
    if body.len() > most {
        return Err(Unread::TooLong);
    }
    let codings = asked.fields("content-encoding").map(str::as_bytes);
    match plain(codings, body, true, most, fuel) {
        Ok(None) => Ok((Cow::Borrowed(body), Vec::new())),
        Ok(Some(plain)) if plain.cut => Err(Unread::TooLong),
        Ok(Some(plain)) => {
            let mut readings = vec![Cow::Borrowed(body), Cow::Owned(plain.between)];
            readings.retain(|reading| !reading.is_empty());
            Ok((Cow::Owned(plain.bytes), readings))
        }
        Err(CodingFault::Spent(_)) => Err(Unread::Spent),
        Err(CodingFault::Unknown | CodingFault::Broken) => Err(Unread::Coded),
    }
}

/// What came of a request.
struct Played {
    /// Why its body was not looked at.
    unread: Option<Unread>,
    interrupted: Option<Interrupted>,
    is_spent: bool,
    score: i64,
    matches: Vec<Match>,
    looked: Vec<Looked>,
}

/// What comes of a request; or why that cannot be known.
fn play(
    program: &Program,
    flags: &WafPlay,
    asked: &Asked,
    work: &mut Workspace,
) -> Result<Played, String> {
    let whole = asked.body.as_deref().map_err(Clone::clone)?;
    let mut fuel = Fuel::new(FUEL);
    let body = inspected(asked, whole, &mut fuel);
    if asked.is_archived && matches!(body, Err(Unread::Coded)) {
        return Err("the archive has not the bytes of its body, which has a content coding".into());
    }
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
    let readings: Vec<&[u8]> = match &body {
        Ok((_, readings)) => readings.iter().map(|reading| &**reading).collect(),
        Err(_) => Vec::new(),
    };
    let mut nothing = Nothing;
    let mut transaction = Transaction::new(program, &zone, request, work, &mut nothing);
    transaction.explain();
    transaction.read_also(&readings);
    let mut ran = transaction.request_head(&mut fuel).map(|_| ());
    // Of a request that its head refuses nobody reads the body.
    let goes_on = ran.is_ok()
        && !whole.is_empty()
        && transaction.interrupted().is_none()
        && transaction.wants_request_body();
    let (bytes, unread) = match &body {
        Ok((body, _)) if goes_on => (&**body, None),
        Err(unread) if goes_on => (&[][..], Some(*unread)),
        _ => (&[][..], None),
    };
    if unread.is_none() {
        let body = Body { bytes, cut: false };
        ran = ran
            .and_then(|()| transaction.request_body(body, &mut fuel).map(|_| ()))
            .and_then(|()| transaction.log(&mut fuel));
    }
    Ok(Played {
        unread,
        interrupted: transaction.interrupted().cloned(),
        is_spent: ran.is_err(),
        score: transaction.score("blocking_inbound_anomaly_score"),
        matches: transaction.matches().to_vec(),
        looked: transaction.looked().to_vec(),
    })
}

impl Played {
    fn is_refused(&self) -> bool {
        self.unread.is_some() || self.interrupted.is_some() || self.is_spent
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
        let came = match (&self.interrupted, self.unread) {
            (None, Some(unread)) => unread.words().to_owned(),
            (None, None) if self.is_spent => SPENT.to_owned(),
            (None, None) => "passes".to_owned(),
            (Some(interrupted), _) => match &interrupted.how {
                Interruption::Deny(status) => {
                    format!("refused with {status} by {}", interrupted.rule)
                }
                Interruption::Drop => format!("dropped by {}", interrupted.rule),
                Interruption::Redirect(status, to) => {
                    format!("sent to {to} with {status} by {}", interrupted.rule)
                }
            },
        };
        let path = asked.path();
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
            "method": asked.method, "path": asked.path(), "refused": self.is_refused(),
            "by": self.interrupted.as_ref().map(|interrupted| interrupted.rule), "spent": self.is_spent,
            "unread": self.unread.map(Unread::words),
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
    use std::io::Write;

    use seawall_waf::{File, RuleSet};

    use super::*;

    fn program(text: &str) -> Program {
        let file = File { name: "a", text };
        let set = RuleSet::parse(&[file], &|_| None).unwrap();
        set.compile(Options::default()).unwrap()
    }

    fn played(program: &Program, asked: &Asked) -> Result<String, String> {
        let flags = WafPlay {
            file: "none".into(),
            ruleset: "none".into(),
            paranoia: 1,
            threshold: 5,
            json: false,
        };
        let played = play(program, &flags, asked, &mut Workspace::default())?;
        Ok(played.line(asked))
    }

    fn coded(coding: &str, body: Vec<u8>) -> Asked {
        let kind = "application/x-www-form-urlencoded";
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Asked {
            method: "POST".into(),
            target: "/".into(),
            protocol: "HTTP/1.1".into(),
            headers: vec![
                field("Content-Type", kind),
                field("Content-Encoding", coding),
            ],
            body: Ok(body),
            is_archived: false,
        }
    }

    #[test]
    fn codings_are_taken_off_as_they_are_when_it_serves() {
        let rules = program(
            "SecRequestBodyAccess On\nSecRule ARGS:q \"@streq evil\" \"id:1,phase:2,deny,status:403\"",
        );
        let gzip = |text: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            out.write_all(text).unwrap();
            out.finish().unwrap()
        };
        let came = |coding: &str, body: Vec<u8>| played(&rules, &coded(coding, body)).unwrap();
        let refused = came("gzip", gzip(b"q=evil"));
        assert!(refused.contains("refused with 403 by 1"), "{refused}");
        assert!(came("gzip", gzip(b"q=good")).contains("passes"));
        assert!(came("identity", b"q=evil".to_vec()).contains("403"));
        assert!(came("gzip", b"q=evil".to_vec()).contains("refused with 415"));
        assert!(came("gzip", gzip(&[b'a'; 200 << 10])).contains("refused with 413"));
        let mut archived = coded("gzip", b"q=evil".to_vec());
        archived.is_archived = true;
        assert!(played(&rules, &archived).is_err());
        archived.body = Err("not there".into());
        assert_eq!(played(&rules, &archived), Err("not there".into()));
    }

    #[test]
    fn what_would_not_be_served_is_not_played() {
        let dear = "SecRule ARGS \"@rx (?:[^z]{0,900}q){2}[a-y]{900}z\" \"id:7,phase:2,pass\"";
        let told = gated(program(dear)).unwrap_err().to_string();
        assert!(told.contains("rule 7 costs too much"), "{told}");
        assert!(gated(program("SecRule ARGS \"@rx union\" \"id:7,phase:2,pass\"")).is_ok());
    }
}

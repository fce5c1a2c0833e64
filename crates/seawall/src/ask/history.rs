//! Commands about what was: versions, what differs between them, the log of who did what; and back to what was.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use seawall_telemetry::Stamp;
use serde_json::{Value, json};

use super::{Control, make, other, run, who};
use crate::cli;
use crate::control::PAGE;
use crate::control::asks::{Answer, Ask, Diff, EntryTold, Log, Versions};
use crate::control::diff::diff;
use crate::here::{self, Act};
use crate::order::Chain;
use crate::say::{one_line, say};

/// So many lines of a diff are shown in the log; `seawall diff` shows all.
const DIFF_LINES: usize = 40;

/// A chain and versions of it, as they are written: what all zones share has no name, so that versions stand where a zone would.
fn of_chain<const N: usize>(
    zone: Option<&str>,
    versions: [Option<&str>; N],
    platform: bool,
) -> Result<(Chain, [Option<u64>; N])> {
    let mut written = versions.into_iter().flatten();
    let (chain, first) = match zone {
        Some(zone) if !platform => (Chain::Zone(zone.to_owned()), written.next()),
        first => (Chain::Platform, first),
    };
    let mut numbers = [None; N];
    let mut words = first.into_iter().chain(written);
    for number in &mut numbers {
        let Some(word) = words.next() else { break };
        let parsed = word.parse().with_context(|| {
            format!("{word} is no number of a version: `seawall versions` lists them")
        })?;
        *number = Some(parsed);
    }
    if let Some(word) = words.next() {
        bail!("{word} is one too many: with --platform there is no zone");
    }
    Ok((chain, numbers))
}

async fn between(control: &Control, ask: Ask) -> Result<Diff> {
    match control.ask(ask, "").await? {
        Answer::Texts {
            a,
            b,
            before,
            after,
        } => Ok(diff(a, b, &before, &after)),
        Answer::Diff(diff) => Ok(diff),
        _ => other(),
    }
}

/// `seawall versions`.
///
/// # Errors
/// When there is no such zone, or control is not there.
pub fn versions(of: &cli::OfZone) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&of.at)?;
        let ask = Ask::Versions {
            chain: super::chain(&of.of),
            before: None,
            limit: PAGE,
        };
        let Answer::Versions(Versions { versions, .. }) = control.ask(ask, "").await? else {
            return other();
        };
        if of.json {
            say(format_args!("{:#}", serde_json::to_value(&versions)?));
            return Ok(ExitCode::SUCCESS);
        }
        for version in versions {
            let mark = match &version {
                version if version.serves => "serves",
                version if version.on_trial => "on trial",
                _ => "",
            };
            let why = if version.tombstone {
                format!("deleted: {}", version.why)
            } else {
                version.why
            };
            say(format_args!(
                "{:>5}  {:<8}  {}  {:.12}  {}  {}",
                version.number,
                mark,
                date(version.at),
                version.hash,
                version.author,
                why
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn date(seconds: u64) -> String {
    let micros = seconds.saturating_mul(1_000_000);
    String::from_utf8_lossy(Stamp::new().rfc3339(micros)).into_owned()
}

/// `seawall diff`.
///
/// # Errors
/// When there is no such version, or control is not there.
pub fn diff_of(wanted: &cli::Diff) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&wanted.at)?;
        let (zone, platform) = (wanted.zone.as_deref(), wanted.platform);
        let versions = [wanted.a.as_deref(), wanted.b.as_deref()];
        let (chain, [a, b]) = of_chain(zone, versions, platform)?;
        let found = between(&control, Ask::Diff { chain, a, b }).await?;
        if found.same {
            let (a, b) = (found.a, found.b);
            say(format_args!("versions {a} and {b} are the same document"));
        } else {
            say(found.diff.trim_end());
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// `seawall rollback`.
///
/// # Errors
/// When there is no such version, or control is not there.
pub fn rollback(back: &cli::Rollback) -> Result<ExitCode> {
    let (zone, version) = (back.zone.as_deref(), back.version.as_deref());
    let (chain, [version]) = of_chain(zone, [version], back.platform)?;
    if back.here {
        return here::ask(&back.at.data, Act::Back(chain), who(), &back.why.why);
    }
    let ask = Ask::Rollback { chain, version };
    run(async { make(&Control::at(&back.at)?, &back.at, ask, &back.why).await })
}

/// `seawall audit`.
///
/// # Errors
/// When control is not there, or with `--verify` what is wrong with the log.
pub fn audit(audit: &cli::Audit) -> Result<ExitCode> {
    if audit.verify {
        return crate::backup::verify(&audit.at);
    }
    run(async {
        let control = Control::at(&audit.at)?;
        let mut left = audit.limit;
        let mut before = None;
        while left > 0 {
            let limit = left.min(PAGE);
            let Answer::Log(Log { entries, next }) =
                control.ask(Ask::Log { before, limit }, "").await?
            else {
                return other();
            };
            left -= entries.len().min(left);
            for entry in &entries {
                tell(&control, audit, entry).await?;
            }
            before = next;
            if before.is_none() {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn tell(control: &Control, audit: &cli::Audit, entry: &EntryTold) -> Result<()> {
    if audit.json {
        say(json!(entry));
        return Ok(());
    }
    let (kind, rest) = described(&entry.what);
    let why = match entry.why.as_str() {
        "" => String::new(),
        why => format!(": {}", one_line(why)),
    };
    say(format_args!(
        "{:>6}  {}  {}  {kind}{rest}{why}",
        entry.seq,
        date(entry.at),
        one_line(&entry.who)
    ));
    if audit.diff
        && entry
            .what
            .get("kind")
            .is_some_and(|kind| kind == "version_created")
    {
        changed(control, &entry.what).await?;
    }
    Ok(())
}

/// What an entry says, in words: its kind, and what belongs to it.
fn described(what: &Value) -> (String, String) {
    let kind = what
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("?")
        .replace('_', " ");
    let fields = what.as_object().into_iter().flatten();
    let told = fields.filter(|(name, value)| *name != "kind" && !value.is_null());
    let rest = told.map(|(name, value)| match value {
        Value::String(text) => format!(" {name}={}", one_line(text)),
        value => format!(" {name}={value}"),
    });
    (kind, rest.collect())
}

/// What a new version changed, below its entry.
async fn changed(control: &Control, what: &Value) -> Result<()> {
    let chain: Chain = serde_json::from_value(what.get("chain").cloned().unwrap_or_default())?;
    let number = |name: &str| what.get(name).and_then(Value::as_u64);
    let (Some(a), Some(b)) = (number("parent"), number("number")) else {
        return Ok(());
    };
    let ask = Ask::Diff {
        chain: chain.clone(),
        a: Some(a),
        b: Some(b),
    };
    let found = between(control, ask).await?;
    let mut lines = found.diff.lines();
    for line in lines.by_ref().take(DIFF_LINES) {
        say(format_args!("          {line}"));
    }
    let more = lines.count();
    if more > 0 {
        say(format_args!(
            "          … {more} more lines: seawall diff {} {a} {b}",
            match &chain {
                Chain::Zone(zone) => zone.as_str(),
                Chain::Platform => "--platform",
            }
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_behind_a_zone_or_behind_nothing() {
        let zone = |name: &str| Chain::Zone(name.into());
        let read = |zone, versions, platform| of_chain(zone, versions, platform).ok();
        assert_eq!(
            read(Some("a.test"), [Some("3"), None], false),
            Some((zone("a.test"), [Some(3), None]))
        );
        assert_eq!(
            read(Some("3"), [Some("4"), None], true),
            Some((Chain::Platform, [Some(3), Some(4)]))
        );
        assert_eq!(
            read(None, [None, None], true),
            Some((Chain::Platform, [None, None]))
        );
        // A zone whose name is a number.
        assert_eq!(
            read(Some("3"), [None, None], false),
            Some((zone("3"), [None, None]))
        );
        assert_eq!(read(Some("a.test"), [Some("x"), None], false), None);
        assert_eq!(read(Some("1"), [Some("2"), Some("3")], true), None);
    }
}

//! Commands that ask control: versions are made, listed, compared and rolled back, rollouts are watched and decided on.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seawall_telemetry::Stamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use similar::TextDiff;

use crate::cli;
use crate::control::locations::Place;
use crate::control::words::{Applied, FromControl, Standing, ToControl, Told};
use crate::file;
use crate::here::{self, Act};
use crate::order::{self, Chain};
use crate::say::{complain, say};
use crate::steering;
use crate::wire::Wire;

/// How often it is asked how a rollout stands.
const LOOK: Duration = Duration::from_millis(200);
/// How long an answer may take: a large document is compiled for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long control may be away while a rollout is watched.
const AWAY: Duration = Duration::from_secs(30);

/// A question, and its answer.
struct Control {
    wire: Wire,
}

impl Control {
    fn at(at: &cli::At) -> Result<Self> {
        let path = at.data.join("control.sock");
        let wire = Wire::connect(&path).with_context(|| {
            format!(
                "no control answers on {}: start `seawall up`, or name its folder with --data (kill, rollback, pin and drain act on this machine's edge alone with --here)",
                at.data.display()
            )
        })?;
        Ok(Self { wire })
    }

    async fn ask(
        &self,
        word: &ToControl,
        file: Option<&OwnedFd>,
    ) -> Result<(FromControl, Option<OwnedFd>)> {
        let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        self.wire.say(word, &files)?;
        let heard = tokio::time::timeout(PATIENCE, self.wire.hear::<FromControl>()).await;
        match heard.context("control does not answer")?? {
            Some((FromControl::Refused { why }, _)) => bail!("{why}"),
            Some((FromControl::Conflict { why, head }, _)) => bail!(
                "{why}{}",
                head.map_or_else(String::new, |head| format!(
                    " (the newest version is {head}: `seawall diff` shows it)"
                ))
            ),
            Some((word, files)) => Ok((word, files.into_iter().next())),
            None => bail!("control has gone before it answered"),
        }
    }

    async fn told<T: DeserializeOwned>(
        &self,
        word: &ToControl,
        file: Option<&OwnedFd>,
    ) -> Result<T> {
        let (_, file) = self.ask(word, file).await?;
        Ok(order::take(file)?)
    }
}

fn run<T>(asks: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asks)
}

/// Who asks: whoever may open the socket is the owner of what runs.
pub fn who() -> String {
    // SAFETY: it only tells a number.
    let uid = unsafe { libc::getuid() };
    match std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")) {
        Ok(name) if !name.is_empty() => format!("user:{name}"),
        _ => format!("uid:{uid}"),
    }
}

fn chain(of: &cli::Of) -> Chain {
    match &of.zone {
        Some(zone) => Chain::Zone(zone.clone()),
        None => Chain::Platform,
    }
}

/// `seawall apply`.
///
/// # Errors
/// All problems of the file, or that control is not there.
pub fn apply(apply: &cli::Apply) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&apply.at)?;
        let text = file::text(&apply.file).map_err(|problems| anyhow!("{problems}"))?;
        let path = std::path::absolute(&apply.file)?;
        let word = ToControl::Apply {
            path: path.display().to_string(),
            who: who(),
            why: apply.why.why.clone(),
            parent: apply.parent,
            approve: apply.approve,
        };
        let text = order::put(&text)?;
        let applied: Applied = control.told(&word, Some(&text)).await?;
        made(&control, &apply.at, &applied, apply.why.wait).await
    })
}

/// Tells what was made, and waits where that is wanted.
async fn made(control: &Control, at: &cli::At, applied: &Applied, wait: bool) -> Result<ExitCode> {
    for (chain, number, rollout) in &applied.versions {
        say(format_args!(
            "{chain}: version {number} (rollout {rollout})"
        ));
    }
    for note in &applied.notes {
        say(note);
    }
    if applied.versions.is_empty() {
        say("nothing is new: what was applied is the newest version already");
    } else if applied.unchanged > 0 {
        say(format_args!("{} more as before", applied.unchanged));
    }
    let ids: Vec<u64> = applied.versions.iter().map(|(_, _, id)| *id).collect();
    if !wait || ids.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    watch(control, at, &ids).await
}

/// Shows how rollouts go, until all have ended.
async fn watch(control: &Control, at: &cli::At, ids: &[u64]) -> Result<ExitCode> {
    let mut later: Option<Control> = None;
    let mut shown = String::new();
    let mut away = Duration::ZERO;
    let live = std::io::stdout().is_terminal();
    loop {
        let control = later.as_ref().unwrap_or(control);
        let word = ToControl::Rollouts { ids: ids.to_vec() };
        let standings: Vec<Standing> = match control.told(&word, None).await {
            Ok(standings) => standings,
            Err(error) if away >= AWAY => return Err(error),
            Err(_) => {
                // It is started again, and goes on where it was.
                tokio::time::sleep(LOOK).await;
                away += LOOK;
                later = Control::at(at).ok();
                continue;
            }
        };
        away = Duration::ZERO;
        let running: Vec<&Standing> = standings.iter().filter(|one| one.ended.is_none()).collect();
        let line = progress(&running, standings.len());
        if line != shown && !running.is_empty() {
            let erase = if live && !shown.is_empty() {
                "\x1b[1A\x1b[2K"
            } else {
                ""
            };
            say(format_args!("{erase}{line}"));
            shown = line;
        }
        if running.is_empty() {
            return Ok(ended(&standings));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn progress(running: &[&Standing], all: usize) -> String {
    match running {
        [] => String::new(),
        [one] if all == 1 => format!("  {}", told(one)),
        [first, ..] => format!(
            "  {} of {all} still on their way; {}",
            running.len(),
            told(first)
        ),
    }
}

fn told(one: &Standing) -> String {
    let (whole, rest) = (one.share / 100, one.share % 100);
    let rest = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:02}")
    };
    let Standing {
        what,
        version,
        locations,
        why,
        ..
    } = one;
    format!(
        "{what} version {version}: {whole}{rest} % of clients in {locations} location(s); {why}"
    )
}

fn ended(standings: &[Standing]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for one in standings {
        if one.ended == Some(true) {
            say(format_args!(
                "{} version {}: it is everywhere",
                one.what, one.version
            ));
        } else {
            complain(format_args!(
                "{} version {} was taken back: {}",
                one.what, one.version, one.why
            ));
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// `seawall versions`.
///
/// # Errors
/// When there is no such zone, or control is not there.
pub fn versions(of: &cli::OfZone) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&of.at)?;
        let chain = chain(&of.of);
        let told: Vec<Told> = control.told(&ToControl::Versions { chain }, None).await?;
        if of.json {
            say(format_args!("{:#}", serde_json::to_value(&told)?));
            return Ok(ExitCode::SUCCESS);
        }
        let mut stamp = Stamp::new();
        for version in told {
            let at = version.at.saturating_mul(1_000_000);
            let at = String::from_utf8_lossy(stamp.rfc3339(at)).into_owned();
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
                version.number, mark, at, version.hash, version.author, why
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// `seawall diff`.
///
/// # Errors
/// When there is no such version, or control is not there.
pub fn diff(diff: &cli::Diff) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&diff.at)?;
        let word = ToControl::Texts {
            chain: chain(&diff.of),
            a: diff.a,
            b: diff.b,
        };
        let (said, file) = control.ask(&word, None).await?;
        let FromControl::Texts { a, b } = said else {
            bail!("control answered something else");
        };
        let texts: Vec<String> = order::take(file)?;
        let [before, after] = texts.as_slice() else {
            bail!("control answered something else");
        };
        if before == after {
            say(format_args!("versions {a} and {b} are the same document"));
            return Ok(ExitCode::SUCCESS);
        }
        let diff = TextDiff::from_lines(before, after);
        let (from, to) = (format!("version {a}"), format!("version {b}"));
        say(diff
            .unified_diff()
            .header(&from, &to)
            .to_string()
            .trim_end());
        Ok(ExitCode::SUCCESS)
    })
}

/// `seawall rollback`.
///
/// # Errors
/// When there is no such version, or control is not there.
pub fn rollback(back: &cli::Rollback) -> Result<ExitCode> {
    if back.here {
        let act = Act::Back(chain(&back.of));
        return here::ask(&back.at.data, act, who(), &back.why.why);
    }
    let word = ToControl::Rollback {
        chain: chain(&back.of),
        version: back.version,
        who: who(),
        why: back.why.why.clone(),
    };
    make(&back.at, &word, back.why.wait)
}

/// `seawall delete`.
///
/// # Errors
/// When there is no such zone, or control is not there.
pub fn delete(delete: &cli::Delete) -> Result<ExitCode> {
    let word = ToControl::Delete {
        zone: delete.zone.clone(),
        restore: delete.restore,
        who: who(),
        why: delete.why.why.clone(),
    };
    make(&delete.at, &word, delete.why.wait)
}

fn make(at: &cli::At, word: &ToControl, wait: bool) -> Result<ExitCode> {
    run(async {
        let control = Control::at(at)?;
        let applied: Applied = control.told(word, None).await?;
        made(&control, at, &applied, wait).await
    })
}

/// `seawall pin`.
///
/// # Errors
/// When there is no such zone, or control is not there.
pub fn pin(pin: &cli::Pin) -> Result<ExitCode> {
    if pin.here {
        let chain = chain(&pin.of);
        let act = if pin.remove {
            Act::Release(chain)
        } else {
            Act::Hold(chain)
        };
        return here::ask(&pin.at.data, act, who(), &pin.why);
    }
    let word = ToControl::Pin {
        chain: chain(&pin.of),
        unpin: pin.remove,
        who: who(),
        why: pin.why.clone(),
    };
    done(&pin.at, &word)
}

/// `seawall approve` and `seawall abort`.
///
/// # Errors
/// When there is no such rollout, or control is not there.
pub fn decide(decide: &cli::Decide, approve: bool) -> Result<ExitCode> {
    let word = ToControl::Decide {
        rollout: decide.rollout,
        approve,
        who: who(),
        why: decide.why.clone(),
    };
    done(&decide.at, &word)
}

fn done(at: &cli::At, word: &ToControl) -> Result<ExitCode> {
    run(async {
        Control::at(at)?.ask(word, None).await?;
        say("done");
        Ok(ExitCode::SUCCESS)
    })
}

/// `seawall rollouts`.
///
/// # Errors
/// When control is not there.
pub fn rollouts(rollouts: &cli::Rollouts) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&rollouts.at)?;
        let word = ToControl::Rollouts { ids: Vec::new() };
        let standings: Vec<Standing> = control.told(&word, None).await?;
        if rollouts.json {
            say(format_args!("{:#}", json!(standings)));
        } else if standings.is_empty() {
            say("no rollout runs");
        }
        for one in standings.iter().filter(|_| !rollouts.json) {
            say(format_args!("{:>5}  {}", one.id, told(one)));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What control tells of itself; none when it is not there.
pub fn status(data: &Path) -> Option<serde_json::Value> {
    run(async {
        let control = Control {
            wire: Wire::connect(&data.join("control.sock"))?,
        };
        match control.ask(&ToControl::Status, None).await? {
            (FromControl::Status(status), _) => Ok(status),
            _ => bail!("control answered something else"),
        }
    })
    .ok()
}

/// A copy of the log, of the control that runs; none where none does.
pub fn backup(data: &Path) -> Option<Result<(File, u64)>> {
    let asks = async move |wire| {
        let control = Control { wire };
        match control.ask(&ToControl::Backup, None).await? {
            (FromControl::Backup { seq }, Some(file)) => Ok((File::from(file), seq)),
            _ => bail!("control answered something else: is it an older Seawall?"),
        }
    };
    let asked = run(async {
        match Wire::connect(&data.join("control.sock")) {
            Ok(wire) => asks(wire).await.map(Some),
            Err(_) => Ok(None),
        }
    });
    asked.transpose()
}

/// `seawall control token`, `locations` and `leave`.
///
/// # Errors
/// When control is not there, or does not do it.
pub fn about(about: &cli::About) -> Result<ExitCode> {
    match about {
        cli::About::Token(token) => join_token(token),
        cli::About::Locations(locations) => list_locations(locations),
        cli::About::Steering(steering) => run(async {
            let control = Control::at(&steering.at)?;
            let places: Vec<Place> = control.told(&ToControl::Locations, None).await?;
            say(steering::octodns(steering, &places)?);
            Ok(ExitCode::SUCCESS)
        }),
        cli::About::Leave(leave) => {
            let word = ToControl::Leave {
                location: leave.location.clone(),
                who: who(),
                why: leave.why.clone(),
            };
            done(&leave.at, &word)
        }
    }
}

fn join_token(token: &cli::JoinToken) -> Result<ExitCode> {
    run(async {
        let word = ToControl::JoinToken {
            location: token.location.clone(),
            who: who(),
        };
        match Control::at(&token.at)?.ask(&word, None).await? {
            (FromControl::Token { token, listens }, _) => {
                complain(format_args!(
                    "good once, within an hour; control listens on {listens}:"
                ));
                say(token);
                Ok(ExitCode::SUCCESS)
            }
            _ => bail!("control answered something else"),
        }
    })
}

fn list_locations(locations: &cli::Locations) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&locations.at)?;
        let places: Vec<Place> = control.told(&ToControl::Locations, None).await?;
        if locations.json {
            say(format_args!("{:#}", json!(places)));
            return Ok(ExitCode::SUCCESS);
        }
        for place in places {
            let heard = match (place.generation, place.age_ms) {
                (Some(generation), Some(age)) => {
                    format!("generation {generation}, heard of {} s ago", age / 1_000)
                }
                _ => "not heard of yet".into(),
            };
            let drained = match (place.drained, place.away, place.ready) {
                (true, ..) => ", drained",
                (_, true, _) => ", ill: traffic is led away",
                (.., Some(false)) => ", ill: it stays, or too many would be away",
                _ => "",
            };
            let held: Vec<String> = place.held.iter().map(ToString::to_string).collect();
            let held = match held.as_slice() {
                [] => String::new(),
                held => format!(", does not follow control in {}", held.join(", ")),
            };
            say(format_args!(
                "{:<16}  {:<8}  {heard}{drained}{held}",
                place.name, place.architecture
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// `seawall drain` and `seawall undrain`.
///
/// # Errors
/// When there is no such location, or control is not there.
pub fn drain(drain: &cli::Drain, undrain: bool) -> Result<ExitCode> {
    if drain.here {
        let act = if undrain { Act::Undrain } else { Act::Drain };
        return here::ask(&drain.at.data, act, who(), &drain.why);
    }
    let word = ToControl::Drain {
        location: drain.location.clone(),
        undrain,
        who: who(),
        why: drain.why.clone(),
    };
    done(&drain.at, &word)
}

/// `seawall kill`.
///
/// # Errors
/// When there is no such stage, zone or location, or control is not there.
pub fn kill(kill: &cli::Kill) -> Result<ExitCode> {
    if kill.here {
        let (stage, zone) = (kill.stage.clone(), kill.zone.clone());
        let act = match kill.lasts.filter(|_| !kill.end) {
            Some(lasts) => Act::Kill {
                stage,
                zone,
                for_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            },
            None => Act::EndKill { stage, zone },
        };
        let why = kill.why.clone().unwrap_or_default();
        return here::ask(&kill.at.data, act, who(), &why);
    }
    let word = ToControl::Kill {
        stage: kill.stage.clone(),
        zone: kill.zone.clone(),
        location: kill.location.clone(),
        seconds: kill
            .lasts
            .map(|lasts| lasts.as_secs())
            .filter(|_| !kill.end),
        who: who(),
        why: kill.why.clone().unwrap_or_default(),
    };
    if kill.end {
        return done(&kill.at, &word);
    }
    run(async {
        let control = Control::at(&kill.at)?;
        match control.ask(&word, None).await? {
            (FromControl::Killed { rollout }, _) => {
                let all = |one: &Option<String>, what| match one {
                    Some(one) => one.clone(),
                    None => format!("all {what}"),
                };
                say(format_args!(
                    "{}: off in {} of {} (rollout {rollout})",
                    kill.stage,
                    all(&kill.zone, "zones"),
                    all(&kill.location, "locations"),
                ));
                if !kill.wait {
                    return Ok(ExitCode::SUCCESS);
                }
                watch(&control, &kill.at, &[rollout]).await
            }
            _ => bail!("control answered something else"),
        }
    })
}

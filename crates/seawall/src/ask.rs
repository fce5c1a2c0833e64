//! Commands that ask control: versions are made, listed, compared and rolled back, rollouts are watched and decided on.

mod fleet;
mod history;
mod remote;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use crate::cli;
use crate::control::asks::{
    Answer, Applied, Ask, Asked, NewToken, NotMade, Standing, Status, TokenTold,
};
use crate::control::words::{FromControl, ToControl};
use crate::file;
use crate::here::{self, Act};
use crate::order::{self, Chain};
use crate::say::{complain, say, take_back};
use crate::wire::Wire;
use history::date;
use remote::Remote;

pub use fleet::{about, drain, kill, purge};
pub use history::{audit, diff_of, rollback, versions};

/// How often it is asked how a rollout stands.
const LOOK: Duration = Duration::from_millis(200);
/// How long an answer may take: a large document is compiled for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// After so long it is told that the answer takes long.
const SLOW: Duration = Duration::from_secs(5);
/// How long it may take to tell how things stand.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The code of a rollout that waits for a person: it is neither everywhere nor taken back.
const ASKS: u8 = 3;
/// How long control may be away while a rollout is watched.
const AWAY: Duration = Duration::from_secs(30);

/// What is asked.
enum Control {
    /// Control on this machine.
    Here(Wire),
    /// Control elsewhere, by its API.
    There(Box<Remote>),
}

impl Control {
    fn at(at: &cli::At) -> Result<Self> {
        if let Some(url) = &at.api {
            let remote = Remote::at(url, at.api_ca.as_deref())?;
            return Ok(Self::There(Box::new(remote)));
        }
        Self::here(&at.data)
    }

    fn here(data: &Path) -> Result<Self> {
        let path = data.join("control.sock");
        let wire = Wire::connect(&path).with_context(|| {
            format!(
                "no control answers on {}: start `seawall up`, or name its folder with --data (kill, rollback, pin and drain act on this machine's edge alone with --here)",
                data.display()
            )
        })?;
        Ok(Self::Here(wire))
    }

    async fn ask(&self, ask: Ask, why: &str) -> Result<Answer> {
        let asked = Asked {
            who: who(),
            why: why.to_owned(),
            request: None,
            token: None,
            ask,
        };
        let wire = match self {
            Self::There(remote) => return remote.ask(&asked).await,
            Self::Here(wire) => wire,
        };
        let file = order::put(&asked)?;
        wire.say(&ToControl::Ask, &[file.as_fd()])?;
        let mut hears = std::pin::pin!(wire.hear::<FromControl>());
        let heard = match tokio::time::timeout(SLOW, &mut hears).await {
            Err(_) => {
                complain(
                    "control has not answered yet: it takes in very many zones, or waits for its store (its log tells); waiting",
                );
                tokio::time::timeout(PATIENCE, hears).await
            }
            soon => soon,
        };
        let heard = heard.with_context(|| {
            format!("control does not answer within {} s: its log tells what it does; whether this was done, `seawall audit` tells then", PATIENCE.as_secs())
        })?;
        match heard? {
            Some((FromControl::Answer, files)) => {
                let answer = order::take::<Result<Answer, NotMade>>(files.into_iter().next())?;
                answer.map_err(|not| anyhow!("{not}"))
            }
            Some(_) => bail!("control answered something else"),
            None => bail!("control has gone before it answered"),
        }
    }

    /// How rollouts stand, once there is something new; `known` is for itself.
    async fn standings(
        &self,
        ids: &[u64],
        known: &mut Option<String>,
    ) -> Result<Option<Vec<Standing>>> {
        let answer = match self {
            Self::There(remote) => remote.standings(ids, known).await?,
            Self::Here(_) => Some(self.ask(Ask::Rollouts { ids: ids.to_vec() }, "").await?),
        };
        match answer {
            None => Ok(None),
            Some(Answer::Rollouts(standings)) => Ok(Some(standings)),
            Some(_) => other(),
        }
    }
}

/// It answered what is no answer to that.
fn other<T>() -> Result<T> {
    bail!("control answered something else: is it of another version?")
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
        let ask = Ask::Apply {
            text,
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            parent: apply.parent,
            approve: apply.approve,
        };
        make(&control, &apply.at, ask, &apply.why).await
    })
}

/// Tells what was made, and waits where that is wanted.
async fn made(control: &Control, at: &cli::At, applied: &Applied, wait: bool) -> Result<ExitCode> {
    for made in &applied.versions {
        say(format_args!(
            "{}: version {} (rollout {})",
            made.chain, made.version, made.rollout
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
    let ids: Vec<u64> = applied.versions.iter().map(|made| made.rollout).collect();
    if !wait || ids.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    watch(control, at, &ids).await
}

/// Shows how rollouts go, until all have ended.
async fn watch(control: &Control, at: &cli::At, ids: &[u64]) -> Result<ExitCode> {
    let mut later: Option<Control> = None;
    let mut known = None;
    let mut shown = String::new();
    let mut away = Duration::ZERO;
    let live = std::io::stdout().is_terminal();
    loop {
        let control = later.as_ref().unwrap_or(control);
        let standings = match control.standings(ids, &mut known).await {
            Ok(Some(standings)) => standings,
            Ok(None) => continue,
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
            if live && !shown.is_empty() {
                take_back();
            }
            say(&line);
            shown = line;
        }
        if running.is_empty() {
            return Ok(ended(&standings));
        }
        if running.iter().all(|one| one.asks || one.person.is_some()) {
            for one in running {
                tell_what_to_do(one);
            }
            ended(&standings);
            return Ok(ExitCode::from(ASKS));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells what a person can do about a rollout that waits for one.
fn tell_what_to_do(one: &Standing) {
    let what = match &one.person {
        Some(what) => what.clone(),
        // Control is of an older version.
        None => format!(
            "`seawall approve {}` lets it go on, however it judges requests",
            one.id
        ),
    };
    complain(format_args!(
        "{} version {} waits for a person ({}): {what}, `seawall abort {}` ends it",
        one.what, one.version, one.why, one.id
    ));
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
    for one in standings.iter().filter(|one| one.ended.is_some()) {
        if one.ended == Some(true) {
            // Who has not got it is named there.
            say(format_args!(
                "{} version {}: {}",
                one.what, one.version, one.why
            ));
        } else {
            let how = match one.replaced_by {
                Some(_) => "was replaced",
                None => "was taken back",
            };
            complain(format_args!(
                "{} version {} {how}: {}",
                one.what, one.version, one.why
            ));
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// `seawall delete`.
///
/// # Errors
/// When there is no such zone, or control is not there.
pub fn delete(delete: &cli::Delete) -> Result<ExitCode> {
    let ask = Ask::Delete {
        zone: delete.zone.clone(),
        restore: delete.restore,
    };
    run(async { make(&Control::at(&delete.at)?, &delete.at, ask, &delete.why).await })
}

async fn make(control: &Control, at: &cli::At, ask: Ask, why: &cli::Why) -> Result<ExitCode> {
    match control.ask(ask, &why.why).await? {
        Answer::Applied(applied) => made(control, at, &applied, why.wait).await,
        _ => other(),
    }
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
    let ask = Ask::Pin {
        chain: chain(&pin.of),
        unpin: pin.remove,
    };
    done(&pin.at, ask, &pin.why)
}

/// `seawall approve` and `seawall abort`.
///
/// # Errors
/// When there is no such rollout, or control is not there.
pub fn decide(decide: &cli::Decide, approve: bool) -> Result<ExitCode> {
    let ask = Ask::Decide {
        rollout: decide.rollout,
        approve,
    };
    done(&decide.at, ask, &decide.why)
}

fn done(at: &cli::At, ask: Ask, why: &str) -> Result<ExitCode> {
    run(async {
        Control::at(at)?.ask(ask, why).await?;
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
        let answer = control.ask(Ask::Rollouts { ids: Vec::new() }, "").await?;
        let Answer::Rollouts(standings) = answer else {
            return other();
        };
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

/// `seawall token`.
///
/// # Errors
/// When it is not done, or control is not there.
pub fn token(token: &cli::Token) -> Result<ExitCode> {
    let (at, why) = (&token.at, &token.why);
    match &token.what {
        cli::TokenWhat::Make(make) => run(async {
            let new = NewToken {
                name: make.name.clone(),
                scopes: make.scope.clone(),
                seconds: make.expires.map(|time| time.as_secs().max(1)),
            };
            let answer = Control::at(at)?.ask(Ask::MakeToken(new), why).await?;
            let Answer::Token(made) = answer else {
                return other();
            };
            // On standard output the token alone, so that it can be caught by a script; and what is said once is said.
            complain(format_args!(
                "token {}: it is told now and never again",
                made.name
            ));
            say(made.token);
            Ok(ExitCode::SUCCESS)
        }),
        cli::TokenWhat::List { json } => run(async {
            let Answer::Tokens(tokens) = Control::at(at)?.ask(Ask::Tokens, "").await? else {
                return other();
            };
            if *json {
                say(format_args!("{:#}", json!(tokens)));
            } else {
                tokens.iter().for_each(|token| say(listed(token)));
            }
            Ok(ExitCode::SUCCESS)
        }),
        cli::TokenWhat::Revoke { name } => done(at, Ask::RevokeToken { name: name.clone() }, why),
    }
}

fn listed(token: &TokenTold) -> String {
    let until = match token.expires {
        Some(at) => format!("until {}", date(at)),
        None => "until it is revoked".into(),
    };
    format!(
        "{:<20}  {}  made {} by {}, good {until}",
        token.name,
        token.scopes.join(" "),
        date(token.made),
        token.by
    )
}

/// What control tells of itself; none when it is not there. One that says nothing, as it waits for its store, is told of so.
pub fn status(data: &Path) -> Option<serde_json::Value> {
    let ask = async {
        let control = Control::here(data)?;
        Ok(tokio::time::timeout(AT_ONCE, control.ask(Ask::Status, "")).await)
    };
    match run(ask).ok()? {
        Ok(Ok(Answer::Status(status))) => serde_json::to_value(status).ok(),
        Ok(_) => None,
        Err(_) => Some(json!({
            "trouble": "control says nothing: it waits for the store of versions, or is stopped",
        })),
    }
}

/// A copy of the log, of the control that runs; none where none does.
pub fn backup(data: &Path) -> Option<Result<(File, u64)>> {
    let asks = async |wire: Wire| {
        wire.say(&ToControl::Backup, &[])?;
        match wire.hear::<FromControl>().await? {
            Some((FromControl::Backup { seq }, files)) => {
                let file = files.into_iter().next().context("no copy came")?;
                Ok((File::from(file), seq))
            }
            Some((FromControl::NoBackup { why }, _)) => bail!("{why}"),
            _ => other(),
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

/// What control elsewhere tells of itself.
///
/// # Errors
/// When it does not answer.
pub fn status_there(at: &cli::At) -> Result<Status> {
    run(async {
        match Control::at(at)?.ask(Ask::Status, "").await? {
            Answer::Status(status) => Ok(status),
            _ => other(),
        }
    })
}

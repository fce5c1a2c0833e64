//! Commands about locations: how they join and leave, how traffic is led away from them, what is switched off in them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;

use super::{Control, done, other, run, watch, who};
use crate::cli;
use crate::control::asks::{Answer, Ask, NewPurge};
use crate::here::{self, Act};
use crate::say::{complain, say};
use crate::steering;

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
            let Answer::Locations(places) = control.ask(Ask::Locations, "").await? else {
                return other();
            };
            say(steering::octodns(steering, &places)?);
            Ok(ExitCode::SUCCESS)
        }),
        cli::About::Leave(leave) => {
            let location = leave.location.clone();
            done(&leave.at, Ask::Leave { location }, &leave.why)
        }
    }
}

fn join_token(token: &cli::JoinToken) -> Result<ExitCode> {
    run(async {
        let location = token.location.clone();
        let for_s = token.good_for.as_secs();
        let canary = token.canary;
        let ask = Ask::JoinToken {
            location,
            for_s,
            canary,
        };
        match Control::at(&token.at)?.ask(ask, "").await? {
            Answer::JoinToken(made) => {
                complain(format_args!(
                    "good once, for {for_s} s; control listens on {}:",
                    made.listens
                ));
                say(made.token);
                Ok(ExitCode::SUCCESS)
            }
            _ => other(),
        }
    })
}

fn list_locations(locations: &cli::Locations) -> Result<ExitCode> {
    run(async {
        let control = Control::at(&locations.at)?;
        let Answer::Locations(places) = control.ask(Ask::Locations, "").await? else {
            return other();
        };
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
            let drained = match (place.drained, place.away, place.silent, place.ready) {
                (true, ..) => ", drained",
                (_, true, true, _) => ", silent: traffic is led away",
                (_, true, ..) => ", ill: traffic is led away",
                (_, _, true, _) => ", silent",
                (.., Some(false)) => ", ill: it stays, or too many would be away",
                _ => "",
            };
            let held: Vec<String> = place.held.iter().map(ToString::to_string).collect();
            let held = match held.as_slice() {
                [] => String::new(),
                held => format!(", does not follow control in {}", held.join(", ")),
            };
            let lacks = match place.lacks.as_slice() {
                [] => String::new(),
                [one] => format!(", does not serve {one}"),
                [one, rest @ ..] => format!(", does not serve {one}; and {} more", rest.len()),
            };
            let canary = if place.canary { ", canary" } else { "" };
            say(format_args!(
                "{:<16}  {:<8}  {heard}{canary}{drained}{held}{lacks}",
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
    let ask = Ask::Drain {
        location: drain.location.clone(),
        undrain,
    };
    done(&drain.at, ask, &drain.why)
}

/// How often it is looked whether a purge is everywhere.
const LOOK: Duration = Duration::from_millis(100);
/// How long that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `seawall purge`.
///
/// # Errors
/// When there is no such zone, something named cannot be purged, or control is not there.
pub fn purge(purge: &cli::Purge) -> Result<ExitCode> {
    let what = NewPurge {
        urls: purge.urls.clone(),
        prefixes: purge.prefixes.clone(),
        hosts: purge.hosts.clone(),
        tags: purge.tags.clone(),
        everything: purge.everything,
        ..NewPurge::default()
    }
    .what();
    let (zone, soft) = (purge.zone.clone(), purge.soft);
    if purge.here {
        let act = Act::Purge { zone, what, soft };
        return here::ask(&purge.at.data, act, who(), &purge.why);
    }
    run(async {
        let control = Control::at(&purge.at)?;
        let ask = Ask::Purge { zone, what, soft };
        let Answer::Purged { purge: number } = control.ask(ask, &purge.why).await? else {
            return other();
        };
        say(format_args!("purge {number} is ordered"));
        if purge.wait {
            wait_for(&control, number).await
        } else {
            Ok(ExitCode::SUCCESS)
        }
    })
}

async fn wait_for(control: &Control, number: u64) -> Result<ExitCode> {
    let due = Instant::now() + PATIENCE;
    loop {
        let ask = Ask::PurgeStands { purge: number };
        let Answer::PurgeStands(stands) = control.ask(ask, "").await? else {
            return other();
        };
        let late: Vec<&str> = stands
            .locations
            .iter()
            .filter(|of| !of.done)
            .map(|of| of.location.as_str())
            .collect();
        if late.is_empty() {
            for of in &stands.locations {
                match of.lag_ms {
                    Some(lag) => say(format_args!("{:<16}  done after {lag} ms", of.location)),
                    None => say(format_args!("{:<16}  done", of.location)),
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= due {
            complain(format_args!(
                "not done yet in {}: they do it as soon as they are heard of",
                late.join(", ")
            ));
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(LOOK).await;
    }
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
    let ask = Ask::Kill {
        stage: kill.stage.clone(),
        zone: kill.zone.clone(),
        location: kill.location.clone(),
        seconds: kill
            .lasts
            .map(|lasts| lasts.as_secs())
            .filter(|_| !kill.end),
    };
    let why = kill.why.clone().unwrap_or_default();
    if kill.end {
        return done(&kill.at, ask, &why);
    }
    run(async {
        let control = Control::at(&kill.at)?;
        match control.ask(ask, &why).await? {
            Answer::Killed { rollout } => {
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
            _ => other(),
        }
    })
}

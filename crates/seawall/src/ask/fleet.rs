//! Commands about locations: how they join and leave, how traffic is led away from them, what is switched off in them.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{Control, done, other, run, watch, who};
use crate::cli;
use crate::control::asks::{Answer, Ask};
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
            let canary = if place.canary { ", canary" } else { "" };
            say(format_args!(
                "{:<16}  {:<8}  {heard}{canary}{drained}{held}",
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

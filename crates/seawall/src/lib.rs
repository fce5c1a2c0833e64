//! Command line, roles, wiring. It knows all rooms and is known by none.
//!
//! A library beside its binary only so that another binary, which is never shipped, can be this one with further stages.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a closed terminal must not end the process: use `say`"
)]

mod agent;
mod api;
mod archive;
mod ask;
mod backup;
mod certificates;
mod check;
mod cli;
mod configure;
mod contents;
mod control;
mod data;
mod distribution;
mod doctor;
mod download;
mod draft;
mod drill;
mod earlier;
mod file;
mod geo;
mod good;
mod here;
mod http3;
mod join;
mod kept;
mod keys;
mod last_words;
mod lasting;
mod live;
mod message;
mod order;
mod page;
mod privileges;
mod process;
mod quarantine;
mod say;
mod signals;
mod silence;
mod standing;
mod start;
mod status;
mod steering;
mod sum;
mod supervisor;
mod switch;
mod token;
mod trouble;
mod unkept;
mod up;
mod upgrade;
mod waf;
mod wire;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use seawall_guard::StageDef;

/// Allocation is on the path of every connection; this one is quick and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line with these stages, in their order.
pub fn run(stages: &'static [&'static StageDef]) -> ExitCode {
    // Edges of a drill have a bug that others have not. It is looked at before anything is opened.
    let stages = seawall_drill::fault::with_bug(stages);
    #[cfg(feature = "unsafe-drills")]
    seawall_model::safeguard::turn_off(std::env::var_os(seawall_model::safeguard::VARIABLE));
    let result = match cli::Cli::parse().command {
        cli::Command::Up(up) => up::run(&up),
        cli::Command::Edge(edge) => join::prepare(*edge).and_then(|edge| supervisor::run(&edge)),
        cli::Command::Worker(worker) => worker::run(&worker, stages),
        cli::Command::Agent(agent) => agent::run(&agent, stages),
        cli::Command::Status(status) => status::run(&status),
        cli::Command::Upgrade(upgrade) => upgrade::run(&upgrade),
        cli::Command::Drill(drill) => drill::run(&drill),
        cli::Command::Doctor(doctor) => Ok(doctor::run(&doctor, stages)),
        cli::Command::Control(control) => match &control.about {
            None => control::run(&control, stages),
            Some(about) => ask::about(about),
        },
        cli::Command::Keys(keys) => keys::run(&keys),
        cli::Command::Kill(kill) => ask::kill(&kill),
        cli::Command::Purge(purge) => ask::purge(&purge),
        cli::Command::Drain(drain) => ask::drain(&drain, false),
        cli::Command::Announce(announce) => steering::announce(&announce),
        cli::Command::Undrain(drain) => ask::drain(&drain, true),
        cli::Command::Trial(trial) => check::trial(trial.contents.as_deref(), stages),
        cli::Command::Apply(apply) => ask::apply(&apply),
        cli::Command::Versions(of) => ask::versions(&of),
        cli::Command::Diff(diff) => ask::diff_of(&diff),
        cli::Command::Audit(audit) => ask::audit(&audit),
        cli::Command::Rollback(back) => ask::rollback(&back),
        cli::Command::Delete(delete) => ask::delete(&delete),
        cli::Command::Pin(pin) => ask::pin(&pin),
        cli::Command::Rollouts(rollouts) => ask::rollouts(&rollouts),
        cli::Command::Approve(decide) => ask::decide(&decide, true),
        cli::Command::Abort(decide) => ask::decide(&decide, false),
        cli::Command::Backup(flags) => backup::backup(&flags),
        cli::Command::Restore(flags) => backup::restore(&flags),
        cli::Command::Token(token) => ask::token(&token),
        cli::Command::Waf(flags) => waf::run(&flags),
        cli::Command::Geo(flags) => geo::run(&flags),
        cli::Command::Check(check) => Ok(check::run(&check, stages)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say::complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The description of the API, in OpenAPI 3.1: for the reference.
pub fn openapi() -> String {
    api::openapi::text().to_owned()
}

/// Scopes, endpoints and problems of the API: for the reference.
pub fn api_markdown() -> String {
    api::openapi::markdown()
}

/// The help of the command and of each subcommand, as it is printed: for the reference.
pub fn help() -> Vec<(String, String)> {
    let mut command = cli::Cli::command();
    command.build();
    let mut pages = vec![("seawall".to_owned(), command.render_long_help().to_string())];
    for sub in command.get_subcommands_mut() {
        let name = sub.get_name().to_owned();
        if name != "help" && !sub.is_hide_set() {
            pages.push((
                format!("seawall {name}"),
                sub.render_long_help().to_string(),
            ));
        }
    }
    pages
}

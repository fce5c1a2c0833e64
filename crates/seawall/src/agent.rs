//! The agent: the process beside the worker for what may fail, hang or be killed without harm to what serves.
//!
//! It compiles what a file says in a process of its own before the worker is told to, and it promotes what has served for long
//! enough to be what is served when a later version brings workers down. It may die at any time; the supervisor starts another.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;
use tokio::time::Instant;

use crate::cli;
use crate::data::Data;
use crate::last_words;
use crate::live;
use crate::message::{FromAgent, ToAgent};
use crate::privileges;
use crate::say::complain;
use crate::start;

/// The longest trial.
const TRIAL: Duration = Duration::from_secs(60);

/// Runs until the supervisor has gone.
///
/// # Errors
/// When it was not started by a supervisor.
pub fn run(flags: &cli::Worker) -> Result<ExitCode> {
    last_words::in_the_background();
    privileges::give_up(&flags.up.data);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let wire = start::wire(flags.wire)?;
        let data = Data::at(&flags.up.data)?;
        let program = start::program()?;
        let mut good_at: Option<Instant> = None;
        loop {
            let told = tokio::select! {
                told = wire.hear() => told?,
                () = at(good_at) => {
                    good_at = None;
                    promote(&data);
                    continue;
                }
            };
            match told.map(|(told, _)| told) {
                None => return Ok(ExitCode::SUCCESS),
                Some(ToAgent::Try) => {
                    let said = match &flags.up.config {
                        Some(file) => attempt(&program, file).await,
                        None => FromAgent::Tried,
                    };
                    wire.say(&said, &[])?;
                }
                Some(ToAgent::Live { soak_ms }) => {
                    good_at = match live::prove(&data.path("")) {
                        Ok(()) => Some(Instant::now() + Duration::from_millis(soak_ms)),
                        Err(_) => None,
                    };
                }
                Some(ToAgent::Died { .. }) => good_at = None,
                Some(ToAgent::Serves { .. } | ToAgent::Ordered | ToAgent::Counted) => {}
            }
        }
    })
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn promote(data: &Data) {
    if let Err(error) = live::promote(&data.path("")) {
        complain(format_args!(
            "what is live has proved good, but cannot be kept as such: {error}"
        ));
    }
}

/// Compiles a file in a process of its own. What it prints is for nobody: the worker tells the problems when it compiles.
async fn attempt(program: &Path, file: &Path) -> FromAgent {
    let mut command = Command::new(program);
    command
        .arg("check")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .kill_on_drop(true);
    let limits = || {
        limit(libc::RLIMIT_CORE, 0)?;
        limit(libc::RLIMIT_CPU, TRIAL.as_secs())
    };
    // SAFETY: system calls alone, which are allowed between fork and exec.
    unsafe { command.pre_exec(limits) };
    let ended = match command.spawn() {
        Ok(mut child) => tokio::time::timeout(TRIAL, child.wait()).await,
        Err(error) => {
            complain(format_args!("no trial of {}: {error}", file.display()));
            return FromAgent::Tried;
        }
    };
    match ended {
        Ok(Ok(status)) if status.code().is_some() => FromAgent::Tried,
        Ok(Ok(status)) => FromAgent::Deadly {
            why: format!("compiling it ended with {status}"),
        },
        Ok(Err(_)) => FromAgent::Tried,
        Err(_) => FromAgent::Deadly {
            why: format!("compiling it did not end within {} s", TRIAL.as_secs()),
        },
    }
}

fn limit(what: libc::__rlimit_resource_t, most: u64) -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the pointer is to a struct of the call's.
    if unsafe { libc::setrlimit(what, &raw const limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

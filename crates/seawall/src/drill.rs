//! `seawall drill`: outages, re-enacted. All of it is a room of its own; here it gets its flags and the program of which its bed is made.

use std::process::ExitCode;

use anyhow::Result;
use seawall_drill::Options;

use crate::cli;
use crate::say::complain;
use crate::start;

/// What a drill that could not be run ends with.
const VOID: u8 = 2;

/// Runs what is asked for. Exit 0 when all was contained, 1 when not, 2 when one says nothing.
///
/// # Errors
/// When our own program cannot be found.
pub fn run(flags: &cli::Drill) -> Result<ExitCode> {
    let options = Options {
        ids: flags.ids.clone(),
        all: flags.all,
        list: flags.list,
        speed: flags.speed,
        json: flags.json,
        report: flags.report.clone(),
        guard: flags.guard.clone(),
        #[cfg(feature = "unsafe-drills")]
        twin: flags.twin,
    };
    match seawall_drill::run(&options, &start::program()?) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(why) => {
            complain(format_args!("{why}"));
            Ok(ExitCode::from(VOID))
        }
    }
}

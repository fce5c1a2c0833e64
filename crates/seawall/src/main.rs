//! The binary: command line, roles, wiring. It knows all rooms and is known by none.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a closed terminal must not end the process: use `say`"
)]

mod check;
mod cli;
mod data;
mod file;
mod process;
mod say;
mod trouble;
mod up;

use std::process::ExitCode;

use clap::Parser;

/// Allocation is on the path of every connection; this one is quick and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Up(up) => up::run(&up),
        cli::Command::Check(check) => Ok(check::run(&check)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say::complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

//! The binary: command line, roles, wiring. It knows all rooms and is known by none.

mod check;
mod cli;
mod data;
mod process;
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
            eprintln!("seawall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

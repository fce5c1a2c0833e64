//! Tasks of the workspace that are never shipped: `cargo xtask TASK`.
//!
//! This file only finds the task; each task is a module of its own.

// Nothing here meets a stranger's bytes: a panic of a task is a message to the person who started it.
#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::expect_used)]

mod bench;
mod cache_twins;
mod crs;
mod generate;
mod twins;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK

  bench      measures Seawall beside nginx, HAProxy and a bare relay (bench/README.md); `bench --help`
  cache-twins  plays the scenarios of the cache's protections with those off: each must fail
  crs [BEGIN]  plays the Core Rule Set's own tests over HTTP, all or those whose names begin so (../shared/crs, or CRS_DIR)
  drill-twins [ID…]  runs each drill with its safeguard off: none may be contained
  generate   writes docs/reference/ from the tables in the code; `--check` only tells what is stale";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match task.as_str() {
        "bench" => bench::run(&rest),
        "cache-twins" => cache_twins::run(&rest),
        "crs" => crs::run(&rest),
        "drill-twins" => twins::run(&rest),
        "generate" => generate::run(&rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        unknown => {
            eprintln!("xtask: no task named {unknown:?}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask {task}: {error:#}");
        ExitCode::FAILURE
    })
}

//! The binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    seawall::run(seawall_proxy::stages::STAGES)
}

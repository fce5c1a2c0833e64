//! Never shipped: the program in which single safeguards can be turned off, for the twins of drills.

use std::process::ExitCode;

fn main() -> ExitCode {
    seawall::run(seawall_proxy::stages::STAGES)
}

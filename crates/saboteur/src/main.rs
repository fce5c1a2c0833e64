//! Never shipped: the very edge, with stages beside its own that fail when a request tells them to.
//!
//! A promise about a stage that panics counts when a real one panics in a real process. `x-sabotage` speaks to a stage whose
//! failing lets requests go on, `x-sabotage-closed` to one whose failing does not.

mod stage;

use std::process::ExitCode;

use seawall_guard::StageDef;
use seawall_proxy::stages::STAGES;

fn main() -> ExitCode {
    // Once, for the life of the process.
    let all: Vec<&'static StageDef> = STAGES
        .iter()
        .copied()
        .chain([&stage::OPEN, &stage::CLOSED])
        .collect();
    seawall::run(Vec::leak(all))
}

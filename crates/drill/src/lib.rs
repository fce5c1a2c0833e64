//! The outages that must never happen here, re-enacted: `seawall drill`.
//!
//! A drill sets up a test bed of real processes of this very program (a control, and twelve edges that stand for locations), puts it under
//! load, injects the fault of a real outage, and tells what clients saw. From that, and from nothing else, follows whether the outage
//! was contained. A twin of each drill, in a build that is never shipped, turns one safeguard off and must fail: that proves that the drill bites.
//!
//! `outage` is what is known of the real ones, `drills` what is injected, `bed` the processes, `site` what is asked and what the right answer is,
//! `ledger` and `verdict`, both pure, what follows; `show` and `report` are for people.
//!
//! Not here: any safeguard. The room knows edges and control only as everybody does: by their commands, ports and files.

mod api;
mod bed;
mod busy;
mod cgroup;
mod drills;
mod error;
pub mod fault;
mod guardian;
mod http;
mod ledger;
mod load;
mod machine;
mod opens;
mod origin;
mod outage;
mod permit;
mod plot;
mod report;
mod run;
mod show;
mod site;
mod timeline;
mod verdict;

pub use run::{Code, Options, run};

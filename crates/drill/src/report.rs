//! The report: one page of HTML that needs nothing else, with a plot of each drill beside the timeline of the real outage.

use crate::drills::Drill;
use crate::ledger::Ledger;
use crate::timeline::Event;
use crate::verdict::Outcome;

/// A drill that was run.
pub struct Told {
    /// Which.
    pub drill: &'static Drill,
    /// What became of it.
    pub outcome: Outcome,
    /// What clients saw.
    pub ledger: Ledger,
    /// What happened.
    pub events: Vec<Event>,
}

/// The page.
pub fn html(_told: &[Told]) -> String {
    String::new()
}

//! The metrics of stages: declared here with the others, so that the reference has them all; kept and rendered where stages run.

use super::table::Kind;

/// What is counted of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageFigure {
    /// What it refused.
    Refused,
    /// What it would have refused, in mode watch.
    Watched,
    /// What it noted, weighed or changed.
    Noted,
    /// What used up its budget.
    Spent,
    /// Its panics.
    Faults,
    /// How often one of its breakers opened.
    BreakersOpened,
}

/// A metric of stages.
#[derive(Clone, Copy, Debug)]
pub struct StageMetric {
    /// Its name.
    pub name: &'static str,
    /// What kind of figure it is.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// What is counted, by stage; none for what is counted of all together.
    pub figure: Option<StageFigure>,
}

const fn counter(name: &'static str, figure: StageFigure, help: &'static str) -> StageMetric {
    StageMetric {
        name,
        kind: Kind::Counter,
        help,
        figure: Some(figure),
    }
}

/// The metrics of stages.
#[rustfmt::skip] // one line for each metric
pub static STAGE_METRICS: &[StageMetric] = &[
    counter("seawall_stage_refused_total", StageFigure::Refused, "Requests and responses that a stage refused."),
    counter("seawall_stage_watched_total", StageFigure::Watched, "Requests and responses that a stage would have refused, in mode watch."),
    counter("seawall_stage_noted_total", StageFigure::Noted, "Requests and responses that a stage noted, weighed or changed."),
    counter("seawall_stage_spent_total", StageFigure::Spent, "Requests and responses that used up a stage's budget."),
    counter("seawall_stage_faults_total", StageFigure::Faults, "Panics of a stage, each of which cost one stage of one request."),
    counter("seawall_stage_breakers_opened_total", StageFigure::BreakersOpened, "How often one of a stage's breakers opened."),
    StageMetric { name: "seawall_breakers_open", kind: Kind::Gauge, help: "Breakers of stages that are open now.", figure: None },
];

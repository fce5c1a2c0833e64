//! Between the planner and the log: what a rollout's entries say, as the planner needs it, and its steps as entries.

use super::{StepSpec, Taken};
use crate::store::{Body, Rollout};

impl Taken {
    /// The step that a rollout of the log is in, taken at this time of the planner's clock; none before the first.
    ///
    /// The log's own times are those of a clock that may be set. Who has run since the step was taken passes the time that it
    /// saw then; who has restarted passes the time of its start.
    pub fn of(rollout: &Rollout, at_ms: u64) -> Option<Self> {
        Some(Self {
            step: rollout.step?,
            ring: rollout.ring.clone(),
            share: rollout.share,
            at_ms,
            requests: rollout.requests,
            probes: rollout.probes,
        })
    }
}

impl StepSpec {
    /// The entry that says that this step of a rollout was taken. It is appended before anybody is told to take it.
    pub fn entry(&self, rollout: u64) -> Body {
        Body::RolloutStepped {
            rollout,
            step: self.step,
            ring: self.ring.clone(),
            share: self.share,
            requests: self.requests,
            probes: self.probes,
        }
    }
}

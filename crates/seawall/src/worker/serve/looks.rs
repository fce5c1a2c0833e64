//! What a worker looks at once a second.

use std::sync::Arc;

use super::super::purges;
use super::Worker;
use crate::say::complain;

/// Seconds after which clients that were not seen for long are forgotten.
const SWEEP: u64 = 60;

impl Worker {
    pub(super) fn look(&mut self, looks: u64) {
        self.stands();
        if self.serves {
            match &mut self.take_back {
                None => self.take_state(),
                Some(0) => {
                    self.take_back = None;
                    self.shared.cache.use_disk();
                }
                Some(left) => *left -= 1,
            }
        }
        let state = &self.configuration.state;
        if let Some(trouble) = self.shared.cache.disk_trouble() {
            complain(trouble);
        }
        if looks.is_multiple_of(SWEEP) {
            state.guard.forget(self.shared.now());
            state.set_wall();
            purges::tidy(&self.shared.cache);
        }
        let before = self.retired.len();
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        if self.retired.len() < before {
            // What only those held.
            state.guard.sweep_where_many();
        }
    }

    /// Does what stands beside documents; the numbers of the switches that are on, and that of the purge up to which all are done.
    pub(super) fn stands(&mut self) -> (Vec<u64>, u64) {
        let shared = &self.shared;
        let on = self
            .stands
            .look(&self.configuration, &shared.told, &shared.slot);
        let purged = self.stands.purge(&self.configuration, shared);
        (on, purged)
    }
}

//! What a worker looks at once a second.

use std::sync::Arc;

use super::super::{outdated, purges};
use super::Worker;
use crate::say::complain;

/// Seconds after which clients that were not seen for long are forgotten.
const SWEEP: u64 = 60;

impl Worker {
    pub(super) fn look(&mut self, looks: u64) {
        self.stands();
        if self.serves {
            match &mut self.take_back {
                None => {
                    self.take_state();
                    self.hear_outdated();
                }
                Some(0) => self.use_disk_again(),
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
        // Before it serves it has nothing that could go, and not the disk, on which all that is to go may lie.
        let purged = match self.serves {
            true => self.stands.purge(&self.configuration, shared),
            false => 0,
        };
        (on, purged)
    }

    /// Nobody took over what was given up: what was purged meanwhile was not on the disk.
    fn use_disk_again(&mut self) {
        self.take_back = None;
        let shared = &self.shared;
        shared.cache.use_disk();
        outdated::done_here(&shared.cache.end_handing_over(), shared);
        self.stands.purge_again();
        self.stands();
    }

    /// Does what workers that leave have told of.
    pub(super) fn hear_outdated(&mut self) {
        if self.ending.is_none() {
            self.heard.look(&self.configuration.data, &self.shared);
        }
    }

    /// Tells the worker that serves what has become invalid here.
    pub(super) fn tell_outdated(&self, is_last: bool) {
        let cache = &self.shared.cache;
        let outdated = cache.take_outdated();
        if !outdated.is_empty() && !outdated::tell(&self.configuration.data, &outdated, is_last) {
            cache.put_back_outdated(outdated);
        }
    }
}

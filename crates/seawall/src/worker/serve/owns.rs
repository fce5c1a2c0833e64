//! What only one worker writes: that it is this one, from when and until when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::configure::Configuration;
use crate::kept::StateLock;
use crate::live::LIVE;
use crate::say::complain;

/// What another worker wrote and cannot be served is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

impl Worker {
    /// Takes the right to write what outlives a process, and writes what waits for that. Should another worker still have it, because
    /// it hangs or is writing, the next second is as good.
    pub(super) fn take_state(&mut self) {
        let is_good = |lock: &Arc<StateLock>| lock.check().is_ok();
        if self.state_lock.as_ref().is_some_and(is_good) || self.ending.is_some() {
            return;
        }
        let Ok(lock) = StateLock::take(&self.configuration.data) else {
            return;
        };
        if self.state_lock.is_some() {
            // Somebody took the file of that one away.
            self.give_up_state();
        }
        let lock = Arc::new(lock);
        let Configuration { kept, data, .. } = &self.configuration;
        kept.enter(lock.clone());
        kept.look(&data.path(LIVE));
        self.state_lock = Some(lock.clone());
        self.keep();
        if let Some(keeper) = &self.keeper {
            match keeper.start(lock) {
                Ok(running) => self.running = Some(running),
                Err(error) => complain(format_args!("certificates: {error:#}")),
            }
        }
    }

    /// Whether another worker has written what is live after this one had read it, while this one prepared, mostly: that is to be read
    /// anew before anything else is done.
    pub(in crate::worker) fn is_behind(&mut self) -> bool {
        if !self.serves || self.ending.is_some() || self.take_back.is_some() {
            return false;
        }
        let Some(file) = self.configuration.others_on_disk(&self.unkept) else {
            return false;
        };
        let is_tried = |(tried, at): &(_, Instant)| *tried == file && at.elapsed() < AGAIN;
        if self.caught_up.as_ref().is_some_and(is_tried) {
            return false;
        }
        self.caught_up = Some((file, Instant::now()));
        true
    }

    /// Gives it up. What is being written is written, and the lock is held until then; what waits is not.
    pub(super) fn give_up_state(&mut self) {
        self.running = None;
        self.state_lock = None;
        self.configuration.kept.leave();
        // Should it be ours once more.
        self.to_keep |= !self.configuration.kept.is_written();
    }
}

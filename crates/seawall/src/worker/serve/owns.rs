//! What only one worker writes: that it is this one, from when and until when.

use std::sync::Arc;

use super::Worker;
use crate::kept::StateLock;
use crate::say::complain;

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
        self.configuration.kept.enter(lock.clone());
        self.state_lock = Some(lock.clone());
        self.keep();
        if let Some(keeper) = &self.keeper {
            match keeper.start(lock) {
                Ok(running) => self.running = Some(running),
                Err(error) => complain(format_args!("certificates: {error:#}")),
            }
        }
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

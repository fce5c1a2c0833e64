//! How a worker ends: for another one, or for good.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Ending, Worker};
use crate::say::say;

/// How long the requests that are cut at the end may take to say so, to their clients and in their Records.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Worker {
    /// Another one serves on the same sockets.
    pub(super) fn retire(&mut self, within: Duration) {
        self.give_up_state();
        self.take_back = None;
        self.shared.cache.begin_handing_over();
        self.shared.cache.leave_disk(Duration::ZERO);
        self.ending = Some(Ending {
            due: Instant::now() + within,
        });
        self.sockets.clear();
        self.shared.retire();
    }

    /// Nobody serves any more.
    pub(super) fn drain(&mut self, within: Duration) {
        if self.ending.is_none() && !within.is_zero() {
            say(format_args!(
                "Seawall stops: idle connections close now, running requests have {} s",
                within.as_secs_f64()
            ));
        }
        self.running = None;
        self.sockets.clear();
        self.ending = Some(Ending {
            due: Instant::now() + within,
        });
        self.shared.draining.store(true, Ordering::Release);
        self.shared.drain.notify_waiters();
    }

    /// Waits until all has ended, or must.
    pub(super) async fn over(&self) {
        let Some(ending) = self.ending else {
            return std::future::pending().await;
        };
        while Instant::now() < ending.due && self.runs() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.threads.iter().any(|thread| !thread.is_finished())
    }

    /// A thread that has ended although it was not told to.
    pub(super) fn ended(&self) -> Option<&str> {
        let ended = self.threads.iter().find(|thread| thread.is_finished())?;
        self.ending
            .is_none()
            .then(|| ended.thread().name().unwrap_or("a worker"))
    }

    pub(super) async fn end(self) {
        self.shared.stop();
        let due = Instant::now() + LAST_WORDS;
        while Instant::now() < due && self.runs() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.tell_outdated(true);
        self.shared.cache.leave_disk(Duration::from_secs(1));
        // What is logged up to here is written; a disk that hangs does not keep us.
        let _ = self.log.close(Duration::from_secs(1));
        let _ = std::io::stdout().flush();
    }
}

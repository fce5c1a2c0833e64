//! Troubles that begin and end while we serve, told once each. Nothing here ends the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seawall_proxy::thread::Shared;
use seawall_telemetry::log::Status;

use crate::say::complain;

/// How long nothing more is said of descriptors, in milliseconds.
const QUIET: u64 = 60_000;

/// What was told so far.
pub struct Troubles {
    log: Arc<Status>,
    /// Failures of the log that were told.
    failures: u64,
    /// The last of them is not over.
    failing: bool,
    /// Lines lost before it.
    dropped: u64,
    /// When it was last said that descriptors ran out.
    ran_out: u64,
}

impl Troubles {
    /// Nothing was told yet.
    pub fn new(log: Arc<Status>) -> Self {
        Self {
            log,
            failures: 0,
            failing: false,
            dropped: 0,
            ran_out: 0,
        }
    }

    /// Looks, and tells what is new. Once a second or so.
    pub fn look(&mut self, shared: &Shared) {
        self.look_at_log();
        let ran_out = shared.ran_out.load(Ordering::Relaxed);
        if ran_out > 0 && (self.ran_out == 0 || ran_out - self.ran_out > QUIET) {
            self.ran_out = ran_out;
            complain(
                "no descriptor left for a connection: some are refused (raise LimitNOFILE (systemd) or ulimit -n)",
            );
        }
    }

    fn look_at_log(&mut self) {
        let (failures, problem) = (self.log.failures(), self.log.problem());
        if failures > self.failures && !self.failing {
            self.failing = true;
            let what = problem
                .as_deref()
                .unwrap_or("access log: could not be written");
            complain(format_args!(
                "{what} (requests are served on; lines are lost if this lasts)"
            ));
        }
        self.failures = failures;
        if self.failing && problem.is_none() {
            self.failing = false;
            let dropped = self.log.dropped_lines();
            complain(format_args!(
                "access log: written again, {} line(s) were lost",
                dropped - self.dropped
            ));
            self.dropped = dropped;
        }
    }
}

//! Signals, and what they ask for.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::message::Request;

/// Those that ask for something.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    upgrade: Signal,
}

impl Signals {
    /// From now on they do not end us. Must run in a runtime.
    ///
    /// # Errors
    /// When the system does not let us handle them.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// What the next one asks for; an upgrade is to what lies at `program` then.
    pub async fn next(&mut self, program: &Path) -> Request {
        let stop = |within_ms| Request::Stop { within_ms };
        tokio::select! {
            _ = self.terminate.recv() => stop(None),
            _ = self.interrupt.recv() => stop(None),
            _ = self.quit.recv() => stop(Some(0)),
            _ = self.hang_up.recv() => Request::Reload,
            _ = self.upgrade.recv() => Request::Upgrade { program: program.to_owned() },
        }
    }
}

//! A new program that prepares, and what befalls the old one meanwhile: sites are served first, by whatever can.

use std::time::Duration;

use super::charge::Phase;
use super::process::Ended;
use super::requests::refuse;
use super::{Next, Supervisor, Why};
use crate::last_words;

impl Supervisor {
    /// The worker of a new program that is not ready yet.
    pub(super) fn upgrade_prepares(&self) -> Option<i32> {
        let next = self.next.as_ref()?;
        let charge = self.workers.get(&next.pid)?;
        let is_upgrade = matches!(next.why, Why::Upgrade(..));
        (is_upgrade && charge.phase == Phase::Prepares).then_some(next.pid)
    }

    /// Nobody may wait for a program that may never be ready: what served has died, or is to be replaced.
    pub(super) fn give_up_upgrade(&mut self) {
        let Some(pid) = self.upgrade_prepares() else {
            return;
        };
        if let Some(charge) = self.workers.get_mut(&pid) {
            charge.kill();
        }
        if let Some(Next {
            why: Why::Upgrade(asker, _),
            ..
        }) = self.next.take()
        {
            refuse(
                asker.as_ref(),
                "the worker that serves has to be replaced first: try again in a moment",
            );
        }
    }

    /// A new program is not used, and the old one's worker may have died while it prepared.
    pub(super) fn serve_again(&mut self) {
        if self.serving().is_none() && self.announced {
            self.restarts += 1;
            self.start_soon(Duration::ZERO, true);
        }
    }
}

/// How a process ended, in words.
pub(super) fn how(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("it ended with code {code}"),
        Ended::Signal(signal) => match last_words::name(signal) {
            Some(name) => name.to_owned(),
            None => format!("signal {signal}"),
        },
        Ended::Unknown => "how is not known".into(),
    }
}

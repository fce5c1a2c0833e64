//! What a worker takes over from the one before it, and the secrets that it leaves to the next one.

use std::os::fd::OwnedFd;

use seawall_net::quic::Resets;
use seawall_proxy::connection::http3::Quic;

use super::serve::Worker;
use crate::say::complain;
use crate::wire::{in_memory, whole};

/// As much State as is handed over.
const MOST_STATE: u64 = 16 << 20;
/// Secrets of session tickets are some hundred bytes.
const MOST_SECRETS: u64 = 4 << 10;

impl Worker {
    /// Goes on from the State of the last worker, from the secrets of its session tickets and from the key of its resets.
    pub(super) fn take_over(&self, files: &[OwnedFd]) {
        let (state, mut files) = (&self.configuration.state, files.iter());
        match files.next().map(|file| whole(file, MOST_STATE)) {
            Some(Ok(handed)) => state.take_over(&handed, self.shared.now()),
            Some(Err(error)) => complain(format_args!("the last worker's State is lost: {error}")),
            None => {}
        }
        if let Some(Ok(secrets)) = files.next().map(|file| whole(file, MOST_SECRETS)) {
            let resets = self.shared.quic.as_ref().map(Quic::resets);
            let tickets = Resets::take_over(&secrets, resets);
            state
                .tickets
                .take_over(secrets.get(..tickets).unwrap_or_default());
        }
    }

    /// The secrets of session tickets, and the key of resets of HTTP/3, for whoever serves next.
    pub(super) fn secrets(&self) -> std::io::Result<OwnedFd> {
        let mut secrets = self.configuration.state.tickets.hand_over();
        if let Some(quic) = &self.shared.quic {
            secrets.extend(quic.resets().hand_over());
        }
        in_memory(c"seawall-tickets", &secrets)
    }
}

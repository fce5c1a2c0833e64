//! UDP sockets for HTTP/3. Each worker gets its own for every address of HTTPS, when it begins to serve: what arrives on them is only
//! ever its. While one worker replaces another both have sockets in one group, and a packet filter tells whose a datagram is
//! ([`seawall_net::quic::steer`]); never three, whose places the filter could not know.
//!
//! A site is served without them too: what is missing is said, and a port that another process holds is tried until it is free.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use seawall_net::quic;

use super::Supervisor;
use super::charge::{Charge, Phase};
use crate::message::{Leaves, Role, ToWorker};
use crate::say::complain;
use crate::wire::FILES;

/// What was said of an address that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Another process holds it: it is tried again.
    Held,
    /// It cannot be had.
    Never,
}

impl Supervisor {
    /// Gives a worker that serves, or is about to, the sockets that it lacks.
    pub(super) fn give_datagrams(&mut self, pid: i32) {
        let Some(charge) = self.workers.get(&pid) else {
            return;
        };
        if !charge.plan.http3
            || !matches!(charge.phase, Phase::Ready | Phase::Opens | Phase::Serves)
        {
            return;
        }
        let threads = charge.plan.threads.min(FILES);
        let has = charge.datagrams.clone();
        let addresses = self.sockets.as_ref().map(|all| all.addresses(Role::Https));
        for address in addresses.unwrap_or_default() {
            let never = self.missing.get(&address) == Some(&Missing::Never);
            if has.contains(&address) || never {
                continue;
            }
            let has_it =
                |other: &&Charge| other.process.pid() != pid && other.datagrams.contains(&address);
            let others: Vec<&Charge> = self.workers.values().filter(has_it).collect();
            let leaves = match others[..] {
                [] => None,
                [one] => Some(Leaves {
                    generation: one.generation,
                    threads: one.plan.threads.min(FILES) as u16,
                }),
                // The oldest has to end first.
                _ => continue,
            };
            match quic::bind_all(address, threads, leaves.is_none()) {
                Ok(sockets) => {
                    let files: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
                    self.missing.remove(&address);
                    if let Some(charge) = self.workers.get_mut(&pid)
                        && charge
                            .wire
                            .say(&ToWorker::Datagrams { address, leaves }, &files)
                            .is_ok()
                    {
                        charge.datagrams.push(address);
                    }
                }
                Err(error) => self.told_missing(address, &error),
            }
        }
    }

    fn told_missing(&mut self, address: SocketAddr, error: &std::io::Error) {
        let held = error.kind() == ErrorKind::AddrInUse;
        let missing = if held { Missing::Held } else { Missing::Never };
        if self.missing.insert(address, missing).is_some() {
            return;
        }
        if held {
            complain(format_args!(
                "no HTTP/3 on {address} yet: its UDP port is in use; it is tried again until it is free"
            ));
        } else {
            complain(format_args!(
                "no HTTP/3 on {address}: UDP cannot be bound ({error})"
            ));
        }
    }
}

//! The UDP sockets of HTTP/3, beside those of HTTPS. A site is served without them too: what is missing is said, and a port
//! that another process still holds is tried again until it is free.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_net::quic::{Group, Part};
use seawall_proxy::connection::http3::Quic;
use seawall_proxy::slot::Slot;
use seawall_proxy::thread::Shared;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often a port that is in use is tried again: a Seawall that drains holds it for its last requests.
const AGAIN: Duration = Duration::from_millis(500);

/// Addresses for HTTP/3.
#[derive(Default)]
pub struct Datagrams {
    bound: Vec<(SocketAddr, Group)>,
    /// Those that another process holds.
    held: Vec<SocketAddr>,
}

impl Datagrams {
    /// Binds them for `threads` threads. `notes` gets what is not as it should be.
    pub fn bind(addresses: &[SocketAddr], threads: usize, notes: &mut Vec<String>) -> Self {
        let mut datagrams = Self::default();
        for address in addresses {
            match Group::bind(*address, threads, generation()) {
                Ok(group) => {
                    if let Some(error) = &group.unsteered {
                        notes.push(format!(
                            "HTTP/3 on {address}: the kernel does not steer datagrams to threads ({error}); they are passed on, more slowly"
                        ));
                    }
                    datagrams.bound.push((*address, group));
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    notes.push(format!(
                        "no HTTP/3 on {address} yet: its UDP port is in use; it is tried again until it is free"
                    ));
                    datagrams.held.push(*address);
                }
                Err(error) => notes.push(format!(
                    "no HTTP/3 on {address}: UDP cannot be bound ({error})"
                )),
            }
        }
        datagrams
    }

    /// What is needed to speak HTTP/3, if it is to be spoken anywhere. `public`: the port as which clients reach HTTPS.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn quic(&self, slot: &Arc<Slot>, public: Option<u16>) -> Result<Option<Quic>> {
        let bound = self.bound.iter().map(|(address, _)| address);
        let ports: Vec<(u16, u16)> = bound
            .chain(&self.held)
            .map(|address| (address.port(), public.unwrap_or(address.port())))
            .collect();
        if ports.is_empty() {
            return Ok(None);
        }
        let quic = Quic::new(slot.clone(), Arc::default(), &ports);
        Ok(Some(quic.context("HTTP/3 cannot be set up")?))
    }

    /// Where each thread gets its parts.
    ///
    /// # Errors
    /// When no thread can be started that waits for ports.
    pub fn start(self, shared: &Arc<Shared>) -> Result<Vec<Receiver<Part>>> {
        let most = (self.bound.len() + self.held.len()).max(1);
        let ways = (0..shared.threads).map(|_| channel(most));
        let (senders, receivers): (Vec<_>, Vec<_>) = ways.unzip();
        for (address, group) in self.bound {
            give(shared, &senders, address, group);
        }
        if !self.held.is_empty() {
            let (shared, held) = (shared.clone(), self.held);
            std::thread::Builder::new()
                .name("udp".into())
                .spawn(move || wait(&shared, &senders, held))?;
        }
        Ok(receivers)
    }
}

fn give(shared: &Shared, senders: &[Sender<Part>], address: SocketAddr, group: Group) {
    for (sender, part) in senders.iter().zip(group.split()) {
        // There is room for all of them; a thread that has ended needs none.
        let _ = sender.try_send(part);
    }
    if let Some(quic) = &shared.quic {
        quic.advertise(address.port());
    }
}

/// Tries ports until all are free, or this process drains.
fn wait(shared: &Shared, senders: &[Sender<Part>], mut held: Vec<SocketAddr>) {
    while !held.is_empty() && !shared.draining.load(Ordering::Acquire) {
        std::thread::sleep(AGAIN);
        held.retain(
            |address| match Group::bind(*address, senders.len(), generation()) {
                Ok(group) => {
                    give(shared, senders, *address, group);
                    false
                }
                Err(error) => error.kind() == ErrorKind::AddrInUse,
            },
        );
    }
}

/// Which process of those that may share a port one after the other this is, as connection ids say it.
fn generation() -> u8 {
    std::process::id() as u8
}

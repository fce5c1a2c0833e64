//! The UDP sockets of HTTP/3, as a worker gets them from the supervisor: one for each thread and address, of its own. What is
//! on them is only ever this worker's, so they are not kept when it ends.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use seawall_net::quic::{Group, Part};
use seawall_proxy::connection::http3::Quic;
use seawall_proxy::slot::Slot;
use seawall_proxy::thread::Shared;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::message::{Leaves, Plan, Role};
use crate::say::complain;

/// Ways to the threads: what comes of an address later goes there.
pub struct Datagrams {
    generation: u8,
    ways: Vec<Sender<Part>>,
    parts: Vec<Option<Receiver<Part>>>,
    /// All sockets, for the life of the process: one that closed before the others would change their places in the group,
    /// by which the packet filter knows them.
    kept: Vec<UdpSocket>,
}

impl Datagrams {
    /// For so many threads, and at most so many sockets of each, of the worker of this generation.
    pub fn new(threads: usize, most: usize, generation: u64) -> Self {
        // An address may be given twice: anew, when the worker before this one has gone.
        let ways = (0..threads).map(|_| channel((2 * most).max(1)));
        let (ways, parts): (Vec<_>, Vec<_>) = ways.unzip();
        Self {
            // Two that follow each other differ, which is all that matters.
            generation: generation as u8,
            ways,
            parts: parts.into_iter().map(Some).collect(),
            kept: Vec::new(),
        }
    }

    /// Where a thread gets its parts.
    pub fn part(&mut self, thread: usize) -> Receiver<Part> {
        let part = self.parts.get_mut(thread).and_then(Option::take);
        part.unwrap_or_else(|| channel(1).1)
    }

    /// Gives each thread its socket of an address.
    pub fn give(
        &mut self,
        shared: &Shared,
        address: SocketAddr,
        sockets: Vec<OwnedFd>,
        leaves: Option<Leaves>,
    ) {
        let sockets: Vec<_> = sockets.into_iter().map(UdpSocket::from).collect();
        let kept = sockets.iter().filter_map(|socket| socket.try_clone().ok());
        self.kept.extend(kept);
        let leaves = leaves.map(Leaves::range);
        let group = Group::given(sockets, self.generation, leaves);
        if let Some(error) = &group.unsteered {
            complain(format_args!(
                "HTTP/3 on {address}: the kernel does not steer datagrams to threads ({error}); they are passed on, more slowly"
            ));
        }
        for (way, part) in self.ways.iter().zip(group.split()) {
            // There is room for all of them; a thread that has ended needs none.
            let _ = way.try_send(part);
        }
        if let Some(quic) = &shared.quic {
            quic.advertise(address.port());
        }
    }
}

/// What is needed to speak HTTP/3, if it is to be spoken anywhere. `public`: the port as which clients reach HTTPS.
///
/// # Errors
/// When the system gives no randomness.
pub fn quic(
    plan: &Plan,
    sockets: &[(crate::message::Socket, OwnedFd)],
    slot: &Arc<Slot>,
    public: Option<u16>,
) -> Result<Option<Quic>> {
    let https = sockets.iter().map(|(told, _)| told);
    let mut ports: Vec<(u16, u16)> = https
        .filter(|told| told.role == Role::Https)
        .map(|told| (told.address.port(), public.unwrap_or(told.address.port())))
        .collect();
    ports.dedup();
    if ports.is_empty() || !plan.http3 {
        return Ok(None);
    }
    let quic = Quic::new(slot.clone(), Arc::default(), &ports);
    Ok(Some(quic.context("HTTP/3 cannot be set up")?))
}

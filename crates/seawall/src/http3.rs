//! The UDP sockets of HTTP/3, as a worker gets them from the supervisor: one for each thread and address, of its own while it
//! lives. Those of other workers it keeps open, and does not read.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use seawall_net::quic::steer::{self, Range};
use seawall_net::quic::{Group, Part};
use seawall_proxy::connection::http3::Quic;
use seawall_proxy::slot::Slot;
use seawall_proxy::thread::Shared;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::message::{FromWorker, Here, Leaves, Place, Plan, Role};
use crate::say::complain;
use crate::wire::{FILES, Wire};

/// Ways to the threads: what comes of an address later goes there.
pub struct Datagrams {
    generation: u64,
    /// Addresses for which there are sockets.
    pub addresses: Vec<SocketAddr>,
    ways: Vec<Sender<Part>>,
    parts: Vec<Option<Receiver<Part>>>,
    /// All sockets of each group, for the life of the process: one that closed before the others would change their places, by
    /// which the packet filter knows them.
    places: Vec<(Place, Vec<OwnedFd>)>,
}

impl Datagrams {
    /// For so many threads, and at most so many sockets of each, of the worker of this generation.
    pub fn new(threads: usize, most: usize, generation: u64) -> Self {
        // An address may be given twice: anew, when the worker before this one has gone.
        let ways = (0..threads).map(|_| channel((2 * most).max(1)));
        let (ways, parts): (Vec<_>, Vec<_>) = ways.unzip();
        Self {
            generation,
            addresses: Vec::new(),
            ways,
            parts: parts.into_iter().map(Some).collect(),
            places: Vec::new(),
        }
    }

    /// Where a thread gets its parts.
    pub fn part(&mut self, thread: usize) -> Receiver<Part> {
        let part = self.parts.get_mut(thread).and_then(Option::take);
        part.unwrap_or_else(|| channel(1).1)
    }

    /// Gives each thread its socket of an address.
    pub fn give(&mut self, shared: &Shared, address: SocketAddr, sockets: Vec<OwnedFd>) {
        let sockets: Vec<_> = sockets.into_iter().map(UdpSocket::from).collect();
        // Those of workers that run at once differ, which is all that matters.
        let group = Group::of(sockets, self.generation as u8);
        for (way, part) in self.ways.iter().zip(group.split()) {
            // There is room for all of them; a thread that has ended needs none.
            let _ = way.try_send(part);
        }
        if let Some(quic) = &shared.quic {
            quic.advertise(address.port());
        }
        self.addresses.push(address);
    }

    /// Keeps sockets open, whosever they are.
    pub fn keep(&mut self, place: Place, sockets: Vec<OwnedFd>) {
        let is_other =
            |(other, _): &(Place, _)| (other.address, other.place) != (place.address, place.place);
        self.places.retain(is_other);
        self.places.push((place, sockets));
    }

    /// Tells a supervisor that came later what is kept open; `here` and `files` are what it is told besides.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn tell_places(
        &self,
        wire: &Wire,
        here: &Here,
        files: [BorrowedFd<'_>; 2],
    ) -> std::io::Result<()> {
        for (place, sockets) in &self.places {
            let here = Here {
                place: Some(*place),
                ..here.clone()
            };
            let sockets = sockets.iter().map(AsFd::as_fd);
            let files: Vec<_> = files.into_iter().chain(sockets).collect();
            // More than fit are not told: then it waits until no other worker has any.
            if files.len() <= FILES {
                wire.say(&FromWorker::Here(here), &files)?;
            }
        }
        Ok(())
    }

    /// Steers datagrams for an older supervisor, which has its workers do it, and knows one other, whose sockets were bound first.
    pub fn steer(&mut self, address: SocketAddr, sockets: &[OwnedFd], leaves: Option<Leaves>) {
        let Some(first) = sockets.first() else { return };
        let mine = Range {
            generation: self.generation as u8,
            base: leaves.map_or(0, |leaves| leaves.threads),
            threads: sockets.len() as u16,
        };
        let other = leaves.map(|leaves| Range {
            generation: leaves.generation as u8,
            base: 0,
            threads: leaves.threads,
        });
        let ranges: Vec<Range> = other.into_iter().chain([mine]).collect();
        let new = leaves.map(|_| mine);
        if let Err(error) = steer::attach(first.as_fd(), &ranges, new) {
            not_steered(address, &error);
        }
        let place = Place {
            address,
            place: ranges.len() - 1,
            generation: self.generation,
        };
        let kept = sockets.iter().filter_map(|socket| socket.try_clone().ok());
        self.keep(place, kept.collect());
    }
}

/// Tells people.
pub fn not_steered(address: SocketAddr, error: &std::io::Error) {
    complain(format_args!(
        "HTTP/3 on {address}: the kernel does not steer datagrams to threads ({error}); they are passed on, more slowly"
    ));
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

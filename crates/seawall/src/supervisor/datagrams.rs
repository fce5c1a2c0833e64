//! UDP sockets for HTTP/3. All workers have sockets in one group for each address of HTTPS, and a packet filter tells whose a
//! datagram is ([`seawall_net::quic::steer`]). It knows sockets by the order in which they were bound, which holds as long as none
//! is closed. So each worker has a *place*, as many sockets as it has threads; the supervisor and the workers keep all places open,
//! and the place of a worker that has ended is the next one's. What is for nobody who lives goes to the place that was given
//! last, and waits there while no worker does: as connections wait in listening sockets.
//!
//! A site is served without them too: what is missing is said, and a port that another process holds is tried until it is free.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use seawall_net::quic::{self, steer};

use super::Supervisor;
use super::charge::{Charge, Phase};
use crate::http3::not_steered;
use crate::message::{self, Role, ToWorker};
use crate::say::complain;
use crate::wire::FILES;

/// The most places of a group: so many workers may end what they have begun while another one serves.
const MOST: usize = steer::MOST;

/// What was said of an address that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Another process holds it: it is tried again.
    Held,
    /// It cannot be had.
    Never,
}

/// All groups.
#[derive(Debug, Default)]
pub struct Datagrams {
    groups: BTreeMap<SocketAddr, Group>,
    /// Groups in which workers have places, and which ones cannot be told: an older program's.
    unknown: BTreeSet<SocketAddr>,
    missing: BTreeMap<SocketAddr, Missing>,
}

/// The sockets of an address.
#[derive(Debug, Default)]
struct Group {
    places: Vec<Place>,
    /// The place that was given last.
    newest: usize,
    /// That the filter is not taken was said.
    not_steered: bool,
}

#[derive(Debug)]
struct Place {
    sockets: Vec<OwnedFd>,
    /// The worker that has it, or had it last.
    generation: u64,
    /// It is nobody's.
    is_free: bool,
}

impl Place {
    fn is_of(&self, generation: u64) -> bool {
        !self.is_free && self.generation == generation
    }
}

impl Group {
    /// The group of an address, as a worker knows it; none if it does not know all that others have.
    fn of(
        address: SocketAddr,
        told: &mut Vec<(message::Place, Vec<OwnedFd>)>,
        workers: &BTreeMap<i32, Charge>,
    ) -> Option<Self> {
        told.sort_by_key(|(place, _)| (place.address != address, place.place));
        let count = told
            .iter()
            .take_while(|(place, _)| place.address == address)
            .count();
        let has = || {
            workers
                .values()
                .filter(|charge| charge.datagrams.contains(&address))
        };
        let places = told
            .drain(..count)
            .enumerate()
            .map(|(nth, (place, sockets))| {
                let is_free = !has().any(|charge| charge.generation == place.generation);
                (place.place == nth && !sockets.is_empty()).then_some(Place {
                    sockets,
                    generation: place.generation,
                    is_free,
                })
            });
        let places: Vec<Place> = places.collect::<Option<_>>()?;
        let knows = |charge: &Charge| places.iter().any(|place| place.is_of(charge.generation));
        if !has().all(knows) {
            return None;
        }
        let newest = places.iter().enumerate();
        let newest = newest.max_by_key(|(_, place)| place.generation);
        Some(Self {
            newest: newest.map_or(0, |(nth, _)| nth),
            places,
            not_steered: false,
        })
    }

    /// A place for a worker with so many threads, which has it from now on; none while all are taken.
    fn place(
        &mut self,
        address: SocketAddr,
        threads: usize,
        generation: u64,
    ) -> io::Result<Option<usize>> {
        let fits = |place: &Place| place.is_free && place.sockets.len() == threads;
        // What waits in the newest one waits for whoever comes next.
        let newest = self.places.get(self.newest).is_some_and(fits);
        let free = newest.then_some(self.newest);
        let free = free.or_else(|| self.places.iter().position(fits));
        if let Some(nth) = free {
            if let Some(place) = self.places.get_mut(nth) {
                (place.generation, place.is_free) = (generation, false);
            }
            return Ok(Some(nth));
        }
        if self.places.iter().all(|place| place.is_free) {
            // Their number does not fit: begun anew.
            self.places.clear();
        }
        if self.places.len() >= MOST {
            return Ok(None);
        }
        let sockets = quic::bind_all(address, threads, self.places.is_empty())?;
        self.places.push(Place {
            sockets: sockets.into_iter().map(OwnedFd::from).collect(),
            generation,
            is_free: false,
        });
        Ok(Some(self.places.len() - 1))
    }

    /// Has the kernel give each worker what is its own, and the rest to the one that came last.
    fn steer(&mut self, address: SocketAddr) {
        let (mut base, mut newest, mut ranges) = (0, None, Vec::new());
        for (nth, place) in self.places.iter().enumerate() {
            let range = steer::Range {
                generation: place.generation as u8,
                base,
                threads: place.sockets.len() as u16,
            };
            base += range.threads;
            if nth == self.newest {
                newest = Some(range);
            }
            if !place.is_free {
                ranges.push(range);
            }
        }
        let first = self.places.first().and_then(|place| place.sockets.first());
        let Some(first) = first.filter(|_| base > 1) else {
            return;
        };
        // In a group that is one worker's the kernel's hash is as good, and may look at more.
        let newest = newest.filter(|_| self.places.len() > 1);
        if let Err(error) = steer::attach(first.as_fd(), &ranges, newest)
            && !self.not_steered
        {
            self.not_steered = true;
            not_steered(address, &error);
        }
    }

    /// Says it to a worker that has this place, and has it keep all of them.
    fn give(&self, address: SocketAddr, nth: usize, charge: &Charge) -> io::Result<()> {
        for (place, has) in self.places.iter().enumerate() {
            let files: Vec<BorrowedFd<'_>> = has.sockets.iter().map(AsFd::as_fd).collect();
            let told = message::Place {
                address,
                place,
                generation: has.generation,
            };
            if charge.plan.steered {
                charge.wire.say(&ToWorker::Place(told), &files)?;
            }
            if place == nth {
                let word = ToWorker::Datagrams {
                    address,
                    leaves: None,
                    steered: true,
                };
                charge.wire.say(&word, &files)?;
            }
        }
        Ok(())
    }
}

/// What a worker keeps open, as it says itself.
pub type Told = (u64, Vec<(message::Place, Vec<OwnedFd>)>);

impl Datagrams {
    /// Takes over what workers keep open that run already. The youngest knows most: it was given all places there were.
    pub fn adopt(&mut self, workers: &BTreeMap<i32, Charge>, mut told: Vec<Told>) {
        told.sort_by_key(|(generation, _)| *generation);
        for charge in workers.values() {
            for address in &charge.datagrams {
                if self.groups.contains_key(address) || self.unknown.contains(address) {
                    continue;
                }
                let tellers = told.iter_mut().rev().map(|(_, places)| places);
                match tellers
                    .map(|told| Group::of(*address, told, workers))
                    .find(Option::is_some)
                {
                    Some(Some(group)) => drop(self.groups.insert(*address, group)),
                    _ => drop(self.unknown.insert(*address)),
                }
            }
        }
    }

    /// A worker has ended: its places are free.
    pub fn ended(&mut self, generation: u64) {
        for (address, group) in &mut self.groups {
            let mut has = group.places.iter_mut();
            if let Some(place) = has.find(|place| place.is_of(generation)) {
                place.is_free = true;
                group.steer(*address);
            }
        }
    }

    /// Closes all of them: nobody is to be found here any more.
    pub fn close(&mut self) {
        self.groups.clear();
    }

    fn told_missing(&mut self, address: SocketAddr, error: &io::Error) {
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

impl Supervisor {
    /// Gives a worker that serves, or is about to, the sockets that it lacks.
    pub(super) fn give_datagrams(&mut self, pid: i32) {
        let Some(charge) = self.workers.get(&pid) else {
            return;
        };
        let may = matches!(charge.phase, Phase::Ready | Phase::Opens | Phase::Serves);
        if !charge.plan.http3 || !may {
            return;
        }
        let has = charge.datagrams.clone();
        let addresses = self.sockets.as_ref().map(|all| all.addresses(Role::Https));
        for address in addresses.unwrap_or_default() {
            let never = self.datagrams.missing.get(&address) == Some(&Missing::Never);
            if has.contains(&address) || never {
                continue;
            }
            // Before it issues ids: nobody is to take them for those of one that has died.
            self.tell_living();
            match self.give_place(pid, address) {
                Ok(true) => {
                    self.datagrams.missing.remove(&address);
                    if let Some(charge) = self.workers.get_mut(&pid) {
                        charge.datagrams.push(address);
                    }
                }
                Ok(false) => {}
                Err(error) => self.datagrams.told_missing(address, &error),
            }
        }
    }

    /// Tells workers which of them live, where that has changed: connections of others are reset by whoever gets their datagrams.
    pub(super) fn tell_living(&mut self) {
        let living: Vec<u64> = self
            .workers
            .values()
            .map(|charge| charge.generation)
            .collect();
        for charge in self.workers.values_mut() {
            let hears = charge.plan.resets && charge.phase != Phase::Prepares;
            if !hears || charge.told_living == living {
                continue;
            }
            let word = ToWorker::Living {
                generations: living.clone(),
            };
            // One that has no room for it now is told at the next look.
            if charge.wire.say(&word, &[]).is_ok() {
                charge.told_living.clone_from(&living);
            }
        }
    }

    /// Whether it was given one.
    fn give_place(&mut self, pid: i32, address: SocketAddr) -> io::Result<bool> {
        let Some(charge) = self.workers.get(&pid) else {
            return Ok(false);
        };
        let mut others = self.workers.values();
        let alone =
            !others.any(|other| other.process.pid() != pid && other.datagrams.contains(&address));
        if alone && (self.datagrams.unknown.remove(&address) || !charge.plan.steered) {
            self.datagrams.groups.remove(&address);
        }
        // Where the others' places are nobody knows, or it does not: until they have ended its clients come over TCP.
        if !alone && (self.datagrams.unknown.contains(&address) || !charge.plan.steered) {
            return Ok(false);
        }
        let threads = charge.plan.threads.min(FILES);
        let group = self.datagrams.groups.entry(address).or_default();
        let Some(nth) = group.place(address, threads, charge.generation)? else {
            return Ok(false);
        };
        if group.give(address, nth, charge).is_err() {
            // It does not listen to us; the next look tries again.
            if let Some(place) = group.places.get_mut(nth) {
                place.is_free = true;
            }
            return Ok(false);
        }
        group.newest = nth;
        group.steer(address);
        Ok(true)
    }
}

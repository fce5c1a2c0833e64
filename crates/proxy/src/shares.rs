//! Zones' shares of what all zones have together: so that one zone's flood leaves another's answers as they were.
//!
//! Each bound is a worker thread's part of the configured whole, so that nothing is locked. A zone may hold as much as is still
//! free (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998): alone it may have
//! half, two of them a third each, and there is always room for one more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use seawall_guard::{Guard, ZoneId};

use crate::hosts::Fast;
use crate::thread::Thread;

/// What one thread has to share out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests in progress.
    pub requests: usize,
    /// Clients' connections.
    pub connections: usize,
    /// Bytes of request bodies held for inspection.
    pub body: usize,
    /// Fuel of stages in a second.
    pub fuel: usize,
}

/// One bounded thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// Requests in progress.
    Requests,
    /// Clients' connections.
    Connections,
    /// Bytes of request bodies held for inspection.
    Body,
    /// Fuel of stages in this second.
    Fuel,
    /// Lines of the access log in this second, while it cannot keep up.
    Rows,
}

const KINDS: usize = 5;

#[derive(Debug, Default)]
struct Held([Cell<usize>; KINDS]);

impl Held {
    fn of(&self, what: Bounded) -> &Cell<usize> {
        let [requests, connections, body, fuel, rows] = &self.0;
        match what {
            Bounded::Requests => requests,
            Bounded::Connections => connections,
            Bounded::Body => body,
            Bounded::Fuel => fuel,
            Bounded::Rows => rows,
        }
    }

    fn add(&self, what: Bounded, amount: usize) {
        let cell = self.of(what);
        cell.set(cell.get().saturating_add(amount));
    }

    fn take(&self, what: Bounded, amount: usize) {
        let cell = self.of(what);
        cell.set(cell.get().saturating_sub(amount));
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|cell| cell.get() == 0)
    }
}

/// What a thread shares out, and who holds how much of it.
#[derive(Debug)]
pub struct Shares {
    bounds: Cell<Bounds>,
    all: Held,
    zones: RefCell<HashMap<u64, Rc<ZoneShare>, Fast>>,
    second: Cell<u64>,
}

/// What one zone holds.
#[derive(Debug)]
pub struct ZoneShare {
    zone: ZoneId,
    held: Held,
}

impl Default for Shares {
    fn default() -> Self {
        let none = Bounds {
            requests: usize::MAX,
            connections: usize::MAX,
            body: usize::MAX,
            fuel: usize::MAX,
        };
        Self {
            bounds: Cell::new(none),
            all: Held::default(),
            zones: RefCell::default(),
            second: Cell::new(0),
        }
    }
}

impl Shares {
    /// Other bounds, for what is asked for from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// A zone's share.
    pub fn zone(&self, zone: ZoneId) -> Rc<ZoneShare> {
        let mut zones = self.zones.borrow_mut();
        let share = zones.entry(zone.0).or_insert_with(|| {
            Rc::new(ZoneShare {
                zone,
                held: Held::default(),
            })
        });
        share.clone()
    }

    fn bound(&self, what: Bounded) -> usize {
        let bounds = self.bounds.get();
        match what {
            Bounded::Requests => bounds.requests,
            Bounded::Connections => bounds.connections,
            Bounded::Body => bounds.body,
            Bounded::Fuel => bounds.fuel,
            Bounded::Rows => ROWS_PER_SECOND,
        }
    }

    /// Whether the zone may have so much more.
    #[inline]
    pub fn may(&self, share: &ZoneShare, what: Bounded, amount: usize) -> bool {
        let free = self.bound(what).saturating_sub(self.all.of(what).get());
        share.held.of(what).get().saturating_add(amount) <= free
    }

    /// Takes so much more, if the zone may have it.
    #[inline]
    pub fn take(&self, share: &ZoneShare, what: Bounded, amount: usize) -> bool {
        let may = self.may(share, what, amount);
        if may {
            self.spend(share, what, amount);
        }
        may
    }

    /// Notes what was spent, whether or not it was there.
    #[inline]
    pub fn spend(&self, share: &ZoneShare, what: Bounded, amount: usize) {
        share.held.add(what, amount);
        self.all.add(what, amount);
    }

    /// One more line of the access log, while that cannot keep up, if the zone may have one.
    pub fn take_row(&self, zone: ZoneId) -> bool {
        self.take(&self.zone(zone), Bounded::Rows, 1)
    }

    /// Notes fuel that stages of this zone used, where its share is not at hand.
    pub fn burn_for(&self, zone: ZoneId, fuel: u64) {
        if fuel > 0 {
            self.burn(&self.zone(zone), fuel);
        }
    }

    #[inline]
    fn burn(&self, share: &ZoneShare, fuel: u64) {
        if fuel > 0 {
            let fuel = usize::try_from(fuel).unwrap_or(usize::MAX);
            let held = share.held.of(Bounded::Fuel).get();
            share.held.add(Bounded::Fuel, fuel);
            // What a zone overdraws, as a long upload may, is its own: it takes no more than half of all from the others.
            let part = (self.bound(Bounded::Fuel) / 2).saturating_sub(held);
            self.all.add(Bounded::Fuel, fuel.min(part));
        }
    }

    /// Gives back what was taken.
    #[inline]
    pub fn give(&self, share: &ZoneShare, what: Bounded, amount: usize) {
        share.held.take(what, amount);
        self.all.take(what, amount);
    }

    /// A new second begins: what counts by the second counts anew; zones that hold nothing are forgotten.
    pub fn tick(&self, second: u64) {
        if self.second.replace(second) == second {
            return;
        }
        let fresh = [Bounded::Fuel, Bounded::Rows];
        for what in fresh {
            self.all.of(what).set(0);
        }
        self.zones.borrow_mut().retain(|_, share| {
            for what in fresh {
                share.held.of(what).set(0);
            }
            Rc::strong_count(share) > 1 || !share.held.is_empty()
        });
    }
}

/// Lines that a thread still writes in a second while the log cannot keep up.
const ROWS_PER_SECOND: usize = 2_000;
/// Of a thread's time, what stages may use: half of it. The rest is for moving bytes.
pub const FUEL_PER_SECOND: usize = 500_000_000;

/// One request in progress, with its zone's share.
pub struct Share<'a> {
    shares: &'a Shares,
    share: Rc<ZoneShare>,
}

impl<'a> Share<'a> {
    /// Takes part in the zone's share, if there is some of everything left.
    #[inline]
    pub fn take(thread: &'a Thread, share: Rc<ZoneShare>, guard: &Guard) -> Option<Self> {
        let shares = &thread.shares;
        let burns = guard.is_idle() || shares.may(&share, Bounded::Fuel, 1);
        let took = burns && shares.take(&share, Bounded::Requests, 1);
        // Made only if it was taken: what is dropped is given back.
        took.then(|| Self { shares, share })
    }

    /// Notes the fuel that stages used.
    #[inline]
    pub fn burn(&self, fuel: u64) {
        self.shares.burn(&self.share, fuel);
    }
}

impl Drop for Share<'_> {
    #[inline]
    fn drop(&mut self) {
        self.shares.give(&self.share, Bounded::Requests, 1);
    }
}

/// A client's connection as its zone's: the zone that it asked for last.
pub struct ConnectionShare {
    thread: Rc<Thread>,
    share: Rc<ZoneShare>,
}

impl ConnectionShare {
    /// Counts the connection as the zone's, if the zone may have one more.
    pub fn take(thread: &Rc<Thread>, zone: ZoneId) -> Option<Self> {
        let share = thread.shares.zone(zone);
        let took = thread.shares.take(&share, Bounded::Connections, 1);
        took.then(|| Self {
            thread: thread.clone(),
            share,
        })
    }

    /// The zone's share.
    #[inline]
    pub fn share(&self) -> &Rc<ZoneShare> {
        &self.share
    }
}

impl Drop for ConnectionShare {
    fn drop(&mut self) {
        let shares = &self.thread.shares;
        shares.give(&self.share, Bounded::Connections, 1);
    }
}

/// Bytes of a body that are held back.
pub struct Hold<'a> {
    shares: &'a Shares,
    share: Rc<ZoneShare>,
    held: usize,
}

impl<'a> Hold<'a> {
    /// Nothing is held yet.
    pub fn new(thread: &'a Thread, zone: ZoneId) -> Self {
        Self {
            shares: &thread.shares,
            share: thread.shares.zone(zone),
            held: 0,
        }
    }

    /// Holds so many bytes more, if the zone may.
    pub fn more(&mut self, bytes: usize) -> bool {
        let took = self.shares.take(&self.share, Bounded::Body, bytes);
        if took {
            self.held += bytes;
        }
        took
    }

    /// Notes the fuel that stages used on the body.
    pub fn burn(&self, fuel: u64) {
        self.shares.burn(&self.share, fuel);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.shares.give(&self.share, Bounded::Body, self.held);
    }
}

impl ZoneShare {
    /// Whose it is.
    pub fn zone(&self) -> ZoneId {
        self.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        let shares = Shares::default();
        shares.set_bounds(Bounds {
            requests: 100,
            connections: 100,
            body: 100,
            fuel: 100,
        });
        shares
    }

    #[test]
    fn a_zone_alone_has_half_and_leaves_half() {
        let shares = shares();
        let (greedy, other) = (shares.zone(ZoneId(1)), shares.zone(ZoneId(2)));
        let took = (0..1_000).filter(|_| shares.take(&greedy, Bounded::Requests, 1));
        assert_eq!(took.count(), 50);
        let took = (0..1_000).filter(|_| shares.take(&other, Bounded::Requests, 1));
        assert_eq!(took.count(), 25);
        assert!(
            shares.take(&greedy, Bounded::Connections, 1),
            "another bound"
        );
        for _ in 0..50 {
            shares.give(&greedy, Bounded::Requests, 1);
        }
        assert!(shares.take(&other, Bounded::Requests, 1));
    }

    #[test]
    fn a_body_holds_and_burns_as_its_zone_and_gives_back_what_it_held() {
        let shares = shares();
        let zone = shares.zone(ZoneId(1));
        let mut hold = Hold {
            shares: &shares,
            share: zone.clone(),
            held: 0,
        };
        assert!(hold.more(30) && hold.more(20));
        assert!(!hold.more(1), "half is what one zone may hold");
        hold.burn(60);
        assert!(!shares.may(&zone, Bounded::Fuel, 1));
        drop(hold);
        assert!(shares.may(&zone, Bounded::Body, 50));
        assert!(
            !shares.may(&zone, Bounded::Fuel, 1),
            "what is burnt is gone"
        );
    }

    #[test]
    fn a_log_that_cannot_keep_up_has_lines_of_every_zone() {
        let shares = shares();
        let written = |zone| {
            (0..10_000)
                .filter(|_| shares.take_row(ZoneId(zone)))
                .count()
        };
        assert_eq!(written(1), ROWS_PER_SECOND / 2);
        assert_eq!(written(2), ROWS_PER_SECOND / 4);
        shares.tick(1);
        assert!(shares.take_row(ZoneId(1)));
    }

    #[test]
    fn what_counts_by_the_second_counts_anew() {
        let shares = shares();
        let zone = shares.zone(ZoneId(1));
        shares.spend(&zone, Bounded::Fuel, 80);
        assert!(!shares.may(&zone, Bounded::Fuel, 1));
        shares.tick(1);
        assert!(shares.may(&zone, Bounded::Fuel, 1));
        drop(zone);
        shares.tick(2);
        assert!(shares.zones.borrow().is_empty());
    }
}

//! What one member is given at once: connections, requests that wait for one, requests, and those that are retries.
//!
//! A server that is slow gets no faster by more requests, and whoever waits for it holds memory here meanwhile. Beyond its bounds
//! a member gets nothing: the request goes to another one, and where none has room it is answered at once. Counted by all
//! threads together, exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pool::{Lease, Member, Pool};

/// Bounds on one member; 0 is none. Part of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Requests in progress.
    pub requests: u32,
    /// Those of them that are retries.
    pub retries: u32,
}

/// What a member holds beside its requests in flight.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) connections: AtomicU32,
    pub(super) pending: AtomicU32,
    pub(super) retries: AtomicU32,
}

/// One of a bounded number, counted until it is dropped.
#[derive(Debug)]
pub struct Counted {
    member: Arc<Member>,
    of: fn(&Held) -> &AtomicU32,
}

impl Counted {
    /// A connection of a member that nobody bounds.
    pub fn connection(member: &Arc<Member>) -> Self {
        let of: fn(&Held) -> &AtomicU32 = |held| &held.connections;
        raise(of(&member.held), 0);
        Self {
            member: member.clone(),
            of,
        }
    }

    fn take(member: &Arc<Member>, of: fn(&Held) -> &AtomicU32, most: u32) -> Option<Self> {
        raise(of(&member.held), most).then(|| Self {
            member: member.clone(),
            of,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.of)(&self.member.held).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one more, unless there are `most` already.
pub(super) fn raise(count: &AtomicU32, most: u32) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    if most > 0 && before >= most {
        count.fetch_sub(1, Ordering::Relaxed);
        return false;
    }
    true
}

impl Pool {
    /// A place for a request at this member, and one for a retry where it is one; none when it has as many as it may.
    pub fn admit(&self, member: &Arc<Member>, retry: bool) -> Option<Lease> {
        let circuit = &self.settings.circuit;
        let retry = match retry {
            true => Some(Counted::take(
                member,
                |held| &held.retries,
                circuit.retries,
            )?),
            false => None,
        };
        Lease::within(member, circuit.requests, retry)
    }

    /// A place for a connection.
    pub fn connection(&self, member: &Arc<Member>) -> Option<Counted> {
        let most = self.settings.circuit.connections;
        Counted::take(member, |held| &held.connections, most)
    }

    /// A place among those that wait for a connection.
    pub fn wait(&self, member: &Arc<Member>) -> Option<Counted> {
        match self.settings.circuit.pending {
            0 => None,
            most => Counted::take(member, |held| &held.pending, most),
        }
    }
}

impl Member {
    /// Connections to it, of all threads.
    pub fn connections(&self) -> u32 {
        self.held.connections.load(Ordering::Relaxed)
    }

    /// Whether a request of any thread waits for a connection to it.
    pub fn is_waited_for(&self) -> bool {
        self.held.pending.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Members, Settings};

    fn pool(circuit: Circuit) -> Pool {
        let settings = Settings {
            circuit,
            ..Settings::default()
        };
        Pool::new("zone", [("a", 1)], settings, &Members::new())
    }

    #[test]
    fn each_bound_holds_and_what_is_given_back_is_there_again() {
        let pool = pool(Circuit {
            connections: 2,
            pending: 1,
            requests: 3,
            retries: 1,
        });
        let member = pool.member(0).unwrap();
        let connections = [pool.connection(member), pool.connection(member)];
        assert!(connections.iter().all(Option::is_some));
        assert!(pool.connection(member).is_none());
        assert_eq!(member.connections(), 2);
        let waits = pool.wait(member);
        assert!(waits.is_some() && member.is_waited_for() && pool.wait(member).is_none());
        drop((connections, waits));
        assert!(!member.is_waited_for() && pool.connection(member).is_some());

        let retry = pool.admit(member, true).unwrap();
        assert!(pool.admit(member, true).is_none());
        let others = [pool.admit(member, false), pool.admit(member, false)];
        assert!(others.iter().all(Option::is_some));
        assert!(pool.admit(member, false).is_none());
        assert_eq!(member.in_flight(), 3);
        drop(retry);
        assert!(pool.admit(member, true).is_some());
        drop(others);
        assert_eq!(member.in_flight(), 0);
        assert_eq!(member.held.retries.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_bounds_everything_is_counted_and_nobody_waits() {
        let pool = pool(Circuit::default());
        let member = pool.member(0).unwrap();
        let leases: Vec<_> = (0..1_000).map(|_| pool.admit(member, true)).collect();
        assert!(leases.iter().all(Option::is_some) && member.in_flight() == 1_000);
        assert!(pool.connection(member).is_some() && pool.wait(member).is_none());
    }

    #[test]
    fn threads_never_hold_more_than_the_bound() {
        let pool = &pool(Circuit {
            requests: 8,
            ..Circuit::default()
        });
        let most = &AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for _ in 0..5_000 {
                        let leases: Vec<_> = (0..4)
                            .filter_map(|_| pool.admit(pool.member(0)?, false))
                            .collect();
                        most.fetch_max(leases.len() as u32, Ordering::Relaxed);
                    }
                });
            }
        });
        assert!((1..=8).contains(&most.load(Ordering::Relaxed)));
        assert_eq!(pool.member(0).unwrap().in_flight(), 0);
    }
}

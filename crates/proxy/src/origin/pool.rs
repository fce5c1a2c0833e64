//! A pool, its members, and the registry through which they outlive a configuration.
//!
//! Not here: which member is picked (`balance`), and what makes one healthy or not (`health`).

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::circuit::{Circuit, Counted, Held, raise};
use super::hash;
use super::health::{Active, Passive};
use super::members::Members;
use super::outlier::{Outliers, Rate};
use super::retry::{RetryBudget, RetrySettings};
use super::warm;

/// The largest weight: it keeps the sum over a whole pool within 32 bits.
pub const WEIGHT_MAX: u32 = 65_535;

/// How many members a pool holds at most; what is beyond is left out. Configuration refuses such a pool long before.
pub const MEMBERS_MAX: usize = 65_535;

/// How a pool behaves; part of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Thresholds of active health checks; none when the pool is not probed.
    pub active: Option<Active>,
    /// What is learnt from the requests themselves.
    pub passive: Passive,
    /// When a failed request is tried again.
    pub retry: RetrySettings,
    /// How requests are spread.
    pub spread: Spread,
    /// When a member fails more often than the others.
    pub outliers: Outliers,
    /// What one member is given at once.
    pub circuit: Circuit,
    /// All members may be out at once: whoever asks has another way.
    pub dispensable: bool,
}

/// How requests are spread; part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// What a member may have in progress, as a percentage of its share, before requests with a key go on to another one.
    pub most_load_percent: u32,
    /// In which the share of a member that is new or comes back grows to its weight, in milliseconds; 0: at once.
    pub slow_start_ms: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            most_load_percent: 125,
            slow_start_ms: 0,
        }
    }
}

/// The origins of one zone, of which each request gets one.
#[derive(Debug)]
pub struct Pool {
    pub(super) slots: Box<[Slot]>,
    /// The sum of all weights.
    pub(super) total: u64,
    pub(super) settings: Settings,
    pub(super) tally: Arc<Tally>,
}

/// A member's place in one pool. Weight and index belong to the configuration, not to the member.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) member: Arc<Member>,
    pub(super) index: u16,
    /// 0 for a member that gets no requests (drained), though it is still probed and described.
    pub(super) weight: u32,
    /// The sum of the weights up to this one, itself included: where a draw falls is found by bisection.
    pub(super) upto: u64,
    /// What keys are hashed with.
    pub(super) seed: u64,
}

impl Pool {
    /// Builds a pool from stable ids (`scheme://host:port`) and weights. Members that `members` knows by the same scope
    /// and id are used again, with all that is known of them. The scope is the zone's stable id: what one zone's
    /// requests and probes do to an origin must not take it away from another zone.
    ///
    /// A weight of 0 drains a member; when all are 0, all count as 1.
    pub fn new<'a>(
        scope: &str,
        origins: impl IntoIterator<Item = (&'a str, u32)>,
        settings: Settings,
        members: &Members,
    ) -> Self {
        let origins: Vec<_> = origins.into_iter().take(MEMBERS_MAX).collect();
        let all_drained = origins.iter().all(|(_, weight)| *weight == 0);
        let mut total = 0;
        let mut new = Vec::new();
        let slots: Box<[Slot]> = (0u16..)
            .zip(origins)
            .map(|(index, (id, weight))| {
                let weight = if all_drained {
                    1
                } else {
                    weight.min(WEIGHT_MAX)
                };
                total += u64::from(weight);
                let (member, is_new) = members.find(scope, id);
                if is_new {
                    new.push(member.clone());
                }
                Slot {
                    member,
                    index,
                    weight,
                    upto: total,
                    seed: hash::seed(id),
                }
            })
            .collect();
        let pool = Self {
            slots,
            total,
            settings,
            tally: members.tally(scope),
        };
        // Where all are new, nobody else carries the load meanwhile.
        if new.len() < pool.slots.len() {
            for member in &new {
                pool.begin_anew(member);
            }
        }
        pool
    }

    /// The members, in the order of the configuration.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.slots.iter().map(|slot| &slot.member)
    }

    /// One member by its index in this pool.
    pub fn member(&self, index: u16) -> Option<&Arc<Member>> {
        self.slots.get(usize::from(index)).map(|slot| &slot.member)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no member at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How it was configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What keeps retries from becoming a storm.
    pub fn budget(&self) -> &RetryBudget {
        &self.tally.budget
    }

    /// How often a request went to a member that is out, because too few others are left.
    pub fn desperate_picks(&self) -> u64 {
        self.tally.desperate.load(Ordering::Relaxed)
    }

    /// Whether a member is to be left out: an unhealthy one of a probed pool, or an ejected one.
    pub(super) fn is_out(&self, member: &Member, now: u64) -> bool {
        let unhealthy = self.settings.active.is_some() && !member.healthy.load(Ordering::Relaxed);
        unhealthy || member.ejected_until.load(Ordering::Relaxed) > now
    }

    /// How many members can get requests at all, and how many of these are out.
    pub(super) fn count_out(&self, now: u64) -> (usize, usize) {
        let drawable = self.slots.iter().filter(|slot| slot.weight > 0);
        drawable.fold((0, 0), |(count, out), slot| {
            (count + 1, out + usize::from(self.is_out(&slot.member, now)))
        })
    }

    pub(super) fn note_desperate(&self) {
        self.tally.desperate.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all threads know of one origin of one zone.
// On cache lines of its own: its counters are written on every request, by every thread.
#[derive(Debug)]
#[repr(align(64))]
pub struct Member {
    in_flight: AtomicU32,
    pub(super) healthy: AtomicBool,
    stale: AtomicBool,
    /// Failures since the last success, of requests.
    pub(super) consecutive_failures: AtomicU32,
    /// Probes in a row that contradict `healthy`.
    pub(super) contrary_probes: AtomicU32,
    /// How often it was ejected in a row; the next ejection is the longer for it.
    pub(super) ejections: AtomicU32,
    /// Until when it is ejected, in milliseconds; in the past when it is not.
    pub(super) ejected_until: AtomicU64,
    /// Since when it is there, in milliseconds (`warm`).
    pub(super) since: AtomicU64,
    pub(super) held: Held,
    pub(super) rate: Rate,
    /// Counts the changes of `addresses`.
    generation: AtomicU64,
    addresses: RwLock<Arc<[SocketAddr]>>,
    id: Box<str>,
}

impl Member {
    /// A member of which nothing is known yet: healthy, so that a start waits for no probe; without addresses.
    pub fn new(id: &str) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            healthy: AtomicBool::new(true),
            stale: AtomicBool::new(false),
            consecutive_failures: AtomicU32::new(0),
            contrary_probes: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            since: AtomicU64::new(warm::ALWAYS),
            held: Held::default(),
            rate: Rate::default(),
            generation: AtomicU64::new(0),
            addresses: RwLock::new(Arc::from([])),
            id: id.into(),
        }
    }

    /// `scheme://host:port`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Requests that it is working on, of all threads.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What its probes say; true until they say otherwise.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Where it can be reached. Takes a lock: a request asks an [`AddressCache`] instead.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        Arc::clone(
            &self
                .addresses
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Sets where it can be reached from now on.
    pub fn set_addresses(&self, addresses: &[SocketAddr]) {
        let mut held = self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = addresses.into();
        // Within the lock: whoever sees the new number finds the new addresses.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether the addresses are old ones, kept because DNS fails.
    pub fn addresses_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Says whether the addresses are old ones, kept because DNS fails.
    pub fn set_addresses_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Relaxed);
    }
}

/// One thread's copy of a member's addresses, renewed when they change; reading it costs one atomic load.
#[derive(Clone, Debug, Default)]
pub struct AddressCache {
    held: Option<(u64, Arc<[SocketAddr]>)>,
}

impl AddressCache {
    /// The addresses of `member`, which must be the same one on every call.
    pub fn of(&mut self, member: &Member) -> &[SocketAddr] {
        let generation = member.generation.load(Ordering::Acquire);
        if self
            .held
            .as_ref()
            .is_none_or(|(known, _)| *known != generation)
        {
            // Should they change between the two loads, the next call reads them once more, which does no harm.
            self.held = Some((generation, member.addresses()));
        }
        self.held.as_ref().map_or(&[], |(_, addresses)| addresses)
    }
}

/// A request in flight: counts for its member until it is dropped.
#[derive(Debug)]
pub struct Lease {
    member: Arc<Member>,
    /// Its place among the retries, where it is one.
    _retry: Option<Counted>,
}

impl Lease {
    /// Counts one more request in flight.
    pub fn new(member: &Arc<Member>) -> Self {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            member: Arc::clone(member),
            _retry: None,
        }
    }

    /// Counts one more, unless there are `most` already; 0 is no bound.
    pub(super) fn within(member: &Arc<Member>, most: u32, retry: Option<Counted>) -> Option<Self> {
        raise(&member.in_flight, most).then(|| Self {
            member: Arc::clone(member),
            _retry: retry,
        })
    }

    /// Whose request it is.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }
}

impl Deref for Lease {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a pool counts, apart from its members.
#[derive(Debug, Default)]
pub(super) struct Tally {
    budget: RetryBudget,
    desperate: AtomicU64,
    /// Until when members have less than their weight, in milliseconds (`warm`).
    pub(super) warming_until: AtomicU64,
    /// When success rates are compared next, in milliseconds (`outlier`); 0 before the first request.
    pub(super) judge_at: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Outcome, Tried};

    const TWO: [(&str, u32); 2] = [("http://a.test:80", 1), ("http://b.test:80", 3)];

    #[test]
    fn members_outlive_a_configuration_and_are_forgotten_after_the_last() {
        let members = Members::new();
        let old = Pool::new("zone-1", TWO, Settings::default(), &members);
        let lease = Lease::new(old.member(1).unwrap());
        old.member(1)
            .unwrap()
            .set_addresses(&["192.0.2.1:80".parse().unwrap()]);
        for _ in 0..5 {
            old.report(1, Outcome::ConnectFailed, 1_000);
        }
        old.budget().count_request(1_000);

        let swapped = [("http://b.test:80", 7), ("http://c.test:80", 1)];
        let new = Pool::new("zone-1", swapped, Settings::default(), &members);
        assert!(Arc::ptr_eq(old.member(1).unwrap(), new.member(0).unwrap()));
        drop(old);
        let state = new.describe(1_001);
        let [b, c] = state.members.as_slice() else {
            panic!("two members")
        };
        assert_eq!(
            (b.id.as_str(), b.weight, b.in_flight),
            ("http://b.test:80", 7, 1)
        );
        assert!(b.ejected_for_ms.is_some() && b.healthy);
        assert_eq!(b.addresses, ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(
            (c.in_flight, c.ejected_for_ms, c.addresses.len()),
            (0, None, 0)
        );
        assert_eq!(new.budget().requests(1_002), 1);

        drop((new, lease));
        let later = Pool::new("zone-1", TWO, Settings::default(), &members);
        assert_eq!(later.describe(1_001).members[1].ejected_for_ms, None);
    }

    #[test]
    fn zones_share_no_member() {
        let members = Members::new();
        let one = Pool::new("zone-1", TWO, Settings::default(), &members);
        let two = Pool::new("zone-2", TWO, Settings::default(), &members);
        for _ in 0..5 {
            one.report(0, Outcome::ConnectFailed, 1_000);
        }
        assert!(one.describe(1_001).members[0].ejected_for_ms.is_some());
        assert_eq!(two.describe(1_001).members[0].ejected_for_ms, None);
    }

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        let pool = Pool::new("zone", TWO, Settings::default(), &Members::new());
        let member = pool.member(0).unwrap();
        let one = Lease::new(member);
        let two = Lease::new(member);
        assert_eq!((one.in_flight(), one.id()), (2, "http://a.test:80"));
        drop((one, two));
        assert_eq!(member.in_flight(), 0);
    }

    #[test]
    fn a_thread_sees_new_addresses_at_its_next_look() {
        let member = Member::new("http://a.test:80");
        let mut cache = AddressCache::default();
        assert!(cache.of(&member).is_empty());
        let first: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let second: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        member.set_addresses(&[first]);
        assert_eq!(cache.of(&member), [first]);
        member.set_addresses(&[second, first]);
        assert_eq!(cache.of(&member), [second, first]);
    }

    #[test]
    fn a_drained_member_gets_nothing_unless_all_are_drained() {
        let members = Members::new();
        let pool = Pool::new("a", [("one", 0), ("two", 5)], Settings::default(), &members);
        for random in 0..100u64 {
            let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(pool.pick(0, random, &Tried::default()).unwrap().index, 1);
        }
        let drained = Pool::new("b", [("one", 0), ("two", 0)], Settings::default(), &members);
        assert!(drained.pick(0, 1, &Tried::default()).is_some());
        let none = Pool::new("c", [], Settings::default(), &members);
        assert!(none.is_empty() && none.pick(0, 1, &Tried::default()).is_none());
        assert_eq!(none.describe(0).members, []);
    }
}

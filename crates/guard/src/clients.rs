//! Counters of clients, shared by all threads: how many requests lately, how many errors, how many at once.
//!
//! The table is bounded. A zone may hold as many entries as are still free (Choudhury and Hahne, "Dynamic queue length thresholds
//! for shared-memory packet switches", 1998): alone it may fill half, and its flood of addresses leaves the other half to the
//! others. A client for whom there is no entry is not limited: it is one of very many then, and each of them is new.
//!
//! Times are of the machine's monotonic clock, so that what was counted may go to another process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::states::ZoneId;

const SHARDS: usize = 64;

/// Who is counted: an IPv4 address, or the /64 of an IPv6 address, in one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    zone: ZoneId,
    client: u128,
}

impl ClientKey {
    /// The same from numbers, as [`parts`](Self::parts) gives them.
    pub fn of(zone: ZoneId, client: u128) -> Self {
        Self { zone, client }
    }

    /// The zone, and the client's network as a number.
    pub fn parts(self) -> (ZoneId, u128) {
        (self.zone, self.client)
    }

    /// The client with this address, in this zone.
    pub fn new(zone: ZoneId, client: IpAddr) -> Self {
        Self {
            zone,
            client: network_of(client),
        }
    }
}

/// An address as clients are counted: an IPv6 client has a whole /64.
pub fn network_of(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

/// So many in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At most so many; 0 is no limit.
    pub most: u32,
    /// Milliseconds, at least 1.
    pub per: u64,
}

/// How many in the window of time that it is now, and in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Which window this is; by how long one is.
    pub at: u64,
    /// In this one.
    pub now: u32,
    /// In the one before.
    pub before: u32,
}

impl Window {
    /// The count over the last `per` milliseconds, with the window before counted by the share of it that is still within: at
    /// most what really came, if it came evenly. A time that lies before the window, another thread's, counts as its beginning.
    fn count(&mut self, limit: Limit, now: u64) -> u64 {
        let at = now / limit.per + 1;
        // Further back it is no other thread's time, but another `per`: the counts mean nothing any more.
        if at > self.at || at + 1 < self.at {
            let is_next = self.at.checked_add(1) == Some(at);
            self.before = if is_next { self.now } else { 0 };
            self.now = 0;
            self.at = at;
        }
        let into = if at < self.at { 0 } else { now % limit.per };
        let left = limit.per - into;
        u64::from(self.now) + u64::from(self.before) * left / limit.per
    }

    /// Goes on from what another process counted.
    fn take(&mut self, other: Self) {
        match self.at.cmp(&other.at) {
            std::cmp::Ordering::Less => *self = other,
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Equal => {
                self.now = self.now.max(other.now);
                self.before = self.before.max(other.before);
            }
        }
    }
}

/// What is known of a client, to be handed to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whom.
    pub key: ClientKey,
    /// Its requests.
    pub requests: Window,
    /// Its errors.
    pub errors: Window,
    /// When it was seen last, in milliseconds on the monotonic clock.
    pub seen: u64,
}

#[derive(Debug, Default)]
struct Entry {
    requests: Window,
    errors: Window,
    at_once: u32,
    seen: u64,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<ClientKey, Entry>,
    zones: HashMap<ZoneId, usize>,
    /// When room was made last, in milliseconds.
    forgot: u64,
}

/// The counters of all clients.
#[derive(Debug)]
pub struct ClientTable {
    first: Mutex<Shard>,
    /// The others.
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    most: AtomicUsize,
}

/// A request that is in progress, until this is dropped.
pub struct InProgress {
    table: Arc<crate::states::States>,
    key: ClientKey,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.table.clients.leave(self.key);
    }
}

/// Milliseconds after which a client that was not seen is forgotten, if its limits look no further back.
const FORGET_AFTER: u64 = 2 * 3_600_000;

impl ClientTable {
    /// For so many clients.
    pub fn new(most: usize) -> Self {
        Self {
            first: Mutex::default(),
            shards: (1..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            most: AtomicUsize::new(most),
        }
    }

    /// Another bound, for entries to come.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn shard(&self, key: &ClientKey) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        let shard = self.shards.get(at).unwrap_or(&self.first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Default>(&self, key: ClientKey, now: u64, look: impl FnOnce(&mut Entry) -> T) -> T {
        let most = self.most.load(Ordering::Relaxed) / SHARDS;
        let mut shard = self.shard(&key);
        if let Some(entry) = shard.entries.get_mut(&key) {
            entry.seen = now;
            return look(entry);
        }
        if !shard.has_room(key.zone, most) {
            shard.forget(now);
            if !shard.has_room(key.zone, most) {
                return T::default();
            }
        }
        *shard.zones.entry(key.zone).or_default() += 1;
        let entry = shard.entries.entry(key).or_default();
        entry.seen = now;
        look(entry)
    }

    /// Counts a request. The error is in how many milliseconds there will be room again.
    ///
    /// # Errors
    /// There were `limit.most` within `limit.per` already; this one is not counted.
    pub fn request(&self, key: ClientKey, limit: Limit, now: u64) -> Result<(), u64> {
        let wait = self.with(key, now, |entry| {
            if entry.requests.count(limit, now) >= u64::from(limit.most) {
                return Some(limit.per - now % limit.per);
            }
            entry.requests.now += 1;
            None
        });
        wait.map_or(Ok(()), Err)
    }

    /// Counts an error that a client was answered.
    pub fn error(&self, key: ClientKey, limit: Limit, now: u64) {
        self.with(key, now, |entry| {
            entry.errors.count(limit, now);
            entry.errors.now = entry.errors.now.saturating_add(1);
        });
    }

    /// Whether a client was answered `limit.most` errors within `limit.per`: then in how many milliseconds to look again.
    ///
    /// # Errors
    /// It was.
    pub fn errors(&self, key: ClientKey, limit: Limit, now: u64) -> Result<(), u64> {
        let mut shard = self.shard(&key);
        let Some(entry) = shard.entries.get_mut(&key) else {
            return Ok(());
        };
        if entry.errors.count(limit, now) >= u64::from(limit.most) {
            return Err(limit.per - now % limit.per);
        }
        Ok(())
    }

    fn enter(&self, key: ClientKey, most: u32, now: u64) -> Option<bool> {
        self.with(key, now, |entry| {
            if entry.at_once >= most {
                return Some(false);
            }
            entry.at_once += 1;
            Some(true)
        })
    }

    fn leave(&self, key: ClientKey) {
        let mut shard = self.shard(&key);
        if let Some(entry) = shard.entries.get_mut(&key) {
            entry.at_once = entry.at_once.saturating_sub(1);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        std::iter::once(&self.first).chain(&self.shards)
    }

    /// Entries, in all zones.
    pub fn len(&self) -> usize {
        self.all()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.entries.len()
            })
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of clients, of at most so many: those that were counted most often.
    pub fn counted(&self, most: usize) -> Vec<Counted> {
        let mut all = Vec::new();
        for shard in self.all() {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.entries.iter().map(|(key, entry)| Counted {
                key: *key,
                requests: entry.requests,
                errors: entry.errors,
                seen: entry.seen,
            }));
        }
        if all.len() > most {
            let count = |window: Window| u64::from(window.now) + u64::from(window.before);
            let often = |one: &Counted| std::cmp::Reverse(count(one.requests) + count(one.errors));
            all.select_nth_unstable_by_key(most, often);
            all.truncate(most);
        }
        all
    }

    /// Goes on from what another process counted, as far as there is room. The same may come once more.
    pub fn take(&self, counted: &[Counted], now: u64) {
        for one in counted {
            let seen = one.seen.min(now);
            self.with(one.key, seen, |entry| {
                entry.requests.take(one.requests);
                entry.errors.take(one.errors);
            });
        }
    }

    /// Forgets clients that were not seen for long. Now and then.
    pub fn sweep(&self, now: u64) {
        for shard in self.all() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.forget_before(now.saturating_sub(FORGET_AFTER));
        }
    }
}

impl crate::states::States {
    /// One more request of a client in progress, until what is returned is dropped; `Ok(None)` when the client is not counted.
    ///
    /// # Errors
    /// There are `most` already.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: ClientKey,
        most: u32,
        now: u64,
    ) -> Result<Option<InProgress>, ()> {
        match self.clients.enter(key, most, now) {
            None => Ok(None),
            Some(false) => Err(()),
            Some(true) => Ok(Some(InProgress {
                table: self.clone(),
                key,
            })),
        }
    }
}

impl Shard {
    /// Whether this zone may have one more entry: as many as are free, so that there is always room for another zone.
    fn has_room(&self, zone: ZoneId, most: usize) -> bool {
        let free = most.saturating_sub(self.entries.len());
        self.zones.get(&zone).copied().unwrap_or_default() < free
    }

    /// Makes room: clients not seen for a minute, who have nothing in progress.
    ///
    /// At most once a second: with a table full of fresh clients there is nothing to be found, and looking is dear.
    fn forget(&mut self, now: u64) {
        if now < self.forgot + 1_000 && self.forgot > 0 {
            return;
        }
        self.forgot = now.max(1);
        self.forget_before(now.saturating_sub(60_000));
    }

    fn forget_before(&mut self, before: u64) {
        let zones = &mut self.zones;
        self.entries.retain(|key, entry| {
            let keep = entry.at_once > 0 || entry.seen >= before;
            if !keep && let Some(held) = zones.get_mut(&key.zone) {
                *held -= 1;
            }
            keep
        });
        zones.retain(|_, held| *held > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(zone: u64, ip: &str) -> ClientKey {
        ClientKey::new(ZoneId(zone), ip.parse().unwrap())
    }

    const TEN: Limit = Limit {
        most: 10,
        per: 1_000,
    };

    #[test]
    fn a_client_has_so_many_requests_and_then_waits() {
        let table = ClientTable::new(100_000);
        let me = key(1, "192.0.2.1");
        for _ in 0..10 {
            assert_eq!(table.request(me, TEN, 5_000), Ok(()));
        }
        assert_eq!(table.request(me, TEN, 5_100), Err(900));
        assert_eq!(table.request(key(1, "192.0.2.2"), TEN, 5_100), Ok(()));
        assert_eq!(
            table.request(key(2, "192.0.2.1"), TEN, 5_100),
            Ok(()),
            "another zone"
        );
        // Half a window later five of those ten still count.
        for _ in 0..5 {
            assert_eq!(table.request(me, TEN, 6_500), Ok(()));
        }
        assert_eq!(table.request(me, TEN, 6_500), Err(500));
        assert_eq!(table.request(me, TEN, 9_000), Ok(()), "long after");
    }

    #[test]
    fn a_thread_whose_clock_is_behind_forgets_nothing() {
        let table = ClientTable::new(1_000);
        let me = key(1, "192.0.2.1");
        for _ in 0..10 {
            assert_eq!(table.request(me, TEN, 5_000), Ok(()));
        }
        assert!(table.request(me, TEN, 4_999).is_err(), "a millisecond late");
        assert!(table.request(me, TEN, 5_001).is_err());
        // With another `per` the windows have other numbers: the counts begin anew.
        let minute = Limit {
            most: 10,
            per: 60_000,
        };
        assert_eq!(table.request(me, minute, 5_002), Ok(()));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let table = ClientTable::new(100_000);
        for host in 0..10 {
            let ip = format!("2001:db8::{host:x}");
            assert_eq!(table.request(key(1, &ip), TEN, 0), Ok(()));
        }
        assert!(table.request(key(1, "2001:db8::ffff"), TEN, 0).is_err());
        assert!(table.request(key(1, "2001:db8:0:1::1"), TEN, 0).is_ok());
    }

    #[test]
    fn a_zone_that_floods_leaves_room_for_another() {
        let table = ClientTable::new(6_400);
        for n in 0..50_000u32 {
            let ip = IpAddr::from(n.to_be_bytes());
            let _ = table.request(ClientKey::new(ZoneId(1), ip), TEN, 0);
        }
        assert!(table.len() <= 3_300, "{}", table.len());
        let other = key(2, "203.0.113.9");
        for _ in 0..10 {
            assert_eq!(table.request(other, TEN, 0), Ok(()));
        }
        assert!(table.request(other, TEN, 0).is_err(), "it is counted");
        // A minute later the flood is forgotten where room is needed.
        for n in 0..50_000u32 {
            let ip = IpAddr::from((n | 0xc000_0000).to_be_bytes());
            let _ = table.request(ClientKey::new(ZoneId(3), ip), TEN, 120_000);
        }
        assert!(table.len() <= 6_400);
    }

    #[test]
    fn another_process_goes_on_from_what_was_counted() {
        let (old, new) = (ClientTable::new(100_000), ClientTable::new(100_000));
        let (me, other) = (key(1, "192.0.2.1"), key(1, "192.0.2.2"));
        for _ in 0..10 {
            assert_eq!(old.request(me, TEN, 5_000), Ok(()));
            old.error(other, TEN, 5_000);
        }
        for _ in 0..2 {
            new.take(&old.counted(1_000), 5_100);
        }
        assert_eq!(new.request(me, TEN, 5_100), Err(900));
        assert_eq!(new.errors(other, TEN, 5_200), Err(800));
        assert_eq!(new.request(other, TEN, 5_200), Ok(()));
        assert_eq!(new.request(key(2, "192.0.2.1"), TEN, 5_200), Ok(()));
        for _ in 0..5 {
            assert_eq!(new.request(me, TEN, 6_500), Ok(()));
        }
        assert!(new.request(me, TEN, 6_500).is_err(), "half still counts");
        // What is older than what is here changes nothing.
        new.take(&old.counted(1_000), 9_100);
        assert_eq!(new.request(me, TEN, 9_100), Ok(()));
    }

    #[test]
    fn of_many_those_that_were_counted_most_are_handed_over() {
        let old = ClientTable::new(1_000_000);
        for n in 0..1_000u32 {
            let ip = IpAddr::from(n.to_be_bytes());
            let _ = old.request(ClientKey::new(ZoneId(1), ip), TEN, 5_000);
        }
        let me = key(1, "192.0.2.1");
        for _ in 0..10 {
            let _ = old.request(me, TEN, 5_000);
        }
        let handed = old.counted(3);
        assert!(handed.len() == 3 && handed.iter().any(|one| one.key == me));
        // Where there is no room, nobody is kept.
        let none = ClientTable::new(0);
        none.take(&handed, 5_000);
        assert!(none.is_empty());
    }

    #[test]
    fn requests_in_progress_are_counted_until_they_end() {
        let states = Arc::new(crate::states::States::new([], 1_000));
        let me = key(1, "192.0.2.1");
        let first = states.enter(me, 2, 0).unwrap();
        let second = states.enter(me, 2, 0).unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(states.enter(me, 2, 0).is_err());
        drop(first);
        assert!(states.enter(me, 2, 0).is_ok());
    }

    #[test]
    fn errors_count_by_themselves() {
        let table = ClientTable::new(1_000);
        let me = key(1, "192.0.2.1");
        assert_eq!(table.errors(me, TEN, 0), Ok(()));
        for _ in 0..10 {
            table.error(me, TEN, 100);
        }
        assert_eq!(table.errors(me, TEN, 200), Err(800));
        assert_eq!(table.request(me, TEN, 200), Ok(()));
        assert_eq!(table.errors(me, TEN, 3_000), Ok(()));
    }
}

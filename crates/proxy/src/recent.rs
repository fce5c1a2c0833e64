//! Requests that were served of late, by which a change is judged before any client meets it (DESIGN, "Replay").
//!
//! A request that would not come to a zone any more, because nobody has its host or its head is beyond a limit, is judged otherwise; so is
//! one that redirects would send in a circle, which nothing refuses and nobody answers.
//!
//! Heads alone, in memory alone, without credentials ([`RequestHead::masked`]): one a second of each zone at most, so that what is
//! kept goes back some minutes and a flood fills it no faster than anything else. A zone can switch it off.
//!
//! Not here: what judges ([`Guard::judge_again`](seawall_guard::Guard::judge_again)), and who asks for it (the binary's orders).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_guard::{Scope, Subject, ZoneId};
use seawall_model::{ConnFacts, RequestHead};
use serde::{Deserialize, Serialize};

use crate::snapshot::{Snapshot, Zone};
use crate::{circle, forward, kind};

/// Requests of one zone.
pub const OF_ZONE: usize = 256;
/// Requests that a change of all zones is judged by.
pub const OF_ALL: usize = 4_096;
/// All of them together, in bytes.
const BYTES: usize = 64 << 20;
/// And in number, those that are gone already and not yet passed over included.
const NUMBERS: usize = 256 << 10;
/// A head that is larger is not kept.
const LARGEST: usize = 16 << 10;
/// Redirects that are followed for one change, of all requests together.
const HOPS: u32 = 16 << 10;

/// How many of what was judged twice was judged differently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Judged by both.
    pub judged: u64,
    /// Let in by one and not by the other, or sent in a circle by the change alone.
    pub changed: u64,
    /// Those that it would send in a circle.
    #[serde(default)]
    pub circled: u64,
    /// The first one of these circles.
    #[serde(default)]
    pub circle: Option<String>,
}

/// When a zone's last request was kept, in seconds of the monotonic clock, from 1.
#[derive(Debug, Default)]
pub struct Sampled(AtomicU32);

impl Sampled {
    /// Whether one is to be kept at this time, in microseconds. It is so once in a second.
    #[inline]
    pub(crate) fn is_due(&self, now_us: u64) -> bool {
        let second = (now_us / 1_000_000) as u32 + 1;
        self.0.load(Ordering::Relaxed) != second && {
            self.0.store(second, Ordering::Relaxed);
            true
        }
    }
}

/// A request, as far as it is judged by its head.
#[derive(Debug)]
struct Kept {
    zone: Box<str>,
    head: RequestHead,
    conn: ConnFacts,
    client: IpAddr,
    https: bool,
    weight: usize,
}

/// What is kept of all zones.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    zones: HashMap<ZoneId, VecDeque<(u64, Arc<Kept>)>>,
    /// Whose, oldest first, each with its number. One that is gone already is passed over.
    order: VecDeque<(u64, ZoneId)>,
    next: u64,
    bytes: usize,
}

impl All {
    fn put(&mut self, zone: ZoneId, kept: Kept) {
        self.bytes += kept.weight;
        self.next += 1;
        let of_zone = self.zones.entry(zone).or_default();
        of_zone.push_back((self.next, Arc::new(kept)));
        self.order.push_back((self.next, zone));
        if of_zone.len() > OF_ZONE
            && let Some((_, gone)) = of_zone.pop_front()
        {
            self.bytes -= gone.weight;
        }
        while self.bytes > BYTES || self.order.len() > NUMBERS {
            let Some((number, zone)) = self.order.pop_front() else {
                return;
            };
            self.forget(number, zone);
        }
    }

    fn forget(&mut self, number: u64, zone: ZoneId) {
        let Some(of_zone) = self.zones.get_mut(&zone) else {
            return;
        };
        if of_zone.front().is_some_and(|(first, _)| *first == number)
            && let Some((_, gone)) = of_zone.pop_front()
        {
            self.bytes -= gone.weight;
        }
        if of_zone.is_empty() {
            self.zones.remove(&zone);
        }
    }
}

impl Recent {
    fn all(&self) -> MutexGuard<'_, All> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request, unless somebody else is doing so at this moment or it is very large.
    #[cold]
    pub(crate) fn keep(
        &self,
        zone: &Zone,
        head: &RequestHead,
        conn: &ConnFacts,
        (client, https): (IpAddr, bool),
    ) {
        let Ok(mut all) = self.kept.try_lock() else {
            return;
        };
        let hello = conn.tls.as_ref();
        let hello = hello.map_or(0, |tls| tls.client_hello.len());
        let weight = head.weight() + hello + size_of::<Kept>();
        if weight > LARGEST {
            return;
        }
        let kept = Kept {
            zone: zone.name.clone(),
            head: head.masked(),
            conn: conn.clone(),
            client,
            https,
            weight,
        };
        all.put(zone.id, kept);
    }

    /// Nothing of a zone is kept any more.
    pub fn forget(&self, zone: ZoneId) {
        let mut all = self.all();
        let gone = all.zones.remove(&zone).unwrap_or_default();
        all.bytes -= gone.iter().map(|(_, kept)| kept.weight).sum::<usize>();
    }

    /// Nothing is kept of zones but these.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let all = self.all();
        let gone = all.zones.iter().filter(|(_, kept)| {
            let first = kept.front();
            first.is_some_and(|(_, kept)| !is_there(&kept.zone))
        });
        let gone: Vec<ZoneId> = gone.map(|(id, _)| *id).collect();
        drop(all);
        gone.into_iter().for_each(|zone| self.forget(zone));
    }

    fn of_zone(&self, zone: ZoneId) -> Vec<Arc<Kept>> {
        let all = self.all();
        let of_zone = all.zones.get(&zone);
        of_zone.map_or_else(Vec::new, |kept| {
            kept.iter().map(|(_, kept)| kept.clone()).collect()
        })
    }

    fn latest(&self) -> Vec<Arc<Kept>> {
        let all = self.all();
        let mut latest = Vec::new();
        for (number, zone) in all.order.iter().rev() {
            let kept = all.zones.get(zone).and_then(|of_zone| {
                let at = of_zone.binary_search_by_key(number, |(number, _)| *number);
                of_zone.get(at.ok()?)
            });
            latest.extend(kept.map(|(_, kept)| kept.clone()));
            if latest.len() == OF_ALL {
                break;
            }
        }
        latest
    }

    /// The kinds of zones that were asked for of late, by their names.
    pub fn kinds(&self, live: &Snapshot) -> Vec<String> {
        let latest = self.latest();
        let zones = latest
            .iter()
            .filter_map(|kept| live.zones.named(&kept.zone));
        let kinds: BTreeSet<usize> = zones.map(|zone| kind::of(zone)).collect();
        kinds.into_iter().map(kind::name).collect()
    }

    /// Judges what is kept of a zone by it as it is and as it would be, each in the configuration that it is in. `now_ms` is on the
    /// monotonic clock.
    pub fn replay(
        &self,
        before: &Zone,
        after: &Zone,
        all_before: &Snapshot,
        all_after: &Snapshot,
        now_ms: u64,
    ) -> Replayed {
        let kept = self.of_zone(before.id);
        let https_is_seen = kept.iter().any(|kept| kept.https);
        let mut twice = Twice::by(all_before, all_after, now_ms);
        for kept in kept {
            // A host that another zone takes is that one's.
            let is_served = all_after.zone(kept.head.authority()).is_some();
            twice.judge(&kept, before, after, is_served, https_is_seen);
        }
        twice.replayed
    }

    /// Judges what was kept last of all zones, [`OF_ALL`] at the most, by one configuration and by another.
    pub fn replay_all(&self, before: &Snapshot, after_all: &Snapshot, now_ms: u64) -> Replayed {
        let latest = self.latest();
        let by_https = latest.iter().filter(|kept| kept.https);
        let by_https: HashSet<&str> = by_https.map(|kept| &*kept.zone).collect();
        let mut twice = Twice::by(before, after_all, now_ms);
        for kept in &latest {
            let zones = (
                before.zones.named(&kept.zone),
                after_all.zones.named(&kept.zone),
            );
            if let (Some(before), Some(after)) = zones {
                let is_within = after_all.edge.head.holds(&kept.head);
                let https_is_seen = by_https.contains(&*kept.zone);
                twice.judge(kept, before, after, is_within, https_is_seen);
            }
        }
        twice.replayed
    }
}

/// Two configurations that judge the same requests, and what came of it.
struct Twice<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    now_ms: u64,
    /// Redirects that may still be followed.
    hops: u32,
    replayed: Replayed,
}

impl<'a> Twice<'a> {
    fn by(before: &'a Snapshot, after: &'a Snapshot, now_ms: u64) -> Self {
        Self {
            before,
            after,
            now_ms,
            hops: HOPS,
            replayed: Replayed::default(),
        }
    }

    /// `comes_through`: whether the head would come to the zone's guard at all.
    fn judge(
        &mut self,
        kept: &Kept,
        before: &Zone,
        after: &Zone,
        comes_through: bool,
        https_is_seen: bool,
    ) {
        let was = Subject {
            conn: &kept.conn,
            client: kept.client,
            https: kept.https,
            now: self.now_ms,
            scope: Scope::ALL,
        };
        // Who is believed about a client may be what changes.
        let client = forward::client_of(&self.after.edge, &kept.conn, false, &kept.head.fields);
        let would_be = Subject {
            client: client.ip,
            https: client.https,
            ..was
        };
        let was_let_in = before.guard.judge_again(&kept.head, &was).is_ok();
        let is_let_in = comes_through && after.guard.judge_again(&kept.head, &would_be).is_ok();
        self.replayed.judged += 1;
        if was_let_in != is_let_in {
            self.replayed.changed += 1;
            return;
        }
        if !is_let_in {
            return;
        }
        // What the client knows as HTTPS is that, also where nobody is believed any more who says so.
        let is_https = kept.https || client.https;
        let follow = |all: &Snapshot, subject: &Subject<'_>, hops: &mut u32| {
            circle::find(all, &kept.head, subject, is_https, https_is_seen, hops)
        };
        let Some(found) = follow(self.after, &would_be, &mut self.hops) else {
            return;
        };
        // What goes round already is no worse than before. There are few of these, so each may be followed to its end.
        if follow(self.before, &was, &mut (circle::HOPS + 1)).is_none() {
            self.replayed.changed += 1;
            self.replayed.circled += 1;
            self.replayed.circle.get_or_insert(found);
        }
    }
}

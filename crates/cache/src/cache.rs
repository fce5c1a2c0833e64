//! The store as a whole: what is kept, what is on its way, what was purged. All threads of a worker share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_model::RequestHead;

use crate::fill::{Follower, Lead};
use crate::head::Head;
use crate::key::Key;
use crate::memory::{Entry, Found, Memory, Outside, Place, Size};
use crate::policy::{Kept, Time, Vary, tags};
use crate::purge::{Purge, Purges, Scope};

/// The store.
#[derive(Debug)]
pub struct Cache {
    memory: Memory,
    purges: Purges,
    filling: Mutex<Filling>,
    most_filling: usize,
    most_filling_of_zone: usize,
}

/// Bytes of fills that are on their way.
#[derive(Debug, Default)]
struct Filling {
    all: usize,
    zones: HashMap<u64, usize>,
}

/// What somebody does who needs an answer from the origin.
#[derive(Debug)]
pub enum Joined {
    /// Fetches it.
    Lead(Lead),
    /// Waits for another one's, that is on its way.
    Follow(Follower),
    /// Has it: it came while it looked.
    Found(Arc<Entry>),
}

impl Cache {
    /// An empty one. Beside `size`, a quarter more may be taken by what is on its way.
    pub fn new(size: Size) -> Arc<Self> {
        let most_filling = size.bytes / 4;
        Arc::new(Self {
            memory: Memory::new(size),
            purges: Purges::default(),
            filling: Mutex::default(),
            most_filling,
            most_filling_of_zone: most_filling / 100 * usize::from(size.zone_share.min(100)),
        })
    }

    /// What is stored for a request.
    pub fn find(&self, key: &Key, request: &RequestHead) -> Found {
        self.memory.find(key, request, &self.purges)
    }

    /// Joins those who wait for the same answer, or becomes the one who fetches it. `seen` is the response that was found, and
    /// may not be used as it is. `beside` is by what the answer is known to vary, from a response that was found for other
    /// requests: who waits then has the same values as who fetches.
    pub fn join(
        self: &Arc<Self>,
        key: &Arc<Key>,
        request: &RequestHead,
        seen: Option<&Arc<Entry>>,
        beside: Option<&Vary>,
        now: Time,
    ) -> Joined {
        let place = self.memory.place(key);
        if let Some(mut part) = self.memory.part(place.url) {
            if let Some(entry) = part.since(place.url, key, request, seen, &self.purges) {
                return Joined::Found(entry);
            }
            if part.is_hopeless(place.key, now) {
                drop(part);
                return Joined::Lead(self.alone(key));
            }
            let mut identity = key.bytes.to_vec();
            if let Some(vary) = beside {
                identity.extend_from_slice(&vary.selecting(request));
            }
            let fills = part.fills.entry(place.url).or_default();
            // A purge since: it may be for what is on its way.
            fills.retain(|fill| !self.purges.any_since(key.zone, fill.begun()));
            let found = fills.iter().find(|fill| fill.identity() == identity);
            match found {
                Some(fill) => {
                    if let Some(follower) = Follower::join(self, key, fill) {
                        return Joined::Follow(follower);
                    }
                }
                None => {
                    let lead = Lead::new(self, key, self.purges.now(), identity);
                    fills.push(Arc::clone(lead.fill()));
                    return Joined::Lead(lead);
                }
            }
            if fills.is_empty() {
                part.fills.remove(&place.url);
            }
        }
        Joined::Lead(self.alone(key))
    }

    /// Fetches for itself alone: nobody is to wait for it.
    pub fn alone(self: &Arc<Self>, key: &Arc<Key>) -> Lead {
        Lead::new(self, key, self.purges.now(), Vec::new())
    }

    /// Becomes the one who validates a response in the background, unless somebody fetches it already.
    pub fn lead(
        self: &Arc<Self>,
        key: &Arc<Key>,
        request: &RequestHead,
        seen: &Arc<Entry>,
        now: Time,
    ) -> Option<Lead> {
        match self.join(key, request, Some(seen), Some(&seen.vary), now) {
            Joined::Lead(lead) => Some(lead),
            Joined::Follow(_) | Joined::Found(_) => None,
        }
    }

    /// Puts a validated response in the place of the one that was validated, with the same body. `begun` is from
    /// [`Lead::begun`]; `request` the one that validated it.
    ///
    /// # Errors
    /// [`Outside`] says why it is not kept; it may be served all the same.
    pub fn validated(
        &self,
        key: &Key,
        old: &Arc<Entry>,
        kept: Kept,
        request: &RequestHead,
        begun: u64,
    ) -> (Arc<Entry>, Result<(), Outside>) {
        let mut fields = seawall_model::Fields::default();
        kept.head.fill_fields(&mut fields);
        let stamp = self.purges.restamp(&old.stamp, begun, tags(&fields));
        let selecting = kept.vary.selecting(request);
        let entry = Entry::new(kept, selecting, old.body.clone(), stamp, old.rules);
        let entry = Arc::new(entry);
        let stored = self
            .memory
            .replace(key, old, Arc::clone(&entry), &self.purges);
        (entry, stored)
    }

    /// A response with another head that is served this once, and not kept; the one that is stored goes.
    pub fn once(&self, key: &Key, old: &Arc<Entry>, head: Head) -> Arc<Entry> {
        self.memory.forget(key, old);
        let stamp = self
            .purges
            .restamp(&old.stamp, self.purges.now(), std::iter::empty());
        let kept = Kept {
            head,
            life: old.life,
            vary: old.vary.clone(),
        };
        let selecting = old.selecting.clone();
        Arc::new(Entry::new(
            kept,
            selecting,
            old.body.clone(),
            stamp,
            old.rules,
        ))
    }

    /// Forgets one response.
    pub fn forget(&self, key: &Key, entry: &Arc<Entry>) {
        self.memory.forget(key, entry);
    }

    /// Purges a URL; soft, it counts as stale from that time on.
    pub fn purge_url(&self, zone: u64, host: &[u8], target: &[u8], soft: Option<Time>) {
        self.memory
            .purge_url(zone, host, target, soft, &self.purges);
    }

    /// Purges more than a URL.
    pub fn purge(&self, zone: u64, scope: Scope<'_>, purge: Purge) {
        self.purges.purge(zone, scope, purge);
    }

    /// Makes room for purges where their records have become many. To be called now and then, not on a worker's thread.
    pub fn tidy(&self) {
        let crowded = self.purges.crowded();
        if !crowded.is_empty() {
            let number = self.purges.now();
            self.memory.sweep(&self.purges);
            for zone in crowded {
                self.purges.forget(zone, number);
            }
        }
    }

    /// Bytes that are taken, and how many responses there are.
    pub fn used(&self) -> (usize, usize) {
        self.memory.used()
    }

    /// Bytes that a zone takes.
    pub fn used_by(&self, zone: u64) -> usize {
        self.memory.used_by(zone)
    }

    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) const fn purges(&self) -> &Purges {
        &self.purges
    }

    pub(crate) fn place(&self, key: &Key) -> Place {
        self.memory.place(key)
    }

    /// Takes bytes for a fill; false where all fills, or those of the zone, have as much as they may.
    pub(crate) fn take(&self, zone: u64, bytes: usize) -> bool {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let all = filling.all + bytes;
        let own = filling.zones.get(&zone).copied().unwrap_or(0) + bytes;
        if all > self.most_filling || own > self.most_filling_of_zone {
            return false;
        }
        filling.all = all;
        filling.zones.insert(zone, own);
        true
    }

    /// Gives them back.
    pub(crate) fn give_back(&self, zone: u64, bytes: usize) {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        filling.all = filling.all.saturating_sub(bytes);
        if let Some(own) = filling.zones.get_mut(&zone) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                filling.zones.remove(&zone);
            }
        }
    }

    /// The number of purges just now, for a request that is about to be sent.
    pub fn begun(&self) -> u64 {
        self.purges.now()
    }

    /// Bytes that fills have now.
    pub fn filling(&self) -> usize {
        self.filling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all
    }
}

#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod tests;

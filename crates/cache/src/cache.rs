//! The store as a whole: what is kept, what is on its way, what was purged. All threads of a worker share one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_model::{FieldId, Fields, RequestHead};

use crate::account::Account;
use crate::disk::{Disk, Purged, Reading, Settings, Settling, Told};
use crate::fill::{Fill, Follower, Lead, with_credentials};
use crate::head::Head;
use crate::key::{Key, Query, counted_target, normal};
use crate::memory::{Body, Entry, Found, Memory, Needs, Outside, Piece, Place, Size};
use crate::outdated::{ForAnother, Outdated};
use crate::policy::{Kept, Time, Vary, tags};
use crate::purge::{Purge, Purges, Scope};

/// The store.
#[derive(Debug)]
pub struct Cache {
    memory: Memory,
    purges: Purges,
    disk: Option<Arc<Disk>>,
    /// Bytes that are on their way.
    filling: Account,
    /// Bytes of bodies that are in memory, whoever holds them: the memory tier, or clients that are slow to take what it had.
    bodies: Arc<Account>,
    /// What another process that takes over is to hear.
    for_another: ForAnother,
}

/// What became of a URL that was purged.
#[derive(Clone, Copy, Debug, Default)]
pub struct UrlPurged {
    /// How many purges that was.
    pub purges: usize,
    /// The number for [`Cache::has_settled`]; none where nothing of it can be on disk.
    pub number: Option<u64>,
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
    /// An empty one. Beside `size`, a quarter more may be taken by what is on its way, and as much again by bodies that are in it no
    /// more but that clients still take.
    pub fn new(size: Size) -> Arc<Self> {
        Self::with(size, None)
    }

    /// One with a disk tier, which it begins to use once [`Cache::use_disk`] says so.
    pub fn with_disk(size: Size, settings: Settings) -> Arc<Self> {
        Self::with(size, Some(Disk::new(settings)))
    }

    pub(crate) fn with(size: Size, disk: Option<Arc<Disk>>) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(size),
            purges: Purges::default(),
            disk,
            filling: Account::new(size.bytes / 4, size.zone_share),
            bodies: Arc::new(Account::new(size.bytes.saturating_mul(2), size.zone_share)),
            for_another: ForAnother::default(),
        })
    }

    /// What is stored for a request in memory; see [`Cache::look_on_disk`].
    pub fn find(&self, key: &Arc<Key>, request: &RequestHead) -> Found {
        let Some(disk) = &self.disk else {
            return self.memory.find(key, request, &self.purges);
        };
        let since = self.purges.now();
        let found = self.memory.find(key, request, &self.purges);
        if let Found::Entry(entry) = &found
            && !entry.offered.load(Ordering::Relaxed)
        {
            self.offer(disk, key, entry, since);
        }
        found
    }

    /// Looks for what is not in memory; none: it is not on disk either.
    pub fn look_on_disk(self: &Arc<Self>, key: &Arc<Key>) -> Option<Reading> {
        self.disk.as_ref()?.look(self, key)
    }

    /// Begins to use the disk, once this process serves. Another one that does has it until it lets go.
    pub fn use_disk(self: &Arc<Self>) {
        if let Some(disk) = &self.disk {
            disk.start(Arc::downgrade(self));
        }
    }

    /// What becomes invalid here from now on is noted for another process, which takes over: [`Cache::take_outdated`]. To be said
    /// before that one may have the disk.
    pub fn begin_handing_over(&self) {
        self.for_another.begin();
    }

    /// What has become invalid since it was asked last.
    pub fn take_outdated(&self) -> Outdated {
        self.for_another.take()
    }

    /// The other process could not be told: it is to be asked for again.
    pub fn put_back_outdated(&self, outdated: Outdated) {
        self.for_another.note(|noted| noted.add(outdated));
    }

    /// No other process takes over after all; what it was to hear.
    pub fn end_handing_over(&self) -> Outdated {
        self.for_another.end()
    }

    /// Lets go of the disk: what waits is written, and this process serves from memory from now on. Waits so long at most; whether it
    /// is done.
    pub fn leave_disk(&self, within: Duration) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.close(within))
    }

    /// How the disk tier stands; none where there is none.
    pub fn disk_told(&self) -> Option<Told> {
        self.disk.as_ref().map(|disk| disk.told())
    }

    /// What went wrong with the disk since this was asked last, the latest of it.
    pub fn disk_trouble(&self) -> Option<String> {
        self.disk.as_ref()?.trouble()
    }

    /// Whether a purge outlives the process, as far as what it is about does: by the number that it has.
    pub fn has_settled(&self, number: u64) -> bool {
        let disk = self.disk.as_ref();
        disk.is_none_or(|disk| disk.has_settled(number))
    }

    /// Waits for that; none where nobody should: it does, or the disk takes nothing.
    pub fn settling(&self, number: u64) -> Option<Settling> {
        self.disk.as_ref()?.settling(number)
    }

    pub(crate) fn found_on_disk(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        looked: u64,
    ) -> Option<Arc<Entry>> {
        self.memory
            .found_elsewhere(key, entry, looked, &self.purges)
    }

    /// Offers what was stored after the purge `since`; false where it is not written.
    fn offer(&self, disk: &Disk, key: &Arc<Key>, entry: &Arc<Entry>, since: u64) -> bool {
        // First what costs nothing: most of what is found has been offered, or cannot be.
        if !disk.wants(u64::MAX) {
            return false;
        }
        let (frequency, _) = self.memory.asked_for(key, since);
        if !disk.wants(frequency) || entry.offered.swap(true, Ordering::Relaxed) {
            return false;
        }
        if !disk.offer(key, entry) {
            return false;
        }
        // A purge that came before it was in the queue did not find it there.
        if self.memory.asked_for(key, since).1 {
            disk.key_gone(key);
        }
        true
    }

    /// A response came and is stored in memory, or would not fit there: it is offered to the disk.
    pub(crate) fn came(&self, key: &Arc<Key>, entry: &Arc<Entry>, begun: u64) {
        if let Some(disk) = &self.disk
            && !self.offer(disk, key, entry, begun)
        {
            // What lies there is older.
            disk.key_gone_if_there(key);
        }
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
            let credentials = request.fields.has(FieldId::Authorization);
            if part.is_hopeless(place.key, now)
                || (credentials && part.is_hopeless(with_credentials(place.key), now))
            {
                drop(part);
                return Joined::Lead(self.alone(key));
            }
            let identity = identity(key, request, beside);
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

    /// Joins those who wait for the same answer, where somebody fetches it already: it is of use to whoever wants a part of it, too.
    pub fn follow(
        self: &Arc<Self>,
        key: &Arc<Key>,
        request: &RequestHead,
        beside: Option<&Vary>,
    ) -> Option<Follower> {
        let place = self.memory.place(key);
        let part = self.memory.part(place.url)?;
        let fills = part.fills.get(&place.url)?;
        let identity = identity(key, request, beside);
        let is_it = |fill: &&Arc<Fill>| {
            fill.identity() == identity && !self.purges.any_since(key.zone, fill.begun())
        };
        Follower::join(self, key, fills.iter().find(is_it)?)
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

    /// Puts a validated response in the place of the one that was validated, with the same body, if that is what is stored still:
    /// what was purged, forgotten or replaced meanwhile does not come back. `begun` is from [`Lead::begun`], or [`Cache::begun`]
    /// before the request went out; `request` the one that validated it.
    ///
    /// # Errors
    /// [`Outside`] says why it is not kept; it may be served all the same.
    pub fn validated(
        &self,
        key: &Arc<Key>,
        old: &Arc<Entry>,
        kept: Kept,
        request: &RequestHead,
        begun: u64,
    ) -> (Arc<Entry>, Result<(), Outside>) {
        let mut fields = Fields::default();
        kept.head.fill_fields(&mut fields);
        let stamp = self.purges.restamp(&old.stamp, begun, tags(&fields));
        let selecting = kept.vary.selecting(request);
        let entry = Entry::new(kept, selecting, old.body.clone(), stamp, old.rules);
        let entry = Arc::new(entry);
        let lies_on_disk = || {
            let disk = self.disk.as_ref();
            disk.is_some_and(|disk| disk.still_has(key, old))
        };
        let new = Arc::clone(&entry);
        let stored = self
            .memory
            .replace(key, old, new, request, &self.purges, lies_on_disk);
        if !matches!(stored, Err(Outside::Purged | Outside::Replaced)) {
            self.came(key, &entry, begun);
        }
        (entry, stored)
    }

    /// Keeps a stored response's body in another coding too, or that this would be no smaller (none). What has no room for it is
    /// served as it is stored.
    pub fn pack(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        coding: usize,
        packed: Option<Body>,
    ) -> Result<(), Outside> {
        self.memory.pack(key, entry, coding, packed)
    }

    /// What a page said that it needs, the last time somebody asked for it.
    pub fn needs(&self, key: &Key) -> Option<Needs> {
        self.memory.needs(key, &self.purges)
    }

    /// A page says what it needs. `begun` is from [`Cache::begun`], before it was asked for.
    pub fn learn(&self, key: &Key, needs: Needs, begun: u64) {
        self.memory.learn(key, needs, begun, &self.purges);
    }

    /// A response with another head that is served this once, and not kept. What is stored stays as it is.
    pub fn once(&self, old: &Arc<Entry>, head: Head) -> Arc<Entry> {
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

    /// Forgets one response; on disk, all of its key.
    pub fn forget(&self, key: &Arc<Key>, entry: &Arc<Entry>) {
        self.memory.forget(key, entry);
        if let Some(disk) = &self.disk {
            disk.key_gone_if_there(key);
        }
    }

    /// Purges a URL; soft, it counts as stale from that time on.
    pub fn purge_url(&self, zone: u64, host: &[u8], target: &[u8], soft: Option<Time>) {
        self.purge_form(zone, host, target, soft);
    }

    /// The same; its number, where anything of it may be on disk.
    fn purge_form(&self, zone: u64, host: &[u8], target: &[u8], soft: Option<Time>) -> Option<u64> {
        let purge = || {
            self.memory
                .purge_url(zone, host, target, soft, &self.purges);
        };
        match &self.disk {
            // What is only there is gone, soft or not.
            Some(disk) => disk.while_nobody_looks(zone, host, target, purge),
            None => {
                purge();
                None
            }
        }
    }

    /// Purges a URL also where of its query only what one of `queries` says counts: the forms under which the zone's rules store it.
    pub fn purge_url_in_forms(
        &self,
        zone: u64,
        host: &[u8],
        target: &[u8],
        soft: Option<Time>,
        queries: &[Query],
    ) -> UrlPurged {
        let mut number = self.purge_form(zone, host, target, soft);
        // What counts is told by the spelling: this one, and the usual one, which somebody may have asked for.
        let usual = normal(target);
        let mut done = vec![Cow::Borrowed(target)];
        for query in queries {
            for form in [target, &*usual].map(|target| counted_target(target, query)) {
                if !done.contains(&form) {
                    number = number.max(self.purge_form(zone, host, &form, soft));
                    done.push(form);
                }
            }
        }
        let purges = done.len();
        UrlPurged { purges, number }
    }

    /// A request has made a URL invalid: it is purged, also in a process that takes over.
    pub fn outdate_url(
        &self,
        zone: u64,
        host: &[u8],
        target: &[u8],
        queries: &[Query],
    ) -> UrlPurged {
        let purged = self.purge_url_in_forms(zone, host, target, None, queries);
        // Afterwards: where no process took over yet, it is written down on the disk that one gets.
        self.for_another
            .note(|noted| noted.add_url(zone, host, target));
        purged
    }

    /// A request has made all of a zone invalid; the number for [`Cache::has_settled`].
    pub fn outdate_zone(&self, zone: u64) -> u64 {
        let number = self.purge(zone, Scope::Everything, Purge::Hard);
        self.for_another.note(|noted| noted.add_zone(zone));
        number
    }

    /// Purges more than a URL; the number for [`Cache::has_settled`].
    pub fn purge(&self, zone: u64, scope: Scope<'_>, purge: Purge) -> u64 {
        let number = self.purges.purge(zone, scope, purge);
        self.disk.as_ref().map_or(0, |disk| {
            disk.journal(Purged {
                number,
                zone,
                what: scope.into(),
                purge,
            })
        })
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

    /// Memory is empty, as after a restart.
    #[cfg(test)]
    pub(crate) fn purge_memory(&self) {
        self.memory.clear();
    }

    #[cfg(test)]
    pub(crate) const fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
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

    /// Takes bytes for a fill; false where all fills, or those of the zone, have as much as they may, or bodies do that are there.
    pub fn take(&self, zone: u64, bytes: usize) -> bool {
        self.holds_more(zone, bytes) && self.filling.take(zone, bytes)
    }

    /// Gives them back.
    pub fn give_back(&self, zone: u64, bytes: usize) {
        self.filling.give_back(zone, bytes);
    }

    /// Whether so many bytes more of bodies may come into memory.
    pub(crate) fn holds_more(&self, zone: u64, bytes: usize) -> bool {
        self.bodies.has_room(zone, bytes)
    }

    /// A body of these pieces, which counts as the zone's for as long as anybody holds it.
    pub fn body(&self, zone: u64, pieces: &[Piece]) -> Body {
        let body = Body::new(pieces);
        let held = self.bodies.hold(zone, body.length());
        body.held(held)
    }

    /// Whether a response with these fields was purged since its request was sent, at `begun`: by its URL, or by more.
    pub fn was_purged(&self, key: &Key, begun: u64, fields: &Fields) -> bool {
        let purges = &self.purges;
        let stamp = purges.stamp(key.zone, begun, &key.host, &key.target, tags(fields));
        let by_url = self.memory.asked_for(key, begun).1;
        by_url || purges.is_gone(&stamp) || stamp.outdated().is_some()
    }

    /// The number of purges just now, for a request that is about to be sent.
    pub fn begun(&self) -> u64 {
        self.purges.now()
    }

    /// The largest response that is stored whole, its head included.
    pub fn most(&self) -> usize {
        self.memory.most()
    }

    /// Bytes that fills have now.
    pub fn filling(&self) -> usize {
        self.filling.all()
    }

    /// Bytes of bodies that are in memory, whoever holds them; small ones are not counted.
    pub fn bodies(&self) -> usize {
        self.bodies.all()
    }
}

/// For whom an answer is that is on its way.
fn identity(key: &Key, request: &RequestHead, beside: Option<&Vary>) -> Vec<u8> {
    let mut identity = key.bytes.to_vec();
    if let Some(vary) = beside {
        identity.extend_from_slice(&vary.selecting(request));
    }
    identity
}

#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod tests;

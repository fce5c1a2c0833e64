//! Who fetches.

use std::sync::Arc;
use std::task::{Context, Poll};

use seawall_model::RequestHead;

use super::{
    BEHIND, Begun, Fill, Follower, HOPELESS_FOR, MOST_FAILURES, Phase, State, with_credentials,
};
use crate::cache::Cache;
use crate::key::Key;
use crate::memory::{Body, Entry, Outside, Piece};
use crate::policy::{Again, Failure, Kept, Time, tags};
use crate::slices::Sliced;

/// How many bytes of a body that is not kept may be ahead of the only one who takes it.
const ALONE: u64 = 64 * 1024;

/// Who fetches an answer for itself and for all who follow. Dropped before the end, it is as if it had died.
#[derive(Debug)]
pub struct Lead {
    cache: Arc<Cache>,
    key: Arc<Key>,
    fill: Arc<Fill>,
    /// Bytes taken of what fills may have.
    taken: usize,
    /// Bytes of the body so far.
    bytes: u64,
    /// All of it is kept, and stored at the end.
    stores: bool,
    /// Bytes that may be kept for the slower ones once it is not.
    most_behind: usize,
    over: bool,
}

/// Why an answer is not stored though the policy would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// It is too large, or too much is on its way.
    TooLarge,
    /// It has another length than it said.
    Incomplete,
    /// The store did not let it in.
    Outside(Outside),
}

impl Lead {
    pub(crate) fn new(cache: &Arc<Cache>, key: &Arc<Key>, begun: u64, identity: Vec<u8>) -> Self {
        Self::over(cache, key, Fill::new(begun, identity))
    }

    /// The leader of a fill that has none.
    pub(super) fn over(cache: &Arc<Cache>, key: &Arc<Key>, fill: Arc<Fill>) -> Self {
        Self {
            cache: Arc::clone(cache),
            key: Arc::clone(key),
            fill,
            taken: 0,
            bytes: 0,
            stores: true,
            most_behind: BEHIND,
            over: false,
        }
    }

    pub(crate) const fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// The number of purges when its request was sent.
    pub fn begun(&self) -> u64 {
        self.fill.begun()
    }

    /// Bytes that the slowest of those who follow has taken; none where nobody follows.
    pub fn slowest(&self) -> Option<u64> {
        let state = self.fill.state();
        let places = state.places.iter().flatten();
        places.map(|place| place.next).min()
    }

    /// How many bytes it may be ahead of a client that is to get all of it: any number while all of the body is kept.
    pub fn ahead(&self) -> u64 {
        if self.stores {
            return u64::MAX;
        }
        ahead(&self.fill.state())
    }

    /// Waits until more of the body is wanted: always, while all of it is kept. What is not kept comes as fast as the slowest takes it
    /// of those who follow, the leader's own client being one of them, so that nobody loses any of it; but who takes next to nothing
    /// is not waited for for long. `now` is in milliseconds by a clock that never goes back; as time alone may make more wanted, it is
    /// to be asked again now and then.
    pub fn poll_wanted(&self, now: u64, cx: &Context<'_>) -> Poll<()> {
        if self.stores {
            return Poll::Ready(());
        }
        let mut state = self.fill.state();
        let fastest = state.places.iter().flatten().map(|place| place.next).max();
        let before = fastest.map_or(0, |fastest| self.bytes.saturating_sub(fastest));
        // So far behind nothing of what they have not taken is let go of yet.
        let behind = self.most_behind.saturating_sub(BEHIND / 2) as u64;
        if before < ahead(&state) && !state.waits_for_somebody(behind, now) {
            return Poll::Ready(());
        }
        state.leader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether what comes is neither kept nor taken by anybody.
    pub fn is_forsaken(&self) -> bool {
        !self.stores && self.fill.state().followers == 0
    }

    /// Whether all of the body is kept so far.
    pub const fn stores(&self) -> bool {
        self.stores
    }

    /// Bytes of the body so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Follows itself: the leader's own client is not to hold up the others.
    pub fn follow(&self) -> Option<Follower> {
        Follower::join(&self.cache, &self.key, &self.fill)
    }

    /// The key.
    pub const fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// The head is there, and the policy keeps it. `length` is that of the body, where it is known; `rules` names the response
    /// rules that passed it. False where it is too large to be stored: then it is over ([`Lead::give_up`]).
    pub fn begin(
        &mut self,
        kept: Kept,
        request: &RequestHead,
        length: Option<u64>,
        rules: u64,
        now: Time,
    ) -> bool {
        if length.is_some_and(|length| length > self.cache.memory().most() as u64) {
            self.give_up(Again::Everybody, now);
            return false;
        }
        let begun = Arc::new(Begun {
            selecting: kept.vary.selecting(request),
            head: kept.head,
            life: kept.life,
            vary: kept.vary,
            length,
            rules,
        });
        self.fill
            .change(|state| state.phase = Phase::Streaming(begun));
        true
    }

    /// The head is there of an answer of `length` bytes that is stored in slices, whoever fetches them: all who follow get it at once,
    /// and whoever asks from now on. None where it is not let in: then it is over ([`Lead::give_up`]).
    pub fn begin_in_slices(
        mut self,
        kept: Kept,
        request: &RequestHead,
        sliced: Sliced,
        length: u64,
        now: Time,
    ) -> Option<Arc<Entry>> {
        let begun = Begun {
            selecting: kept.vary.selecting(request),
            head: kept.head,
            life: kept.life,
            vary: kept.vary,
            length: Some(length),
            rules: 0,
        };
        let entry = Arc::new(self.entry(&begun, Body::in_slices(sliced, length)));
        let (cache, key) = (&self.cache, &self.key);
        let stored = cache
            .memory()
            .insert(key, Arc::clone(&entry), cache.purges());
        if stored.is_err() {
            self.give_up(Again::Everybody, now);
            return None;
        }
        cache.came(key, &entry, self.fill.begun());
        self.over = true;
        self.end(Phase::Resolved(Arc::clone(&entry)));
        Some(entry)
    }

    /// A part of the body is there.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.over {
            return;
        }
        self.bytes += bytes.len() as u64;
        if self.stores && !self.has_room(bytes.len()) {
            // From here on it only passes by. Who comes now fetches anew; who has not taken all of what is there has time to do so.
            self.stores = false;
            self.most_behind = BEHIND + self.fill.state().bytes;
            self.withdraw();
        }
        let (stores, most) = (self.stores, self.most_behind);
        let given_back = self.fill.change(|state| {
            if stores || state.followers > 0 {
                state.push(Piece::from(bytes));
                return if stores { 0 } else { state.keep(most) };
            }
            state.end += bytes.len() as u64;
            state.keep(0)
        });
        self.release(given_back);
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let fits = self.bytes <= self.cache.memory().most() as u64;
        let taken = fits && self.cache.take(self.key.zone, bytes);
        self.taken += if taken { bytes } else { 0 };
        taken
    }

    fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.taken);
        if bytes > 0 {
            self.taken -= bytes;
            self.cache.give_back(self.key.zone, bytes);
        }
    }

    /// All of the body is there: it is stored.
    ///
    /// # Errors
    /// [`NotStored`] says why it is not.
    pub fn finish(mut self) -> Result<Arc<Entry>, NotStored> {
        self.over = true;
        let phase = self.fill.state().phase.clone();
        let Phase::Streaming(begun) = phase else {
            self.end(Phase::Alone);
            return Err(NotStored::Incomplete);
        };
        if begun.length.is_some_and(|length| length != self.bytes) {
            self.end(Phase::Broken);
            return Err(NotStored::Incomplete);
        }
        if !self.stores {
            self.end(Phase::Whole(begun));
            return Err(NotStored::TooLarge);
        }
        let pieces: Vec<Piece> = {
            let state = self.fill.state();
            let pieces = state.pieces.iter();
            pieces.map(|(_, piece)| Arc::clone(piece)).collect()
        };
        let body = self.cache.body(self.key.zone, &pieces);
        let entry = Arc::new(self.entry(&begun, body.clone()));
        let (cache, key) = (&self.cache, &self.key);
        let stored = cache
            .memory()
            .insert(key, Arc::clone(&entry), cache.purges());
        if stored != Err(Outside::Purged) {
            cache.came(key, &entry, self.fill.begun());
        }
        // Who is slow goes on with what is stored, so that no byte is held twice.
        self.fill.change(|state| {
            state.pieces.clear();
            (state.end, state.bytes) = (0, 0);
            let pieces = body.pieces().iter();
            pieces.for_each(|piece| state.push(Arc::clone(piece)));
            state.body = Some(body);
        });
        // Stored first: who comes between finds it in either place.
        self.end(Phase::Whole(begun));
        match stored {
            Ok(()) => Ok(entry),
            Err(outside) => Err(NotStored::Outside(outside)),
        }
    }

    fn entry(&self, begun: &Begun, body: Body) -> Entry {
        let mut fields = seawall_model::Fields::default();
        begun.head.fill_fields(&mut fields);
        let key = &*self.key;
        let (zone, number) = (key.zone, self.fill.begun());
        let purges = self.cache.purges();
        let stamp = purges.stamp(zone, number, &key.host, &key.target, tags(&fields));
        Entry::new(
            begun.kept(),
            begun.selecting.clone(),
            body,
            stamp,
            begun.rules,
        )
    }

    /// What is stored was validated: it is the answer for all.
    pub fn resolve(mut self, entry: Arc<Entry>) {
        self.over = true;
        self.end(Phase::Resolved(entry));
    }

    /// The answer is not for all: everybody fetches for themselves. Those for whom the next one will likely be so too do not wait for it
    /// for a while ([`Refused::again`](crate::policy::Refused::again)).
    pub fn give_up(&mut self, again: Again, now: Time) {
        self.over = true;
        self.stores = false;
        let place = self.cache.place(&self.key);
        let hopeless = match again {
            Again::Nobody => None,
            Again::WithCredentials => Some(with_credentials(place.key)),
            Again::Everybody => Some(place.key),
        };
        if let Some(key) = hopeless
            && let Some(mut part) = self.cache.memory().part(place.url)
        {
            part.set_hopeless(key, Time(now.0 + HOPELESS_FOR));
        }
        self.end(Phase::Alone);
    }

    /// The origin failed, or answered with an error that is not for all but that all would get.
    pub fn fail(mut self, failure: Failure) {
        self.over = true;
        self.end(Phase::Failed(failure, None));
    }

    /// The origin failed, for this reason in a word, before it said anything. What was asked may be why: one of those who follow asks
    /// once more then, until so many have failed; `whoever`, it is nothing of the request's, and all who follow have failed now.
    pub fn fail_for_all(mut self, why: &'static str, whoever: bool) {
        let is_over = {
            let mut state = self.fill.state();
            state.failures = state.failures.saturating_add(1);
            let has_head = !matches!(state.phase, Phase::Waiting);
            !has_head && (whoever || state.failures >= MOST_FAILURES)
        };
        // Else it is as if the leader had died.
        if is_over {
            self.over = true;
            self.end(Phase::Failed(Failure::Unreachable, Some(why)));
        }
    }

    fn end(&mut self, phase: Phase) {
        self.withdraw();
        self.fill.change(|state| state.phase = phase);
        self.release(self.taken);
    }

    /// Nobody new joins.
    fn withdraw(&self) {
        let place = self.cache.place(&self.key);
        let Some(mut part) = self.cache.memory().part(place.url) else {
            return;
        };
        if let Some(fills) = part.fills.get_mut(&place.url) {
            fills.retain(|fill| !Arc::ptr_eq(fill, &self.fill));
            if fills.is_empty() {
                part.fills.remove(&place.url);
            }
        }
    }
}

/// How many bytes of a body that is not kept may be ahead of who takes it.
fn ahead(state: &State) -> u64 {
    match state.followers {
        0 | 1 => ALONE,
        _ => BEHIND as u64 / 2,
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (has_head, is_alone) = {
            let state = self.fill.state();
            let has_head = !matches!(state.phase, Phase::Waiting);
            (has_head, state.followers == 0)
        };
        match (has_head, is_alone) {
            (true, _) => self.end(Phase::Broken),
            (false, true) => self.end(Phase::Alone),
            // One of the followers takes over; who comes now may still follow.
            (false, false) => self.fill.change(|state| state.phase = Phase::Orphaned),
        }
    }
}

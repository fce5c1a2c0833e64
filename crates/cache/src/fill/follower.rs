//! Who waits for what another one fetches.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use seawall_model::RequestHead;

use super::{Begun, Fill, Lead, MOST_FOLLOWERS, Phase, Place, State};
use crate::cache::Cache;
use crate::key::Key;
use crate::memory::{Entry, Piece};
use crate::policy::{Failure, Vary};

/// Who waits.
#[derive(Debug)]
pub struct Follower {
    cache: Arc<Cache>,
    key: Arc<Key>,
    fill: Arc<Fill>,
    /// Its place among the wakers.
    place: usize,
    /// The offset of the byte that it gets next.
    next: u64,
}

/// What a follower is told.
#[derive(Debug)]
pub enum Told {
    /// The answer has begun, and is for this request: its pieces follow ([`Follower::poll_piece`]).
    Begun(Arc<Begun>),
    /// What is stored was validated.
    Entry(Arc<Entry>),
    /// The answer is not for all: this one must fetch for itself.
    Alone,
    /// The answer is for requests with other values of what it varies by, which is this.
    Others(Vary),
    /// The origin failed; why, in a word, where that is the answer for all who waited.
    Failed(Failure, Option<&'static str>),
    /// The leader died: this one fetches now, for the others too.
    Lead(Lead),
}

/// The answer breaks off: what was sent of it is not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Follower {
    /// Joins a fill; none where it has as many as it may.
    pub(crate) fn join(cache: &Arc<Cache>, key: &Arc<Key>, fill: &Arc<Fill>) -> Option<Self> {
        let mut state = fill.state();
        if state.followers >= MOST_FOLLOWERS || state.start() > 0 {
            return None;
        }
        state.followers += 1;
        let free = state.places.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            state.places.push(None);
            state.places.len() - 1
        });
        if let Some(free) = state.places.get_mut(place) {
            *free = Some(Place::default());
        }
        drop(state);
        Some(Self {
            cache: Arc::clone(cache),
            key: Arc::clone(key),
            fill: Arc::clone(fill),
            place,
            next: 0,
        })
    }

    /// Waits for the head of the answer, or for what comes in its place.
    pub fn poll_told(&mut self, request: &RequestHead, cx: &Context<'_>) -> Poll<Told> {
        let mut state = self.fill.state();
        let told = match &state.phase {
            Phase::Waiting => {
                self.wait(&mut state, cx);
                return Poll::Pending;
            }
            Phase::Streaming(begun) | Phase::Whole(begun) => Told::Begun(Arc::clone(begun)),
            Phase::Resolved(entry) => Told::Entry(Arc::clone(entry)),
            Phase::Alone | Phase::Broken => Told::Alone,
            Phase::Failed(failure, why) => Told::Failed(*failure, *why),
            Phase::Orphaned => {
                state.phase = Phase::Waiting;
                drop(state);
                let fill = Arc::clone(&self.fill);
                return Poll::Ready(Told::Lead(Lead::over(&self.cache, &self.key, fill)));
            }
        };
        drop(state);
        // It was asked for by another request, which may have had other values of what it varies by.
        Poll::Ready(match told {
            Told::Begun(begun) if begun.vary.selecting(request) != begun.selecting => {
                Told::Others(begun.vary.clone())
            }
            Told::Entry(entry) if entry.vary.selecting(request) != entry.selecting => {
                Told::Others(entry.vary.clone())
            }
            told => told,
        })
    }

    /// Goes on with this byte of the body; not with one before that which came last.
    pub fn seek(&mut self, offset: u64) {
        if offset <= self.next {
            return;
        }
        self.next = offset;
        let mut state = self.fill.state();
        let leader = self.moved(&mut state);
        drop(state);
        leader.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next piece of the body, and tells where in it what comes next begins; none at the end.
    ///
    /// # Errors
    /// [`Broken`] where the answer broke off, or went on without this one, which was too slow.
    pub fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<Option<(Piece, usize)>, Broken>> {
        let mut state = self.fill.state();
        if let Some((piece, at)) = state.at(self.next) {
            self.next += (piece.len() - at) as u64;
            let leader = self.moved(&mut state);
            drop(state);
            leader.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Some((piece, at))));
        }
        match state.phase {
            Phase::Whole(_) if self.next == state.end => Poll::Ready(Ok(None)),
            Phase::Streaming(_) if self.next >= state.start() => {
                self.wait(&mut state, cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(Broken)),
        }
    }

    /// Notes what it takes next; the leader may go on, if it waits.
    fn moved(&self, state: &mut State) -> Option<Waker> {
        if let Some(Some(place)) = state.places.get_mut(self.place) {
            place.next = self.next;
        }
        state.leader.take()
    }

    fn wait(&self, state: &mut State, cx: &Context<'_>) {
        if let Some(Some(place)) = state.places.get_mut(self.place) {
            match &mut place.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Whoever is to take over must not wait for this one.
        self.fill.change(|state| {
            state.followers = state.followers.saturating_sub(1);
            if let Some(place) = state.places.get_mut(self.place) {
                *place = None;
            }
        });
    }
}

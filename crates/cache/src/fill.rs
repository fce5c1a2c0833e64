//! One answer of an origin for many requests, while it still comes.
//!
//! Who asks first leads: it fetches, and shows what comes. Who asks for the same meanwhile follows: it gets the head as soon as it is
//! there, and each piece of the body as it comes. As soon as the head says that the answer is not for all, everybody fetches for
//! themselves, at once; and for a while nobody waits for that key (hit-for-miss). A leader that dies before it has a head is succeeded
//! by a follower; one that dies later breaks the answer off for all, because nobody can tell what was to come.
//!
//! No executor is known here: who waits leaves a waker.

mod follower;
mod lead;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub use follower::{Broken, Follower, Told};
pub use lead::{Lead, NotStored};

use crate::head::Head;
use crate::memory::{Body, Entry, Piece};
use crate::policy::{Failure, Kept, Life, Vary};

/// The most that follow one fill; more fetch for themselves.
pub const MOST_FOLLOWERS: usize = 4_096;

/// How many bytes of a body that is too large to be stored are kept for followers that are slower than the leader.
pub const BEHIND: usize = 1024 * 1024;

/// For how many milliseconds the others wait for one who takes next to nothing of a body that is not kept. What a system holds for a
/// client leaves in lumps, which on a slow line are seconds apart.
pub const WAITED_FOR: u64 = 5_000;

/// Who takes fewer bytes in that time (16 KiB in a second) takes next to nothing.
pub const NEXT_TO_NOTHING: u64 = 16 * 1024 * WAITED_FOR / 1_000;

/// How many requests for the same, one after the other, the origin may fail before the failure is that of all who wait: the first may
/// have been one that it would not have from anybody.
const MOST_FAILURES: u8 = 3;

/// For how many milliseconds nobody waits for a key whose answer was not for all.
pub const HOPELESS_FOR: u64 = 10_000;

/// Under which number a key is hopeless for whoever asks for it with `Authorization`. Others may well get an answer that is for all.
pub(crate) const fn with_credentials(key: u64) -> u64 {
    !key.rotate_left(32)
}

/// An answer whose head is there.
#[derive(Debug)]
pub struct Begun {
    /// Its head, as it is stored.
    pub head: Head,
    /// Its time.
    pub life: Life,
    /// What it varies by.
    pub vary: Vary,
    /// What the leader's request had of that.
    pub selecting: Box<[u8]>,
    /// The length of its body, where it is known.
    pub length: Option<u64>,
    /// Which response rules passed it.
    pub rules: u64,
}

impl Begun {
    fn kept(&self) -> Kept {
        Kept {
            head: self.head.clone(),
            life: self.life,
            vary: self.vary.clone(),
        }
    }
}

/// What of an answer is there.
#[derive(Clone, Debug)]
enum Phase {
    /// Nothing.
    Waiting,
    /// Nothing, and nobody fetches it.
    Orphaned,
    /// The head, and some of the body.
    Streaming(Arc<Begun>),
    /// All of it.
    Whole(Arc<Begun>),
    /// It broke off.
    Broken,
    /// What is stored was validated.
    Resolved(Arc<Entry>),
    /// It is not for all.
    Alone,
    /// The origin failed; why, in a word, where that is for all.
    Failed(Failure, Option<&'static str>),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// What is kept of the body, each piece with its offset.
    pieces: VecDeque<(u64, Piece)>,
    /// The body, once all of it is there: it counts for as long as anybody takes its pieces.
    body: Option<Body>,
    /// The length of the body so far.
    end: u64,
    /// Bytes in `pieces`.
    bytes: usize,
    /// One place for each follower; none is free.
    places: Vec<Option<Place>>,
    followers: usize,
    /// While the leader waits for more of the body to be wanted.
    leader: Option<Waker>,
    /// Leaders that the origin failed.
    failures: u8,
}

impl State {
    /// The offset of the first byte that is kept.
    fn start(&self) -> u64 {
        self.pieces.front().map_or(self.end, |(offset, _)| *offset)
    }

    fn push(&mut self, piece: Piece) {
        let length = piece.len();
        self.pieces.push_back((self.end, piece));
        self.end += length as u64;
        self.bytes += length;
    }

    /// Whether somebody for whom the others wait is so many bytes behind what has come, or more.
    fn waits_for_somebody(&mut self, behind: u64, now: u64) -> bool {
        let end = self.end;
        let mut waits = false;
        for place in self.places.iter_mut().flatten() {
            waits |= end.saturating_sub(place.next) >= behind && place.is_waited_for(now);
        }
        waits
    }

    /// Keeps what somebody has not taken yet, of that the last bytes only; tells how many are gone.
    fn keep(&mut self, most: usize) -> usize {
        let before = self.bytes;
        let places = self.places.iter().flatten();
        let needed = places.map(|place| place.next).min().unwrap_or(u64::MAX);
        while let Some((offset, piece)) = self.pieces.front()
            && (self.bytes > most || offset + piece.len() as u64 <= needed)
        {
            self.bytes -= piece.len();
            self.pieces.pop_front();
        }
        before - self.bytes
    }

    /// The piece with this byte, and where in it that is; none where the byte is not there (yet).
    fn at(&self, offset: u64) -> Option<(Piece, usize)> {
        let behind = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, piece) = self.pieces.get(behind.checked_sub(1)?)?;
        let at = (offset - start) as usize;
        (at < piece.len()).then(|| (Arc::clone(piece), at))
    }
}

/// The place of a follower.
#[derive(Debug, Default)]
struct Place {
    /// While it waits.
    waker: Option<Waker>,
    /// The offset of the byte that it takes next.
    next: u64,
    /// Since when it is watched, because others wait for it, and what it took next then.
    watched: Option<(u64, u64)>,
    /// Nobody waits for it any more.
    is_left: bool,
}

impl Place {
    /// Whether the others wait for it, which is far behind: not once it has taken next to nothing for a while.
    fn is_waited_for(&mut self, now: u64) -> bool {
        if self.is_left {
            return false;
        }
        let (since, next) = *self.watched.get_or_insert((now, self.next));
        if now.saturating_sub(since) >= WAITED_FOR {
            // It had more than that to take all the while, however long that was: it began that far behind.
            self.is_left = self.next.saturating_sub(next) < NEXT_TO_NOTHING;
            self.watched = Some((now, self.next));
        }
        !self.is_left
    }
}

/// What leader and followers share.
#[derive(Debug)]
pub(crate) struct Fill {
    begun: u64,
    identity: Box<[u8]>,
    state: Mutex<State>,
}

impl Fill {
    fn new(begun: u64, identity: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            begun,
            identity: identity.into(),
            state: Mutex::new(State {
                phase: Phase::Waiting,
                pieces: VecDeque::new(),
                body: None,
                end: 0,
                bytes: 0,
                places: Vec::new(),
                followers: 0,
                leader: None,
                failures: 0,
            }),
        })
    }

    /// The number of purges when its request was sent.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// For whom it is: the key, and what is known of what it varies by.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes all who wait once the lock is free again.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let leader = state.leader.take();
        let waiting = state.places.iter_mut().flatten();
        let waiting = waiting.filter_map(|place| place.waker.take());
        let woken: Vec<Waker> = waiting.chain(leader).collect();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        changed
    }
}

#[cfg(test)]
mod tests;

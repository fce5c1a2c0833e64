//! The blame page: what each worker thread runs, written where another process can read it when this one has died.
//!
//! A page is a run of atomic words: a head, and 128 bytes for each thread. What is written last is what was run when the process
//! ended, for whatever reason. Written with single stores, read without a lock: a reader may see half of a change, which matters
//! little for who looks at a dead process, and at a hung one nothing changes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// "seawall" and the layout's version.
const MAGIC: u64 = u64::from_le_bytes(*b"seawal\x00\x01");
/// Words of the head.
const HEAD: usize = 16;
/// Words of a thread.
const SLOT: usize = 16;

const AT_MAGIC: usize = 0;
const AT_GENERATION: usize = 1;
const AT_SLOTS: usize = 2;
const AT_DYING: usize = 3;
const AT_CAUSE: usize = 4;

const HEARTBEAT: usize = 0;
const ZONE: usize = 1;
const VERSION: usize = 2;
const STAGE: usize = 3;
const RAY: usize = 4;

/// A stage's number when none runs: the numbers below are places in the slice of all stages.
pub const NONE: u64 = 1 << 32;

thread_local! {
    static OWN: Cell<Option<(usize, &'static [AtomicU64])>> = const { Cell::new(None) };
}

/// What a thread runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The zone's id; 0 for none.
    pub zone: u64,
    /// The zone's version, as a number.
    pub version: u64,
    /// The stage's place among all stages, or [`NONE`].
    pub stage: u64,
    /// The request's ray.
    pub ray: u64,
}

/// A page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p>(&'p [AtomicU64]);

impl<'p> Page<'p> {
    /// The page in these words.
    pub fn of(words: &'p [AtomicU64]) -> Self {
        Self(words)
    }

    /// A process begins to write it: for so many threads, as many as there is room for.
    pub fn begin(self, threads: usize, generation: u64) {
        let room = self.0.len().saturating_sub(HEAD) / SLOT;
        self.put(AT_GENERATION, generation);
        self.put(AT_SLOTS, threads.min(room) as u64);
        self.put(AT_MAGIC, MAGIC);
    }

    /// How many threads write it; 0 when nobody does yet.
    pub fn slots(self) -> usize {
        if self.get(AT_MAGIC) != MAGIC {
            return 0;
        }
        let room = self.0.len().saturating_sub(HEAD) / SLOT;
        usize::try_from(self.get(AT_SLOTS)).map_or(0, |slots| slots.min(room))
    }

    /// What a thread runs; none when it runs nothing that is known.
    pub fn read(self, slot: usize) -> Option<Runs> {
        if slot >= self.slots() {
            return None;
        }
        let at = |word| self.get(HEAD + slot * SLOT + word);
        let runs = Runs {
            zone: at(ZONE),
            version: at(VERSION),
            stage: at(STAGE),
            ray: at(RAY),
        };
        (runs.zone != 0).then_some(runs)
    }

    /// The process dies of `cause`, in this thread. May be called in a signal handler.
    pub fn mark_dying(self, slot: Option<usize>, cause: u64) {
        self.put(AT_CAUSE, cause);
        self.put(AT_DYING, slot.map_or(0, |slot| slot as u64 + 1));
    }

    /// What the thread ran in which the process died; none when it did not say, or ran nothing that is known.
    pub fn culprit(self) -> Option<Runs> {
        let slot = usize::try_from(self.get(AT_DYING)).ok()?.checked_sub(1)?;
        self.read(slot)
    }

    /// What the process died of, as it said itself: a signal's number, or 0.
    pub fn cause(self) -> u64 {
        self.get(AT_CAUSE)
    }

    /// Threads that said for the last time more than `after` milliseconds before `now` that they run; who never said so is not
    /// among them. Both are of the monotonic clock, which is the same in all processes.
    pub fn stale(self, now: u64, after: u64) -> impl Iterator<Item = usize> + 'p {
        (0..self.slots()).filter(move |slot| {
            let said = self.get(HEAD + slot * SLOT + HEARTBEAT);
            said != 0 && said.saturating_add(after) < now
        })
    }

    fn get(self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Relaxed))
    }

    fn put(self, word: usize, value: u64) {
        if let Some(word) = self.0.get(word) {
            word.store(value, Relaxed);
        }
    }
}

/// From now on this thread writes what it runs into this place of a page.
pub fn take_slot(words: &'static [AtomicU64], slot: usize) {
    let begin = HEAD + slot * SLOT;
    if let Some(own) = words.get(begin..begin + SLOT) {
        OWN.set(Some((slot, own)));
    }
}

/// This thread's place; none when it has none. May be called in a signal handler.
pub fn own_slot() -> Option<usize> {
    OWN.get().map(|(slot, _)| slot)
}

#[inline]
fn write(word: usize, value: u64) {
    if let Some((_, own)) = OWN.get()
        && let Some(word) = own.get(word)
    {
        word.store(value, Relaxed);
    }
}

/// This thread runs, at `now` milliseconds of the monotonic clock.
pub fn heartbeat(now: u64) {
    write(HEARTBEAT, now);
}

/// This thread runs a request.
#[inline]
pub fn enter(runs: Runs) {
    if let Some((_, own)) = OWN.get()
        && let [_, zone, version, stage, ray, ..] = own
    {
        version.store(runs.version, Relaxed);
        ray.store(runs.ray, Relaxed);
        stage.store(runs.stage, Relaxed);
        zone.store(runs.zone, Relaxed);
    }
}

/// This thread runs none.
#[inline]
pub fn leave() {
    write(ZONE, 0);
}

/// This thread runs this stage of its request.
#[inline]
pub fn stage(place: u64) {
    write(STAGE, place);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(threads: usize) -> &'static [AtomicU64] {
        let words: Vec<AtomicU64> = (0..HEAD + threads * SLOT)
            .map(|_| AtomicU64::new(0))
            .collect();
        words.leak()
    }

    #[test]
    fn what_a_thread_runs_can_be_read_by_another() {
        let words = page(2);
        assert_eq!(Page::of(words).slots(), 0);
        Page::of(words).begin(2, 7);
        let runs = Runs {
            zone: 1,
            version: 2,
            stage: NONE,
            ray: 3,
        };
        std::thread::spawn(move || {
            enter(runs);
            assert_eq!(own_slot(), None, "who has no place writes nowhere");
            take_slot(words, 1);
            heartbeat(1_000);
            enter(runs);
            stage(4);
            Page::of(words).mark_dying(own_slot(), 11);
        })
        .join()
        .unwrap();
        let page = Page::of(words);
        assert_eq!((page.slots(), page.cause()), (2, 11));
        assert_eq!(page.read(0), None);
        assert_eq!(page.culprit(), Some(Runs { stage: 4, ..runs }));
        assert_eq!(page.stale(4_000, 3_000).count(), 0);
        assert_eq!(page.stale(4_001, 3_000).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_page_of_noughts_or_garbage_blames_nobody() {
        let words = page(1);
        for garbage in [0, 1, u64::MAX] {
            for word in words {
                word.store(garbage, Relaxed);
            }
            let page = Page::of(words);
            assert_eq!(page.slots(), 0);
            assert_eq!(page.culprit(), None);
            assert_eq!(page.read(0), None);
        }
        Page::of(words).begin(1_000, 1);
        assert_eq!(Page::of(words).slots(), 1);
        take_slot(words, 5);
        assert_eq!(own_slot(), None);
    }
}

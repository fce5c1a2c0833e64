//! The blame page: what each thread runs at this moment, where another process can read it once this one has died or hangs.
//!
//! A page is a run of atomic words, usually mapped from a file in memory that a supervisor holds too: a head of 128 bytes, then
//! 128 bytes, a pair of cache lines, for each worker thread, then as many for the thread that compiles. A thread finds its
//! own place in a thread-local; without one all writing here does nothing. What was written last is what ran when the process ended.
//!
//! Written with single stores, read without a lock. Each number by itself is whole, but a reader may see half of a change of
//! several: this matters little for who looks at a dead process, and at a thread that hangs nothing changes. A page is
//! written by a process that may be broken: whatever stands in it, reading it does not fail.
//!
//! Not here: mapping, signal handlers, and what becomes of who is to blame.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// `swblame`, and the version of this layout.
const MAGIC: u64 = u64::from_le_bytes(*b"swblame\x01");
/// Words of the head, and of each place.
const LINE: usize = 16;

// The head.
const AT_MAGIC: usize = 0;
const AT_PID: usize = 1;
const AT_GENERATION: usize = 2;
const AT_SLOTS: usize = 3;
const AT_CAUSE: usize = 4;
/// The place that died, plus one; 0 for none.
const AT_DYING: usize = 5;

/// Place of no stage: nothing of a zone's owner is asked just now, the edge itself works on the request.
pub const NO_STAGE: u64 = 0xff;

/// What kind of work a thread does, beside which stage it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Phase {
    /// Between stages: reading, relaying, writing.
    Between = 0,
    /// A stage judges a head.
    Judge = 1,
    /// A stage changes a head.
    Transform = 2,
    /// A stage looks at a body.
    Body = 3,
    /// A stage reviews a response.
    Response = 4,
    /// One of our endpoints answers.
    Endpoint = 5,
    /// A zone is compiled.
    Compile = 6,
}

impl Phase {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Between, "between stages"),
        (Self::Judge, "judge"),
        (Self::Transform, "transform"),
        (Self::Body, "body"),
        (Self::Response, "response"),
        (Self::Endpoint, "endpoint"),
        (Self::Compile, "compile"),
    ];

    /// The stage's number in a page: its place in the slice of all stages, with the phase above it.
    pub const fn with(self, place: u8) -> u64 {
        ((self as u64) << 8) | place as u64
    }

    /// The number in a page where no stage is asked.
    pub const fn alone(self) -> u64 {
        ((self as u64) << 8) | NO_STAGE
    }

    /// The phase, and the stage's place, of a number in a page; none for a number that nobody wrote.
    pub fn of(number: u64) -> Option<(Self, Option<u8>)> {
        let phase = usize::try_from(number >> 8).ok()?;
        let (phase, _) = Self::ALL.get(phase)?;
        let place = number & 0xff;
        Some((*phase, (place != NO_STAGE).then_some(place as u8)))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.get(self as usize);
        named.map_or("", |(_, name)| name)
    }
}

/// What a thread runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The zone's stable id; 0 for none.
    pub zone: u64,
    /// The zone's version: the number that its 12 hexadecimal digits are; 0 for none. It depends on nothing but what the
    /// zone's owner wrote, the zone's name included.
    pub version: u64,
    /// The version of what all zones share, by the same measure; 0 for none.
    pub platform: u64,
    /// Stage and phase: see [`Phase::of`].
    pub stage: u64,
    /// The request's ray; 0 where there is no request.
    pub ray: u64,
}

/// Who is to blame: what the thread ran in which the process died.
pub type Culprit = Runs;

/// A thread's place in the page.
type Line = [AtomicU64; LINE];

const HEARTBEAT: usize = 0;
const ZONE: usize = 1;
const VERSION: usize = 2;
const PLATFORM: usize = 3;
const STAGE: usize = 4;
const RAY: usize = 5;

/// Words that a page for so many worker threads needs, eight bytes each.
pub const fn words(threads: usize) -> usize {
    (threads + 2) * LINE
}

/// A page in memory of this process alone, for the rest of its life: for a process without a supervisor, and for tests.
pub fn leaked(threads: usize) -> &'static [AtomicU64] {
    let all: Vec<AtomicU64> = (0..words(threads)).map(|_| AtomicU64::new(0)).collect();
    all.leak()
}

/// A page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p>(&'p [AtomicU64]);

impl<'p> Page<'p> {
    /// The page in these words, see [`words`]. Words beyond its last place are left alone.
    pub const fn of(words: &'p [AtomicU64]) -> Self {
        Self(words)
    }

    /// This process begins to write it: `threads` worker threads, as many as there is room for beside the thread that
    /// compiles. What another process left in it is forgotten. `generation` is the supervisor's count of workers.
    pub fn begin(self, threads: usize, generation: u64) {
        self.put(AT_MAGIC, 0);
        let threads = threads.min(self.room());
        for word in self.0.iter().take(words(threads)) {
            word.store(0, Relaxed);
        }
        self.put(AT_PID, u64::from(std::process::id()));
        self.put(AT_GENERATION, generation);
        self.put(AT_SLOTS, threads as u64);
        // Last: a page with this is whole.
        if let Some(word) = self.0.get(AT_MAGIC) {
            word.store(MAGIC, Release);
        }
    }

    /// Worker threads that there is room for.
    fn room(self) -> usize {
        (self.0.len() / LINE).saturating_sub(2)
    }

    /// Worker threads that write it, with the places from 0; 0 when nobody does yet.
    pub fn slots(self) -> usize {
        if self.get(AT_MAGIC) != MAGIC {
            return 0;
        }
        let slots = usize::try_from(self.get(AT_SLOTS)).unwrap_or(usize::MAX);
        slots.min(self.room())
    }

    /// The place of the thread that compiles: the one behind those of the workers.
    pub fn compile_slot(self) -> usize {
        self.slots()
    }

    /// The process that writes it; 0 when nobody does yet.
    pub fn pid(self) -> u64 {
        self.get(AT_PID)
    }

    /// The supervisor's count of workers, as [`begin`](Self::begin) was told.
    pub fn generation(self) -> u64 {
        self.get(AT_GENERATION)
    }

    /// What a thread runs; none when it runs nothing of any zone, or when there is no such place.
    pub fn read(self, slot: usize) -> Option<Runs> {
        if self.get(AT_MAGIC) != MAGIC || slot > self.slots() {
            return None;
        }
        let runs = seen(|word| self.0.get(place(slot, word)));
        (runs.zone != 0).then_some(runs)
    }

    /// The process dies of `cause`, in the thread of this place; none for a thread that has no place. Async-signal-safe.
    pub fn mark_dying(self, slot: Option<usize>, cause: u64) {
        self.put(AT_CAUSE, cause);
        self.put(AT_DYING, slot.map_or(0, |slot| slot as u64 + 1));
    }

    /// What the thread ran in which the process died; none when no thread said that it does, or ran nothing of any zone.
    pub fn culprit(self) -> Option<Culprit> {
        let slot = usize::try_from(self.get(AT_DYING)).ok()?.checked_sub(1)?;
        self.read(slot)
    }

    /// What the process died of, as it said itself: a signal's number; 0 when it did not say.
    pub fn cause(self) -> u64 {
        self.get(AT_CAUSE)
    }

    /// When a thread said last that it runs, in milliseconds of the monotonic clock; 0 when it never did.
    pub fn heartbeat(self, slot: usize) -> u64 {
        self.get(place(slot, HEARTBEAT))
    }

    /// Worker threads that said for the last time more than `after` milliseconds before `now` that they run. Who never said so is
    /// not among them. Both are of the monotonic clock, which is the same in all processes of a machine.
    pub fn stale(self, now: u64, after: u64) -> impl Iterator<Item = usize> + 'p {
        (0..self.slots()).filter(move |slot| {
            let said = self.heartbeat(*slot);
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

#[inline]
fn write(own: &Line, runs: &Runs) {
    own[VERSION].store(runs.version, Relaxed);
    own[PLATFORM].store(runs.platform, Relaxed);
    own[STAGE].store(runs.stage, Relaxed);
    own[RAY].store(runs.ray, Relaxed);
    // Last: with it the place says something.
    own[ZONE].store(runs.zone, Release);
}

fn seen<'p>(word: impl Fn(usize) -> Option<&'p AtomicU64>) -> Runs {
    let at = |nth| word(nth).map_or(0, |word| word.load(Relaxed));
    Runs {
        zone: at(ZONE),
        version: at(VERSION),
        platform: at(PLATFORM),
        stage: at(STAGE),
        ray: at(RAY),
    }
}

/// Where a word of a thread's place is.
fn place(slot: usize, word: usize) -> usize {
    slot.saturating_add(1)
        .saturating_mul(LINE)
        .saturating_add(word)
}

thread_local! {
    /// Without a destructor and made at compile time: reading it is a load, in a signal handler too.
    static OWN: Cell<Option<&'static Line>> = const { Cell::new(None) };
    static SLOT: Cell<usize> = const { Cell::new(0) };
}

/// From now on this thread writes what it runs into this place of a page; nowhere, if the page has no such place.
pub fn take_slot(words: &'static [AtomicU64], slot: usize) {
    let (lines, _) = words.as_chunks::<LINE>();
    OWN.set(lines.get(slot.saturating_add(1)));
    SLOT.set(slot);
}

/// This thread's place; none when it has none. Async-signal-safe.
pub fn own_slot() -> Option<usize> {
    OWN.get().map(|_| SLOT.get())
}

/// This thread runs, at `now` milliseconds of the monotonic clock.
pub fn heartbeat(now: u64) {
    if let Some(own) = OWN.get() {
        own[HEARTBEAT].store(now, Relaxed);
    }
}

/// The work that a thread entered, until this is dropped, also by a panic that unwinds.
#[must_use]
pub struct Within {
    own: Option<&'static Line>,
    /// Of this thread alone.
    here: PhantomData<*const ()>,
}

impl Drop for Within {
    #[inline]
    fn drop(&mut self) {
        if let Some(own) = self.own {
            own[ZONE].store(0, Release);
        }
    }
}

/// This thread runs something of a zone. Not nested: what is entered later stands in the page alone, and leaving it leaves all.
#[inline]
pub fn enter(runs: &Runs) -> Within {
    let own = OWN.get();
    if let Some(own) = own {
        write(own, runs);
    }
    Within {
        own,
        here: PhantomData,
    }
}

/// Something else that a thread does for a while, in the middle of what it entered, until this is dropped.
#[must_use]
pub struct Meanwhile {
    before: Runs,
    within: Within,
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        if let Some(own) = self.within.own {
            write(own, &self.before);
        }
        // What was entered before is left later, by who entered it.
        self.within.own = None;
    }
}

/// This thread does something of another zone or version in between: judges by a newer configuration what an older one let in.
pub fn meanwhile(runs: &Runs) -> Meanwhile {
    let before = OWN.get().map(|own| seen(|word| own.get(word)));
    Meanwhile {
        before: before.unwrap_or_default(),
        within: enter(runs),
    }
}

/// This thread asks this stage now, or none: a number of [`Phase::with`] or [`Phase::alone`].
#[inline]
pub fn stage(number: u64) {
    if let Some(own) = OWN.get() {
        own[STAGE].store(number, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Runs = Runs {
        zone: 1,
        version: 2,
        platform: 3,
        stage: Phase::Between.alone(),
        ray: 5,
    };

    #[test]
    fn what_a_thread_runs_can_be_read_by_another() {
        let words = leaked(2);
        assert_eq!(Page::of(words).slots(), 0);
        assert_eq!(Page::of(words).pid(), 0);
        Page::of(words).begin(2, 7);
        std::thread::spawn(move || {
            drop(enter(&RUNS));
            assert_eq!(own_slot(), None, "who has no place writes nowhere");
            take_slot(words, 1);
            assert_eq!(own_slot(), Some(1));
            heartbeat(1_000);
            let within = enter(&RUNS);
            stage(Phase::Judge.with(4));
            let page = Page::of(words);
            page.mark_dying(own_slot(), 11);
            let stage = Phase::Judge.with(4);
            assert_eq!(page.culprit(), Some(Runs { stage, ..RUNS }));
            assert_eq!(page.read(1), page.culprit());
            drop(within);
            assert_eq!(page.read(1), None, "what is over is nobody's fault");
        })
        .join()
        .unwrap();
        let page = Page::of(words);
        assert_eq!((page.slots(), page.cause(), page.generation()), (2, 11, 7));
        assert_eq!(page.pid(), u64::from(std::process::id()));
        assert_eq!(page.read(0), None);
        assert_eq!(page.heartbeat(1), 1_000);
        assert_eq!(page.stale(4_000, 3_000).count(), 0);
        assert_eq!(page.stale(4_001, 3_000).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_compiles_has_a_place_behind_the_workers() {
        let words = leaked(1);
        let page = Page::of(words);
        page.begin(1, 1);
        assert_eq!(page.compile_slot(), 1);
        std::thread::spawn(move || {
            take_slot(words, Page::of(words).compile_slot());
            let stage = Phase::Compile.alone();
            let _within = enter(&Runs { stage, ..RUNS });
            page.mark_dying(own_slot(), 6);
            let culprit = page.culprit().unwrap();
            assert_eq!(Phase::of(culprit.stage), Some((Phase::Compile, None)));
        })
        .join()
        .unwrap();
        assert_eq!(
            page.stale(u64::MAX, 0).count(),
            0,
            "it never says that it runs"
        );
        assert_eq!(page.read(2), None);
    }

    #[test]
    fn what_is_done_meanwhile_is_told_and_then_what_was_before() {
        let words = leaked(1);
        let page = Page::of(words);
        page.begin(1, 1);
        std::thread::spawn(move || {
            take_slot(words, 0);
            let within = enter(&RUNS);
            let other = Runs { zone: 9, ..RUNS };
            let meanwhile = meanwhile(&other);
            assert_eq!(page.read(0), Some(other));
            drop(meanwhile);
            assert_eq!(page.read(0), Some(RUNS));
            drop(within);
            assert_eq!(page.read(0), None);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_panic_that_unwinds_leaves_nothing_behind() {
        let words = leaked(1);
        let page = Page::of(words);
        page.begin(1, 1);
        let thread = std::thread::spawn(move || {
            take_slot(words, 0);
            let _within = enter(&RUNS);
            assert!(page.read(0).is_some());
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(thread.join().is_err());
        assert_eq!(page.read(0), None);
    }

    #[test]
    fn a_page_of_noughts_or_garbage_blames_nobody() {
        let words = leaked(1);
        for garbage in [0, 1, MAGIC, u64::MAX] {
            for length in 0..words.len() {
                let page = Page::of(&words[..length]);
                for word in page.0 {
                    word.store(garbage, Relaxed);
                }
                // What it says does not matter, only that it can be read.
                let _ = (page.culprit(), page.read(0), page.read(usize::MAX - 1));
                assert!(page.slots() <= 1);
                assert!(page.stale(u64::MAX, u64::MAX).count() <= 1);
            }
        }
        for word in words {
            word.store(u64::MAX, Relaxed);
        }
        assert_eq!(Page::of(words).culprit(), None);
        Page::of(words).begin(1_000, 1);
        assert_eq!(Page::of(words).slots(), 1, "as many as there is room for");
        assert_eq!(
            Page::of(words).read(0),
            None,
            "what stood in it is forgotten"
        );
        take_slot(words, 2);
        assert_eq!(own_slot(), None);
        take_slot(words, usize::MAX);
        assert_eq!(own_slot(), None);
    }

    #[test]
    fn a_stages_number_tells_phase_and_place() {
        for (phase, name) in Phase::ALL {
            assert_eq!(Phase::of(phase.alone()), Some((phase, None)));
            assert_eq!(Phase::of(phase.with(31)), Some((phase, Some(31))));
            assert_eq!(phase.name(), name);
        }
        assert_eq!(Phase::of(u64::MAX), None);
        assert_eq!(Phase::of(7 << 8), None);
    }
}

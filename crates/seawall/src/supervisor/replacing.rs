//! When a worker that serves is replaced: what is counted of it, and how long the next try waits. A hang is one death, however often its
//! replacement cannot start. A limit of memory that is too low for what is served is no reason to have workers come and go for ever. Pure:
//! time comes in.
//!
//! Not here: what is looked at, and what follows from a death.

use std::time::Duration;

use tokio::time::Instant;

use super::judge::Kind;

/// The first wait after a replacement that came to nothing, and the longest: meanwhile sites are served by the threads that move.
const WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Whose memory is beyond the limit before it has served for so long had it from the beginning.
const BEGINNING: Duration = Duration::from_secs(3);
/// Who is beyond it before it has served for so long has the same trouble as the one before.
const SOON: Duration = Duration::from_secs(60);
/// From so many in a row on the limit is too low, and the next one waits.
const MANY: u32 = 3;
/// The first such wait, and the longest: the worker serves meanwhile.
const WAIT_FOR_MEMORY: Duration = Duration::from_secs(2);
const LONGEST_WAIT_FOR_MEMORY: Duration = Duration::from_secs(60);

/// Why a worker that serves is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One of its threads does not move.
    Hang,
    /// It holds too much memory.
    Memory,
}

/// What was counted of the worker that serves, and when it may be replaced.
#[derive(Debug, Default)]
pub struct Replacing {
    counted: Option<(i32, Cause)>,
    /// Replacements that came to nothing.
    failed: u32,
    not_before: Option<Instant>,
}

impl Replacing {
    /// Whether one may be tried.
    pub fn may(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// This worker is replaced; whether that was not known yet.
    pub fn is_news(&mut self, pid: i32, cause: Cause) -> bool {
        self.counted.replace((pid, cause)) != Some((pid, cause))
    }

    /// No replacement could be started, or it cannot serve.
    pub fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + doubled(WAIT, self.failed, LONGEST_WAIT));
        self.failed = self.failed.saturating_add(1);
    }

    /// The worker that serves has nothing of this any more: what comes is news.
    pub fn is_over(&mut self, cause: Cause) {
        if self.counted.is_some_and(|(_, counted)| counted == cause) {
            *self = Self::default();
        }
    }
}

/// Workers that are beyond the limit of memory, one after the other.
#[derive(Debug, Default)]
pub struct Limit {
    /// The limit, in bytes.
    most: u64,
    /// So many in a row were replaced for it.
    replaced: u32,
    not_before: Option<Instant>,
    /// The one that serves and is beyond it: what it held when that was seen, and of what kind that is.
    beyond: Option<(i32, u64, Kind)>,
}

impl Limit {
    /// This worker holds so much, with this limit, after it has served for so long; `machine` is what a worker may have of the machine.
    /// Whether it is to be replaced, and as what that counts.
    pub fn look(
        &mut self,
        (pid, held): (i32, u64),
        (most, machine): (u64, u64),
        served: Duration,
        now: Instant,
    ) -> Option<Kind> {
        if self.most != most {
            *self = Self {
                most,
                ..Self::default()
            };
        }
        if held <= most {
            self.beyond = None;
            // Those before it were beyond it in less time, or by something that is over.
            if served > BEGINNING && self.replaced < MANY || served > SOON {
                self.replaced = 0;
            }
            return None;
        }
        let known = self.beyond.filter(|(known, ..)| *known == pid);
        let (_, first, kind) = known.unwrap_or_else(|| {
            if served > SOON {
                (self.replaced, self.not_before) = (0, None);
            }
            (pid, held, Kind::of_memory(served < BEGINNING))
        });
        self.beyond = Some((pid, first, kind));
        let waits = self.not_before.is_some_and(|at| now < at);
        (!waits || held > grown(first, kind, machine)).then_some(kind)
    }

    /// Another one starts for it. How long the one after that waits, where the limit is too low.
    pub fn replaced(&mut self, now: Instant) -> Option<Duration> {
        self.replaced = self.replaced.saturating_add(1);
        let more = self.replaced.checked_sub(MANY)?;
        let wait = doubled(WAIT_FOR_MEMORY, more, LONGEST_WAIT_FOR_MEMORY);
        self.not_before = Some(now + wait);
        Some(wait)
    }

    /// The limit, in bytes, where it is too low for what is served.
    pub fn too_low(&self) -> Option<u64> {
        (self.replaced >= MANY).then_some(self.most)
    }
}

/// Who holds more than this grows: that one is replaced without a wait. Two workers have place beside each other only as far as the
/// machine goes.
fn grown(first: u64, kind: Kind, machine: u64) -> u64 {
    let room = match kind {
        // It is as large as that by what it serves; clients come on top.
        Kind::Memory => first,
        _ => first / 4,
    };
    first
        .saturating_add(room)
        .min(machine)
        .max(first.saturating_add(first / 8))
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    (first * (1 << times.min(8))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: u64 = 1_000 * MIB;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_hang_counts_once_however_often_its_replacement_cannot_start() {
        let (mut replacing, mut now) = (Replacing::default(), Instant::now());
        let mut waits = Vec::new();
        assert!(replacing.is_news(7, Cause::Hang));
        for _ in 0..5 {
            assert!(replacing.may(now));
            assert!(!replacing.is_news(7, Cause::Hang));
            replacing.failed(now);
            let begun = now;
            while !replacing.may(now) {
                now += Duration::from_millis(250);
            }
            waits.push((now - begun).as_millis());
            // That it holds little memory changes nothing.
            replacing.is_over(Cause::Memory);
        }
        assert_eq!(waits, [250, 500, 1_000, 1_000, 1_000]);
        assert!(replacing.is_news(8, Cause::Hang), "another worker");
        // It moves again; should it hang once more, that is another hang, and tried at once.
        replacing.failed(now);
        replacing.is_over(Cause::Hang);
        assert!(replacing.may(now) && replacing.is_news(8, Cause::Hang));
    }

    /// A worker that serves, one look a second: after how many seconds it was replaced, as what, and what the next one waits.
    fn replaced(
        limit: &mut Limit,
        pid: i32,
        now: &mut Instant,
        held: impl Fn(u64) -> u64,
    ) -> (u64, Kind, Option<Duration>) {
        for second in 1.. {
            *now += seconds(1);
            let holds = (pid, held(second) * MIB);
            if let Some(kind) = limit.look(holds, (100 * MIB, MACHINE), seconds(second), *now) {
                return (second, kind, limit.replaced(*now));
            }
        }
        panic!("it serves on");
    }

    #[test]
    fn a_limit_below_what_every_worker_takes_has_them_replaced_ever_more_seldom() {
        let (mut limit, mut now) = (Limit::default(), Instant::now());
        let mut after = Vec::new();
        for pid in 1..=9 {
            // It takes a little more when clients come.
            let (second, kind, wait) = replaced(&mut limit, pid, &mut now, |second| 150 + second);
            assert_eq!(kind, Kind::Memory, "{pid}: as it was when it began");
            assert_eq!(wait.is_some(), pid >= 3);
            assert_eq!(limit.too_low().is_some(), pid >= 3);
            after.push(second);
        }
        assert_eq!(after, [1, 1, 1, 2, 4, 8, 16, 32, 60]);
        // A limit that is high enough is seen at once.
        let holds = (10, 150 * MIB);
        assert_eq!(
            limit.look(holds, (200 * MIB, MACHINE), seconds(1), now),
            None
        );
        assert_eq!(limit.too_low(), None);
    }

    #[test]
    fn who_grows_is_replaced_at_once_and_a_leak_that_takes_long_is_never_a_limit_that_is_too_low() {
        let (mut limit, mut now) = (Limit::default(), Instant::now());
        // From the beginning, and then on and on.
        for pid in 1..=8 {
            let (second, ..) = replaced(&mut limit, pid, &mut now, |second| 150 * second);
            assert!(second <= 3, "{pid}: {second}");
        }
        let mut limit = Limit::default();
        for pid in 1..=8 {
            let (second, kind, wait) =
                replaced(&mut limit, pid, &mut now, |second| 50 + second / 2);
            assert_eq!((second, kind, wait), (102, Kind::Grew, None));
        }
        // So fast that the next one is there within the minute: by a quarter at most.
        let mut limit = Limit::default();
        for pid in 1..=8 {
            let (second, kind, _) = replaced(&mut limit, pid, &mut now, |second| 40 + 10 * second);
            assert!((7..=10).contains(&second), "{pid}: {second}");
            assert_eq!(kind, Kind::Grew);
        }
    }

    #[test]
    fn one_that_stays_below_the_limit_ends_the_row() {
        let (mut limit, mut now) = (Limit::default(), Instant::now());
        for pid in 1..=2 {
            replaced(&mut limit, pid, &mut now, |_| 150);
        }
        let least = (3, 50 * MIB);
        assert_eq!(
            limit.look(least, (100 * MIB, MACHINE), seconds(4), now),
            None
        );
        let (.., wait) = replaced(&mut limit, 3, &mut now, |second| 50 + 10 * second);
        assert_eq!(wait, None);
        assert_eq!(limit.too_low(), None);
    }
}

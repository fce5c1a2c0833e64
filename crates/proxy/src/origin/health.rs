//! What becomes known of a member's health: from probes sent to it (active) and from the requests themselves (passive).
//!
//! A probe's verdict holds until the next one; failures of requests eject a member for a while only, and the longer the
//! more often. Neither can empty a pool: an ejection that would take the last member, or more than half of them, does
//! not begin, and is said; and `balance` uses all members again when probes find more than half unhealthy.
//!
//! Not here: sending probes, and deciding what a good answer to one is.

use std::sync::atomic::Ordering;

use super::pool::{Member, Pool};

/// Thresholds of active health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Good probes in a row that make an unhealthy member healthy; at least 1.
    pub healthy_after: u32,
    /// Bad probes in a row that make a healthy member unhealthy; at least 1.
    pub unhealthy_after: u32,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// What is learnt from the requests themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    /// Failures in a row that eject a member; 0 never ejects.
    pub failures: u32,
    /// How long the first ejection lasts, in milliseconds. The following last 2, 4 and then 6 times as long.
    pub eject_for_ms: u64,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            failures: 5,
            eject_for_ms: 10_000,
        }
    }
}

/// What came of a request that a member was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response head came, with this status. 502, 503 and 504 are failures: a gateway's word that nobody is behind it.
    /// 500 is not: the origin works, and one broken page must not take all the others away.
    Answered(u16),
    /// No connection: refused, unreachable, not in time, or the TLS handshake failed.
    ConnectFailed,
    /// The connection was closed or reset before the response head was whole.
    Reset,
    /// No response head in time.
    Timeout,
    /// What came is not HTTP.
    BadResponse,
    /// The client went away first: it says nothing about the member.
    Abandoned,
}

impl Outcome {
    /// Whether it counts against the member.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Answered(status) => matches!(status, 502..=504),
            Self::ConnectFailed | Self::Reset | Self::Timeout | Self::BadResponse => true,
            Self::Abandoned => false,
        }
    }
}

/// What a failure led to, to be logged and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// The member gets no requests for so many milliseconds.
    Began {
        /// How long.
        for_ms: u64,
    },
    /// It would be ejected, but is the last one in service.
    SparedLast,
    /// It would be ejected, but then more than half of the pool were out.
    SparedHalf,
}

/// A change of what probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is healthy again.
    Recovered,
    /// It is unhealthy now.
    Failed,
}

impl Pool {
    /// Takes note of what came of a request. Returns an ejection that began with it, or was called for and spared (said
    /// once in as many failures as eject).
    pub fn report(&self, index: u16, outcome: Outcome, now: u64) -> Option<Ejection> {
        let member = self.member(index)?;
        let in_a_row = match outcome {
            Outcome::Abandoned => return None,
            _ if outcome.is_failure() => self.failed(member, now),
            _ => {
                self.succeeded(member, now);
                None
            }
        };
        in_a_row.or_else(|| self.compare(index, outcome, now))
    }

    /// Takes note of a probe. Returns a change, if it made one. A pool without active checks takes no note.
    pub fn probe_result(&self, index: u16, good: bool) -> Option<Transition> {
        let member = self.member(index)?;
        let thresholds = self.settings.active?;
        if good == member.healthy.load(Ordering::Relaxed) {
            member.contrary_probes.store(0, Ordering::Relaxed);
            return None;
        }
        let contrary = member
            .contrary_probes
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let needed = if good {
            thresholds.healthy_after
        } else {
            thresholds.unhealthy_after
        };
        if contrary < needed {
            return None;
        }
        member.contrary_probes.store(0, Ordering::Relaxed);
        // Only one thread turns it, and only that one tells.
        member
            .healthy
            .compare_exchange(!good, good, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        if !good {
            return Some(Transition::Failed);
        }
        // It was away and is back: what requests found before that is over.
        member.consecutive_failures.store(0, Ordering::Relaxed);
        member.ejected_until.store(0, Ordering::Relaxed);
        self.begin_anew(member);
        Some(Transition::Recovered)
    }

    /// Almost every request comes by here, and almost every one of them only reads.
    fn succeeded(&self, member: &Member, now: u64) {
        if member.consecutive_failures.load(Ordering::Relaxed) != 0 {
            member.consecutive_failures.store(0, Ordering::Relaxed);
        }
        let ejections = member.ejections.load(Ordering::Relaxed);
        if ejections != 0 {
            // The next ejection is short again only after it has been back for as long as it was out.
            let was_out_for = self.ejection_ms(ejections - 1);
            let until = member.ejected_until.load(Ordering::Relaxed);
            let good_for = was_out_for.saturating_add(self.comparing_ms());
            if until.saturating_add(good_for) <= now {
                member.ejections.store(0, Ordering::Relaxed);
            }
        }
    }

    #[cold]
    fn failed(&self, member: &Member, now: u64) -> Option<Ejection> {
        let threshold = self.settings.passive.failures;
        let failures = member
            .consecutive_failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if threshold == 0 || failures < threshold {
            return None;
        }
        let until = member.ejected_until.load(Ordering::Relaxed);
        if until > now {
            return None; // A straggler: the request was under way when the ejection began.
        }
        if let Some(spared) = self.spares(member, now) {
            return failures.is_multiple_of(threshold).then_some(spared);
        }
        // The count of failures stays: the first failure after its return ejects it again, unless a success came first.
        self.eject(member, now)
    }

    /// Ejects a member, unless it is ejected already or cannot be spared.
    pub(super) fn eject(&self, member: &Member, now: u64) -> Option<Ejection> {
        let until = member.ejected_until.load(Ordering::Relaxed);
        if until > now {
            return None;
        }
        if let Some(spared) = self.spares(member, now) {
            return Some(spared);
        }
        let ejections = member.ejections.load(Ordering::Relaxed);
        let for_ms = self.ejection_ms(ejections);
        let next = now.saturating_add(for_ms);
        member
            .ejected_until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        member
            .ejections
            .store(ejections.saturating_add(1), Ordering::Relaxed);
        self.returns_at(next);
        Some(Ejection::Began { for_ms })
    }

    /// Whether the pool cannot do without this member. Two threads that ask for two members at once may both hear no;
    /// `balance` counts again on every pick.
    fn spares(&self, member: &Member, now: u64) -> Option<Ejection> {
        if self.settings.dispensable {
            return None;
        }
        let (drawable, out) = self.count_out(now);
        let out = if self.is_out(member, now) {
            out
        } else {
            out + 1
        };
        if out >= drawable {
            Some(Ejection::SparedLast)
        } else if out * 2 > drawable {
            Some(Ejection::SparedHalf)
        } else {
            None
        }
    }

    /// How long an ejection lasts that so many preceded.
    fn ejection_ms(&self, ejections: u32) -> u64 {
        let times = 1u64.checked_shl(ejections).map_or(6, |times| times.min(6));
        self.settings.passive.eject_for_ms.saturating_mul(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Members, Settings, Tried};

    fn pool(count: usize, active: Option<Active>) -> Pool {
        let ids: Vec<_> = (0..count)
            .map(|index| format!("http://{index}.test:80"))
            .collect();
        let passive = Passive {
            failures: 5,
            eject_for_ms: 1_000,
        };
        let settings = Settings {
            active,
            passive,
            ..Settings::default()
        };
        Pool::new(
            "zone",
            ids.iter().map(|id| (id.as_str(), 1)),
            settings,
            &Members::new(),
        )
    }

    fn fail(pool: &Pool, index: u16, times: usize, now: u64) -> Vec<Ejection> {
        (0..times)
            .filter_map(|_| pool.report(index, Outcome::Reset, now))
            .collect()
    }

    fn picks(pool: &Pool, now: u64) -> Vec<u16> {
        let randoms = (0..200u64).map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut seen: Vec<_> = randoms
            .map(|random| pool.pick(now, random, &Tried::default()).unwrap().index)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_in_between_starts_anew() {
        let pool = pool(3, None);
        assert_eq!(fail(&pool, 0, 4, 10), []);
        assert_eq!(pool.report(0, Outcome::Answered(200), 10), None);
        assert_eq!(fail(&pool, 0, 4, 10), []);
        assert_eq!(pool.report(0, Outcome::Abandoned, 10), None);
        assert_eq!(fail(&pool, 0, 1, 10), [Ejection::Began { for_ms: 1_000 }]);
        assert_eq!(picks(&pool, 11), [1, 2]);
        assert_eq!(picks(&pool, 1_010), [0, 1, 2]);
    }

    #[test]
    fn what_counts_against_a_member() {
        for bad in [
            Outcome::ConnectFailed,
            Outcome::Reset,
            Outcome::Timeout,
            Outcome::BadResponse,
        ] {
            assert!(bad.is_failure());
        }
        for status in [502, 503, 504] {
            assert!(Outcome::Answered(status).is_failure());
        }
        for status in [200, 304, 404, 429, 500, 501, 505] {
            assert!(!Outcome::Answered(status).is_failure());
        }
        assert!(!Outcome::Abandoned.is_failure());
    }

    #[test]
    fn ejections_grow_to_six_times_and_shrink_after_a_good_while() {
        let pool = pool(3, None);
        let mut now = 10;
        let mut lengths = Vec::new();
        fail(&pool, 0, 4, now);
        for _ in 0..5 {
            // One failure after its return is enough.
            let Some(Ejection::Began { for_ms }) = pool.report(0, Outcome::Timeout, now) else {
                panic!("ejected")
            };
            // Stragglers change nothing.
            assert_eq!(fail(&pool, 0, 20, now + 1), []);
            lengths.push(for_ms);
            now += for_ms;
        }
        assert_eq!(lengths, [1_000, 2_000, 4_000, 6_000, 6_000]);
        pool.report(0, Outcome::Answered(200), now);
        assert_eq!(fail(&pool, 0, 5, now), [Ejection::Began { for_ms: 6_000 }]);
        now += 6_000;
        pool.report(0, Outcome::Answered(200), now + 6_000);
        assert_eq!(
            fail(&pool, 0, 5, now + 6_000),
            [Ejection::Began { for_ms: 1_000 }]
        );
    }

    #[test]
    fn the_last_member_and_the_second_half_stay() {
        let one = pool(1, None);
        assert_eq!(fail(&one, 0, 10, 10), [Ejection::SparedLast; 2]);
        let two = pool(2, None);
        assert_eq!(fail(&two, 0, 5, 10).len(), 1);
        assert_eq!(fail(&two, 1, 5, 10), [Ejection::SparedLast]);
        assert_eq!(picks(&two, 11), [1]);
        let five = pool(5, None);
        assert!(matches!(
            fail(&five, 0, 5, 10)[..],
            [Ejection::Began { .. }]
        ));
        assert!(matches!(
            fail(&five, 1, 5, 10)[..],
            [Ejection::Began { .. }]
        ));
        assert_eq!(fail(&five, 2, 10, 10), [Ejection::SparedHalf; 2]);
        assert_eq!(picks(&five, 11), [2, 3, 4]);
        assert!(!five.describe(11).panicking);
    }

    #[test]
    fn probes_turn_a_member_after_their_thresholds() {
        let pool = pool(3, Some(Active::default()));
        assert_eq!(picks(&pool, 0), [0, 1, 2], "a start waits for no probe");
        let results = [
            false, false, true, false, false, false, true, false, true, true,
        ];
        let changes: Vec<_> = results
            .into_iter()
            .map(|good| pool.probe_result(1, good))
            .collect();
        let mut expected = [None; 10];
        expected[5] = Some(Transition::Failed);
        expected[9] = Some(Transition::Recovered);
        assert_eq!(changes, expected);
        assert_eq!(pool.probe_result(9, true), None);
    }

    #[test]
    fn a_member_that_recovers_is_not_ejected_any_more() {
        let pool = pool(
            3,
            Some(Active {
                healthy_after: 1,
                unhealthy_after: 1,
            }),
        );
        fail(&pool, 0, 5, 10);
        pool.probe_result(0, true);
        assert_eq!(
            picks(&pool, 11),
            [1, 2],
            "a good probe alone does not outweigh failing requests"
        );
        pool.probe_result(0, false);
        assert_eq!(pool.probe_result(0, true), Some(Transition::Recovered));
        assert_eq!(picks(&pool, 11), [0, 1, 2]);
    }

    #[test]
    fn without_probes_an_old_verdict_does_not_count() {
        let members = Members::new();
        let origins = [("a", 1), ("b", 1), ("c", 1)];
        let probed = Settings {
            active: Some(Active {
                healthy_after: 1,
                unhealthy_after: 1,
            }),
            ..Settings::default()
        };
        let old = Pool::new("zone", origins, probed, &members);
        old.probe_result(0, false);
        assert_eq!(picks(&old, 0), [1, 2]);
        let new = Pool::new("zone", origins, Settings::default(), &members);
        assert_eq!(picks(&new, 0), [0, 1, 2]);
        assert_eq!(new.probe_result(1, false), None);
    }

    #[test]
    fn probes_and_failures_together_bring_panic_and_recovery() {
        let pool = pool(
            4,
            Some(Active {
                healthy_after: 1,
                unhealthy_after: 1,
            }),
        );
        fail(&pool, 0, 5, 10);
        fail(&pool, 1, 5, 10);
        assert_eq!(picks(&pool, 11), [2, 3]);
        pool.probe_result(2, false);
        assert_eq!(picks(&pool, 11), [0, 1, 2, 3]);
        assert!(pool.describe(11).panicking && pool.desperate_picks() > 0);
        // The ejections end: one of four is out.
        assert_eq!(picks(&pool, 1_010), [0, 1, 3]);
        assert!(!pool.describe(1_010).panicking);
    }
}

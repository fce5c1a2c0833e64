//! When a failed request is tried again: only where that is harmless, and never so often that it becomes a storm.
//!
//! Harmless is a repetition of which the origin cannot tell that it is one: an idempotent method (RFC 9110 §9.2.2), or
//! any method as long as the origin has not seen a byte. It must also be possible: nothing of a response has reached
//! the client, and no part of the body is gone.
//!
//! The budget keeps a failing pool from being hit harder because it fails: retries are at most a share of the recent
//! requests, plus a few, so that a quiet site can retry at all. Both are counted with a half-life of five seconds.
//!
//! Not here: which member gets the next attempt (`balance`), and the request's total time, which the exchange watches.

use std::sync::atomic::{AtomicU64, Ordering};

use seawall_model::Method;

use super::health::Outcome;
use super::pool::Pool;

/// After so many milliseconds, what was counted counts half.
const HALF_LIFE_MS: u64 = 5_000;

/// When a failed request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Retries per 100 requests.
    pub budget_percent: u32,
    /// Retries per second that are granted on top of it.
    pub minimum_per_second: u32,
    /// How often one request is given to an origin, the first time included.
    pub attempts: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            budget_percent: 20,
            minimum_per_second: 3,
            attempts: 3,
        }
    }
}

/// A failed attempt, as the exchange saw it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The request's method.
    pub method: Method,
    /// How many attempts there were, this one included.
    pub made: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// A byte of the request was handed to a connection, so the origin may have seen it.
    pub request_sent: bool,
    /// Bytes of the body were taken from the client, and are not held to be sent once more.
    pub body_spent: bool,
    /// A byte of the response was handed to the client.
    pub response_started: bool,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again. The budget is charged already.
    Yes,
    /// Do not, and why.
    No(Refusal),
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The origin answered, or the client went away: nothing to mend. An origin's own 503 is its answer.
    NotAFailure,
    /// The client has seen a part of a response.
    ResponseStarted,
    /// A part of the request's body is gone.
    BodySpent,
    /// The origin may have acted on it, and would act twice.
    NotIdempotent,
    /// It was tried as often as is allowed.
    Attempts,
    /// Too many requests are being retried already.
    Budget,
}

impl Refusal {
    /// One word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAFailure => "not_a_failure",
            Self::ResponseStarted => "response_started",
            Self::BodySpent => "body_spent",
            Self::NotIdempotent => "not_idempotent",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
        }
    }
}

impl Pool {
    /// Whether a failed attempt is followed by another; charges the budget when it is.
    pub fn may_retry(&self, attempt: &Attempt, now: u64) -> Retry {
        let settings = &self.settings.retry;
        if let Some(refusal) = attempt.refusal(settings.attempts) {
            return Retry::No(refusal);
        }
        if self.budget().take(settings, now) {
            Retry::Yes
        } else {
            Retry::No(Refusal::Budget)
        }
    }
}

impl Attempt {
    fn refusal(&self, attempts: u32) -> Option<Refusal> {
        if matches!(self.outcome, Outcome::Answered(_) | Outcome::Abandoned) {
            Some(Refusal::NotAFailure)
        } else if self.response_started {
            Some(Refusal::ResponseStarted)
        } else if self.body_spent {
            Some(Refusal::BodySpent)
        } else if self.request_sent && !self.method.is_idempotent() {
            Some(Refusal::NotIdempotent)
        } else if self.made >= attempts {
            Some(Refusal::Attempts)
        } else {
            None
        }
    }
}

/// Recent requests and recent retries of one pool, counted by all threads.
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: Fading,
    retries: Fading,
}

impl RetryBudget {
    /// Counts a request; once each, not once per attempt.
    pub fn count_request(&self, now: u64) {
        self.requests.add(now);
    }

    /// Recent requests: those of the last five seconds, half of those of the five before, and so on.
    pub fn requests(&self, now: u64) -> u32 {
        self.requests.get(now)
    }

    /// Recent retries, counted like the requests.
    pub fn retries(&self, now: u64) -> u32 {
        self.retries.get(now)
    }

    fn take(&self, settings: &RetrySettings, now: u64) -> bool {
        let share = u64::from(self.requests.get(now)) * u64::from(settings.budget_percent) / 100;
        // Of a full count, half fades with each half-life: what comes free then is the minimum of that time.
        let minimum = u64::from(settings.minimum_per_second) * (2 * HALF_LIFE_MS / 1_000);
        self.retries.add_below(share.saturating_add(minimum), now)
    }
}

/// A count that halves with every half-life: the number of half-lives since the start in the upper 32 bits, the count
/// in the lower, so that both change in one step and no thread waits for another.
#[derive(Debug, Default)]
struct Fading(AtomicU64);

impl Fading {
    fn get(&self, now: u64) -> u32 {
        count_of(faded(self.0.load(Ordering::Relaxed), now))
    }

    fn add(&self, now: u64) {
        let held = self.0.load(Ordering::Relaxed);
        let current = faded(held, now);
        if current == held && count_of(held) < u32::MAX / 2 {
            // The usual case, one instruction. Should it fade in between, the one is added to what faded.
            self.0.fetch_add(1, Ordering::Relaxed);
        } else {
            self.add_below(u64::from(u32::MAX / 2), now);
        }
    }

    /// Adds one if the count is below `bound`, exactly, whatever other threads do.
    fn add_below(&self, bound: u64, now: u64) -> bool {
        let mut held = self.0.load(Ordering::Relaxed);
        loop {
            let current = faded(held, now);
            if u64::from(count_of(current)) >= bound.min(u64::from(u32::MAX / 2)) {
                return false;
            }
            match self.0.compare_exchange_weak(
                held,
                current + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(newer) => held = newer,
            }
        }
    }
}

/// What is left at `now` of a packed count. Clocks of threads may differ by a little: what is ahead has not faded.
fn faded(packed: u64, now: u64) -> u64 {
    let (then, half_lives) = (packed >> 32, (now / HALF_LIFE_MS) & u64::from(u32::MAX));
    match half_lives.checked_sub(then) {
        None | Some(0) => packed,
        Some(passed) => {
            let left = u32::try_from(passed)
                .ok()
                .and_then(|passed| count_of(packed).checked_shr(passed));
            (half_lives << 32) | u64::from(left.unwrap_or(0))
        }
    }
}

fn count_of(packed: u64) -> u32 {
    packed as u32
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::origin::{Members, Settings};

    fn pool() -> Pool {
        Pool::new(
            "zone",
            [("a", 1), ("b", 1)],
            Settings::default(),
            &Members::new(),
        )
    }

    const FAILED: Attempt = Attempt {
        method: Method::Get,
        made: 1,
        outcome: Outcome::Reset,
        request_sent: true,
        body_spent: false,
        response_started: false,
    };

    fn refusal(attempt: Attempt) -> Option<Refusal> {
        match pool().may_retry(&attempt, 0) {
            Retry::Yes => None,
            Retry::No(refusal) => Some(refusal),
        }
    }

    #[test]
    fn idempotent_methods_only_once_the_origin_may_have_seen_them() {
        use Method::*;
        for method in [Get, Head, Put, Delete, Options, Trace] {
            assert_eq!(refusal(Attempt { method, ..FAILED }), None, "{method:?}");
        }
        for method in [Post, Patch, Connect, Other] {
            assert_eq!(
                refusal(Attempt { method, ..FAILED }),
                Some(Refusal::NotIdempotent),
                "{method:?}"
            );
            let unseen = Attempt {
                method,
                request_sent: false,
                ..FAILED
            };
            assert_eq!(refusal(unseen), None, "{method:?}");
            assert_eq!(
                refusal(Attempt {
                    outcome: Outcome::ConnectFailed,
                    ..unseen
                }),
                None,
                "{method:?}"
            );
        }
    }

    #[test]
    fn never_what_cannot_be_taken_back() {
        let started = Attempt {
            response_started: true,
            ..FAILED
        };
        assert_eq!(refusal(started), Some(Refusal::ResponseStarted));
        let spent = Attempt {
            body_spent: true,
            request_sent: false,
            ..FAILED
        };
        assert_eq!(refusal(spent), Some(Refusal::BodySpent));
        assert_eq!(refusal(Attempt { made: 2, ..FAILED }), None);
        assert_eq!(
            refusal(Attempt { made: 3, ..FAILED }),
            Some(Refusal::Attempts)
        );
    }

    #[test]
    fn an_answer_is_an_answer() {
        for outcome in [
            Outcome::Answered(200),
            Outcome::Answered(503),
            Outcome::Abandoned,
        ] {
            assert_eq!(
                refusal(Attempt { outcome, ..FAILED }),
                Some(Refusal::NotAFailure)
            );
        }
        for outcome in [
            Outcome::ConnectFailed,
            Outcome::Timeout,
            Outcome::BadResponse,
        ] {
            assert_eq!(refusal(Attempt { outcome, ..FAILED }), None);
        }
    }

    /// Plays requests that all fail, each with as many attempts as it gets; returns requests and attempts.
    fn storm(pool: &Pool, per_second: u64, seconds: u64) -> (u64, u64) {
        let (mut requests, mut attempts) = (0, 0);
        for step in 0..per_second * seconds {
            let now = step * 1_000 / per_second;
            pool.budget().count_request(now);
            requests += 1;
            let mut made = 1;
            while pool.may_retry(&Attempt { made, ..FAILED }, now) == Retry::Yes {
                made += 1;
            }
            attempts += u64::from(made);
        }
        (requests, attempts)
    }

    #[test]
    fn a_pool_that_fails_altogether_sees_no_storm() {
        for per_second in [10, 100, 2_000] {
            let (requests, attempts) = storm(&pool(), per_second, 60);
            // 20 % and 3 a second; ten seconds' worth of the latter at the start.
            let bound = requests + requests / 5 + 3 * (60 + 10);
            assert!(
                attempts <= bound,
                "{per_second}/s: {attempts} attempts for {requests}, bound {bound}"
            );
            let granted = (attempts - requests) as f64 / requests as f64;
            assert!(
                granted > 0.15,
                "{per_second}/s: the budget is there to be used, {granted}"
            );
        }
    }

    #[test]
    fn a_quiet_site_can_retry_and_an_old_rush_grants_nothing() {
        let pool = pool();
        let budget = pool.budget();
        budget.count_request(0);
        assert_eq!(pool.may_retry(&FAILED, 0), Retry::Yes);
        (0..10_000).for_each(|_| budget.count_request(1_000));
        assert!(budget.requests(1_000) > 10_000);
        assert_eq!(budget.requests(6_000), 5_000);
        assert_eq!(budget.requests(100_000), 0);
        let granted = (0..1_000)
            .filter(|_| pool.may_retry(&FAILED, 100_000) == Retry::Yes)
            .count();
        assert_eq!(granted, 30);
    }

    #[test]
    fn without_a_share_and_a_minimum_nothing_is_retried() {
        let retry = RetrySettings {
            budget_percent: 0,
            minimum_per_second: 0,
            attempts: 3,
        };
        let settings = Settings {
            retry,
            ..Settings::default()
        };
        let pool = Pool::new("zone", [("a", 1)], settings, &Members::new());
        pool.budget().count_request(0);
        assert_eq!(pool.may_retry(&FAILED, 0), Retry::No(Refusal::Budget));
    }

    #[test]
    fn the_budget_is_exact_among_threads() {
        let pool = &pool();
        let granted = &AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for _ in 0..5_000 {
                        pool.budget().count_request(4_999);
                        if pool.may_retry(&FAILED, 4_999) == Retry::Yes {
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let granted = granted.load(Ordering::Relaxed);
        assert_eq!(pool.budget().requests(4_999), 20_000);
        assert_eq!(pool.budget().retries(4_999), granted);
        assert!(granted <= 4_030 && granted > 3_000, "{granted}");
    }

    #[test]
    fn clocks_that_differ_and_long_silence_do_no_harm() {
        let fading = Fading::default();
        fading.add(20_000);
        fading.add(19_000);
        assert_eq!(fading.get(20_000), 2);
        assert_eq!(fading.get(u64::MAX), 0);
        fading.add(u64::MAX);
        assert!(fading.get(u64::MAX) >= 1);
    }
}

//! Members that fail more often than the others: found by their success rates, ejected like those that fail in a row.
//!
//! Failures in a row are blind to a member that fails every third request. Compared with its peers it shows: when its rate lies
//! so many standard deviations below the mean of all (as Envoy's outlier detection has it), it is ejected. One member of *n* is
//! never more than √(n−1) deviations away from the mean, so that fewer than five are not judged; and five points below the mean
//! at least, because where nothing fails the smallest difference is many deviations. Every 5xx counts here: what is wrong with
//! all members puts nobody below the mean.
//!
//! One member at most in an interval: the rates of the others are compared anew without it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::health::{Ejection, Outcome};
use super::pool::Pool;

/// Fewer members than these are not compared.
const MEMBERS: usize = 5;

/// So far below the mean at least, as a part of one.
const POINTS: f64 = 0.05;

/// When a member is an outlier; part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// So many hundredths of a standard deviation below the mean; 0 judges nobody.
    pub deviation_percent: u32,
    /// The time in which successes are counted, in milliseconds.
    pub interval_ms: u64,
    /// Requests in that time below which a rate says nothing.
    pub requests: u32,
    /// The share of the members that may be out so, of which one always may.
    pub most_percent: u32,
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            deviation_percent: 190,
            interval_ms: 10_000,
            requests: 100,
            most_percent: 10,
        }
    }
}

/// A member's successes in the interval that runs.
#[derive(Debug, Default)]
pub(super) struct Rate {
    all: AtomicU32,
    good: AtomicU32,
}

impl Rate {
    /// The rate, if there were requests enough; the next interval begins.
    fn take(&self, least: u32) -> Option<f64> {
        let all = self.all.swap(0, Ordering::Relaxed);
        let good = self.good.swap(0, Ordering::Relaxed).min(all);
        (all > 0 && all >= least).then(|| f64::from(good) / f64::from(all))
    }
}

impl Pool {
    /// Counts what came of a request; judges all members when the interval is over.
    pub(super) fn compare(&self, index: u16, outcome: Outcome, now: u64) -> Option<Ejection> {
        let settings = self.settings.outliers;
        if settings.deviation_percent == 0 || self.slots.len() < MEMBERS {
            return None;
        }
        let rate = &self.member(index)?.rate;
        rate.all.fetch_add(1, Ordering::Relaxed);
        let good = match outcome {
            Outcome::Answered(status) => status < 500,
            outcome => !outcome.is_failure(),
        };
        if good {
            rate.good.fetch_add(1, Ordering::Relaxed);
        }
        let due = self.tally.judge_at.load(Ordering::Relaxed);
        if now < due {
            return None;
        }
        let next = now.saturating_add(settings.interval_ms);
        let ours =
            self.tally
                .judge_at
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        // The very first request only begins the interval.
        if ours.is_err() || due == 0 {
            return None;
        }
        self.judge(&settings, now)
    }

    /// How long it takes at most until a member that is back was compared again, over a whole interval; 0 if none is.
    pub(super) fn comparing_ms(&self) -> u64 {
        let settings = self.settings.outliers;
        match settings.deviation_percent > 0 && self.slots.len() >= MEMBERS {
            true => settings.interval_ms.saturating_mul(2),
            false => 0,
        }
    }

    #[cold]
    fn judge(&self, settings: &Outliers, now: u64) -> Option<Ejection> {
        let rates = self.slots.iter().filter(|slot| slot.weight > 0);
        let rates = rates.filter_map(|slot| {
            let rate = slot.member.rate.take(settings.requests)?;
            (!self.is_out(&slot.member, now)).then_some((slot, rate))
        });
        let rates: Vec<_> = rates.collect();
        if rates.len() < MEMBERS {
            return None;
        }
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let squares = rates.iter().map(|(_, rate)| (rate - mean) * (rate - mean));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let allowed = deviation * f64::from(settings.deviation_percent) / 100.0;
        let least = mean - allowed.max(POINTS);
        let (worst, rate) = rates
            .iter()
            .min_by(|(_, one), (_, other)| one.total_cmp(other))?;
        if *rate >= least {
            return None;
        }
        let (drawable, out) = self.count_out(now);
        if out > 0 && (out + 1) * 100 > drawable * settings.most_percent as usize {
            return None;
        }
        self.eject(&worst.member, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Members, Passive, Settings, Tried};

    fn pool(count: usize, outliers: Outliers) -> Pool {
        let ids: Vec<_> = (0..count).map(|n| format!("http://{n}.test")).collect();
        let settings = Settings {
            passive: Passive {
                failures: 0,
                eject_for_ms: 1_000,
            },
            outliers,
            ..Settings::default()
        };
        let origins = ids.iter().map(|id| (id.as_str(), 1));
        Pool::new("zone", origins, settings, &Members::new())
    }

    /// One interval in which each member fails so many of 200 requests; what came of its end.
    fn interval(pool: &Pool, failures: &[usize], from: u64) -> Option<Ejection> {
        let mut ejection = None;
        for (index, failures) in (0u16..).zip(failures) {
            for nth in 0..200 {
                // Spread out: never in a row.
                let fails = (nth * failures) / 200 != ((nth + 1) * failures) / 200;
                let outcome = Outcome::Answered(if fails { 500 } else { 200 });
                ejection = ejection.or(pool.report(index, outcome, from));
            }
        }
        ejection
    }

    fn end(pool: &Pool, now: u64) -> Option<Ejection> {
        pool.report(4, Outcome::Answered(200), now)
    }

    #[test]
    fn one_that_fails_more_often_than_its_peers_is_ejected_for_longer_each_time() {
        let pool = pool(5, Outliers::default());
        let mut now = 5;
        let mut lengths = Vec::new();
        for _ in 0..4 {
            assert_eq!(interval(&pool, &[70, 2, 0, 1, 2], now), None);
            now += 10_000;
            let Some(Ejection::Began { for_ms }) = end(&pool, now) else {
                panic!("not ejected")
            };
            lengths.push(for_ms);
            let picked = |random| pool.pick(now, random, &Tried::default()).unwrap().index;
            assert!((0..100u64).all(|n| picked(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) != 0));
            now += 6_001;
            assert_eq!(end(&pool, now), None);
        }
        assert_eq!(lengths, [1_000, 2_000, 4_000, 6_000]);
    }

    #[test]
    fn what_is_wrong_with_all_or_hardly_differs_ejects_nobody() {
        for failures in [
            [100, 100, 100, 100, 100],
            [0, 0, 0, 0, 0],
            [1, 0, 0, 0, 0],
            [9, 0, 0, 0, 0],
        ] {
            let pool = pool(5, Outliers::default());
            interval(&pool, &failures, 5);
            assert_eq!(end(&pool, 10_005), None, "{failures:?}");
        }
    }

    #[test]
    fn few_members_few_requests_and_switched_off_judge_nobody() {
        let four = pool(4, Outliers::default());
        interval(&four, &[200, 0, 0, 0], 5);
        assert_eq!(four.report(3, Outcome::Answered(200), 10_005), None);
        let quiet = Outliers {
            requests: 1_000,
            ..Outliers::default()
        };
        let off = Outliers {
            deviation_percent: 0,
            ..Outliers::default()
        };
        for outliers in [quiet, off] {
            let pool = pool(5, outliers);
            interval(&pool, &[200, 0, 0, 0, 0], 5);
            assert_eq!(end(&pool, 10_005), None);
        }
    }

    #[test]
    fn only_so_many_are_out_at_once() {
        for (most_percent, expected) in [(10, 1), (30, 3), (50, 5)] {
            let outliers = Outliers {
                most_percent,
                deviation_percent: 50,
                ..Outliers::default()
            };
            let pool = pool(10, outliers);
            let failures = [180, 170, 160, 150, 140, 130, 0, 0, 0, 0];
            let mut ejected = 0;
            for round in 0..8u64 {
                // All ejections are younger than a second.
                let settings = Outliers {
                    interval_ms: 1,
                    ..outliers
                };
                interval(&pool, &failures, 5 + round);
                ejected += usize::from(pool.judge(&settings, 10 + round).is_some());
            }
            assert_eq!(ejected, expected, "{most_percent} %");
        }
    }
}

//! What a location has done before a rollout began, and does where it has nothing of it: what gates compare a candidate with once
//! nobody there is left without it.
//!
//! A location tells what its worker has done since that began; a new worker begins at nothing. Here the differences are added up,
//! and what they were at which time is kept for a while.

use std::collections::VecDeque;
use std::time::Duration;

use seawall_control::plan::Counts;
use seawall_proxy::mishaps::Totals;

/// At the table's own pace there is a sample each so often.
const EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: three quarters of an hour of them.
const SAMPLES: usize = 540;

/// One location's figures.
#[derive(Debug, Default)]
pub struct Track {
    /// As they were told last.
    told: Totals,
    /// All that was told so far.
    sum: Totals,
    /// The sum at some times, the oldest first, in milliseconds of control's clock.
    samples: VecDeque<(u64, Totals)>,
}

impl Track {
    /// A Report came. There is a sample each `every_ms` milliseconds.
    pub fn heard(&mut self, told: Totals, now_ms: u64, every_ms: u64) {
        let more = if told.requests < self.told.requests {
            told
        } else {
            less(told, self.told)
        };
        if self.samples.is_empty() {
            // What was before control heard of it was at no time that is known.
            self.samples.push_back((now_ms, Totals::default()));
            self.told = told;
            return;
        }
        (self.told, self.sum) = (told, plus(self.sum, more));
        let (last, _) = self.samples.back().copied().unwrap_or_default();
        if now_ms.saturating_sub(last) < every_ms {
            return;
        }
        self.samples.push_back((now_ms, self.sum));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// What was done from one time to another, as far as that is known; none where nothing is.
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Counts {
        let first = self.samples.iter().find(|(at, _)| *at >= from_ms);
        let mut until = self.samples.iter().rev();
        let last = until.find(|(at, _)| *at <= to_ms);
        match (first, last) {
            (Some((from, first)), Some((to, last))) if from < to => counts(less(*last, *first)),
            _ => Counts::default(),
        }
    }

    /// What was done since a time.
    pub fn since(&self, from_ms: u64) -> Counts {
        let first = self.samples.iter().find(|(at, _)| *at >= from_ms);
        first.map_or_else(Counts::default, |(_, first)| counts(less(self.sum, *first)))
    }
}

/// How often there is a sample, in milliseconds.
pub fn every(tempo: &seawall_model::Tempo) -> u64 {
    u64::try_from(tempo.scaled(EVERY).as_millis()).unwrap_or(u64::MAX)
}

fn counts(of: Totals) -> Counts {
    Counts {
        requests: of.requests,
        edge_5xx: of.edge_errors,
        resets: of.resets,
        ..Counts::default()
    }
}

fn less(all: Totals, of: Totals) -> Totals {
    Totals {
        requests: all.requests.saturating_sub(of.requests),
        edge_errors: all.edge_errors.saturating_sub(of.edge_errors),
        resets: all.resets.saturating_sub(of.resets),
    }
}

fn plus(all: Totals, more: Totals) -> Totals {
    Totals {
        requests: all.requests.saturating_add(more.requests),
        edge_errors: all.edge_errors.saturating_add(more.edge_errors),
        resets: all.resets.saturating_add(more.resets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, edge_errors: u64) -> Totals {
        Totals {
            requests,
            edge_errors,
            resets: edge_errors / 2,
        }
    }

    #[test]
    fn a_worker_that_begins_anew_takes_nothing_away() {
        let mut track = Track::default();
        track.heard(totals(1_000, 10), 5_000, 5_000);
        track.heard(totals(1_100, 12), 10_000, 5_000);
        track.heard(totals(50, 2), 15_000, 5_000);
        track.heard(totals(60, 2), 16_000, 5_000);
        let all = track.since(0);
        assert_eq!((all.requests, all.edge_5xx), (160, 4));
        let early = track.between(5_000, 12_000);
        assert_eq!((early.requests, early.edge_5xx, early.resets), (100, 2, 1));
        assert_eq!(track.between(0, 4_000), Counts::default());
        assert_eq!(track.between(20_000, 30_000), Counts::default());
    }

    #[test]
    fn only_so_much_is_kept() {
        let mut track = Track::default();
        for nth in 0..5_000 {
            track.heard(totals(nth, 0), nth * 5_000, 5_000);
        }
        assert_eq!(track.samples.len(), SAMPLES);
        // What it does not reach back to is not made up.
        let known = track.between(0, u64::MAX);
        assert_eq!(known.requests, SAMPLES as u64 - 1);
    }
}

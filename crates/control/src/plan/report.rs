//! What a location tells of a rollout: its latest Report, as the planner reads it.
//!
//! All counts are cumulative. Those of the candidate begin when the location was given it; those of the base begin with the
//! rollout, also in locations that do not have the candidate; those of the past end where the rollout began. Who takes Reports from the network bounds
//! their size.

use std::collections::BTreeMap;

use seawall_model::Share;
use serde::{Deserialize, Serialize};

/// The latest Report of one location about one rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Whose it is.
    pub location: String,
    /// How long ago it came, in milliseconds of control's monotonic clock.
    #[serde(skip)]
    pub age_ms: u64,
    /// The candidate that serves there.
    pub candidate: Option<Candidate>,
    /// Requests that the candidate served.
    pub with: Arm,
    /// Requests that the version before it served, meanwhile.
    pub base: Arm,
    /// Requests that the version before it served there, before the rollout. At best as long as a hold, and not long ago.
    pub past: Arm,
    /// Deaths of workers that were blamed on the candidate, or that nobody was blamed for while it was live.
    pub restarts: u64,
    /// Why the location refuses the candidate: all problems. Not empty: it refuses it.
    pub refused: Vec<String>,
    /// By somebody's word on that machine the chain does not follow control there.
    pub held: bool,
    /// Recorded requests that were judged by the candidate and by the version before it, and of those how many the two
    /// disagree on.
    pub replay: Shift,
    /// Of those, the ones that the candidate would send in a circle, which nobody means.
    pub circles: Circles,
}

/// What a location has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The version; of an emergency switch the number of its rollout.
    pub version: u64,
    /// For how many of the clients.
    pub share: Share,
    /// Since when, in milliseconds before the Report was made.
    pub for_ms: u64,
}

/// What one version did for the requests that it served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// All of them.
    pub all: Counts,
    /// The same for each kind of zone; a fault in one kind does not drown in the others.
    pub kinds: BTreeMap<String, Counts>,
    /// Requests of our own.
    pub probes: Probes,
    /// The time that the edge itself took for a request, in microseconds: without waiting for origin and client.
    pub own_us: Histogram,
    /// The CPU time of a request, in microseconds.
    pub cpu_us: Histogram,
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All.
    pub requests: u64,
    /// Answered with a status of 500 and more that the edge made.
    pub edge_5xx: u64,
    /// Broken off by the edge.
    pub resets: u64,
    /// Judged otherwise by the other version, of those that were judged by both.
    pub verdict_changed: u64,
    /// About how many networks of clients they came from.
    pub clients: u64,
    /// About how many of those were refused, once at least, by whatever refuses: also by what counts clients.
    pub refused_clients: u64,
    /// About how many were answered by an origin or the cache, once at least.
    pub answered_clients: u64,
    /// About how many of those got an answer from 400 on there, once at least.
    pub failed_clients: u64,
}

impl Counts {
    /// Those that went wrong by the edge's fault.
    pub fn bad(&self) -> u64 {
        self.edge_5xx.saturating_add(self.resets)
    }

    /// Adds others to these.
    pub fn add(&mut self, other: &Self) {
        let parts = [
            (&mut self.requests, other.requests),
            (&mut self.edge_5xx, other.edge_5xx),
            (&mut self.resets, other.resets),
            (&mut self.verdict_changed, other.verdict_changed),
            (&mut self.clients, other.clients),
            (&mut self.refused_clients, other.refused_clients),
            (&mut self.answered_clients, other.answered_clients),
            (&mut self.failed_clients, other.failed_clients),
        ];
        for (sum, more) in parts {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Requests that the edge made itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probes {
    /// Answered as they should be.
    pub ok: u64,
    /// Not.
    pub bad: u64,
}

impl Probes {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.ok.saturating_add(self.bad)
    }
}

/// How many of what was judged twice was judged differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shift {
    /// Judged twice.
    pub judged: u64,
    /// Judged differently.
    pub changed: u64,
}

/// Recorded requests that redirects would send in a circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circles {
    /// How many.
    pub requests: u64,
    /// One of the circles, in words.
    pub one: Option<String>,
}

/// Counts by size: eight buckets for each doubling, so that a bucket is 9 % wide. Only those with something in them are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// The most buckets: sizes up to 2^48.
    const MOST: u16 = 48 * 8;

    /// Counts one of this size.
    pub fn add(&mut self, size: u64) {
        self.add_many(size, 1);
    }

    /// Counts so many of this size.
    pub fn add_many(&mut self, size: u64, many: u64) {
        if many == 0 {
            return;
        }
        let bucket = ((size.max(1) as f64).log2() * 8.0) as u16;
        let count = self.0.entry(bucket.min(Self::MOST)).or_default();
        *count = count.saturating_add(many);
    }

    /// Adds others to these.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in &other.0 {
            let count = self.0.entry((*bucket).min(Self::MOST)).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// An upper bound of the size that so many are not above; none if there are fewer.
    pub(super) fn upper(&self, rank: u64) -> Option<f64> {
        let mut sum = 0_u64;
        for (bucket, count) in &self.0 {
            sum = sum.saturating_add(*count);
            if sum >= rank {
                return Some(Self::edge(bucket.saturating_add(1)));
            }
        }
        None
    }

    /// How many are above this size for sure.
    pub(super) fn above(&self, size: f64) -> u64 {
        let over = self
            .0
            .iter()
            .filter(|(bucket, _)| Self::edge(**bucket) >= size);
        over.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn edge(bucket: u16) -> f64 {
        (f64::from(bucket) / 8.0).exp2()
    }
}

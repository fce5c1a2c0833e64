//! What the guard's State hands to the process that goes on from it: what stages counted, and breakers that are open.
//!
//! Not here: how it travels; counters of clients ([`ClientTable`](crate::clients::ClientTable)).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::states::{StageCounts, States, ZoneId, locked};

/// A breaker that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBreaker {
    /// The zone.
    pub zone: ZoneId,
    /// The stage.
    pub stage: String,
    /// The rule of it, where it is a rule's.
    pub rule: Option<String>,
    /// For how many milliseconds it has been open.
    pub since: u64,
    /// How many milliseconds ago it opened, or was tried last.
    pub tried: u64,
}

impl StageCounts {
    fn all(&self) -> [&AtomicU64; 6] {
        let Self {
            refused,
            watched,
            noted,
            spent,
            faults,
            opened,
        } = self;
        [refused, watched, noted, spent, faults, opened]
    }
}

impl States {
    /// What each stage counted, by its name, in the order of [`StageCounts`].
    pub fn stage_totals(&self) -> Vec<(String, [u64; 6])> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let all = self.counts();
        all.map(|(name, counts)| (name.to_owned(), counts.all().map(read)))
            .collect()
    }

    /// Goes on from what the stages of another process counted. The same may come once more, and larger: then what is more
    /// is added.
    pub fn take_stage_totals(&self, totals: &[(String, [u64; 6])]) {
        let mut taken = locked(&self.taken);
        for (name, counts) in self.counts() {
            let Some((_, totals)) = totals.iter().find(|(other, _)| other == name) else {
                continue;
            };
            let before = taken.entry(name).or_default();
            let cells = counts.all().into_iter();
            for ((count, total), before) in cells.zip(totals).zip(before) {
                count.fetch_add(total.saturating_sub(*before), Ordering::Relaxed);
                *before = (*before).max(*total);
            }
        }
    }

    /// Breakers that are open.
    pub fn breakers_to_hand_over(&self) -> Vec<OpenBreaker> {
        let now = self.now();
        let all = locked(&self.breakers);
        let open = all.iter().filter_map(|((zone, stage, rule), breaker)| {
            let (since, tried) = breaker.ages(now)?;
            Some(OpenBreaker {
                zone: *zone,
                stage: (*stage).to_owned(),
                rule: rule.as_deref().map(ToOwned::to_owned),
                since,
                tried,
            })
        });
        open.collect()
    }

    /// Opens those that were open in another process, where there is what they belong to.
    pub fn open_breakers_of(&self, handed: &[OpenBreaker]) {
        let now = self.now();
        let all = locked(&self.breakers);
        for ((zone, stage, rule), breaker) in all.iter() {
            let same = |other: &&OpenBreaker| {
                (other.zone, other.stage.as_str(), other.rule.as_deref())
                    == (*zone, *stage, rule.as_deref())
            };
            if let Some(other) = handed.iter().find(same) {
                breaker.open_as(now, (other.since, other.tried));
            }
        }
    }
}

//! What clients saw: requests right, wrong and late, by location, by zone, and over time. Pure: time comes in.

use std::collections::BTreeMap;

/// The width of a point of the plot, in milliseconds.
pub const BUCKET_MS: u64 = 100;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// As the origin or the zone's policy wants.
    Right,
    /// Otherwise, or broken off.
    Wrong,
    /// Not within two seconds.
    Late,
}

/// A part of the bed, as rollouts reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ring {
    /// Whom changes come to first.
    Canary,
    /// Then these.
    Early,
    /// Then all.
    Late,
}

impl Ring {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Canary, Self::Early, Self::Late];

    /// As people are told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Early => "early",
            Self::Late => "late",
        }
    }
}

/// Requests, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Right ones.
    pub right: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Late ones.
    pub late: u64,
}

impl Counts {
    /// All of them.
    pub const fn all(self) -> u64 {
        self.right + self.wrong + self.late
    }

    /// Those that were not right.
    pub const fn bad(self) -> u64 {
        self.wrong + self.late
    }

    /// The share of right ones, 0 to 1; 1 where there were none.
    pub fn rate(self) -> f64 {
        match self.all() {
            0 => 1.0,
            all => self.right as f64 / all as f64,
        }
    }

    fn add(&mut self, judged: Judged) {
        match judged {
            Judged::Right => self.right += 1,
            Judged::Wrong => self.wrong += 1,
            Judged::Late => self.late += 1,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            late: self.late + other.late,
        }
    }
}

/// What one location's clients saw.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Its name.
    pub name: String,
    /// Its ring.
    pub ring: Ring,
    /// Over all.
    pub total: Counts,
    /// By buckets of [`BUCKET_MS`], by when requests were sent.
    pub buckets: Vec<Counts>,
}

/// What all clients saw.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By location, in the order of the bed.
    pub locations: Vec<Tally>,
    /// By zone.
    pub zones: BTreeMap<String, Counts>,
    /// When the first answer that was not right was noticed, in milliseconds.
    pub first_bad: Option<u64>,
    /// And the last.
    pub last_bad: Option<u64>,
    /// What was wrong, each with how often; the first hundred kinds.
    pub reasons: BTreeMap<String, u64>,
}

/// A request's end.
#[derive(Clone, Copy, Debug)]
pub struct Note<'n> {
    /// When it was sent, in milliseconds.
    pub sent: u64,
    /// When it ended.
    pub ended: u64,
    /// Where.
    pub location: usize,
    /// Of which zone.
    pub zone: &'n str,
    /// How.
    pub judged: Judged,
    /// What was wrong; empty where nothing was.
    pub why: &'n str,
}

impl Ledger {
    /// An empty one for these locations.
    pub fn new(locations: impl Iterator<Item = (String, Ring)>) -> Self {
        let tally = |(name, ring)| Tally {
            name,
            ring,
            total: Counts::default(),
            buckets: Vec::new(),
        };
        Self {
            locations: locations.map(tally).collect(),
            ..Self::default()
        }
    }

    /// Takes down how a request ended.
    pub fn note(&mut self, note: &Note<'_>) {
        let Some(tally) = self.locations.get_mut(note.location) else {
            return;
        };
        tally.total.add(note.judged);
        let bucket = usize::try_from(note.sent / BUCKET_MS).unwrap_or(usize::MAX);
        // A drill lasts minutes: an hour of buckets is more than there can be.
        if bucket < 36_000 {
            if tally.buckets.len() <= bucket {
                tally.buckets.resize(bucket + 1, Counts::default());
            }
            if let Some(counts) = tally.buckets.get_mut(bucket) {
                counts.add(note.judged);
            }
        }
        self.zones
            .entry(note.zone.to_owned())
            .or_default()
            .add(note.judged);
        if note.judged == Judged::Right {
            return;
        }
        self.first_bad = Some(self.first_bad.map_or(note.ended, |at| at.min(note.ended)));
        self.last_bad = Some(self.last_bad.map_or(note.ended, |at| at.max(note.ended)));
        if self.reasons.len() < 100 || self.reasons.contains_key(note.why) {
            *self.reasons.entry(note.why.to_owned()).or_default() += 1;
        }
    }

    /// All requests.
    pub fn total(&self) -> Counts {
        let all = self.locations.iter().map(|tally| tally.total);
        all.fold(Counts::default(), Counts::plus)
    }

    /// Those of a ring.
    pub fn ring(&self, ring: Ring) -> Counts {
        let of_it = self.locations.iter().filter(|tally| tally.ring == ring);
        of_it
            .map(|tally| tally.total)
            .fold(Counts::default(), Counts::plus)
    }

    /// Those of a ring over time.
    pub fn over_time(&self, ring: Ring) -> Vec<Counts> {
        let mut sums: Vec<Counts> = Vec::new();
        for tally in self.locations.iter().filter(|tally| tally.ring == ring) {
            if sums.len() < tally.buckets.len() {
                sums.resize(tally.buckets.len(), Counts::default());
            }
            for (sum, counts) in sums.iter_mut().zip(&tally.buckets) {
                *sum = sum.plus(*counts);
            }
        }
        sums
    }

    /// How long each location's clients got no right answer at all, in milliseconds: buckets in which some asked and nobody got one.
    pub fn dark_ms(&self) -> impl Iterator<Item = (&str, u64)> {
        self.locations.iter().map(|tally| {
            let dark = tally.buckets.iter();
            let dark = dark.filter(|counts| counts.all() > 0 && counts.right == 0);
            (tally.name.as_str(), dark.count() as u64 * BUCKET_MS)
        })
    }

    /// How many bad answers there were of which the reason has these words.
    pub fn answered(&self, words: &str) -> u64 {
        let fit = self.reasons.iter().filter(|(why, _)| why.contains(words));
        fit.map(|(_, count)| count).sum()
    }

    /// Those of all zones but one.
    pub fn but(&self, zone: &str) -> Counts {
        let others = self.zones.iter().filter(|(name, _)| *name != zone);
        others
            .map(|(_, counts)| *counts)
            .fold(Counts::default(), Counts::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_dark_while_nobody_there_gets_a_right_answer() {
        let names = [("a", Ring::Late), ("b", Ring::Late)];
        let mut ledger = Ledger::new(names.iter().map(|(name, ring)| ((*name).into(), *ring)));
        let notes = [
            (0, Judged::Late),
            (110, Judged::Late),
            (120, Judged::Right),
            (250, Judged::Wrong),
        ];
        for (sent, judged) in notes {
            ledger.note(&Note {
                sent,
                ended: sent,
                location: 0,
                zone: "z",
                judged,
                why: "late",
            });
        }
        let dark: Vec<(&str, u64)> = ledger.dark_ms().collect();
        assert_eq!(dark, [("a", 200), ("b", 0)]);
    }

    #[test]
    fn what_clients_saw_is_counted_by_place_zone_and_time() {
        let names = [("a", Ring::Canary), ("b", Ring::Late)];
        let mut ledger = Ledger::new(names.iter().map(|(name, ring)| ((*name).into(), *ring)));
        let mut note = |sent, location, zone, judged| {
            let (ended, why) = (sent + 5, "503 in place of 200");
            ledger.note(&Note {
                sent,
                ended,
                location,
                zone,
                judged,
                why,
            });
        };
        note(0, 0, "x", Judged::Right);
        note(250, 0, "x", Judged::Wrong);
        note(120, 0, "y", Judged::Late);
        note(90, 1, "x", Judged::Right);
        note(90, 7, "x", Judged::Wrong);
        assert_eq!(ledger.total().all(), 4, "a place that there is not");
        assert_eq!(ledger.ring(Ring::Canary).bad(), 2);
        assert_eq!(ledger.ring(Ring::Early).rate(), 1.0);
        assert_eq!(ledger.but("x").bad(), 1);
        assert_eq!((ledger.first_bad, ledger.last_bad), (Some(125), Some(255)));
        let over: Vec<u64> = ledger
            .over_time(Ring::Canary)
            .iter()
            .map(|counts| counts.all())
            .collect();
        assert_eq!(over, [1, 1, 1]);
        assert_eq!(ledger.reasons.values().sum::<u64>(), 2);
        assert_eq!((ledger.answered("503"), ledger.answered("spent")), (2, 0));
    }
}

//! What follows from the death of a worker: how soon the next one starts, and what it must not run. Pure: time comes in.
//!
//! A version of a zone that is blamed for two deaths within ten minutes is quarantined, and nobody else's. Where no culprit can
//! be named, three deaths within a minute quarantine the version of what all zones share, which is the youngest suspect; three
//! more are followed by safe mode: no optional stage runs. Who was killed by somebody else died of nothing.
//!
//! So did who grew until it was replaced, with the next one serving first: one zone that leaks must not cost all others their optional stages.
//!
//! Not here: how a death is seen, and what a quarantined version is replaced by.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::message::Quarantined;

/// So long a death of a zone's version is remembered, in milliseconds.
const ZONE_MEMORY: u64 = 600_000;
/// So many deaths are too many for a version of a zone.
const ZONE_DEATHS: usize = 2;
/// So long other deaths are remembered, in milliseconds.
const MEMORY: u64 = 60_000;
/// At any pace both are at least so long, in milliseconds: what is divided by a drill's speed must still hold three threads that hang one
/// after the other, and each of them takes three seconds to be seen.
const LEAST_MEMORY: u64 = 15_000;
/// So many deaths without a culprit, or with so many that it is none of theirs, are too many.
const DEATHS: usize = 3;
/// From this death within a minute on the next start waits.
const PATIENT: usize = 4;
/// The first such wait, and the longest.
const WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Zones whose versions are quarantined at once: beyond that it is not the zones.
const MOST: usize = 1024;

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By itself.
    Crash,
    /// A thread did not move any more.
    Hang,
    /// It took too much memory from the beginning.
    Memory,
    /// It took too much memory by and by, and was replaced while it served: nobody lost anything by it.
    Grew,
    /// Somebody else ended it.
    Killed,
}

impl Kind {
    /// Of who took too much memory: from the beginning, or by and by.
    pub const fn of_memory(from_the_beginning: bool) -> Self {
        if from_the_beginning {
            Self::Memory
        } else {
            Self::Grew
        }
    }

    /// As people are told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Memory | Self::Grew => "memory",
            Self::Killed => "killed",
        }
    }
}

/// A version of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The zone's id.
    pub zone: u64,
    /// The version, as a number.
    pub version: u64,
}

/// A measure that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// This version of a zone is not served any more as it is.
    Zone(Quarantined),
    /// Nor is this version of what all zones share.
    Platform(u64),
    /// No optional stage runs.
    SafeMode,
}

/// What follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// How long to wait before the next start.
    pub wait: Duration,
    /// What was decided just now.
    pub measures: Vec<Measure>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    at: u64,
    culprit: Option<Version>,
}

/// Who remembers deaths, and what followed.
#[derive(Debug, Default)]
pub struct Judge {
    deaths: VecDeque<Death>,
    /// When the deaths of the last minute were, whatever followed from them.
    times: VecDeque<u64>,
    /// What times are divided by; 0 is taken as 1.
    speed: u32,
    /// Zones' versions in quarantine.
    pub quarantined: Vec<Quarantined>,
    /// The version of what all zones share that is.
    pub platform: Option<u64>,
    /// Whether it is safe mode.
    pub safe_mode: bool,
}

impl Judge {
    /// One that goes on with the measures of an earlier one. Deaths are not remembered.
    pub fn resumed(quarantined: Vec<Quarantined>, platform: Option<u64>, safe_mode: bool) -> Self {
        Self {
            quarantined,
            platform,
            safe_mode,
            ..Self::default()
        }
    }

    /// The same at another pace.
    #[must_use]
    pub fn faster(self, speed: u32) -> Self {
        Self { speed, ..self }
    }

    /// A time at this pace.
    fn scaled(&self, ms: u64) -> u64 {
        (ms / u64::from(self.speed.max(1))).max(LEAST_MEMORY)
    }

    /// A worker died at `now` (milliseconds on any clock that only rises); `culprit` is what it ran, if that is known, and
    /// `platform` the version of what all zones share. `wall` is the time of day, for people.
    pub fn died(
        &mut self,
        now: u64,
        wall: u64,
        kind: Kind,
        culprit: Option<Version>,
        platform: u64,
    ) -> Sentence {
        let mut sentence = Sentence::default();
        if matches!(kind, Kind::Killed | Kind::Grew) {
            return sentence;
        }
        let (zones, others) = (self.scaled(ZONE_MEMORY), self.scaled(MEMORY));
        while self
            .deaths
            .front()
            .is_some_and(|death| death.at + zones < now)
        {
            self.deaths.pop_front();
        }
        self.deaths.push_back(Death { at: now, culprit });
        self.times.retain(|at| at + others >= now);
        self.times.push_back(now);
        sentence.wait = self.wait();
        if let Some(culprit) = culprit
            && !self.is_nobodys(now)
        {
            let of_it = |death: &&Death| death.culprit == Some(culprit);
            if self.deaths.iter().filter(of_it).count() >= ZONE_DEATHS
                && self.quarantined.len() < MOST
            {
                let quarantined = self.quarantine(culprit, wall);
                self.deaths.retain(|death| death.culprit != Some(culprit));
                sentence.measures.push(Measure::Zone(quarantined));
            }
            return sentence;
        }
        if self.unnamed(now) >= DEATHS {
            self.deaths.clear();
            if self.platform.is_none() && !self.safe_mode {
                self.platform = Some(platform);
                sentence.measures.push(Measure::Platform(platform));
            } else if !self.safe_mode {
                self.safe_mode = true;
                sentence.measures.push(Measure::SafeMode);
            }
        }
        sentence
    }

    /// A version that is blamed again although it is in quarantine is not served at all.
    fn quarantine(&mut self, culprit: Version, wall: u64) -> Quarantined {
        let known = self
            .quarantined
            .iter_mut()
            .find(|known| known.zone == culprit.zone && known.version == culprit.version);
        if let Some(known) = known {
            known.left_out = true;
            return *known;
        }
        let quarantined = Quarantined {
            zone: culprit.zone,
            version: culprit.version,
            left_out: false,
            since: wall,
        };
        self.quarantined.push(quarantined);
        quarantined
    }

    /// Whether so many zones are blamed that it is none of theirs.
    fn is_nobodys(&self, now: u64) -> bool {
        let blamed: BTreeSet<Version> = self.recent(now).filter_map(|one| one.culprit).collect();
        blamed.len() >= DEATHS
    }

    fn unnamed(&self, now: u64) -> usize {
        let nobodys = self.is_nobodys(now);
        self.recent(now)
            .filter(|death| nobodys || death.culprit.is_none())
            .count()
    }

    fn recent(&self, now: u64) -> impl Iterator<Item = &Death> {
        let remembered = self.scaled(MEMORY);
        self.deaths
            .iter()
            .filter(move |death| death.at + remembered >= now)
    }

    fn wait(&self) -> Duration {
        match self.times.len().checked_sub(PATIENT) {
            None => Duration::ZERO,
            Some(more) => (WAIT * (1 << more.min(8))).min(LONGEST_WAIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Version = Version {
        zone: 1,
        version: 10,
    };
    const B: Version = Version {
        zone: 2,
        version: 20,
    };

    struct Court(Judge, u64);

    impl Court {
        fn died(&mut self, after: u64, kind: Kind, culprit: Option<Version>) -> Sentence {
            self.1 += after;
            self.0.died(self.1, 7, kind, culprit, 99)
        }
    }

    fn court() -> Court {
        Court(Judge::default(), 1_000)
    }

    #[test]
    fn the_second_death_within_ten_minutes_quarantines_a_zones_version_and_nobody_elses() {
        let mut court = court();
        assert_eq!(court.died(0, Kind::Crash, Some(A)), Sentence::default());
        assert_eq!(court.died(1, Kind::Crash, Some(B)), Sentence::default());
        let second = court.died(599_000, Kind::Hang, Some(A));
        let quarantined = Quarantined {
            zone: 1,
            version: 10,
            left_out: false,
            since: 7,
        };
        assert_eq!(second.measures, [Measure::Zone(quarantined)]);
        assert_eq!(court.0.quarantined, [quarantined]);
        assert!(!court.0.safe_mode && court.0.platform.is_none());
    }

    #[test]
    fn a_death_is_forgotten_after_ten_minutes() {
        let mut court = court();
        court.died(0, Kind::Crash, Some(A));
        assert_eq!(court.died(600_001, Kind::Crash, Some(A)).measures, []);
    }

    #[test]
    fn at_another_pace_deaths_are_forgotten_sooner_and_never_before_three_hangs_can_be_seen() {
        for (speed, within) in [(1, 600_000), (20, 30_000), (500, 15_000), (0, 600_000)] {
            for (after, times) in [(within, 1), (within + 1, 0)] {
                let mut court = Court(Judge::default().faster(speed), 1_000);
                court.died(0, Kind::Crash, Some(A));
                let second = court.died(after, Kind::Crash, Some(A));
                assert_eq!(second.measures.len(), times, "{speed}: {after}");
            }
        }
        let mut court = Court(Judge::default().faster(500), 1_000);
        court.died(0, Kind::Hang, None);
        court.died(7_500, Kind::Hang, None);
        let third = court.died(7_500, Kind::Hang, None);
        assert_eq!(third.measures, [Measure::Platform(99)]);
    }

    #[test]
    fn a_version_that_kills_in_quarantine_too_is_left_out() {
        let mut court = court();
        for _ in 0..2 {
            court.died(60_000, Kind::Crash, Some(A));
        }
        assert_eq!(court.died(60_000, Kind::Crash, Some(A)).measures, []);
        let fourth = court.died(60_000, Kind::Crash, Some(A));
        assert!(matches!(
            fourth.measures[..],
            [Measure::Zone(Quarantined { left_out: true, .. })]
        ));
        assert_eq!(court.0.quarantined.len(), 1);
    }

    #[test]
    fn deaths_without_a_culprit_lead_to_the_platform_and_then_to_safe_mode() {
        let mut court = court();
        for nth in 1..=8 {
            let sentence = court.died(10_000, Kind::Crash, None);
            let expected: &[Measure] = match nth {
                3 => &[Measure::Platform(99)],
                6 => &[Measure::SafeMode],
                _ => &[],
            };
            assert_eq!(sentence.measures, expected, "{nth}");
        }
        assert!(court.0.safe_mode && court.0.quarantined.is_empty());
    }

    #[test]
    fn rare_deaths_without_a_culprit_lead_to_nothing() {
        let mut court = court();
        for _ in 0..20 {
            assert_eq!(court.died(30_001, Kind::Memory, None), Sentence::default());
        }
    }

    #[test]
    fn who_grew_and_was_replaced_in_time_costs_no_stranger_a_stage() {
        let mut court = court();
        for _ in 0..100 {
            assert_eq!(court.died(5_000, Kind::Grew, None), Sentence::default());
        }
        // What is too large from the beginning is what its versions make it.
        let measures = (0..3).map(|_| court.died(5_000, Kind::Memory, None).measures);
        assert_eq!(measures.last(), Some(vec![Measure::Platform(99)]));
    }

    #[test]
    fn where_many_zones_are_blamed_it_is_none_of_theirs() {
        let mut court = court();
        let blamed = |zone| Some(Version { zone, version: 1 });
        assert_eq!(court.died(0, Kind::Crash, blamed(1)).measures, []);
        assert_eq!(court.died(0, Kind::Crash, blamed(2)).measures, []);
        let third = court.died(0, Kind::Crash, blamed(3));
        assert_eq!(third.measures, [Measure::Platform(99)]);
        assert_eq!(court.0.quarantined, []);
    }

    #[test]
    fn who_was_killed_by_somebody_else_died_of_nothing() {
        let mut court = court();
        for _ in 0..100 {
            let sentence = court.died(1, Kind::Killed, Some(A));
            assert_eq!(sentence, Sentence::default());
        }
    }

    #[test]
    fn starts_wait_from_the_fourth_death_within_a_minute_and_never_longer_than_a_second() {
        let mut court = court();
        let waits: Vec<u64> = (0..8)
            .map(|nth| {
                let culprit = Version {
                    zone: 1,
                    version: nth,
                };
                let sentence = court.died(10, Kind::Crash, Some(culprit));
                sentence.wait.as_millis() as u64
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 250, 500, 1000, 1000, 1000]);
        let long = court.died(70_000, Kind::Crash, Some(A)).wait;
        assert_eq!(long, Duration::ZERO);
    }
}

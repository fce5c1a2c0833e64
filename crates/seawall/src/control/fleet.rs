//! The locations that control knows of, and the last Report of each.

use std::collections::{BTreeMap, BTreeSet};

use seawall_control::plan::{self, Location};
use seawall_model::{Share, Tempo};

use super::locations::Place;
use super::reports::{Heard, about};
use super::steer::{Seen, away};
use super::track::{self, Track};
use super::words::Report;
use crate::order::Chain;

/// When a rollout took its first step.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// In milliseconds of our clock.
    pub at_ms: u64,
    /// How long what was before is looked at.
    pub hold_ms: u64,
}

/// One of so many requests gone wrong before an emergency switch: that is the emergency.
const ILL: u64 = 100;

/// All locations.
#[derive(Default)]
pub struct Fleet {
    locations: BTreeMap<String, Known>,
    /// Those that traffic is led away from though nobody has drained them.
    away: Vec<String>,
    /// After so many milliseconds without a Report a location is silent; none: nobody has looked yet.
    silent_ms: Option<u64>,
}

/// A location that has joined.
pub struct Joined {
    /// Its name.
    pub location: String,
    /// Its architecture.
    pub architecture: String,
    /// Its owner wants changes to begin there.
    pub canary: bool,
}

/// What is known of one.
#[derive(Default)]
struct Known {
    architecture: String,
    canary: bool,
    drained: bool,
    joined: bool,
    /// On this machine.
    here: bool,
    /// Its last Report, and when it came, in milliseconds of our clock.
    heard: Option<(Heard, u64)>,
    /// What it did when.
    track: Track,
    /// When it was looked at first, in milliseconds of our clock.
    since: Option<u64>,
}

impl Known {
    /// Whether it has told nothing for so long. One on this machine that never told anything may be none that tells us.
    fn is_silent(&self, now_ms: u64, silent_ms: u64) -> bool {
        let since = match &self.heard {
            Some((_, at)) => Some(*at),
            None => self.since.filter(|_| self.joined),
        };
        since.is_some_and(|since| now_ms.saturating_sub(since) > silent_ms)
    }

    /// The kinds of zones that were asked for there of late.
    fn kinds(&self) -> BTreeSet<String> {
        let heard = self.heard.iter();
        let kinds = heard.flat_map(|(report, _)| &report.counted.kinds);
        kinds.cloned().collect()
    }
}

impl Fleet {
    /// A location on this machine.
    pub fn is_here(&mut self, name: &str) {
        let known = self.locations.entry(name.to_owned()).or_default();
        known.here = true;
        known.architecture = std::env::consts::ARCH.into();
    }

    /// Whether this is the name of the location on this machine.
    pub fn has_here(&self, name: &str) -> bool {
        self.locations.get(name).is_some_and(|known| known.here)
    }

    /// These have joined, and these are drained; others that had joined are gone.
    pub fn are(&mut self, joined: &[Joined], drained: &[String]) {
        for known in self.locations.values_mut() {
            known.joined = false;
        }
        for one in joined {
            let known = self.locations.entry(one.location.clone()).or_default();
            known.joined = true;
            known.architecture.clone_from(&one.architecture);
            known.canary = one.canary;
        }
        self.locations.retain(|_, known| known.joined || known.here);
        for (name, known) in &mut self.locations {
            known.drained = drained.contains(name);
        }
    }

    /// A Report came.
    pub fn heard(&mut self, name: &str, report: Report, now_ms: u64, tempo: &Tempo) {
        if let Some(known) = self.locations.get_mut(name) {
            let every_ms = track::every(tempo);
            known.track.heard(report.counted.totals, now_ms, every_ms);
            known.heard = Some((Heard::of(report), now_ms));
        }
    }

    /// As the planner sees them.
    pub fn locations(&self) -> Vec<Location> {
        let location = |(name, known): (&String, &Known)| Location {
            name: name.clone(),
            architecture: known.architecture.clone(),
            drained: known.drained,
            canary: known.canary,
            kinds: known.kinds(),
            ..Location::default()
        };
        self.locations.iter().map(location).collect()
    }

    /// What each said last of one rollout.
    ///
    /// Of what all zones share: also what a location did in the time of a hold before it began, if it is known when that was, and does
    /// meanwhile where it has nothing of it. A zone has its own past beside it, at each share.
    pub fn reports(
        &self,
        (chain, version): (&Chain, u64),
        now_ms: u64,
        began: Option<Began>,
    ) -> Vec<plan::Report> {
        let told = self.locations.iter();
        told.filter_map(|(name, known)| {
            let (report, at) = known.heard.as_ref()?;
            let age = now_ms.saturating_sub(*at);
            let mut report = about(report, name, chain, version, age);
            if let (Chain::Platform, Some(began)) = (chain, began) {
                let from = began.at_ms.saturating_sub(began.hold_ms);
                report.past.all = known.track.between(from, began.at_ms);
                if report.candidate.is_none() && report.base.all.requests == 0 {
                    report.base.all = known.track.since(began.at_ms);
                }
            }
            Some(report)
        })
        .collect()
    }

    /// What each said last of an emergency switch, by the number of its rollout; `began_ms` is when that began, `hold_ms` how long a step of
    /// it is looked at. Where it is on: what the location did since, and in as long a time before; elsewhere: what it does meanwhile.
    pub fn kill_reports(
        &self,
        rollout: u64,
        now_ms: u64,
        (began_ms, hold_ms): (u64, u64),
    ) -> Vec<plan::Report> {
        let told = self.locations.iter();
        told.filter_map(|(name, known)| {
            let (report, at) = known.heard.as_ref()?;
            let mut told = plan::Report {
                location: name.clone(),
                age_ms: now_ms.saturating_sub(*at),
                ..plan::Report::default()
            };
            let mut switches = report.switches.iter();
            match switches.find(|(number, _)| *number == rollout) {
                Some((number, for_ms)) => {
                    let since = at.saturating_sub(*for_ms);
                    told.candidate = Some(plan::Candidate {
                        version: *number,
                        share: Share::ALL,
                        for_ms: *for_ms,
                    });
                    let before = since.saturating_sub(hold_ms);
                    told.past.all = known.track.between(before, since);
                    // Where it went ill before, the switch is to help: how ill it still is says nothing against it.
                    if told.past.all.bad().saturating_mul(ILL) <= told.past.all.requests {
                        told.with.all = known.track.since(since);
                    }
                }
                None => told.base.all = known.track.since(began_ms),
            }
            Some(told)
        })
        .collect()
    }

    /// Whether these are all of them that get changes now.
    pub fn are_all(&self, ring: &[String]) -> bool {
        let mut waited_for = self.locations.iter().filter(|(_, known)| !known.drained);
        waited_for.all(|(name, _)| ring.contains(name))
    }

    /// Those that traffic is led away from.
    pub fn drained(&self) -> Vec<String> {
        let drained = self.locations.iter().filter(|(_, known)| known.drained);
        drained.map(|(name, _)| name.clone()).collect()
    }

    /// Looks who is ill. Whether traffic is to be led away from others than before. A location that was never heard of is not
    /// ill: it is new.
    pub fn steer(&mut self, now_ms: u64, silent_ms: u64) -> bool {
        self.silent_ms = Some(silent_ms);
        for known in self.locations.values_mut() {
            known.since = known.since.or(Some(now_ms));
        }
        let seen = |(name, known): (&String, &Known)| Seen {
            name: name.clone(),
            drained: known.drained,
            ill: known.heard.as_ref().is_some_and(|(report, at)| {
                report.ready == Some(false) || now_ms.saturating_sub(*at) > silent_ms
            }),
        };
        let seen: Vec<Seen> = self.locations.iter().map(seen).collect();
        let away = away(&seen, &self.away);
        let changed = away != self.away;
        self.away = away;
        changed
    }

    /// Those that traffic is led away from though nobody has drained them.
    pub fn away(&self) -> &[String] {
        &self.away
    }

    /// As they are told to people.
    pub fn places(&self, now_ms: u64) -> Vec<Place> {
        let place = |(name, known): (&String, &Known)| Place {
            name: name.clone(),
            architecture: known.architecture.clone(),
            drained: known.drained,
            away: self.away.contains(name),
            ready: known.heard.as_ref().and_then(|(report, _)| report.ready),
            silent: self
                .silent_ms
                .is_some_and(|silent_ms| known.is_silent(now_ms, silent_ms)),
            joined: known.joined,
            canary: known.canary,
            generation: known.heard.as_ref().map(|(report, _)| report.generation),
            held: known
                .heard
                .as_ref()
                .map(|(report, _)| report.held.clone())
                .unwrap_or_default(),
            lacks: known
                .heard
                .as_ref()
                .map(|(report, _)| lacks(report))
                .unwrap_or_default(),
            purged: known.heard.as_ref().map(|(report, _)| report.purged),
            age_ms: known
                .heard
                .as_ref()
                .map(|(_, at)| now_ms.saturating_sub(*at)),
        };
        self.locations.iter().map(place).collect()
    }
}

/// What is for all and does not serve at a location, as it is told to people.
fn lacks(report: &Report) -> Vec<String> {
    let all = report.lacks.iter().map(|(chain, version, why)| {
        let why = why.lines().next().unwrap_or_default();
        format!("{chain} version {version}: {why}")
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use seawall_control::plan::{Step, Taken, Target};
    use seawall_model::tempo::Kind;
    use seawall_proxy::mishaps::Totals;

    use super::*;

    const SWITCH: u64 = 7;
    const HOLD_MS: u64 = 180_000;

    /// Two locations with a hundred requests in each five seconds; so many of them go wrong in the first, before a switch is on there
    /// and since.
    fn planned(before: u64, since: u64) -> Step {
        let mut fleet = Fleet::default();
        let joined = ["ams", "lhr"].map(|location| Joined {
            location: location.into(),
            architecture: "x86_64".into(),
            canary: false,
        });
        fleet.are(&joined, &[]);
        let (begins, ends) = (200_000, 230_000);
        let mut wrong = 0;
        for now_ms in (0..=ends).step_by(5_000) {
            let on = now_ms > begins;
            wrong += if on { since } else { before };
            for name in ["ams", "lhr"] {
                let mut report = Report::default();
                report.counted.totals = Totals {
                    requests: now_ms / 50,
                    edge_errors: if name == "ams" { wrong } else { 0 },
                    resets: 0,
                };
                if on && name == "ams" {
                    report.switches = vec![(SWITCH, now_ms - begins)];
                }
                fleet.heard(name, report, now_ms, &Tempo::default());
            }
        }
        let target = Target {
            kind: Kind::Kill,
            from: None,
            to: SWITCH,
            taken: Some(Taken {
                step: 0,
                ring: vec!["ams".into()],
                share: Share::ALL,
                at_ms: begins,
                requests: 0,
                probes: 0,
            }),
            asks: Vec::new(),
            approved: false,
            pinned: false,
            allowed_shift: Share::ALL,
            routes_only: false,
            fleet: fleet.locations(),
            tempo: Tempo::default(),
        };
        let reports = fleet.kill_reports(SWITCH, ends, (begins, HOLD_MS));
        plan::plan(&target, &reports, ends)
    }

    #[test]
    fn who_tells_nothing_is_silent_also_when_nobody_ever_heard_of_it() {
        let mut fleet = Fleet::default();
        let joined = ["ams", "fra", "lhr"].map(|location| Joined {
            location: location.into(),
            architecture: "x86_64".into(),
            canary: false,
        });
        fleet.is_here("here");
        fleet.are(&joined, &[]);
        let silent = |fleet: &Fleet, now_ms| -> Vec<String> {
            let places = fleet.places(now_ms).into_iter();
            let silent = places.filter(|place| place.silent);
            silent.map(|place| place.name).collect()
        };
        assert_eq!(silent(&fleet, 90_000), [""; 0], "nobody has looked yet");
        fleet.steer(90_000, 30_000);
        for name in ["ams", "fra"] {
            fleet.heard(name, Report::default(), 100_000, &Tempo::default());
        }
        assert_eq!(silent(&fleet, 120_000), [""; 0]);
        fleet.heard("ams", Report::default(), 120_000, &Tempo::default());
        fleet.steer(125_000, 30_000);
        assert_eq!(silent(&fleet, 125_000), ["lhr"], "it joined long ago");
        assert_eq!(silent(&fleet, 130_001), ["fra", "lhr"]);
        fleet.heard("lhr", Report::default(), 131_000, &Tempo::default());
        assert_eq!(silent(&fleet, 131_000), ["fra"]);
    }

    /// OUTAGES.md, 2025-12-05: the switch was the outage.
    #[test]
    fn a_switch_that_harms_is_taken_back_and_one_that_helps_is_not() {
        let goes_on = |step: Step| matches!(step, Step::Advance { .. });
        assert!(goes_on(planned(0, 0)));
        assert!(matches!(planned(0, 20), Step::TakeBack { .. }));
        assert!(matches!(planned(0, 5), Step::TakeBack { .. }));
        // It went ill before: it still does, or less, or even more for another reason.
        assert!(goes_on(planned(50, 50)));
        assert!(goes_on(planned(50, 5)));
        assert!(goes_on(planned(50, 60)));
    }
}

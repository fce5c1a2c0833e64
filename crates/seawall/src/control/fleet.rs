//! The locations that control knows of, and the last Report of each.

use std::collections::{BTreeMap, BTreeSet};

use seawall_control::plan::{self, Location};
use seawall_model::{Share, Tempo};

use super::locations::Place;
use super::reports::about;
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

/// All locations.
#[derive(Default)]
pub struct Fleet {
    locations: BTreeMap<String, Known>,
    /// Those that traffic is led away from though nobody has drained them.
    away: Vec<String>,
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
    heard: Option<(Report, u64)>,
    /// What it did when.
    track: Track,
}

impl Known {
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
            known.heard = Some((report, now_ms));
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

    /// What each said last of an emergency switch, by the number of its rollout.
    pub fn kill_reports(&self, rollout: u64, now_ms: u64) -> Vec<plan::Report> {
        let told = self.locations.iter();
        told.filter_map(|(name, known)| {
            let (report, at) = known.heard.as_ref()?;
            let on = report
                .switches
                .iter()
                .find(|(number, _)| *number == rollout);
            Some(plan::Report {
                location: name.clone(),
                age_ms: now_ms.saturating_sub(*at),
                candidate: on.map(|(number, for_ms)| plan::Candidate {
                    version: *number,
                    share: Share::ALL,
                    for_ms: *for_ms,
                }),
                ..plan::Report::default()
            })
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
            joined: known.joined,
            canary: known.canary,
            generation: known.heard.as_ref().map(|(report, _)| report.generation),
            held: known
                .heard
                .as_ref()
                .map(|(report, _)| report.held.clone())
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

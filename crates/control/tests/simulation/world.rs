//! A world of 330 locations for the planner: traffic, errors, Reports. All of it comes from one seed.

use std::collections::BTreeMap;

use seawall_control::plan::{
    ALLOWED_SHIFT, Arm, Candidate, Counts, Location, Report, Step, StepSpec, Taken, Target, plan,
};
use seawall_model::tempo::{Kind, Share, Tempo};

/// Locations.
pub const LOCATIONS: usize = 330;
/// Kinds of zones.
pub const KINDS: usize = 10;
/// Errors of the edge's own without any fault, of all requests.
const USUAL: f64 = 0.0005;
/// What an agent needs at most to see that a rollout was taken back.
const BACK_MS: u64 = 5_000;

/// What is wrong with the candidate.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// It breaks this part of the requests of zones of this kind.
    OfKind(usize, f64),
    /// It breaks all.
    Total,
}

/// What became of a rollout.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Why it was taken back; none: it is everywhere.
    pub taken_back: Option<String>,
    /// Which part of the locations had the candidate at the end.
    pub reached: f64,
    /// Requests that the fault broke.
    pub broken: u64,
    /// After so many seconds.
    pub seconds: u64,
}

/// SplitMix64 (Steele, Lea, Flood, 2014): small, and good enough to draw counts from.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }

    /// A Poisson count; from a mean of 50 on by the normal distribution.
    pub fn count(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let bound = (-mean).exp();
        let (mut count, mut product) = (0, self.unit());
        while product > bound {
            count += 1;
            product *= self.unit();
        }
        count
    }
}

struct Place {
    rps: f64,
    kinds: Vec<usize>,
    usual: f64,
    share: Share,
    since_ms: u64,
}

/// The world, and the rollout in it.
pub struct World {
    random: Random,
    fault: Fault,
    places: Vec<Place>,
    reports: Vec<Report>,
    target: Target,
    names: Vec<String>,
    hour: f64,
    broken: u64,
}

impl World {
    /// A world with this much traffic a second in all, spread by Zipf's law with 0.8.
    pub fn new(seed: u64, rps: f64, fault: Fault) -> Self {
        let mut random = Random(seed);
        let names: Vec<String> = (0..KINDS).map(|kind| format!("kind-{kind}")).collect();
        let weights: Vec<f64> = (1..=LOCATIONS)
            .map(|rank| (rank as f64).powf(-0.8))
            .collect();
        let sum: f64 = weights.iter().sum();
        let mut places = Vec::new();
        let mut fleet = Vec::new();
        for (at, weight) in weights.iter().enumerate() {
            let mut kinds: Vec<usize> = (0..KINDS).filter(|_| random.unit() < 0.5).collect();
            if kinds.is_empty() {
                kinds.push(at % KINDS);
            }
            let architecture = if random.unit() < 0.1 {
                "aarch64"
            } else {
                "x86_64"
            };
            fleet.push(Location {
                name: format!("l{at:03}"),
                architecture: architecture.into(),
                kinds: kinds.iter().map(|kind| names[*kind].clone()).collect(),
                weight: (rps * weight / sum * 1_000.0) as u64,
                ..Location::default()
            });
            places.push(Place {
                rps: rps * weight / sum,
                kinds,
                // Places differ: some have three times the errors of others without anything being wrong.
                usual: USUAL * (0.3 * random.normal()).exp(),
                share: Share::NONE,
                since_ms: 0,
            });
        }
        let target = Target {
            kind: Kind::Platform,
            from: Some(1),
            to: 2,
            taken: None,
            asks: Vec::new(),
            approved: false,
            pinned: false,
            allowed_shift: ALLOWED_SHIFT,
            routes_only: false,
            fleet,
            tempo: Tempo::default(),
        };
        let hour = random.unit();
        let mut world = Self {
            random,
            fault,
            places,
            reports: Vec::new(),
            target,
            names,
            hour,
            broken: 0,
        };
        world.past();
        world
    }

    /// What the three minutes before the rollout were like.
    fn past(&mut self) {
        for (place, location) in self.places.iter().zip(&self.target.fleet) {
            let mut report = Report {
                location: location.name.clone(),
                ..Report::default()
            };
            let rate = place.rps * 180.0 / place.kinds.len() as f64;
            for kind in &place.kinds {
                let requests = self.random.count(rate);
                let bad = self.random.count(rate * place.usual).min(requests);
                count(&mut report.past, &self.names[*kind], requests, bad);
            }
            self.reports.push(report);
        }
    }

    /// Lets the planner have it until the end; a Report of each location comes every `tick_ms`.
    pub fn run(mut self, tick_ms: u64) -> Ended {
        let mut now_ms = 0;
        loop {
            match plan(&self.target, &self.reports, now_ms) {
                Step::Advance { to } => self.take(to, now_ms),
                Step::TakeBack { why } => {
                    // Agents see it some seconds later, and serve the candidate until then.
                    self.pass(now_ms, BACK_MS);
                    return self.ended(Some(why), now_ms + BACK_MS);
                }
                Step::Done => return self.ended(None, now_ms),
                Step::Hold { .. } => {
                    self.pass(now_ms, tick_ms);
                    now_ms += tick_ms;
                }
            }
            assert!(
                now_ms < 24 * 3_600_000,
                "a rollout that does not end: {:?}",
                self.target.taken
            );
        }
    }

    fn ended(self, taken_back: Option<String>, now_ms: u64) -> Ended {
        let has = self
            .places
            .iter()
            .filter(|place| place.share > Share::NONE)
            .count();
        Ended {
            taken_back,
            reached: has as f64 / LOCATIONS as f64,
            broken: self.broken,
            seconds: now_ms / 1_000,
        }
    }

    fn take(&mut self, to: StepSpec, now_ms: u64) {
        let places = self.places.iter_mut().zip(&self.target.fleet);
        for (place, location) in places {
            if to.ring.contains(&location.name) && place.share < to.share {
                (place.share, place.since_ms) = (to.share, now_ms);
            }
        }
        self.target.taken = Some(Taken {
            step: to.step,
            ring: to.ring,
            share: to.share,
            at_ms: now_ms,
            requests: to.requests,
            probes: to.probes,
        });
    }

    /// Time passes: requests come, and each location sends its Report.
    fn pass(&mut self, now_ms: u64, for_ms: u64) {
        let seconds = for_ms as f64 / 1_000.0;
        // The fleet's errors go up and down with the hour, all together.
        let hour = self.hour + now_ms as f64 / 3_600_000.0;
        let drift = 1.0 + 0.3 * (2.0 * std::f64::consts::PI * hour).sin();
        for (place, report) in self.places.iter().zip(&mut self.reports) {
            let rate = place.rps * seconds / place.kinds.len() as f64;
            let share = f64::from(place.share.parts()) / f64::from(Share::ALL.parts());
            let usual = place.usual * drift;
            for kind in &place.kinds {
                let name = &self.names[*kind];
                if share < 1.0 {
                    let requests = self.random.count(rate * (1.0 - share));
                    let bad = self.random.count(requests as f64 * usual).min(requests);
                    count(&mut report.base, name, requests, bad);
                }
                if share > 0.0 {
                    let requests = self.random.count(rate * share);
                    let fault = match self.fault {
                        Fault::OfKind(of, part) if of == *kind => part,
                        Fault::Total => 1.0,
                        _ => 0.0,
                    };
                    let broken = self.random.count(requests as f64 * fault).min(requests);
                    let broken = if fault >= 1.0 { requests } else { broken };
                    let bad = self.random.count(requests as f64 * usual);
                    self.broken += broken;
                    count(
                        &mut report.with,
                        name,
                        requests,
                        (broken + bad).min(requests),
                    );
                }
            }
            report.candidate = (share > 0.0).then_some(Candidate {
                version: 2,
                share: place.share,
                for_ms: now_ms + for_ms - place.since_ms,
            });
        }
    }
}

fn count(arm: &mut Arm, kind: &str, requests: u64, edge_5xx: u64) {
    let counts = Counts {
        requests,
        edge_5xx,
        ..Counts::default()
    };
    arm.all.add(&counts);
    match arm.kinds.get_mut(kind) {
        Some(sum) => sum.add(&counts),
        None => {
            arm.kinds = std::mem::take(&mut arm.kinds)
                .into_iter()
                .chain([(kind.to_owned(), counts)])
                .collect::<BTreeMap<_, _>>()
        }
    }
}

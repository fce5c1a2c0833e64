//! From a zone's document to its guard: each stage of the slice builds its parts, in the slice's order.

use std::path::Path;
use std::sync::Arc;

use seawall_model::document::{StageMode, Zone};
use seawall_model::{Problem, Wrong};
use seawall_rules::{Bounds, Lists, Patterns};

use crate::bounds::AtOnce;
use crate::runner::{Guard, HeadSeam, Step};
use crate::stage::{Seam, StageDef};
use crate::states::{States, ZoneId};

/// Stages that one slice may hold: they are numbered by bits.
pub const MOST_STAGES: usize = 32;

/// The files that documents name, read beforehand.
pub trait Files {
    /// What a file holds, and a number that changes when that does.
    ///
    /// # Errors
    /// Why it could not be read.
    fn file(&self, path: &Path) -> Result<(&[u8], u64), String>;
}

/// There are no files.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn file(&self, path: &Path) -> Result<(&[u8], u64), String> {
        Err(format!("{} was not read", path.display()))
    }
}

/// What a stage builds its parts from.
pub struct ZoneInput<'a> {
    /// The zone.
    pub zone: &'a Zone,
    /// Its stable id.
    pub id: ZoneId,
    /// All lists, compiled.
    pub lists: &'a Lists,
    /// Bounds on rules.
    pub bounds: &'a Bounds,
    /// Patterns, shared and charged to this zone.
    pub patterns: &'a mut Patterns,
    /// Files, read beforehand.
    pub files: &'a dyn Files,
    /// The port at which clients reach HTTPS.
    pub https_port: u16,
    /// State, to be looked up and held, not read.
    pub states: &'a Arc<States>,
    path: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl ZoneInput<'_> {
    /// Something is wrong with this key of the zone.
    pub fn problem(&mut self, key: &str, wrong: Wrong) {
        let path = format!("{}.{key}", self.path);
        self.problems.push(Problem::new(path, wrong));
    }
}

/// Builds guards.
pub struct Assembly<'a> {
    /// All stages, in order.
    pub stages: &'a [&'static StageDef],
    /// All lists, compiled.
    pub lists: &'a Lists,
    /// Bounds on rules.
    pub bounds: &'a Bounds,
    /// Files, read beforehand.
    pub files: &'a dyn Files,
    /// The port at which clients reach HTTPS.
    pub https_port: u16,
    /// State.
    pub states: &'a Arc<States>,
}

impl Assembly<'_> {
    /// The guard of a zone. What is wrong goes to `problems`, each with `path` before it; a guard is only good without problems.
    /// Patterns are shared with, and charged to, the zone that was begun last.
    pub fn guard(
        &self,
        zone: &Zone,
        id: ZoneId,
        path: &str,
        patterns: &mut Patterns,
        problems: &mut Vec<Problem>,
    ) -> Guard {
        let mut guard = Guard::new(id, self.states.clone());
        for (place, def) in self.stages.iter().take(MOST_STAGES).enumerate() {
            let place = place as u8;
            let mut input = ZoneInput {
                zone,
                id,
                lists: self.lists,
                bounds: self.bounds,
                patterns,
                files: self.files,
                https_port: self.https_port,
                states: self.states,
                path,
                problems,
            };
            let seams = (def.build)(&mut input);
            if seams.mode == StageMode::Off {
                continue;
            }
            if def.name == "ddos" && zone.ddos.concurrent_per_client > 0 {
                guard.steps_mut().at_once = Some(AtOnce {
                    most: zone.ddos.concurrent_per_client,
                    mode: seams.mode,
                    place,
                });
            }
            let mut parts = seams.parts;
            parts.retain(|(_, mode, _)| *mode != StageMode::Off);
            if parts.is_empty() {
                continue;
            }
            if let Some(threshold) = seams.threshold {
                guard.threshold(place, threshold);
            }
            let stage_breaker = self.states.breaker(id, def.name, None);
            for (seam, mode, rule) in parts {
                let breaker = match &rule {
                    Some(_) => self.states.breaker(id, def.name, rule.as_ref()),
                    None => stage_breaker.clone(),
                };
                let of_stage = rule.is_some().then(|| stage_breaker.clone());
                let mode = mode.min(seams.mode);
                let step = Step {
                    def,
                    place,
                    mode,
                    breaker,
                    of_stage,
                    seam: (),
                };
                guard.add(step, seam);
            }
        }
        guard.finish();
        guard
    }
}

impl Guard {
    fn add(&mut self, step: Step<()>, seam: Seam) {
        let steps = self.steps_mut();
        match seam {
            Seam::Transform(seam) => steps.head.push(step.with(HeadSeam::Transform(seam))),
            Seam::Judge(seam) => steps.head.push(step.with(HeadSeam::Judge(seam))),
            Seam::Sieve(seam, count) => {
                steps.head.push(step.with(HeadSeam::Sieve(seam, count)));
            }
            Seam::Body(seam) => steps.body.push(step.with(seam)),
            Seam::Response(seam) => steps.response.push(step.with(seam)),
        }
    }
}

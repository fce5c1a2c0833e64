//! The runner: asks each stage in order, and holds it to what it declared.
//!
//! Fuel, panics, modes, breakers, weights and skips are enforced here and nowhere else. Where nothing is configured a zone's
//! guard has no steps, and costs a request a few instructions.

mod again;
mod run;
mod scope;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use seawall_model::document::StageMode;
#[cfg(feature = "unsafe-drills")]
use seawall_model::safeguard::{Safeguard, is_off};
use seawall_model::{ConnFacts, Fuel, RequestHead, RequestView, Spent};

use crate::admitted::Admitted;
use crate::blame::{self, Phase};
use crate::bounds::AtOnce;
use crate::breaker::{Breaker, Pass};
use crate::caught::caught;
use crate::edits::HeadEdit;
use crate::stage::{
    BodyStage, OnFault, OnKill, OnSpent, ResponseStage, Sieve, Sifting, Stage, StageDef, Transform,
};
use crate::states::{StageCounts, States, ZoneId};
use crate::trail::Trail;
use crate::unfinished;
use crate::verdict::{Answer, Reason, Refusal, Transformed, Verdict};
use run::Run;
pub use scope::Scope;

/// Rules of one stage whose breakers are open before the stage as a whole is left out.
const RULES_OPEN: usize = 3;

/// Who asks, and when: what the runner knows of a request beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The connection.
    pub conn: &'a ConnFacts,
    /// The client's address by the trust rules, canonical.
    pub client: IpAddr,
    /// The client speaks HTTPS.
    pub https: bool,
    /// Milliseconds on the monotonic clock.
    pub now: u64,
    /// The stages that judge it.
    pub scope: Scope,
}

/// A zone's stages, ready to judge.
pub struct Guard {
    zone: ZoneId,
    pub(crate) states: Arc<States>,
    /// None: no stage has anything to do, which holds for most of many zones.
    steps: Option<Box<Steps>>,
}

/// What there is to do, in order.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) head: Vec<Step<HeadSeam>>,
    pub(crate) body: Vec<Step<Box<dyn BodyStage>>>,
    pub(crate) response: Vec<Step<Box<dyn ResponseStage>>>,
    pub(crate) changes_heads: bool,
    thresholds: Vec<(u8, u32)>,
    pub(crate) at_once: Option<AtOnce>,
}

static NOTHING: Steps = Steps {
    head: Vec::new(),
    body: Vec::new(),
    response: Vec::new(),
    changes_heads: false,
    thresholds: Vec::new(),
    at_once: None,
};

/// One part of a stage.
pub(crate) struct Step<S> {
    pub(crate) def: &'static StageDef,
    /// The stage's place in the slice.
    pub(crate) place: u8,
    pub(crate) mode: StageMode,
    pub(crate) breaker: Arc<Breaker>,
    /// Of the stage as a whole, where the part is a rule of it.
    pub(crate) of_stage: Option<Arc<Breaker>>,
    pub(crate) seam: S,
}

impl<S> Step<S> {
    fn shown(&self, without: bool) -> (u8, &'static str, StageMode) {
        let mode = if without && self.def.optional {
            StageMode::Off
        } else {
            self.mode
        };
        (self.place, self.def.name, mode)
    }
}

impl Step<()> {
    pub(crate) fn with<S>(self, seam: S) -> Step<S> {
        Step {
            def: self.def,
            place: self.place,
            mode: self.mode,
            breaker: self.breaker,
            of_stage: self.of_stage,
            seam,
        }
    }
}

/// What judges heads, in order.
pub(crate) enum HeadSeam {
    Transform(Box<dyn Transform>),
    Judge(Box<dyn Stage>),
    /// With how many of the steps behind it it is about.
    Sieve(Box<dyn Sieve>, usize),
}

/// What one of them said.
enum Said {
    Judged(Verdict),
    Transformed(Transformed),
    Sifted(Sifting, usize),
}

pub(crate) type Refused = Box<Refusal>;

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages: Vec<_> = self.stages().collect();
        f.debug_struct("Guard").field("stages", &stages).finish()
    }
}

impl Guard {
    pub(crate) fn new(zone: ZoneId, states: Arc<States>) -> Self {
        Self {
            zone,
            states,
            steps: None,
        }
    }

    /// A request, for those who judge it, with somebody who knows where addresses are.
    pub fn view<'r>(&'r self, head: &'r RequestHead, subject: &Subject<'r>) -> RequestView<'r> {
        let view = RequestView::new(head, subject.conn, subject.client, subject.https);
        view.with_places(Some(&self.states.places))
    }

    /// What there is to do.
    #[inline]
    pub(crate) fn steps(&self) -> &Steps {
        self.steps.as_deref().unwrap_or(&NOTHING)
    }

    /// The same, to be added to.
    pub(crate) fn steps_mut(&mut self) -> &mut Steps {
        self.steps.get_or_insert_default()
    }

    pub(crate) fn threshold(&mut self, place: u8, score: u32) {
        self.steps_mut().thresholds.push((place, score));
    }

    pub(crate) fn finish(&mut self) {
        let Some(steps) = &mut self.steps else {
            return;
        };
        let changes = |step: &Step<HeadSeam>| matches!(step.seam, HeadSeam::Transform(_));
        steps.changes_heads = steps.head.iter().any(changes);
        steps.head.shrink_to_fit();
        steps.body.shrink_to_fit();
        steps.response.shrink_to_fit();
        steps.thresholds.shrink_to_fit();
    }

    /// Whether optional stages are off here: the process is in safe mode, or the zone's version is in quarantine.
    #[inline]
    pub fn does_without(&self) -> bool {
        self.states.is_safe_mode() || self.states.is_quarantined(self.zone)
    }

    /// Whether any stage is switched off anywhere.
    pub fn is_anything_killed(&self) -> bool {
        self.states.is_anything_killed()
    }

    pub(crate) fn states(&self) -> &Arc<States> {
        &self.states
    }

    /// The zone that it guards.
    pub const fn zone(&self) -> ZoneId {
        self.zone
    }

    /// The stages that have something to do here, by name, with their modes: a stage goes as far as the furthest of its parts. An
    /// optional one that the zone does without just now is off.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, StageMode)> {
        let without = self.does_without();
        let heads = self.steps().head.iter().map(|step| step.shown(without));
        let bodies = self.steps().body.iter().map(|step| step.shown(without));
        let responses = self.steps().response.iter().map(|step| step.shown(without));
        let mut all: Vec<_> = heads.chain(bodies).chain(responses).collect();
        all.sort_by_key(|(place, _, mode)| (*place, std::cmp::Reverse(*mode)));
        all.dedup_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, name, mode)| (name, mode))
    }

    /// Whether bodies of requests, or responses, are looked at by anybody.
    pub fn has_body_stages(&self) -> bool {
        !self.steps().body.is_empty()
    }

    /// Lets the stages judge a request, and change it.
    ///
    /// # Errors
    /// [`Refusal`]: it does not go on.
    #[inline]
    pub fn admit<'r>(
        &self,
        head: &'r mut RequestHead,
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<Admitted<'r>, Refused> {
        let came = head.fields.raw().len();
        if !self.steps().head.is_empty() {
            self.judge(head, subject, trail)?;
        }
        Ok(Admitted::client(head, self.zone, came))
    }

    /// Who asks stages tells them the time.
    pub(crate) fn tell_time(&self, subject: &Subject<'_>) {
        self.states.set_now(subject.now);
    }

    fn judge(
        &self,
        head: &mut RequestHead,
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<(), Refused> {
        self.tell_time(subject);
        let mut run = Run::new(false);
        let judged = loop {
            let view = self.view(head, subject);
            match self.until_edit(&view, subject, &mut run, trail) {
                Ok(None) => break Ok(()),
                Ok(Some(edit)) => edit.apply(head),
                Err(refusal) => break Err(refusal),
            }
        };
        trail.fuel += run.fuel.used();
        trail.skip = run.skip;
        judged
    }

    /// Asks the steps in order, to their end or to the first that changes the head.
    fn until_edit(
        &self,
        view: &RequestView<'_>,
        subject: &Subject<'_>,
        run: &mut Run,
        trail: &mut Trail,
    ) -> Result<Option<Arc<HeadEdit>>, Refused> {
        loop {
            run.pass_over();
            let Some(step) = self.steps().head.get(run.at) else {
                break;
            };
            run.at += 1;
            if step.place != run.place {
                self.weigh(run, trail)?;
                trail.fuel += run.fuel.used();
                run.place = step.place;
                run.fuel = Fuel::new(step.def.budget.fuel);
            }
            let skipped = step.def.skipped_by;
            let is_skipped = !skipped.is_empty() && run.skip.contains(skipped);
            let is_judge = matches!(step.seam, HeadSeam::Judge(_));
            let was_asked = run.again && is_judge && !step.def.asks_again;
            if !subject.scope.has(step.place) || is_skipped || was_asked {
                continue;
            }
            let phase = match step.seam {
                HeadSeam::Transform(_) => Phase::Transform,
                HeadSeam::Judge(_) | HeadSeam::Sieve(..) => Phase::Judge,
            };
            let said = self.ask(step, phase, subject, &mut run.fuel, trail, |seam, fuel| {
                Ok(match seam {
                    HeadSeam::Judge(stage) => Said::Judged(stage.judge(view, fuel)?),
                    HeadSeam::Transform(stage) => Said::Transformed(stage.transform(view, fuel)?),
                    HeadSeam::Sieve(sieve, count) => Said::Sifted(sieve.sift(view, fuel)?, *count),
                })
            })?;
            match said {
                None | Some(Said::Judged(Verdict::Pass) | Said::Transformed(Transformed::Same)) => {
                }
                Some(Said::Judged(verdict)) => self.heed(step, verdict, run, trail)?,
                Some(Said::Sifted(sifting, count)) => {
                    if sifting.spent {
                        self.note_spent(step, trail);
                    }
                    run.sift(sifting.fitting, count);
                }
                Some(Said::Transformed(Transformed::Respond(..))) if run.stays() => {}
                Some(Said::Transformed(change)) => {
                    if let Some(edit) = self.change(step, change, trail)? {
                        run.forget();
                        return Ok(Some(edit));
                    }
                }
            }
        }
        self.weigh(run, trail)?;
        Ok(None)
    }

    /// Asks one step, within its fuel, whatever it does.
    pub(crate) fn ask<S, T>(
        &self,
        step: &Step<S>,
        phase: Phase,
        subject: &Subject<'_>,
        fuel: &mut Fuel,
        trail: &mut Trail,
        ask: impl FnOnce(&S, &mut Fuel) -> Result<T, Spent>,
    ) -> Result<Option<T>, Refused> {
        if step.def.optional && self.does_without() {
            return Ok(None);
        }
        if self.states.is_killed(step.place, self.zone) {
            return self.killed(step, trail);
        }
        let pass = step.breaker.pass(subject.now);
        let of_stage = match &step.of_stage {
            Some(breaker) => breaker.pass(subject.now),
            None => Pass::Closed,
        };
        if pass == Pass::Open || of_stage == Pass::Open {
            return self.failed(step, trail);
        }
        blame::stage(phase.with(step.place));
        let said = caught(|| ask(&step.seam, fuel));
        blame::stage(Phase::Between.alone());
        match said {
            Ok(said) => {
                if pass == Pass::Trial {
                    step.breaker.mended();
                }
                if let (Pass::Trial, Some(breaker)) = (of_stage, &step.of_stage) {
                    breaker.mended();
                }
                match said {
                    Ok(said) => Ok(Some(said)),
                    Err(Spent) => self.spent(step, trail),
                }
            }
            Err(_) => {
                self.fault(step, subject);
                self.failed(step, trail)
            }
        }
    }

    /// An emergency switch is on it. What that means does not depend on the zone's mode, but a stage that only watches closes
    /// nothing.
    #[cold]
    fn killed<S, T>(&self, step: &Step<S>, trail: &mut Trail) -> Result<Option<T>, Refused> {
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Kill) {
            return Err(self.refuse(step.def, step.place, Reason::plain("fault"), trail));
        }
        if step.def.on_kill == OnKill::Closed && step.mode == StageMode::Enforce {
            return Err(self.refuse(step.def, step.place, Reason::plain("killed"), trail));
        }
        Ok(None)
    }

    #[cold]
    fn spent<S, T>(&self, step: &Step<S>, trail: &mut Trail) -> Result<Option<T>, Refused> {
        if step.def.on_spent == OnSpent::Deny && step.mode == StageMode::Enforce {
            self.states.count(step.place, |counts| &counts.spent);
            return Err(self.refusal(step, Answer::Status(403), spent(), trail));
        }
        self.note_spent(step, trail);
        Ok(None)
    }

    /// What it spent its fuel on is left out, and nobody is refused for it.
    #[cold]
    fn note_spent<S>(&self, step: &Step<S>, trail: &mut Trail) {
        self.states.count(step.place, |counts| &counts.spent);
        trail.add(step.def.name, &spent(), StageMode::Watch);
    }

    #[cold]
    fn fault<S>(&self, step: &Step<S>, subject: &Subject<'_>) {
        self.states.count(step.place, |counts| &counts.faults);
        if !step.breaker.fault(subject.client, subject.now) {
            return;
        }
        self.states.count(step.place, |counts| &counts.opened);
        if let Some(of_stage) = &step.of_stage {
            let open =
                |other: &&Step<HeadSeam>| other.place == step.place && other.breaker.is_open();
            if self.steps().head.iter().filter(open).count() >= RULES_OPEN {
                of_stage.open(subject.now);
            }
        }
    }

    /// It failed, or is left out because it did.
    #[cold]
    fn failed<S, T>(&self, step: &Step<S>, trail: &mut Trail) -> Result<Option<T>, Refused> {
        let reason = Reason::plain("fault");
        if step.def.on_fault == OnFault::Closed && step.mode == StageMode::Enforce {
            return Err(self.refuse(step.def, step.place, reason, trail));
        }
        trail.add(step.def.name, &reason, StageMode::Watch);
        Ok(None)
    }

    /// Does what a verdict says, where the mode allows it.
    fn heed(
        &self,
        step: &Step<HeadSeam>,
        verdict: Verdict,
        run: &mut Run,
        trail: &mut Trail,
    ) -> Result<(), Refused> {
        let enforced = step.mode == StageMode::Enforce;
        let (reason, answer) = match verdict {
            Verdict::Pass => return Ok(()),
            Verdict::Note(reason) => (reason, None),
            Verdict::Weigh(score, reason) => {
                if enforced {
                    run.score = run.score.saturating_add(score);
                }
                (reason, None)
            }
            Verdict::Skip(set, reason) => {
                if enforced {
                    run.skip = run.skip | set;
                }
                (reason, None)
            }
            // No challenge can be made yet: who would get one is refused.
            Verdict::Challenge(reason) => (reason, Some(Answer::Status(403))),
            Verdict::Deny(status, reason) => (reason, Some(Answer::Status(status))),
            Verdict::Counted(quota, over) => {
                if let Some(quota) = quota.filter(|_| enforced) {
                    trail.count(quota);
                }
                let Some((after, reason)) = over else {
                    return Ok(());
                };
                (reason, Some(Answer::Throttle(after)))
            }
            Verdict::Throttle(after, reason) => (reason, Some(Answer::Throttle(after))),
            Verdict::Respond(page, reason) => (reason, Some(Answer::Page(page))),
        };
        match answer {
            Some(answer) if enforced => Err(self.refusal(step, answer, reason, trail)),
            answer => {
                let which: fn(&StageCounts) -> &AtomicU64 = match answer {
                    Some(_) => |counts| &counts.watched,
                    None => |counts| &counts.noted,
                };
                self.states.count(step.place, which);
                trail.add(step.def.name, &reason, step.mode);
                Ok(())
            }
        }
    }

    /// Makes the change that a transform wants, where the mode allows it.
    fn change(
        &self,
        step: &Step<HeadSeam>,
        change: Transformed,
        trail: &mut Trail,
    ) -> Result<Option<Arc<HeadEdit>>, Refused> {
        let enforced = step.mode == StageMode::Enforce;
        match change {
            Transformed::Same => Ok(None),
            Transformed::Edit(edit, reason) => {
                if let Some(reason) = reason {
                    self.states.count(step.place, |counts| &counts.noted);
                    trail.add(step.def.name, &reason, step.mode);
                }
                Ok(enforced.then_some(edit))
            }
            Transformed::Respond(page, reason) if enforced => {
                Err(self.refusal(step, Answer::Page(page), reason, trail))
            }
            Transformed::Respond(_, reason) => {
                self.states.count(step.place, |counts| &counts.watched);
                trail.add(step.def.name, &reason, step.mode);
                Ok(None)
            }
        }
    }

    /// Compares the scores of the stage that ends here with the zone's threshold.
    fn weigh(&self, run: &mut Run, trail: &mut Trail) -> Result<(), Refused> {
        let score = std::mem::take(&mut run.score);
        if score == 0 {
            return Ok(());
        }
        let threshold = self
            .steps()
            .thresholds
            .iter()
            .find(|(place, _)| *place == run.place);
        let def = self
            .steps()
            .head
            .iter()
            .find(|step| step.place == run.place);
        match (threshold, def) {
            (Some((_, threshold)), Some(step)) if score >= *threshold => {
                let reason = Reason::about("score", score.to_string().into());
                Err(self.refusal(step, Answer::Status(403), reason, trail))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn refusal<S>(
        &self,
        step: &Step<S>,
        answer: Answer,
        reason: Reason,
        trail: &mut Trail,
    ) -> Refused {
        self.states.count(step.place, |counts| &counts.refused);
        trail.decide(step.def.name, &reason);
        Box::new(Refusal {
            stage: step.def.name,
            reason,
            answer,
            failed: false,
        })
    }

    /// Refuses because a stage that is to be closed then is not there.
    fn refuse(
        &self,
        def: &'static StageDef,
        place: u8,
        reason: Reason,
        trail: &mut Trail,
    ) -> Refused {
        self.states.count(place, |counts| &counts.refused);
        trail.decide(def.name, &reason);
        Box::new(Refusal {
            stage: def.name,
            reason,
            answer: Answer::Status(503),
            failed: true,
        })
    }

    pub(crate) fn watched<S>(&self, step: &Step<S>, reason: &Reason, trail: &mut Trail) {
        self.states.count(step.place, |counts| &counts.watched);
        trail.add(step.def.name, reason, StageMode::Watch);
    }
}

/// Why something was left out or refused whose fuel was at its end.
fn spent() -> Reason {
    Reason {
        name: "spent",
        about: unfinished::take(),
    }
}

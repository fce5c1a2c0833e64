//! One request's body on its way past the body stages.

use seawall_model::Fuel;
use seawall_model::document::StageMode;

use crate::admitted::Admitted;
use crate::blame::Phase;
use crate::runner::{Guard, Step, Subject};
use crate::stage::{Inspect, Opened};
use crate::trail::Trail;
use crate::verdict::{Answer, Reason, Refusal, Verdict};

/// Those who look at one body.
pub struct Inspection<'g> {
    guard: &'g Guard,
    watches: Vec<Watching>,
    hold: usize,
    keeps: usize,
}

/// One who looks.
struct Watching {
    /// The place of its step.
    at: usize,
    watch: Box<dyn Inspect>,
    /// What it has not used of its fuel so far.
    left: u64,
}

impl Guard {
    /// Asks the body stages of an admitted request whether they want to see its body; none is read before. `length` is what
    /// was announced, in bytes.
    ///
    /// # Errors
    /// [`Refusal`]: it does not go on.
    pub fn inspect(
        &self,
        admitted: &Admitted<'_>,
        length: Option<u64>,
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<Option<Inspection<'_>>, Box<Refusal>> {
        if !self.steps().body.is_empty() {
            self.tell_time(subject);
        }
        let head = admitted.head();
        let view = self.view(head, subject);
        let mut inspection = Inspection {
            guard: self,
            watches: Vec::new(),
            hold: 0,
            keeps: 0,
        };
        for (at, step) in self.steps().body.iter().enumerate() {
            let skipped = step.def.skipped_by;
            let is_skipped = !skipped.is_empty() && trail.skip.contains(skipped);
            if is_skipped {
                continue;
            }
            let mut fuel = Fuel::new(step.def.budget.fuel);
            let opened = self.ask(
                step,
                Phase::Body,
                subject,
                &mut fuel,
                trail,
                |seam, fuel| seam.open(&view, length, fuel),
            );
            trail.fuel += fuel.used();
            match opened? {
                None | Some(Opened::Pass) => {}
                Some(Opened::Verdict(verdict)) => {
                    inspection.heed(at, verdict, trail)?;
                }
                Some(Opened::Watch(watch, hold)) => {
                    inspection.watch(at, watch, hold, fuel.left());
                }
                Some(Opened::Follow(following)) => {
                    let following = *following;
                    trail.tells.extend(following.tell);
                    if !matches!(following.verdict, Verdict::Pass) {
                        inspection.heed(at, following.verdict, trail)?;
                    }
                    if let Some((follow, wants)) = following.response {
                        trail.follows.push((at, follow, wants));
                    }
                    if let Some((watch, hold)) = following.watch {
                        inspection.keeps += following.keeps;
                        inspection.watch(at, watch, hold, fuel.left());
                    }
                }
            }
        }
        Ok((!inspection.watches.is_empty()).then_some(inspection))
    }
}

impl Guard {
    fn noted<S>(&self, step: &Step<S>, reason: &Reason, trail: &mut Trail) {
        self.states.count(step.place, |counts| &counts.noted);
        trail.add(step.def.name, reason, step.mode);
    }
}

impl Inspection<'_> {
    /// Bytes of the body that should be held back, so that a body which is refused within them never begins at the origin.
    pub const fn hold(&self) -> usize {
        self.hold
    }

    /// Bytes of the body, from its beginning, that they keep in memory to look at them as a whole.
    pub const fn keeps(&self) -> usize {
        self.keeps
    }

    fn watch(&mut self, at: usize, watch: Box<dyn Inspect>, hold: usize, left: u64) {
        let Some(step) = self.guard.steps().body.get(at) else {
            return;
        };
        self.watches.push(Watching { at, watch, left });
        if step.mode == StageMode::Enforce {
            let hold = hold.min(step.def.budget.body);
            self.hold = self.hold.max(hold);
        }
    }

    /// Shows them the next piece; `end` with the last one, which may be empty.
    ///
    /// # Errors
    /// [`Refusal`]: the rest must not reach the origin.
    pub fn feed(
        &mut self,
        piece: &[u8],
        end: bool,
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<(), Box<Refusal>> {
        let guard = self.guard;
        guard.tell_time(subject);
        let mut at = 0;
        while let Some(watching) = self.watches.get_mut(at) {
            let nth = watching.at;
            let Some(step) = guard.steps().body.get(nth) else {
                break;
            };
            let kib = 1 + piece.len() as u64 / 1024;
            let more = step.def.budget.body_fuel.saturating_mul(kib);
            let mut fuel = Fuel::new(watching.left.saturating_add(more));
            let watch = &mut watching.watch;
            let fed = guard.ask(step, Phase::Body, subject, &mut fuel, trail, |_, fuel| {
                watch.feed(piece, end, fuel)
            });
            watching.left = fuel.left();
            trail.fuel += fuel.used();
            match fed? {
                Some(Verdict::Pass) => at += 1,
                Some(verdict) => {
                    self.heed(nth, verdict, trail)?;
                    // What was only told is told once.
                    self.watches.remove(at);
                }
                // It failed, or spent its fuel, and that means that the body goes on without it.
                None => drop(self.watches.remove(at)),
            }
        }
        Ok(())
    }

    fn heed(&self, at: usize, verdict: Verdict, trail: &mut Trail) -> Result<(), Box<Refusal>> {
        let Some(step) = self.guard.steps().body.get(at) else {
            return Ok(());
        };
        let (answer, reason) = match verdict {
            Verdict::Deny(status, reason) => (Answer::Status(status), reason),
            Verdict::Throttle(after, reason) | Verdict::Counted(_, Some((after, reason))) => {
                (Answer::Throttle(after), reason)
            }
            Verdict::Respond(page, reason) => (Answer::Page(page), reason),
            Verdict::Challenge(reason) => (Answer::Status(403), reason),
            Verdict::Note(reason) | Verdict::Weigh(_, reason) | Verdict::Skip(_, reason) => {
                self.guard.noted(step, &reason, trail);
                return Ok(());
            }
            Verdict::Pass | Verdict::Counted(_, None) => return Ok(()),
        };
        if step.mode == StageMode::Enforce {
            return Err(self.guard.refusal(step, answer, reason, trail));
        }
        self.guard.watched(step, &reason, trail);
        Ok(())
    }
}

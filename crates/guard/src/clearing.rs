//! Responses on their way past the response stages.

use std::sync::Arc;

use seawall_model::document::StageMode;
use seawall_model::{Fuel, ResponseHead, Spent};

use crate::blame::Phase;
use crate::cleared::Cleared;
use crate::edits::Edits;
use crate::runner::{Guard, Refused, Scope, Step, Subject};
use crate::stage::{ResponseStage, ResponseView};
use crate::trail::Trail;
use crate::verdict::{Answer, Reviewed};

impl Guard {
    /// Lets the stages judge a response, and change it. `body` is what of its body came with the head.
    ///
    /// # Errors
    /// [`Refusal`](crate::Refusal): it does not go to the client.
    #[inline]
    pub fn clear<'r>(
        &self,
        head: &'r mut ResponseHead,
        body: &[u8],
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<Cleared<'r>, Refused> {
        if subject.scope == Scope::NONE {
            // Another location of ours has the client: its stages judge it.
            return Ok(Cleared::origin(head.status, &head.fields));
        }
        if !self.steps().response.is_empty() || !trail.follows.is_empty() {
            self.tell_time(subject);
        }
        // They judge what the origin said, before others change it.
        for (at, mut follow, wants) in std::mem::take(&mut trail.follows) {
            let Some(step) = self.steps().body.get(at) else {
                continue;
            };
            let seen = body.get(..wants.most).unwrap_or(body);
            let review = |view: &ResponseView<'_>, fuel: &mut Fuel| follow.review(view, fuel);
            if let Some(edits) = self.reviewed(step, head, seen, subject, trail, review)? {
                edits.apply(&mut head.fields);
            }
        }
        for step in &self.steps().response {
            if let Some(edits) = self.review(step, head, body, subject, trail)? {
                edits.apply(&mut head.fields);
            }
        }
        Ok(Cleared::origin(head.status, &head.fields))
    }

    fn review(
        &self,
        step: &Step<Box<dyn ResponseStage>>,
        head: &ResponseHead,
        body: &[u8],
        subject: &Subject<'_>,
        trail: &mut Trail,
    ) -> Result<Option<Arc<Edits>>, Refused> {
        let most = step.def.budget.body;
        let seen = body.get(..most).unwrap_or(body);
        let review = |view: &ResponseView<'_>, fuel: &mut Fuel| step.seam.review(view, fuel);
        self.reviewed(step, head, seen, subject, trail, review)
    }

    fn reviewed<S>(
        &self,
        step: &Step<S>,
        head: &ResponseHead,
        body: &[u8],
        subject: &Subject<'_>,
        trail: &mut Trail,
        review: impl FnOnce(&ResponseView<'_>, &mut Fuel) -> Result<Reviewed, Spent>,
    ) -> Result<Option<Arc<Edits>>, Refused> {
        let view = ResponseView {
            head,
            body,
            client: subject.client,
        };
        let mut fuel = Fuel::new(step.def.budget.fuel);
        let said = self.ask(
            step,
            Phase::Response,
            subject,
            &mut fuel,
            trail,
            |_, fuel| review(&view, fuel),
        );
        trail.fuel += fuel.used();
        let enforced = step.mode == StageMode::Enforce;
        match said?.unwrap_or_default() {
            Reviewed::Same => Ok(None),
            Reviewed::Edit(edits, reason) => {
                if let Some(reason) = reason {
                    self.states.count(step.place, |counts| &counts.noted);
                    trail.add(step.def.name, &reason, step.mode);
                }
                Ok(enforced.then_some(edits))
            }
            Reviewed::Deny(status, reason) if enforced => {
                Err(self.refusal(step, Answer::Status(status), reason, trail))
            }
            Reviewed::Deny(_, reason) => {
                self.watched(step, &reason, trail);
                Ok(None)
            }
        }
    }
}

//! Responses on their way past the response stages.

use std::sync::Arc;

use seawall_model::document::StageMode;
use seawall_model::{Fuel, ResponseHead};

use crate::blame::Phase;
use crate::cleared::Cleared;
use crate::edits::Edits;
use crate::runner::{Guard, Refused, Step, Subject};
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
        if !self.steps().response.is_empty() {
            self.states.set_now(subject.now);
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
        let view = ResponseView {
            head,
            body: body.get(..most).unwrap_or(body),
            client: subject.client,
        };
        let mut fuel = Fuel::new(step.def.budget.fuel);
        let said = self.ask(
            step,
            Phase::Response,
            subject,
            &mut fuel,
            trail,
            |seam, fuel| seam.review(&view, fuel),
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

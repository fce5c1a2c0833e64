//! Requests that are judged once more, by stages that say that they can: those that are open while the configuration changes, and those
//! that were served of late, before a change meets anybody.

use seawall_model::RequestHead;

use super::run::Run;
use super::{Guard, Refused, Subject};
use crate::trail::Trail;
use crate::verdict::{Answer, Page, Refusal};

impl Guard {
    /// Judges a request that was admitted, and still goes on, once more: by stages that say that they can. `head` is as it came;
    /// what changes heads changes it here too, so that it is judged as a new one would be. Who would be sent elsewhere may stay.
    ///
    /// # Errors
    /// [`Refusal`]: it would not be admitted any more.
    pub fn judge_again(&self, head: &RequestHead, subject: &Subject<'_>) -> Result<(), Refused> {
        self.judge_by(head, subject, Run::new(true))
    }

    /// Where such a request would be sent in place of being served: the redirect's status, and its `Location`.
    pub fn sends_to(&self, head: &RequestHead, subject: &Subject<'_>) -> Option<(u16, Vec<u8>)> {
        // Only what may change a head sends anybody elsewhere.
        if !self.steps().changes_heads {
            return None;
        }
        let mut run = Run::new(true);
        run.follows = true;
        let refusal = self.judge_by(head, subject, run).err()?;
        let Refusal { answer, .. } = *refusal;
        match answer {
            Answer::Page(Page::Redirect { status, location }) => Some((status, location)),
            _ => None,
        }
    }

    fn judge_by(
        &self,
        head: &RequestHead,
        subject: &Subject<'_>,
        mut run: Run,
    ) -> Result<(), Refused> {
        let mut trail = Trail::default();
        let mut changed = None;
        loop {
            let head = changed.as_ref().unwrap_or(head);
            let view = self.view(head, subject);
            let Some(edit) = self.until_edit(&view, subject, &mut run, &mut trail)? else {
                return Ok(());
            };
            let mut next = head.clone();
            edit.apply(&mut next);
            changed = Some(next);
        }
    }
}

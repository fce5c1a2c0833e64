//! What the stages said of one request on its way, for its Record.

use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{FieldId, Fields, ResponseHead};

use crate::stage::{Follow, Tell, Wants};
use crate::verdict::{Quota, Reason, Refusal};

/// Entries kept; what more is said of a request is only counted in the metrics.
const MOST: usize = 16;

/// One thing that was said.
#[derive(Clone, Debug)]
pub struct Entry {
    /// By which stage.
    pub stage: &'static str,
    /// Why.
    pub reason: Reason,
    /// Whether it was done, or only told.
    pub mode: StageMode,
}

/// What was said of one request, in order. Empty for nearly all of them.
#[derive(Default)]
pub struct Trail {
    entries: Vec<Entry>,
    refused: bool,
    /// The stages that a rule left out.
    pub(crate) skip: SkipSet,
    /// Who judges the response, each with the place of its step.
    pub(crate) follows: Vec<(usize, Box<dyn Follow>, Wants)>,
    pub(crate) tells: Vec<Box<dyn Tell>>,
    /// Fuel that the stages used.
    pub fuel: u64,
    quota: Option<Quota>,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Trail");
        shown
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl Trail {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.skip = SkipSet::NONE;
        if !self.follows.is_empty() || !self.tells.is_empty() {
            self.follows.clear();
            self.tells.clear();
        }
        self.entries.clear();
        self.refused = false;
        self.fuel = 0;
        self.quota = None;
    }

    /// Adds what stages tell the client itself to the fields of its response.
    pub fn tell(&self, fields: &mut Fields) {
        for (name, value) in self.tells.iter().filter_map(|tell| tell.field()) {
            fields.append(name.as_bytes(), value.as_bytes());
        }
    }

    /// Bytes of this response's body that should be there when it is cleared; 0 for nearly all.
    #[inline]
    pub fn wants(&self, head: &ResponseHead) -> usize {
        if self.follows.is_empty() {
            return 0;
        }
        self.most_wanted(head)
    }

    #[cold]
    fn most_wanted(&self, head: &ResponseHead) -> usize {
        let kind = head.fields.first(FieldId::ContentType).unwrap_or_default();
        let bare = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let bare = bare.trim_ascii();
        let is_it = |known: &String| known.as_bytes().eq_ignore_ascii_case(bare);
        let wanting = self
            .follows
            .iter()
            .filter(|(.., wants)| wants.types.iter().any(is_it));
        wanting.map(|(.., wants)| wants.most).max().unwrap_or(0)
    }

    /// What was said.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The Record's `verdict`: `stage/reason` of what refused it; nothing if it was let through.
    pub fn write_verdict(&self, out: &mut String) {
        if let (true, Some(last)) = (self.refused, self.entries.last()) {
            out.push_str(last.stage);
            out.push('/');
            out.push_str(last.reason.name);
        }
    }

    /// The Record's `stages`: all of it, as `stage/reason(about)`, with `?` behind what was only told, where it would have
    /// been done.
    pub fn write_stages(&self, out: &mut String) {
        for entry in &self.entries {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(entry.stage);
            out.push('/');
            out.push_str(entry.reason.name);
            if let Some(about) = &entry.reason.about {
                out.push('(');
                out.push_str(about);
                out.push(')');
            }
            if entry.mode == StageMode::Watch {
                out.push('?');
            }
        }
    }

    /// What the client is told of limits: of the one of which least is left.
    pub const fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    pub(crate) fn count(&mut self, quota: Quota) {
        if self
            .quota
            .as_ref()
            .is_none_or(|other| quota.left < other.left)
        {
            self.quota = Some(quota);
        }
    }

    /// Notes a refusal that no stage's step made, such as for want of a share; one that is noted already is not noted again.
    pub fn turned_away(&mut self, refusal: &Refusal) {
        if !self.refused {
            self.decide(refusal.stage, &refusal.reason);
        }
    }

    pub(crate) fn add(&mut self, stage: &'static str, reason: &Reason, mode: StageMode) {
        if self.entries.len() < MOST && !self.refused {
            self.entries.push(Entry {
                stage,
                reason: reason.clone(),
                mode,
            });
        }
    }

    /// What decided is there whatever was said before.
    pub(crate) fn decide(&mut self, stage: &'static str, reason: &Reason) {
        self.entries.truncate(MOST - 1);
        self.add(stage, reason, StageMode::Enforce);
        self.refused = true;
    }
}

//! `SecDefaultAction`: what the rules of a phase do that say nothing else.

use super::tree::{Actions, Disruptive};
use crate::vocabulary::Transformation;

/// The defaults of a phase.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    disruptive: Disruptive,
    status: Option<u16>,
    log: bool,
    audit: bool,
    transformations: Vec<Transformation>,
}

impl Default for Defaults {
    /// ModSecurity's: `log,auditlog,pass`.
    fn default() -> Self {
        Self {
            disruptive: Disruptive::Pass,
            status: None,
            log: true,
            audit: true,
            transformations: Vec::new(),
        }
    }
}

impl Defaults {
    /// From the actions of the directive.
    pub(super) fn new(actions: Actions) -> Self {
        Self {
            disruptive: match actions.disruptive {
                // There is nothing that it could refer to.
                None | Some(Disruptive::Block) => Disruptive::Pass,
                Some(other) => other,
            },
            status: actions.status,
            log: actions.log.unwrap_or(true),
            audit: actions.audit.unwrap_or(true),
            transformations: actions.transformations.unwrap_or_default(),
        }
    }

    /// Fills in what a rule left out. Links within a chain get the transformations only.
    pub(super) fn fill(&self, actions: &mut Actions, is_head: bool, says_none: bool) {
        let own = actions.transformations.take().unwrap_or_default();
        actions.transformations = Some(if says_none {
            own
        } else {
            self.transformations.iter().copied().chain(own).collect()
        });
        if !is_head {
            return;
        }
        actions.log.get_or_insert(self.log);
        actions.audit.get_or_insert(self.audit);
        if matches!(actions.disruptive, None | Some(Disruptive::Block)) {
            actions.status = actions.status.or(self.status);
            actions.disruptive = Some(self.disruptive.clone());
        }
    }
}

//! What a rule's match comes to: what is told of it, and whether the request is interrupted.

use super::evaluate::MATCHES;
use super::{Interrupted, Interruption, Match, Transaction};
use crate::program::{Disruptive, Rule};
use crate::seclang::tree::{Allow, Engine};
use crate::vocabulary::Variable;

/// Bytes of a value that a match keeps.
const KEPT: usize = 256;
/// Of these, before what a pattern matched further behind.
const BEFORE: usize = 64;

impl<'t> Transaction<'t> {
    /// A rule matched: what is told, and what happens.
    pub(super) fn fired(&mut self, rule: &'t Rule) {
        if let Some(severity) = rule.severity
            && severity < self.highest_severity
        {
            self.highest_severity = severity;
            self.unfill(Variable::HighestSeverity);
        }
        if rule.log && self.matches.len() < MATCHES {
            let told = self.told(rule);
            self.matches.push(told);
        }
        let how = match &rule.disruptive {
            Disruptive::Pass => return,
            Disruptive::Allow(allow) => {
                match self.engine {
                    Engine::On => self.allowed = Some(*allow),
                    _ => self.spared = Some(*allow),
                }
                return;
            }
            Disruptive::Deny => Interruption::Deny(rule.status.unwrap_or(403)),
            Disruptive::Drop => Interruption::Drop,
            Disruptive::Redirect(to) => {
                let status = rule.status.filter(|status| matches!(status, 301..=308));
                Interruption::Redirect(status.unwrap_or(302), self.sent(to))
            }
        };
        let interrupted = Interrupted { rule: rule.id, how };
        // What would be is what is where the engine is on: nothing in phase 5, and nothing behind an `allow`.
        match self.engine {
            _ if self.phase == 5 => {}
            Engine::On => {
                self.interrupted.get_or_insert(interrupted);
            }
            _ if self.spared.is_some() => {}
            _ => {
                self.would.get_or_insert(interrupted);
            }
        }
    }

    /// An `allow` that reaches as far as this is over.
    pub(super) fn forget_allowed(&mut self, reach: Allow) {
        for allowed in [&mut self.allowed, &mut self.spared] {
            allowed.take_if(|allowed| *allowed == reach);
        }
    }

    fn told(&mut self, rule: &'t Rule) -> Match {
        let mut piece = None;
        let (variable, value) = match self.matched {
            Some(matched) => {
                let text = self.text_of(matched.value);
                let value = self.work.texts.get(text);
                let (from, to) = self.piece.unwrap_or((0, 0));
                // What was matched, and what stands before it.
                let begin = match to > KEPT {
                    true => from.saturating_sub(BEFORE),
                    false => 0,
                };
                let value = value.get(begin..).unwrap_or_default();
                let value = value
                    .get(..value.len().min(KEPT))
                    .unwrap_or_default()
                    .to_vec();
                let end = (to - begin).min(value.len());
                piece = self.piece.map(|_| ((from - begin).min(end), end));
                (self.full_name(matched), value)
            }
            None => (Vec::new(), Vec::new()),
        };
        Match {
            id: rule.id,
            phase: self.phase,
            message: self.shown(&rule.msg),
            data: self.shown(&rule.logdata),
            severity: rule.severity.unwrap_or(8),
            tags: rule.tags.iter().map(|tag| self.shown(tag)).collect(),
            variable: String::from_utf8_lossy(&variable).into_owned(),
            value,
            piece,
            secret: self.matched.is_some_and(|matched| matched.secret),
            audit: rule.audit && self.audit,
        }
    }
}

//! `SecRuleRemove…` and `SecRuleUpdate…`: applied once all rules are there, so that it does not matter where they stand.

use seawall_model::Wrong;

use super::Reader;
use super::tree::{Actions, Disruptive, Place, Rule, Statement, Target, Which};
use crate::regex::names::NamePattern;

/// An update, and where it stands.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) place: Place,
    pub(super) which: Which,
    pub(super) change: Change,
}

/// What is done to the rules that are meant.
#[derive(Debug)]
pub(super) enum Change {
    Remove,
    Targets(Vec<Target>),
    /// New actions, and whether `t:none` is among them.
    Actions(Box<Actions>, bool),
}

/// Applies all updates.
pub(super) fn apply(reader: &mut Reader<'_>) {
    for update in std::mem::take(&mut reader.updates) {
        let means = match Means::new(&update.which) {
            Ok(means) => means,
            Err(wrong) => {
                reader.file = update.place.file.clone();
                reader.wrong(update.place.line, wrong);
                continue;
            }
        };
        if matches!(update.change, Change::Remove) {
            reader.statements.retain(
                |statement| !matches!(statement, Statement::Rule(rule) if means.rule(rule)),
            );
            continue;
        }
        for statement in &mut reader.statements {
            let Statement::Rule(rule) = statement else {
                continue;
            };
            if !means.rule(rule) {
                continue;
            }
            let Some(head) = rule.links.first_mut() else {
                continue;
            };
            match &update.change {
                Change::Targets(targets) => head.targets.extend(targets.iter().cloned()),
                Change::Actions(actions, says_none) => {
                    merge(&mut head.actions, actions, *says_none)
                }
                Change::Remove => {}
            }
        }
    }
}

/// New actions take the place of old ones of their kind; what can stand often is added.
fn merge(old: &mut Actions, new: &Actions, says_none: bool) {
    let new = new.clone();
    old.disruptive = match new.disruptive {
        None | Some(Disruptive::Block) => old.disruptive.take(),
        other => other,
    };
    old.status = new.status.or(old.status);
    old.log = new.log.or(old.log);
    old.audit = new.audit.or(old.audit);
    old.severity = new.severity.or(old.severity);
    old.skip_after = new.skip_after.or(old.skip_after.take());
    old.logdata = new.logdata.or(old.logdata.take());
    if let Some(msg) = new.msg {
        old.msg = Some(msg);
        old.msg_text = new.msg_text;
    }
    if let Some(transformations) = new.transformations {
        let list = old.transformations.get_or_insert_default();
        if says_none {
            list.clear();
        }
        list.extend(transformations);
    }
    old.multi_match |= new.multi_match;
    old.capture |= new.capture;
    old.tags.extend(new.tags);
    old.tag_texts.extend(new.tag_texts);
    old.effects.extend(new.effects);
}

/// [`Which`], with its pattern compiled.
pub(crate) enum Means<'w> {
    Ids(&'w [(u64, u64)]),
    Tag(NamePattern),
    Msg(NamePattern),
}

impl<'w> Means<'w> {
    /// Compiles the pattern of tags or messages.
    pub(crate) fn new(which: &'w Which) -> Result<Self, Wrong> {
        Ok(match which {
            Which::Ids(ids) => Self::Ids(ids),
            Which::Tag(pattern) => Self::Tag(NamePattern::new(pattern)?),
            Which::Msg(pattern) => Self::Msg(NamePattern::new(pattern)?),
        })
    }

    /// Whether the rule is meant.
    pub(crate) fn rule(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ids) => ids
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&rule.id)),
            Self::Tag(pattern) => rule
                .links
                .iter()
                .flat_map(|link| &link.actions.tag_texts)
                .any(|tag| pattern.is_in(tag.as_bytes())),
            Self::Msg(pattern) => rule
                .links
                .iter()
                .any(|link| pattern.is_in(link.actions.msg_text.as_bytes())),
        }
    }
}

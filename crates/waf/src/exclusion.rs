//! What a zone takes out of a rule set that it shares with others: rules by id or tag, whole or for some of their targets.
//!
//! It is looked up once against a program, and applied to a transaction as if a rule had done so by `ctl` before all others. Not here:
//! which requests it holds for.

use std::sync::Arc;

use seawall_model::Wrong;
use seawall_model::problem::quote;

use crate::program::{Meant, Piece, Program, Rule, Selector, Target};
use crate::regex::names::NamePattern;
use crate::seclang::{exclusion_ids, exclusion_target, tree};
use crate::transaction::Transaction;

/// Rules that are left out, or targets of them.
#[derive(Clone, Debug)]
pub struct Exclusion {
    rules: Meant,
    /// None: the rules are off.
    targets: Vec<Arc<Target>>,
}

impl Exclusion {
    /// Rules by their ids (`942100`, `942000-942999`) and by their tags; all rules where both are empty. Without targets the rules
    /// are off; with targets (`ARGS:comment`, `REQUEST_COOKIES:/^_ga/`) they do not look at those.
    ///
    /// # Errors
    /// All that is wrong: an id or tag that no rule has, a variable that is none.
    pub fn new(
        program: &Program,
        ids: &[String],
        tags: &[String],
        targets: &[String],
    ) -> Result<Self, Vec<Wrong>> {
        let mut wrongs = Vec::new();
        let mut ranges = Vec::new();
        for text in ids {
            match exclusion_ids(text) {
                Ok(more) => ranges.push((text, more)),
                Err(wrong) => wrongs.push(wrong),
            }
        }
        let mut compiled = Vec::new();
        for text in targets {
            match exclusion_target(text).and_then(|target| self::target(&target)) {
                Ok(target) => compiled.push(Arc::new(target)),
                Err(wrong) => wrongs.push(wrong),
            }
        }
        let is_of = |rule: &Rule, ranges: &[(u64, u64)]| {
            ranges
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&rule.id))
        };
        for (text, ranges) in &ranges {
            if !program.rules.iter().any(|rule| is_of(rule, ranges)) {
                let what = format!("no rule has the id {}", quote(text));
                wrongs.push(Wrong::new(
                    what,
                    "name a rule of the rule set, or leave it out",
                ));
            }
        }
        for tag in tags {
            if !program.rules.iter().any(|rule| rule.has_tag(tag)) {
                let what = format!("no rule has the tag {}", quote(tag));
                wrongs.push(Wrong::new(
                    what,
                    "name a tag of the rule set, or leave it out",
                ));
            }
        }
        if !wrongs.is_empty() {
            return Err(wrongs);
        }
        let all = ids.is_empty() && tags.is_empty();
        let mut bits = vec![0u64; program.rules.len().div_ceil(64)];
        for (nth, rule) in program.rules.iter().enumerate() {
            let is_meant = all
                || ranges.iter().any(|(_, ranges)| is_of(rule, ranges))
                || tags.iter().any(|tag| rule.has_tag(tag));
            if is_meant && let Some(word) = bits.get_mut(nth / 64) {
                *word |= 1 << (nth % 64);
            }
        }
        Ok(Self {
            rules: bits.into(),
            targets: compiled,
        })
    }
}

fn target(target: &tree::Target) -> Result<Target, Wrong> {
    let selector = match &target.selector {
        tree::Selector::All => Selector::All,
        tree::Selector::Name(name) => Selector::Name(name.clone()),
        tree::Selector::Pattern(pattern) => Selector::Pattern(Box::new(NamePattern::new(pattern)?)),
    };
    Ok(Target {
        variable: target.variable,
        count: false,
        selector,
    })
}

impl Rule {
    /// Whether one of its tags is this one, letter by letter.
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags
            .iter()
            .any(|template| match template.0.as_slice() {
                [Piece::Text(text)] => text == tag.as_bytes(),
                _ => false,
            })
    }
}

impl Transaction<'_> {
    /// Takes these rules, or targets of them, out for this request. Before the first phase.
    pub fn exclude(&mut self, exclusion: &Exclusion) {
        if exclusion.targets.is_empty() {
            self.remove(&exclusion.rules);
        }
        for target in &exclusion.targets {
            self.remove_target(&exclusion.rules, target);
        }
    }
}

//! SecLang, the language of ModSecurity's rules: from the text of files to a [`RuleSet`], or to all that is wrong with them.
//!
//! Whatever the language has and this engine has not is refused by its name ([`vocabulary`](crate::vocabulary)); nothing is
//! passed over. Not here: IO (a closure gives the data files), and what rules do.

mod actions;
mod condition;
mod control;
mod defaults;
mod directives;
mod lines;
mod targets;
mod template;
pub(crate) mod tree;
pub(crate) mod update;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use seawall_model::problem::quote;
use seawall_model::{Problem, Problems, Wrong};

use crate::vocabulary::Entry;
pub(crate) use actions::SEVERITIES;
use tree::{Link, Place, Rule, Settings, Statement};

/// A file of a rule set: its name, which problems name, and its text.
#[derive(Clone, Copy, Debug)]
pub struct File<'f> {
    /// The name, as problems show it.
    pub name: &'f str,
    /// The text.
    pub text: &'f str,
}

/// Rules as they are written, with updates and removals applied.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(crate) statements: Vec<Statement>,
    pub(crate) settings: Settings,
}

/// Ids and ranges of ids, as `ctl:ruleRemoveById` has them.
pub(crate) fn exclusion_ids(text: &str) -> Result<Vec<(u64, u64)>, Wrong> {
    control::ids(text)
}

/// A target, as `ctl:ruleRemoveTargetById` has it.
pub(crate) fn exclusion_target(text: &str) -> Result<tree::Target, Wrong> {
    let target = targets::target(text)?;
    let bare = text.trim().trim_start_matches(['&', '!']);
    let what = match target.what {
        tree::Look::At => return Ok(target),
        tree::Look::Count => "counts, and an exception is for values",
        tree::Look::Exclude => "is excluded twice: what an exception names is not looked at",
    };
    Err(Wrong::new(
        format!("{} {what}", quote(text)),
        format!("write {}", quote(bare)),
    ))
}

/// How many problems are listed; the others are counted.
const LISTED: usize = 200;

impl RuleSet {
    /// Reads files in their order. `data` gives the bytes of a data file by the name that a rule has for it.
    ///
    /// # Errors
    /// All problems of all files, each with file and line.
    pub fn parse(
        files: &[File<'_>],
        data: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, Problems> {
        let mut reader = Reader::new(data);
        for file in files {
            reader.file(file);
        }
        reader.finish()
    }

    /// How many rules there are; a chain is one.
    pub fn rules(&self) -> usize {
        self.statements
            .iter()
            .filter(|statement| matches!(statement, Statement::Rule(_)))
            .count()
    }
}

/// Reads files into a rule set.
struct Reader<'d> {
    data: &'d condition::Data<'d>,
    file: Arc<str>,
    statements: Vec<Statement>,
    settings: Settings,
    /// By phase.
    defaults: [defaults::Defaults; 5],
    updates: Vec<update::Update>,
    /// A chain that has not ended.
    open: Option<Box<Rule>>,
    /// Where each id was first given.
    ids: HashMap<u64, Place>,
    problems: Problems,
}

impl<'d> Reader<'d> {
    fn new(data: &'d condition::Data<'d>) -> Self {
        Self {
            data,
            file: "".into(),
            statements: Vec::new(),
            settings: Settings::default(),
            defaults: Default::default(),
            updates: Vec::new(),
            open: None,
            ids: HashMap::new(),
            problems: Problems::default(),
        }
    }

    fn file(&mut self, file: &File<'_>) {
        self.file = file.name.into();
        for line in lines::lines(file.text) {
            match words::words(&line.text) {
                Ok(words) => self.directive(&line, &words),
                Err(at) => self.wrong(
                    line.number_at(at),
                    Wrong::new(
                        "a quote is never closed",
                        "close it, or end its line with \\",
                    ),
                ),
            }
        }
        self.end_chain();
    }

    /// A chain must have ended before anything else begins.
    fn end_chain(&mut self) {
        if let Some(rule) = self.open.take() {
            let line = rule.links.last().map_or(1, |link| link.place.line);
            self.wrong(
                line,
                Wrong::new(
                    format!("the chain of rule {} does not end", rule.id),
                    "let a SecRule follow, or leave out `chain`",
                ),
            );
        }
    }

    fn wrong(&mut self, line: u32, wrong: Wrong) {
        if self.problems.list.len() >= LISTED {
            self.problems.more += 1;
            return;
        }
        let mut problem = Problem::new(&*self.file, wrong);
        problem.line = Some(line);
        self.problems.list.push(problem);
    }

    /// Takes a `SecRule` or `SecAction` in.
    fn link(&mut self, link: Link) {
        let chain = link.actions.chain;
        let rule = match self.open.take() {
            Some(mut rule) => {
                self.check_inner(&link);
                rule.links.push(link);
                rule
            }
            None => match self.head(link) {
                Some(rule) => rule,
                None => return,
            },
        };
        if chain {
            self.open = Some(rule);
        } else {
            self.statements.push(Statement::Rule(rule));
        }
    }

    /// The first link of a rule: it has the id, the phase, and what happens.
    fn head(&mut self, link: Link) -> Option<Box<Rule>> {
        let line = link.place.line;
        let phase = link.actions.phase.unwrap_or(2);
        let Some(id) = link.actions.id else {
            self.wrong(
                line,
                Wrong::new("the rule has no id", "add id:… with a number of its own"),
            );
            return None;
        };
        match self.ids.get(&id) {
            Some(first) => {
                let help = format!("it is given at {} line {} already", first.file, first.line);
                self.wrong(
                    line,
                    Wrong::new(format!("the id {id} is given twice"), help),
                );
            }
            None => drop(self.ids.insert(id, link.place.clone())),
        }
        Some(Box::new(Rule {
            id,
            phase,
            links: vec![link],
        }))
    }

    /// What only the head of a chain may say.
    fn check_inner(&mut self, link: &Link) {
        let actions = &link.actions;
        for (is_there, name) in [
            (actions.id.is_some(), "id"),
            (actions.phase.is_some(), "phase"),
            (actions.disruptive.is_some(), "a disruptive action"),
            (actions.skip_after.is_some(), "skipAfter"),
            (actions.skip > 0, "skip"),
        ] {
            if is_there {
                self.wrong(
                    link.place.line,
                    Wrong::new(
                        format!("{name} within a chain"),
                        "only the first rule of a chain has it",
                    ),
                );
            }
        }
    }

    fn finish(mut self) -> Result<RuleSet, Problems> {
        update::apply(&mut self);
        let set = RuleSet {
            statements: self.statements,
            settings: self.settings,
        };
        if self.problems.list.is_empty() {
            return Ok(set);
        }
        // What only compiling finds is told at once, so that nobody mends a set twice.
        let (mut all, faults) = (self.problems, set.faults());
        let room = LISTED.saturating_sub(all.list.len());
        all.more += faults.len().saturating_sub(room) as u64;
        all.list.extend(faults.into_iter().take(room));
        Err(all)
    }
}

/// "did you mean …", or nothing.
fn nearest(word: &str, table: &'static [Entry]) -> String {
    seawall_model::suggest::nearest(word, table.iter().map(|entry| entry.name))
        .map_or_else(String::new, |name| format!("did you mean {name}?"))
}

#[cfg(test)]
mod tests;

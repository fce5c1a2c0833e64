//! Directives, one by one.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::Reader;
use super::actions::actions;
use super::condition::condition;
use super::control::{engine, ids, on_off};
use super::defaults::Defaults;
use super::lines::Line;
use super::targets::targets;
use super::tree::{Actions, Link, Over, Place, Statement, Which};
use super::update::{Change, Update};
use super::words::Word;
use crate::vocabulary::{DIRECTIVES, Directive, Found};

impl Reader<'_> {
    /// Takes one directive in.
    pub(super) fn directive(&mut self, line: &Line, words: &[Word]) {
        let Some((name, arguments)) = words.split_first() else {
            return;
        };
        let number = line.number_at(name.at);
        let directive = match Directive::find(&name.text) {
            Found::Has(directive) => directive,
            Found::Refused(why) => {
                let what = format!("the directive {} is refused", quote(&name.text));
                return self.wrong(number, Wrong::new(what, why));
            }
            Found::Unknown => {
                let what = format!("unknown directive {}", quote(&name.text));
                let help = super::nearest(&name.text, DIRECTIVES);
                return self.wrong(number, Wrong::new(what, help));
            }
        };
        if self.open.is_some() && !matches!(directive, Directive::SecRule | Directive::SecAction) {
            self.end_chain();
        }
        let (least, most) = arguments_of(directive);
        if !(least..=most).contains(&arguments.len()) {
            let what = format!("{} has {} arguments", directive.name(), arguments.len());
            let help = if least == most {
                format!("it takes {least}; one with spaces stands in quotes")
            } else {
                format!("it takes {least} to {most}; one with spaces stands in quotes")
            };
            return self.wrong(number, Wrong::new(what, help));
        }
        match directive {
            Directive::SecRule => self.rule(line, arguments),
            Directive::SecAction => self.action(line, arguments),
            Directive::SecDefaultAction => self.default_action(line, arguments),
            Directive::SecMarker => {
                let name = first(arguments).trim_matches('"').to_owned();
                self.statements.push(Statement::Marker(name));
            }
            _ => {
                let done = self
                    .update(directive, line, arguments)
                    .unwrap_or_else(|| self.setting(directive, first(arguments)));
                if let Err(wrong) = done {
                    self.wrong(number, wrong);
                }
            }
        }
    }

    fn rule(&mut self, line: &Line, arguments: &[Word]) {
        let [looks, operator, rest @ ..] = arguments else {
            return;
        };
        let number = line.number_at(looks.at);
        let targets = targets(&looks.text).unwrap_or_else(|wrong| {
            for (at, wrong) in wrong {
                self.wrong(line.number_at(looks.at + at), wrong);
            }
            Vec::new()
        });
        let condition = condition(&operator.text, line.number_at(operator.at), self.data);
        let condition = condition
            .map_err(|wrong| self.wrong(line.number_at(operator.at), wrong))
            .ok();
        let actions = self.actions(line, rest.first());
        let place = self.place(number);
        self.link(Link {
            place,
            targets,
            condition,
            actions,
        });
    }

    fn action(&mut self, line: &Line, arguments: &[Word]) {
        let actions = self.actions(line, arguments.first());
        let place = self.place(line.number_at(0));
        self.link(Link {
            place,
            targets: Vec::new(),
            condition: None,
            actions,
        });
    }

    fn place(&self, line: u32) -> Place {
        Place {
            file: self.file.clone(),
            line,
        }
    }

    /// The actions of a rule, with the defaults of its phase.
    fn actions(&mut self, line: &Line, word: Option<&Word>) -> Actions {
        let mut all = self.bare_actions(line, word);
        let is_head = self.open.is_none();
        let phase = match &self.open {
            Some(head) => head.phase,
            None => all.phase.unwrap_or(2),
        };
        let says_none = word.is_some_and(|word| says_none(&word.text));
        if let Some(defaults) = self.defaults.get(usize::from(phase.saturating_sub(1))) {
            defaults.fill(&mut all, is_head, says_none);
        }
        all
    }

    fn bare_actions(&mut self, line: &Line, word: Option<&Word>) -> Actions {
        let Some(word) = word else {
            return Actions::default();
        };
        let (all, wrong) = actions(&word.text);
        for (at, wrong) in wrong {
            self.wrong(line.number_at(word.at + at), wrong);
        }
        all
    }

    fn default_action(&mut self, line: &Line, arguments: &[Word]) {
        let actions = self.bare_actions(line, arguments.first());
        let place = actions.phase.map(|phase| usize::from(phase - 1));
        match place.and_then(|place| self.defaults.get_mut(place)) {
            Some(defaults) => *defaults = Defaults::new(actions),
            None => self.wrong(
                line.number_at(0),
                Wrong::new("SecDefaultAction without a phase", "add phase:1 to phase:5"),
            ),
        }
    }

    /// Updates and removals, which are applied when all rules are there.
    fn update(
        &mut self,
        directive: Directive,
        line: &Line,
        arguments: &[Word],
    ) -> Option<Result<(), Wrong>> {
        use Directive as D;
        let joined = || {
            let texts: Vec<_> = arguments.iter().map(|word| word.text.as_str()).collect();
            texts.join(" ")
        };
        let which = match directive {
            D::SecRuleRemoveById => ids(&joined()).map(Which::Ids),
            D::SecRuleUpdateTargetById | D::SecRuleUpdateActionById => {
                ids(first(arguments).split(':').next().unwrap_or_default()).map(Which::Ids)
            }
            D::SecRuleRemoveByTag | D::SecRuleUpdateTargetByTag => {
                Ok(Which::Tag(first(arguments).to_owned()))
            }
            D::SecRuleRemoveByMsg | D::SecRuleUpdateTargetByMsg => {
                Ok(Which::Msg(first(arguments).to_owned()))
            }
            _ => return None,
        };
        let which = match which {
            Ok(which) => which,
            Err(wrong) => return Some(Err(wrong)),
        };
        let second = arguments.get(1);
        let change = match directive {
            D::SecRuleRemoveById | D::SecRuleRemoveByTag | D::SecRuleRemoveByMsg => Change::Remove,
            D::SecRuleUpdateActionById => Change::Actions(
                Box::new(self.bare_actions(line, second)),
                second.is_some_and(|word| says_none(&word.text)),
            ),
            _ => {
                let text = second.map_or("", |word| word.text.as_str());
                match targets(text) {
                    Ok(targets) => Change::Targets(targets),
                    Err(all) => {
                        for (_, wrong) in all {
                            self.wrong(line.number_at(0), wrong);
                        }
                        return Some(Ok(()));
                    }
                }
            }
        };
        let place = self.place(line.number_at(0));
        self.updates.push(Update {
            place,
            which,
            change,
        });
        Some(Ok(()))
    }

    fn setting(&mut self, directive: Directive, value: &str) -> Result<(), Wrong> {
        use Directive as D;
        let set = &mut self.settings;
        match directive {
            D::SecRuleEngine => set.engine = engine(value)?,
            D::SecRequestBodyAccess => set.request_body = on_off(value)?,
            D::SecResponseBodyAccess => set.response_body = on_off(value)?,
            D::SecRequestBodyLimit => set.request_limit = size(value)?,
            D::SecRequestBodyNoFilesLimit => set.request_no_files_limit = size(value)?,
            D::SecResponseBodyLimit => set.response_limit = size(value)?,
            D::SecRequestBodyLimitAction => set.request_over = over(value)?,
            D::SecResponseBodyLimitAction => set.response_over = over(value)?,
            D::SecResponseBodyMimeType => set
                .response_types
                .extend(value.split_whitespace().map(str::to_ascii_lowercase)),
            D::SecResponseBodyMimeTypesClear => set.response_types.clear(),
            D::SecArgumentsLimit => set.arguments = size(value)?,
            D::SecUploadFileLimit => set.uploads = size(value)?,
            D::SecRequestBodyJsonDepthLimit => set.json_depth = size(value)?,
            D::SecCollectionTimeout => set.collection_timeout = size(value)? as u64,
            D::SecArgumentSeparator => match value.as_bytes() {
                [byte] => set.separator = *byte,
                _ => {
                    return Err(Wrong::new(
                        format!("{} is not one character", quote(value)),
                        "write & or ;",
                    ));
                }
            },
            D::SecComponentSignature => set.signatures.push(value.to_owned()),
            _ => {}
        }
        Ok(())
    }
}

fn first(arguments: &[Word]) -> &str {
    arguments.first().map_or("", |word| word.text.as_str())
}

/// Whether `t:none` is among the actions, after which no default transformation holds.
fn says_none(text: &str) -> bool {
    text.split(',')
        .any(|piece| piece.trim().eq_ignore_ascii_case("t:none"))
}

/// The least and the greatest number of arguments.
const fn arguments_of(directive: Directive) -> (usize, usize) {
    use Directive as D;
    match directive {
        D::SecRule => (2, 3),
        D::SecRuleUpdateActionById
        | D::SecRuleUpdateTargetById
        | D::SecRuleUpdateTargetByTag
        | D::SecRuleUpdateTargetByMsg => (2, 2),
        D::SecRuleRemoveById => (1, 10_000),
        D::SecResponseBodyMimeTypesClear => (0, 0),
        D::SecResponseBodyMimeType => (1, 100),
        _ => (1, 1),
    }
}

fn size(value: &str) -> Result<usize, Wrong> {
    value.trim().parse().map_err(|_| {
        Wrong::new(
            format!("{} is no number", quote(value)),
            "write a whole number, such as 131072",
        )
    })
}

fn over(value: &str) -> Result<Over, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "reject" => Ok(Over::Reject),
        "processpartial" => Ok(Over::ProcessPartial),
        _ => Err(Wrong::new(
            format!("{} is unknown", quote(value)),
            "write Reject or ProcessPartial",
        )),
    }
}

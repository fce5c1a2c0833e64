//! Rules that come to the same for each request: they give settings their defaults, and look at nothing but settings.

use super::{
    Change, Disruptive, Effect, Link, Name, Operator, Piece, Program, Rule, Selector, Template,
};
use crate::vocabulary::Variable;

impl Program {
    /// Notes which rules of phase 1 come to the same for each request, as long as those before them do.
    pub(super) fn settle_first(&mut self) {
        let mut first = vec![0; self.rules.len().div_ceil(64)];
        for number in self.phases.first().into_iter().flatten() {
            let rule = self.rules.get(*number as usize);
            if rule.is_some_and(is_same)
                && let Some(word) = first.get_mut(*number as usize / 64)
            {
                *word |= 1 << (number % 64);
            }
        }
        self.first = first;
    }

    /// Whether a rule comes to the same for each request.
    pub(crate) fn is_constant(&self, number: u32) -> bool {
        let word = self.first.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

fn is_same(rule: &Rule) -> bool {
    let tells = rule.log || rule.severity.is_some();
    let is_quiet = !tells && matches!(rule.disruptive, Disruptive::Pass);
    is_quiet && rule.links.iter().all(link_is_same)
}

fn link_is_same(link: &Link) -> bool {
    let looks = link.looks.iter().chain(&link.excludes);
    let mut looks = looks.map(|target| {
        target.variable == Variable::Tx && matches!(target.selector, Selector::Tx(_))
    });
    let operator = match &link.operator {
        Operator::Always | Operator::Never => true,
        Operator::Number(_, template) | Operator::Text(_, template) => template_is_same(template),
        _ => false,
    };
    looks.all(|is_setting| is_setting)
        && operator
        && !link.capture
        && link.effects.iter().all(effect_is_same)
}

fn effect_is_same(effect: &Effect) -> bool {
    match effect {
        Effect::Set(Name::Tx(_), change) => match change {
            Change::ToNumber(_) | Change::ToConstant(_) | Change::Remove => true,
            Change::To(template) | Change::Add(template) | Change::Subtract(template) => {
                template_is_same(template)
            }
        },
        _ => false,
    }
}

fn template_is_same(template: &Template) -> bool {
    let mut pieces = template.0.iter();
    pieces.all(|piece| matches!(piece, Piece::Text(_) | Piece::Tx(_)))
}

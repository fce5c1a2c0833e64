//! Running the rules of a phase: links, operators, matches.

use seawall_model::{Fuel, Spent};

use super::occurrences::VALUE;
use super::store::Value;
use super::{Came, Interrupted, Item, Looked, Matched, Named, Transaction};
use crate::libinjection;
use crate::operators;
use crate::program::{
    Link, Operator, Program, Quick, Right, Rule, Selector, Stays, Target, side_of,
};
use crate::seclang::tree::{Allow, Engine};
use crate::texts::{Kind, Question, Side, TextId};
use crate::vocabulary::Variable;

/// Units for a rule, and for what it does at a match.
pub(super) const RULE: u64 = 15;
const MATCH: u64 = 300;
/// How many matches a request keeps.
pub(super) const MATCHES: usize = 1000;

impl<'t> Transaction<'t> {
    /// Runs a phase.
    pub(super) fn run(
        &mut self,
        phase: u8,
        fuel: &mut Fuel,
    ) -> Result<Option<&Interrupted>, Spent> {
        self.phase = phase;
        let stays = self.stays();
        self.filled &= stays.variables();
        self.empty &= self.filled;
        self.note_read();
        self.work.unions.keep(stays, &self.program.unions_stay);
        let places = &self.program.combinations_stay;
        self.work.combinations.keep(stays, places);
        let mut at = Some(self.begun(fuel)?);
        if self.passes(phase) {
            return Ok(self.interrupted.as_ref());
        }
        while let Some(place) = at {
            at = self.step(place, fuel)?;
        }
        self.forget_allowed(Allow::Phase);
        Ok(self.interrupted.as_ref())
    }

    /// Asks the rule at a place of the phase: the place of the next one, or None at the end.
    #[inline]
    pub(super) fn step(&mut self, at: usize, fuel: &mut Fuel) -> Result<Option<usize>, Spent> {
        let program: &'t Program = self.program;
        let phase = usize::from(self.phase - 1);
        let outlines = program.outlines.get(phase).map_or(&[][..], Vec::as_slice);
        let at = match self.looked {
            None => self.pass_over(outlines, at, fuel)?,
            Some(_) => at,
        };
        let Some(outline) = outlines.get(at) else {
            return Ok(None);
        };
        fuel.spend(RULE)?;
        if self.looked.is_none()
            && let Some(by) = self.ends(outline, fuel)?
        {
            return Ok(Some(at + 1 + by));
        }
        let number = program.phases.get(phase).and_then(|all| all.get(at));
        let number = number.copied().unwrap_or(u32::MAX);
        match program.rules.get(number as usize) {
            Some(rule) => self.ask_rule(at, number, rule, fuel),
            None => Ok(Some(at + 1)),
        }
    }

    /// The same, of a rule that has to be looked at.
    fn ask_rule(
        &mut self,
        at: usize,
        number: u32,
        rule: &'t Rule,
        fuel: &mut Fuel,
    ) -> Result<Option<usize>, Spent> {
        let is_met = match self.is_removed(number) {
            true => {
                self.came = Came::Removed;
                false
            }
            false => self.rule(number, rule, fuel)?,
        };
        if let Some(looked) = &mut self.looked {
            looked.push(Looked {
                id: rule.id,
                phase: self.phase,
                came: self.came,
            });
        }
        if !is_met {
            return Ok(Some(at + 1));
        }
        self.fired(rule);
        let ends = self.interrupted.is_some() || self.allowed.is_some();
        if self.engine == Engine::Off || ends && self.phase < 5 {
            return Ok(None);
        }
        let next = rule.jump.map_or(at + 1, |to| to as usize);
        Ok(Some(next + rule.skip as usize))
    }

    /// What is as it was in the phase before: from the first to the second what the body does not change.
    fn stays(&self) -> Stays {
        match self.phase {
            2 if self.body.bytes.is_empty() => Stays::WITHOUT_BODY,
            2 => Stays::BESIDE_BODY,
            _ => Stays::NOTHING,
        }
    }

    /// Whether nothing is to be asked in this phase.
    fn passes(&mut self, phase: u8) -> bool {
        if self.engine == Engine::Off {
            return true;
        }
        if phase == 5 {
            return false;
        }
        if phase > 2 {
            self.forget_allowed(Allow::Request);
        }
        self.interrupted.is_some() || self.allowed.is_some()
    }

    fn is_removed(&self, number: u32) -> bool {
        has(&self.removed, number)
    }

    /// Whether all links match.
    fn rule(&mut self, number: u32, rule: &'t Rule, fuel: &mut Fuel) -> Result<bool, Spent> {
        self.rule = rule.id;
        for (nth, link) in rule.links.iter().enumerate() {
            if let Some(quick) = &link.quick
                && !self.quick(quick)
            {
                self.came = Came::Gated;
                return Ok(false);
            }
            if nth == 0 {
                // A look at what is known of all texts first: most rules end here.
                if let Some(combination) = link.unions
                    && !self.can_match(link, combination, fuel)?
                {
                    self.came = Came::Absent;
                    return Ok(false);
                }
                self.chain.clear();
            }
            if !self.link(number, link, fuel)? {
                self.came = Came::Unmet;
                return Ok(false);
            }
        }
        self.came = Came::Matched;
        Ok(true)
    }

    pub(super) fn side(&self) -> Side {
        side_of(self.phase)
    }

    /// Whether a link matches any of its values; each match has its effects at once.
    fn link(&mut self, number: u32, link: &'t Link, fuel: &mut Fuel) -> Result<bool, Spent> {
        if link.looks.is_empty() {
            let is_met = !matches!(link.operator, Operator::Never);
            if is_met {
                self.effects(link, fuel)?;
            }
            return Ok(is_met);
        }
        if let Some(quick) = &link.quick
            && self.removed_targets.is_empty()
        {
            // That it holds was found out before.
            let Some(value) = self.compared(quick) else {
                return Ok(false);
            };
            self.hit(link, Variable::Tx, Named::Tx(quick.left), value, fuel)?;
            return Ok(true);
        }
        let mut met = false;
        let mut candidates = std::mem::take(&mut self.work.candidates);
        let result = self.looks(number, link, &mut candidates, &mut met, fuel);
        self.work.candidates = candidates;
        result.map(|()| met)
    }

    fn looks(
        &mut self,
        number: u32,
        link: &'t Link,
        candidates: &mut Vec<Item>,
        met: &mut bool,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        for target in &link.looks {
            candidates.clear();
            self.select(number, link, target, candidates, fuel)?;
            if target.count {
                let count = Value::Number(candidates.len() as i64);
                let name = self.name_of_selector(target);
                let holds = self.holds(link, count, fuel)?;
                if holds != link.negated {
                    *met = true;
                    self.hit(link, target.variable, Named::Text(name), count, fuel)?;
                }
                continue;
            }
            for item in candidates.iter() {
                fuel.spend(VALUE)?;
                self.value(link, target.variable, *item, met, fuel)?;
            }
        }
        Ok(())
    }

    /// Asks the operator of one value: as it is after the pipeline, or with `multiMatch` after each of its steps.
    fn value(
        &mut self,
        link: &'t Link,
        variable: Variable,
        item: Item,
        met: &mut bool,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        if let (Value::Number(_), [node]) = (item.value, link.stages.as_slice())
            && *node == crate::pipeline::Node::ROOT
            && matches!(link.operator, Operator::Number(..))
        {
            if self.holds(link, item.value, fuel)? != link.negated {
                *met = true;
                self.hit(link, variable, Named::Text(item.name), item.value, fuel)?;
            }
            return Ok(());
        }
        let plain = self.text_of(item.value);
        let mut before = None;
        for node in &link.stages {
            let text = self
                .work
                .texts
                .transformed(plain, *node, &self.program.pipelines, fuel)?;
            if before == Some(text) {
                continue;
            }
            before = Some(text);
            if self.holds(link, Value::Text(text), fuel)? != link.negated {
                *met = true;
                self.hit(
                    link,
                    variable,
                    Named::Text(item.name),
                    Value::Text(text),
                    fuel,
                )?;
            }
        }
        Ok(())
    }

    /// A link matched a value.
    fn hit(
        &mut self,
        link: &'t Link,
        variable: Variable,
        name: Named,
        value: Value,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        fuel.spend(MATCH)?;
        self.piece = None;
        let matched = Matched {
            variable,
            name,
            value,
            secret: self.is_secret(variable, name, value),
        };
        if link.capture {
            let text = self.text_of(value);
            self.capture(link, text, fuel)?;
            self.captured(link, matched);
        }
        self.matched = Some(matched);
        if self.chain.len() < MATCHES {
            self.chain.push(matched);
        }
        self.effects(link, fuel)
    }

    /// Sets `TX:0` to `TX:9`.
    fn capture(&mut self, link: &Link, text: TextId, fuel: &mut Fuel) -> Result<(), Spent> {
        use crate::program::TxId;
        if link.negated {
            return Ok(());
        }
        let work = &mut *self.work;
        let matchers = &self.program.matchers;
        let bytes = work.texts.get(text);
        let groups = match &link.operator {
            Operator::Rx(pattern) => matchers.captures(*pattern, bytes, &mut work.cache, fuel)?,
            Operator::Phrases(phrases) => {
                vec![matchers.first_phrase(*phrases, bytes, side_of(self.phase), fuel)?]
            }
            Operator::Sqli => {
                let fingerprint = libinjection::sqli(bytes).unwrap_or_default();
                let id = work.texts.add(fingerprint.as_bytes());
                work.store.set(TxId::group(0), Some(Value::Text(id)));
                return Ok(());
            }
            _ => vec![Some((0, bytes.len()))],
        };
        if groups.is_empty() {
            return Ok(());
        }
        self.piece = groups.first().copied().flatten();
        for nth in 0..10 {
            let span = groups.get(nth as usize).copied().flatten();
            let value = span.map(|(from, to)| {
                let piece = work.texts.get(text).get(from..to).unwrap_or_default();
                work.buffer.clear();
                work.buffer.extend_from_slice(piece);
                Value::Text(work.texts.add(&work.buffer))
            });
            work.store.set(TxId::group(nth), value);
        }
        Ok(())
    }

    /// Whether the operator holds for a value, `!` aside.
    fn holds(&mut self, link: &'t Link, value: Value, fuel: &mut Fuel) -> Result<bool, Spent> {
        if let Operator::Number(order, argument) = &link.operator {
            let left = self.number_of(value);
            if let Some(Quick {
                right: Right::Number(right),
                ..
            }) = &link.quick
            {
                return Ok(order.holds(left, *right));
            }
            let right = self.expanded(argument, fuel, |_, text| operators::number(text))?;
            return Ok(order.holds(left, right));
        }
        let text = self.text_of(value);
        match &link.operator {
            Operator::Always => Ok(true),
            Operator::Never | Operator::Number(..) => Ok(false),
            Operator::Rx(pattern) => self.pattern(*pattern, text, link.unions.is_some(), fuel),
            Operator::Phrases(phrases) => {
                self.scan(text, Kind::Words, fuel)?;
                let bit = self.program.matchers.phrases_bit(*phrases, self.side());
                let hits = self
                    .work
                    .texts
                    .scanned(text, self.side(), Kind::Words)
                    .flatten();
                Ok(bit.is_some_and(|bit| hits.is_some_and(|hits| hits.has(bit))))
            }
            Operator::Text(compare, argument) => {
                let mut buffer = std::mem::take(&mut self.work.buffer);
                buffer.clear();
                let expanded = self.expand(argument, &mut buffer, fuel);
                let bytes = self.work.texts.get(text);
                let paid = fuel.spend((bytes.len() + buffer.len()) as u64 / 2 + 10);
                let holds = paid.is_ok() && compare.holds(bytes, &buffer);
                self.work.buffer = buffer;
                expanded?;
                paid?;
                Ok(holds)
            }
            Operator::Addresses(networks) => {
                let address = std::str::from_utf8(self.work.texts.get(text))
                    .ok()
                    .and_then(|text| text.parse().ok());
                fuel.spend(4 * networks.len() as u64)?;
                Ok(address.is_some_and(|ip| networks.iter().any(|network| network.contains(ip))))
            }
            Operator::Sqli => self.ask(text, Question::Sqli, fuel),
            Operator::Xss => self.ask(text, Question::Xss, fuel),
            _ => {
                let bytes = self.work.texts.get(text);
                fuel.spend(10 + 2 * bytes.len() as u64)?;
                Ok(match &link.operator {
                    Operator::Bytes(allowed) => operators::outside(bytes, allowed),
                    Operator::UrlEncoding => operators::invalid_url_encoding(bytes),
                    Operator::Utf8 => std::str::from_utf8(bytes).is_err(),
                    Operator::Card(pattern) => operators::card_number(bytes, pattern),
                    Operator::Person(number, pattern) => number.is_in(bytes, pattern),
                    _ => false,
                })
            }
        }
    }

    /// Whether a pattern occurs: by the scan, where the text is scanned for it, else by itself.
    pub(super) fn pattern(
        &mut self,
        pattern: crate::program::PatternId,
        text: TextId,
        scans: bool,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        // Where a scan was made it knows; where none was, the text is one that is asked apart.
        if scans
            && let Some(bit) = self.program.matchers.pattern_bit(pattern, self.side())
            && self
                .work
                .texts
                .scanned(text, self.side(), Kind::Patterns)
                .is_some()
        {
            let hits = self
                .work
                .texts
                .scanned(text, self.side(), Kind::Patterns)
                .flatten();
            return Ok(hits.is_some_and(|hits| hits.has(bit)));
        }
        let work = &mut *self.work;
        let bytes = work.texts.get(text);
        self.program
            .matchers
            .occurs(pattern, bytes, &mut work.cache, fuel)
    }

    fn ask(&mut self, text: TextId, question: Question, fuel: &mut Fuel) -> Result<bool, Spent> {
        if let Some(answer) = self.work.texts.answer(text, question) {
            return Ok(answer);
        }
        let bytes = self.work.texts.get(text);
        let answer = match question {
            Question::Sqli => {
                libinjection::may_be_sqli(bytes, self.work.texts.classes(text)) && {
                    fuel.spend(libinjection::sqli_price(bytes))?;
                    libinjection::sqli(bytes).is_some()
                }
            }
            Question::Xss => {
                libinjection::may_be_xss(self.work.texts.classes(text)) && {
                    fuel.spend(libinjection::xss_price(bytes))?;
                    libinjection::xss(bytes)
                }
            }
        };
        self.work.texts.note_answer(text, question, answer);
        Ok(answer)
    }

    /// The values that a target means, without those that are excluded.
    fn select(
        &mut self,
        number: u32,
        link: &Link,
        target: &Target,
        into: &mut Vec<Item>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        self.gather(target, into, fuel)?;
        if link.excludes.is_empty() && self.removed_targets.is_empty() {
            return Ok(());
        }
        let is_of = |other: &&Target| other.variable == target.variable;
        let excludes: Vec<&Target> = link
            .excludes
            .iter()
            .filter(is_of)
            .chain(
                self.removed_targets
                    .iter()
                    .filter(|(meant, _)| has(meant, number))
                    .map(|(_, target)| &**target)
                    .filter(is_of),
            )
            .collect();
        if !excludes.is_empty() {
            fuel.spend(into.len() as u64 * excludes.len() as u64 * VALUE)?;
            into.retain(|item| {
                let name = self.work.texts.get(item.name);
                !excludes
                    .iter()
                    .any(|exclude| self.names(&exclude.selector, name))
            });
        }
        Ok(())
    }

    /// Whether a selector means a name.
    pub(super) fn names(&self, selector: &Selector, name: &[u8]) -> bool {
        match selector {
            Selector::All => true,
            Selector::Name(is) => is.eq_ignore_ascii_case(name),
            Selector::Tx(id) => self.program.names.name(*id).eq_ignore_ascii_case(name),
            Selector::Pattern(pattern) | Selector::TxPattern(pattern, _) => pattern.is_in(name),
        }
    }
}

/// Whether a set of rules has this one.
fn has(rules: &[u64], number: u32) -> bool {
    let word = rules.get(number as usize / 64);
    word.is_some_and(|word| word & (1 << (number % 64)) != 0)
}

//! From a rule set to a program. Everything that can be known is found out here: once, and not for each request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall_model::problem::quote;
use seawall_model::{Network, Problem, Problems, Wrong};

use super::{
    Change, Constants, Disruptive, Effect, Link, Matchers, Name, Names, Operator, PatternId, Piece,
    Program, Quick, Rule, Selector, Target, Template, UnionOf,
};
use crate::operators::{Compare, Order, PersonNumber, byte_range};
use crate::pipeline::{Node, Pipelines};
use crate::regex::names::NamePattern;
use crate::seclang::RuleSet;
use crate::seclang::tree::{self, Argument, Condition, Ctl, Look, Place, Statement, Which};
use crate::seclang::update::Means;
use crate::texts::{Kind, Side};
use crate::vocabulary::{self, Variable};

/// Tells programs apart. It decides nothing but whose caches are whose.
static TAGS: AtomicU64 = AtomicU64::new(1);

/// How a rule set is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The rules up to this paranoia level (1 to 4) are looked for in one pass over a text; those above are asked one by one
    /// where they run at all.
    pub paranoia: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { paranoia: 1 }
    }
}

impl RuleSet {
    /// Compiles the rules.
    ///
    /// # Errors
    /// All problems: patterns that cannot be matched in linear time, markers that are not there, arguments that an operator
    /// cannot have.
    pub fn compile(&self, options: Options) -> Result<Program, Problems> {
        let mut compiler = Compiler::new(self);
        let (rules, phases) = compiler.rules(options);
        compiler.finish(rules, phases)
    }

    /// What is wrong with single rules, for a set that is not to be run.
    pub(crate) fn faults(&self) -> Vec<Problem> {
        let mut compiler = Compiler::new(self);
        compiler.rules(Options::default());
        compiler.problems.list
    }
}

/// What the scan of a side has to look for.
struct Asked {
    patterns: Vec<PatternId>,
    phrases: Vec<u16>,
}

impl Asked {
    const fn new() -> Self {
        Self {
            patterns: Vec::new(),
            phrases: Vec::new(),
        }
    }
}

struct Compiler<'s> {
    set: &'s RuleSet,
    problems: Problems,
    names: Names,
    constants: Constants,
    pipelines: Pipelines,
    matchers: Matchers,
    unions: HashMap<(Variable, Node, Kind), u16>,
    combinations: Vec<Vec<UnionOf>>,
    combination_places: HashMap<Vec<UnionOf>, u16>,
    meant: Vec<super::Meant>,
    /// By side.
    asked: [Asked; 2],
}

/// Which side the rules of a phase look at.
pub(crate) const fn side_of(phase: u8) -> Side {
    if phase <= 2 {
        Side::Request
    } else {
        Side::Response
    }
}

impl<'s> Compiler<'s> {
    fn new(set: &'s RuleSet) -> Self {
        Self {
            set,
            problems: Problems::default(),
            names: Names::new(),
            constants: Constants::default(),
            pipelines: Pipelines::default(),
            matchers: Matchers::default(),
            unions: HashMap::new(),
            combinations: Vec::new(),
            combination_places: HashMap::new(),
            meant: Vec::new(),
            asked: [const { Asked::new() }; 2],
        }
    }
}

impl Compiler<'_> {
    fn rules(&mut self, options: Options) -> (Vec<Rule>, [Vec<u32>; 5]) {
        let mut phases: [Vec<u32>; 5] = Default::default();
        // By phase: where each marker stands.
        let mut markers: [Vec<(String, u32)>; 5] = Default::default();
        let mut jumps = Vec::new();
        let mut rules = Vec::new();
        for statement in &self.set.statements {
            match statement {
                Statement::Marker(name) => {
                    for (list, phase) in markers.iter_mut().zip(&phases) {
                        list.push((name.clone(), phase.len() as u32));
                    }
                }
                Statement::Rule(rule) => {
                    let number = rules.len() as u32;
                    let place = usize::from(rule.phase.saturating_sub(1));
                    let compiled = self.rule(rule, options);
                    if let Some(phase) = phases.get_mut(place) {
                        let wanted = rule.links.first().and_then(|head| {
                            head.actions
                                .skip_after
                                .clone()
                                .map(|name| (name, &head.place))
                        });
                        if let Some((name, at)) = wanted {
                            jumps.push((number, place, phase.len() as u32, name, at));
                        }
                        phase.push(number);
                    }
                    rules.push(compiled);
                }
            }
        }
        for (number, phase, at, name, place) in jumps {
            let target = markers
                .get(phase)
                .and_then(|list| list.iter().find(|(marker, to)| *marker == name && *to > at));
            match (target, rules.get_mut(number as usize)) {
                (Some((_, to)), Some(rule)) => rule.jump = Some(*to),
                _ => self.wrong(
                    place,
                    place.line,
                    Wrong::new(
                        format!("no SecMarker {} follows", quote(&name)),
                        "skipAfter names a marker that stands behind the rule",
                    ),
                ),
            }
        }
        (rules, phases)
    }

    fn wrong(&mut self, place: &Place, line: u32, wrong: Wrong) {
        let mut problem = Problem::new(&*place.file, wrong);
        problem.line = Some(line);
        self.problems.list.push(problem);
    }

    fn finish(mut self, rules: Vec<Rule>, phases: [Vec<u32>; 5]) -> Result<Program, Problems> {
        let [request, response] = std::mem::replace(&mut self.asked, [const { Asked::new() }; 2]);
        for (side, asked) in [(Side::Request, request), (Side::Response, response)] {
            if let Err(wrong) = self.matchers.finish(side, &asked.patterns, &asked.phrases) {
                self.problems.list.push(Problem::new("rule set", wrong));
            }
        }
        if !self.problems.list.is_empty() {
            return Err(self.problems);
        }
        let mut program = Program {
            phases,
            outlines: Default::default(),
            unions_stay: Vec::new(),
            combinations_stay: Vec::new(),
            combination_variables: Vec::new(),
            rules,
            pipelines: self.pipelines,
            matchers: self.matchers,
            names: self.names,
            constants: self.constants,
            gates: Vec::new(),
            first: Vec::new(),
            settings: self.set.settings.clone(),
            unions: self.unions.len(),
            combinations: self.combinations,
            meant: self.meant,
            tag: TAGS.fetch_add(1, Ordering::Relaxed),
        };
        program.settle_unions();
        program.settle_outlines();
        program.settle_first();
        program.settle_names();
        Ok(program)
    }

    fn rule(&mut self, rule: &tree::Rule, options: Options) -> Rule {
        let paranoia = paranoia_of(rule);
        let many = paranoia <= options.paranoia;
        let links = rule
            .links
            .iter()
            .map(|link| self.link(link, rule.phase, many))
            .collect();
        let default = tree::Actions::default();
        let head = rule.links.first().map_or(&default, |head| &head.actions);
        let msg = rule
            .links
            .iter()
            .rev()
            .find_map(|link| link.actions.msg.as_ref());
        let logdata = rule
            .links
            .iter()
            .rev()
            .find_map(|link| link.actions.logdata.as_ref());
        Rule {
            id: rule.id,
            links,
            disruptive: self.disruptive(head.disruptive.as_ref()),
            status: head.status,
            log: head.log.unwrap_or(true),
            audit: head.audit.unwrap_or(true),
            severity: head.severity,
            msg: msg.map(|msg| self.template(msg)).unwrap_or_default(),
            logdata: logdata.map(|data| self.template(data)).unwrap_or_default(),
            tags: head.tags.iter().map(|tag| self.template(tag)).collect(),
            skip: head.skip,
            jump: None,
        }
    }

    fn disruptive(&mut self, action: Option<&tree::Disruptive>) -> Disruptive {
        match action {
            None | Some(tree::Disruptive::Pass | tree::Disruptive::Block) => Disruptive::Pass,
            Some(tree::Disruptive::Deny) => Disruptive::Deny,
            Some(tree::Disruptive::Drop) => Disruptive::Drop,
            Some(tree::Disruptive::Allow(allow)) => Disruptive::Allow(*allow),
            Some(tree::Disruptive::Redirect(to)) => Disruptive::Redirect(self.template(to)),
        }
    }

    fn link(&mut self, link: &tree::Link, phase: u8, many: bool) -> Link {
        let actions = &link.actions;
        let transformations = actions.transformations.clone().unwrap_or_default();
        let pipeline = self.pipelines.add(&transformations).unwrap_or_else(|| {
            self.wrong(
                &link.place,
                link.place.line,
                Wrong::new("too many different transformations", "use fewer pipelines"),
            );
            Node::ROOT
        });
        let operator = match &link.condition {
            None => Operator::Always,
            Some(condition) => self.operator(condition, link, side_of(phase)),
        };
        let negated = link
            .condition
            .as_ref()
            .is_some_and(|condition| condition.negated);
        let mut looks = Vec::new();
        let mut excludes = Vec::new();
        for target in &link.targets {
            match self.target(target) {
                Ok(compiled) if target.what == Look::Exclude => excludes.push(compiled),
                Ok(compiled) => looks.push(compiled),
                Err(wrong) => self.wrong(&link.place, link.place.line, wrong),
            }
        }
        let stages = if actions.multi_match {
            self.pipelines.path(pipeline)
        } else {
            vec![pipeline]
        };
        let unions = if many && !negated {
            self.unions(&looks, &operator, &stages, side_of(phase))
        } else {
            None
        };
        let quick = Quick::of(&looks, &excludes, &operator, negated, &stages);
        let effects = actions
            .effects
            .iter()
            .filter_map(|effect| self.effect(effect, &link.place))
            .collect();
        Link {
            looks,
            excludes,
            stages,
            operator,
            negated,
            capture: actions.capture,
            effects,
            quick,
            bit: None,
            unions,
        }
    }

    /// Whether one scan of each text can say that nothing matches, and of which texts.
    fn unions(
        &mut self,
        looks: &[Target],
        operator: &Operator,
        stages: &[Node],
        side: Side,
    ) -> Option<u16> {
        // What a scan found is remembered for the phase.
        let is_wide = |target: &Target| !target.count && !target.variable.may_change();
        if looks.is_empty() || !looks.iter().all(is_wide) {
            return None;
        }
        let asked = self.asked.get_mut(side as usize)?;
        let kind = match operator {
            Operator::Rx(pattern) => {
                asked.patterns.push(*pattern);
                Kind::Patterns
            }
            Operator::Phrases(_) => Kind::Words,
            _ => return None,
        };
        let mut all = Vec::new();
        for target in looks {
            for node in stages {
                let next = self.unions.len();
                let place = *self
                    .unions
                    .entry((target.variable, *node, kind))
                    .or_insert(next as u16);
                let union = UnionOf {
                    place,
                    variable: target.variable,
                    node: *node,
                    kind,
                };
                if !all.contains(&union) {
                    all.push(union);
                }
            }
        }
        if let Some(place) = self.combination_places.get(&all) {
            return Some(*place);
        }
        let place = u16::try_from(self.combinations.len()).ok()?;
        self.combinations.push(all.clone());
        self.combination_places.insert(all, place);
        Some(place)
    }

    fn operator(&mut self, condition: &Condition, link: &tree::Link, side: Side) -> Operator {
        self.try_operator(condition, link.actions.capture, side)
            .unwrap_or_else(|wrong| {
                self.wrong(&link.place, condition.line, wrong);
                Operator::Never
            })
    }

    fn try_operator(
        &mut self,
        condition: &Condition,
        capture: bool,
        side: Side,
    ) -> Result<Operator, Wrong> {
        use vocabulary::Operator as O;
        let empty = tree::Template::default();
        let (text, template, list) = match &condition.argument {
            Argument::Text(text) => (text.as_str(), &empty, &[][..]),
            Argument::Template(template) => ("", template, &[][..]),
            Argument::List(list) => ("", &empty, list.as_slice()),
        };
        let compare = |this: &mut Self, how| Operator::Text(how, this.template(template));
        let order = |this: &mut Self, how| Operator::Number(how, this.template(template));
        Ok(match condition.operator {
            O::Rx | O::RxGlobal => Operator::Rx(self.matchers.pattern(text, capture)?),
            O::Pm | O::Pmf | O::PmFromFile => {
                let phrases = self.matchers.phrases(list);
                let id =
                    phrases.ok_or_else(|| Wrong::new("too many lists of phrases", "use fewer"))?;
                if let Some(asked) = self.asked.get_mut(side as usize) {
                    asked.phrases.push(id);
                }
                Operator::Phrases(id)
            }
            O::BeginsWith => compare(self, Compare::Begins),
            O::Contains | O::StrMatch => compare(self, Compare::Contains),
            O::ContainsWord => compare(self, Compare::Word),
            O::EndsWith => compare(self, Compare::Ends),
            O::StrEq => compare(self, Compare::Equals),
            O::Within => compare(self, Compare::Within),
            O::Eq => order(self, Order::Eq),
            O::Ge => order(self, Order::Ge),
            O::Gt => order(self, Order::Gt),
            O::Le => order(self, Order::Le),
            O::Lt => order(self, Order::Lt),
            O::IpMatch | O::IpMatchF | O::IpMatchFromFile => {
                let networks = list
                    .iter()
                    .map(|text| Network::parse(&String::from_utf8_lossy(text)));
                Operator::Addresses(networks.collect::<Result<_, _>>()?)
            }
            O::ValidateByteRange => {
                let range = byte_range(text).ok_or_else(|| {
                    Wrong::new(
                        format!("{} is no range of bytes", quote(text)),
                        "write 1-255, or 9,10,13,32-126",
                    )
                })?;
                Operator::Bytes(Box::new(range))
            }
            O::ValidateUrlEncoding => Operator::UrlEncoding,
            O::ValidateUtf8Encoding => Operator::Utf8,
            O::DetectSqli => Operator::Sqli,
            O::DetectXss => Operator::Xss,
            O::NoMatch => Operator::Never,
            O::UnconditionalMatch => Operator::Always,
            O::VerifyCc => Operator::Card(Box::new(NamePattern::new(text)?)),
            O::VerifyCpf => person(PersonNumber::Cpf, text)?,
            O::VerifySsn => person(PersonNumber::Ssn, text)?,
            O::VerifySvnr => person(PersonNumber::Svnr, text)?,
        })
    }

    fn target(&mut self, target: &tree::Target) -> Result<Target, Wrong> {
        let selector = match &target.selector {
            tree::Selector::All => Selector::All,
            tree::Selector::Name(name) if target.variable == Variable::Tx => {
                Selector::Tx(self.names.add(name))
            }
            tree::Selector::Name(name) => Selector::Name(name.clone()),
            tree::Selector::Pattern(pattern) if target.variable == Variable::Tx => {
                Selector::TxPattern(Box::new(NamePattern::new(pattern)?), Vec::new())
            }
            tree::Selector::Pattern(pattern) => {
                Selector::Pattern(Box::new(NamePattern::new(pattern)?))
            }
        };
        Ok(Target {
            variable: target.variable,
            count: target.what == Look::Count,
            selector,
        })
    }

    fn template(&mut self, template: &tree::Template) -> Template {
        let pieces = template.pieces.iter().map(|piece| match piece {
            tree::Piece::Text(text) => Piece::Text(text.clone()),
            tree::Piece::Macro(Variable::Tx, tree::Selector::Name(name)) => {
                Piece::Tx(self.names.add(name))
            }
            tree::Piece::Macro(variable, tree::Selector::Name(name)) => {
                Piece::Variable(*variable, name.clone())
            }
            tree::Piece::Macro(variable, _) => Piece::Variable(*variable, Vec::new()),
        });
        Template(pieces.collect())
    }

    fn name(&mut self, collection: Variable, name: &tree::Template) -> Name {
        if collection != Variable::Tx {
            return Name::Kept(collection, self.template(name));
        }
        match name.constant() {
            Some(text) => Name::Tx(self.names.add(&text.to_ascii_lowercase())),
            None => Name::TxTemplate(self.template(name)),
        }
    }

    fn effect(&mut self, effect: &tree::Effect, place: &Place) -> Option<Effect> {
        Some(match effect {
            tree::Effect::Set(collection, name, change) => {
                let change = match change {
                    tree::Change::To(value) => self.becomes(value),
                    tree::Change::Add(value) => Change::Add(self.template(value)),
                    tree::Change::Subtract(value) => Change::Subtract(self.template(value)),
                    tree::Change::Remove => Change::Remove,
                };
                Effect::Set(self.name(*collection, name), change)
            }
            tree::Effect::Expire(collection, name, seconds) => {
                Effect::Expire(self.name(*collection, name), self.template(seconds))
            }
            tree::Effect::Open(collection, key) => Effect::Open(*collection, self.template(key)),
            tree::Effect::Control(ctl) => return self.control(ctl, place),
        })
    }

    fn becomes(&mut self, value: &tree::Template) -> Change {
        match value.constant() {
            None => Change::To(self.template(value)),
            Some(text) => match plain_number(text) {
                Some(number) => Change::ToNumber(number),
                None => Change::ToConstant(self.constants.add(text)),
            },
        }
    }

    fn control(&mut self, ctl: &Ctl, place: &Place) -> Option<Effect> {
        Some(match ctl {
            Ctl::Audit(on) => Effect::Audit(*on),
            Ctl::ForceRequestBody(on) => Effect::ForceRequestBody(*on),
            Ctl::RequestBody(on) => Effect::RequestBody(*on),
            Ctl::ResponseBody(on) => Effect::ResponseBody(*on),
            Ctl::Processor(processor) => Effect::Processor(*processor),
            Ctl::Engine(engine) => Effect::Engine(*engine),
            Ctl::Remove(which) => Effect::Remove(self.meant(which, place)?),
            Ctl::RemoveTarget(which, target) => {
                let rules = self.meant(which, place)?;
                match self.target(target) {
                    Ok(target) => Effect::RemoveTarget(rules, target.into()),
                    Err(wrong) => {
                        self.wrong(place, place.line, wrong);
                        return None;
                    }
                }
            }
        })
    }

    /// The rules that are meant, as bits by their numbers.
    fn meant(&mut self, which: &Which, place: &Place) -> Option<u32> {
        let means = match Means::new(which) {
            Ok(means) => means,
            Err(wrong) => {
                self.wrong(place, place.line, wrong);
                return None;
            }
        };
        let rules = self
            .set
            .statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Rule(rule) => Some(rule),
                Statement::Marker(_) => None,
            });
        let mut bits = Vec::new();
        for (nth, rule) in rules.enumerate() {
            if nth % 64 == 0 {
                bits.push(0u64);
            }
            if means.rule(rule)
                && let Some(word) = bits.last_mut()
            {
                *word |= 1 << (nth % 64);
            }
        }
        self.meant.push(bits.into());
        Some(self.meant.len() as u32 - 1)
    }
}

fn person(number: PersonNumber, pattern: &str) -> Result<Operator, Wrong> {
    let pattern = NamePattern::new(pattern)?;
    Ok(Operator::Person(number, Box::new(pattern)))
}

/// The paranoia level that a rule's tags name; 1 when they name none.
fn paranoia_of(rule: &tree::Rule) -> u8 {
    rule.links
        .iter()
        .flat_map(|link| &link.actions.tag_texts)
        .find_map(|tag| tag.strip_prefix("paranoia-level/")?.parse().ok())
        .unwrap_or(1)
}

/// A number that is written as numbers are printed.
fn plain_number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

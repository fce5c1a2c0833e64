//! Rules as they run: names resolved, pipelines shared, patterns compiled, jumps known.
//!
//! A program is made once for a rule set and shared by all zones and threads that use it; it never changes. Not here: what a
//! request has, and running (`transaction`).

mod compile;
mod constants;
mod gate;
mod matchers;
mod names;
mod prefilter;
mod quick;
mod same;
mod settle;
mod stays;

use std::sync::Arc;

use seawall_model::Network;

use crate::operators::{Compare, Order, PersonNumber};
use crate::pipeline::{Node, Pipelines};
use crate::regex::names::NamePattern;
use crate::seclang::tree::{Allow, Engine, Processor, Settings};
use crate::texts::Kind;
use crate::vocabulary::Variable;
pub use compile::Options;
pub(crate) use compile::side_of;
pub(crate) use constants::{ConstantId, Constants};
pub use gate::{Cost, MOST_UNITS};
pub(crate) use matchers::{BUDGET, MatcherCache, Matchers, PatternId};
pub(crate) use names::{Names, TxId};
pub(crate) use quick::{Quick, Right};
pub(crate) use stays::Stays;

/// A set of rules: a bit for each.
pub(crate) type Meant = Arc<[u64]>;

/// A rule set, compiled.
#[derive(Debug)]
pub struct Program {
    /// By phase: the rules in their order.
    pub(crate) phases: [Vec<u32>; 5],
    /// Beside `phases`: what ends most rules before anybody looks at them. It is small, so that a request walks through little memory.
    pub(crate) outlines: [Vec<Outline>; 5],
    /// The comparisons of outlines.
    pub(crate) gates: Vec<Quick>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) pipelines: Pipelines,
    pub(crate) matchers: Matchers,
    pub(crate) names: Names,
    pub(crate) constants: Constants,
    pub(crate) settings: Settings,
    /// How many unions of hits there are to remember.
    pub(crate) unions: usize,
    /// Of each union, and of each combination, whether it stays from one phase to the next ([`Stays`]).
    pub(crate) unions_stay: Vec<u8>,
    pub(crate) combinations_stay: Vec<u8>,
    /// Of each combination the variables: a bit for each.
    pub(crate) combination_variables: Vec<u128>,
    /// What links look at together: many look at the same.
    pub(crate) combinations: Vec<Vec<UnionOf>>,
    /// Rules of phase 1 that come to the same for each request: a bit for each.
    pub(crate) first: Vec<u64>,
    /// What a set of rules means that `ctl` removes: a bit for each rule.
    pub(crate) meant: Vec<Meant>,
    /// Which program this is: what a thread built for one is nothing to another.
    pub(crate) tag: u64,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) disruptive: Disruptive,
    pub(crate) status: Option<u16>,
    pub(crate) log: bool,
    pub(crate) audit: bool,
    pub(crate) severity: Option<u8>,
    pub(crate) msg: Template,
    pub(crate) logdata: Template,
    pub(crate) tags: Vec<Template>,
    /// Rules to pass over after a match.
    pub(crate) skip: u32,
    /// The place in the phase to go on at after a match.
    pub(crate) jump: Option<u32>,
}

/// What a match does to the request.
#[derive(Clone, Debug)]
pub(crate) enum Disruptive {
    Pass,
    Deny,
    Drop,
    Allow(Allow),
    Redirect(Template),
}

/// A link of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    /// What to look at; for `SecAction` nothing, and it matches.
    pub(crate) looks: Vec<Target>,
    pub(crate) excludes: Vec<Target>,
    /// The end of its pipeline; with `multiMatch`, all nodes up to it.
    pub(crate) stages: Vec<Node>,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    pub(crate) capture: bool,
    pub(crate) effects: Vec<Effect>,
    /// What alone decides that it does not match: a number in TX against another.
    pub(crate) quick: Option<Quick>,
    /// The bit of its pattern or phrases in the scan of its side.
    pub(crate) bit: Option<u16>,
    /// The place of the combination of unions that says whether anything can match; None when none can.
    pub(crate) unions: Option<u16>,
}

/// What alone decides that a rule does not match, in a few bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outline {
    /// Nothing: it has to be asked.
    Open,
    /// A comparison, by its place in `gates`.
    Gate(u16),
    /// The same, and all that a match does is to go on elsewhere: at the place of the phase that is so far behind the next rule.
    Jump { gate: u16, by: u16 },
    /// That its bit is not in what occurs in the texts of a combination.
    Absent { combination: u16, bit: u16 },
}

/// All texts of a variable behind a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnionOf {
    pub(crate) place: u16,
    pub(crate) variable: Variable,
    pub(crate) node: Node,
    pub(crate) kind: Kind,
}

impl UnionOf {
    /// Whether the texts of this variable are asked for each pattern alone: whole bodies are long, and few rules look at them.
    pub(crate) fn is_apart(&self) -> bool {
        is_apart(self.variable, self.kind)
    }
}

/// As [`UnionOf::is_apart`].
pub(crate) fn is_apart(variable: Variable, kind: Kind) -> bool {
    kind == Kind::Patterns && variable == Variable::RequestBody
}

/// A target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) variable: Variable,
    pub(crate) count: bool,
    pub(crate) selector: Selector,
}

/// Which values of a variable.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    All,
    Name(Vec<u8>),
    Tx(TxId),
    Pattern(Box<NamePattern>),
    /// Of TX: the pattern, and those of the names that rules mention which it fits.
    TxPattern(Box<NamePattern>, Vec<TxId>),
}

/// An operator.
#[derive(Debug)]
pub(crate) enum Operator {
    Always,
    Never,
    Rx(PatternId),
    /// Phrases, by their number.
    Phrases(u16),
    Text(Compare, Template),
    Number(Order, Template),
    Addresses(Vec<Network>),
    Bytes(Box<[bool; 256]>),
    UrlEncoding,
    Utf8,
    Sqli,
    Xss,
    Card(Box<NamePattern>),
    Person(PersonNumber, Box<NamePattern>),
}

/// Text with macros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template(pub(crate) Vec<Piece>);

/// A piece of a template.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Tx(TxId),
    Variable(Variable, Vec<u8>),
}

/// The name of a variable that is written.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Tx(TxId),
    /// Of TX, known only when it runs.
    TxTemplate(Template),
    Kept(Variable, Template),
}

/// How a variable changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    ToNumber(i64),
    ToConstant(ConstantId),
    To(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}

/// What a match does besides.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Set(Name, Change),
    Expire(Name, Template),
    Open(Variable, Template),
    Audit(bool),
    ForceRequestBody(bool),
    RequestBody(bool),
    ResponseBody(bool),
    Processor(Processor),
    Engine(Engine),
    /// Rules are off, by the place of their set in `meant`.
    Remove(u32),
    /// A target is no target of these rules.
    RemoveTarget(u32, Arc<Target>),
}

impl Program {
    /// Bytes that it takes, roughly: what patterns and phrases take, which is nearly all.
    pub fn memory(&self) -> usize {
        self.matchers.memory() + self.rules.len() * size_of::<Rule>()
    }

    /// The media types of responses whose bodies rules look at.
    pub fn response_types(&self) -> &[String] {
        &self.settings.response_types
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// How many different patterns there are, and how many of them are found in one pass over a text.
    pub fn patterns(&self) -> (usize, usize) {
        self.matchers.counts()
    }
}

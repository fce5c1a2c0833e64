//! What a rule set says, as a tree: rules with their targets, conditions and actions. Nothing is resolved yet.

use std::sync::Arc;

use crate::vocabulary::{Operator, Transformation, Variable};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
}

/// What stands in the order of the files.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Rule(Box<Rule>),
    Marker(String),
}

/// A rule with its chain: all of its links have to match.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    /// 1 to 5.
    pub(crate) phase: u8,
    pub(crate) links: Vec<Link>,
}

/// One `SecRule` or `SecAction`.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) place: Place,
    /// Empty for `SecAction`.
    pub(crate) targets: Vec<Target>,
    /// None for `SecAction`.
    pub(crate) condition: Option<Condition>,
    pub(crate) actions: Actions,
}

/// A variable that a rule looks at, or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) what: Look,
    pub(crate) variable: Variable,
    pub(crate) selector: Selector,
}

/// What to do with a target's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    At,
    Count,
    Exclude,
}

/// Which of the values of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    All,
    /// The name, in lower case.
    Name(Vec<u8>),
    /// A pattern of names, in any case.
    Pattern(String),
}

/// An operator with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) negated: bool,
    pub(crate) operator: Operator,
    pub(crate) argument: Argument,
    /// Where in the file it stands.
    pub(crate) line: u32,
}

/// The argument of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    Template(Template),
    /// Words or networks, one for each.
    List(Vec<Vec<u8>>),
}

/// Text with macros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Macro(Variable, Selector),
}

/// What happens to the request when a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disruptive {
    Pass,
    Block,
    Deny,
    Drop,
    Allow(Allow),
    Redirect(Template),
}

/// How far `allow` reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allow {
    /// The rest of the phases but logging.
    All,
    /// The rest of this phase.
    Phase,
    /// The phases of the request.
    Request,
}

/// Something that is done whenever a link matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Set(Variable, Template, Change),
    Expire(Variable, Template, Template),
    /// A collection that outlives requests, by its key.
    Open(Variable, Template),
    Control(Ctl),
}

/// How `setvar` changes a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    To(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}

/// Which rules a removal or update means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Ranges of ids, both ends included.
    Ids(Vec<(u64, u64)>),
    /// A pattern of tags.
    Tag(String),
    /// A pattern of messages.
    Msg(String),
}

/// What `ctl` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ctl {
    /// Whether events of this request are kept.
    Audit(bool),
    ForceRequestBody(bool),
    RequestBody(bool),
    ResponseBody(bool),
    Processor(Processor),
    Engine(Engine),
    Remove(Which),
    RemoveTarget(Which, Target),
}

/// Who reads a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    UrlEncoded,
    Multipart,
    Json,
    Xml,
}

impl Processor {
    /// Its name, as `REQBODY_PROCESSOR` gives it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }
}

/// Whether rules judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// No rule runs.
    Off,
    /// Rules run, and nothing is ever interrupted.
    DetectionOnly,
    /// Rules run and interrupt.
    #[default]
    On,
}

/// All actions of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) id: Option<u64>,
    pub(crate) phase: Option<u8>,
    pub(crate) disruptive: Option<Disruptive>,
    pub(crate) status: Option<u16>,
    pub(crate) log: Option<bool>,
    pub(crate) audit: Option<bool>,
    pub(crate) msg: Option<Template>,
    /// The message as it is written.
    pub(crate) msg_text: String,
    pub(crate) logdata: Option<Template>,
    /// 0 (emergency) to 7 (debug).
    pub(crate) severity: Option<u8>,
    pub(crate) tags: Vec<Template>,
    /// The tags as they are written.
    pub(crate) tag_texts: Vec<String>,
    pub(crate) version: String,
    /// `t:none` among the transformations empties this; None when no `t` stands there.
    pub(crate) transformations: Option<Vec<Transformation>>,
    pub(crate) multi_match: bool,
    pub(crate) capture: bool,
    pub(crate) chain: bool,
    pub(crate) skip: u32,
    pub(crate) skip_after: Option<String>,
    pub(crate) effects: Vec<Effect>,
}

/// What directives set for the whole rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) engine: Engine,
    pub(crate) request_body: bool,
    pub(crate) response_body: bool,
    /// Bytes.
    pub(crate) request_limit: usize,
    pub(crate) request_no_files_limit: usize,
    pub(crate) response_limit: usize,
    pub(crate) request_over: Over,
    pub(crate) response_over: Over,
    pub(crate) response_types: Vec<String>,
    pub(crate) arguments: usize,
    pub(crate) uploads: usize,
    pub(crate) json_depth: usize,
    pub(crate) separator: u8,
    /// Seconds that a collection is kept.
    pub(crate) collection_timeout: u64,
    pub(crate) signatures: Vec<String>,
}

/// What happens to what is longer than a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Reject,
    ProcessPartial,
}

impl Default for Settings {
    /// ModSecurity's recommended configuration.
    fn default() -> Self {
        Self {
            engine: Engine::On,
            request_body: true,
            response_body: true,
            request_limit: 13_107_200,
            request_no_files_limit: 131_072,
            response_limit: 524_288,
            request_over: Over::Reject,
            response_over: Over::ProcessPartial,
            response_types: ["text/plain", "text/html", "text/xml"]
                .map(String::from)
                .into(),
            arguments: 1000,
            uploads: 100,
            json_depth: 512,
            separator: b'&',
            collection_timeout: 3600,
            signatures: Vec::new(),
        }
    }
}

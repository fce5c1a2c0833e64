//! A request on its way through the rules.
//!
//! Phases are asked for in their order, each when what it looks at is there: 1 the head, 2 the body, 3 the response's head, 4 its
//! body, 5 the log. Each returns whether the request is to be interrupted; who runs the transaction does what is said. Everything
//! is synchronous and paid for with fuel. Not here: IO, clocks, holding bodies.

mod begun;
mod body;
mod cookies;
mod effects;
mod evaluate;
mod expand;
mod left;
mod looked;
mod occurrences;
mod outcome;
mod outlines;
mod secrets;
mod singles;
mod store;
mod values;
mod warm;

use std::net::IpAddr;
use std::sync::Arc;

use seawall_model::{Fuel, Spent};

use crate::body::multipart::Flags;
use crate::program::{BUDGET, MatcherCache, Meant, Program, Target, TxId};
use crate::request::{Body, Request, Response};
use crate::seclang::SEVERITIES;
use crate::seclang::tree::{Allow, Engine, Processor};
use crate::texts::{TextId, Texts};
use crate::vocabulary::Variable;
use begun::Begins;
pub use left::Left;
pub use looked::{Came, Looked};
use occurrences::Occurrences;
use secrets::Secrets;
pub use store::{Change, Collection, Collections, How, Kept, Nothing};
use store::{Store, Value};

/// Memory that a thread keeps from one request to the next: texts, and the states that patterns have built.
#[derive(Debug, Default)]
pub struct Workspace {
    texts: Texts,
    /// By variable.
    items: Vec<Vec<Item>>,
    store: Store,
    unions: Occurrences,
    /// By combination: what occurs in any of its unions.
    combinations: Occurrences,
    cache: MatcherCache,
    /// Which program the states belong to.
    program: u64,
    candidates: Vec<Item>,
    /// By number: the text of a name of TX, once somebody asked for it.
    tx_names: Vec<Option<TextId>>,
    buffer: Vec<u8>,
    begins: Begins,
}

/// A value of a variable.
#[derive(Clone, Copy, Debug)]
struct Item {
    name: TextId,
    value: Value,
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule.
    pub id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// Its message, macros expanded; what may be a secret is masked.
    pub message: String,
    /// Its `logdata`, in the same way.
    pub data: String,
    /// 0 (emergency) to 7 (debug); 8 when the rule says none.
    pub severity: u8,
    /// Its tags.
    pub tags: Vec<String>,
    /// The variable in which it matched last: `ARGS:name`.
    pub variable: String,
    /// What that was, after transformations; at most 256 bytes, around what the pattern matched.
    pub value: Vec<u8>,
    /// What of it the pattern or phrase matched, where the rule captures it.
    pub piece: Option<(usize, usize)>,
    /// Whether what it matched in may be a secret, or hold one, by the name of where that came from.
    pub secret: bool,
    /// Whether the rule wants an event of its own (`auditlog`).
    pub audit: bool,
}

impl Match {
    /// The name of its severity.
    pub fn severity_name(&self) -> Option<&'static str> {
        SEVERITIES.get(usize::from(self.severity)).copied()
    }
}

/// What is to be done with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Answer with this status.
    Deny(u16),
    /// Close the connection.
    Drop,
    /// Send the client elsewhere.
    Redirect(u16, String),
}

/// What interrupted, or would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The rule.
    pub rule: u64,
    /// What it does.
    pub how: Interruption,
}

/// What a zone sets for its transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Whether rules interrupt; None for what the rule set says.
    pub engine: Option<Engine>,
    /// Variables of TX that are there before the first rule: paranoia, thresholds.
    pub variables: Vec<(String, String)>,
    /// Whether of a body that is cut off what is there is looked at, whatever the rule set says.
    pub partial: bool,
}

/// What was matched, for `MATCHED_VAR` and its kin.
#[derive(Clone, Copy, Debug)]
struct Matched {
    variable: Variable,
    name: Named,
    value: Value,
    /// Whether it may be a secret, or hold one.
    secret: bool,
}

impl Matched {
    /// Whether it has a text of the request's.
    const fn is_text(self) -> bool {
        matches!(self.value, Value::Text(_)) || matches!(self.name, Named::Text(_))
    }
}

/// The name of what was matched: texts are made of names and numbers when somebody asks for them.
#[derive(Clone, Copy, Debug)]
enum Named {
    Text(TextId),
    Tx(TxId),
}

/// A request on its way through the rules.
pub struct Transaction<'t> {
    program: &'t Program,
    request: Request<'t>,
    response: Option<Response<'t>>,
    body: Body<'t>,
    /// What else its reader may take for the body.
    readings: &'t [&'t [u8]],
    response_body: Body<'t>,
    work: &'t mut Workspace,
    collections: &'t mut dyn Collections,
    engine: Engine,
    phase: u8,
    /// Which of the begins of the workspace is still to be set.
    begin: Option<usize>,
    /// Variables whose items are there, by bits.
    filled: u128,
    /// Of these, and of those that are read at once, the ones that have no value.
    empty: u128,
    matched: Option<Matched>,
    /// What of it the pattern matched, where that was captured.
    piece: Option<(usize, usize)>,
    /// What became of each rule, for who asks.
    looked: Option<Vec<Looked>>,
    /// What becomes of the rule that runs.
    came: Came,
    chain: Vec<Matched>,
    /// Texts that rules made of secrets.
    secrets: Secrets,
    /// The rule that runs.
    rule: u64,
    matches: Vec<Match>,
    interrupted: Option<Interrupted>,
    would: Option<Interrupted>,
    allowed: Option<Allow>,
    /// What would be allowed, where the engine only detects: rules are asked all the same, and would not interrupt.
    spared: Option<Allow>,
    audit: bool,
    highest_severity: u8,
    /// Rules that are off, by bits.
    removed: Vec<u64>,
    removed_targets: Vec<(Meant, Arc<Target>)>,
    opened: Vec<Collection>,
    processor: Option<Processor>,
    force_body: bool,
    partial: bool,
    reads_body: bool,
    reads_response: bool,
    body_error: Option<&'static str>,
    url_error: bool,
    flags: Option<Flags>,
    part_sizes: Vec<(TextId, usize)>,
}

impl<'t> Transaction<'t> {
    /// Begins a transaction.
    pub fn new(
        program: &'t Program,
        zone: &Zone,
        request: Request<'t>,
        work: &'t mut Workspace,
        collections: &'t mut dyn Collections,
    ) -> Self {
        work.begin(program);
        let mut this = Self {
            program,
            request,
            response: None,
            body: Body::default(),
            readings: &[],
            response_body: Body::default(),
            work,
            collections,
            engine: zone.engine.unwrap_or(program.settings.engine),
            phase: 0,
            begin: None,
            filled: 0,
            empty: 0,
            matched: None,
            piece: None,
            looked: None,
            came: Came::Unmet,
            chain: Vec::new(),
            secrets: Secrets::default(),
            rule: 0,
            matches: Vec::new(),
            interrupted: None,
            would: None,
            allowed: None,
            spared: None,
            audit: true,
            highest_severity: 255,
            removed: Vec::new(),
            removed_targets: Vec::new(),
            opened: Vec::new(),
            processor: None,
            force_body: false,
            partial: zone.partial,
            reads_body: program.settings.request_body,
            reads_response: program.settings.response_body,
            body_error: None,
            url_error: false,
            flags: None,
            part_sizes: Vec::new(),
        };
        this.processor = this.processor_of_type();
        this.begin(zone);
        this
    }

    fn preset(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase().into_bytes();
        let value = match value.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(self.work.texts.add(value.as_bytes())),
        };
        // A zone sets a few.
        let _there_is_room = self.put_variable(name, value);
    }

    /// Sets a variable of TX, by its name in lower case.
    fn put_variable(&mut self, name: Vec<u8>, value: Value) -> Result<(), Spent> {
        match self.program.names.find(&name) {
            Some(id) => {
                self.work.store.set(id, Some(value));
                Ok(())
            }
            None => self.work.store.set_made_up(name, Some(value)),
        }
    }

    /// Phase 1: the head of the request.
    ///
    /// # Errors
    /// [`Spent`]; the stage's mode says what that means.
    pub fn request_head(&mut self, fuel: &mut Fuel) -> Result<Option<&Interrupted>, Spent> {
        self.read_query(fuel)?;
        self.run(1, fuel)
    }

    /// What an origin takes for the body that takes no coding off it, or not all of them; to be said before phase 2. Rules look at what
    /// such an origin finds there too.
    pub fn read_also(&mut self, readings: &'t [&'t [u8]]) {
        self.readings = readings;
    }

    /// Phase 2: the body of the request, as far as it was held. Without a body it is asked for all the same.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn request_body(
        &mut self,
        body: Body<'t>,
        fuel: &mut Fuel,
    ) -> Result<Option<&Interrupted>, Spent> {
        self.body = body;
        if self.engine != Engine::Off && self.allowed.is_none() {
            self.read_body(fuel)?;
        }
        self.run(2, fuel)
    }

    /// Phase 3: the head of the response.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn response_head(
        &mut self,
        response: Response<'t>,
        fuel: &mut Fuel,
    ) -> Result<Option<&Interrupted>, Spent> {
        self.response = Some(response);
        self.run(3, fuel)
    }

    /// Phase 4: the body of the response, as far as it was held.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn response_body(
        &mut self,
        body: Body<'t>,
        fuel: &mut Fuel,
    ) -> Result<Option<&Interrupted>, Spent> {
        self.response_body = body;
        self.run(4, fuel)
    }

    /// Phase 5: what is only logged; it interrupts nothing.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn log(&mut self, fuel: &mut Fuel) -> Result<(), Spent> {
        self.run(5, fuel).map(|_| ())
    }

    /// Whether the rules look at the body of a response of this type.
    pub fn wants_response_body(&self, content_type: &[u8]) -> bool {
        let bare = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        self.engine != Engine::Off
            && self.reads_response
            && self
                .program
                .settings
                .response_types
                .iter()
                .any(|known| bare.eq_ignore_ascii_case(known.as_bytes()))
    }

    /// Whether the rules look at the request's body.
    pub fn wants_request_body(&self) -> bool {
        self.engine != Engine::Off && self.reads_body
    }

    /// Rules with `log` that matched, in their order.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// What interrupted the request.
    pub fn interrupted(&self) -> Option<&Interrupted> {
        self.interrupted.as_ref()
    }

    /// What would have interrupted it, if rules did.
    pub fn would_interrupt(&self) -> Option<&Interrupted> {
        self.would.as_ref()
    }

    /// A number that rules keep in TX: `blocking_inbound_anomaly_score`.
    pub fn score(&self, name: &str) -> i64 {
        let name = name.to_ascii_lowercase();
        let value = self
            .program
            .names
            .find(name.as_bytes())
            .and_then(|id| self.work.store.get(id))
            .or_else(|| self.work.store.made_up(name.as_bytes()));
        value.map_or(0, |value| self.number_of(value))
    }

    /// Collections that were opened, with what the request made of them.
    pub fn opened(&self) -> &[Collection] {
        &self.opened
    }

    /// What is wrong with the request's body.
    pub fn body_error(&self) -> Option<&'static str> {
        self.body_error
    }

    fn client(&self) -> IpAddr {
        self.request.client
    }
}

impl Workspace {
    fn begin(&mut self, program: &Program) {
        if self.program != program.tag {
            self.cache = MatcherCache::default();
            self.texts.forget();
            self.begins.clear();
            self.program = program.tag;
        }
        self.cache.budget = BUDGET;
        self.texts.clear(program.pipelines.nodes());
        self.store.clear();
        self.tx_names.clear();
        self.items.resize_with(Variable::ALL.len(), Vec::new);
        self.unions.reset(program.unions);
        self.combinations.reset(program.combinations.len());
    }

    /// Whether what it has built is of this program.
    pub fn is_of(&self, program: &Program) -> bool {
        self.program == program.tag
    }

    /// Another one, for another thread, that has built what this one has.
    pub fn twin(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            program: self.program,
            ..Self::default()
        }
    }

    /// Bytes that the states of patterns take, and how often a set forgot its states because they took too many.
    pub fn memory(&self) -> (usize, usize) {
        self.cache.memory()
    }

    /// How often a text was given up by the set of patterns, and how often a pattern had to follow its states side by side, since
    /// this workspace was made.
    pub fn fallbacks(&self) -> (u64, u64) {
        (self.cache.given_up, self.cache.threads.fallbacks)
    }
}

#[cfg(test)]
mod tests;

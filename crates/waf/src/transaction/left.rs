//! What a transaction leaves for its later phases, when what is between them takes time and the thread has other requests to serve.
//!
//! Texts are not kept: they belong to the workspace, which the thread uses for others meanwhile; nor is the request's body. So what
//! comes of it is not there in phases 3 to 5, and is as it is where there is none: `ARGS_POST` and what `ARGS` has of it, `REQUEST_BODY`,
//! the body in `FULL_REQUEST`, `FILES`, `XML`, `MULTIPART_*`, their names and sizes, `URLENCODED_ERROR`, `INBOUND_DATA_ERROR`; also what
//! matched last (`MATCHED_VAR`). What is wrong with the body (`REQBODY_ERROR`) stays, and so does all that rules have written.

use std::sync::Arc;

use seawall_model::{Fuel, Spent};

use super::store::{Collection, Collections, Value};
use super::{Interrupted, Match, Transaction, Workspace, Zone};
use crate::program::{Meant, Program, Target};
use crate::request::Request;
use crate::seclang::tree::{Allow, Engine, Processor};

/// A transaction that waits for its next phase.
#[derive(Debug)]
pub struct Left {
    engine: Engine,
    matches: Vec<Match>,
    interrupted: Option<Interrupted>,
    would: Option<Interrupted>,
    allowed: Option<Allow>,
    spared: Option<Allow>,
    audit: bool,
    highest_severity: u8,
    removed: Vec<u64>,
    removed_targets: Vec<(Meant, Arc<Target>)>,
    opened: Vec<Collection>,
    processor: Option<Processor>,
    force_body: bool,
    partial: bool,
    reads_body: bool,
    reads_response: bool,
    body_error: Option<&'static str>,
    /// TX, by number. Its texts, which are the workspace's, stand beside it.
    known: Vec<Option<Value>>,
    texts: Vec<(usize, Own)>,
    /// TX, by name: what rules made up.
    made_up: Vec<(Vec<u8>, Owned)>,
}

#[derive(Debug)]
enum Owned {
    Value(Value),
    Text(Own),
}

/// A text, and whether it was made of secrets.
#[derive(Debug)]
struct Own(Vec<u8>, bool);

impl<'t> Transaction<'t> {
    /// Lets go of the workspace until the next phase.
    pub fn leave(mut self) -> Left {
        self.settle();
        debug_assert!(self.begin.is_none(), "a phase has run");
        let known = self.work.store.take_known();
        let (texts, secrets) = (&self.work.texts, &self.secrets);
        let own = |text| Own(texts.get(text).to_vec(), secrets.has(text));
        let places = known.iter().enumerate();
        let known_texts = places.filter_map(|(place, value)| match value {
            Some(Value::Text(text)) => Some((place, own(*text))),
            _ => None,
        });
        let known_texts = known_texts.collect();
        let made_up = self.work.store.all_made_up(|_| true).into_iter();
        let made_up = made_up.map(|(name, value)| match value {
            Value::Text(text) => (name, Owned::Text(own(text))),
            value => (name, Owned::Value(value)),
        });
        let made_up = made_up.collect();
        Left {
            engine: self.engine,
            matches: self.matches,
            interrupted: self.interrupted,
            would: self.would,
            allowed: self.allowed,
            spared: self.spared,
            audit: self.audit,
            highest_severity: self.highest_severity,
            removed: self.removed,
            removed_targets: self.removed_targets,
            opened: self.opened,
            processor: self.processor,
            force_body: self.force_body,
            partial: self.partial,
            reads_body: self.reads_body,
            reads_response: self.reads_response,
            body_error: self.body_error,
            known,
            texts: known_texts,
            made_up,
        }
    }

    /// Goes on with what was left: the same program, and the same request.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn resume(
        program: &'t Program,
        request: Request<'t>,
        left: Left,
        work: &'t mut Workspace,
        collections: &'t mut dyn Collections,
        fuel: &mut Fuel,
    ) -> Result<Self, Spent> {
        let mut this = Self::new(program, &Zone::default(), request, work, collections);
        this.begin = None;
        let mut known = left.known;
        for (place, text) in left.texts {
            if let Some(value) = known.get_mut(place) {
                *value = Some(this.taken(&text));
            }
        }
        this.work.store.put_known(known);
        for (name, value) in left.made_up {
            let value = match value {
                Owned::Value(value) => value,
                Owned::Text(text) => this.taken(&text),
            };
            this.put_variable(name, value)?;
        }
        this.engine = left.engine;
        this.matches = left.matches;
        this.interrupted = left.interrupted;
        this.would = left.would;
        this.allowed = left.allowed;
        this.spared = left.spared;
        this.audit = left.audit;
        this.highest_severity = left.highest_severity;
        this.removed = left.removed;
        this.removed_targets = left.removed_targets;
        this.opened = left.opened;
        this.processor = left.processor;
        this.force_body = left.force_body;
        this.partial = left.partial;
        this.reads_body = left.reads_body;
        this.reads_response = left.reads_response;
        this.body_error = left.body_error;
        this.read_query(fuel)?;
        Ok(this)
    }

    fn taken(&mut self, own: &Own) -> Value {
        let text = self.work.texts.add(&own.0);
        if own.1 {
            self.secrets.mark(text);
        }
        Value::Text(text)
    }
}

impl Left {
    /// Rules with `log` that matched so far.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// Whether the rules look at bodies of responses.
    pub fn wants_response_body(&self) -> bool {
        self.engine != Engine::Off && self.reads_response
    }
}

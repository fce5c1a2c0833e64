//! For tests of stages: one stage in one zone, made from a document.

use std::sync::Arc;

use seawall_model::document::StageMode;
use seawall_model::{ConnFacts, ResponseHead};
use seawall_rules::{Bounds, Lists, Patterns};

use crate::assemble::Assembly;
use crate::kit;
use crate::runner::{Guard, Scope, Subject};
use crate::stage::StageDef;
use crate::states::{States, ZoneId};
use crate::trail::Trail;
use crate::verdict::Refusal;

/// A zone that has one stage.
pub(crate) struct Place {
    pub(crate) guard: Guard,
    pub(crate) problems: Vec<String>,
    pub(crate) now: u64,
    pub(crate) https: bool,
    conn: ConnFacts,
}

/// Fields, as names and values.
pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];

impl Place {
    /// What `text` says of the zone, which has no problems.
    pub(crate) fn of(def: &'static StageDef, text: &str) -> Self {
        let place = Self::made(def, text, true);
        assert_eq!(place.problems, Vec::<String>::new());
        place
    }

    /// The same, where the lists of the document could not be had.
    pub(crate) fn without_lists(def: &'static StageDef, text: &str) -> Self {
        Self::made(def, text, false)
    }

    pub(crate) fn made(def: &'static StageDef, text: &str, with_lists: bool) -> Self {
        let document = kit::document(text).unwrap();
        let lists = match with_lists {
            true => kit::lists(&document),
            false => Lists::new(),
        };
        let assembly = Assembly {
            stages: &[def],
            lists: &lists,
            bounds: &Bounds::default(),
            files: &kit::Samples,
            https_port: 443,
            states: &Arc::new(States::new([def.name], 10_000)),
        };
        let mut problems = Vec::new();
        let zone = &document.zones[0];
        let guard = assembly.guard(
            zone,
            ZoneId(1),
            "zone[0]",
            &mut Patterns::unbounded(),
            &mut problems,
        );
        Self {
            guard,
            problems: problems.iter().map(ToString::to_string).collect(),
            now: 1_000,
            https: false,
            conn: kit::conn(),
        }
    }

    pub(crate) fn is_unguarded(&self) -> bool {
        self.guard.stages().next().is_none()
    }

    pub(crate) fn modes(&self) -> Vec<(&'static str, StageMode)> {
        self.guard.stages().collect()
    }

    pub(crate) fn subject(&self, client: &str) -> Subject<'_> {
        Subject {
            conn: &self.conn,
            client: client.parse().unwrap(),
            https: self.https,
            now: self.now,
            scope: Scope::ALL,
        }
    }

    /// What is told of a plain request of this client, with the status if it was refused.
    pub(crate) fn asked_by(&self, client: &str) -> String {
        self.asked_from(client, "GET", "/", &[]).0
    }

    pub(crate) fn asked(&self, method: &str, target: &str, fields: Pairs<'_>) -> (String, String) {
        self.asked_from("192.0.2.1", method, target, fields)
    }

    /// What is told, and what the origin would get: the target, then the fields.
    pub(crate) fn asked_from(
        &self,
        client: &str,
        method: &str,
        target: &str,
        fields: Pairs<'_>,
    ) -> (String, String) {
        let mut head = kit::request(method, target.as_bytes(), fields);
        let mut trail = Trail::default();
        let mut told = String::new();
        let judged = self
            .guard
            .admit(&mut head, &self.subject(client), &mut trail);
        if let Err(refusal) = &judged {
            told = format!("{} ", refusal.answer.status());
        }
        drop(judged);
        let mut stages = String::new();
        trail.write_stages(&mut stages);
        let mut sent = String::from_utf8_lossy(head.target()).into_owned();
        sent.push('\n');
        sent.push_str(&lines(&head.fields));
        (told + &stages, sent)
    }

    pub(crate) fn refused(&self, client: &str, method: &str, target: &str) -> Option<Refusal> {
        let mut head = kit::request(method, target.as_bytes(), &[] as Pairs<'_>);
        let mut trail = Trail::default();
        let judged = self
            .guard
            .admit(&mut head, &self.subject(client), &mut trail);
        judged.err().map(|refusal| *refusal)
    }

    /// What is told of a response, and its fields as the client gets them.
    pub(crate) fn answered(
        &self,
        client: &str,
        status: u16,
        fields: Pairs<'_>,
    ) -> (String, String) {
        let mut head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let mut trail = Trail::default();
        let cleared = self
            .guard
            .clear(&mut head, b"", &self.subject(client), &mut trail);
        assert!(cleared.is_ok());
        let mut told = String::new();
        trail.write_stages(&mut told);
        (told, lines(&head.fields))
    }

    /// What is told of a request with this body, which comes in pieces of so many bytes.
    pub(crate) fn sent(
        &self,
        fields: Pairs<'_>,
        length: Option<u64>,
        body: &[u8],
        piece: usize,
    ) -> String {
        self.sent_to("/", fields, length, body, piece)
    }

    /// The same, of this target.
    pub(crate) fn sent_to(
        &self,
        target: &str,
        fields: Pairs<'_>,
        length: Option<u64>,
        body: &[u8],
        piece: usize,
    ) -> String {
        let mut head = kit::request("POST", target.as_bytes(), fields);
        let subject = self.subject("192.0.2.1");
        let mut trail = Trail::default();
        let status = match self.guard.admit(&mut head, &subject, &mut trail) {
            Err(refusal) => Some(refusal.answer.status()),
            Ok(admitted) => {
                let inspected = self.guard.inspect(&admitted, length, &subject, &mut trail);
                let fed = inspected.and_then(|inspection| {
                    let Some(mut inspection) = inspection else {
                        return Ok(());
                    };
                    for piece in body.chunks(piece) {
                        inspection.feed(piece, false, &subject, &mut trail)?;
                    }
                    // The end may be told twice.
                    inspection.feed(b"", true, &subject, &mut trail)?;
                    inspection.feed(b"", true, &subject, &mut trail)
                });
                fed.err().map(|refusal| refusal.answer.status())
            }
        };
        let mut told = String::new();
        trail.write_stages(&mut told);
        match status {
            Some(status) => format!("{status} {told}"),
            None => told,
        }
    }
}

fn lines(fields: &seawall_model::Fields) -> String {
    let line = |field: seawall_model::head::Field<'_>| {
        let name = String::from_utf8_lossy(field.name).into_owned();
        format!("{name}: {}\n", String::from_utf8_lossy(field.value))
    };
    fields.iter().map(line).collect()
}

//! What requests may be, whatever they say: their methods, and what an OpenAPI description has of them.

use std::sync::Arc;

use seawall_model::{FieldId, Fuel, RequestView, Spent};
use seawall_waf::{CodingFault, Described, Expects, Misfit, OpenApi, plain};

use crate::stage::{BodyStage, Inspect, Opened, Stage};
use crate::verdict::{Reason, Verdict};

/// Units for comparing a method with another one.
const METHOD: u64 = 5;

/// The methods that requests may have.
pub(super) struct Methods(pub(super) Box<[Box<[u8]>]>);

impl Stage for Methods {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fuel.spend(METHOD * self.0.len() as u64)?;
        let method = request.head.method_bytes();
        Ok(match self.0.iter().any(|known| &**known == method) {
            true => Verdict::Pass,
            false => Verdict::Deny(405, Reason::plain("method")),
        })
    }
}

/// A description, and how much of a body is looked at.
pub(super) struct Contract {
    pub(super) api: Arc<OpenApi>,
    pub(super) body_limit: usize,
}

fn refused(misfit: Misfit) -> Verdict {
    let status = match misfit.rule {
        "path" => 404,
        "method" => 405,
        "content_type" => 415,
        _ => 400,
    };
    // Names may be the client's.
    let about: String = misfit
        .what
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    Verdict::Deny(status, Reason::about("openapi", about.into()))
}

impl BodyStage for Contract {
    fn open(
        &self,
        request: &RequestView<'_>,
        length: Option<u64>,
        fuel: &mut Fuel,
    ) -> Result<Opened, Spent> {
        // That a path is described permits it: with one reading among several it would permit the others too (decision 0071).
        if !request.reads_alike(fuel)? {
            return Ok(Opened::Verdict(refused(Misfit {
                rule: "path",
                what: "the path can be read in several ways".to_owned(),
            })));
        }
        let path = request.path(fuel)?;
        let head = request.head;
        fuel.spend(10 * head.fields.len() as u64)?;
        let lines = head.fields.iter().map(|field| (field.name, field.value));
        let headers: Vec<(&[u8], &[u8])> = lines.collect();
        let described = Described {
            method: head.method_bytes(),
            path,
            query: request.query(),
            headers: &headers,
        };
        let expects = match self.api.head(&described, fuel)? {
            Ok(expects) => expects,
            Err(misfit) => return Ok(Opened::Verdict(refused(misfit))),
        };
        let kind = head.fields.first(FieldId::ContentType);
        if length == Some(0) {
            return Ok(match self.api.body(expects, kind, b"", fuel)? {
                Ok(()) => Opened::Pass,
                Err(misfit) => Opened::Verdict(refused(misfit)),
            });
        }
        if length.is_some_and(|length| length > self.body_limit as u64) {
            let reason = Reason::plain("too_long");
            return Ok(Opened::Verdict(Verdict::Deny(413, reason)));
        }
        let codings = head.fields.all(FieldId::ContentEncoding);
        let reader = Reader {
            api: self.api.clone(),
            expects,
            kind: kind.map(<[u8]>::to_vec),
            codings: codings.map(<[u8]>::to_vec).collect(),
            limit: self.body_limit,
            body: Some(Vec::new()),
        };
        Ok(Opened::Watch(Box::new(reader), self.body_limit))
    }
}

/// Gathers a body, and asks whether it fits when it is whole.
struct Reader {
    api: Arc<OpenApi>,
    expects: Expects,
    kind: Option<Vec<u8>>,
    codings: Vec<Vec<u8>>,
    limit: usize,
    /// None when it was asked: the end may be told twice.
    body: Option<Vec<u8>>,
}

impl Inspect for Reader {
    fn feed(&mut self, piece: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fuel.spend_bytes(piece.len(), 8)?;
        let Some(mut body) = self.body.take() else {
            return Ok(Verdict::Pass);
        };
        if body.len() + piece.len() > self.limit {
            return Ok(Verdict::Deny(413, Reason::plain("too_long")));
        }
        body.extend_from_slice(piece);
        if !end {
            self.body = Some(body);
            return Ok(Verdict::Pass);
        }
        let codings = self.codings.iter().map(Vec::as_slice);
        let body = match plain(codings, &body, true, self.limit, fuel) {
            Ok(None) => body,
            Ok(Some(plain)) if plain.cut => {
                return Ok(Verdict::Deny(413, Reason::plain("too_long")));
            }
            Ok(Some(plain)) => plain.bytes,
            Err(CodingFault::Spent(spent)) => return Err(spent),
            Err(_) => return Ok(Verdict::Deny(415, Reason::plain("coded"))),
        };
        let asked = self
            .api
            .body(self.expects, self.kind.as_deref(), &body, fuel)?;
        Ok(asked.map_or_else(refused, |()| Verdict::Pass))
    }
}

//! Asking whether a request fits its description.

use seawall_model::{Fuel, Spent};
use serde_json::Value;

use super::schema::{Others, Schema, SchemaId};
use super::{
    Content, Described, Expects, Misfit, OpenApi, Operation, Parameter, Place, spelling, unique,
};
use crate::body::{Sink, urlencoded};

/// Units for a value that is compared with a schema, for a byte of a text, and for a byte of a body that is read.
const VALUE: u64 = 60;
const BYTE: u64 = 3;
const READ: u64 = 12;
/// Schemas and values in one another.
const DEPTH: usize = 128;
/// Arguments that are looked at; more do not fit.
const ARGUMENTS: usize = 1_000;

/// Arguments of a query, decoded.
#[derive(Default)]
struct Pairs(Vec<(String, String)>, bool);

impl Sink for Pairs {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.0.len() >= ARGUMENTS {
            self.1 = true;
            return false;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(name), text(value)));
        true
    }
}

/// What came of asking.
type Asked<T> = Result<Result<T, Misfit>, Spent>;

impl OpenApi {
    /// Whether a head fits, and what its body is to be then.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn head(&self, request: &Described<'_>, fuel: &mut Fuel) -> Asked<Expects> {
        let Ok(path) = std::str::from_utf8(request.path) else {
            return Ok(Err(Misfit::new("path", "the path is not UTF-8")));
        };
        let Some((route, values)) = self.route(path, fuel)? else {
            return Ok(Err(Misfit::new("path", "the path is not described")));
        };
        let operations = self
            .routes
            .get(route)
            .map_or(&[][..], |route| &route.operations);
        let place = operations
            .iter()
            .position(|(method, _)| method.as_bytes() == request.method)
            // What may be got may be asked for without its content (RFC 9110 §9.3.2).
            .or_else(|| match request.method {
                b"HEAD" => operations.iter().position(|(method, _)| method == "GET"),
                _ => None,
            });
        let Some((operation, (_, described))) =
            place.and_then(|place| Some((place, operations.get(place)?)))
        else {
            return Ok(Err(Misfit::new("method", "the method is not described")));
        };
        let told = self.parameters(described, &values, request, fuel)?;
        Ok(told.map(|()| Expects { route, operation }))
    }

    fn parameters(
        &self,
        operation: &Operation,
        path: &[(&str, &str)],
        request: &Described<'_>,
        fuel: &mut Fuel,
    ) -> Asked<()> {
        fuel.spend(BYTE * request.query.len() as u64 * 2)?;
        let mut query = Pairs::default();
        urlencoded::read(request.query, b'&', &mut query);
        if query.1 {
            return Ok(Err(Misfit::new(
                "parameter",
                "there are too many arguments",
            )));
        }
        if spelling::is_other(operation, request, fuel)? {
            let what = "a name may be read as one that is described, and is spelt otherwise";
            return Ok(Err(Misfit::new("parameter", what)));
        }
        for parameter in &operation.parameters {
            let values = values(parameter, path, &query, request, fuel)?;
            if values.is_empty() {
                if parameter.is_required {
                    let what = format!("{} is not there", parameter.name);
                    return Ok(Err(Misfit::new("parameter", what)));
                }
                continue;
            }
            if !self.parameter(parameter, &values, fuel)? {
                let what = format!("{} is not as described", parameter.name);
                return Ok(Err(Misfit::new("parameter", what)));
            }
        }
        if self.is_strict {
            let is_known = |name: &str| {
                let mut all = operation.parameters.iter();
                all.any(|known| known.place == Place::Query && known.name == name)
            };
            let count = operation.parameters.len() as u64;
            fuel.spend(query.0.len() as u64 * (1 + count) * 10)?;
            if query.0.iter().any(|(name, _)| !is_known(name)) {
                let what = "there is an argument that is not described";
                return Ok(Err(Misfit::new("parameter", what)));
            }
        }
        Ok(Ok(()))
    }

    /// Whether the values of a parameter are what they have to be: a list, or one of a simple type.
    fn parameter(
        &self,
        parameter: &Parameter,
        values: &[String],
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        let schema = self.real(parameter.schema);
        let is_list =
            schema.is_some_and(|schema| schema.types & ARRAY != 0 || schema.item.is_some());
        if !is_list {
            let [value] = values else { return Ok(false) };
            return self.text(value, parameter.schema, fuel);
        }
        let several: Vec<&str> = match values {
            [one] if parameter.has_commas => one.split(',').collect(),
            values => values.iter().map(String::as_str).collect(),
        };
        let Some(schema) = schema else {
            return Ok(true);
        };
        if !schema.items.has(several.len()) {
            return Ok(false);
        }
        for value in several {
            if let Some(item) = schema.item
                && !self.text(value, item, fuel)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a text fits, as a text or as the number, truth value or null that it is written as.
    fn text(&self, text: &str, schema: SchemaId, fuel: &mut Fuel) -> Result<bool, Spent> {
        let as_text = Value::String(text.to_owned());
        if self.fits(&as_text, schema, 0, "", fuel)?.is_ok() {
            return Ok(true);
        }
        // As JSON writes numbers: `1e3`, but no `0x10`, `+1` or ` 1`.
        let is_plain =
            text.len() <= 40 && !text.starts_with([' ', '"', '[', '{', '\t', '\n', '\r']);
        match serde_json::from_str::<Value>(text) {
            Ok(value) if is_plain && text.trim() == text => {
                Ok(self.fits(&value, schema, 0, "", fuel)?.is_ok())
            }
            _ => Ok(false),
        }
    }

    /// Whether a body fits. `kind` is its `Content-Type`; None where there is none.
    ///
    /// # Errors
    /// [`Spent`]
    pub fn body(
        &self,
        expects: Expects,
        kind: Option<&[u8]>,
        body: &[u8],
        fuel: &mut Fuel,
    ) -> Asked<()> {
        let operation = self.routes.get(expects.route).and_then(|route| {
            let (_, operation) = route.operations.get(expects.operation)?;
            Some(operation)
        });
        let Some(content) = operation.and_then(|operation| operation.body.as_ref()) else {
            return Ok(match body {
                [] => Ok(()),
                _ => Err(Misfit::new("body", "no body is described")),
            });
        };
        if body.is_empty() {
            return Ok(match content.is_required {
                true => Err(Misfit::new("body", "the body is not there")),
                false => Ok(()),
            });
        }
        let Some(schema) = content.of(kind.unwrap_or_default()) else {
            return Ok(Err(Misfit::new(
                "content_type",
                "the type of the body is not described",
            )));
        };
        let Some(schema) = schema else {
            return Ok(Ok(()));
        };
        fuel.spend(READ * body.len() as u64)?;
        match unique::read(body) {
            Ok(value) => self.fits(&value, schema, 0, "", fuel),
            Err(what) => Ok(Err(Misfit::new("body", what))),
        }
    }

    /// The schema, or the one that it is.
    fn real(&self, mut id: SchemaId) -> Option<&Schema> {
        while let Some(same) = self.schemas.get(id)?.same {
            id = same;
        }
        self.schemas.get(id)
    }

    fn fits(
        &self,
        value: &Value,
        id: SchemaId,
        depth: usize,
        at: &str,
        fuel: &mut Fuel,
    ) -> Asked<()> {
        fuel.spend(VALUE)?;
        if depth > DEPTH {
            return Ok(Err(Misfit::new("body", "is nested too deep")));
        }
        let Some(schema) = self.real(id) else {
            return Ok(Ok(()));
        };
        if let Err(what) = schema.alone(value, fuel)? {
            let shown = if at.is_empty() { "/" } else { at };
            return Ok(Err(Misfit::new("body", format!("{shown} {what}"))));
        }
        match value {
            Value::Array(items) => {
                for (nth, item) in items.iter().enumerate() {
                    if let Some(id) = schema.item {
                        let at = format!("{at}/{nth}");
                        if let Err(misfit) = self.fits(item, id, depth + 1, &at, fuel)? {
                            return Ok(Err(misfit));
                        }
                    }
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    fuel.spend(schema.properties.len() as u64 * 4 + BYTE * name.len() as u64)?;
                    let known = schema.properties.iter().find(|(known, _)| known == name);
                    let id = match (known, schema.others) {
                        (Some((_, id)), _) => *id,
                        (None, Others::Are(id)) => id,
                        (None, Others::Any) => continue,
                        (None, Others::None) => {
                            let what = format!("{at}/ has a member that is not described");
                            return Ok(Err(Misfit::new("body", what)));
                        }
                    };
                    let at = match known {
                        Some((name, _)) => format!("{at}/{name}"),
                        None => format!("{at}/*"),
                    };
                    if let Err(misfit) = self.fits(member, id, depth + 1, &at, fuel)? {
                        return Ok(Err(misfit));
                    }
                }
            }
            _ => {}
        }
        self.together(value, schema, depth, at, fuel)
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn together(
        &self,
        value: &Value,
        schema: &Schema,
        depth: usize,
        at: &str,
        fuel: &mut Fuel,
    ) -> Asked<()> {
        for id in &schema.all {
            if let Err(misfit) = self.fits(value, *id, depth + 1, at, fuel)? {
                return Ok(Err(misfit));
            }
        }
        let count = |ids: &[SchemaId], fuel: &mut Fuel| {
            let mut count = 0;
            for id in ids {
                count += usize::from(self.fits(value, *id, depth + 1, at, fuel)?.is_ok());
            }
            Ok(count)
        };
        let any = schema.any.is_empty() || count(&schema.any, fuel)? > 0;
        let one = schema.one.is_empty() || count(&schema.one, fuel)? == 1;
        let not = match schema.not {
            Some(id) => count(&[id], fuel)? == 0,
            None => true,
        };
        let shown = if at.is_empty() { "/" } else { at };
        Ok(match any && one && not {
            true => Ok(()),
            false => Err(Misfit::new(
                "body",
                format!("{shown} is none of what it may be"),
            )),
        })
    }
}

/// The bit of a type.
const ARRAY: u8 = 1 << 5;

impl Content {
    /// What a body of this type has to be; None where the type is not described.
    fn of(&self, kind: &[u8]) -> Option<Option<SchemaId>> {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = String::from_utf8_lossy(kind.trim_ascii()).to_ascii_lowercase();
        let group = kind.split('/').next().unwrap_or_default();
        let is_it = |known: &str| {
            known == kind || known == "*/*" || known.strip_suffix("/*") == Some(group)
        };
        // The exact one goes before a group.
        let exact = self.types.iter().find(|(known, _)| *known == kind);
        let any = || self.types.iter().find(|(known, _)| is_it(known));
        exact.or_else(any).map(|(_, schema)| *schema)
    }
}

/// The values of a parameter in a request.
fn values(
    parameter: &Parameter,
    path: &[(&str, &str)],
    query: &Pairs,
    request: &Described<'_>,
    fuel: &mut Fuel,
) -> Result<Vec<String>, Spent> {
    let name = parameter.name.as_str();
    fuel.spend(20 + 10 * (query.0.len() + request.headers.len()) as u64)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match parameter.place {
        Place::Path => {
            let of = path.iter().filter(|(is, _)| *is == name);
            of.map(|(_, value)| decoded(value)).collect()
        }
        Place::Query => {
            let of = query.0.iter().filter(|(is, _)| is == name);
            of.map(|(_, value)| value.clone()).collect()
        }
        Place::Header => {
            let is_it = |is: &&(&[u8], &[u8])| is.0.eq_ignore_ascii_case(name.as_bytes());
            let of = request.headers.iter().filter(is_it);
            of.map(|(_, value)| text(value.trim_ascii())).collect()
        }
        Place::Cookie => {
            let lines = request.headers.iter();
            let lines = lines.filter(|(is, _)| is.eq_ignore_ascii_case(b"cookie"));
            let pairs = lines.flat_map(|(_, line)| line.split(|byte| *byte == b';'));
            let mut found = Vec::new();
            for pair in pairs {
                fuel.spend(5 + pair.len() as u64 / 4)?;
                let pair = pair.trim_ascii();
                if let Some(at) = memchr::memchr(b'=', pair)
                    && pair.get(..at) == Some(name.as_bytes())
                {
                    found.push(text(pair.get(at + 1..).unwrap_or_default()));
                }
            }
            found
        }
    })
}

/// A segment of a path without its percent encoding; a plus is one.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    for (nth, piece) in text.split('+').enumerate() {
        if nth > 0 {
            out.push(b'+');
        }
        urlencoded::decode(piece.as_bytes(), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

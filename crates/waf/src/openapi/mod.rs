//! Positive security: what an OpenAPI 3 file describes may come in, and nothing else (paths, methods, parameters, JSON bodies).
//!
//! The file is read once; what it says that is not understood is refused by its name, never passed over. Asking is linear in what is
//! asked, bounded in depth and paid for with fuel. Not here: what becomes of a request that does not fit, responses, security schemes
//! (who may ask is not a matter of form).

mod check;
mod load;
mod pattern;
mod route;
mod schema;
mod spelling;
mod unique;
mod value;

use std::collections::HashMap;

use schema::{Schema, SchemaId};

/// Bytes of a file.
pub const MOST_OPENAPI: usize = 4 << 20;

/// A description, compiled.
#[derive(Debug)]
pub struct OpenApi {
    routes: Vec<Route>,
    /// By how many segments a path has: the places of its routes, those with the most fixed segments first.
    by_length: HashMap<usize, Vec<usize>>,
    schemas: Vec<Schema>,
    /// Whether arguments that are not described are refused.
    is_strict: bool,
}

/// A path of the description, with what stands in `{}` left open.
#[derive(Debug)]
struct Route {
    segments: Vec<Segment>,
    operations: Vec<(String, Operation)>,
}

#[derive(Debug)]
enum Segment {
    Is(String),
    /// Text before and behind a parameter: `report-{id}.pdf`.
    Open {
        before: String,
        name: String,
        behind: String,
    },
}

/// What may be asked of a path by one method.
#[derive(Debug, Default)]
struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Content>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    place: Place,
    is_required: bool,
    schema: SchemaId,
    /// Whether several values stand in one, between commas.
    has_commas: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// A body: by media type, or by `*/*` and `text/*`, what it has to be.
#[derive(Debug)]
struct Content {
    is_required: bool,
    types: Vec<(String, Option<SchemaId>)>,
}

/// A request's head, as far as a description speaks of it.
#[derive(Clone, Copy, Debug)]
pub struct Described<'r> {
    /// The method.
    pub method: &'r [u8],
    /// The path, normalised.
    pub path: &'r [u8],
    /// What follows the `?`.
    pub query: &'r [u8],
    /// All field lines.
    pub headers: &'r [(&'r [u8], &'r [u8])],
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which rule: `path`, `method`, `parameter`, `body`, `content_type`.
    pub rule: &'static str,
    /// Where: the name of a parameter, or the path within a body (`/user/age`); and what was expected. Never a value.
    pub what: String,
}

/// What a head came to: a misfit, or what its body has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expects {
    route: usize,
    operation: usize,
}

impl Misfit {
    fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests;

//! How something that can be asked is declared: a row of the tables in [`routes`](super::routes), from which the router, the
//! description in OpenAPI and the tests are made.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use seawall_control::version::Chain;
use seawall_model::RequestHead;

use super::call::Call;
use super::problem::Problem;
use crate::control::asks::Ask;

/// What all paths begin with.
pub const PREFIX: &str = "/api/v1";
/// Where the description is; everybody may read it.
pub const DESCRIPTION: &str = "/api/openapi.json";

/// Something that can be asked.
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// What it is of.
    pub of: Of,
    /// The path behind that, as `/rollouts/{rollout}`.
    pub path: &'static str,
    /// Its name in OpenAPI, and in code made of that.
    pub id: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// What is to be known beside that.
    pub more: &'static str,
    /// What a token must be allowed.
    pub needs: Needs,
    /// Parameters in the query, and fields of the head.
    pub params: &'static [Param],
    /// The content that it takes.
    pub takes: Takes,
    /// What it answers, when it is done.
    pub gives: Gives,
    /// The problems that it may answer with, beside those that all may.
    pub problems: &'static [&'static str],
    /// What is asked of control by it.
    pub ask: fn(&Call) -> Result<Ask, Problem>,
}

/// What a path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// All.
    All,
    /// One zone: `/zones/{zone}` comes before the path.
    Zone,
    /// A zone, or what all zones share: two paths, with `/zones/{zone}` and `/platform`.
    Chain,
}

impl Of {
    /// What comes before the path, each with the words that name it.
    pub const fn places(self) -> &'static [(&'static str, &'static str)] {
        const ZONE: (&str, &str) = ("/zones/{zone}", "zone");
        match self {
            Self::All => &[("", "")],
            Self::Zone => &[ZONE],
            Self::Chain => &[ZONE, ("/platform", "platform")],
        }
    }
}

/// What a token must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// This word of the scopes.
    Word(&'static str),
    /// To change the chain that the path names.
    Chain,
    /// To change all that the document changes.
    Document,
}

/// A parameter.
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: In,
    /// What it is.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// What it means.
    pub what: &'static str,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum In {
    /// In the query.
    Query,
    /// In the head.
    Head,
}

/// The content that is taken.
#[derive(Clone, Copy)]
pub enum Takes {
    /// None.
    Nothing,
    /// A document in TOML.
    Document,
    /// JSON; it may be left out where that is said.
    Json(fn(&mut SchemaGenerator) -> Schema, Optional),
}

/// Whether content may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// It may.
    Yes,
    /// It must be there.
    No,
}

impl Takes {
    /// Bytes that it may have.
    pub const fn most(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Document => 16 << 20,
            Self::Json(..) => 64 << 10,
        }
    }

    /// Whether it may be long.
    pub const fn is_large(self) -> bool {
        matches!(self, Self::Document)
    }
}

/// What is answered when it is done.
#[derive(Clone, Copy)]
pub enum Gives {
    /// 204, nothing.
    Nothing,
    /// 200, a document in TOML with an `ETag`.
    Document,
    /// 200, JSON.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// 201, JSON.
    New(fn(&mut SchemaGenerator) -> Schema),
}

/// What a request is for.
pub enum Found {
    /// The description.
    Description,
    /// This.
    Route(&'static Route, Call),
}

/// Finds what a request is for.
///
/// # Errors
/// There is none, or it has another method.
pub fn find(
    routes: impl Iterator<Item = &'static Route>,
    head: &RequestHead,
) -> Result<Found, Problem> {
    let target = std::str::from_utf8(head.target()).map_err(|_| Problem::of("malformed"))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // What is asked by HEAD is what is asked by GET; who writes the answer leaves the content out.
    let method = match head.method_bytes() {
        b"HEAD" => b"GET".as_slice(),
        method => method,
    };
    if path == DESCRIPTION {
        return match method {
            b"GET" => Ok(Found::Description),
            _ => Err(Problem::of("method").allowing("GET, HEAD".into())),
        };
    }
    let unknown = || Problem::of("unknown_endpoint").saying(format!("there is no {path:.200?}"));
    let rest = path.strip_prefix(PREFIX).ok_or_else(unknown)?;
    let mut allowed: Vec<&str> = Vec::new();
    for route in routes {
        for (before, _) in route.of.places() {
            let Some(values) = values(before, route.path, rest) else {
                continue;
            };
            if route.method.as_bytes() != method {
                allowed.push(route.method);
                if route.method == "GET" {
                    allowed.push("HEAD");
                }
                continue;
            }
            let mut call = Call::new(values, query)?;
            call.chain = match *before {
                "" => None,
                "/platform" => Some(Chain::Platform),
                _ => call.value("zone").map(|zone| Chain::Zone(zone.to_owned())),
            };
            return Ok(Found::Route(route, call));
        }
    }
    if allowed.is_empty() {
        return Err(unknown());
    }
    Err(Problem::of("method").allowing(allowed.join(", ")))
}

/// What stands where a path has `{names}`, if it is of this shape.
fn values(before: &str, after: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let rest = match before.strip_suffix("{zone}") {
        None => (None, path.strip_prefix(before)?),
        Some(before) => {
            let rest = path.strip_prefix(before)?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (zone, rest) = rest.split_at_checked(end)?;
            (Some(zone), rest)
        }
    };
    let (zone, rest) = rest;
    let mut values = Vec::new();
    if let Some(zone) = zone {
        values.push(("zone", is_word(zone)?.to_owned()));
    }
    let mut parts = rest.split('/');
    for want in after.split('/') {
        let part = parts.next()?;
        match want.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            Some(name) => values.push((name, is_word(part)?.to_owned())),
            None if part == want => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(values)
}

/// Names of zones and tokens, and numbers, have nothing in them that a path would write otherwise.
fn is_word(text: &str) -> Option<&str> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (!text.is_empty() && text.len() <= 253 && text.bytes().all(known)).then_some(text)
}

/// The longest that something is waited for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

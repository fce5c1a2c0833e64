//! Everything that can be asked over HTTP, a row each.

mod access;
mod chains;
mod purges;
mod rollouts;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::route::{In, Param, Route};

/// Why something is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// Why, for the log.
    #[serde(default)]
    pub why: String,
}

/// A version that is to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Back {
    /// Its number; without it, the one before.
    #[serde(default)]
    pub version: Option<u64>,
    /// Why, for the log.
    #[serde(default)]
    pub why: String,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn query(
    name: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    what: &'static str,
) -> Param {
    Param {
        name,
        place: In::Query,
        schema,
        what,
    }
}

const fn field(name: &'static str, what: &'static str) -> Param {
    Param {
        name,
        place: In::Head,
        schema: of::<String>,
        what,
    }
}

const WHY: Param = query("why", of::<String>, "Why, for the log.");
const APPROVE: Param = query(
    "approve",
    of::<bool>,
    "It is meant: guards that would ask for a person (much is taken away, many requests are judged otherwise) do not. It takes the scope `rollouts` too.",
);
const CANARY: Param = query(
    "canary",
    of::<bool>,
    "Changes are to begin there: it is a canary location.",
);
const LIMIT: Param = query(
    "limit",
    of::<u16>,
    "Rows on a page: 1 to 1000, usually 100.",
);
const BEFORE: Param = query(
    "before",
    of::<u64>,
    "Only what has a lower number: `next` of the page before.",
);
const WAIT: Param = query(
    "wait",
    of::<u64>,
    "With `If-None-Match`: wait so many seconds, 60 at most, until something is other than what that tag says; 304 when nothing is.",
);
const KNOWN: Param = field(
    "if-none-match",
    "The `ETag` of what is known already: 304 when it is as it was.",
);
pub(super) const ONCE: Param = field(
    "idempotency-key",
    "A random text of the client's: this very request (method, path, query and content) is done once, however often it is sent. With another request the same text is refused (422).",
);
const CHANGES: &[&str] = &["forbidden", "unknown", "refused"];
const BACK: &[&str] = &["forbidden", "unknown", "refused", "bad_document"];

/// All, in the order in which they are looked through and told.
pub fn all() -> impl Iterator<Item = &'static Route> {
    let files = [
        rollouts::ROUTES,
        chains::ROUTES,
        purges::ROUTES,
        access::ROUTES,
    ];
    files.into_iter().flatten()
}

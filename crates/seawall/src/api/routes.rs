//! Everything that can be asked over HTTP, a row each. Emergency switches and purges will be rows of it too.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::call::{Call, Locations, Rollouts, TokensTold};
use super::problem::Problem;
use super::route::{Gives, In, Needs, Of, Optional, Param, Route, Takes};
use crate::control::asks::{
    Applied, Ask, Checked, Diff, JoinToken, Log, NewToken, Standing, Status, TokenMade, Told,
    Versions, Which, Zones,
};

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
const ONCE: Param = field(
    "idempotency-key",
    "A random text of the client's: this very request (method, path, query and content) is done once, however often it is sent.",
);
const CHANGES: &[&str] = &["forbidden", "unknown", "refused"];

/// All.
pub static ROUTES: &[Route] = &[
    Route {
        method: "GET",
        of: Of::All,
        path: "/status",
        id: "status",
        what: "What control knows",
        more: "",
        needs: Needs::Word("read"),
        params: &[],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Status>),
        problems: &[],
        ask: |_| Ok(Ask::Status),
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/zones",
        id: "zones",
        what: "All zones, in the order of their names",
        more: "Deleted ones too: they can be restored.",
        needs: Needs::Word("read"),
        params: &[
            query(
                "after",
                of::<String>,
                "Only names behind this one: `next` of the page before.",
            ),
            LIMIT,
        ],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Zones>),
        problems: &[],
        ask: |call| {
            Ok(Ask::Zones {
                after: call.param("after").map(str::to_owned),
                limit: call.limit()?,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::Chain,
        path: "/document",
        id: "document",
        what: "The document",
        more: "Its `ETag` goes into `If-Match` when it is put back.",
        needs: Needs::Word("read"),
        params: &[
            query(
                "version",
                of::<String>,
                "A number, or `serving` for the version that serves everywhere; else the newest.",
            ),
            KNOWN,
        ],
        takes: Takes::Nothing,
        gives: Gives::Document,
        problems: &["unknown"],
        ask: |call| {
            let which = match call.param("version") {
                None => Which::Newest,
                Some("serving") => Which::Serving,
                Some(_) => Which::Number(call.number("version")?.unwrap_or_default()),
            };
            Ok(Ask::Document {
                chain: call.chain()?,
                which,
            })
        },
    },
    Route {
        method: "PUT",
        of: Of::Chain,
        path: "/document",
        id: "put_document",
        what: "A new version, with this document, and its rollout",
        more: "What the document had and this one has not is gone. With the document that is the newest already nothing is made.",
        needs: Needs::Chain,
        params: &[
            field(
                "if-match",
                "The `ETag` of the document that was changed, or `*` for any.",
            ),
            field("if-none-match", "`*`: there must be no document yet."),
            WHY,
            APPROVE,
            ONCE,
        ],
        takes: Takes::Document,
        gives: Gives::Json(of::<Applied>),
        problems: &[
            "forbidden",
            "unknown",
            "refused",
            "conflict",
            "bad_document",
            "precondition_required",
        ],
        ask: |call| {
            Ok(Ask::Put {
                chain: call.chain()?,
                text: call.text()?,
                when: call.when()?,
                approve: call.number("approve")?.unwrap_or(false),
            })
        },
    },
    Route {
        method: "GET",
        of: Of::Chain,
        path: "/versions",
        id: "versions",
        what: "The versions, newest first",
        more: "",
        needs: Needs::Word("read"),
        params: &[BEFORE, LIMIT],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Versions>),
        problems: &["unknown"],
        ask: |call| {
            Ok(Ask::Versions {
                chain: call.chain()?,
                before: call.number("before")?,
                limit: call.limit()?,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::Chain,
        path: "/versions/{version}",
        id: "version",
        what: "One version",
        more: "",
        needs: Needs::Word("read"),
        params: &[],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Told>),
        problems: &["unknown"],
        ask: |call| {
            Ok(Ask::Version {
                chain: call.chain()?,
                number: call.id("version")?,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::Chain,
        path: "/diff",
        id: "diff",
        what: "What differs between two versions",
        more: "",
        needs: Needs::Word("read"),
        params: &[
            query(
                "a",
                of::<u64>,
                "The first; without it, the one that serves.",
            ),
            query("b", of::<u64>, "The second; without it, the newest."),
        ],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Diff>),
        problems: &["unknown"],
        ask: |call| {
            Ok(Ask::Diff {
                chain: call.chain()?,
                a: call.number("a")?,
                b: call.number("b")?,
            })
        },
    },
    Route {
        method: "POST",
        of: Of::Chain,
        path: "/rollback",
        id: "rollback",
        what: "A new version with the document of an earlier one, and its rollout",
        more: "",
        needs: Needs::Chain,
        params: &[ONCE],
        takes: Takes::Json(of::<Back>, Optional::Yes),
        gives: Gives::Json(of::<Applied>),
        problems: CHANGES,
        ask: |call| {
            let back: Back = call.json()?;
            Ok(Ask::Rollback {
                chain: call.chain()?,
                version: back.version,
            })
        },
    },
    Route {
        method: "PUT",
        of: Of::Chain,
        path: "/pin",
        id: "pin",
        what: "Stay at the version that serves, whatever is applied",
        more: "",
        needs: Needs::Chain,
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::Nothing,
        problems: CHANGES,
        ask: |call| {
            call.json::<Because>()?;
            Ok(Ask::Pin {
                chain: call.chain()?,
                unpin: false,
            })
        },
    },
    Route {
        method: "DELETE",
        of: Of::Chain,
        path: "/pin",
        id: "unpin",
        what: "Stay there no longer",
        more: "",
        needs: Needs::Chain,
        params: &[WHY, ONCE],
        takes: Takes::Nothing,
        gives: Gives::Nothing,
        problems: CHANGES,
        ask: |call| {
            Ok(Ask::Pin {
                chain: call.chain()?,
                unpin: true,
            })
        },
    },
    Route {
        method: "DELETE",
        of: Of::Zone,
        path: "",
        id: "delete_zone",
        what: "A version that takes the zone out of service, and its rollout",
        more: "It can be restored.",
        needs: Needs::Chain,
        params: &[WHY, ONCE],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Applied>),
        problems: CHANGES,
        ask: |call| {
            let zone = call.value("zone").unwrap_or_default().to_owned();
            Ok(Ask::Delete {
                zone,
                restore: false,
            })
        },
    },
    Route {
        method: "POST",
        of: Of::Zone,
        path: "/restore",
        id: "restore_zone",
        what: "Brings a deleted zone back, as it was",
        more: "",
        needs: Needs::Chain,
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::Json(of::<Applied>),
        problems: CHANGES,
        ask: |call| {
            call.json::<Because>()?;
            let zone = call.value("zone").unwrap_or_default().to_owned();
            Ok(Ask::Delete {
                zone,
                restore: true,
            })
        },
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/apply",
        id: "apply",
        what: "A version of each zone that is new or changed in a document, and of what all zones share, and their rollouts",
        more: "What the document leaves out stays. All of it is made, or nothing. Relative paths in it begin at `/` of the edge's machine.",
        needs: Needs::Document,
        params: &[
            query(
                "parent",
                of::<u64>,
                "The number of the newest version that was looked at before: when there is a newer one, nothing is done. For a document of one zone.",
            ),
            WHY,
            APPROVE,
            ONCE,
        ],
        takes: Takes::Document,
        gives: Gives::Json(of::<Applied>),
        problems: &["forbidden", "refused", "conflict", "bad_document"],
        ask: |call| {
            Ok(Ask::Apply {
                text: call.text()?,
                folder: PathBuf::from("/"),
                parent: call.number("parent")?,
                approve: call.number("approve")?.unwrap_or(false),
            })
        },
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/check",
        id: "check",
        what: "What applying a document would do, and all that is wrong with it",
        more: "Nothing is made. It is compiled with what is there already, so that a zone may name a list that all share.",
        needs: Needs::Word("read"),
        params: &[],
        takes: Takes::Document,
        gives: Gives::Json(of::<Checked>),
        problems: &["refused", "bad_document"],
        ask: |call| Ok(Ask::Check { text: call.text()? }),
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/rollouts",
        id: "rollouts",
        what: "The rollouts that run, or those that are named",
        more: "",
        needs: Needs::Word("read"),
        params: &[
            query(
                "ids",
                of::<String>,
                "Numbers of rollouts, with commas between them, at most 1000.",
            ),
            WAIT,
            KNOWN,
        ],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Rollouts>),
        problems: &[],
        ask: |call| {
            let ids = call.param("ids").into_iter().flat_map(|ids| ids.split(','));
            let ids: Result<Vec<u64>, _> = ids.map(str::parse).collect();
            let ids = ids.ok().filter(|ids| ids.len() <= 1_000);
            let wrong = || Problem::of("bad_parameter").saying("`ids` are numbers");
            Ok(Ask::Rollouts {
                ids: ids.ok_or_else(wrong)?,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/rollouts/{rollout}",
        id: "rollout",
        what: "How a rollout stands",
        more: "",
        needs: Needs::Word("read"),
        params: &[WAIT, KNOWN],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Standing>),
        problems: &["unknown"],
        ask: |call| {
            Ok(Ask::Rollouts {
                ids: vec![call.id("rollout")?],
            })
        },
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/rollouts/{rollout}/approve",
        id: "approve",
        what: "Lets a rollout go on past a guard that asks for a person",
        more: "",
        needs: Needs::Word("rollouts"),
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::Nothing,
        problems: CHANGES,
        ask: |call| decide(call, true),
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/rollouts/{rollout}/abort",
        id: "abort",
        what: "Ends a rollout: what served before serves all again",
        more: "",
        needs: Needs::Word("rollouts"),
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::Nothing,
        problems: CHANGES,
        ask: |call| decide(call, false),
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/audit",
        id: "audit",
        what: "The log: who did what and why, newest first",
        more: "Each entry is tied to the one before it by its hash. Nothing in it is a secret.",
        needs: Needs::Word("read"),
        params: &[BEFORE, LIMIT],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Log>),
        problems: &[],
        ask: |call| {
            Ok(Ask::Log {
                before: call.number("before")?,
                limit: call.limit()?,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/locations",
        id: "locations",
        what: "The locations, and when each was heard of",
        more: "",
        needs: Needs::Word("read"),
        params: &[],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<Locations>),
        problems: &[],
        ask: |_| Ok(Ask::Locations),
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/locations/{location}/token",
        id: "join_token",
        what: "A token with which this location may join, once, within an hour",
        more: "It is told in this answer and never again. Control must listen for locations.",
        needs: Needs::Word("locations"),
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::New(of::<JoinToken>),
        problems: &["forbidden", "refused"],
        ask: |call| {
            call.json::<Because>()?;
            Ok(Ask::JoinToken {
                location: location(call),
            })
        },
    },
    Route {
        method: "DELETE",
        of: Of::All,
        path: "/locations/{location}",
        id: "leave",
        what: "A location is one of ours no more: it reads nothing new, and nobody waits for it",
        more: "",
        needs: Needs::Word("locations"),
        params: &[WHY, ONCE],
        takes: Takes::Nothing,
        gives: Gives::Nothing,
        problems: &["forbidden", "unknown"],
        ask: |call| {
            Ok(Ask::Leave {
                location: location(call),
            })
        },
    },
    Route {
        method: "PUT",
        of: Of::All,
        path: "/locations/{location}/drain",
        id: "drain",
        what: "Leads traffic away from a location: it says that it is not ready, and no rollout waits for it",
        more: "",
        needs: Needs::Word("locations"),
        params: &[ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::Nothing,
        problems: &["forbidden", "unknown"],
        ask: |call| {
            call.json::<Because>()?;
            Ok(Ask::Drain {
                location: Some(location(call)),
                undrain: false,
            })
        },
    },
    Route {
        method: "DELETE",
        of: Of::All,
        path: "/locations/{location}/drain",
        id: "undrain",
        what: "Leads traffic back to a location",
        more: "",
        needs: Needs::Word("locations"),
        params: &[WHY, ONCE],
        takes: Takes::Nothing,
        gives: Gives::Nothing,
        problems: &["forbidden", "unknown"],
        ask: |call| {
            Ok(Ask::Drain {
                location: Some(location(call)),
                undrain: true,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/tokens",
        id: "tokens",
        what: "The tokens that stand",
        more: "What they are themselves is nowhere.",
        needs: Needs::Word("tokens"),
        params: &[],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<TokensTold>),
        problems: &[],
        ask: |_| Ok(Ask::Tokens),
    },
    Route {
        method: "POST",
        of: Of::All,
        path: "/tokens",
        id: "make_token",
        what: "A new token",
        more: "It is told in this answer and never again. It may do no more than the token that makes it, and for no longer.",
        needs: Needs::Word("tokens"),
        params: &[WHY, ONCE],
        takes: Takes::Json(of::<NewToken>, Optional::No),
        gives: Gives::New(of::<TokenMade>),
        problems: &["forbidden", "refused"],
        ask: |call| Ok(Ask::MakeToken(call.json()?)),
    },
    Route {
        method: "DELETE",
        of: Of::All,
        path: "/tokens/{name}",
        id: "revoke_token",
        what: "A token is good no more, from now on",
        more: "",
        needs: Needs::Word("tokens"),
        params: &[WHY, ONCE],
        takes: Takes::Nothing,
        gives: Gives::Nothing,
        problems: &["forbidden", "unknown"],
        ask: |call| {
            let name = call.value("name").unwrap_or_default().to_owned();
            Ok(Ask::RevokeToken { name })
        },
    },
];

fn location(call: &Call) -> String {
    call.value("location").unwrap_or_default().to_owned()
}

fn decide(call: &Call, approve: bool) -> Result<Ask, Problem> {
    call.json::<Because>()?;
    Ok(Ask::Decide {
        rollout: Some(call.id("rollout")?),
        approve,
    })
}

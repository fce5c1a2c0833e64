//! Zones, and what they share: documents, versions, and what is done to them.

use super::{
    APPROVE, BACK, BEFORE, Back, Because, CHANGES, KNOWN, LIMIT, ONCE, WHY, field, of, query,
};
use crate::api::route::{Gives, Needs, Of, Optional, Route, Takes};
use crate::control::asks::{Applied, Ask, Diff, Told, Versions, Which, Zones};

/// All of them.
pub static ROUTES: &[Route] = &[
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
        problems: BACK,
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
        problems: BACK,
        ask: |call| {
            call.json::<Because>()?;
            let zone = call.value("zone").unwrap_or_default().to_owned();
            Ok(Ask::Delete {
                zone,
                restore: true,
            })
        },
    },
];

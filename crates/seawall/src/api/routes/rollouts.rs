//! Changes on their way: applying, rollouts, emergency switches, the log of what was done.

use std::path::PathBuf;

use super::{APPROVE, BEFORE, Because, CHANGES, KNOWN, LIMIT, ONCE, WAIT, WHY, of, query};
use crate::api::call::{Call, Rollouts};
use crate::api::problem::Problem;
use crate::api::route::{Gives, Needs, Of, Optional, Route, Takes};
use crate::control::asks::{Applied, Ask, Checked, KillMade, Log, NewKill, Standing, Status};

/// All of them.
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
        method: "POST",
        of: Of::All,
        path: "/kills",
        id: "kill",
        what: "Switches a stage off for a while, in one zone or all, in one location or all",
        more: "An emergency switch: one location has it first, all others 20 s later. What it means for requests is the stage's: most are left out, `lists` and `access` are closed instead. The same switch again begins its time anew.",
        needs: Needs::Word("kills"),
        params: &[ONCE],
        takes: Takes::Json(of::<NewKill>, Optional::No),
        gives: Gives::New(of::<KillMade>),
        problems: &["forbidden", "refused"],
        ask: |call| {
            let new: NewKill = call.json()?;
            Ok(Ask::Kill {
                stage: new.stage,
                zone: new.zone,
                location: new.location,
                seconds: Some(new.seconds),
            })
        },
    },
    Route {
        method: "DELETE",
        of: Of::All,
        path: "/kills",
        id: "end_kill",
        what: "Switches a stage on again before its time",
        more: "Stage, zone and location are those that were named when it was switched off.",
        needs: Needs::Word("kills"),
        params: &[
            query("stage", of::<String>, "The stage. It must be there."),
            query(
                "zone",
                of::<String>,
                "The zone; without it, the switch of all zones.",
            ),
            query(
                "location",
                of::<String>,
                "The location; without it, the switch of all locations.",
            ),
            WHY,
            ONCE,
        ],
        takes: Takes::Nothing,
        gives: Gives::Nothing,
        problems: &["forbidden", "refused"],
        ask: |call| {
            let named = |name| call.param(name).map(str::to_owned);
            let missing = || Problem::of("bad_parameter").saying("`stage` must be there");
            Ok(Ask::Kill {
                stage: named("stage").ok_or_else(missing)?,
                zone: named("zone"),
                location: named("location"),
                seconds: None,
            })
        },
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
];

fn decide(call: &Call, approve: bool) -> Result<Ask, Problem> {
    call.json::<Because>()?;
    Ok(Ask::Decide {
        rollout: Some(call.id("rollout")?),
        approve,
    })
}

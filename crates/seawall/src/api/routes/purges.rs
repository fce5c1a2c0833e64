//! Purges of what edges keep.

use super::{CHANGES, ONCE, of};
use crate::api::route::{Gives, Needs, Of, Optional, Route, Takes};
use crate::control::asks::{Ask, NewPurge, PurgeMade, PurgeStands};

/// All of them.
pub static ROUTES: &[Route] = &[
    Route {
        method: "POST",
        of: Of::Zone,
        path: "/purges",
        id: "purge",
        what: "Purges what edges keep of the zone's responses",
        more: "An order, and no version: each edge does it once, those elsewhere as soon as they look at what is published, which they are told to. What is on its way from an origin when it comes is not stored. Of a soft purge, what is in memory becomes stale; what is on disk alone goes where a URL is named.",
        needs: Needs::Word("purge"),
        params: &[ONCE],
        takes: Takes::Json(of::<NewPurge>, Optional::No),
        gives: Gives::New(of::<PurgeMade>),
        problems: CHANGES,
        ask: |call| {
            let new: NewPurge = call.json()?;
            Ok(Ask::Purge {
                zone: call.value("zone").unwrap_or_default().to_owned(),
                what: new.what(),
                soft: new.soft,
            })
        },
    },
    Route {
        method: "GET",
        of: Of::All,
        path: "/purges/{purge}",
        id: "purge_stands",
        what: "How far a purge has come, and how long it took",
        more: "For each location, whether it is done there, and the time from the order to the Report that says so.",
        needs: Needs::Word("read"),
        params: &[],
        takes: Takes::Nothing,
        gives: Gives::Json(of::<PurgeStands>),
        problems: &[],
        ask: |call| {
            Ok(Ask::PurgeStands {
                purge: call.id("purge")?,
            })
        },
    },
];

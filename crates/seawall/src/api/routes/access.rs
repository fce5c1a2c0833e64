//! Locations and tokens: who serves, and who may ask.

use super::{Because, CANARY, ONCE, WHY, of};
use crate::api::call::{Call, Locations, TokensTold};
use crate::api::route::{Gives, Needs, Of, Optional, Route, Takes};
use crate::control::asks::{Ask, JoinToken, NewToken, TokenMade};

/// All of them.
pub static ROUTES: &[Route] = &[
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
        params: &[CANARY, ONCE],
        takes: Takes::Json(of::<Because>, Optional::Yes),
        gives: Gives::New(of::<JoinToken>),
        problems: &["forbidden", "refused"],
        ask: |call| {
            call.json::<Because>()?;
            Ok(Ask::JoinToken {
                location: location(call),
                for_s: 3_600,
                canary: call.number("canary")?.unwrap_or(false),
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

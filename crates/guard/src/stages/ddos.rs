//! Limits on one client address: its requests in a time, and the errors that it is answered.
//!
//! An IPv6 client is its /64. Counting itself lives with the State that outlives configurations ([`States::clients`]). Not here:
//! requests in progress at once, which end where exchanges end, and connections.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::document::SkipSet;
use seawall_model::{Fuel, RequestView, Spent};

use crate::assemble::ZoneInput;
use crate::clients::{ClientKey, Limit};
use crate::stage::{
    Budget, OnFault, OnKill, OnSpent, ReasonDef, ResponseStage, ResponseView, Seam, Seams, Stage,
    StageDef,
};
use crate::states::{States, ZoneId};
use crate::verdict::{Reason, Reviewed, Verdict};

/// A lock, a hash and a lookup, where many threads want the same.
const COUNT: u64 = 100;

/// The stage `ddos`.
pub static DEF: StageDef = StageDef {
    name: "ddos",
    what: "Limits the requests of one client address, and the errors that it is answered.",
    budget: Budget {
        fuel: 5_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Pass,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[
        "the client's address by the trust rules",
        "the counters of clients",
    ],
    reasons: &[
        ReasonDef {
            name: "requests",
            what: "The client sent more than `requests_per_client` within `per`.",
        },
        ReasonDef {
            name: "errors",
            what: "The client was answered `errors_per_client` errors within `per`: it seems to guess.",
        },
        ReasonDef {
            name: "concurrent",
            what: "The client has `concurrent_per_client` requests in progress already.",
        },
    ],
    // Asking would count.
    asks_again: false,
    optional: false,
    skipped_by: SkipSet::NONE,
    build,
};

#[derive(Clone)]
struct Clients {
    states: Arc<States>,
    zone: ZoneId,
    requests: Limit,
    errors: Limit,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.ddos;
    let mut seams = Seams::new(zone.mode);
    let per = u64::try_from(zone.per.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let clients = Clients {
        states: input.states.clone(),
        zone: input.id,
        requests: Limit {
            most: zone.requests_per_client,
            per,
        },
        errors: Limit {
            most: zone.errors_per_client,
            per,
        },
    };
    if clients.requests.most > 0 || clients.errors.most > 0 {
        seams.add(Seam::Judge(Box::new(clients.clone())));
    }
    if clients.errors.most > 0 {
        seams.add(Seam::Response(Box::new(clients)));
    }
    seams
}

impl Stage for Clients {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let key = ClientKey::new(self.zone, request.client);
        let now = self.states.now();
        if self.errors.most > 0 {
            fuel.spend(COUNT)?;
            if let Err(wait) = self.states.clients.errors(key, self.errors, now) {
                return Ok(Verdict::Throttle(seconds(wait), Reason::plain("errors")));
            }
        }
        if self.requests.most > 0 {
            fuel.spend(COUNT)?;
            if let Err(wait) = self.states.clients.request(key, self.requests, now) {
                return Ok(Verdict::Throttle(seconds(wait), Reason::plain("requests")));
            }
        }
        Ok(Verdict::Pass)
    }
}

impl ResponseStage for Clients {
    fn review(&self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent> {
        fuel.spend(COUNT)?;
        let status = response.head.status;
        // 401 asks for credentials: browsers meet it before each login.
        if (400..500).contains(&status) && status != 401 {
            let key = ClientKey::new(self.zone, response.client);
            let now = self.states.now();
            self.states.clients.error(key, self.errors, now);
        }
        Ok(Reviewed::Same)
    }
}

/// Milliseconds as `Retry-After` has them: whole seconds, never less than it takes, never none.
fn seconds(wait: u64) -> Duration {
    Duration::from_secs(wait.div_ceil(1_000).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;
    use crate::verdict::Answer;

    #[test]
    fn a_client_that_asks_too_often_waits_and_others_do_not() {
        let mut place = Place::of(&DEF, "[zone.ddos]\nrequests_per_client = 3\nper = '10s'");
        place.now = 20_000;
        for _ in 0..3 {
            assert_eq!(place.asked_by("192.0.2.1"), "");
        }
        place.now = 21_500;
        assert_eq!(place.asked_by("192.0.2.1"), "429 ddos/requests");
        let refusal = place.refused("192.0.2.1", "GET", "/").unwrap();
        assert_eq!(
            refusal.answer,
            Answer::Throttle(Duration::from_secs(9)),
            "8.5 s, in whole seconds"
        );
        assert_eq!(place.asked_by("192.0.2.2"), "");
        place.now = 50_000;
        assert_eq!(place.asked_by("192.0.2.1"), "");
    }

    #[test]
    fn a_client_that_is_answered_errors_only_waits() {
        let mut place = Place::of(&DEF, "[zone.ddos]\nerrors_per_client = 2");
        place.now = 20_000;
        for status in [200, 401, 503, 302, 404] {
            assert_eq!(place.asked_by("192.0.2.1"), "");
            assert_eq!(place.answered("192.0.2.1", status, &[]).0, "");
        }
        assert_eq!(
            place.asked_by("192.0.2.1"),
            "",
            "one error of its own so far"
        );
        place.answered("192.0.2.1", 403, &[]);
        assert_eq!(place.asked_by("192.0.2.1"), "429 ddos/errors");
        assert_eq!(place.asked_by("192.0.2.2"), "");
        place.now = 45_000;
        assert_eq!(place.asked_by("192.0.2.1"), "");
    }

    #[test]
    fn watching_counts_and_refuses_nobody() {
        let place = Place::of(&DEF, "[zone.ddos]\nmode = 'watch'\nrequests_per_client = 1");
        assert_eq!(place.asked_by("192.0.2.1"), "");
        assert_eq!(place.asked_by("192.0.2.1"), "ddos/requests?");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        assert!(Place::of(&DEF, "[zone.ddos]\nper = '1m'").is_unguarded());
        let only_at_once = Place::of(&DEF, "[zone.ddos]\nconcurrent_per_client = 5");
        assert!(only_at_once.is_unguarded());
    }
}

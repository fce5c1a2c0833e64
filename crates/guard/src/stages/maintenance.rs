//! A zone under maintenance answers 503 with a page that says why, but to the clients who work on it.
//!
//! Not here: what the page looks like.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent};

use super::addresses::Addresses;
use crate::assemble::ZoneInput;
use crate::stage::{Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, Stage, StageDef};
use crate::verdict::{Page, Reason, Verdict};

/// The stage `maintenance`.
pub static DEF: StageDef = StageDef {
    name: "maintenance",
    what: "Answers 503 with a page that says why, while the zone's owner asks for it.",
    budget: Budget {
        fuel: 110_000,
        body_fuel: 0,
        body: 0,
    },
    // The site is closed: whoever cannot be told apart from the others is one of them.
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Closed,
    on_kill: OnKill::Off,
    needs: &[
        "the client's address by the trust rules",
        "the lists of the document",
    ],
    reasons: &[ReasonDef {
        name: "maintenance",
        what: "The zone is under maintenance, and the client is not in `allow`.",
    }],
    asks_again: false,
    optional: false,
    skipped_by: SkipSet::NONE,
    build,
};

struct Closed {
    allow: Addresses,
    message: Arc<str>,
    retry_after: Duration,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.maintenance;
    let mut seams = Seams::new(StageMode::Enforce);
    let allow = Addresses::of(&zone.allow, "maintenance.allow", input);
    if zone.enabled {
        seams.add(Seam::Judge(Box::new(Closed {
            allow,
            message: zone.message.as_str().into(),
            retry_after: zone.retry_after,
        })));
    }
    seams
}

impl Stage for Closed {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fuel.spend(10)?;
        if self.allow.find(request.client, fuel)?.is_some() {
            return Ok(Verdict::Pass);
        }
        // Most of it is the runner's, which tells why.
        fuel.spend(80)?;
        let page = Page::Maintenance {
            message: self.message.clone(),
            retry_after: self.retry_after,
        };
        Ok(Verdict::Respond(page, Reason::plain("maintenance")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;
    use crate::verdict::Answer;

    #[test]
    fn everybody_but_those_allowed_gets_the_page() {
        let place = Place::of(
            &DEF,
            "[zone.maintenance]\nenabled = true\nmessage = 'Back at noon.'\nretry_after = '1h'\n\
             allow = ['office', '2001:db8::/64']\n[lists.office]\nips = ['192.0.2.0/24']",
        );
        assert_eq!(place.asked_by("192.0.2.9"), "");
        assert_eq!(place.asked_by("2001:db8::9"), "");
        let refusal = place.refused("198.51.100.1", "GET", "/").unwrap();
        assert_eq!(refusal.reason, Reason::plain("maintenance"));
        let page = Page::Maintenance {
            message: "Back at noon.".into(),
            retry_after: Duration::from_secs(3_600),
        };
        assert_eq!(refusal.answer, Answer::Page(page));
        assert_eq!(refusal.answer.status(), 503);
    }

    #[test]
    fn a_zone_that_is_open_has_no_such_stage() {
        let place = Place::of(&DEF, "[zone.maintenance]\nmessage = 'Soon.'");
        assert!(place.is_unguarded());
    }
}

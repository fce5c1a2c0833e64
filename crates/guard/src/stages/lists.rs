//! Client addresses that are refused or let through, by lists and networks.
//!
//! `allow` is asked first: who is allowed is neither blocked nor missed in `only`. Not here: reading lists from files.

use seawall_model::document::SkipSet;
use seawall_model::{Fuel, RequestView, Spent};

use super::addresses::Addresses;
use crate::assemble::ZoneInput;
use crate::stage::{Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, Stage, StageDef};
use crate::verdict::{Reason, Verdict};

/// The stage `lists`.
pub static DEF: StageDef = StageDef {
    name: "lists",
    what: "Refuses or lets through client addresses by lists and networks.",
    // A zone may refer to 1,000 lists three times, at 100 units each, and to networks of its own.
    budget: Budget {
        fuel: 310_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Closed,
    // A zone that is for some clients only is not opened to all by a switch that is not its owner's.
    on_kill: OnKill::Closed,
    needs: &[
        "the client's address by the trust rules",
        "the lists of the document",
    ],
    reasons: &[
        ReasonDef {
            name: "allowed",
            what: "The client is in `allow`, and the stages of `skip` are left out for it.",
        },
        ReasonDef {
            name: "blocked",
            what: "The client is in `block`.",
        },
        ReasonDef {
            name: "not_listed",
            what: "The zone is for the clients of `only`, and this one is not among them.",
        },
    ],
    asks_again: true,
    optional: false,
    skipped_by: SkipSet::NONE,
    build,
};

struct Lists {
    allow: Addresses,
    skip: SkipSet,
    block: Addresses,
    only: Option<Addresses>,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.lists;
    let mut seams = Seams::new(zone.mode);
    let only = Addresses::of(&zone.only, "lists.only", input);
    let lists = Lists {
        allow: Addresses::of(&zone.allow, "lists.allow", input),
        skip: zone.skip,
        block: Addresses::of(&zone.block, "lists.block", input),
        // Not by what was found: a zone that is for the clients of a list is for nobody while that list cannot be had.
        only: (!zone.only.is_empty()).then_some(only),
    };
    let lets_nobody_skip = lists.allow.is_empty() || lists.skip.is_empty();
    if lists.block.is_empty() && lists.only.is_none() && lets_nobody_skip {
        return seams;
    }
    seams.add(Seam::Judge(Box::new(lists)));
    seams
}

impl Stage for Lists {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let client = request.client;
        fuel.spend(30)?;
        if let Some(found) = self.allow.find(client, fuel)? {
            return Ok(match self.skip.is_empty() {
                true => Verdict::Pass,
                false => Verdict::Skip(self.skip, found.reason("allowed")),
            });
        }
        if let Some(found) = self.block.find(client, fuel)? {
            return Ok(Verdict::Deny(403, found.reason("blocked")));
        }
        match &self.only {
            Some(only) if only.find(client, fuel)?.is_none() => {
                Ok(Verdict::Deny(403, Reason::plain("not_listed")))
            }
            _ => Ok(Verdict::Pass),
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::document::StageMode;

    use super::*;
    use crate::stages::places::Place;

    const LISTS: &str = "
        [lists.bad]
        ips = ['203.0.113.0/24', '2001:db8:bad::/48']
        [lists.office]
        ips = ['198.51.100.0/24']
    ";

    fn place(keys: &str) -> Place {
        Place::of(&DEF, &format!("[zone.lists]\n{keys}\n{LISTS}"))
    }

    #[test]
    fn clients_are_blocked_by_lists_and_networks() {
        let place = place("block = ['bad', '192.0.2.7']");
        assert_eq!(place.asked_by("203.0.113.9"), "403 lists/blocked(bad)");
        assert_eq!(place.asked_by("2001:db8:bad::1"), "403 lists/blocked(bad)");
        assert_eq!(place.asked_by("192.0.2.7"), "403 lists/blocked");
        assert_eq!(place.asked_by("192.0.2.8"), "");
        assert_eq!(place.asked_by("2001:db8::1"), "");
    }

    #[test]
    fn who_is_allowed_is_neither_blocked_nor_missed() {
        let place = place("block = ['0.0.0.0/0']\nallow = ['office']\nonly = ['192.0.2.0/24']");
        assert_eq!(place.asked_by("198.51.100.1"), "");
        assert_eq!(place.asked_by("192.0.2.1"), "403 lists/blocked");
    }

    #[test]
    fn allowed_clients_skip_what_the_zone_says() {
        let place = place("allow = ['office', '192.0.2.1']\nskip = ['rate', 'waf']");
        assert_eq!(place.asked_by("198.51.100.1"), "lists/allowed(office)");
        assert_eq!(place.asked_by("192.0.2.1"), "lists/allowed");
        assert_eq!(place.asked_by("192.0.2.2"), "");
    }

    #[test]
    fn others_than_those_listed_are_refused() {
        let place = place("only = ['office', '2001:db8::/32']");
        assert_eq!(place.asked_by("198.51.100.1"), "");
        assert_eq!(place.asked_by("2001:db8::5"), "");
        assert_eq!(place.asked_by("192.0.2.1"), "403 lists/not_listed");
    }

    #[test]
    fn it_costs_nothing_where_it_has_nothing_to_do() {
        assert!(place("").is_unguarded());
        assert!(place("allow = ['office']").is_unguarded());
        assert!(place("mode = 'off'\nblock = ['bad']").is_unguarded());
        let watching = place("mode = 'watch'\nblock = ['bad']");
        assert_eq!(watching.asked_by("203.0.113.9"), "lists/blocked(bad)?");
        assert_eq!(watching.modes(), [("lists", StageMode::Watch)]);
    }

    #[test]
    fn a_list_that_is_not_there_is_a_problem_and_opens_nothing() {
        let text = "[zone.lists]\nonly = ['192.0.2.1', 'bad']\n[lists.bad]\nips = []";
        let mut place = Place::without_lists(&DEF, text);
        let problems = std::mem::take(&mut place.problems);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("zone[0].lists.only[1]: \"bad\" is no list"));
        let place =
            Place::without_lists(&DEF, "[zone.lists]\nonly = ['bad']\n[lists.bad]\nips = []");
        assert_eq!(place.asked_by("192.0.2.1"), "403 lists/not_listed");
    }
}

//! What the header of a response should not tell, or should hold: fields taken out, `X-Content-Type-Options` put in.
//!
//! Both changes are made ready when the configuration is; a response only chooses between them.

use std::sync::Arc;

use seawall_model::document::SkipSet;
use seawall_model::{Fields, Fuel, Spent};

use crate::assemble::ZoneInput;
use crate::edits::Edits;
use crate::stage::{
    Budget, OnFault, OnKill, OnSpent, ReasonDef, ResponseStage, ResponseView, Seam, Seams, StageDef,
};
use crate::verdict::Reviewed;

const NOSNIFF: &[u8] = b"x-content-type-options";
/// What it costs to compare the name of one field with one name.
const COMPARE: u64 = 4;

/// The stage `hygiene`.
pub static DEF: StageDef = StageDef {
    name: "hygiene",
    what: "Takes fields out of responses that tell too much, and adds `X-Content-Type-Options: nosniff`.",
    // 100 names are compared with each of some 128 fields, at four units each.
    budget: Budget {
        fuel: 100_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Pass,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[],
    // A change that every response gets is not worth telling.
    reasons: &[] as &[ReasonDef],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::NONE,
    build,
};

struct Hygiene {
    /// For a response that has the field, or should not get it.
    plain: Option<Arc<Edits>>,
    /// For one that lacks it.
    lacking: Option<Arc<Edits>>,
    /// Comparisons for each field of a response.
    names: u64,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.hygiene;
    let mut seams = Seams::new(zone.mode);
    if zone.remove.is_empty() && !zone.nosniff {
        return seams;
    }
    let remove: Box<[Box<[u8]>]> = zone
        .remove
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    let edits = |nosniff: bool| {
        let mut put = Fields::default();
        if nosniff {
            put.push(NOSNIFF, b"nosniff");
        }
        let remove = remove.clone();
        let edits = Edits { remove, put };
        (!edits.is_empty()).then(|| Arc::new(edits))
    };
    let is_removed = |name: &[u8]| name.eq_ignore_ascii_case(NOSNIFF);
    let always = zone.nosniff && remove.iter().any(|name| is_removed(name));
    seams.add(Seam::Response(Box::new(Hygiene {
        plain: edits(always),
        lacking: edits(zone.nosniff),
        names: remove.len() as u64 + 1,
    })));
    seams
}

impl ResponseStage for Hygiene {
    fn review(&self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent> {
        let fields = &response.head.fields;
        let comparisons = self.names.saturating_mul(fields.len() as u64 + 1);
        fuel.spend(comparisons.saturating_mul(COMPARE))?;
        let edits = match fields.named(NOSNIFF) {
            Some(_) => &self.plain,
            None => &self.lacking,
        };
        Ok(match edits {
            Some(edits) => Reviewed::Edit(edits.clone(), None),
            None => Reviewed::Same,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;

    fn cleaned(keys: &str, fields: &[(&str, &str)]) -> String {
        let place = Place::of(&DEF, &format!("[zone.hygiene]\n{keys}"));
        let (told, fields) = place.answered("192.0.2.1", 200, fields);
        assert_eq!(told, "", "it is not worth telling");
        fields
    }

    #[test]
    fn fields_are_taken_out_whatever_their_case() {
        let fields = cleaned(
            "remove = ['X-Powered-By', 'server']",
            &[
                ("x-powered-by", "PHP"),
                ("Server", "a"),
                ("etag", "1"),
                ("SERVER", "b"),
            ],
        );
        assert_eq!(fields, "etag: 1\n");
    }

    #[test]
    fn nosniff_is_added_where_there_is_none() {
        let add = "nosniff = true";
        assert_eq!(cleaned(add, &[]), "x-content-type-options: nosniff\n");
        let own = [("X-Content-Type-Options", "nosniff")];
        assert_eq!(cleaned(add, &own), "X-Content-Type-Options: nosniff\n");
        let replace = "nosniff = true\nremove = ['x-content-type-options']";
        let own = [
            ("X-Content-Type-Options", "odd"),
            ("X-Content-Type-Options", ""),
        ];
        assert_eq!(cleaned(replace, &own), "x-content-type-options: nosniff\n");
    }

    #[test]
    fn a_zone_that_asks_for_nothing_has_no_such_stage() {
        assert!(Place::of(&DEF, "[zone.hygiene]\nnosniff = false").is_unguarded());
        let off = "[zone.hygiene]\nmode = 'off'\nnosniff = true";
        assert!(Place::of(&DEF, off).is_unguarded());
    }

    #[test]
    fn watching_changes_nothing() {
        let place = Place::of(&DEF, "[zone.hygiene]\nmode = 'watch'\nnosniff = true");
        let (_, fields) = place.answered("192.0.2.1", 200, &[("etag", "1")]);
        assert_eq!(fields, "etag: 1\n");
    }
}

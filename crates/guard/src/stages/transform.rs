//! A zone's own changes of requests: plain HTTP is sent to HTTPS, and the zone's header edits are made.
//!
//! Not here: changes under a condition, which are rules; edits of responses.

use std::sync::Arc;

use seawall_model::document::{HeaderEdits, SkipSet};
use seawall_model::{Fields, Fuel, Method, RequestView, Spent};

use super::targets;
use crate::assemble::ZoneInput;
use crate::edits::{Edits, HeadEdit};
use crate::stage::{Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, StageDef, Transform};
use crate::verdict::{Page, Reason, Transformed};

/// The stage `transform`.
pub static DEF: StageDef = StageDef {
    name: "transform",
    what: "Redirects plain HTTP to HTTPS, and edits the headers of requests.",
    // 200 names are compared with each of some 140 fields, at four units each; a redirect copies the target, of some 64 KiB.
    budget: Budget {
        fuel: 150_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    // What the edits put in, or take out, may be what protects the origin.
    on_fault: OnFault::Closed,
    on_kill: OnKill::Closed,
    needs: &[],
    reasons: &[ReasonDef {
        name: "https",
        what: "The zone has `redirect_https`, and the client came by plain HTTP.",
    }],
    asks_again: false,
    optional: false,
    skipped_by: SkipSet::NONE,
    build,
};

struct ToHttps {
    /// `:port` of the URL; empty for 443.
    port: Box<[u8]>,
}

struct Headers(Arc<HeadEdit>);

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let mut seams = Seams::new(input.zone.transform.mode);
    if input.zone.redirect_https {
        let port = match input.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let port = port.into_bytes().into();
        seams.add(Seam::Transform(Box::new(ToHttps { port })));
    }
    let edits = edits(&input.zone.request_headers);
    if !edits.is_empty() {
        let edit = HeadEdit {
            target: None,
            fields: edits,
        };
        seams.add(Seam::Transform(Box::new(Headers(Arc::new(edit)))));
    }
    seams
}

/// What a document asks for, made ready.
pub(super) fn edits(wanted: &HeaderEdits) -> Edits {
    let set = wanted.set.iter().map(|(name, _)| name);
    let names = wanted.remove.iter().chain(set);
    let mut put = Fields::default();
    for (name, value) in wanted.set.iter().chain(&wanted.add) {
        put.push(name.as_bytes(), value.as_bytes());
    }
    Edits {
        remove: names.map(|name| name.as_bytes().into()).collect(),
        put,
    }
}

/// What it costs to make edits, for the fuel: each name is compared with each field.
pub(super) fn cost(edits: &Edits, fields: &Fields) -> u64 {
    let compared = (edits.remove.len() as u64).saturating_mul(fields.len() as u64 + 1);
    compared.saturating_mul(4) + 30 * edits.put.len() as u64
}

impl Transform for ToHttps {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        fuel.spend(10)?;
        if request.https {
            return Ok(Transformed::Same);
        }
        let target = request.head.target();
        fuel.spend(50 + target.len() as u64)?;
        let mut location = b"https://".to_vec();
        location.extend_from_slice(request.host());
        location.extend_from_slice(&self.port);
        // Without a path the URL stands for `OPTIONS *` (RFC 9112 §3.2.4).
        if target.starts_with(b"/") {
            targets::append(&mut location, target);
        }
        // 308 keeps the method; a GET gets the 301 that every client knows.
        let status = match request.head.method {
            Method::Get | Method::Head => 301,
            _ => 308,
        };
        let page = Page::Redirect { status, location };
        Ok(Transformed::Respond(page, Reason::plain("https")))
    }
}

impl Transform for Headers {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        fuel.spend(cost(&self.0.fields, &request.head.fields))?;
        Ok(Transformed::Edit(self.0.clone(), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;
    use crate::verdict::Answer;

    fn location(place: &Place, method: &str, target: &str) -> (u16, String) {
        let refusal = place.refused("192.0.2.1", method, target).unwrap();
        assert_eq!(refusal.reason, Reason::plain("https"));
        match refusal.answer {
            Answer::Page(Page::Redirect { status, location }) => {
                (status, String::from_utf8(location).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_http_is_sent_to_https() {
        let mut place = Place::of(&DEF, "redirect_https = true");
        for (method, target, status, to) in [
            ("GET", "/a//b?c=%20", 301, "https://a.test/a//b?c=%20"),
            ("HEAD", "/", 301, "https://a.test/"),
            ("POST", "/x", 308, "https://a.test/x"),
            ("OPTIONS", "*", 308, "https://a.test"),
            ("GET", "//evil.test/", 301, "https://a.test//evil.test/"),
        ] {
            assert_eq!(location(&place, method, target), (status, to.into()));
        }
        place.https = true;
        assert_eq!(place.asked("GET", "/", &[]).0, "");
    }

    #[test]
    fn the_edits_of_the_zone_are_made() {
        let place = Place::of(
            &DEF,
            "[zone.request_headers]\nset = { x-a = '1' }\nadd = { x-b = '2' }\nremove = ['x-c']",
        );
        let sent = [
            ("X-A", "0"),
            ("x-b", "0"),
            ("X-C", "0"),
            ("x_a", "0"),
            ("x-d", "0"),
        ];
        let (told, got) = place.asked("GET", "/", &sent);
        assert_eq!(told, "", "it is not worth telling");
        assert_eq!(got, "/\nx-b: 0\nx-d: 0\nx-a: 1\nx-b: 2\n");
    }

    #[test]
    fn watching_sends_nobody_away_and_changes_nothing() {
        let place = Place::of(
            &DEF,
            "redirect_https = true\ntransform = { mode = 'watch' }\n\
             [zone.request_headers]\nset = { x-a = '1' }",
        );
        let (told, got) = place.asked("GET", "/", &[]);
        assert_eq!((told.as_str(), got.as_str()), ("transform/https?", "/\n"));
    }

    #[test]
    fn a_zone_that_changes_nothing_has_no_such_stage() {
        assert!(Place::of(&DEF, "").is_unguarded());
    }
}

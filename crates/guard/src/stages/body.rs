//! What request bodies may hold: how long they are, of which media type, how deep their JSON is nested.
//!
//! A body is asked for its type before a byte of it is read. Its length and depth are watched as it streams, so that neither
//! a missing length nor padding carries past what is forbidden. It is asked only of requests that have a body.

use seawall_model::document::SkipSet;
use seawall_model::{FieldId, Fuel, RequestView, Spent};

use super::json::{Bad, Depth};
use crate::assemble::ZoneInput;
use crate::stage::{
    BodyStage, Budget, Inspect, OnFault, OnKill, OnSpent, Opened, ReasonDef, Seam, Seams, StageDef,
};
use crate::verdict::{Reason, Verdict};

/// Bytes of a body that are held back while its JSON is looked at: what is refused within them never begins at the origin.
const HOLD: usize = 64 << 10;

/// The stage `body`.
pub static DEF: StageDef = StageDef {
    name: "body",
    what: "Limits the size and the media types of request bodies, and the depth of JSON.",
    budget: Budget {
        fuel: 20_000,
        // A byte of JSON costs about two units.
        body_fuel: 4_000,
        body: HOLD,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Closed,
    on_kill: OnKill::Off,
    needs: &["the request's body, as it streams"],
    reasons: &[
        ReasonDef {
            name: "size",
            what: "The body is longer than `max_body`.",
        },
        ReasonDef {
            name: "content_type",
            what: "The body is of none of the zone's `content_types`, or it cannot be told of which type it is.",
        },
        ReasonDef {
            name: "charset",
            what: "JSON is in another encoding than UTF-8, and cannot be looked into.",
        },
        ReasonDef {
            name: "content_encoding",
            what: "JSON is compressed, and cannot be looked into.",
        },
        ReasonDef {
            name: "json_depth",
            what: "JSON is nested deeper than `json_depth`.",
        },
        ReasonDef {
            name: "json_syntax",
            what: "What calls itself JSON is none, so that its depth cannot be told.",
        },
    ],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::NONE,
    build,
};

struct Bodies {
    most: Option<u64>,
    types: Box<[Box<[u8]>]>,
    json_depth: u16,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.body;
    let mut seams = Seams::new(zone.mode);
    let bodies = Bodies {
        most: input.zone.max_body,
        types: zone
            .content_types
            .iter()
            .map(|kind| kind.as_bytes().into())
            .collect(),
        json_depth: zone.json_depth,
    };
    if bodies.most.is_some() || bodies.looks_at_types() {
        seams.add(Seam::Body(Box::new(bodies)));
    }
    seams
}

const fn deny(status: u16, reason: &'static str) -> Verdict {
    Verdict::Deny(status, Reason::plain(reason))
}

impl Bodies {
    const fn looks_at_types(&self) -> bool {
        !self.types.is_empty() || self.json_depth > 0
    }

    /// Whether the body is JSON that is to be looked into, or what is wrong with what the head says of it.
    fn judge(&self, request: &RequestView<'_>) -> Result<bool, Verdict> {
        if !self.looks_at_types() {
            return Ok(false);
        }
        let fields = &request.head.fields;
        let mut values = fields.all(FieldId::ContentType);
        let (value, another) = (values.next(), values.next());
        if another.is_some() {
            return Err(deny(400, "content_type"));
        }
        let Some(kind) = value.map(MediaType::of) else {
            return match self.types.is_empty() {
                true => Ok(false),
                false => Err(deny(415, "content_type")),
            };
        };
        if !self.types.is_empty() && !self.types.iter().any(|known| kind.is(known)) {
            return Err(deny(415, "content_type"));
        }
        if self.json_depth == 0 {
            return Ok(false);
        }
        if !kind.is_well_formed() {
            return Err(deny(400, "content_type"));
        }
        if !kind.is_json() {
            return Ok(false);
        }
        if !kind.is_utf8() {
            return Err(deny(415, "charset"));
        }
        let is_identity = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
        if !fields.all(FieldId::ContentEncoding).all(is_identity) {
            return Err(deny(415, "content_encoding"));
        }
        Ok(true)
    }
}

impl BodyStage for Bodies {
    fn open(
        &self,
        request: &RequestView<'_>,
        length: Option<u64>,
        fuel: &mut Fuel,
    ) -> Result<Opened, Spent> {
        fuel.spend(50)?;
        if length == Some(0) {
            return Ok(Opened::Pass);
        }
        if let (Some(most), Some(length)) = (self.most, length)
            && length > most
        {
            return Ok(Opened::Verdict(deny(413, "size")));
        }
        let values = request.head.fields.all(FieldId::ContentType);
        let bytes = values.map(<[u8]>::len).sum::<usize>();
        // Each type that the zone takes is compared with the one that it is.
        fuel.spend_bytes(bytes, 1)?;
        fuel.spend(10 * self.types.len() as u64)?;
        let json = match self.judge(request) {
            Ok(true) => Some(Depth::new(self.json_depth)),
            Ok(false) => None,
            Err(verdict) => return Ok(Opened::Verdict(verdict)),
        };
        let hold = if json.is_some() { HOLD } else { 0 };
        // What was announced is what comes: framing holds the client to it.
        let left = if length.is_some() { None } else { self.most };
        if left.is_none() && json.is_none() {
            return Ok(Opened::Pass);
        }
        Ok(Opened::Watch(Box::new(Watched { left, json }), hold))
    }
}

/// A body that is looked at.
struct Watched {
    /// Bytes that may still come.
    left: Option<u64>,
    json: Option<Depth>,
}

impl Inspect for Watched {
    fn feed(&mut self, piece: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fuel.spend(10)?;
        if let Some(left) = self.left {
            let Some(left) = left.checked_sub(piece.len() as u64) else {
                return Ok(deny(413, "size"));
            };
            self.left = Some(left);
        }
        let Some(json) = &mut self.json else {
            return Ok(Verdict::Pass);
        };
        fuel.spend(2 * piece.len() as u64)?;
        let read = match json.read(piece) {
            Ok(()) if end => json.end(),
            read => read,
        };
        Ok(match read {
            Ok(()) => Verdict::Pass,
            Err(Bad::Deep) => deny(400, "json_depth"),
            Err(Bad::Syntax) => deny(400, "json_syntax"),
        })
    }
}

/// A media type (RFC 9110 §8.3.1), as it came.
#[derive(Clone, Copy, Debug)]
struct MediaType<'v> {
    /// Type and subtype, in any case.
    essence: &'v [u8],
    parameters: &'v [u8],
}

impl<'v> MediaType<'v> {
    fn of(value: &'v [u8]) -> Self {
        let mut halves = value.splitn(2, |byte| *byte == b';');
        Self {
            essence: halves.next().unwrap_or_default().trim_ascii(),
            parameters: halves.next().unwrap_or_default(),
        }
    }

    /// Whether it is `known`: `type/subtype` or `type/*`, in lower case.
    fn is(self, known: &[u8]) -> bool {
        match known.strip_suffix(b"*") {
            Some(kind) => match self.essence.split_at_checked(kind.len()) {
                Some((ours, subtype)) => ours.eq_ignore_ascii_case(kind) && is_token(subtype),
                None => false,
            },
            None => self.essence.eq_ignore_ascii_case(known),
        }
    }

    fn is_well_formed(self) -> bool {
        let mut halves = self.essence.splitn(2, |byte| *byte == b'/');
        let kind = halves.next().unwrap_or_default();
        is_token(kind) && halves.next().is_some_and(is_token)
    }

    /// Whether it is JSON: also by its suffix (RFC 6839 §3.1), and by the name that was used before there was another.
    fn is_json(self) -> bool {
        let ends = |suffix: &[u8]| {
            let at = self.essence.len().saturating_sub(suffix.len());
            let end = self.essence.get(at..).unwrap_or_default();
            end.eq_ignore_ascii_case(suffix)
        };
        self.is(b"application/json") || self.is(b"text/json") || ends(b"+json")
    }

    /// Whether it names no charset, or UTF-8, of which ASCII is a part. RFC 8259 has no such parameter, but servers heed it.
    fn is_utf8(self) -> bool {
        let mut parameters = self.parameters.split(|byte| *byte == b';');
        parameters.all(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default().trim_ascii();
            if !name.eq_ignore_ascii_case(b"charset") {
                // A quoted value may hold anything, also a `;`: whoever splits as we do sees no charset, but another may.
                return !holds(parameter, b"charset");
            }
            let value = halves.next().unwrap_or_default().trim_ascii();
            let bare = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            let value = bare.unwrap_or(value);
            let known: [&[u8]; 4] = [b"utf-8", b"utf8", b"us-ascii", b"ascii"];
            known.iter().any(|known| value.eq_ignore_ascii_case(known))
        })
    }
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    let mut windows = text.windows(word.len());
    windows.any(|window| window.eq_ignore_ascii_case(word))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::stages::places::{Pairs, Place};
    use crate::trail::Trail;

    const JSON: Pairs<'_> = &[("content-type", "application/json")];

    fn typed(value: &str) -> [(&str, &str); 1] {
        [("content-type", value)]
    }

    #[test]
    fn a_body_that_is_too_long_is_refused_by_what_it_says_and_by_what_it_is() {
        let place = Place::of(&DEF, "max_body = '10B'");
        assert_eq!(place.sent(&[], Some(11), b"", 1), "413 body/size");
        assert_eq!(place.sent(&[], Some(10), b"0123456789", 3), "");
        assert_eq!(place.sent(&[], None, b"0123456789", 3), "");
        assert_eq!(place.sent(&[], None, b"0123456789A", 3), "413 body/size");
        let watching = Place::of(&DEF, "max_body = '10B'\n[zone.body]\nmode = 'watch'");
        assert_eq!(watching.sent(&[], Some(11), b"", 1), "body/size?");
        let told = watching.sent(&[], None, b"0123456789ABCDEF", 3);
        assert_eq!(told, "body/size?", "once");
    }

    #[test]
    fn a_body_has_a_type_that_the_zone_takes() {
        let place = Place::of(
            &DEF,
            "[zone.body]\ncontent_types = ['application/json', 'Text/*']",
        );
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json ;x",
            "text/plain",
            "TEXT/html;a=b",
        ] {
            assert_eq!(place.sent(&typed(good), Some(1), b"x", 1), "", "{good}");
        }
        for bad in [
            "application/xml",
            "application/json/x",
            "application/jsonx",
            "text/",
            "text",
            "text/plain, application/json",
            "",
            ";application/json",
        ] {
            let told = place.sent(&typed(bad), Some(1), b"x", 1);
            assert_eq!(told, "415 body/content_type", "{bad}");
        }
        assert_eq!(place.sent(&[], None, b"x", 1), "415 body/content_type");
        assert_eq!(place.sent(&[], Some(0), b"", 1), "", "no body has no type");
        let two = [
            ("content-type", "text/plain"),
            ("Content-Type", "application/json"),
        ];
        assert_eq!(place.sent(&two, None, b"x", 1), "400 body/content_type");
    }

    #[test]
    fn json_is_looked_into() {
        let place = Place::of(&DEF, "[zone.body]\njson_depth = 2");
        for piece in [1, 2, 3, 100] {
            assert_eq!(place.sent(JSON, None, b"[[1],{}]", piece), "");
            let told = place.sent(JSON, Some(9), b"[[1,[2]]]", piece);
            assert_eq!(told, "400 body/json_depth");
        }
        let problem = typed("application/problem+JSON; charset=\"UTF-8\"");
        let told = place.sent(&problem, None, b"[[[", 8);
        assert_eq!(told, "400 body/json_depth");
        assert_eq!(place.sent(JSON, None, b"['[']", 8), "400 body/json_syntax");
        assert_eq!(
            place.sent(JSON, None, b"[\"\xe2", 8),
            "400 body/json_syntax"
        );
        assert_eq!(place.sent(&typed("text/plain"), None, b"[[[[", 8), "");
        assert_eq!(place.sent(&[], None, b"[[[[", 8), "");
    }

    #[test]
    fn json_that_cannot_be_looked_into_is_refused() {
        let place = Place::of(&DEF, "[zone.body]\njson_depth = 2");
        for coding in ["gzip", "br", "", "identity, gzip", "x"] {
            let fields = [JSON[0], ("content-encoding", coding)];
            let told = place.sent(&fields, None, b"[]", 8);
            assert_eq!(told, "415 body/content_encoding", "{coding}");
        }
        let fields = [JSON[0], ("content-encoding", "Identity")];
        assert_eq!(place.sent(&fields, None, b"[]", 8), "");
        for kind in [
            "application/json; charset=utf-7",
            "application/json;Charset = \"ibm037\"",
            "application/json; charset=utf-8; charset=shift_jis",
            "application/json; x=\"; charset=utf-8\"; charset*=utf-16''x",
        ] {
            let told = place.sent(&typed(kind), None, b"[]", 8);
            assert_eq!(told, "415 body/charset", "{kind}");
        }
        let told = place.sent(&typed("json"), None, b"[[[", 8);
        assert_eq!(told, "400 body/content_type");
    }

    #[test]
    fn padding_carries_nothing_past_and_only_json_is_held_back() {
        let place = Place::of(&DEF, "max_body = '1MiB'\n[zone.body]\njson_depth = 2");
        let mut body = b"[\"".to_vec();
        body.resize(300_000, b'a');
        body.extend_from_slice(b"\",[[1]]]");
        for piece in [1_000, 16_384, 400_000] {
            let told = place.sent(JSON, None, &body, piece);
            assert_eq!(told, "400 body/json_depth");
        }
        let subject = place.subject("192.0.2.1");
        for (fields, hold) in [(JSON, HOLD), (&[], 0)] {
            let mut trail = Trail::default();
            let mut head = kit::request("POST", b"/", fields);
            let admitted = place.guard.admit(&mut head, &subject, &mut trail).unwrap();
            let inspection = place.guard.inspect(&admitted, None, &subject, &mut trail);
            assert_eq!(inspection.unwrap().unwrap().hold(), hold);
        }
    }

    #[test]
    fn a_zone_that_asks_for_nothing_has_no_such_stage() {
        assert!(Place::of(&DEF, "").is_unguarded());
        assert!(Place::of(&DEF, "max_body = '1MiB'\n[zone.body]\nmode = 'off'").is_unguarded());
    }
}

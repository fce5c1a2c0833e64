//! What is ours on every zone: the endpoints below `/.seawall/`, answered by the edge alone.
//!
//! The path is matched in the most generous reading that an origin could have of it, so that no spelling of it ever reaches one.

mod acme;
mod pages;
mod trace;

use seawall_guard::{EndpointDef, is_reserved};
use seawall_model::Method;

use crate::certificates::Certificates;

pub use acme::token;
pub use pages::{Told, page_of, render};

/// Stages that judge whoever asks for an endpoint, as far as there are any.
pub const FIRST: &[&str] = &["lists", "ddos", "rate"];

/// All endpoints.
pub static ENDPOINTS: &[EndpointDef] = &[
    EndpointDef {
        path: "/.seawall/trace",
        methods: &[Method::Get, Method::Head],
        what: "Where and how a request arrived, as `key=value` lines: location, version, ray, ip, http, tls, time.",
        stages: FIRST,
        handler: &trace::Trace,
    },
    EndpointDef {
        path: "/.seawall/pages/error",
        methods: &[Method::Get, Method::Head],
        what: "The page that visitors see when the site's own server fails, as a sample.",
        stages: FIRST,
        handler: &pages::Sample(pages::ERROR),
    },
    EndpointDef {
        path: "/.seawall/pages/refused",
        methods: &[Method::Get, Method::Head],
        what: "The page that clients see whose request a stage refused, as a sample.",
        stages: FIRST,
        handler: &pages::Sample(pages::REFUSED),
    },
    EndpointDef {
        path: "/.seawall/pages/maintenance",
        methods: &[Method::Get, Method::Head],
        what: "The page that visitors see while the site is in maintenance, as a sample.",
        stages: FIRST,
        handler: &pages::Sample(pages::MAINTENANCE),
    },
];

/// Where a path leads.
#[derive(Clone, Copy)]
pub enum Place {
    /// Not to us.
    Elsewhere,
    /// To us, but nothing lives there.
    Unknown,
    /// To this endpoint.
    Known(&'static EndpointDef),
}

/// `/.well-known/acme-challenge/…` for the tokens that are ours; all others are the origin's, which may have an ACME client too.
pub static CHALLENGE: EndpointDef = EndpointDef {
    path: "/.well-known/acme-challenge/TOKEN",
    methods: &[Method::Get, Method::Head],
    what: "The answer to an ACME authority that verifies a name by HTTP-01 (RFC 8555), for tokens that are ours only.",
    stages: &["lists", "ddos"],
    handler: &acme::Challenge,
};

/// Where `path` leads.
pub fn find(path: &[u8], certificates: &Certificates) -> Place {
    if !may_be_ours(path) {
        return Place::Elsewhere;
    }
    if let Some(token) = acme::token(path)
        && certificates.authorization(token).is_some()
    {
        return Place::Known(&CHALLENGE);
    }
    if !is_reserved(path) {
        return Place::Elsewhere;
    }
    let normal = normalised(path);
    let known = |endpoint: &&EndpointDef| endpoint.path.as_bytes() == normal.as_slice();
    ENDPOINTS
        .iter()
        .find(known)
        .map_or(Place::Unknown, Place::Known)
}

/// A path that has neither `/.` nor anything that could decode to it is not ours: one look decides for nearly all.
fn may_be_ours(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().any(|byte| {
        let after = std::mem::replace(&mut before, *byte);
        matches!(byte, b'%' | b'\\') || (*byte == b'.' && after == b'/')
    })
}

/// What the most generous origin could make of a path: percent-decoded until nothing changes (at most four times), lower
/// case, `\` as `/`, no parameters (`;…`), no empty segments, dot segments resolved.
fn normalised(path: &[u8]) -> Vec<u8> {
    let mut decoded = path.to_vec();
    for _ in 0..4 {
        if !decode(&mut decoded) {
            break;
        }
    }
    decoded.make_ascii_lowercase();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let bare = segment
            .split(|byte| matches!(byte, b';' | 0))
            .next()
            .unwrap_or_default();
        match bare {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            bare => segments.push(bare),
        }
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for segment in segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    normal
}

/// Decodes `%XX` once, in place. Tells whether there was any.
fn decode(path: &mut Vec<u8>) -> bool {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_slice();
    let mut any = false;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%'
            && let Some(([high, low], behind)) = after.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
            any = true;
            continue;
        }
        out.push(*byte);
    }
    *path = out;
    any
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_our_paths_reaches_an_origin() {
        for path in [
            "/.seawall/trace",
            "//.seawall//trace",
            "/./.seawall/trace",
            "/a/../.seawall/trace",
            "/%2eseawall/trace",
            "/%2E%73eawall%2ftrace",
            "/%252eseawall/trace",
            "/.SEAWALL/Trace",
            "/.seawall\\trace",
            "/.seawall;x=1/trace",
            "/.seawall/trace/",
            "/.seawall/x/../trace",
        ] {
            let found = find(path.as_bytes(), &Certificates::default());
            let is_trace = matches!(found, Place::Known(known) if known.path == "/.seawall/trace");
            assert!(is_trace, "{path}");
        }
        for path in ["/.seawall", "/.seawall/other"] {
            let found = find(path.as_bytes(), &Certificates::default());
            assert!(matches!(found, Place::Unknown));
        }
        for path in [
            "/",
            "/seawall/trace",
            "/a/.seawall/trace",
            "/.seawalls",
            "/.well-known/x",
            "*",
        ] {
            let found = find(path.as_bytes(), &Certificates::default());
            assert!(matches!(found, Place::Elsewhere), "{path}");
        }
    }

    #[test]
    fn every_endpoint_is_ours_in_normal_form_and_guarded() {
        for endpoint in ENDPOINTS {
            assert!(endpoint.path.starts_with("/.seawall/"), "{}", endpoint.path);
            assert_eq!(
                normalised(endpoint.path.as_bytes()),
                endpoint.path.as_bytes()
            );
            for stage in ["lists", "ddos", "rate"] {
                assert!(endpoint.stages.contains(&stage), "{}", endpoint.path);
            }
        }
    }
}

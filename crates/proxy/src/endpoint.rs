//! What is ours on every zone: paths below `/.seawall/`, answered by the edge alone.
//!
//! The path is matched after normalising it, so that no spelling of it ever reaches an origin.

use std::fmt::Write;

use seawall_model::RequestHead;

use crate::exchange::Exchange;
use crate::snapshot::Zone;
use crate::thread::unix_us;

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not to us.
    Elsewhere,
    /// To us, but nothing lives there.
    Unknown,
    /// `/.seawall/trace`.
    Trace,
}

/// Where `path` leads.
pub fn find(path: &[u8]) -> Place {
    if !may_be_ours(path) {
        return Place::Elsewhere;
    }
    let normal = normalised(path);
    match normal.as_slice() {
        b"/.seawall/trace" => Place::Trace,
        b"/.seawall" => Place::Unknown,
        other if other.starts_with(b"/.seawall/") => Place::Unknown,
        _ => Place::Elsewhere,
    }
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

/// What `/.seawall/trace` says: `key=value` lines.
pub fn trace(exchange: &Exchange<'_, '_>, zone: &Zone, request: &RequestHead) -> String {
    let mut ray = Vec::new();
    exchange
        .ray
        .write(&exchange.snapshot.edge.location, &mut ray);
    let tls = exchange
        .peer
        .facts
        .tls
        .as_ref()
        .map_or("off", |tls| tls.version);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "location={}\nversion={}\nray={}\nip={}\nhttp={}\ntls={}\ntime={}\n",
        exchange.snapshot.edge.location,
        zone.version,
        String::from_utf8_lossy(&ray),
        exchange.client.ip,
        request.version.name(),
        tls,
        exchange.thread.rfc3339(unix_us()),
    );
    text
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
            assert_eq!(find(path.as_bytes()), Place::Trace, "{path}");
        }
        assert_eq!(find(b"/.seawall"), Place::Unknown);
        assert_eq!(find(b"/.seawall/other"), Place::Unknown);
        for path in [
            "/",
            "/seawall/trace",
            "/a/.seawall/trace",
            "/.seawalls",
            "/.well-known/x",
            "*",
        ] {
            assert_eq!(find(path.as_bytes()), Place::Elsewhere, "{path}");
        }
    }
}

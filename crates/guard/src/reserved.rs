//! Which paths are the edge's own: those below `/.seawall/`, in whatever reading an origin could have of them.

/// How often a path is decoded: as often as servers behind one another could.
const DECODED: u8 = 4;

/// Whether any origin could take this path for one below `/.seawall/`, or go through it on the way elsewhere: as it is or
/// percent-decoded again and again, in any case, with `\` for `/`, with parameters (`;…`), with empty segments, and with its dot
/// segments resolved or not.
pub fn is_reserved(path: &[u8]) -> bool {
    begins_so(path) || least_depth(path, 0, DECODED).is_none()
}

/// Whether its first segment with a name is ours, for who does not resolve dot segments.
fn begins_so(path: &[u8]) -> bool {
    let mut decoded = path.to_vec();
    for _ in 0..=DECODED {
        let mut segments = decoded.split(|byte| is_slash(*byte)).map(bare);
        let first = segments.find(|bare| !matches!(*bare, b"" | b"." | b".."));
        if first.is_some_and(is_ours) {
            return true;
        }
        let before = decoded.len();
        decoded = decode(&decoded);
        if decoded.len() == before {
            break;
        }
    }
    false
}

/// How deep below the root this path leads from `depth`, in the reading that leads least deep: an encoded slash divides a segment
/// for one origin and not for another, and whether an empty segment is one, so that `..` takes it away, is as open. None where
/// it goes through ours at the root in one of these readings.
fn least_depth(path: &[u8], mut depth: usize, decode_more: u8) -> Option<usize> {
    for segment in path.split(|byte| *byte == b'/') {
        let mut least = step(bare(segment), depth)?;
        if segment.contains(&b'\\') {
            let mut pieces = segment.split(|byte| is_slash(*byte));
            let divided = pieces.try_fold(depth, |depth, piece| step(bare(piece), depth))?;
            least = least.min(divided);
        }
        if decode_more > 0 && segment.contains(&b'%') {
            let decoded = decode(segment);
            if decoded.len() < segment.len() {
                least = least.min(least_depth(&decoded, depth, decode_more - 1)?);
            }
        }
        depth = least;
    }
    Some(depth)
}

/// Where a segment leads; none where that is ours.
fn step(bare: &[u8], depth: usize) -> Option<usize> {
    match bare {
        b"" | b"." => Some(depth),
        b".." => Some(depth.saturating_sub(1)),
        bare if depth == 0 && is_ours(bare) => None,
        _ => Some(depth + 1),
    }
}

const fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// A segment without its parameters.
fn bare(segment: &[u8]) -> &[u8] {
    let mut parts = segment.split(|byte| matches!(byte, b';' | 0 | b'?' | b'#'));
    parts.next().unwrap_or_default()
}

fn is_ours(segment: &[u8]) -> bool {
    // Some file systems do not see what stands at the end.
    let end = segment
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'.'));
    let bare = end.and_then(|end| segment.get(..=end)).unwrap_or_default();
    bare.eq_ignore_ascii_case(b".seawall")
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
        let encoded = match behind.split_first_chunk::<2>() {
            Some(([high, low], after)) if *byte == b'%' => digit(*high)
                .zip(digit(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = encoded.unwrap_or((*byte, behind));
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_own_paths_is_known() {
        for ours in [
            "/.seawall",
            "/.seawall/trace",
            "/.SeaWall/x",
            "//.seawall/",
            "/a/../.seawall/x",
            "/%2eseawall/x",
            "/%252eseawall/x",
            "/.seawall%2ftrace",
            "/.seawall;v=1/trace",
            "/.seawall\\trace",
            "/.%25%37%33eawall",
            "/.seawall/../x",
            "/.Seawall/..;x/y",
            "/.seawall/%2e%2e%2ffoo",
            "/.seawall/..%5cfoo",
            "/.seawall;/../../x",
            "/.seawall%3ftrace",
            "/.seawall%20/trace",
            "/.seawall./trace",
            "/../.seawall/x",
            "/x/../.seawall//../trace",
            "/x/../.seawall/;a/../trace",
            "/x/../.seawall/%00/../trace",
            "/a/%2e%2e/x%2fy/../.seawall/trace",
            "/a/%252e%252e/x%252fy/../.seawall/trace",
            "/a\\b/../.seawall/trace",
            "/a%5cb/../.seawall/trace",
            "/x/..%2f.seawall/y",
        ] {
            assert!(is_reserved(ours.as_bytes()), "{ours}");
        }
        for other in [
            "/",
            "/seawall",
            "/.seawallet",
            "/a/.seawall/x",
            "/a/b/../.seawall/x",
            "/a%2fb/.seawall/x",
            "/a//b/../.seawall/x",
            "/a\\b/.seawall",
            "/.seawall-x/y",
            "/.well-known/x",
            "/%",
            "*",
        ] {
            assert!(!is_reserved(other.as_bytes()), "{other}");
        }
    }
}

//! Which paths are the edge's own: those below `/.seawall/`, in whatever reading an origin could have of them.

/// Whether any origin could take this path for one below `/.seawall/`: as it is or percent-decoded again and again, in any case,
/// with `\` for `/`, with parameters (`;…`), with empty segments, and with its dot segments resolved or not.
pub fn is_reserved(path: &[u8]) -> bool {
    let mut decoded = path.to_vec();
    for _ in 0..5 {
        if begins_so(&decoded) || resolves_so(&decoded) {
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

/// The segments without their parameters, but for the empty ones and those that mean nothing.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = path.split(|byte| matches!(byte, b'/' | b'\\'));
    all.map(|segment| {
        let mut parts = segment.split(|byte| matches!(byte, b';' | 0 | b'?' | b'#'));
        parts.next().unwrap_or_default()
    })
    .filter(|bare| !matches!(*bare, b"" | b"."))
}

fn is_ours(segment: &[u8]) -> bool {
    // Some file systems do not see what stands at the end.
    let end = segment
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'.'));
    let bare = end.and_then(|end| segment.get(..=end)).unwrap_or_default();
    bare.eq_ignore_ascii_case(b".seawall")
}

fn begins_so(path: &[u8]) -> bool {
    segments(path)
        .find(|segment| *segment != b"..")
        .is_some_and(is_ours)
}

fn resolves_so(path: &[u8]) -> bool {
    let mut resolved: Vec<&[u8]> = Vec::new();
    for segment in segments(path) {
        match segment {
            b".." => drop(resolved.pop()),
            segment => resolved.push(segment),
        }
    }
    resolved.first().copied().is_some_and(is_ours)
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
        ] {
            assert!(is_reserved(ours.as_bytes()), "{ours}");
        }
        for other in [
            "/",
            "/seawall",
            "/.seawallet",
            "/a/.seawall/x",
            "/.seawall-x/y",
            "/.well-known/x",
            "/%",
            "*",
        ] {
            assert!(!is_reserved(other.as_bytes()), "{other}");
        }
    }
}

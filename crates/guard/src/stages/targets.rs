//! Targets and locations that are put together from what a client sent: as few tricks in them as possible.

/// Appends a client's path or query to a `Location`. Bytes that no URI has (RFC 3986 §2) are percent-encoded: browsers read
/// some of them in ways of their own, `\` as `/` among them.
pub(super) fn append(location: &mut Vec<u8>, part: &[u8]) {
    for byte in part {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(byte) {
            location.push(*byte);
        } else {
            let digit = |value: u8| match value {
                0..=9 => b'0' + value,
                _ => b'A' + value - 10,
            };
            location.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Whether the most generous origin could take this path for one of the edge's own, below `/.seawall/`: percent-decoded again
/// and again, in any case, with `\` for `/`, with parameters (`;…`), empty segments and dot segments.
pub(super) fn is_the_edges(path: &[u8]) -> bool {
    let mut decoded = path.to_vec();
    for _ in 0..4 {
        let before = decoded.len();
        decoded = decode(&decoded);
        if decoded.len() == before {
            break;
        }
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let mut parts = segment.split(|byte| matches!(byte, b';' | 0));
        match parts.next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            bare => segments.push(bare),
        }
    }
    let first = segments.first().copied().unwrap_or_default();
    first.eq_ignore_ascii_case(b".seawall")
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
    fn what_no_uri_has_is_encoded() {
        let mut location = b"https://a.test".to_vec();
        append(&mut location, b"/a%20b\\c?d=\"e\"#\xff\t~!$&'()*+,;=:@[]");
        let expected = "https://a.test/a%20b%5Cc?d=%22e%22%23%FF%09~!$&'()*+,;=:@[]";
        assert_eq!(String::from_utf8(location).unwrap(), expected);
    }

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
        ] {
            assert!(is_the_edges(ours.as_bytes()), "{ours}");
        }
        for other in [
            "/",
            "/seawall",
            "/.seawallet",
            "/a/.seawall/x",
            "/.seawall-x/y",
            "/%",
        ] {
            assert!(!is_the_edges(other.as_bytes()), "{other}");
        }
    }
}

//! The algorithms of RFC 9651 §4.1, as far as what we write needs them.

/// Writes a string (§4.1.6) with its quotes. What a string cannot hold is left out: it may be cut, never malformed.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => {}
        }
    }
    out.push(b'"');
}

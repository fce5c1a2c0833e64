//! The algorithms of RFC 9651 §4.1, as far as what we write needs them.

/// Writes a token where the text is one (§3.3.4), else a string: where either may stand, as in RFC 9211 §2.7.
pub fn write_item(text: &[u8], out: &mut Vec<u8>) {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(byte);
    let is_token = |(first, rest): (&u8, &[u8])| {
        (first.is_ascii_alphabetic() || *first == b'*') && rest.iter().all(goes_on)
    };
    match text.split_first().is_some_and(is_token) {
        true => out.extend_from_slice(text),
        false => write_string(text, out),
    }
}

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

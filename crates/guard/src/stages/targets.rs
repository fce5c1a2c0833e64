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
}

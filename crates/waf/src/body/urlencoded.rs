//! `application/x-www-form-urlencoded`: of bodies and of query strings.

use super::Sink;
use crate::transform::hex_digit;

/// Reads pairs between separators. Whether an escape was invalid.
pub(crate) fn read(text: &[u8], separator: u8, sink: &mut impl Sink) -> bool {
    let mut invalid = false;
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for pair in text.split(|byte| *byte == separator) {
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (left, right) = pair.split_at_checked(at).unwrap_or((pair, &[]));
        name.clear();
        value.clear();
        invalid |= decode(left, &mut name);
        invalid |= decode(right.get(1..).unwrap_or_default(), &mut value);
        if !sink.argument(&name, &value) {
            break;
        }
    }
    invalid
}

/// `%HH` and `+`; an invalid escape stays as it is. Whether there was one.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut invalid = false;
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |nth: usize| text.get(at + nth).copied().and_then(hex_digit);
                match (digit(1), digit(2)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        bytes.nth(1);
                    }
                    _ => {
                        invalid = true;
                        out.push(b'%');
                    }
                }
            }
            byte => out.push(byte),
        }
    }
    invalid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Told;

    #[test]
    fn pairs_are_decoded() {
        let mut told = Told::default();
        assert!(!read(b"a=b+c&d%41=%3d=&e&&=f", b'&', &mut told));
        let pairs: Vec<_> = told
            .0
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("a", "b c"), ("dA", "=="), ("e", ""), ("", "f")]);
        let mut told = Told::default();
        assert!(read(b"a=%4&b=%zz", b'&', &mut told));
        assert_eq!(told.0[0].1, "%4");
    }
}

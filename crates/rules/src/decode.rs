//! Texts that were encoded: percent-encoding, arguments of a query, Base64. Linear, whatever is sent.

use seawall_model::{Fuel, Spent};

/// How percent-encoding is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct UrlDecode {
    /// What was decoded is decoded again, until nothing is left to decode.
    pub(crate) again: bool,
    /// `%uXXXX` too, as UTF-8.
    pub(crate) unicode: bool,
}

/// Units for each byte that is decoded.
const DECODED: u64 = 3;

/// Decodes `%XX`, and `+` as a space. What is no encoding stays.
///
/// Decoding again needs one pass only: whenever an output byte completes an encoding, that is decoded in place. Encodings cannot
/// overlap, so the order does not matter.
pub(crate) fn url(
    bytes: &[u8],
    how: UrlDecode,
    fuel: &mut Fuel,
    out: &mut Vec<u8>,
) -> Result<(), Spent> {
    if memchr::memchr2(b'%', b'+', bytes).is_none() {
        fuel.spend_bytes(bytes.len(), super::value::COPIED)?;
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let each = if how.again || how.unicode { 2 } else { 1 };
    fuel.spend(10 + bytes.len() as u64 * DECODED * each)?;
    let begin = out.len();
    // What was decoded stays as it is, unless it is decoded again.
    let mut fixed = begin;
    for byte in bytes {
        out.push(if *byte == b'+' { b' ' } else { *byte });
        loop {
            let fresh = out.get(fixed..).unwrap_or_default();
            let Some((length, character)) = encoding(fresh, how.unicode) else {
                break;
            };
            out.truncate(out.len() - length);
            match u8::try_from(character) {
                Ok(b'+') if how.again => out.push(b' '),
                Ok(byte) if length == 3 || byte.is_ascii() => out.push(byte),
                _ => {
                    let character = char::from_u32(character).unwrap_or('\u{fffd}');
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            if !how.again {
                fixed = out.len();
                break;
            }
        }
    }
    Ok(())
}

/// The encoding in which a text ends: its length, and what it stands for.
fn encoding(text: &[u8], unicode: bool) -> Option<(usize, u32)> {
    if let Some([b'%', high, low]) = text.last_chunk::<3>() {
        return Some((3, hex(*high)? << 4 | hex(*low)?));
    }
    if let (true, Some([b'%', b'u' | b'U', digits @ ..])) = (unicode, text.last_chunk::<6>()) {
        let value = digits
            .iter()
            .try_fold(0, |value, digit| Some(value << 4 | hex(*digit)?))?;
        return Some((6, value));
    }
    None
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// Whether the name of an argument or of a cookie, decoded, is this one.
pub(crate) fn is_query_name(name: &[u8], wanted: &[u8], fuel: &mut Fuel) -> Result<bool, Spent> {
    if name.len() < wanted.len() {
        return Ok(false);
    }
    fuel.spend(2 + name.len() as u64)?;
    let mut rest = name;
    for byte in wanted {
        let decoded = match rest {
            [b'%', high, low, behind @ ..] if hex(*high).zip(hex(*low)).is_some() => {
                rest = behind;
                hex(*high)
                    .zip(hex(*low))
                    .map(|(high, low)| (high << 4 | low) as u8)
            }
            [b'+', behind @ ..] => {
                rest = behind;
                Some(b' ')
            }
            [byte, behind @ ..] => {
                rest = behind;
                Some(*byte)
            }
            [] => None,
        };
        if decoded != Some(*byte) {
            return Ok(false);
        }
    }
    Ok(rest.is_empty())
}

/// A query without the arguments of these names.
pub(crate) fn without_arguments(
    query: &[u8],
    names: &[Box<[u8]>],
    fuel: &mut Fuel,
    out: &mut Vec<u8>,
) -> Result<(), Spent> {
    fuel.spend_bytes(query.len(), 4)?;
    let mut is_first = true;
    for argument in query.split(|byte| *byte == b'&') {
        fuel.spend(8)?;
        let name = argument
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default();
        let mut is_removed = false;
        for wanted in names {
            is_removed |= is_query_name(name, wanted, fuel)?;
        }
        if is_removed {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b'&');
        }
        out.extend_from_slice(argument);
    }
    Ok(())
}

/// Decodes Base64 (RFC 4648 §4 and §5, with or without padding); false where it is none.
pub(crate) fn base64(text: &[u8], fuel: &mut Fuel, out: &mut Vec<u8>) -> Result<bool, Spent> {
    fuel.spend(text.len() as u64 * DECODED)?;
    let (mut bits, mut count) = (0_u32, 0_u32);
    let padded = text
        .iter()
        .rev()
        .take(2)
        .filter(|byte| **byte == b'=')
        .count();
    let digits = text.get(..text.len() - padded).unwrap_or_default();
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Ok(false),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // One digit alone says nothing, and padding fills up to four.
    Ok(digits.len() % 4 != 1 && (padded == 0 || text.len().is_multiple_of(4)))
}

/// Encodes Base64 with padding (RFC 4648 §4).
pub(crate) fn to_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |nth: usize| u32::from(chunk.get(nth).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for nth in 0..4_usize {
            let digit = DIGITS.get((bits >> (18 - 6 * nth) & 63) as usize);
            let is_there = nth <= chunk.len();
            out.push(digit.copied().filter(|_| is_there).unwrap_or(b'='));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, options: &str) -> String {
        let how = UrlDecode {
            again: options.contains('r'),
            unicode: options.contains('u'),
        };
        let mut out = b"keep%2".to_vec();
        url(text.as_bytes(), how, &mut Fuel::new(1 << 30), &mut out).unwrap();
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn percent_encoding_is_decoded_once_or_to_the_end() {
        for (text, options, expected) in [
            ("John%20Doe", "", "John Doe"),
            ("John+Doe", "", "John Doe"),
            ("%2520", "", "%20"),
            ("%2520", "r", " "),
            ("%25252525", "r", "%"),
            ("%%32%35", "", "%25"),
            ("%%32%35", "r", "%"),
            ("%2%35", "", "%25"),
            ("%2%3541", "r", "A"),
            ("%2B+%2b", "", "+ +"),
            ("%2B%252b", "r", "  "),
            ("%zz%2", "ru", "%zz%2"),
            ("%u2601", "u", "\u{2601}"),
            ("%u2601", "", "%u2601"),
            ("%25u0041%u0042", "ur", "AB"),
            ("%ud800", "u", "\u{fffd}"),
            ("%u00e9", "u", "\u{e9}"),
        ] {
            assert_eq!(decoded(text, options), expected, "{text} {options}");
        }
    }

    #[test]
    fn base64_goes_there_and_back() {
        let mut number = 7_u32;
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (number >> 24) as u8
                })
                .collect();
            let (mut text, mut back) = (Vec::new(), Vec::new());
            to_base64(&bytes, &mut text);
            assert_eq!(text.len() % 4, 0);
            assert_eq!(base64(&text, &mut Fuel::new(1000), &mut back), Ok(true));
            assert_eq!(back, bytes);
        }
        let is_some = |text: &str| base64(text.as_bytes(), &mut Fuel::new(1000), &mut Vec::new());
        for good in ["", "MTIzYWJj", "YQ==", "YQ", "-_-_"] {
            assert_eq!(is_some(good), Ok(true), "{good}");
        }
        for bad in ["Y", "YQ=", "Y Q=", "YQ==YQ==", "====", "é"] {
            assert_eq!(is_some(bad), Ok(false), "{bad}");
        }
    }

    #[test]
    fn arguments_are_taken_out_by_their_decoded_names() {
        let without = |query: &str, names: &[&str]| {
            let names: Vec<Box<[u8]>> = names.iter().map(|name| name.as_bytes().into()).collect();
            let mut out = Vec::new();
            let fuel = &mut Fuel::new(10_000);
            without_arguments(query.as_bytes(), &names, fuel, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(without("order=asc&country=GB", &["country"]), "order=asc");
        assert_eq!(without("order=asc&country=GB", &["order"]), "country=GB");
        assert_eq!(without("order=asc", &["search"]), "order=asc");
        let query = "category=Foo&ord%65r=desc&category=Bar";
        assert_eq!(without(query, &["order"]), "category=Foo&category=Bar");
        assert_eq!(without(query, &["order", "category"]), "");
        assert_eq!(without("", &["a"]), "");
    }
}

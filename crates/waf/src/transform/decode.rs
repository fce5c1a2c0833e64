//! Transformations that decode.

/// The value of a hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn digit(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).copied().and_then(hex_digit)
}

/// Two digits from `at` on.
fn pair(text: &[u8], at: usize) -> Option<u8> {
    Some(digit(text, at)? << 4 | digit(text, at + 1)?)
}

/// Four digits as one byte: the low one, and full-width forms (U+FF01 to U+FF5E) as what they look like.
fn four(text: &[u8], at: usize) -> Option<u8> {
    let (high, low) = (pair(text, at)?, pair(text, at + 2)?);
    Some(narrow(u16::from(high) << 8 | u16::from(low)))
}

/// The byte that a code point stands for.
fn narrow(code: u16) -> u8 {
    let [high, low] = code.to_be_bytes();
    match code {
        0xff01..=0xff5e => low + 0x20,
        // What Windows' best fit to ASCII makes of punctuation that looks alike.
        0x2018 | 0x2019 | 0x201b | 0x02b9 | 0x02bc | 0x2032 | 0x02c8 => b'\'',
        0x201c..=0x201f | 0x02ba | 0x2033 => b'"',
        0x2039 | 0x2329 | 0x3008 => b'<',
        0x203a | 0x232a | 0x3009 => b'>',
        0x2010..=0x2014 | 0x2212 => b'-',
        0x2044 | 0x2215 => b'/',
        0x2000..=0x2006 | 0x3000 => b' ',
        _ if high == 0 => low,
        _ => low,
    }
}

/// `%HH` and `+`; with `unicode` also `%uHHHH`. What is no escape stays.
pub(super) fn url(text: &[u8], unicode: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        at += match byte {
            b'+' => {
                out.push(b' ');
                1
            }
            b'%' => match (text.get(at + 1), pair(text, at + 1)) {
                (_, Some(byte)) => {
                    out.push(byte);
                    3
                }
                (Some(b'u' | b'U'), None) if unicode => match four(text, at + 2) {
                    Some(byte) => {
                        out.push(byte);
                        6
                    }
                    None => {
                        out.push(b'%');
                        1
                    }
                },
                _ => {
                    out.push(b'%');
                    1
                }
            },
            byte => {
                out.push(byte);
                1
            }
        };
    }
}

/// JavaScript's escapes.
pub(super) fn js(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let Some(next) = text.get(at + 1).copied() else {
            out.push(byte);
            return;
        };
        at += match (next, four(text, at + 2), pair(text, at + 2)) {
            (b'u', Some(byte), _) => {
                out.push(byte);
                6
            }
            (b'x', _, Some(byte)) => {
                out.push(byte);
                4
            }
            (b'0'..=b'7', ..) => {
                // Three digits only where they make a byte.
                let most = if next > b'3' { 2 } else { 3 };
                1 + octal(text.get(at + 1..).unwrap_or_default(), most, out)
            }
            _ => {
                out.push(control(next).unwrap_or(next));
                2
            }
        };
    }
}

/// C's escapes, as `$'…'` of a shell reads them. What is none stays.
pub(super) fn escape_sequences(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let Some(next) = text.get(at + 1).copied() else {
            out.push(byte);
            return;
        };
        at += match (next, pair(text, at + 2)) {
            (b'\\' | b'?' | b'\'' | b'"', _) => {
                out.push(next);
                2
            }
            (b'x' | b'X', Some(byte)) => {
                out.push(byte);
                4
            }
            (b'0'..=b'7', _) => 1 + octal(text.get(at + 1..).unwrap_or_default(), 3, out),
            _ => {
                match control(next) {
                    Some(byte) => out.push(byte),
                    None => out.extend([b'\\', next]),
                }
                2
            }
        };
    }
}

/// Up to `most` octal digits as a byte. How many there were.
fn octal(text: &[u8], most: usize, out: &mut Vec<u8>) -> usize {
    let digits = text
        .iter()
        .take(most)
        .take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (count, value) = digits.fold((0, 0u32), |(count, value), digit| {
        (count + 1, value * 8 + u32::from(digit - b'0'))
    });
    out.push(value as u8);
    count
}

const fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        _ => return None,
    })
}

/// Escapes of style sheets: a backslash with up to six digits, or with a character.
pub(super) fn css(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let count = (0..6)
            .take_while(|nth| digit(text, at + nth).is_some())
            .count();
        if count == 0 {
            match text.get(at).copied() {
                None | Some(b'\n') => {}
                Some(next) => out.push(next),
            }
            at += 1;
            continue;
        }
        let value = (0..count).fold(0u32, |value, nth| {
            value << 4 | u32::from(digit(text, at + nth).unwrap_or(0))
        });
        out.push(match u16::try_from(value) {
            Ok(code @ 0xff01..=0xff5e) => code as u8 + 0x20,
            _ => value as u8,
        });
        at += count;
        if text.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
    }
}

/// `&#x41;`, `&#65;` and the five names, with or without the semicolon.
pub(super) fn html_entities(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend(before);
        let body = from.get(1..).unwrap_or_default();
        match entity(body) {
            Some((byte, length)) => {
                out.push(byte);
                let behind = body.get(length..).unwrap_or_default();
                rest = behind.strip_prefix(b";").unwrap_or(behind);
            }
            None => {
                out.push(b'&');
                rest = body;
            }
        }
    }
    out.extend(rest);
}

/// The byte of an entity, and how many bytes behind the `&` it takes without its semicolon.
fn entity(body: &[u8]) -> Option<(u8, usize)> {
    if let Some(number) = body.strip_prefix(b"#") {
        let hexadecimal = number.first().is_some_and(|byte| *byte | 32 == b'x');
        let (base, digits, before) = if hexadecimal {
            (16, number.get(1..)?, 2)
        } else {
            (10, number, 1)
        };
        let (count, value) = digits
            .iter()
            .map_while(|byte| char::from(*byte).to_digit(base))
            .fold((0, 0u32), |(count, value), digit| {
                (count + 1, value.wrapping_mul(base).wrapping_add(digit))
            });
        return (count > 0).then_some((value as u8, before + count));
    }
    let length = body
        .iter()
        .take(8)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let name = body.get(..length)?;
    let named = [
        (&b"quot"[..], b'"'),
        (b"amp", b'&'),
        (b"lt", b'<'),
        (b"gt", b'>'),
        (b"nbsp", 0xa0),
    ];
    named
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map(|(_, byte)| (*byte, length))
}

/// Pairs of digits; it ends where there is none.
pub(super) fn hex(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = pair(text, at) {
        out.push(byte);
        at += 2;
    }
}

/// `0x414243` as bytes.
pub(super) fn sql_hex(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        let prefixed = byte == b'0' && text.get(at + 1).is_some_and(|next| *next | 32 == b'x');
        if prefixed && pair(text, at + 2).is_some() {
            at += 2;
            while let Some(byte) = pair(text, at) {
                out.push(byte);
                at += 2;
            }
        } else {
            out.push(byte);
            at += 1;
        }
    }
}

/// Base64. Strict: it ends at the first byte that is none of it; otherwise such bytes are passed over.
pub(super) fn base64(text: &[u8], forgiving: bool, out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ if forgiving => continue,
            _ => break,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
}

/// Characters beyond ASCII become `%uHHHH`; bytes that are no UTF-8 stay.
pub(super) fn utf8_to_unicode(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() {
                out.push(c as u8);
            } else {
                out.extend(format!("%u{:04x}", c as u32).bytes());
            }
        }
        out.extend(chunk.invalid());
    }
}

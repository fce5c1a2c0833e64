//! Looking one value up in a text of JSON (RFC 8259), without building anything from it.
//!
//! Of names that stand twice in an object the last one counts, as in most parsers. The text is read as far as is needed, so that what
//! is wrong elsewhere may go unseen; not here: telling whether a text is JSON.

use seawall_model::{Fuel, Spent};

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Name(Box<[u8]>),
    /// Counted from 0.
    Nth(u32),
}

/// What stands at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// Between its quotes, escaped.
    Text(&'t [u8]),
    Number(i64),
}

/// Units for each byte of a level.
const READ: u64 = 3;

/// Follows the keys; none where one of them leads nowhere, or to neither a text nor a whole number.
pub(crate) fn find<'t>(
    text: &'t [u8],
    keys: &[Key],
    fuel: &mut Fuel,
) -> Result<Option<Found<'t>>, Spent> {
    let mut at = text;
    for key in keys {
        // What lies behind the value is not read again, what is in it is.
        fuel.spend(10 + at.len() as u64 * READ)?;
        match step(at, key, fuel)? {
            Some(value) => at = value,
            None => return Ok(None),
        }
    }
    fuel.spend(10 + at.len() as u64 * READ)?;
    Ok(match at.trim_ascii_start() {
        [b'"', behind @ ..] => string(behind).map(|(text, _)| Found::Text(text)),
        number => whole(number).map(Found::Number),
    })
}

/// The value to which one key leads, and no more than it.
fn step<'t>(text: &'t [u8], key: &Key, fuel: &mut Fuel) -> Result<Option<&'t [u8]>, Spent> {
    match (text.trim_ascii_start(), key) {
        ([b'{', rest @ ..], Key::Name(name)) => member(rest, name, fuel),
        ([b'[', rest @ ..], Key::Nth(nth)) => Ok(element(rest, *nth)),
        _ => Ok(None),
    }
}

fn member<'t>(
    mut rest: &'t [u8],
    wanted: &[u8],
    fuel: &mut Fuel,
) -> Result<Option<&'t [u8]>, Spent> {
    let mut found = None;
    let mut name = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let Some((escaped, behind)) = rest.strip_prefix(b"\"").and_then(string) else {
            break;
        };
        let is_plain = memchr::memchr(b'\\', escaped).is_none();
        let is_it = if is_plain {
            escaped == wanted
        } else {
            name.clear();
            unescape(escaped, fuel, &mut name)? && name == wanted
        };
        let Some(behind) = behind.trim_ascii_start().strip_prefix(b":") else {
            break;
        };
        let behind = behind.trim_ascii_start();
        let Some(after) = skip(behind) else { break };
        if is_it {
            found = behind.get(..behind.len() - after.len());
        }
        match after.trim_ascii_start() {
            [b',', next @ ..] => rest = next,
            [b'}', ..] => return Ok(found),
            _ => break,
        }
    }
    // An object that is not closed is none.
    Ok(None)
}

fn element(mut rest: &[u8], nth: u32) -> Option<&[u8]> {
    let mut left = nth;
    loop {
        rest = rest.trim_ascii_start();
        let after = skip(rest)?;
        if left == 0 {
            return rest.get(..rest.len() - after.len());
        }
        left -= 1;
        rest = after.trim_ascii_start().strip_prefix(b",")?;
    }
}

/// What follows a value; none where there is no value.
fn skip(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    let mut depth = 0_usize;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => string(behind)?.1,
            [b'{' | b'[', behind @ ..] => {
                depth += 1;
                behind
            }
            [b'}' | b']', behind @ ..] => {
                depth = depth.checked_sub(1)?;
                behind
            }
            [b',' | b':' | b' ' | b'\t' | b'\n' | b'\r', behind @ ..] if depth > 0 => behind,
            _ => {
                let scalar = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let end = rest
                    .iter()
                    .position(|byte| !scalar(byte))
                    .unwrap_or(rest.len());
                rest.get(end..).filter(|_| end > 0)?
            }
        };
        if depth == 0 {
            return Some(rest);
        }
    }
}

/// A text up to its closing quote, and what follows.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        at += 2;
    }
}

/// A whole number without fraction and exponent.
fn whole(text: &[u8]) -> Option<i64> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'-')
        .unwrap_or(text.len());
    let (number, behind) = text.split_at_checked(end)?;
    if !behind.trim_ascii().is_empty() {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Writes what an escaped text says; false where an escape is none.
pub(crate) fn unescape(text: &[u8], fuel: &mut Fuel, out: &mut Vec<u8>) -> Result<bool, Spent> {
    fuel.spend(10 + text.len() as u64 * READ)?;
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, b""));
        out.extend_from_slice(plain);
        rest = match behind {
            [_, b'u', ..] => match unicode(behind) {
                Some((character, behind)) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    behind
                }
                None => return Ok(false),
            },
            [_, letter, behind @ ..] => {
                out.push(match letter {
                    b'"' | b'\\' | b'/' => *letter,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Ok(false),
                });
                behind
            }
            _ => return Ok(false),
        };
    }
    out.extend_from_slice(rest);
    Ok(true)
}

/// `\uXXXX`, or two of them for a character beyond the first plane; half of such a pair is U+FFFD.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |value, digit| {
            Some(value << 4 | char::from(*digit).to_digit(16)?)
        })
    };
    let first = unit(text)?;
    let behind = text.get(6..)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second @ 0xdc00..0xe000) = unit(behind)
    {
        let character = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(character)?, behind.get(6..)?));
    }
    Some((char::from_u32(first).unwrap_or('\u{fffd}'), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(text: &str, keys: &[&str]) -> Option<String> {
        let keys: Vec<Key> = keys
            .iter()
            .map(|key| match key.parse() {
                Ok(nth) => Key::Nth(nth),
                Err(_) => Key::Name(key.as_bytes().into()),
            })
            .collect();
        let mut fuel = Fuel::new(1 << 30);
        match find(text.as_bytes(), &keys, &mut fuel).unwrap()? {
            Found::Number(number) => Some(number.to_string()),
            Found::Text(text) => {
                let mut out = Vec::new();
                let good = unescape(text, &mut fuel, &mut out).unwrap();
                good.then(|| String::from_utf8(out).unwrap())
            }
        }
    }

    #[test]
    fn keys_lead_to_texts_and_whole_numbers() {
        for (text, keys, expected) in [
            (
                r#"{ "company": "cloudflare", "product": "rulesets" }"#,
                &["company"][..],
                "cloudflare",
            ),
            (
                r#"{ "network": { "name": "x" } }"#,
                &["network", "name"],
                "x",
            ),
            (r#"["other", "x"]"#, &["1"], "x"),
            (r#"{ "networks": ["a", "x"] }"#, &["networks", "1"], "x"),
            (r#"[{ "n": "a" }, { "n": "x" }]"#, &["1", "n"], "x"),
            (r#"{"record_id":"aed53a","version":2}"#, &["version"], "2"),
            (r#"["first_item", -234]"#, &["1"], "-234"),
            (r#"{"a":{"b":[1,{"c":"}"}]},"d":"x"}"#, &["d"], "x"),
            (r#"{"a":"\"}","b":"x"}"#, &["b"], "x"),
            (r#"{"a":"1","a":"2"}"#, &["a"], "2"),
            (r#"{"\u0061":"x"}"#, &["a"], "x"),
            (
                r#"{"a":"\n\u00e9\ud83d\ude00\ud800"}"#,
                &["a"],
                "\n\u{e9}\u{1f600}\u{fffd}",
            ),
            ("  [ true , null , 7 ] ", &["2"], "7"),
        ] {
            assert_eq!(looked_up(text, keys).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_none() {
        for (text, keys) in [
            ("", &["a"][..]),
            ("{", &["a"]),
            (r#"{"a":1"#, &["a"]),
            (r#"{"a"}"#, &["a"]),
            (r#"{"a":}"#, &["a"]),
            (r#"{"a":1.5}"#, &["a"]),
            (r#"{"a":1e2}"#, &["a"]),
            (r#"{"a":99999999999999999999}"#, &["a"]),
            (r#"{"a":true}"#, &["a"]),
            (r#"{"a":{}}"#, &["a"]),
            (r#"{"a":"x"}"#, &["0"]),
            (r#"["x"]"#, &["1"]),
            (r#"["x"]"#, &["a"]),
            (r#"{"a":"\q"}"#, &["a"]),
            (r#"{"a":"\u12"}"#, &["a"]),
            ("]", &["0"]),
        ] {
            assert_eq!(looked_up(text, keys), None, "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(looked_up(&deep, &["0", "0"]), None);
    }
}

//! Quoted values of cookies, as they are read by who takes quotes and backslashes off (Python's `http.cookies`, Werkzeug, Django).
//!
//! RFC 6265 knows neither: to most readers such a value is its text as it stands. Not here: names, and values without quotes.

/// Whether the value begins with a quote.
pub(super) fn is_quoted(value: &[u8]) -> bool {
    value.trim_ascii_start().starts_with(b"\"")
}

/// What a quoted value says besides its text, where that is something else. `line` begins with the value and goes on behind it, which
/// ends with a `;` after `length` bytes. Of two quotes readers take either: the last one before the `;`, and the first one that no
/// backslash precedes, which may stand behind it.
///
/// A quote that begins a value ends the one before it, so that this is linear in all of the line.
pub(super) fn unquoted(line: &[u8], length: usize) -> [Option<Vec<u8>>; 2] {
    let value = line.get(..length).unwrap_or_default().trim_ascii();
    let short = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let long = line
        .trim_ascii_start()
        .strip_prefix(b"\"")
        .and_then(|rest| rest.get(..quote(rest)?))
        .filter(|long| Some(*long) != short);
    let is_told = |text: &&[u8]| memchr::memchr2(b'\\', b';', text).is_some();
    [short, long].map(|text| text.filter(is_told).map(unescaped))
}

/// Where the first quote is that no backslash precedes.
fn quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(found)? {
            b'"' => return Some(found),
            _ => at = found + 2,
        }
    }
}

/// Backslashes taken off: three octal digits behind one are a byte, any other byte is itself.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or_default();
        out.extend(before);
        rest = match behind {
            [
                _,
                high @ b'0'..=b'3',
                middle @ b'0'..=b'7',
                low @ b'0'..=b'7',
                more @ ..,
            ] => {
                out.push((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'));
                more
            }
            [_, byte, more @ ..] => {
                out.push(*byte);
                more
            }
            // Nothing follows it.
            last => {
                out.extend(last);
                &[][..]
            }
        };
    }
    out.extend(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_taken_off() {
        for (line, expected) in [
            (r#""a""#, &[][..]),
            (r#"a\047"#, &[]),
            (r#""a\047"#, &[]),
            (r#"""#, &[]),
            (r#""""#, &[]),
            (
                r#""1\047 \165nion \"\\\x\400\08""#,
                &[r#"1' union "\x40008"#],
            ),
            (r#" "\101" "#, &["A"]),
            (r#" "\101"; b=c"#, &["A"]),
            (r#""\303\244""#, &["ä"]),
            // Up to the quote that is one, over a semicolon; and up to the last one before it.
            (r#""1; \165nion"; b=c"#, &["1; union"]),
            (r#""1; union"; b=c"#, &["1; union"]),
            (r#""\101\"; b="c""#, &["A\\", "A\"; b="]),
            (r#""a;b"#, &[]),
            (r#""a\"#, &[]),
            (r#""a\""#, &["a\\"]),
        ] {
            let length = line.find(';').unwrap_or(line.len());
            let told = unquoted(line.as_bytes(), length);
            let told: Vec<Vec<u8>> = told.into_iter().flatten().collect();
            let expected: Vec<Vec<u8>> = expected
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect();
            assert_eq!(told, expected, "{line}");
        }
    }
}

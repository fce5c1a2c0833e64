//! How much memory the parser will want for a text, roughly, told before it is asked: two bytes of TOML can make a value of
//! hundreds, and a dotted key a table for each dot.
//!
//! Not here: whether it is TOML. Strings and comments are told apart from the rest as the parser does, and a line that it would
//! refuse is counted somehow.

/// Bytes for what each of these bytes begins or ends, outside of strings and comments. Measured with documents that are full of
/// one of them.
const fn weight(byte: u8) -> usize {
    match byte {
        b'.' => 1_100,
        b'=' => 340,
        b',' => 210,
        b'[' | b'{' | b'\n' => 80,
        _ => 0,
    }
}

/// How the header of a zone is written.
const ZONE: &[u8] = b"[[zone]]";

/// Bytes that parsing this text takes, within a factor of about two where they are many. Takes linear time.
pub(super) fn of(text: &str) -> usize {
    walk(text, |_, _| {})
}

/// As [`of`]; `zone` hears of each line that begins with the header of a zone, outside of strings: its offset, and what the text
/// before it weighs.
pub(super) fn walk(text: &str, mut zone: impl FnMut(usize, usize)) -> usize {
    let all = text.as_bytes();
    let mut rest = all;
    let mut sum = 0_usize;
    let mut line_begins = true;
    while let Some((byte, behind)) = rest.split_first() {
        let at = all.len() - rest.len();
        if line_begins && rest.starts_with(ZONE) {
            zone(at, sum.saturating_add(at));
        }
        line_begins = match byte {
            b'\n' => true,
            b' ' | b'\t' => line_begins,
            _ => false,
        };
        rest = match byte {
            b'#' => behind_line(behind),
            b'"' | b'\'' => behind_string(*byte, behind),
            byte => {
                sum = sum.saturating_add(weight(*byte));
                behind
            }
        };
    }
    // Whatever is in it, a line has its place noted.
    sum.saturating_add(text.len())
}

fn behind_line(text: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

/// What follows a string that this quote began.
fn behind_string(quote: u8, text: &[u8]) -> &[u8] {
    let three = [quote; 3];
    let is_long = text.starts_with(&[quote; 2]);
    let mut rest = text;
    if is_long {
        rest = rest.get(2..).unwrap_or_default();
    }
    while let Some((byte, behind)) = rest.split_first() {
        match *byte {
            // An escaped quote ends nothing; in a literal string nothing is escaped.
            b'\\' if quote == b'"' => rest = behind.get(1..).unwrap_or_default(),
            b'\n' if !is_long => return rest,
            byte if byte == quote && !is_long => return behind,
            byte if byte == quote && rest.starts_with(&three) => {
                // Two more may stand before the closing three.
                let quotes = rest
                    .iter()
                    .take(5)
                    .take_while(|byte| **byte == quote)
                    .count();
                return rest.get(quotes..).unwrap_or_default();
            }
            _ => rest = behind,
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_weigh_nothing() {
        let weighed = |text: &str| of(text) - text.len();
        for text in [
            "",
            "# a = 1, [2.5]",
            "\"a.b=c,\\\"=\"",
            "'a.b=c,\\'",
            "\"\"\"a=\n\"=\"\",\\\"\"\"=\"\"\"",
            "'''=\n''=\\'''",
            "\"\"\"=\"\"\"\"\"",
            "\"\"''",
        ] {
            assert_eq!(weighed(text), 0, "{text}");
        }
        for (text, expected) in [
            ("a.b=1", 1_440),
            ("\"\"=''", 340),
            ("'a\\'.b", 1_100),
            // What is not closed ends with its line.
            ("\"a=\n=", 420),
            ("#=\n=", 420),
            ("[[a.b]]", 1_260),
            ("\"\"\"\"\"\"=", 340),
            ("\"\\\\\"=", 340),
        ] {
            assert_eq!(weighed(text), expected, "{text}");
        }
    }
}

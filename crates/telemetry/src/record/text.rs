//! Text inside a JSON string: cut to a bound, escaped where it must be.
//!
//! Nearly all that comes is printable ASCII without quotes. That is found out while it is copied. Everything else takes the
//! slow way: valid UTF-8 stays as it is, control characters become escapes, and a byte that is no part of valid UTF-8
//! becomes `\u00XX` of its own value.

use std::mem;

use super::line::{Class, Line};
use super::sixteen::Sixteen;

/// What ends a text that was cut.
pub(super) const ELLIPSIS: &[u8] = "…".as_bytes();

/// Bytes that can stand in a JSON string as they are: printable ASCII but `"` and `\`.
pub(super) struct Plain;

impl Class for Plain {
    #[inline(always)]
    fn odd(text: Sixteen) -> Sixteen {
        text.unprintable().or(text.is(b'"')).or(text.is(b'\\'))
    }
}

/// Appends at most `limit` bytes, which is 16 or more, of a text from outside.
#[inline(always)]
pub(super) fn write(line: &mut Line<'_>, bytes: &[u8], limit: usize) {
    *line = text(mem::take(line), bytes, limit);
}

#[inline(never)]
fn text<'a>(mut line: Line<'a>, bytes: &[u8], limit: usize) -> Line<'a> {
    if bytes.len() >= 16 {
        return long_text(line, bytes, limit);
    }
    if line.short_of::<Plain>(bytes) {
        line
    } else {
        odd_text(line, bytes, limit)
    }
}

/// Apart, so that short texts need no stack.
#[inline(never)]
fn long_text<'a>(mut line: Line<'a>, bytes: &[u8], limit: usize) -> Line<'a> {
    if bytes.len() <= limit && line.long_of::<Plain>(bytes) {
        line
    } else {
        odd_text(line, bytes, limit)
    }
}

/// Appends a word of our own; often there is none.
#[inline(always)]
pub(super) fn write_word(line: &mut Line<'_>, word: &str) {
    if !word.is_empty() {
        write(line, word.as_bytes(), super::WORD_LIMIT);
    }
}

/// Appends a part of a text, escaped where it must be.
pub(super) fn write_whole(line: &mut Line<'_>, bytes: &[u8]) {
    write(line, bytes, usize::MAX);
}

/// The first `limit` bytes, or a little less where that would tear a character; and whether that is all.
#[inline]
pub(super) fn within(bytes: &[u8], limit: usize) -> (&[u8], bool) {
    match bytes.split_at_checked(limit) {
        Some((head, [next, ..])) => (whole_characters(head, *next), false),
        _ => (bytes, true),
    }
}

/// Too long, or in need of escapes.
#[cold]
fn odd_text<'a>(mut line: Line<'a>, bytes: &[u8], limit: usize) -> Line<'a> {
    let (bytes, whole) = within(bytes, limit);
    write_escaped(&mut line, bytes);
    if !whole {
        line.bytes(ELLIPSIS);
    }
    line
}

/// Leaves out the beginning of a character that goes on with `next`.
fn whole_characters(head: &[u8], next: u8) -> &[u8] {
    let goes_on = |byte: u8| byte & 0xc0 == 0x80;
    if !goes_on(next) {
        return head;
    }
    let tail = head
        .iter()
        .rev()
        .take(3)
        .take_while(|&&byte| goes_on(byte))
        .count();
    let start = head.len().saturating_sub(tail + 1);
    match head.split_at_checked(start) {
        Some((before, [first, ..])) if *first >= 0xc0 => before,
        _ => head,
    }
}

fn write_escaped(line: &mut Line<'_>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        write_characters(line, chunk.valid());
        for &byte in chunk.invalid() {
            write_escape(line, byte);
        }
    }
}

fn write_characters(line: &mut Line<'_>, text: &str) {
    let mut plain_from = 0;
    for (at, character) in text.char_indices() {
        let escaped = character == '"' || character == '\\' || character.is_control();
        if !escaped {
            continue;
        }
        line.bytes(text.as_bytes().get(plain_from..at).unwrap_or_default());
        plain_from = at + character.len_utf8();
        match character {
            '"' => line.constant(b"\\\""),
            '\\' => line.constant(b"\\\\"),
            '\n' => line.constant(b"\\n"),
            '\r' => line.constant(b"\\r"),
            '\t' => line.constant(b"\\t"),
            // All control characters lie below U+00A0.
            other => write_escape(line, other as u32 as u8),
        }
    }
    line.bytes(text.as_bytes().get(plain_from..).unwrap_or_default());
}

fn write_escape(line: &mut Line<'_>, byte: u8) {
    let digit = |nibble: u8| {
        if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        }
    };
    line.constant(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::*;

    fn written(bytes: &[u8], limit: usize) -> String {
        line::tests::written(|line| write(line, bytes, limit))
    }

    #[test]
    fn escapes() {
        assert_eq!(written(b"", 9), "");
        assert_eq!(written(b"a\"b\\c", 9), r#"a\"b\\c"#);
        assert_eq!(written(b"\0\x1f\x7f\n\r\t", 9), r"\u0000\u001f\u007f\n\r\t");
        assert_eq!(written(b"x\xff\xfey", 9), r"x\u00ff\u00fey");
        assert_eq!(written("é\u{85}\u{9b}".as_bytes(), 9), r"é\u0085\u009b");
        // An overlong slash and half a surrogate pair are no UTF-8.
        assert_eq!(
            written(b"\xc0\xaf\xed\xa0\x80", 9),
            r"\u00c0\u00af\u00ed\u00a0\u0080"
        );
    }

    #[test]
    fn cuts_between_characters() {
        const START: &str = "some sixteen bytes that are always whole";
        let written = |text: &str, limit: usize| {
            let text = written(format!("{START}{text}").as_bytes(), START.len() + limit);
            text.strip_prefix(START).expect(START).to_owned()
        };
        assert_eq!(written("abcdef", 6), "abcdef");
        assert_eq!(written("abcdef", 5), "abcde…");
        assert_eq!(written("aé🌊", 7), "aé🌊");
        assert_eq!(written("aé🌊b", 7), "aé🌊…");
        for limit in 3..7 {
            assert_eq!(written("aé🌊b", limit), "aé…", "{limit}");
        }
        assert_eq!(written("aé", 2), "a…");
    }

    #[test]
    fn cuts_anywhere_where_there_are_no_characters() {
        assert_eq!(
            written(&[0x80; 17], 16),
            format!("{}…", r"\u0080".repeat(16))
        );
    }

    #[test]
    fn one_odd_byte_is_found_wherever_it_is() {
        line::tests::check_class::<Plain>(|byte| {
            (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
        });
    }
}

//! The boundary that a content type names (RFC 2046 §5.1.1), and what a line of the body is to it.
//!
//! Readers find both in ways of their own: the boundary behind the first `=` after the first time that the word stands anywhere, the
//! line wherever its text stands, behind a CR alone, with white space behind it or without. Not here: parts.

use memchr::memmem::{self, Finder};
use seawall_model::token::is_token_byte;

use super::Flags;

/// The parameter.
const WORD: &[u8] = b"boundary";

/// The boundary that the content type names.
pub(super) fn read<'c>(
    content_type: &'c [u8],
    flags: &mut Flags,
) -> Result<&'c [u8], &'static str> {
    let lower = content_type.to_ascii_lowercase();
    let mut places = memmem::find_iter(&lower, WORD);
    let at = places.next().ok_or("the content type has no boundary")?;
    let before = content_type.get(..at).unwrap_or_default();
    if before.last().is_some_and(|byte| !b";, \t".contains(byte)) {
        return Err("the content type has a boundary within another parameter");
    }
    flags.missing_semicolon |= !before.trim_ascii_end().ends_with(b";");
    let after = content_type.get(at + WORD.len()..).unwrap_or_default();
    let equals = after.trim_ascii_start();
    flags.boundary_whitespace |= equals.len() != after.len();
    let value = equals
        .strip_prefix(b"=")
        .ok_or("the boundary has no value")?;
    let trimmed = value.trim_ascii_start();
    flags.boundary_whitespace |= trimmed.len() != value.len();
    let boundary = value_of(trimmed, flags)?;
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    if boundary.is_empty() || boundary.len() > 70 || !boundary.iter().all(allowed) {
        return Err("the boundary is invalid");
    }
    // The value may itself have the word in it, and nothing else may: PHP takes what is behind the first one in lower case, others any
    // that `=` follows, or `*`, as RFC 2231 has it.
    let quote = usize::from(trimmed.starts_with(b"\""));
    let until = content_type.len() - trimmed.len() + quote + boundary.len();
    let is_lower = |at: usize| content_type.get(at..at + WORD.len()) == Some(WORD);
    let is_another = |place: usize| {
        let behind = lower.get(place + WORD.len()..).unwrap_or_default();
        let is_named = matches!(behind.trim_ascii_start().first(), Some(b'=' | b'*'));
        place >= until || is_named || is_lower(place) && !is_lower(at)
    };
    match places.any(is_another) {
        true => Err("the content type has more than one boundary"),
        false => Ok(boundary),
    }
}

/// The value of the parameter, without its quotes.
fn value_of<'c>(value: &'c [u8], flags: &mut Flags) -> Result<&'c [u8], &'static str> {
    if let Some(quoted) = value.strip_prefix(b"\"") {
        flags.boundary_quoted = true;
        let end = memchr::memchr(b'"', quoted).ok_or("the boundary's quote is never closed")?;
        let (boundary, behind) = quoted.split_at_checked(end).unwrap_or_default();
        // Who splits at these before reading quotes has another boundary.
        let is_odd = |byte: &u8| matches!(byte, b' ' | b',');
        flags.invalid_quoting |=
            boundary.iter().any(is_odd) || !matches!(behind.get(1), None | Some(b';'));
        return Ok(boundary);
    }
    let end = value
        .iter()
        .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'))
        .unwrap_or(value.len());
    flags.boundary_whitespace |= value.get(end).is_some_and(|byte| *byte != b';');
    let boundary = value.get(..end).unwrap_or_default();
    // RFC 2046 §5.1.1 wants quotes around what is no token: Werkzeug ends at the first such byte. Single quotes are quotes to some.
    let is_token = boundary.iter().all(|byte| is_token_byte(*byte));
    flags.invalid_quoting |=
        !is_token || boundary.starts_with(b"'") || memchr::memchr(b'"', value).is_some();
    Ok(boundary)
}

/// What a line is to the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Open,
    Close,
}

/// What a line is to the delimiter (`--` and the boundary), and whether some reader takes it for something else.
pub(super) fn mark(line: &[u8], delimiter: &Finder<'_>) -> (Mark, bool) {
    match delimiter.find(line) {
        Some(0) => {
            let rest = line.get(delimiter.needle().len()..).unwrap_or_default();
            let is_blank = |text: &[u8]| text.trim_ascii().is_empty();
            match rest.strip_prefix(b"--") {
                _ if rest.is_empty() => (Mark::Open, false),
                Some(b"") => (Mark::Close, false),
                // White space behind a boundary is padding (RFC 2046 §5.1.1), and to Node's readers the line is text of the part.
                Some(end) if is_blank(end) => (Mark::Close, true),
                None if is_blank(rest) => (Mark::Open, true),
                // PHP and others look for how the line begins.
                _ => (Mark::None, true),
            }
        }
        // Behind a CR alone, which ends a line to some; or anywhere, to who looks for nothing but this text.
        Some(_) => (Mark::None, true),
        None => (Mark::None, is_near(line, delimiter)),
    }
}

/// Whether somebody may take it for the boundary's line: with quotes that are a part of the boundary, with white space before, or in
/// another case.
fn is_near(line: &[u8], delimiter: &Finder<'_>) -> bool {
    let Some(rest) = line.trim_ascii_start().strip_prefix(b"--") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let bare = rest.strip_prefix(b"\"").unwrap_or(rest);
    let boundary = delimiter.needle().get(2..).unwrap_or_default();
    bare.get(..boundary.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(boundary))
}

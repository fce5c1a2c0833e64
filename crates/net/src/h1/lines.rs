//! Field lines (RFC 9112 §5), of heads and of trailer sections: reading them, and saying what is wrong with one.
//!
//! The reader knows one shape of a line and takes no other. Only a head that is refused already is read again, slowly, to
//! name the reason; in tests that second reading, and a parser by others, watch over the first.

use seawall_model::head::Span;
use seawall_model::{FieldId, Fields};

use super::Reject;
use super::block::{controls, find, not_plain};

const BARE_LF: Reject = Reject::bad("bare_lf", "RFC 9112 §2.2");
const INCOMPLETE: Reject = Reject::bad("incomplete_head", "RFC 9112 §2.1");
const BARE_CR: Reject = Reject::bad("bare_cr", "RFC 9112 §2.2");

/// The `Host` lines of a head.
#[derive(Default)]
pub(super) struct Hosts {
    pub count: usize,
    pub last: Span,
}

/// Why field lines are refused. What exactly is malformed, [`diagnose`] finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooMany,
}

/// Reads the field lines that begin at `at` and end, with their empty line, where `bytes` ends; adds them to `fields`,
/// whose buffer holds `bytes` already.
///
/// `field-line = field-name ":" OWS field-value OWS`, and CRLF.
pub(super) fn read_lines(
    bytes: &[u8],
    at: usize,
    most: usize,
    fields: &mut Fields,
) -> Result<Hosts, Refusal> {
    let mut hosts = Hosts::default();
    let mut rest = bytes.get(at..).ok_or(Refusal::Malformed)?;
    loop {
        let name_len = token_len(rest);
        let Some((_, [b':', after_colon @ ..])) = rest.split_at_checked(name_len) else {
            return if rest == b"\r\n" {
                Ok(hosts)
            } else {
                Err(Refusal::Malformed)
            };
        };
        let text = without_leading_space(after_colon);
        let Some((text_and_space, [b'\r', b'\n', next @ ..])) =
            text.split_at_checked(text_len(text))
        else {
            return Err(Refusal::Malformed);
        };
        if name_len == 0 {
            return Err(Refusal::Malformed);
        }
        if fields.len() >= most {
            return Err(Refusal::TooMany);
        }
        let name = Span::new(bytes.len() - rest.len(), name_len);
        let value = Span::new(
            bytes.len() - text.len(),
            without_trailing_space(text_and_space).len(),
        );
        if fields.push_span(name, value) == FieldId::Host {
            hosts.count += 1;
            hosts.last = value;
        }
        rest = next;
    }
}

#[inline(always)]
fn without_leading_space(bytes: &[u8]) -> &[u8] {
    match bytes {
        // What nearly everybody writes: exactly one space.
        [b' ', text @ ..] if !matches!(text, [b' ' | b'\t', ..]) => text,
        _ => without_rare_space(bytes),
    }
}

fn without_rare_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[inline(always)]
fn without_trailing_space(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// How long the token is that `bytes` begins with.
#[inline(always)]
pub(super) fn token_len(bytes: &[u8]) -> usize {
    let len = find(bytes, not_plain);
    match bytes.get(len) {
        Some(b':' | b' ') => len,
        _ => len + rare_token_len(bytes.get(len..).unwrap_or_default()),
    }
}

/// The rest of a token that has more than letters, digits and hyphens.
#[cold]
fn rare_token_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(bytes.len())
}

/// How long the text without control bytes but HTAB is that `bytes` begins with.
#[inline(always)]
pub(super) fn text_len(bytes: &[u8]) -> usize {
    let mut len = find(bytes, controls);
    while let Some([b'\t', rest @ ..]) = bytes.get(len..) {
        len += 1 + find(rest, controls);
    }
    len
}

/// What is wrong with a head that was refused; `first_line` judges its first line, which is given without its CRLF.
#[cold]
pub(super) fn diagnose(head_bytes: &[u8], first_line: impl Fn(&[u8]) -> Option<Reject>) -> Reject {
    let Some(at) = memchr::memchr(b'\n', head_bytes) else {
        return INCOMPLETE;
    };
    let (first, rest) = head_bytes.split_at_checked(at).unwrap_or_default();
    let fault = match without_cr(first) {
        Err(fault) => Some(fault),
        Ok(line) => first_line(line).or_else(|| diagnose_lines(rest.get(1..).unwrap_or_default())),
    };
    fault.unwrap_or(Reject::bad("malformed_head", "RFC 9112 §2.1"))
}

/// What is wrong with the field lines of a head or a trailer section, if anything is.
#[cold]
pub(super) fn diagnose_lines(lines: &[u8]) -> Option<Reject> {
    let mut rest = lines;
    let mut is_first = true;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at_checked(at)?;
        rest = after.get(1..)?;
        let line = match without_cr(line) {
            Ok(line) => line,
            Err(fault) => return Some(fault),
        };
        if line.is_empty() {
            return (!rest.is_empty()).then_some(Reject::bad("bytes_after_head", "RFC 9112 §2.1"));
        }
        if let Some(fault) = diagnose_line(line, is_first) {
            return Some(fault);
        }
        is_first = false;
    }
    Some(INCOMPLETE)
}

fn diagnose_line(line: &[u8], is_first: bool) -> Option<Reject> {
    if let Some(b' ' | b'\t') = line.first() {
        return Some(match is_first {
            true => Reject::bad("space_before_first_field", "RFC 9112 §2.2"),
            false => Reject::bad("folded_field", "RFC 9112 §5.2"),
        });
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Some(Reject::bad("field_without_colon", "RFC 9112 §5"));
    };
    let (name, value) = line.split_at_checked(colon)?;
    match name {
        [] => Some(Reject::bad("empty_field_name", "RFC 9110 §5.1")),
        [.., b' ' | b'\t'] => Some(Reject::bad("space_before_colon", "RFC 9112 §5.1")),
        _ if !is_token(name) => Some(Reject::bad("bad_field_name", "RFC 9110 §5.1")),
        _ if value.iter().any(|byte| is_control(*byte) && *byte != b'\t') => {
            Some(Reject::bad("control_byte_in_field", "RFC 9110 §5.5"))
        }
        _ => None,
    }
}

fn without_cr(line: &[u8]) -> Result<&[u8], Reject> {
    let line = line.strip_suffix(b"\r").ok_or(BARE_LF)?;
    if line.contains(&b'\r') {
        Err(BARE_CR)
    } else {
        Ok(line)
    }
}

pub(super) const fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// `token` (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

//! Field lines (RFC 9112 §5), of heads and of trailer sections: reading them, and saying what is wrong with one.
//!
//! The reader knows one shape of a line and takes no other. Only a head that is refused already is read again, slowly, to
//! name the reason; in tests that second reading, and a parser by others, watch over the first.

pub(super) use seawall_model::token::{is_token, is_token_byte};
use std::sync::LazyLock;

use seawall_model::head::Span;
use seawall_model::{FieldId, Fields};

use super::Reject;
use super::block::{Halves, LAST, Masks, SIGHT, WINDOW, controls, find, first_of, not_plain, pad};

const BARE_LF: Reject = Reject::bad("bare_lf", "RFC 9112 §2.2");
const INCOMPLETE: Reject = Reject::bad("incomplete_head", "RFC 9112 §2.1");
const BARE_CR: Reject = Reject::bad("bare_cr", "RFC 9112 §2.2");

/// Why field lines are refused. What exactly is malformed, [`diagnose`] finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooMany,
}

/// Reads the field lines that begin at `at` and end, with their empty line, where `bytes` ends; adds them to `fields`,
/// whose buffer is to hold `bytes`.
pub(super) fn read_lines(
    bytes: &[u8],
    at: usize,
    most: usize,
    fields: &mut Fields,
) -> Result<(), Refusal> {
    match begin_lines(bytes, at, most, fields)? {
        end if end == bytes.len() => Ok(()),
        _ => Err(Refusal::Malformed),
    }
}

/// As [`read_lines`], where other bytes may follow the empty line; tells also where it ends. Lines that have not come whole
/// are refused like malformed ones.
///
/// `field-line = field-name ":" OWS field-value OWS`, and CRLF.
#[inline]
pub(super) fn begin_lines(
    bytes: &[u8],
    at: usize,
    most: usize,
    fields: &mut Fields,
) -> Result<usize, Refusal> {
    let (end, refusal) = READER(bytes, at, most, fields);
    refusal.map_or(Ok(end), Err)
}

/// Where the lines end, and why they are refused if they are: in this form it is given back in registers.
type Ending = (usize, Option<Refusal>);

type ReadLines = fn(&[u8], usize, usize, &mut Fields) -> Ending;

/// The reader that is best for this processor.
static READER: LazyLock<ReadLines> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    if super::block::has_avx2() {
        // SAFETY: the processor has what the function asks for.
        return |bytes, at, most, fields| unsafe { begin_lines_avx2(bytes, at, most, fields) };
    }
    begin_lines_by::<Halves>
});

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
#[inline]
fn begin_lines_avx2(bytes: &[u8], at: usize, most: usize, fields: &mut Fields) -> Ending {
    begin_lines_by::<super::block::Avx2>(bytes, at, most, fields)
}

/// What [`begin_lines`] does on a processor without AVX2.
#[cfg(test)]
pub(super) fn begin_lines_by_halves(
    bytes: &[u8],
    at: usize,
    most: usize,
    fields: &mut Fields,
) -> Result<usize, Refusal> {
    let (end, refusal) = begin_lines_by::<Halves>(bytes, at, most, fields);
    refusal.map_or(Ok(end), Err)
}

#[inline(always)]
fn begin_lines_by<M: Masks>(bytes: &[u8], at: usize, most: usize, fields: &mut Fields) -> Ending {
    let mut reading = fields.reading(most);
    let mut last = [0; LAST];
    let mut is_last = false;
    // From where on the text is that is read.
    let (mut base, mut at) = (0, at);
    loop {
        let text = if is_last { &last } else { bytes };
        while let Some(sight) = text.get(at..).and_then(<[u8]>::first_chunk) {
            if let Some((id, name_len, text_end)) = usual_line::<M>(text, at, sight) {
                if !reading.push_tidy(id, base + at, name_len, base + text_end) {
                    return (0, Some(Refusal::TooMany));
                }
                at = text_end + 2;
                continue;
            }
            if let Some([b'\r', b'\n', ..]) = text.get(at..) {
                return (base + at + 2, None);
            }
            match any_line(text, at, base) {
                Ok(line) if reading.push(line.id, line.name, line.value) => at = line.end,
                Ok(_) => return (0, Some(Refusal::TooMany)),
                Err(refusal) => return (0, Some(refusal)),
            }
        }
        if is_last {
            return (0, Some(Refusal::Malformed));
        }
        pad(&mut last, bytes.get(at..).unwrap_or_default());
        base = std::mem::take(&mut at);
        is_last = true;
    }
}

/// Reads what nearly everybody writes: a name of letters, digits and hyphens, one space, text without HTAB. Gives what the
/// name is, how long it is, and where the text ends. None for any other line, well-formed or not: those are for
/// [`any_line`].
#[inline(always)]
fn usual_line<M: Masks>(
    bytes: &[u8],
    at: usize,
    sight: &[u8; SIGHT],
) -> Option<(FieldId, usize, usize)> {
    let window = sight.first_chunk()?;
    // Where a control byte or one of the first two bytes is a colon, the lengths are wrong; then the name is none.
    let name_end = first_of(M::colons(window) >> 2);
    if *around(sight, name_end + 3)? != [b' '] || *around(sight, name_end + 4)? <= [b' '] {
        return None;
    }
    let text_end = match M::controls(window) {
        0 => {
            let end = long_text_end::<M>(bytes, at + WINDOW);
            let ends = bytes.get(end - 1..)?.first_chunk()?;
            at_line_end(ends)?;
            end
        }
        controls => {
            let last = first_of(controls >> 1);
            at_line_end(around(sight, last)?)?;
            at + last + 1
        }
    };
    let name_len = name_end + 2;
    let (likely, known) = FieldId::likely(name_len, *window.first()?, *around(sight, name_end)?);
    if first_of(M::differences(window, known)) > name_len {
        Some((likely, name_len, text_end))
    } else if first_of(M::not_plain(window)) == name_len {
        let id = FieldId::of_unlikely(window.get(..name_len)?);
        Some((id, name_len, text_end))
    } else {
        None
    }
}

/// Whether text ends with the first of these bytes, and the line behind it.
#[inline(always)]
fn at_line_end(ends: &[u8; 3]) -> Option<()> {
    let [last, line_end @ ..] = ends;
    (*line_end == *b"\r\n" && *last != b' ').then_some(())
}

struct Line {
    id: FieldId,
    name: Span,
    value: Span,
    /// Where it ends, CRLF included.
    end: usize,
}

/// The bytes at a place within the window or hardly behind it, of which there are always enough in sight.
#[inline(always)]
fn around<const N: usize>(sight: &[u8; SIGHT], at: usize) -> Option<&[u8; N]> {
    sight.get(at..)?.first_chunk()
}

/// Where the first control byte is at or behind `at`.
#[inline(always)]
fn long_text_end<M: Masks>(bytes: &[u8], mut at: usize) -> usize {
    let (windows, _) = bytes.get(at..).unwrap_or_default().as_chunks();
    for window in windows {
        match M::controls(window) {
            0 => at += WINDOW,
            controls => return at + first_of(controls),
        }
    }
    // The last window, of which the first bytes were looked at already.
    let left = bytes.len().saturating_sub(at);
    let mask = bytes.last_chunk().map_or(0, M::controls);
    let rest = u64::from(mask) >> (WINDOW - left.min(WINDOW));
    (at + (rest | 1 << left.min(WINDOW)).trailing_zeros() as usize).min(bytes.len())
}

/// Reads any line there is. One that has not come whole is malformed.
#[cold]
#[inline(never)]
fn any_line(bytes: &[u8], at: usize, base: usize) -> Result<Line, Refusal> {
    let plain_end = find(bytes, at, not_plain);
    let (name_end, start) = rare_name(bytes, plain_end).ok_or(Refusal::Malformed)?;
    let text_end = text_end(bytes, start);
    let Some([b'\r', b'\n', ..]) = bytes.get(text_end..) else {
        return Err(Refusal::Malformed);
    };
    if name_end == at {
        return Err(Refusal::Malformed);
    }
    let value_end = match bytes.get(text_end - 1) {
        Some(b' ' | b'\t') => without_trailing_space(bytes, start, text_end),
        _ => text_end,
    };
    Ok(Line {
        id: FieldId::of(bytes.get(at..name_end).unwrap_or_default()),
        name: Span::new(base + at, name_end - at),
        value: Span::new(base + start, value_end - start),
        end: text_end + 2,
    })
}

/// Where a name ends that has other bytes of tokens from `plain_end` on, and where the text behind its colon begins.
#[cold]
fn rare_name(bytes: &[u8], plain_end: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(plain_end..)?;
    let name_end = plain_end + rare_token_len(rest);
    let Some([b':', after @ ..]) = bytes.get(name_end..) else {
        return None;
    };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let space = after.iter().take_while(|byte| is_space(byte)).count();
    Some((name_end, name_end + 1 + space))
}

/// Where the text from `start` to `end` ends without the white space behind it.
#[cold]
fn without_trailing_space(bytes: &[u8], start: usize, end: usize) -> usize {
    let text = bytes.get(start..end).unwrap_or_default();
    let space = text
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'));
    end - space.count()
}

/// Where the token ends that begins at `at`.
#[inline(always)]
pub(super) fn token_end(bytes: &[u8], at: usize) -> usize {
    let end = find(bytes, at, not_plain);
    match bytes.get(end) {
        Some(b':' | b' ') => end,
        _ => end + rare_token_len(bytes.get(end..).unwrap_or_default()),
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

/// Where the text without control bytes but HTAB ends that begins at `at`.
#[inline(always)]
pub(super) fn text_end(bytes: &[u8], at: usize) -> usize {
    let mut end = find(bytes, at, controls);
    while bytes.get(end) == Some(&b'\t') {
        end = find(bytes, end + 1, controls);
    }
    end
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

//! Ranges of a stored response (RFC 9110 §14).

use seawall_model::{FieldId, Fields, Method, RequestHead};

use super::Time;
use super::condition::may_be_partial;
use crate::head::Head;

/// The most parts of one answer. Requests for more get all of it: many small ranges are an attack (CVE-2011-3192).
pub const MOST_PARTS: usize = 16;

/// A part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub start: u64,
    /// How many bytes; not 0.
    pub length: u64,
}

impl Part {
    /// The byte behind its last one.
    pub const fn end(self) -> u64 {
        self.start + self.length
    }
}

/// What a 206 with one part says of where that lies: `Content-Range`, with the length of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The part.
    pub part: Part,
    /// Bytes of the whole.
    pub total: u64,
}

impl ContentRange {
    /// What the fields say; none where they say it not at all, not in full, or several times.
    pub fn of(fields: &Fields) -> Option<Self> {
        let mut values = crate::fields::values(fields, b"content-range");
        let value = values.next().filter(|_| values.next().is_none())?;
        let text = std::str::from_utf8(value).ok()?;
        let (unit, rest) = text.split_once(' ')?;
        let (part, total) = rest.trim().split_once('/')?;
        let (first, last) = part.split_once('-')?;
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        let fits = unit.eq_ignore_ascii_case("bytes") && first <= last && last < total;
        fits.then(|| Self {
            part: Part {
                start: first,
                length: last - first + 1,
            },
            total,
        })
    }
}

/// What a client gets of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// All of it (200).
    Whole,
    /// One part (206).
    Part(Part),
    /// Several (206, `multipart/byteranges`), in the order asked for, none overlapping another.
    Parts(Vec<Part>),
    /// There is no such part (416).
    Unsatisfiable,
}

/// What a request gets of a stored response with a body of `length` bytes. What is malformed counts as no range (§14.2).
pub fn ranged(request: &RequestHead, stored: &Head, length: u64, received: Time) -> Ranged {
    let Some(range) = request.fields.only(FieldId::Range) else {
        return Ranged::Whole;
    };
    let is_so = request.method == Method::Get && stored.status() == 200;
    if !is_so || !may_be_partial(request, stored, received) {
        return Ranged::Whole;
    }
    parts(range, length).unwrap_or(Ranged::Whole)
}

/// None where it is malformed.
fn parts(range: &[u8], length: u64) -> Option<Ranged> {
    let text = std::str::from_utf8(range).ok()?;
    let (unit, set) = text.split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(())?;
    let mut parts: Vec<Part> = Vec::new();
    let mut any = false;
    for spec in set.split(',').map(str::trim) {
        if spec.is_empty() {
            continue;
        }
        any = true;
        let Some(part) = part(spec, length)? else {
            continue;
        };
        let overlaps = |other: &Part| part.start < other.end() && other.start < part.end();
        if parts.len() == MOST_PARTS || parts.iter().any(overlaps) {
            return Some(Ranged::Whole);
        }
        parts.push(part);
    }
    any.then_some(())?;
    Some(match parts.as_slice() {
        [] => Ranged::Unsatisfiable,
        [part] => Ranged::Part(*part),
        _ => Ranged::Parts(parts),
    })
}

/// `first-last`, `first-` or `-suffix` (§14.1.2): none inside where nothing of it is there, none outside where it is malformed.
fn part(spec: &str, length: u64) -> Option<Option<Part>> {
    let (first, last) = spec.split_once('-')?;
    let (start, end) = if first.is_empty() {
        let suffix = number(last)?;
        (
            length.saturating_sub(suffix),
            if suffix == 0 { 0 } else { length },
        )
    } else {
        let start = number(first)?;
        let end = if last.is_empty() {
            length
        } else {
            let last = number(last)?;
            (start <= last).then_some(())?;
            last.saturating_add(1).min(length)
        };
        (start, end)
    };
    let length = end.saturating_sub(start);
    Some((length > 0).then_some(Part { start, length }))
}

/// What is too large for a number lies behind every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

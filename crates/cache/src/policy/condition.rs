//! Conditional requests: the client's, answered from what is stored (RFC 9110 §13, RFC 9111 §4.3.2), and ours to the origin
//! (RFC 9111 §4.3.1).

use seawall_model::{FieldId, Fields, Method, RequestHead, date};

use super::Time;
use crate::fields;
use crate::head::Head;

/// What a client's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// It gets the response.
    Holds,
    /// It has the response already: 304.
    NotModified,
}

/// Whether a request has conditions that only an origin may judge (RFC 9111 §4.3.2): the cache then lets it pass.
pub fn asks_the_origin(request: &RequestHead) -> bool {
    let has = |name: &[u8]| fields::has(&request.fields, name);
    has(b"if-match") || has(b"if-unmodified-since")
}

/// The client's conditions, against a response that may be used.
pub fn precondition(request: &RequestHead, stored: &Head, received: Time) -> Precondition {
    let is_read = matches!(request.method, Method::Get | Method::Head);
    // RFC 9110 §13.2.1: where the answer would be an error or a redirect anyway, conditions do not count.
    if !is_read || !matches!(stored.status(), 200..=299) {
        return Precondition::Holds;
    }
    let fields = &request.fields;
    let not_modified = if fields::has(fields, b"if-none-match") {
        stored.named(b"etag").map_or_else(
            || any_tag(fields, |tag| tag == b"*"),
            |ours| any_tag(fields, |tag| tag == b"*" || is_weakly(tag, ours)),
        )
    } else {
        since(fields, stored, received)
    };
    match not_modified {
        true => Precondition::NotModified,
        false => Precondition::Holds,
    }
}

/// `If-Modified-Since`. Without `Last-Modified` the response's `Date` counts (RFC 9111 §4.3.2).
fn since(fields: &Fields, stored: &Head, received: Time) -> bool {
    let now = received.seconds();
    let Some(since) = date::only(fields::values(fields, b"if-modified-since"), now) else {
        return false;
    };
    let date_of = |name: &[u8]| stored.only(name).and_then(|text| date::parse(text, now));
    match stored.named(b"last-modified") {
        Some(_) => date_of(b"last-modified").is_some_and(|modified| modified <= since),
        None => date_of(b"date").unwrap_or(now) <= since,
    }
}

/// Whether any tag of `If-None-Match` is so.
fn any_tag(fields: &Fields, is_so: impl Fn(&[u8]) -> bool) -> bool {
    fields::values(fields, b"if-none-match").any(|line| {
        let mut rest = line;
        std::iter::from_fn(|| {
            let (tag, after) = first_tag(rest)?;
            rest = after;
            Some(tag)
        })
        .any(&is_so)
    })
}

/// The first member of a list of tags; a comma in its quotes is its own.
fn first_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list
        .iter()
        .position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
    let (_, list) = list.split_at_checked(start)?;
    let mut quoted = false;
    let end = list.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    let (tag, rest) = list.split_at_checked(end.unwrap_or(list.len()))?;
    Some((tag.trim_ascii(), rest))
}

/// RFC 9110 §8.8.3.2: the same, whether weak or not.
pub(super) fn is_weakly(tag: &[u8], ours: &[u8]) -> bool {
    opaque(tag) == opaque(ours)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// RFC 9110 §8.8.3.2: the same, and neither weak.
pub(super) fn is_strongly(tag: &[u8], ours: &[u8]) -> bool {
    tag.starts_with(b"\"") && tag == ours
}

/// What makes a request to the origin conditional on a stored response: fields and their values. Empty where nothing in it can
/// be validated.
pub fn validators(stored: &Head) -> impl Iterator<Item = (&'static str, &[u8])> {
    let tag = stored.only(b"etag").map(|tag| ("If-None-Match", tag));
    let date = stored.only(b"last-modified");
    let date = date.map(|date| ("If-Modified-Since", date));
    tag.into_iter().chain(date)
}

/// Whether a part may be cut for this request: `If-Range` (RFC 9110 §13.1.5).
pub(super) fn may_be_partial(request: &RequestHead, stored: &Head, received: Time) -> bool {
    let mut values = fields::values(&request.fields, b"if-range");
    let Some(asked) = values.next() else {
        return true;
    };
    if values.next().is_some() {
        return false;
    }
    if asked.ends_with(b"\"") {
        let tag = stored.only(b"etag");
        return tag.is_some_and(|ours| is_strongly(asked, ours));
    }
    let now = received.seconds();
    let parse = |text: Option<&[u8]>| text.and_then(|text| date::parse(text, now));
    let modified = parse(stored.only(b"last-modified"));
    // A date is a strong validator only if it lies well before the response was made (§8.8.2.2).
    let made = parse(stored.only(FieldId::Date.name().as_bytes())).unwrap_or(0);
    let is_strong = modified.is_some_and(|modified| modified.saturating_add(60) <= made);
    is_strong && parse(Some(asked)) == modified
}

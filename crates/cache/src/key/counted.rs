//! What of a request counts where a zone's rules say so: parameters of its query, fields, cookies, the class of the device.
//!
//! Origins read names in many ways: they undo escapes, fold case, take brackets and dots for structure, `;` for `&`, the last of two
//! for the first. Whatever may be read as something that counts does count: at worst that is a miss. Not to count it would let
//! whoever asks first choose what others get.

use std::borrow::Cow;
use std::iter::once;

use seawall_model::head::Field;
use seawall_model::spelling::{fields_may_be_one, may_be};
use seawall_model::{FieldId, RequestHead};

use super::{Device, Query, Shape, optional, part};
use crate::fields;

/// The most parameters, and the most cookies, of which some may not count. Origins read the first thousand of them, or hundred, and what
/// stands behind is as good as not there: with more all count.
const MOST: usize = 100;

/// The part of a query that counts; parameters keep their order, which may matter to the origin.
pub(super) fn query<'q>(query: Option<&'q [u8]>, shape: &Query) -> Option<Cow<'q, [u8]>> {
    let keep = |is_kept: &dyn Fn(&[u8]) -> bool| {
        let parameters = query?.split(|byte| *byte == b'&');
        // Some origins begin another parameter behind `;`.
        let kept: Vec<&[u8]> = parameters
            .filter(|parameter| parameter.contains(&b';') || is_kept(before_equals(parameter)))
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b'&')))
    };
    match shape {
        Query::All => query.map(Cow::Borrowed),
        Query::Ignored => None,
        _ if query.is_some_and(has_many) => query.map(Cow::Borrowed),
        Query::Only(names) => keep(&|name| may_be(name, names.iter().map(|one| &**one))),
        // Only what is spelt so, to the letter, is nothing else for sure.
        Query::Except(names) => keep(&|name| !names.iter().any(|one| &**one == name)),
    }
}

/// Whether a query has more parameters than any origin reads for sure.
fn has_many(query: &[u8]) -> bool {
    let between = query.iter().filter(|byte| matches!(**byte, b'&' | b';'));
    between.count() >= MOST
}

/// The lines of a field, and those whose names become the same where origins make variables of them (`X_A` is `HTTP_X_A`, as `X-A` is).
pub(super) fn field(bytes: &mut Vec<u8>, request: &RequestHead, name: &[u8]) {
    optional(bytes, fields::joined(&request.fields, name).as_deref());
    let is_alike =
        |other: &[u8]| !other.eq_ignore_ascii_case(name) && fields_may_be_one(other, name);
    for line in request.fields.iter().filter(|line| is_alike(line.name)) {
        bytes.push(2);
        part(bytes, line.name);
        part(bytes, line.value);
    }
}

/// All cookies that may be read as this one, in their order; `all` of them, where that is unclear.
pub(super) fn cookies(bytes: &mut Vec<u8>, request: &RequestHead, wanted: &[u8], all: bool) {
    if all {
        let lines = request.fields.all(FieldId::Cookie);
        lines.for_each(|line| optional(bytes, Some(line)));
    } else {
        pairs_of_all(request)
            .map(<[u8]>::trim_ascii)
            .filter(|pair| names(pair).any(|name| may_be(name, once(wanted))))
            .for_each(|pair| optional(bytes, Some(pair)));
    }
    optional(bytes, None);
}

/// Whether nobody can tell which cookies an origin reads in a request.
pub(super) fn is_unclear(request: &RequestHead) -> bool {
    // A quotation that goes over `;`: for some that is one cookie, for others there are several.
    let quotes = |text: &[u8]| text.iter().filter(|byte| **byte == b'"').count();
    let is_escaped = |line: &[u8]| line.contains(&b'\\') && line.contains(&b'"');
    let count = pairs_of_all(request).map(count);
    pairs_of_all(request).any(|pair| quotes(pair) % 2 == 1)
        || request.fields.all(FieldId::Cookie).any(is_escaped)
        || count.sum::<usize>() > MOST
}

/// How many cookies some reader may find in what one is.
fn count(pair: &[u8]) -> usize {
    let mut pieces = pair.trim_ascii().split(is_end);
    let first = pieces.next().is_some_and(|first| !first.is_empty());
    usize::from(first) + pieces.filter(|piece| piece.contains(&b'=')).count()
}

/// What of a field is in a key of this shape.
pub(super) fn of_field<'v>(
    shape: &Shape,
    request: &RequestHead,
    field: Field<'v>,
) -> Option<Cow<'v, [u8]>> {
    let mut fields = shape.fields.iter();
    let is_keyed = fields.any(|name| fields_may_be_one(field.name, name));
    if is_keyed || is_transport(field.name) || (shape.device && field.id == FieldId::UserAgent) {
        return Some(Cow::Borrowed(field.value));
    }
    if shape.cookies.is_empty() || field.id != FieldId::Cookie {
        return None;
    }
    if is_unclear(request) {
        return Some(Cow::Borrowed(field.value));
    }
    let wanted = || shape.cookies.iter().map(|one| &**one);
    let kept: Vec<&[u8]> = pairs(field.value)
        .map(<[u8]>::trim_ascii)
        .filter(|pair| names(pair).any(|name| may_be(name, wanted())))
        .collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b"; "[..])))
}

fn pairs_of_all(request: &RequestHead) -> impl Iterator<Item = &[u8]> {
    request.fields.all(FieldId::Cookie).flat_map(pairs)
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// The class of the device; with two lines of `User-Agent` nobody knows which of them the origin looks at.
pub(super) fn device(bytes: &mut Vec<u8>, request: &RequestHead) {
    bytes.push(Device::of(request) as u8);
    for line in request.fields.all(FieldId::UserAgent).skip(1) {
        optional(bytes, Some(line));
    }
}

/// What proxies in front of an edge tell of the transport of their clients' requests, and some origins go by. Behind such a proxy it is
/// mostly the same for all; whoever makes it up gets what is stored for it.
const TRANSPORT: [&[u8]; 3] = [b"cf-visitor", b"fastly-ssl", b"x-arr-ssl"];

fn is_transport(name: &[u8]) -> bool {
    let mut known = TRANSPORT.iter();
    known.any(|known| fields_may_be_one(name, known))
}

/// Each of these fields.
pub(super) fn transport(bytes: &mut Vec<u8>, request: &RequestHead) {
    for line in request.fields.iter().filter(|line| is_transport(line.name)) {
        bytes.push(4);
        part(bytes, &line.name.to_ascii_lowercase());
        part(bytes, line.value);
    }
}

/// The names that a cookie may have: some origins begin another one behind white space or a comma.
fn names(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = pair.split(is_end).map(before_equals);
    names.filter(|name| !name.is_empty())
}

const fn is_end(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b'"')
}

/// What stands before the first equals sign.
fn before_equals(text: &[u8]) -> &[u8] {
    let name = text.split(|byte| *byte == b'=').next();
    name.unwrap_or_default()
}

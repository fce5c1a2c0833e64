//! What of a request counts where a zone's rules say so: parameters of its query, fields, cookies, the class of the device.
//!
//! Origins read names in many ways: they undo escapes, fold case, take brackets and dots for structure, `;` for `&`, the last of two
//! for the first. Whatever may be read as something that counts does count: at worst that is a miss. Not to count it would let
//! whoever asks first choose what others get.

use std::borrow::Cow;
use std::iter::once;

use seawall_model::head::Field;
use seawall_model::{FieldId, RequestHead};

use super::{Device, Query, Shape, digit, optional, part};
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
    let is_alike = |other: &[u8]| !other.eq_ignore_ascii_case(name) && folds_alike(other, name);
    for line in request.fields.iter().filter(|line| is_alike(line.name)) {
        bytes.push(2);
        part(bytes, line.name);
        part(bytes, line.value);
    }
}

/// Whether names of fields become the same as variables of CGI: some put `_` for `-`, some for all that is no letter or digit.
fn folds_alike(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| match byte.to_ascii_lowercase() {
        other if other.is_ascii_alphanumeric() => other,
        _ => b'-',
    };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
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
    let count = pairs_of_all(request).map(|pair| names(pair).count());
    pairs_of_all(request).any(|pair| quotes(pair) % 2 == 1)
        || request.fields.all(FieldId::Cookie).any(is_escaped)
        || count.sum::<usize>() > MOST
}

/// What of a field is in a key of this shape.
pub(super) fn of_field<'v>(
    shape: &Shape,
    request: &RequestHead,
    field: Field<'v>,
) -> Option<Cow<'v, [u8]>> {
    let mut fields = shape.fields.iter();
    let is_keyed = fields.any(|name| folds_alike(field.name, name));
    if is_keyed || (shape.device && field.id == FieldId::UserAgent) {
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

/// The names that a cookie may have: some origins begin another one behind white space or a comma.
fn names(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b'"');
    let names = pair.split(is_end).map(before_equals);
    names.filter(|name| !name.is_empty())
}

/// What stands before the first equals sign.
fn before_equals(text: &[u8]) -> &[u8] {
    let name = text.split(|byte| *byte == b'=').next();
    name.unwrap_or_default()
}

/// Whether an origin may read a name as one of those that are wanted.
fn may_be<'w>(name: &[u8], mut wanted: impl Iterator<Item = &'w [u8]>) -> bool {
    let name = decoded(name);
    // What is escaped twice, or no ASCII: there are many ways to read that.
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~') || b"%&;=".contains(byte);
    if name.iter().any(is_odd) {
        return true;
    }
    wanted.any(|one| {
        let one = decoded(one);
        // `id[]`, `id[x]` and `id.x` are of `id`, and so is `id` of them: it may be put in their place. `a_b[0]` is of `a.b`, where a dot
        // is another letter.
        is_alike(&name, &one)
            || is_alike(before(&name, b"[."), before(&one, b"[."))
            || is_alike(before(&name, b"["), before(&one, b"["))
    })
}

/// What stands before the first of these.
fn before<'n>(name: &'n [u8], ends: &[u8]) -> &'n [u8] {
    let before = name.split(|byte| ends.contains(byte)).next();
    before.unwrap_or_default()
}

/// Whether two names have the same letters and digits: in place of the others some origins put others.
fn is_alike(one: &[u8], other: &[u8]) -> bool {
    letters(one).eq(letters(other))
}

fn letters(text: &[u8]) -> impl Iterator<Item = u8> {
    let kept = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    kept.map(u8::to_ascii_lowercase)
}

/// A name without escapes.
fn decoded(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'%') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        rest = after;
        let pair = match (byte, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            None => out.push(*byte),
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
        }
    }
    Cow::Owned(out)
}

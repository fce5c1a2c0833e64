//! What of a request counts where a zone's rules say so: parameters of its query, fields, cookies, the class of the device.
//!
//! Origins read names in many ways: they undo escapes, fold case, take brackets and dots for structure, `;` for `&`, the last of two
//! for the first. Whatever may be read as something that counts does count: at worst that is a miss. Not to count it would let
//! whoever asks first choose what others get.

use std::borrow::Cow;
use std::iter::once;

use seawall_model::spelling::{fields_may_be_one, may_be};
use seawall_model::{FieldId, RequestHead};

use super::{Device, Query, optional, part};
use crate::fields;

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
        Query::Only(names) => keep(&|name| may_be(name, names.iter().map(|one| &**one))),
        // Only what is spelt so, to the letter, is nothing else for sure.
        Query::Except(names) => keep(&|name| !names.iter().any(|one| &**one == name)),
    }
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

/// All cookies that may be read as this one, in their order.
pub(super) fn cookies(bytes: &mut Vec<u8>, request: &RequestHead, wanted: &[u8]) {
    let lines = || request.fields.all(FieldId::Cookie);
    let pairs = || lines().flat_map(|line| line.split(|byte| *byte == b';'));
    // A quotation that goes over `;`: for some that is one cookie, for others there are several.
    let quotes = |text: &[u8]| text.iter().filter(|byte| **byte == b'"').count();
    let is_escaped = |line: &[u8]| line.contains(&b'\\') && line.contains(&b'"');
    if pairs().any(|pair| quotes(pair) % 2 == 1) || lines().any(is_escaped) {
        lines().for_each(|line| optional(bytes, Some(line)));
    } else {
        pairs()
            .map(<[u8]>::trim_ascii)
            .filter(|pair| names(pair).any(|name| may_be(name, once(wanted))))
            .for_each(|pair| optional(bytes, Some(pair)));
    }
    optional(bytes, None);
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

//! Names in a request that an origin may read as those of parameters, and that are spelt otherwise: what they say is compared with
//! nothing.

use seawall_model::spelling::{cookies_may_be_one, fields_may_be_one, parameters_may_be_one};
use seawall_model::{Fuel, Spent};

use super::{Described, Operation, Place};
use crate::body::urlencoded;

/// Units for comparing a name with another one, beside one for each of its bytes.
const NAME: u64 = 10;

/// Whether there is one.
pub(super) fn is_other(
    operation: &Operation,
    request: &Described<'_>,
    fuel: &mut Fuel,
) -> Result<bool, Spent> {
    Ok(in_query(operation, request.query, fuel)?
        || in_fields(operation, request.headers, fuel)?
        || in_cookies(operation, request.headers, fuel)?)
}

/// The names that are described.
fn names(operation: &Operation, place: Place) -> impl Iterator<Item = &[u8]> {
    let there = operation.parameters.iter();
    there
        .filter(move |known| known.place == place)
        .map(|known| known.name.as_bytes())
}

fn pay(name: &[u8], count: usize, fuel: &mut Fuel) -> Result<(), Spent> {
    fuel.spend((1 + count as u64) * (NAME + name.len() as u64))
}

fn in_query(operation: &Operation, query: &[u8], fuel: &mut Fuel) -> Result<bool, Spent> {
    let described = || names(operation, Place::Query);
    let count = described().count();
    if count == 0 {
        return Ok(false);
    }
    let mut name = Vec::new();
    for parameter in query.split(|byte| *byte == b'&') {
        for (nth, piece) in parameter.split(|byte| *byte == b';').enumerate() {
            let end = memchr::memchr(b'=', piece);
            // Behind `;` some origins begin another one; mostly it is a part of the value.
            if piece.is_empty() || (nth > 0 && end.is_none()) {
                continue;
            }
            name.clear();
            urlencoded::decode(
                piece.get(..end.unwrap_or(piece.len())).unwrap_or_default(),
                &mut name,
            );
            pay(&name, count, fuel)?;
            let is_known = nth == 0 && described().any(|known| known == name);
            if !is_known && described().any(|known| parameters_may_be_one(&name, known)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn in_fields(
    operation: &Operation,
    headers: &[(&[u8], &[u8])],
    fuel: &mut Fuel,
) -> Result<bool, Spent> {
    let described = || names(operation, Place::Header);
    let count = described().count();
    if count == 0 {
        return Ok(false);
    }
    for (name, _) in headers {
        pay(name, count, fuel)?;
        let is_known = described().any(|known| known.eq_ignore_ascii_case(name));
        if !is_known && described().any(|known| fields_may_be_one(name, known)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_cookies(
    operation: &Operation,
    headers: &[(&[u8], &[u8])],
    fuel: &mut Fuel,
) -> Result<bool, Spent> {
    let described = || names(operation, Place::Cookie);
    let count = described().count();
    if count == 0 {
        return Ok(false);
    }
    let is_another = |name: &[u8]| described().any(|known| cookies_may_be_one(name, known));
    let lines = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
    for pair in lines.flat_map(|(_, line)| line.split(|byte| *byte == b';')) {
        pay(pair, count, fuel)?;
        let pair = pair.trim_ascii();
        let name = before_equals(pair).unwrap_or(pair);
        if !described().any(|known| known == name) && is_another(name) {
            return Ok(true);
        }
        // Some origins begin another one behind white space or a comma.
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let mut behind = pair.split(is_end).skip(1).filter_map(before_equals);
        if behind.any(|name| !name.is_empty() && is_another(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What stands before the first equals sign, if there is one.
fn before_equals(text: &[u8]) -> Option<&[u8]> {
    text.get(..memchr::memchr(b'=', text)?)
}

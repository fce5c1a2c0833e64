//! Texts that functions make of other texts.

use std::io::Write;

use seawall_model::{Fuel, Spent};

use super::{Address, Array, COPIED, Number, Read, Seen, Text, Truth};
use crate::decode::{self, UrlDecode};
use crate::json::{self, Found, Key};
use crate::replace::PatternReplace;
use crate::scratch::Scratch;
use crate::wildcard::Replace;

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Make {
    Concat(Box<[Text]>),
    Join(Array, Text),
    /// From, and up to but without; counted from the end where it is negative.
    Substring(Text, i64, Option<i64>),
    UrlDecode(Text, UrlDecode),
    DecodeBase64(Text),
    EncodeBase64(Text),
    /// Without any of these bytes.
    RemoveBytes(Text, Box<[u8]>),
    /// Without the arguments of these names.
    RemoveQueryArgs(Text, Box<[Box<[u8]>]>),
    Json(Text, Box<[Key]>),
    Wildcard(Text, Box<Replace>),
    Pattern(Text, Box<PatternReplace>),
    OfNumber(Number),
    OfAddress(Address),
    OfTruth(Truth),
}

impl Make {
    /// Makes it; none where one of its arguments is none.
    pub(super) fn read<'v>(
        &'v self,
        seen: Seen<'v>,
        fuel: &mut Fuel,
    ) -> Result<Option<Read<'v>>, Spent> {
        fuel.spend(30)?;
        match self {
            Self::Concat(texts) => concat(texts, seen, fuel),
            Self::Join(array, between) => join(array, between, seen, fuel),
            Self::Substring(text, from, to) => {
                let read = text.value(seen, fuel)?;
                read.map(|read| substring(read, *from, *to, fuel))
                    .transpose()
            }
            Self::UrlDecode(text, how) => changed(text, seen, fuel, |bytes, fuel, out| {
                decode::url(bytes, *how, fuel, out).map(|()| true)
            }),
            Self::DecodeBase64(text) => changed(text, seen, fuel, decode::base64),
            Self::EncodeBase64(text) => changed(text, seen, fuel, |bytes, fuel, out| {
                fuel.spend(bytes.len() as u64 * 2)?;
                decode::to_base64(bytes, out);
                Ok(true)
            }),
            Self::RemoveBytes(text, removed) => changed(text, seen, fuel, |bytes, fuel, out| {
                fuel.spend(bytes.len() as u64 * 2)?;
                out.extend(bytes.iter().filter(|byte| !removed.contains(byte)));
                Ok(true)
            }),
            Self::RemoveQueryArgs(text, names) => changed(text, seen, fuel, |bytes, fuel, out| {
                decode::without_arguments(bytes, names, fuel, out).map(|()| true)
            }),
            Self::Json(text, keys) => changed(text, seen, fuel, |bytes, fuel, out| {
                Ok(match json::find(bytes, keys, fuel)? {
                    Some(Found::Text(text)) => json::unescape(text, fuel, out)?,
                    _ => false,
                })
            }),
            Self::Wildcard(text, replace) => changed(text, seen, fuel, |bytes, fuel, out| {
                replace.apply(bytes, fuel, out).map(|()| true)
            }),
            Self::Pattern(text, replace) => changed(text, seen, fuel, |bytes, fuel, out| {
                replace.apply(bytes, fuel, out).map(|()| true)
            }),
            Self::OfNumber(number) => {
                let number = number.read(seen, fuel)?;
                Ok(number.map(|number| shown(&number)))
            }
            Self::OfAddress(address) => {
                fuel.spend(100)?;
                Ok(Some(shown(&address.read(seen))))
            }
            Self::OfTruth(truth) => {
                let is_true = truth.read(seen, fuel)?;
                let text: &[u8] = if is_true { b"true" } else { b"false" };
                Ok(Some(Read::There(text)))
            }
        }
    }
}

/// What `change` makes of a text; none where it says that it cannot.
fn changed<'v>(
    text: &'v Text,
    seen: Seen<'v>,
    fuel: &mut Fuel,
    change: impl FnOnce(&[u8], &mut Fuel, &mut Vec<u8>) -> Result<bool, Spent>,
) -> Result<Option<Read<'v>>, Spent> {
    let Some(read) = text.value(seen, fuel)? else {
        return Ok(None);
    };
    let mut scratch = Scratch::new();
    let is_made = change(read.bytes(), fuel, scratch.out())?;
    Ok(is_made.then_some(Read::Made(scratch)))
}

fn concat<'v>(
    texts: &'v [Text],
    seen: Seen<'v>,
    fuel: &mut Fuel,
) -> Result<Option<Read<'v>>, Spent> {
    let mut scratch = Scratch::new();
    for text in texts {
        let Some(read) = text.value(seen, fuel)? else {
            return Ok(None);
        };
        fuel.spend(5 + read.bytes().len() as u64 / COPIED)?;
        scratch.out().extend_from_slice(read.bytes());
    }
    Ok(Some(Read::Made(scratch)))
}

fn join<'v>(
    array: &'v Array,
    between: &'v Text,
    seen: Seen<'v>,
    fuel: &mut Fuel,
) -> Result<Option<Read<'v>>, Spent> {
    let Some(between) = between.value(seen, fuel)? else {
        return Ok(None);
    };
    let mut scratch = Scratch::new();
    let out = scratch.out();
    let mut is_first = true;
    array.each(seen, fuel, &mut |text, fuel| {
        fuel.spend(8 + (text.len() + between.bytes().len()) as u64 / COPIED)?;
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(between.bytes());
        }
        out.extend_from_slice(text);
        Ok(true)
    })?;
    Ok(Some(Read::Made(scratch)))
}

fn substring<'v>(
    read: Read<'v>,
    from: i64,
    to: Option<i64>,
    fuel: &mut Fuel,
) -> Result<Read<'v>, Spent> {
    let length = read.bytes().len();
    // From the end where it is negative; never beyond either end.
    let place = |at: i64| {
        let steps = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 {
            length.saturating_sub(steps)
        } else {
            steps.min(length)
        }
    };
    let end = to.map_or(length, place);
    let begin = place(from).min(end);
    match read {
        Read::There(bytes) => Ok(Read::There(bytes.get(begin..end).unwrap_or_default())),
        Read::Made(mut scratch) => {
            fuel.spend((end - begin) as u64 / COPIED)?;
            scratch.out().truncate(end);
            scratch.out().drain(..begin);
            Ok(Read::Made(scratch))
        }
    }
}

fn shown<'v>(value: &impl std::fmt::Display) -> Read<'v> {
    let mut scratch = Scratch::new();
    // Writing to memory does not fail.
    let _ = write!(scratch.out(), "{value}");
    Read::Made(scratch)
}

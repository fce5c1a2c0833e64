//! Which stored response a request selects (RFC 9111 §4.1).
//!
//! Values are compared after normalising: lines of a field joined, white space around commas gone (RFC 9110 §5.6.1);
//! `Accept-Language` without regard to order and case; of `Accept-Encoding` which codings are taken, whatever their weights, since
//! whatever is stored for it decodes for everybody who takes the same.

use std::borrow::Cow;

use seawall_model::{Fields, RequestHead};

use crate::fields;

/// The most field names that a response may vary by; one with more is not stored.
pub const MOST_NAMES: usize = 16;

/// Why a response's `Vary` does not allow to store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryRefused {
    /// It has `*`: by something that is not in the request.
    Anything,
    /// It has more names than [`MOST_NAMES`].
    TooMany,
}

/// The names that a response varies by, in lower case and order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vary(Box<[Box<[u8]>]>);

impl Vary {
    /// Of a response.
    ///
    /// # Errors
    /// [`VaryRefused`] where no later request can select it.
    pub fn of(fields: &Fields) -> Result<Self, VaryRefused> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        if !fields::has(fields, b"vary") {
            return Ok(Self::default());
        }
        for name in fields::members(fields, b"vary") {
            if name == b"*" {
                return Err(VaryRefused::Anything);
            }
            if names.len() == MOST_NAMES && !names.iter().any(|n| n.eq_ignore_ascii_case(name)) {
                return Err(VaryRefused::TooMany);
            }
            let name: Box<[u8]> = name.to_ascii_lowercase().into();
            if let Err(at) = names.binary_search(&name) {
                names.insert(at, name);
            }
        }
        Ok(Self(names.into()))
    }

    /// Whether every request selects it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|name| &**name)
    }

    /// What a request has of these names, normalised. Two requests select the same response if and only if these are equal.
    pub fn selecting(&self, request: &RequestHead) -> Box<[u8]> {
        let mut out = Vec::new();
        for name in self.names() {
            let start = out.len();
            // Room for the length, so that no value can pretend to be two.
            out.extend_from_slice(&[0; 4]);
            match fields::joined(&request.fields, name) {
                None => {}
                Some(value) => {
                    // An empty value is not an absent one.
                    out.push(b'=');
                    normalise(name, &value, &mut out);
                }
            }
            let length = (out.len() - start - 4) as u32;
            if let Some(place) = out.get_mut(start..start + 4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
        out.into()
    }

    /// Whether a request selects a response that is stored with these values. Beside equal values: a response in the one language that
    /// the request likes best is what its origin would choose for it (RFC 9110 §12.5.4).
    pub fn is_selected(
        &self,
        stored: &[u8],
        language: Option<&[u8]>,
        request: &RequestHead,
        selecting: &[u8],
    ) -> bool {
        if stored == selecting {
            return true;
        }
        let Some(language) = language else {
            return false;
        };
        let preferred = || {
            let accepted = fields::joined(&request.fields, LANGUAGE)?;
            favourite(&accepted).map(|name| name.eq_ignore_ascii_case(language))
        };
        // All else must be equal.
        let pairs = sections(stored).zip(sections(selecting));
        let others = self
            .names()
            .zip(pairs)
            .filter(|(name, _)| *name != LANGUAGE);
        self.names().any(|name| name == LANGUAGE)
            && others
                .map(|(_, pair)| pair)
                .all(|(one, other)| one == other)
            && preferred().unwrap_or(false)
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|name| name.len() + 16).sum()
    }
}

const LANGUAGE: &[u8] = b"accept-language";

/// The values that [`Vary::selecting`] wrote, one after the other.
fn sections(mut values: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = values.split_first_chunk()?;
        let (section, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        values = rest;
        Some(section)
    })
}

/// The one member with the greatest weight, if there is one, and it is no `*`.
fn favourite(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut members: Vec<_> = value
        .split(|byte| *byte == b',')
        .filter_map(member)
        .collect();
    members.sort_unstable_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let mut best = members.into_iter();
    let (weight, name) = best.next()?;
    let is_alone = best.next().is_none_or(|(next, _)| next < weight);
    (is_alone && weight > 0 && *name != *b"*").then_some(name)
}

fn normalise(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match name {
        b"accept-encoding" => weighted(value, false, out),
        LANGUAGE => weighted(value, true, out),
        _ => spaced(value, out),
    }
}

/// White space around commas, but in quotations, is gone.
fn spaced(value: &[u8], out: &mut Vec<u8>) {
    let (mut quoted, mut escaped, mut pending) = (false, false, 0);
    let mut at_start = true;
    for byte in value.trim_ascii() {
        match byte {
            b' ' | b'\t' if !quoted => {
                pending += 1;
                continue;
            }
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => pending = 0,
            _ => {}
        }
        if !at_start {
            // One space stands for any number of them.
            out.extend_from_slice(if pending > 0 { b" " } else { b"" });
        }
        pending = 0;
        at_start = *byte == b',' && !quoted;
        out.push(*byte);
    }
}

/// The members in order, in lower case, each once; those of weight 0 behind a `-`. Weights count where asked for.
fn weighted(value: &[u8], with_weights: bool, out: &mut Vec<u8>) {
    let mut members: Vec<(u16, Cow<'_, [u8]>)> = value
        .split(|byte| *byte == b',')
        .filter_map(member)
        .collect();
    if !with_weights {
        for (weight, _) in &mut members {
            *weight = (*weight).min(1);
        }
    }
    // The heaviest first.
    members.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    members.dedup();
    let mut last = None;
    for (weight, name) in &members {
        if last.is_some_and(|last| last != *weight) {
            out.push(b';');
        }
        last = Some(*weight);
        out.extend_from_slice(if *weight == 0 { b"-" } else { b"," });
        out.extend_from_slice(name);
    }
}

/// Its weight in thousandths and its name in lower case.
fn member(member: &[u8]) -> Option<(u16, Cow<'_, [u8]>)> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', weight @ ..] => Some(thousandths(weight)),
        _ => None,
    });
    let name = if name.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Some((weight.unwrap_or(1_000), name))
}

/// A weight (RFC 9110 §12.4.2); what is none counts as 1.
fn thousandths(weight: &[u8]) -> u16 {
    let text = std::str::from_utf8(weight).unwrap_or("1");
    let parsed: f32 = text.parse().unwrap_or(1.0);
    (parsed.clamp(0.0, 1.0) * 1_000.0) as u16
}

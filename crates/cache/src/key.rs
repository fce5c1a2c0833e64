//! What a stored response is found by.
//!
//! A key is bytes in which every part has its length, so that no two different requests have the same one: the zone's stable id
//! first (strangers never meet), then scheme, host, target, and what a zone's rules add: fields, cookies, the class of the device.
//!
//! The target is that of the request as it goes to the origin, byte for byte. Spellings that RFC 3986 calls equivalent are
//! different keys unless the request was sent on in the one form ([`normal`]), because an origin may well answer them differently,
//! and what it answers to an odd spelling must not be served for the usual one. So it is with the host: an origin that makes URLs of it
//! answers `A.test`, `a.test.` or `a.test:80` with just that in its links. A purge finds them all ([`url`]).

use std::borrow::Cow;

use seawall_model::head::Field;
use seawall_model::{FieldId, RequestHead};

use crate::memory::Placed;

mod counted;

/// The most bytes of a key; what is longer is not cached.
pub const MOST_BYTES: usize = 16 * 1024;

/// What a slice's key has in the place of the scheme.
const SLICE: u8 = 2;

/// What of the query counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Query {
    /// All of it.
    #[default]
    All,
    /// Nothing of it.
    Ignored,
    /// These parameters only, and what an origin may read as one of them.
    Only(Box<[Box<[u8]>]>),
    /// All but these, spelt so to the letter.
    Except(Box<[Box<[u8]>]>),
}

/// What a zone's rules make of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// What of the query counts.
    pub query: Query,
    /// Fields whose values count, in lower case.
    pub fields: Box<[Box<[u8]>]>,
    /// Cookies whose values count, with what an origin may read as one of them.
    pub cookies: Box<[Box<[u8]>]>,
    /// Whether the class of the device counts.
    pub device: bool,
}

impl Shape {
    /// What of a request's field such a key is made of: all of its value, or of the line `Cookie` the cookies that count; none: nothing.
    /// A request that has just this of each field has the same key.
    pub fn counted<'v>(&self, request: &RequestHead, field: Field<'v>) -> Option<Cow<'v, [u8]>> {
        counted::of_field(self, request, field)
    }
}

/// What a key is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The zone's stable id.
    pub zone: u64,
    /// Whether the client speaks HTTPS.
    pub https: bool,
    /// The request, as it goes to the origin.
    pub request: &'a RequestHead,
    /// What the rules say.
    pub shape: &'a Shape,
}

/// A key, and by what a purge finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub bytes: Box<[u8]>,
    /// The zone's stable id.
    pub zone: u64,
    /// The host as purges name it ([`purged_host`]).
    pub host: Box<[u8]>,
    /// The target in its normal form, of its query what counts.
    pub target: Box<[u8]>,
    /// Where in the key that begins which the rules add.
    more: usize,
    /// Where it is in the memory tier.
    pub(crate) placed: Placed,
}

impl Key {
    /// Of a request; none where it would be too long.
    pub fn of(parts: &Parts<'_>) -> Option<Self> {
        let Parts {
            zone,
            https,
            request,
            shape,
        } = *parts;
        let host = request.authority();
        let (path, query) = split(request.target());
        // Just as many as there will be, where the rules add nothing.
        let lengths = 8 + 1 + 4 + 4 + 1 + if query.is_some() { 4 } else { 0 };
        let length = path.len() + query.map_or(0, <[u8]>::len);
        let mut bytes = Vec::with_capacity(lengths + host.len() + length);
        bytes.extend_from_slice(&zone.to_be_bytes());
        bytes.push(u8::from(https));
        part(&mut bytes, host);
        part(&mut bytes, path);
        match counted::query(query, &shape.query) {
            None => bytes.push(0),
            Some(query) => {
                bytes.push(1);
                part(&mut bytes, &query);
            }
        }
        let target = counted_target(request.target(), &shape.query);
        let more = bytes.len();
        for name in &shape.fields {
            counted::field(&mut bytes, request, name);
        }
        let all_cookies = !shape.cookies.is_empty() && counted::is_unclear(request);
        for name in &shape.cookies {
            if bytes.len() > MOST_BYTES {
                return None;
            }
            counted::cookies(&mut bytes, request, name, all_cookies);
        }
        if shape.device {
            counted::device(&mut bytes, request);
        }
        counted::transport(&mut bytes, request);
        (bytes.len() <= MOST_BYTES).then(|| Self {
            bytes: bytes.into(),
            zone,
            target: Box::from(&*normal(&target)),
            host: purged_host(request.authority()).into(),
            more,
            placed: Placed::default(),
        })
    }

    /// Of one slice of a response that is stored under `whole`. No request has such a key, and the target, behind that of the URL,
    /// has a byte that no URL has: a purge of what begins like the URL finds it, one of a URL does not.
    pub(crate) fn of_slice(whole: &Self, id: u128, index: u64) -> Self {
        let mut bytes = whole.zone.to_be_bytes().to_vec();
        bytes.push(SLICE);
        let more = bytes.len();
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
        let name = bytes.get(more..).unwrap_or_default();
        Self {
            target: [&*whole.target, b"\0", name].concat().into(),
            bytes: bytes.into(),
            zone: whole.zone,
            host: whole.host.clone(),
            more,
            placed: Placed::default(),
        }
    }

    /// What tells the keys of one URL apart, but for spellings.
    pub(crate) fn beside_url(&self) -> (Option<u8>, &[u8]) {
        let scheme = self.bytes.get(8).copied();
        (scheme, self.bytes.get(self.more..).unwrap_or_default())
    }
}

fn part(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(value);
}

fn optional(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => bytes.push(0),
        Some(value) => {
            bytes.push(1);
            part(bytes, value);
        }
    }
}

/// Host and port of an authority, to be compared: in lower case, without the scheme's own port, without a dot at the end. A key has the
/// authority as it came.
pub fn host(authority: &[u8], scheme: &[u8]) -> Vec<u8> {
    let usual: &[u8] = if scheme.eq_ignore_ascii_case(b"https") {
        b":443"
    } else {
        b":80"
    };
    let without = authority.strip_suffix(usual).unwrap_or(authority);
    let without = without.strip_suffix(b":").unwrap_or(without);
    let without = without.strip_suffix(b".").unwrap_or(without);
    without.to_ascii_lowercase()
}

/// Host of an authority, by which purges find what was asked for under it: in lower case, without any port and without a dot at the end.
/// A zone is found by its host whatever the port, so that one purge of a host is to meet all of its ports.
pub fn purged_host(authority: &[u8]) -> Vec<u8> {
    let port = authority.iter().rposition(|byte| *byte == b':');
    let without = match port.and_then(|at| authority.split_at_checked(at)) {
        Some((host, port)) if port.iter().skip(1).all(u8::is_ascii_digit) => host,
        _ => authority,
    };
    let without = without.strip_suffix(b".").unwrap_or(without);
    without.to_ascii_lowercase()
}

fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        None => (target, None),
        Some(at) => {
            let (path, query) = target.split_at_checked(at).unwrap_or((target, b""));
            (path, query.get(1..))
        }
    }
}

/// A target without the part of its query that does not count.
pub(crate) fn counted_target<'t>(target: &'t [u8], shape: &Query) -> Cow<'t, [u8]> {
    let (path, query) = split(target);
    match (counted::query(query, shape), query) {
        (None, None) | (Some(Cow::Borrowed(_)), _) => Cow::Borrowed(target),
        (None, Some(_)) => Cow::Borrowed(path),
        (Some(Cow::Owned(query)), _) => Cow::Owned([path, b"?", &query].concat()),
    }
}

/// What kind of device a client is, by the words that its `User-Agent` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Device {
    /// None of the others.
    Desktop,
    /// A telephone.
    Mobile,
    /// A tablet.
    Tablet,
}

impl Device {
    /// Of a request.
    pub fn of(request: &RequestHead) -> Self {
        let agent = request.fields.first(FieldId::UserAgent).unwrap_or_default();
        // In any case of letters, as origins look for them.
        let is_in = |word: &[u8], at: &[u8]| at.eq_ignore_ascii_case(word);
        let has = |word: &[u8]| agent.windows(word.len()).any(|at| is_in(word, at));
        match () {
            () if has(b"iPad") || has(b"Tablet") => Self::Tablet,
            () if has(b"Android") && !has(b"Mobile") => Self::Tablet,
            () if has(b"Mobi") || has(b"iPhone") => Self::Mobile,
            () => Self::Desktop,
        }
    }
}

/// The normal form of a target (RFC 3986 §6.2.2): escapes of what needs none undone, the others in upper case, dots resolved in
/// the path. Queries have no dots to resolve.
pub fn normal(target: &[u8]) -> Cow<'_, [u8]> {
    let may_be_odd = |pair: &[u8]| matches!(pair, b"/." | [b'%', _]);
    if target.starts_with(b"/") && !target.windows(2).any(may_be_odd) {
        return Cow::Borrowed(target);
    }
    let (path, query) = split(target);
    let mut out = without_dots(&unescaped(path));
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(&unescaped(query));
    }
    Cow::Owned(out)
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        let escape = match (byte, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let Some((high, low)) = escape else {
            out.push(*byte);
            continue;
        };
        rest = after.get(2..).unwrap_or_default();
        let meant = high << 4 | low;
        if meant.is_ascii_alphanumeric() || b"-._~".contains(&meant) {
            out.push(meant);
        } else {
            let hex = |digit: u8| match digit {
                0..=9 => b'0' + digit,
                _ => b'A' + digit - 10,
            };
            out.extend_from_slice(&[b'%', hex(high), hex(low)]);
        }
    }
    out
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986 §5.2.4, of the path; a query behind it stays as it is.
pub(crate) fn without_dots(target: &[u8]) -> Vec<u8> {
    let (path, query) = split(target);
    let mut out: Vec<u8> = Vec::with_capacity(target.len());
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    if !path.starts_with(b"/") {
        return target.to_vec();
    }
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let folder = out.iter().rposition(|byte| *byte == b'/');
                    out.truncate(folder.unwrap_or(0));
                }
                if is_last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out
}

#[cfg(test)]
mod tests;

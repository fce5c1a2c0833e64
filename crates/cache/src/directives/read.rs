//! Reading `Cache-Control` (RFC 9111 §5.2): a list of names with arguments, which may be quoted.

use std::borrow::Cow;

use seawall_model::Fields;
use seawall_model::token::is_token;

use super::{MOST_SECONDS, RequestDirectives, ResponseDirectives, Seconds};
use crate::fields;

/// The argument of a directive.
enum Argument<'a> {
    None,
    /// A token, or what was quoted: a recipient takes either (RFC 9111 §5.2).
    Some(Cow<'a, [u8]>),
    /// Neither, or white space around the `=`.
    Wrong,
}

impl Argument<'_> {
    /// A number of seconds (RFC 9111 §1.2.2): what is too large for us is the most that we count to.
    fn seconds(&self) -> Option<u32> {
        match self {
            Self::Some(text) => seconds(text),
            Self::None | Self::Wrong => None,
        }
    }

    /// Field names; none where there is no argument, or one that has anything but names.
    fn names(&self) -> Option<Vec<Box<[u8]>>> {
        let Self::Some(text) = self else {
            return None;
        };
        let names: Vec<Box<[u8]>> = text
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty())
            .map(|name| name.to_ascii_lowercase().into())
            .collect();
        (!names.is_empty() && names.iter().all(|name| is_token(name))).then_some(names)
    }
}

/// Digits only, 2^31 at most.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| {
        let more = sum.saturating_mul(10);
        more.saturating_add(u32::from(digit - b'0'))
            .min(MOST_SECONDS)
    };
    Some(text.iter().fold(0, add))
}

impl ResponseDirectives {
    /// From the lines of one field.
    pub(crate) fn of_lines(fields: &Fields, name: &[u8]) -> Self {
        let mut found = Self::default();
        let mut whole = true;
        for line in fields::values(fields, name) {
            whole &= each(line, |name, argument| found.add(name, &argument));
        }
        if !whole {
            // What stands behind the open quotation may be what forbids to store it.
            found.no_store = true;
        }
        found
    }

    fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        match name {
            b"max-age" => self.max_age.again(argument.seconds()),
            b"s-maxage" => self.s_maxage.again(argument.seconds()),
            b"stale-while-revalidate" => self.stale_while_revalidate.again(argument.seconds()),
            b"stale-if-error" => self.stale_if_error.again(argument.seconds()),
            b"no-cache" => self.no_cache.again(argument.names()),
            b"private" => self.private.again(argument.names()),
            b"no-store" => self.no_store = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"immutable" => self.immutable = true,
            _ => {}
        }
    }
}

impl RequestDirectives {
    /// From a request's `Cache-Control`; without one, from `Pragma: no-cache` (RFC 9111 §5.4).
    pub fn of(fields: &Fields) -> Self {
        let mut found = Self::default();
        if !fields::has(fields, b"cache-control") {
            let mut pragma = fields::members(fields, b"pragma");
            found.no_cache = pragma.any(|member| member.eq_ignore_ascii_case(b"no-cache"));
            return found;
        }
        for line in fields::values(fields, b"cache-control") {
            each(line, |name, argument| found.add(name, &argument));
        }
        found
    }

    fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        match name {
            b"max-age" => self.max_age.again(argument.seconds()),
            b"min-fresh" => self.min_fresh.again(argument.seconds()),
            b"max-stale" => match argument {
                Argument::None => self.max_stale = Seconds::Given(MOST_SECONDS),
                argument => self.max_stale.again(argument.seconds()),
            },
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            _ => {}
        }
    }
}

/// Names in lower case and arguments, of one line; false where a quotation has no end.
fn each(line: &[u8], mut found: impl FnMut(&[u8], Argument<'_>)) -> bool {
    /// No name that we know is longer.
    const LONGEST: usize = 32;
    let mut rest = line;
    loop {
        let (element, after, whole) = element(rest);
        let (name, argument) = match element.iter().position(|byte| *byte == b'=') {
            None => (element, Argument::None),
            Some(at) => match element.split_at_checked(at) {
                Some((name, [_, value @ ..])) => (name, argument(name, value)),
                _ => (element, Argument::Wrong),
            },
        };
        let mut lower = [0; LONGEST];
        let name = name.trim_ascii();
        if let Some(lower) = lower.get_mut(..name.len()) {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            found(lower, argument);
        }
        match after {
            Some(after) => rest = after,
            None => return whole,
        }
    }
}

/// The first element, what comes behind its comma, and whether its quotations have an end.
fn element(line: &[u8]) -> (&[u8], Option<&[u8]>, bool) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                let (element, after) = line.split_at_checked(at).unwrap_or((line, b""));
                return (element.trim_ascii(), after.get(1..), true);
            }
            _ => {}
        }
    }
    (line.trim_ascii(), None, !quoted)
}

fn argument<'a>(name: &[u8], value: &'a [u8]) -> Argument<'a> {
    if name.last().is_some_and(u8::is_ascii_whitespace) {
        return Argument::Wrong;
    }
    match value {
        [b'"', quoted @ .., b'"'] => Argument::Some(unquoted(quoted)),
        token if is_token(token) => Argument::Some(Cow::Borrowed(token)),
        _ => Argument::Wrong,
    }
}

fn unquoted(quoted: &[u8]) -> Cow<'_, [u8]> {
    if !quoted.contains(&b'\\') {
        return Cow::Borrowed(quoted);
    }
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'\\' {
            bytes.next()
        } else {
            Some(byte)
        };
        text.extend(byte);
    }
    Cow::Owned(text)
}

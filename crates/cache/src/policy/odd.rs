//! Requests that make an origin say something else than it says to others who ask for the same: by fields that no key has.
//!
//! What comes of them is for whoever sent them: stored, it would be shown to all (cache poisoning), and be it an error that denies a
//! page to all (CPDoS). Which fields an origin listens to nobody can know; these are those that frameworks are known to.

use seawall_model::{Fields, RequestHead};

use super::storing::Refused;

/// Fields by which a client can name another URL, host, scheme or method than the request has, in lower case.
const STEERING: [&[u8]; 26] = [
    b"base-url",
    b"front-end-https",
    b"x-forwarded-path",
    b"x-forwarded-prefix",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-forwarded-uri",
    b"x-host",
    b"x-http-destinationurl",
    b"x-http-host-override",
    b"x-http-method",
    b"x-http-method-override",
    b"x-invoke-path",
    b"x-invoke-query",
    b"x-invoke-status",
    b"x-method-override",
    b"x-middleware-prefetch",
    b"x-middleware-rewrite",
    b"x-middleware-subrequest",
    b"x-original-host",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-script-name",
    b"x-url-scheme",
];

/// Bytes of fields that any origin takes. One with less room than the edge answers more with an error.
const USUAL_BYTES: usize = 4 * 1024;

/// Whether a request has fields that steer its origin elsewhere. Those that `is_known` names do not count: they are in the key, or
/// come from somebody who is believed.
pub fn steers(fields: &Fields, is_known: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    fields.iter().any(|field| {
        let may_be = matches!(
            field.name.first(),
            Some(b'x' | b'X' | b'f' | b'F' | b'b' | b'B')
        );
        may_be && is_steering(field.name) && !is_known(field.name, field.value)
    })
}

/// Whether a field is one of those. Names are compared as an origin may: with `_` for `-`.
pub fn is_steering(name: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let is_it = |known: &&[u8]| {
        known.len() == name.len() && known.iter().copied().eq(name.iter().map(folded))
    };
    STEERING.iter().any(is_it)
}

/// Whether an error to this request says something of the URL. An origin may have refused it for what else it has: too many bytes, or
/// bytes that it does not take.
pub(super) fn check(status: u16, request: &RequestHead) -> Result<(), Refused> {
    match status {
        ..400 => Ok(()),
        // By their meaning these are about fields that are in no key, about how it was sent, or about when.
        406 | 408 | 411..=413 | 415..=417 | 421 | 425 | 426 | 428 | 429 | 431 => {
            Err(Refused::OddRequest)
        }
        _ if is_odd(&request.fields) => Err(Refused::OddRequest),
        _ => Ok(()),
    }
}

fn is_odd(fields: &Fields) -> bool {
    let mut bytes = 0;
    let is_usual = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    fields.iter().any(|field| {
        bytes += field.name.len() + field.value.len() + 4;
        bytes > USUAL_BYTES || !field.value.iter().all(is_usual)
    }) || steers(fields, |_, _| false)
}

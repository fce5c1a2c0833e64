//! Request targets and authorities (RFC 9112 §3.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;
use std::ops::Range;

use memchr::memchr;
use seawall_model::Method;

use super::Reject;
use super::block::{find, not_host};

/// The longest host, in bytes: DNS has none longer (RFC 3986 §3.2.2).
const HOST_BYTES: usize = 255;

/// The four forms of a request target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// `/path?query`
    Origin,
    /// `http://host:port/path?query`; `rest` is what follows the authority, and may lack the path.
    Absolute {
        scheme: &'a [u8],
        authority: &'a [u8],
        rest: &'a [u8],
    },
    /// `host:port`, of CONNECT alone.
    Authority,
    /// `*`, of OPTIONS alone.
    Asterisk,
}

/// Which form a target has, whose bytes were judged already.
pub(super) fn form(method: Method, target: &[u8]) -> Result<Form<'_>, Reject> {
    match (method, target) {
        (Method::Connect, _) if is_authority(target) && port(target).is_some() => {
            Ok(Form::Authority)
        }
        (Method::Connect, _) => Err(Reject::bad("bad_connect_target", "RFC 9112 §3.2.3")),
        (_, [b'/', ..]) => Ok(Form::Origin),
        (Method::Options, b"*") => Ok(Form::Asterisk),
        (_, b"*") => Err(Reject::bad("asterisk_without_options", "RFC 9112 §3.2.4")),
        _ => absolute(target).ok_or(Reject::bad("bad_target", "RFC 9112 §3.2")),
    }
}

fn absolute(target: &[u8]) -> Option<Form<'_>> {
    let colon = memchr(b':', target)?;
    let (scheme, after) = target.split_at_checked(colon)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let after = after.strip_prefix(b"://")?;
    let end = after
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end)?;
    is_authority(authority).then_some(Form::Absolute {
        scheme,
        authority,
        rest,
    })
}

/// Whether this is `uri-host [ ":" port ]` (RFC 9110 §7.2), and one that a name server, an address or a certificate can
/// carry. Stricter than the grammar: no percent-encoding and no `!$&'()*+,;=` in a name, since two spellings of one host
/// are two keys to one door; no `IPvFuture` and no zone; a colon is followed by a port of at most 65535.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    is_authority_until(authority, find(authority, 0, not_host))
}

/// As [`is_authority`], of a part of `bytes`: cheaper when others follow.
pub(super) fn is_authority_in(bytes: &[u8], part: Range<usize>) -> bool {
    let end = find(bytes, part.start, not_host).min(part.end);
    let host_bytes = end.saturating_sub(part.start);
    is_authority_until(bytes.get(part).unwrap_or_default(), host_bytes)
}

/// As [`is_authority`], where the first byte that can be in no name of a host is at `end`.
#[inline]
fn is_authority_until(authority: &[u8], end: usize) -> bool {
    let Some((host, rest)) = authority.split_at_checked(end) else {
        return false;
    };
    match rest {
        [] => !host.is_empty() && host.len() <= HOST_BYTES,
        [b':', port @ ..] => !host.is_empty() && host.len() <= HOST_BYTES && is_port(port),
        [b'[', rest @ ..] if host.is_empty() => is_literal(rest),
        _ => false,
    }
}

/// Whether two valid authorities mean the same: no regard to case or to the scheme's default port.
pub(super) fn agree(scheme: &[u8], one: &[u8], other: &[u8]) -> bool {
    without_default_port(scheme, one).eq_ignore_ascii_case(without_default_port(scheme, other))
}

fn without_default_port<'a>(scheme: &[u8], authority: &'a [u8]) -> &'a [u8] {
    let default: &[u8] = if scheme.len() == b"https".len() {
        b":443"
    } else {
        b":80"
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

/// What follows an IP literal's opening bracket.
#[cold]
#[inline(never)]
fn is_literal(rest: &[u8]) -> bool {
    let Some(end) = memchr(b']', rest) else {
        return false;
    };
    let (address, after) = rest.split_at_checked(end).unwrap_or_default();
    let is_address = str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    is_address
        && match after {
            [b']'] => true,
            [b']', b':', port @ ..] => is_port(port),
            _ => false,
        }
}

fn is_port(port: &[u8]) -> bool {
    if !(1..=5).contains(&port.len()) {
        return false;
    }
    if let Ok(four) = port.try_into() {
        // Each byte with 0x30 taken off is less than 10; then no sum carries into the next byte.
        let digits = u32::from_le_bytes(four) ^ 0x3030_3030;
        return (digits | digits.wrapping_add(0x7676_7676)) & 0x8080_8080 == 0;
    }
    let (value, digits) = port.iter().fold((0u32, true), |(value, digits), byte| {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        (value * 10 + digit, digits & (digit < 10))
    });
    digits && value <= 65535
}

/// The port of a valid authority.
fn port(authority: &[u8]) -> Option<&[u8]> {
    let after_host = authority
        .iter()
        .rposition(|byte| matches!(byte, b':' | b']'))?;
    authority.get(after_host..)?.strip_prefix(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_with_perhaps_a_port() {
        let good: &[&str] = &[
            "a",
            "a.test",
            "A.TEST",
            "a.test.",
            "a_b.test",
            "xn--nxasmq6b.test",
            "127.0.0.1",
            "a.test:80",
            "a.test:65535",
            "[::1]",
            "[::1]:443",
            "[2001:db8::1]:8080",
            "[::ffff:127.0.0.1]",
        ];
        for authority in good {
            assert!(is_authority(authority.as_bytes()), "{authority}");
        }
        let bad: &[&str] = &[
            "",
            ":",
            ":80",
            "a.test:",
            "a.test:65536",
            "a.test:99999",
            "a.test:000080",
            "a.test:8:80",
            "a.test:8/80",
            "a.test:80\u{80}",
            "a.test:pqrs",
            "a.test:-1",
            "a.test:+80",
            "a.test:80:80",
            "a.test:8o",
            "a b",
            "a@b",
            "user:pass@a.test",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a,b",
            "a;b",
            "%61.test",
            "a.test%00",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::1]:x",
            "a[::1]",
            "[::1%25eth0]",
            "[v1.a]",
            "[1.2.3.4]",
            "ä.test",
            "http://a.test",
            "a\ttest",
            "a\"b",
            "<a>",
        ];
        for authority in bad {
            assert!(!is_authority(authority.as_bytes()), "{authority}");
        }
        assert!(is_authority(&[b'a'; 255]));
        assert!(!is_authority(&[b'a'; 256]));
    }

    #[test]
    fn authorities_agree_without_case_and_default_port() {
        assert!(agree(b"http", b"a.test", b"A.test:80"));
        assert!(agree(b"HTTPS", b"a.test:443", b"a.test"));
        assert!(agree(b"http", b"[::1]:80", b"[::1]"));
        assert!(!agree(b"http", b"a.test", b"a.test:443"));
        assert!(!agree(b"https", b"a.test", b"a.test:80"));
        assert!(!agree(b"http", b"a.test", b"b.test"));
    }

    #[test]
    fn every_form_is_told() {
        assert_eq!(form(Method::Get, b"/"), Ok(Form::Origin));
        assert_eq!(form(Method::Get, b"//a.test/"), Ok(Form::Origin));
        assert_eq!(form(Method::Get, b"/a?b|\"{}^`[]\\<>"), Ok(Form::Origin));
        assert_eq!(form(Method::Options, b"*"), Ok(Form::Asterisk));
        assert_eq!(form(Method::Connect, b"a.test:443"), Ok(Form::Authority));
        assert_eq!(form(Method::Connect, b"[::1]:443"), Ok(Form::Authority));
        let whole = Form::Absolute {
            scheme: b"HTTP",
            authority: b"a.test:8080",
            rest: b"/x?y=http://b/",
        };
        assert_eq!(
            form(Method::Get, b"HTTP://a.test:8080/x?y=http://b/"),
            Ok(whole)
        );
        let bare = Form::Absolute {
            scheme: b"https",
            authority: b"a.test",
            rest: b"?q",
        };
        assert_eq!(form(Method::Get, b"https://a.test?q"), Ok(bare));
        let bad: &[(Method, &str)] = &[
            (Method::Get, "*"),
            (Method::Options, "**"),
            (Method::Get, "a.test:443"),
            (Method::Get, "index.html"),
            (Method::Get, "?a"),
            (Method::Get, "ftp://a.test/"),
            (Method::Get, "http:/a.test/"),
            (Method::Get, "http:///x"),
            (Method::Get, "http://"),
            (Method::Get, "http://u@a.test/"),
            (Method::Get, "http://a.test\\@b.test/"),
            (Method::Connect, "/"),
            (Method::Connect, "a.test"),
            (Method::Connect, "[::1]"),
            (Method::Connect, "http://a.test:443"),
            (Method::Connect, "*"),
        ];
        for (method, target) in bad {
            assert_eq!(
                form(*method, target.as_bytes()).map_err(|reject| reject.status),
                Err(400),
                "{target}"
            );
        }
    }
}

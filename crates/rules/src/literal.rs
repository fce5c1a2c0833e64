//! Values as they are written: texts, numbers, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_model::Network;
use seawall_model::problem::quote;

use crate::check::Span;
use crate::error::Error;
use crate::scan::Scanner;

/// A text, and where it stands.
#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) bytes: Vec<u8>,
    /// Where its first quote, or the `r` before it, stands.
    pub(crate) at: usize,
    /// With its quotes.
    pub(crate) len: usize,
    /// Where its content begins, if each of its bytes stands in the source as it is.
    pub(crate) plain_from: Option<usize>,
}

impl Literal {
    pub(crate) fn error(&self, what: impl Into<String>, help: impl Into<String>) -> Error {
        Error::new(self.at, self.len, what, help)
    }
}

/// `#` on either side of a raw text.
const MOST_HASHES: usize = 16;

/// Reads a text, `"…"`, `r"…"` or `r#"…"#`; none when no text stands here.
pub(crate) fn text(scan: &mut Scanner<'_>) -> Result<Option<Literal>, Error> {
    let at = scan.at();
    if scan.eat("\"") {
        return quoted(scan, at).map(Some);
    }
    let hashes = scan.rest().strip_prefix('r').map_or(0, |rest| {
        rest.bytes().take_while(|byte| *byte == b'#').count()
    });
    let quote = scan.rest().as_bytes().get(1 + hashes) == Some(&b'"');
    if !scan.rest().starts_with('r') || !quote {
        return Ok(None);
    }
    scan.advance(hashes + 2);
    if hashes > MOST_HASHES {
        return Err(scan.error_since(
            at,
            "this text begins with too many #",
            format!("at most {MOST_HASHES}: as many as its content makes necessary"),
        ));
    }
    raw(scan, at, hashes).map(Some)
}

fn raw(scan: &mut Scanner<'_>, at: usize, hashes: usize) -> Result<Literal, Error> {
    let begin = scan.at();
    let end = format!("\"{}", "#".repeat(hashes));
    let Some((content, _)) = scan.rest().split_once(&end) else {
        return Err(Error::new(
            at,
            begin - at,
            "this text is not closed",
            format!("end it with {end}"),
        ));
    };
    scan.advance(content.len() + end.len());
    Ok(Literal {
        bytes: content.into(),
        at,
        len: scan.at() - at,
        plain_from: Some(begin),
    })
}

fn quoted(scan: &mut Scanner<'_>, at: usize) -> Result<Literal, Error> {
    let begin = scan.at();
    let mut bytes = Vec::new();
    let mut plain = true;
    loop {
        let piece = scan.rest();
        let end = memchr::memchr2(b'"', b'\\', piece.as_bytes());
        let Some((piece, _)) = end.and_then(|end| piece.split_at_checked(end)) else {
            return Err(Error::new(
                at,
                1,
                "this text is not closed",
                "end it with \"",
            ));
        };
        bytes.extend_from_slice(piece.as_bytes());
        scan.advance(piece.len());
        if scan.eat("\"") {
            break;
        }
        plain = false;
        bytes.push(escape(scan)?);
    }
    Ok(Literal {
        bytes,
        at,
        len: scan.at() - at,
        plain_from: plain.then_some(begin),
    })
}

fn escape(scan: &mut Scanner<'_>) -> Result<u8, Error> {
    let at = scan.at();
    let rest = scan.rest().as_bytes();
    let digit = |nth: usize| {
        let digit = rest
            .get(nth)
            .and_then(|byte| char::from(*byte).to_digit(16));
        digit.map(|digit| digit as u8)
    };
    let (byte, len) = match rest.get(1) {
        Some(byte @ (b'"' | b'\\')) => (*byte, 2),
        Some(b'x') => match (digit(2), digit(3)) {
            (Some(high), Some(low)) => (high << 4 | low, 4),
            _ => {
                return Err(Error::new(
                    at,
                    2,
                    "\\x is without its two hex digits",
                    "write a byte as \\x00 to \\xff",
                ));
            }
        },
        _ => {
            let len = scan.rest().chars().take(2).map(char::len_utf8).sum();
            return Err(Error::new(
                at,
                len,
                "this is no escape",
                "known are \\\", \\\\ and \\xHH; a pattern is best written as r\"…\"",
            ));
        }
    };
    scan.advance(len);
    Ok(byte)
}

/// Reads a whole number; none when no number stands here.
pub(crate) fn number(scan: &mut Scanner<'_>) -> Result<Option<i64>, Error> {
    let at = scan.at();
    let minus = scan.eat("-");
    let digits = scan.run(|byte| byte.is_ascii_digit());
    if digits.is_empty() {
        return if minus {
            Err(scan.error_since(at, "there is no number behind this", ""))
        } else {
            Ok(None)
        };
    }
    let glued = scan.peek_run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !glued.is_empty() {
        scan.advance(glued.len());
        let text = quote(scan.since(at));
        return Err(scan.error_since(at, format!("{text} is no number"), "write digits alone"));
    }
    scan.since(at).parse().map(Some).map_err(|_| {
        scan.error_since(
            at,
            "this number is too large",
            format!("{} at most", i64::MAX),
        )
    })
}

/// Addresses as they stand in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    Network(Network),
    Range(IpAddr, IpAddr),
}

impl Addresses {
    /// The first one and the last one.
    pub(crate) fn span(self) -> Span {
        match self {
            Self::Range(first, last) => (first, last),
            Self::Network(network) => {
                let prefix = network.prefix().into();
                let last = match network.address() {
                    IpAddr::V4(first) => {
                        let free = u32::MAX.checked_shr(prefix).unwrap_or(0);
                        Ipv4Addr::from_bits(first.to_bits() | free).into()
                    }
                    IpAddr::V6(first) => {
                        let free = u128::MAX.checked_shr(prefix).unwrap_or(0);
                        Ipv6Addr::from_bits(first.to_bits() | free).into()
                    }
                };
                (network.address(), last)
            }
        }
    }
}

/// Reads one address; a network is refused.
pub(crate) fn address(scan: &mut Scanner<'_>) -> Result<IpAddr, Error> {
    let at = scan.at();
    let network = network(scan)?;
    if scan.since(at).contains('/') {
        return Err(scan.error_since(
            at,
            "this is a network, and one address is compared with one address",
            format!("write `in {{{network}}}`"),
        ));
    }
    Ok(network.address())
}

/// Reads an address, a network, or a range of addresses.
pub(crate) fn addresses(scan: &mut Scanner<'_>) -> Result<Addresses, Error> {
    let at = scan.at();
    let first = network(scan)?;
    if !scan.eat("..") {
        return Ok(Addresses::Network(first));
    }
    let last = network(scan)?;
    let text = scan.since(at);
    let wrong = if text.contains('/') {
        Some("a range goes from one address to another, without `/`")
    } else if first.address().is_ipv4() != last.address().is_ipv4() {
        Some("a range is of IPv4 or of IPv6, not of both")
    } else if first.address() > last.address() {
        Some("the first address of a range is not behind its last")
    } else {
        None
    };
    match wrong {
        Some(help) => Err(scan.error_since(at, format!("{} is no range", quote(text)), help)),
        None => Ok(Addresses::Range(first.address(), last.address())),
    }
}

fn network(scan: &mut Scanner<'_>) -> Result<Network, Error> {
    let at = scan.at();
    let run = scan.peek_run(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'/' | b'_' | b'-' | b'%')
    });
    let text = run.split_once("..").map_or(run, |(first, _)| first);
    if text.is_empty() {
        let help = match scan.next() {
            Some('"') => "write it without quotes: 192.0.2.1",
            _ => "write an address such as 192.0.2.1 or 2001:db8::1",
        };
        return Err(scan.error("an address is missing here", help));
    }
    scan.advance(text.len());
    Network::parse(text).map_err(|wrong| scan.error_since(at, wrong.what, wrong.help))
}

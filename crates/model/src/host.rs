//! Host names as documents write them, and the patterns by which a zone claims hosts.
//!
//! Names are compared in one spelling: lower case, no trailing dot, non-ASCII names as A-labels (`xn--…`, RFC 5890),
//! no port. Turning a `Host` field of a request into that spelling is not here: it belongs to who parses requests.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::problem::{Wrong, quote};

/// Which hosts a zone answers for. The most specific pattern wins: exact, then the longest wildcard, then `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host only. An IPv6 address stands in brackets, as in a `Host` field.
    Exact(String),
    /// `*.example.com`: every host below `example.com`, at any depth, not `example.com` itself. Holds `example.com`.
    Under(String),
    /// `*`: every host.
    Any,
}

impl HostPattern {
    /// From text, normalised.
    ///
    /// # Errors
    /// What is no host name, or has a port, a scheme, a path, or a `*` that is not the whole first label.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(below) = text.strip_prefix("*.") {
            return match Host::parse(below)? {
                Host::Name(name) => Ok(Self::Under(name)),
                Host::Ip(_) => Err(Wrong::new(
                    format!("{} has nothing below it", quote(below)),
                    "leave `*.` out",
                )),
            };
        }
        Host::parse(text).map(|host| Self::Exact(host.to_string()))
    }

    /// Whether it covers `host`, which is normalised already.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Under(name) => host
                .strip_suffix(name.as_str())
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|front| !front.is_empty()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Under(name) => write!(f, "*.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A host: a name or an address. Displays as in a URL: an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, normalised.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// From text without a port. IPv6 addresses stand in brackets.
    ///
    /// # Errors
    /// What is neither a name (RFC 1123 §2.1, `_` allowed as people use it) nor an address.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self::Ip(ip.into())),
                Err(_) => Err(Wrong::new(
                    format!("{} holds no IPv6 address", quote(text)),
                    "",
                )),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(Wrong::new(
                format!("{} is an IPv6 address without brackets", quote(text)),
                format!("write \"[{text}]\""),
            ));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        name(text).map(Self::Name)
    }

    /// From text with or without a port: `example.com:8080`, `[::1]:80`.
    ///
    /// # Errors
    /// As [`Host::parse`], and a port that is not 1 to 65535.
    pub fn parse_with_port(text: &str) -> Result<(Self, Option<u16>), Wrong> {
        let after_brackets = text.rfind(']').map_or(0, |at| at + 1);
        let colon = text.rfind(':').filter(|at| *at >= after_brackets);
        let split = colon.filter(|_| text.parse::<Ipv6Addr>().is_err());
        let Some((host, port)) = split.and_then(|at| text.split_at_checked(at)) else {
            return Ok((Self::parse(text)?, None));
        };
        let digits = port.strip_prefix(':').unwrap_or(port);
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse::<u16>() {
            Ok(port) if port > 0 && all_digits => Ok((Self::parse(host)?, Some(port))),
            _ => Err(Wrong::new(
                format!("{} has no port behind its `:`", quote(text)),
                "a port is 1 to 65535",
            )),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A DNS name in the one spelling in which names are compared.
///
/// # Errors
/// What is no DNS name; an address is none either.
pub fn name(text: &str) -> Result<String, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let wrong = |what: &str, help: &str| Err(Wrong::new(format!("{} {what}", quote(text)), help));
    if name.is_empty() {
        return wrong("is no host name", "such as \"example.com\"");
    }
    if name.contains("://") || name.contains('/') {
        return wrong(
            "is a URL",
            "a host is a name alone, such as \"example.com\"",
        );
    }
    if name.contains(':') {
        return wrong(
            "has a port",
            "a host has none: leave `:` and the number out",
        );
    }
    if name.contains('*') {
        return wrong(
            "has a `*` inside",
            "`*` stands alone, or in front as in \"*.example.com\"",
        );
    }
    if !name.is_ascii() {
        return wrong(
            "is not ASCII",
            "write the name as its A-label, which begins with `xn--`",
        );
    }
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return wrong(
            "is too long",
            "a name has at most 253 characters and 63 between two dots",
        );
    }
    if !name.split('.').all(is_label) {
        return wrong(
            "is no host name",
            "letters, digits and `-` between dots, `-` not at an end",
        );
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        // A name whose last label is a number is an address to some resolvers and a name to others.
        return wrong("is neither a name nor an IPv4 address", "");
    }
    Ok(name)
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    !label.is_empty()
        && label.bytes().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The host of `host[:port]`; an IPv6 address keeps its brackets.
pub fn without_port(authority: &[u8]) -> &[u8] {
    if authority.first() == Some(&b'[') {
        let end = authority
            .iter()
            .position(|byte| *byte == b']')
            .map_or(authority.len(), |at| at + 1);
        return authority.get(..end).unwrap_or_default();
    }
    let end = authority
        .iter()
        .position(|byte| *byte == b':')
        .unwrap_or(authority.len());
    authority.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_are_normalised() {
        assert_eq!(
            pattern("Example.COM."),
            HostPattern::Exact("example.com".into())
        );
        assert_eq!(
            pattern("*.Example.com"),
            HostPattern::Under("example.com".into())
        );
        assert_eq!(pattern("*"), HostPattern::Any);
        assert_eq!(
            pattern("xn--mnchen-3ya.test").to_string(),
            "xn--mnchen-3ya.test"
        );
        assert_eq!(pattern("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(pattern("[2001:DB8::0:1]").to_string(), "[2001:db8::1]");
        assert_eq!(pattern("*.example.com").to_string(), "*.example.com");
    }

    #[test]
    fn patterns_match_whole_labels() {
        assert!(pattern("example.com").matches("example.com"));
        assert!(!pattern("example.com").matches("www.example.com"));
        assert!(pattern("*.example.com").matches("a.b.example.com"));
        assert!(!pattern("*.example.com").matches("example.com"));
        assert!(!pattern("*.example.com").matches(".example.com"));
        assert!(!pattern("*.example.com").matches("badexample.com"));
        assert!(pattern("*").matches("anything"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_help() {
        for (text, what) in [
            ("", "is no host name"),
            (".", "is no host name"),
            ("*.", "is no host name"),
            ("a..test", "is no host name"),
            ("-a.test", "is no host name"),
            ("a b.test", "is no host name"),
            ("a.test:80", "has a port"),
            ("https://a.test", "is a URL"),
            ("a.test/x", "is a URL"),
            ("www.*.test", "has a `*` inside"),
            ("*a.test", "has a `*` inside"),
            ("*.*.test", "has a `*` inside"),
            ("münchen.test", "is not ASCII"),
            ("1.2.3", "is neither a name nor an IPv4 address"),
            ("1.2.3.256", "is neither a name nor an IPv4 address"),
            ("*.1.2.3.4", "has nothing below it"),
            ("::1", "is an IPv6 address without brackets"),
            ("[::g]", "holds no IPv6 address"),
        ] {
            let wrong = HostPattern::parse(text).unwrap_err();
            assert!(wrong.what.ends_with(what), "{text}: {wrong}");
        }
        assert!(name(&"a".repeat(64)).is_err());
        assert!(name(&"a.".repeat(127)).is_ok());
        assert!(name(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn ports_are_split_off() {
        let host = |text| Host::parse_with_port(text).map(|(host, port)| (host.to_string(), port));
        assert_eq!(host("A.test:8080"), Ok(("a.test".into(), Some(8080))));
        assert_eq!(host("a.test"), Ok(("a.test".into(), None)));
        assert_eq!(host("[::1]:80"), Ok(("[::1]".into(), Some(80))));
        assert_eq!(host("[::1]"), Ok(("[::1]".into(), None)));
        assert!(host("::1").unwrap_err().help.contains("[::1]"));
        for text in [
            "a.test:",
            "a.test:0",
            "a.test:65536",
            "a.test:+1",
            "[::1]:x",
            ":80",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn authorities_lose_their_port() {
        for (authority, host) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("a.test:", "a.test"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
    }
}

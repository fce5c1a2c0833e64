//! From decoded fields to a head: what RFC 9113 §8.1–8.5 demands of a message, checked field by field as they come.

use super::hpack::{Decoded, Sink};
use crate::h1::is_authority;
use seawall_model::head::Span;
use seawall_model::{FieldId, Fields, HttpVersion, Method, RequestHead};

/// What is wrong with a message (RFC 9113 §8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A name or value has a byte that it must not have.
    #[error("a field's name or value has a forbidden byte")]
    Field,
    /// A pseudo-field after an ordinary one, or in trailers.
    #[error("a pseudo-field in a wrong place")]
    PseudoPlace,
    /// A pseudo-field that is not defined for such a message.
    #[error("an undefined pseudo-field")]
    PseudoUnknown,
    /// A pseudo-field twice.
    #[error("a pseudo-field twice")]
    PseudoTwice,
    /// A pseudo-field is missing.
    #[error("a pseudo-field is missing")]
    PseudoMissing,
    /// A field that belongs to an HTTP/1.1 connection, or `te` with another value than `trailers`.
    #[error("a connection-specific field")]
    ConnectionField,
    /// `content-length` is no number, occurs twice, or does not fit the body.
    #[error("a content-length that is wrong")]
    ContentLength,
    /// `:method` is no token.
    #[error("a method that is no token")]
    Method,
    /// `:scheme` is no scheme.
    #[error("a scheme that is none")]
    Scheme,
    /// `:path` is empty, does not begin with `/`, or has a forbidden byte.
    #[error("a path that is none")]
    Path,
    /// `:authority` or `host` is missing, empty, has user information or a forbidden byte, or the two disagree.
    #[error("an authority that is missing, forbidden or contradicted")]
    Authority,
    /// CONNECT with pseudo-fields that it must not have, or extended CONNECT where it is not enabled.
    #[error("a CONNECT request of a wrong form")]
    Connect,
    /// `:status` is not three digits, or an informational response ends the stream.
    #[error("a status that is none")]
    Status,
}

/// Which section is being collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Request,
    Response,
    Trailers,
}

/// Places in [`Collector::pseudo`].
const METHOD: usize = 0;
const SCHEME: usize = 1;
const AUTHORITY: usize = 2;
const PATH: usize = 3;
const PROTOCOL: usize = 4;
const STATUS: usize = 5;

/// Collects one field section into [`Fields`].
pub(crate) struct Collector<'a> {
    section: Section,
    fields: &'a mut Fields,
    /// Crumbs of `cookie`, joined (RFC 9113 §8.2.3).
    cookie: &'a mut Vec<u8>,
    has_cookie: bool,
    /// Bytes that the list may still have (RFC 9113 §6.5.2).
    left: Option<usize>,
    malformed: Option<Malformed>,
    pseudo: [Option<Span>; 6],
    /// First letters of the pseudo-fields, in order.
    order: [u8; 4],
    ordinary: bool,
    host: Option<Span>,
    content_length: Option<u64>,
}

/// A section's collection has ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    pseudo: [Option<Span>; 6],
    host: Option<Span>,
    pub(super) order: [u8; 4],
    pub(crate) content_length: Option<u64>,
}

/// A section's collection has ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooLarge,
    Malformed(Malformed),
}

impl From<Malformed> for Unfit {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl Sink for Collector<'_> {
    fn field(&mut self, field: Decoded<'_>) {
        let Decoded { name, value, sound } = field;
        let Some(left) = self.left else {
            return;
        };
        self.left = left.checked_sub(name.len() + value.len() + 32);
        if self.left.is_none() || self.malformed.is_some() {
            return;
        }
        let outcome = if !sound {
            Err(Malformed::Field)
        } else if name.first() == Some(&b':') {
            self.pseudo(name, value)
        } else {
            self.ordinary = true;
            self.ordinary(name, value)
        };
        self.malformed = outcome.err();
    }
}

impl<'a> Collector<'a> {
    /// `fields` and `cookie` are cleared first. `limit` bounds the section as RFC 9113 §6.5.2 counts it.
    pub(crate) fn new(
        section: Section,
        fields: &'a mut Fields,
        cookie: &'a mut Vec<u8>,
        limit: usize,
    ) -> Self {
        fields.clear();
        cookie.clear();
        Self {
            section,
            fields,
            cookie,
            has_cookie: false,
            left: Some(limit),
            malformed: None,
            pseudo: [None; 6],
            order: [0; 4],
            ordinary: false,
            host: None,
            content_length: None,
        }
    }

    /// Ends the section.
    pub(crate) fn finish(self) -> Result<Collected, Unfit> {
        if self.left.is_none() {
            return Err(Unfit::TooLarge);
        }
        if let Some(why) = self.malformed {
            return Err(why.into());
        }
        if self.has_cookie {
            self.fields.push(b"cookie", self.cookie);
        }
        let Self {
            pseudo,
            host,
            order,
            content_length,
            ..
        } = self;
        Ok(Collected {
            pseudo,
            host,
            order,
            content_length,
        })
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if self.ordinary || self.section == Section::Trailers {
            return Err(Malformed::PseudoPlace);
        }
        let (at, letter) = match (self.section, name) {
            (Section::Request, b":method") => (METHOD, b'm'),
            (Section::Request, b":scheme") => (SCHEME, b's'),
            (Section::Request, b":authority") => (AUTHORITY, b'a'),
            (Section::Request, b":path") => (PATH, b'p'),
            (Section::Request, b":protocol") => (PROTOCOL, 0),
            (Section::Response, b":status") => (STATUS, 0),
            _ => return Err(Malformed::PseudoUnknown),
        };
        let place = self.pseudo.get_mut(at).ok_or(Malformed::PseudoUnknown)?;
        if place.is_some() {
            return Err(Malformed::PseudoTwice);
        }
        *place = Some(self.fields.store(value));
        if letter != 0
            && let Some(next) = self.order.iter_mut().find(|letter| **letter == 0)
        {
            *next = letter;
        }
        Ok(())
    }

    fn ordinary(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if name == b"cookie" {
            // An empty crumb would leave a space at an end, where no value may have one (§8.2.1).
            if !self.cookie.is_empty() && !value.is_empty() {
                self.cookie.extend_from_slice(b"; ");
            }
            self.has_cookie = true;
            self.cookie.extend_from_slice(value);
            return Ok(());
        }
        let name_span = self.fields.store(name);
        let value_span = self.fields.store(value);
        match self.fields.push_span(name_span, value_span) {
            FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::TransferEncoding
            | FieldId::Upgrade => Err(Malformed::ConnectionField),
            FieldId::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                Err(Malformed::ConnectionField)
            }
            FieldId::Host if self.section == Section::Request => {
                let first = self.host.replace(value_span).is_none();
                if first {
                    Ok(())
                } else {
                    Err(Malformed::Authority)
                }
            }
            FieldId::ContentLength => {
                let length = number(value).ok_or(Malformed::ContentLength)?;
                let first = self.content_length.replace(length).is_none();
                if first {
                    Ok(())
                } else {
                    Err(Malformed::ContentLength)
                }
            }
            _ => Ok(()),
        }
    }
}

impl Collected {
    /// Fills the rest of a request's head from its pseudo-fields (RFC 9113 §8.3.1, §8.5, RFC 8441 §4; RFC 9114 §4.3 says the
    /// same).
    pub(crate) fn complete(
        &self,
        head: &mut RequestHead,
        connect_protocol: bool,
    ) -> Result<(), Malformed> {
        let [method, scheme, authority, path, protocol, _] = self.pseudo;
        head.version = HttpVersion::Http2;
        head.method_span = method.ok_or(Malformed::PseudoMissing)?;
        let name = head.fields.bytes(head.method_span);
        head.method = Method::of(name);
        if head.method == Method::Other && !all_are(name, TOKEN) {
            return Err(Malformed::Method);
        }
        if head.method == Method::Connect && protocol.is_none() {
            if scheme.is_some() || path.is_some() || authority.is_none() {
                return Err(Malformed::Connect);
            }
        } else {
            if protocol.is_some() && (head.method != Method::Connect || !connect_protocol) {
                return Err(Malformed::Connect);
            }
            head.scheme_span = scheme.ok_or(Malformed::PseudoMissing)?;
            head.target_span = path.ok_or(Malformed::PseudoMissing)?;
            if !is_scheme(head.scheme()) {
                return Err(Malformed::Scheme);
            }
            if !is_path(head.target(), head.method) {
                return Err(Malformed::Path);
            }
        }
        head.protocol_span = protocol.unwrap_or_default();
        let fields = &head.fields;
        let [named, host] = [authority, self.host].map(|span| span.map(|span| fields.bytes(span)));
        // The same rule as in HTTP/1.1: what is no host there cannot be one here, for it travels on to such origins.
        let bad = |text: &[u8]| !is_authority(text);
        let both = named.zip(host);
        if named.is_some_and(bad)
            || host.is_some_and(bad)
            || both.is_some_and(|(named, host)| !named.eq_ignore_ascii_case(host))
        {
            return Err(Malformed::Authority);
        }
        head.authority_span = authority.or(self.host).ok_or(Malformed::Authority)?;
        Ok(())
    }

    /// A response's status (RFC 9113 §8.3.2). 101 does not exist here (§8.6).
    pub(super) fn status(&self, fields: &Fields) -> Result<u16, Malformed> {
        let [.., status] = self.pseudo;
        let span = status.ok_or(Malformed::PseudoMissing)?;
        let text = fields.bytes(span);
        let status = number(text).and_then(|status| u16::try_from(status).ok());
        match status {
            Some(status) if text.len() == 3 && status >= 100 && status != 101 => Ok(status),
            _ => Err(Malformed::Status),
        }
    }
}

/// At most 18 decimal digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u64::from(digit))
    })
}

/// Bits of [`CLASSES`]: a token's characters (RFC 9110 §5.6.2), a scheme's (RFC 3986 §3.1).
const TOKEN: u8 = 1;
const SCHEME_BYTE: u8 = 2;

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
static CLASSES: [u8; 256] = {
    const fn mark(mut table: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
        let mut at = 0;
        while at < bytes.len() {
            table[bytes[at] as usize] |= class;
            at += 1;
        }
        table
    }
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = TOKEN | SCHEME_BYTE;
        }
        byte += 1;
    }
    table = mark(table, b"!#$%&'*+-.^_`|~", TOKEN);
    mark(table, b"+-.", SCHEME_BYTE)
};

/// Whether there are bytes, and all are of the class.
fn all_are(text: &[u8], class: u8) -> bool {
    let of = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(0);
    !text.is_empty() && text.iter().fold(class, |all, byte| all & of(byte)) == class
}

fn is_scheme(text: &[u8]) -> bool {
    matches!(text, b"https" | b"http")
        || (all_are(text, SCHEME_BYTE) && text.first().is_some_and(u8::is_ascii_alphabetic))
}

fn is_path(text: &[u8], method: Method) -> bool {
    let begins = match text {
        [b'/', ..] => true,
        b"*" => method == Method::Options,
        _ => false,
    };
    let forbidden = |byte: &u8| (*byte <= b' ') | (*byte >= 0x7f) | (*byte == b'#');
    begins
        && !text
            .iter()
            .fold(false, |found, byte| found | forbidden(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Line<'a> = (&'a str, &'a str);

    fn collect(
        section: Section,
        lines: &[Line<'_>],
        limit: usize,
    ) -> (RequestHead, Result<Collected, Unfit>) {
        let mut head = RequestHead::default();
        let mut cookie = Vec::new();
        let mut collector = Collector::new(section, &mut head.fields, &mut cookie, limit);
        for (name, value) in lines {
            collector.field(Decoded {
                name: name.as_bytes(),
                value: value.as_bytes(),
                sound: true,
            });
        }
        let outcome = collector.finish();
        (head, outcome)
    }

    fn request(lines: &[Line<'_>]) -> Result<RequestHead, Unfit> {
        let (mut head, outcome) = collect(Section::Request, lines, 1000);
        outcome?.complete(&mut head, true)?;
        Ok(head)
    }

    const GET: [Line<'_>; 4] = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.test"),
        (":path", "/x?y"),
    ];

    fn with<'a>(more: &[Line<'a>]) -> Vec<Line<'a>> {
        GET.iter().chain(more).copied().collect()
    }

    fn without<'a>(name: &str, more: &[Line<'a>]) -> Vec<Line<'a>> {
        GET.iter()
            .filter(|line| line.0 != name)
            .chain(more)
            .copied()
            .collect()
    }

    #[test]
    fn a_request_is_filled_in_and_cookies_are_joined() {
        let lines = with(&[
            ("cookie", "a=1"),
            ("accept", "*/*"),
            ("cookie", "b=2"),
            ("te", "trailers"),
        ]);
        let head = request(&lines).unwrap();
        assert_eq!(
            (head.method, head.version),
            (Method::Get, HttpVersion::Http2)
        );
        assert_eq!(
            (head.scheme(), head.authority()),
            (&b"https"[..], &b"a.test"[..])
        );
        assert_eq!((head.target(), head.path()), (&b"/x?y"[..], &b"/x"[..]));
        assert_eq!(head.fields.only(FieldId::Cookie), Some(&b"a=1; b=2"[..]));
        let (_, outcome) = collect(Section::Request, &lines, 1000);
        assert_eq!(outcome.unwrap().order, *b"msap");
    }

    #[test]
    fn empty_crumbs_of_a_cookie_leave_no_space_at_an_end() {
        let crumbs = |of: [&'static str; 3]| with(&of.map(|crumb| ("cookie", crumb)));
        for (given, joined) in [
            (["", "a=1", ""], "a=1"),
            (["a=1", "", "b=2"], "a=1; b=2"),
            (["", "", ""], ""),
        ] {
            let head = request(&crumbs(given)).unwrap();
            let cookie = head.fields.only(FieldId::Cookie);
            assert_eq!(cookie, Some(joined.as_bytes()), "{given:?}");
        }
    }

    #[test]
    fn malformed_requests_are_told_apart() {
        use Malformed as M;
        let cases = [
            (with(&[("accept", "a"), (":path", "/")]), M::PseudoPlace),
            (with(&[(":path", "/")]), M::PseudoTwice),
            (with(&[(":method", "GET")]), M::PseudoTwice),
            (with(&[(":scheme", "http")]), M::PseudoTwice),
            (with(&[(":authority", "a.test")]), M::PseudoTwice),
            (with(&[(":test", "x")]), M::PseudoUnknown),
            (with(&[(":status", "200")]), M::PseudoUnknown),
            (without(":method", &[]), M::PseudoMissing),
            (without(":scheme", &[]), M::PseudoMissing),
            (without(":path", &[]), M::PseudoMissing),
            (without(":authority", &[]), M::Authority),
            (without(":path", &[(":path", "")]), M::Path),
            (without(":path", &[(":path", "x")]), M::Path),
            (without(":path", &[(":path", "*")]), M::Path),
            (without(":path", &[(":path", "/a b")]), M::Path),
            (without(":path", &[(":path", "/a#b")]), M::Path),
            (without(":method", &[(":method", "G T")]), M::Method),
            (without(":method", &[(":method", "")]), M::Method),
            (without(":scheme", &[(":scheme", "")]), M::Scheme),
            (without(":scheme", &[(":scheme", "http://")]), M::Scheme),
            (
                without(":authority", &[(":authority", "u@a.test")]),
                M::Authority,
            ),
            (without(":authority", &[(":authority", "")]), M::Authority),
            (
                without(":authority", &[(":authority", "a.test/b")]),
                M::Authority,
            ),
            (with(&[("host", "b.test")]), M::Authority),
            (
                with(&[("host", "a.test"), ("host", "a.test")]),
                M::Authority,
            ),
            (with(&[("connection", "close")]), M::ConnectionField),
            (with(&[("keep-alive", "1")]), M::ConnectionField),
            (with(&[("proxy-connection", "close")]), M::ConnectionField),
            (
                with(&[("transfer-encoding", "chunked")]),
                M::ConnectionField,
            ),
            (with(&[("upgrade", "h2c")]), M::ConnectionField),
            (with(&[("te", "gzip")]), M::ConnectionField),
            (with(&[("te", "trailers, deflate")]), M::ConnectionField),
            (
                with(&[("content-length", "1"), ("content-length", "1")]),
                M::ContentLength,
            ),
            (with(&[("content-length", "+1")]), M::ContentLength),
            (with(&[("content-length", "")]), M::ContentLength),
            (with(&[("content-length", "5, 5")]), M::ContentLength),
            (with(&[(":protocol", "websocket")]), M::Connect),
            (without(":method", &[(":method", "CONNECT")]), M::Connect),
        ];
        for (lines, why) in cases {
            assert_eq!(
                request(&lines).err(),
                Some(Unfit::Malformed(why)),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn host_options_and_connect_have_their_own_rules() {
        let head = request(&without(":authority", &[("host", "b.test")])).unwrap();
        assert_eq!(head.authority(), b"b.test");
        assert!(request(&with(&[("host", "A.test")])).is_ok());
        let options = [
            (":method", "OPTIONS"),
            (":scheme", "https"),
            (":authority", "a"),
            (":path", "*"),
        ];
        assert!(request(&options).is_ok());
        let connect = [(":method", "CONNECT"), (":authority", "a.test:443")];
        assert_eq!(request(&connect).unwrap().method, Method::Connect);
        let extended = without(
            ":method",
            &[(":method", "CONNECT"), (":protocol", "websocket")],
        );
        assert_eq!(request(&extended).unwrap().protocol(), b"websocket");
        let (mut head, outcome) = collect(Section::Request, &extended, 1000);
        assert_eq!(
            outcome.unwrap().complete(&mut head, false),
            Err(Malformed::Connect)
        );
    }

    #[test]
    fn the_list_is_counted_as_the_rfc_counts() {
        // 4 fields of 32 bytes more than their bytes: 42 + 44 + 48 + 41.
        assert!(collect(Section::Request, &GET, 175).1.is_ok());
        assert_eq!(collect(Section::Request, &GET, 174).1, Err(Unfit::TooLarge));
    }

    #[test]
    fn statuses() {
        let status = |text: &str| {
            let (head, outcome) = collect(Section::Response, &[(":status", text)], 1000);
            outcome.unwrap().status(&head.fields)
        };
        assert_eq!(status("200"), Ok(200));
        for text in ["", "20", "2000", "abc", "099", "101", "+20"] {
            assert_eq!(status(text), Err(Malformed::Status), "{text}");
        }
        let (head, outcome) = collect(Section::Response, &[], 1000);
        assert_eq!(
            outcome.unwrap().status(&head.fields),
            Err(Malformed::PseudoMissing)
        );
        let trailers = collect(Section::Trailers, &[(":status", "200")], 1000).1;
        assert_eq!(trailers, Err(Malformed::PseudoPlace.into()));
    }
}

//! A request's head (RFC 9112 §3): from its bytes to a [`RequestHead`], or a [`Reject`].

use seawall_model::head::Span;
use seawall_model::{FieldId, Fields, HttpVersion, Method, RequestHead};

use super::block::{find, not_target};
use super::framing::{ConnectionOptions, Declared, declared, elements};
use super::lines::{Refusal, begin_lines, diagnose, is_control, is_token, read_lines, token_end};
use super::scan::METHOD_BYTES;
use super::target::{Form, agree, form, is_authority_in};
use super::{Framing, HeadLimits, MAX_FIELDS, Reject, too_long};

/// What a request's head says about the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// How the body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// The client will send another request on this connection.
    pub persistent: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// The client asks for another protocol.
    pub upgrade: Upgrade,
    /// The client takes trailers (RFC 9110 §10.1.4).
    pub te_trailers: bool,
    /// [`super::connection_named`] has fields to take out.
    pub names_fields: bool,
}

/// A protocol that a client asks to change to (RFC 9110 §7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// None, or one that is not heeded: from HTTP/1.0, with a body, unnamed in `Connection`, `h2c` (RFC 9113 §3.1), or
    /// `websocket` without what RFC 6455 §4.1 demands.
    None,
    /// A complete opening handshake of a WebSocket (RFC 6455 §4.1).
    WebSocket,
    /// Anything else.
    Other,
}

/// Reads a head, exactly as long as [`super::HeadScanner`] said, into `head`, whose memory is used again.
///
/// One CRLF before the request line is accepted (RFC 9112 §2.2), more are not. The version is HTTP/1.1 or HTTP/1.0; an
/// HTTP/1.2 does not exist and gets 505, like any other major version. Of an absolute-form target the parts go to scheme,
/// authority and target; `Host` must agree with it. What is missing of its path is stored behind the head's own bytes.
/// CONNECT has an authority and an empty target. After a rejection `head` has what was read so far, for the record.
pub fn parse_request(
    head_bytes: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<RequestInfo, Reject> {
    head.clear();
    if head_bytes.len() > limits.head_bytes {
        return Err(too_long(head_bytes, limits));
    }
    head.fields.set_raw(head_bytes);
    let Some(line) = read_request_line(head_bytes, head) else {
        return Err(diagnose_request(head_bytes));
    };
    let most = limits.fields.min(MAX_FIELDS);
    match read_lines(head_bytes, line.end, most, &mut head.fields) {
        Ok(()) => {}
        Err(Refusal::TooMany) => return Err(Reject::new(431, "too_many_fields", "RFC 6585 §5")),
        Err(Refusal::Malformed) => return Err(diagnose_request(head_bytes)),
    }
    finish(head_bytes, &line, limits, head)
}

/// Reads a head at the beginning of `buffer` in one pass, without knowing where it ends, and tells how long it is. None when
/// it has not come whole, or when there is anything to refuse: what exactly, [`parse_request`] then says. A head that this
/// gives is the one that [`super::HeadScanner`] and [`parse_request`] would have given.
pub fn begin_request(
    buffer: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Option<(RequestInfo, usize)> {
    head.clear();
    let line = read_request_line(buffer, head)?;
    let most = limits.fields.min(MAX_FIELDS);
    let end = begin_lines(buffer, line.end, most, &mut head.fields).ok()?;
    let head_bytes = buffer.get(..end).filter(|_| end <= limits.head_bytes)?;
    head.fields.put_raw(head_bytes);
    let info = finish(head_bytes, &line, limits, head).ok()?;
    Some((info, end))
}

fn finish(
    head_bytes: &[u8],
    line: &RequestLine<'_>,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<RequestInfo, Reject> {
    if head.method == Method::Other && head.method_bytes().len() > METHOD_BYTES {
        return Err(Reject::new(501, "method_too_long", "RFC 9112 §3"));
    }
    if line.target.len() > limits.target_bytes {
        return Err(Reject::new(414, "target_too_long", "RFC 9112 §3"));
    }
    aim(head_bytes, line.target, head)?;
    judge(head)
}

struct RequestLine<'a> {
    target: &'a [u8],
    /// Where the field lines begin.
    end: usize,
}

/// `method SP request-target SP HTTP-version CRLF`, with at most one CRLF before it. None if it is anything else.
///
/// A target has no control byte, space, DEL or byte from 0x80 on, and no `#`: the fragment is never sent, and recipients
/// differ in what they make of it. Other bytes that RFC 3986 excludes (`"<>[\]^{|}` and the grave accent) pass, because
/// browsers send several of them in a query, and no two readers disagree about where such a target ends.
fn read_request_line<'a>(head_bytes: &'a [u8], head: &mut RequestHead) -> Option<RequestLine<'a>> {
    if let Some(start) = head_bytes.first_chunk()
        && *start == *b"GET "
    {
        // What most requests begin with, and one comparison tells.
        head.method = Method::Get;
        head.method_span = Span::new(0, 3);
        return read_target_and_version(head_bytes, 4, head);
    }
    let at = match head_bytes {
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let method_end = token_end(head_bytes, at);
    let method = head_bytes.get(at..method_end)?;
    if method.is_empty() || head_bytes.get(method_end) != Some(&b' ') {
        return None;
    }
    head.method = Method::of(method);
    head.method_span = Span::new(at, method.len());
    read_target_and_version(head_bytes, method_end + 1, head)
}

#[inline(always)]
fn read_target_and_version<'a>(
    head_bytes: &'a [u8],
    at: usize,
    head: &mut RequestHead,
) -> Option<RequestLine<'a>> {
    let target_end = find(head_bytes, at, not_target);
    let target = head_bytes.get(at..target_end)?;
    if target.is_empty() {
        return None;
    }
    head.target_span = Span::new(at, target.len());
    let version = head_bytes.get(target_end..)?.first_chunk::<11>()?;
    // Not by `match`, which would compare byte by byte.
    head.version = if *version == *b" HTTP/1.1\r\n" {
        HttpVersion::Http11
    } else if *version == *b" HTTP/1.0\r\n" {
        HttpVersion::Http10
    } else {
        return None;
    };
    Some(RequestLine {
        target,
        end: target_end + version.len(),
    })
}

/// Sets authority, scheme and target from the target's form and `Host` (RFC 9112 §3.2, §3.3).
fn aim(head_bytes: &[u8], target: &[u8], head: &mut RequestHead) -> Result<(), Reject> {
    let (hosts, last_host) = match head.fields.only_span(FieldId::Host) {
        Some(host) => (1, host),
        None if head.fields.has(FieldId::Host) => (2, Span::default()),
        None => (0, Span::default()),
    };
    let host = head.fields.bytes(last_host);
    match hosts {
        1 if is_authority_in(head_bytes, last_host.range()) => {}
        1 if host.is_empty() => return Err(Reject::bad("empty_host", "RFC 9112 §3.2")),
        1 => return Err(Reject::bad("bad_host", "RFC 9112 §3.2")),
        0 if head.version == HttpVersion::Http10 => {}
        0 => return Err(Reject::bad("missing_host", "RFC 9112 §3.2")),
        _ => return Err(Reject::bad("duplicate_host", "RFC 9112 §3.2")),
    }
    head.authority_span = last_host;
    match form(head.method, target)? {
        Form::Origin | Form::Asterisk => {}
        Form::Authority => {
            head.authority_span = head.target_span;
            head.target_span = Span::default();
        }
        Form::Absolute {
            scheme,
            authority,
            rest,
        } => {
            if hosts == 1 && !agree(scheme, host, authority) {
                return Err(Reject::bad("host_disagrees_with_target", "RFC 9112 §3.2.2"));
            }
            head.scheme_span = span(head_bytes, scheme);
            head.authority_span = span(head_bytes, authority);
            head.target_span = match rest {
                [b'/', ..] => span(head_bytes, rest),
                [] if head.method == Method::Options => head.fields.store(b"*"),
                [] => head.fields.store(b"/"),
                _ => head.fields.store(&[b"/", rest].concat()),
            };
        }
    }
    Ok(())
}

/// `part`, which lies in `whole`, as a span of it.
fn span(whole: &[u8], part: &[u8]) -> Span {
    Span::new(
        (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize),
        part.len(),
    )
}

/// The fields that decide about framing, persistence and upgrades; most requests have none of them.
const DECIDING: u64 = FieldId::ContentLength.bit()
    | FieldId::TransferEncoding.bit()
    | FieldId::Connection.bit()
    | FieldId::Expect.bit()
    | FieldId::Upgrade.bit()
    | FieldId::Te.bit();

fn judge(head: &RequestHead) -> Result<RequestInfo, Reject> {
    let is_http10 = head.version == HttpVersion::Http10;
    let mut info = RequestInfo {
        framing: Framing::None,
        persistent: !is_http10,
        expect_continue: false,
        upgrade: Upgrade::None,
        te_trailers: false,
        names_fields: false,
    };
    let fields = &head.fields;
    if !fields.has_any(DECIDING) {
        return Ok(info);
    }
    info.framing = match declared(fields, head.version)? {
        Declared::Nothing => Framing::None,
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked,
    };
    let has_body = !matches!(info.framing, Framing::None | Framing::Length(0));
    if has_body && head.method == Method::Trace {
        return Err(Reject::bad("trace_with_body", "RFC 9110 §9.3.8"));
    }
    let options = ConnectionOptions::of(fields);
    if options.is_malformed {
        return Err(Reject::bad("bad_connection_option", "RFC 9110 §7.6.1"));
    }
    info.persistent = options.persistent(head.version);
    info.names_fields = options.names_fields;
    if !is_http10 {
        info.expect_continue = expects_continue(fields)? && has_body;
        info.te_trailers = fields
            .all(FieldId::Te)
            .flat_map(elements)
            .any(|te| te.eq_ignore_ascii_case(b"trailers"));
        if options.upgrade && !has_body {
            info.upgrade = upgrade(head.method, fields);
        }
    }
    Ok(info)
}

/// The only expectation that exists is `100-continue` (RFC 9110 §10.1.1).
fn expects_continue(fields: &Fields) -> Result<bool, Reject> {
    let mut all = fields.all(FieldId::Expect);
    match all.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(fields.has(FieldId::Expect)),
        false => Err(Reject::new(417, "unknown_expectation", "RFC 9110 §10.1.1")),
    }
}

fn upgrade(method: Method, fields: &Fields) -> Upgrade {
    let Some(first) = fields.first(FieldId::Upgrade) else {
        return Upgrade::None;
    };
    match fields.only(FieldId::Upgrade) {
        Some(one) if one.eq_ignore_ascii_case(b"h2c") => Upgrade::None,
        Some(one) if one.eq_ignore_ascii_case(b"websocket") => {
            let has_key = fields
                .only(FieldId::SecWebSocketKey)
                .is_some_and(|key| !key.is_empty());
            let has_version = fields
                .only(FieldId::SecWebSocketVersion)
                .is_some_and(|version| !version.is_empty());
            if method == Method::Get && has_key && has_version {
                Upgrade::WebSocket
            } else {
                Upgrade::None
            }
        }
        _ if first.is_empty() => Upgrade::None,
        _ => Upgrade::Other,
    }
}

#[cold]
fn diagnose_request(head_bytes: &[u8]) -> Reject {
    diagnose(
        head_bytes.strip_prefix(b"\r\n").unwrap_or(head_bytes),
        diagnose_request_line,
    )
}

fn diagnose_request_line(line: &[u8]) -> Option<Reject> {
    let mut parts = line.split(|byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if line.is_empty() {
        return Some(Reject::bad("empty_request_line", "RFC 9112 §2.2"));
    }
    if line.iter().any(|byte| is_control(*byte)) {
        return Some(Reject::bad("control_byte_in_request_line", "RFC 9112 §3"));
    }
    if !is_token(method) {
        return Some(Reject::bad("bad_method", "RFC 9112 §3.1"));
    }
    let (Some(target), Some(version)) = (parts.next(), parts.next()) else {
        return Some(Reject::bad("missing_version", "RFC 9112 §3"));
    };
    if target.is_empty() || version.is_empty() || parts.next().is_some() {
        return Some(Reject::bad("extra_space_in_request_line", "RFC 9112 §3"));
    }
    if !target.is_ascii() {
        return Some(Reject::bad("target_not_ascii", "RFC 9112 §3.2"));
    }
    if target.contains(&b'#') {
        return Some(Reject::bad("fragment_in_target", "RFC 9112 §3.2"));
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => None,
        [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9'] => {
            Some(Reject::new(505, "unsupported_version", "RFC 9110 §15.6.6"))
        }
        _ => Some(Reject::bad("bad_version", "RFC 9112 §2.3")),
    }
}

#[cfg(test)]
mod tests;

//! A response's head (RFC 9112 §4): from an origin's bytes to a [`ResponseHead`], or a [`BadResponse`].

use seawall_model::{FieldId, HttpVersion, Method, ResponseHead};

use super::framing::{ConnectionOptions, Declared, declared};
use super::lines::{Refusal, begin_lines, diagnose, is_control, read_lines, text_end};
use super::{BadResponse, Framing, HeadLimits, MAX_FIELDS, Reject};

/// What a response's head says about the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseInfo {
    /// How the body ends. An interim response (1xx) has none, and another head follows.
    pub framing: Framing,
    /// The connection can carry another exchange once the body has ended.
    pub persistent: bool,
    /// 101: the connection speaks another protocol from the next byte on. Whether anybody asked for it, the caller knows.
    pub upgrade: bool,
    /// [`super::connection_named`] has fields to take out.
    pub names_fields: bool,
}

/// Reads the head of a response to a request with `request_method`, exactly as long as [`super::HeadScanner`] said, into
/// `head`, whose memory is used again.
///
/// A 1xx or 204 must not declare a length (RFC 9110 §8.6, RFC 9112 §6.1): a harmless one is taken out of `head`; a 1xx that
/// declares a body is refused, since nobody knows where the next head begins; after a 204 that does, the connection ends.
/// To HEAD and of a 304 the length is metadata and stays.
pub fn parse_response(
    head_bytes: &[u8],
    limits: &HeadLimits,
    request_method: Method,
    head: &mut ResponseHead,
) -> Result<ResponseInfo, BadResponse> {
    head.clear();
    if head_bytes.len() > limits.head_bytes {
        return Err(BadResponse {
            reason: "head_too_long",
        });
    }
    head.fields.set_raw(head_bytes);
    let Some(end) = read_status_line(head_bytes, head) else {
        return Err(diagnose_response(head_bytes));
    };
    match read_lines(
        head_bytes,
        end,
        limits.fields.min(MAX_FIELDS),
        &mut head.fields,
    ) {
        Ok(()) => {}
        Err(Refusal::TooMany) => {
            return Err(BadResponse {
                reason: "too_many_fields",
            });
        }
        Err(Refusal::Malformed) => return Err(diagnose_response(head_bytes)),
    }
    finish(request_method, head)
}

/// Reads a head at the beginning of `buffer` in one pass, without knowing where it ends, and tells how long it is. None when
/// it has not come whole, or when there is anything to refuse: what exactly, [`parse_response`] then says. A head that this
/// gives is the one that [`super::HeadScanner`] and [`parse_response`] would have given.
pub fn begin_response(
    buffer: &[u8],
    limits: &HeadLimits,
    request_method: Method,
    head: &mut ResponseHead,
) -> Option<(ResponseInfo, usize)> {
    head.clear();
    let start = read_status_line(buffer, head)?;
    let most = limits.fields.min(MAX_FIELDS);
    let end = begin_lines(buffer, start, most, &mut head.fields).ok()?;
    let head_bytes = buffer.get(..end).filter(|_| end <= limits.head_bytes)?;
    head.fields.put_raw(head_bytes);
    let info = finish(request_method, head).ok()?;
    Some((info, end))
}

fn finish(request_method: Method, head: &mut ResponseHead) -> Result<ResponseInfo, BadResponse> {
    if head.status < 100 {
        return Err(BadResponse {
            reason: "bad_status",
        });
    }
    judge(request_method, head)
}

/// `HTTP-version SP status-code [ SP reason-phrase ] CRLF`: gives where the field lines begin. The RFC wants the second SP
/// even if there is no phrase; origins leave it out, and nothing is ambiguous about that.
fn read_status_line(head_bytes: &[u8], head: &mut ResponseHead) -> Option<usize> {
    const OK: &[u8; 17] = b"HTTP/1.1 200 OK\r\n";
    if let Some(line) = head_bytes.first_chunk()
        && *line == *OK
    {
        // What most responses begin with, and one comparison tells.
        head.version = HttpVersion::Http11;
        head.status = 200;
        return Some(OK.len());
    }
    let (start, rest) = head_bytes.split_first_chunk::<13>()?;
    let [
        version @ ..,
        hundreds @ b'0'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        after,
    ] = start
    else {
        return None;
    };
    head.version = match version {
        b"HTTP/1.1 " => HttpVersion::Http11,
        b"HTTP/1.0 " => HttpVersion::Http10,
        _ => return None,
    };
    head.status = [hundreds, tens, ones]
        .iter()
        .fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'));
    match (after, rest) {
        (b'\r', [b'\n', ..]) => Some(start.len() + 1),
        (b' ', _) => {
            let end = text_end(head_bytes, start.len());
            head_bytes
                .get(end..)?
                .starts_with(b"\r\n")
                .then_some(end + 2)
        }
        _ => None,
    }
}

fn judge(request_method: Method, head: &mut ResponseHead) -> Result<ResponseInfo, BadResponse> {
    let declared = declared(&head.fields, head.version)?;
    let options = match head.fields.has(FieldId::Connection) {
        true => ConnectionOptions::of(&head.fields),
        false => ConnectionOptions::default(),
    };
    let mut info = ResponseInfo {
        framing: Framing::None,
        // An origin that writes nonsense into `Connection` gets its response through, but no second request.
        persistent: options.persistent(head.version) && !options.is_malformed,
        upgrade: false,
        names_fields: options.names_fields,
    };
    let declares_body = !matches!(declared, Declared::Nothing | Declared::Length(0));
    match head.status {
        100..=199 if declares_body => {
            return Err(BadResponse {
                reason: "interim_with_body",
            });
        }
        101 if !options.upgrade || !head.fields.has(FieldId::Upgrade) => {
            return Err(BadResponse {
                reason: "switching_without_upgrade",
            });
        }
        100..=199 | 204 => {
            info.upgrade = head.status == 101;
            info.persistent &= !info.upgrade && !declares_body;
            head.fields.remove(FieldId::ContentLength);
            head.fields.remove(FieldId::TransferEncoding);
        }
        304 => {}
        _ if request_method == Method::Head => {}
        _ => {
            info.framing = match declared {
                Declared::Length(length) => Framing::Length(length),
                Declared::Chunked => Framing::Chunked,
                Declared::Nothing => Framing::UntilClose,
            };
            info.persistent &= info.framing != Framing::UntilClose;
        }
    }
    Ok(info)
}

#[cold]
fn diagnose_response(head_bytes: &[u8]) -> BadResponse {
    diagnose(head_bytes, diagnose_status_line).into()
}

fn diagnose_status_line(line: &[u8]) -> Option<Reject> {
    let (version, rest) = line.split_at_checked(8).unwrap_or((line, &[]));
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Some(Reject::bad("bad_version", "RFC 9112 §4"));
    }
    let (status, reason) = rest.split_at_checked(4).unwrap_or((rest, &[]));
    if !matches!(status, [b' ', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'])
        || !matches!(reason, [] | [b' ', ..])
    {
        return Some(Reject::bad("bad_status", "RFC 9112 §4"));
    }
    let is_bad = reason
        .iter()
        .any(|byte| is_control(*byte) && *byte != b'\t');
    is_bad.then_some(Reject::bad("control_byte_in_reason", "RFC 9112 §4"))
}

#[cfg(test)]
mod tests;

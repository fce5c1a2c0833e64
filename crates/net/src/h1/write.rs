//! Heads, chunks and trailers as bytes, appended to a buffer that the caller reuses. Nothing here formats or allocates
//! beyond that buffer's growth.
//!
//! Names and values come from heads that were parsed, or from us: neither can hold a CR or LF, which debug builds assert.

use seawall_model::{FieldId, Fields};

/// What follows a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body that has no trailers. With trailers it is [`write_trailers`].
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// `GET /path HTTP/1.1` and CRLF.
pub fn write_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    debug_assert!(
        !method.is_empty() && !target.is_empty() && !has_line_end(method) && !has_line_end(target)
    );
    out.reserve(method.len() + target.len() + 12);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 200 OK` and CRLF. A status of fewer or more than three digits cannot be written and becomes 500.
pub fn write_status_line(out: &mut Vec<u8>, status: u16) {
    if let Some(line) = known_status_line(status) {
        out.extend_from_slice(line);
    } else if (100..=999).contains(&status) {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(out, u64::from(status));
        out.extend_from_slice(b" \r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 500 Internal Server Error\r\n");
    }
}

/// `name: value` and CRLF.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(!name.is_empty() && !has_line_end(name) && !has_line_end(value));
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut left = number;
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// The line before a chunk's data: `1f4` and CRLF. A chunk of no bytes would end the body, so nothing is written for it.
pub fn write_chunk_size(out: &mut Vec<u8>, len: usize) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut line = *b"0000000000000000\r\n";
    let mut length = 2;
    let mut left = len;
    for place in line.iter_mut().rev().skip(2) {
        if left == 0 {
            break;
        }
        *place = DIGITS.get(left % 16).copied().unwrap_or(b'0');
        left /= 16;
        length += 1;
    }
    if len > 0 {
        out.extend_from_slice(line.get(line.len() - length..).unwrap_or_default());
    }
}

/// The last chunk, the trailers, and the empty line that ends a chunked body. Fields that the edge acts upon mean nothing
/// in a trailer (RFC 9110 §6.5.1) and are left out.
pub fn write_trailers(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.iter().filter(|field| field.id == FieldId::Other) {
        write_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}

fn has_line_end(bytes: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, bytes).is_some()
}

macro_rules! statuses {
    ($($status:literal $reason:literal),+ $(,)?) => {
        /// The reason phrase of a status code (RFC 9110 §15 and the registry), empty if it has none.
        pub fn reason_phrase(status: u16) -> &'static str {
            match status {
                $($status => $reason,)+
                _ => "",
            }
        }

        fn known_status_line(status: u16) -> Option<&'static [u8]> {
            match status {
                $($status => Some(concat!("HTTP/1.1 ", $status, " ", $reason, "\r\n").as_bytes()),)+
                _ => None,
            }
        }
    };
}

statuses! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    510 "Not Extended",
    511 "Network Authentication Required",
}

#[cfg(test)]
mod tests {
    use seawall_model::{Method, RequestHead, ResponseHead};

    use super::*;
    use crate::h1::{Framing, HeadLimits, parse_request, parse_response};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_no_leading_zeros() {
        for number in [
            0,
            1,
            9,
            10,
            99,
            100,
            65535,
            1_000_000,
            u64::MAX - 1,
            u64::MAX,
        ] {
            assert_eq!(
                written(|out| write_decimal(out, number)),
                number.to_string()
            );
        }
        for len in [
            1,
            9,
            10,
            15,
            16,
            255,
            256,
            500,
            65536,
            usize::MAX - 1,
            usize::MAX,
        ] {
            assert_eq!(
                written(|out| write_chunk_size(out, len)),
                format!("{len:x}\r\n")
            );
        }
        assert_eq!(written(|out| write_chunk_size(out, 0)), "");
    }

    #[test]
    fn status_lines_always_parse() {
        for status in 100..=999 {
            let line = written(|out| write_status_line(out, status));
            assert_eq!(
                line,
                format!("HTTP/1.1 {status} {}\r\n", reason_phrase(status))
            );
            let mut head = ResponseHead::default();
            let bytes = format!("{line}\r\n");
            match parse_response(
                bytes.as_bytes(),
                &HeadLimits::default(),
                Method::Get,
                &mut head,
            ) {
                Ok(_) => assert_eq!(head.status, status),
                Err(bad) => assert_eq!((status, bad.reason), (101, "switching_without_upgrade")),
            }
        }
        for status in [0, 99, 1000, u16::MAX] {
            assert!(written(|out| write_status_line(out, status)).starts_with("HTTP/1.1 500 "));
        }
    }

    #[test]
    fn a_written_request_reads_as_it_was_meant() {
        let bytes = written(|out| {
            write_request_line(out, b"PUT", b"/a?b=c");
            write_field(out, b"host", b"a.test");
            write_field(out, b"x-empty", b"");
            write_field(out, b"content-length", b"12");
            out.extend_from_slice(b"\r\n");
        });
        let mut head = RequestHead::default();
        let info = parse_request(bytes.as_bytes(), &HeadLimits::default(), &mut head).unwrap();
        assert_eq!(info.framing, Framing::Length(12));
        assert_eq!(
            (head.method_bytes(), head.target(), head.authority()),
            (&b"PUT"[..], &b"/a?b=c"[..], &b"a.test"[..])
        );
        assert_eq!(head.fields.named(b"x-empty"), Some(&b""[..]));
        let again = written(|out| {
            write_request_line(out, head.method_bytes(), head.target());
            head.fields
                .iter()
                .for_each(|field| write_field(out, field.name, field.value));
            out.extend_from_slice(b"\r\n");
        });
        assert_eq!(again, bytes);
    }

    #[test]
    fn trailers_that_we_act_upon_are_not_written() {
        let mut trailers = Fields::default();
        trailers.push(b"grpc-status", b"0");
        trailers.push(b"Content-Length", b"5");
        trailers.push(b"Transfer_Encoding", b"chunked");
        assert_eq!(
            written(|out| write_trailers(out, &trailers)),
            "0\r\ngrpc-status: 0\r\n\r\n"
        );
        assert_eq!(
            written(|out| write_trailers(out, &Fields::default())).as_bytes(),
            LAST_CHUNK
        );
    }
}

//! What is asked of every response head, row by row.

use super::*;
use crate::h1::HeadScanner;

fn read(method: Method, bytes: &[u8]) -> Result<(ResponseHead, ResponseInfo), &'static str> {
    let mut head = ResponseHead::default();
    let length = HeadScanner::new().find(bytes).unwrap_or(bytes.len());
    let info = parse_response(&bytes[..length], &HeadLimits::default(), method, &mut head);
    info.map(|info| (head, info)).map_err(|bad| bad.reason)
}

#[test]
fn heads_that_are_refused() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&[u8], &str, &str)] = &[
        (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "bare_lf", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200\nA: b\r\n\r\n", "bare_lf", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", "bare_lf", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\n", "bare_lf", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 OK\n\n", "bare_lf", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", "bare_cr", "RFC 9112 §2.2"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_version", "RFC 9112 §2.2"),
        (b" HTTP/1.1 200 OK\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"HTTP/2 200\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"http/1.1 200 OK\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"ICY 200 OK\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"<html>\r\n\r\n", "bad_version", "RFC 9112 §4"),
        (b"HTTP/1.1\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1\t200 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "bad_status", "RFC 9110 §15"),
        (b"HTTP/1.1 000 OK\r\n\r\n", "bad_status", "RFC 9110 §15"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "bad_status", "RFC 9112 §4"),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", "control_byte_in_reason", "RFC 9112 §4"),
        (b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "space_before_first_field", "RFC 9112 §2.2"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "space_before_colon", "RFC 9112 §5.1"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded_field", "RFC 9112 §5.2"),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", "field_without_colon", "RFC 9112 §5"),
        (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "empty_field_name", "RFC 9110 §5.1"),
        (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "control_byte_in_field", "RFC 9110 §5.5"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "duplicate_content_length", "RFC 9112 §6.3"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "duplicate_content_length", "RFC 9112 §6.3"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "bad_content_length", "RFC 9110 §8.6"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_content_length", "RFC 9110 §8.6"),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "bad_content_length", "RFC 9110 §8.6"),
        (b"HTTP/1.1 304 OK\r\nContent-Length: x\r\n\r\n", "bad_content_length", "RFC 9110 §8.6"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", "content_length_overflow", "RFC 9110 §8.6"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both_length_and_encoding", "RFC 9112 §6.3"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "bad_transfer_encoding", "RFC 9112 §6.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "bad_transfer_encoding", "RFC 9112 §6.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unknown_transfer_coding", "RFC 9112 §6.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "duplicate_transfer_encoding", "RFC 9112 §6.1"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "encoding_in_http10", "RFC 9112 §6.1"),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", "interim_with_body", "RFC 9110 §8.6"),
        (b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n", "interim_with_body", "RFC 9112 §6.1"),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n", "switching_without_upgrade", "RFC 9110 §15.2.2"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "switching_without_upgrade", "RFC 9110 §7.8"),
    ];
    for (bytes, reason, section) in table {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            read(Method::Get, bytes).map(|_| ()),
            Err(*reason),
            "{shown:?} ({section})"
        );
    }
}

#[test]
fn framing_and_persistence() {
    use Framing::{Chunked, Length, None, UntilClose};
    #[rustfmt::skip] // One row a line.
    let table: &[(Method, &str, Framing, bool, &str)] = &[
        (Method::Get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Length(5), true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Length(0), true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n", Chunked, true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 200 OK\r\n", UntilClose, false, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", UntilClose, false, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n", Length(5), false, "RFC 9112 §9.6"),
        (Method::Get, "HTTP/1.1 200 OK\r\nConnection: a b\r\nContent-Length: 5\r\n", Length(5), false, "RFC 9110 §7.6.1"),
        (Method::Get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", Length(5), false, "RFC 9112 §9.3"),
        (Method::Get, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n", Length(5), true, "RFC 9112 §9.3"),
        (Method::Get, "HTTP/1.0 200 OK\r\n", UntilClose, false, "RFC 9112 §6.3"),
        (Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Head, "HTTP/1.1 200 OK\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 304 Not Modified\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 204 No Content\r\n", None, true, "RFC 9112 §6.3"),
        (Method::Get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", None, true, "RFC 9110 §8.6"),
        (Method::Get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", None, false, "RFC 9110 §8.6"),
        (Method::Get, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", None, false, "RFC 9112 §6.1"),
        (Method::Get, "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n", Length(0), true, "RFC 9110 §15.3.6"),
        (Method::Get, "HTTP/1.1 100 Continue\r\n", None, true, "RFC 9110 §15.2"),
        (Method::Get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n", None, true, "RFC 8297"),
        (Method::Get, "HTTP/1.1 200\r\nContent-Length: 5\r\n", Length(5), true, "RFC 9112 §4"),
        (Method::Get, "HTTP/1.1 200 \r\nContent-Length: 5\r\n", Length(5), true, "RFC 9112 §4"),
        (Method::Get, "HTTP/1.1 404 Pas trouv\u{e9}\r\nContent-Length: 5\r\n", Length(5), true, "RFC 9112 §4"),
        (Method::Get, "HTTP/1.1 999 A\tb\r\nContent-Length: 5\r\n", Length(5), true, "RFC 9110 §15"),
    ];
    for (method, bytes, framing, persistent, section) in table {
        let (_, info) = read(*method, format!("{bytes}\r\n").as_bytes()).unwrap();
        assert_eq!(
            (info.framing, info.persistent),
            (*framing, *persistent),
            "{bytes:?} ({section})"
        );
        assert!(!info.upgrade);
    }
}

#[test]
fn lengths_stay_where_they_are_metadata_and_go_where_they_must_not_be() {
    let length = |method, status: &str, line: &str| {
        let (head, _) = read(
            method,
            format!("HTTP/1.1 {status}\r\n{line}\r\nA: b\r\n\r\n").as_bytes(),
        )
        .unwrap();
        assert_eq!(head.fields.named(b"a"), Some(&b"b"[..]));
        head.fields.has(FieldId::ContentLength) || head.fields.has(FieldId::TransferEncoding)
    };
    assert!(length(Method::Head, "200 OK", "Content-Length: 5"));
    assert!(length(Method::Get, "304 Not Modified", "Content-Length: 5"));
    assert!(!length(Method::Get, "204 No Content", "Content-Length: 5"));
    assert!(!length(
        Method::Get,
        "204 No Content",
        "Transfer-Encoding: chunked"
    ));
    assert!(!length(Method::Get, "100 Continue", "Content-Length: 0"));
}

#[test]
fn switching_protocols() {
    let (head, info) =
        read(Method::Get, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81").unwrap();
    assert_eq!(head.status, 101);
    assert!(info.upgrade && !info.persistent);
    assert_eq!(info.framing, Framing::None);
}

#[test]
fn only_the_whole_head_is_a_head() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\n\r\n";
    let mut head = ResponseHead::default();
    for end in 0..bytes.len() {
        assert!(
            parse_response(
                &bytes[..end],
                &HeadLimits::default(),
                Method::Get,
                &mut head
            )
            .is_err(),
            "{end}"
        );
    }
    assert!(parse_response(bytes, &HeadLimits::default(), Method::Get, &mut head).is_ok());
    let small = HeadLimits {
        fields: 1,
        ..HeadLimits::default()
    };
    let bad = parse_response(bytes, &small, Method::Get, &mut head).unwrap_err();
    assert_eq!(bad.reason, "too_many_fields");
    let small = HeadLimits {
        head_bytes: 20,
        ..HeadLimits::default()
    };
    let bad = parse_response(bytes, &small, Method::Get, &mut head).unwrap_err();
    assert_eq!(bad.reason, "head_too_long");
}

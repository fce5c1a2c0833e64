//! What is asked of every request head, row by row: the bytes, the verdict, the section.

use super::*;
use crate::h1::{HeadScanner, connection_named};

fn read(bytes: &[u8]) -> Result<(RequestHead, RequestInfo), Reject> {
    let mut head = RequestHead::default();
    let length = HeadScanner::new().find(bytes).unwrap_or(bytes.len());
    let info = parse_request(&bytes[..length], &HeadLimits::default(), &mut head)?;
    Ok((head, info))
}

/// Field lines after a good request line and `Host`.
fn with_fields(method: &str, lines: &str) -> Result<(RequestHead, RequestInfo), Reject> {
    read(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n").as_bytes())
}

#[test]
fn whole_heads_that_are_refused() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&[u8], u16, &str, &str)] = &[
        // Line ends.
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nB: c\nD: e\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nB:\nD: e\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nB: \nD: e\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 5\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        // Empty lines before the first: one, with CRLF.
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "empty_request_line", "RFC 9112 §2.2"),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_cr", "RFC 9112 §2.2"),
        // The request line.
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method", "RFC 9112 §3.1"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "extra_space_in_request_line", "RFC 9112 §3"),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "extra_space_in_request_line", "RFC 9112 §3"),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "extra_space_in_request_line", "RFC 9112 §3"),
        (b"GET / a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "extra_space_in_request_line", "RFC 9112 §3"),
        (b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "extra_space_in_request_line", "RFC 9112 §3"),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte_in_request_line", "RFC 9112 §3"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method", "RFC 9112 §3.1"),
        (b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method", "RFC 9112 §3.1"),
        (b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method", "RFC 9112 §3.1"),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_not_ascii", "RFC 9112 §3.2"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_not_ascii", "RFC 9112 §3.2"),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "fragment_in_target", "RFC 9112 §3.2"),
        (b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target", "RFC 9112 §3.2"),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target", "RFC 9112 §3.2"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "asterisk_without_options", "RFC 9112 §3.2.4"),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_connect_target", "RFC 9112 §3.2.3"),
        // Versions.
        (b"GET /\r\nHost: a\r\n\r\n", 400, "missing_version", "RFC 9112 §3"),
        (b"GET /\r\n\r\n", 400, "missing_version", "RFC 9112 §3"),
        (b"GET\r\n\r\n", 400, "missing_version", "RFC 9112 §3"),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/1.\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / ICY/1.1\r\nHost: a\r\n\r\n", 400, "bad_version", "RFC 9112 §2.3"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version", "RFC 9110 §15.6.6"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version", "RFC 9110 §15.6.6"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version", "RFC 9110 §15.6.6"),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, "unsupported_version", "RFC 9110 §15.6.6"),
        // Host.
        (b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nH: a\r\n\r\n", 400, "missing_host", "RFC 9112 §3.2"),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "missing_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "duplicate_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n", 400, "duplicate_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "duplicate_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "empty_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", 400, "empty_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET / HTTP/1.0\r\nHost: a@b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET http://a/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad_host", "RFC 9112 §3.2"),
        (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "host_disagrees_with_target", "RFC 9112 §3.2.2"),
        (b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host_disagrees_with_target", "RFC 9112 §3.2.2"),
        (b"GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, "host_disagrees_with_target", "RFC 9112 §3.2.2"),
        (b"GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n", 400, "host_disagrees_with_target", "RFC 9112 §3.2.2"),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target", "RFC 9112 §3.2"),
        (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target", "RFC 9112 §3.2"),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target", "RFC 9112 §3.2"),
        // HTTP/1.0 knows no transfer codings.
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "encoding_in_http10", "RFC 9112 §6.1"),
        // Not HTTP at all.
        (b"\x16\x03\x01\x02\0\x01\0\n\n", 400, "bare_lf", "RFC 9112 §2.2"),
        (b"\xff\xfe\r\n\r\n", 400, "bad_method", "RFC 9112 §3.1"),
    ];
    for (bytes, status, reason, section) in table {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            read(bytes).map(|_| ()),
            Err(Reject::new(*status, reason, section)),
            "{shown:?}"
        );
    }
}

#[test]
fn fields_that_are_refused() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&str, &str, u16, &str, &str)] = &[
        // The shape of a line.
        ("GET", "A : b\r\n", 400, "space_before_colon", "RFC 9112 §5.1"),
        ("POST", "Content-Length : 5\r\n", 400, "space_before_colon", "RFC 9112 §5.1"),
        ("POST", "Transfer-Encoding\t: chunked\r\n", 400, "space_before_colon", "RFC 9112 §5.1"),
        ("GET", "A\r\n", 400, "field_without_colon", "RFC 9112 §5"),
        ("GET", ": b\r\n", 400, "empty_field_name", "RFC 9110 §5.1"),
        ("GET", "A b: c\r\n", 400, "bad_field_name", "RFC 9110 §5.1"),
        ("GET", "A\0: c\r\n", 400, "bad_field_name", "RFC 9110 §5.1"),
        ("GET", "A(: c\r\n", 400, "bad_field_name", "RFC 9110 §5.1"),
        ("GET", "Ä: c\r\n", 400, "bad_field_name", "RFC 9110 §5.1"),
        ("POST", "\x0bContent-Length: 5\r\n", 400, "bad_field_name", "RFC 9110 §5.1"),
        ("GET", "A: b\r\n c\r\n", 400, "folded_field", "RFC 9112 §5.2"),
        ("GET", "A: b\r\n\tc: d\r\n", 400, "folded_field", "RFC 9112 §5.2"),
        ("GET", "A: b\r\n \r\n", 400, "folded_field", "RFC 9112 §5.2"),
        ("POST", "Transfer-Encoding:\r\n chunked\r\n", 400, "folded_field", "RFC 9112 §5.2"),
        ("GET", "A: b\0c\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        ("GET", "A: \x01\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        ("GET", "A: b\x7f\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        ("GET", "A:\x0cb\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        ("POST", "Transfer-Encoding: \x0bchunked\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        ("POST", "Transfer-Encoding: chunked\x00\r\n", 400, "control_byte_in_field", "RFC 9110 §5.5"),
        // Content-Length.
        ("POST", "Content-Length: 5\r\nContent-Length: 5\r\n", 400, "duplicate_content_length", "RFC 9112 §6.3"),
        ("POST", "Content-Length: 5\r\nA: b\r\ncontent-length: 6\r\n", 400, "duplicate_content_length", "RFC 9112 §6.3"),
        ("POST", "Content-Length: 5, 5\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 5,6\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: +5\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: -5\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 0x5\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 5 5\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 1e1\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 5.0\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: \"5\"\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length:\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 18446744073709551616\r\n", 400, "content_length_overflow", "RFC 9110 §8.6"),
        ("POST", "Content-Length: 99999999999999999999999\r\n", 400, "content_length_overflow", "RFC 9110 §8.6"),
        ("GET", "Content-Length: nope\r\n", 400, "bad_content_length", "RFC 9110 §8.6"),
        // Both (CL.TE, TE.CL).
        ("POST", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "both_length_and_encoding", "RFC 9112 §6.3"),
        ("POST", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400, "both_length_and_encoding", "RFC 9112 §6.3"),
        ("POST", "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", 400, "both_length_and_encoding", "RFC 9112 §6.3"),
        ("POST", "Transfer-Encoding:\r\nContent-Length: 5\r\n", 400, "both_length_and_encoding", "RFC 9112 §6.3"),
        // Transfer-Encoding (TE.TE).
        ("POST", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "duplicate_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n", 400, "duplicate_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400, "duplicate_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: gzip\r\n", 501, "unknown_transfer_coding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: xchunked\r\n", 501, "unknown_transfer_coding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked1\r\n", 501, "unknown_transfer_coding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: identity\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding:\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked,\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: ,chunked\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked, chunked\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: gzip, chunked\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked, gzip\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked, identity\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunked;q=1\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: \"chunked\"\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chun ked\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: chunKed\u{2028}\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        ("POST", "Transfer-Encoding: c\u{212a}unked\r\n", 400, "bad_transfer_encoding", "RFC 9112 §6.1"),
        // The rest.
        ("TRACE", "Content-Length: 1\r\n", 400, "trace_with_body", "RFC 9110 §9.3.8"),
        ("TRACE", "Transfer-Encoding: chunked\r\n", 400, "trace_with_body", "RFC 9110 §9.3.8"),
        ("POST", "Expect: 200-ok\r\n", 417, "unknown_expectation", "RFC 9110 §10.1.1"),
        ("POST", "Expect:\r\n", 417, "unknown_expectation", "RFC 9110 §10.1.1"),
        ("POST", "Expect: 100-continue\r\nExpect: x\r\n", 417, "unknown_expectation", "RFC 9110 §10.1.1"),
        ("GET", "Connection: close, Host\r\n", 400, "bad_connection_option", "RFC 9110 §7.6.1"),
        ("POST", "Connection: content-length\r\nContent-Length: 3\r\n", 400, "bad_connection_option", "RFC 9110 §7.6.1"),
        ("POST", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", 400, "bad_connection_option", "RFC 9110 §7.6.1"),
        ("GET", "Connection: keep alive\r\n", 400, "bad_connection_option", "RFC 9110 §7.6.1"),
    ];
    for (method, lines, status, reason, section) in table {
        let expected = Err(Reject::new(*status, reason, section));
        assert_eq!(
            with_fields(method, lines).map(|_| ()),
            expected,
            "{method} {lines:?}"
        );
    }
    let first = read(b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n").map(|_| ());
    assert_eq!(
        first,
        Err(Reject::bad("space_before_first_field", "RFC 9112 §2.2"))
    );
}

#[test]
fn targets_authorities_and_schemes_are_told_apart() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&str, &str, &str, &str)] = &[
        // (head without its end, scheme, authority, target)
        ("GET / HTTP/1.1\r\nHost: a.test", "", "a.test", "/"),
        ("\r\nGET /x?y HTTP/1.1\r\nHost: a.test", "", "a.test", "/x?y"),
        ("GET //b/ HTTP/1.1\r\nHost:\t A.test:8080 \t", "", "A.test:8080", "//b/"),
        ("GET /?a=|\"{}^`[]\\<> HTTP/1.1\r\nHost: [::1]:80", "", "[::1]:80", "/?a=|\"{}^`[]\\<>"),
        ("GET / HTTP/1.0", "", "", "/"),
        ("GET / HTTP/1.0\r\nHost: a.test", "", "a.test", "/"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test", "", "a.test", "*"),
        ("GET http://a.test/x HTTP/1.1\r\nHost: a.test", "http", "a.test", "/x"),
        ("GET HTTPS://a.test/x HTTP/1.1\r\nHost: A.TEST:443", "HTTPS", "a.test", "/x"),
        ("GET http://a.test:80 HTTP/1.1\r\nHost: a.test", "http", "a.test:80", "/"),
        ("GET http://a.test?q=/ HTTP/1.1\r\nHost: a.test", "http", "a.test", "/?q=/"),
        ("OPTIONS http://a.test HTTP/1.1\r\nHost: a.test", "http", "a.test", "*"),
        ("OPTIONS http://a.test/ HTTP/1.1\r\nHost: a.test", "http", "a.test", "/"),
        ("GET http://a.test/ HTTP/1.0", "http", "a.test", "/"),
        ("CONNECT b.test:443 HTTP/1.1\r\nHost: a.test", "", "b.test:443", ""),
    ];
    for (bytes, scheme, authority, target) in table {
        let (head, info) = read(format!("{bytes}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(String::from_utf8_lossy(head.scheme()), *scheme, "{bytes:?}");
        assert_eq!(
            String::from_utf8_lossy(head.authority()),
            *authority,
            "{bytes:?}"
        );
        assert_eq!(String::from_utf8_lossy(head.target()), *target, "{bytes:?}");
        assert!(
            head.fields
                .raw()
                .starts_with(format!("{bytes}\r\n\r\n").as_bytes()),
            "{bytes:?}"
        );
        assert_eq!(info.framing, Framing::None);
    }
}

#[test]
fn methods_and_versions_are_known() {
    for (method, expected) in [
        ("GET", Method::Get),
        ("get", Method::Other),
        ("M-SEARCH", Method::Other),
        ("POST", Method::Post),
    ] {
        let (head, _) = with_fields(method, "").unwrap();
        assert_eq!(
            (head.method, head.method_bytes()),
            (expected, method.as_bytes())
        );
        assert_eq!(head.version, HttpVersion::Http11);
    }
    assert_eq!(with_fields(&"M".repeat(33), "").unwrap_err().status, 501);
    assert_eq!(
        read(b"GET / HTTP/1.0\r\n\r\n").unwrap().0.version,
        HttpVersion::Http10
    );
}

#[test]
fn framing_is_what_the_fields_declare() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&str, &str, Framing)] = &[
        ("GET", "", Framing::None),
        ("POST", "", Framing::None),
        ("POST", "Content-Length: 0\r\n", Framing::Length(0)),
        ("POST", "content-LENGTH:12\r\n", Framing::Length(12)),
        ("POST", "Content-Length: \t 0012 \t\r\n", Framing::Length(12)),
        ("POST", "Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        ("GET", "Content-Length: 3\r\n", Framing::Length(3)),
        ("DELETE", "Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("HEAD", "Content-Length: 1\r\n", Framing::Length(1)),
        ("TRACE", "Content-Length: 0\r\n", Framing::Length(0)),
        ("POST", "Transfer-Encoding:CHUNKED\r\n", Framing::Chunked),
        ("POST", "transfer-encoding: \tChunked \r\n", Framing::Chunked),
        // These only look like the real ones, and never travel on.
        ("POST", "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", Framing::Length(3)),
        ("POST", "Content_Length: 5\r\n", Framing::None),
        ("POST", "X-Transfer-Encoding: chunked\r\n", Framing::None),
    ];
    for (method, lines, framing) in table {
        let (_, info) = with_fields(method, lines).unwrap();
        assert_eq!(info.framing, *framing, "{method} {lines:?}");
    }
}

#[test]
fn connections_persist_as_they_ask() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&str, &str, bool)] = &[
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: TE,close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ];
    for (version, lines, persistent) in table {
        let (_, info) =
            read(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n").as_bytes()).unwrap();
        assert_eq!(info.persistent, *persistent, "{version} {lines:?}");
    }
    let (head, info) = with_fields(
        "GET",
        "Connection: X-One, cookie\r\nX-One: 1\r\nCookie: a=b\r\n",
    )
    .unwrap();
    assert!(info.names_fields);
    assert_eq!(
        connection_named(&head.fields).collect::<Vec<_>>(),
        [b"X-One"]
    );
    assert!(
        !with_fields("GET", "Connection: keep-alive\r\n")
            .unwrap()
            .1
            .names_fields
    );
}

#[test]
fn expectations_and_trailers() {
    let continues = |lines| with_fields("POST", lines).unwrap().1.expect_continue;
    assert!(continues("Expect: 100-Continue\r\nContent-Length: 3\r\n"));
    assert!(continues(
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
    ));
    assert!(!continues("Expect: 100-continue\r\n"));
    assert!(!continues("Content-Length: 3\r\n"));
    let old = read(b"POST / HTTP/1.0\r\nExpect: anything\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert!(!old.1.expect_continue);
    assert!(
        with_fields("GET", "TE: gzip, Trailers\r\nConnection: TE\r\n")
            .unwrap()
            .1
            .te_trailers
    );
    assert!(!with_fields("GET", "TE: gzip\r\n").unwrap().1.te_trailers);
}

#[test]
fn upgrades_need_all_their_fields() {
    const KEYS: &str =
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let upgrade = |method, lines: &str| with_fields(method, lines).unwrap().1.upgrade;
    let socket = format!("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{KEYS}");
    assert_eq!(upgrade("GET", &socket), Upgrade::WebSocket);
    assert_eq!(upgrade("POST", &socket), Upgrade::None);
    assert_eq!(
        upgrade("GET", &format!("{socket}Content-Length: 3\r\n")),
        Upgrade::None
    );
    assert_eq!(
        upgrade("GET", &format!("Upgrade: websocket\r\n{KEYS}")),
        Upgrade::None
    );
    assert_eq!(
        upgrade("GET", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        Upgrade::None
    );
    assert_eq!(
        upgrade(
            "GET",
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n"
        ),
        Upgrade::None
    );
    assert_eq!(upgrade("GET", "Connection: upgrade\r\n"), Upgrade::None);
    assert_eq!(
        upgrade(
            "GET",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
        ),
        Upgrade::None
    );
    assert_eq!(
        upgrade("GET", "Connection: upgrade\r\nUpgrade: TLS/1.3\r\n"),
        Upgrade::Other
    );
    assert_eq!(
        upgrade(
            "GET",
            &format!("Connection: upgrade\r\nUpgrade: websocket, x\r\n{KEYS}")
        ),
        Upgrade::Other
    );
    let old = format!("GET / HTTP/1.0\r\nHost: a\r\n{socket}\r\n");
    assert_eq!(read(old.as_bytes()).unwrap().1.upgrade, Upgrade::None);
}

#[test]
fn limits_hold() {
    let mut head = RequestHead::default();
    let limits = HeadLimits {
        head_bytes: 1000,
        target_bytes: 100,
        fields: 4,
    };
    let mut judge = |target: usize, lines: usize, value: usize| {
        let path = "a".repeat(target - 1);
        let lines = format!("A: {}\r\n", "v".repeat(value)).repeat(lines);
        let bytes = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        parse_request(bytes.as_bytes(), &limits, &mut head)
            .map(|_| ())
            .map_err(|reject| (reject.status, reject.reason))
    };
    assert_eq!(judge(100, 3, 10), Ok(()));
    assert_eq!(judge(101, 3, 10), Err((414, "target_too_long")));
    assert_eq!(judge(100, 4, 10), Err((431, "too_many_fields")));
    assert_eq!(judge(100, 3, 1000), Err((431, "head_too_long")));
    assert_eq!(judge(1000, 3, 10), Err((414, "target_too_long")));
    let greedy = HeadLimits {
        fields: usize::MAX,
        ..HeadLimits::default()
    };
    let many = |count| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(parse_request(many(MAX_FIELDS).as_bytes(), &greedy, &mut head).is_ok());
    assert_eq!(
        parse_request(many(MAX_FIELDS + 1).as_bytes(), &greedy, &mut head)
            .unwrap_err()
            .status,
        431
    );
}

#[test]
fn only_the_whole_head_is_a_head() {
    let bytes = b"GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n";
    let mut head = RequestHead::default();
    for end in 0..bytes.len() {
        let verdict = parse_request(&bytes[..end], &HeadLimits::default(), &mut head);
        assert_eq!(verdict.map_err(|reject| reject.status), Err(400), "{end}");
    }
    assert!(parse_request(bytes, &HeadLimits::default(), &mut head).is_ok());
    let more = [bytes, &b"abc"[..]].concat();
    let reject = parse_request(&more, &HeadLimits::default(), &mut head).unwrap_err();
    assert_eq!(reject.reason, "bytes_after_head");
}

#[test]
fn a_refused_head_still_says_what_was_asked() {
    let mut head = RequestHead::default();
    let bytes = b"POST /login HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    assert!(parse_request(bytes, &HeadLimits::default(), &mut head).is_err());
    assert_eq!((head.method, head.target()), (Method::Post, &b"/login"[..]));
    assert!(parse_request(b"\0\r\n\r\n", &HeadLimits::default(), &mut head).is_err());
    assert_eq!(
        (head.method_bytes(), head.target(), head.authority()),
        (&b""[..], &b""[..], &b""[..])
    );
}

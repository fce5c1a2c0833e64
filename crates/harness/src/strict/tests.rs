use super::*;

fn refused(bytes: &[u8]) -> String {
    let found = split(bytes);
    assert!(found.requests.is_empty(), "found {:?}", found.requests);
    found.violation.expect("refused").reason
}

#[test]
fn whole_requests_are_split_and_counted() {
    let bytes = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n\
        POST /b HTTP/1.1\r\nhost: a.test:80\r\ncontent-length: 3\r\n\r\nabc\
        POST /c HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nA\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n";
    let found = split(bytes);
    assert_eq!(found.violation, None);
    assert_eq!(found.consumed, bytes.len());
    let targets: Vec<&str> = found.requests.iter().map(|r| r.target.as_str()).collect();
    assert_eq!(targets, ["/a", "/b", "/c"]);
    assert_eq!(found.requests[1].body, b"abc");
    assert_eq!(found.requests[2].body, b"hi0123456789");
    assert_eq!(
        found.requests[2].trailers,
        [("x-t".to_string(), b"1".to_vec())]
    );
}

#[test]
fn every_prefix_is_incomplete_and_never_a_violation() {
    let bytes = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n";
    for end in 0..bytes.len() {
        let found = split(&bytes[..end]);
        assert_eq!(
            (found.requests.len(), found.violation),
            (0, None),
            "prefix of {end}"
        );
    }
    assert_eq!(split(bytes).requests.len(), 1);
}

#[test]
fn what_is_dirty_is_refused() {
    for (line, reason) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "together",
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1",
            "more than one Content-Length",
        ),
        ("Content-Length: +1", "Content-Length is"),
        ("Content-Length: 1, 1", "Content-Length is"),
        ("Content-Length:", "Content-Length is"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "more than one Transfer-Encoding",
        ),
        ("Transfer-Encoding: gzip, chunked", "Transfer-Encoding is"),
        ("Host: b.test", "2 Host"),
        ("X : 1", "token"),
        (" X: 1", "folded"),
        ("X: a\u{b}b", "control byte"),
        ("X: a\0b", "control byte"),
        ("X", "colon"),
        ("X: 1\nY: 2", "LF without CR"),
        ("X: 1\rY: 2", "CR without LF"),
        ("Keep-Alive: 5", "hop-by-hop"),
        ("Connection: x-secret", "option"),
        ("TE: gzip", "TE is"),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n");
        let found = refused(bytes.as_bytes());
        assert!(found.contains(reason), "{line:?} gave {found:?}");
    }
}

#[test]
fn request_lines_are_strict() {
    for (line, reason) in [
        ("GET  / HTTP/1.1", "three parts"),
        ("GET / HTTP/1.0", "version"),
        ("GET http://a.test/ HTTP/1.1", "origin-form"),
        ("GET /a#b HTTP/1.1", "no URI"),
        ("GET /\u{e9} HTTP/1.1", "no URI"),
        ("G@T / HTTP/1.1", "token"),
        ("CONNECT a.test:1 HTTP/1.1", "origin-form"),
        ("GET /", "three parts"),
    ] {
        let found = refused(format!("{line}\r\nHost: a.test\r\n\r\n").as_bytes());
        assert!(found.contains(reason), "{line:?} gave {found:?}");
    }
    assert_eq!(
        split(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
            .requests
            .len(),
        1
    );
}

#[test]
fn chunks_are_strict() {
    for (body, reason) in [
        ("0x1\r\na\r\n0\r\n\r\n", "chunk size"),
        ("1;ext=1\r\na\r\n0\r\n\r\n", "chunk size"),
        ("1 \r\na\r\n0\r\n\r\n", "chunk size"),
        ("\r\n", "chunk size"),
        ("1\na\r\n0\r\n\r\n", "LF without CR"),
        ("1\r\nab\r\n0\r\n\r\n", "does not end"),
        ("0\r\nContent-Length: 1\r\n\r\n", "trailer"),
        ("ffffffffffffffff\r\na", "chunk size"),
    ] {
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let found = refused(bytes.as_bytes());
        assert!(found.contains(reason), "{body:?} gave {found:?}");
    }
}

#[test]
fn hosts() {
    for good in [
        "a.test",
        "a.test:80",
        "[::1]",
        "[::1]:8080",
        "127.0.0.1:1",
        "a_b",
    ] {
        assert!(is_host(good.as_bytes()), "{good}");
    }
    for bad in [
        "", "a b", "u@a.test", "a/b", "a:b", "[::1", "[]", ":80", "a\tb", "a?b", "a:80:90", "a#b",
        "a\\b",
    ] {
        assert!(!is_host(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn no_bytes_panic_it() {
    let mut state = 7_u64;
    for _ in 0..3_000 {
        let alphabet = b"GET / HTP1.\r\n:;0aF\0Host";
        let bytes: Vec<u8> = (0..60)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        let _judged = split(&bytes);
        let _judged = split(
            &[
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                &bytes[..],
            ]
            .concat(),
        );
    }
}

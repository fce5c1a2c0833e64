//! Chunked bodies: whole, byte by byte, and wrong in every way that some reader has been known to accept.

use super::*;

/// Reads a body in pieces of `piece` bytes. Gives the body and how many bytes the coding took, or none if it has not ended.
fn read(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>, Fields), Reject> {
    let mut decoder = ChunkedDecoder::new();
    let mut body = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let end = input.len().min(at + piece);
        let window = &input[at..end];
        match decoder.step(window)? {
            ChunkStep::Data { skip, len } => {
                assert!(len > 0 && skip + len <= window.len());
                body.extend_from_slice(&window[skip..skip + len]);
                at += skip + len;
            }
            ChunkStep::NeedMore { consumed } => {
                assert_eq!(consumed, window.len());
                at += consumed;
            }
            ChunkStep::End { consumed } => {
                assert!(decoder.is_ended());
                assert_eq!(decoder.step(b"GET /"), Ok(ChunkStep::End { consumed: 0 }));
                return Ok((body, Some(at + consumed), decoder.trailers().clone()));
            }
        }
    }
    assert!(!decoder.is_ended());
    Ok((body, None, decoder.trailers().clone()))
}

#[test]
fn bodies_come_out_whole_in_pieces_of_every_size() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b"5;a=b;c=\"d; \\\" \xff\t\";e\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"1\r\n\n\r\n0\r\nA: b\r\n\r\n", b"\n"),
    ];
    for (input, expected) in table {
        let with_more = [input, &b"0\r\n\r\nGET / HTTP/1.1\r\n"[..]].concat();
        for piece in 1..=with_more.len() {
            let (body, end, _) = read(&with_more, piece).unwrap();
            assert_eq!(
                (body.as_slice(), end),
                (*expected, Some(input.len())),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
        for end in 0..input.len() {
            for piece in [1, input.len()] {
                let (body, ended, _) = read(&input[..end], piece).unwrap();
                assert_eq!(ended, None);
                assert!(expected.starts_with(&body));
            }
        }
    }
}

#[test]
fn framing_that_is_refused_however_it_is_cut() {
    #[rustfmt::skip] // One row a line.
    let table: &[(&[u8], &str, &str)] = &[
        (b"\r\n", "empty_chunk_size", "RFC 9112 §7.1"),
        (b"\r\n0\r\n\r\n", "empty_chunk_size", "RFC 9112 §7.1"),
        (b";a\r\n", "empty_chunk_size", "RFC 9112 §7.1"),
        (b"5\nhello\r\n", "bare_lf", "RFC 9112 §7.1"),
        (b"\n", "bare_lf", "RFC 9112 §7.1"),
        (b"5\rhello\r\n", "bare_cr", "RFC 9112 §7.1"),
        (b"5\r\r\nhello", "bare_cr", "RFC 9112 §7.1"),
        (b"5\r\nhello\n0\r\n\r\n", "chunk_longer_than_its_size", "RFC 9112 §7.1"),
        (b"5\r\nhello\r0\r\n\r\n", "chunk_longer_than_its_size", "RFC 9112 §7.1"),
        (b"5\r\nhello0\r\n\r\n", "chunk_longer_than_its_size", "RFC 9112 §7.1"),
        (b"5\r\nhello!\r\n", "chunk_longer_than_its_size", "RFC 9112 §7.1"),
        (b"6\r\nhello\r\n0\r\n\r\n", "chunk_longer_than_its_size", "RFC 9112 §7.1"),
        (b" 5\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5 \r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5\t\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5 ;a\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"0x5\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"+5\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"-5\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"-0\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5_0\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5,5\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5h\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"5\0\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"\xef\xbc\x95\r\n", "bad_chunk_size", "RFC 9112 §7.1"),
        (b"00000000000000005\r\n", "chunk_size_too_long", "RFC 9112 §7.1"),
        (b"10000000000000000\r\n", "chunk_size_too_long", "RFC 9112 §7.1"),
        (b"fffffffffffffffff\r\n", "chunk_size_too_long", "RFC 9112 §7.1"),
        (b"5;\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5; a\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a =b\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a= b\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a \r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;;a\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;=a\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=b=c\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=\"b\"c\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=\"b\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=\"\\\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a=\"\0\"\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a\0\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;\xff\r\n", "bad_chunk_extension", "RFC 9112 §7.1.1"),
        (b"5;a\nhello\r\n", "bare_lf", "RFC 9112 §7.1.1"),
        (b"5;\nhello\r\n", "bare_lf", "RFC 9112 §7.1.1"),
        (b"5;a=\"\nb\"\r\nhello", "bare_lf", "RFC 9112 §7.1.1"),
        (b"5;a\rb\r\nhello", "bare_cr", "RFC 9112 §7.1.1"),
        (b"0\n\n", "bare_lf", "RFC 9112 §7.1"),
        (b"0\r\n\n", "bare_lf", "RFC 9112 §7.1"),
        (b"0\r\n\r\r\n", "bare_cr", "RFC 9112 §7.1"),
        (b"0\r\n\rGET", "bare_cr", "RFC 9112 §7.1"),
        (b"0\r\nA: b\n\r\n", "bare_lf", "RFC 9112 §7.1.2"),
        (b"0\r\nA: b\rC\r\n\r\n", "bare_cr", "RFC 9112 §7.1.2"),
        (b"0\r\nA : b\r\n\r\n", "space_before_colon", "RFC 9112 §5.1"),
        (b"0\r\n A: b\r\n\r\n", "space_before_first_field", "RFC 9112 §2.2"),
        (b"0\r\nA: b\r\n c\r\n\r\n", "folded_field", "RFC 9112 §5.2"),
        (b"0\r\nA\r\n\r\n", "field_without_colon", "RFC 9112 §5"),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", "field_without_colon", "RFC 9112 §5"),
        (b"0\r\n: b\r\n\r\n", "empty_field_name", "RFC 9110 §5.1"),
        (b"0\r\nA: \0\r\n\r\n", "control_byte_in_field", "RFC 9110 §5.5"),
    ];
    for (input, reason, section) in table {
        for piece in 1..=input.len() {
            let verdict = read(input, piece)
                .map(|_| ())
                .map_err(|reject| (reject.status, reject.reason));
            assert_eq!(
                verdict,
                Err((400, *reason)),
                "{:?} ({section})",
                String::from_utf8_lossy(input)
            );
        }
    }
}

#[test]
fn the_largest_size_is_a_size() {
    let mut decoder = ChunkedDecoder::new();
    assert_eq!(
        decoder.step(b"fFfFfFfFfFfFfFfF\r\nabc"),
        Ok(ChunkStep::Data { skip: 18, len: 3 })
    );
    assert_eq!(decoder.step(b""), Ok(ChunkStep::NeedMore { consumed: 0 }));
    assert_eq!(decoder.step(b"d"), Ok(ChunkStep::Data { skip: 0, len: 1 }));
}

#[test]
fn an_error_stays() {
    let mut decoder = ChunkedDecoder::new();
    let first = decoder.step(b"x").unwrap_err();
    assert_eq!(decoder.step(b"0\r\n\r\n"), Err(first));
    assert_eq!(decoder.step(b""), Err(first));
}

#[test]
fn trailers_are_read_and_those_that_we_act_upon_dropped() {
    let input = b"1\r\na\r\n0\r\ngrpc-status: 0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n\
        content_length: 5\r\nSeawall-Ray: 1\r\nX-Sum:\t ab \r\nX-Empty:\r\n\r\n";
    for piece in 1..=input.len() {
        let (_, end, trailers) = read(input, piece).unwrap();
        assert_eq!(end, Some(input.len()));
        let lines: Vec<_> = trailers
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(
            lines,
            [
                (&b"grpc-status"[..], &b"0"[..]),
                (b"X-Sum", b"ab"),
                (b"X-Empty", b"")
            ]
        );
    }
}

#[test]
fn everything_is_bounded() {
    let status = |input: &[u8]| {
        read(input, 1000)
            .map(|_| ())
            .map_err(|reject| (reject.status, reject.reason))
    };
    let extensions =
        |times: usize| [b"1;abc=def\r\nx\r\n".repeat(times), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(status(&extensions(400)), Ok(()));
    assert_eq!(
        status(&extensions(600)),
        Err((400, "chunk_extensions_too_long"))
    );
    let trailers = |lines: usize, value: usize| {
        let line = format!("A: {}\r\n", "v".repeat(value));
        format!("0\r\n{}\r\n", line.repeat(lines)).into_bytes()
    };
    assert_eq!(status(&trailers(64, 100)), Ok(()));
    assert_eq!(status(&trailers(65, 1)), Err((431, "too_many_trailers")));
    assert_eq!(status(&trailers(1, 9000)), Err((431, "trailers_too_long")));
    assert_eq!(
        status(&[b"0\r\n".to_vec(), vec![b'a'; 9000]].concat()),
        Err((431, "trailers_too_long"))
    );
}

#[test]
fn no_trailers_no_allocation() {
    let mut decoder = ChunkedDecoder::new();
    decoder.step(b"0\r\n\r\n").unwrap();
    assert_eq!(decoder.trailer_bytes.capacity(), 0);
    assert!(decoder.trailers().is_empty());
}

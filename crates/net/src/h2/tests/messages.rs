//! What RFC 9113 §8 and RFC 7541 demand of an endpoint that meets a malformed message.

use super::conformance::*;
use super::*;

#[test]
fn section_8_1_trailers_end_the_stream() {
    assert_eq!(
        fed(&[post(1), headers(1, OPEN, &[("a", "b")])]),
        Answer::Reset(1, PROTOCOL)
    );
    assert_eq!(
        fed(&[post(1), headers(1, END, &[(":method", "x")])]),
        Answer::Reset(1, PROTOCOL)
    );
    assert_eq!(
        fed(&[post(1), headers(1, END, &[("A", "b")])]),
        Answer::Reset(1, PROTOCOL)
    );
    let mut server = server();
    server
        .receive(&[post(1), data(1, 0, b"x"), headers(1, END, &[("a", "b")])].concat())
        .unwrap();
    assert_eq!(events(&mut server).last(), Some(&Event::Trailers { id: 1 }));
}

#[test]
fn section_8_2_malformed_fields_reset_the_stream() {
    let malformed: &[(&str, &str)] = &[
        ("X-TEST", "ok"),
        ("", "x"),
        ("a b", "x"),
        ("connection", "keep-alive"),
        ("te", "trailers, deflate"),
        (":path", "/again"),
        (":status", "200"),
        ("a", "b\0"),
        ("a", "b\r\nc: d"),
        ("a", " b"),
        ("content-length", "x"),
    ];
    for line in malformed {
        let lines: Vec<_> = GET.iter().chain([line]).copied().collect();
        let mut server = server();
        let bytes = headers(1, END, &lines);
        assert_eq!(
            answer(&mut server, &bytes),
            Answer::Reset(1, PROTOCOL),
            "{line:?}"
        );
        assert!(matches!(
            events(&mut server)[..],
            [Event::Malformed { id: 1, .. }]
        ));
        assert_eq!(server.streams_open(), 0);
    }
    for missing in 0..4 {
        let mut lines = GET.to_vec();
        lines.remove(missing);
        assert_eq!(fed(&[headers(1, END, &lines)]), Answer::Reset(1, PROTOCOL));
    }
}

#[test]
fn section_8_1_1_content_length_must_fit() {
    let with_length = |flags, length| {
        let mut lines = POST.to_vec();
        lines.push(("content-length", length));
        headers(1, flags, &lines)
    };
    let (zero, five) = (with_length(END, "0"), with_length(OPEN, "5"));
    assert_eq!(fed(&[zero]), Answer::Nothing);
    assert_eq!(fed(&[with_length(END, "1")]), Answer::Reset(1, PROTOCOL));
    assert_eq!(fed(&[five.clone(), data(1, 1, b"12345")]), Answer::Nothing);
    assert_eq!(
        fed(&[five.clone(), data(1, 1, b"1234")]),
        Answer::Reset(1, PROTOCOL)
    );
    assert_eq!(
        fed(&[five.clone(), data(1, 0, b"123456")]),
        Answer::Reset(1, PROTOCOL)
    );
    let in_parts = [five.clone(), data(1, 0, b"123"), data(1, 1, b"1")];
    assert_eq!(fed(&in_parts), Answer::Reset(1, PROTOCOL));
    let trailed = [
        five.clone(),
        data(1, 0, b"123"),
        headers(1, END, &[("a", "b")]),
    ];
    assert_eq!(fed(&trailed), Answer::Reset(1, PROTOCOL));
    let padded = [five, data(1, 9, &[2, b'1', b'2', b'3', b'4', b'5', 0, 0])];
    assert_eq!(fed(&padded), Answer::Nothing);
}

#[test]
fn responses_are_held_to_the_same_rules() {
    let ok = |lines: &[(&str, &str)], flags| {
        let (mut client, id) = client("GET");
        answer(&mut client, &headers(id, flags, lines))
    };
    let bad = Answer::Reset(1, PROTOCOL);
    assert_eq!(ok(&[(":status", "200")], END), Answer::Nothing);
    assert_eq!(ok(&[], END), bad);
    assert_eq!(ok(&[(":status", "20")], END), bad);
    assert_eq!(ok(&[(":status", "101")], OPEN), bad);
    assert_eq!(ok(&[(":status", "103")], END), bad);
    assert_eq!(
        ok(
            &[(":status", "200"), ("transfer-encoding", "chunked")],
            OPEN
        ),
        bad
    );
    assert_eq!(ok(&[(":status", "200"), ("content-length", "1")], END), bad);
    assert_eq!(
        ok(&[(":status", "304"), ("content-length", "1")], END),
        Answer::Nothing
    );
    assert_eq!(ok(&[(":status", "200"), (":method", "GET")], END), bad);
    let (mut head, id) = client("HEAD");
    let bytes = headers(id, END, &[(":status", "200"), ("content-length", "9")]);
    assert_eq!(answer(&mut head, &bytes), Answer::Nothing);
    let (mut head, id) = client("HEAD");
    let bytes = [headers(id, OPEN, &[(":status", "200")]), data(id, 1, b"x")].concat();
    assert_eq!(answer(&mut head, &bytes), bad);
    // DATA before the head, HEADERS on a stream that was not opened.
    let (mut early, id) = client("GET");
    assert_eq!(answer(&mut early, &data(id, 1, b"x")), bad);
    let (mut idle, _) = client("GET");
    let bytes = headers(3, END, &[(":status", "200")]);
    assert_eq!(answer(&mut idle, &bytes), Answer::GoAway(PROTOCOL));
    let (mut ended, id) = client("GET");
    let bytes = [headers(id, END, &[(":status", "200")]), data(id, 1, b"x")].concat();
    assert_eq!(answer(&mut ended, &bytes), Answer::GoAway(CLOSED));
}

#[test]
fn rfc_7541_errors_end_the_connection() {
    for bytes in [
        &[0xc6][..],                                    // §2.3.3: index 70
        &[0x7f, 0x07, 1, b'x'],                         // §2.3.3: a name's index of 70
        &[0x82, 0x20],                                  // §4.2: a size update at the end
        &[0x00, 0x81, 0x1f, 0x82, 0x1f, 0xff],          // §5.2: padding longer than seven bits
        &[0x00, 0x81, 0x18, 1, b'x'],                   // §5.2: padding of zeros
        &[0x00, 0x84, 0xff, 0xff, 0xff, 0xfc, 1, b'x'], // §5.2: EOS
        &[0x80],                                        // §6.1: index 0
        &[0x3f, 0xe2, 0x1f],                            // §6.3: a table larger than allowed
    ] {
        assert_eq!(
            fed(&[raw(1, bytes)]),
            Answer::GoAway(COMPRESSION),
            "{bytes:?}"
        );
    }
    // Trailers too, and blocks that nobody wants.
    let trailers = raw(1, &[0x80]);
    assert_eq!(
        fed(&[post(1), trailers.clone()]),
        Answer::GoAway(COMPRESSION)
    );
    assert_eq!(fed(&[get(1), trailers]), Answer::GoAway(COMPRESSION));
}

#[test]
fn a_refused_block_still_feeds_the_table() {
    let mut server = server_with(Config {
        max_concurrent_streams: 1,
        ..Config::server()
    });
    server.receive(&get(1)).unwrap();
    let mut indexed = vec![0x82, 0x87, 0x84, 0x41, 6];
    indexed.extend(b"b.test");
    assert_eq!(
        answer(&mut server, &raw(3, &indexed)),
        Answer::Reset(3, ErrorCode::REFUSED_STREAM)
    );
    events(&mut server);
    respond(&mut server, 1);
    server.receive(&raw(5, &[0x82, 0x87, 0x84, 0xbe])).unwrap();
    let mut head = RequestHead::default();
    assert!(server.take_request(5, &mut head));
    assert_eq!(head.authority(), b"b.test");
}

//! What RFC 9113 and RFC 7541 demand of an endpoint that meets a mistake in frames, each with the section that
//! demands it. Mistakes in messages are in `messages`.

use super::*;

pub(super) const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
pub(super) const CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;
pub(super) const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
pub(super) const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
pub(super) const COMPRESSION: ErrorCode = ErrorCode::COMPRESSION_ERROR;

/// What a fresh server answers to all of `parts`, fed as one piece and, to another, byte by byte.
pub(super) fn fed(parts: &[Vec<u8>]) -> Answer {
    let whole = parts.concat();
    let at_once = answer(&mut server(), &whole);
    let mut slow = server();
    let (last, first) = whole.split_last().unwrap();
    let early = first
        .iter()
        .map(|byte| slow.receive(&[*byte]))
        .find(Result::is_err);
    let in_bytes = match early {
        Some(_) => Answer::GoAway(early.unwrap().unwrap_err().code),
        None => answer(&mut slow, &[*last]),
    };
    assert_eq!(at_once, in_bytes);
    at_once
}

pub(super) fn data(stream: StreamId, flags: u8, content: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, content)
}

pub(super) fn reset(stream: StreamId) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

pub(super) fn update(stream: StreamId, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(super) fn continuation(stream: StreamId) -> Vec<u8> {
    frame(kind::CONTINUATION, OPEN, stream, &block(&[("a", "b")]))
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

pub(super) fn get(stream: StreamId) -> Vec<u8> {
    headers(stream, END, &GET)
}

pub(super) fn post(stream: StreamId) -> Vec<u8> {
    headers(stream, OPEN, &POST)
}

pub(super) fn raw(stream: StreamId, bytes: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, END, stream, bytes)
}

#[test]
fn section_3_4_the_preface() {
    let mut server = Connection::new(Config::server());
    assert_eq!(
        server
            .receive(b"PRI * HTTP/2.0\r\n\r\nXX")
            .unwrap_err()
            .code,
        PROTOCOL
    );
    let mut server = Connection::new(Config::server());
    assert_eq!(
        server.receive(b"GET / HTTP/1.1\r\n").unwrap_err().code,
        PROTOCOL
    );
    for first in [
        get(1),
        frame(kind::PING, 0, 0, &[0; 8]),
        frame(kind::SETTINGS, 1, 0, &[]),
    ] {
        let mut server = Connection::new(Config::server());
        server.receive(PREFACE).unwrap();
        assert_eq!(server.receive(&first).unwrap_err().code, PROTOCOL);
        let mut client = Connection::new(Config::client());
        assert_eq!(client.receive(&first).unwrap_err().code, PROTOCOL);
    }
}

#[test]
fn section_4_frames() {
    // §4.1: unknown types, undefined flags and the reserved bit are ignored.
    let mut ping = frame(kind::PING, 0x16, 0, &[0; 8]);
    ping[5] = 0x80;
    assert_eq!(
        fed(&[frame(0x16, 0xff, 0, &[1; 8]), frame(0x16, 0, 3, &[]), ping]),
        Answer::Nothing
    );
    // §4.2: 2^14 bytes are accepted, one more is not.
    assert_eq!(fed(&[post(1), data(1, 1, &[0; 16_384])]), Answer::Nothing);
    assert_eq!(
        fed(&[post(1), data(1, 1, &[0; 16_385])]),
        Answer::GoAway(SIZE)
    );
    assert_eq!(fed(&[raw(1, &[0; 16_385])]), Answer::GoAway(SIZE));
    assert_eq!(
        fed(&[frame(0x16, 0, 0, &[0; 16_385])]),
        Answer::GoAway(SIZE)
    );
    // §4.3: a block that cannot be decoded, or is interrupted.
    assert_eq!(
        fed(&[raw(1, &[0x82, 0x44, 0x85])]),
        Answer::GoAway(COMPRESSION)
    );
    let begun = || headers(1, flag::END_STREAM, &GET);
    let priority = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    assert_eq!(fed(&[begun(), priority]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[begun(), get(3)]), Answer::GoAway(PROTOCOL));
    assert_eq!(
        fed(&[begun(), frame(0x16, 0, 1, &[])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(fed(&[begun(), data(1, 1, b"")]), Answer::GoAway(PROTOCOL));
}

#[test]
fn section_5_1_idle_streams() {
    for bytes in [data(1, 1, b"x"), reset(1), update(1, 100), continuation(1)] {
        assert_eq!(fed(&[bytes]), Answer::GoAway(PROTOCOL));
    }
    assert_eq!(fed(&[update(2, 1)]), Answer::GoAway(PROTOCOL));
    assert_eq!(
        fed(&[frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), get(1)]),
        Answer::Nothing
    );
}

#[test]
fn section_5_1_half_closed_streams() {
    assert_eq!(fed(&[get(1), data(1, 1, b"x")]), Answer::Reset(1, CLOSED));
    assert_eq!(fed(&[get(1), get(1)]), Answer::Reset(1, CLOSED));
    assert_eq!(fed(&[get(1), continuation(1)]), Answer::GoAway(PROTOCOL));
    let allowed = [
        get(1),
        update(1, 1),
        frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
    ];
    assert_eq!(fed(&allowed), Answer::Nothing);
    assert_eq!(fed(&[get(1), reset(1)]), Answer::Nothing);
}

#[test]
fn section_5_1_closed_streams() {
    // After the peer's RST_STREAM.
    assert_eq!(
        fed(&[post(1), reset(1), data(1, 1, b"x")]),
        Answer::GoAway(CLOSED)
    );
    assert_eq!(fed(&[post(1), reset(1), get(1)]), Answer::GoAway(CLOSED));
    assert_eq!(
        fed(&[post(1), reset(1), continuation(1)]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[post(1), reset(1), reset(1), update(1, 1)]),
        Answer::Nothing
    );
    // After both sides' END_STREAM, released by us or not.
    for release in [false, true] {
        let done = || {
            let mut server = server();
            server.receive(&get(1)).unwrap();
            events(&mut server);
            server.send_response(1, 200, [], true).unwrap();
            if release {
                server.release(1);
            }
            flush(&mut server);
            server
        };
        assert_eq!(
            answer(&mut done(), &data(1, 1, b"x")),
            Answer::GoAway(CLOSED)
        );
        assert_eq!(answer(&mut done(), &get(1)), Answer::GoAway(CLOSED));
        assert_eq!(
            answer(&mut done(), &continuation(1)),
            Answer::GoAway(PROTOCOL)
        );
        let late = [update(1, 1), reset(1), frame(kind::PRIORITY, 0, 1, &[0; 5])].concat();
        assert_eq!(answer(&mut done(), &late), Answer::Nothing);
    }
}

#[test]
fn section_5_1_1_stream_numbers() {
    assert_eq!(fed(&[get(2)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[get(0)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[get(5), get(3)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[get(5), data(3, 1, b"x")]), Answer::GoAway(CLOSED));
}

#[test]
fn section_5_1_2_more_streams_than_allowed() {
    let mut server = server_with(Config {
        max_concurrent_streams: 3,
        ..Config::server()
    });
    for id in [1, 3, 5] {
        assert_eq!(answer(&mut server, &get(id)), Answer::Nothing);
    }
    let refused = Answer::Reset(7, ErrorCode::REFUSED_STREAM);
    assert_eq!(answer(&mut server, &get(7)), refused);
    events(&mut server);
    respond(&mut server, 3);
    flush(&mut server);
    assert_eq!(answer(&mut server, &get(9)), Answer::Nothing);
}

#[test]
fn section_5_3_priorities() {
    let upon_itself = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 1]);
    assert_eq!(
        fed(&[get(1), upon_itself.clone()]),
        Answer::Reset(1, PROTOCOL)
    );
    assert_eq!(fed(&[upon_itself]), Answer::GoAway(PROTOCOL));
    let mut payload = vec![0, 0, 0, 1, 255];
    payload.extend(block(&GET));
    let opening = frame(kind::HEADERS, END | flag::PRIORITY, 1, &payload);
    assert_eq!(fed(&[opening]), Answer::Reset(1, PROTOCOL));
}

#[test]
fn section_6_1_data() {
    assert_eq!(fed(&[data(0, 1, b"x")]), Answer::GoAway(PROTOCOL));
    assert_eq!(
        fed(&[post(1), data(1, flag::PADDED, &[6, b'x', 0, 0])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[post(1), data(1, flag::PADDED, &[4, b'x', 0, 0])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[post(1), data(1, flag::PADDED, &[])]),
        Answer::GoAway(SIZE)
    );
    let mut server = server();
    let bytes = [
        post(1),
        data(1, flag::PADDED | 1, &[3, b'h', b'i', 0, 0, 0]),
    ]
    .concat();
    for byte in bytes {
        server.receive(&[byte]).unwrap();
    }
    assert_eq!(server.peek_body(1), b"hi");
    let all_padding = data(3, flag::PADDED | 1, &[3, 0, 0, 0]);
    server.receive(&[post(3), all_padding].concat()).unwrap();
    assert!(server.body_ended(3));
}

#[test]
fn section_6_2_headers() {
    let padded = |pad: u8| {
        let mut payload = vec![pad];
        payload.extend(block(&GET));
        let length = payload.len();
        (
            frame(kind::HEADERS, END | flag::PADDED, 1, &payload),
            length,
        )
    };
    let (_, length) = padded(0);
    assert_eq!(fed(&[padded(length as u8).0]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[padded(0).0]), Answer::Nothing);
    assert_eq!(
        fed(&[frame(kind::HEADERS, END | flag::PADDED, 1, &[])]),
        Answer::GoAway(SIZE)
    );
    let short = frame(kind::HEADERS, END | flag::PRIORITY, 1, &[0; 4]);
    assert_eq!(fed(&[short]), Answer::GoAway(SIZE));
}

#[test]
fn section_6_3_and_6_4_priority_and_reset() {
    assert_eq!(
        fed(&[frame(kind::PRIORITY, 0, 0, &[0; 5])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[get(1), frame(kind::PRIORITY, 0, 1, &[0; 4])]),
        Answer::Reset(1, SIZE)
    );
    assert_eq!(fed(&[reset(0)]), Answer::GoAway(PROTOCOL));
    assert_eq!(
        fed(&[get(1), frame(kind::RST_STREAM, 0, 1, &[0; 3])]),
        Answer::GoAway(SIZE)
    );
}

#[test]
fn section_6_5_settings() {
    let ack = flag::ACK;
    assert_eq!(
        fed(&[frame(kind::SETTINGS, ack, 0, &[0; 6])]),
        Answer::GoAway(SIZE)
    );
    assert_eq!(
        fed(&[frame(kind::SETTINGS, 0, 1, &[])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[frame(kind::SETTINGS, 0, 0, &[0; 3])]),
        Answer::GoAway(SIZE)
    );
    assert_eq!(fed(&[setting(2, 2)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[setting(4, 1 << 31)]), Answer::GoAway(FLOW));
    assert_eq!(fed(&[setting(5, 16_383)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[setting(5, 1 << 24)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[setting(0xff, 1), setting(3, 100)]), Answer::Nothing);
    let mut server = server();
    server.receive(&setting(3, 100)).unwrap();
    assert_eq!(
        frames(&flush(&mut server)),
        [(kind::SETTINGS, ack, 0, vec![])]
    );
    // A server's PUSH setting is a client's to refuse.
    let (mut client, _) = client("GET");
    assert_eq!(
        answer(&mut client, &setting(2, 1)),
        Answer::GoAway(PROTOCOL)
    );
}

#[test]
fn section_6_6_push_is_never_accepted() {
    assert_eq!(
        fed(&[frame(kind::PUSH_PROMISE, OPEN, 1, &[0, 0, 0, 2])]),
        Answer::GoAway(PROTOCOL)
    );
    let (mut client, id) = client("GET");
    let push = frame(kind::PUSH_PROMISE, OPEN, id, &[0, 0, 0, 2]);
    assert_eq!(answer(&mut client, &push), Answer::GoAway(PROTOCOL));
}

#[test]
fn section_6_7_and_6_8_ping_and_go_away() {
    assert_eq!(
        fed(&[frame(kind::PING, 0, 1, &[0; 8])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[frame(kind::PING, 0, 0, &[0; 6])]),
        Answer::GoAway(SIZE)
    );
    assert_eq!(
        fed(&[frame(kind::PING, flag::ACK, 0, &[0; 8])]),
        Answer::Nothing
    );
    assert_eq!(
        fed(&[frame(kind::GOAWAY, 0, 1, &[0; 8])]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[frame(kind::GOAWAY, 0, 0, &[0; 7])]),
        Answer::GoAway(SIZE)
    );
    // §7: unknown error codes change nothing.
    assert_eq!(
        fed(&[frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])]),
        Answer::Nothing
    );
    assert_eq!(
        fed(&[post(1), frame(kind::RST_STREAM, 0, 1, &[0xff; 4])]),
        Answer::Nothing
    );
}

#[test]
fn section_6_9_windows() {
    assert_eq!(fed(&[update(0, 0)]), Answer::GoAway(PROTOCOL));
    assert_eq!(fed(&[get(1), update(1, 0)]), Answer::Reset(1, PROTOCOL));
    assert_eq!(
        fed(&[frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])]),
        Answer::GoAway(SIZE)
    );
    assert_eq!(fed(&[update(0, 0x7fff_ffff)]), Answer::GoAway(FLOW));
    assert_eq!(
        fed(&[get(1), update(1, 0x7fff_ffff)]),
        Answer::Reset(1, FLOW)
    );
    assert_eq!(
        fed(&[get(1), update(1, 1), setting(4, 0x7fff_ffff)]),
        Answer::GoAway(FLOW)
    );
}

#[test]
fn section_6_9_1_one_byte_at_a_time() {
    let mut server = server();
    server.receive(&[setting(4, 1), get(1)].concat()).unwrap();
    events(&mut server);
    server.send_response(1, 200, [], false).unwrap();
    assert_eq!(server.send_data(1, b"abc", true), Ok(1));
    assert_eq!(server.send_data(1, b"bc", true), Ok(0));
    assert_eq!(server.blocked_streams(), 1);
    server.receive(&update(1, 1)).unwrap();
    assert_eq!(events(&mut server), [Event::Writable { id: 1 }]);
    assert_eq!(server.blocked_streams(), 0);
    assert_eq!(server.send_data(1, b"bc", true), Ok(1));
    assert_eq!(server.send_data(1, b"c", true), Ok(0));
    // §6.9.2: the window becomes negative, and opens when it is positive again.
    server.receive(&setting(4, 0)).unwrap();
    server.receive(&update(1, 2)).unwrap();
    assert_eq!(
        events(&mut server),
        [Event::Settings, Event::Writable { id: 1 }]
    );
    assert_eq!(server.send_data(1, b"c", true), Ok(1));
    let sent: Vec<_> = frames(&flush(&mut server))
        .into_iter()
        .filter(|f| f.0 == 0)
        .collect();
    let content: Vec<_> = sent.iter().map(|frame| (frame.1, &frame.3[..])).collect();
    assert_eq!(content, [(0, &b"a"[..]), (0, b"b"), (1, b"c")]);
}

#[test]
fn section_6_9_2_settings_open_the_windows_of_all() {
    let mut server = server();
    server
        .receive(&[setting(4, 0), get(1), get(3)].concat())
        .unwrap();
    events(&mut server);
    for id in [1, 3] {
        server.send_response(id, 200, [], false).unwrap();
        assert_eq!(server.send_data(id, b"x", true), Ok(0));
    }
    assert_eq!(server.blocked_streams(), 2);
    flush(&mut server);
    server.receive(&setting(4, 10)).unwrap();
    let told = events(&mut server);
    assert!(told.contains(&Event::Writable { id: 1 }) && told.contains(&Event::Writable { id: 3 }));
}

#[test]
fn section_5_2_a_peer_that_overruns_our_windows() {
    let config = Config {
        initial_window: 65_535,
        connection_window: 100_000,
        ..Config::server()
    };
    let mut server = server_with(config);
    server.receive(&[post(1), post(3)].concat()).unwrap();
    for _ in 0..3 {
        assert_eq!(
            answer(&mut server, &data(1, 0, &[0; 16_384])),
            Answer::Nothing
        );
    }
    assert_eq!(
        answer(&mut server, &data(1, 0, &[0; 16_384])),
        Answer::Reset(1, FLOW)
    );
    // The reset stream's bytes are granted to the connection again.
    for _ in 0..3 {
        assert_eq!(
            answer(&mut server, &data(3, 0, &[0; 16_384])),
            Answer::Nothing
        );
    }
    let mut server = server_with(Config {
        connection_window: 65_535,
        ..Config::server()
    });
    server.receive(&[post(1), post(3)].concat()).unwrap();
    for id in [1, 3, 1] {
        assert_eq!(
            answer(&mut server, &data(id, 0, &[0; 16_384])),
            Answer::Nothing
        );
    }
    assert_eq!(
        answer(&mut server, &data(3, 0, &[0; 16_384])),
        Answer::GoAway(FLOW)
    );
}

#[test]
fn section_6_10_continuation() {
    let mut whole = block(&GET);
    let tail = whole.split_off(10);
    let begun = || frame(kind::HEADERS, flag::END_STREAM, 1, &whole);
    let more = |stream, flags, part: &[u8]| frame(kind::CONTINUATION, flags, stream, part);
    assert_eq!(fed(&[begun(), more(1, OPEN, &tail)]), Answer::Nothing);
    let (one, two) = tail.split_at(5);
    assert_eq!(
        fed(&[begun(), more(1, 0, one), more(1, OPEN, two)]),
        Answer::Nothing
    );
    assert_eq!(
        fed(&[begun(), more(3, OPEN, &tail)]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(
        fed(&[begun(), more(0, OPEN, &tail)]),
        Answer::GoAway(PROTOCOL)
    );
    assert_eq!(fed(&[get(1), continuation(1)]), Answer::GoAway(PROTOCOL));
    let after = [begun(), more(1, OPEN, &tail), continuation(1)];
    assert_eq!(fed(&after), Answer::GoAway(PROTOCOL));
    assert_eq!(
        fed(&[begun(), more(1, 0, one), data(1, 1, b"x")]),
        Answer::GoAway(PROTOCOL)
    );
    let mut server = server();
    server
        .receive(&[begun(), more(1, 0, one), more(1, OPEN, two)].concat())
        .unwrap();
    assert_eq!(events(&mut server), [Event::Request { id: 1, end: true }]);
}

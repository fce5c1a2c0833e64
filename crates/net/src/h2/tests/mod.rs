//! Tests of the connection as a whole. What they share: a peer that writes raw frames.

mod conformance;
mod limits;
mod loopback;
mod memory;
mod messages;
mod mutation;
mod through;

use super::frame::{HEADER, Header, flag, kind};
use super::inbound::PREFACE;
use super::*;
use seawall_model::RequestHead;

pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a.test"),
    (":path", "/"),
];
pub(super) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "a.test"),
    (":path", "/"),
];
pub(super) const END: u8 = flag::END_STREAM | flag::END_HEADERS;
pub(super) const OPEN: u8 = flag::END_HEADERS;

pub(super) fn frame(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut bytes = Header {
        length,
        kind,
        flags,
        stream,
    }
    .bytes()
    .to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of literals that touch no table.
pub(super) fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub(super) fn headers(stream: StreamId, flags: u8, lines: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, &block(lines))
}

/// Frames as kind, flags, stream, payload.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, StreamId, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let header = Header::parse(header);
        let (payload, rest) = rest.split_at(header.length as usize);
        all.push((header.kind, header.flags, header.stream, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    all
}

/// What a connection has answered to a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reset(StreamId, ErrorCode),
    GoAway(ErrorCode),
    Nothing,
}

/// A connection whose greeting is over.
pub(super) fn server_with(config: Config) -> Connection {
    let mut server = Connection::new(config);
    server.receive(PREFACE).unwrap();
    server.receive(&frame(kind::SETTINGS, 0, 0, &[])).unwrap();
    server
        .receive(&frame(kind::SETTINGS, flag::ACK, 0, &[]))
        .unwrap();
    flush(&mut server);
    while server.next_event().is_some() {}
    server
}

pub(super) fn server() -> Connection {
    server_with(Config::server())
}

/// A client with one request on the way, whose greeting is over.
pub(super) fn client(method: &str) -> (Connection, StreamId) {
    let mut client = Connection::new(Config::client());
    client.receive(&frame(kind::SETTINGS, 0, 0, &[])).unwrap();
    let request = Pseudo {
        method: method.as_bytes(),
        scheme: b"https",
        authority: b"a.test",
        path: b"/",
        protocol: None,
    };
    let id = client.open(request, [], true).unwrap();
    flush(&mut client);
    while client.next_event().is_some() {}
    (client, id)
}

pub(super) fn flush(connection: &mut Connection) -> Vec<u8> {
    let bytes = connection.output().to_vec();
    connection.advance_output(bytes.len());
    bytes
}

pub(super) fn events(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.next_event()).collect()
}

/// The error that the connection answers to `bytes` with.
pub(super) fn answer(connection: &mut Connection, bytes: &[u8]) -> Answer {
    let outcome = connection.receive(bytes);
    let sent = frames(&flush(connection));
    let code = |payload: &[u8]| {
        let tail = payload.last_chunk::<4>().unwrap();
        ErrorCode(u32::from_be_bytes(*tail))
    };
    for (kind, _, stream, payload) in &sent {
        match *kind {
            kind::GOAWAY => {
                assert_eq!(outcome.unwrap_err().code, code(payload));
                assert!(connection.is_closed());
                assert_eq!(connection.receive(b"whatever"), Ok(()));
                return Answer::GoAway(code(payload));
            }
            kind::RST_STREAM if outcome.is_ok() => return Answer::Reset(*stream, code(payload)),
            _ => {}
        }
    }
    assert_eq!(outcome, Ok(()));
    Answer::Nothing
}

/// Answers a request whole.
pub(super) fn respond(server: &mut Connection, id: StreamId) {
    server.send_response(id, 200, [], true).unwrap();
    server.release(id);
}

/// A small generator, for tests that repeat exactly.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }
}

pub(super) fn pseudo<'a>(method: &'a [u8], path: &'a [u8]) -> Pseudo<'a> {
    Pseudo {
        method,
        scheme: b"https",
        authority: b"a.test",
        path,
        protocol: None,
    }
}

#[test]
fn a_request_and_its_response() {
    let mut server = server();
    let mut lines = GET.to_vec();
    lines.extend([("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2")]);
    server.receive(&headers(1, END, &lines)).unwrap();
    assert_eq!(events(&mut server), [Event::Request { id: 1, end: true }]);
    let mut head = RequestHead::default();
    assert!(server.take_request(1, &mut head));
    assert!(!server.take_request(1, &mut head));
    assert_eq!(
        (head.method_bytes(), head.target()),
        (&b"GET"[..], &b"/"[..])
    );
    assert_eq!(head.fields.named(b"cookie"), Some(&b"a=1; b=2"[..]));
    assert!(server.body_ended(1));
    let fields: [(&[u8], &[u8]); 2] = [(b"Server", b"x"), (b"Connection", b"close")];
    server.send_response(1, 200, fields, false).unwrap();
    assert_eq!(server.send_response(1, 200, [], true), Err(StreamGone));
    assert_eq!(server.send_data(1, b"hello", true), Ok(5));
    assert_eq!(server.send_data(1, b"more", true), Err(StreamGone));
    server.release(1);
    let sent = frames(&flush(&mut server));
    assert_eq!(
        sent,
        [
            (kind::HEADERS, OPEN, 1, vec![0x88, 0x76, 1, b'x']),
            (kind::DATA, flag::END_STREAM, 1, b"hello".to_vec()),
        ]
    );
    assert!(server.is_idle() && !server.is_closed());
}

#[test]
fn the_greetings() {
    let server = Connection::new(Config::server());
    let sent = frames(server.output());
    assert_eq!(sent[0].0, kind::SETTINGS);
    assert_eq!(
        sent[1],
        (
            kind::WINDOW_UPDATE,
            0,
            0,
            (1_048_576u32 - 65_535).to_be_bytes().into()
        )
    );
    let client = Connection::new(Config::client());
    let rest = client.output().strip_prefix(PREFACE).unwrap();
    // ENABLE_PUSH = 0 comes first.
    assert_eq!(frames(rest)[0].3[..6], [0, 2, 0, 0, 0, 0]);
}

#[test]
fn the_fingerprint_keeps_the_order_of_things() {
    let mut server = Connection::new(Config::server());
    let settings = [0, 1, 0, 1, 0, 0, 0, 4, 0, 2, 0, 0];
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(kind::SETTINGS, 0, 0, &settings));
    bytes.extend(frame(
        kind::WINDOW_UPDATE,
        0,
        0,
        &12_517_377u32.to_be_bytes(),
    ));
    bytes.extend(frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 200]));
    let order = [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "a.test"),
        (":scheme", "https"),
    ];
    let mut block_with_priority = vec![0x80, 0, 0, 13, 41];
    block_with_priority.extend(block(&order));
    bytes.extend(frame(
        kind::HEADERS,
        END | flag::PRIORITY,
        15,
        &block_with_priority,
    ));
    bytes.extend(frame(kind::WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()));
    for byte in bytes {
        server.receive(&[byte]).unwrap();
    }
    let text = "1:65536;4:131072|12517377|3:0:0:201,15:1:13:42|m,p,a,s";
    assert_eq!(server.fingerprint().to_string(), text);
    assert!(server.fingerprint().is_complete());
}

#[test]
fn informational_responses_and_trailers() {
    let (mut client, id) = client("GET");
    let mut bytes = headers(id, OPEN, &[(":status", "103"), ("link", "</a>")]);
    bytes.extend(headers(id, OPEN, &[(":status", "200")]));
    bytes.extend(frame(kind::DATA, 0, id, b"body"));
    bytes.extend(headers(id, END, &[("grpc-status", "0")]));
    client.receive(&bytes).unwrap();
    assert_eq!(
        events(&mut client),
        [
            Event::Informational { id },
            Event::Response { id, end: false },
            Event::Data { id },
            Event::Trailers { id },
        ]
    );
    let mut head = seawall_model::ResponseHead::default();
    assert!(client.take_informational(id, &mut head) && head.status == 103);
    assert!(!client.take_informational(id, &mut head));
    assert!(client.take_response(id, &mut head) && head.status == 200);
    assert!(!client.body_ended(id));
    assert_eq!(client.peek_body(id), b"body");
    client.consume_body(id, 4);
    assert!(client.body_ended(id));
    let mut fields = seawall_model::Fields::default();
    assert!(client.take_trailers(id, &mut fields));
    assert_eq!(fields.named(b"grpc-status"), Some(&b"0"[..]));
    client.release(id);
    assert_eq!(flush(&mut client), []);
}

#[test]
fn extended_connect_is_a_tunnel() {
    let mut server = server();
    let lines = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a.test"),
    ];
    server.receive(&headers(1, OPEN, &lines)).unwrap();
    assert_eq!(events(&mut server), [Event::Request { id: 1, end: false }]);
    let mut head = RequestHead::default();
    server.take_request(1, &mut head);
    assert_eq!(
        (head.protocol(), head.target()),
        (&b"websocket"[..], &b"/chat"[..])
    );
    server.send_response(1, 200, [], false).unwrap();
    assert_eq!(server.send_data(1, b"there", false), Ok(5));
    server.receive(&frame(kind::DATA, 0, 1, b"back")).unwrap();
    let mut room = [0; 9];
    assert_eq!(server.read_body(1, &mut room), 4);
}

#[test]
fn an_answer_before_the_request_ends_resets_without_error() {
    let mut server = server();
    server.receive(&headers(1, OPEN, &POST)).unwrap();
    events(&mut server);
    respond(&mut server, 1);
    let sent = frames(&flush(&mut server));
    assert_eq!(sent[1], (kind::RST_STREAM, 0, 1, vec![0; 4]));
    // What was on the way meanwhile is dropped, and its room granted again.
    for _ in 0..100 {
        assert_eq!(
            answer(&mut server, &frame(kind::DATA, 0, 1, &[0; 16_000])),
            Answer::Nothing
        );
    }
}

#[test]
fn going_away_in_two_steps() {
    let mut server = server();
    server.go_away(ErrorCode::NO_ERROR);
    server.receive(&headers(1, END, &GET)).unwrap();
    assert_eq!(events(&mut server).len(), 1);
    server.drain();
    server.drain();
    let sent = frames(&flush(&mut server));
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].3[..4], [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(sent[1].3[..4], [0, 0, 0, 1]);
    let late = answer(&mut server, &headers(3, END, &GET));
    assert_eq!(late, Answer::Reset(3, ErrorCode::REFUSED_STREAM));
    assert!(!server.is_closed());
    respond(&mut server, 1);
    assert!(server.is_closed());
}

#[test]
fn a_server_that_leaves_gives_back_what_it_has_not_heard() {
    let mut client = Connection::new(Config::client());
    client.receive(&frame(kind::SETTINGS, 0, 0, &[])).unwrap();
    let ids: Vec<_> = (0..3)
        .map(|_| client.open(pseudo(b"GET", b"/"), [], true).unwrap())
        .collect();
    assert_eq!(ids, [1, 3, 5]);
    client
        .receive(&frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]))
        .unwrap();
    let refused = ErrorCode::REFUSED_STREAM;
    assert_eq!(
        events(&mut client)[1..],
        [
            Event::GoAway {
                last: 1,
                code: ErrorCode::NO_ERROR
            },
            Event::Reset {
                id: 3,
                code: refused
            },
            Event::Reset {
                id: 5,
                code: refused
            },
        ]
    );
    assert!(client.open(pseudo(b"GET", b"/"), [], true).is_none());
    assert_eq!(client.is_reset(3), Some(refused));
}

#[test]
fn a_whole_response_survives_the_reset_of_its_request() {
    let mut client = Connection::new(Config::client());
    client.receive(&frame(kind::SETTINGS, 0, 0, &[])).unwrap();
    let id = client.open(pseudo(b"POST", b"/"), [], false).unwrap();
    let mut bytes = headers(id, OPEN, &[(":status", "413")]);
    bytes.extend(frame(kind::DATA, flag::END_STREAM, id, b"too much"));
    bytes.extend(frame(kind::RST_STREAM, 0, id, &[0; 4]));
    client.receive(&bytes).unwrap();
    assert_eq!(client.is_reset(id), None);
    let mut room = [0; 20];
    assert_eq!(client.read_body(id, &mut room), 8);
    assert_eq!(client.send_data(id, b"x", false), Err(StreamGone));
}

#[test]
fn pings_come_back() {
    let mut server = server();
    server
        .receive(&frame(kind::PING, 0, 0, b"12345678"))
        .unwrap();
    assert_eq!(
        frames(&flush(&mut server)),
        [(kind::PING, flag::ACK, 0, b"12345678".to_vec())]
    );
    server.ping(*b"abcdefgh");
    flush(&mut server);
    server
        .receive(&frame(kind::PING, flag::ACK, 0, b"abcdefgh"))
        .unwrap();
    assert_eq!(
        events(&mut server),
        [Event::Pong {
            payload: *b"abcdefgh"
        }]
    );
}

#[test]
fn a_long_head_is_split_and_the_encoder_obeys_the_peer() {
    let mut server = server();
    // The peer wants no dynamic table.
    server
        .receive(&frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]))
        .unwrap();
    server.receive(&headers(1, END, &GET)).unwrap();
    let long = vec![b'x'; 40_000];
    let fields: [(&[u8], &[u8]); 2] = [(b"server", b"x"), (b"x-long", &long)];
    server.send_response(1, 200, fields, true).unwrap();
    let sent = frames(&flush(&mut server));
    let kinds: Vec<_> = sent
        .iter()
        .map(|frame| (frame.0, frame.1, frame.3.len()))
        .collect();
    assert_eq!(kinds[1..], [(1, 1, 16_384), (9, 0, 16_384), (9, 4, 7250)]);
    assert_eq!(sent[1].3[..2], [0x20, 0x88]);
}

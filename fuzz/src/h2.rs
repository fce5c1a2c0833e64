//! Whole HTTP/2 connections from the bytes that a peer sends: the same however they are cut, within their bounds whatever
//! their owner does, and no request among them that means something else once it is written as HTTP/1.1.

use seawall_model::{Fields, Method, RequestHead, ResponseHead};
use seawall_net::h1::{write_field, write_request_line};
use seawall_net::h2::{Config, Connection, ErrorCode, Event, Pseudo, StreamId};

/// What a connection may hold of what it was not asked to keep: its output's high-water mark, and what goes above it.
const MOST_OUTPUT: usize = 300_000;

/// What clients send, their preface included.
pub fn from_clients(data: &[u8]) {
    all(data, || Connection::new(Config::server()));
}

/// What origins send, to a client that has asked three things.
pub fn from_origins(data: &[u8]) {
    all(data, || {
        let mut client = Connection::new(Config::client());
        for (method, end) in [(&b"GET"[..], true), (b"HEAD", true), (b"POST", false)] {
            let pseudo = Pseudo {
                method,
                scheme: b"https",
                authority: b"a.test",
                path: b"/",
                protocol: None,
            };
            client.open(pseudo, [], end).expect("three streams");
        }
        client
    });
}

fn all(data: &[u8], new: impl Fn() -> Connection) {
    let whole = told(new(), data, || usize::MAX);
    let cut = told(new(), data, super::pieces(data));
    assert_eq!(cut, whole, "in pieces and at once");
    used(new(), data);
}

/// All that a connection tells of these bytes, if its owner does nothing before they have come.
fn told(mut connection: Connection, data: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let (mut told, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let end = at.saturating_add(piece()).min(data.len());
        if let Err(error) = connection.receive(&data[at..end]) {
            assert!(connection.is_closed() && connection.wants_output());
            told.push(error.to_string());
            break;
        }
        at = end;
    }
    let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
    let mut trailers = Fields::default();
    while let Some(event) = connection.next_event() {
        told.push(format!("{event:?}"));
        let Some(id) = stream_of(event) else { continue };
        let asked = matches!(event, Event::Request { .. });
        if asked && connection.take_request(id, &mut request) {
            assert_sound(&request);
            told.push(format!("{request:?}"));
        }
        if connection.take_informational(id, &mut response) {
            told.push(format!("{response:?}"));
        }
        let answered = matches!(event, Event::Response { .. });
        if answered && connection.take_response(id, &mut response) {
            assert!((100..1000).contains(&response.status));
            assert_sound_lines(&response.fields);
            told.push(format!("{response:?}"));
        }
        if connection.take_trailers(id, &mut trailers) {
            assert_sound_lines(&trailers);
            told.push(format!("{trailers:?}"));
        }
        let mut body = vec![0; connection.body_waiting(id)];
        let read = connection.read_body(id, &mut body);
        assert_eq!(read, body.len());
        told.push(format!("{body:?}"));
    }
    told.push(format!("{:?}", connection.output()));
    told.push(connection.fingerprint().to_string());
    told
}

/// An owner that does all that can be done, in no good order.
fn used(mut connection: Connection, data: &[u8]) {
    let (mut piece, mut roll) = (super::pieces(data), super::pieces(&data[data.len() / 2..]));
    let mut at = 0;
    while at < data.len() {
        let end = data.len().min(at + piece() * 16);
        let outcome = connection.receive(&data[at..end]);
        at = end;
        while let Some(event) = connection.next_event() {
            if let Some(id) = stream_of(event) {
                act(&mut connection, id, roll());
            }
        }
        match roll() {
            1..4 => connection.advance_output(connection.output().len()),
            4 => connection.stall(),
            5 => connection.resume(),
            6 => connection.ping([7; 8]),
            7 => connection.go_away(ErrorCode::NO_ERROR),
            8 => connection.drain(),
            9 if connection.is_idle() => connection.shrink(),
            _ => {}
        }
        assert!(connection.output().len() < MOST_OUTPUT);
        assert!(connection.streams_open() <= 512);
        if outcome.is_err() {
            assert!(connection.is_closed());
            assert!(connection.receive(b"more").is_ok(), "told once");
            return;
        }
    }
}

fn act(connection: &mut Connection, id: StreamId, how: usize) {
    let mut room = [0; 300];
    let fields: [(&[u8], &[u8]); 2] = [(b"Server", b"x"), (b"Connection", b"close")];
    match how {
        1 => connection.release(id),
        2 => connection.reset(id, ErrorCode::CANCEL),
        3 | 4 => drop(connection.send_response(id, 200, fields, how == 3)),
        5 => drop(connection.send_informational(id, 103, fields)),
        6 | 7 => drop(connection.send_data(id, &room, how == 6)),
        8 => drop(connection.send_trailers(id, fields)),
        9 => connection.consume_body(id, 100),
        10 => drop(connection.take_request(id, &mut RequestHead::default())),
        11 => drop(connection.take_response(id, &mut ResponseHead::default())),
        _ => {
            let waiting = connection.body_waiting(id);
            let read = connection.read_body(id, &mut room);
            assert!(read == waiting.min(room.len()));
        }
    }
}

fn stream_of(event: Event) -> Option<StreamId> {
    match event {
        Event::Request { id, .. }
        | Event::Response { id, .. }
        | Event::Informational { id }
        | Event::Data { id }
        | Event::EndOfBody { id }
        | Event::Trailers { id }
        | Event::HeadTooLarge { id }
        | Event::Malformed { id, .. }
        | Event::Reset { id, .. }
        | Event::Writable { id } => Some(id),
        Event::Settings | Event::SettingsAcked | Event::Pong { .. } | Event::GoAway { .. } => None,
    }
}

/// A head that came in frames means the same as lines, to a reader of lines that is not ours.
pub fn assert_sound(head: &RequestHead) {
    assert_sound_lines(&head.fields);
    let connect = head.method == Method::Connect;
    if connect && head.protocol().is_empty() {
        return assert!(!head.authority().is_empty() && head.target().is_empty());
    }
    assert!(!head.scheme().is_empty() && !head.target().is_empty());
    let mut out = Vec::new();
    write_request_line(&mut out, head.method_bytes(), head.target());
    let before = usize::from(!head.authority().is_empty());
    if before == 1 {
        write_field(&mut out, b"Host", head.authority());
    }
    for field in head.fields.iter() {
        write_field(&mut out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
    let mut slots = [httparse::EMPTY_HEADER; 4096];
    let mut other = httparse::Request::new(&mut slots);
    let complete = Ok(httparse::Status::Complete(out.len()));
    let shown = String::from_utf8_lossy(&out);
    assert_eq!(other.parse(&out), complete, "{shown:?}");
    assert_eq!(other.method.map(str::as_bytes), Some(head.method_bytes()));
    assert_eq!(other.path.map(str::as_bytes), Some(head.target()));
    let theirs = other.headers.iter().skip(before);
    let theirs = theirs.map(|line| (line.name.as_bytes(), line.value));
    let ours = head.fields.iter().map(|field| (field.name, field.value));
    assert!(theirs.eq(ours), "{shown:?}");
}

/// RFC 9113 §8.2.1 and §8.2.2.
pub fn assert_sound_lines(fields: &Fields) {
    for field in fields.iter() {
        let name = String::from_utf8_lossy(field.name);
        let value = String::from_utf8_lossy(field.value);
        assert!(!name.is_empty() && !name.contains(|c: char| c.is_ascii_uppercase() || c <= ' '));
        assert!(!name.contains(':'), "{name:?}");
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
        assert_eq!(value, value.trim_matches([' ', '\t']));
        let of_connection = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
        ];
        assert!(!of_connection.contains(&&*name), "{name:?}");
    }
}

//! Valid streams of bytes, spoilt at random: nothing may panic, nothing may grow without bound.

use super::*;
use seawall_model::{Fields, ResponseHead};

/// What a real client sends in some exchanges.
fn client_bytes(random: &mut Random) -> Vec<u8> {
    let mut client = Connection::new(Config::client());
    client.receive(&frame(kind::SETTINGS, 0, 0, &[])).unwrap();
    for _ in 0..1 + random.below(6) {
        let value = vec![b'a' + random.below(26) as u8; random.below(200)];
        let fields: [(&[u8], &[u8]); 3] =
            [(b"X-One", &value), (b"via", b"1.1 x"), (b"cookie", b"a=b")];
        let end = random.below(2) == 0;
        let id = client.open(pseudo(b"POST", b"/path"), fields, end).unwrap();
        if !end {
            let body = vec![0; random.below(2000)];
            client.send_data(id, &body, random.below(2) == 0).unwrap();
        }
        match random.below(8) {
            0 => client.reset(id, ErrorCode::CANCEL),
            1 => client.ping([1; 8]),
            2 => {
                let _ = client.send_trailers(id, fields);
            }
            _ => {}
        }
    }
    flush(&mut client)
}

fn server_bytes(random: &mut Random, requests: u32) -> Vec<u8> {
    let mut server = server();
    let mut bytes = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]);
    for at in 0..requests {
        let id = at * 2 + 1;
        server.receive(&headers(id, END, &GET)).unwrap();
        let fields: [(&[u8], &[u8]); 2] = [(b"server", b"x"), (b"content-type", b"text/plain")];
        if random.below(3) == 0 {
            server.send_informational(id, 103, fields).unwrap();
        }
        server.send_response(id, 200, fields, false).unwrap();
        server
            .send_data(id, &vec![0; random.below(3000)], random.below(2) == 0)
            .unwrap();
        let _ = server.send_trailers(id, fields);
    }
    bytes.extend(flush(&mut server));
    bytes
}

fn spoil(bytes: &mut Vec<u8>, random: &mut Random, from: usize) {
    for _ in 0..random.below(6) {
        if bytes.len() < from + 2 {
            return;
        }
        let at = from + random.below(bytes.len() - from);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.next() as u8),
            4 => {
                let piece = bytes[at..bytes.len().min(at + random.below(60))].to_vec();
                let to = from + random.below(bytes.len() - from);
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at.max(from + 1)),
        }
    }
}

/// An owner that uses everything, in no good order.
fn own(connection: &mut Connection, random: &mut Random) {
    let mut room = [0; 500];
    let mut request = RequestHead::default();
    let mut response = ResponseHead::default();
    let mut fields = Fields::default();
    while let Some(event) = connection.next_event() {
        let id = match event {
            Event::Request { id, .. }
            | Event::Response { id, .. }
            | Event::Informational { id }
            | Event::Data { id }
            | Event::EndOfBody { id }
            | Event::Trailers { id }
            | Event::HeadTooLarge { id }
            | Event::Writable { id }
            | Event::Reset { id, .. } => id,
            _ => continue,
        };
        match random.below(10) {
            0 => connection.release(id),
            1 => connection.reset(id, ErrorCode::CANCEL),
            2 => drop(connection.send_response(id, 200, [], random.below(2) == 0)),
            3 | 4 => drop(connection.send_data(id, &room, random.below(2) == 0)),
            5 => drop(connection.send_trailers(id, [])),
            _ => drop(connection.read_body(id, &mut room)),
        }
        connection.take_request(id, &mut request);
        connection.take_response(id, &mut response);
        connection.take_informational(id, &mut response);
        connection.take_trailers(id, &mut fields);
        assert!(request.target().len() < 70_000);
    }
    if random.below(3) == 0 {
        connection.advance_output(random.below(200));
    }
    let heap = connection.output().len() + connection.input.len();
    assert!(heap < 300_000, "{heap}");
    assert!(connection.streams_open() <= 256);
    assert_eq!(
        connection.active as usize,
        connection
            .streams
            .iter()
            .filter(|stream| stream.counted)
            .count()
    );
}

fn run(connection: &mut Connection, bytes: &[u8], random: &mut Random) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(300)));
        if connection.receive(piece).is_err() {
            assert!(connection.is_closed() && connection.wants_output());
            own(connection, random);
            return false;
        }
        own(connection, random);
        rest = after;
    }
    true
}

#[test]
fn spoilt_requests() {
    let mut survived = 0;
    for seed in 1..4000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = client_bytes(&mut random);
        spoil(&mut bytes, &mut random, PREFACE.len());
        let mut server = Connection::new(Config::server());
        survived += u32::from(run(&mut server, &bytes, &mut random));
    }
    // Both outcomes occur, or the test tests nothing.
    assert!((200..3800).contains(&survived), "{survived}");
}

#[test]
fn spoilt_responses() {
    let mut survived = 0;
    for seed in 1..4000u64 {
        let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95));
        let requests = 1 + random.below(4) as u32;
        let mut bytes = server_bytes(&mut random, requests);
        spoil(&mut bytes, &mut random, 0);
        let mut client = Connection::new(Config::client());
        for _ in 0..requests {
            client
                .open(pseudo(b"GET", b"/"), [], random.below(2) == 0)
                .unwrap();
        }
        survived += u32::from(run(&mut client, &bytes, &mut random));
    }
    assert!((200..3800).contains(&survived), "{survived}");
}

#[test]
fn pure_noise() {
    for seed in 1..2000u64 {
        let mut random = Random(seed);
        let mut server = server();
        let mut bytes = Vec::new();
        for _ in 0..40 {
            let payload: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
            let (kind, flags) = (random.below(11) as u8, random.next() as u8);
            bytes.extend(frame(kind, flags, random.below(6) as u32, &payload));
        }
        run(&mut server, &bytes, &mut random);
    }
}

//! Field sections of HTTP/2 against the crate `fluke-hpack`: requests whose sections share one dynamic table. What ours
//! takes, it decodes to the same lines.
//!
//! The bytes are sections: one byte for the length, which 255 lets run to the end, then the section.

use fluke_hpack::Decoder;
use fluke_hpack::decoder::DecoderError;
use seawall_model::RequestHead;
use seawall_net::h2::{Config, Connection, Event};

/// What a client begins with: its preface (RFC 9113 §3.4) and empty SETTINGS.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HEADERS, with END_STREAM and END_HEADERS (RFC 9113 §6.2).
const HEADERS: [u8; 2] = [1, 5];

type Line = (Vec<u8>, Vec<u8>);

pub fn sections(mut data: &[u8]) {
    let mut server = Connection::new(Config::server());
    server.receive(GREETING).expect("a greeting");
    let mut other = Decoder::new();
    let mut id = 1u32;
    while let Some((length, rest)) = data.split_first() {
        let length = match *length {
            255 => rest.len(),
            length => rest.len().min(length.into()),
        };
        let (section, rest) = rest.split_at(length);
        data = rest;
        let mut frame = (section.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&HEADERS);
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(section);
        if server.receive(&frame).is_err() {
            return;
        }
        let lines = match other.decode(section) {
            Ok(lines) => lines,
            // A section that says nothing but how large the table is has no line, and so is no request.
            Err(DecoderError::SizeUpdateAtEnd) => Vec::new(),
            Err(error) => panic!("decoded by ours alone: {error:?}"),
        };
        while let Some(event) = server.next_event() {
            let mut head = RequestHead::default();
            if let Event::Request { id: stream, .. } = event
                && server.take_request(stream, &mut head)
            {
                assert_eq!(stream, id);
                super::h2::assert_sound(&head);
                assert_same(&head, &lines);
                server.release(stream);
            }
        }
        server.advance_output(server.output().len());
        id += 2;
    }
}

/// Crumbs of cookies are joined (RFC 9113 §8.2.3), without those that say nothing; all else is as it was.
fn assert_same(head: &RequestHead, lines: &[Line]) {
    let is = |name: &[u8], want: &str| name == want.as_bytes();
    let first = |want: &str| {
        let found = lines.iter().find(|(name, _)| is(name, want));
        found.map(|(_, value)| value.as_slice())
    };
    assert_eq!(first(":method"), Some(head.method_bytes()));
    assert_eq!(first(":path").unwrap_or_default(), head.target());
    if let Some(authority) = first(":authority") {
        assert!(authority.eq_ignore_ascii_case(head.authority()));
    }
    let crumbs: Vec<&[u8]> = lines
        .iter()
        .filter(|(name, _)| is(name, "cookie"))
        .map(|(_, value)| value.as_slice())
        .filter(|crumb| !crumb.is_empty())
        .collect();
    let cookie = head.fields.named(b"cookie");
    assert_eq!(cookie.unwrap_or_default(), crumbs.join(&b"; "[..]));
    let apart = |name: &[u8]| name.starts_with(b":") || is(name, "cookie") || is(name, "host");
    let theirs = lines
        .iter()
        .filter(|(name, _)| !apart(name))
        .map(|(name, value)| (name.as_slice(), value.as_slice()));
    let ours = head
        .fields
        .iter()
        .filter(|field| !apart(field.name))
        .map(|field| (field.name, field.value));
    assert!(theirs.eq(ours), "{head:?}\n{lines:?}");
}

//! Bodies that go past the output, straight to the socket.

use super::*;

/// Two streams whose heads are sent, with windows that never close.
fn answering() -> Connection {
    let mut server = server();
    let open = frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    let wide = frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let asked = [headers(1, END, &GET), headers(3, END, &GET)].concat();
    server.receive(&[open, wide, asked].concat()).unwrap();
    while server.next_event().is_some() {}
    server.send_response(1, 200, [], false).unwrap();
    server.send_response(3, 200, [], false).unwrap();
    flush(&mut server);
    server
}

/// A socket that takes `most` bytes of what it is given.
fn taking(socket: &mut Vec<u8>, most: usize) -> impl FnMut(&[std::io::IoSlice<'_>]) -> usize {
    move |parts| {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        let took = all.len().min(most);
        socket.extend_from_slice(&all[..took]);
        took
    }
}

#[test]
fn frames_fill_tls_records_whatever_was_there_before() {
    let mut server = answering();
    let mut socket = Vec::new();
    let body = vec![7; 1_000_000];
    let took = server.send_through(1, &body, false, taking(&mut socket, usize::MAX));
    assert_eq!(took, Ok(crate::buffer::MEDIUM));
    assert_eq!(socket.len(), 4 * 16_384);
    assert_eq!(server.output(), b"");
    let sent = frames(&socket);
    assert!(
        sent.iter()
            .all(|(_, flags, id, content)| { (*flags, *id, content.len()) == (0, 1, 16_375) })
    );

    server.ping([1; 8]);
    socket.clear();
    let took = server.send_through(1, &body, false, taking(&mut socket, usize::MAX));
    assert_eq!(
        took,
        Ok(4 * 16_375 - 17),
        "the PING goes first and takes its room"
    );
    assert_eq!(socket.len(), 4 * 16_384);
    assert_eq!(frames(&socket)[0].0, kind::PING);
}

#[test]
fn what_the_socket_leaves_comes_out_of_the_output_unharmed() {
    let body: Vec<u8> = (0..40_000u32).map(|at| at as u8).collect();
    for most in [
        0, 1, 9, 10, 17, 16_384, 16_400, 32_768, 40_000, 40_043, 40_044,
    ] {
        let mut server = answering();
        server.ping([1; 8]);
        let mut socket = Vec::new();
        let took = server.send_through(1, &body, true, taking(&mut socket, most));
        assert_eq!(took, Ok(body.len()));
        socket.extend_from_slice(&flush(&mut server));
        let sent = frames(&socket);
        assert_eq!(sent[0].0, kind::PING);
        let content: Vec<u8> = sent[1..].iter().flat_map(|frame| frame.3.clone()).collect();
        assert!(content == body, "{most}");
        let ends: Vec<bool> = sent[1..]
            .iter()
            .map(|frame| frame.1 == flag::END_STREAM)
            .collect();
        assert_eq!(ends, [false, false, true]);
        assert_eq!(server.send_data(1, b"x", false), Err(StreamGone));
    }
}

#[test]
fn while_the_socket_is_full_all_wait_and_those_without_for_longest_come_first() {
    let mut server = answering();
    let body = vec![7; 100_000];
    assert_eq!(server.send_through(1, &body, false, |_| 20_000), Ok(65_500));
    server.stall();
    for id in [1, 3] {
        assert_eq!(server.may_send(id), Ok(None));
        assert_eq!(
            server.send_through(id, &body, false, |_| panic!("it is full")),
            Ok(0)
        );
    }
    flush(&mut server);
    assert_eq!(server.next_event(), None, "TLS may still hold some");
    server.resume();
    assert_eq!(server.next_event(), Some(Event::Writable { id: 3 }));
    assert_eq!(server.next_event(), Some(Event::Writable { id: 1 }));
    assert!(server.may_send(3).unwrap().unwrap() > 65_536);
}

#[test]
fn a_closed_window_is_told_from_a_full_socket() {
    let mut server = answering();
    let shut = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    server.receive(&shut).unwrap();
    flush(&mut server);
    server.stall();
    assert_eq!(
        server.may_send(1),
        Ok(Some(0)),
        "the end of a body needs no window"
    );
    assert_eq!(server.send_data(1, b"", true), Ok(0));
    assert_eq!(server.may_send(1), Err(StreamGone));
}

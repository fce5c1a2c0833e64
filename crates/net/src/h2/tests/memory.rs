//! What a connection keeps.

use super::*;

#[test]
fn an_idle_connection_is_small() {
    assert!(
        size_of::<Connection>() < 1100,
        "{}",
        size_of::<Connection>()
    );
    assert!(
        size_of::<stream::Stream>() < 640,
        "{}",
        size_of::<stream::Stream>()
    );
    let mut server = server();
    for round in 0..50 {
        let id = round * 2 + 1;
        let body = frame(kind::DATA, flag::END_STREAM, id, &[0; 16_000]);
        server
            .receive(&[headers(id, OPEN, &POST), body].concat())
            .unwrap();
        events(&mut server);
        server.send_response(id, 200, [], false).unwrap();
        server.send_data(id, &[0; 16_000], true).unwrap();
        server.release(id);
        flush(&mut server);
    }
    assert!(server.is_idle());
    server.shrink();
    assert_eq!(server.output.len(), 0);
    assert_eq!(server.input.capacity() + server.cookie.capacity(), 0);
    assert_eq!(server.events.capacity() + server.waiting.capacity(), 0);
    // And it goes on as if nothing had been.
    server.receive(&headers(201, END, &GET)).unwrap();
    assert_eq!(events(&mut server), [Event::Request { id: 201, end: true }]);
}

#[test]
fn a_slow_reader_of_bodies_costs_no_more_than_the_window() {
    let config = Config {
        connection_window: 100_000,
        ..Config::server()
    };
    let mut server = server_with(config);
    server.receive(&headers(1, OPEN, &POST)).unwrap();
    for _ in 0..6 {
        server
            .receive(&frame(kind::DATA, 0, 1, &[0; 16_000]))
            .unwrap();
    }
    assert_eq!(server.body_waiting(1), 96_000);
    assert_eq!(flush(&mut server), []);
    let mut room = vec![0; 60_000];
    assert_eq!(server.read_body(1, &mut room), 60_000);
    // Half of the connection's window, not of the stream's: one WINDOW_UPDATE.
    let sent = frames(&flush(&mut server));
    assert_eq!(
        sent,
        [(kind::WINDOW_UPDATE, 0, 0, 60_000u32.to_be_bytes().into())]
    );
}

//! One hostile peer each, and the honest one that resembles it.

use super::*;

const CALM: Answer = Answer::GoAway(ErrorCode::ENHANCE_YOUR_CALM);

/// Feeds what `each` makes until the connection has enough; how often that was.
fn until_calm(server: &mut Connection, most: u32, mut each: impl FnMut(u32) -> Vec<u8>) -> u32 {
    for round in 0..most {
        match answer(server, &each(round)) {
            CALM => return round,
            Answer::GoAway(code) => panic!("{}", code.name()),
            _ => {}
        }
        while server.next_event().is_some() {}
    }
    most
}

fn cancel(id: StreamId) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, id, &8u32.to_be_bytes())
}

#[test]
fn rapid_reset() {
    let mut hostile = server();
    let rounds = until_calm(&mut hostile, 1000, |round| {
        let id = round * 2 + 1;
        [headers(id, END, &GET), cancel(id)].concat()
    });
    assert_eq!(rounds, 200);
    assert_eq!(hostile.streams_open(), 0);

    // A stream that is cancelled before it was announced is not announced.
    let mut server = server();
    server
        .receive(&[headers(1, END, &GET), cancel(1)].concat())
        .unwrap();
    assert_eq!(events(&mut server), []);

    // An honest peer cancels half of what it asks for.
    for round in 0..2000 {
        let (one, two) = (round * 4 + 3, round * 4 + 5);
        server
            .receive(&[headers(one, END, &GET), headers(two, END, &GET)].concat())
            .unwrap();
        events(&mut server);
        respond(&mut server, one);
        server.receive(&cancel(two)).unwrap();
        assert_eq!(
            events(&mut server),
            [Event::Reset {
                id: two,
                code: ErrorCode::CANCEL
            }]
        );
        server.release(two);
        flush(&mut server);
    }
}

#[test]
fn resets_that_we_are_made_to_send() {
    let zero_update = |id| frame(kind::WINDOW_UPDATE, 0, id, &[0; 4]);
    let mut hostile = server();
    let rounds = until_calm(&mut hostile, 1000, |round| {
        let id = round * 2 + 1;
        [headers(id, END, &GET), zero_update(id)].concat()
    });
    assert_eq!(rounds, 100);
    // Malformed and refused requests count as well.
    let malformed = |round| headers(round * 2 + 1, END, &[(":method", "GET")]);
    assert_eq!(until_calm(&mut server(), 1000, malformed), 100);
    let mut busy = server_with(Config {
        max_concurrent_streams: 0,
        ..Config::server()
    });
    assert_eq!(
        until_calm(&mut busy, 1000, |round| headers(round * 2 + 1, END, &GET)),
        100
    );
}

#[test]
fn continuation_flood() {
    let mut hostile = server();
    hostile.receive(&headers(1, 0, &GET)).unwrap();
    let more = |_| frame(kind::CONTINUATION, 0, 1, &[]);
    assert_eq!(until_calm(&mut hostile, 1000, more), 32);
    let mut hostile = server();
    hostile.receive(&headers(1, 0, &GET)).unwrap();
    let more = |_| frame(kind::CONTINUATION, 0, 1, &[0; 16_384]);
    assert!(until_calm(&mut hostile, 1000, more) <= 8);
}

#[test]
fn acknowledgements_that_nobody_reads() {
    for bytes in [
        frame(kind::PING, 0, 0, &[0; 8]),
        frame(kind::SETTINGS, 0, 0, &[]),
    ] {
        let mut hostile = server();
        let error = hostile.receive(&bytes.repeat(1000)).unwrap_err();
        assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM);
        assert!(hostile.output().len() < 4096);
    }
    // Answered one by one, pings may come for ever.
    let ping = |_| frame(kind::PING, 0, 0, &[0; 8]);
    assert_eq!(until_calm(&mut server(), 10_000, ping), 10_000);
}

#[test]
fn control_frames_that_nobody_reads() {
    let config = Config {
        limits: Limits {
            provoked_resets: 1_000_000,
            ..Limits::default()
        },
        ..Config::server()
    };
    let mut hostile = server_with(config);
    let mut bytes = Vec::new();
    for round in 0..10_000 {
        bytes.extend(headers(round * 2 + 1, END, &[(":method", "GET")]));
    }
    assert_eq!(
        hostile.receive(&bytes).unwrap_err().code,
        ErrorCode::ENHANCE_YOUR_CALM
    );
    assert!(hostile.output().len() < 40_000);
}

#[test]
fn frames_without_use() {
    type Flood = (&'static str, fn(u32) -> Vec<u8>);
    let floods: [Flood; 7] = [
        ("empty DATA", |_| frame(kind::DATA, 0, 1, &[])),
        ("padding only", |_| frame(kind::DATA, flag::PADDED, 1, &[0])),
        ("PRIORITY", |_| frame(kind::PRIORITY, 0, 1, &[0; 5])),
        ("WINDOW_UPDATE", |_| {
            frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
        }),
        ("WINDOW_UPDATE of all", |_| {
            frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        }),
        ("SETTINGS", |_| frame(kind::SETTINGS, 0, 0, &[])),
        ("unknown", |_| frame(0xee, 0, 0, &[])),
    ];
    for (name, each) in floods {
        let mut hostile = server();
        hostile.receive(&headers(1, OPEN, &POST)).unwrap();
        let rounds = until_calm(&mut hostile, 10_000, each);
        assert!((1_900..2_100).contains(&rounds), "{name}: {rounds}");
    }
    // Empty HEADERS are malformed trailers or requests, and resets on closed streams are counted.
    let mut hostile = server();
    hostile
        .receive(&[headers(1, END, &GET), cancel(1)].concat())
        .unwrap();
    assert!(until_calm(&mut hostile, 10_000, |_| cancel(1)) < 2_100);
    let empty = |round| headers(round * 2 + 1, END, &[]);
    assert_eq!(until_calm(&mut server(), 1000, empty), 100);
}

#[test]
fn an_honest_reader_may_update_its_windows_with_every_frame() {
    let mut server = server();
    server.receive(&headers(1, END, &GET)).unwrap();
    events(&mut server);
    server.send_response(1, 200, [], false).unwrap();
    for _ in 0..20_000 {
        assert_eq!(server.send_data(1, &[0; 100], false), Ok(100));
        flush(&mut server);
        for id in [0, 1] {
            server
                .receive(&frame(kind::WINDOW_UPDATE, 0, id, &[0, 0, 0, 100]))
                .unwrap();
        }
    }
}

#[test]
fn header_bombs_are_answered_not_stored() {
    // One entry of 4,000 bytes, then references to it: 16,000 bytes would become 64 MB.
    let mut bomb = vec![
        0x82, 0x87, 0x84, 0x41, 1, b'a', 0x40, 1, b'x', 0x7f, 0xa1, 0x1e,
    ];
    bomb.extend([b'y'; 4000]);
    let mut server = server();
    server
        .receive(&frame(kind::HEADERS, END, 1, &bomb))
        .unwrap();
    events(&mut server);
    let mut second = vec![0x82, 0x87, 0x84, 0x41, 1, b'b'];
    second.extend([0xbe; 12_000]);
    // `:authority` has evicted nothing: the entry is second now.
    second[6..].fill(0xbf);
    server
        .receive(&frame(kind::HEADERS, END, 3, &second))
        .unwrap();
    assert_eq!(events(&mut server), [Event::HeadTooLarge { id: 3 }]);
    let mut head = RequestHead::default();
    assert!(!server.take_request(3, &mut head));
    server.send_response(3, 431, [], true).unwrap();
    server.release(3);
    // The connection goes on, its tables in step.
    server
        .receive(&frame(kind::HEADERS, END, 5, &[0x82, 0x87, 0x84, 0xbe]))
        .unwrap();
    assert_eq!(events(&mut server), [Event::Request { id: 5, end: true }]);
    assert!(server.take_request(5, &mut head));
    assert_eq!(head.authority(), b"b");
}

#[test]
fn trailers_have_a_limit_too() {
    let mut server = server();
    server.receive(&headers(1, OPEN, &POST)).unwrap();
    let mut bytes = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    bytes.extend([b'y'; 4000]);
    bytes.extend([0xbe; 100]);
    let answered = answer(&mut server, &frame(kind::HEADERS, END, 1, &bytes));
    assert_eq!(answered, Answer::Reset(1, ErrorCode::ENHANCE_YOUR_CALM));
}

#[test]
fn closed_streams_that_are_not_released_hold_places() {
    let limits = Limits {
        resets: 1000,
        ..Limits::default()
    };
    let mut server = server_with(Config {
        max_concurrent_streams: 4,
        limits,
        ..Config::server()
    });
    for round in 0..20 {
        let id = round * 2 + 1;
        server.receive(&headers(id, END, &GET)).unwrap();
        events(&mut server);
        server.receive(&cancel(id)).unwrap();
    }
    assert_eq!(server.streams_open(), 8);
}

#[test]
fn output_stops_at_the_high_water_mark() {
    let mut server = server();
    let open = frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    let wide = frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    server
        .receive(&[open, wide, headers(1, END, &GET)].concat())
        .unwrap();
    events(&mut server);
    server.send_response(1, 200, [], false).unwrap();
    let body = vec![0; 1_000_000];
    let taken = server.send_data(1, &body, true).unwrap();
    assert!((60_000..=65_536).contains(&taken));
    assert_eq!(server.send_data(1, &body, true), Ok(0));
    assert!(server.output_is_full() && server.output().len() < 66_000);
    assert_eq!(server.blocked_streams(), 0);
    server.advance_output(10_000);
    assert_eq!(events(&mut server), []);
    server.advance_output(30_000);
    assert_eq!(events(&mut server), [Event::Writable { id: 1 }]);
}

#[test]
fn no_stream_starves_another() {
    const STREAMS: usize = 20;
    let mut server = server();
    let open = frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    let wide = frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    server.receive(&[open, wide].concat()).unwrap();
    let body = vec![0; 300_000];
    let mut sent = [0usize; STREAMS];
    for (stream, sent) in sent.iter_mut().enumerate() {
        let id = stream as u32 * 2 + 1;
        server.receive(&headers(id, END, &GET)).unwrap();
        events(&mut server);
        server.send_response(id, 200, [], false).unwrap();
        // The first takes all there is; all of them ask.
        while let Ok(length @ 1..) = server.send_data(id, &body, false) {
            *sent += length;
        }
    }
    for _ in 0..400 {
        let part = server.output().len().min(20_000);
        server.advance_output(part);
        for event in events(&mut server) {
            let Event::Writable { id } = event else {
                panic!("{event:?}")
            };
            while let Ok(length @ 1..) = server.send_data(id, &body, false) {
                sent[id as usize / 2] += length;
            }
        }
    }
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(*least > 200_000 && most - least < 150_000, "{sent:?}");
}

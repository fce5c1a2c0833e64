//! A client and a server joined by pipes that cut the bytes anywhere.

use super::*;
use seawall_model::{Fields, ResponseHead};
use std::collections::HashMap;

/// Moves some of one side's output to the other.
fn pump(from: &mut Connection, to: &mut Connection, random: &mut Random) {
    let most = if random.below(4) == 0 { 20 } else { 70_000 };
    let part = from.output().len().min(1 + random.below(most));
    let bytes = from.output()[..part].to_vec();
    from.advance_output(part);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(9000)));
        to.receive(piece).unwrap();
        rest = after;
    }
}

/// The byte at a place of a stream's body, so that any shift or mix-up shows.
fn byte(id: StreamId, at: usize) -> u8 {
    (at * 31 + at / 251 + id as usize * 7) as u8
}

struct Sender {
    length: usize,
    sent: usize,
    trailers: bool,
    done: bool,
}

impl Sender {
    fn push(&mut self, connection: &mut Connection, id: StreamId) {
        while !self.done {
            let upto = self.length.min(self.sent + 50_000);
            let chunk: Vec<u8> = (self.sent..upto).map(|at| byte(id, at)).collect();
            let last = upto == self.length;
            if chunk.is_empty() && self.trailers {
                let fields: [(&[u8], &[u8]); 1] = [(b"X-Sum", b"1")];
                connection.send_trailers(id, fields).unwrap();
                self.done = true;
                return;
            }
            let end = last && !self.trailers;
            let taken = connection.send_data(id, &chunk, end).unwrap();
            self.sent += taken;
            self.done = end && taken == chunk.len();
            if taken == 0 && !chunk.is_empty() {
                return;
            }
        }
    }
}

#[derive(Default)]
struct Receiver {
    received: usize,
    trailers: bool,
    ended: bool,
}

impl Receiver {
    fn pull(&mut self, connection: &mut Connection, id: StreamId, room: &mut [u8]) {
        loop {
            let length = connection.read_body(id, room);
            if length == 0 {
                break;
            }
            for value in &room[..length] {
                assert_eq!(*value, byte(id, self.received));
                self.received += 1;
            }
        }
        let mut fields = Fields::default();
        if connection.take_trailers(id, &mut fields) {
            assert_eq!(fields.named(b"x-sum"), Some(&b"1"[..]));
            self.trailers = true;
        }
        self.ended = connection.body_ended(id);
    }
}

struct Plan {
    up: usize,
    down: usize,
    trailers: bool,
    early: bool,
}

fn exchange(seed: u64, plans: &[Plan]) {
    let mut random = Random(seed);
    let mut client = Connection::new(Config::client());
    let mut server = Connection::new(Config::server());
    let mut room = vec![0; 30_000];
    let mut ups: HashMap<StreamId, (Sender, Receiver)> = HashMap::new();
    let mut downs: HashMap<StreamId, (Sender, Receiver)> = HashMap::new();
    let mut next = 0;
    let mut finished = 0;
    let mut turns = 0;
    while finished < plans.len() || !downs.is_empty() {
        turns += 1;
        assert!(turns < 200_000, "it stands still");
        while next < plans.len() && client.may_open() && random.below(3) > 0 {
            let plan = &plans[next];
            let path = format!("/{next}");
            let value = format!("value-{}", next % 5);
            let fields: [(&[u8], &[u8]); 2] = [
                (b"X-Test", value.as_bytes()),
                (b"Accept-Encoding", value.as_bytes()),
            ];
            let bare = plan.up == 0 && !plan.trailers;
            let id = client
                .open(pseudo(b"POST", path.as_bytes()), fields, bare)
                .unwrap();
            let mut sender = Sender {
                length: plan.up,
                sent: 0,
                trailers: plan.trailers,
                done: bare,
            };
            sender.push(&mut client, id);
            ups.insert(id, (sender, Receiver::default()));
            next += 1;
        }
        pump(&mut client, &mut server, &mut random);
        while let Some(event) = server.next_event() {
            match event {
                Event::Request { id, .. } => {
                    let mut head = RequestHead::default();
                    assert!(server.take_request(id, &mut head));
                    let plan = &plans[std::str::from_utf8(&head.target()[1..])
                        .unwrap()
                        .parse::<usize>()
                        .unwrap()];
                    if plan.early {
                        let fields: [(&[u8], &[u8]); 1] = [(b"link", b"</x>")];
                        server.send_informational(id, 103, fields).unwrap();
                    }
                    let fields: [(&[u8], &[u8]); 2] =
                        [(b"Server", b"loop"), (b"Vary", head.target())];
                    server.send_response(id, 200, fields, false).unwrap();
                    let mut sender = Sender {
                        length: plan.down,
                        sent: 0,
                        trailers: plan.trailers,
                        done: false,
                    };
                    sender.push(&mut server, id);
                    let mut receiver = Receiver::default();
                    receiver.pull(&mut server, id, &mut room);
                    downs.insert(id, (sender, receiver));
                }
                Event::Data { id } | Event::EndOfBody { id } | Event::Trailers { id } => {
                    if let Some((_, receiver)) = downs.get_mut(&id) {
                        receiver.pull(&mut server, id, &mut room);
                    }
                }
                Event::Writable { id } => {
                    let (sender, _) = downs.get_mut(&id).unwrap();
                    sender.push(&mut server, id);
                }
                Event::Settings | Event::SettingsAcked => {}
                event => panic!("{event:?}"),
            }
        }
        downs.retain(|id, (sender, receiver)| {
            let done = sender.done && receiver.ended;
            if done {
                assert_eq!(receiver.received, plans[*id as usize / 2].up);
                assert_eq!(receiver.trailers, plans[*id as usize / 2].trailers);
                server.release(*id);
            }
            !done
        });
        pump(&mut server, &mut client, &mut random);
        while let Some(event) = client.next_event() {
            match event {
                Event::Response { id, .. } => {
                    let mut head = ResponseHead::default();
                    assert!(client.take_response(id, &mut head));
                    assert_eq!(head.fields.named(b"server"), Some(&b"loop"[..]));
                    assert_eq!(
                        head.fields.named(b"vary"),
                        Some(format!("/{}", id / 2).as_bytes())
                    );
                }
                Event::Informational { id } => {
                    let mut head = ResponseHead::default();
                    assert!(client.take_informational(id, &mut head) && head.status == 103);
                }
                Event::Data { id } | Event::EndOfBody { id } | Event::Trailers { id } => {
                    ups.get_mut(&id).unwrap().1.pull(&mut client, id, &mut room);
                }
                Event::Writable { id } => ups.get_mut(&id).unwrap().0.push(&mut client, id),
                Event::Settings | Event::SettingsAcked => {}
                event => panic!("{event:?}"),
            }
        }
        ups.retain(|id, (sender, receiver)| {
            let done = sender.done && receiver.ended;
            if done {
                assert_eq!(receiver.received, plans[*id as usize / 2].down);
                assert_eq!(receiver.trailers, plans[*id as usize / 2].trailers);
                client.release(*id);
                finished += 1;
            }
            !done
        });
    }
    while client.wants_output() || server.wants_output() {
        pump(&mut client, &mut server, &mut random);
        pump(&mut server, &mut client, &mut random);
    }
    assert_eq!((client.streams_open(), server.streams_open()), (0, 0));
    assert!(client.is_idle() && server.is_idle());
}

#[test]
fn bodies_of_megabytes_both_ways() {
    let plans: Vec<_> = (0..6)
        .map(|at| Plan {
            up: 3_000_000,
            down: 2_500_000,
            trailers: at % 2 == 0,
            early: at % 3 == 0,
        })
        .collect();
    exchange(0x5eed, &plans);
}

#[test]
fn many_small_exchanges() {
    for seed in 1..6u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let plans: Vec<_> = (0..400)
            .map(|_| Plan {
                up: if random.below(2) == 0 {
                    0
                } else {
                    random.below(3000)
                },
                down: random.below(90_000) / (1 + random.below(100)),
                trailers: random.below(3) == 0,
                early: random.below(4) == 0,
            })
            .collect();
        exchange(random.next(), &plans);
    }
}

#[test]
fn resets_in_the_middle_leave_the_windows_whole() {
    let mut random = Random(77);
    let mut client = Connection::new(Config::client());
    let mut server = Connection::new(Config::server());
    let body = vec![0; 200_000];
    for round in 0..300 {
        // Both sides send, then one of them gives up, the server now and then without reading anything.
        let id = client.open(pseudo(b"POST", b"/"), [], false).unwrap();
        client.send_data(id, &body, false).unwrap();
        pump(&mut client, &mut server, &mut random);
        for event in events(&mut server) {
            if let Event::Request { id, .. } = event {
                server.send_response(id, 200, [], false).unwrap();
                server.send_data(id, &body, round % 3 == 0).unwrap();
            }
        }
        pump(&mut server, &mut client, &mut random);
        events(&mut client);
        client.release(id);
        for _ in 0..20 {
            pump(&mut client, &mut server, &mut random);
            pump(&mut server, &mut client, &mut random);
        }
        for event in events(&mut server) {
            match event {
                Event::Reset { id, .. } => server.release(id),
                Event::Request { id, .. } => respond(&mut server, id),
                _ => {}
            }
        }
        if round % 2 == 0 {
            // Earns back what the cancelling spends.
            let id = client.open(pseudo(b"GET", b"/"), [], true).unwrap();
            while client.wants_output() {
                pump(&mut client, &mut server, &mut random);
            }
            for event in events(&mut server) {
                match event {
                    Event::Request { id, .. } => respond(&mut server, id),
                    Event::Reset { id, .. } => server.release(id),
                    _ => {}
                }
            }
            while server.wants_output() {
                pump(&mut server, &mut client, &mut random);
            }
            events(&mut client);
            client.release(id);
        }
    }
    while client.wants_output() || server.wants_output() {
        pump(&mut client, &mut server, &mut random);
        pump(&mut server, &mut client, &mut random);
    }
    assert_eq!(client.streams_open(), 0);
    // A body as large as the windows passes still.
    let id = client.open(pseudo(b"POST", b"/"), [], false).unwrap();
    let mut sent = 0;
    let mut room = vec![0; 65_536];
    while sent < 5_000_000 {
        sent += client.send_data(id, &body, false).unwrap();
        pump(&mut client, &mut server, &mut random);
        while server.read_body(id, &mut room) > 0 {}
        pump(&mut server, &mut client, &mut random);
        events(&mut client);
        events(&mut server);
    }
}

//! Datagrams to a QUIC server that is configured as ours is. Bytes that a fuzzer makes up would fail at the first tag of
//! the packet protection, so it makes up what is within: the frames of Initials, which are sealed here as any client can seal
//! them (RFC 9001 §5.2).
//!
//! The bytes: how (1), the length of the destination id (1), then packets, each of two bytes of length and its frames. Bits of
//! how: 1 a version that nobody speaks, 2 the server asks for a Retry, 4 nothing is sealed, 8 a token.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, ServerConfig,
};
use rustls::quic::{DirectionalKeys, Suite, Version};
use seawall_net::quic::cid::{LENGTH, Place};
use seawall_net::quic::{Common, Limits, Told, Unproven};

/// What may be sent to an address that is not proven, for each byte that came from it (RFC 9000 §8).
const AMPLIFICATION: usize = 3;
/// Packets of one run.
const MOST: usize = 8;

pub fn datagrams(data: &[u8]) {
    places(data);
    let [how, id, rest @ ..] = data else { return };
    let mut server = Server::new(how & 2 != 0);
    let client = Client::new(how & 8 != 0, usize::from(*id) % 21);
    let mut rest = rest;
    for number in 0..MOST {
        let [high, low, more @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (frames, later) = more.split_at(length);
        rest = later;
        let mut datagram = client.initial(number as u8, frames, how & 4 == 0);
        if how & 1 != 0 {
            datagram[1..5].copy_from_slice(&[0x0a, 0x1a, 0x2a, 0x3a]);
        }
        server.take(&datagram);
    }
    server.end();
}

/// A place is read out of a datagram only where an id of our length stands.
fn places(data: &[u8]) {
    let Some(place) = Place::of_datagram(data) else {
        return;
    };
    let long = data[0] & 0x80 != 0;
    let at = if long { 6 } else { 1 };
    assert!(!long || usize::from(data[5]) == LENGTH);
    assert_eq!(Place::of(&data[at..at + LENGTH]), Some(place));
    assert_eq!(data[at], place.generation);
    assert_eq!(data[at + 1..at + 3], place.thread.to_be_bytes());
}

/// What seals Initials of a client, as RFC 9001 §5.2 says, by rustls' own hand.
struct Client {
    keys: DirectionalKeys,
    head: Vec<u8>,
}

impl Client {
    fn new(token: bool, id_length: usize) -> Self {
        let id = vec![0x5e; id_length];
        let keys = suite().keys(&id, rustls::Side::Client, Version::V1).local;
        // Long header, Initial, a packet number of one byte; version 1; both ids (RFC 9000 §17.2.2).
        let mut head = vec![0xc0, 0, 0, 0, 1, id_length as u8];
        head.extend_from_slice(&id);
        head.extend_from_slice(&[2, 7, 7]);
        let token: &[u8] = if token { &[9; 40] } else { &[] };
        head.push(token.len() as u8);
        head.extend_from_slice(token);
        Self { keys, head }
    }

    fn initial(&self, number: u8, frames: &[u8], seal: bool) -> Vec<u8> {
        let mut packet = self.head.clone();
        // Initials of clients fill 1200 bytes (RFC 9000 §14.1); what is added is PADDING, whose type is 0.
        let fixed = self.head.len() + 2 + 1 + 16;
        let payload = frames.len().max(1200 - fixed).max(4);
        let length = 1 + payload + 16;
        packet.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
        let number_at = packet.len();
        packet.push(number);
        let body_at = packet.len();
        packet.extend_from_slice(frames);
        packet.resize(body_at + payload, 0);
        if !seal {
            packet.extend_from_slice(&[0; 16]);
            return packet;
        }
        let (head, body) = packet.split_at_mut(body_at);
        let tag = self.keys.packet.encrypt_in_place(number.into(), head, body);
        packet.extend_from_slice(tag.expect("a packet that is sealed").as_ref());
        let sample = packet[number_at + 4..number_at + 20].to_vec();
        let (first, rest) = packet.split_at_mut(1);
        let number = &mut rest[number_at - 1..number_at];
        let hidden = self
            .keys
            .header
            .encrypt_in_place(&sample, &mut first[0], number);
        hidden.expect("a header that is hidden");
        packet
    }
}

fn suite() -> Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    *SUITE.get_or_init(|| {
        let suites = rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
        let found = suites.iter().find_map(|suite| match suite {
            rustls::SupportedCipherSuite::Tls13(suite)
                if suite.common.suite == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 =>
            {
                suite.quic_suite()
            }
            _ => None,
        });
        found.expect("the suite of Initials")
    })
}

/// A server by our configuration, without sockets.
struct Server {
    endpoint: Endpoint,
    config: Arc<ServerConfig>,
    connection: Option<(ConnectionHandle, Connection)>,
    now: Instant,
    retries: bool,
    received: usize,
    sent: usize,
}

impl Server {
    fn new(retries: bool) -> Self {
        static COMMON: OnceLock<Common> = OnceLock::new();
        let common = COMMON.get_or_init(|| Common::new(Arc::new(super::hello::choose)).unwrap());
        let config = common.server(Limits {
            streams: 4,
            idle: Duration::from_secs(30),
        });
        let mut endpoint = EndpointConfig::default();
        endpoint.supported_versions(vec![1]);
        Self {
            endpoint: Endpoint::new(Arc::new(endpoint), Some(config.clone()), true, None),
            config,
            connection: None,
            now: Instant::now(),
            retries,
            received: 0,
            sent: 0,
        }
    }

    fn take(&mut self, datagram: &[u8]) {
        self.received += datagram.len();
        let from = SocketAddr::from(([192, 0, 2, 1], 4433));
        let bytes = BytesMut::from(datagram);
        let mut out = Vec::new();
        let event = self
            .endpoint
            .handle(self.now, from, None, None, bytes, &mut out);
        match event {
            None => {}
            Some(DatagramEvent::Response(transmit)) => self.sent += transmit.size,
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.retries => {
                match self.endpoint.retry(incoming, &mut out) {
                    Ok(transmit) => self.sent += transmit.size,
                    Err(error) => self.endpoint.ignore(error.into_incoming()),
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let config = Some(self.config.clone());
                match self.endpoint.accept(incoming, self.now, &mut out, config) {
                    Ok(accepted) => self.connection = Some(accepted),
                    Err(error) => self.sent += error.response.map_or(0, |transmit| transmit.size),
                }
            }
        }
        self.advance();
    }

    /// Lets the connection say all that it has to say now.
    fn advance(&mut self) {
        let Some((handle, connection)) = &mut self.connection else {
            return assert!(self.sent <= self.received, "without a connection");
        };
        let mut out = Vec::new();
        loop {
            let mut unproven = Unproven::new(self.received, false, false);
            unproven.sent(self.sent);
            let may = unproven.datagrams(10);
            let transmit = (may > 0).then(|| connection.poll_transmit(self.now, may, &mut out));
            let Some(transmit) = transmit.flatten() else {
                break;
            };
            self.sent += transmit.size;
            out.clear();
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while connection.poll().is_some() {}
        let most = AMPLIFICATION * self.received;
        assert!(self.sent <= most, "{} sent", self.sent);
        let told = connection.crypto_session().handshake_data();
        if let Some(told) = told.and_then(|told| told.downcast::<Told>().ok()) {
            assert_eq!(&*told.server_name, "a.test");
            let whole = told.client_hello.get(1..4).expect("its length");
            let whole = 4 + u32::from_be_bytes([0, whole[0], whole[1], whole[2]]) as usize;
            assert!(told.client_hello[0] == 1 && told.client_hello.len() >= whole);
        }
    }

    /// Time passes: nothing more comes, and the connection must end by itself.
    fn end(&mut self) {
        for _ in 0..64 {
            let Some((_, connection)) = &mut self.connection else {
                return;
            };
            if connection.is_drained() {
                return;
            }
            let due = connection.poll_timeout();
            let due = due.expect("a connection that waits for ever");
            self.now = self.now.max(due);
            connection.handle_timeout(self.now);
            self.advance();
        }
        panic!("a connection without end");
    }
}

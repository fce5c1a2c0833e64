//! Handshakes that come in pieces, and datagrams that arrive on the wrong thread.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::crypto::ServerConfig as _;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ClientConfig, ConnectionId, EndpointConfig, Side};
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Version};

use super::cid::LENGTH;
use super::session::Sessions;
use super::*;
use crate::tls::config;

fn client_config() -> Arc<rustls::ClientConfig> {
    let made = config::origin(config::OriginWants {
        unverified: true,
        ..config::OriginWants::default()
    });
    let mut client = rustls::ClientConfig::clone(&made.unwrap());
    client.alpn_protocols = vec![b"h3".to_vec()];
    Arc::new(client)
}

/// One name is known.
fn choose() -> Choose {
    let (chain, key) = config::self_signed(vec!["a.test".into()]).unwrap();
    let identity = config::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let made = config::server(config::ServerWants {
        certificate: Some(identity.signer().unwrap()),
        only_tls13: true,
        client: config::ClientCertificate::Off,
        client_authorities: b"",
    });
    let mut server = rustls::ServerConfig::clone(&made.unwrap());
    server.alpn_protocols = vec![b"h3".to_vec()];
    let server = Arc::new(server);
    Arc::new(move |name: &str| (name == "a.test").then(|| server.clone()))
}

fn hello(name: &'static str) -> Vec<u8> {
    let name = ServerName::try_from(name).unwrap();
    // An empty list of transport parameters is one.
    let mut client = ClientConnection::new(client_config(), Version::V1, name, vec![]).unwrap();
    let mut bytes = Vec::new();
    client.write_hs(&mut bytes);
    bytes
}

fn session() -> Box<dyn quinn_proto::crypto::Session> {
    let sessions = Arc::new(Sessions::new(choose()).unwrap());
    let defaults = TransportParameters::read(Side::Client, &mut &[][..]).unwrap();
    sessions.start_session(1, &defaults)
}

#[test]
fn a_client_hello_is_kept_as_it_came_in_whatever_pieces() {
    let hello = hello("a.test");
    for size in [1, 100, 1200, hello.len()] {
        let mut session = session();
        let mut told = 0;
        for piece in hello.chunks(size) {
            assert!(session.handshake_data().is_none());
            told += u32::from(session.read_handshake(piece).unwrap());
        }
        assert_eq!(told, 1);
        let data = session.handshake_data().unwrap().downcast::<Told>();
        let data = *data.ok().unwrap();
        assert_eq!(&*data.server_name, "a.test");
        assert_eq!(*data.client_hello, *hello);
        assert!(session.write_handshake(&mut Vec::new()).is_some());
    }
}

#[test]
fn names_and_bytes_that_lead_nowhere_end_the_handshake() {
    let code = |bytes: &[u8]| {
        let error = session().read_handshake(bytes).unwrap_err();
        u64::from(error.code)
    };
    assert_eq!(code(&hello("b.test")), 0x100 + 112);
    assert_eq!(code(b"\x01\x00\x00\x02\x03\x03"), 0x100 + 50);
    assert_eq!(code(&[0xff; 100]), 0x100 + 50);
    let mut session = session();
    // Said to be long, and never whole.
    let mut failed = session.read_handshake(b"\x01\x00\xff\xff").is_err();
    for _ in 0..20 {
        failed = failed || session.read_handshake(&[0; 1024]).is_err();
    }
    assert!(failed);
}

/// A client's first datagram, to a destination id of its own choice.
fn first_datagram(id: [u8; LENGTH], to: SocketAddr) -> Vec<u8> {
    let mut config = ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(client_config()).unwrap(),
    ));
    config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&id)));
    let mut endpoint =
        quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
    let (_, mut connection) = endpoint
        .connect(Instant::now(), config, to, "a.test")
        .unwrap();
    let mut bytes = Vec::new();
    let transmit = connection.poll_transmit(Instant::now(), 1, &mut bytes);
    assert!(transmit.is_some());
    bytes
}

#[test]
fn threads_pass_on_what_is_not_theirs() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        // Not steered by the kernel: one socket for each, at ports of their own.
        let sockets = [(); 2].map(|()| bind("127.0.0.1:0".parse().unwrap(), false).unwrap());
        let addresses = [0, 1].map(|nth: usize| sockets[nth].local_addr().unwrap());
        let group = Group::of(sockets.into(), 5);
        let common = Common::new(choose()).unwrap();
        let seen = Rc::new([Cell::new(0), Cell::new(0)]);
        for (nth, part) in group.split().into_iter().enumerate() {
            let (endpoint, mailbox) = Endpoint::new(part, &common).unwrap();
            let seen = seen.clone();
            let judge = move |_: Arrival| {
                seen[nth].set(seen[nth].get() + 1);
                Verdict::<()>::Ignore
            };
            tokio::task::spawn_local(endpoint.run(mailbox, judge, |_, ()| {}));
        }
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for place in [0u8, 1] {
            for to in addresses {
                let mut id = [9; LENGTH];
                id[..3].copy_from_slice(&[5, 0, place]);
                client.send_to(&first_datagram(id, to), to).await.unwrap();
            }
        }
        // Of another generation, or of no thread that there is: it stays where it came.
        for front in [[6, 0, 1], [5, 0, 7]] {
            let mut id = [9; LENGTH];
            id[..3].copy_from_slice(&front);
            let to = addresses[0];
            client.send_to(&first_datagram(id, to), to).await.unwrap();
        }
        while seen[0].get() + seen[1].get() < 6 {
            tokio::task::yield_now().await;
        }
        assert_eq!((seen[0].get(), seen[1].get()), (4, 2));
    });
}

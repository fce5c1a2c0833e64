//! A client's handshake: read the ClientHello, keep it, let the caller choose the configuration, finish.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::ServerConfig;
use rustls::server::Acceptor;
use seawall_model::TlsFacts;
use tokio::net::TcpStream;

use super::hello::{Tee, client_hello};
use super::{ACME_ALPN, Socket, TlsFault, TlsStream, closed_early};
use crate::alarm::Alarm;
use crate::stream::Tcp;

/// A client's TLS connection, its handshake done.
pub struct Accepted {
    /// The connection's bytes.
    pub stream: TlsStream,
    /// What the handshake told.
    pub facts: TlsFacts,
    /// The client speaks HTTP/2 (ALPN `h2`).
    pub http2: bool,
    /// It was a TLS-ALPN-01 challenge, which is answered by now: nothing is served on it.
    pub challenge: bool,
}

/// What a client asks for.
pub struct Asked<'a> {
    /// The server name (lower case, empty without SNI).
    pub name: &'a str,
    /// An authority looks for a TLS-ALPN-01 challenge: it offers `acme-tls/1` and nothing else (RFC 8737 §3).
    pub challenge: bool,
}

/// Does the handshake. `choose` gets what the client asks for and answers with a configuration, or
/// none, which ends the handshake with `unrecognized_name`.
///
/// # Errors
/// [`TlsFault`].
pub async fn accept(
    tcp: TcpStream,
    alarm: &mut Alarm,
    choose: impl FnOnce(Asked<'_>) -> Option<Arc<ServerConfig>>,
) -> Result<Accepted, TlsFault> {
    let tcp = Tcp::from(tcp);
    let mut first_flight = Vec::with_capacity(1024);
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        let read = alarm
            .within(|cx| {
                let mut tee = Tee {
                    from: Socket { tcp: &tcp, cx },
                    copy: &mut first_flight,
                };
                match acceptor.read_tls(&mut tee) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                    result => Poll::Ready(result),
                }
            })
            .await??;
        if read == 0 {
            return Err(closed_early().into());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                let _ = alert.write_all(&mut now(&tcp, &mut noop()));
                return Err(error.into());
            }
        }
    };
    let hello = accepted.client_hello();
    let server_name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
    let challenge = hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME_ALPN) && offered.next().is_none());
    let asked = Asked {
        name: &server_name,
        challenge,
    };
    let Some(config) = choose(asked) else {
        let _ = tcp.poll_write(&mut noop(), &UNRECOGNIZED_NAME);
        return Err(TlsFault::UnknownName);
    };
    let connection = match accepted.into_connection(config) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            let _ = alert.write_all(&mut now(&tcp, &mut noop()));
            return Err(error.into());
        }
    };
    let stream = TlsStream::new(tcp, connection.into());
    alarm.within(|cx| stream.poll_handshake(cx)).await??;
    let facts = facts(&stream, server_name.into(), client_hello(&first_flight));
    let http2 = stream.has_alpn(b"h2");
    Ok(Accepted {
        stream,
        facts,
        http2,
        challenge,
    })
}

/// What can be written without waiting: an alert before a close.
fn now<'a, 'b, 'c>(tcp: &'a Tcp, cx: &'b mut Context<'c>) -> Socket<'a, 'b, 'c> {
    Socket { tcp, cx }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A fatal alert `unrecognized_name` (112) in a record of its own (RFC 6066 §3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

fn facts(stream: &TlsStream, server_name: Box<str>, client_hello: Box<[u8]>) -> TlsFacts {
    let tls = stream.tls.borrow();
    TlsFacts {
        version: match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        server_name,
        resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        client_verified: tls.peer_certificates().is_some(),
        client_hello,
    }
}

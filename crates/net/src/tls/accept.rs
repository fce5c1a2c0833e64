//! A client's handshake: read the ClientHello, keep it, let the caller choose the configuration, finish.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use seawall_model::TlsFacts;
use tokio::net::TcpStream;

use super::hello::{Tee, client_hello};
use super::{Socket, TlsFault, TlsStream, closed_early};
use crate::alarm::Alarm;

/// A client's TLS connection, its handshake done.
pub struct Accepted {
    /// The connection's bytes.
    pub stream: TlsStream,
    /// What the handshake told.
    pub facts: TlsFacts,
    /// The client speaks HTTP/2 (ALPN `h2`).
    pub http2: bool,
}

/// Does the handshake. `choose` gets the server name (lower case, empty without SNI) and answers with a configuration, or
/// none, which ends the handshake with `unrecognized_name`.
///
/// # Errors
/// [`TlsFault`].
pub async fn accept(
    tcp: TcpStream,
    alarm: &mut Alarm,
    choose: impl FnOnce(&str) -> Option<Arc<ServerConfig>>,
) -> Result<Accepted, TlsFault> {
    let mut first_flight = Vec::with_capacity(1024);
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        alarm.within(|cx| tcp.poll_read_ready(cx)).await??;
        let mut tee = Tee { from: Socket(&tcp), copy: &mut first_flight };
        match acceptor.read_tls(&mut tee) {
            Ok(0) => return Err(closed_early().into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                let _ = alert.write_all(&mut Socket(&tcp));
                return Err(error.into());
            }
        }
    };
    let server_name = accepted.client_hello().server_name().unwrap_or_default().to_ascii_lowercase();
    let Some(config) = choose(&server_name) else {
        let _ = tcp.try_write(&UNRECOGNIZED_NAME);
        return Err(TlsFault::UnknownName);
    };
    let connection = match accepted.into_connection(config) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            let _ = alert.write_all(&mut Socket(&tcp));
            return Err(error.into());
        }
    };
    let stream = TlsStream::new(tcp, connection.into());
    alarm.within(|cx| stream.poll_handshake(cx)).await??;
    let facts = facts(&stream, server_name.into(), client_hello(&first_flight));
    let http2 = stream.has_alpn(b"h2");
    Ok(Accepted { stream, facts, http2 })
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


//! QUIC (RFC 9000) on a worker thread: quinn's protocol core, driven by sockets and tasks of our own.
//!
//! The core (`quinn-proto`) is sans-IO, as our other protocols are, and does what the RFCs say: packets, loss recovery,
//! congestion, flow control, migration, version negotiation, the bound on amplification. Around it stand [`Endpoint`], one
//! for each thread and socket, which reads datagrams, and [`Connection`], which has a task of its own that writes them.
//! Nothing leaves the thread, so nothing is locked ([decision
//! 0022](../../../../docs/decisions/0022-http3.md)).
//!
//! Not here: HTTP/3, which is in [`h3`](crate::h3), and who may connect, which is the caller's to say.

pub mod cid;
mod connection;
mod endpoint;
mod resets;
mod session;
pub mod steer;
mod tokens;
mod unproven;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hkdf;
use aws_lc_rs::rand::SecureRandom;
use quinn_proto::crypto::HandshakeTokenKey;
use quinn_proto::{IdleTimeout, TransportConfig, VarInt};

pub use connection::{Connection, Gone, Turn};
pub use endpoint::{Arrival, Endpoint, Group, Mailbox, Part, Verdict};
pub use quinn_proto::ServerConfig;
pub use resets::Resets;
pub use session::{Choose, Told};
pub use unproven::Unproven;

/// The most bytes of a datagram until more are known to pass: what every path must take (RFC 9000 §14).
const DATAGRAM: u16 = 1200;
/// Bytes of a stream that a client may send before we read them.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams of a client that carry no request: control, two of QPACK, and some that we do not know.
const OTHER_STREAMS: u32 = 8;

/// Binds one socket for each of `threads` threads. `alone`: nobody else may have the port; else a process of ours has.
///
/// # Errors
/// As the system says: the port is taken, or may not be used.
pub fn bind_all(address: SocketAddr, threads: usize, alone: bool) -> io::Result<Vec<UdpSocket>> {
    if alone {
        // First not shared, as for TCP: else two Seawalls would each get half of the datagrams.
        bind(address, false)?;
    }
    (0..threads).map(|_| bind(address, true)).collect()
}

/// Binds a UDP socket that others of ours may share the port with.
///
/// # Errors
/// As the system says: the port is taken, or may not be used.
pub fn bind(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // What the system allows of it: a burst of datagrams waits here while the thread is busy.
    let _ = socket.set_recv_buffer_size(2 << 20);
    let _ = socket.set_send_buffer_size(2 << 20);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What all threads of a process have in common: keys of tokens and resets, and how a handshake finds its zone.
#[derive(Clone)]
pub struct Common {
    resets: Arc<Resets>,
    token: Arc<dyn HandshakeTokenKey>,
    used: Arc<tokens::Used>,
    sessions: Arc<session::Sessions>,
}

impl Common {
    /// With keys of its own.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(choose: Choose) -> io::Result<Self> {
        let (mut reset, mut token) = ([0u8; resets::SECRET], [0u8; 64]);
        let random = aws_lc_rs::rand::SystemRandom::new();
        for bytes in [&mut reset[..], &mut token[..]] {
            random
                .fill(bytes)
                .map_err(|_| io::Error::other("no randomness"))?;
        }
        let sessions = session::Sessions::new(choose)
            .ok_or_else(|| io::Error::other("no cipher suite for QUIC"))?;
        Ok(Self {
            resets: Arc::new(Resets::new(reset)),
            token: Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&token)),
            used: Arc::default(),
            sessions: Arc::new(sessions),
        })
    }

    /// How clients of workers that have died learn of it.
    pub fn resets(&self) -> &Resets {
        &self.resets
    }

    /// What a connection that is accepted now is held to.
    pub fn server(&self, limits: Limits) -> Arc<ServerConfig> {
        let mut transport = TransportConfig::default();
        let idle = IdleTimeout::try_from(limits.idle).ok();
        transport
            .initial_mtu(DATAGRAM)
            .max_concurrent_bidi_streams(limits.streams.into())
            .max_concurrent_uni_streams(OTHER_STREAMS.into())
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(CONNECTION_WINDOW.into())
            .send_window(connection::LEAST_UNACKNOWLEDGED)
            .max_idle_timeout(Some(idle.unwrap_or(VarInt::from_u32(60_000).into())))
            .datagram_receive_buffer_size(None);
        let mut server = ServerConfig::new(self.sessions.clone(), self.token.clone());
        server.transport_config(Arc::new(transport));
        server
            .validation_token
            .log(self.used.clone())
            .lifetime(tokens::LIFETIME)
            .sent(1);
        Arc::new(server)
    }
}

/// Bounds on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once.
    pub streams: u32,
    /// How long a connection may be silent.
    pub idle: Duration,
}

//! TLS on a socket: rustls with aws-lc-rs, driven without a copy of its own in between.
//!
//! Certificates are chosen by the caller, per server name, after the ClientHello was read and kept ([`accept`]). What a zone
//! wants becomes a configuration in [`config`]; certificates that few need at a time wait in [`kept`]; sessions are resumed by
//! [`tickets`]; locations of one fleet know each other by [`fleet`]; what stands in a certificate is read by [`der`]. Not here: which zone a name belongs to, and ACME.

mod accept;
pub mod config;
pub mod der;
pub mod fleet;
mod hello;
pub mod kept;
pub mod tickets;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection};
use tokio::net::TcpStream;

use crate::alarm::{Alarm, Elapsed};
use crate::stream::Tcp;

pub use accept::{Accepted, Asked, accept};
pub use hello::client_hello;

/// The application protocol of TLS-ALPN-01 (RFC 8737 §6.2).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// Plaintext that rustls may hold for us at most, in bytes, while the socket does not take more.
const HELD: usize = 64 * 1024;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The socket failed.
    #[error("the connection failed in the handshake: {0}")]
    Socket(#[from] io::Error),
    /// The peer broke the protocol, or offered nothing that we take, or its certificate is not good.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// No certificate is there for this server name.
    #[error("no certificate for this server name")]
    UnknownName,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    Slow,
}

impl From<Elapsed> for TlsFault {
    fn from(_: Elapsed) -> Self {
        Self::Slow
    }
}

impl TlsFault {
    /// A certificate was refused, by us or by the peer.
    pub fn is_certificate(&self) -> bool {
        matches!(
            self,
            Self::Protocol(
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
            )
        )
    }
}

/// TLS over TCP, of either side. One thread; no borrow outlives a call.
pub struct TlsStream {
    tcp: Tcp,
    tls: RefCell<Connection>,
    /// The socket took some bytes since that was asked last.
    moved: Cell<bool>,
}

impl TlsStream {
    fn new(tcp: Tcp, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(HELD));
        Self {
            tcp,
            tls: RefCell::new(tls),
            moved: Cell::new(false),
        }
    }

    /// Speaks TLS to an origin: the whole handshake, its certificate verified as `config` says.
    ///
    /// # Errors
    /// [`TlsFault`]: the socket, the protocol or the certificate, or `alarm`.
    pub async fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        alarm: &mut Alarm,
    ) -> Result<Self, TlsFault> {
        let stream = Self::new(tcp.into(), ClientConnection::new(config, name)?.into());
        alarm.within(|cx| stream.poll_handshake(cx)).await??;
        Ok(stream)
    }

    /// The application protocol that both sides agreed on.
    pub fn has_alpn(&self, protocol: &[u8]) -> bool {
        self.tls.borrow().alpn_protocol() == Some(protocol)
    }

    /// The certificate that the other side has shown.
    pub fn peer_certificate(&self) -> Option<CertificateDer<'static>> {
        let tls = self.tls.borrow();
        Some(tls.peer_certificates()?.first()?.clone().into_owned())
    }

    pub(crate) fn holds_output(&self) -> bool {
        self.tls.borrow().wants_write()
    }

    /// Whether the socket took any bytes since the last time this was asked.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.take()
    }

    pub(crate) fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), TlsFault>> {
        let mut tls = self.tls.borrow_mut();
        loop {
            ready!(self.poll_drain(&mut tls, cx))?;
            if !tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(&mut tls, cx))?;
        }
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let mut tls = self.tls.borrow_mut();
        loop {
            let room = into.capacity() - into.len();
            let mut reader = tls.reader();
            match reader.fill_buf() {
                Ok([]) => return Poll::Ready(Ok(0)),
                Ok(plain) => {
                    let plain = plain.get(..room).unwrap_or(plain);
                    let took = plain.len();
                    into.extend_from_slice(plain);
                    reader.consume(took);
                    return Poll::Ready(Ok(took));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match ready!(self.poll_fill(&mut tls, cx)) {
                Ok(()) => {}
                Err(TlsFault::Socket(error)) => return Poll::Ready(Err(error)),
                Err(fault) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_parts(cx, &[IoSlice::new(bytes)])
    }

    /// Writes some of `parts`, in order.
    pub(crate) fn poll_write_parts(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut tls = self.tls.borrow_mut();
        ready!(self.poll_drain(&mut tls, cx))?;
        let took = tls.writer().write_vectored(parts)?;
        // What the socket does not take now stays inside, at most `HELD`; the next write or flush sends it first.
        match self.poll_drain(&mut tls, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(took)),
        }
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(&mut self.tls.borrow_mut(), cx)
    }

    pub(crate) fn close_notify(&self) {
        let mut tls = self.tls.borrow_mut();
        tls.send_close_notify();
        let _ = self.poll_drain(&mut tls, &mut Context::from_waker(std::task::Waker::noop()));
    }

    /// Reads ciphertext once and lets rustls work on it.
    fn poll_fill(&self, tls: &mut Connection, cx: &mut Context<'_>) -> Poll<Result<(), TlsFault>> {
        match tls.read_tls(&mut Socket { tcp: &self.tcp, cx }) {
            // rustls tells a clean end from a cut one in its reader.
            Ok(0) if tls.is_handshaking() => return Poll::Ready(Err(closed_early().into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        let result = tls.process_new_packets();
        if tls.wants_write() {
            // Alerts, key updates: as much as the socket takes now; never a reason to wait with reading.
            let _ = self.poll_drain(tls, &mut Context::from_waker(std::task::Waker::noop()));
        }
        result?;
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&self, tls: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while tls.wants_write() {
            match tls.write_tls(&mut Socket { tcp: &self.tcp, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => self.moved.set(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn closed_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed in the handshake",
    )
}

/// The socket as rustls wants it. `WouldBlock` means that the task is registered and will be woken.
struct Socket<'a, 'b, 'c> {
    tcp: &'a Tcp,
    cx: &'b mut Context<'c>,
}

impl Read for Socket<'_, '_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.tcp.poll_read_slice(self.cx, into))
    }
}

impl Write for Socket<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(self.tcp.poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(self.tcp.poll_write_vectored(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

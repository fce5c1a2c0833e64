//! A connection's bytes, plain or TLS, readable and writable at once through a shared reference.
//!
//! Both halves of an exchange live in one task, and an upload may run beside a download: so reading and writing take `&self`.
//! Everything is confined to one thread; `RefCell` borrows never cross an await.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::tls::TlsStream;

/// A connection's bytes.
pub enum Stream {
    /// Cleartext TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads what there is into the spare room of `into` (which must have some). `Ok(0)` is the end.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` when a TLS peer closed without saying so; `InvalidData` for broken TLS.
    pub fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => poll_read_tcp(tcp, cx, into),
            Self::Tls(tls) => tls.poll_read(cx, into),
        }
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => loop {
                match tcp.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx))?,
                    result => return Poll::Ready(result),
                }
            },
            Self::Tls(tls) => tls.poll_write(cx, bytes),
        }
    }

    /// Writes some of `first`, then `second`, in one system call where the socket allows it.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_two(&self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => loop {
                match tcp.try_write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx))?,
                    result => return Poll::Ready(result),
                }
            },
            Self::Tls(tls) => tls.poll_write(cx, if first.is_empty() { second } else { first }),
        }
    }

    /// Sends what TLS still holds. Nothing to do on a plain connection.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// Whether the peer said something, or closed, since the last read. No system call.
    pub fn has_news(&self) -> bool {
        let tcp = self.tcp();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        tcp.poll_read_ready(&mut cx).is_ready()
    }

    /// Says the end of our sending: `close_notify` on TLS, then FIN.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn finish_sending(&self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.close_notify();
        }
        shutdown_write(self.tcp())
    }

    /// Makes the coming close a reset (RST), so that what was sent so far cannot be taken for the whole.
    pub fn reset_on_close(&self) {
        let socket = socket2::SockRef::from(self.tcp());
        // Failing leaves an ordinary close, which length or chunk framing still shows as cut short.
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// Reads what there is, waiting for it.
    ///
    /// # Errors
    /// As [`Stream::poll_read`].
    pub async fn read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, into)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wrote = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(wrote..).unwrap_or_default();
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}

/// Reads from a socket into spare room; remembers readiness, so that a short read costs no second call.
pub(crate) fn poll_read_tcp(tcp: &TcpStream, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_read_ready(cx))?;
        match tcp.try_read_buf(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

fn shutdown_write(tcp: &TcpStream) -> io::Result<()> {
    let fd = tcp.as_fd().as_raw_fd();
    // SAFETY: `fd` is open for as long as `tcp` is borrowed; shutdown touches no memory of ours.
    match unsafe { libc::shutdown(fd, libc::SHUT_WR) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

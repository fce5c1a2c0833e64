//! A connection's bytes, plain or TLS, readable and writable at once through a shared reference.
//!
//! Both halves of an exchange live in one task, and an upload may run beside a download: so reading and writing take `&self`.
//! Everything is confined to one thread.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop;

use crate::socket;
use crate::tls::TlsStream;

/// A connection's bytes.
pub enum Stream {
    /// Cleartext TCP.
    Plain(Tcp),
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
            Self::Plain(tcp) => tcp.poll_read(cx, into),
            Self::Tls(tls) => tls.poll_read(cx, into),
        }
    }

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => tcp.poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write(cx, bytes),
        }
    }

    /// Writes some of `first`, then `second`, in one system call where the socket allows it.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_two(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => tcp.poll_write_two(cx, first, second),
            Self::Tls(tls) => tls.poll_write(cx, if first.is_empty() { second } else { first }),
        }
    }

    /// Writes as much of `parts`, in order, as the socket takes at once, without waiting: how many bytes it took. TLS takes at
    /// most what it may hold, or nothing while it holds some; what it took counts as written.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn write_parts_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let wrote = match self {
            Self::Plain(tcp) => tcp.socket.try_write_vectored(parts),
            Self::Tls(tls) => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                match tls.poll_write_parts(&mut cx, parts) {
                    Poll::Ready(wrote) => wrote,
                    Poll::Pending => return Ok(0),
                }
            }
        };
        match wrote {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            wrote => wrote,
        }
    }

    /// Writes as much of `first`, then `second`, as the socket takes at once, without waiting: how many bytes it took.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn write_now(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let wrote = match self {
            Self::Plain(tcp) if second.is_empty() => tcp.send_now(first),
            Self::Plain(tcp) => tcp
                .socket
                .try_write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
            Self::Tls(_) => {
                // Whoever waits for the rest polls again, and is registered then.
                let mut cx = Context::from_waker(std::task::Waker::noop());
                match self.poll_write_two(&mut cx, first, second) {
                    Poll::Ready(wrote) => wrote,
                    Poll::Pending => return Ok(0),
                }
            }
        };
        match wrote {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            wrote => wrote,
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

    /// Whether bytes wait inside that the socket did not take yet.
    pub fn holds_output(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.holds_output(),
        }
    }

    /// Whether the socket took any of the bytes that TLS held, or of new ones, since the last time this was asked. A plain
    /// connection holds none: there each write tells.
    pub fn has_moved(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_moved(),
        }
    }

    /// Whether the peer said something, or closed, since the last read. No system call.
    pub fn has_news(&self) -> bool {
        // Asks for nothing but whether the driver has told of anything.
        self.tcp()
            .socket
            .try_io(Interest::READABLE, || Ok(()))
            .is_ok()
    }

    /// Says the end of our sending: `close_notify` on TLS, then FIN.
    ///
    /// # Errors
    /// Those of the socket; `ConnectionAborted` after [`Stream::reset_on_close`].
    pub fn finish_sending(&self) -> io::Result<()> {
        if self.tcp().reset.get() {
            // A FIN would tell a client that takes the close for the end that it has everything.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Self::Tls(tls) = self {
            tls.close_notify();
        }
        SockRef::from(&self.tcp().socket).shutdown(std::net::Shutdown::Write)
    }

    /// Whether the peer has reset the connection. A system call, for those who neither read nor write for a while.
    pub fn is_reset(&self) -> bool {
        matches!(self.tcp().socket.take_error(), Ok(Some(_)) | Err(_))
    }

    /// Makes the coming close a reset (RST), so that what was sent so far cannot be taken for the whole.
    pub fn reset_on_close(&self) {
        self.tcp().reset.set(true);
        // Failing leaves an ordinary close, which length or chunk framing still shows as cut short.
        let _ = SockRef::from(&self.tcp().socket).set_linger(Some(std::time::Duration::ZERO));
    }

    fn tcp(&self) -> &Tcp {
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

/// A TCP socket, read and written through a shared reference.
///
/// A short read or write is the sign that the socket is drained or full: its readiness is forgotten at once, which saves the
/// system call that would only say so.
pub struct Tcp {
    socket: TcpStream,
    /// The close is to be a reset.
    reset: Cell<bool>,
    /// The last read or write did all that was asked: there may be more to do at once.
    full: Cell<bool>,
}

impl From<TcpStream> for Tcp {
    fn from(socket: TcpStream) -> Self {
        Self {
            socket,
            reset: Cell::new(false),
            full: Cell::new(true),
        }
    }
}

impl Tcp {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let read = ready!(self.poll_receive(cx, into.spare_capacity_mut()))?;
        // SAFETY: the socket filled, so initialised, the first `read` bytes of the spare capacity.
        unsafe { into.set_len(into.len() + read) };
        Poll::Ready(Ok(read))
    }

    pub(crate) fn poll_read_slice(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::READABLE, into.len(), || {
            (&*SockRef::from(&self.socket)).read(into)
        })
    }

    /// A short write leaves the socket's readiness as it is: whoever waits for the rest asks the socket itself.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let send = || socket::send(self.socket.as_fd(), bytes);
        self.socket.try_io(Interest::WRITABLE, send)
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        room: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::READABLE, room.len(), || {
            socket::receive(self.socket.as_fd(), room)
        })
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::WRITABLE, bytes.len(), || {
            socket::send(self.socket.as_fd(), bytes)
        })
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = parts.iter().map(|part| part.len()).sum();
        self.poll_io(cx, Interest::WRITABLE, all, || {
            SockRef::from(&self.socket).send_vectored(parts)
        })
    }

    fn poll_write_two(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)])
    }

    /// Reads or writes at most `all` bytes, once the socket is ready for it.
    #[inline]
    fn poll_io(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        all: usize,
        mut io: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // A task that always finds something to do must let the others in now and then. After a short read or write it
            // finds nothing, and waits for the driver anyway.
            let turn = match self.full.get() {
                true => Some(ready!(coop::poll_proceed(cx))),
                false => None,
            };
            let mut short = None;
            let done = self.socket.try_io(interest, || match io() {
                Ok(some) if 0 < some && some < all => {
                    short = Some(some);
                    // To the driver this means: not ready any more.
                    Err(io::ErrorKind::WouldBlock.into())
                }
                done => done,
            });
            self.full.set(false);
            match (short, done) {
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => drop(turn),
                (short, done) => {
                    if let Some(turn) = turn {
                        turn.made_progress();
                    }
                    self.full.set(short.is_none());
                    return Poll::Ready(short.map_or(done, Ok));
                }
            }
            ready!(match interest.is_readable() {
                true => self.socket.poll_read_ready(cx),
                false => self.socket.poll_write_ready(cx),
            })?;
        }
    }
}

//! A client on HTTP/1.x: one exchange at a time on its connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seawall_model::Fields;
use tokio::time::Instant;

use super::{After, BodyPace, ClientGone};
use crate::alarm::Alarm;
use crate::buffer::{self, Buffer};
use crate::h1;
use crate::incoming::{BodyFault, Incoming};
use crate::outgoing::{BodyOut, ResponseOut, write_length};
use crate::stream::Stream;

/// Bytes up to which body bytes are put behind the head in one buffer: copying them costs less than a second vector.
const JOIN: usize = 8 * 1024;

/// `100 Continue`, for a client that waits for it before it sends its body (RFC 9110 §10.1.1).
///
/// The body says it when it is read, the response is written beside that, and both go out on one connection: so both know how
/// much of it is still to be said. Once the final response has begun there is no place for it.
#[derive(Debug, Default)]
pub struct Continue {
    /// Bytes at the end of the line that were not written; 0 when nothing is, or is no more, to be said.
    left: Cell<usize>,
}

impl Continue {
    const LINE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

    /// For a client that waits for it, or does not.
    pub fn new(waits: bool) -> Self {
        let left = if waits { Self::LINE.len() } else { 0 };
        Self { left: left.into() }
    }

    fn rest(&self) -> &'static [u8] {
        let said = Self::LINE.len().saturating_sub(self.left.get());
        Self::LINE.get(said..).unwrap_or_default()
    }

    fn has_begun(&self) -> bool {
        self.left.get() < Self::LINE.len()
    }

    fn poll_say(&self, stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left.get() > 0 {
            let wrote = ready!(stream.poll_write(cx, self.rest()))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.set(self.left.get().saturating_sub(wrote));
        }
        stream.poll_flush(cx)
    }

    /// What has to go out before a head with this status, which says the rest in the body's stead.
    #[cold]
    fn before(&self, status: u16) -> &'static [u8] {
        let rest = self.rest();
        let begun = self.has_begun();
        self.left.set(0);
        // An interim response answers nothing yet: the client still waits.
        if begun || matches!(status, 102..=199) {
            rest
        } else {
            &[]
        }
    }
}

/// A request's body on HTTP/1.x.
pub struct Http1Body<'a> {
    stream: &'a Stream,
    buffer: &'a mut Buffer,
    incoming: Incoming,
    /// Said before the first wait for the body.
    go_on: &'a Continue,
    waited: Duration,
    received: u64,
}

impl<'a> Http1Body<'a> {
    /// A body framed so, the first bytes of which may lie in `buffer`. `go_on` is the response's too.
    pub fn new(
        stream: &'a Stream,
        buffer: &'a mut Buffer,
        framing: h1::Framing,
        go_on: &'a Continue,
    ) -> Self {
        let incoming = Incoming::new(framing);
        Self {
            stream,
            buffer,
            incoming,
            go_on,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    pub(super) async fn fill(
        &mut self,
        alarm: &mut Alarm,
        pace: BodyPace,
    ) -> Result<usize, BodyFault> {
        if self.go_on.left.get() > 0 {
            self.say_go_on(alarm).await?;
        }
        let mut began: Option<Instant> = None;
        let ready = alarm
            .within(
                |cx| match self.incoming.poll_fill(self.stream, self.buffer, cx) {
                    Poll::Pending if began.is_none() => {
                        began = Some(Instant::now());
                        Poll::Pending
                    }
                    poll => poll,
                },
            )
            .await??;
        if let Some(began) = began {
            self.waited += began.elapsed();
            let due = self.waited.as_secs().saturating_mul(pace.rate);
            if self.waited > pace.idle && self.received + (ready as u64) < due {
                return Err(BodyFault::Slow);
            }
        }
        Ok(ready)
    }

    #[cold]
    async fn say_go_on(&mut self, alarm: &mut Alarm) -> Result<(), BodyFault> {
        // Who sends already does not wait.
        let waits = self.buffer.is_empty() && !self.incoming.is_done();
        if !waits && !self.go_on.has_begun() {
            self.go_on.left.set(0);
            return Ok(());
        }
        let said = alarm
            .within(|cx| self.go_on.poll_say(self.stream, cx))
            .await?;
        said.map_err(BodyFault::Socket)
    }

    pub(super) fn is_at_hand(&self) -> bool {
        !self.buffer.is_empty() || self.incoming.is_done()
    }

    pub(super) fn front(&self, n: usize) -> &[u8] {
        self.buffer.front(n)
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.incoming.consume(n, self.buffer);
    }

    pub(super) fn is_done(&self) -> bool {
        self.incoming.is_done()
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.incoming.trailers()
    }

    pub(super) fn begin_tunnel(&mut self) {
        self.incoming = Incoming::UntilClose;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As it is; its length was announced, or the close will end it.
    Identity,
    Chunked,
    /// Nothing follows the head.
    Nothing,
}

/// The way of a response on HTTP/1.x.
pub struct Http1Response<'a> {
    stream: &'a Stream,
    /// What is kept, and how much of it was sent already.
    out: Vec<u8>,
    sent: usize,
    mode: Mode,
    /// HTTP/1.0: no chunks, no interim responses.
    old: bool,
    /// The connection may serve another request after this one.
    keep: bool,
    bytes: u64,
    /// How many of `bytes` were interim responses.
    interim_bytes: u64,
    /// What the body may have begun to say.
    go_on: &'a Continue,
    /// Bytes at the front of `out` that belong to that, not to the head that follows.
    owed: usize,
}

impl<'a> Http1Response<'a> {
    /// To a client that spoke HTTP/1.0 (`old`) or 1.1, on a connection that may go on (`keep`). `go_on` is the body's too.
    pub fn new(stream: &'a Stream, old: bool, keep: bool, go_on: &'a Continue) -> Self {
        Self {
            stream,
            out: Vec::new(),
            sent: 0,
            mode: Mode::Nothing,
            old,
            keep,
            bytes: 0,
            interim_bytes: 0,
            go_on,
            owed: 0,
        }
    }

    /// Whether the connection may serve another request.
    pub fn keeps(&self) -> bool {
        self.keep
    }

    /// The connection must close after this response.
    pub fn close_after(&mut self) {
        self.keep = false;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has_begun(&self) -> bool {
        self.bytes != self.interim_bytes
    }

    pub(super) async fn interim(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if self.old {
            return Ok(());
        }
        self.start(head);
        self.out.extend_from_slice(b"\r\n");
        let sent = self.flush(alarm, timeout).await;
        self.interim_bytes = self.bytes;
        sent
    }

    pub(super) fn head(&mut self, head: ResponseOut<'_>) {
        self.start(head);
        match head.body {
            BodyOut::None => self.mode = Mode::Nothing,
            BodyOut::Length(length) => {
                self.mode = Mode::Identity;
                write_length(&mut self.out, length);
            }
            BodyOut::Unknown if self.old => {
                self.mode = Mode::Identity;
                self.keep = false;
            }
            BodyOut::Unknown => {
                self.mode = Mode::Chunked;
                self.out
                    .extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
        match (self.keep, self.old) {
            (false, _) => self.out.extend_from_slice(b"connection: close\r\n"),
            (true, true) => self.out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, false) => {}
        }
        self.out.extend_from_slice(b"\r\n");
    }

    pub(super) async fn switch(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        self.start(head);
        self.out.extend_from_slice(b"connection: Upgrade\r\n\r\n");
        self.mode = Mode::Identity;
        self.keep = false;
        self.flush(alarm, timeout).await
    }

    /// Keeps a small piece of the body with what is kept already, to leave with the next flush; tells whether it did.
    pub(super) fn keep(&mut self, data: &[u8], after: After) -> bool {
        if self.mode == Mode::Nothing {
            return true;
        }
        if self.out.len() + data.len() > JOIN {
            return false;
        }
        if self.mode == Mode::Chunked {
            h1::write_chunk_size(&mut self.out, data.len());
        }
        self.out.extend_from_slice(data);
        self.end_chunk(after);
        true
    }

    pub(super) async fn body(
        &mut self,
        data: &[u8],
        after: After,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if !self.keep(data, after) {
            if self.mode == Mode::Chunked {
                h1::write_chunk_size(&mut self.out, data.len());
            }
            let unsent = self.out.get(self.sent..).unwrap_or_default();
            // Counted before: whoever gives up waiting must not think that nothing left.
            self.bytes += (unsent.len() + data.len()) as u64;
            let written = write_two(self.stream, unsent, data, alarm, timeout).await;
            self.sent = 0;
            self.owed = 0;
            self.out.clear();
            written?;
            self.end_chunk(after);
        }
        if after == After::More || self.flush_now()? {
            Ok(())
        } else {
            self.flush(alarm, timeout).await
        }
    }

    fn end_chunk(&mut self, after: After) {
        if self.mode == Mode::Chunked {
            self.out.extend_from_slice(h1::CHUNK_END);
            if after == After::Last {
                self.out.extend_from_slice(h1::LAST_CHUNK);
            }
        }
    }

    pub(super) async fn end(
        &mut self,
        trailers: Option<&Fields>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if self.mode == Mode::Chunked {
            match trailers.filter(|trailers| !trailers.is_empty()) {
                Some(trailers) => h1::write_trailers(&mut self.out, trailers),
                None => self.out.extend_from_slice(h1::LAST_CHUNK),
            }
        }
        self.flush(alarm, timeout).await
    }

    /// Sends what is kept, as far as the socket takes it at once; tells whether that was all.
    pub(super) fn flush_now(&mut self) -> Result<bool, ClientGone> {
        let unsent = self.out.get(self.sent..).unwrap_or_default();
        if !unsent.is_empty() {
            let all = unsent.len();
            let wrote = self.stream.write_now(unsent, &[])?;
            self.bytes += wrote as u64;
            if wrote < all {
                self.sent += wrote;
                return Ok(false);
            }
            self.sent = 0;
            self.out.clear();
        }
        Ok(!self.stream.holds_output())
    }

    pub(super) async fn flush(
        &mut self,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        let unsent = self.out.get(self.sent..).unwrap_or_default();
        self.bytes += unsent.len() as u64;
        let written = write_two(self.stream, unsent, &[], alarm, timeout).await;
        self.sent = 0;
        self.owed = 0;
        self.out.clear();
        written
    }

    pub(super) fn is_gone(&self) -> bool {
        self.stream.is_reset()
    }

    pub(super) fn take_back(&mut self) {
        self.out.truncate(self.owed);
        self.sent = 0;
    }

    pub(super) fn abort(&mut self) {
        self.keep = false;
        self.out.clear();
        self.sent = 0;
        self.stream.reset_on_close();
    }

    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = buffer::take(buffer::SMALL);
        }
        &mut self.out
    }

    fn start(&mut self, head: ResponseOut<'_>) {
        self.spare();
        if self.go_on.left.get() > 0 {
            self.out.extend_from_slice(self.go_on.before(head.status));
            self.owed = self.out.len();
        }
        h1::write_status_line(&mut self.out, head.status);
        head.write_lines(&mut self.out);
    }
}

impl Drop for Http1Response<'_> {
    fn drop(&mut self) {
        buffer::give(std::mem::take(&mut self.out));
    }
}

/// Writes `first`, then `second`; each progress starts the timeout anew.
pub(crate) async fn write_two(
    stream: &Stream,
    mut first: &[u8],
    mut second: &[u8],
    alarm: &mut Alarm,
    timeout: Duration,
) -> Result<(), ClientGone> {
    let mut waiting = false;
    poll_fn(|cx| {
        loop {
            let wrote = match (first, second) {
                ([], []) => match stream.holds_output() {
                    true => stream.poll_flush(cx).map_ok(|()| 0),
                    false => return Poll::Ready(Ok(())),
                },
                (first, []) => stream.poll_write(cx, first),
                ([], second) => stream.poll_write(cx, second),
                (first, second) => stream.poll_write_two(cx, first, second),
            };
            let Poll::Ready(wrote) = wrote else {
                if !std::mem::replace(&mut waiting, true) {
                    alarm.set(timeout);
                }
                return alarm.poll(cx).map(|()| Err(ClientGone::Slow));
            };
            waiting = false;
            match wrote {
                Ok(0) if !(first.is_empty() && second.is_empty()) => {
                    return Poll::Ready(Err(ClientGone::Closed));
                }
                Ok(wrote) => {
                    let of_first = wrote.min(first.len());
                    first = first.get(of_first..).unwrap_or_default();
                    second = second.get(wrote - of_first..).unwrap_or_default();
                }
                Err(_) => return Poll::Ready(Err(ClientGone::Closed)),
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests;

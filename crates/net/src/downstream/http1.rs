//! A client on HTTP/1.x: one exchange at a time on its connection.

use std::future::poll_fn;
use std::task::Poll;
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

/// A request's body on HTTP/1.x.
pub struct Http1Body<'a> {
    stream: &'a Stream,
    buffer: &'a mut Buffer,
    incoming: Incoming,
    /// The client waits for `100 Continue` (RFC 9110 §10.1.1).
    expects: bool,
    waited: Duration,
    received: u64,
}

impl<'a> Http1Body<'a> {
    /// A body framed so, the first bytes of which may lie in `buffer`.
    pub fn new(
        stream: &'a Stream,
        buffer: &'a mut Buffer,
        framing: h1::Framing,
        expects: bool,
    ) -> Self {
        let incoming = Incoming::new(framing);
        Self {
            stream,
            buffer,
            incoming,
            expects,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    pub(super) async fn fill(
        &mut self,
        alarm: &mut Alarm,
        pace: BodyPace,
    ) -> Result<usize, BodyFault> {
        if self.expects && !self.incoming.is_done() {
            self.expects = false;
            if self.buffer.is_empty() {
                let sent = self
                    .stream
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await;
                sent.map_err(BodyFault::Socket)?;
            }
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
}

impl<'a> Http1Response<'a> {
    /// To a client that spoke HTTP/1.0 (`old`) or 1.1, on a connection that may go on (`keep`).
    pub fn new(stream: &'a Stream, old: bool, keep: bool) -> Self {
        Self {
            stream,
            out: Vec::new(),
            sent: 0,
            mode: Mode::Nothing,
            old,
            keep,
            bytes: 0,
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
        self.flush(alarm, timeout).await
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
        self.out.clear();
        written
    }

    pub(super) fn is_gone(&self) -> bool {
        self.stream.is_reset()
    }

    pub(super) fn take_back(&mut self) {
        self.out.clear();
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
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::outgoing::Line;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "it plays a client")]
    async fn what_a_full_socket_does_not_take_is_kept_and_sent_later() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0.into());
        let mut response = Http1Response::new(&stream, false, true);
        let extra = Fields::default();
        response.head(ResponseOut {
            status: 200,
            origin: None,
            skip: 0,
            extra: &extra,
            last: Line::default(),
            body: BodyOut::Unknown,
        });
        let mut pieces = 0;
        while response.flush_now().unwrap() {
            assert!(response.keep(&[b'x'; 7000], After::Wait));
            pieces += 1;
        }
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut alarm = Alarm::new(Duration::from_secs(9));
        response
            .flush(&mut alarm, Duration::from_secs(9))
            .await
            .unwrap();
        response
            .end(None, &mut alarm, Duration::from_secs(9))
            .await
            .unwrap();
        let bytes = response.bytes();
        drop(response);
        drop(stream);
        let all = reader.await.unwrap();
        assert_eq!(all.len() as u64, bytes);
        assert!(all.ends_with(b"x\r\n0\r\n\r\n"));
        assert_eq!(
            all.iter().filter(|byte| **byte == b'x').count(),
            pieces * 7000
        );
    }
}

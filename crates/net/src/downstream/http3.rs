//! A client's stream on HTTP/3.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use seawall_model::{FieldId, Fields};
use tokio::time::Instant;

use super::{After, BodyPace, ClientGone};
use crate::alarm::Alarm;
use crate::buffer::{Buffer, MEDIUM};
use crate::h3::{Stream, put_data, put_headers};
use crate::incoming::BodyFault;
use crate::outgoing::{BodyOut, ResponseOut};
use crate::quic::Gone;

/// A body up to this size goes out behind its head in one piece.
const TOGETHER: usize = 4 * 1024;

impl From<Gone> for ClientGone {
    fn from(_: Gone) -> Self {
        Self::Closed
    }
}

/// A request's body on HTTP/3.
pub struct Http3Body {
    stream: Rc<Stream>,
    buffer: Buffer,
    done: bool,
    trailers: Fields,
    waited: Duration,
    received: u64,
}

impl Http3Body {
    /// The body of a request whose head was taken. `end`: there is none.
    pub fn new(stream: Rc<Stream>, end: bool) -> Self {
        Self {
            stream,
            buffer: Buffer::default(),
            done: end,
            trailers: Fields::default(),
            waited: Duration::ZERO,
            received: 0,
        }
    }

    pub(super) async fn fill(
        &mut self,
        alarm: &mut Alarm,
        pace: BodyPace,
    ) -> Result<usize, BodyFault> {
        if !self.buffer.is_empty() || self.done {
            return Ok(self.buffer.len());
        }
        let mut began: Option<Instant> = None;
        let read = alarm
            .within(|cx| {
                let (buffer, trailers) = (&mut self.buffer, &mut self.trailers);
                let poll = self.stream.poll_body(buffer, trailers, cx);
                if poll.is_pending() && began.is_none() {
                    began = Some(Instant::now());
                }
                poll
            })
            .await?;
        let read = read.map_err(|code| BodyFault::Reset(code as u32))?;
        if read == 0 {
            self.buffer.release();
            self.done = true;
        }
        if let Some(began) = began {
            self.waited += began.elapsed();
            let due = self.waited.as_secs().saturating_mul(pace.rate);
            if self.waited > pace.idle && self.received + (read as u64) < due {
                return Err(BodyFault::Slow);
            }
        }
        Ok(read)
    }

    pub(super) fn is_at_hand(&self) -> bool {
        !self.buffer.is_empty() || self.done || self.stream.is_at_hand()
    }

    pub(super) fn front(&self, n: usize) -> &[u8] {
        self.buffer.front(n)
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.buffer.consume(n);
    }

    pub(super) fn is_done(&self) -> bool {
        self.done && self.buffer.is_empty()
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.done.then_some(&self.trailers)
    }
}

/// The way of a response on HTTP/3.
pub struct Http3Response {
    stream: Rc<Stream>,
    /// Frames that are still to be written: heads, and the front of what follows them.
    kept: Vec<u8>,
    /// The end comes after what is kept.
    ends: bool,
    ended: bool,
    /// No body goes out, whatever is given (an answer to HEAD).
    silent: bool,
    /// The final head was given.
    given: bool,
    /// Some of it may have left.
    begun: bool,
    bytes: u64,
}

impl Http3Response {
    /// The response of this stream.
    pub fn new(stream: Rc<Stream>) -> Self {
        Self {
            stream,
            kept: Vec::new(),
            ends: false,
            ended: false,
            silent: false,
            given: false,
            begun: false,
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) async fn interim(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        self.write_head(head.status, head.iter());
        self.flush(alarm, timeout).await
    }

    /// The head waits for the first of the body, or for a flush.
    pub(super) fn head(&mut self, head: ResponseOut<'_>) {
        self.start(head, head.body == BodyOut::None);
    }

    pub(super) fn head_alone(&mut self, head: ResponseOut<'_>) {
        self.start(head, true);
    }

    fn start(&mut self, head: ResponseOut<'_>, end: bool) {
        self.ends = end;
        self.silent = end;
        self.given = true;
        let mut digits = Vec::new();
        let length = match head.body {
            BodyOut::Length(length) => {
                crate::h1::write_decimal(&mut digits, length);
                Some((&b"content-length"[..], digits.as_slice()))
            }
            _ => None,
        };
        self.write_head(head.status, head.iter().chain(length));
    }

    fn write_head<'f>(&mut self, status: u16, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        let before = self.kept.len();
        put_headers(Some(status), fields, &mut self.kept);
        self.bytes += (self.kept.len() - before) as u64;
    }

    pub(super) async fn body(
        &mut self,
        mut data: &[u8],
        after: After,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if self.silent {
            return self.flush(alarm, timeout).await;
        }
        if !data.is_empty() {
            let before = self.kept.len();
            put_data(data.len(), &mut self.kept);
            self.bytes += (self.kept.len() - before + data.len()) as u64;
        }
        self.ends |= after == After::Last;
        if self.kept.len() + data.len() <= TOGETHER {
            self.kept.extend_from_slice(data);
            return self.flush(alarm, timeout).await;
        }
        let ends = std::mem::take(&mut self.ends);
        self.flush(alarm, timeout).await?;
        while !data.is_empty() {
            let took = alarm
                .wait(timeout, |cx| self.stream.poll_write(data, cx))
                .await??;
            data = data.get(took..).unwrap_or_default();
        }
        self.ends = ends;
        self.flush(alarm, timeout).await
    }

    /// Sends what is kept as far as it can go at once; whether that was all.
    pub(super) fn flush_now(&mut self) -> Result<bool, ClientGone> {
        self.begun |= self.given;
        let noop = Context::from_waker(std::task::Waker::noop());
        let mut kept = Bytes::from(std::mem::take(&mut self.kept));
        while !kept.is_empty() {
            match self.stream.poll_write_owned(&mut kept, &noop) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(gone)) => return Err(gone.into()),
                Poll::Pending => {
                    self.kept = kept.into();
                    return Ok(false);
                }
            }
        }
        self.finish()?;
        Ok(true)
    }

    pub(super) async fn flush(
        &mut self,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        self.begun |= self.given;
        let mut kept = Bytes::from(std::mem::take(&mut self.kept));
        while !kept.is_empty() {
            alarm
                .wait(timeout, |cx| self.stream.poll_write_owned(&mut kept, cx))
                .await??;
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<(), ClientGone> {
        if self.ends && !std::mem::replace(&mut self.ended, true) {
            self.stream.finish()?;
        }
        Ok(())
    }

    /// Waits until the connection takes more of a body: how many bytes of it are to be read at once then.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn room(
        &mut self,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<usize, ClientGone> {
        // A body is written piece by piece, and each piece is waited for: nothing is read before the last one is gone.
        self.flush(alarm, timeout).await?;
        Ok(MEDIUM)
    }

    pub(super) async fn end(
        &mut self,
        trailers: Option<&Fields>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty())
            && !self.ended
            && !self.silent
        {
            // As in HTTP/1.1: what routes, frames or identifies has no meaning in a trailer, or a forged one.
            let fields = trailers.iter().filter(|field| field.id == FieldId::Other);
            put_headers(
                None,
                fields.map(|field| (field.name, field.value)),
                &mut self.kept,
            );
        }
        self.ends = true;
        self.flush(alarm, timeout).await
    }

    pub(super) fn abort(&mut self) {
        self.kept = Vec::new();
        self.ended = true;
        self.stream.abort();
    }

    /// Takes back a head of which nothing has left.
    pub(super) fn take_back(&mut self) {
        if self.given && !self.begun {
            self.kept.clear();
            self.given = false;
            self.ends = false;
            self.silent = false;
            self.bytes = 0;
        }
    }
}

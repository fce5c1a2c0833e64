//! A client's stream on HTTP/2.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_model::{FieldId, Fields};
use tokio::time::Instant;

use super::{After, BodyPace, ClientGone};
use crate::alarm::Alarm;
use crate::buffer::{Buffer, MEDIUM, SMALL};
use crate::h2::{Connection, ErrorCode, StreamGone};
use crate::incoming::BodyFault;
use crate::multiplex::{StreamHandle, take_body};
use crate::outgoing::{BodyOut, ResponseOut};

impl From<StreamGone> for ClientGone {
    fn from(_: StreamGone) -> Self {
        Self::Closed
    }
}

/// A request's body on HTTP/2.
pub struct Http2Body {
    stream: Rc<StreamHandle>,
    buffer: Buffer,
    done: bool,
    trailers: Fields,
    waited: Duration,
    received: u64,
}

impl Http2Body {
    /// The body of a request whose head was taken. `end`: there is none.
    pub fn new(stream: Rc<StreamHandle>, end: bool) -> Self {
        let trailers = Fields::default();
        Self {
            stream,
            buffer: Buffer::default(),
            done: end,
            trailers,
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
        alarm
            .within(|cx| {
                let buffer = &mut self.buffer;
                let poll = self.stream.poll(cx, |core, id| {
                    let read = take_body(core, id, buffer);
                    (read > 0 || core.body_ended(id)).then_some(read)
                });
                if poll.is_pending() && began.is_none() {
                    began = Some(Instant::now());
                }
                match poll {
                    Poll::Ready(Err(code)) => Poll::Ready(Err(BodyFault::Reset(code))),
                    Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await??;
        if self.buffer.is_empty() {
            self.buffer.release();
            self.done = true;
            let trailers = &mut self.trailers;
            self.stream
                .with(|core, id| core.take_trailers(id, trailers));
        }
        if let Some(began) = began {
            self.waited += began.elapsed();
            let due = self.waited.as_secs().saturating_mul(pace.rate);
            if self.waited > pace.idle && self.received + (self.buffer.len() as u64) < due {
                return Err(BodyFault::Slow);
            }
        }
        Ok(self.buffer.len())
    }

    pub(super) fn is_at_hand(&self) -> bool {
        let received =
            |core: &mut Connection, id| core.body_ended(id) || !core.peek_body(id).is_empty();
        !self.buffer.is_empty() || self.done || self.stream.with(received)
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

/// The way of a response on HTTP/2.
pub struct Http2Response {
    stream: Rc<StreamHandle>,
    ended: bool,
    /// No body goes out, whatever is given (an answer to HEAD).
    silent: bool,
    bytes: u64,
}

impl Http2Response {
    /// The response of this stream.
    pub fn new(stream: Rc<StreamHandle>) -> Self {
        Self {
            stream,
            ended: false,
            silent: false,
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn interim(&mut self, head: ResponseOut<'_>) -> Result<(), ClientGone> {
        Ok(self
            .stream
            .with(|core, id| core.send_informational(id, head.status, head.iter()))?)
    }

    pub(super) fn head(&mut self, head: ResponseOut<'_>) -> Result<(), ClientGone> {
        self.start(head, head.body == BodyOut::None)
    }

    pub(super) fn head_alone(&mut self, head: ResponseOut<'_>) -> Result<(), ClientGone> {
        self.start(head, true)
    }

    fn start(&mut self, head: ResponseOut<'_>, end: bool) -> Result<(), ClientGone> {
        self.ended = end;
        self.silent = end;
        let mut digits = Vec::new();
        let length = match head.body {
            BodyOut::Length(length) => {
                crate::h1::write_decimal(&mut digits, length);
                Some((&b"content-length"[..], digits.as_slice()))
            }
            _ => None,
        };
        let fields = head.iter().chain(length);
        self.bytes += 9;
        Ok(self
            .stream
            .with(|core, id| core.send_response(id, head.status, fields, end))?)
    }

    pub(super) async fn body(
        &mut self,
        mut data: &[u8],
        after: After,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        if self.silent {
            return Ok(());
        }
        while !data.is_empty() {
            let took = alarm
                .wait(timeout, |cx| {
                    self.stream.poll_send(cx, data, after == After::Last)
                })
                .await?
                .map_err(|_| ClientGone::Closed)??;
            self.bytes += took as u64;
            data = data.get(took..).unwrap_or_default();
        }
        self.ended |= after == After::Last;
        Ok(())
    }

    /// Waits until the socket takes more of a body: how many bytes of it are to be read at once then. Whoever reads no sooner
    /// holds nothing for a client that is slow.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn room(
        &mut self,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<usize, ClientGone> {
        let room = |cx: &mut Context<'_>| self.stream.poll_room(cx);
        let windows = alarm
            .wait(timeout, room)
            .await?
            .map_err(|_| ClientGone::Closed)??;
        // Through a closed window nothing goes, but the end of a body may be all that is left: it is looked for, in small.
        Ok(if windows > SMALL { MEDIUM } else { SMALL })
    }

    /// Whether [`Http2Response::room`] would not wait. If it would, the task is woken when that changes.
    pub fn has_room(&self, cx: &mut Context<'_>) -> bool {
        self.stream.poll_room(cx).is_ready()
    }

    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), ClientGone> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        match trailers.filter(|trailers| !trailers.is_empty()) {
            Some(trailers) => {
                // As in HTTP/1.1: what routes, frames or identifies has no meaning in a trailer, or a forged one.
                let fields = trailers.iter().filter(|field| field.id == FieldId::Other);
                let fields = fields.map(|field| (field.name, field.value));
                Ok(self
                    .stream
                    .with(|core, id| core.send_trailers(id, fields))?)
            }
            None => Ok(self
                .stream
                .with(|core, id| core.send_data(id, &[], true).map(|_| ()))?),
        }
    }

    pub(super) fn abort(&mut self) {
        self.ended = true;
        self.stream
            .with(|core, id| core.reset(id, ErrorCode::INTERNAL_ERROR));
    }
}

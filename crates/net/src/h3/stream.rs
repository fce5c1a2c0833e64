//! One request's stream: read as it comes, in the task that serves the request; what its bytes mean is in `reader`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn_proto::StreamId;
use seawall_model::{Fields, RequestHead};

use super::code;
use super::reader::{Fault, Reader, Source};
use super::session::Session;
use crate::buffer::{Buffer, SMALL};
use crate::h2::Malformed;
use crate::quic::{Connection, Gone};

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// The client gave up, or broke the protocol, or its connection has ended.
    Gone,
    /// It is larger than it may be; that can be answered.
    TooLarge,
    /// It is malformed (RFC 9114 §4.1.2); the stream was reset.
    Malformed(Malformed),
}

/// A stream of a connection.
struct Quic<'a>(&'a Connection, StreamId);

impl Source for Quic<'_> {
    fn read(&self) -> Poll<Result<Option<Bytes>, Gone>> {
        self.0.read(self.1, SMALL)
    }

    fn watch(&self, cx: &Context<'_>) {
        self.0.watch(self.1, cx);
    }
}

/// One request's stream, held by the task that serves it. Dropping it gives the stream up.
pub struct Stream {
    session: Rc<Session>,
    id: StreamId,
    reader: RefCell<Reader>,
    /// All was read, or will not be.
    read: Cell<bool>,
    /// Nothing more will be sent.
    sent: Cell<bool>,
    /// And what was is the whole response.
    whole: Cell<bool>,
    /// The client gave it up, or made a mistake.
    failed: Cell<bool>,
    /// What the stream is reset with, should it be given up now.
    otherwise: Cell<u64>,
}

impl Stream {
    pub(super) fn new(session: Rc<Session>, id: StreamId) -> Self {
        let most = session.config.max_field_section;
        Self {
            session,
            id,
            reader: RefCell::new(Reader::new(most)),
            read: Cell::new(false),
            sent: Cell::new(false),
            whole: Cell::new(false),
            failed: Cell::new(false),
            otherwise: Cell::new(code::INTERNAL_ERROR),
        }
    }

    /// Its connection.
    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// What came on it may be a replay, as far as it was read: the handshake was not done.
    pub fn is_early(&self) -> bool {
        self.session.quic.is_early()
    }

    /// Waits until the client has proven its address; false if that never comes.
    pub fn poll_validated(&self, cx: &Context<'_>) -> Poll<bool> {
        self.session.poll_validated(self.id, cx)
    }

    /// Waits for the head: whether nothing follows it.
    ///
    /// # Errors
    /// [`HeadFault`].
    pub fn poll_head(
        &self,
        head: &mut RequestHead,
        cx: &Context<'_>,
    ) -> Poll<Result<bool, HeadFault>> {
        let from = Quic(&self.session.quic, self.id);
        let read = ready!(self.reader.borrow_mut().poll_head(&from, head, cx));
        let fault = match read {
            Ok(end) => {
                if end {
                    self.read.set(true);
                }
                return Poll::Ready(Ok(end));
            }
            Err(Fault::TooLarge) => return Poll::Ready(Err(HeadFault::TooLarge)),
            Err(fault) => fault,
        };
        self.failed.set(true);
        Poll::Ready(Err(match fault {
            Fault::Malformed(why) => {
                self.otherwise.set(code::MESSAGE_ERROR);
                HeadFault::Malformed(why)
            }
            Fault::Unfinished => {
                self.otherwise.set(code::REQUEST_INCOMPLETE);
                HeadFault::Gone
            }
            Fault::Connection(error) => {
                self.session.fail(error);
                HeadFault::Gone
            }
            Fault::Gone(_) | Fault::TooLarge => HeadFault::Gone,
        }))
    }

    /// Moves body bytes into a buffer, some at least: how many. 0 is the end; trailers are in `trailers` then.
    ///
    /// # Errors
    /// The stream was given up, with this code.
    pub(crate) fn poll_body(
        &self,
        buffer: &mut Buffer,
        trailers: &mut Fields,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, u64>> {
        let from = Quic(&self.session.quic, self.id);
        let mut reader = self.reader.borrow_mut();
        let fault = match ready!(reader.poll_body(&from, buffer, trailers, cx)) {
            Ok(moved) => {
                if moved == 0 {
                    self.read.set(true);
                }
                return Poll::Ready(Ok(moved));
            }
            Err(fault) => fault,
        };
        self.failed.set(true);
        Poll::Ready(Err(match fault {
            Fault::Gone(code) => code,
            Fault::Connection(error) => {
                self.session.fail(error);
                error.code
            }
            Fault::Malformed(_) | Fault::TooLarge | Fault::Unfinished => {
                self.otherwise.set(code::MESSAGE_ERROR);
                code::MESSAGE_ERROR
            }
        }))
    }

    /// Whether body bytes, or the end, lie ready.
    pub(crate) fn is_at_hand(&self) -> bool {
        let from = Quic(&self.session.quic, self.id);
        // An error lies ready too: the next read says so.
        self.reader.borrow_mut().is_at_hand(&from)
    }

    /// Writes some bytes: how many.
    pub(crate) fn poll_write(&self, bytes: &[u8], cx: &Context<'_>) -> Poll<Result<usize, Gone>> {
        let wrote = self.session.quic.write(self.id, bytes);
        if wrote.is_pending() {
            self.session.quic.watch(self.id, cx);
        }
        wrote
    }

    /// As [`Stream::poll_write`], without a copy.
    pub(crate) fn poll_write_owned(
        &self,
        bytes: &mut Bytes,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Gone>> {
        let wrote = self.session.quic.write_owned(self.id, bytes);
        if wrote.is_pending() {
            self.session.quic.watch(self.id, cx);
        }
        wrote
    }

    /// The response is complete.
    pub(crate) fn finish(&self) -> Result<(), Gone> {
        let finished = self.session.quic.finish(self.id);
        self.sent.set(true);
        self.whole.set(finished.is_ok());
        finished
    }

    /// The response will never be complete.
    pub(crate) fn abort(&self) {
        if !self.sent.replace(true) {
            self.session.quic.reset(self.id, self.otherwise.get());
        }
    }

    /// Whether the client gave the stream up, or its connection has ended; if not, the task is woken when that happens.
    pub fn is_gone(&self, cx: &Context<'_>) -> bool {
        let reads = !self.read.get() && !self.reader.borrow().has_ended();
        self.session.quic.is_gone(self.id, reads, cx).is_some()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let quic = &self.session.quic;
        let noop = Context::from_waker(std::task::Waker::noop());
        let complete = self.whole.get();
        let cancelled = !complete && (self.failed.get() || self.is_gone(&noop)) && !quic.is_over();
        if !self.read.get() && !self.reader.borrow().has_ended() {
            let why = if complete {
                code::NO_ERROR
            } else {
                self.otherwise.get()
            };
            quic.stop(self.id, why);
        }
        self.abort();
        quic.unwatch(self.id);
        self.session.closed(complete, cancelled);
    }
}

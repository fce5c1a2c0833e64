//! One request's stream: frames read as they come, in the task that serves the request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use quinn_proto::StreamId;
use seawall_model::{Fields, HttpVersion, RequestHead};

use super::session::Session;
use super::wire::{self, Header};
use super::{ConnectionError, code, qpack};
use crate::buffer::{Buffer, SMALL};
use crate::h2::{Collected, Collector, Malformed, Section, Unfit};
use crate::quic::{Connection, Gone};

/// Frames of a request that move nothing: unknown ones, and DATA without a byte.
const USELESS: u32 = 1_000;

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

/// What ended a read.
enum Fault {
    Gone(u64),
    TooLarge,
    Connection(ConnectionError),
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone.0)
    }
}

impl Fault {
    fn connection(code: u64, why: &'static str) -> Self {
        Self::Connection(ConnectionError::new(code, why))
    }
}

/// Where reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Header,
    Skip(u64),
    Section(u64),
    Data(u64),
}

/// What was read.
enum Step {
    /// A field section is whole.
    Section,
    /// So many bytes of the body lie at the front of the input.
    Data(usize),
    /// Nothing follows.
    End,
}

/// Takes frames off a stream.
struct Reader {
    at: At,
    header: Header,
    input: Bytes,
    ended: bool,
    section: Vec<u8>,
    has_head: bool,
    has_trailers: bool,
    useless: u32,
    /// Bytes that the body has, if that was announced, and how many came.
    expected: Option<u64>,
    received: u64,
}

impl Reader {
    fn new() -> Self {
        Self {
            at: At::Header,
            header: Header::default(),
            input: Bytes::new(),
            ended: false,
            section: Vec::new(),
            has_head: false,
            has_trailers: false,
            useless: 0,
            expected: None,
            received: 0,
        }
    }

    /// Whether there is input, which is waited for; if not, the stream has ended.
    fn poll_more(
        &mut self,
        quic: &Connection,
        id: StreamId,
        cx: &Context<'_>,
    ) -> Poll<Result<bool, Fault>> {
        if !self.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        match quic.read(id, SMALL) {
            Poll::Pending => {
                quic.watch(id, cx);
                Poll::Pending
            }
            Poll::Ready(Err(gone)) => Poll::Ready(Err(gone.into())),
            Poll::Ready(Ok(Some(bytes))) => {
                self.input = bytes;
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Ok(None)) => {
                self.ended = true;
                Poll::Ready(Ok(false))
            }
        }
    }

    fn poll_step(
        &mut self,
        quic: &Connection,
        id: StreamId,
        most: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<Step, Fault>> {
        loop {
            let left = match self.at {
                At::Section(0) => {
                    self.at = At::Header;
                    return Poll::Ready(Ok(Step::Section));
                }
                At::Skip(0) | At::Data(0) => {
                    self.at = At::Header;
                    continue;
                }
                At::Header => 0,
                At::Skip(left) | At::Section(left) | At::Data(left) => left,
            };
            if !ready!(self.poll_more(quic, id, cx))? {
                let within = left > 0 || self.header.has_begun();
                return Poll::Ready(if within {
                    let why = "a stream that ends within a frame";
                    Err(Fault::connection(code::FRAME_ERROR, why))
                } else {
                    Ok(Step::End)
                });
            }
            let now = self
                .input
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let (left, rest) = (now, left - now as u64);
            match self.at {
                At::Header => {
                    let mut front = &self.input[..];
                    let gathered = self.header.gather(&mut front);
                    let used = self.input.len() - front.len();
                    self.input.advance(used);
                    if let Some((kind, length)) = gathered {
                        self.at = self.enter(kind, length, most)?;
                    }
                }
                At::Skip(_) => {
                    self.input.advance(left);
                    self.at = At::Skip(rest);
                }
                At::Section(_) => {
                    self.section.extend_from_slice(&self.input.split_to(left));
                    self.at = At::Section(rest);
                }
                At::Data(_) => return Poll::Ready(Ok(Step::Data(left))),
            }
        }
    }

    /// Takes body bytes off the front.
    fn take(&mut self, n: usize) -> Bytes {
        if let At::Data(left) = self.at {
            self.at = At::Data(left.saturating_sub(n as u64));
        }
        self.received += n as u64;
        self.input.split_to(n)
    }

    /// A frame begins.
    fn enter(&mut self, kind: u64, length: u64, most: usize) -> Result<At, Fault> {
        match kind {
            wire::DATA | wire::HEADERS if self.has_trailers => {}
            wire::DATA if !self.has_head => {}
            wire::DATA if length > 0 => return Ok(At::Data(length)),
            // A literal is not shorter than what it stands for by more than packing gains.
            wire::HEADERS if length > most as u64 => return Err(Fault::TooLarge),
            wire::HEADERS => {
                self.section.clear();
                return Ok(At::Section(length));
            }
            wire::CANCEL_PUSH
            | wire::SETTINGS
            | wire::PUSH_PROMISE
            | wire::GOAWAY
            | wire::MAX_PUSH_ID => {}
            kind if wire::is_of_http2(kind) => {}
            _ => {
                self.useless += 1;
                if self.useless > USELESS {
                    let why = "too many frames without use";
                    return Err(Fault::connection(code::EXCESSIVE_LOAD, why));
                }
                return Ok(At::Skip(length));
            }
        }
        let why = "a frame in a wrong place";
        Err(Fault::connection(code::FRAME_UNEXPECTED, why))
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
        Self {
            session,
            id,
            reader: RefCell::new(Reader::new()),
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
        let polled = self.poll_section(head, cx);
        if let Poll::Ready(Err(HeadFault::Gone | HeadFault::Malformed(_))) = polled {
            self.failed.set(true);
        }
        polled
    }

    fn poll_section(
        &self,
        head: &mut RequestHead,
        cx: &Context<'_>,
    ) -> Poll<Result<bool, HeadFault>> {
        let most = self.session.config.max_field_section;
        let mut reader = self.reader.borrow_mut();
        let step = ready!(reader.poll_step(&self.session.quic, self.id, most, cx));
        let section = match step {
            Ok(Step::Section) => std::mem::take(&mut reader.section),
            Ok(Step::End) => {
                self.otherwise.set(code::REQUEST_INCOMPLETE);
                return Poll::Ready(Err(HeadFault::Gone));
            }
            // Data before a head is a connection error, above.
            Ok(Step::Data(_)) => return Poll::Ready(Err(HeadFault::Gone)),
            Err(Fault::TooLarge) => return Poll::Ready(Err(HeadFault::TooLarge)),
            Err(fault) => {
                self.broke(&fault);
                return Poll::Ready(Err(HeadFault::Gone));
            }
        };
        reader.has_head = true;
        let collected = self.collect(Section::Request, &section, &mut head.fields);
        let fit = match collected {
            Ok(Ok(collected)) => {
                reader.expected = collected.content_length;
                collected.complete(head, true)
            }
            Ok(Err(Unfit::TooLarge)) => {
                head.clear();
                return Poll::Ready(Err(HeadFault::TooLarge));
            }
            Ok(Err(Unfit::Malformed(why))) => Err(why),
            Err(fault) => {
                self.broke(&fault);
                return Poll::Ready(Err(HeadFault::Gone));
            }
        };
        if let Err(why) = fit {
            self.otherwise.set(code::MESSAGE_ERROR);
            return Poll::Ready(Err(HeadFault::Malformed(why)));
        }
        head.version = HttpVersion::Http3;
        // Nearly always the end comes with the head.
        let more = reader.poll_more(&self.session.quic, self.id, cx);
        let end = matches!(more, Poll::Ready(Ok(false)));
        if end {
            self.read.set(true);
            if reader.expected.is_some_and(|expected| expected > 0) {
                self.otherwise.set(code::MESSAGE_ERROR);
                return Poll::Ready(Err(HeadFault::Malformed(Malformed::ContentLength)));
            }
        }
        Poll::Ready(Ok(end))
    }

    fn collect(
        &self,
        kind: Section,
        section: &[u8],
        fields: &mut Fields,
    ) -> Result<Result<Collected, Unfit>, Fault> {
        let mut cookie = Vec::new();
        let most = self.session.config.max_field_section;
        let mut collector = Collector::new(kind, fields, &mut cookie, most);
        let decoded = qpack::decode(section, &mut Default::default(), &mut collector);
        decoded.map_err(|_| {
            let why = "a field section cannot be decoded";
            Fault::connection(code::DECOMPRESSION_FAILED, why)
        })?;
        Ok(collector.finish())
    }

    fn broke(&self, fault: &Fault) {
        match fault {
            Fault::Connection(error) => self.session.fail(*error),
            Fault::Gone(_) | Fault::TooLarge => {}
        }
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
        let most = self.session.config.max_field_section;
        let mut reader = self.reader.borrow_mut();
        let mut moved = 0;
        while moved < SMALL {
            match reader.poll_step(&self.session.quic, self.id, most, cx) {
                Poll::Pending if moved > 0 => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Step::Data(n))) => {
                    let bytes = reader.take(n);
                    if reader.expected.is_some_and(|most| reader.received > most) {
                        return Poll::Ready(Err(self.malformed()));
                    }
                    buffer.extend(&bytes);
                    moved += n;
                }
                // What came before it goes first; the next call finds the end again.
                Poll::Ready(Ok(Step::End)) if moved > 0 => break,
                Poll::Ready(Ok(Step::End)) => {
                    self.read.set(true);
                    if reader.expected.is_some_and(|all| reader.received < all) {
                        return Poll::Ready(Err(self.malformed()));
                    }
                    return Poll::Ready(Ok(0));
                }
                Poll::Ready(Ok(Step::Section)) => {
                    reader.has_trailers = true;
                    let section = std::mem::take(&mut reader.section);
                    match self.collect(Section::Trailers, &section, trailers) {
                        Ok(Ok(_)) => {}
                        Ok(Err(_)) => return Poll::Ready(Err(self.malformed())),
                        Err(fault) => {
                            self.broke(&fault);
                            return Poll::Ready(Err(code::DECOMPRESSION_FAILED));
                        }
                    }
                }
                Poll::Ready(Err(fault)) => {
                    self.broke(&fault);
                    self.failed.set(true);
                    return Poll::Ready(Err(match fault {
                        Fault::Gone(code) => code,
                        Fault::TooLarge => self.malformed(),
                        Fault::Connection(error) => error.code,
                    }));
                }
            }
        }
        Poll::Ready(Ok(moved))
    }

    fn malformed(&self) -> u64 {
        self.failed.set(true);
        self.otherwise.set(code::MESSAGE_ERROR);
        code::MESSAGE_ERROR
    }

    /// Whether body bytes, or the end, lie ready.
    pub(crate) fn is_at_hand(&self) -> bool {
        let mut reader = self.reader.borrow_mut();
        if reader.input.is_empty() && !reader.ended {
            match self.session.quic.read(self.id, SMALL) {
                Poll::Pending => return false,
                Poll::Ready(Ok(Some(bytes))) => reader.input = bytes,
                Poll::Ready(Ok(None)) => reader.ended = true,
                // The next read says so too.
                Poll::Ready(Err(_)) => {}
            }
        }
        true
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
        let reads = !self.read.get() && !self.reader.borrow().ended;
        self.session.quic.is_gone(self.id, reads, cx).is_some()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let quic = &self.session.quic;
        let noop = Context::from_waker(std::task::Waker::noop());
        let complete = self.whole.get();
        let cancelled = !complete && (self.failed.get() || self.is_gone(&noop)) && !quic.is_over();
        if !self.read.get() && !self.reader.borrow().ended {
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

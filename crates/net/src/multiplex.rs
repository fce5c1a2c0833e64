//! One HTTP/2 connection and the tasks that use its streams, in one thread.
//!
//! The driver (one task per connection) moves bytes; each stream's own task reads and writes through [`StreamHandle`]. Streams
//! that become ready in one turn of the runtime write into one output buffer before the driver runs again, so their responses
//! leave in one system call and, on TLS, in few records. Used for both roles.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::buffer::{self, Buffer};
use crate::h2::{Config, Connection, ErrorCode, Event, Malformed, StreamGone, StreamId};
use crate::stream::Stream;

/// Output beyond which nothing more is read, in bytes: who does not take our answers gets no more work done.
const OUTPUT_BOUND: usize = 256 * 1024;

/// A piece of a body at least this long, in bytes, goes to the socket from where it lies. Shorter ones are gathered, with
/// those of other streams, so that few writes and few TLS records carry them.
const THROUGH: usize = 8 * 1024;

/// How long a connection may be without something.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a stream.
    pub idle: Duration,
    /// Without the peer taking any of our bytes, when there are some.
    pub write: Duration,
}

/// Whether a connection should come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// No.
    Not,
    /// Yes, in two steps: the peer is told, and what it had sent before it knew is still served (RFC 9113 §6.8).
    Slowly,
    /// Yes: streams that are open go on, and no others are taken.
    Now,
}

/// The PING whose return tells that the peer knows we are leaving.
const FAREWELL: [u8; 8] = *b"farewell";

/// How long that is waited for.
const ROUND_TRIP: Duration = Duration::from_secs(5);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed, or we did after the last stream.
    Closed,
    /// The socket failed.
    Failed,
    /// The peer broke the protocol, or a limit. The text is the error code's name (RFC 9113 §7).
    Protocol(&'static str),
    /// Nothing happened for too long.
    Idle,
    /// The peer took none of our bytes for too long.
    Stuck,
}

/// What a client began (server role).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A request: its head is there. `end`: it has no body.
    Request {
        /// The stream.
        id: StreamId,
        /// Nothing follows.
        end: bool,
    },
    /// A request whose head was too large to be kept; it can be answered.
    HeadTooLarge {
        /// The stream.
        id: StreamId,
    },
    /// A malformed request; its stream was reset.
    Malformed(Malformed),
}

/// One connection.
pub struct Multiplex {
    stream: Stream,
    core: RefCell<Connection>,
    waiting: RefCell<Vec<(StreamId, Waker)>>,
    driver: RefCell<Option<Waker>>,
    ended: Cell<Option<Ended>>,
    closing: Cell<bool>,
    /// The peer was told that we are leaving.
    leaving: Cell<bool>,
    /// The peer took some of our bytes since the deadline for that was set.
    progress: Cell<bool>,
}

impl Multiplex {
    /// Speaks HTTP/2 on this stream.
    pub fn new(stream: Stream, config: Config) -> Rc<Self> {
        Rc::new(Self {
            stream,
            core: RefCell::new(Connection::new(config)),
            waiting: RefCell::default(),
            driver: RefCell::default(),
            ended: Cell::new(None),
            closing: Cell::new(false),
            leaving: Cell::new(false),
            progress: Cell::new(false),
        })
    }

    /// Bytes that were read before it was known that this is HTTP/2.
    pub fn receive_first(&self, bytes: &[u8]) {
        if self.core.borrow_mut().receive(bytes).is_err() {
            self.closing.set(true);
        }
    }

    /// The protocol's state, for a short look.
    pub fn core(&self) -> std::cell::RefMut<'_, Connection> {
        self.core.borrow_mut()
    }

    /// The socket below.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether no new stream can be opened any more.
    pub fn is_over(&self) -> bool {
        self.ended.get().is_some() || self.closing.get()
    }

    /// Lets open streams finish, takes no new ones, closes then.
    pub fn drain(&self) {
        if !self.closing.replace(true) {
            self.core.borrow_mut().drain();
            self.wake_driver();
        }
    }

    /// Tells the peer that we are leaving, and refuses nothing yet.
    fn say_farewell(&self) {
        let mut core = self.core.borrow_mut();
        core.go_away(ErrorCode::NO_ERROR);
        core.ping(FAREWELL);
    }

    /// Runs the connection to its end. `leaving` is asked whenever its task is woken. `opened` is called for each request that came (server role); it takes the stream by
    /// [`Multiplex::handle`].
    pub async fn drive(
        self: &Rc<Self>,
        alarm: &mut Alarm,
        patience: Patience,
        leaving: impl Fn() -> Leaving,
        mut opened: impl FnMut(Opened),
    ) -> Ended {
        let mut blocked = false;
        let mut resting = false;
        let mut farewell = None;
        let ended = poll_fn(|cx| {
            match leaving() {
                Leaving::Not => {}
                Leaving::Now => self.drain(),
                Leaving::Slowly => {
                    if !self.leaving.replace(true) && !self.closing.get() {
                        self.say_farewell();
                        farewell = Some(Box::pin(tokio::time::sleep(ROUND_TRIP)));
                    }
                }
            }
            if farewell
                .as_mut()
                .is_some_and(|late| late.as_mut().poll(cx).is_ready())
            {
                farewell = None;
                self.drain();
            }
            let turn = self.poll_turn(cx, &mut opened);
            if self.stream.has_moved() {
                self.progress.set(true);
            }
            if let Poll::Ready(ended) = turn {
                return Poll::Ready(ended);
            }
            let core = self.core.borrow();
            let now_blocked = core.wants_output() || core.is_stalled();
            let now_resting = core.streams_open() == 0;
            drop(core);
            if now_blocked && (!blocked || self.progress.take()) {
                alarm.set(patience.write);
            } else if !now_blocked && now_resting && (!resting || blocked) {
                alarm.set(patience.idle);
                self.core.borrow_mut().shrink();
            }
            blocked = now_blocked;
            resting = now_resting;
            if (blocked || resting) && alarm.poll(cx).is_ready() {
                return Poll::Ready(if blocked { Ended::Stuck } else { Ended::Idle });
            }
            Poll::Pending
        })
        .await;
        self.ended.set(Some(ended));
        if ended == Ended::Idle {
            self.core.borrow_mut().go_away(ErrorCode::NO_ERROR);
        }
        // What is still to be said (GOAWAY, most of all) gets one chance.
        let _ = self.poll_output(&mut Context::from_waker(Waker::noop()));
        let _ = self.stream.finish_sending();
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
        ended
    }

    fn poll_turn(&self, cx: &mut Context<'_>, opened: &mut impl FnMut(Opened)) -> Poll<Ended> {
        let known = self
            .driver
            .borrow()
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            *self.driver.borrow_mut() = Some(cx.waker().clone());
        }
        self.dispatch(opened);
        loop {
            let output = self.poll_output(cx);
            if let Poll::Ready(Err(_)) = output {
                return Poll::Ready(Ended::Failed);
            }
            if self.closing.get() && output.is_ready() && self.core.borrow().streams_open() == 0 {
                return Poll::Ready(Ended::Closed);
            }
            if self.core.borrow().output().len() > OUTPUT_BOUND {
                return Poll::Pending;
            }
            let mut input = buffer::take(buffer::SMALL);
            let read = self.stream.poll_read(cx, &mut input);
            let turn = match read {
                Poll::Pending => Some(Poll::Pending),
                Poll::Ready(Err(_)) => Some(Poll::Ready(Ended::Failed)),
                Poll::Ready(Ok(0)) => Some(Poll::Ready(Ended::Closed)),
                Poll::Ready(Ok(_)) => {
                    let received = self.core.borrow_mut().receive(&input);
                    match received {
                        Ok(()) => {
                            self.dispatch(opened);
                            None
                        }
                        Err(error) => Some(Poll::Ready(Ended::Protocol(error.code.name()))),
                    }
                }
            };
            buffer::give(input);
            if let Some(turn) = turn {
                return turn;
            }
        }
    }

    fn poll_output(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            let mut core = self.core.borrow_mut();
            if core.output().is_empty() {
                drop(core);
                ready!(self.stream.poll_flush(cx))?;
                let mut core = self.core.borrow_mut();
                if core.is_stalled() {
                    core.resume();
                    drop(core);
                    self.dispatch(&mut |_| {});
                }
                return Poll::Ready(Ok(()));
            }
            match self.stream.poll_write(cx, core.output()) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(wrote)) => {
                    core.advance_output(wrote);
                    drop(core);
                    self.progress.set(true);
                    // Room in the output is room for streams that wait for it.
                    self.dispatch(&mut |_| {});
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    core.stall();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes frames of a stream as far as the socket takes them at once.
    fn write_through(&self, parts: &[IoSlice<'_>]) -> usize {
        // An error comes again to the driver, which ends the connection by it.
        let wrote = self.stream.write_parts_now(parts).unwrap_or(0);
        self.progress.set(self.progress.get() || wrote > 0);
        wrote
    }

    fn dispatch(&self, opened: &mut impl FnMut(Opened)) {
        loop {
            let event = self.core.borrow_mut().next_event();
            match event {
                None => return,
                Some(Event::Request { id, end }) => opened(Opened::Request { id, end }),
                Some(Event::HeadTooLarge { id }) => opened(Opened::HeadTooLarge { id }),
                Some(Event::Malformed { why, .. }) => opened(Opened::Malformed(why)),
                Some(Event::GoAway { .. }) => self.closing.set(true),
                Some(Event::Pong { payload: FAREWELL }) if self.leaving.get() => self.drain(),
                Some(Event::Settings | Event::SettingsAcked | Event::Pong { .. }) => {}
                Some(
                    Event::Response { id, .. }
                    | Event::Informational { id }
                    | Event::Data { id }
                    | Event::EndOfBody { id }
                    | Event::Trailers { id }
                    | Event::Reset { id, .. }
                    | Event::Writable { id },
                ) => self.wake_stream(id),
            }
        }
    }

    fn wake_stream(&self, id: StreamId) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|(waiting, _)| *waiting == id) {
            let (_, waker) = waiting.swap_remove(at);
            drop(waiting);
            waker.wake();
        }
    }

    /// Wakes the tasks of all streams: something that is not of this connection has changed for them.
    pub fn wake_streams(&self) {
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
    }

    /// Something was put into the output: the driver is to send it.
    pub(crate) fn wake_driver(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    fn wait(&self, id: StreamId, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => waiting.push((id, cx.waker().clone())),
        }
    }
}

/// One stream, held by the task that serves it. Dropping it gives the stream up.
pub struct StreamHandle {
    connection: Rc<Multiplex>,
    id: StreamId,
}

impl StreamHandle {
    /// The handle of a stream. One per stream.
    pub fn new(connection: &Rc<Multiplex>, id: StreamId) -> Self {
        Self {
            connection: connection.clone(),
            id,
        }
    }

    /// The stream's number.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The connection.
    pub fn connection(&self) -> &Rc<Multiplex> {
        &self.connection
    }

    /// Asks the protocol's state; wakes the driver when that produced output.
    pub fn with<T>(&self, act: impl FnOnce(&mut Connection, StreamId) -> T) -> T {
        let mut core = self.connection.core.borrow_mut();
        let before = core.wants_output();
        let result = act(&mut core, self.id);
        let woke = !before && core.wants_output();
        drop(core);
        if woke {
            self.connection.wake_driver();
        }
        result
    }

    /// Whether the stream was reset or its connection has ended; if not, the task is woken when that happens.
    pub fn is_gone(&self, cx: &Context<'_>) -> bool {
        let gone = self.connection.ended.get().is_some()
            || self.connection.core.borrow().is_reset(self.id).is_some();
        if !gone {
            self.connection.wait(self.id, cx);
        }
        gone
    }

    /// Sends some of a body that is not empty: how much. `end`: nothing follows it.
    ///
    /// As [`StreamHandle::poll`].
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<Result<Result<usize, StreamGone>, u32>> {
        self.poll(cx, |core, id| {
            let took = if data.len() < THROUGH {
                core.send_data(id, data, end)
            } else {
                self.send_through(core, data, end)
            };
            (took != Ok(0)).then_some(took)
        })
    }

    fn send_through(
        &self,
        core: &mut Connection,
        data: &[u8],
        end: bool,
    ) -> Result<usize, StreamGone> {
        let connection = &self.connection;
        let stalled = core.is_stalled();
        let took = core.send_through(self.id, data, end, |parts| connection.write_through(parts));
        if !stalled && (core.wants_output() || connection.stream.holds_output()) {
            core.stall();
            connection.wake_driver();
        }
        took
    }

    /// Waits while the socket is full: how much the peer's windows allow then, which may be nothing.
    ///
    /// As [`StreamHandle::poll`].
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<Result<usize, StreamGone>, u32>> {
        self.poll(cx, |core, id| core.may_send(id).transpose())
    }

    /// Asks until there is an answer, once more each time something happens on this stream.
    ///
    /// `None` from this function: the connection ended, or the stream was reset, with this code.
    pub fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Connection, StreamId) -> Option<T>,
    ) -> Poll<Result<T, u32>> {
        if let Some(answer) = self.with(act) {
            return Poll::Ready(Ok(answer));
        }
        if let Some(code) = self.connection.core.borrow().is_reset(self.id) {
            return Poll::Ready(Err(code.0));
        }
        if self.connection.ended.get().is_some() {
            return Poll::Ready(Err(ErrorCode::CANCEL.0));
        }
        self.connection.wait(self.id, cx);
        Poll::Pending
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.connection
            .waiting
            .borrow_mut()
            .retain(|(id, _)| *id != self.id);
        self.connection.core.borrow_mut().release(self.id);
        // The driver may have output to send, or may be waiting for the last stream to go.
        self.connection.wake_driver();
    }
}

/// Moves received body bytes of a stream into a buffer, at most a read's worth. Returns how many.
pub(crate) fn take_body(core: &mut Connection, id: StreamId, buffer: &mut Buffer) -> usize {
    let bytes = core.peek_body(id);
    let bytes = bytes.get(..buffer::SMALL).unwrap_or(bytes);
    let length = bytes.len();
    if length > 0 {
        buffer.extend(bytes);
        core.consume_body(id, length);
    }
    length
}

//! One connection: quinn's state, a task that drives it, and the tasks of its streams, which it wakes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{
    ConnectionError, ConnectionEvent, ConnectionHandle, Dir, Event, ReadError, ReadableError,
    StreamEvent, StreamId, Transmit, VarInt, WriteError,
};

use super::endpoint::Endpoint;
use super::{Told, Unproven};
use crate::alarm::Alarm;

/// Datagrams of a turn: then others of the thread have theirs.
const DATAGRAMS: usize = 64;

/// What we keep of what the peer has not acknowledged, in bytes: twice its congestion window, within these bounds. A client
/// that acknowledges nothing has no more of our memory than it has of the network.
pub(super) const LEAST_UNACKNOWLEDGED: u64 = 128 * 1024;
const MOST_UNACKNOWLEDGED: u64 = 8 << 20;

/// The stream or the connection is at its end, for writing or reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream or its connection has ended (code {0:#x})")]
pub struct Gone(pub u64);

/// What happened since the last turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The handshake is done.
    pub connected: bool,
    /// There may be new streams, or news on those that carry no request.
    pub streams: bool,
    /// A request's stream is at its end, so that there is room for another one.
    pub finished: bool,
    /// The connection is lost.
    pub lost: bool,
}

#[derive(Default)]
struct Watch {
    waker: Option<Waker>,
    /// The peer wants no more of what we send, or sends no more of what we read.
    gone: Option<u64>,
}

/// One connection.
pub struct Connection {
    endpoint: Rc<Endpoint>,
    handle: ConnectionHandle,
    core: RefCell<quinn_proto::Connection>,
    driver: RefCell<Option<Waker>>,
    /// Streams that have a task.
    watches: RefCell<HashMap<StreamId, Watch>>,
    /// Its handshake is counted.
    half_open: Cell<bool>,
    validated: Cell<bool>,
    unproven: Cell<Unproven>,
    lost: RefCell<Option<ConnectionError>>,
    address: Cell<SocketAddr>,
    /// How long it takes there and back.
    round_trip: Cell<Duration>,
    /// Where its datagrams come from, if that is not proven, and when it will be.
    moving: Cell<Option<(SocketAddr, Instant)>>,
    /// A datagram that the socket did not take.
    held: RefCell<Option<(Transmit, Vec<u8>)>>,
}

impl Connection {
    pub(super) fn new(
        endpoint: Rc<Endpoint>,
        handle: ConnectionHandle,
        core: quinn_proto::Connection,
        validated: bool,
        unproven: Unproven,
    ) -> Rc<Self> {
        let address = core.remote_address();
        Rc::new(Self {
            endpoint,
            handle,
            core: RefCell::new(core),
            driver: RefCell::default(),
            watches: RefCell::default(),
            half_open: Cell::new(true),
            validated: Cell::new(validated),
            unproven: Cell::new(unproven),
            lost: RefCell::default(),
            address: Cell::new(address),
            round_trip: Cell::new(Duration::ZERO),
            moving: Cell::new(None),
            held: RefCell::default(),
        })
    }

    /// A datagram for it came, of so many bytes, for an id that has the form of ours or not.
    pub(super) fn receive(&self, event: ConnectionEvent, bytes: usize, looks_ours: bool) {
        let mut unproven = self.unproven.get();
        unproven.received(bytes, looks_ours);
        self.unproven.set(unproven);
        self.core.borrow_mut().handle_event(event);
        self.wake();
    }

    /// The client's address. One that moves is known by its old address until the new one is proven: what a single datagram
    /// says of where it comes from may be a lie.
    pub fn peer(&self) -> SocketAddr {
        self.address.get()
    }

    /// The address of ours that it is connected to.
    pub fn local(&self) -> SocketAddr {
        let mut local = self.endpoint.local();
        if let Some(ip) = self.core.borrow().local_ip() {
            local.set_ip(ip);
        }
        local
    }

    /// The client has proven its address: by a token, or by a whole handshake.
    pub fn is_validated(&self) -> bool {
        self.validated.get()
    }

    /// What comes now may be a replay: the handshake is not done (RFC 8470).
    pub fn is_early(&self) -> bool {
        self.core.borrow().is_handshaking()
    }

    /// What the handshake told, once the ClientHello was read.
    pub fn told(&self) -> Told {
        let core = self.core.borrow();
        let told = core.crypto_session().handshake_data();
        told.and_then(|told| told.downcast().ok())
            .map(|told| *told)
            .unwrap_or_default()
    }

    /// Why it was lost, if it was.
    pub fn lost(&self) -> Option<ConnectionError> {
        self.lost.borrow().clone()
    }

    /// Why there was no handshake, as one word for metrics.
    pub fn failure(&self) -> &'static str {
        // TLS alerts (RFC 8446 §6.2) as QUIC carries them (RFC 9001 §4.8).
        const CERTIFICATES: [u64; 7] = [42, 43, 44, 45, 46, 48, 116];
        match &*self.lost.borrow() {
            Some(ConnectionError::TransportError(error)) => match u64::from(error.code) {
                0x170 => "unknown_name",
                code if CERTIFICATES.iter().any(|alert| 0x100 + alert == code) => {
                    "client_certificate"
                }
                _ => "failed",
            },
            _ => "closed",
        }
    }

    /// Whether it was lost or closed.
    pub fn is_over(&self) -> bool {
        self.lost.borrow().is_some() || self.core.borrow().is_closed()
    }

    /// Wakes the task that drives it.
    pub fn wake(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    /// Wakes the tasks of all streams.
    pub fn wake_streams(&self) {
        for watch in self.watches.borrow_mut().values_mut() {
            if let Some(waker) = watch.waker.take() {
                waker.wake();
            }
        }
    }

    /// Closes it, with a code of the application's.
    pub fn close(&self, code: u64, reason: &'static str) {
        let code = VarInt::from_u64(code).unwrap_or_default();
        self.core
            .borrow_mut()
            .close(Instant::now(), code, Bytes::from_static(reason.as_bytes()));
        self.wake_streams();
        self.wake();
    }

    /// Keeps the path open while an answer is waited for.
    pub fn ping(&self) {
        self.core.borrow_mut().ping();
    }

    /// Does what is due and takes what happened. The calling task is woken when there is more.
    pub fn advance(&self, cx: &Context<'_>) -> Turn {
        let known = self
            .driver
            .borrow()
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            *self.driver.borrow_mut() = Some(cx.waker().clone());
        }
        let now = Instant::now();
        let mut core = self.core.borrow_mut();
        if core.poll_timeout().is_some_and(|due| due <= now) {
            core.handle_timeout(now);
        }
        while let Some(event) = core.poll_endpoint_events() {
            if let Some(answer) = self.endpoint.tell(self.handle, event) {
                core.handle_event(answer);
            }
        }
        let window = core.congestion_state().window().saturating_mul(2);
        core.set_send_window(window.clamp(LEAST_UNACKNOWLEDGED, MOST_UNACKNOWLEDGED));
        let mut turn = Turn::default();
        while let Some(event) = core.poll() {
            self.happened(event, &mut turn);
        }
        self.follow(&core, now);
        turn
    }

    fn happened(&self, event: Event, turn: &mut Turn) {
        match event {
            Event::Connected => {
                self.validated.set(true);
                let mut unproven = self.unproven.get();
                unproven.prove();
                self.unproven.set(unproven);
                self.end_half();
                turn.connected = true;
                self.wake_streams();
            }
            Event::ConnectionLost { reason } => {
                self.end_half();
                *self.lost.borrow_mut() = Some(reason);
                turn.lost = true;
                self.wake_streams();
            }
            Event::Stream(StreamEvent::Opened { .. }) => turn.streams = true,
            Event::Stream(StreamEvent::Readable { id }) if id.dir() == Dir::Uni => {
                turn.streams = true;
            }
            Event::Stream(StreamEvent::Readable { id } | StreamEvent::Writable { id }) => {
                self.wake_stream(id, None);
            }
            Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.wake_stream(id, Some(error_code.into_inner()));
            }
            Event::Stream(StreamEvent::Finished { .. }) => turn.finished = true,
            Event::Stream(StreamEvent::Available { .. })
            | Event::HandshakeDataReady
            | Event::DatagramReceived
            | Event::DatagramsUnblocked => {}
        }
    }

    fn end_half(&self) {
        if self.half_open.replace(false) {
            self.endpoint.closed_half();
        }
    }

    /// Follows a client that moves. Another port of one address is its NAT's doing. Another address is believed once quinn
    /// must have given up a path that it could not validate, for which there is no event: that takes three probe timeouts of
    /// the slower path (RFC 9000 §8.2.4). A probe timeout is a round trip, four times its variation, which is no more than three
    /// round trips, and the delay of acknowledgements that the client asked for, which may be 16 s (§18.2).
    fn follow(&self, core: &quinn_proto::Connection, now: Instant) {
        let (seen, known) = (core.remote_address(), self.address.get());
        if seen.ip() == known.ip() {
            self.address.set(seen);
            self.moving.set(None);
            self.round_trip.set(core.rtt());
            return;
        }
        match self.moving.get() {
            Some((to, due)) if to.ip() == seen.ip() => {
                if now >= due {
                    self.address.set(seen);
                    self.moving.set(None);
                }
            }
            _ => {
                let slower = self.round_trip.get().max(core.rtt());
                let proof = Duration::from_secs(60) + slower * 60;
                self.moving.set(Some((seen, now + proof)));
            }
        }
    }

    fn wake_stream(&self, id: StreamId, gone: Option<u64>) {
        if let Some(watch) = self.watches.borrow_mut().get_mut(&id) {
            watch.gone = watch.gone.or(gone);
            if let Some(waker) = watch.waker.take() {
                waker.wake();
            }
        }
    }

    /// Sends what there is to be sent, as far as the socket takes it, and sets `alarm` to when there is more to do. Ready: it
    /// is due already.
    pub fn transmit(&self, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<()> {
        let mut output = self.endpoint.take_output();
        let sent = self.send(&mut output, cx);
        self.endpoint.give_output(output);
        if !sent {
            return Poll::Pending;
        }
        let Some(due) = self.core.borrow_mut().poll_timeout() else {
            return Poll::Pending;
        };
        alarm.set_at(due.into());
        alarm.poll(cx)
    }

    /// Whether all was sent.
    fn send(&self, output: &mut Vec<u8>, cx: &Context<'_>) -> bool {
        if let Some((transmit, bytes)) = self.held.take()
            && self.endpoint.send(&transmit, &bytes).is_err()
        {
            *self.held.borrow_mut() = Some((transmit, bytes));
            self.endpoint.wait(cx);
            return false;
        }
        let most = self.endpoint.most_segments();
        let mut sent = 0;
        let now = Instant::now();
        loop {
            let mut unproven = self.unproven.get();
            let may = unproven.datagrams(most);
            if may == 0 {
                // Whatever comes next wakes us; that nothing is to be had is what clients probe for (RFC 9002 §6.2.2.1).
                return true;
            }
            output.clear();
            let transmit = self.core.borrow_mut().poll_transmit(now, may, output);
            let Some(transmit) = transmit else {
                return true;
            };
            unproven.sent(transmit.size);
            self.unproven.set(unproven);
            sent += transmit
                .segment_size
                .map_or(1, |segment| transmit.size.div_ceil(segment.max(1)));
            if let Err(error) = self.endpoint.send(&transmit, output)
                && error.kind() == std::io::ErrorKind::WouldBlock
            {
                *self.held.borrow_mut() = Some((transmit, std::mem::take(output)));
                self.endpoint.wait(cx);
                return false;
            }
            if sent >= DATAGRAMS {
                cx.waker().wake_by_ref();
                return false;
            }
        }
    }

    /// After the end: answers what still comes until the client must have heard of it, then forgets the connection.
    pub async fn fade(self: Rc<Self>, mut alarm: Alarm) {
        self.end_half();
        std::future::poll_fn(|cx| {
            loop {
                self.advance(cx);
                if self.core.borrow().is_drained() {
                    return Poll::Ready(());
                }
                if self.transmit(&mut alarm, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        self.endpoint.forget(self.handle);
    }

    /// A stream that the client began, if there is a new one.
    pub fn accept(&self, dir: Dir) -> Option<StreamId> {
        self.core.borrow_mut().streams().accept(dir)
    }

    /// Begins a stream of ours that only we write.
    pub fn open(&self) -> Option<StreamId> {
        self.core.borrow_mut().streams().open(Dir::Uni)
    }

    /// This task is woken by what happens on the stream.
    pub fn watch(&self, id: StreamId, cx: &Context<'_>) {
        let mut watches = self.watches.borrow_mut();
        let watch = watches.entry(id).or_default();
        match &mut watch.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Nobody waits for it any more.
    pub fn unwatch(&self, id: StreamId) {
        self.watches.borrow_mut().remove(&id);
    }

    /// Whether the client gave the stream up, or the connection has ended; if not, the task is woken when that happens.
    pub fn is_gone(&self, id: StreamId, reads: bool, cx: &Context<'_>) -> Option<u64> {
        if self.is_over() {
            return Some(0);
        }
        let stopped = self.watches.borrow().get(&id).and_then(|watch| watch.gone);
        if stopped.is_some() {
            return stopped;
        }
        if reads {
            let reset = self.core.borrow_mut().recv_stream(id).received_reset();
            if let Ok(Some(code)) = reset {
                self.wake_stream(id, Some(code.into_inner()));
                return Some(code.into_inner());
            }
        }
        self.watch(id, cx);
        None
    }

    /// Takes some bytes of a stream, in order; none at its end. Pending: none are there.
    ///
    /// # Errors
    /// It was reset, with this code, or the connection has ended.
    pub fn read(&self, id: StreamId, most: usize) -> Poll<Result<Option<Bytes>, Gone>> {
        let mut core = self.core.borrow_mut();
        let mut stream = core.recv_stream(id);
        let (read, more) = match stream.read(true) {
            Ok(mut chunks) => {
                let read = match chunks.next(most) {
                    Ok(chunk) => Poll::Ready(Ok(chunk.map(|chunk| chunk.bytes))),
                    Err(ReadError::Blocked) => Poll::Pending,
                    Err(ReadError::Reset(code)) => Poll::Ready(Err(Gone(code.into_inner()))),
                };
                (read, chunks.finalize().should_transmit())
            }
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                (Poll::Ready(Err(Gone(0))), false)
            }
        };
        drop(core);
        if more {
            self.wake();
        }
        if read.is_pending() && self.is_over() {
            return Poll::Ready(Err(Gone(0)));
        }
        read
    }

    /// Writes some bytes to a stream: how many. Pending: none now.
    ///
    /// # Errors
    /// The client wants no more, or the connection has ended.
    pub fn write(&self, id: StreamId, bytes: &[u8]) -> Poll<Result<usize, Gone>> {
        let wrote = self.core.borrow_mut().send_stream(id).write(bytes);
        self.wrote(wrote)
    }

    /// As [`Connection::write`], without a copy. What is left of the bytes stays.
    ///
    /// # Errors
    /// As [`Connection::write`].
    pub fn write_owned(&self, id: StreamId, bytes: &mut Bytes) -> Poll<Result<usize, Gone>> {
        let mut core = self.core.borrow_mut();
        let wrote = core
            .send_stream(id)
            .write_chunks(std::slice::from_mut(bytes));
        drop(core);
        self.wrote(wrote.map(|wrote| wrote.bytes))
    }

    fn wrote(&self, wrote: Result<usize, WriteError>) -> Poll<Result<usize, Gone>> {
        match wrote {
            Ok(wrote) => {
                self.wake();
                Poll::Ready(Ok(wrote))
            }
            Err(WriteError::Blocked) if self.is_over() => Poll::Ready(Err(Gone(0))),
            Err(WriteError::Blocked) => {
                // What is blocked is told to the peer.
                self.wake();
                Poll::Pending
            }
            Err(WriteError::Stopped(code)) => Poll::Ready(Err(Gone(code.into_inner()))),
            Err(WriteError::ClosedStream) => Poll::Ready(Err(Gone(0))),
        }
    }

    /// Nothing more is written to a stream.
    ///
    /// # Errors
    /// The client wanted no more anyway.
    pub fn finish(&self, id: StreamId) -> Result<(), Gone> {
        let finished = self.core.borrow_mut().send_stream(id).finish();
        self.wake();
        finished.map_err(|_| Gone(0))
    }

    /// Breaks off writing.
    pub fn reset(&self, id: StreamId, code: u64) {
        let code = VarInt::from_u64(code).unwrap_or_default();
        let _ = self.core.borrow_mut().send_stream(id).reset(code);
        self.wake();
    }

    /// Reads no more of a stream, whatever still comes.
    pub fn stop(&self, id: StreamId, code: u64) {
        let code = VarInt::from_u64(code).unwrap_or_default();
        let _ = self.core.borrow_mut().recv_stream(id).stop(code);
        self.wake();
    }
}

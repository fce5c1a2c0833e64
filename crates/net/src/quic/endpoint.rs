//! One thread's socket: datagrams in, to the connections that they are for; new connections, if the caller takes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, EndpointEvent,
    Incoming, ServerConfig, Transmit,
};
use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::cid::{Issuer, Place};
use super::connection::Connection;
use super::{Common, Unproven};

/// Reads of a turn: then others of the thread have theirs.
const READS: usize = 16;
/// Buffers of one read, and what each takes: datagrams that the kernel has put together.
const BATCH: usize = 8;
const ROOM: usize = 64 * 1024;
/// Datagrams that wait to be passed to another thread.
const STRAYS: usize = 256;
/// Datagrams that are kept while a connection is being accepted, in bytes.
const WAITING: u64 = 64 * 1024;

/// The sockets of all threads that share one address.
pub struct Group {
    sockets: Vec<std::net::UdpSocket>,
    generation: u8,
}

impl Group {
    /// Of sockets that are bound already, one for each thread, in their order.
    pub fn of(sockets: Vec<std::net::UdpSocket>, generation: u8) -> Self {
        Self {
            sockets,
            generation,
        }
    }

    /// One part for each thread, in their order.
    pub fn split(self) -> Vec<Part> {
        let (doors, mailboxes): (Vec<_>, Vec<_>) = self
            .sockets
            .iter()
            .map(|_| mpsc::channel::<Stray>(STRAYS))
            .unzip();
        let doors: Arc<[_]> = doors.into();
        let parts = self.sockets.into_iter().zip(mailboxes).enumerate();
        parts
            .map(|(thread, (socket, mailbox))| Part {
                socket,
                mailbox,
                doors: doors.clone(),
                place: Place {
                    generation: self.generation,
                    thread: thread as u16,
                },
            })
            .collect()
    }
}

/// What one thread gets of a [`Group`].
pub struct Part {
    socket: std::net::UdpSocket,
    mailbox: mpsc::Receiver<Stray>,
    doors: Arc<[mpsc::Sender<Stray>]>,
    place: Place,
}

/// A datagram that arrived on the wrong thread.
struct Stray {
    from: SocketAddr,
    to: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    bytes: Box<[u8]>,
}

/// A connection that somebody wants to begin.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// From where, if that is no lie.
    pub peer: SocketAddr,
    /// It is none: a token says so.
    pub validated: bool,
    /// It can be sent away to come back with a token.
    pub may_retry: bool,
    /// Connections of this thread whose handshake is not done.
    pub half_open: usize,
}

/// What becomes of it.
pub enum Verdict<G> {
    /// It is served, by these rules.
    Accept(Arc<ServerConfig>, G),
    /// Its client has to prove its address first.
    Retry,
    /// It is told that it is not wanted.
    Refuse,
    /// It is told nothing.
    Ignore,
}

/// The socket of one thread.
pub struct Endpoint {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    place: Place,
    doors: Arc<[mpsc::Sender<Stray>]>,
    core: RefCell<quinn_proto::Endpoint>,
    connections: RefCell<HashMap<ConnectionHandle, Rc<Connection>>>,
    half_open: Cell<usize>,
    /// Connections that wait until the socket takes datagrams.
    blocked: RefCell<Vec<Waker>>,
    driver: RefCell<Option<Waker>>,
    output: RefCell<Vec<u8>>,
}

impl Endpoint {
    /// On this thread's runtime.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn new(part: Part, common: &Common) -> io::Result<(Rc<Self>, Mailbox)> {
        let state = UdpSocketState::new((&part.socket).into())?;
        let local = part.socket.local_addr()?;
        let place = part.place;
        let resets = common.resets.clone();
        let mut config = EndpointConfig::new(common.resets.clone());
        config
            .cid_generator(move || Box::new(Issuer::new(place, resets.clone())))
            .supported_versions(vec![1])
            .min_reset_interval(Duration::from_millis(20));
        let limits = super::Limits {
            streams: 0,
            idle: Duration::from_secs(30),
        };
        let mut server = ServerConfig::clone(&common.server(limits));
        server
            .max_incoming(1024)
            .incoming_buffer_size(WAITING)
            .incoming_buffer_size_total(16 * WAITING);
        let core = quinn_proto::Endpoint::new(
            Arc::new(config),
            Some(Arc::new(server)),
            !state.may_fragment(),
            None,
        );
        let endpoint = Rc::new(Self {
            socket: UdpSocket::from_std(part.socket)?,
            state,
            local,
            place,
            doors: part.doors,
            core: RefCell::new(core),
            connections: RefCell::default(),
            half_open: Cell::new(0),
            blocked: RefCell::default(),
            driver: RefCell::default(),
            output: RefCell::default(),
        });
        Ok((endpoint, Mailbox(part.mailbox)))
    }

    /// The address that it is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether there is no connection left, not even one that only waits for the last datagrams of its client.
    pub fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// Reads datagrams, for ever. `judge` says who may connect; `serve` gets each connection that may, to drive it.
    pub async fn run<G>(
        self: Rc<Self>,
        mut mailbox: Mailbox,
        mut judge: impl FnMut(Arrival) -> Verdict<G>,
        mut serve: impl FnMut(Rc<Connection>, G),
    ) {
        let mut room = vec![0; BATCH * ROOM];
        let mut arrived = |from, to, ecn, bytes: &[u8]| {
            let receive = || self.receive(from, to, ecn, bytes, &mut judge, &mut serve);
            // Should a datagram make the core panic, that costs the datagram and perhaps its connection, not the thread's socket.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(receive));
        };
        poll_fn(|cx| {
            *self.driver.borrow_mut() = Some(cx.waker().clone());
            self.unblock(cx);
            for _ in 0..READS {
                while let Poll::Ready(Some(stray)) = mailbox.0.poll_recv(cx) {
                    arrived(stray.from, stray.to, stray.ecn, &stray.bytes);
                }
                if self.socket.poll_recv_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                self.read(&mut room, &mut arrived);
            }
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
    }

    fn read(
        &self,
        room: &mut [u8],
        arrived: &mut impl FnMut(SocketAddr, Option<IpAddr>, Option<EcnCodepoint>, &[u8]),
    ) {
        let mut meta = [RecvMeta::default(); BATCH];
        let mut slices = room.chunks_mut(ROOM).map(IoSliceMut::new);
        let mut buffers =
            [(); BATCH].map(|()| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        // An error is about a datagram that we sent before (ICMP), or means that there is nothing.
        let read = self.socket.try_io(Interest::READABLE, || {
            self.state
                .recv((&self.socket).into(), &mut buffers, &mut meta)
        });
        let read = read.unwrap_or(0);
        for (meta, buffer) in meta.iter().zip(&buffers).take(read) {
            let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
            let all = buffer.get(..meta.len).unwrap_or_default();
            for bytes in all.chunks(meta.stride.max(1)) {
                let place = Place::of_datagram(bytes);
                match place.and_then(|place| self.door(place)) {
                    None => arrived(meta.addr, meta.dst_ip, ecn, bytes),
                    // A full mailbox is a network that loses datagrams.
                    Some(door) => drop(door.try_send(Stray {
                        from: meta.addr,
                        to: meta.dst_ip,
                        ecn,
                        bytes: bytes.into(),
                    })),
                }
            }
        }
    }

    /// Where a datagram for this place has to go, if that is another thread of ours.
    fn door(&self, place: Place) -> Option<&mpsc::Sender<Stray>> {
        if place == self.place || place.generation != self.place.generation {
            return None;
        }
        self.doors.get(usize::from(place.thread))
    }

    /// Whether the id that it names has the form of those that this worker issues.
    fn looks_ours(&self, datagram: &[u8]) -> bool {
        let place = Place::of_datagram(datagram);
        place.is_some_and(|place| place.generation == self.place.generation)
    }

    fn receive<G>(
        self: &Rc<Self>,
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
        judge: &mut impl FnMut(Arrival) -> Verdict<G>,
        serve: &mut impl FnMut(Rc<Connection>, G),
    ) {
        let mut output = self.output.take();
        output.clear();
        let event = self.core.borrow_mut().handle(
            Instant::now(),
            from,
            to,
            ecn,
            BytesMut::from(bytes),
            &mut output,
        );
        match event {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(connection) = self.connections.borrow().get(&handle) {
                    connection.receive(event, bytes.len(), self.looks_ours(bytes));
                }
            }
            Some(DatagramEvent::Response(transmit)) => self.answer(&transmit, &output),
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.arrive(incoming, bytes, &mut output, judge, serve);
            }
        }
        *self.output.borrow_mut() = output;
    }

    fn arrive<G>(
        self: &Rc<Self>,
        incoming: Incoming,
        bytes: &[u8],
        output: &mut Vec<u8>,
        judge: &mut impl FnMut(Arrival) -> Verdict<G>,
        serve: &mut impl FnMut(Rc<Connection>, G),
    ) {
        let arrival = Arrival {
            peer: incoming.remote_address(),
            validated: incoming.remote_address_validated(),
            may_retry: incoming.may_retry(),
            half_open: self.half_open.get(),
        };
        let verdict = judge(arrival);
        let mut core = self.core.borrow_mut();
        output.clear();
        match verdict {
            Verdict::Accept(config, guest) => {
                let accepted = core.accept(incoming, Instant::now(), output, Some(config));
                drop(core);
                match accepted {
                    Ok((handle, connection)) => {
                        self.half_open.set(self.half_open.get() + 1);
                        let (proven, looks_ours) = (arrival.validated, self.looks_ours(bytes));
                        let unproven = Unproven::new(bytes.len(), proven, looks_ours);
                        let connection =
                            Connection::new(self.clone(), handle, connection, proven, unproven);
                        self.connections
                            .borrow_mut()
                            .insert(handle, connection.clone());
                        serve(connection, guest);
                    }
                    Err(error) => {
                        if let Some(transmit) = error.response {
                            self.answer(&transmit, output);
                        }
                    }
                }
            }
            Verdict::Retry => match core.retry(incoming, output) {
                Ok(transmit) => self.answer(&transmit, output),
                Err(error) => core.ignore(error.into_incoming()),
            },
            Verdict::Refuse => {
                let transmit = core.refuse(incoming, output);
                self.answer(&transmit, output);
            }
            Verdict::Ignore => core.ignore(incoming),
        }
    }

    /// Sends an answer of no connection, if the socket takes it at once.
    fn answer(&self, transmit: &Transmit, bytes: &[u8]) {
        let _ = self.send(transmit, bytes);
    }

    /// Sends what a connection wants sent.
    ///
    /// # Errors
    /// The socket takes nothing now ([`Endpoint::wait`]). Other errors are a network that loses datagrams.
    pub(super) fn send(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit
                .ecn
                .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: bytes.get(..transmit.size).unwrap_or(bytes),
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.socket.try_io(Interest::WRITABLE, || {
            self.state.send((&self.socket).into(), &transmit)
        })
    }

    /// The most datagrams that one write may carry.
    pub(super) fn most_segments(&self) -> usize {
        self.state.max_gso_segments().clamp(1, 10)
    }

    /// Wakes this task when the socket takes datagrams again.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        self.blocked.borrow_mut().push(cx.waker().clone());
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    fn unblock(&self, cx: &mut Context<'_>) {
        if !self.blocked.borrow().is_empty() && self.socket.poll_send_ready(cx).is_ready() {
            for waker in self.blocked.take() {
                waker.wake();
            }
        }
    }

    /// What a connection has to say to the endpoint; the answer is for the connection.
    pub(super) fn tell(
        &self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        self.core.borrow_mut().handle_event(handle, event)
    }

    /// A handshake has ended, one way or the other.
    pub(super) fn closed_half(&self) {
        self.half_open.set(self.half_open.get() - 1);
    }

    /// A connection is gone for good.
    pub(super) fn forget(&self, handle: ConnectionHandle) {
        self.connections.borrow_mut().remove(&handle);
    }

    pub(super) fn take_output(&self) -> Vec<u8> {
        self.output.take()
    }

    pub(super) fn give_output(&self, output: Vec<u8>) {
        *self.output.borrow_mut() = output;
    }
}

/// Where other threads put what arrived with them and is for this one.
pub struct Mailbox(mpsc::Receiver<Stray>);

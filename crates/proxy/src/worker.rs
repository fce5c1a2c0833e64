//! The worker: one thread per core, each with its own runtime, listeners and origin connections; and the process around them.
//!
//! The kernel spreads connections over the threads' listeners (`SO_REUSEPORT`), and a connection stays where it was accepted.
//! Draining stops accepting, closes idle connections at once and lets requests end. Stopping cuts those that did not.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::quic::Part;
use seawall_telemetry::{LogBuffer, Shard};
use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::Receiver;

use crate::announced;
use crate::connection;
use crate::snapshot::Edge;
use crate::thread::{Shared, Thread};

/// How many connections may wait to be accepted, per listener.
const BACKLOG: i32 = 4096;
/// How often a thread tidies up: aged log lines, the drain flag; and says in the blame page that it runs, for which a quarter of a
/// second is promised.
pub(crate) const TICK: Duration = Duration::from_millis(200);
/// Ticks after which old origin connections are looked for.
const SWEEP: u32 = 5;
/// How long accepting pauses when descriptors or memory have run out.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket of one thread.
pub struct Listener {
    /// The socket, bound and listening, non-blocking.
    pub socket: std::net::TcpListener,
    /// Who comes to it.
    pub kind: Kind,
}

/// Who comes to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clients, in cleartext.
    Http,
    /// Clients, over TLS.
    Https,
    /// Other locations of our fleet, over TLS.
    Locations,
    /// We alone, to ask ourselves: accepted on at once.
    Own,
}

/// Binds one address for `threads` threads. With port 0 the first socket picks it and the others join.
///
/// # Errors
/// As the system says: the port is taken, or may not be used.
pub fn bind(
    address: SocketAddr,
    threads: usize,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let mut bound = address;
    let mut sockets = Vec::with_capacity(threads);
    if address.port() != 0 {
        // First without SO_REUSEPORT: else two Seawalls would share a port, each getting half of the connections. A port that
        // the system picks is nobody else's.
        socket(address, false)?;
    }
    for _ in 0..threads {
        let socket = socket(bound, true)?;
        if let Some(taken) = socket.local_addr()?.as_socket() {
            bound.set_port(taken.port());
        }
        socket.listen(BACKLOG)?;
        sockets.push(socket.into());
    }
    Ok((bound, sockets))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Runs one worker thread until it has drained, or its last connection has ended after another worker took over.
///
/// # Errors
/// When the runtime cannot be made.
pub fn run(
    shared: Arc<Shared>,
    shard: Shard,
    log: LogBuffer,
    seed: u64,
    listeners: Vec<Listener>,
    datagrams: Receiver<Part>,
) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    let thread = Thread::new(shared, shard, log, seed);
    thread.beat();
    thread.tick();
    runtime.block_on(async {
        let mut accepting = Vec::new();
        for listener in listeners {
            let socket = TcpListener::from_std(listener.socket)?;
            accepting.push(tokio::task::spawn_local(accept_in_time(
                thread.clone(),
                socket,
                listener.kind,
            )));
        }
        tokio::task::spawn_local(connection::http3::listen(thread.clone(), datagrams));
        let mut ticks = 0;
        while !thread.is_leaving() {
            // Should leaving begin between the two, the next tick sees it.
            let _ = tokio::time::timeout(TICK, thread.shared.drain.notified()).await;
            tidy(&thread, &mut ticks);
        }
        // Nobody is between the socket and its task: accepting hands a connection over without waiting.
        for accepting in accepting {
            accepting.abort();
            let _ = accepting.await;
        }
        thread.shared.note_deaf();
        if !thread.is_draining() {
            thread.wake_all();
            thread.serve_out(|| tidy(&thread, &mut ticks)).await;
        }
        thread.wake_all();
        while thread.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            thread.beat();
            // A connection that was busy and is idle now goes too.
            thread.wake_all();
            if thread.is_stopping() {
                // The process will not wait for the last connection.
                thread.flush_log_now();
            } else {
                thread.flush_log();
            }
        }
        thread.origins.close_all();
        thread.flush_log_now();
        Ok(())
    })
}

/// What a thread does with each tick.
fn tidy(thread: &Rc<Thread>, ticks: &mut u32) {
    *ticks = ticks.wrapping_add(1);
    thread.beat();
    thread.tick();
    thread.flush_log();
    if ticks.is_multiple_of(SWEEP) {
        thread.origins.sweep();
    }
}

/// Accepts clients once the gate is open; on a listener of our own at once.
async fn accept_in_time(thread: Rc<Thread>, listener: TcpListener, kind: Kind) {
    if kind != Kind::Own {
        thread.shared.accepts().await;
    }
    accept(thread, listener, kind).await;
}

async fn accept(thread: Rc<Thread>, listener: TcpListener, kind: Kind) {
    let tls = kind == Kind::Https;
    let is_clients = matches!(kind, Kind::Http | Kind::Https);
    // Kept so that, when descriptors run out, there is one to accept and close with: a client that is told at once is better
    // off than one that hangs in the backlog.
    let mut spare = spare_descriptor();
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => {
                let snapshot = thread.snapshot.load();
                let edge = snapshot.edge();
                let (most, each) = (edge.connections, edge.connections_per_client);
                let announces = is_clients && announced::begins(&snapshot, tls, from.ip());
                drop(snapshot);
                // Whose it is, where somebody else is to say that, is counted then.
                let counts = each > 0 && !announces && kind != Kind::Locations;
                let counted = counts.then(|| from.ip());
                if counted.is_some_and(|ip| !thread.shared.enter(ip, each)) {
                    thread.shard.connection_refused("client_limit");
                    thread.snapshot.with(|live| {
                        live.count_turned_away(|next, live| each_client(next) < each_client(live))
                    });
                    continue;
                }
                let Some(presence) = thread.admit(most, counted) else {
                    continue;
                };
                if announces {
                    announced::serve(thread.clone(), presence, tcp, tls);
                } else if kind == Kind::Locations {
                    connection::of_location(thread.clone(), presence, tcp);
                } else {
                    connection::serve(thread.clone(), presence, tcp, tls);
                }
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                thread.shard.connection_refused("descriptors");
                thread.shared.note_ran_out();
                thread.origins.close_idle();
                drop(spare.take());
                if let Ok((refused, _)) = listener.accept().await {
                    drop(refused);
                }
                tokio::time::sleep(PAUSE).await;
                spare = spare_descriptor();
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => {
                thread.shard.connection_refused("memory");
                tokio::time::sleep(PAUSE).await;
            }
            // The client was gone before we looked (ECONNABORTED and the like).
            Err(_) => {}
        }
    }
}

/// Connections that one client may have.
fn each_client(edge: &Edge) -> u64 {
    match edge.connections_per_client {
        // Nobody counts them.
        0 => u64::MAX,
        most => u64::from(most),
    }
}

fn spare_descriptor() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

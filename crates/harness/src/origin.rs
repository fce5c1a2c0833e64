//! Origins over real sockets on ports of their own, which remember every byte that the edge sent them.
//!
//! A well-behaved origin reads by the letter ([`crate::strict`]) and answers what it was told to; one with a vice does what
//! its vice says. The HTTP/2 half is in [`crate::origin_h2`].

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::answer::pattern;
use crate::listens::Listens;
use crate::patience::patience;
use crate::socket::Socket;
use crate::strict::{self, StrictRequest};
use crate::vice::{After, Vice};
use crate::{origin_h1, origin_h2};

/// What a well-behaved origin answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Only for this path (without its query); `None` for all.
    pub path: Option<String>,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Body,
    pub chunked: bool,
    pub trailers: Vec<(String, String)>,
    pub informational: Vec<u16>,
    /// Waits for this gate to open before it answers.
    pub gate: Option<String>,
    /// Waits for this gate in the middle of the body.
    pub body_gate: Option<String>,
    pub close: bool,
    /// These bytes and nothing else, instead of all the above but `gate` and `close` (HTTP/1.1 only).
    pub raw: Option<Vec<u8>>,
    /// Accepts an upgrade and sends back what it receives.
    pub tunnel: bool,
    /// What of a request's fields it listens to.
    pub listens: Listens,
}

/// The body of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `NAME METHOD TARGET` and a line end, so that an answer to another request shows.
    Request,
    Bytes(Vec<u8>),
    /// So many bytes of the known pattern, from this one on.
    Pattern(usize, usize),
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            path: None,
            status: 200,
            fields: vec![("content-type".into(), "text/plain".into())],
            body: Body::Request,
            chunked: false,
            trailers: Vec::new(),
            informational: Vec::new(),
            gate: None,
            body_gate: None,
            close: false,
            raw: None,
            tunnel: false,
            listens: Listens::default(),
        }
    }
}

/// How an origin is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speaks {
    #[default]
    H1,
    H2,
}

/// A request that reached an origin.
#[derive(Debug, Clone)]
pub struct Seen {
    pub request: StrictRequest,
    /// The body has come whole.
    pub whole: bool,
    /// Number of the connection that brought it.
    pub connection: usize,
}

/// What came over one connection.
#[derive(Debug, Default)]
struct Recording {
    bytes: Vec<u8>,
    /// Bytes of whole requests that were judged already.
    judged: usize,
    /// From here on the bytes belong to a tunnel.
    tunnel_from: Option<usize>,
    http2: bool,
}

#[derive(Debug, Default)]
struct State {
    replies: Vec<Reply>,
    vice: Option<(Vice, Option<u32>)>,
    connections: Vec<Recording>,
    seen: Vec<Seen>,
    gates: HashSet<String>,
    turn: usize,
    /// Streams by connection, and the most that any of them had.
    streams: HashMap<usize, usize>,
    most_streams: usize,
}

/// What the tasks of an origin share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    speaks: Speaks,
    state: Mutex<State>,
    gates: watch::Sender<u64>,
    listening: watch::Sender<bool>,
    tls: Option<Arc<ServerConfig>>,
    pub(crate) max_streams: Option<u32>,
}

/// An origin that runs until it is dropped.
#[derive(Debug)]
pub struct Origin {
    pub name: String,
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(name: &str, speaks: Speaks, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        Self::start_with(name, speaks, tls, None).await
    }

    /// The same, with a limit of streams at once on an HTTP/2 connection.
    pub async fn start_with(
        name: &str,
        speaks: Speaks,
        tls: Option<Arc<ServerConfig>>,
        max_streams: Option<u32>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("an origin's port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            speaks,
            state: Mutex::default(),
            gates: watch::Sender::new(0),
            listening: watch::Sender::new(true),
            tls,
            max_streams,
        });
        let task = tokio::spawn(accept(shared.clone(), listener, address));
        Ok(Self {
            name: name.to_owned(),
            address,
            shared,
            task,
        })
    }

    /// Sets what it answers; a reply for the same path is replaced.
    pub fn reply(&self, reply: Reply) {
        let mut state = self.shared.lock();
        state.replies.retain(|known| known.path != reply.path);
        state.replies.push(reply);
    }

    /// Takes on a vice, for the next `times` connections or requests or until told otherwise.
    pub fn take_on(&self, vice: Vice, times: Option<u32>) {
        let mut state = self.shared.lock();
        state.vice = (vice != Vice::None).then_some((vice, times));
        state.turn = 0;
        drop(state);
        self.shared.listening.send_replace(vice != Vice::Refuses);
    }

    /// Waits until the port is open (or closed) as the vice says: connections are opened by others, so look from outside.
    pub async fn settled(&self) -> Result<()> {
        let open = *self.shared.listening.borrow();
        let deadline = tokio::time::Instant::now() + patience();
        loop {
            let probe = TcpStream::connect(self.address).await;
            if probe.is_ok() == open {
                return Ok(());
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "origin {} did not settle",
                self.name
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub fn open_gate(&self, gate: &str) {
        self.shared.lock().gates.insert(gate.to_owned());
        self.shared.gates.send_modify(|turn| *turn += 1);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    pub fn requests(&self) -> usize {
        self.shared.lock().seen.len()
    }

    /// Requests that came with the whole of their body.
    pub fn whole(&self) -> usize {
        let state = self.shared.lock();
        state.seen.iter().filter(|seen| seen.whole).count()
    }

    /// Whether these bytes came, within whatever it was (HTTP/1.1).
    pub fn received(&self, bytes: &[u8]) -> bool {
        let state = self.shared.lock();
        let mut connections = state.connections.iter();
        connections.any(|connection| {
            let mut windows = connection.bytes.windows(bytes.len().max(1));
            windows.any(|window| window == bytes)
        })
    }

    /// The most streams that any connection had at once.
    pub fn most_streams(&self) -> usize {
        self.shared.lock().most_streams
    }

    /// Connections that brought at least one byte.
    pub fn connections(&self) -> usize {
        self.shared
            .lock()
            .connections
            .iter()
            .filter(|connection| !connection.bytes.is_empty())
            .count()
    }

    /// Forgets the requests seen so far; the bytes stay for the judge.
    pub fn forget(&self) {
        self.shared.lock().seen.clear();
    }

    /// Judges what has come since the last call: every byte must belong to a valid request, or to the beginning of one.
    /// The verdicts, one a connection at most; a violation is told once.
    pub fn judge(&self) -> Vec<String> {
        let mut verdicts = Vec::new();
        let mut state = self.shared.lock();
        for (index, recording) in state
            .connections
            .iter_mut()
            .enumerate()
            .filter(|(_, r)| !r.http2)
        {
            let end = recording.tunnel_from.unwrap_or(recording.bytes.len());
            let fresh = recording
                .bytes
                .get(recording.judged..end)
                .unwrap_or_default();
            let found = strict::split(fresh);
            if let Some(violation) = found.violation {
                let shown = String::from_utf8_lossy(
                    &fresh[found.consumed..fresh.len().min(found.consumed + 600)],
                );
                verdicts.push(format!(
                    "origin {} connection {index}: {violation}\n    in {:?}",
                    self.name, shown
                ));
                recording.judged = end;
            } else {
                recording.judged += found.consumed;
            }
        }
        verdicts
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what came over a connection.
    pub(crate) fn record(&self, connection: usize, bytes: &[u8]) {
        if let Some(recording) = self.lock().connections.get_mut(connection) {
            recording.bytes.extend_from_slice(bytes);
        }
    }

    /// From here on, less what was read ahead, the bytes belong to a tunnel.
    pub(crate) fn tunnel_begins(&self, connection: usize, ahead: usize) {
        if let Some(recording) = self.lock().connections.get_mut(connection) {
            recording.tunnel_from = Some(recording.bytes.len() - ahead);
        }
    }

    /// A stream is open on a connection, until what this gives is dropped.
    pub(crate) fn stream_opens(self: &Arc<Self>, connection: usize) -> OpenStream {
        let mut state = self.lock();
        let open = state.streams.entry(connection).or_default();
        *open += 1;
        state.most_streams = (*open).max(state.most_streams);
        OpenStream {
            shared: self.clone(),
            connection,
        }
    }

    /// The reply for a request.
    pub(crate) fn reply_for(&self, request: &StrictRequest) -> Reply {
        let path = request.target.split('?').next().unwrap_or_default();
        let state = self.lock();
        let exact = state
            .replies
            .iter()
            .find(|reply| reply.path.as_deref() == Some(path));
        exact
            .or_else(|| state.replies.iter().find(|reply| reply.path.is_none()))
            .cloned()
            .map(|reply| {
                let listens = reply.listens.clone();
                listens.adapt(reply, request)
            })
            .unwrap_or_default()
    }

    pub(crate) fn saw(&self, request: StrictRequest, connection: usize) -> usize {
        let mut state = self.lock();
        state.seen.push(Seen {
            request,
            whole: false,
            connection,
        });
        state.seen.len() - 1
    }

    /// Fills in the body. The scenario may have forgotten the request meanwhile.
    pub(crate) fn saw_whole(&self, index: usize, body: Vec<u8>, trailers: Vec<strict::Line>) {
        if let Some(seen) = self.lock().seen.get_mut(index) {
            seen.request.body = body;
            seen.request.trailers = trailers;
            seen.whole = true;
        }
    }

    pub(crate) fn body_of(&self, reply: &Reply, method: &str, target: &str) -> Vec<u8> {
        match &reply.body {
            Body::Request => format!("{} {method} {target}\n", self.name).into_bytes(),
            Body::Bytes(bytes) => bytes.clone(),
            Body::Pattern(size, from) => pattern(from + size).split_off(*from),
        }
    }

    pub(crate) async fn gate(&self, gate: Option<&String>) {
        let Some(gate) = gate else { return };
        let mut turns = self.gates.subscribe();
        while !self.lock().gates.contains(gate) {
            if turns.changed().await.is_err() {
                return;
            }
        }
    }

    /// The vice in force when it is one of these; it is not used up.
    pub(crate) fn next_vice_of(&self, wanted: &[Vice]) -> Option<Vice> {
        self.lock()
            .vice
            .map(|(vice, _)| vice)
            .filter(|vice| wanted.contains(vice))
    }

    /// The vice for the next connection (when it acts on accept) or request, and how many came before.
    pub(crate) fn next_vice(&self, accepting: bool) -> Option<(Vice, usize)> {
        let mut state = self.lock();
        let (vice, times) = state.vice?;
        if vice.on_accept().is_some() != accepting {
            return None;
        }
        let turn = state.turn;
        state.turn += 1;
        match times {
            Some(0) => return None,
            Some(times) => state.vice = Some((vice, Some(times - 1))),
            None => {}
        }
        Some((vice, turn))
    }
}

/// A stream that is not answered yet.
pub(crate) struct OpenStream {
    shared: Arc<Shared>,
    connection: usize,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(open) = self.shared.lock().streams.get_mut(&self.connection) {
            *open -= 1;
        }
    }
}

async fn accept(shared: Arc<Shared>, first: TcpListener, address: SocketAddr) {
    let mut listener = Some(first);
    let mut listening = shared.listening.subscribe();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = *listening.borrow_and_update();
        if !wanted {
            listener = None;
            tasks.shutdown().await;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        }
        let Some(open) = &listener else {
            if listening.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((tcp, _)) = accepted {
                tasks.spawn(connection(shared.clone(), tcp));
            },
            changed = listening.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

async fn connection(shared: Arc<Shared>, tcp: TcpStream) {
    let _best_effort = tcp.set_nodelay(true);
    if let Some((vice, _)) = shared.next_vice(true) {
        if vice.on_accept() == Some(After::Reset) {
            let _best_effort = tcp.set_zero_linger();
        }
        return;
    }
    let socket = match &shared.tls {
        None => Socket::Plain(tcp),
        Some(config) => match TlsAcceptor::from(config.clone()).accept(tcp).await {
            Ok(tls) => Socket::Tls(Box::new(tls.into())),
            Err(_) => return,
        },
    };
    let http2 = shared.speaks == Speaks::H2 && socket.alpn().is_none_or(|alpn| alpn == "h2");
    let index = {
        let mut state = shared.lock();
        state.connections.push(Recording {
            http2,
            ..Recording::default()
        });
        state.connections.len() - 1
    };
    if http2 {
        shared.lock().connections[index].bytes.push(b'2');
        origin_h2::serve(shared, socket, index).await;
    } else {
        origin_h1::serve(shared, socket, index).await;
    }
}

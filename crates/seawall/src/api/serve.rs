//! The API's connections: HTTP/1.1, and HTTP/2 with prior knowledge, by the very codecs that sites are served with. Everything has a
//! bound: connections, those of one address, heads, the time that each takes to come.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use seawall_model::{FieldId, Fields, RequestHead};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::{Buffer, SMALL};
use seawall_net::downstream::{
    After, ClientBody, ClientGone, ClientResponse, Continue, Http1Body, Http1Response, Http2Body,
    Http2Response,
};
use seawall_net::h1::{self, Framing, HeadLimits, HeadScanner, Upgrade};
use seawall_net::h2;
use seawall_net::multiplex::{Leaving, Multiplex, Opened, Patience, StreamHandle};
use seawall_net::outgoing::{BodyOut, Line, ResponseOut};
use seawall_net::stream::Stream;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Api;
use super::call::{Body, Reply};
use super::problem::Problem;
use crate::say::complain;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// Of one address: all may come from a proxy of the owner's.
const OF_ONE: usize = 128;
/// How long a head may take from its first byte on.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may lie idle.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of an answer.
const WRITE: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a client may go on sending after we said the end: closing at once would make the kernel reset
/// the connection, and the client might never see our answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Before it is tried again to listen where something else does.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries after which that is said.
const TRIES: u32 = 3;
const BACKLOG: i32 = 256;
/// What an HTTP/2 client with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 16 << 10,
    target_bytes: 4 << 10,
    fields: 64,
};

/// What a browser that came here must not do with an answer, whatever it thinks that it is.
const ALWAYS: &[u8] = b"x-content-type-options: nosniff\r\n";

/// Listens and answers for as long as the process lives. Must run in a `LocalSet`.
pub async fn listen(address: SocketAddr, api: Api, tell: mpsc::Sender<SocketAddr>) {
    let mut tries = 0;
    let listener = loop {
        match bind(address) {
            Ok(listener) => break listener,
            Err(error) => {
                tries += 1;
                // A control that is about to end has it for a moment; and once is enough.
                if tries == TRIES {
                    complain(format_args!(
                        "the API does not listen on {address}: {error}; it is tried again (another address: --dashboard IP:PORT, none: --dashboard none)"
                    ));
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    if let Ok(address) = listener.local_addr() {
        let _ = tell.send(address).await;
    }
    let server = Rc::new(Server {
        api,
        connections: RefCell::default(),
    });
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => accept(&server, tcp, peer.ip().to_canonical()),
            // No descriptor, or the like: it passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A control that has gone leaves connections behind that are about to end.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct Server {
    api: Api,
    /// How many connections each address has.
    connections: RefCell<HashMap<IpAddr, usize>>,
}

/// A place among the connections, given back on drop.
struct Held {
    server: Rc<Server>,
    from: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut connections = self.server.connections.borrow_mut();
        if let Some(many) = connections.get_mut(&self.from) {
            *many = many.saturating_sub(1);
            if *many == 0 {
                connections.remove(&self.from);
            }
        }
    }
}

fn accept(server: &Rc<Server>, tcp: TcpStream, from: IpAddr) {
    {
        let mut connections = server.connections.borrow_mut();
        let all: usize = connections.values().sum();
        let of_one = connections.entry(from).or_default();
        // Closed without a word: who floods is answered with nothing.
        if all >= CONNECTIONS || *of_one >= OF_ONE {
            if *of_one == 0 {
                connections.remove(&from);
            }
            return;
        }
        *of_one += 1;
    }
    let held = Held {
        server: server.clone(),
        from,
    };
    let _ = tcp.set_nodelay(true);
    tokio::task::spawn_local(async move {
        connection(&held.server, held.from, Stream::Plain(tcp.into())).await;
    });
}

/// HTTP/1.x or HTTP/2: the first bytes tell.
async fn connection(server: &Rc<Server>, from: IpAddr, stream: Stream) {
    let mut buffer = Buffer::default();
    let mut alarm = Alarm::new(HEAD);
    loop {
        let n = buffer.len().min(PREFACE.len());
        if buffer.front(n) != PREFACE.get(..n).unwrap_or_default() {
            return http1(server, from, stream, buffer, alarm).await;
        }
        if n == PREFACE.len() {
            let first = buffer.data().to_vec();
            return http2(server, from, stream, &first, alarm).await;
        }
        if !more(&stream, &mut buffer, &mut alarm).await {
            return;
        }
    }
}

/// Reads once; whether something came in time.
async fn more(stream: &Stream, buffer: &mut Buffer, alarm: &mut Alarm) -> bool {
    let read = alarm.within(|cx| stream.poll_read(cx, buffer.room(SMALL)));
    matches!(read.await, Ok(Ok(read)) if read > 0)
}

async fn http1(
    server: &Rc<Server>,
    from: IpAddr,
    stream: Stream,
    mut buffer: Buffer,
    mut alarm: Alarm,
) {
    let mut head = RequestHead::default();
    loop {
        let info = match next_head(&stream, &mut buffer, &mut alarm, &mut head).await {
            Next::Head(info) => info,
            Next::Gone => break,
            Next::Bad(problem) => {
                let go_on = Continue::default();
                let response = Http1Response::new(&stream, false, false, &go_on);
                let mut response = ClientResponse::Http1(response);
                let _ = send(&mut response, problem.reply(), b"GET", &mut alarm).await;
                return linger(&stream, &mut buffer, &mut alarm).await;
            }
        };
        let keep = info.persistent && info.upgrade == Upgrade::None;
        let go_on = Continue::new(info.expect_continue);
        let old = head.version == seawall_model::HttpVersion::Http10;
        let body = Http1Body::new(&stream, &mut buffer, info.framing, &go_on);
        let mut body = ClientBody::Http1(body);
        let mut response = ClientResponse::Http1(Http1Response::new(&stream, old, keep, &go_on));
        let length = match info.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let mut asked = Body {
            from: &mut body,
            alarm: &mut alarm,
            length,
        };
        let reply = server.api.answer(from, &head, &mut asked).await;
        if !body.is_done() {
            // What is still to come would be taken for the next request.
            response.close_after();
        }
        let sent = send(&mut response, reply, head.method_bytes(), &mut alarm).await;
        let keeps = matches!(&response, ClientResponse::Http1(response) if response.keeps());
        drop(response);
        drop(body);
        if sent.is_err() {
            return;
        }
        if !keeps {
            return linger(&stream, &mut buffer, &mut alarm).await;
        }
        alarm.set(IDLE);
    }
    let _ = stream.finish_sending();
}

/// What comes next on a connection.
enum Next {
    /// A head.
    Head(h1::RequestInfo),
    /// Nothing.
    Gone,
    /// No head.
    Bad(Problem),
}

async fn next_head(
    stream: &Stream,
    buffer: &mut Buffer,
    alarm: &mut Alarm,
    head: &mut RequestHead,
) -> Next {
    let mut scanner = HeadScanner::default();
    let mut begun = false;
    loop {
        if !buffer.is_empty() && !begun {
            begun = true;
            alarm.set(HEAD);
        }
        if let Some(length) = scanner.find(buffer.data()) {
            let info = match h1::parse_request(buffer.front(length), &LIMITS, head) {
                Ok(info) => info,
                Err(reject) => return Next::Bad(rejected(reject)),
            };
            buffer.consume(length);
            return Next::Head(info);
        }
        if buffer.len() > LIMITS.head_bytes {
            return Next::Bad(rejected(h1::too_long(buffer.data(), &LIMITS)));
        }
        if !more(stream, buffer, alarm).await {
            let has_stalled = begun && !stream.is_reset();
            return match has_stalled {
                true => Next::Bad(Problem::of("slow")),
                false => Next::Gone,
            };
        }
    }
}

fn rejected(reject: h1::Reject) -> Problem {
    let kind = match reject.status {
        431 | 414 => "head_too_large",
        _ => "malformed",
    };
    Problem::of(kind).saying(reject.to_string())
}

async fn http2(server: &Rc<Server>, from: IpAddr, stream: Stream, first: &[u8], mut alarm: Alarm) {
    let config = h2::Config {
        max_concurrent_streams: 32,
        enable_connect_protocol: false,
        max_header_list: LIMITS.head_bytes as u32,
        ..h2::Config::server()
    };
    let patience = Patience {
        idle: IDLE,
        write: WRITE,
    };
    let connection = Multiplex::new(stream, config);
    connection.receive_first(first);
    alarm.set(IDLE);
    let opened = |opened: Opened| match opened {
        Opened::Request { id, end } => {
            let handle = Rc::new(StreamHandle::new(&connection, id));
            tokio::task::spawn_local(one_stream(server.clone(), from, handle, end));
        }
        Opened::HeadTooLarge { id } => {
            let handle = Rc::new(StreamHandle::new(&connection, id));
            tokio::task::spawn_local(async move {
                let mut alarm = Alarm::new(WRITE);
                let mut response = ClientResponse::Http2(Http2Response::new(handle));
                let reply = Problem::of("head_too_large").reply();
                let _ = send(&mut response, reply, b"GET", &mut alarm).await;
            });
        }
        Opened::Malformed(_) => {}
    };
    Box::pin(connection.drive(&mut alarm, patience, || Leaving::Not, opened)).await;
}

async fn one_stream(server: Rc<Server>, from: IpAddr, stream: Rc<StreamHandle>, end: bool) {
    let mut head = RequestHead::default();
    if !stream.with(|core, id| core.take_request(id, &mut head)) {
        return;
    }
    let mut alarm = Alarm::new(WRITE);
    let mut body = ClientBody::Http2(Http2Body::new(stream.clone(), end));
    let mut response = ClientResponse::Http2(Http2Response::new(stream));
    let length = head.fields.only(FieldId::ContentLength);
    let length = length.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let mut asked = Body {
        from: &mut body,
        alarm: &mut alarm,
        length: if end { Some(0) } else { length },
    };
    let reply = if head.fields.len() > LIMITS.fields {
        Problem::of("head_too_large").reply()
    } else {
        server.api.answer(from, &head, &mut asked).await
    };
    let _ = send(&mut response, reply, head.method_bytes(), &mut alarm).await;
}

/// Sends a reply, whole.
async fn send(
    response: &mut ClientResponse<'_>,
    reply: Reply,
    method: &[u8],
    alarm: &mut Alarm,
) -> Result<(), ClientGone> {
    let mut fields = Fields::default();
    if !reply.content.is_empty() {
        fields.push(b"content-type", reply.content_type.as_bytes());
    }
    fields.push(b"cache-control", b"no-store");
    for (name, value) in &reply.fields {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    let has_content = !matches!(reply.status, 204 | 304);
    let head = ResponseOut {
        status: reply.status,
        origin: None,
        skip: 0,
        extra: &fields,
        last: Line(ALWAYS),
        body: match has_content {
            true => BodyOut::Length(reply.content.len() as u64),
            false => BodyOut::None,
        },
    };
    if method == b"HEAD" || !has_content || reply.content.is_empty() {
        return response.head_alone(head, alarm, WRITE).await;
    }
    response.head(head)?;
    response
        .body(&reply.content, After::Last, alarm, WRITE)
        .await?;
    response.flush(alarm, WRITE).await
}

/// Says the end, then reads away what the client still sends, within bounds.
async fn linger(stream: &Stream, buffer: &mut Buffer, alarm: &mut Alarm) {
    if stream.finish_sending().is_err() {
        return;
    }
    alarm.set(LINGER);
    let mut left = LINGER_BYTES;
    while left > 0 {
        buffer.consume(buffer.len());
        if !more(stream, buffer, alarm).await {
            return;
        }
        left = left.saturating_sub(buffer.len());
    }
}

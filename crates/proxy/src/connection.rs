//! A client's connection, from accept to close: TLS where the listener speaks it, then HTTP/1.x or HTTP/2; HTTP/3 is in [`http3`].
//!
//! Infallible: whatever happens here ends in a closed connection and, where there was a request, in a Record. While it waits
//! for the next request a connection holds no buffer and no heads.

mod http2;
pub mod http3;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seawall_model::{ConnFacts, HttpVersion};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::{Buffer, SMALL};
use seawall_net::downstream::{ClientBody, ClientResponse, Continue, Http1Body, Http1Response};
use seawall_net::h1::{self, HeadLimits, HeadScanner, RequestInfo, Upgrade};
use seawall_net::stream::Stream;
use seawall_net::tls::{self, TlsFault, accept};
use tokio::net::TcpStream;
use tokio::time::Instant;

use http2::http2;

use crate::exchange::{self, Arrived};
use crate::fault::Fault;
use crate::forward::Peer;
use crate::refusal;
use crate::retire::LAST_REQUEST;
use crate::thread::{Presence, Scratch, Thread};
use crate::tier::Tier;

/// What an HTTP/2 client with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long, and for how many bytes, a client may go on sending after we said the end: closing at once would make the kernel
/// reset the connection, and the client might never see our answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// While draining: how long a head of which a part is here may take. It was on its way when draining began, and a client that
/// has sent a part cannot know that nothing was done. One that stalls must not hold up the end, and is told so by 408.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// Serves one connection to its end, in a task of its own.
pub fn serve(thread: Rc<Thread>, presence: Presence, tcp: TcpStream, tls: bool) {
    if let Some(facts) = facts(&tcp) {
        begin(thread, presence, tcp, facts, tls);
    }
}

/// Serves another location of our fleet, in a task of its own.
pub fn of_location(thread: Rc<Thread>, presence: Presence, tcp: TcpStream) {
    if let (Some(facts), Some(tier)) = (facts(&tcp), thread.shared.tier.clone()) {
        tokio::task::spawn_local(location(thread, presence, tcp, facts, tier));
    }
}

async fn location(
    thread: Rc<Thread>,
    presence: Presence,
    tcp: TcpStream,
    mut facts: ConnFacts,
    tier: Arc<Tier>,
) {
    register(&presence).await;
    let mut alarm = Alarm::new(thread.snapshot.load().edge().handshake_timeout);
    let choose = |_: tls::Asked<'_>| Some(tier.server.clone());
    let accepted = match Box::pin(accept(tcp, &mut alarm, choose)).await {
        Ok(accepted) => accepted,
        Err(fault) => return thread.shard.tls_handshake(handshake_result(&fault), ""),
    };
    let version = accepted.facts.version;
    thread.shard.tls_handshake("full", version);
    let shown = accepted.stream.peer_certificate();
    let Some(who) = shown.and_then(|shown| tier.fleet.who(&shown)) else {
        return;
    };
    facts.tls = Some(accepted.facts);
    let mut peer = Peer::from(facts);
    peer.location = Some(who);
    let stream = Stream::Tls(Box::new(accepted.stream));
    http1(thread, peer, stream, Buffer::default(), alarm).await;
}

/// What its socket tells of a connection that was just accepted.
pub fn facts(tcp: &TcpStream) -> Option<ConnFacts> {
    let _ = tcp.set_nodelay(true);
    Some(ConnFacts {
        peer: tcp.peer_addr().ok()?,
        local: tcp.local_addr().ok()?,
        tls: None,
    })
}

/// Serves a connection from its first byte.
pub fn begin(thread: Rc<Thread>, presence: Presence, tcp: TcpStream, facts: ConnFacts, tls: bool) {
    // Two kinds of task, so that the one without TLS is no larger and no deeper than it must be.
    if tls {
        tokio::task::spawn_local(encrypted(thread, presence, tcp, facts));
    } else {
        let stream = Stream::Plain(tcp.into());
        tokio::task::spawn_local(cleartext(thread, presence, facts.into(), stream));
    }
}

/// This task serves the connection: draining can wake it.
pub async fn register(presence: &Presence) {
    poll_fn(|cx| {
        presence.register(cx.waker());
        Poll::Ready(())
    })
    .await;
}

/// HTTPS.
async fn encrypted(thread: Rc<Thread>, presence: Presence, tcp: TcpStream, mut facts: ConnFacts) {
    register(&presence).await;
    let snapshot = thread.snapshot.load();
    let mut alarm = Alarm::new(snapshot.edge().handshake_timeout);
    let from = facts.peer.ip();
    let choose = |asked: tls::Asked<'_>| {
        let name = asked.name;
        if asked.challenge {
            return thread.shared.certificates.challenge(name);
        }
        let zone = if name.is_empty() {
            snapshot.zones.first()
        } else {
            snapshot.choose(name.as_bytes(), from, from).zone
        };
        zone.and_then(|zone| zone.tls().cloned())
    };
    // Boxed: a handshake's state is large, and gone once it is done.
    let mut accepting = Box::pin(accept(tcp, &mut alarm, choose));
    let accepted = poll_fn(|cx| match accepting.as_mut().poll(cx) {
        // Nothing would be served on it any more.
        Poll::Pending if thread.is_draining() => Poll::Ready(None),
        poll => poll.map(Some),
    });
    let Some(accepted) = accepted.await else {
        return;
    };
    drop(accepting);
    match accepted {
        Err(fault) => thread.shard.tls_handshake(handshake_result(&fault), ""),
        Ok(accepted) if accepted.challenge => thread
            .shard
            .tls_handshake("challenge", accepted.facts.version),
        Ok(accepted) => {
            drop(snapshot);
            let result = if accepted.facts.resumed {
                "resumed"
            } else {
                "full"
            };
            thread.shard.tls_handshake(result, accepted.facts.version);
            facts.tls = Some(accepted.facts);
            let stream = Stream::Tls(Box::new(accepted.stream));
            if accepted.http2 {
                Box::pin(http2(thread, facts.into(), stream, &[], alarm)).await;
            } else {
                Box::pin(http1(
                    thread,
                    facts.into(),
                    stream,
                    Buffer::default(),
                    alarm,
                ))
                .await;
            }
        }
    }
}

fn handshake_result(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::Socket(_) => "closed",
        TlsFault::UnknownName => "unknown_name",
        TlsFault::Slow => "slow",
        fault if fault.is_certificate() => "client_certificate",
        TlsFault::Protocol(_) => "failed",
    }
}

/// HTTP/1.x, or HTTP/2 with prior knowledge: the first bytes tell.
async fn cleartext(thread: Rc<Thread>, presence: Presence, peer: Peer, stream: Stream) {
    register(&presence).await;
    let mut buffer = Buffer::default();
    let mut alarm = Alarm::new(thread.snapshot.load().edge().idle_timeout);
    loop {
        let n = buffer.len().min(PREFACE.len());
        let like_http2 = buffer.front(n) == PREFACE.get(..n).unwrap_or_default();
        if !like_http2 {
            return http1(thread, peer, stream, buffer, alarm).await;
        }
        if n == PREFACE.len() {
            let first = buffer.data().to_vec();
            buffer.consume(first.len());
            buffer.release();
            return Box::pin(http2(thread, peer, stream, &first, alarm)).await;
        }
        match read_idle(&thread, &stream, &mut buffer, &mut alarm).await {
            Some(read) if read > 0 => {}
            _ => return,
        }
        alarm.set(thread.snapshot.load().edge().header_timeout);
    }
}

/// Reads once, or gives up: none when draining, at the deadline, or on a failure.
async fn read_idle(
    thread: &Thread,
    stream: &Stream,
    buffer: &mut Buffer,
    alarm: &mut Alarm,
) -> Option<usize> {
    poll_fn(|cx| poll_idle(thread, stream, buffer, alarm, cx)).await
}

fn poll_idle(
    thread: &Thread,
    stream: &Stream,
    buffer: &mut Buffer,
    alarm: &mut Alarm,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    match stream.poll_read(cx, buffer.room(SMALL)) {
        Poll::Ready(read) => return Poll::Ready(read.ok()),
        Poll::Pending if buffer.is_empty() => {
            // Nothing to read: hold no memory while waiting.
            buffer.release();
            if thread.is_draining() {
                return Poll::Ready(None);
            }
            if thread.shared.is_retiring() {
                alarm.hurry(LAST_REQUEST);
            }
        }
        Poll::Pending if thread.is_stopping() => return Poll::Ready(None),
        Poll::Pending if thread.is_draining() => alarm.hurry(LAST_HEAD),
        Poll::Pending => {}
    }
    alarm.poll(cx).map(|()| None)
}

/// HTTP/1.x: one request after the other.
async fn http1(
    thread: Rc<Thread>,
    peer: Peer,
    stream: Stream,
    mut buffer: Buffer,
    mut alarm: Alarm,
) {
    let mut scanner = HeadScanner::default();
    let mut served = 0;
    let mut most = 0;
    loop {
        let mut begun = false;
        let next = poll_fn(|cx| {
            poll_head(
                &thread,
                &stream,
                &mut buffer,
                &mut scanner,
                &mut alarm,
                &mut begun,
                &mut most,
                cx,
            )
        });
        let (mut scratch, info, length) = match next.await {
            Head::Whole(scratch, info, length) => (scratch, info, length),
            Head::None => {
                // A request that is on its way must not be met by a reset.
                if thread.shared.is_retiring() && !thread.is_draining() {
                    linger(&stream, &mut buffer, &mut alarm).await;
                }
                break;
            }
            Head::Bad(fault) => {
                Box::pin(refuse(
                    &thread,
                    &peer.facts,
                    &stream,
                    fault,
                    buffer.data(),
                    &mut alarm,
                ))
                .await;
                linger(&stream, &mut buffer, &mut alarm).await;
                break;
            }
        };
        served += 1;
        buffer.consume(length);
        scanner.reset();
        // After a handshake that is refused, what follows may be meant for a tunnel.
        let keep = info.persistent
            && info.upgrade != Upgrade::WebSocket
            && !thread.is_leaving()
            && (most == 0 || served < most);
        // Not boxed: a kibibyte and a half in each idle connection is the price of not moving as much for each request.
        let serving = one_request(
            &thread,
            &peer,
            &stream,
            &mut buffer,
            &mut scratch,
            info,
            keep,
            length,
            &mut alarm,
        );
        let idle = serving.await;
        thread.give_scratch(scratch);
        let Some(idle) = idle else {
            linger(&stream, &mut buffer, &mut alarm).await;
            break;
        };
        if buffer.is_empty() {
            alarm.set_at(idle);
        }
    }
    let _ = stream.finish_sending();
}

enum Head {
    /// It is here, with what the codec says of it, and so many bytes of the buffer were it.
    Whole(Box<Scratch>, RequestInfo, usize),
    /// There will be none.
    None,
    /// It is malformed, too long, or came too slowly.
    Bad(Fault),
}

/// Waits for the next head and reads it. `begun` is for itself: a part of the head is here, and its timeout runs. `most` becomes
/// how many requests the connection may have.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a connection, borrowed one by one"
)]
fn poll_head(
    thread: &Thread,
    stream: &Stream,
    buffer: &mut Buffer,
    scanner: &mut HeadScanner,
    alarm: &mut Alarm,
    begun: &mut bool,
    most: &mut u32,
    cx: &mut Context<'_>,
) -> Poll<Head> {
    loop {
        if !buffer.is_empty() {
            let head = thread.snapshot.with(|snapshot| {
                *most = snapshot.edge().requests_per_connection;
                let head = find_head(thread, buffer.data(), scanner, &snapshot.edge().head);
                if head.is_none() && !*begun {
                    *begun = true;
                    alarm.set(snapshot.edge().header_timeout);
                }
                head
            });
            if let Some(head) = head {
                return Poll::Ready(head);
            }
        }
        match ready!(poll_idle(thread, stream, buffer, alarm, cx)) {
            Some(read) if read > 0 => {}
            // A client that closes in the middle of a head wants no answer; one that stalls gets 408.
            None if *begun => {
                return Poll::Ready(Head::Bad(Fault::SlowHead));
            }
            _ => return Poll::Ready(Head::None),
        }
    }
}

/// The head at the beginning of `bytes`, if it is here whole or will never be.
fn find_head(
    thread: &Thread,
    bytes: &[u8],
    scanner: &mut HeadScanner,
    limits: &HeadLimits,
) -> Option<Head> {
    if scanner.is_new() {
        let mut scratch = thread.take_scratch();
        if let Some((info, length)) = h1::begin_request(bytes, limits, &mut scratch.request) {
            return Some(Head::Whole(scratch, info, length));
        }
        thread.give_scratch(scratch);
    }
    Some(match find_slowly(thread, bytes, scanner, limits)? {
        Ok(head) => head,
        Err(reject) => {
            thread.shard.request_rejected(reject.reason);
            Head::Bad(reject.into())
        }
    })
}

/// The same for a head that came in pieces, or that has something wrong.
#[cold]
fn find_slowly(
    thread: &Thread,
    bytes: &[u8],
    scanner: &mut HeadScanner,
    limits: &HeadLimits,
) -> Option<Result<Head, h1::Reject>> {
    let Some(length) = scanner.find(bytes) else {
        return (bytes.len() > limits.head_bytes).then(|| Err(h1::too_long(bytes, limits)));
    };
    let mut scratch = thread.take_scratch();
    match h1::parse_request(
        bytes.get(..length).unwrap_or(bytes),
        limits,
        &mut scratch.request,
    ) {
        Ok(info) => Some(Ok(Head::Whole(scratch, info, length))),
        Err(reject) => {
            thread.give_scratch(scratch);
            Some(Err(reject))
        }
    }
}

/// Serves it; tells until when the connection may be idle then, if it may serve another one.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a connection, borrowed one by one"
)]
async fn one_request(
    thread: &Rc<Thread>,
    peer: &Peer,
    stream: &Stream,
    buffer: &mut Buffer,
    scratch: &mut Scratch,
    info: RequestInfo,
    keep: bool,
    head_bytes: usize,
    alarm: &mut Alarm,
) -> Option<Instant> {
    let (at, since) = thread.clock();
    let arrived = Arrived {
        framing: info.framing,
        upgrade: info.upgrade,
        te_trailers: info.te_trailers,
        at,
        since,
        head_bytes: head_bytes as u64,
        names_fields: info.names_fields,
        early: false,
    };
    let old = scratch.request.version == HttpVersion::Http10;
    let go_on = Continue::new(info.expect_continue);
    let mut body = ClientBody::Http1(Http1Body::new(stream, buffer, info.framing, &go_on));
    let mut response = ClientResponse::Http1(Http1Response::new(stream, old, keep, &go_on));
    let idle = exchange::run(
        thread,
        peer,
        scratch,
        &arrived,
        &mut body,
        &mut response,
        alarm,
        None,
    )
    .await;
    let keeps = matches!(&response, ClientResponse::Http1(response) if response.keeps());
    (keeps && body.is_done()).then_some(idle)
}

async fn refuse(
    thread: &Rc<Thread>,
    facts: &ConnFacts,
    stream: &Stream,
    fault: Fault,
    bytes: &[u8],
    alarm: &mut Alarm,
) {
    let go_on = Continue::default();
    let mut response = ClientResponse::Http1(Http1Response::new(stream, false, false, &go_on));
    refusal::refuse(
        thread,
        facts,
        &mut response,
        HttpVersion::Http11,
        fault,
        bytes,
        alarm,
    )
    .await;
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
        match alarm
            .within(|cx| stream.poll_read(cx, buffer.room(SMALL)))
            .await
        {
            Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
            _ => return,
        }
    }
}

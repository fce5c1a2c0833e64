//! A client's connection of HTTP/3: who may begin one, and its requests, each in a task of its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use seawall_model::{ConnFacts, FieldId, HttpVersion, TlsFacts};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{ClientBody, ClientResponse, Http3Body, Http3Response};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::h3::{self, Ended, HeadFault, Patience, Session, Stream};
use seawall_net::quic::{
    self, Arrival, Choose, Common, Connection, Endpoint, Limits, Part, Resets, Verdict,
};

use tokio::sync::mpsc::Receiver;

use super::{LAST_HEAD, register};
use crate::exchange::{self, Arrived, Departing};
use crate::fault::Fault;
use crate::forward::Peer;
use crate::refusal;
use crate::sessions::Sessions;
use crate::slot::Slot;
use crate::thread::{Presence, Thread};

/// Handshakes of one thread that are not done: above this, whoever begins one has to prove its address first.
const RETRY_ABOVE: usize = 64;
/// And above this nobody can begin one.
const MOST_HALF_OPEN: usize = 1024;

/// How long a client may believe that we speak HTTP/3, in seconds.
const ADVERTISED: u32 = 86_400;

/// What all threads need to speak HTTP/3.
pub struct Quic {
    common: Common,
    advertised: Vec<Advertised>,
}

/// `Alt-Svc` for those who are connected to a port of ours by HTTP/1.1 or HTTP/2.
struct Advertised {
    port: u16,
    line: Box<[u8]>,
    /// UDP is bound there.
    open: AtomicBool,
}

impl Quic {
    /// For the zones that are live. `ports` are those of ours that UDP is wanted at, and as what clients
    /// reach each; they are told of it once it is bound ([`Quic::advertise`]).
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(slot: Arc<Slot>, sessions: Arc<Sessions>, ports: &[(u16, u16)]) -> io::Result<Self> {
        let choose: Choose = Arc::new(move |name: &str| {
            let snapshot = slot.load();
            let zone = if name.is_empty() {
                snapshot.zones.first()
            } else {
                snapshot.zone(name.as_bytes())
            };
            zone.and_then(|zone| zone.tls_over_quic(&sessions))
        });
        let line = |public: u16| format!("h3=\":{public}\"; ma={ADVERTISED}").into_bytes();
        Ok(Self {
            common: Common::new(choose)?,
            advertised: ports
                .iter()
                .map(|(port, public)| Advertised {
                    port: *port,
                    line: line(*public).into(),
                    open: AtomicBool::new(false),
                })
                .collect(),
        })
    }

    /// What a client on this connection is told of HTTP/3 (RFC 7838); nothing in cleartext.
    pub fn alt_svc(&self, facts: &ConnFacts) -> Option<&[u8]> {
        facts.tls.as_ref()?;
        let found = self.find(facts.local.port())?;
        found.open.load(Ordering::Relaxed).then_some(&*found.line)
    }

    /// How clients of workers that have died learn of it.
    pub fn resets(&self) -> &Resets {
        self.common.resets()
    }

    /// UDP is bound at this port now.
    pub fn advertise(&self, port: u16) {
        if let Some(found) = self.find(port) {
            found.open.store(true, Ordering::Relaxed);
        }
    }

    fn find(&self, port: u16) -> Option<&Advertised> {
        self.advertised.iter().find(|found| found.port == port)
    }
}

/// Serves HTTP/3 on this thread's parts of addresses, as they come.
pub async fn listen(thread: Rc<Thread>, mut parts: Receiver<Part>) {
    while let Some(part) = parts.recv().await {
        if let Some(quic) = &thread.shared.quic
            && let Ok((endpoint, mailbox)) = Endpoint::new(part, &quic.common)
        {
            let rules = Rules {
                common: quic.common.clone(),
                last: RefCell::default(),
            };
            let (judging, serving) = (thread.clone(), thread.clone());
            let judge = move |arrival: Arrival| judge(&judging, &rules, arrival);
            let serve = move |quic, presence| {
                tokio::task::spawn_local(connection(serving.clone(), presence, quic));
            };
            tokio::task::spawn_local(endpoint.run(mailbox, judge, serve));
        }
    }
}

/// What connections are held to; made anew when the configuration changed.
struct Rules {
    common: Common,
    last: RefCell<Option<(Limits, Arc<quic::ServerConfig>)>>,
}

impl Rules {
    fn for_now(&self, limits: Limits) -> Arc<quic::ServerConfig> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((same, made)) if *same == limits => made.clone(),
            _ => {
                let made = self.common.server(limits);
                *last = Some((limits, made.clone()));
                made
            }
        }
    }
}

/// The same bounds as for connections over TCP. Whose client it is counts only once its address is proven.
fn judge(thread: &Rc<Thread>, rules: &Rules, arrival: Arrival) -> Verdict<Presence> {
    if thread.is_draining() {
        return Verdict::Refuse;
    }
    if thread.is_leaving() || !thread.is_accepting() {
        // It is for the other worker, or for us in a moment: when it comes again.
        return Verdict::Ignore;
    }
    if arrival.half_open >= MOST_HALF_OPEN {
        thread.shard.connection_refused("limit");
        return Verdict::Ignore;
    }
    if arrival.half_open >= RETRY_ABOVE && !arrival.validated {
        return if arrival.may_retry {
            Verdict::Retry
        } else {
            Verdict::Refuse
        };
    }
    let snapshot = thread.snapshot.load();
    let edge = snapshot.edge();
    let limits = Limits {
        streams: edge.h2_streams,
        idle: edge.idle_timeout,
    };
    match thread.admit(edge.connections, None) {
        Some(presence) => Verdict::Accept(rules.for_now(limits), presence),
        None => Verdict::Refuse,
    }
}

/// A connection to its end.
async fn connection(thread: Rc<Thread>, presence: Presence, quic: Rc<Connection>) {
    let mut timer = Alarm::new(thread.snapshot.load().edge().handshake_timeout);
    Box::pin(drive(&thread, presence, &quic, &mut timer)).await;
    quic.fade(timer).await;
}

async fn drive(thread: &Rc<Thread>, presence: Presence, quic: &Rc<Connection>, timer: &mut Alarm) {
    register(&presence).await;
    let (config, patience, each) = {
        let snapshot = thread.snapshot.load();
        let edge = snapshot.edge();
        let config = h3::Config {
            max_field_section: edge.head.head_bytes,
            cancelled: 200,
        };
        let patience = Patience {
            handshake: edge.handshake_timeout,
            idle: edge.idle_timeout,
            requests: edge.requests_per_connection.into(),
        };
        (config, patience, edge.connections_per_client)
    };
    let session = Session::new(quic.clone(), config);
    let client = Rc::new(Client {
        quic: quic.clone(),
        peer: RefCell::default(),
    });
    let (presence, established) = (RefCell::new(presence), Cell::new(false));
    let connected = || {
        established.set(true);
        let result = if quic.told().resumed {
            "resumed"
        } else {
            "full"
        };
        thread.shard.tls_handshake(result, "TLSv1.3");
        if each > 0 && !presence.borrow_mut().count(quic.peer().ip(), each) {
            thread.shard.connection_refused("client_limit");
            quic.close(h3::code::EXCESSIVE_LOAD, "too many connections");
        }
    };
    let opened = |stream: Stream| {
        tokio::task::spawn_local(one_stream(thread.clone(), client.clone(), Rc::new(stream)));
    };
    let draining = || {
        if thread.is_leaving() {
            quic.wake_streams();
        }
        thread.is_leaving()
    };
    let mut alarm = Alarm::new(patience.handshake);
    let ended = session
        .drive(timer, &mut alarm, patience, draining, connected, opened)
        .await;
    match ended {
        Ended::Slow => thread.shard.tls_handshake("slow", ""),
        Ended::Lost if !established.get() => {
            thread.shard.tls_handshake(quic.failure(), "");
        }
        Ended::Protocol(_) => thread.shard.h2_abuse("PROTOCOL_ERROR"),
        Ended::Lost | Ended::Idle | Ended::Drained => {}
    }
}

/// Who is at the other end.
struct Client {
    quic: Rc<Connection>,
    /// As it was known last: one that moves is another peer.
    peer: RefCell<Option<Rc<Peer>>>,
}

impl Client {
    fn peer(&self) -> Rc<Peer> {
        let address = self.quic.peer();
        let mut known = self.peer.borrow_mut();
        if let Some(peer) = &*known
            && peer.facts.peer == address
        {
            return peer.clone();
        }
        let tls = match &*known {
            Some(peer) => peer.facts.tls.clone(),
            None => {
                let told = self.quic.told();
                Some(TlsFacts {
                    version: "TLSv1.3",
                    server_name: told.server_name,
                    resumed: told.resumed,
                    client_verified: told.client_verified,
                    client_hello: told.client_hello,
                })
            }
        };
        let peer = Rc::new(Peer::from(ConnFacts {
            peer: address,
            local: self.quic.local(),
            tls,
        }));
        *known = Some(peer.clone());
        peer
    }
}

async fn one_stream(thread: Rc<Thread>, client: Rc<Client>, stream: Rc<Stream>) {
    let (timeout, most) = {
        let snapshot = thread.snapshot.load();
        (snapshot.edge().header_timeout, snapshot.edge().head.fields)
    };
    let mut alarm = Alarm::new(timeout);
    let mut scratch = thread.take_scratch();
    let head = poll_fn(|cx| {
        if let Poll::Ready(head) = stream.poll_head(&mut scratch.request, cx) {
            return Poll::Ready(Some(head));
        }
        if thread.is_leaving() {
            alarm.hurry(LAST_HEAD);
        }
        alarm.poll(cx).map(|()| None)
    });
    let end = match head.await {
        Some(Ok(end)) if scratch.request.fields.len() <= most => end,
        Some(Err(HeadFault::Gone)) => return thread.give_scratch(scratch),
        Some(Err(HeadFault::Malformed(why))) => {
            thread.give_scratch(scratch);
            let reason = refusal::malformed(why);
            return refusal::unanswered(&thread, &client.peer().facts, HttpVersion::Http3, reason);
        }
        Some(Ok(_) | Err(HeadFault::TooLarge)) => {
            thread.give_scratch(scratch);
            thread.shard.request_rejected("head_too_long");
            let fault = Fault::Rejected {
                status: 431,
                reason: "head_too_long",
            };
            return refuse(&thread, &client, stream, fault, &mut alarm).await;
        }
        None => {
            thread.give_scratch(scratch);
            return refuse(&thread, &client, stream, Fault::SlowHead, &mut alarm).await;
        }
    };
    // From an address that may be a lie nothing is done in another's name: what came early waits for the handshake.
    if stream.is_early() {
        let proven = alarm.within(|cx| stream.poll_validated(cx)).await;
        if proven != Ok(true) {
            return thread.give_scratch(scratch);
        }
    }
    let request = &scratch.request;
    let websocket = request.protocol() == b"websocket";
    let length = request.fields.only(FieldId::ContentLength);
    let length = length.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let (at, since) = thread.clock();
    let arrived = Arrived {
        framing: match length {
            _ if end => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        },
        upgrade: if websocket {
            Upgrade::WebSocket
        } else {
            Upgrade::None
        },
        te_trailers: request
            .fields
            .all(FieldId::Te)
            .any(|te| te.eq_ignore_ascii_case(b"trailers")),
        at,
        since,
        head_bytes: request.fields.raw().len() as u64,
        names_fields: false,
        early: stream.is_early(),
    };
    let mut body = ClientBody::Http3(Http3Body::new(stream.clone(), end));
    let mut response = ClientResponse::Http3(Http3Response::new(stream.clone()));
    exchange::run(
        &thread,
        &client.peer(),
        &mut scratch,
        &arrived,
        &mut body,
        &mut response,
        &mut alarm,
        Some(Departing::Http3(&stream)),
    )
    .await;
    thread.give_scratch(scratch);
}

async fn refuse(
    thread: &Rc<Thread>,
    client: &Client,
    stream: Rc<Stream>,
    fault: Fault,
    alarm: &mut Alarm,
) {
    let mut response = ClientResponse::Http3(Http3Response::new(stream));
    refusal::refuse(
        thread,
        &client.peer().facts,
        &mut response,
        HttpVersion::Http3,
        fault,
        b"",
        alarm,
    )
    .await;
}

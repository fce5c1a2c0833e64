//! One request's life, from its parsed head to its Record, whatever protocol the client speaks.
//!
//! `answer` decides who answers: a refusal, an endpoint of ours, the sample site, an origin. What comes of it is an
//! [`Outcome`], and [`run`] makes one Record of it. Nothing here fails: every path ends in a response or an aborted connection.
//! The way to the origin and back is in [`relay`](crate::relay).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use seawall_model::{FieldId, Method, without_port};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{After, ClientBody, ClientGone, ClientResponse};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::multiplex::StreamHandle;
use seawall_net::outgoing::{BodyOut, Line, ResponseOut};
use seawall_telemetry::{Ray, Record, Source, ZoneSlot};
use tokio::time::Instant;

use crate::fault::Fault;
use crate::forward::{self, Client, Peer};
use crate::page::{self, Page};
use crate::snapshot::{Place, Snapshot, Zone};
use crate::thread::{Scratch, Thread, unix_us};
use crate::{endpoint, relay, sample};

/// What the codec says of a request beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// How its body is framed. HTTP/2: `Chunked` stands for a body of unknown length.
    pub framing: Framing,
    /// Whether it asks for another protocol.
    pub upgrade: Upgrade,
    /// The client takes trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// When its head was whole.
    pub at: Instant,
    /// The same, in microseconds since the process began.
    pub since: u64,
    /// Bytes of its head.
    pub head_bytes: u64,
    /// `Connection` names fields that end here.
    pub names_fields: bool,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// The status that the client got; 0 when it got none.
    pub status: u16,
    /// Who answered.
    pub source: Source,
    /// What went wrong.
    pub fault: Option<Fault>,
    /// Body bytes that came from the client.
    pub bytes_in: u64,
    /// Microseconds that the origin took, to its head.
    pub origin_us: Option<u64>,
    /// When it ended, where the clock was read just then: also in microseconds since the process began.
    pub ended: Option<(Instant, u64)>,
}

impl Outcome {
    /// It failed.
    fn fail(&mut self, fault: Fault) {
        self.status = fault.answer().status;
        self.fault = Some(fault);
        self.ended = None;
    }
}

/// Everything that one exchange works with.
pub struct Exchange<'a, 'c> {
    /// The thread.
    pub thread: &'a Rc<Thread>,
    /// The configuration, the same from head to Record.
    pub snapshot: &'a Snapshot,
    /// The connection.
    pub peer: &'a Peer,
    /// Who the client is.
    pub client: Client,
    /// What the codec said.
    pub arrived: &'a Arrived,
    /// The same time as `arrived.at`, in microseconds since the process began.
    pub since: u64,
    /// The request's id.
    pub ray: Ray,
    /// The request's body.
    pub body: &'a mut ClientBody<'c>,
    /// The way of the response.
    pub response: &'a mut ClientResponse<'c>,
    /// The connection's timer.
    pub alarm: &'a mut Alarm,
    /// What came of it so far.
    pub outcome: Outcome,
}

/// Serves one request and writes its Record; tells until when its connection may be idle then.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a connection, borrowed one by one"
)]
pub async fn run<'c>(
    thread: &Rc<Thread>,
    peer: &Peer,
    scratch: &mut Scratch,
    arrived: &Arrived,
    body: &mut ClientBody<'c>,
    response: &mut ClientResponse<'c>,
    alarm: &mut Alarm,
    gone: Option<&StreamHandle>,
) -> Instant {
    let held = thread.snapshot.load();
    let snapshot: &Snapshot = &held;
    let client = forward::client(snapshot, &peer.facts, &scratch.request.fields);
    let ray = thread.next_ray();
    forward::write_ray(ray, &snapshot.edge.ray_line, &mut scratch.ray_line);
    let zone = snapshot.zone(scratch.request.authority());
    let since = arrived.since;
    let mut exchange = Exchange {
        thread,
        snapshot,
        peer,
        client,
        arrived,
        since,
        ray,
        body,
        response,
        alarm,
        outcome: Outcome::default(),
    };
    let due = zone
        .and_then(|zone| zone.timeouts.total)
        .map(|total| arrived.at + total);
    // In one place only: there it can be inlined.
    let answered = unless(pin!(exchange.answer(zone, scratch)), thread, due, gone).await;
    match answered {
        Ok(()) => {}
        Err(interrupted) if interrupted.is_answered() && !exchange.response.has_begun() => {
            exchange.response.take_back();
            Box::pin(exchange.refuse(interrupted.into(), zone, scratch)).await
        }
        Err(interrupted) => {
            exchange.response.abort();
            exchange.outcome.fail(interrupted.into());
            exchange.outcome.ended = None;
            if exchange.response.has_begun() && scratch.response.status > 0 {
                exchange.outcome.status = scratch.response.status;
            }
        }
    }
    let outcome = &exchange.outcome;
    let bytes_out = exchange.response.bytes();
    let (ended, ended_us) = outcome.ended.unwrap_or_else(|| thread.clock());
    let zone = zone.map(|zone| &**zone);
    let record = Record {
        time: thread.unix_us(since),
        ray,
        location: &snapshot.edge.location,
        zone: zone.map_or("", |zone| &zone.name),
        version: zone.map_or("", |zone| &zone.version),
        place: zone.map_or(b"", |zone| &zone.place),
        client_ip: client.ip,
        method: scratch.request.method_bytes(),
        host: scratch.request.authority(),
        path: scratch.request.target(),
        status: outcome.status,
        source: outcome.source,
        bytes_in: arrived.head_bytes + outcome.bytes_in,
        bytes_out,
        duration_us: ended_us.saturating_sub(since),
        origin_us: outcome.origin_us,
        cache: "",
        verdict: "",
        stages: "",
        http: scratch.request.version,
        tls: peer.facts.tls.as_ref().map_or("", |tls| tls.version),
        ja4: "",
        bot_score: None,
        country: "",
        user_agent: scratch
            .request
            .fields
            .first(FieldId::UserAgent)
            .unwrap_or_default(),
        referer: scratch
            .request
            .fields
            .first(FieldId::Referer)
            .unwrap_or_default(),
        error: outcome.fault.map_or("", |fault| fault.answer().slug),
    };
    thread.record(&record, zone.map_or(ZoneSlot::NONE, |zone| zone.slot));
    ended + snapshot.edge.idle_timeout
}

/// Why an exchange was left.
enum Interrupted {
    /// It took longer than the zone allows in all.
    Late,
    /// The client reset the stream, or its connection ended.
    Gone,
    /// The process stops and waits no longer.
    Stopped,
}

impl Interrupted {
    /// Whether there is somebody to be told.
    fn is_answered(&self) -> bool {
        !matches!(self, Self::Gone)
    }
}

impl From<Interrupted> for Fault {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Late => Self::OriginTimeout,
            Interrupted::Gone => Self::ClientGone,
            Interrupted::Stopped => Self::Stopping,
        }
    }
}

/// What `answer` comes to, unless it is too late or the stream is gone before: work for a client that has left is what a rapid
/// reset (CVE-2023-44487) lives on.
async fn unless(
    mut answer: Pin<&mut impl Future<Output = ()>>,
    thread: &Thread,
    due: Option<Instant>,
    gone: Option<&StreamHandle>,
) -> Result<(), Interrupted> {
    let mut late = due.map(|due| Box::pin(tokio::time::sleep_until(due)));
    poll_fn(|cx| {
        if gone.is_some_and(|stream| stream.is_gone(cx)) {
            return Poll::Ready(Err(Interrupted::Gone));
        }
        if answer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if thread.is_stopping() {
            return Poll::Ready(Err(Interrupted::Stopped));
        }
        match late.as_mut().map(|late| late.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Interrupted::Late)),
            _ => Poll::Pending,
        }
    })
    .await
}

impl Exchange<'_, '_> {
    /// Whether there is nothing to upload and nothing to upgrade.
    pub fn is_plain(&self) -> bool {
        self.arrived.upgrade != Upgrade::WebSocket && self.body.is_done()
    }

    async fn answer(&mut self, zone: Option<&Arc<Zone>>, scratch: &mut Scratch) {
        let Some(zone) = zone else {
            return Box::pin(self.refuse(Fault::UnknownHost, None, scratch)).await;
        };
        if let Err(fault) = self.admit(zone, scratch) {
            return Box::pin(self.refuse(fault, Some(zone), scratch)).await;
        }
        match endpoint::find(scratch.request.path()) {
            endpoint::Place::Elsewhere => {}
            endpoint::Place::Unknown => {
                return Box::pin(self.refuse(Fault::NoEndpoint, Some(zone), scratch)).await;
            }
            endpoint::Place::Trace => {
                let text = endpoint::trace(self, zone, &scratch.request);
                let given = self.give(
                    200,
                    "text/plain; charset=utf-8",
                    text.as_bytes(),
                    Some(zone),
                    scratch,
                );
                return Box::pin(given).await;
            }
        }
        if zone.redirect_https && !self.client.https {
            return Box::pin(self.redirect_https(zone, scratch)).await;
        }
        // Before the zone's edits: a client must not be able to name, and so remove, what the edge sets.
        if self.arrived.names_fields {
            forward::drop_connection_named(&mut scratch.request.fields);
        }
        if !zone.request_edits.is_empty() {
            zone.request_edits.apply(&mut scratch.request.fields);
        }
        if let Some(origin) = zone.origins.first()
            && matches!(origin.at, Place::Sample)
        {
            return Box::pin(self.sample(zone, scratch)).await;
        }
        if let Err(failed) = relay::relay(self, zone, scratch).await {
            self.outcome.bytes_in = failed.bytes_in;
            Box::pin(self.refuse(failed.fault, Some(zone), scratch)).await;
        }
    }

    /// What is refused whatever the zone's origin is.
    fn admit(&self, zone: &Arc<Zone>, scratch: &Scratch) -> Result<(), Fault> {
        let request = &scratch.request;
        if let Some(tls) = &self.peer.facts.tls
            && !tls.server_name.is_empty()
            && !without_port(request.authority()).eq_ignore_ascii_case(tls.server_name.as_bytes())
        {
            let named = self.snapshot.zone(tls.server_name.as_bytes());
            let same = named.is_some_and(|named| Arc::ptr_eq(named, zone));
            if !same && (zone.strict_tls || named.is_some_and(|named| named.strict_tls)) {
                return Err(Fault::MisdirectedTls);
            }
        } else if zone.strict_tls
            && self
                .peer
                .facts
                .tls
                .as_ref()
                .is_some_and(|tls| tls.server_name.is_empty())
        {
            return Err(Fault::MisdirectedTls);
        }
        if zone.needs_tls && self.peer.facts.tls.is_none() && !zone.redirect_https {
            return Err(Fault::NeedsTls);
        }
        match request.method {
            // Extended CONNECT (RFC 8441) for anything but WebSocket too: HTTP/1.1 has no form for it but a real CONNECT.
            Method::Connect if request.protocol() != b"websocket" => return Err(Fault::NoConnect),
            Method::Trace => return Err(Fault::NoTrace),
            _ => {}
        }
        if let (Some(most), Framing::Length(length)) = (zone.max_body, self.arrived.framing)
            && length > most
        {
            return Err(Fault::BodyTooLarge);
        }
        if forward::came_round(request, &self.thread.shared.node) {
            return Err(Fault::Loop);
        }
        let websocket = self.arrived.upgrade == Upgrade::WebSocket;
        if websocket && !zone.websocket {
            return Err(Fault::NoWebSocket);
        }
        Ok(())
    }

    async fn sample(&mut self, zone: &Arc<Zone>, scratch: &mut Scratch) {
        match sample::answer(scratch.request.path()) {
            Some(found) => {
                self.give(200, found.content_type, found.body, Some(zone), scratch)
                    .await
            }
            None => {
                let text = b"The sample site has no such page.\n";
                self.give(404, "text/plain; charset=utf-8", text, Some(zone), scratch)
                    .await
            }
        }
    }

    async fn redirect_https(&mut self, zone: &Arc<Zone>, scratch: &mut Scratch) {
        let mut location = b"https://".to_vec();
        location.extend_from_slice(without_port(scratch.request.authority()));
        let port = self.snapshot.edge.public_https;
        if port != 443 {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        location.extend_from_slice(scratch.request.target());
        // 308 keeps the method; a GET gets the 301 that every client knows.
        let plain = matches!(scratch.request.method, Method::Get | Method::Head);
        scratch.to_client.clear();
        scratch.to_client.push_known(FieldId::Location, &location);
        let status = if plain { 301 } else { 308 };
        self.send(
            status,
            "text/plain; charset=utf-8",
            b"This site speaks HTTPS only.\n",
            zone,
            scratch,
        )
        .await
    }

    /// Gives an answer of the edge's own.
    async fn give(
        &mut self,
        status: u16,
        content_type: &str,
        content: &[u8],
        zone: Option<&Arc<Zone>>,
        scratch: &mut Scratch,
    ) {
        scratch.to_client.clear();
        match zone {
            Some(zone) => {
                self.send(status, content_type, content, zone, scratch)
                    .await
            }
            None => self.write(status, content_type, content, scratch).await,
        }
    }

    async fn send(
        &mut self,
        status: u16,
        content_type: &str,
        content: &[u8],
        zone: &Arc<Zone>,
        scratch: &mut Scratch,
    ) {
        if self.client.https
            && let Some(hsts) = &zone.hsts
        {
            scratch
                .to_client
                .push_known(FieldId::StrictTransportSecurity, hsts.as_bytes());
        }
        self.write(status, content_type, content, scratch).await
    }

    async fn write(
        &mut self,
        status: u16,
        content_type: &str,
        content: &[u8],
        scratch: &mut Scratch,
    ) {
        let Scratch {
            to_client,
            ray_line,
            ..
        } = scratch;
        to_client.push_known(FieldId::ContentType, content_type.as_bytes());
        to_client.push_known(FieldId::CacheControl, b"no-store");
        to_client.push_known(FieldId::Date, &self.thread.http_date(unix_us() / 1_000_000));
        let silent = scratch.request.method == Method::Head;
        let head = ResponseOut {
            status,
            origin: None,
            skip: 0,
            extra: to_client,
            last: Line(ray_line),
            body: BodyOut::Length(content.len() as u64),
        };
        let sent = self
            .write_all(head, if silent { &[] } else { content })
            .await;
        self.outcome.status = status;
        self.outcome.source = Source::Edge;
        if sent.is_err() {
            self.outcome.fault = Some(Fault::ClientGone);
        }
    }

    async fn write_all(&mut self, head: ResponseOut<'_>, content: &[u8]) -> Result<(), ClientGone> {
        let timeout = self.snapshot.edge.write_timeout;
        if !self.body.is_done() || self.thread.is_draining() {
            self.response.close_after();
        }
        if content.is_empty() {
            return self.response.head_alone(head, self.alarm, timeout).await;
        }
        self.response.head(head)?;
        self.response
            .body(content, After::Last, self.alarm, timeout)
            .await
    }

    /// Answers with an error page, unless the client is gone.
    pub async fn refuse(&mut self, fault: Fault, zone: Option<&Arc<Zone>>, scratch: &mut Scratch) {
        let answer = fault.answer();
        if fault == Fault::ClientGone {
            self.response.abort();
            return self.outcome.fail(fault);
        }
        if fault == Fault::NoConnect
            && let ClientResponse::Http1(response) = self.response
        {
            // What follows may be meant for a tunnel, not for us.
            response.close_after();
        }
        let mut ray = Vec::new();
        self.ray.write(&self.snapshot.edge.location, &mut ray);
        let page = Page {
            status: answer.status,
            who: answer.who,
            what: answer.what,
            help: answer.help,
            ray: &String::from_utf8_lossy(&ray),
            location: &self.snapshot.edge.location,
            host: scratch.request.authority(),
            time: &self.thread.rfc3339(unix_us()),
        };
        let mut content = Vec::new();
        let accept = scratch.request.fields.first(FieldId::Accept);
        let content_type = page::render(&page, accept, &mut content);
        scratch.to_client.clear();
        scratch.to_client.push_known(
            FieldId::ProxyStatus,
            format!("seawall; error={}", answer.proxy_status).as_bytes(),
        );
        scratch.to_client.append(
            b"content-security-policy",
            page::CONTENT_SECURITY_POLICY.as_bytes(),
        );
        if answer.status == 405 {
            scratch
                .to_client
                .append(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        self.outcome.fail(fault);
        match zone {
            Some(zone) => {
                self.send(answer.status, content_type, &content, zone, scratch)
                    .await
            }
            None => {
                self.write(answer.status, content_type, &content, scratch)
                    .await;
            }
        }
    }
}

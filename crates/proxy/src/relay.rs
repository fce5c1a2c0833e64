//! To the origin and back: pick, connect, send, answer; again elsewhere where that is safe.
//!
//! Upload and download run in one task, at once where there is an upload. What the origin sends is trusted only as far as its
//! framing goes: a body that does not come whole is never presented as whole.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_model::{FieldId, Fields, Method, RequestHead, ResponseHead};
use seawall_net::alarm::{Alarm, Elapsed};
use seawall_net::downstream::{After, BodyPace, ClientBody, ClientGone, ClientResponse};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::incoming::BodyFault;
use seawall_net::outgoing::{BodyOut, Prepared, RESPONSE_SKIP, RequestOut, ResponseOut};
use seawall_net::upstream::{OriginConnection, OriginFault, OriginRequest, OriginResponse, ResponseInfo, open_stream};
use seawall_telemetry::{Ray, Source};
use tokio::time::Instant;

use crate::exchange::{Exchange, Outcome};
use crate::fault::{self, Fault};
use crate::forward;
use crate::lend::{Lent, Need, lend};
use crate::origin::{Attempt, Lease, Outcome as OriginOutcome, Retry, Tried};
use crate::snapshot::{Origin, Snapshot, Zone};
use crate::thread::{Scratch, Thread, unix_us};
use crate::tunnel;

/// Interim responses of one exchange; an origin that sends more is broken.
const INTERIM: u32 = 32;
/// After the origin stopped taking the upload: how long its early answer is waited for.
const EARLY_ANSWER: Duration = Duration::from_secs(2);
/// While an upload runs its own deadlines hold; the head's begins when it has ended.
const UPLOADING: Duration = Duration::from_secs(24 * 3600);

/// An exchange with an origin that failed before the client saw anything.
pub struct Failed {
    /// Why.
    pub fault: Fault,
    /// Body bytes taken from the client.
    pub bytes_in: u64,
    /// Microseconds that the origin took.
    pub origin_us: Option<u64>,
}

/// One attempt that failed before the client saw anything.
struct Miss {
    fault: Fault,
    /// A byte of the request may have reached the origin.
    sent: bool,
    /// Body bytes taken from the client.
    spent: u64,
    /// The connection had served before and said nothing: most likely it was closed while it was idle.
    stale: bool,
}

impl Miss {
    fn before_sending(fault: Fault) -> Self {
        Self { fault, sent: false, spent: 0, stale: false }
    }
}

/// Relays the exchange to one of the zone's origins.
///
/// # Errors
/// [`Failed`] when no origin answered; nothing was sent to the client then.
pub async fn relay(exchange: &mut Exchange<'_, '_>, zone: &Arc<Zone>, scratch: &mut Scratch) -> Result<Outcome, Failed> {
    let common = prepare(exchange, scratch);
    let thread = exchange.thread;
    let mut now = thread.shared.since(exchange.arrived.at);
    zone.pool.budget().count_request(now);
    let mut tried = Tried::default();
    let mut made = 0;
    let mut fresh = false;
    let mut last = None;
    loop {
        let picked = zone.pool.pick(now, if zone.pool.len() > 1 { thread.random() } else { 0 }, &tried);
        let Some((picked, origin)) = picked.and_then(|p| zone.origins.get(usize::from(p.index)).map(|o| (p, o))) else {
            let fault = last.unwrap_or(Fault::Unreachable);
            return Err(Failed { fault, bytes_in: 0, origin_us: None });
        };
        let lease = Lease::new(picked.member);
        let index = picked.index;
        made += 1;
        let miss = match attempt(exchange, zone, origin, &lease, fresh, &common, scratch).await {
            Ok(outcome) => {
                // Before the status came it was counted as a failure there; here it is an answer.
                let said = outcome.fault.map_or(OriginOutcome::Answered(outcome.status), Fault::outcome);
                note(exchange, zone, index, said, if said.is_failure() { thread.shared.now() } else { now });
                return Ok(outcome);
            }
            Err(miss) => miss,
        };
        now = thread.shared.now();
        let attempt = Attempt {
            method: scratch.request.method,
            made: if miss.stale { made - 1 } else { made },
            outcome: miss.fault.outcome(),
            request_sent: miss.sent,
            body_spent: miss.spent > 0,
            response_started: false,
        };
        if miss.stale {
            // It says nothing about the origin. Once, on a connection of its own, is no storm.
            if !fresh && !attempt.body_spent && (scratch.request.method.is_idempotent() || !miss.sent) {
                thread.shard.retried("stale");
                fresh = true;
                made -= 1;
                continue;
            }
        } else {
            note(exchange, zone, index, miss.fault.outcome(), now);
        }
        match zone.pool.may_retry(&attempt, now) {
            Retry::Yes => {
                thread.shard.retried("again");
                tried.add(index);
                last = Some(miss.fault);
            }
            Retry::No(why) => {
                if made < zone.pool.settings().retry.attempts {
                    thread.shard.retried(why.name());
                }
                return Err(Failed { fault: miss.fault, bytes_in: miss.spent, origin_us: None });
            }
        }
    }
}

/// Tells the pool what came of an attempt.
fn note(exchange: &Exchange<'_, '_>, zone: &Zone, index: u16, outcome: OriginOutcome, now: u64) {
    if let Some(crate::origin::Ejection::Began { .. }) = zone.pool.report(index, outcome, now) {
        exchange.thread.shard.origin_ejected();
    }
}

/// Works out what we add to the request, once for all attempts: the common part is returned.
fn prepare(exchange: &Exchange<'_, '_>, scratch: &mut Scratch) -> Rc<Prepared> {
    let Scratch { request, to_origin, text, .. } = scratch;
    to_origin.clear();
    forward::ray_field(exchange.ray, &exchange.snapshot.edge.location, text, to_origin);
    if exchange.arrived.te_trailers {
        to_origin.push_known(FieldId::Te, b"trailers");
    }
    exchange.peer.common(request, exchange.client, &exchange.thread.shared.node)
}

/// Which HTTP this request needs of the origin.
fn need(exchange: &Exchange<'_, '_>, request: &RequestHead) -> Need {
    if exchange.arrived.upgrade == Upgrade::WebSocket {
        return Need::Http1;
    }
    // gRPC is defined on HTTP/2 only; its media types begin so.
    let grpc = request.version == seawall_model::HttpVersion::Http2
        && request
            .fields
            .first(FieldId::ContentType)
            .is_some_and(|media| media.starts_with(b"application/grpc") && !media.starts_with(b"application/grpc-web"));
    if grpc { Need::Http2 } else { Need::Any }
}

async fn attempt(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    origin: &Origin,
    lease: &Lease,
    fresh: bool,
    common: &Prepared,
    scratch: &mut Scratch,
) -> Result<Outcome, Miss> {
    let need = need(exchange, &scratch.request);
    let thread = exchange.thread;
    let member = lease.member();
    let lent = lend(thread, exchange.snapshot, zone, origin, member, need, fresh, exchange.alarm).await;
    let lent = lent.map_err(Miss::before_sending)?;
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    let (mut connection, used) = match lent {
        Lent::Http1 { connection, used } => (OriginConnection::Http1(connection), used),
        Lent::Http2(_) if websocket => return Err(Miss::before_sending(Fault::UpgradeFailed)),
        Lent::Http2(shared) => {
            let head = request_out(exchange, origin, &scratch.request, common, &scratch.to_origin);
            match open_stream(&shared, &head, None) {
                Some(stream) => (OriginConnection::Http2(stream), false),
                None => return Err(Miss { stale: true, ..Miss::before_sending(Fault::ClosedEarly) }),
            }
        }
    };
    let (request, response) = connection.split();
    let result = talk(exchange, zone, origin, common, scratch, request, response, used).await;
    let (outcome, reusable) = result?;
    if let (OriginConnection::Http1(connection), true) = (connection, reusable) {
        thread.origins.give_back(member, connection);
    }
    Ok(outcome)
}

fn request_out<'a>(
    exchange: &Exchange<'_, '_>,
    origin: &'a Origin,
    request: &'a RequestHead,
    common: &'a Prepared,
    extra: &'a Fields,
) -> RequestOut<'a> {
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    let tls = matches!(&origin.at, crate::snapshot::Place::Server { tls: Some(_), .. });
    RequestOut {
        method: if websocket { b"GET" } else { request.method_bytes() },
        scheme: if tls { "https" } else { "http" },
        authority: origin.host.as_deref().unwrap_or(request.authority()),
        target: request.target(),
        client: &request.fields,
        skip: forward::SKIP,
        common,
        extra,
        body: match exchange.arrived.framing {
            _ if websocket => BodyOut::None,
            Framing::Length(length) => BodyOut::Length(length),
            Framing::Chunked => BodyOut::Unknown,
            // A method that has a meaning for content says that there is none (RFC 9110 §8.6).
            Framing::None | Framing::UntilClose => match request.method {
                Method::Post | Method::Put | Method::Patch => BodyOut::Length(0),
                _ => BodyOut::None,
            },
        },
    }
}

/// The two ways of an exchange once a connection is there. Tells whether the connection may serve again.
#[expect(clippy::too_many_arguments, reason = "both sides of an exchange, borrowed one by one")]
async fn talk(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    origin: &Origin,
    common: &Prepared,
    scratch: &mut Scratch,
    mut request: OriginRequest<'_>,
    mut response: OriginResponse<'_>,
    used: bool,
) -> Result<(Outcome, bool), Miss> {
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    if websocket {
        tunnel::handshake_fields(&scratch.request, exchange.thread.random(), &mut scratch.to_origin);
    }
    let idle = zone.timeouts.idle;
    let method = if websocket { Method::Get } else { scratch.request.method };
    let has_body = !websocket && !exchange.body.is_done();
    let sent = request.head_now(&request_out(exchange, origin, &scratch.request, common, &scratch.to_origin));
    let sent = match sent {
        Ok(true) => Ok(()),
        Ok(false) => Box::pin(request.flush(exchange.alarm, idle)).await,
        Err(fault) => Err(fault),
    };
    sent.map_err(|fault| Miss { stale: used, sent: true, ..Miss::before_sending(fault.into()) })?;
    let spent = Cell::new(0);
    let pace = exchange.snapshot.edge.pace;
    let mut download = Download {
        thread: exchange.thread,
        snapshot: exchange.snapshot,
        zone,
        ray: exchange.ray,
        https: exchange.client.https,
        client_method: scratch.request.method,
        client: exchange.response,
        alarm: exchange.alarm,
        head: &mut scratch.response,
        to_client: &mut scratch.to_client,
        text: &mut scratch.text,
        origin: &mut response,
        began: exchange.arrived.at,
        websocket,
    };
    let miss = |fault: Fault, spent: u64| Miss { stale: used && fault == Fault::ClosedEarly, fault, sent: true, spent };
    let outcome = if has_body {
        let mut alarm = Alarm::new(idle);
        let most = zone.max_body.unwrap_or(u64::MAX);
        let upload = upload(exchange.body, &mut request, &mut alarm, pace, idle, most, &spent);
        let mut upload = Upload { future: Some(Box::pin(upload)) };
        let info = download.head(method, &mut upload).await.map_err(|fault| miss(fault, spent.get()))?;
        let mut outcome = {
            let mut relayed = Box::pin(download.relay(info));
            poll_fn(|cx| {
                // How the upload ends no longer matters: the origin has answered.
                let _ = upload.poll(cx);
                relayed.as_mut().poll(cx)
            })
            .await
            .map_err(|fault| miss(fault, spent.get()))?
        };
        outcome.bytes_in = spent.get();
        outcome
    } else {
        let mut none = Upload { future: None };
        let info = download.head(method, &mut none).await.map_err(|fault| miss(fault, 0))?;
        if info.switched {
            let origin_us = download.began.elapsed().as_micros() as u64;
            // Boxed, here and below, because it is rare and large: a request pays for the size of its future.
            let tunnel = Box::pin(tunnel::run(exchange, scratch, &mut request, &mut response, origin_us));
            let outcome = tunnel.await;
            return Ok((outcome, false));
        }
        if websocket && download.head.status < 300 && download.client_method == Method::Connect {
            // An extended CONNECT that is told 2xx has a tunnel (RFC 8441 §5); this origin gave none.
            return Err(miss(Fault::UpgradeFailed, 0));
        }
        download.relay(info).await.map_err(|fault| miss(fault, 0))?
    };
    drop(request);
    let whole = outcome.fault.is_none() && exchange.body.is_done() | websocket;
    let reusable = whole && response.is_reusable();
    response.release();
    Ok((outcome, reusable))
}

type Uploading<'u> = Pin<Box<dyn Future<Output = Result<(), UploadFault>> + 'u>>;

/// An upload that runs beside the download; none when there is nothing to upload or it has ended.
struct Upload<'u> {
    future: Option<Uploading<'u>>,
}

impl Upload<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Result<(), UploadFault>> {
        match self.future.as_mut()?.as_mut().poll(cx) {
            Poll::Pending => None,
            Poll::Ready(result) => {
                self.future = None;
                Some(result)
            }
        }
    }
}

enum UploadFault {
    Client(BodyFault),
    Origin(OriginFault),
}

async fn upload(
    body: &mut ClientBody<'_>,
    request: &mut OriginRequest<'_>,
    alarm: &mut Alarm,
    pace: BodyPace,
    idle: Duration,
    most: u64,
    spent: &Cell<u64>,
) -> Result<(), UploadFault> {
    if !body.is_at_hand() {
        // The body may be long in coming. The origin can begin without it, or refuse it.
        request.flush(alarm, idle).await.map_err(UploadFault::Origin)?;
    }
    loop {
        alarm.set(pace.idle);
        let ready = body.fill(alarm, pace).await.map_err(UploadFault::Client)?;
        if ready == 0 {
            let ended = request.end(body.trailers(), alarm, idle).await;
            return ended.map_err(UploadFault::Origin);
        }
        spent.set(spent.get() + ready as u64);
        if spent.get() > most {
            return Err(UploadFault::Client(BodyFault::TooLarge));
        }
        let sent = request.body(body.front(ready), After::Wait, alarm, idle).await;
        sent.map_err(UploadFault::Origin)?;
        body.consume(ready);
    }
}

/// The way from the origin to the client.
struct Download<'e, 'c, 'o> {
    thread: &'e Thread,
    snapshot: &'e Snapshot,
    zone: &'e Zone,
    ray: Ray,
    https: bool,
    client_method: Method,
    client: &'e mut ClientResponse<'c>,
    alarm: &'e mut Alarm,
    head: &'e mut ResponseHead,
    to_client: &'e mut Fields,
    text: &'e mut Vec<u8>,
    origin: &'e mut OriginResponse<'o>,
    began: Instant,
    /// The client asked for a WebSocket.
    websocket: bool,
}

enum Event {
    Uploaded(Result<(), UploadFault>),
    Head(Result<ResponseInfo, OriginFault>),
}

impl Download<'_, '_, '_> {
    /// Waits for the final head, while the upload goes on; passes interim ones.
    async fn head(&mut self, method: Method, upload: &mut Upload<'_>) -> Result<ResponseInfo, Fault> {
        let limits = &self.snapshot.edge.head;
        let mut patience = if upload.future.is_some() { UPLOADING } else { self.zone.timeouts.header };
        let mut interim = 0;
        let mut broken = None;
        loop {
            let event = self
                .alarm
                .wait(patience, |cx| match upload.poll(cx) {
                    Some(result) => Poll::Ready(Event::Uploaded(result)),
                    None => self.origin.poll_head(method, limits, self.head, cx).map(Event::Head),
                })
                .await;
            match event {
                Err(Elapsed) => return Err(broken.unwrap_or(Fault::OriginTimeout)),
                Ok(Event::Uploaded(Ok(()))) => patience = self.zone.timeouts.header,
                Ok(Event::Uploaded(Err(UploadFault::Client(fault)))) => return Err(fault::of_body(&fault)),
                Ok(Event::Uploaded(Err(UploadFault::Origin(fault)))) => {
                    // It may have answered before it closed: a 413, say.
                    broken = Some(fault.into());
                    patience = EARLY_ANSWER;
                }
                Ok(Event::Head(Err(fault))) => return Err(broken.unwrap_or(fault.into())),
                Ok(Event::Head(Ok(info))) if info.switched => {
                    // Nobody asked: what follows is no HTTP, and to the client it would look like answers.
                    return if self.websocket { Ok(info) } else { Err(Fault::OriginProtocol) };
                }
                Ok(Event::Head(Ok(info))) if self.head.status >= 200 => return Ok(info),
                Ok(Event::Head(Ok(_))) => {
                    interim += 1;
                    if interim > INTERIM {
                        return Err(Fault::OriginProtocol);
                    }
                    Box::pin(self.interim()).await?;
                }
            }
        }
    }

    /// Passes an interim response, but 100: whether the client may send was ours to say.
    async fn interim(&mut self) -> Result<(), Fault> {
        if self.head.status == 100 {
            return Ok(());
        }
        forward::drop_connection_named(&mut self.head.fields);
        self.to_client.clear();
        let head = ResponseOut {
            status: self.head.status,
            origin: Some(&self.head.fields),
            skip: RESPONSE_SKIP,
            extra: self.to_client,
            body: BodyOut::None,
        };
        let sent = self.client.interim(head, self.alarm, self.snapshot.edge.write_timeout).await;
        sent.map_err(|_| Fault::ClientGone)
    }

    /// Gives the client the head and the body. Past this point a failure can only be shown by breaking off.
    /// If the origin breaks off before any of it has left, it is as if it had never answered: that is the error then.
    async fn relay(&mut self, info: ResponseInfo) -> Result<Outcome, Fault> {
        let origin_us = Some(self.began.elapsed().as_micros() as u64);
        let status = self.head.status;
        let fault = self.pass(info).await.err();
        match fault {
            Some(fault) if fault != Fault::ClientGone && self.client.bytes() == 0 => {
                self.client.take_back();
                return Err(fault);
            }
            Some(_) => self.client.abort(),
            None => {}
        }
        Ok(Outcome { status, source: Source::Origin, fault, bytes_in: 0, origin_us })
    }

    async fn pass(&mut self, info: ResponseInfo) -> Result<(), Fault> {
        let silent = info.body == BodyOut::None;
        self.fields(info.names_fields);
        let (timeout, idle) = (self.snapshot.edge.write_timeout, self.zone.timeouts.idle);
        let gone = |gone: ClientGone| match gone {
            ClientGone::Closed => Fault::ClientGone,
            ClientGone::Slow => Fault::SlowReader,
        };
        // To HEAD and in a 304 the length is metadata of what is not sent (RFC 9110 §8.6).
        let metadata = silent && (self.client_method == Method::Head || self.head.status == 304);
        let skip = if metadata { RESPONSE_SKIP & !FieldId::ContentLength.bit() } else { RESPONSE_SKIP };
        let body = match info.body {
            BodyOut::None if !metadata && self.head.status != 204 => BodyOut::Length(0),
            body => body,
        };
        let head = ResponseOut {
            status: self.head.status,
            origin: Some(&self.head.fields),
            skip,
            extra: self.to_client,
            body,
        };
        if silent || body == BodyOut::Length(0) {
            return Box::pin(self.client.head_alone(head, self.alarm, timeout)).await.map_err(gone);
        }
        self.client.head(head).map_err(gone)?;
        loop {
            // What is kept may not wait for what the origin has not sent yet.
            let ready = match poll_once(|cx| self.origin.poll_fill(cx)).await {
                Some(ready) => ready,
                None => {
                    if !self.client.flush_now().map_err(gone)? {
                        Box::pin(self.client.flush(self.alarm, timeout)).await.map_err(gone)?;
                    }
                    let waited = self.alarm.wait(idle, |cx| self.origin.poll_fill(cx)).await;
                    waited.map_err(|Elapsed| Fault::OriginStalled)?
                }
            };
            let ready = ready.map_err(|fault| match Fault::from(fault) {
                Fault::ClosedEarly => Fault::Incomplete,
                fault => fault,
            })?;
            if ready == 0 {
                let trailers = self.origin.trailers();
                return Box::pin(self.client.end(trailers, self.alarm, timeout)).await.map_err(gone);
            }
            let after = self.origin.after(ready);
            let sent = if self.client.keep(self.origin.front(ready), after) {
                match after == After::More || self.client.flush_now().map_err(gone)? {
                    true => Ok(()),
                    false => Box::pin(self.client.flush(self.alarm, timeout)).await,
                }
            } else {
                Box::pin(self.client.body(self.origin.front(ready), after, self.alarm, timeout)).await
            };
            self.origin.consume(ready);
            sent.map_err(gone)?;
            if after == After::Last {
                return Ok(());
            }
        }
    }

    /// Edits the origin's fields and fills in ours.
    fn fields(&mut self, names_fields: bool) {
        if names_fields {
            forward::drop_connection_named(&mut self.head.fields);
        }
        if !self.zone.response_edits.is_empty() {
            self.zone.response_edits.apply(&mut self.head.fields);
        }
        self.to_client.clear();
        if !self.head.fields.has(FieldId::Date) {
            let date = self.thread.http_date(unix_us() / 1_000_000);
            self.to_client.push_known(FieldId::Date, &date);
        }
        if self.https
            && let Some(hsts) = &self.zone.hsts
        {
            self.head.fields.remove(FieldId::StrictTransportSecurity);
            self.to_client.push_known(FieldId::StrictTransportSecurity, hsts.as_bytes());
        }
        forward::ray_field(self.ray, &self.snapshot.edge.location, self.text, self.to_client);
    }
}

/// Polls once: the answer, or none when it would have to be waited for.
async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

//! One request's life, from its parsed head to its Record, whatever protocol the client speaks.
//!
//! `answer` decides who answers: a refusal, an endpoint of ours, the sample site, an origin. What comes of it is an
//! [`Outcome`], and [`run`] makes one Record of it. Nothing here fails: every path ends in a response or an aborted connection.
//! The way to the origin and back is in [`relay`](crate::relay).

mod answers;
mod checks;
mod files;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use seawall_guard::blame::{self, Phase, Runs};
use seawall_guard::{Admitted, InProgress, Inspection, Refusal, Subject, ZoneId};
use seawall_model::{FieldId, RequestHead};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{ClientBody, ClientResponse};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::h3;
use seawall_net::multiplex::StreamHandle;
use seawall_telemetry::{Ray, Record, Source, ZoneSlot};
use tokio::time::Instant;

use checks::scope;

use crate::caching::{Cached, Way};
use crate::fault::Fault;
use crate::forward::{self, Client, Peer};
use crate::shares::Share;
use crate::snapshot::{Place, Snapshot, Zone};
use crate::standing::Standing;
use crate::thread::{Parts, Scratch, Thread};
use crate::trial::{Ended, Live};
use crate::{endpoint, relay, tier};

/// What the codec says of a request beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// How its body is framed. HTTP/2 and 3: `Chunked` stands for a body of unknown length.
    pub framing: Framing,
    /// Whether it asks for another protocol.
    pub upgrade: Upgrade,
    /// The client takes trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// When its head was whole.
    pub at: Instant,
    /// The same, in microseconds on the monotonic clock.
    pub since: u64,
    /// Bytes of its head.
    pub head_bytes: u64,
    /// `Connection` names fields that end here.
    pub names_fields: bool,
    /// It came before its client's handshake was done, so it may be a copy of another one (RFC 8470).
    pub early: bool,
}

/// A stream whose client may give it up while it is served.
#[derive(Clone, Copy)]
pub enum Departing<'a> {
    /// HTTP/2.
    Http2(&'a StreamHandle),
    /// HTTP/3.
    Http3(&'a h3::Stream),
}

impl Departing<'_> {
    fn is_gone(self, cx: &Context<'_>) -> bool {
        match self {
            Self::Http2(stream) => stream.is_gone(cx),
            Self::Http3(stream) => stream.is_gone(cx),
        }
    }
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
    /// When it ended, where the clock was read just then: also in microseconds on the monotonic clock.
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
    /// The same time as `arrived.at`, in microseconds on the monotonic clock.
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
    /// Those who look at the body.
    pub inspection: Option<Inspection<'a>>,
    /// A stage's refusal of the body or of the response, on its way to being told.
    pub refusal: Option<Box<Refusal>>,
    /// Whether it still stands, when the configuration changes.
    pub standing: Standing<'a>,
    /// The head as it came, where it may be judged once more.
    pub original: Option<Box<RequestHead>>,
    /// What the zone's rules for the cache make of it.
    pub cached: Cached<'a>,
    /// What the cache has to do with it.
    pub way: Option<Box<Way>>,
    /// It goes on though its client has left: others wait for what it fetches.
    pub keeps_on: &'a Cell<bool>,
    /// It is asked of another location just now, and not of an origin.
    pub at_parent: bool,
    /// What the blame page says of it whenever it is polled.
    phase: &'a Cell<u64>,
    /// The client's request is counted as in progress, where that is limited.
    in_progress: Option<InProgress>,
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
    gone: Option<Departing<'_>>,
) -> Instant {
    let _carried = peer.load.exchange(thread);
    let held = thread.snapshot.load();
    let live: &Live = &held;
    let mut client = forward::client(live, peer, &scratch.request.fields);
    let from = peer.facts.peer.ip();
    let chosen = live.choose(scratch.request.authority(), from, client.ip);
    let (snapshot, zone) = (chosen.snapshot, chosen.zone);
    if !std::ptr::eq(snapshot, &raw const *live.snapshot) {
        client = forward::client(snapshot, peer, &scratch.request.fields);
    }
    let ray = exchange_ray(thread, peer, &scratch.request);
    forward::write_ray(ray, &snapshot.edge.ray_line, &mut scratch.parts.ray_line);
    let since = arrived.since;
    let phase = Cell::new(Phase::Between.alone());
    let keeps_on = Cell::new(false);
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
        inspection: None,
        refusal: None,
        standing: Standing::new(
            thread,
            &peer.facts,
            client.ip,
            client.https,
            zone.map_or(0, |zone| zone.content),
            scope(peer),
        ),
        original: None,
        cached: Cached::default(),
        way: None,
        keeps_on: &keeps_on,
        at_parent: false,
        phase: &phase,
        in_progress: None,
    };
    let blame = Blame {
        runs: Runs {
            zone: zone.map_or(0, |zone| zone.id.0),
            version: zone.map_or(0, |zone| zone.version_number),
            platform: snapshot.platform,
            stage: 0,
            ray: ray.0,
        },
        phase: &phase,
    };
    let due = zone
        .and_then(|zone| zone.timeouts.total)
        .map(|total| arrived.at + total);
    // In one place only: there it can be inlined.
    let answered = unless(
        pin!(exchange.answer(zone, &mut scratch.request, &mut scratch.parts)),
        &blame,
        thread,
        due,
        gone,
        &keeps_on,
    )
    .await;
    match answered {
        Ok(()) => {}
        Err(interrupted) if interrupted.is_answered() && !exchange.response.has_begun() => {
            exchange.response.take_back();
            let (head, parts) = (&scratch.request, &mut scratch.parts);
            let fault = exchange.failed_on_its_way(interrupted.into(), parts);
            let mut refused = Box::pin(exchange.refuse(fault, zone, head, parts));
            poll_fn(|cx| blame.within(|| refused.as_mut().poll(cx))).await;
        }
        Err(interrupted) => {
            exchange.response.abort();
            exchange.outcome.fail(interrupted.into());
            exchange.outcome.ended = None;
            if exchange.response.has_begun() && scratch.parts.response.status > 0 {
                exchange.outcome.status = scratch.parts.response.status;
            }
        }
    }
    scratch.parts.tell();
    let outcome = &exchange.outcome;
    let (ended, ended_us) = outcome.ended.unwrap_or_else(|| thread.clock());
    let zone = zone.map(|zone| &**zone);
    // As the client asked it, whatever stages made of it.
    let asked = exchange.original.as_deref().unwrap_or(&scratch.request);
    let whence = zone.map(|zone| zone.guard.place_of(client.ip));
    let first = |id| scratch.request.fields.first(id).unwrap_or_default();
    let record = Record {
        time: thread.unix_us(since),
        ray,
        location: &snapshot.edge.location,
        zone: zone.map_or("", |zone| &zone.name),
        version: zone.map_or("", |zone| &zone.version),
        place: zone.map_or(b"", |zone| zone.place()),
        client_ip: client.ip,
        method: scratch.request.method_bytes(),
        host: scratch.request.authority(),
        path: asked.target(),
        status: outcome.status,
        source: outcome.source,
        bytes_in: arrived.head_bytes + outcome.bytes_in,
        bytes_out: exchange.response.bytes(),
        duration_us: ended_us.saturating_sub(since),
        origin_us: outcome.origin_us,
        cache: std::str::from_utf8(&scratch.parts.cache).unwrap_or_default(),
        verdict: &scratch.parts.verdict,
        stages: &scratch.parts.stages,
        http: scratch.request.version,
        tls: peer.facts.tls.as_ref().map_or("", |tls| tls.version),
        ja4: "",
        bot_score: None,
        country: whence.as_ref().map_or("", |place| place.country.text()),
        user_agent: first(FieldId::UserAgent),
        referer: first(FieldId::Referer),
        error: outcome.fault.map_or("", |fault| fault.answer().slug),
    };
    if outcome.fault.is_some() || outcome.status >= 500 || !record.verdict.is_empty() {
        thread.shared.mishaps.count(&record, outcome.fault);
    }
    chosen.count(|| {
        let subject = Subject {
            conn: &peer.facts,
            client: client.ip,
            https: client.https,
            now: since / 1_000,
            scope: scope(peer),
        };
        let is_sent_elsewhere =
            record.source == Source::Edge && (300..400).contains(&record.status);
        let judged_otherwise = chosen.is_judged_otherwise(asked, &subject)
            || (is_sent_elsewhere && chosen.goes_round(asked, &subject));
        Ended::of(&record, outcome.fault, judged_otherwise)
    });
    if let Some(zone) = zone
        && zone.replay
        && peer.location.is_none()
        && zone.sampled.is_due(since)
    {
        let client = (client.ip, client.https);
        thread.shared.recent.keep(zone, asked, &peer.facts, client);
    }
    let (slot, id) = zone.map_or((ZoneSlot::NONE, ZoneId::default()), |zone| {
        (zone.slot, zone.id)
    });
    thread.record(&record, slot, id);
    ended + snapshot.edge.idle_timeout
}

/// The id of a request: that which it has where it comes from, so that it is one everywhere.
fn exchange_ray(thread: &Thread, peer: &Peer, request: &RequestHead) -> Ray {
    let given = peer.location.and_then(|_| tier::ray(request));
    given.unwrap_or_else(|| thread.next_ray())
}

/// What the blame page says of an exchange: many take turns on a thread, so it is said anew whenever one is polled.
struct Blame<'a> {
    runs: Runs,
    phase: &'a Cell<u64>,
}

impl Blame<'_> {
    #[inline]
    fn within<T>(&self, poll: impl FnOnce() -> T) -> T {
        let _within = blame::enter(&Runs {
            stage: self.phase.get(),
            ..self.runs
        });
        poll()
    }
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
    blame: &Blame<'_>,
    thread: &Thread,
    due: Option<Instant>,
    gone: Option<Departing<'_>>,
    keeps_on: &Cell<bool>,
) -> Result<(), Interrupted> {
    let mut late = due.map(|due| Box::pin(tokio::time::sleep_until(due)));
    poll_fn(|cx| {
        if gone.is_some_and(|stream| stream.is_gone(cx)) && !keeps_on.get() {
            return Poll::Ready(Err(Interrupted::Gone));
        }
        if blame.within(|| answer.as_mut().poll(cx)).is_ready() {
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

impl<'a> Exchange<'a, '_> {
    /// Whether there is nothing to upload and nothing to upgrade.
    pub fn is_plain(&self) -> bool {
        self.arrived.upgrade != Upgrade::WebSocket && self.body.is_done()
    }

    async fn answer(
        &mut self,
        zone: Option<&'a Arc<Zone>>,
        request: &mut RequestHead,
        parts: &mut Parts,
    ) {
        let Some(zone) = zone else {
            return Box::pin(self.refuse(Fault::UnknownHost, None, request, parts)).await;
        };
        if let Err(fault) = self.check(zone, request) {
            return Box::pin(self.refuse(fault, Some(zone), request, parts)).await;
        }
        let share = match self.share(zone) {
            Ok(share) => share,
            Err(refusal) => {
                return Box::pin(self.turn_away(&refusal, zone, request, parts)).await;
            }
        };
        // Before any stage looks: a client must not be able to name, and so remove, what a stage or the edge sets.
        if self.arrived.names_fields {
            forward::drop_connection_named(&mut request.fields);
        }
        let place = endpoint::find(request.path(), &self.thread.shared.certificates);
        let subject = self.subject(zone, place);
        // The head as it came, for those who are judged again later; judging may change it.
        if self.arrived.upgrade == Upgrade::WebSocket || zone.guard.changes_heads() {
            self.original = Some(Box::new(request.clone()));
        }
        let judged = zone.guard.admit(request, &subject, parts.trail.get_mut());
        share.burn(parts.trail.get_mut().fuel);
        let admitted = match judged {
            Ok(admitted) => admitted,
            Err(refusal) => {
                return Box::pin(self.turn_away(&refusal, zone, request, parts)).await;
            }
        };
        match place {
            // A redirect to HTTPS is a stage's, which may be off: what needs TLS does not go on without.
            endpoint::Place::Elsewhere if zone.needs_tls && self.peer.facts.tls.is_none() => {
                let head = admitted.head();
                return Box::pin(self.refuse(Fault::NeedsTls, Some(zone), head, parts)).await;
            }
            endpoint::Place::Elsewhere => {}
            endpoint::Place::Unknown => {
                let head = admitted.head();
                return Box::pin(self.refuse(Fault::NoEndpoint, Some(zone), head, parts)).await;
            }
            endpoint::Place::Known(known) => {
                return Box::pin(self.endpoint(known, zone, admitted.head(), parts)).await;
            }
        }
        if zone.guard.has_body_stages() && !self.is_of_location() {
            let before = parts.trail.get_mut().fuel;
            let inspected = self.inspect(zone, &admitted, &subject, parts);
            share.burn(parts.trail.get_mut().fuel.saturating_sub(before));
            if let Err(refusal) = inspected {
                return Box::pin(self.turn_away(&refusal, zone, admitted.head(), parts)).await;
            }
        }
        match zone.origins.first().map(|origin| &origin.at) {
            Some(Place::Sample) => {
                return Box::pin(self.sample(zone, admitted.head(), parts)).await;
            }
            Some(Place::Files(site)) => {
                return Box::pin(self.files(zone, site, &admitted, parts)).await;
            }
            _ => {}
        }
        if let Some(plan) = &zone.cache
            && self.arrived.upgrade != Upgrade::WebSocket
        {
            let view = zone.guard.view(admitted.head(), &subject);
            let mut planned = zone.cache_rules.plan(plan, &view);
            self.mind_purges(&mut planned, admitted.head());
            share.burn(planned.fuel);
            return Box::pin(self.cached(zone, &planned, &admitted, parts)).await;
        }
        if let Err(failed) = relay::relay(self, zone, &admitted, parts).await {
            Box::pin(self.failed(failed, zone, &admitted, parts)).await;
        }
    }

    /// No origin answered.
    pub async fn failed(
        &mut self,
        failed: relay::Failed,
        zone: &'a Arc<Zone>,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        self.outcome.bytes_in = failed.bytes_in;
        match self.refusal.take() {
            Some(refusal) => self.turn_away(&refusal, zone, admitted.head(), parts).await,
            None => {
                self.refuse(failed.fault, Some(zone), admitted.head(), parts)
                    .await;
            }
        }
    }

    /// What the client is told of HTTP/3, unless it speaks it.
    pub fn alt_svc(&self) -> Option<&'a [u8]> {
        if matches!(self.response, ClientResponse::Http3(_)) {
            return None;
        }
        let quic = self.thread.shared.quic.as_ref()?;
        quic.alt_svc(&self.peer.facts)
    }

    /// What the stages are told of this request.
    pub fn subject(&self, zone: &Zone, place: endpoint::Place) -> Subject<'a> {
        let scope = match place {
            endpoint::Place::Elsewhere => scope(self.peer),
            endpoint::Place::Known(known) => zone.guard.scope(known.stages),
            endpoint::Place::Unknown => zone.guard.scope(endpoint::FIRST),
        };
        Subject {
            conn: &self.peer.facts,
            client: self.client.ip,
            https: self.client.https,
            now: self.since / 1_000,
            scope,
        }
    }

    /// It does something else than going on between stages, now and whenever it is polled.
    fn enter_phase(&self, phase: Phase) {
        self.phase.set(phase.alone());
        blame::stage(phase.alone());
    }

    /// Takes this request's part of the zone's shares.
    fn share(&mut self, zone: &Arc<Zone>) -> Result<Share<'a>, Box<Refusal>> {
        let share = self.peer.share(self.thread, zone);
        let share = share.and_then(|share| Share::take(self.thread, share, &zone.guard));
        let Some(share) = share else {
            // Closing makes room for connections of other zones.
            self.response.close_after();
            return Err(zone.guard.busy());
        };
        if !self.is_of_location() {
            self.in_progress = zone.guard.enter(self.client.ip, self.since / 1_000)?;
        }
        Ok(share)
    }
}

//! The way of a response: its heads, interim ones too, and its body. Past the final head a failure can only be shown by
//! breaking off.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_guard::{Admitted, Cleared, EdgeMade, Inspection, Refusal, Subject, Trail};
use seawall_model::{FieldId, Fields, Method, RequestHead, ResponseHead};
use seawall_net::alarm::{Alarm, Elapsed};
use seawall_net::buffer::{LARGE, MEDIUM, SMALL};
use seawall_net::downstream::{After, ClientBody, ClientGone, ClientResponse};
use seawall_net::h1::Upgrade;
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};
use seawall_net::upstream::{OriginFault, OriginResponse, ResponseInfo};
use seawall_telemetry::Source;
use tokio::time::Instant;

use super::compressed::Compressed;
use super::upload::{Upload, UploadFault};
use crate::caching::Way;
use crate::endpoint::Place;
use crate::exchange::{Exchange, Outcome};
use crate::fault::{self, Fault};
use crate::forward;
use crate::outgoing;
use crate::snapshot::{Snapshot, Zone};
use crate::standing::Standing;
use crate::thread::{Parts, Thread};

/// Interim responses of one exchange; an origin that sends more is broken.
const INTERIM: u32 = 32;
/// After the origin stopped taking the upload: how long its early answer is waited for.
const EARLY_ANSWER: Duration = Duration::from_secs(2);
/// While an upload runs its own deadlines hold; the head's begins when it has ended.
const UPLOADING: Duration = Duration::from_secs(24 * 3600);

/// The way from the origin to the client.
pub(super) struct Download<'e, 'a, 'c, 'o> {
    pub(super) thread: &'e Rc<Thread>,
    pub(super) snapshot: &'e Snapshot,
    pub(super) zone: &'e Arc<Zone>,
    pub(super) https: bool,
    /// What the client is told of HTTP/3.
    pub(super) alt_svc: Option<&'e [u8]>,
    pub(super) client_method: Method,
    /// The request's body, until an upload takes it.
    pub(super) body: Option<&'e mut ClientBody<'c>>,
    pub(super) client: &'e mut ClientResponse<'c>,
    pub(super) alarm: &'e mut Alarm,
    pub(super) head: &'e mut ResponseHead,
    pub(super) to_client: &'e mut Fields,
    pub(super) ray_line: &'e [u8],
    pub(super) origin: &'e mut OriginResponse<'o>,
    /// When the request came, in microseconds on the monotonic clock.
    pub(super) since: u64,
    /// The clock as it was read last.
    pub(super) at: Instant,
    /// The client asked for a WebSocket.
    pub(super) websocket: bool,
    pub(super) outcome: &'e mut Outcome,
    /// Those who look at the request's body, until an upload takes them.
    pub(super) inspection: Option<&'e mut Inspection<'a>>,
    /// Where a stage's refusal is put.
    pub(super) refusal: &'e mut Option<Box<Refusal>>,
    pub(super) standing: &'e Standing<'a>,
    /// Another location of ours has the client.
    pub(super) is_of_location: bool,
    /// What answers is another location of ours.
    pub(super) at_parent: bool,
    /// The request, as it may be judged once more.
    pub(super) request: &'e RequestHead,
    pub(super) subject: Subject<'e>,
    pub(super) trail: &'e RefCell<Trail>,
    /// What the cache has to do with it.
    pub(super) way: Option<&'e mut Way>,
    /// The request as the origin got it.
    pub(super) asked: &'e RequestHead,
    /// It goes on though its client has left.
    pub(super) keeps_on: &'e Cell<bool>,
    /// While the origin was waited for it was found that nobody waits any more.
    pub(super) given_up: Option<Fault>,
}

/// How often it is looked whether the client is still there, while the origin is waited for: work for those who left is what
/// a flood of resets lives on.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How long the beginning of a body is gathered for those who look at it.
const GATHERS: Duration = Duration::from_secs(2);

/// The first head, unless it did not come in time.
pub(super) type First = Result<Result<ResponseInfo, OriginFault>, Elapsed>;

enum Event {
    Uploaded(Result<(), UploadFault>),
    Head(Result<ResponseInfo, OriginFault>),
}

/// What is left to do of a response.
pub(super) enum Left<'e> {
    Nothing,
    /// What is kept must leave.
    Flush,
    /// The body, or the rest of it.
    Body,
    /// The body, which leaves compressed.
    Compressed(Box<Compressed<'e>>),
}

pub(super) fn gone(gone: ClientGone) -> Fault {
    match gone {
        ClientGone::Closed => Fault::ClientGone,
        ClientGone::Slow => Fault::SlowReader,
    }
}

impl<'e, 'a, 'c, 'o> Download<'e, 'a, 'c, 'o> {
    /// The way of this exchange's response, from `origin`.
    pub(super) fn new(
        exchange: &'e mut Exchange<'a, 'c>,
        zone: &'e Arc<Zone>,
        admitted: &'e Admitted<'_>,
        parts: &'e mut Parts,
        origin: &'e mut OriginResponse<'o>,
    ) -> Self {
        let subject = exchange.subject(zone, Place::Elsewhere);
        let is_of_location = exchange.is_of_location();
        Self {
            thread: exchange.thread,
            snapshot: exchange.snapshot,
            zone,
            https: exchange.client.https,
            alt_svc: exchange.alt_svc(),
            client_method: admitted.head().method,
            body: Some(exchange.body),
            client: exchange.response,
            alarm: exchange.alarm,
            head: &mut parts.response,
            to_client: &mut parts.to_client,
            ray_line: &parts.ray_line,
            origin,
            since: exchange.since,
            at: exchange.arrived.at,
            websocket: exchange.arrived.upgrade == Upgrade::WebSocket,
            outcome: &mut exchange.outcome,
            inspection: exchange.inspection.as_mut(),
            refusal: &mut exchange.refusal,
            standing: &exchange.standing,
            is_of_location,
            at_parent: exchange.at_parent,
            request: exchange.original.as_deref().unwrap_or(admitted.head()),
            subject,
            trail: &parts.trail,
            way: exchange.way.as_deref_mut(),
            asked: admitted.head(),
            keeps_on: exchange.keeps_on,
            given_up: None,
        }
    }

    /// Waits for the next head, until `due`. `waiting` is for itself.
    pub(super) fn poll_head(
        &mut self,
        method: Method,
        due: Instant,
        waiting: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<First> {
        match self
            .origin
            .poll_head(method, &self.snapshot.edge.head, self.head, cx)
        {
            Poll::Ready(head) => Poll::Ready(Ok(head)),
            Poll::Pending => {
                if !std::mem::replace(waiting, true) {
                    self.alarm.set_at(due.min(self.at + LOOK));
                }
                while self.alarm.poll(cx).is_ready() {
                    let now = Instant::now();
                    self.given_up = self.given_up();
                    if self.given_up.is_some() || now >= due {
                        return Poll::Ready(Err(Elapsed));
                    }
                    self.alarm.set_at(due.min(now + LOOK));
                }
                Poll::Pending
            }
        }
    }

    /// Why nobody waits for the response any more.
    fn given_up(&self) -> Option<Fault> {
        if self.client.is_gone() {
            return Some(Fault::ClientGone);
        }
        (!self.standing.holds(self.request)).then_some(Fault::Withdrawn)
    }

    /// Waits for more of the body, at most `idle`.
    pub(super) async fn wait_for_body(
        &mut self,
        idle: Duration,
        timeout: Duration,
    ) -> Result<Result<usize, OriginFault>, Fault> {
        let mut left = idle;
        loop {
            let piece = self.room(timeout).await?;
            let (look, began) = (left.min(LOOK), Instant::now());
            let more = |cx: &mut Context<'_>| match &mut *self.client {
                // Other streams may have filled its socket meanwhile.
                ClientResponse::Http2(client) if !client.has_room(cx) => Poll::Ready(None),
                _ => self.origin.poll_fill_by(piece, cx).map(Some),
            };
            match self.alarm.wait(look, more).await {
                Ok(Some(ready)) => return Ok(ready),
                Ok(None) => left = left.saturating_sub(began.elapsed()),
                Err(Elapsed) => {
                    if let Some(fault) = self.given_up() {
                        return Err(fault);
                    }
                    left -= look;
                }
            }
            if left.is_zero() {
                return Err(Fault::OriginStalled);
            }
        }
    }

    /// Waits for the final head, while the upload goes on; passes interim ones. `first` is the first one, if it came already.
    pub(super) async fn head(
        &mut self,
        method: Method,
        upload: &mut Upload<'_>,
        first: Option<First>,
    ) -> Result<ResponseInfo, Fault> {
        let limits = &self.snapshot.edge.head;
        let mut patience = if upload.future.is_some() {
            UPLOADING
        } else {
            self.header_timeout()
        };
        let mut interim = 0;
        let mut broken = None;
        let mut first = first.map(|first| first.map(Event::Head));
        loop {
            let event = match first.take() {
                Some(first) => first,
                None if upload.future.is_none() => {
                    let due = Instant::now() + patience;
                    let mut waiting = false;
                    let next = poll_fn(|cx| self.poll_head(method, due, &mut waiting, cx));
                    next.await.map(Event::Head)
                }
                None => {
                    let next = |cx: &mut Context<'_>| match upload.poll(cx) {
                        Some(result) => Poll::Ready(Event::Uploaded(result)),
                        None => self
                            .origin
                            .poll_head(method, limits, self.head, cx)
                            .map(Event::Head),
                    };
                    self.alarm.wait(patience, next).await
                }
            };
            match event {
                Err(Elapsed) => {
                    let late = broken.unwrap_or(Fault::OriginTimeout);
                    return Err(self.given_up.unwrap_or(late));
                }
                Ok(Event::Uploaded(Ok(()))) => patience = self.header_timeout(),
                Ok(Event::Uploaded(Err(UploadFault::Client(fault)))) => {
                    return Err(fault::of_body(&fault));
                }
                Ok(Event::Uploaded(Err(UploadFault::Refused(refusal)))) => {
                    *self.refusal = Some(refusal);
                    return Err(Fault::TurnedAway);
                }
                Ok(Event::Uploaded(Err(UploadFault::Withdrawn))) => return Err(Fault::Withdrawn),
                Ok(Event::Uploaded(Err(UploadFault::Origin(fault)))) => {
                    // It may have answered before it closed: a 413, say.
                    broken = Some(fault.into());
                    patience = EARLY_ANSWER;
                }
                Ok(Event::Head(Err(fault))) => return Err(broken.unwrap_or(fault.into())),
                Ok(Event::Head(Ok(info))) if info.switched => {
                    // Nobody asked: what follows is no HTTP, and to the client it would look like answers.
                    return if self.websocket {
                        Ok(info)
                    } else {
                        Err(Fault::OriginProtocol)
                    };
                }
                Ok(Event::Head(Ok(_))) if self.is_failed_parent() => {
                    // Which did nothing with it, as far as we are concerned.
                    return Err(Fault::Unprocessed);
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
        let fields = Some(&self.head.fields);
        let cleared = Cleared::edge_made(EdgeMade::Interim, self.head.status, fields);
        let (ours, last) = (&*self.to_client, Line::default());
        let head = outgoing::response(cleared, RESPONSE_SKIP, ours, last, BodyOut::None);
        let sent = self
            .client
            .interim(head, self.alarm, self.snapshot.edge.write_timeout)
            .await;
        sent.map_err(|_| Fault::ClientGone)
    }

    /// Gives the client the head and the body. Past this point a failure can only be shown by breaking off.
    ///
    /// # Errors
    /// As [`Download::end`].
    pub(super) async fn relay(&mut self, info: ResponseInfo) -> Result<(), Fault> {
        if self.wants() > 0
            && let Err(fault) = Box::pin(self.gather()).await
        {
            return self.end(Err(fault));
        }
        match self.begin(info) {
            Ok(left) => self.rest(left).await,
            Err(fault) => self.end(Err(fault)),
        }
    }

    /// Bytes of the body that should be there when the head is cleared.
    #[inline]
    pub(super) fn wants(&self) -> usize {
        self.trail.borrow().wants(self.head)
    }

    /// Waits for them, not longer than [`GATHERS`]: of a body that comes slowly what is there by then is looked at, and streams go on.
    pub(super) async fn gather(&mut self) -> Result<(), Fault> {
        let want = self.wants();
        let more = |cx: &mut Context<'_>| self.origin.poll_gather(want, cx);
        let patience = self.zone.timeouts.idle.min(GATHERS);
        match self.alarm.wait(patience, more).await {
            Ok(gathered) => gathered.map_err(incomplete),
            Err(Elapsed) => Ok(()),
        }
    }

    /// Notes what came of it.
    ///
    /// # Errors
    /// If the origin breaks off before any of it has left, it is as if it had never answered: that is the error then.
    pub(super) fn end(&mut self, passed: Result<(), Fault>) -> Result<(), Fault> {
        match passed {
            Ok(()) => {}
            Err(fault) if fault != Fault::ClientGone && !self.client.has_begun() => {
                self.client.take_back();
                return Err(fault);
            }
            Err(fault) => {
                self.client.abort();
                self.outcome.fault = Some(fault);
            }
        }
        self.outcome.status = self.head.status;
        self.outcome.source = Source::Origin;
        Ok(())
    }

    /// Gives the client the head, and the body where all of it came with the head: as far as that goes without waiting.
    pub(super) fn begin(&mut self, info: ResponseInfo) -> Result<Left<'e>, Fault> {
        let now;
        (self.at, now) = self.thread.clock();
        self.outcome.origin_us = Some(now.saturating_sub(self.since));
        self.outcome.ended = Some((self.at, now));
        let silent = info.body == BodyOut::None;
        if silent || info.body == BodyOut::Length(0) {
            self.consumed();
        }
        if self.thread.is_leaving() {
            self.client.close_after();
        }
        self.fields(info.names_fields);
        // To HEAD and in a 304 the length is metadata of what is not sent (RFC 9110 §8.6).
        let metadata = silent && (self.client_method == Method::Head || self.head.status == 304);
        let skip = if metadata {
            RESPONSE_SKIP & !FieldId::ContentLength.bit()
        } else {
            RESPONSE_SKIP
        };
        let whole = self.whole()?;
        let compressed = self.compress(info.body, whole);
        let body = match info.body {
            _ if let Some(compressed) = &compressed => compressed.body(),
            BodyOut::None if !metadata && self.head.status != 204 => BodyOut::Length(0),
            body => body,
        };
        let lies_ready = match self.wants() {
            0 => self.origin.front(whole.unwrap_or(0)),
            wanted => self.origin.front(wanted),
        };
        let mut trail = self.trail.borrow_mut();
        let guard = &self.zone.guard;
        let before = trail.fuel;
        let cleared = guard.clear(self.head, lies_ready, &self.subject, &mut trail);
        let used = trail.fuel.saturating_sub(before);
        self.thread.shares.burn_for(guard.zone(), used);
        let cleared = match cleared {
            Ok(cleared) => cleared,
            Err(refusal) => {
                *self.refusal = Some(refusal);
                return Err(Fault::TurnedAway);
            }
        };
        trail.tell(self.to_client);
        let (ours, last) = (&*self.to_client, Line(self.ray_line));
        let head = outgoing::response(cleared, skip, ours, last, body);
        if silent || body == BodyOut::Length(0) {
            self.client.keep_head_alone(head).map_err(gone)?;
            return self.leave();
        }
        self.client.head(head).map_err(gone)?;
        if let Some(compressed) = compressed {
            if let Compressed::Whole(_) = compressed {
                self.consume(whole.unwrap_or(0));
                self.consumed();
            }
            return Ok(Left::Compressed(Box::new(compressed)));
        }
        match whole {
            Some(whole) if self.client.keep(self.origin.front(whole), After::Last) => {
                self.consume(whole);
                self.consumed();
                self.leave()
            }
            _ => Ok(Left::Body),
        }
    }

    /// Sends what is kept, all there will be, as far as the client takes it at once.
    fn leave(&mut self) -> Result<Left<'e>, Fault> {
        Ok(if self.client.flush_now().map_err(gone)? {
            Left::Nothing
        } else {
            Left::Flush
        })
    }

    /// What [`Download::begin`] left.
    ///
    /// # Errors
    /// As [`Download::end`].
    pub(super) async fn rest(&mut self, left: Left<'e>) -> Result<(), Fault> {
        let left = match left {
            Left::Compressed(compressed) => {
                return Box::pin(self.rest_compressed(*compressed)).await;
            }
            left => left,
        };
        let passed = self.pass(left).await;
        let ended = self.thread.clock();
        self.at = ended.0;
        self.outcome.ended = Some(ended);
        self.end(passed)
    }

    async fn pass(&mut self, left: Left<'e>) -> Result<(), Fault> {
        let (timeout, idle) = (self.snapshot.edge.write_timeout, self.zone.timeouts.idle);
        match left {
            Left::Nothing => return Ok(()),
            Left::Flush => {
                return Box::pin(self.client.flush(self.alarm, timeout))
                    .await
                    .map_err(gone);
            }
            Left::Body | Left::Compressed(_) => {}
        }
        if let Some(own) = self.fills() {
            return Box::pin(self.pass_filling(own, None)).await;
        }
        loop {
            if !self.standing.holds(self.request) {
                return Err(Fault::Withdrawn);
            }
            // What is kept may not wait for what the origin has not sent yet.
            let piece = self.room(timeout).await?;
            let ready = match poll_once(|cx| self.origin.poll_fill_by(piece, cx)).await {
                Some(ready) => ready,
                None => {
                    if !self.client.flush_now().map_err(gone)? {
                        Box::pin(self.client.flush(self.alarm, timeout))
                            .await
                            .map_err(gone)?;
                    }
                    self.wait_for_body(idle, timeout).await?
                }
            };
            let ready = ready.map_err(incomplete)?;
            if ready == 0 {
                self.consumed();
                let trailers = self.origin.trailers();
                return Box::pin(self.client.end(trailers, self.alarm, timeout))
                    .await
                    .map_err(gone);
            }
            self.fits(ready)?;
            let after = self.origin.after(ready);
            let sent = if self.client.keep(self.origin.front(ready), after) {
                match after == After::More || self.client.flush_now().map_err(gone)? {
                    true => Ok(()),
                    false => Box::pin(self.client.flush(self.alarm, timeout)).await,
                }
            } else {
                Box::pin(
                    self.client
                        .body(self.origin.front(ready), after, self.alarm, timeout),
                )
                .await
            };
            self.consume(ready);
            sent.map_err(gone)?;
            if after == After::Last {
                self.consumed();
                return Ok(());
            }
        }
    }

    /// How much of the body is to be read at once. For a client of HTTP/2 or 3 nothing is read, and no memory held, before its
    /// connection takes more: it may have many streams, all of them slow.
    pub(super) async fn room(&mut self, timeout: Duration) -> Result<usize, Fault> {
        match self.client {
            ClientResponse::Http1(_) => Ok(if self.https { MEDIUM } else { LARGE }),
            ClientResponse::Http2(_) | ClientResponse::Http3(_)
                if !self.origin.front(1).is_empty() =>
            {
                Ok(SMALL)
            }
            ClientResponse::Http2(client) => {
                self.origin.release();
                client.room(self.alarm, timeout).await.map_err(gone)
            }
            ClientResponse::Http3(client) => {
                self.origin.release();
                client.room(self.alarm, timeout).await.map_err(gone)
            }
        }
    }
}

/// A fault of the origin's past its head.
pub(super) fn incomplete(fault: OriginFault) -> Fault {
    match Fault::from(fault) {
        Fault::ClosedEarly => Fault::Incomplete,
        fault => fault,
    }
}

/// Polls once: the answer, or none when it would have to be waited for.
pub(super) async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

//! Validating what is stored while the client has it already (RFC 5861 §3): asked once, of one origin, by nobody's client.
//!
//! Bounded: for each response one at a time, for each thread so many in all. What fails is tried again by the next request.

use std::rc::Rc;
use std::sync::Arc;

use seawall_guard::Admitted;
use seawall_model::{Fields, Method, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::MEDIUM;
use seawall_net::outgoing::{BodyOut, Line, Prepared};
use seawall_net::proxy_protocol::Announced;
use seawall_net::upstream::{OriginConnection, OriginResponse, open_stream};
use tokio::time::Instant;

use super::Way;
use crate::fault::Fault;
use crate::forward;
use crate::lend::{Lent, Need, lend_kept, lend_new};
use crate::origin::{Lease, Outcome, Tried};
use crate::outgoing::{self, Said};
use crate::snapshot::{Origin, Place, Zone};
use crate::thread::Thread;
use crate::tier::{self, PARENT};

/// The most at once on one thread.
pub(super) const MOST: usize = 256;

/// Whether one more may begin.
pub(super) fn has_room(thread: &Thread) -> bool {
    thread.background.get() < MOST && !thread.is_leaving()
}

/// Validates what `way` has seen, in a task of its own.
pub(super) fn validate(
    thread: &Rc<Thread>,
    zone: &Arc<Zone>,
    asked: Admitted<'static>,
    common: Rc<Prepared>,
    mut way: Box<Way>,
) {
    let (thread, zone) = (Rc::clone(thread), Arc::clone(zone));
    thread.background.set(thread.background.get() + 1);
    tokio::task::spawn_local(async move {
        // What fails leaves what is stored as it is: whoever leads next asks again.
        let _ = ask(&thread, &zone, &asked, &common, &mut way).await;
        thread.background.set(thread.background.get() - 1);
    });
}

async fn ask(
    thread: &Rc<Thread>,
    zone: &Arc<Zone>,
    asked: &Admitted<'_>,
    common: &Prepared,
    way: &mut Way,
) -> Result<(), Fault> {
    if let Some(came) = by_parent(thread, zone, asked, common, way).await {
        return came;
    }
    let now = thread.shared.now();
    let pool = zone.pool();
    let picked = pool.pick(now, thread.random(), &Tried::default());
    let picked = picked.ok_or(Fault::Unreachable)?;
    let (index, lease) = (picked.index, pool.admit(picked.member, false));
    let lease = lease.ok_or(Fault::Full)?;
    let origin = zone
        .origins
        .get(usize::from(index))
        .ok_or(Fault::Internal)?;
    let last = Line::default();
    let came = converse(thread, zone, origin, &lease, asked, common, last, way).await;
    let outcome = match came {
        Ok(status) => Outcome::Answered(status),
        Err(fault) => fault.outcome(),
    };
    let _ = pool.report(index, outcome, thread.shared.now());
    came.map(|_| ())
}

/// Asks a parent, where there is one; none: the origin is to be asked.
async fn by_parent(
    thread: &Rc<Thread>,
    zone: &Arc<Zone>,
    asked: &Admitted<'_>,
    common: &Prepared,
    way: &mut Way,
) -> Option<Result<(), Fault>> {
    let snapshot = thread.snapshot.load();
    let parents = snapshot.edge.parents.of(zone.shield.as_deref())?;
    let tier = thread.shared.tier.as_ref()?;
    let key = way.parent_key()?;
    if way.is_unheard(tier) {
        return None;
    }
    let picked = parents.pick(thread.shared.now(), key, &Tried::default());
    let (picked, parent) = picked?;
    let lease = parents.pool.admit(picked.member, false)?;
    let mut lines = Vec::new();
    tier.write_lines(b"", &mut lines);
    let last = Line(&lines);
    let came = converse(thread, zone, parent, &lease, asked, common, last, way).await;
    let outcome = match came {
        Ok(_) | Err(Fault::Unprocessed) => Outcome::Answered(200),
        Err(fault) => fault.outcome(),
    };
    let _ = parents
        .pool
        .report(picked.index, outcome, thread.shared.now());
    came.is_ok().then_some(Ok(()))
}

/// One request and its answer; tells the status.
#[expect(clippy::too_many_arguments, reason = "who asks what, of whom, and how")]
async fn converse(
    thread: &Rc<Thread>,
    zone: &Arc<Zone>,
    origin: &Origin,
    lease: &Lease,
    asked: &Admitted<'_>,
    common: &Prepared,
    last: Line<'_>,
    way: &mut Way,
) -> Result<u16, Fault> {
    let mut alarm = Alarm::new(zone.timeouts.header);
    let mut extra = Fields::default();
    way.add_validators(&mut extra);
    let sent = send(
        thread, zone, origin, lease, asked, common, &extra, last, true, &mut alarm,
    );
    let mut sent = sent.await?;
    let (request, mut response) = sent.connection.split();
    let status = take_in(thread, zone, origin, asked, way, &mut response, &mut alarm).await?;
    sent.reusable = response.is_reusable();
    response.release();
    drop((request, response));
    let (at, _) = thread.clock();
    sent.give_back(thread, origin, lease, at);
    Ok(status)
}

/// A request that was sent.
pub(super) struct Sent {
    pub(super) connection: OriginConnection,
    /// Its answer has come whole, and another request may follow.
    pub(super) reusable: bool,
}

impl Sent {
    /// Gives the connection back, if it may serve again.
    pub(super) fn give_back(self, thread: &Thread, origin: &Origin, lease: &Lease, at: Instant) {
        let reusable = self.reusable && origin.announce.is_none();
        if let (OriginConnection::Http1(connection), true) = (self.connection, reusable) {
            thread.origins.give_back(lease.member(), connection, at);
        }
    }
}

/// Sends a request that nobody's connection waits for, over a kept connection unless `fresh`.
#[expect(
    clippy::too_many_arguments,
    reason = "what is asked, of whom, over what"
)]
pub(super) async fn send(
    thread: &Rc<Thread>,
    zone: &Zone,
    origin: &Origin,
    lease: &Lease,
    asked: &Admitted<'_>,
    common: &Prepared,
    extra: &Fields,
    last: Line<'_>,
    fresh: bool,
    alarm: &mut Alarm,
) -> Result<Sent, Fault> {
    let https = matches!(&origin.at, Place::Server { tls: Some(_), .. });
    let head = outgoing::request(
        asked,
        Said {
            method: None,
            scheme: if https { "https" } else { "http" },
            authority: origin.host.as_deref(),
            skip: forward::SKIP,
            common,
            extra,
            last,
            body: BodyOut::None,
        },
    );
    let lent = match lend_kept(thread, origin, lease.member(), Need::Any, fresh) {
        Some(lent) => lent,
        None => {
            let snapshot = thread.snapshot.load();
            let (member, whom) = (lease.member(), Announced::Sender);
            let made = lend_new(
                thread,
                &snapshot,
                zone,
                origin,
                member,
                Need::Any,
                whom,
                alarm,
            );
            made.await?
        }
    };
    let mut connection = match lent {
        Lent::Http1 { connection, .. } => OriginConnection::Http1(connection),
        Lent::Http2(shared) => match open_stream(&shared, &head, None) {
            Some(stream) => OriginConnection::Http2(stream),
            None => return Err(Fault::ClosedEarly),
        },
    };
    let (mut request, response) = connection.split();
    if !request.head_now(&head, None)? {
        request.flush(alarm, zone.timeouts.idle).await?;
    }
    drop((request, response));
    Ok(Sent {
        connection,
        reusable: false,
    })
}

async fn take_in(
    thread: &Thread,
    zone: &Zone,
    origin: &Origin,
    asked: &Admitted<'_>,
    way: &mut Way,
    response: &mut OriginResponse<'_>,
    alarm: &mut Alarm,
) -> Result<u16, Fault> {
    let snapshot = thread.snapshot.load();
    let limits = &snapshot.edge.head;
    let mut head = ResponseHead::default();
    let info = loop {
        let next = |cx: &mut std::task::Context<'_>| {
            response.poll_head(Method::Get, limits, &mut head, cx)
        };
        let patience = match origin.is_parent {
            true => zone.timeouts.header.min(PARENT),
            false => zone.timeouts.header,
        };
        let info = alarm.wait(patience, next).await;
        let info = info.map_err(|_| Fault::OriginTimeout)??;
        if origin.is_parent && head.fields.named(tier::FAILED).is_some() {
            return Err(Fault::Unprocessed);
        }
        if head.status >= 200 {
            break info;
        }
    };
    let length = match info.body {
        BodyOut::None => Some(0),
        BodyOut::Length(length) => Some(length),
        BodyOut::Unknown => None,
    };
    let status = head.status;
    if way.arrived(asked.head(), &head, length) || way.lead().is_none() {
        return Ok(status);
    }
    let idle = zone.timeouts.idle;
    loop {
        let ready = alarm
            .wait(idle, |cx| response.poll_fill_by(MEDIUM, cx))
            .await;
        let ready = ready.map_err(|_| Fault::OriginStalled)??;
        way.verify(response.front(ready), ready == 0)?;
        if ready == 0 {
            way.finish();
            return Ok(status);
        }
        way.push(response.front(ready));
        response.consume(ready);
        // What turns out to be too large to be kept is nobody's.
        if way.lead().as_ref().is_none_or(|lead| !lead.stores()) {
            return Ok(status);
        }
        tokio::task::consume_budget().await;
    }
}

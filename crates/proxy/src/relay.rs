//! To the origin and back: pick, connect, send, answer; again elsewhere where that is safe.
//!
//! Upload and download run in one task, at once where there is an upload. What the origin sends is trusted only as far as its
//! framing goes: a body that does not come whole is never presented as whole.

mod compressed;
mod download;
mod filling;
mod miss;
mod ours;
mod parents;
mod pick;
mod upload;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use seawall_guard::Admitted;
use seawall_model::{FieldId, HttpVersion, Method, RequestHead};
use seawall_net::alarm::Alarm;
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::outgoing::{BodyOut, Line, Prepared, RequestOut};
use seawall_net::proxy_protocol::Announced;
use seawall_net::upstream::{
    Http1Connection, OriginConnection, OriginRequest, OriginResponse, open_stream,
};
use tokio::time::Instant;

use download::{Download, Left};
pub use miss::Failed;
use miss::Miss;
use parents::by_parents;
use pick::{Picking, Place};
use upload::{Look, Upload, upload};

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward;
use crate::lend::{Lent, Need, lend_kept, lend_new};
use crate::origin::{Attempt, Lease, Outcome as OriginOutcome, Retry, Tried};
use crate::outgoing::{self, Said};
use crate::shares::Hold;
use crate::snapshot::{Origin, Zone};
use crate::thread::Parts;
use crate::tunnel;

/// Relays the exchange to one of the zone's origins.
///
/// # Errors
/// [`Failed`] when no origin answered; nothing was sent to the client then.
pub async fn relay(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
) -> Result<(), Failed> {
    let common = prepare(exchange, admitted, parts);
    if exchange.may_ask_parents(zone)
        && let Some(done) = Box::pin(by_parents(exchange, zone, &common, admitted, parts)).await
    {
        return done;
    }
    let thread = exchange.thread;
    let mut now = exchange.since / 1_000;
    zone.pool().budget().count_request(now);
    let mut picking = Picking::new(exchange, zone, admitted.head());
    let mut tried = Tried::default();
    let mut made = 0;
    let mut fresh = false;
    let mut last = None;
    loop {
        let failed = |fault| Failed { fault, bytes_in: 0 };
        let Place {
            index,
            origin,
            lease,
        } = picking
            .next(exchange, zone, now, &mut tried, made > 0, last)
            .map_err(failed)?;
        made += 1;
        let need = need(exchange, admitted.head());
        let lent = lend_kept(thread, origin, lease.member(), need, fresh);
        let attempted = match lent {
            Some(Lent::Http1 { connection, used }) if exchange.is_plain() => {
                plain(
                    exchange, zone, origin, &lease, &common, admitted, parts, connection, used,
                )
                .await
            }
            // Boxed, as all that is not the common way: a request pays for the size of its future.
            lent => {
                Box::pin(attempt(
                    exchange, zone, origin, &lease, lent, need, &common, admitted, parts,
                ))
                .await
            }
        };
        let miss = match attempted {
            Ok(()) => {
                // Before the status came it was counted as a failure there; here it is an answer.
                let said = match exchange.outcome.fault {
                    None => OriginOutcome::Answered(exchange.outcome.status),
                    Some(fault) => fault.outcome(),
                };
                note(
                    exchange,
                    zone,
                    index,
                    said,
                    if said.is_failure() {
                        thread.shared.now()
                    } else {
                        now
                    },
                );
                return Ok(());
            }
            Err(miss) => miss,
        };
        now = thread.shared.now();
        let attempt = Attempt {
            method: admitted.head().method,
            made: if miss.stale { made - 1 } else { made },
            outcome: miss.fault.outcome(),
            request_sent: miss.sent,
            body_spent: miss.spent > 0,
            response_started: false,
        };
        if miss.fault == Fault::Full {
            // It has as many connections as it may, and nothing was asked of it.
            drop(lease);
            made -= 1;
            picking.is_full(index, &mut tried, last).map_err(failed)?;
            continue;
        }
        if miss.stale {
            // It says nothing about the origin. Once, on a connection of its own, is no storm.
            if !fresh
                && !attempt.body_spent
                && (admitted.head().method.is_idempotent() || !miss.sent)
            {
                thread.shard.retried("stale");
                fresh = true;
                made -= 1;
                continue;
            }
        } else {
            note(exchange, zone, index, miss.fault.outcome(), now);
        }
        if matches!(miss.fault, Fault::TurnedAway | Fault::Withdrawn) {
            // A stage said so, and would say it of any other origin's answer.
            return Err(Failed {
                fault: miss.fault,
                bytes_in: miss.spent,
            });
        }
        match zone.pool().may_retry(&attempt, now) {
            Retry::Yes => {
                thread.shard.retried("again");
                tried.add(index);
                last = Some(miss.fault);
            }
            Retry::No(why) => {
                if made < zone.pool().settings().retry.attempts {
                    thread.shard.retried(why.name());
                }
                return Err(Failed {
                    fault: miss.fault,
                    bytes_in: miss.spent,
                });
            }
        }
    }
}

/// Tells the pool what came of an attempt.
fn note(exchange: &Exchange<'_, '_>, zone: &Zone, index: u16, outcome: OriginOutcome, now: u64) {
    if let Some(crate::origin::Ejection::Began { .. }) = zone.pool().report(index, outcome, now) {
        exchange.thread.shard.origin_ejected();
    }
}

/// Works out what we add to the request, once for all attempts: the common part is returned.
fn prepare(
    exchange: &Exchange<'_, '_>,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
) -> Rc<Prepared> {
    let to_origin = &mut parts.to_origin;
    to_origin.clear();
    if let Some(way) = &exchange.way {
        way.add_validators(to_origin);
    }
    if exchange.arrived.te_trailers {
        to_origin.push_known(FieldId::Te, b"trailers");
    }
    // RFC 8470 §5.1: once, also if the client said it itself.
    let said = |name: &[u8]| name.eq_ignore_ascii_case(b"early-data");
    if exchange.arrived.early && !admitted.head().fields.iter().any(|field| said(field.name)) {
        to_origin.append(b"early-data", b"1");
    }
    exchange.peer.common(
        admitted.head(),
        exchange.client,
        &exchange.thread.shared.node,
    )
}

/// Which HTTP this request needs of the origin.
fn need(exchange: &Exchange<'_, '_>, request: &RequestHead) -> Need {
    if exchange.arrived.upgrade == Upgrade::WebSocket {
        return Need::Http1;
    }
    // gRPC needs HTTP/2; its media types begin so.
    let grpc = matches!(request.version, HttpVersion::Http2 | HttpVersion::Http3)
        && request
            .fields
            .first(FieldId::ContentType)
            .is_some_and(|media| {
                media.starts_with(b"application/grpc")
                    && !media.starts_with(b"application/grpc-web")
            });
    if grpc { Need::Http2 } else { Need::Any }
}

/// The common way: no body to upload, no upgrade, a kept connection of HTTP/1.1.
#[expect(
    clippy::too_many_arguments,
    reason = "whose exchange, with whom, over what"
)]
async fn plain(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    origin: &Origin,
    lease: &Lease,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
    mut connection: Box<Http1Connection>,
    used: bool,
) -> Result<(), Miss> {
    let (mut request, mut response) = connection.split();
    let timeouts = &zone.timeouts;
    if !send_head(
        exchange,
        origin,
        common,
        admitted,
        parts,
        &mut request,
        used,
    )? {
        let left = request.flush(exchange.alarm, timeouts.idle);
        let left = Box::pin(left).await;
        left.map_err(|fault| Miss::while_sending(fault, used))?;
    }
    // The clock was read when the request came, a moment ago.
    let due = exchange.arrived.at + timeouts.header;
    let method = admitted.head().method;
    let mut download = Download::new(exchange, zone, admitted, parts, &mut response);
    let mut waiting = false;
    let first = poll_fn(|cx| download.poll_head(method, due, &mut waiting, cx)).await;
    let info = match first {
        Ok(Ok(info)) if !info.switched && download.head.status >= 200 => Ok(info),
        first => {
            let mut none = Upload { future: None };
            Box::pin(download.head(method, &mut none, Some(first))).await
        }
    };
    let info = info.map_err(|fault| Miss::after_sending(fault, used, 0))?;
    let is_taken = download.is_taken(&info);
    if download.is_to_settle() {
        Box::pin(download.settle()).await;
    }
    let relayed = match is_taken {
        true => Ok(()),
        false if download.wants() > 0 => Box::pin(download.relay(info)).await,
        false => match download.begin(info) {
            Ok(Left::Nothing) => download.end(Ok(())),
            Ok(left) => Box::pin(download.rest(left)).await,
            Err(fault) => download.end(Err(fault)),
        },
    };
    let at = download.at;
    relayed.map_err(|fault| Miss::after_sending(fault, used, 0))?;
    let reusable = exchange.outcome.fault.is_none() && response.is_reusable();
    response.release();
    drop((request, response));
    if reusable {
        exchange
            .thread
            .origins
            .give_back(lease.member(), connection, at);
    }
    Ok(())
}

/// One try at one origin, whatever the request and the connection.
#[expect(
    clippy::too_many_arguments,
    reason = "whose exchange, with whom, over what"
)]
async fn attempt(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    origin: &Origin,
    lease: &Lease,
    lent: Option<Lent>,
    need: Need,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
) -> Result<(), Miss> {
    let thread = exchange.thread;
    let member = lease.member();
    let lent = match lent {
        Some(lent) => lent,
        None => {
            let snapshot = exchange.snapshot;
            let whom = whom(exchange);
            let made = lend_new(
                thread,
                snapshot,
                zone,
                origin,
                member,
                need,
                whom,
                exchange.alarm,
            );
            made.await.map_err(Miss::before_sending)?
        }
    };
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    let (mut connection, used) = match lent {
        Lent::Http1 { connection, used } => (OriginConnection::Http1(connection), used),
        Lent::Http2(_) if websocket => return Err(Miss::before_sending(Fault::UpgradeFailed)),
        Lent::Http2(shared) => {
            let head = request_out(exchange, origin, admitted, common, parts);
            match open_stream(&shared, &head, None) {
                Some(stream) => (OriginConnection::Http2(stream), false),
                None => {
                    return Err(Miss {
                        stale: true,
                        ..Miss::before_sending(Fault::ClosedEarly)
                    });
                }
            }
        }
    };
    let (mut request, mut response) = connection.split();
    let talked = talk(
        exchange,
        zone,
        origin,
        common,
        admitted,
        parts,
        &mut request,
        &mut response,
        used,
    )
    .await;
    drop(request);
    let at = talked?;
    let whole = exchange.outcome.fault.is_none() && exchange.body.is_done() | websocket;
    let reusable = whole && response.is_reusable() && origin.announce.is_none();
    response.release();
    drop(response);
    if let (OriginConnection::Http1(connection), Some(at), true) = (connection, at, reusable) {
        thread.origins.give_back(member, connection, at);
    }
    Ok(())
}

/// Whom a connection of an origin's own would be for.
fn whom(exchange: &Exchange<'_, '_>) -> Announced {
    let facts = &exchange.peer.facts;
    let from = match exchange.client.ip == facts.peer.ip().to_canonical() {
        true => facts.peer,
        // The port of a client behind a proxy is not known.
        false => (exchange.client.ip, 0).into(),
    };
    Announced::Client {
        from,
        to: facts.local,
    }
}

fn request_out<'a>(
    exchange: &Exchange<'_, '_>,
    origin: &'a Origin,
    admitted: &'a Admitted<'_>,
    common: &'a Prepared,
    parts: &'a Parts,
) -> RequestOut<'a> {
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    let tls = matches!(
        &origin.at,
        crate::snapshot::Place::Server { tls: Some(_), .. }
    );
    let said = Said {
        method: websocket.then_some(b"GET"),
        scheme: if tls { "https" } else { "http" },
        authority: origin.host.as_deref(),
        skip: forward::SKIP,
        common,
        extra: &parts.to_origin,
        last: Line(match exchange.at_parent {
            true => &parts.parent_lines,
            false => &parts.ray_line,
        }),
        body: match exchange.arrived.framing {
            _ if websocket => BodyOut::None,
            Framing::Length(length) => BodyOut::Length(length),
            Framing::Chunked => BodyOut::Unknown,
            // A method that has a meaning for content says that there is none (RFC 9110 §8.6).
            Framing::None | Framing::UntilClose => match admitted.head().method {
                Method::Post | Method::Put | Method::Patch => BodyOut::Length(0),
                _ => BodyOut::None,
            },
        },
    };
    outgoing::request(admitted, said)
}

/// Sends the request's head, as far as the socket takes it at once; tells whether that was all.
fn send_head(
    exchange: &mut Exchange<'_, '_>,
    origin: &Origin,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &Parts,
    request: &mut OriginRequest<'_>,
    used: bool,
) -> Result<bool, Miss> {
    let head = request_out(exchange, origin, admitted, common, parts);
    let sent = request.head_now(&head, exchange.response.spare());
    sent.map_err(|fault| Miss::while_sending(fault, used))
}

/// The two ways of any exchange once a connection is there. Tells when it ended, unless it became a tunnel.
#[expect(
    clippy::too_many_arguments,
    reason = "both sides of an exchange, borrowed one by one"
)]
async fn talk(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    origin: &Origin,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
    request: &mut OriginRequest<'_>,
    response: &mut OriginResponse<'_>,
    used: bool,
) -> Result<Option<Instant>, Miss> {
    let websocket = exchange.arrived.upgrade == Upgrade::WebSocket;
    if websocket {
        tunnel::handshake_fields(
            admitted.head(),
            exchange.thread.random(),
            &mut parts.to_origin,
        );
    }
    let idle = zone.timeouts.idle;
    let method = if websocket {
        Method::Get
    } else {
        admitted.head().method
    };
    if !send_head(exchange, origin, common, admitted, parts, request, used)? {
        let left = request.flush(exchange.alarm, idle).await;
        left.map_err(|fault| Miss::while_sending(fault, used))?;
    }
    let spent = Cell::new(0);
    let pace = exchange.snapshot.edge.pace;
    let miss = |fault: Fault, spent: u64| Miss::after_sending(fault, used, spent);
    let thread = exchange.thread;
    let content_length = match exchange.arrived.framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    let mut download = Download::new(exchange, zone, admitted, parts, response);
    let body = download
        .body
        .take()
        .filter(|body| !websocket && !body.is_done());
    if let Some(body) = body {
        let mut alarm = Alarm::new(idle);
        let look = Look {
            ended: false,
            inspection: download.inspection.take(),
            subject: download.subject,
            trail: download.trail,
            length: content_length,
            guard: &zone.guard,
            hold: Hold::new(thread, zone.id),
            kept: 0,
            standing: download.standing,
            head: download.request,
        };
        let upload = upload(body, request, &mut alarm, pace, idle, look, &spent);
        let mut upload = Upload {
            future: Some(Box::pin(upload)),
        };
        let info = download
            .head(method, &mut upload, None)
            .await
            .map_err(|fault| miss(fault, spent.get()))?;
        // Nobody asks with a body for what is stored: it may only make something invalid.
        download.is_taken(&info);
        if download.is_to_settle() {
            Box::pin(download.settle()).await;
        }
        if upload.future.is_some() {
            // Whether the rest will ever come is not known; the head has to say now that nothing is read behind it.
            download.client.close_after();
        }
        {
            let mut relayed = Box::pin(download.relay(info));
            poll_fn(|cx| {
                // How the upload ends no longer matters: the origin has answered.
                let _ = upload.poll(cx);
                relayed.as_mut().poll(cx)
            })
            .await
            .map_err(|fault| miss(fault, spent.get()))?;
        }
        download.outcome.bytes_in = spent.get();
    } else {
        let mut none = Upload { future: None };
        let info = download.head(method, &mut none, None).await;
        let info = info.map_err(|fault| miss(fault, 0))?;
        if info.switched {
            let origin_us = exchange
                .thread
                .shared
                .since(Instant::now())
                .saturating_sub(exchange.since);
            let tunnel = tunnel::run(
                exchange, zone, admitted, parts, request, response, origin_us,
            );
            exchange.outcome = tunnel.await.map_err(|fault| miss(fault, 0))?;
            return Ok(None);
        }
        if websocket && download.head.status < 300 && download.client_method == Method::Connect {
            // An extended CONNECT that is told 2xx has a tunnel (RFC 8441 §5); this origin gave none.
            return Err(miss(Fault::UpgradeFailed, 0));
        }
        if download.is_taken(&info) {
            return Ok(Some(download.at));
        }
        if download.is_to_settle() {
            Box::pin(download.settle()).await;
        }
        let relayed = download.relay(info).await;
        relayed.map_err(|fault| miss(fault, 0))?;
    }
    Ok(Some(download.at))
}

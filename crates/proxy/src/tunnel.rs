//! WebSocket (RFC 6455, RFC 8441 from HTTP/2, RFC 9220 from HTTP/3): after the handshake, bytes both ways until one side has no more.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use seawall_guard::Admitted;
use seawall_model::{FieldId, Fields, HttpVersion, RequestHead};
use seawall_net::alarm::{Alarm, Elapsed};
use seawall_net::downstream::{After, BodyPace, ClientBody, ClientResponse};
use seawall_net::incoming::BodyFault;
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};
use seawall_net::upstream::{OriginRequest, OriginResponse};
use seawall_telemetry::Source;
use tokio::time::Instant;

use crate::endpoint::Place;
use crate::exchange::{Exchange, Outcome};
use crate::fault::Fault;
use crate::forward;
use crate::outgoing;
use crate::snapshot::Zone;
use crate::standing;
use crate::thread::{Parts, Thread};

/// A tunnel in which neither side says anything for so long is closed. WebSocket peers that care send pings.
const SILENCE: Duration = Duration::from_secs(600);

/// After one side has no more to say, how long the other may go on.
const HALF_OPEN: Duration = Duration::from_secs(60);

/// What a WebSocket handshake to the origin needs beside the client's own fields.
pub fn handshake_fields(request: &RequestHead, random: u64, out: &mut Fields) {
    out.push_known(FieldId::Connection, b"Upgrade");
    out.push_known(FieldId::Upgrade, b"websocket");
    if matches!(request.version, HttpVersion::Http2 | HttpVersion::Http3) {
        // An extended CONNECT has no key (RFC 8441 §5): the key only proves that the origin speaks WebSocket.
        out.push_known(FieldId::SecWebSocketKey, &key(random));
        if !request.fields.has(FieldId::SecWebSocketVersion) {
            out.push_known(FieldId::SecWebSocketVersion, b"13");
        }
    }
}

/// 16 bytes in base64, as a `Sec-WebSocket-Key` is (RFC 6455 §4.1). It is no secret.
fn key(random: u64) -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = (u128::from(random) << 64)
        | u128::from(random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut key = [b'='; 24];
    for (at, digit) in key.iter_mut().take(22).enumerate() {
        // 21 digits of 6 bits, then one with the last 2 bits.
        let six = if at < 21 {
            (bits >> (122 - 6 * at)) & 63
        } else {
            (bits & 3) << 4
        };
        *digit = DIGITS.get(six as usize).copied().unwrap_or(b'A');
    }
    key
}

/// Runs the tunnel to its end.
///
/// # Errors
/// [`Fault::TurnedAway`] before it began: a stage refused the origin's answer.
pub async fn run(
    exchange: &mut Exchange<'_, '_>,
    zone: &Zone,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
    request: &mut OriginRequest<'_>,
    response: &mut OriginResponse<'_>,
    origin_us: u64,
) -> Result<Outcome, Fault> {
    let subject = exchange.subject(zone, Place::Elsewhere);
    let Parts {
        response: head,
        to_client,
        ray_line,
        trail,
        ..
    } = parts;
    forward::drop_connection_named(&mut head.fields);
    to_client.clear();
    let http1 = matches!(exchange.response, ClientResponse::Http1(_));
    if http1 {
        to_client.push_known(FieldId::Upgrade, b"websocket");
    } else {
        head.fields.remove(FieldId::SecWebSocketAccept);
    }
    let cleared = match zone.guard.clear(head, &[], &subject, trail.get_mut()) {
        Ok(cleared) => cleared,
        Err(refusal) => {
            exchange.refusal = Some(refusal);
            return Err(Fault::TurnedAway);
        }
    };
    let last = Line(ray_line);
    let out = outgoing::response(cleared, RESPONSE_SKIP, to_client, last, BodyOut::Unknown);
    let timeout = exchange.snapshot.edge.write_timeout;
    let mut outcome = Outcome {
        status: 101,
        source: Source::Origin,
        origin_us: Some(origin_us),
        ..Outcome::default()
    };
    if exchange
        .response
        .switch(out, exchange.alarm, timeout)
        .await
        .is_err()
    {
        outcome.fault = Some(Fault::ClientGone);
        return Ok(outcome);
    }
    // Should the exchange be left in the middle, its Record knows this much.
    exchange.outcome = outcome;
    let counted = Counted::new(exchange.thread);
    let _carried = exchange.peer.load.tunnel(exchange.thread);
    exchange.body.begin_tunnel();
    let last = Cell::new(Instant::now());
    let received = Cell::new(0);
    let mut upload_alarm = Alarm::new(SILENCE);
    let judged = exchange.original.as_deref().unwrap_or(admitted.head());
    let mut look = tokio::time::interval(standing::LOOK);
    let withdrawn = {
        let mut up = pin!(up(
            exchange.body,
            request,
            &mut upload_alarm,
            timeout,
            &last,
            &received
        ));
        let mut down = pin!(down(
            response,
            exchange.response,
            exchange.alarm,
            timeout,
            &last
        ));
        let mut up_done = false;
        poll_fn(|cx| {
            if !up_done && up.as_mut().poll(cx).is_ready() {
                up_done = true;
            }
            if down.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            while look.poll_tick(cx).is_ready() {
                if !exchange.standing.holds(judged) {
                    return Poll::Ready(true);
                }
            }
            Poll::Pending
        })
        .await
    };
    drop(counted);
    outcome.bytes_in = received.get();
    if withdrawn {
        exchange.response.abort();
        outcome.fault = Some(Fault::Withdrawn);
    }
    Ok(outcome)
}

/// A tunnel is counted as open until this is dropped, also when the exchange is left in the middle.
struct Counted(Rc<Thread>);

impl Counted {
    fn new(thread: &Rc<Thread>) -> Self {
        thread.shard.tunnel_opened();
        Self(thread.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shard.tunnel_closed();
    }
}

async fn up(
    body: &mut ClientBody<'_>,
    request: &mut OriginRequest<'_>,
    alarm: &mut Alarm,
    timeout: Duration,
    last: &Cell<Instant>,
    received: &Cell<u64>,
) {
    let pace = BodyPace {
        idle: SILENCE,
        rate: 0,
    };
    loop {
        alarm.set_at(last.get() + SILENCE);
        let ready = match body.fill(alarm, pace).await {
            Ok(ready) if ready > 0 => ready,
            Err(BodyFault::Slow) if last.get().elapsed() < SILENCE => continue,
            _ => break,
        };
        last.set(Instant::now());
        received.set(received.get() + ready as u64);
        if request
            .body(body.front(ready), After::Wait, alarm, timeout)
            .await
            .is_err()
        {
            break;
        }
        body.consume(ready);
    }
    request.finish_tunnel();
    // From here on the origin has to come to an end soon.
    last.set(Instant::now() + HALF_OPEN - SILENCE);
}

async fn down(
    origin: &mut OriginResponse<'_>,
    client: &mut ClientResponse<'_>,
    alarm: &mut Alarm,
    timeout: Duration,
    last: &Cell<Instant>,
) {
    loop {
        let ready = poll_fn(|cx| {
            if let Poll::Ready(ready) = origin.poll_fill(cx) {
                return Poll::Ready(Ok(ready));
            }
            // Each time anew: the other way may have ended meanwhile, and the deadline moved nearer.
            alarm.set_at(last.get() + SILENCE);
            alarm.poll(cx).map(|()| Err(Elapsed))
        });
        let ready = match ready.await {
            Ok(Ok(ready)) if ready > 0 => ready,
            Err(Elapsed) if last.get().elapsed() < SILENCE => continue,
            _ => break,
        };
        last.set(Instant::now());
        let sent = client
            .body(origin.front(ready), After::Wait, alarm, timeout)
            .await;
        origin.consume(ready);
        if sent.is_err() {
            return;
        }
    }
    let _ = client.end(None, alarm, timeout).await;
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        let key = key(0x0123_4567_89ab_cdef);
        assert!(key.ends_with(b"==") && !key.get(..22).unwrap().contains(&b'='));
        assert!(
            matches!(key[21], b'A' | b'Q' | b'g' | b'w'),
            "the last two bits"
        );
    }
}

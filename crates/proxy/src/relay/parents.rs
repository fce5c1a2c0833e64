//! What a location asks of another one before it asks an origin. Only what an origin may be asked again: a parent that fails must
//! cost nobody an answer.

use std::sync::Arc;

use seawall_guard::Admitted;
use seawall_net::outgoing::Prepared;

use super::{Failed, Miss, attempt};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::lend::{Need, lend_kept};
use crate::origin::{Key, Outcome as OriginOutcome, Tried};
use crate::snapshot::Zone;
use crate::thread::Parts;

/// Parents that are tried for one request.
const MOST: u32 = 2;

/// Relays the exchange to one of the parents. None: nobody answered there, and the origin is to be asked.
///
/// # Errors
/// [`Failed`] when the origin is not to be asked either.
pub(super) async fn by_parents(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
) -> Option<Result<(), Failed>> {
    let snapshot = exchange.snapshot;
    let key = exchange.way.as_deref()?.parent_key()?;
    let tier = exchange.thread.shared.tier.clone()?;
    if exchange.way.as_deref()?.is_unheard(&tier) {
        return None;
    }
    let asked = snapshot.edge.parents.of(zone.shield.as_deref())?;
    tier.write_lines(&parts.ray_line, &mut parts.parent_lines);
    exchange.at_parent = true;
    let answered = ask(exchange, zone, common, admitted, parts, asked, key).await;
    exchange.at_parent = false;
    answered
}

async fn ask(
    exchange: &mut Exchange<'_, '_>,
    zone: &Arc<Zone>,
    common: &Prepared,
    admitted: &Admitted<'_>,
    parts: &mut Parts,
    asked: &crate::tier::Asked,
    key: Key,
) -> Option<Result<(), Failed>> {
    let thread = exchange.thread;
    let mut tried = Tried::default();
    let (mut made, mut fresh) = (0, false);
    while made < MOST {
        let now = thread.shared.now();
        let (picked, parent) = asked.pick(now, key, &tried)?;
        let index = picked.index;
        let lease = asked.pool.admit(picked.member, false)?;
        made += 1;
        let need = Need::Http1;
        let lent = lend_kept(thread, parent, lease.member(), need, fresh);
        let attempted = attempt(
            exchange, zone, parent, &lease, lent, need, common, admitted, parts,
        );
        let miss = match attempted.await {
            Ok(()) => {
                let said = match exchange.outcome.fault {
                    // Whatever the origin behind it said: the parent works.
                    None => OriginOutcome::Answered(200),
                    Some(fault) => fault.outcome(),
                };
                let _ = asked.pool.report(index, said, thread.shared.now());
                return Some(Ok(()));
            }
            Err(miss) => miss,
        };
        let Miss { fault, stale, .. } = miss;
        if is_final(fault) {
            return Some(Err(Failed { fault, bytes_in: 0 }));
        }
        if fault == Fault::Unprocessed {
            // It works, and has no answer: what is behind it may be cut off there alone.
            let said = OriginOutcome::Answered(200);
            let _ = asked.pool.report(index, said, thread.shared.now());
            return None;
        }
        if stale && !fresh {
            thread.shard.retried("stale");
            fresh = true;
            made -= 1;
            continue;
        }
        let outcome = fault.outcome();
        if outcome.is_failure() {
            let _ = asked.pool.report(index, outcome, thread.shared.now());
        }
        tried.add(index);
        thread.shard.retried("again");
    }
    None
}

/// Whether it is of no use to ask anybody else.
fn is_final(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::ClientGone | Fault::TurnedAway | Fault::Withdrawn | Fault::Stopping
    )
}

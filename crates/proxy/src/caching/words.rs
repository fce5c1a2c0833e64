//! What is said to parents of what a request has made invalid: until they have heard it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::key::normal;
use seawall_guard::{Admitted, BackgroundMethod};
use seawall_model::{Fields, Method, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::outgoing::Line;

use super::background::{MOST, send};
use crate::forward;
use crate::origin::Lease;
use crate::snapshot::{Origin, Snapshot, Zone};
use crate::thread::Thread;
use crate::tier::{self, PARENT};
use crate::unheard::{Noted, Url, Word};

/// How long it is waited at first before a word is said again, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How often one is said at most: some hours long.
const TRIES: u32 = 1_000;

/// Tells all parents that what is stored of a URL is not what there is any more. From here on until they have heard it none is asked
/// for it.
pub(super) fn forget(thread: &Rc<Thread>, zone: &Arc<Zone>, host: &[u8], target: &[u8]) {
    let Some(tier) = thread.shared.tier.clone() else {
        return;
    };
    let url = Url::new(zone.id.0, host, &normal(target));
    let Noted::New(word) = tier.unheard.note(url) else {
        return;
    };
    let line = match word {
        Word::Url(_) => tier::OUTDATED_LINE,
        // Whatever the target is: parents are met by the host.
        Word::Zone(_) => tier::ZONE_OUTDATED_LINE,
    };
    let asked = Admitted::background(zone.id, BackgroundMethod::Head, host, target, b"seawall");
    let (thread, zone) = (Rc::clone(thread), Arc::clone(zone));
    tokio::task::spawn_local(async move {
        let mut pause = PAUSE;
        let mut said = 0;
        loop {
            let times = tier.unheard.times(word);
            said += 1;
            let is_heard = has_room(&thread) && tell_all(&thread, &zone, &asked, line).await;
            if (is_heard || said >= TRIES) && tier.unheard.heard(word, times) {
                return;
            }
            if !is_heard {
                tokio::time::sleep(pause).await;
                pause = LONGEST.min(pause * 2);
            } else if matches!(word, Word::Zone(_)) {
                // What it costs parents is not to be had for each request that came meanwhile.
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
}

/// Whether one more may be said at once.
fn has_room(thread: &Thread) -> bool {
    thread.background.get() < MOST
}

/// Says it to each of the parents: whichever of them has it. Whether all have heard.
async fn tell_all(
    thread: &Rc<Thread>,
    zone: &Arc<Zone>,
    asked: &Admitted<'_>,
    line: &'static [u8],
) -> bool {
    let snapshot = thread.snapshot.load();
    let Some(parents) = snapshot.edge.parents.of(zone.shield.as_deref()) else {
        return true;
    };
    thread.background.set(thread.background.get() + 1);
    let mut all = true;
    for (member, parent) in parents.pool.members().zip(&parents.parents) {
        let lease = parents.pool.admit(member, false);
        all &= match &lease {
            // Boxed: who waits to say it again holds no connection's worth of memory.
            Some(lease) => {
                let told = tell(thread, &snapshot, zone, parent, lease, asked, line);
                Box::pin(told).await
            }
            None => false,
        };
    }
    thread.background.set(thread.background.get() - 1);
    all
}

/// Says it to one parent; whether it has heard.
async fn tell(
    thread: &Rc<Thread>,
    snapshot: &Snapshot,
    zone: &Arc<Zone>,
    parent: &Origin,
    lease: &Lease,
    asked: &Admitted<'_>,
    line: &'static [u8],
) -> bool {
    let common = forward::for_nobody(asked.head(), true, false, &thread.shared.node);
    let mut alarm = Alarm::new(zone.timeouts.header);
    let (none, last) = (Fields::default(), Line(line));
    let sent = send(
        thread, zone, parent, lease, asked, &common, &none, last, true, &mut alarm,
    );
    let Ok(mut sent) = sent.await else {
        return false;
    };
    let (_, mut response) = sent.connection.split();
    let limits = &snapshot.edge.head;
    let mut answer = ResponseHead::default();
    let next =
        |cx: &mut std::task::Context<'_>| response.poll_head(Method::Head, limits, &mut answer, cx);
    let came = alarm.wait(PARENT, next).await;
    // Who fails of its own accord has not done it, nor has who does not know of zones and asks the origin.
    let knows = line == tier::OUTDATED_LINE || answer.status == 204;
    matches!(came, Ok(Ok(_))) && answer.fields.named(tier::FAILED).is_none() && knows
}

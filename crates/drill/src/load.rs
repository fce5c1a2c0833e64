//! Load: for each location so many requests a second, whatever becomes of those before (open loop), each judged by its answer.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::http;
use crate::ledger::{Judged, Ledger, Note};
use crate::site::{self, Mood};

/// Later than that an answer is no answer to whoever waits.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Requests of one location that are under way at once, at most: beyond that the next ones are late without being sent.
const AT_ONCE: usize = 400;

/// What all generators share.
pub struct Shared {
    /// What they saw.
    pub ledger: RefCell<Ledger>,
    /// What differs from the usual.
    pub mood: RefCell<Mood>,
    /// What is seen counts.
    pub counts: Cell<bool>,
    /// The beginning.
    pub began: Instant,
}

impl Shared {
    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One location's clients.
pub struct Generator {
    /// Where they go; it changes when the location is started anew.
    pub to: Cell<SocketAddr>,
    /// Nobody comes: traffic is led elsewhere.
    pub away: Cell<bool>,
    under_way: Cell<usize>,
}

impl Generator {
    /// Starts so many requests a second. They end with the tasks that this runs among.
    pub fn start(shared: Rc<Shared>, location: usize, to: SocketAddr, rate: u32) -> Rc<Self> {
        let generator = Rc::new(Self {
            to: Cell::new(to),
            away: Cell::new(false),
            under_way: Cell::new(0),
        });
        let between = Duration::from_secs(1) / rate.max(1);
        let all = generator.clone();
        tokio::task::spawn_local(async move {
            // Locations are not in step, nor do they all begin with the same request.
            tokio::time::sleep(between * (location as u32 % 12) / 12).await;
            let mut tick = tokio::time::interval(between);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for nth in (location as u64 * 13).. {
                tick.tick().await;
                if !all.away.get() {
                    tokio::task::spawn_local(one(all.clone(), shared.clone(), location, nth));
                }
            }
        });
        generator
    }
}

async fn one(generator: Rc<Generator>, shared: Rc<Shared>, location: usize, nth: u64) {
    let sent = shared.now();
    let counts = shared.counts.get();
    let ask = site::ask(location, nth, &shared.mood.borrow());
    if ask.is_left_out(&shared.mood.borrow()) {
        return;
    }
    let answered = if generator.under_way.get() < AT_ONCE {
        generator.under_way.set(generator.under_way.get() + 1);
        let to = generator.to.get();
        let answered = http::ask(to, Some(ask.from), &ask.bytes(), PATIENCE).await;
        generator.under_way.set(generator.under_way.get() - 1);
        answered
    } else {
        Err(http::Failed::Late)
    };
    let (judged, why) = match answered {
        Ok(answer) => match ask.judge(&answer, &shared.mood.borrow()) {
            Ok(()) => (Judged::Right, String::new()),
            Err(why) => (Judged::Wrong, why),
        },
        Err(failed) => {
            let judged = match failed {
                http::Failed::Late => Judged::Late,
                http::Failed::Broken => Judged::Wrong,
            };
            (judged, format!("{} {}: {failed}", ask.zone, ask.kind()))
        }
    };
    if !counts {
        return;
    }
    shared.ledger.borrow_mut().note(&Note {
        sent,
        ended: shared.now(),
        location,
        zone: &ask.zone,
        judged,
        why: &why,
    });
}

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

/// How often this process looks whether it runs.
const LOOK: u64 = 50;
/// It did not, where a look comes so much later, in milliseconds. The origin is here too: what comes meanwhile says nothing of an edge.
const STALLED: u64 = 500;

/// When this process did not run: the machine was busy with others, or a disk was waited for.
#[derive(Debug, Default)]
pub struct Stalls {
    looked: Cell<u64>,
    /// From when to when, in milliseconds.
    were: RefCell<Vec<(u64, u64)>>,
    /// Requests that were answered wrongly while there was one: by an edge, say, that waited for the origin.
    pub wrong: Cell<u64>,
}

impl Stalls {
    /// It runs at this time.
    fn runs(&self, now: u64) {
        let before = self.looked.replace(now);
        if now >= before + STALLED {
            self.were.borrow_mut().push((before, now));
        }
    }

    /// Whether there was one in this time, or is one of which this is the first that runs again.
    fn any(&self, from: u64, now: u64) -> bool {
        let is_one = now >= self.looked.get() + STALLED;
        let were = self.were.borrow();
        // The last ones are those that matter.
        is_one
            || were
                .iter()
                .rev()
                .take(8)
                .any(|(begun, ended)| *begun <= now && *ended >= from)
    }
}

/// Watches whether this process runs, for as long as the tasks that this runs among.
pub fn watch(shared: Rc<Shared>) {
    shared.stalls.looked.set(shared.now());
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(LOOK)).await;
            shared.stalls.runs(shared.now());
        }
    });
}

/// What all generators share.
pub struct Shared {
    /// What they saw.
    pub ledger: RefCell<Ledger>,
    /// What differs from the usual.
    pub mood: RefCell<Mood>,
    /// What is seen counts.
    pub counts: Cell<bool>,
    /// When this process did not run.
    pub stalls: Stalls,
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
    if judged == Judged::Wrong && shared.stalls.any(sent, shared.now()) {
        shared.stalls.wrong.set(shared.stalls.wrong.get() + 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_when_the_client_itself_did_not_run() {
        let stalls = Stalls::default();
        for now in [50, 100, 150] {
            stalls.runs(now);
        }
        assert!(!stalls.any(90, 160));
        // Whoever runs first after it knows it too.
        assert!(stalls.any(90, 2_200));
        stalls.runs(2_210);
        stalls.runs(2_260);
        assert!(stalls.any(90, 2_270) && stalls.any(2_000, 2_270));
        assert!(!stalls.any(2_220, 2_270));
    }
}

//! The keeper: what is wanted, what is there, what is due. It gets and renews a few certificates at a time, keeps them, and
//! gives a whole [`Publication`] after each change. Whatever fails, what is there goes on being published.
//!
//! An authority that is slow for one name delays no other, as long as it is not slow for [`AT_ONCE`]; clients that ask for ever new
//! names never take the place that is kept for those that the document names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use seawall_net::tls::config::{OriginWants, origin};
use tokio::sync::{mpsc, watch};

use crate::attempt::{Board, Desk, Name, Tended, now, of_name};
use crate::plan;
use crate::store::Store;
use crate::wire::Wire;
use crate::{Challenge, Fault, Publication, Settings, Standing};

/// The longest sleep: a laptop that slept, or a clock that was set, is noticed then.
const NAP: Duration = Duration::from_secs(60);
/// A clock that goes back by more seconds than this was set.
const SET_BACK: u64 = 60;
/// Names that are got or renewed at a time: authorities count orders, and each order looks once a second whether it is done.
const AT_ONCE: usize = 4;
/// Of those, names that clients ask for.
const ON_DEMAND: usize = AT_ONCE - 1;

/// What is in the store, as it was when the last process ended: to be published before anything listens.
///
/// # Errors
/// [`Fault::Own`] when the folder cannot be used.
pub fn restored(settings: &Settings) -> Result<Publication, Fault> {
    let store = Store::open(&settings.folder)?;
    let (found, alarms) = store.restore();
    Ok(Publication {
        certificates: found
            .into_iter()
            .map(|(name, restored)| (name, restored.issued))
            .collect(),
        alarms,
        ..Publication::default()
    })
}

/// Runs for ever: `wanted` are the names that must have a certificate, `asked` those that clients ask for, `publish` takes what
/// comes of it.
///
/// # Errors
/// [`Fault::Own`] when the store cannot be used, or the authorities of `ca` are none.
pub async fn run(
    settings: Settings,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    mut asked: mpsc::Receiver<String>,
    publish: impl Fn(&Publication),
) -> Result<(), Fault> {
    let tls = origin(OriginWants {
        authorities: &settings.ca,
        http1: true,
        ..OriginWants::default()
    })
    .map_err(|fault| Fault::Own(format!("[edge.acme] ca: {fault}")))?;
    let wire = Wire::new(settings.outward.clone(), tls);
    let store = Store::open(&settings.folder)?;
    let (desk, names) = opened(&settings, &wire, store, &publish);
    let mut keeper = Keeper::new(&desk, names);
    let mut underway = Underway::default();
    keeper.want(&wanted.borrow_and_update().clone());
    loop {
        if desk.keep_again() {
            keeper.tell();
        }
        while let Some((name, state)) = keeper.begin() {
            underway.0.push(Box::pin(desk.tend(name, state)));
        }
        let nap = Duration::from_secs(keeper.until_next()).min(NAP);
        let nap = nap.min(desk.until_kept());
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                keeper.want(&wanted.borrow_and_update().clone());
            }
            Some(name) = asked.recv() => keeper.ask(name, &mut asked),
            tended = underway.next() => keeper.end(tended),
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// Attempts that run, few enough to be looked at one by one.
struct Underway<F>(Vec<Pin<Box<F>>>);

impl<F> Default for Underway<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Future> Underway<F> {
    /// What the first came to that ends; without any, it never does.
    async fn next(&mut self) -> F::Output {
        std::future::poll_fn(|cx| {
            for at in 0..self.0.len() {
                let polled = self.0.get_mut(at).map(|one| one.as_mut().poll(cx));
                if let Some(Poll::Ready(ended)) = polled {
                    drop(self.0.swap_remove(at));
                    return Poll::Ready(ended);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The desk, and the names whose certificates are in the store.
fn opened<'k, P: Fn(&Publication)>(
    settings: &'k Settings,
    wire: &'k Wire,
    store: Store,
    publish: &'k P,
) -> (Desk<'k, P>, BTreeMap<String, Name>) {
    let (found, broken) = store.restore();
    let mut publication = Publication::default();
    let mut names = BTreeMap::new();
    for (name, restored) in found {
        publication
            .certificates
            .insert(name.clone(), restored.issued);
        let next = plan::renew_at(restored.facts.validity, None, of_name(&name));
        names.insert(
            name,
            Name {
                have: Some(restored.facts),
                issuer: restored.issuer,
                next,
                ..Name::default()
            },
        );
    }
    let desk = Desk {
        settings,
        wire,
        store,
        board: Board {
            publication: RefCell::new(publication),
            publish,
            hook: &settings.hook,
        },
        unkept: RefCell::default(),
        broken: RefCell::new(broken),
        new: RefCell::default(),
    };
    (desk, names)
}

struct Keeper<'d, P: Fn(&Publication)> {
    desk: &'d Desk<'d, P>,
    names: BTreeMap<String, Name>,
    /// Those that are being got or renewed, without `*.`: a name and its wildcard are proved in the same place. Whether the
    /// document names them.
    underway: BTreeMap<String, bool>,
    /// How far our clock is ahead of the authority's, in seconds, where that is worth telling.
    ahead: i64,
    clock: Clock,
}

/// When the clock was looked at last, by one that only goes on, and what it said.
struct Clock(Instant, u64);

impl Clock {
    /// Looks at it; whether it was set back since the last time.
    fn was_set_back(&mut self, here: Instant, now: u64) -> bool {
        let Self(before, said) = std::mem::replace(self, Self(here, now));
        let should = said.saturating_add(here.saturating_duration_since(before).as_secs());
        now.saturating_add(SET_BACK) < should
    }
}

impl<'d, P: Fn(&Publication)> Keeper<'d, P> {
    fn new(desk: &'d Desk<'d, P>, names: BTreeMap<String, Name>) -> Self {
        Self {
            desk,
            names,
            underway: BTreeMap::new(),
            ahead: 0,
            clock: Clock(Instant::now(), now()),
        }
    }

    /// These must have one. Names that went stay published but are not renewed.
    fn want(&mut self, names: &BTreeSet<String>) {
        for name in self.names.values_mut() {
            name.wanted = false;
        }
        let settings = self.desk.settings;
        let dns = settings.challenges.contains(&Challenge::Dns01);
        // Without dns-01 there is none for a wildcard: its names may have theirs on demand.
        for name in names.iter().filter(|name| dns || !name.starts_with("*.")) {
            self.names.entry(name.clone()).or_default().wanted = true;
        }
        self.names
            .retain(|name, state| state.wanted || state.have.is_some() || settings.allows(name));
        self.tell();
    }

    /// Clients ask for this one, and for those that wait: each gets one if it is on the list, and there is room.
    fn ask(&mut self, name: String, more: &mut mpsc::Receiver<String>) {
        let settings = self.desk.settings;
        let mut demanded = self.names.values().filter(|name| !name.wanted).count();
        let before = demanded;
        let mut next = Some(name);
        while let Some(name) = next {
            let room = demanded < settings.on_demand_most;
            if room && !self.names.contains_key(&name) && settings.allows(&name) {
                self.names.insert(name, Name::default());
                demanded += 1;
            }
            next = more.try_recv().ok();
        }
        if demanded > before {
            self.tell();
        }
    }

    fn is_tended(&self, name: &str, state: &Name) -> bool {
        state.wanted || self.desk.settings.allows(name)
    }

    /// The next that is due, if there is room for it: those that the document names first, then who waits longest.
    fn begin(&mut self) -> Option<(String, Name)> {
        if self.underway.len() >= AT_ONCE {
            return None;
        }
        let now = now();
        if self.clock.was_set_back(Instant::now(), now) {
            // What was put off by the clock of before is looked at by this one.
            for state in self.names.values_mut() {
                state.next = state.next.min(now);
                state.ask_at = state.ask_at.min(now);
            }
        }
        let demanded = self.underway.values().filter(|wanted| !**wanted).count();
        let is_due = |(name, state): &(&String, &Name)| {
            let ask = state.have.is_some() && state.ask_at <= now;
            self.is_tended(name, state)
                && (state.next <= now || (ask && state.failures == 0))
                && (state.wanted || demanded < ON_DEMAND)
                && !self.underway.contains_key(bare(name))
        };
        let due = self.names.iter().filter(is_due);
        let (name, state) = due.min_by_key(|(_, state)| (!state.wanted, state.next))?;
        let (name, state) = (name.clone(), state.clone());
        self.underway.insert(bare(&name).to_owned(), state.wanted);
        Some((name, state))
    }

    /// One has ended: notes how it went.
    fn end(&mut self, tended: Tended) {
        let Tended {
            name,
            state: known,
            ahead,
            how,
        } = tended;
        self.underway.remove(bare(&name));
        self.ahead = ahead.unwrap_or(self.ahead);
        // Nobody may want it any more; what came is published all the same.
        let state = match self.names.entry(name) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) if known.have.is_some() => {
                free.insert(Name::default())
            }
            std::collections::btree_map::Entry::Vacant(_) => return,
        };
        let now = now();
        *state = Name {
            wanted: state.wanted,
            ..known
        };
        match how {
            Ok(()) => {
                state.failures = 0;
                state.problem = None;
            }
            Err(fault) => {
                state.failures = state.failures.saturating_add(1);
                state.problem = Some(fault.to_string());
                state.next = now + plan::back_off(state.failures, fault.after(), random());
            }
        }
        state.ask_at = state.ask_at.max(now + 60);
        self.tell();
    }

    fn until_next(&self) -> u64 {
        if self.underway.len() >= AT_ONCE {
            return u64::MAX;
        }
        let waits = self.names.iter().filter(|(name, state)| {
            self.is_tended(name, state) && !self.underway.contains_key(bare(name))
        });
        let next = waits.map(|(_, state)| state.next).min();
        next.map_or(u64::MAX, |next| next.saturating_sub(now()).max(1))
    }

    /// Publishes how all names fare.
    fn tell(&mut self) {
        let mut alarms = {
            let mut broken = self.desk.broken.borrow_mut();
            broken.sort();
            broken.dedup();
            broken.truncate(100);
            broken.clone()
        };
        if self.ahead.unsigned_abs() > plan::SKEW {
            alarms.push(format!(
                "this machine's clock is {} s {} the authority's: set it (timedatectl set-ntp true); certificates are renewed by the authority's",
                self.ahead.unsigned_abs(),
                if self.ahead > 0 { "ahead of" } else { "behind" }
            ));
        }
        let tended = self
            .names
            .iter()
            .filter(|(name, state)| self.is_tended(name, state));
        let names = tended.map(|(name, state)| {
            let validity = state.have.as_ref().map(|facts| facts.validity);
            let standing = Standing {
                expires: validity.map(|validity| validity.not_after),
                overdue: validity.map(plan::alarm_at),
                next: state.next,
                failures: state.failures,
                problem: state.problem.clone(),
            };
            (name.clone(), standing)
        });
        let names = names.collect();
        self.desk.board.change(|all| {
            all.names = names;
            all.alarms = alarms;
        });
    }
}

/// A name without `*.`.
fn bare(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness all machines would wait equally long: a pity, no more.
    let _ = rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once_and_one_that_goes_on_never() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut clock = Clock(begun, 1_000_000);
        assert!(!clock.was_set_back(after(60), 1_000_060));
        // A laptop that slept, or a clock that was set on.
        assert!(!clock.was_set_back(after(120), 1_900_000));
        // Some seconds are what clocks are mended by all the time.
        assert!(!clock.was_set_back(after(180), 1_900_030));
        assert!(clock.was_set_back(after(240), 1_000_240));
        assert!(!clock.was_set_back(after(300), 1_000_300));
    }
}

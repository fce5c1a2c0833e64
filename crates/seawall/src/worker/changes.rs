//! What changes what a worker serves: reloads and orders, one after the other, each compiled beside the threads that serve.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Parser;
use seawall_model::Document;
use seawall_proxy::trial::Live;
use tokio::sync::mpsc;

use super::answer;
use super::orders::{self, Changed, Made};
use super::serve::Worker;
use crate::cli;
use crate::configure::{Configuration, Of, Prepared, tell_fixed};
use crate::distribution::joining::Identity;
use crate::message::FromWorker;
use crate::order::{self, Order, Ordered};
use crate::say::{complain, say};
use crate::unkept::Unkept;
use crate::wire::Wire;

/// Orders that may wait. An agent waits for the answer to each, so there are as many as agents that died meanwhile; one more is answered
/// at once, as one of which nothing was done.
const ORDERS: usize = 16;

/// What is to be done.
pub enum Job {
    /// Read the configuration anew.
    Reload,
    /// Serve what another worker wrote last.
    CatchUp,
    /// Carry an order out.
    Order(Order),
}

/// What was compiled; none when that panicked.
pub enum Finished {
    /// A reload.
    Reload(Option<Box<Prepared>>),
    /// What another worker wrote last.
    CaughtUp(Option<Box<Prepared>>),
    /// An order, by its number.
    Order(u64, Option<Box<Made>>),
}

/// What is being compiled, and what is to be.
pub struct Work {
    waits: VecDeque<Job>,
    busy: bool,
    /// The number of the order that is carried out.
    carries: Option<u64>,
    done: mpsc::Sender<Finished>,
    finished: Option<mpsc::Receiver<Finished>>,
}

impl Default for Work {
    fn default() -> Self {
        let (done, finished) = mpsc::channel(1);
        Self {
            waits: VecDeque::new(),
            busy: false,
            carries: None,
            done,
            finished: Some(finished),
        }
    }
}

impl Work {
    /// One more, if there is room for it. Two reloads that wait are one.
    pub fn add(&mut self, job: Job) -> bool {
        let is_reload = |job: &Job| matches!(job, Job::Reload);
        if is_reload(&job) {
            if !self.waits.iter().any(is_reload) {
                self.waits.push_back(job);
            }
            return true;
        }
        let has_room = self.waits.len() < ORDERS;
        if has_room {
            self.waits.push_back(job);
        }
        has_room
    }

    /// The numbers of the orders that are not answered yet.
    pub fn orders(&self) -> Vec<u64> {
        let waits = self.waits.iter().filter_map(|job| match job {
            Job::Order(order) => Some(order.number),
            Job::Reload | Job::CatchUp => None,
        });
        self.carries.into_iter().chain(waits).collect()
    }

    /// Where it is told what was compiled; once.
    pub fn finished(&mut self) -> mpsc::Receiver<Finished> {
        self.finished.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

impl Worker {
    pub(super) fn take_words(&mut self, words: Option<Vec<String>>) {
        let Some(words) = words else {
            return;
        };
        let all = ["seawall".to_owned(), "up".to_owned()]
            .into_iter()
            .chain(words);
        match cli::Cli::try_parse_from(all).map(|cli| cli.command) {
            Ok(cli::Command::Up(up)) => self.configuration.up = Arc::new(*up),
            _ => complain("flags that cannot be understood: those from before stay"),
        }
    }

    /// Takes an order, or says at once that nothing of it is done.
    pub(super) fn take_order(&mut self, files: Vec<OwnedFd>, wire: Option<&Wire>) {
        let number = match order::take::<Order>(files.into_iter().next()) {
            Ok(order) => {
                let number = order.number;
                if self.work.add(Job::Order(order)) {
                    return;
                }
                complain("an order is not carried out: too many wait; it is given again");
                number
            }
            Err(error) => {
                complain(format_args!("an order that cannot be read: {error}"));
                0
            }
        };
        say_ordered(&failed(number), wire);
    }

    /// Begins the next job, unless one is being done.
    pub(super) fn next_job(&mut self, wire: Option<&Wire>) {
        while !self.work.busy {
            if self.is_behind() {
                self.work.waits.push_front(Job::CatchUp);
            }
            let Some(job) = self.work.waits.pop_front() else {
                return;
            };
            self.work.busy = self.begin(job, wire);
        }
    }

    /// Begins a job on a thread of its own, if there is one.
    fn begin(&mut self, job: Job, wire: Option<&Wire>) -> bool {
        let (live, done) = (self.shared.slot.load(), self.work.done.clone());
        let (configuration, unkept) = (&self.configuration, self.unkept.clone());
        match job {
            Job::Reload => configuration.prepare(Of::Told, live, unkept, done),
            Job::CatchUp => configuration.prepare(Of::Disk, live, unkept, done),
            Job::Order(order) => {
                let (number, before) = (order.number, self.tried.clone());
                let begun = orders::prepare(configuration, order, live, unkept, before, done);
                self.work.carries = begun.then_some(number);
                if !begun {
                    tell_ordered(&failed(number), wire);
                }
                begun
            }
        }
    }

    pub(super) fn finish(&mut self, finished: Finished, wire: Option<&Wire>) {
        self.work.busy = false;
        self.work.carries = None;
        match finished {
            Finished::Reload(made) => self.put_live(Of::Told, made, wire),
            Finished::CaughtUp(made) => self.put_live(Of::Disk, made, wire),
            Finished::Order(number, made) => self.put_order(number, made, wire),
        }
    }

    fn put_live(&mut self, of: Of, made: Option<Box<Prepared>>, wire: Option<&Wire>) {
        if made.is_none() {
            complain(match of {
                Of::Told => "not reloaded: compiling failed; please report it",
                Of::Disk => {
                    "what another worker wrote last is not served yet: see above, or please report it; it is tried again"
                }
            });
        }
        let retired = &mut self.retired;
        let put = made.and_then(|made| self.configuration.put_live(*made, &self.shared, retired));
        let told = match put {
            None => FromWorker::NotReloaded,
            Some(put) => {
                self.configured.store(self.shared.now(), Ordering::Relaxed);
                tell_fixed(&self.live, &put.head);
                if !self.configuration.managed && of == Of::Told {
                    // The file says what is live, whatever was lost.
                    let disk = &self.configuration.state.disk;
                    disk.older.store(false, Ordering::Relaxed);
                }
                let stand = put.source.stand.clone().filter(|_| !put.with_old_files);
                let mut unkept = Unkept::whole(put.source, put.with_old_files);
                unkept.stand = stand;
                self.take(put.head, unkept);
                say(match of {
                    Of::Told => format!("Seawall reloaded: version {}", put.version),
                    Of::Disk => format!(
                        "Seawall serves what has changed while this worker prepared: version {}",
                        put.version
                    ),
                });
                if !self.tried.is_empty() {
                    // They were compiled beside another configuration. Where there is no room, each order that waits names them.
                    self.work.add(Job::Order(orders::again(&self.tried)));
                }
                FromWorker::Serving(self.serving.clone())
            }
        };
        if let Some(wire) = wire {
            let _ = wire.say(&told, &[]);
        }
    }

    fn put_order(&mut self, number: u64, made: Option<Box<Made>>, wire: Option<&Wire>) {
        let Some(made) = made else {
            complain(
                "an order was not carried out: see above, or please report it; it is tried again",
            );
            return tell_ordered(&failed(number), wire);
        };
        let Made {
            live,
            changed,
            tried,
            says_what_is_live,
            stand,
            ordered,
        } = *made;
        let before = self.shared.slot.swap(live);
        self.tried = tried;
        let state = &self.configuration.state;
        if says_what_is_live {
            // With what control says is live, whatever was lost is made good.
            state.disk.older.store(false, Ordering::Relaxed);
        }
        self.settle(&before, changed.as_ref());
        self.retired.push(before);
        let tell = |word: &FromWorker, files: &[_]| {
            if let Some(wire) = wire {
                let _ = wire.say(word, files);
            }
        };
        if let Some(changed) = changed {
            self.configured.store(self.shared.now(), Ordering::Relaxed);
            match changed {
                Changed::All(source) => {
                    tell_fixed(&self.live, &source.parsed.document);
                    let head = source.parsed.document.head();
                    let mut unkept = Unkept::whole(source, true);
                    unkept.stand = stand;
                    self.take(head, unkept);
                }
                Changed::Zones(zones) => {
                    let mut unkept = self.unkept.clone();
                    unkept.alter(zones);
                    unkept.stand = stand;
                    self.take(self.live.clone(), unkept);
                }
            }
            tell(&FromWorker::Serving(self.serving.clone()), &[]);
        }
        let ordered = Ordered {
            own: self.own.first().copied(),
            ..ordered
        };
        tell_ordered(&ordered, wire);
    }

    /// What outlives a snapshot is told what has changed.
    fn settle(&self, before: &Live, changed: Option<&Changed>) {
        let (state, now) = (&self.configuration.state, self.shared.slot.load());
        let tries_platform = |live: &Live| {
            let trials = live.trials.as_ref();
            trials.is_some_and(|trials| trials.platform.is_some())
        };
        let zones: &[_] = match changed {
            Some(Changed::All(_)) => return state.settle(&now, &[]),
            _ if tries_platform(before) || tries_platform(&now) => return state.settle(&now, &[]),
            Some(Changed::Zones(zones)) => zones,
            None => &[],
        };
        state.settle_zones(before, &now, zones.iter().map(|zone| &*zone.name));
    }

    /// This is what serves now.
    fn take(&mut self, head: Document, unkept: Unkept) {
        let snapshot = self.shared.slot.load();
        let Configuration { up, data, .. } = &self.configuration;
        self.serving = answer::serving(up, Identity::is_kept(data), &head, &snapshot);
        self.live = head;
        self.serving.stand.clone_from(&unkept.stand);
        self.unkept = unkept;
        self.to_keep = true;
        self.keep();
    }

    /// Writes what the next process needs, where we may; not on top of what another one has written, which is read first.
    pub(super) fn keep(&mut self) {
        if self.state_lock.is_none() || self.configuration.others_on_disk(&self.unkept).is_some() {
            return;
        }
        if std::mem::take(&mut self.to_keep) {
            let (unkept, done) = (self.unkept.clone(), self.kept.0.clone());
            self.configuration.keep_live(unkept, done);
        }
    }
}

/// Tells what became of an order. Our own have no number, and nobody waits for them.
fn tell_ordered(ordered: &Ordered, wire: Option<&Wire>) {
    say_ordered(ordered, wire.filter(|_| ordered.number != 0));
}

/// Nothing of this order was done.
fn failed(number: u64) -> Ordered {
    Ordered {
        number,
        failed: true,
        ..Ordered::default()
    }
}

fn say_ordered(ordered: &Ordered, wire: Option<&Wire>) {
    let Some(wire) = wire else { return };
    match order::put(ordered) {
        Ok(file) => drop(wire.say(&FromWorker::Ordered, &[file.as_fd()])),
        Err(error) => complain(format_args!("what became of an order is not told: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u64) -> Job {
        Job::Order(Order {
            number,
            ..Order::default()
        })
    }

    #[test]
    fn an_order_for_which_there_is_no_room_is_not_taken_and_who_asks_is_told_of_all_others() {
        let mut work = Work {
            carries: Some(1),
            ..Work::default()
        };
        for number in 2..18 {
            assert!(work.add(order(number)));
        }
        assert!(!work.add(order(18)), "it is answered, and not forgotten");
        assert_eq!(work.orders(), (1..18).collect::<Vec<u64>>());
        // A reload is never left out, and never there twice.
        assert!(work.add(Job::Reload) && work.add(Job::Reload));
        assert_eq!(work.waits.len(), 17);
    }
}

//! A spare worker: it has compiled what is live, has asked itself, and waits. When the one that serves dies, hangs or takes too
//! much memory, it serves in the time that a message takes.
//!
//! It serves what a worker that is started just then would serve, or it does not serve: as soon as `DATA/live`, the flags or what
//! is in quarantine are others than when it was started, it is ended, and another one is started when they have been the same for
//! a moment. Who is started for another reason, an upgrade, never is a spare.

use std::time::Duration;

use tokio::time::Instant;

use super::Supervisor;
use super::charge::{Charge, Phase};
use crate::live::{self, Which};
use crate::message::Begin;
use crate::say::complain;

/// For so long nothing must have changed before a spare is started: of many changes only the last one is worth it.
const SETTLES: Duration = Duration::from_secs(2);
/// For so long none is started after one that ended by itself.
const PAUSES: Duration = Duration::from_secs(30);

/// What a worker is started on.
#[derive(Clone, PartialEq, Eq)]
struct Basis {
    /// Which file `DATA/live` is.
    live: Which,
    begin: Begin,
    words: Vec<String>,
}

/// What is known of the spare.
#[derive(Default)]
pub struct Spare {
    /// Its process, and what it was started on.
    waits: Option<(i32, Basis)>,
    /// What one would be started on now, and since when that is so.
    seen: Option<(Basis, Instant)>,
    /// None is started before.
    not_before: Option<Instant>,
}

impl Spare {
    /// Whether this process is the spare.
    pub fn is(&self, pid: i32) -> bool {
        self.waits.as_ref().is_some_and(|(spare, _)| *spare == pid)
    }
}

impl Supervisor {
    /// Ends a spare that is not what it should be, and starts one where there should be one. Several times a second.
    pub(super) fn tend_spare(&mut self) {
        let serving = self.serving();
        let wanted = serving.is_some_and(|charge| charge.serving.bounds.spare);
        let wanted = wanted && self.next.is_none() && self.start_at.is_none();
        let Some(basis) = wanted.then(|| self.basis()).flatten() else {
            self.spare.seen = None;
            return self.end_spare();
        };
        let now = Instant::now();
        let is_as_seen = |(seen, _): &&(Basis, Instant)| *seen == basis;
        let since = match self.spare.seen.as_ref().filter(is_as_seen) {
            Some((_, since)) => *since,
            None => {
                self.spare.seen = Some((basis.clone(), now));
                now
            }
        };
        match &self.spare.waits {
            Some((pid, _)) if self.is_stopped(*pid) => {
                self.end_spare();
                self.without_spare("somebody stopped it, by SIGSTOP");
            }
            Some((_, started_on)) if *started_on == basis => {}
            Some(_) => self.end_spare(),
            None if now - since >= SETTLES && self.spare.not_before.is_none_or(|at| at <= now) => {
                self.start_spare(basis);
            }
            None => {}
        }
    }

    fn is_stopped(&self, pid: i32) -> bool {
        let charge = self.workers.get(&pid);
        charge.is_some_and(|charge| charge.process.is_stopped())
    }

    /// What a worker that serves what was live would be started on.
    fn basis(&self) -> Option<Basis> {
        Some(Basis {
            live: Which::of(&self.data.path(live::LIVE))?,
            begin: self.begins(true),
            words: self.words.clone(),
        })
    }

    fn start_spare(&mut self, basis: Basis) {
        let generation = self.next_generation();
        match Charge::start(&self.runs, generation, &basis.words, &basis.begin) {
            Ok(charge) => {
                let pid = charge.process.pid();
                self.watch(&charge);
                self.workers.insert(pid, charge);
                self.spare.waits = Some((pid, basis));
            }
            Err(error) => self.without_spare(&format!("it cannot be started: {error}")),
        }
    }

    /// The spare, if there is one that would serve what a worker started now would. It is one no longer.
    pub(super) fn take_spare(&mut self) -> Option<i32> {
        let (pid, basis) = self.spare.waits.take()?;
        if self.basis().is_some_and(|now| now == basis)
            && let Some(charge) = self.workers.get_mut(&pid)
            && matches!(charge.phase, Phase::Prepares | Phase::Ready)
            && !charge.process.is_stopped()
        {
            charge.started = Instant::now();
            charge.was_spare = charge.phase == Phase::Ready;
            return Some(pid);
        }
        if let Some(charge) = self.workers.get_mut(&pid) {
            charge.kill();
        }
        None
    }

    /// Ends it, for whatever it was to serve is no longer what is live.
    pub(super) fn end_spare(&mut self) {
        if let Some((pid, _)) = self.spare.waits.take()
            && let Some(charge) = self.workers.get_mut(&pid)
        {
            charge.kill();
        }
    }

    /// It ended by itself. Nobody is to blame: it served nobody.
    pub(super) fn spare_ended(&mut self, how: &str) {
        self.spare.waits = None;
        self.without_spare(how);
    }

    fn without_spare(&mut self, why: &str) {
        self.spare.not_before = Some(Instant::now() + PAUSES);
        complain(format_args!(
            "no spare worker: {why}; it is served all the same, and tried again in {} s",
            PAUSES.as_secs()
        ));
    }
}

//! What follows from what happens: which worker serves, which one leaves, and what is told to whom.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::announce::{self, Pids};
use super::charge::{Charge, Phase};
use super::judge::{Kind, Measure};
use super::process::{Ended, monotonic_ms, out_of_memory_kills};
use super::record::{self, Death};
use super::replacing::Replacing;
use super::requests::{refuse, tell};
use super::sockets::{Sockets, notify};
use super::upgrading::how;
use super::{End, Event, Next, Supervisor, Why};
use crate::message::{Begin, FromAgent, FromWorker, Reply, ToAgent, ToWorker};
use crate::say::{complain, say};

/// How a worker died that the kernel ended for want of memory.
const OUT_OF_MEMORY: &str = "SIGKILL: the kernel was out of memory; give it more (MemoryMax= of systemd, --memory of containers), or let less in ([edge.limits])";

impl Supervisor {
    pub(super) fn happened(&mut self, event: Event) {
        match event {
            Event::Said(pid, word, files) => self.said(pid, word, files),
            Event::Ended(pid, ended) => self.ended(pid, ended),
            Event::AgentSaid(word, files) => self.agent_said(&word, &files),
            Event::AgentEnded(pid) => self.agent_ended(pid),
            Event::Asked(wire, request) => self.asked(Some(wire), request),
            Event::UpGone(wire) => {
                self.waiting.retain(|waits| !Rc::ptr_eq(waits, &wire));
                if self.up.as_ref().is_some_and(|up| Rc::ptr_eq(up, &wire)) {
                    // It was killed, or will be back: sites go on.
                    self.up = None;
                }
            }
        }
    }

    fn agent_said(&mut self, word: &FromAgent, files: &[OwnedFd]) {
        let passed = match word {
            FromAgent::Tried => return self.tried(None),
            FromAgent::Deadly { why } => return self.tried(Some(why)),
            FromAgent::Here { number, said } => return self.done_here(*number, said),
            FromAgent::Order { generation } => {
                let serving = self.serving();
                if serving.is_none_or(|charge| charge.generation != *generation) {
                    // It is told who serves, or will be, and orders anew.
                    return;
                }
                ToWorker::Order
            }
            FromAgent::Count => ToWorker::Count,
            FromAgent::Pong => return self.agent_lives(),
        };
        // Where none serves, the agent is told when one does, and orders anew.
        if let Some(charge) = self.serving() {
            let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            let said = charge.wire.say(&passed, &files);
            if let (Err(error), ToWorker::Order) = (said, passed) {
                // The agent asks the worker what became of it.
                complain(format_args!(
                    "an order does not come to worker {} ({error}): it is given again",
                    charge.process.pid()
                ));
            }
        }
    }

    fn said(&mut self, pid: i32, word: FromWorker, files: Vec<OwnedFd>) {
        let Some(charge) = self.workers.get_mut(&pid) else {
            return;
        };
        match word {
            FromWorker::Plan(plan) => {
                charge.plan = plan;
                self.give(pid);
            }
            FromWorker::Ready => self.ready(pid),
            FromWorker::Failed => self.failed(pid),
            FromWorker::Serving(serving) => {
                charge.serving = serving;
                if matches!(charge.phase, Phase::Opens | Phase::Serves) && !files.is_empty() {
                    self.secrets = files.into_iter().next();
                }
                if charge.phase == Phase::Opens {
                    charge.enter(Phase::Serves);
                    self.serves(pid);
                }
            }
            FromWorker::NotReloaded => {}
            FromWorker::Kept => {
                if charge.phase == Phase::Serves {
                    self.live();
                }
            }
            FromWorker::Ordered | FromWorker::Counted => {
                let passed = match word {
                    FromWorker::Ordered => ToAgent::Ordered,
                    _ => ToAgent::Counted,
                };
                if charge.phase == Phase::Serves {
                    self.pass_to_agent(&passed, &files);
                }
            }
            FromWorker::HandedOver => self.open(files.into_iter().next()),
            FromWorker::Leaving if self.spare.is(pid) => charge.kill(),
            FromWorker::Leaving => {
                let due =
                    Instant::now() + Duration::from_millis(charge.serving.bounds.drain_ms + 2_000);
                charge.ours = true;
                charge.enter(Phase::Leaves { due });
                self.start_soon(Duration::ZERO, true);
            }
            FromWorker::Here(_) | FromWorker::Sockets(_) | FromWorker::Described => {}
        }
    }

    /// Opens what a worker wants to listen on, where nothing is open yet, and gives it to it.
    fn give(&mut self, pid: i32) {
        let Some(charge) = self.workers.get(&pid) else {
            return;
        };
        if self.sockets.is_none() {
            match Sockets::open(&charge.plan, self.given.take().unwrap_or_default()) {
                Ok(sockets) => {
                    sockets.store();
                    self.sockets = Some(sockets);
                }
                Err(error) => {
                    complain(format_args!("{error:#}"));
                    self.ends = Some(End::Code(1));
                    return;
                }
            }
        }
        let Some(sockets) = &self.sockets else { return };
        if let Err(error) = charge.give(sockets) {
            complain(format_args!("worker {pid} does not listen to us: {error}"));
            charge.process.signal(libc::SIGKILL);
        }
    }

    /// It could serve: the one that does hands over, and it goes on from there.
    fn ready(&mut self, pid: i32) {
        if let Some(charge) = self.workers.get_mut(&pid) {
            charge.enter(Phase::Ready);
        }
        // A spare waits until it is needed.
        if self.next.as_ref().is_none_or(|next| next.pid != pid) {
            return;
        }
        let asked = self
            .serving()
            .map(|serving| serving.wire.say(&ToWorker::HandOver, &[]).is_ok());
        if asked != Some(true) {
            self.open(None);
        }
    }

    /// Lets the next worker accept connections.
    pub(super) fn open(&mut self, state: Option<OwnedFd>) {
        let Some(pid) = self.next.as_ref().map(|next| next.pid) else {
            return;
        };
        self.give_datagrams(pid);
        let Some(charge) = self.workers.get_mut(&pid) else {
            return;
        };
        if charge.phase == Phase::Ready && charge.open(state, self.secrets.as_ref()).is_err() {
            charge.process.signal(libc::SIGKILL);
        }
    }

    /// It serves: the one before it leaves.
    fn serves(&mut self, pid: i32) {
        let why = match self.next.take() {
            Some(next) if next.pid == pid => next.why,
            other => {
                self.next = other;
                return;
            }
        };
        self.replacing = Replacing::default();
        let hung = matches!(why, Why::Replace { .. });
        for charge in self.workers.values_mut() {
            if charge.process.pid() != pid && charge.phase == Phase::Serves {
                let within = if hung {
                    charge.serving.bounds.drain_ms
                } else {
                    charge.serving.bounds.retire_ms
                };
                charge.retire(Duration::from_millis(within));
            }
        }
        self.serving_again();
        self.tell_agent_who_serves();
        if !self.announced {
            self.announced = true;
            if let (Some(sockets), Some(charge)) = (&self.sockets, self.workers.get(&pid)) {
                announce::announce(&self.data, sockets, &charge.serving);
            }
            notify("READY=1", None);
        } else {
            let started = self.workers.get(&pid).map(|charge| charge.started);
            let took = started.map_or(Duration::ZERO, |started| started.elapsed());
            say(format_args!(
                "Seawall is served by worker {pid} now, {} ms after it was started",
                took.as_millis()
            ));
        }
        self.told_serving();
        if let Why::Upgrade(asker, program) = why {
            say(format_args!(
                "Seawall is upgraded: {}; the worker before it ends what it has begun",
                program.display()
            ));
            tell(asker.as_ref(), &Reply::Done);
            self.program.clone_from(&program);
            self.ends = Some(End::Become(program));
            return;
        }
        self.reload_if_asked();
    }

    /// Writes who serves.
    pub(super) fn serving_again(&mut self) {
        if let Some(up) = self.up_json() {
            announce::write(&self.data, &up);
        }
    }

    pub(super) fn up_json(&self) -> Option<serde_json::Value> {
        let (sockets, worker) = (self.sockets.as_ref()?, self.serving_pid()?);
        let agent = self.agent.as_ref().map(|agent| agent.process.pid());
        Some(announce::up(
            sockets,
            Pids {
                worker,
                agent,
                control: self.control.as_ref(),
            },
        ))
    }

    /// Tells those who wait for it.
    pub(super) fn told_serving(&mut self) {
        let Some(up) = self.up_json() else { return };
        for wire in self.waiting.drain(..) {
            tell(Some(&wire), &Reply::Serving { up: up.clone() });
        }
    }

    pub(super) fn tell_agent_who_serves(&self) {
        if let Some(charge) = self.serving() {
            let (generation, stand) = (charge.generation, charge.serving.stand.clone());
            self.tell_agent(&ToAgent::Serves { generation, stand });
        }
    }

    /// What is live begins to prove itself.
    pub(super) fn live(&self) {
        if let Some(charge) = self.serving() {
            let soak_ms = charge.serving.bounds.soak_ms;
            self.tell_agent(&ToAgent::Live { soak_ms });
        }
    }

    /// A worker that prepared cannot serve, and has told people why.
    fn failed(&mut self, pid: i32) {
        let Some(next) = self.next.take_if(|next| next.pid == pid) else {
            return;
        };
        if let Some(charge) = self.workers.get_mut(&pid) {
            charge.ours = true;
        }
        match next.why {
            Why::Upgrade(asker, _) => {
                refuse(
                    asker.as_ref(),
                    "the new program cannot serve what is live: its output tells why; the old one serves on",
                );
                self.serve_again();
            }
            Why::Start if !self.announced => self.ends = Some(End::Code(1)),
            // What was live cannot be served any more, by this program: what the file says is the next best.
            Why::Start => self.start_soon(Duration::from_secs(1), false),
            Why::Replace { .. } => self.replacing.failed(Instant::now()),
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        let Some(charge) = self.workers.remove(&pid) else {
            return;
        };
        let _ = std::fs::remove_file(self.data.path(format!("worker-{pid}.sock")));
        self.datagrams.ended(charge.generation);
        if self.stopping.is_some() {
            if self.workers.is_empty() {
                self.ends = Some(End::Code(0));
            }
            return;
        }
        let was_next = self.next.take_if(|next| next.pid == pid);
        if charge.ours && was_next.is_none() {
            return;
        }
        if self.spare.is(pid) {
            return self.spare_ended(&how(ended));
        }
        let served = matches!(charge.phase, Phase::Serves | Phase::Leaves { .. });
        let first = !self.announced;
        if let Some(Next {
            why: Why::Upgrade(asker, _),
            ..
        }) = &was_next
        {
            refuse(
                asker.as_ref(),
                &format!(
                    "the new program's worker ended before it served ({}); the old one serves on",
                    how(ended)
                ),
            );
            self.serve_again();
            return;
        }
        let starved = out_of_memory_kills() != charge.memory_kills;
        let killed = match ended {
            Ended::Signal(signal) => matches!(signal, libc::SIGKILL | libc::SIGTERM) && !starved,
            // How is told to its parent only, which has died. Who ran nothing when it ended was not ended by what it ran.
            Ended::Unknown => !starved && charge.culprit(None).is_none(),
            Ended::Code(_) => false,
        };
        let kind = if killed { Kind::Killed } else { Kind::Crash };
        let how = match ended {
            Ended::Signal(libc::SIGKILL) if starved => OUT_OF_MEMORY.to_owned(),
            ended => how(ended),
        };
        if first && !killed {
            complain(format_args!("the worker ended before it served: {how}"));
            self.ends = Some(End::Code(1));
            return;
        }
        let culprit = if killed { None } else { charge.culprit(None) };
        let wait = self.died(&charge, kind, &how, culprit);
        if served || was_next.is_some() {
            self.restarts += 1;
            self.start_soon(wait, self.announced);
        }
    }

    /// A death, or what comes to the same: who is to blame, and what is done about it. Returns how long the next start waits.
    pub(super) fn died(
        &mut self,
        charge: &Charge,
        kind: Kind,
        how: &str,
        culprit: Option<super::judge::Version>,
    ) -> Duration {
        let pid = charge.process.pid();
        let sentence = self.judge.died(
            monotonic_ms(),
            record::unix_seconds(),
            kind,
            culprit,
            charge.serving.platform,
        );
        let (platform, compiled) = charge.ran_under();
        self.tell_agent(&ToAgent::Died {
            crashed: kind != Kind::Killed,
            culprit: culprit.map(|culprit| (culprit.zone, culprit.version)),
            platform,
            compiled,
        });
        let blamed = culprit.map_or_else(String::new, |culprit| {
            let name = record::zone_name(&self.data, culprit.zone);
            format!(", while it served zone {name}")
        });
        complain(format_args!(
            "worker {pid}: {} ({how}){blamed}; the next one starts",
            kind.word()
        ));
        if kind != Kind::Killed {
            let death = Death {
                pid,
                generation: charge.generation,
                kind,
                how: how.to_owned(),
                culprit,
                threads: charge.threads(),
            };
            record::report(&self.data, &death);
        }
        for measure in &sentence.measures {
            match measure {
                Measure::Zone(zone) => complain(format_args!(
                    "zone {}: version {:012x} brought workers down and is in quarantine; other zones are served as before",
                    record::zone_name(&self.data, zone.zone),
                    zone.version
                )),
                Measure::Platform(_) => complain(
                    "workers die and no zone is to blame: the version of what all zones share is in quarantine",
                ),
                Measure::SafeMode => {
                    complain("workers die on: safe mode, in which no optional stage runs");
                }
            }
        }
        if !sentence.measures.is_empty() {
            record::keep(&self.data, &self.judge);
        }
        sentence.wait
    }

    pub(super) fn start_soon(&mut self, wait: Duration, live: bool) {
        self.give_up_upgrade();
        if self.stopping.is_none() && self.next.is_none() {
            self.start_at = Some((Instant::now() + wait, live));
            if wait.is_zero() {
                self.start_due();
            }
        }
    }

    pub(super) fn start_due(&mut self) {
        if let Some((_, live)) = self.start_at.take() {
            self.start(self.runs.clone(), live, Why::Start);
        }
    }

    /// How a worker begins that is started now.
    pub(super) fn begins(&self, live: bool) -> Begin {
        Begin {
            live,
            managed: self.managed,
            quarantined: self.judge.quarantined.clone(),
            platform: self.judge.platform,
            safe_mode: self.judge.safe_mode,
        }
    }

    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        let text = format!("{}\n", self.generation);
        self.data.keep("generation", text.as_bytes(), 0o644);
        self.generation
    }

    pub(super) fn start(&mut self, program: PathBuf, live: bool, why: Why) {
        if live
            && !matches!(why, Why::Upgrade(..))
            && let Some(pid) = self.take_spare()
        {
            self.next = Some(Next { pid, why });
            let is_ready = |charge: &Charge| charge.phase == Phase::Ready;
            if self.workers.get(&pid).is_some_and(is_ready) {
                self.ready(pid);
            }
            return;
        }
        let (begin, generation) = (self.begins(live), self.next_generation());
        match Charge::start(&program, generation, &self.words, &begin) {
            Ok(charge) => {
                let pid = charge.process.pid();
                self.watch(&charge);
                self.workers.insert(pid, charge);
                self.next = Some(Next { pid, why });
            }
            Err(error) => {
                complain(format_args!(
                    "no worker can be started from {}: {error}",
                    program.display()
                ));
                match why {
                    Why::Upgrade(asker, _) => refuse(
                        asker.as_ref(),
                        &format!("{} cannot be started: {error}", program.display()),
                    ),
                    Why::Start => {
                        self.start_at = Some((Instant::now() + Duration::from_secs(1), live));
                    }
                    Why::Replace { .. } => self.replacing.failed(Instant::now()),
                }
            }
        }
    }

    fn agent_ended(&mut self, pid: i32) {
        if self
            .agent
            .as_ref()
            .is_none_or(|agent| agent.process.pid() != pid)
        {
            return;
        }
        self.agent = None;
        for asker in std::mem::take(&mut self.here).into_values() {
            let why = "the agent, which does it, has ended: look whether it was done (`seawall status`), and try again";
            tell(Some(&asker), &Reply::Refused { why: why.into() });
        }
        if self.stopping.is_none() {
            self.agent_at = Some(Instant::now() + Duration::from_secs(1));
            if self.reload.trying {
                // It died of something else than the trial, which ran elsewhere.
                self.tried(None);
            }
        }
    }
}

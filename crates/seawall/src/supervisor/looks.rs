//! What is looked at several times a second: whether workers move, how much memory they hold, and whether one takes too long for what
//! it was told to do. What follows from it is in [`flow`](super::flow).

use std::time::Duration;

#[cfg(feature = "unsafe-drills")]
use seawall_model::safeguard::{Safeguard, is_off};
use tokio::time::Instant;

use super::charge::{Charge, Phase};
use super::judge::{Kind, Version};
use super::process::monotonic_ms;
use super::replacing::Cause;
use super::{Supervisor, Why};
use crate::lasting;
use crate::message::ToAgent;
use crate::say::complain;

/// A thread that did not say for so long that it runs does not.
const HANGS: Duration = Duration::from_secs(3);
/// The longest a worker may take to prepare. A million zones take seconds.
const PREPARES: Duration = Duration::from_secs(300);
/// The longest a worker may take to hand its State over.
const HANDS_OVER: Duration = Duration::from_secs(2);
/// As long as one of whose threads one does not move: the others may still hand over what they know, and clients wait meanwhile.
const HUNG_HANDS_OVER: Duration = Duration::from_millis(500);
/// The longest the next one may take to open.
const OPENS: Duration = Duration::from_secs(10);
/// A spare has nothing left to do but that: where it does not, another worker is started.
const SPARE_OPENS: Duration = Duration::from_secs(2);
/// How long after an answer the agent is asked again whether it lives.
const ASKS_AGENT: Duration = Duration::from_secs(1);
/// The longest an agent that somebody has stopped may stay so: it does not go on by itself.
const AGENT_STOPPED: Duration = Duration::from_secs(3);
/// From this on its silence is told.
const AGENT_TOLD: Duration = Duration::from_secs(10);
/// The longest it may be silent. A million zones keep it for seconds.
const AGENT_SILENT: Duration = Duration::from_secs(30);
/// From this on a look was late: the machine slept, or was busy with others.
const LATE: Duration = Duration::from_millis(1_000);
/// The trouble of a limit of memory that is too low, as it is told while it lasts.
const TOO_LOW: &str = "memory";

impl Supervisor {
    /// Looks at what the workers run; four times a second.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let gap = now - self.looked;
        self.looked = now;
        if self.agent_at.is_some_and(|at| at <= now) {
            self.start_agent();
            self.tell_agent_who_serves();
            self.live();
            self.serving_again();
        }
        self.look_at_agent(now, gap);
        self.tell_living();
        for charge in self.workers.values_mut() {
            let late = match charge.phase {
                Phase::Leaves { due } => due <= now,
                Phase::Prepares => now - charge.since > PREPARES,
                Phase::Opens if charge.was_spare => now - charge.since > SPARE_OPENS,
                Phase::Opens => now - charge.since > OPENS,
                Phase::Ready | Phase::Serves => false,
            };
            if late {
                charge.process.signal(libc::SIGKILL);
            }
        }
        let waits = self.next.as_ref().map(|next| match next.why {
            Why::Replace { hung: true } => HUNG_HANDS_OVER,
            _ => HANDS_OVER,
        });
        let next = self.next.as_ref();
        let next = next.and_then(|next| self.workers.get(&next.pid));
        let is_late = |next: &Charge| next.phase == Phase::Ready && waits < Some(now - next.since);
        if next.is_some_and(is_late) {
            // Who hangs hands nothing over.
            self.open(None);
        }
        if self.stopping.is_some() || gap > LATE {
            return;
        }
        if self.next.is_some() {
            if self.upgrade_prepares().is_some() {
                self.look_for_hangs();
                self.look_at_memory();
            }
            return;
        }
        self.seconds += 1;
        if let Some(pid) = self.serving_pid() {
            self.give_datagrams(pid);
        }
        self.look_for_hangs();
        if self.seconds.is_multiple_of(4) && self.next.is_none() {
            self.look_at_memory();
        }
        self.tend_spare();
    }

    /// Asks the agent whether it lives, and ends one that does not: changes would wait for it for ever. Its end starts another.
    fn look_at_agent(&mut self, now: Instant, gap: Duration) {
        let Some(agent) = &mut self.agent else { return };
        if gap > LATE {
            // Nor did we hear.
            agent.answered = now;
        }
        let silent = now - agent.answered;
        if !agent.asked && silent >= ASKS_AGENT {
            agent.asked = agent.wire.say(&ToAgent::Ping, &[]).is_ok();
        }
        if silent < AGENT_STOPPED {
            return;
        }
        let is_stopped = agent.process.is_stopped();
        if !is_stopped && silent < AGENT_SILENT {
            return;
        }
        let why = if is_stopped {
            "somebody stopped it, by SIGSTOP"
        } else {
            "it hangs"
        };
        complain(format_args!(
            "agent {} has not answered for {} s ({why}): it is ended, and another one starts; sites are served all the same",
            agent.process.pid(),
            silent.as_secs()
        ));
        agent.process.signal(libc::SIGKILL);
        agent.answered = now;
        self.agent_silent = true;
    }

    /// The agent has answered.
    pub(super) fn agent_lives(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.answered = Instant::now();
            agent.asked = false;
            self.agent_silent = false;
        }
    }

    /// Whether changes wait for an agent that does not answer.
    pub(super) fn is_agent_silent(&self) -> bool {
        let agent = self.agent.as_ref();
        self.agent_silent || agent.is_some_and(|agent| agent.answered.elapsed() > AGENT_TOLD)
    }

    fn look_for_hangs(&mut self) {
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Hang) {
            return;
        }
        let Some(charge) = self.serving() else { return };
        if Instant::now() - charge.since < HANGS {
            return;
        }
        let Some(thread) = charge.stuck(monotonic_ms(), HANGS) else {
            return self.replacing.is_over(Cause::Hang);
        };
        if charge.process.is_stopped() {
            // Nothing that it served did that, and nothing of it goes into quarantine for it.
            return self.replace(Kind::Killed, "somebody stopped it, by SIGSTOP", None);
        }
        let culprit = charge.culprit(Some(thread));
        let how = format!("thread {thread} does not move");
        self.replace(Kind::Hang, &how, culprit);
    }

    fn look_at_memory(&mut self) {
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Memory) {
            return;
        }
        let Some(charge) = self.serving() else { return };
        let now = Instant::now();
        let most = match charge.serving.bounds.memory {
            0 => self.memory,
            most => most,
        };
        let held = charge.process.memory().unwrap_or(0);
        let (pid, served) = (charge.process.pid(), now - charge.since);
        let was_too_low = self.limit.too_low().is_some();
        let machine = self.memory;
        let kind = self.limit.look((pid, held), (most, machine), served, now);
        if was_too_low && self.limit.too_low().is_none() {
            lasting::works(TOO_LOW, "workers hold no more memory than they may");
        }
        if held <= most {
            self.replacing.is_over(Cause::Memory);
        }
        if let Some(kind) = kind {
            let how = format!("it holds {} MiB, of {} MiB", held >> 20, most >> 20);
            self.replace(kind, &how, None);
        }
    }

    /// The next worker serves before the old one goes. What was counted of it is not counted again when no other can start.
    fn replace(&mut self, kind: Kind, how: &str, culprit: Option<Version>) {
        if self.start_at.is_some() || !self.replacing.may(Instant::now()) {
            return;
        }
        let Some(pid) = self.serving_pid() else {
            return;
        };
        let hung = matches!(kind, Kind::Hang | Kind::Killed);
        let cause = if hung { Cause::Hang } else { Cause::Memory };
        if self.replacing.is_news(pid, cause) {
            let Some(charge) = self.workers.remove(&pid) else {
                return;
            };
            self.died(&charge, kind, how, culprit);
            if cause == Cause::Memory {
                self.tell_of_limit(charge.serving.bounds.memory == 0, how);
            }
            self.workers.insert(pid, charge);
            self.restarts += 1;
        }
        self.give_up_upgrade();
        self.start(self.runs.clone(), true, Why::Replace { hung });
    }

    /// A worker was replaced for its memory: where that helps nothing, people are told what does, and the next one waits.
    fn tell_of_limit(&mut self, is_machines: bool, how: &str) {
        let Some(wait) = self.limit.replaced(Instant::now()) else {
            return;
        };
        let (limit, helps) = if is_machines {
            (
                "four fifths of this machine's memory, or of its group's",
                "give it more (MemoryMax= of systemd, --memory of containers), or lower [edge.limits] cache_memory and body_memory",
            )
        } else {
            (
                "[edge.limits] memory",
                "raise it, or leave it out, which is four fifths of the machine",
            )
        };
        lasting::fails(
            TOO_LOW,
            format_args!(
                "{limit}: too low for what is served. Workers, one after the other, hold more as soon as they serve ({how}): {helps}. \
                 The next one is replaced in {} s at the earliest",
                wait.as_secs()
            ),
        );
    }
}

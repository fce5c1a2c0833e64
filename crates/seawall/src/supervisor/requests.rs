//! What is asked of the supervisor, by `seawall up`, by other commands and by signals; and how it ends.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;
use tokio::time::Instant;

use super::announce::Control;
use super::charge::Phase;
use super::sockets::notify;
use super::{End, Supervisor, Why, architecture, record};
use crate::here::Glass;
use crate::message::{Reply, Request, ToAgent, ToWorker};
use crate::process::VERSION;
use crate::say::complain;
use crate::wire::Wire;

impl Supervisor {
    pub(super) fn asked(&mut self, asker: Option<Rc<Wire>>, request: Request) {
        match request {
            Request::Hello { words } => {
                self.up.clone_from(&asker);
                if words != self.words {
                    self.words = words;
                    self.reload.words = true;
                    self.reload();
                }
                self.waiting.extend(asker);
                self.serving_again();
                self.told_serving();
            }
            Request::Control {
                pid,
                dashboard,
                token_path,
            } => {
                self.control = Some(Control {
                    pid,
                    dashboard,
                    token_path,
                });
                self.serving_again();
            }
            Request::Here(here) => self.here(asker, here),
            Request::Status => tell(asker.as_ref(), &Reply::Status(self.status())),
            Request::Reload => {
                self.reload();
                tell(asker.as_ref(), &Reply::Done);
            }
            Request::Stop { within_ms } => self.stop(within_ms),
            Request::Upgrade { program } => {
                // Who asked while we did not answer was told so, and that nothing is done.
                if asker.as_ref().is_some_and(|asker| !asker.is_open()) {
                    return complain("not upgraded: whoever asked for it has gone");
                }
                let program = if program.as_os_str().is_empty() {
                    self.program.clone()
                } else {
                    program
                };
                self.upgrade(asker.or_else(|| self.up.clone()), program);
            }
        }
    }

    /// For the agent to do.
    fn here(&mut self, asker: Option<Rc<Wire>>, here: Glass) {
        self.asked_here += 1;
        let number = self.asked_here;
        if !self.tell_agent(&ToAgent::Here { number, here }) {
            let why = "the agent, which does it, is about to start: try again in a second";
            return tell(asker.as_ref(), &Reply::Refused { why: why.into() });
        }
        self.here.retain(|_, asker| asker.peer().is_ok());
        self.here.extend(asker.map(|asker| (number, asker)));
    }

    /// The agent has done it, or not.
    pub(super) fn done_here(&mut self, number: u64, said: &Result<String, String>) {
        let asker = self.here.remove(&number);
        let reply = match said.clone() {
            Ok(said) => Reply::Here { said },
            Err(why) => Reply::Refused { why },
        };
        tell(asker.as_ref(), &reply);
    }

    fn upgrade(&mut self, asker: Option<Rc<Wire>>, program: PathBuf) {
        if self.stopping.is_some() {
            return refuse(asker.as_ref(), "it stops");
        }
        if self.next.is_some() || self.serving().is_none() {
            return refuse(
                asker.as_ref(),
                "another worker is about to start: try again in a moment",
            );
        }
        if let Err(why) = architecture::fits(&program) {
            return refuse(asker.as_ref(), &why);
        }
        self.end_spare();
        #[cfg(feature = "unsafe-drills")]
        if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Probe) {
            self.runs.clone_from(&program);
            if let Some(charge) = self.serving() {
                charge.process.signal(libc::SIGKILL);
            }
            return;
        }
        let progress = format!("a worker of {} prepares", program.display());
        tell(asker.as_ref(), &Reply::Progress(progress));
        self.start(program.clone(), true, Why::Upgrade(asker, program));
    }

    /// The configuration is to be read anew; first by the agent, which may die of it.
    pub(super) fn reload(&mut self) {
        if self.reload.trying || self.next.is_some() || self.serving().is_none() {
            self.reload.again = true;
            return;
        }
        self.reload.again = false;
        let tries = self.words.iter().any(|word| word == "--config") && !self.reload.words;
        self.reload.trying = tries && self.tell_agent(&ToAgent::Try);
        if !self.reload.trying {
            self.tried(None);
        }
    }

    pub(super) fn tried(&mut self, deadly: Option<&str>) {
        self.reload.trying = false;
        if let Some(why) = deadly {
            complain(format_args!("not reloaded, what is live stays live: {why}"));
        } else if let Some(charge) = self.serving() {
            let words = self.reload.words.then(|| self.words.clone());
            if charge.wire.say(&ToWorker::Reload { words }, &[]).is_ok() {
                self.reload.words = false;
            }
        }
        self.reload_if_asked();
    }

    pub(super) fn reload_if_asked(&mut self) {
        if self.reload.again {
            self.reload();
        }
    }

    fn stop(&mut self, within_ms: Option<u64>) {
        let again = self.stopping.is_some();
        // A second signal is for who does not want to wait.
        let within_ms = if again { Some(0) } else { within_ms };
        notify("STOPPING=1", None);
        // Nobody is to be found here any more: the ports are free for whoever comes next.
        self.sockets = None;
        self.datagrams.close();
        self.start_at = None;
        let mut longest = Duration::ZERO;
        for charge in self.workers.values_mut() {
            match charge.phase {
                Phase::Prepares | Phase::Ready => charge.kill(),
                Phase::Opens | Phase::Serves | Phase::Leaves { .. } => {
                    let within =
                        Duration::from_millis(within_ms.unwrap_or(charge.serving.bounds.drain_ms));
                    charge.drain(within);
                    longest = longest.max(within);
                }
            }
        }
        if !again && let Some(up) = &self.up {
            tell(Some(up), &Reply::Stopping);
        }
        self.stopping = Some(Instant::now() + longest);
        if self.workers.is_empty() {
            self.ends = Some(End::Code(0));
        }
    }

    /// What runs, for `seawall status`.
    fn status(&self) -> serde_json::Value {
        let workers: Vec<_> = self
            .workers
            .values()
            .map(|charge| {
                let waits = self.spare.is(charge.process.pid()) && charge.phase == Phase::Ready;
                json!({
                    "pid": charge.process.pid(),
                    "generation": charge.generation,
                    "phase": if waits { "spare" } else { charge.phase.word() },
                    "threads": charge.plan.threads,
                    "memory_bytes": charge.process.memory(),
                    "zones": charge.serving.zones,
                })
            })
            .collect();
        let quarantined: Vec<_> = self
            .judge
            .quarantined
            .iter()
            .map(|zone| {
                json!({
                    "zone": record::zone_name(&self.data, zone.zone),
                    "version": format!("{:012x}", zone.version),
                    "served": !zone.left_out,
                    "since": zone.since,
                })
            })
            .collect();
        json!({
            "version": VERSION,
            "up": self.up_json(),
            "serves": self.serving().map(|charge| charge.serving.what.clone()),
            "managed": self.managed,
            "stopping": self.stopping.is_some(),
            "uptime_s": self.began.elapsed().as_secs(),
            "restarts": self.restarts,
            "workers": workers,
            "quarantined": quarantined,
            "platform_quarantined": self.judge.platform.is_some(),
            "safe_mode": self.judge.safe_mode,
            "memory_limit_too_low": self.limit.too_low(),
            "agent_silent": self.is_agent_silent(),
        })
    }

    /// Ends, or goes on as another program.
    pub(super) fn end(mut self, end: End) -> Result<ExitCode> {
        match end {
            End::Code(code) => {
                self.data.forget();
                for charge in self.workers.values_mut() {
                    charge.kill();
                }
                self.end_agent();
                Ok(ExitCode::from(code))
            }
            End::Become(program) => {
                if let Some(up) = &self.up {
                    tell(
                        Some(up),
                        &Reply::Become {
                            program: program.clone(),
                        },
                    );
                }
                self.end_agent();
                let held = self.held.for_the_next_program();
                let mut command = Command::new(&program);
                command
                    .arg("edge")
                    .args(["--held", &held.to_string()])
                    .args(super::managed(self.managed))
                    .args(&self.words)
                    // What a service manager gave has long been taken: those numbers are other descriptors by now.
                    .env_remove("LISTEN_PID")
                    .env_remove("LISTEN_FDS")
                    .env_remove("LISTEN_FDNAMES");
                // All our descriptors close with it; the workers serve on and are found again.
                let error = command.exec();
                Err(anyhow!(
                    "{} cannot be run: {error} (its worker serves on; `seawall up` takes it over)",
                    program.display()
                ))
            }
        }
    }
}

/// Tells whoever asked.
pub(super) fn tell(wire: Option<&Rc<Wire>>, reply: &Reply) {
    if let Some(wire) = wire {
        // Who asked may have gone.
        let _ = wire.say(reply, &[]);
    }
}

/// Tells whoever asked that it is not done.
pub(super) fn refuse(asker: Option<&Rc<Wire>>, why: &str) {
    if asker.is_none() {
        complain(format_args!("not upgraded: {why}"));
    }
    tell(asker, &Reply::Refused { why: why.into() });
}

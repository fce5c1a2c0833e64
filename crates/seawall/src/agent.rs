//! The agent: the process beside the worker for what may fail, hang or be killed without harm to what serves.
//!
//! It compiles what a file says in a process of its own before the worker is told to, and it promotes what has served for long
//! enough to be what is served when a later version brings workers down. Where control decides what is served, it brings that
//! about, and tells what comes of it. It may die at any time; the supervisor starts another.

mod attempt;
mod managed;
mod probe;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cli;
use crate::configure;
use crate::control::words::{FromControl, ToControl, Want};
use crate::data::Data;
use crate::good;
use crate::last_words;
use crate::message::{FromAgent, ToAgent};
use crate::order::{self, Counted, Ordered};
use crate::privileges;
use crate::say::complain;
use crate::start;
use crate::wire::Wire;
use managed::{Key, Managed};

/// How long we wait before control is looked for again.
const AGAIN: Duration = Duration::from_millis(250);
/// After how long a disk that could not be written is tried again.
const KEEPS_AGAIN: Duration = Duration::from_secs(5);
/// Probes at once.
const PROBES: usize = 16;

/// Runs until the supervisor has gone.
///
/// # Errors
/// When it was not started by a supervisor.
pub fn run(flags: &cli::Worker) -> Result<ExitCode> {
    last_words::in_the_background();
    privileges::give_up(&flags.up.data);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (probed, probes) = mpsc::channel(PROBES);
        let agent = Agent {
            wire: start::wire(flags.wire)?,
            data: Data::at(&flags.up.data)?,
            program: start::program()?,
            good_at: None,
            promotion: Arc::default(),
            control: None,
            managed: Managed::default(),
            asked: false,
            probed,
            probing: 0,
            nth: 0,
        };
        agent.run(flags, probes).await
    })
}

struct Agent {
    /// To the supervisor.
    wire: Wire,
    data: Data,
    program: PathBuf,
    /// When what is live has proved good.
    good_at: Option<Instant>,
    /// How many times something proved good, and who keeps it now.
    promotion: Arc<(AtomicU64, Mutex<()>)>,
    /// To control.
    control: Option<Rc<Wire>>,
    managed: Managed,
    /// What was counted was asked for.
    asked: bool,
    probed: mpsc::Sender<(Key, Option<bool>)>,
    /// Probes that run.
    probing: usize,
    nth: u32,
}

impl Agent {
    async fn run(
        mut self,
        flags: &cli::Worker,
        mut probes: mpsc::Receiver<(Key, Option<bool>)>,
    ) -> Result<ExitCode> {
        let mut look = Instant::now();
        let mut report = Instant::now();
        loop {
            let (report_ms, probe_ms) = self.managed.paces();
            let tick = Instant::now() + Duration::from_millis(probe_ms);
            tokio::select! {
                told = self.wire.hear::<ToAgent>() => match told? {
                    None => return Ok(ExitCode::SUCCESS),
                    Some((told, files)) => self.hear(told, files, flags).await?,
                },
                () = at(self.good_at) => {
                    self.good_at = None;
                    self.promote();
                }
                word = hear_control(self.control.as_deref()), if flags.managed => match word {
                    Some(want) => {
                        self.managed.wants(want);
                        self.order().await?;
                    }
                    None => self.control = None,
                },
                () = tokio::time::sleep_until(look), if flags.managed && self.control.is_none() => {
                    look = Instant::now() + AGAIN;
                    self.look_for_control(flags);
                }
                Some((key, worse)) = probes.recv() => {
                    self.probing = self.probing.saturating_sub(1);
                    if worse == Some(true) {
                        self.managed.probe_failed(key);
                    }
                }
                () = tokio::time::sleep_until(tick), if self.managed.tries() => {
                    self.probe();
                    if report <= Instant::now() && !self.asked {
                        report = Instant::now() + Duration::from_millis(report_ms);
                        self.asked = self.wire.say(&FromAgent::Count, &[]).is_ok();
                    }
                }
            }
        }
    }

    /// What is live has proved good. It is kept on a thread of its own: it may be large, and the disk may hang or be full.
    fn promote(&mut self) {
        let (folder, promotion) = (self.data.path(""), self.promotion.clone());
        if let Err(error) = good::proved(&folder) {
            return complain(format_args!(
                "what is live has proved good, but cannot be kept as such: {error}"
            ));
        }
        let number = promotion.0.fetch_add(1, Ordering::AcqRel) + 1;
        let keep = move || {
            let mut complained = false;
            while promotion.0.load(Ordering::Acquire) == number {
                let one = promotion.1.lock();
                let kept = good::keep(&folder);
                drop(one);
                let Err(error) = kept else { return };
                if !std::mem::replace(&mut complained, true) {
                    complain(format_args!(
                        "what is live has proved good, but cannot be kept as such: {error}; what proved good before is still there"
                    ));
                }
                // One that was damaged stays so; a disk may have room again.
                if error.kind() == std::io::ErrorKind::InvalidData {
                    return;
                }
                std::thread::sleep(KEEPS_AGAIN);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("good".into()).spawn(keep) {
            complain(format_args!("what has proved good is not kept: {error}"));
        }
    }

    fn look_for_control(&mut self, flags: &cli::Worker) {
        let Ok(wire) = Wire::connect(&self.data.path("control.sock")) else {
            return;
        };
        let location = configure::parsed(&flags.up).document.edge.location;
        if wire.say(&ToControl::Agent { location }, &[]).is_ok() {
            self.control = Some(Rc::new(wire));
        }
    }

    async fn hear(
        &mut self,
        told: ToAgent,
        files: Vec<OwnedFd>,
        flags: &cli::Worker,
    ) -> Result<()> {
        match told {
            ToAgent::Try => {
                let why = match &flags.up.config {
                    Some(file) => attempt::file(&self.program, file).await,
                    None => None,
                };
                let said = why.map_or(FromAgent::Tried, |why| FromAgent::Deadly { why });
                self.wire.say(&said, &[])?;
            }
            ToAgent::Live { soak_ms } => {
                self.good_at = match good::prove(&self.data.path("")) {
                    Ok(()) => Some(Instant::now() + Duration::from_millis(soak_ms)),
                    Err(_) => None,
                };
            }
            ToAgent::Died { crashed, culprit } => {
                self.good_at = None;
                self.managed.worker_died(crashed, culprit);
                self.report();
            }
            ToAgent::Serves { .. } => {
                self.asked = false;
                self.managed.worker_is_new();
                self.order().await?;
            }
            ToAgent::Ordered => match order::take::<Ordered>(files.into_iter().next()) {
                Ok(ordered) => {
                    self.managed.ordered(ordered, Instant::now());
                    self.report();
                }
                Err(error) => complain(format_args!("what became of an order: {error}")),
            },
            ToAgent::Counted => {
                self.asked = false;
                if let Ok(counted) = order::take::<Counted>(files.into_iter().next()) {
                    self.managed.counted(counted);
                    self.report();
                }
            }
        }
        Ok(())
    }

    /// Orders what is wanted, once it was compiled elsewhere.
    async fn order(&mut self) -> Result<()> {
        let to_compile = self.managed.to_compile();
        if !to_compile.is_empty() {
            let (keys, texts): (Vec<Key>, Vec<String>) = to_compile.into_iter().unzip();
            let mut deadly = Vec::new();
            if attempt::texts(&self.program, &texts).await.is_some() {
                // One of them is: alone it will show.
                for (key, text) in keys.iter().zip(texts) {
                    if let Some(why) = attempt::texts(&self.program, &[text]).await {
                        deadly.push((key.clone(), why));
                    }
                }
            }
            self.managed.compiled(keys, &deadly);
        }
        if let Some(order) = self.managed.order() {
            let file = order::put(&order)?;
            self.wire.say(&FromAgent::Order, &[file.as_fd()])?;
        }
        Ok(())
    }

    fn report(&mut self) {
        let Some(control) = &self.control else { return };
        let report = order::put(&self.managed.report(Instant::now()));
        let said = report.and_then(|file| control.say(&ToControl::Report, &[file.as_fd()]));
        if said.is_err() {
            self.control = None;
        }
    }

    fn probe(&mut self) {
        let all = self.managed.to_probe();
        if all.is_empty() || self.probing >= PROBES {
            return;
        }
        self.nth = self.nth.wrapping_add(1);
        let Some((own, taken)) = all.into_iter().cycle().nth(self.nth as usize % 1_024) else {
            return;
        };
        self.probing += 1;
        let (probed, nth) = (self.probed.clone(), self.nth);
        tokio::task::spawn_local(async move {
            let worse = probe::probe(own, &taken, nth).await;
            let _ = probed.send(((taken.chain, taken.version), worse)).await;
        });
    }
}

/// What control says next; none when it has gone.
async fn hear_control(wire: Option<&Wire>) -> Option<Want> {
    let Some(wire) = wire else {
        return std::future::pending().await;
    };
    loop {
        match wire.hear::<FromControl>().await {
            Ok(Some((FromControl::Want, files))) => match order::take(files.into_iter().next()) {
                Ok(want) => return Some(want),
                Err(error) => complain(format_args!("what control wants: {error}")),
            },
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

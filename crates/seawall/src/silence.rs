//! A supervisor that says nothing: how long it may, what people are told then, and the end of it where that was asked for.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::Instant;

use crate::data::Data;
use crate::supervisor::process::Process;
use crate::wire::Wire;

/// How long one that runs already may be silent: it may have to look for workers that do not answer.
pub const ANSWERS: Duration = Duration::from_secs(60);
/// The same of one that somebody has stopped, which will not go on by itself.
const STOPPED: Duration = Duration::from_secs(3);
/// The same of one that was told to end: it is asked again and again, and has nothing else to do.
const ENDS: Duration = Duration::from_secs(10);
/// The same where nobody wants to wait.
const ENDS_AT_ONCE: Duration = Duration::from_secs(5);
/// How often it is looked.
pub const LOOK: Duration = Duration::from_millis(250);
/// How long requests may run on where no flag says so: a file may, which is not read here.
const DRAINS: Duration = Duration::from_secs(60);
/// How long beyond that, and how long the kernel may take to end what is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Whoever supervises has said nothing since then: fails when that is longer than it may, `most` where nobody has stopped it.
///
/// # Errors
/// With what a person can do.
pub fn may_be(process: &Process, since: Instant, most: Duration) -> Result<()> {
    let silent = since.elapsed();
    let is_stopped = silent > STOPPED && process.is_stopped();
    if !is_stopped && silent < most {
        return Ok(());
    }
    Err(no_answer(process.pid(), is_stopped))
}

/// As [`may_be`], of one that was told to end. Why it is ended, when it has been silent for too long.
pub fn keeps_from_ending(process: &Process, since: Instant, at_once: bool) -> Option<String> {
    let silent = since.elapsed();
    let is_stopped = (at_once || silent > STOPPED) && process.is_stopped();
    let most = if at_once { ENDS_AT_ONCE } else { ENDS };
    (is_stopped || silent > most).then(|| {
        format!(
            "the supervisor of this data folder, pid {}, does not end: {}. It is killed, and what it has started ends with it",
            process.pid(),
            why(is_stopped)
        )
    })
}

/// Whoever supervises does not answer: what a person can do.
pub fn no_answer(pid: i32, is_stopped: bool) -> anyhow::Error {
    anyhow!(
        "the supervisor of this data folder, pid {pid}, does not answer: {}. Have it go on with `kill -CONT {pid}`, or end it with \
         `kill -9 {pid}` and start again: sites that are served are served on, either way",
        why(is_stopped)
    )
}

fn why(is_stopped: bool) -> &'static str {
    if is_stopped {
        "somebody has stopped it (SIGSTOP)"
    } else {
        "it hangs"
    }
}

/// Ends a supervisor that does not end, and all that runs with it. What serves may end what it has begun, for `drain`, unless it is to
/// end at once; or up to `hurry`.
pub async fn end(
    data: &Data,
    supervisor: &Process,
    drain: Option<Duration>,
    at_once: bool,
    hurry: impl Future<Output = ()>,
) {
    // As long as it is there they are its children.
    let left = left(data, supervisor);
    supervisor.signal(libc::SIGKILL);
    if !at_once {
        for process in &left {
            process.signal(libc::SIGTERM);
            // One that was stopped would not hear it.
            process.signal(libc::SIGCONT);
        }
        tokio::select! {
            () = ended(&left) => {}
            () = tokio::time::sleep(drain.unwrap_or(DRAINS) + GRACE) => {}
            () = hurry => {}
        }
    }
    for process in &left {
        process.signal(libc::SIGKILL);
    }
    // The ports are free for whoever comes next.
    let all = async {
        supervisor.ended().await;
        ended(&left).await;
    };
    let _ = tokio::time::timeout(GRACE, all).await;
    data.forget();
}

async fn ended(processes: &[Process]) {
    for process in processes {
        process.ended().await;
    }
}

/// What a supervisor has started, and the workers that it found.
fn left(data: &Data, supervisor: &Process) -> Vec<Process> {
    let pid = supervisor.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    let mut pids: BTreeSet<i32> = children.collect();
    let entries = std::fs::read_dir(data.path("")).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("worker-")
            && name.ends_with(".sock")
            && let Ok(wire) = Wire::connect(&entry.path())
            && let Ok(peer) = wire.peer()
        {
            pids.insert(peer.pid);
        }
    }
    let found = pids.into_iter().filter_map(|pid| Process::of(pid).ok());
    found.collect()
}

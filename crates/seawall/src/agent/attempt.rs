//! Compiling in a process of its own, which may hang or die of it without harm.
//!
//! One such process waits, all set, for the next change: to start one takes ten times as long as to compile a zone. Whoever stops or ends
//! one by hand holds no change up, and none is judged by that.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::say::complain;
use crate::supervisor::process::{is_stopped, out_of_memory_kills};

/// The longest trial.
const TRIAL: Duration = Duration::from_secs(60);
/// So many parts of a document are compiled by one process.
const MANY: usize = 10_000;
/// How often it is looked whether somebody has stopped one.
const LOOK: Duration = Duration::from_secs(1);

/// What came of compiling.
enum End {
    /// It ended by itself.
    Well,
    /// It was deadly, and why.
    Deadly(String),
    /// Somebody ended or stopped it, and how.
    ByHand(String),
}

/// Compiles a file. What it prints is for nobody: the worker tells the problems when it compiles. Why it was deadly, if it was.
pub async fn file(program: &Path, file: &Path) -> Option<String> {
    let start = || {
        let mut command = Command::new(program);
        command.arg("check").arg(file).stdin(Stdio::null());
        started(command)
    };
    run(start, b"").await
}

/// Compiles parts of documents, each in a process that does nothing else afterwards. They find contents of files in a folder; secrets are
/// not for them.
pub struct Attempts {
    program: PathBuf,
    contents: PathBuf,
    /// One that has started and waits for what it is to compile.
    ready: Option<Child>,
}

impl Attempts {
    pub fn new(program: &Path, contents: &Path) -> Self {
        Self {
            program: program.to_owned(),
            contents: contents.to_owned(),
            ready: None,
        }
    }

    /// Has one wait for what comes next, unless one does.
    pub fn prepare(&mut self) {
        if !self.is_ready() {
            self.ready = started(self.command());
        }
    }

    /// Somebody may have ended the one that waits, or stopped it: then it is ended.
    fn is_ready(&mut self) -> bool {
        let gone = |child: &mut Child| {
            !matches!(child.try_wait(), Ok(None)) || number(child).is_some_and(is_stopped)
        };
        drop(self.ready.take_if(gone));
        self.ready.is_some()
    }

    /// The one that waits, or another one.
    fn child(&mut self) -> Option<Child> {
        if self.is_ready() {
            return self.ready.take();
        }
        started(self.command())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("trial").arg("--contents").arg(&self.contents);
        command.stdin(Stdio::piped());
        command
    }

    /// Compiles parts of a document; of each, why it was deadly, if it was. Many are compiled by one process; where that dies of them,
    /// each half is by one of its own, and so on until it shows which it was.
    pub async fn all(&mut self, all: &[String]) -> Vec<Option<String>> {
        let mut deadly = vec![None; all.len()];
        let mut left: Vec<std::ops::Range<usize>> = (0..all.len())
            .step_by(MANY)
            .map(|from| from..all.len().min(from + MANY))
            .collect();
        while let Some(part) = left.pop() {
            let some = all.get(part.clone()).unwrap_or_default();
            let Some(why) = self.texts(some).await else {
                continue;
            };
            if part.len() > 1 {
                let half = part.start + part.len() / 2;
                left.extend([part.start..half, half..part.end]);
            } else if let Some(one) = deadly.get_mut(part.start) {
                *one = Some(why);
            }
        }
        deadly
    }

    /// Compiles parts of a document, one after the other. Why it was deadly, if it was.
    async fn texts(&mut self, texts: &[String]) -> Option<String> {
        let bytes = serde_json::to_vec(texts).ok()?;
        run(|| self.child(), &bytes).await
    }
}

/// Has a process compile this. Where somebody ended or stopped that, another one does, once. Why it was deadly, if it was.
async fn run(mut start: impl FnMut() -> Option<Child>, input: &[u8]) -> Option<String> {
    let kills = out_of_memory_kills();
    let why = match ended(start()?, input).await {
        End::Well => return None,
        End::Deadly(why) => return Some(why),
        End::ByHand(why) => why,
    };
    if out_of_memory_kills() != kills {
        // The kernel did, for want of memory.
        return Some(why);
    }
    complain(format_args!("{why}: another process does it"));
    match ended(start()?, input).await {
        End::Well => None,
        End::Deadly(why) | End::ByHand(why) => Some(why),
    }
}

/// The number of a process, where it has not ended.
fn number(child: &Child) -> Option<i32> {
    child.id().and_then(|pid| i32::try_from(pid).ok())
}

/// A process that can take so much of the machine and no more.
fn started(mut command: Command) -> Option<Child> {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .kill_on_drop(true);
    let limits = || {
        limit(libc::RLIMIT_CORE, 0, 0)?;
        // What takes too long is told by SIGXCPU; SIGKILL may be anybody's.
        limit(libc::RLIMIT_CPU, TRIAL.as_secs(), TRIAL.as_secs() + 5)
    };
    // SAFETY: system calls alone, which are allowed between fork and exec.
    unsafe { command.pre_exec(limits) };
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            complain(format_args!("no trial: {error}"));
            None
        }
    }
}

/// Has it read this, and waits for its end.
async fn ended(mut child: Child, input: &[u8]) -> End {
    let pid = number(&child);
    let ended = tokio::time::timeout(TRIAL, async {
        if let Some(mut stdin) = child.stdin.take() {
            // One that dies before it has read all tells so by its end.
            let _ = stdin.write_all(input).await;
        }
        child.wait().await
    });
    let status = tokio::select! {
        ended = ended => match ended {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => return End::Well,
            Err(_) => {
                let longest = TRIAL.as_secs();
                return End::Deadly(format!("compiling it did not end within {longest} s"));
            }
        },
        () = stopped(pid) => return End::ByHand("compiling it was stopped by a signal".into()),
    };
    match (status.code(), status.signal()) {
        (Some(_), _) => End::Well,
        (None, Some(libc::SIGKILL | libc::SIGTERM)) => {
            End::ByHand(format!("compiling it ended with {status}"))
        }
        (None, _) => End::Deadly(format!("compiling it ended with {status}")),
    }
}

/// Waits until somebody has stopped a process.
async fn stopped(pid: Option<i32>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if pid.is_some_and(is_stopped) {
            return;
        }
    }
}

fn limit(what: libc::__rlimit_resource_t, soft: u64, hard: u64) -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the pointer is to a struct of the call's.
    if unsafe { libc::setrlimit(what, &raw const limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What compiles with this script; `$3` is the folder of contents.
    fn by(folder: &Path, script: &str) -> Attempts {
        let program = folder.join("program");
        // Written by another process: while this one has it open for writing, nobody can run it.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let mut writes = Command::new("sh");
        writes.arg("-c").arg(write).arg(&program).arg(script);
        assert!(writes.status().unwrap().success());
        Attempts::new(&program, folder)
    }

    fn run<T>(attempts: impl AsyncFnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(attempts())
    }

    #[test]
    fn what_somebody_ends_or_stops_is_compiled_once_more() {
        for signal in ["KILL", "TERM", "STOP"] {
            let folder = tempfile::tempdir().unwrap();
            let once = format!(
                "read -r it; [ -e \"$3/was\" ] || {{ : > \"$3/was\"; kill -{signal} $$; }}"
            );
            let mut attempts = by(folder.path(), &once);
            let deadly = run(async || attempts.all(&["it".into()]).await);
            assert_eq!(deadly, [None], "{signal}");
            assert!(folder.path().join("was").exists(), "{signal}");
        }
    }

    #[test]
    fn what_is_deadly_each_time_or_by_itself_is_told() {
        for (signal, told) in [("KILL", "signal: 9"), ("ABRT", "signal: 6")] {
            let folder = tempfile::tempdir().unwrap();
            let script = format!("read -r it; echo >> \"$3/runs\"; kill -{signal} $$");
            let mut attempts = by(folder.path(), &script);
            let deadly = run(async || attempts.all(&["it".into()]).await);
            assert!(
                deadly[0].as_ref().is_some_and(|why| why.contains(told)),
                "{deadly:?}"
            );
            let runs = std::fs::read(folder.path().join("runs")).unwrap().len();
            assert_eq!(runs, if signal == "KILL" { 2 } else { 1 });
        }
    }

    #[test]
    fn one_that_waits_and_is_stopped_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut attempts = by(folder.path(), "read -r it");
        run(async move || {
            attempts.prepare();
            let waits = attempts.ready.as_ref().and_then(number).unwrap();
            assert!(attempts.is_ready());
            // SAFETY: two numbers, of a child that has not been waited for.
            assert_eq!(unsafe { libc::kill(waits, libc::SIGSTOP) }, 0);
            while !is_stopped(waits) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!attempts.is_ready());
            assert_eq!(attempts.all(&["it".into()]).await, [None]);
            attempts.prepare();
            assert!(attempts.is_ready());
        });
    }
}

//! Compiling in a process of its own, which may hang or die of it without harm.
//!
//! One such process waits, all set, for the next change: to start one takes ten times as long as to compile a zone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::say::complain;

/// The longest trial.
const TRIAL: Duration = Duration::from_secs(60);
/// So many parts of a document are compiled by one process.
const MANY: usize = 10_000;

/// Compiles a file. What it prints is for nobody: the worker tells the problems when it compiles. Why it was deadly, if it was.
pub async fn file(program: &Path, file: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("check").arg(file).stdin(Stdio::null());
    run(command, b"").await
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

    /// Somebody may have ended the one that waits.
    fn is_ready(&mut self) -> bool {
        let waits = self.ready.as_mut().map(Child::try_wait);
        matches!(waits, Some(Ok(None)))
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
        let ready = if self.is_ready() {
            self.ready.take()
        } else {
            None
        };
        let child = ready.or_else(|| started(self.command()))?;
        ended(child, &bytes).await
    }
}

async fn run(command: Command, input: &[u8]) -> Option<String> {
    ended(started(command)?, input).await
}

/// A process that can take so much of the machine and no more.
fn started(mut command: Command) -> Option<Child> {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .kill_on_drop(true);
    let limits = || {
        limit(libc::RLIMIT_CORE, 0)?;
        limit(libc::RLIMIT_CPU, TRIAL.as_secs())
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

/// Has it read this, and waits for its end. Why that was deadly, if it was.
async fn ended(mut child: Child, input: &[u8]) -> Option<String> {
    let ended = tokio::time::timeout(TRIAL, async {
        if let Some(mut stdin) = child.stdin.take() {
            // One that dies before it has read all tells so by its end.
            let _ = stdin.write_all(input).await;
        }
        child.wait().await
    });
    match ended.await {
        Ok(Ok(status)) if status.code().is_some() => None,
        Ok(Ok(status)) => Some(format!("compiling it ended with {status}")),
        Ok(Err(_)) => None,
        Err(_) => Some(format!(
            "compiling it did not end within {} s",
            TRIAL.as_secs()
        )),
    }
}

fn limit(what: libc::__rlimit_resource_t, most: u64) -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the pointer is to a struct of the call's.
    if unsafe { libc::setrlimit(what, &raw const limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

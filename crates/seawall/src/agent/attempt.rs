//! Compiling in a process of its own, which may hang or die of it without harm.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

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

/// Compiles parts of a document; of each, why it was deadly, if it was. Many are compiled by one process; where that dies of them,
/// each half is by one of its own, and so on until it shows which it was. They find contents of files in this folder; secrets are not for
/// them.
pub async fn all(program: &Path, contents: &Path, all: &[String]) -> Vec<Option<String>> {
    let mut deadly = vec![None; all.len()];
    let mut left: Vec<std::ops::Range<usize>> = (0..all.len())
        .step_by(MANY)
        .map(|from| from..all.len().min(from + MANY))
        .collect();
    while let Some(part) = left.pop() {
        let some = all.get(part.clone()).unwrap_or_default();
        let Some(why) = texts(program, contents, some).await else {
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
async fn texts(program: &Path, contents: &Path, texts: &[String]) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("trial").arg("--contents").arg(contents);
    command.stdin(Stdio::piped());
    let Ok(bytes) = serde_json::to_vec(texts) else {
        return None;
    };
    run(command, &bytes).await
}

async fn run(mut command: Command, input: &[u8]) -> Option<String> {
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
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            complain(format_args!("no trial: {error}"));
            return None;
        }
    };
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

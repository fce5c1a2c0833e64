//! Processes of ours, started with one end of a wire.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;

use crate::cli::Cli;
use crate::control::truth;
use crate::signals;
use crate::supervisor::process::Process;
use crate::wire::{self, Wire};

/// How a process is started.
#[derive(Debug)]
pub struct Start<'s> {
    /// Our binary, or another version of it.
    pub program: &'s Path,
    /// The subcommand.
    pub role: &'s str,
    /// Flags that only this one gets.
    pub own: Vec<String>,
    /// The flags that all get.
    pub words: &'s [String],
    /// It is out of reach of what a terminal sends to all that was started in it.
    pub apart: bool,
}

impl Start<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no such program, or no room for a process.
    pub fn now(self) -> io::Result<(Process, Wire)> {
        let (ours, theirs) = wire::pair()?;
        let number = theirs.as_raw_fd();
        let mut command = Command::new(self.program);
        if let Ok(shown) = program() {
            // As people know it.
            command.arg0(shown);
        }
        command
            .arg(self.role)
            .args(["--wire", &number.to_string()])
            .args(self.own)
            .args(self.words)
            .stdin(Stdio::null());
        // What they say was said in flags already; but for a password, which is control's alone.
        for name in mirrored() {
            if name != truth::VARIABLE || self.role != "control" {
                command.env_remove(name);
            }
        }
        if self.apart {
            command.process_group(0);
        }
        let may_come_early = self.role == "control";
        let inherit = move || {
            // It inherits what we have wait, and may be one that would never let it through.
            signals::let_through();
            // Until it hears signals, one that asks it to look again must not end it: it looks when it begins.
            // SAFETY: allowed between fork and exec.
            if may_come_early
                && unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) } == libc::SIG_ERR
            {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: numbers; allowed between fork and exec.
            if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: it does only what is allowed between fork and exec.
        unsafe { command.pre_exec(inherit) };
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok((Process::of(pid)?, Wire::new(ours)?))
    }
}

/// The variables that mirror flags.
fn mirrored() -> Vec<String> {
    let command = Cli::command();
    let subs = command.get_subcommands();
    let named = subs.flat_map(|sub| sub.get_arguments().filter_map(|flag| flag.get_env()));
    named
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// So Linux names a program's file that was replaced since it was started.
const REPLACED: &str = " (deleted)";

/// The program that we are, as it is named now: what will lie there later is the next version.
///
/// # Errors
/// When the system does not tell.
pub fn program() -> Result<PathBuf> {
    let path = std::env::current_exe().context("our own program cannot be found")?;
    let text = path.to_string_lossy();
    Ok(match text.strip_suffix(REPLACED) {
        Some(before) => before.into(),
        None => path,
    })
}

/// The program that we are, whatever lies at its place by now: what is started besides an upgrade is started from it. A file that was put
/// there is used once it has proved that it can serve, and not by the next death.
pub fn running() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    let Ok(named) = program() else {
        return own;
    };
    let file = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let is_other = match (file(&own), file(&named)) {
        (Ok(own), Ok(named)) => own != named,
        (own, _) => own.is_err(),
    };
    // Of one that was replaced the system says so. Where it does not, and the files differ, somebody runs us (valgrind), whose file it is.
    let is_replaced =
        std::env::current_exe().is_ok_and(|path| path.to_string_lossy().ends_with(REPLACED));
    match is_other && !is_replaced {
        true => named,
        false => own,
    }
}

/// The program that a process is, by its file. None where the system does not tell.
pub fn file_of(pid: i32) -> Option<(u64, u64)> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// The program that a process has become since it was `before`, by its path.
pub fn became(pid: i32, before: Option<(u64, u64)>) -> Option<PathBuf> {
    let (before, now) = (before?, file_of(pid)?);
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // One whose file is not there any more cannot be started again.
    (before != now && path.exists()).then_some(path)
}

/// The wire that we were started with, by the number of its descriptor.
///
/// # Errors
/// When nobody started us with one.
pub fn wire(number: i32) -> Result<Wire> {
    // SAFETY: it only asks whether there is such a descriptor, and closes it for programs that we may start.
    if number < 3 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        bail!("this is started by `seawall up` and `seawall edge`, not by hand");
    }
    // SAFETY: it is open, and whoever starts us leaves it to us.
    Ok(Wire::new(unsafe { OwnedFd::from_raw_fd(number) })?)
}

//! The permit by which an edge of the bed has a bug in it: proof that it was started by `seawall drill`, and by nobody else.
//!
//! A drill that is about a bug needs one, in the very binary that people run. It is compiled in ([`crate::fault`]) and locked: a
//! worker has it only if, when it begins, descriptor [`NUMBER`] is a unix socket whose other end was made by a living process that runs
//! *this very file* as `seawall drill`. The kernel tells who made it (`SO_PEERCRED`, unix(7)); no flag, no variable, no file and no
//! document can stand in for that. Not here: what the bug does.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The descriptor that the permit is. Above all that a process has when it begins, below every bound on them.
pub const NUMBER: RawFd = 250;

/// What is given to edges of the bed.
pub struct Permit {
    /// Ours; when it closes the permit is void.
    _ours: UnixStream,
    theirs: OwnedFd,
}

impl Permit {
    /// Makes one. It is good for as long as it is held.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok(Self {
            _ours: ours,
            theirs: theirs.into(),
        })
    }

    /// The process that is started by the command, and those that it starts, have it.
    pub fn give(&self, command: &mut Command) {
        let from = self.theirs.as_raw_fd();
        let give = move || {
            // SAFETY: a system call on numbers, allowed between fork and exec; the new descriptor stays open over exec.
            match unsafe { libc::dup2(from, NUMBER) } {
                NUMBER => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: it does only what is allowed between fork and exec.
        unsafe { command.pre_exec(give) };
    }
}

/// Whether this process has one. To be asked before anything is opened.
pub fn is_held() -> bool {
    maker(NUMBER).is_some_and(is_drill) && is_open(NUMBER)
}

/// The process that made the socket's other end.
fn maker(number: RawFd) -> Option<i32> {
    let mut of = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    // SAFETY: the pointers are to values of ours of the size that is told.
    let told = unsafe {
        libc::getsockopt(
            number,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut of).cast(),
            &raw mut length,
        )
    };
    // SAFETY: it only tells.
    let own = unsafe { libc::geteuid() };
    (told == 0 && of.pid > 0 && of.uid == own).then_some(of.pid)
}

/// Whether it runs this very file, as `seawall drill`.
fn is_drill(pid: i32) -> bool {
    let file = |path: &str| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    if words.split(|byte| *byte == 0).nth(1) != Some(b"drill") {
        return false;
    }
    match fs::metadata(format!("/proc/{pid}/exe")) {
        Ok(found) => Some((found.dev(), found.ino())) == file("/proc/self/exe"),
        // Who has given up its capabilities may not look at who has them: what an agent started to compile, as root.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Whether somebody holds the other end.
fn is_open(number: RawFd) -> bool {
    let mut looked = libc::pollfd {
        fd: number,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one struct of ours, and its number.
    let found = unsafe { libc::poll(&raw mut looked, 1, 0) };
    found == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_a_drill_gives_it() {
        assert!(!is_held(), "nobody gave it");
        // A pair that this process made: it is no drill, though it runs this very file.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let number = theirs.as_raw_fd();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(maker(number), Some(own));
        assert!(!is_drill(own));
        assert!(is_open(number));
        drop(ours);
        assert!(!is_open(number), "whose maker has gone is void");
        // A file is no socket.
        let file = fs::File::open("/dev/null").unwrap();
        assert_eq!(maker(file.as_raw_fd()), None);
    }
}

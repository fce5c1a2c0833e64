//! What whoever serves may do: root, who asks the doctor, may more.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The user that a worker runs as, where that is not root and root asks.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub user: u32,
    group: u32,
    groups: Vec<u32>,
}

impl Served {
    /// By the worker that serves now.
    pub(super) fn by(data: &Path) -> Option<Self> {
        // SAFETY: it only tells.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        let up = std::fs::read(data.join("up.json")).ok()?;
        let up: serde_json::Value = serde_json::from_slice(&up).ok()?;
        let pid = up.pointer("/pids/worker")?.as_u64()?;
        // The number may be another process's by now.
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let is_worker = words.split(|byte| *byte == 0).nth(1) == Some(b"worker".as_slice());
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        is_worker.then(|| Self::of(&status)).flatten()
    }

    /// By what `/proc/PID/status` says.
    fn of(status: &str) -> Option<Self> {
        let numbers = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let words = line.split_whitespace().map(|word| word.parse().ok());
            words.collect::<Option<Vec<u32>>>()
        };
        // Real, effective, saved, and that for files.
        let (users, own_groups) = (numbers("Uid:")?, numbers("Gid:")?);
        let (user, group) = (*users.get(1)?, *own_groups.get(1)?);
        let groups = numbers("Groups:")?;
        (user != 0).then_some(Self {
            user,
            group,
            groups,
        })
    }

    /// Why it may not write there, as who connects to a socket must be allowed to; none if it may, or if that cannot be told here.
    pub(super) fn denied(&self, path: &Path) -> Option<io::Error> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let user = self.clone();
        // The system's own calls are about one thread, and this one ends with what it became.
        let asked = std::thread::spawn(move || user.becomes().then(|| may(&path, libc::W_OK)));
        let error = asked.join().ok()??.err()?;
        (error.kind() == io::ErrorKind::PermissionDenied).then_some(error)
    }

    /// Makes this thread it, in all that is about files. Whether it is, and can tell.
    fn becomes(&self) -> bool {
        // SAFETY: as many numbers as is said, which outlive the call.
        let grouped =
            unsafe { libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) };
        // SAFETY: numbers. These tell what was before, and not what became of it: so the last one is asked twice.
        let user = unsafe {
            libc::syscall(libc::SYS_setfsgid, self.group);
            libc::syscall(libc::SYS_setfsuid, self.user);
            libc::syscall(libc::SYS_setfsuid, self.user)
        };
        // Before Linux 5.8, and in some containers, there is no such question.
        grouped == 0 && u32::try_from(user) == Ok(self.user) && may(c"/", libc::F_OK).is_ok()
    }
}

/// Whether this thread may do this with a file, as it would be judged if it did.
fn may(path: &CStr, what: libc::c_int) -> io::Result<()> {
    // SAFETY: a path that ends with a zero and outlives the call, and numbers.
    let told = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            what,
            libc::AT_EACCESS,
        )
    };
    match told {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::say::say;

    #[test]
    fn what_root_may_is_not_what_another_user_may() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        let socket = folder.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        set_permissions(&socket, Permissions::from_mode(0o660)).unwrap();
        let status = |groups: &str| {
            format!(
                "Name:\tseawall\nUid:\t0\t65534\t0\t0\nGid:\t7\t65534\t7\t7\nGroups:\t{groups}\n"
            )
        };
        let nobody = Served::of(&status("")).unwrap();
        let member = Served::of(&status("5 65533 ")).unwrap();
        assert_eq!((nobody.user, nobody.group), (65534, 65534));
        assert_eq!(member.groups, [5, 65533]);
        assert!(Served::of(&status("").replace("65534", "0")).is_none());
        let probe = nobody.clone();
        let can_tell = std::thread::spawn(move || probe.becomes()).join().unwrap();
        // A folder for temporary files may be root's alone.
        let is_open = nobody.denied(folder.parent().unwrap()).is_none();
        if can_tell && is_open && chown(&socket, None, Some(65533)).is_ok() {
            let denied = nobody.denied(&socket).map(|error| error.kind());
            assert_eq!(denied, Some(io::ErrorKind::PermissionDenied));
            assert!(member.denied(&socket).is_none());
            set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
            assert!(member.denied(&socket).is_some());
        } else {
            say(format_args!(
                "skipped: not root, or not with all of its rights"
            ));
        }
    }
}

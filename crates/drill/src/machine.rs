//! Whether this machine can carry a bed: asked before anything is started.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cgroup;
use crate::error::Void;
use crate::guardian;

/// Cores without which a dozen edges say nothing.
const CORES: usize = 2;
/// Memory that must be there, in MiB: some forty processes, and the drill in which one zone eats memory.
const MEMORY_MIB: u64 = 4_096;
/// Descriptors of this process: clients, the origin's connections, and pipes.
const DESCRIPTORS: u64 = 4_096;
/// Free disk where the bed lies, in MiB.
const DISK_MIB: u64 = 512;

/// Processes and threads that may come: some forty processes with a hundred threads, and as many again while they are replaced.
const TASKS: u64 = 300;

/// Looks.
///
/// # Errors
/// All that is too small, with what is needed.
pub fn look(folder: &Path) -> Result<(), Void> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let left = cgroup::left();
    let found = [
        (cores as u64, CORES as u64, "cores", "use a larger machine"),
        (
            memory_mib().unwrap_or(u64::MAX),
            MEMORY_MIB,
            "MiB of free memory",
            "end something else",
        ),
        (
            left.memory_mib.unwrap_or(u64::MAX),
            MEMORY_MIB,
            "MiB of memory left by the control group",
            "raise its `memory.max`",
        ),
        (
            left.tasks.unwrap_or(u64::MAX),
            TASKS,
            "tasks left by the control group",
            "raise its `pids.max`",
        ),
        (
            processes().unwrap_or(u64::MAX),
            TASKS,
            "processes left to this user",
            "raise `ulimit -u`",
        ),
        (
            descriptors(),
            DESCRIPTORS,
            "descriptors for one process",
            "raise `ulimit -Hn`",
        ),
        (
            // One that is not there has none.
            disk_mib(folder).unwrap_or(0),
            DISK_MIB,
            "MiB of free disk for temporary files",
            "set TMPDIR to a folder on a larger disk",
        ),
    ];
    let small = too_small(&found);
    if !small.is_empty() {
        return Err(Void::TooSmall(small.join("; ")));
    }
    let written = guardian::name().and_then(|name| {
        let probe = folder.join(name);
        fs::create_dir(&probe)?;
        fs::remove_dir(&probe)
    });
    written.map_err(|error| {
        Void::TooSmall(format!(
            "{}: {error} (set TMPDIR to a folder that can be written)",
            folder.display()
        ))
    })
}

fn too_small(found: &[(u64, u64, &str, &str)]) -> Vec<String> {
    let small = found.iter().filter(|(is, needed, ..)| is < needed);
    small
        .map(|(is, needed, what, help)| format!("{is} {what}, a drill needs {needed} ({help})"))
        .collect()
}

fn memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}

/// The bound on descriptors, raised as far as it may be.
fn descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the calls get a pointer to a struct of ours that outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max.min(1 << 16);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        }
    }
    limit.rlim_cur
}

/// How many more this user may have by its own bound; none where there is no bound. Nobody counts root's.
fn processes() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call gets a pointer to a struct of ours that outlives it.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit) };
    // SAFETY: it has no arguments.
    let user = unsafe { libc::geteuid() };
    if told != 0 || limit.rlim_cur == libc::RLIM_INFINITY || user == 0 {
        return None;
    }
    let all = fs::read_dir("/proc").ok()?.flatten();
    let of_user = all.filter(|entry| entry.metadata().is_ok_and(|told| told.uid() == user));
    let threads = of_user.filter_map(|entry| fs::read_dir(entry.path().join("task")).ok());
    let threads: usize = threads.map(Iterator::count).sum();
    Some(limit.rlim_cur.saturating_sub(threads as u64))
}

fn disk_mib(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeroes are a good value of this struct of numbers.
    let mut disk: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a text that ends, and a struct of ours; both outlive the call.
    let told = unsafe { libc::statvfs(path.as_ptr(), &raw mut disk) };
    (told == 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_small_is_said_with_what_is_needed() {
        let small = too_small(&[
            (1, 2, "cores", "use a larger machine"),
            (9, 2, "MiB", "end something"),
        ]);
        assert_eq!(small, ["1 cores, a drill needs 2 (use a larger machine)"]);
    }

    #[test]
    fn this_machine_tells_what_it_has() {
        assert!(memory_mib().unwrap() > 0);
        assert!(disk_mib(Path::new("/")).is_some());
        let nowhere = look(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(nowhere.contains("TMPDIR"), "{nowhere}");
        assert!(descriptors() > 0);
    }
}

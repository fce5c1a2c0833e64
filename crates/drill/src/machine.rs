//! Whether this machine can carry a bed: asked before anything is started.

use std::fs;
use std::path::Path;

use crate::error::Void;

/// Cores without which a dozen edges say nothing.
const CORES: usize = 2;
/// Memory that must be there, in MiB: some forty processes, and the drill in which one zone eats memory.
const MEMORY_MIB: u64 = 4_096;
/// Descriptors of this process: clients, the origin's connections, and pipes.
const DESCRIPTORS: u64 = 4_096;
/// Free disk where the bed lies, in MiB.
const DISK_MIB: u64 = 512;

/// Looks.
///
/// # Errors
/// All that is too small, with what is needed.
pub fn look(folder: &Path) -> Result<(), Void> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = [
        (cores as u64, CORES as u64, "cores", "use a larger machine"),
        (
            memory_mib().unwrap_or(u64::MAX),
            MEMORY_MIB,
            "MiB of free memory",
            "end something else",
        ),
        (
            descriptors(),
            DESCRIPTORS,
            "descriptors for one process",
            "raise `ulimit -Hn`",
        ),
        (
            disk_mib(folder).unwrap_or(u64::MAX),
            DISK_MIB,
            "MiB of free disk for temporary files",
            "set TMPDIR to a larger disk",
        ),
    ];
    let small = too_small(&found);
    if small.is_empty() {
        Ok(())
    } else {
        Err(Void::TooSmall(small.join("; ")))
    }
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
        assert!(disk_mib(&std::env::temp_dir()).is_some());
        assert!(descriptors() > 0);
    }
}

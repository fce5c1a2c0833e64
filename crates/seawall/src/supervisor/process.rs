//! Processes of ours, children or not: seen to end, and asked how (`pidfd_open(2)`).
//!
//! A worker that a killed supervisor left behind is nobody's child any more. A descriptor of it tells when it ends all the same,
//! and never means another process that got its number later. How it ended is told to its parent only.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::wire::watched;

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    pid: i32,
    /// None where the system has no such thing (before Linux 5.3, and under some tools): then we look again and again.
    handle: Option<Rc<AsyncFd<OwnedFd>>>,
}

/// How often we look where nobody tells us.
const LOOK: Duration = Duration::from_millis(20);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was nobody's child.
    Unknown,
}

impl Process {
    /// The process of this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(pid: i32) -> io::Result<Self> {
        // SAFETY: two numbers; the call makes a descriptor, with close-on-exec set.
        let made = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let made = i32::try_from(made).unwrap_or(-1);
        if made < 0 {
            let error = io::Error::last_os_error();
            let none = error.raw_os_error() == Some(libc::ENOSYS);
            return none.then_some(Self { pid, handle: None }).ok_or(error);
        }
        // SAFETY: it was made just now and is nobody else's.
        let handle = unsafe { OwnedFd::from_raw_fd(made) };
        Ok(Self {
            pid,
            handle: Some(Rc::new(watched(handle, Interest::READABLE)?)),
        })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal; nothing when it has ended.
    pub fn signal(&self, signal: i32) {
        let Some(handle) = &self.handle else {
            // SAFETY: two numbers.
            unsafe { libc::kill(self.pid, signal) };
            return;
        };
        // SAFETY: a descriptor, numbers, and no further information.
        let _ = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                handle.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Ended {
        loop {
            let ready = match &self.handle {
                Some(handle) => Some(handle.readable().await),
                None => None,
            };
            match self.look() {
                Some(ended) => return ended,
                // It was said too early, which is allowed.
                None => match ready {
                    Some(Ok(mut ready)) => ready.clear_ready(),
                    _ => tokio::time::sleep(LOOK).await,
                },
            }
        }
    }

    /// How it has ended, if it has.
    fn look(&self) -> Option<Ended> {
        let (kind, id) = match &self.handle {
            Some(handle) => (libc::P_PIDFD, handle.as_raw_fd()),
            None => (libc::P_PID, self.pid),
        };
        // SAFETY: of this struct all bytes may be nought.
        let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a struct of the call's that outlives it.
        let done = unsafe {
            libc::waitid(
                kind,
                id as libc::id_t,
                &raw mut told,
                libc::WEXITED | libc::WNOHANG,
            )
        };
        if done != 0 {
            // It is nobody's child: its descriptor tells, or its number.
            let there = match &self.handle {
                Some(handle) => !is_readable(handle.as_raw_fd()),
                // SAFETY: two numbers; no signal is sent.
                None => unsafe { libc::kill(self.pid, 0) == 0 },
            };
            return (!there).then_some(Ended::Unknown);
        }
        // SAFETY: it was filled in for a child that has ended, and is nought otherwise.
        let (pid, status) = unsafe { (told.si_pid(), told.si_status()) };
        if pid == 0 {
            return None;
        }
        Some(if told.si_code == libc::CLD_EXITED {
            Ended::Code(status)
        } else {
            Ended::Signal(status)
        })
    }

    /// The memory that it holds, in bytes: what is resident. None when it has ended.
    pub fn memory(&self) -> Option<u64> {
        resident(&self.pid.to_string())
    }

    /// Whether a signal has stopped it (`SIGSTOP`).
    pub fn is_stopped(&self) -> bool {
        is_stopped(self.pid)
    }
}

/// The memory that a process holds, by its number or as `self`, in bytes: what is resident.
pub fn resident(process: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Whether a signal has stopped the process of this number.
pub fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.unwrap_or_default();
    // Its name, in parentheses, may hold anything.
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('T'));
    state.unwrap_or(false)
}

/// Lets children go that have ended and that nobody waits for: to the first process of a container come all whose parents have died.
/// `ours` are waited for elsewhere.
pub fn let_go(ours: &[i32]) {
    loop {
        // SAFETY: of this struct all bytes may be nought.
        let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let looks = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the pointer is to a struct of the call's that outlives it.
        let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut told, looks) };
        // SAFETY: it was filled in for a child that has ended, and is nought otherwise.
        let pid = unsafe { told.si_pid() };
        // One of ours is let go in a moment by who waits for it; those behind it have time.
        if done != 0 || pid == 0 || ours.contains(&pid) {
            return;
        }
        // SAFETY: a child of ours that has ended, whose status nobody wants to know.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

fn is_readable(file: i32) -> bool {
    let mut look = libc::pollfd {
        fd: file,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one struct of the call's.
    unsafe { libc::poll(&raw mut look, 1, 0) == 1 }
}

/// How often the kernel has ended a process for want of memory, in all.
pub fn out_of_memory_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Four fifths of the memory that this machine has, or that we may use of it (the bound of our control group), in bytes.
pub fn memory_for_a_worker() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        kib.parse::<u64>().ok()
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let bounds = groups.lines().filter_map(bound_of_group);
    let all = total.map_or(u64::MAX, |kib| kib << 10);
    bounds.fold(all, u64::min) / 5 * 4
}

/// The file that has the bound of a control group on memory: of `/proc/self/cgroup` the line of version 2 (`0::PATH`), or that of
/// version 1 which has the controller (`N:memory:PATH`).
fn file_of_group(line: &str) -> Option<String> {
    let (_, controllers) = line.split_once(':')?;
    let (controllers, path) = controllers.split_once(':')?;
    if controllers.is_empty() {
        return Some(format!("/sys/fs/cgroup{path}/memory.max"));
    }
    let has_it = controllers.split(',').any(|name| name == "memory");
    has_it.then(|| format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"))
}

fn bound_of_group(line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file_of_group(line)?).ok()?;
    // Where there is none, version 2 says a word, and version 1 a number that is larger than any machine.
    text.trim().parse().ok()
}

/// The monotonic clock, in milliseconds: the same in all processes.
pub fn monotonic_ms() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a struct of the call's.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_bound_of_a_group_is_found_in_both_versions() {
        let file = |line| file_of_group(line);
        let second = file("0::/system.slice/seawall.service");
        assert_eq!(
            second.as_deref(),
            Some("/sys/fs/cgroup/system.slice/seawall.service/memory.max")
        );
        let first = file("9:cpu,memory:/docker/a:b");
        assert_eq!(
            first.as_deref(),
            Some("/sys/fs/cgroup/memory/docker/a:b/memory.limit_in_bytes")
        );
        assert_eq!(file("4:cpuset:/a"), None);
        assert_eq!(file("1:name=systemd:/a"), None);
        assert_eq!(file(""), None);
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "the descriptor waits for it")]
    fn how_a_child_ended_is_known_and_how_another_did_is_not() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            for with_handle in [true, false] {
                let start = |script: &str| {
                    let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
                    let mut process = Process::of(child.id() as i32).unwrap();
                    process.handle.take_if(|_| !with_handle);
                    process
                };
                assert_eq!(start("exit 3").ended().await, Ended::Code(3));
                let sleeps = start("exec sleep 60");
                assert!(sleeps.memory().unwrap() > 0);
                sleeps.signal(libc::SIGSTOP);
                while !sleeps.is_stopped() {
                    tokio::task::yield_now().await;
                }
                sleeps.signal(libc::SIGKILL);
                assert_eq!(sleeps.ended().await, Ended::Signal(libc::SIGKILL));
                assert_eq!(sleeps.ended().await, Ended::Unknown);
                assert!(sleeps.memory().is_none());
            }
        });
        assert!(memory_for_a_worker() > 64 << 20);
    }
}

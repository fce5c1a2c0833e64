//! Children of the bench: started pinned, counted, and ended by their own id whatever happens.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::host;

/// A child that runs until told to stop. Dropping it ends it.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` on one core; what it prints goes to `output`.
    pub fn start(name: &str, command: Command, cpu: usize, output: PathBuf) -> Result<Self> {
        Self::start_on(name, command, &[cpu], output)
    }

    /// The same, on these cores.
    pub fn start_on(
        name: &str,
        mut command: Command,
        cpus: &[usize],
        output: PathBuf,
    ) -> Result<Self> {
        // Appending, so that it can be truncated while the child writes.
        let file = File::options().create(true).append(true).open(&output)?;
        file.set_len(0)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        bind(&mut command, cpus);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error, with the end of what it printed, when the child is gone.
    pub fn still_runs(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.output));
        }
        Ok(())
    }

    /// The end of what the child printed.
    pub fn printed(&self) -> String {
        tail(&self.output)
    }

    /// Waits until the child has done what it was started for. An error when it fails, or takes longer than this.
    pub fn finish(&mut self, patience: Duration) -> Result<()> {
        match wait_until(&mut self.child, Instant::now() + patience)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.printed()),
            None => bail!(
                "{} did not end within {patience:?}:\n{}",
                self.name,
                self.printed()
            ),
        }
    }

    /// Asks the child to end and waits; after `patience` it is killed.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // SAFETY: the child has not been waited for, so its id is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        if let Some(status) = wait_until(&mut self.child, Instant::now() + patience)? {
            return Ok(status);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing more can be done about a child that cannot be ended.
        let _ = self.stop(Duration::from_secs(5));
    }
}

/// Runs a tool to its end on one core and returns what it printed; killed when `patience` is over.
pub fn run_tool(
    name: &str,
    mut command: Command,
    cpu: usize,
    patience: Duration,
    scratch: &Path,
) -> Result<String> {
    let output = scratch.join(format!("{name}.tool"));
    let file = File::create(&output)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    bind(&mut command, &[cpu]);
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let status = wait_until(&mut child, Instant::now() + patience);
    let Ok(Some(status)) = status else {
        let _ = child.kill();
        let _ = child.wait();
        host::stop_when_interrupted()?;
        bail!("{name} did not end within {patience:?}:\n{}", tail(&output));
    };
    host::stop_when_interrupted()?;
    if !status.success() {
        bail!("{name} ended with {status}:\n{}", tail(&output));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(&output)?).into_owned())
}

/// Pins the child and ties its life to ours.
fn bind(command: &mut Command, cpus: &[usize]) {
    let cpus = cpus.to_vec();
    // SAFETY: only system calls that are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            host::bind_this_thread(&cpus)?;
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// The last lines of a file, as much of it as is worth reading in an error.
fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// CPU time, user and system, that a process and all its threads, ended ones too, have used so far.
///
/// This is the process's CPU clock: the scheduler's own sum in nanoseconds. `utime` + `stime` of `/proc/PID/stat` is the
/// same sum in ticks of 10 ms; `/proc/PID/schedstat` has the first thread alone.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls only write to the variables given.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed {
        bail!("no CPU clock of process {pid}: it has ended");
    }
    Ok(Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec)?,
    ))
}

/// Memory of a process in KiB: its pages, shared ones by their share.
pub fn proportional_kib(pid: u32) -> Result<u64> {
    status_field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Result<u64> {
    status_field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The most that was resident of a process, in KiB.
pub fn peak_kib(pid: u32) -> Result<u64> {
    status_field(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn status_field(path: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    field(&text, name).with_context(|| format!("{path} has no {name}"))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_clock_advances_with_work() {
        let before = cpu_time(std::process::id()).expect("we run");
        let deadline = before + Duration::from_millis(5);
        let mut sum = 0_u64;
        while cpu_time(std::process::id()).expect("we run") < deadline {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
        let mut ended = Command::new("true").spawn().expect("coreutils");
        ended.wait().expect("ours");
        assert!(cpu_time(ended.id()).is_err());
    }

    #[test]
    fn memory_fields() {
        let text = "7fff [rollup]\nRss:   1684 kB\nPss:    273 kB\nPss_Dirty: 116 kB\n";
        assert_eq!(field(text, "Pss:"), Some(273));
        assert_eq!(field(text, "Swap:"), None);
        let own = std::process::id();
        assert!(resident_kib(own).expect("we run") > 100);
        assert!(peak_kib(own).expect("we run") > 100);
    }

    #[test]
    fn who_fails_or_takes_too_long_has_not_finished() {
        let cpus = host::Cpus::choose().expect("a core");
        let folder = tempfile::tempdir().expect("a folder");
        let finish = |nth: u32, script: &str, patience: u64| {
            let output = folder.path().join(nth.to_string());
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let both = [cpus.proxy, cpus.load];
            let mut child = Process::start_on("child", command, &both, output).expect("starts");
            let finished = child.finish(Duration::from_millis(patience));
            finished.map_err(|error| error.to_string())
        };
        assert_eq!(finish(0, "true", 10_000), Ok(()));
        let failed = finish(1, "echo because; exit 3", 10_000).expect_err("exit 3");
        assert!(failed.contains("because"), "{failed}");
        let slow = finish(2, "exec sleep 60", 50).expect_err("it sleeps");
        assert!(slow.contains("did not end"), "{slow}");
    }

    #[test]
    fn a_tool_that_hangs_is_killed_and_one_that_fails_is_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = folder.path();
        let cpu = host::Cpus::choose().expect("a core").proxy;
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let hang = run_tool(
            "hang",
            shell("exec sleep 60"),
            cpu,
            Duration::from_millis(50),
            scratch,
        );
        assert!(format!("{:#}", hang.expect_err("killed")).contains("did not end"));
        let fail = run_tool(
            "fail",
            shell("echo because; exit 3"),
            cpu,
            Duration::from_secs(10),
            scratch,
        );
        assert!(format!("{:#}", fail.expect_err("exit 3")).contains("because"));
        let fine = run_tool(
            "fine",
            shell("echo done"),
            cpu,
            Duration::from_secs(10),
            scratch,
        );
        assert_eq!(fine.expect("exit 0"), "done\n");
    }
}

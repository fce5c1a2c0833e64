//! The machine that the bench runs on: its cores, its tools, its scheduler, our signals.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};

/// The two cores of the bench.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    /// The contender that is measured has this one to itself.
    pub proxy: usize,
    /// Origin, load generator and the bench's own threads.
    pub load: usize,
}

impl Cpus {
    /// The first two cores that this process may use.
    pub fn choose() -> Result<Self> {
        let allowed = allowed_cpus()?;
        match allowed.as_slice() {
            [] => bail!("no core is allowed to this process"),
            [only] => {
                eprintln!(
                    "bench: one core only: proxy, origin and load share it, the figures are worth little"
                );
                Ok(Self {
                    proxy: *only,
                    load: *only,
                })
            }
            [first, second, ..] => Ok(Self {
                proxy: *first,
                load: *second,
            }),
        }
    }
}

fn allowed_cpus() -> Result<Vec<usize>> {
    // SAFETY: an all-zero cpu_set_t is a valid empty set; the kernel fills at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Err(std::io::Error::last_os_error()).context("sched_getaffinity");
        }
        set
    };
    let count = usize::try_from(libc::CPU_SETSIZE).unwrap_or_default();
    // SAFETY: the index stays under CPU_SETSIZE.
    Ok((0..count)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect())
}

/// Binds the calling thread, and the threads and children that it starts later, to one core.
pub fn pin_this_thread(cpu: usize) -> std::io::Result<()> {
    bind_this_thread(&[cpu])
}

/// The same, to these cores.
pub fn bind_this_thread(cpus: &[usize]) -> std::io::Result<()> {
    // SAFETY: the cores come from the allowed set, hence are under CPU_SETSIZE; async-signal-safe, for use after fork.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &cpu in cpus {
            libc::CPU_SET(cpu, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Names every tool that is missing, with the line that installs it.
pub fn require_tools() -> Result<()> {
    const TOOLS: &[(&str, &str)] = &[
        ("nginx", "nginx-light"),
        ("haproxy", "haproxy"),
        ("varnishd", "varnish"),
        ("wrk", "wrk"),
        ("h2load", "nghttp2-client"),
        ("valgrind", "valgrind"),
        ("openssl", "openssl"),
    ];
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|(tool, _)| find_tool(tool).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(tool, _)| *tool).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!(
        "missing: {}; as root: apt-get install -y {}",
        names.join(", "),
        packages.join(" ")
    )
}

/// The tool's full path; `/usr/sbin` counts even when a user's PATH has not got it.
pub fn find_tool(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Turns SIGINT and SIGTERM into a flag, so that children are ended and the folder is removed on the way out.
pub fn note_interruptions() {
    extern "C" fn note(_signal: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
    }
}

/// An error once somebody asked us to stop.
pub fn stop_when_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// 1,100 connections need twice as many descriptors in a proxy; children inherit the limit.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// A larger share of a machine that others use too: the weight of our scheduling autogroup, put back when dropped.
/// Plain `nice` would only order the processes inside one session.
pub struct Weight {
    before: Option<i32>,
}

const AUTOGROUP: &str = "/proc/self/autogroup";

impl Weight {
    pub fn raise() -> Self {
        let before = std::fs::read_to_string(AUTOGROUP)
            .ok()
            .and_then(|text| autogroup_nice(&text));
        let raised = before.is_some() && std::fs::write(AUTOGROUP, "-15").is_ok();
        if !raised && Path::new(AUTOGROUP).exists() {
            eprintln!(
                "bench: the autogroup's weight stays as it is (needs root): keep the machine quiet"
            );
        }
        Self {
            before: before.filter(|_| raised),
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        if let Some(nice) = self.before {
            // A failure leaves only the weight of what was started together with it raised.
            let _ = std::fs::write(AUTOGROUP, nice.to_string());
        }
    }
}

/// From `/autogroup-5 nice 0`.
fn autogroup_nice(text: &str) -> Option<i32> {
    text.split_once(" nice ")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autogroup_line() {
        assert_eq!(autogroup_nice("/autogroup-5 nice 0\n"), Some(0));
        assert_eq!(autogroup_nice("/autogroup-871 nice -15\n"), Some(-15));
        assert_eq!(autogroup_nice(""), None);
    }

    #[test]
    fn some_core_is_allowed() {
        assert!(!allowed_cpus().expect("the call exists on Linux").is_empty());
    }
}

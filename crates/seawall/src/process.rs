//! What a process needs before it serves: metrics, descriptors, signals.

use std::sync::Arc;

use anyhow::{Result, bail};
use seawall_proxy::WORDS;
use seawall_telemetry::{BuildInfo, Registry};

/// The version that the binary reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A registry with all errors that a Record can have.
pub fn registry() -> Arc<Registry> {
    Registry::new(
        &WORDS,
        BuildInfo {
            version: VERSION,
            commit: option_env!("SEAWALL_COMMIT").unwrap_or_default(),
        },
    )
}

/// Raises the bound on open descriptors as far as we may. Returns what it is then.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a struct of theirs that outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        }
    }
    limit.rlim_cur
}

/// How many clients' connections `descriptors` allow, each with one to an origin beside it, once `workers` threads with
/// `listeners` sockets run.
///
/// # Errors
/// When there would not be one for each thread, which is asked for an answer before it may serve.
pub fn room(descriptors: u64, workers: usize, listeners: usize) -> Result<u64> {
    let open = std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
    // What each thread's runtime opens (two threads stand beside the workers) and what each listener holds in reserve; then
    // what admin port, probes, resolver and log need.
    let coming = 4 * (workers + 2) + listeners + 12;
    let needs = (open + coming) as u64;
    let room = descriptors.saturating_sub(needs) / 2;
    if room < workers as u64 {
        bail!(
            "only {descriptors} open files are allowed, and {} are the least: raise LimitNOFILE (systemd) or ulimit -n",
            needs + 2 * workers as u64
        );
    }
    Ok(room)
}

/// Drops something large on a thread of its own, and gives the memory that is free then back to the system: the allocator would
/// keep what ended threads had.
pub fn give_back(large: impl Send + 'static) {
    let drop_it = move || {
        drop(large);
        // SAFETY: the allocator's own function, which may be called at any time from any thread.
        unsafe { mi_collect(true) };
    };
    // Where there is no thread it has been dropped already, with what was to run there.
    let _ = std::thread::Builder::new()
        .name("give back".into())
        .spawn(drop_it);
}

unsafe extern "C" {
    /// Of mimalloc, which is our allocator: frees what can be freed.
    fn mi_collect(force: bool);
}

/// Asks the kernel for small pages only. The allocator would take memory by 2 MiB at once, so that a worker that needs a few
/// hundred KiB more holds 2 MiB more, and how large it is would depend on luck.
pub fn small_pages() {
    // SAFETY: a number in, a number out; it concerns this process alone. Where it is not allowed nothing changes.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

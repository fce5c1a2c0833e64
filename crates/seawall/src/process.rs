//! What a process needs before it serves: metrics, descriptors, signals.

use std::sync::Arc;

use seawall_proxy::WORDS;
use seawall_telemetry::{BuildInfo, Registry};

/// The version that the binary reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A registry with all errors that a Record can have.
pub fn registry() -> Arc<Registry> {
    Registry::new(&WORDS, BuildInfo { version: VERSION, commit: option_env!("SEAWALL_COMMIT").unwrap_or_default() })
}

/// Raises the bound on open descriptors as far as we may. Returns what it is then.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a struct of theirs that outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        }
    }
    limit.rlim_cur
}

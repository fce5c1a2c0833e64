//! The machine's monotonic clock, as a number that means the same to every process of this machine until it is started anew.

/// Microseconds on the monotonic clock.
#[inline]
pub fn monotonic_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills a struct of ours that outlives it; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Milliseconds on the monotonic clock.
#[inline]
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1_000
}

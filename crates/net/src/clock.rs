//! The machine's clocks as numbers: the monotonic one, which means the same to every process of this machine until it is started anew,
//! and the CPU time of a thread.

/// Microseconds on the monotonic clock.
#[inline]
pub fn monotonic_us() -> u64 {
    us(libc::CLOCK_MONOTONIC)
}

/// Microseconds of CPU time that this thread has taken. Unlike the monotonic clock's this takes a system call.
pub fn thread_cpu_us() -> u64 {
    us(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn us(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills a struct of ours that outlives it; these clocks are always there.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Milliseconds on the monotonic clock.
#[inline]
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1_000
}

//! Breakers: a stage that keeps failing is left out for a while, instead of failing for everybody.
//!
//! Only faults count, never a spent budget, and only when clients of at least three networks met them: otherwise a client that
//! can make a stage fail could switch it off for all others. While a breaker is open the stage's `on_fault` says what that means.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Client networks that must have met a fault.
pub const NETWORKS: usize = 3;
/// Milliseconds after which one request tries whether the stage works again.
pub const HALF_OPEN_AFTER: u64 = 10_000;
/// Milliseconds for which a network's fault counts.
const REMEMBERED: u64 = 60_000;
/// What both are divided by: a drill runs faster.
static SPEED: AtomicU64 = AtomicU64::new(1);

/// From now on both times of all breakers of this process are divided by this.
pub fn set_speed(speed: u32) {
    SPEED.store(u64::from(speed.max(1)), Ordering::Relaxed);
}

fn scaled(ms: u64) -> u64 {
    ms / SPEED.load(Ordering::Relaxed).max(1)
}

/// The breaker of one stage in one zone, or of one rule.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Millisecond, plus one, since when it is open, or was tried last; 0 is closed.
    open: AtomicU64,
    /// Millisecond, plus one, at which it opened first.
    since: AtomicU64,
    /// The networks that met faults: 24 bits of hash, then 40 bits of millisecond.
    met: [AtomicU64; NETWORKS],
}

/// Whether a stage is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Yes.
    Closed,
    /// Yes, as a trial: this request was chosen.
    Trial,
    /// No.
    Open,
}

impl Breaker {
    /// Whether it is open or being tried.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) != 0
    }

    /// Since which millisecond it is open.
    pub fn open_since(&self) -> Option<u64> {
        self.is_open()
            .then(|| self.since.load(Ordering::Relaxed).saturating_sub(1))
    }

    /// For how many milliseconds it has been open at `now`, and how long ago it was tried last; none when it is closed.
    pub(crate) fn ages(&self, now: u64) -> Option<(u64, u64)> {
        let open = self.open.load(Ordering::Relaxed).checked_sub(1)?;
        let since = self.open_since()?;
        Some((now.saturating_sub(since), now.saturating_sub(open)))
    }

    /// Opens it as one that has had these ages in another process. One that is open already stays as it is.
    pub(crate) fn open_as(&self, now: u64, (since, tried): (u64, u64)) {
        if !self.is_open() {
            self.since
                .store(now.saturating_sub(since) + 1, Ordering::Relaxed);
            // A clock that has just begun cannot go further back than to its beginning: it is tried the later for it.
            self.open
                .store(now.saturating_sub(tried) + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn pass(&self, now: u64) -> Pass {
        let open = self.open.load(Ordering::Relaxed);
        if open == 0 {
            return Pass::Closed;
        }
        if now + 1 < open + scaled(HALF_OPEN_AFTER) {
            return Pass::Open;
        }
        // One of those that come at this moment; the others wait for its outcome, or for the next turn.
        let chosen =
            self.open
                .compare_exchange(open, now + 1, Ordering::Relaxed, Ordering::Relaxed);
        if chosen.is_ok() {
            Pass::Trial
        } else {
            Pass::Open
        }
    }

    /// The stage answered a trial.
    pub(crate) fn mended(&self) {
        for met in &self.met {
            met.store(0, Ordering::Relaxed);
        }
        self.open.store(0, Ordering::Relaxed);
    }

    /// Opens it, whatever was met.
    pub(crate) fn open(&self, now: u64) {
        if !self.is_open() {
            self.since.store(now + 1, Ordering::Relaxed);
            self.open.store(now + 1, Ordering::Relaxed);
        }
    }

    /// The stage failed for this client. Tells whether that opened it.
    pub(crate) fn fault(&self, client: IpAddr, now: u64) -> bool {
        let network = network(client);
        let stamp = (now & 0xff_ffff_ffff) | network << 40;
        let mut place = None;
        let mut oldest = u64::MAX;
        let mut count = 0;
        let remembered = scaled(REMEMBERED);
        for met in &self.met {
            let seen = met.load(Ordering::Relaxed);
            let at = seen & 0xff_ffff_ffff;
            let fresh = seen != 0 && at + remembered > now;
            if fresh && seen >> 40 == network {
                place = Some(met);
                oldest = 0;
            }
            count += usize::from(fresh && seen >> 40 != network);
            let age = if fresh { at + 1 } else { 0 };
            if age < oldest {
                oldest = age;
                place = Some(met);
            }
        }
        if let Some(place) = place {
            place.store(stamp.max(1), Ordering::Relaxed);
        }
        if self.is_open() {
            // A trial that failed: it stays open for another turn.
            self.open.store(now + 1, Ordering::Relaxed);
            return false;
        }
        if count + 1 < NETWORKS {
            return false;
        }
        self.open(now);
        true
    }
}

/// 24 bits that stand for a client's network: its /24, or /32 for IPv6, which is what one
/// owner has; never 0.
fn network(client: IpAddr) -> u64 {
    let bits = match client.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 96) as u64 | 1 << 63,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_cannot_open_it_however_often_it_fails() {
        let breaker = Breaker::default();
        for now in 0..1_000 {
            assert!(!breaker.fault(ip("192.0.2.7"), now));
            assert!(!breaker.fault(ip("192.0.2.8"), now), "the same network");
            assert!(!breaker.fault(ip("198.51.100.1"), now), "a second network");
            assert_eq!(breaker.pass(now), Pass::Closed);
        }
    }

    #[test]
    fn three_networks_open_it_and_a_trial_closes_it() {
        let breaker = Breaker::default();
        breaker.fault(ip("192.0.2.1"), 100);
        breaker.fault(ip("198.51.100.1"), 100);
        assert!(breaker.fault(ip("2001:db8::1"), 200));
        assert_eq!(breaker.open_since(), Some(200));
        assert_eq!(breaker.pass(200), Pass::Open);
        assert_eq!(breaker.pass(200 + HALF_OPEN_AFTER - 1), Pass::Open);
        let now = 200 + HALF_OPEN_AFTER;
        assert_eq!(breaker.pass(now), Pass::Trial);
        assert_eq!(breaker.pass(now), Pass::Open, "one trial at a time");
        assert!(!breaker.fault(ip("203.0.113.1"), now));
        assert_eq!(breaker.pass(now + HALF_OPEN_AFTER - 1), Pass::Open);
        assert_eq!(breaker.pass(now + HALF_OPEN_AFTER), Pass::Trial);
        breaker.mended();
        assert_eq!(breaker.pass(now + HALF_OPEN_AFTER), Pass::Closed);
        assert_eq!(breaker.open_since(), None);
    }

    #[test]
    fn old_faults_are_forgotten() {
        let breaker = Breaker::default();
        breaker.fault(ip("192.0.2.1"), 0);
        breaker.fault(ip("198.51.100.1"), 1);
        assert!(!breaker.fault(ip("203.0.113.1"), REMEMBERED + 1));
        assert!(!breaker.is_open());
    }
}

//! Flow-control windows (RFC 9113 §5.2, §6.9).

/// The largest window.
pub(super) const LARGEST: i64 = 0x7fff_ffff;
/// What every window starts with until SETTINGS or WINDOW_UPDATE change it.
pub(super) const INITIAL: u32 = 65_535;

/// The window that we grant. Consumed bytes are given back in one WINDOW_UPDATE once they make up half of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    size: u32,
    left: u32,
    owed: u32,
}

impl Granted {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            owed: 0,
        }
    }

    /// The peer has sent `length` flow-controlled bytes; false when that is more than it may.
    pub(super) fn take(&mut self, length: u32) -> bool {
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// `length` of the taken bytes need no more room here. Returns the increment of the WINDOW_UPDATE that is due.
    pub(super) fn give_back(&mut self, length: u32) -> Option<u32> {
        self.owed += length;
        if self.owed == 0 || self.owed < self.size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.owed);
        self.left += increment;
        Some(increment)
    }
}

/// The window that the peer grants us. It may be negative (RFC 9113 §6.9.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed(i64);

impl Allowed {
    pub(super) fn new(size: u32) -> Self {
        Self(i64::from(size))
    }

    /// How many bytes may be sent now.
    pub(super) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn spend(&mut self, length: usize) {
        self.0 -= length as i64;
    }

    /// Changes the window; false when it would overflow.
    #[must_use]
    pub(super) fn change(&mut self, by: i64) -> bool {
        self.0 += by;
        self.0 <= LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_half_a_window() {
        let mut window = Granted::new(100);
        assert!(window.take(100) && !window.take(1));
        assert_eq!(window.give_back(0), None);
        assert_eq!(window.give_back(49), None);
        assert_eq!(window.give_back(1), Some(50));
        assert!(window.take(50) && !window.take(1));
    }

    #[test]
    fn a_window_may_be_negative_but_never_overflow() {
        let mut window = Allowed::new(10);
        window.spend(10);
        assert!(window.change(-10));
        assert_eq!(window.available(), 0);
        assert!(window.change(30));
        assert_eq!(window.available(), 20);
        assert!(!window.change(LARGEST));
    }
}

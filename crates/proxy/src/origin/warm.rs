//! Slow start: a member that is new, or comes back, gets a share that grows to its whole weight.
//!
//! Caches are cold, connections few and code not yet compiled when a server begins: its full share at once is what takes it
//! down again. Its weight counts a tenth at first and grows in a straight line with time. All members of a start begin at once,
//! and with full weights: there is nobody else to carry the load meanwhile.

use std::sync::atomic::Ordering;

use super::pool::{Member, Pool, Slot};

/// Weights are counted in so many parts, so that a tenth of 1 is something.
const PARTS: u64 = 1_000;

/// It has been there from the beginning.
pub(super) const ALWAYS: u64 = 0;

/// It begins when the next request is given out: who learns that it is back has no clock at hand.
pub(super) const NEXT: u64 = u64::MAX;

impl Pool {
    /// This member comes back, or is new.
    pub(super) fn begin_anew(&self, member: &Member) {
        if self.settings.spread.slow_start_ms > 0 {
            member.since.store(NEXT, Ordering::Relaxed);
            self.tally.warming_until.store(NEXT, Ordering::Relaxed);
        }
    }

    /// A member comes back at this time.
    pub(super) fn returns_at(&self, then: u64) {
        let window = self.settings.spread.slow_start_ms;
        if window > 0 {
            let until = then.saturating_add(window).min(NEXT - 1);
            self.tally.warming_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// Whether any member has less than its whole weight.
    #[inline]
    pub(super) fn is_warming(&self, now: u64) -> bool {
        let window = self.settings.spread.slow_start_ms;
        if window == 0 {
            return false;
        }
        let until = self.tally.warming_until.load(Ordering::Relaxed);
        if until == NEXT {
            self.begin(now);
        }
        now < until
    }

    #[cold]
    fn begin(&self, now: u64) {
        // First, so that one that asks for it from here on is not lost.
        let until = now.saturating_add(self.settings.spread.slow_start_ms);
        let until = until.min(NEXT - 1);
        self.tally.warming_until.store(until, Ordering::Relaxed);
        for slot in &self.slots {
            let since = &slot.member.since;
            let _already = since.compare_exchange(NEXT, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        // An ejection may end later than that.
        for slot in &self.slots {
            self.returns_at(slot.member.ejected_until.load(Ordering::Relaxed));
        }
    }

    /// How much of its weight counts now.
    pub(super) fn percent_now(&self, slot: &Slot, now: u64) -> u32 {
        let whole = u64::from(slot.weight) * PARTS;
        let weight = self.weight_now(slot, now, self.settings.spread.slow_start_ms > 0);
        u32::try_from(weight * 100 / whole.max(1)).unwrap_or(100)
    }

    /// A member's weight now, in parts.
    pub(super) fn weight_now(&self, slot: &Slot, now: u64, warming: bool) -> u64 {
        let weight = u64::from(slot.weight);
        let window = self.settings.spread.slow_start_ms;
        if !warming || window == 0 {
            return weight * PARTS;
        }
        let since = slot.member.since.load(Ordering::Relaxed);
        let ejected_until = slot.member.ejected_until.load(Ordering::Relaxed);
        let since = since.max(ejected_until);
        if since == ALWAYS || slot.weight == 0 {
            return weight * PARTS;
        }
        let elapsed = now.saturating_sub(since).min(window);
        let parts = u128::from(elapsed) * u128::from(PARTS) / u128::from(window);
        let parts = u64::try_from(parts).unwrap_or(PARTS);
        weight * parts.max(PARTS / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::balance::mix;
    use crate::origin::{Active, Key, Members, Outcome, Passive, Settings, Spread, Tried};

    const WINDOW: u64 = 10_000;

    fn settings() -> Settings {
        Settings {
            active: Some(Active {
                healthy_after: 1,
                unhealthy_after: 1,
            }),
            passive: Passive {
                failures: 1,
                eject_for_ms: 1_000,
            },
            spread: Spread {
                slow_start_ms: WINDOW,
                ..Spread::default()
            },
            ..Settings::default()
        }
    }

    fn pool(names: &[&str], members: &Members) -> Pool {
        let origins = names.iter().map(|name| (*name, 1));
        Pool::new("zone", origins, settings(), members)
    }

    /// The share of member 0 in thousandths, by load and by key.
    fn shares(pool: &Pool, now: u64) -> (i64, i64) {
        let (mut by_load, mut by_key) = (0, 0);
        for draw in 0..40_000u64 {
            let random = mix(draw.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let tried = Tried::default();
            by_load += i64::from(pool.pick(now, random, &tried).unwrap().index == 0);
            let key = Key::of(&draw.to_le_bytes());
            by_key += i64::from(pool.pick_by_key(now, key, &tried).unwrap().index == 0);
        }
        (by_load / 40, by_key / 40)
    }

    #[track_caller]
    fn assert_near(shares: (i64, i64), expected: i64) {
        let (by_load, by_key) = shares;
        let off = (by_load - expected).abs().max((by_key - expected).abs());
        assert!(off <= 10, "{shares:?}, expected {expected}");
    }

    #[test]
    fn all_members_of_a_start_have_their_whole_weight() {
        assert_near(shares(&pool(&["a", "b"], &Members::new()), 5), 500);
    }

    #[test]
    fn a_member_that_recovers_grows_to_its_weight() {
        let pool = pool(&["a", "b"], &Members::new());
        pool.probe_result(0, false);
        assert_near(shares(&pool, 1_000), 0);
        pool.probe_result(0, true);
        // The window begins with the next pick: a tenth against one.
        assert_near(shares(&pool, 5_000), 91);
        assert_near(shares(&pool, 5_000 + WINDOW / 2), 333);
        assert_near(shares(&pool, 5_000 + WINDOW), 500);
        assert!(!pool.is_warming(5_000 + WINDOW));
    }

    #[test]
    fn a_member_whose_ejection_ends_grows_too() {
        let pool = pool(&["a", "b"], &Members::new());
        pool.report(0, Outcome::Reset, 1_000).unwrap();
        assert_near(shares(&pool, 1_500), 0);
        assert_near(shares(&pool, 2_000), 91);
        assert_near(shares(&pool, 2_000 + WINDOW / 2), 333);
        assert_near(shares(&pool, 2_000 + WINDOW), 500);
    }

    #[test]
    fn a_member_that_is_added_grows_while_the_others_stay() {
        let members = Members::new();
        let _old = pool(&["b"], &members);
        let new = pool(&["a", "b"], &members);
        assert_near(shares(&new, 70_000), 91);
        assert_near(shares(&new, 70_000 + WINDOW), 500);
    }

    #[test]
    fn it_is_off_by_default() {
        let members = Members::new();
        let origins = [("a", 1), ("b", 1)];
        let pool = Pool::new("zone", origins, Settings::default(), &members);
        for _ in 0..5 {
            pool.report(0, Outcome::Reset, 1_000);
        }
        assert!(pool.is_out(pool.member(0).unwrap(), 1_001));
        assert_near(shares(&pool, 11_000), 500);
    }
}

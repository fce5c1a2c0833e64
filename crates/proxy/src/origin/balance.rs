//! Which member gets the next request: of two drawn by weight, the one with less to do for its weight.
//!
//! Two random ones are nearly as good as the least loaded of all, cost the same in a pool of any size, and threads that
//! decide at the same instant do not all run to the same member (Mitzenmacher, "The power of two choices", 2001).
//! Members that are out (`health`) are left out, unless more than half are: then all are used again, because the
//! remaining few would break under the load of all, and because so many failing at once speaks for a fault of the
//! probing, or of the path to them, rather than of the members.
//!
//! Not here: what puts a member out.

use std::sync::Arc;

use super::pool::{Member, Pool, Slot};

/// The member that gets the request.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'pool> {
    /// Its index in the pool.
    pub index: u16,
    /// The member.
    pub member: &'pool Arc<Member>,
    /// It is out, and was picked all the same, for want of others.
    pub desperate: bool,
}

/// The members that one request was given to already, by index: the last eight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indices: [u16; 8],
    count: usize,
}

impl Tried {
    /// Adds a member. A ninth takes the place of the first.
    pub fn add(&mut self, index: u16) {
        if let Some(place) = self.indices.get_mut(self.count % 8) {
            *place = index;
            self.count += 1;
        }
    }

    /// Whether this member is among them.
    pub fn has(&self, index: u16) -> bool {
        self.indices
            .iter()
            .take(self.count)
            .any(|tried| *tried == index)
    }

    /// Whether it is the request's first attempt.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Pool {
    /// The member that the next request goes to. None when each was tried already, or when there is none.
    ///
    /// `random` is any 64 uniform bits. A member that was tried is not picked again: a caller who wants the same one once
    /// more (over a fresh connection, after a kept one turned out to be closed) does not add it to `tried`.
    pub fn pick(&self, now: u64, random: u64, tried: &Tried) -> Option<Picked<'_>> {
        if let [only] = &*self.slots {
            return (!tried.has(only.index)).then(|| self.picked(only, now));
        }
        let (first, second) = self.draw(random)?;
        if self.is_warming(now) {
            return self.pick_with_some_out(first, now, random, tried, true);
        }
        let fits = |slot: &Slot| !tried.has(slot.index) && !self.is_out(&slot.member, now);
        if fits(first) && fits(second) {
            let lighter = lighter(first, second, |slot| slot.weight.into());
            return Some(Picked {
                index: lighter.index,
                member: &lighter.member,
                desperate: false,
            });
        }
        self.pick_with_some_out(first, now, random, tried, false)
    }

    /// Two different members by weight; the same one twice when only one has a weight.
    fn draw(&self, random: u64) -> Option<(&Slot, &Slot)> {
        let [high, low] = halves(random);
        let first = self.slot_at(scale(high, self.total))?;
        let others = self.total - u64::from(first.weight);
        if others == 0 {
            return Some((first, first));
        }
        // The second comes from what is left when the first's stretch is cut out.
        let draw = scale(low, others);
        let before_first = first.upto - u64::from(first.weight);
        let second = self.slot_at(if draw < before_first {
            draw
        } else {
            draw + u64::from(first.weight)
        })?;
        Some((first, second))
    }

    fn slot_at(&self, draw: u64) -> Option<&Slot> {
        self.slots
            .get(self.slots.partition_point(|slot| slot.upto <= draw))
    }

    /// The rarer case, which looks at every member: one of the two is out or was tried, or some have less than their weight.
    #[cold]
    fn pick_with_some_out<'pool>(
        &'pool self,
        first: &'pool Slot,
        now: u64,
        random: u64,
        tried: &Tried,
        warming: bool,
    ) -> Option<Picked<'pool>> {
        let weight = |slot: &Slot| self.weight_now(slot, now, warming);
        let (drawable, out) = self.count_out(now);
        let untried = |slot: &Slot| slot.weight > 0 && !tried.has(slot.index);
        let usable = |slot: &Slot| untried(slot) && !self.is_out(&slot.member, now);
        // A second attempt goes to one that works even when most are out: their number is bounded by the retry budget.
        let (first, second) = if out * 2 > drawable && tried.is_empty() {
            self.draw(random)?
        } else {
            let kept = (!warming && usable(first)).then_some(first);
            // Mixed anew, because these bits are the ones that led here: they are not uniform any more.
            let random = mix(random);
            let pair = self.draw_where(usable, &weight, kept, random);
            pair.or_else(|| self.draw_where(untried, &weight, None, random))?
        };
        Some(self.picked(lighter(first, second, weight), now))
    }

    /// Two different members by weight among those that fit; the same one twice when only one does. A first that was
    /// drawn already is kept: drawing it once more because of the second would shift the shares.
    fn draw_where<'pool>(
        &'pool self,
        fits: impl Fn(&Slot) -> bool,
        weight: &impl Fn(&Slot) -> u64,
        first: Option<&'pool Slot>,
        random: u64,
    ) -> Option<(&'pool Slot, &'pool Slot)> {
        let [high, low] = halves(random);
        let fitting = || self.slots.iter().filter(|slot| fits(slot));
        let first = first.or_else(|| walk(fitting, weight, high))?;
        let others = || fitting().filter(|slot| slot.index != first.index);
        let second = walk(others, weight, low);
        Some((first, second.unwrap_or(first)))
    }

    pub(super) fn picked<'pool>(&self, slot: &'pool Slot, now: u64) -> Picked<'pool> {
        let desperate = self.is_out(&slot.member, now);
        if desperate {
            self.note_desperate();
        }
        Picked {
            index: slot.index,
            member: &slot.member,
            desperate,
        }
    }
}

/// The one with fewer requests in flight for its weight; the first, when both have as many: then weights alone decide.
fn lighter<'pool>(
    first: &'pool Slot,
    second: &'pool Slot,
    weight: impl Fn(&Slot) -> u64,
) -> &'pool Slot {
    let load_of_first = u64::from(first.member.in_flight()).saturating_mul(weight(second));
    let load_of_second = u64::from(second.member.in_flight()).saturating_mul(weight(first));
    if load_of_first <= load_of_second {
        first
    } else {
        second
    }
}

/// One of `slots` by weight. They may change between the sum and the draw, since other threads report meanwhile: the
/// last one stands in then.
fn walk<'pool, Slots: Iterator<Item = &'pool Slot>>(
    slots: impl Fn() -> Slots,
    weight: &impl Fn(&Slot) -> u64,
    random: u32,
) -> Option<&'pool Slot> {
    let mut draw = scale(random, slots().map(weight).sum());
    let mut last = None;
    for slot in slots() {
        last = Some(slot);
        match draw.checked_sub(weight(slot)) {
            Some(rest) => draw = rest,
            None => break,
        }
    }
    last
}

/// 32 random bits to a number below `end`.
fn scale(random: u32, end: u64) -> u64 {
    ((u128::from(random) * u128::from(end)) >> 32) as u64
}

fn halves(random: u64) -> [u32; 2] {
    [(random >> 32) as u32, random as u32]
}

/// The finishing steps of SplitMix64 (Steele, Lea, Flood, 2014): fresh bits from used ones.
pub(super) fn mix(random: u64) -> u64 {
    let random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    random ^ (random >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::origin::{Active, Lease, Members, Outcome, Settings};

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(self.0)
        }
    }

    const PROBED: Active = Active {
        healthy_after: 1,
        unhealthy_after: 1,
    };

    fn pool(weights: &[u32]) -> Pool {
        let ids: Vec<_> = (0..weights.len())
            .map(|index| format!("http://{index}.test:80"))
            .collect();
        let origins = ids.iter().map(String::as_str).zip(weights.iter().copied());
        let settings = Settings {
            active: Some(PROBED),
            ..Settings::default()
        };
        Pool::new("zone", origins, settings, &Members::new())
    }

    /// Shares of 100,000 picks, in thousandths.
    fn shares(pool: &Pool, tried: &Tried) -> Vec<i64> {
        let mut dice = Dice(7);
        let mut counts = vec![0i64; pool.len()];
        for _ in 0..100_000 {
            counts[usize::from(pool.pick(0, dice.roll(), tried).unwrap().index)] += 1;
        }
        counts.into_iter().map(|count| count / 100).collect()
    }

    #[track_caller]
    fn assert_near(shares: &[i64], expected: &[i64]) {
        assert_eq!(shares.len(), expected.len());
        let off = shares
            .iter()
            .zip(expected)
            .map(|(share, expected)| (share - expected).abs());
        assert!(off.max().unwrap() <= 8, "{shares:?}, expected {expected:?}");
    }

    #[test]
    fn idle_members_get_requests_by_weight() {
        assert_near(&shares(&pool(&[1, 1, 1, 1]), &Tried::default()), &[250; 4]);
        assert_near(
            &shares(&pool(&[1, 2, 3, 4]), &Tried::default()),
            &[100, 200, 300, 400],
        );
        assert_near(&shares(&pool(&[9, 1]), &Tried::default()), &[900, 100]);
    }

    #[test]
    fn what_is_out_leaves_its_share_to_the_others_by_weight() {
        let pool = pool(&[4, 1, 2, 3]);
        pool.probe_result(0, false);
        assert_near(&shares(&pool, &Tried::default()), &[0, 167, 333, 500]);
        let mut tried = Tried::default();
        tried.add(3);
        assert_near(&shares(&pool, &tried), &[0, 333, 667, 0]);
        assert_eq!(pool.desperate_picks(), 0);
        pool.probe_result(0, true);
        assert_near(&shares(&pool, &Tried::default()), &[400, 100, 200, 300]);
    }

    #[test]
    fn the_less_loaded_of_two_wins_in_relation_to_its_weight() {
        let pool = pool(&[1, 4]);
        let busy: Vec<_> = (0..2)
            .map(|_| Lease::new(pool.member(0).unwrap()))
            .collect();
        let also_busy: Vec<_> = (0..7)
            .map(|_| Lease::new(pool.member(1).unwrap()))
            .collect();
        let mut dice = Dice(1);
        // 2/1 against 7/4.
        assert!((0..100).all(|_| pool.pick(0, dice.roll(), &Tried::default()).unwrap().index == 1));
        drop(busy);
        assert!((0..100).all(|_| pool.pick(0, dice.roll(), &Tried::default()).unwrap().index == 0));
        drop(also_busy);
    }

    #[test]
    fn requests_that_pile_up_spread_by_weight() {
        let pool = pool(&[1, 2, 1]);
        let mut dice = Dice(3);
        let mut leases = Vec::new();
        for _ in 0..400 {
            leases.push(Lease::new(
                pool.pick(0, dice.roll(), &Tried::default()).unwrap().member,
            ));
        }
        let loads: Vec<_> = pool
            .members()
            .map(|member| i64::from(member.in_flight()))
            .collect();
        assert!(
            (loads[0] - 100).abs() < 10 && (loads[1] - 200).abs() < 10,
            "{loads:?}"
        );
    }

    #[test]
    fn more_than_half_out_means_all_are_used_again_until_they_recover() {
        let pool = pool(&[1, 1, 1, 1]);
        pool.probe_result(0, false);
        pool.probe_result(1, false);
        assert!(!pool.describe(0).panicking);
        assert_near(&shares(&pool, &Tried::default()), &[0, 0, 500, 500]);
        pool.probe_result(2, false);
        assert!(pool.describe(0).panicking);
        assert_near(&shares(&pool, &Tried::default()), &[250; 4]);
        // Only picks of members that are out are desperate.
        let desperate = pool.desperate_picks();
        assert!((74_000..76_000).contains(&desperate), "{desperate}");
        // Whoever is tried again goes to the one that works.
        let mut tried = Tried::default();
        tried.add(0);
        assert_near(&shares(&pool, &tried), &[0, 0, 0, 1_000]);
        pool.probe_result(0, true);
        assert_near(&shares(&pool, &Tried::default()), &[500, 0, 0, 500]);
    }

    #[test]
    fn the_last_resort_is_used_and_nothing_is_tried_twice() {
        let pool = pool(&[1, 1]);
        pool.probe_result(1, false);
        let mut tried = Tried::default();
        let first = pool.pick(0, 5, &tried).unwrap();
        assert_eq!((first.index, first.desperate), (0, false));
        tried.add(first.index);
        let second = pool.pick(0, 5, &tried).unwrap();
        assert_eq!((second.index, second.desperate), (1, true));
        tried.add(second.index);
        assert!(pool.pick(0, 5, &tried).is_none());
    }

    #[test]
    fn a_pool_of_one_always_has_it() {
        let pool = pool(&[3]);
        pool.probe_result(0, false);
        let picked = pool.pick(0, 0, &Tried::default()).unwrap();
        assert_eq!((picked.index, picked.desperate), (0, true));
        let mut tried = Tried::default();
        tried.add(0);
        assert!(pool.pick(0, 0, &tried).is_none());
    }

    #[test]
    fn tried_remembers_the_last_eight() {
        let mut tried = Tried::default();
        assert!(tried.is_empty() && !tried.has(0));
        (0..9).for_each(|index| tried.add(index));
        assert!(!tried.has(0) && (1..9).all(|index| tried.has(index)));
    }

    #[test]
    fn a_large_pool_draws_from_all_of_it() {
        let pool = pool(&[65_535; 3_000]);
        let mut dice = Dice(11);
        let mut seen = vec![0u32; 3_000];
        for _ in 0..60_000 {
            seen[usize::from(pool.pick(0, dice.roll(), &Tried::default()).unwrap().index)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 0 && *count < 60));
    }

    #[test]
    fn four_threads_pick_lease_and_report_without_losing_count() {
        let pool = &pool(&[1, 2, 3, 4, 5]);
        let desperate = &AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    let mut dice = Dice(thread);
                    for now in 0..50_000u64 {
                        let mut tried = Tried::default();
                        let picked = pool.pick(now, dice.roll(), &tried).unwrap();
                        desperate.fetch_add(u64::from(picked.desperate), Ordering::Relaxed);
                        let lease = Lease::new(picked.member);
                        let failed = picked.index < 2 && !dice.roll().is_multiple_of(4);
                        let outcome = if failed {
                            Outcome::Reset
                        } else {
                            Outcome::Answered(200)
                        };
                        pool.report(picked.index, outcome, now);
                        tried.add(picked.index);
                        let again = pool.pick(now, dice.roll(), &tried).unwrap();
                        assert_ne!(again.index, picked.index);
                        desperate.fetch_add(u64::from(again.desperate), Ordering::Relaxed);
                        if dice.roll().is_multiple_of(64) {
                            pool.probe_result(2, dice.roll().is_multiple_of(2));
                        }
                        drop(lease);
                    }
                });
            }
        });
        assert!(pool.members().all(|member| member.in_flight() == 0));
        assert_eq!(pool.desperate_picks(), desperate.load(Ordering::Relaxed));
        assert!(pool.describe(50_000).members[0].ejections > 0);
    }
}

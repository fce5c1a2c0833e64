//! Histograms of times: two buckets for every doubling, found without a loop.

use std::sync::atomic::{AtomicU64, Ordering};

/// The first bucket ends at 2^6 = 64 µs.
const FIRST_OCTAVE: u32 = 6;
/// The last but one ends at 2^26 µs, some 67 s.
const LAST_OCTAVE: u32 = 26;
/// Upper bounds: 64 µs, and for each octave 1.5 times and twice its beginning.
pub const BOUNDS: usize = 2 * (LAST_OCTAVE - FIRST_OCTAVE) as usize + 1;

/// Numbers of a histogram: its buckets and the sum.
pub(super) const CELLS: usize = BOUNDS + 2;

/// The upper bound of a bucket in microseconds, itself included; none for the last, which has no bound.
pub const fn bound(bucket: usize) -> Option<u64> {
    if bucket >= BOUNDS {
        return None;
    }
    let octave = FIRST_OCTAVE as usize + bucket / 2;
    Some((1 << octave) + (bucket as u64 % 2) * (1 << (octave - 1)))
}

/// The bucket of a time in microseconds.
#[inline]
pub fn bucket_of(microseconds: u64) -> usize {
    // Bounds are included, so the bits of the number below decide.
    let below = microseconds.saturating_sub(1);
    if below < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = below.ilog2();
    let upper_half = (below >> (octave - 1) & 1) as usize;
    let bucket = 2 * (octave - FIRST_OCTAVE) as usize + upper_half + 1;
    bucket.min(BOUNDS)
}

/// A histogram that one thread writes.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS + 1],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    #[inline]
    pub(super) fn observe(&self, microseconds: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(microseconds)) {
            super::shard::add(bucket, 1);
        }
        super::shard::add(&self.sum_us, microseconds);
    }

    /// One of its numbers, the sum behind the buckets.
    pub(super) fn cell(&self, nth: usize) -> Option<&AtomicU64> {
        let mut all = self.buckets.iter().chain([&self.sum_us]);
        all.nth(nth)
    }

    /// Adds this one to some sums.
    pub(super) fn add_to(&self, sums: &mut Sums) {
        for (sum, bucket) in sums.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        sums.sum_us = sums
            .sum_us
            .wrapping_add(self.sum_us.load(Ordering::Relaxed));
    }
}

/// The sums of some histograms.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) buckets: [u64; BOUNDS + 1],
    pub(super) sum_us: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            buckets: [0; BOUNDS + 1],
            sum_us: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_are_those_meant() {
        let bounds: Vec<u64> = (0..BOUNDS).map(|bucket| bound(bucket).unwrap()).collect();
        assert_eq!(&bounds[..5], [64, 96, 128, 192, 256]);
        assert_eq!(bounds.last(), Some(&(1 << 26)));
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(bound(BOUNDS), None);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let mut times: Vec<u64> = (0..5000).collect();
        for bucket in 0..BOUNDS {
            let bound = bound(bucket).unwrap();
            times.extend([bound - 1, bound, bound + 1]);
        }
        times.extend([u64::MAX, u64::MAX - 1, 1 << 63]);
        for time in times {
            let expected = (0..BOUNDS)
                .find(|&bucket| time <= bound(bucket).unwrap())
                .unwrap_or(BOUNDS);
            assert_eq!(bucket_of(time), expected, "{time}");
        }
    }
}

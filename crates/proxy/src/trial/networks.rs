//! About how many networks of clients did something, in little memory: a client that asks a thousand times counts once.

use std::sync::atomic::{AtomicU8, Ordering};

/// Registers: an estimate is within some 7 %.
const REGISTERS: usize = 256;

/// HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007), with its correction for few.
#[derive(Debug)]
pub(super) struct Networks([AtomicU8; REGISTERS]);

impl Default for Networks {
    fn default() -> Self {
        Self([const { AtomicU8::new(0) }; REGISTERS])
    }
}

impl Networks {
    /// One did it, by a number in which all bits are mixed.
    pub(super) fn add(&self, mixed: u64) {
        let [place, ..] = mixed.to_be_bytes();
        let rank = ((mixed << 8) | 0x80).leading_zeros() as u8 + 1;
        if let Some(register) = self.0.get(usize::from(place)) {
            register.fetch_max(rank, Ordering::Relaxed);
        }
    }

    /// About how many they are.
    pub(super) fn about(&self) -> u64 {
        let (mut sum, mut empty) = (0.0, 0);
        for register in &self.0 {
            let rank = register.load(Ordering::Relaxed);
            empty += usize::from(rank == 0);
            sum += 0.5_f64.powi(i32::from(rank));
        }
        let all = REGISTERS as f64;
        let many = 0.7213 / (1.0 + 1.079 / all) * all * all / sum;
        let about = if many <= 2.5 * all && empty > 0 {
            all * (all / empty as f64).ln()
        } else {
            many
        };
        about.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix;
    use super::*;

    #[test]
    fn each_counts_once_and_about_right() {
        let networks = Networks::default();
        assert_eq!(networks.about(), 0);
        let mut next = 1;
        for so_many in [1_u64, 20, 100, 1_000, 30_000, 1_000_000] {
            while next <= so_many {
                networks.add(mix(next));
                next += 1;
            }
            for again in 1..=so_many.min(100) {
                networks.add(mix(again));
            }
            let about = networks.about();
            let off = about.abs_diff(so_many);
            assert!(off * 5 <= so_many, "{about} for {so_many}");
        }
    }
}

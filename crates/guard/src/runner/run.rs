//! Where one request stands among the steps.

use seawall_model::Fuel;
use seawall_model::document::SkipSet;

/// Where a request stands.
pub(super) struct Run {
    pub(super) at: usize,
    pub(super) place: u8,
    pub(super) fuel: Fuel,
    pub(super) score: u32,
    pub(super) skip: SkipSet,
    /// It is judged once more.
    pub(super) again: bool,
    /// Who would be sent elsewhere is, though it is judged once more.
    pub(super) follows: bool,
    sifted: Option<Sifted>,
}

/// What a sieve said of the steps behind it.
pub(super) struct Sifted {
    /// The first of these steps, and how many they are.
    pub(super) from: usize,
    pub(super) count: usize,
    /// Those that are to be asked, counted from the first one, in order.
    pub(super) fitting: Vec<u32>,
}

impl Run {
    pub(super) const fn new(again: bool) -> Self {
        Self {
            at: 0,
            place: u8::MAX,
            fuel: Fuel::new(0),
            score: 0,
            skip: SkipSet::NONE,
            again,
            follows: false,
            sifted: None,
        }
    }

    /// Whether who would be sent elsewhere may stay.
    pub(super) const fn stays(&self) -> bool {
        self.again && !self.follows
    }

    /// Steps that a sieve named are asked, others among its steps are not.
    pub(super) fn sift(&mut self, fitting: Vec<u32>, count: usize) {
        self.sifted = Some(Sifted {
            from: self.at,
            count,
            fitting,
        });
    }

    /// The head changed: what was said of it means nothing any more, and steps are asked one by one.
    pub(super) fn forget(&mut self) {
        self.sifted = None;
    }

    /// Goes over steps that need not be asked.
    #[inline]
    pub(super) fn pass_over(&mut self) {
        let Some(sifted) = &self.sifted else { return };
        let Some(done) = self
            .at
            .checked_sub(sifted.from)
            .filter(|done| *done < sifted.count)
        else {
            return;
        };
        let next = sifted.fitting.partition_point(|nth| (*nth as usize) < done);
        let next = sifted
            .fitting
            .get(next)
            .map_or(sifted.count, |nth| *nth as usize);
        self.at = sifted.from + next.min(sifted.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_is_asked_until_the_head_changes() {
        let asked = |fitting: &[u32], forget_at: usize| {
            let mut run = Run::new(false);
            let mut asked = Vec::new();
            while run.at < 9 {
                run.pass_over();
                if run.at >= 9 {
                    break;
                }
                asked.push(run.at);
                run.at += 1;
                if run.at == 3 {
                    run.sift(fitting.to_vec(), 5);
                }
                if run.at == forget_at {
                    run.forget();
                }
            }
            asked
        };
        assert_eq!(asked(&[], 99), [0, 1, 2, 8]);
        assert_eq!(asked(&[0, 3], 99), [0, 1, 2, 3, 6, 8]);
        assert_eq!(asked(&[4], 99), [0, 1, 2, 7, 8]);
        assert_eq!(asked(&[1], 5), [0, 1, 2, 4, 5, 6, 7, 8]);
    }
}

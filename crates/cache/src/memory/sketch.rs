//! How often a key was asked for of late, roughly, in half a byte each: a count-min sketch of four rows that is halved as it
//! fills, so that what was popular once fades (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy").

/// The sketch. It never forgets a key that is asked for, and may count another one's requests as its own.
#[derive(Debug)]
pub(super) struct Sketch {
    /// Sixteen counters of four bits in each: four for each row.
    words: Box<[u64]>,
    mask: u64,
    /// Counted since it was halved last.
    counted: usize,
    /// It is halved after so many.
    most: usize,
}

/// Odd numbers that spread a hash differently for each row.
const ROWS: [u64; 4] = [
    0xc3a5_c85c_97cb_3127,
    0xb492_b66f_be98_f273,
    0x9ae1_6a3b_2f90_404f,
    0xcbf2_9ce4_8422_2325,
];

const MOST: u64 = 15;

impl Sketch {
    /// For about so many keys.
    pub(super) fn new(keys: usize) -> Self {
        let words = keys.clamp(64, 1 << 24).next_power_of_two();
        Self {
            words: vec![0; words].into(),
            mask: words as u64 - 1,
            counted: 0,
            most: words * 10,
        }
    }

    /// The key was asked for.
    pub(super) fn count(&mut self, hash: u64) {
        for (row, factor) in ROWS.iter().enumerate() {
            let (word, shift) = self.place(hash, row, *factor);
            if let Some(word) = self.words.get_mut(word)
                && (*word >> shift) & MOST < MOST
            {
                *word += 1 << shift;
            }
        }
        // Also where no counter could grow: else what was popular once would stay so as long as only popular keys are asked for.
        self.counted += 1;
        if self.counted >= self.most {
            self.halve();
        }
    }

    /// How often it was asked for, 15 at most.
    pub(super) fn frequency(&self, hash: u64) -> u64 {
        let rows = ROWS.iter().enumerate().map(|(row, factor)| {
            let (word, shift) = self.place(hash, row, *factor);
            let word = self.words.get(word).copied().unwrap_or(0);
            (word >> shift) & MOST
        });
        rows.min().unwrap_or(0)
    }

    /// The word and the bit at which a row's counter begins.
    fn place(&self, hash: u64, row: usize, factor: u64) -> (usize, u32) {
        let spread = hash.wrapping_mul(factor);
        let spread = spread ^ (spread >> 32);
        // The counter within the row from bits that do not choose the word.
        let counter = row as u32 * 4 + ((spread >> 60) as u32 & 3);
        ((spread & self.mask) as usize, counter * 4)
    }

    fn halve(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.counted /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::Random;

    #[test]
    fn what_is_asked_for_often_counts_more_and_fades() {
        let mut sketch = Sketch::new(1_024);
        let mut random = Random::new(1);
        let (often, once) = (random.next(), random.next());
        for _ in 0..10 {
            sketch.count(often);
        }
        sketch.count(once);
        assert!(sketch.frequency(often) >= 10);
        assert!(sketch.frequency(once) >= 1);
        let never = (0..1_000).filter(|_| sketch.frequency(random.next()) > 0);
        assert!(never.count() < 10);
        for _ in 0..20_000 {
            sketch.count(random.next());
        }
        assert!(sketch.frequency(often) <= 9);
    }
}

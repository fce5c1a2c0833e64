//! Which version of each chain serves everybody, and which of them came last: among a million zones, what is new since the last
//! publication is found without a look at the others.

use std::collections::{BTreeMap, VecDeque};

use crate::order::Chain;

/// So many of the latest are known by when they came.
const LATELY: usize = 4_096;

/// The version of a chain that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its number.
    pub number: u64,
    /// The number of the log's entry since which it does.
    pub since: u64,
}

/// What serves: the version that the last complete rollout of each chain brought.
#[derive(Debug, Default)]
pub struct Serving {
    all: BTreeMap<Chain, Served>,
    /// The latest, the oldest first: since when, and of which chain.
    lately: VecDeque<(u64, Chain)>,
    /// What serves since a later entry than this is among them.
    complete_after: u64,
}

impl Serving {
    /// A version serves everybody since this entry of the log, which is not before any that was told.
    pub fn put(&mut self, chain: Chain, number: u64, since: u64) {
        if self.lately.len() == LATELY
            && let Some((dropped, _)) = self.lately.pop_front()
        {
            self.complete_after = dropped;
        }
        self.lately.push_back((since, chain.clone()));
        self.all.insert(chain, Served { number, since });
    }

    /// What serves of a chain.
    pub fn get(&self, chain: &Chain) -> Option<Served> {
        self.all.get(chain).copied()
    }

    /// All chains that serve.
    pub fn iter(&self) -> impl Iterator<Item = (&Chain, Served)> {
        self.all.iter().map(|(chain, served)| (chain, *served))
    }

    /// How many those are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing serves yet.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Chains whose version serves since a later entry of the log than this one, each once, with its number.
    pub fn since(&self, after: u64) -> Vec<(Chain, u64)> {
        if after < self.complete_after {
            return self
                .iter()
                .filter(|(_, served)| served.since > after)
                .map(|(chain, served)| (chain.clone(), served.number))
                .collect();
        }
        let later = self.lately.iter().rev();
        let later = later.take_while(|(since, _)| *since > after);
        // Where one came more than once, the last time is the one that counts.
        let last = later.filter_map(|(since, chain)| {
            let served = self.get(chain).filter(|served| served.since == *since)?;
            Some((chain.clone(), served.number))
        });
        let mut all: Vec<(Chain, u64)> = last.collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(nth: usize) -> Chain {
        Chain::Zone(format!("{nth:05}.test"))
    }

    /// As it is found by looking at all.
    fn of_all(serving: &Serving, after: u64) -> Vec<(Chain, u64)> {
        let later = serving.iter().filter(|(_, served)| served.since > after);
        let all = later.map(|(chain, served)| (chain.clone(), served.number));
        all.collect()
    }

    #[test]
    fn what_came_since_is_what_a_look_at_all_finds() {
        let mut serving = Serving::default();
        // Several of one entry, some that come again, and more than are known by when they came.
        for nth in 0..3 * LATELY {
            let chain = zone(nth * 7 % (2 * LATELY));
            serving.put(chain, nth as u64 + 1, 10 + nth as u64 / 3);
            if nth % 997 == 0 {
                for after in [0, 9, 10 + nth as u64 / 3, 9 + nth as u64 / 3] {
                    assert_eq!(serving.since(after), of_all(&serving, after), "{nth}");
                }
            }
        }
        let last = 10 + (3 * LATELY as u64 - 1) / 3;
        assert_eq!(serving.lately.len(), LATELY);
        assert!(serving.complete_after > 10);
        for after in (0..=last)
            .step_by(101)
            .chain([serving.complete_after, last])
        {
            assert_eq!(serving.since(after), of_all(&serving, after), "{after}");
        }
        assert_eq!(serving.since(last), []);
        assert_eq!(serving.len(), 2 * LATELY);
    }
}

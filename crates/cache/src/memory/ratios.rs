//! Hit ratios on made-up traces, beside a reference: W-TinyLFU for responses of one size, written from its description (Einziger,
//! Eytan, Friedman, Manes, "Adaptive Software Cache Management", 2018) with exact counts in place of a sketch, beside LRU, and beside
//! the most that any cache could have that does not know what comes next: the most popular keys, kept from the start.
//!
//! `cargo test --release -p seawall-cache -- --ignored --nocapture ratios`

use std::collections::{HashMap, VecDeque};

use super::tests::Tier;
use crate::made_up::Random;

/// Keys by Zipf's law: the cumulative weights, searched.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-skew);
            sum
        });
        Self(weights.collect())
    }

    /// How much of all is asked for the first so many keys.
    fn share(&self, keys: usize) -> f64 {
        self.0[keys - 1] / self.0.last().unwrap()
    }

    fn key(&self, random: &mut Random) -> usize {
        let at = random.fraction() * self.0.last().unwrap();
        self.0.partition_point(|weight| *weight < at)
    }
}

/// A cache of so many responses of one size.
trait Reference {
    fn ask(&mut self, key: usize) -> bool;
}

/// Least recently used goes.
struct Lru {
    most: usize,
    clock: u64,
    used: HashMap<usize, u64>,
    order: std::collections::BTreeMap<u64, usize>,
}

impl Lru {
    fn new(most: usize) -> Self {
        Self {
            most,
            clock: 0,
            used: HashMap::new(),
            order: std::collections::BTreeMap::new(),
        }
    }

    fn touch(&mut self, key: usize) -> bool {
        self.clock += 1;
        match self.used.insert(key, self.clock) {
            Some(before) => {
                self.order.remove(&before);
                self.order.insert(self.clock, key);
                true
            }
            None => {
                self.order.insert(self.clock, key);
                false
            }
        }
    }

    fn remove(&mut self, key: usize) -> bool {
        let before = self.used.remove(&key);
        before.is_some_and(|before| self.order.remove(&before).is_some())
    }

    fn oldest(&self) -> Option<usize> {
        self.order.values().next().copied()
    }

    fn over(&self) -> bool {
        self.used.len() > self.most
    }
}

impl Reference for Lru {
    fn ask(&mut self, key: usize) -> bool {
        let hit = self.touch(key);
        if self.over()
            && let Some(oldest) = self.oldest()
        {
            self.remove(oldest);
        }
        hit
    }
}

/// The reference.
struct Tiny {
    window: Lru,
    probation: Lru,
    protected: Lru,
    most: usize,
    counts: HashMap<usize, u32>,
    sample: VecDeque<()>,
    period: usize,
}

impl Tiny {
    fn new(most: usize) -> Self {
        let window = (most / 100).max(1);
        let main = most - window;
        Self {
            window: Lru::new(window),
            probation: Lru::new(main),
            protected: Lru::new(main * 8 / 10),
            most: main,
            counts: HashMap::new(),
            sample: VecDeque::new(),
            period: most * 10,
        }
    }

    fn count(&mut self, key: usize) {
        let count = self.counts.entry(key).or_default();
        *count = (*count + 1).min(15);
        self.sample.push_back(());
        if self.sample.len() >= self.period {
            self.sample.truncate(self.period / 2);
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    fn frequency(&self, key: usize) -> u32 {
        self.counts.get(&key).copied().unwrap_or(0)
    }
}

impl Reference for Tiny {
    fn ask(&mut self, key: usize) -> bool {
        self.count(key);
        if self.window.used.contains_key(&key) {
            return self.window.touch(key);
        }
        if self.protected.used.contains_key(&key) {
            return self.protected.touch(key);
        }
        if self.probation.remove(key) {
            self.protected.touch(key);
            if self.protected.over()
                && let Some(oldest) = self.protected.oldest()
            {
                self.protected.remove(oldest);
                self.probation.touch(oldest);
            }
            return true;
        }
        self.window.touch(key);
        if self.window.over()
            && let Some(candidate) = self.window.oldest()
        {
            self.window.remove(candidate);
            let used = self.probation.used.len() + self.protected.used.len();
            let victim = self.probation.oldest().or_else(|| self.protected.oldest());
            match victim {
                Some(victim) if used >= self.most => {
                    if self.frequency(candidate) > self.frequency(victim) {
                        let _ = self.probation.remove(victim) || self.protected.remove(victim);
                        self.probation.touch(candidate);
                    }
                }
                _ => {
                    self.probation.touch(candidate);
                }
            }
        }
        false
    }
}

/// Of a trace: the number of keys that it asks for, and which.
fn trace(name: &str, length: usize, mut each: impl FnMut(usize)) {
    let mut random = Random::new(42);
    let zipf = Zipf::new(100_000, if name.contains("0.7") { 0.7 } else { 0.99 });
    let mut cold = 1_000_000;
    for step in 0..length {
        let is_scan = name.contains("scan") && (step / 10_000) % 3 == 2;
        let shift = if name.contains("shift") {
            step / 200_000 * 1_000
        } else {
            0
        };
        if is_scan {
            cold += 1;
            each(cold);
        } else {
            each(zipf.key(&mut random) + shift);
        }
    }
}

/// Of a hundred, what the most popular keys have of a trace; a scan has nothing that comes again, and what shifts is not bounded so.
fn most(name: &str, entries: usize) -> f64 {
    let zipf = Zipf::new(100_000, if name.contains("0.7") { 0.7 } else { 0.99 });
    let asked = if name.contains("scan") {
        2.0 / 3.0
    } else {
        1.0
    };
    zipf.share(entries) * asked * 100.0
}

#[test]
#[ignore = "long: a measurement, printed"]
fn ratios() {
    const BODY: usize = 4_096;
    let length = 1_000_000;
    let mut worst = f64::NEG_INFINITY;
    for name in [
        "zipf 0.99",
        "zipf 0.7",
        "zipf 0.99 + scans",
        "zipf 0.7 + scans",
        "zipf 0.99 + shift",
    ] {
        for entries in [1_000, 10_000] {
            // What one of them takes, measured.
            let probe = Tier::new(64 * 1024 * 1024, 100);
            probe.ask(1, "/1000", BODY);
            let (each, _) = probe.memory.used();
            let ours = Tier::new(each * entries, 100);
            let (mut tiny, mut lru) = (Tiny::new(entries), Lru::new(entries));
            let mut hits = [0usize; 3];
            trace(name, length, |key| {
                hits[0] += usize::from(ours.ask(1, &format!("/{key}"), BODY));
                hits[1] += usize::from(tiny.ask(key));
                hits[2] += usize::from(lru.ask(key));
            });
            let ratio = |hits: usize| hits as f64 * 100.0 / length as f64;
            let [ours, tiny, lru] = hits.map(ratio);
            let most = most(name, entries);
            println!(
                "measured: {name}, {entries} entries = {ours:.2} % (W-TinyLFU {tiny:.2}, LRU {lru:.2}, at most {most:.2})"
            );
            worst = worst.max(tiny - ours);
            assert!(ours >= tiny - 0.3, "{name} {entries}");
        }
    }
    println!("measured: below W-TinyLFU at worst = {worst:.2} points");
}

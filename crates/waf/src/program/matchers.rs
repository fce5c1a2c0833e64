//! Patterns and phrases of all rules, each distinct one once, and the sets that scan a text for many of them in one pass.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use seawall_model::{Fuel, Spent, Wrong};

use super::prefilter::Prefilter;
use crate::regex::{Hits, Regex, Required, Set, SetCache, Threads};
use crate::texts::{Kind, Side};

/// The number of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PatternId(pub(crate) u32);

impl PatternId {
    /// Its place among all patterns.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Units for ten bytes of text in which phrases are looked for, and for each that occurs.
const TEN_BYTES: u64 = 40;
const OCCURS: u64 = 10;
/// Transitions that the sets may build for a request, all of its texts together. Past them patterns are asked one by one.
pub(crate) const BUDGET: u32 = 600;
/// And for one text.
const TEXT_BUDGET: u32 = 200;
/// Longer texts than this (bytes) hardly ever come again as they are, and what they make the set build is no use to others.
const SHORT: usize = 512;

/// How many patterns stand in one set.
const SHARD: usize = 64;
/// Samples up to this length (bytes) may build all that they need.
const SAMPLE: usize = 160;

/// A pattern, and where the sets have it.
#[derive(Debug)]
struct Pattern {
    text: String,
    regex: Regex,
    /// What a text must have for it to occur.
    required: Required,
    captures: bool,
    /// By side: its bit, when that side's set has it.
    bits: [Option<u16>; 2],
}

/// Phrases of one operator.
#[derive(Debug)]
struct Phrases {
    words: Vec<Vec<u8>>,
    /// By side: its bit.
    bits: [Option<u16>; 2],
}

/// Some of the patterns of a side. In one set of all of them the states of texts multiply; in a few they add up.
#[derive(Debug)]
struct Shard {
    set: Set,
    /// The bit of its first pattern.
    first: usize,
    /// How many patterns it has.
    count: usize,
}

/// What one pass over a text looks for.
#[derive(Debug, Default)]
struct Scan {
    sets: Vec<Shard>,
    /// By the place in the set.
    patterns: Vec<PatternId>,
    /// Which of them can occur in a text at all.
    prefilter: Prefilter,
    words: Option<AhoCorasick>,
    /// By word: the bit of its phrases.
    word_bits: Vec<u16>,
}

/// All patterns and phrases.
#[derive(Debug, Default)]
pub(crate) struct Matchers {
    patterns: Vec<Pattern>,
    phrases: Vec<Phrases>,
    by_pattern: HashMap<String, PatternId>,
    scans: [Scan; 2],
}

/// What a thread keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct MatcherCache {
    pub(crate) threads: Threads,
    /// By side and shard.
    sets: [Vec<SetCache>; 2],
    /// How many transitions a request may still build.
    pub(crate) budget: u32,
    /// Whether harmless samples are played, for which everything is built.
    pub(crate) is_warming: bool,
    /// How often a set gave a text up.
    pub(crate) given_up: u64,
}

impl MatcherCache {
    /// Bytes that all states take, and how often a set forgot its.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let sets = self.sets.iter().flatten().map(SetCache::memory);
        sets.fold(
            (self.threads.memory(), 0),
            |(bytes, clears), (more, often)| (bytes + more, clears + often),
        )
    }
}

impl Matchers {
    /// Takes a pattern in.
    pub(crate) fn pattern(&mut self, text: &str, captures: bool) -> Result<PatternId, Wrong> {
        if let Some(id) = self.by_pattern.get(text).copied() {
            if let Some(pattern) = self.patterns.get_mut(id.0 as usize)
                && captures
                && !pattern.captures
            {
                pattern.regex = Regex::new(text, false, true)?;
                pattern.captures = true;
            }
            return Ok(id);
        }
        let id = PatternId(self.patterns.len() as u32);
        self.patterns.push(Pattern {
            text: text.to_owned(),
            regex: Regex::new(text, false, captures)?,
            required: Required::of(text),
            captures,
            bits: [None; 2],
        });
        self.by_pattern.insert(text.to_owned(), id);
        Ok(id)
    }

    /// A pattern and its text, by its place.
    pub(super) fn regex(&self, place: usize) -> Option<(&Regex, &str)> {
        let pattern = self.patterns.get(place)?;
        Some((&pattern.regex, &pattern.text))
    }

    /// Takes phrases in.
    pub(crate) fn phrases(&mut self, words: &[Vec<u8>]) -> Option<u16> {
        let id = u16::try_from(self.phrases.len()).ok()?;
        self.phrases.push(Phrases {
            words: words.to_vec(),
            bits: [None; 2],
        });
        Some(id)
    }

    /// Makes the set of a side of these patterns, and the search for these phrases.
    pub(crate) fn finish(
        &mut self,
        side: Side,
        patterns: &[PatternId],
        phrases: &[u16],
    ) -> Result<(), Wrong> {
        let mut scan = Scan::default();
        let mut chosen: Vec<PatternId> = patterns
            .iter()
            .copied()
            .filter(|id| !self.is_common(*id))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        for (nth, some) in chosen.chunks(SHARD).enumerate() {
            let texts: Vec<&str> = some
                .iter()
                .filter_map(|id| self.patterns.get(id.0 as usize))
                .map(|pattern| pattern.text.as_str())
                .collect();
            let Some(set) = Set::new(&texts) else {
                return Err(Wrong::new(
                    "the patterns are too large together",
                    "use fewer, or smaller ones",
                ));
            };
            scan.sets.push(Shard {
                set,
                first: nth * SHARD,
                count: some.len(),
            });
        }
        for (bit, id) in chosen.iter().enumerate() {
            if let Some(pattern) = self.patterns.get_mut(id.0 as usize) {
                set_bit(&mut pattern.bits, side, bit);
            }
        }
        let required = chosen.iter().filter_map(|id| {
            let pattern = self.patterns.get(id.0 as usize)?;
            Some(pattern.required.clone())
        });
        scan.prefilter = Prefilter::new(required.collect());
        scan.patterns = chosen;
        let mut bit = scan.patterns.len();
        let mut words: Vec<&[u8]> = Vec::new();
        for id in phrases {
            let Some(phrases) = self.phrases.get_mut(usize::from(*id)) else {
                continue;
            };
            let [request, response] = phrases.bits;
            if (if side == Side::Request {
                request
            } else {
                response
            })
            .is_none()
            {
                set_bit(&mut phrases.bits, side, bit);
                scan.word_bits
                    .resize(scan.word_bits.len() + phrases.words.len(), bit as u16);
                bit += 1;
            }
        }
        for id in phrases_in_order(phrases) {
            if let Some(phrases) = self.phrases.get(usize::from(id)) {
                words.extend(phrases.words.iter().map(Vec::as_slice));
            }
        }
        if !words.is_empty() {
            let built = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .dense_depth(4)
                .build(&words);
            scan.words = Some(built.map_err(|error| {
                Wrong::new(
                    format!("the phrases are too many: {error}"),
                    "name fewer data files",
                )
            })?);
        }
        if let Some(place) = self.scans.get_mut(side as usize) {
            *place = scan;
        }
        Ok(())
    }

    /// Whether a pattern occurs in plain words: in a set it would be found in each text, which says nothing.
    fn is_common(&self, id: PatternId) -> bool {
        const PLAIN: [&str; 8] = [
            "",
            "a",
            "hello",
            "Word",
            "42",
            "some words here",
            "a-b_c.d",
            "x@y.test",
        ];
        let Some(pattern) = self.patterns.get(id.0 as usize) else {
            return true;
        };
        let mut threads = Threads::default();
        PLAIN.iter().any(|text| {
            let mut fuel = Fuel::new(u64::MAX);
            let found = pattern
                .regex
                .occurs(text.as_bytes(), 0, &mut threads, &mut fuel);
            found != Ok(false)
        })
    }

    /// The bit of a pattern in a side's scan.
    pub(crate) fn pattern_bit(&self, id: PatternId, side: Side) -> Option<usize> {
        let pattern = self.patterns.get(id.0 as usize)?;
        bit(&pattern.bits, side)
    }

    /// The bit of phrases in a side's scan.
    pub(crate) fn phrases_bit(&self, id: u16, side: Side) -> Option<usize> {
        let phrases = self.phrases.get(usize::from(id))?;
        bit(&phrases.bits, side)
    }

    /// Whether one pattern occurs in a text.
    pub(crate) fn occurs(
        &self,
        id: PatternId,
        text: &[u8],
        cache: &mut MatcherCache,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        match self.patterns.get(id.0 as usize) {
            Some(pattern) => pattern
                .regex
                .occurs(text, id.0 as usize, &mut cache.threads, fuel),
            None => Ok(false),
        }
    }

    /// What a pattern and its groups match.
    pub(crate) fn captures(
        &self,
        id: PatternId,
        text: &[u8],
        cache: &mut MatcherCache,
        fuel: &mut Fuel,
    ) -> Result<Vec<Option<(usize, usize)>>, Spent> {
        match self.patterns.get(id.0 as usize) {
            Some(pattern) => pattern
                .regex
                .captures(text, id.0 as usize, &mut cache.threads, fuel),
            None => Ok(Vec::new()),
        }
    }

    /// The first of the phrases that occurs in the text, as a range.
    pub(crate) fn first_phrase(
        &self,
        id: u16,
        text: &[u8],
        side: Side,
        fuel: &mut Fuel,
    ) -> Result<Option<(usize, usize)>, Spent> {
        let bit = self.phrases_bit(id, side);
        let Some(scan) = self.scans.get(side as usize) else {
            return Ok(None);
        };
        let (Some(words), Some(bit)) = (&scan.words, bit) else {
            return Ok(None);
        };
        fuel.spend(text.len() as u64 * TEN_BYTES / 10)?;
        for found in words.find_overlapping_iter(text) {
            fuel.spend(OCCURS)?;
            if scan.word_bits.get(found.pattern().as_usize()) == Some(&(bit as u16)) {
                return Ok(Some((found.start(), found.end())));
            }
        }
        Ok(None)
    }

    /// All that occurs in a text of what a side looks for; None when nothing does.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        side: Side,
        kind: Kind,
        cache: &mut MatcherCache,
        fuel: &mut Fuel,
    ) -> Result<Option<Hits>, Spent> {
        let Some(scan) = self.scans.get(side as usize) else {
            return Ok(None);
        };
        let mut hits = Hits::default();
        match (kind, &scan.words) {
            (Kind::Patterns, _) => {
                let mut possible = None;
                for (nth, shard) in scan.sets.iter().enumerate() {
                    if self.scan_shard(shard, nth, (text, side), cache, &mut hits, fuel)? {
                        continue;
                    }
                    cache.given_up += 1;
                    let possible = match &possible {
                        Some(possible) => possible,
                        None => possible.insert(scan.prefilter.possible(text, fuel)?),
                    };
                    let some = scan.patterns.iter().enumerate().skip(shard.first);
                    for (bit, id) in some.take(shard.count) {
                        if possible.has(bit)
                            && !hits.has(bit)
                            && self.occurs(*id, text, cache, fuel)?
                        {
                            hits.add(bit);
                        }
                    }
                }
            }
            (Kind::Words, Some(words)) => {
                fuel.spend(20 + text.len() as u64 * TEN_BYTES / 10)?;
                for found in words.find_overlapping_iter(text) {
                    fuel.spend(OCCURS)?;
                    if let Some(bit) = scan.word_bits.get(found.pattern().as_usize()) {
                        hits.add(usize::from(*bit));
                    }
                }
            }
            _ => {}
        }
        Ok((!hits.is_empty()).then_some(hits))
    }

    /// Asks each pattern of the sets of harmless texts, so that asking them one by one costs little when a set gives up.
    pub(crate) fn warm(&self, texts: &[&[u8]], cache: &mut MatcherCache) {
        let mut fuel = Fuel::new(u64::MAX);
        for scan in &self.scans {
            for id in &scan.patterns {
                for text in texts {
                    let _never_spent = self.occurs(*id, text, cache, &mut fuel);
                }
            }
        }
    }

    fn scan_shard(
        &self,
        shard: &Shard,
        nth: usize,
        (text, side): (&[u8], Side),
        cache: &mut MatcherCache,
        hits: &mut Hits,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        let Some(threads) = cache.sets.get_mut(side as usize) else {
            return Ok(false);
        };
        if threads.len() <= nth {
            threads.push(shard.set.cache());
        }
        let Some(thread) = threads.get_mut(nth) else {
            return Ok(false);
        };
        let for_text = if text.len() <= SHORT {
            TEXT_BUDGET
        } else {
            TEXT_BUDGET / 4
        };
        let before = if cache.is_warming && text.len() <= SAMPLE {
            u32::MAX
        } else {
            cache.budget.min(for_text)
        };
        let mut left = before;
        let done = shard
            .set
            .scan(text, thread, (hits, shard.first), &mut left, fuel);
        cache.budget = cache.budget.saturating_sub(before - left);
        done
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        let patterns: usize = self
            .patterns
            .iter()
            .map(|pattern| pattern.regex.memory())
            .sum();
        let scans: usize = self
            .scans
            .iter()
            .map(|scan| {
                scan.sets
                    .iter()
                    .map(|shard| shard.set.memory())
                    .sum::<usize>()
                    + scan.prefilter.memory()
                    + scan.words.as_ref().map_or(0, AhoCorasick::memory_usage)
            })
            .sum();
        patterns + scans
    }

    /// How many distinct patterns there are, and how many of them the sets have.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inside = |pattern: &&Pattern| pattern.bits.iter().any(Option::is_some);
        (
            self.patterns.len(),
            self.patterns.iter().filter(inside).count(),
        )
    }
}

fn phrases_in_order(ids: &[u16]) -> Vec<u16> {
    let mut seen = Vec::new();
    for id in ids {
        if !seen.contains(id) {
            seen.push(*id);
        }
    }
    seen
}

fn set_bit(bits: &mut [Option<u16>; 2], side: Side, bit: usize) {
    if let Some(place) = bits.get_mut(side as usize) {
        *place = u16::try_from(bit).ok();
    }
}

fn bit(bits: &[Option<u16>; 2], side: Side) -> Option<usize> {
    bits.get(side as usize).copied().flatten().map(usize::from)
}

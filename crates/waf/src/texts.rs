//! The distinct texts of a request, each kept once, and what is known of each: what transformations make of it, which patterns
//! occur in it.
//!
//! Rules look at the same few texts again and again. A text is known by its number, so that what was found once is a look into a
//! table. Not here: which values a request has.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use seawall_model::{Fuel, Spent};

use crate::pipeline::{Node, Pipelines};
use crate::regex::Hits;
use crate::transform;

/// The number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct TextId(u32);

impl TextId {
    /// The empty text.
    pub(crate) const EMPTY: Self = Self(0);
}

/// Which rules ask: patterns of requests and of responses are scanned for apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request = 0,
    Response = 1,
}

/// What a scan looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Patterns = 0,
    Words = 2,
}

/// Something that is found out once for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Sqli,
    Xss,
}

#[derive(Clone, Debug)]
struct Record {
    begin: usize,
    end: usize,
    /// Kinds of bytes in it.
    classes: u16,
    /// Another text with the same hash.
    next: Option<TextId>,
    /// By side and kind: 0 not scanned, 1 nothing occurs, else the place of what occurs, plus 2.
    scanned: [u32; 4],
    /// Two bits for each question: asked, and the answer.
    answers: u8,
}

/// Texts of a request. Kept from one request to the next for its memory.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    records: Vec<Record>,
    by_hash: HashMap<u64, TextId, BuildHasherDefault<Through>>,
    /// By text and node: the number of the result plus 1, or 0.
    transformed: Vec<u32>,
    nodes: usize,
    hits: Vec<Hits>,
    /// Reused by transformations.
    scratch: Vec<u8>,
    /// Makes which texts collide a secret.
    key: Key,
}

#[derive(Clone, Copy, Debug)]
struct Key(u64);

impl Default for Key {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0u8) | 1)
    }
}

/// Folded multiplication, eight bytes at a time, from a secret on.
fn hash(key: Key, text: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |left: u64, right: u64| {
        let wide = u128::from(left) * u128::from(right);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let mut state = key.0 ^ (text.len() as u64).wrapping_mul(ODD);
    let (eights, rest) = text.as_chunks::<8>();
    for eight in eights {
        state = fold(
            state ^ u64::from_le_bytes(*eight),
            ODD ^ key.0.rotate_left(32),
        );
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    fold(state ^ u64::from_le_bytes(last), key.0 ^ ODD)
}

/// A hash of what is a hash.
#[derive(Default)]
pub(crate) struct Through(u64);

impl Hasher for Through {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Texts {
    /// Forgets all texts; `nodes` is how many steps of pipelines there are.
    pub(crate) fn clear(&mut self, nodes: usize) {
        self.bytes.clear();
        self.records.clear();
        self.by_hash.clear();
        self.transformed.clear();
        self.hits.clear();
        self.nodes = nodes;
        self.add(b"");
    }

    /// The bytes of a text.
    pub(crate) fn get(&self, id: TextId) -> &[u8] {
        self.record(id)
            .and_then(|record| self.bytes.get(record.begin..record.end))
            .unwrap_or_default()
    }

    /// The bytes of its kinds.
    pub(crate) fn classes(&self, id: TextId) -> u16 {
        self.record(id).map_or(u16::MAX, |record| record.classes)
    }

    fn record(&self, id: TextId) -> Option<&Record> {
        self.records.get(id.0 as usize)
    }

    /// The number of a text, which is kept if it is new.
    pub(crate) fn add(&mut self, text: &[u8]) -> TextId {
        let hash = hash(self.key, text);
        let first = self.by_hash.get(&hash).copied();
        let mut at = first;
        while let Some(id) = at {
            if self.get(id) == text {
                return id;
            }
            at = self.record(id).and_then(|record| record.next);
        }
        let id = TextId(u32::try_from(self.records.len()).unwrap_or(u32::MAX));
        let begin = self.bytes.len();
        self.bytes.extend(text);
        self.records.push(Record {
            begin,
            end: self.bytes.len(),
            classes: transform::classes(text),
            next: first,
            scanned: [0; 4],
            answers: 0,
        });
        self.by_hash.insert(hash, id);
        self.transformed.resize(self.records.len() * self.nodes, 0);
        id
    }

    /// What the transformations up to this node make of the text.
    pub(crate) fn transformed(
        &mut self,
        id: TextId,
        node: Node,
        pipelines: &Pipelines,
        fuel: &mut Fuel,
    ) -> Result<TextId, Spent> {
        if pipelines.leaves(node, self.classes(id)) {
            return Ok(id);
        }
        let place = id.0 as usize * self.nodes + node.index();
        match self.transformed.get(place) {
            Some(0) | None => {}
            Some(known) => return Ok(TextId(known - 1)),
        }
        let Some((before, transformation)) = pipelines.step(node) else {
            return Ok(id);
        };
        let from = self.transformed(id, before, pipelines, fuel)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let text = self.get(from);
        let paid = fuel.spend(20 + 2 * text.len() as u64);
        let changed = paid.is_ok() && transform::apply(transformation, text, &mut scratch);
        let result = if changed { self.add(&scratch) } else { from };
        self.scratch = scratch;
        paid?;
        if let Some(known) = self.transformed.get_mut(place) {
            *known = result.0 + 1;
        }
        Ok(result)
    }

    /// What a scan of this side found: None when there was none, an empty option when nothing occurs.
    pub(crate) fn scanned(&self, id: TextId, side: Side, kind: Kind) -> Option<Option<&Hits>> {
        let place = *self
            .record(id)?
            .scanned
            .get(side as usize + kind as usize)?;
        match place {
            0 => None,
            1 => Some(None),
            place => Some(self.hits.get(place as usize - 2)),
        }
    }

    /// Notes what a scan found.
    pub(crate) fn note_scan(&mut self, id: TextId, side: Side, kind: Kind, hits: Option<Hits>) {
        let place = match hits {
            None => 1,
            Some(hits) => {
                self.hits.push(hits);
                self.hits.len() as u32 + 1
            }
        };
        let record = self.records.get_mut(id.0 as usize);
        if let Some(known) =
            record.and_then(|record| record.scanned.get_mut(side as usize + kind as usize))
        {
            *known = place;
        }
    }

    /// What was answered before.
    pub(crate) fn answer(&self, id: TextId, question: Question) -> Option<bool> {
        let bits = self.record(id)?.answers >> (2 * question as u8);
        (bits & 1 != 0).then_some(bits & 2 != 0)
    }

    /// Notes an answer.
    pub(crate) fn note_answer(&mut self, id: TextId, question: Question, answer: bool) {
        if let Some(record) = self.records.get_mut(id.0 as usize) {
            record.answers |= (1 | u8::from(answer) << 1) << (2 * question as u8);
        }
    }
}

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

    /// Whether the next request has it too.
    pub(crate) const fn is_kept(self) -> bool {
        self.0 & KEPT != 0
    }

    /// Its place in its arena.
    const fn place(self) -> usize {
        (self.0 & !KEPT) as usize
    }
}

/// The bit of texts that are kept from one request to the next.
const KEPT: u32 = 1 << 30;
/// How many of them there may be, and how many bytes of text they may have, before no more are taken and all are forgotten with the next
/// request. What transformations make of them, and the tables of what is known, come on top.
const MOST_KEPT: usize = 2048;
const MOST_BYTES: usize = 256 << 10;
/// Longer texts (bytes) are not kept.
const LONGEST_KEPT: usize = 256;
/// Nor are longer names of arguments and cookies.
const LONGEST_NAME: usize = 64;

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

/// Fields whose values come again and again, and are no secrets; besides `sec-ch-` and `sec-fetch-`.
const COMMON: [&str; 26] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "dnt",
    "expect",
    "host",
    "origin",
    "pragma",
    "priority",
    "sec-gpc",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "x-requested-with",
];

fn is_common(field: &[u8]) -> bool {
    let name = field.to_ascii_lowercase();
    let begins = [&b"sec-ch-"[..], b"sec-fetch-"];
    begins.iter().any(|begin| name.starts_with(begin))
        || COMMON.iter().any(|common| common.as_bytes() == name)
}

#[derive(Clone, Debug)]
struct Record {
    begin: u32,
    end: u32,
    /// Another text with the same hash.
    next: Option<TextId>,
    /// By side and kind: 0 not scanned, 1 nothing occurs, else the place of what occurs, plus 2.
    scanned: [u32; 4],
    /// Kinds of bytes in it.
    classes: u16,
    /// Two bits for each question: asked, and the answer.
    answers: u8,
    /// Whether a field of this name says what many clients say alike, once somebody asked.
    names_common: Option<bool>,
}

/// Some texts, and what is known of them.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    records: Vec<Record>,
    by_hash: HashMap<u64, TextId, BuildHasherDefault<Through>>,
    /// By text and node: the number of the result plus 1, or 0.
    transformed: Vec<u32>,
    hits: Vec<Hits>,
}

impl Arena {
    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.by_hash.clear();
        self.transformed.clear();
        self.hits.clear();
    }

    /// Whether it has as many texts as are kept from one request to the next.
    fn is_full(&self) -> bool {
        self.records.len() >= MOST_KEPT || self.bytes.len() >= MOST_BYTES
    }

    fn record(&self, id: TextId) -> Option<&Record> {
        self.records.get(id.place())
    }

    fn get(&self, id: TextId) -> &[u8] {
        let range = self
            .record(id)
            .map(|record| record.begin as usize..record.end as usize);
        range
            .and_then(|range| self.bytes.get(range))
            .unwrap_or_default()
    }

    /// The text with this hash that is this one; and the first with this hash.
    fn find(&self, hash: u64, text: &[u8]) -> (Option<TextId>, Option<TextId>) {
        let first = self.by_hash.get(&hash).copied();
        let mut at = first;
        while let Some(id) = at {
            if self.get(id) == text {
                break;
            }
            at = self.record(id).and_then(|record| record.next);
        }
        (at, first)
    }

    /// Takes a text in that it has not; `kept` is which of the arenas it is.
    fn put(
        &mut self,
        hash: u64,
        text: &[u8],
        next: Option<TextId>,
        kept: u32,
        nodes: usize,
    ) -> TextId {
        let place = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let id = TextId(place | kept);
        let begin = self.bytes.len() as u32;
        self.bytes.extend(text);
        self.records.push(Record {
            begin,
            end: self.bytes.len() as u32,
            classes: transform::classes(text),
            next,
            scanned: [0; 4],
            answers: 0,
            names_common: None,
        });
        self.by_hash.insert(hash, id);
        self.transformed.resize(self.records.len() * nodes, 0);
        id
    }
}

/// Texts of a request, and of earlier ones those that come again and are nobody's secret: names, and what clients say of themselves.
///
/// What is known of a text depends on the text and on the program alone, so that it is as true of the next request. That somebody
/// sent it may be found out by time, which is why values of arguments, cookies, paths and bodies are forgotten with their request.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    own: Arena,
    kept: Arena,
    nodes: usize,
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
    /// Forgets what is the request's own; `nodes` is how many steps of pipelines there are.
    pub(crate) fn clear(&mut self, nodes: usize) {
        self.own.clear();
        if self.nodes != nodes || self.kept.is_full() {
            self.kept = Arena::default();
        }
        self.nodes = nodes;
        let nothing = hash(self.key, b"");
        self.own.put(nothing, b"", None, 0, nodes);
    }

    /// Forgets all, because another program is asked.
    pub(crate) fn forget(&mut self) {
        self.kept = Arena::default();
    }

    fn arena(&self, id: TextId) -> &Arena {
        match id.is_kept() {
            true => &self.kept,
            false => &self.own,
        }
    }

    fn arena_mut(&mut self, id: TextId) -> &mut Arena {
        match id.is_kept() {
            true => &mut self.kept,
            false => &mut self.own,
        }
    }

    /// The bytes of a text.
    pub(crate) fn get(&self, id: TextId) -> &[u8] {
        self.arena(id).get(id)
    }

    /// The bytes of its kinds.
    pub(crate) fn classes(&self, id: TextId) -> u16 {
        self.record(id).map_or(u16::MAX, |record| record.classes)
    }

    fn record(&self, id: TextId) -> Option<&Record> {
        self.arena(id).record(id)
    }

    /// The number of a text, which is taken in if it is new.
    pub(crate) fn add(&mut self, text: &[u8]) -> TextId {
        if text.is_empty() {
            return TextId::EMPTY;
        }
        let hash = hash(self.key, text);
        if let (Some(id), _) = self.kept.find(hash, text) {
            return id;
        }
        self.add_own(hash, text)
    }

    fn add_own(&mut self, hash: u64, text: &[u8]) -> TextId {
        match self.own.find(hash, text) {
            (Some(id), _) => id,
            (None, first) => self.own.put(hash, text, first, 0, self.nodes),
        }
    }

    /// As [`Texts::add`], of a text that is likely to come again and is nobody's secret.
    pub(crate) fn keep(&mut self, text: &[u8]) -> TextId {
        if text.is_empty() {
            return TextId::EMPTY;
        }
        let hash = hash(self.key, text);
        match self.kept.find(hash, text) {
            (Some(id), _) => id,
            (None, _) if text.len() > LONGEST_KEPT || self.kept.is_full() => {
                self.add_own(hash, text)
            }
            (None, first) => self.kept.put(hash, text, first, KEPT, self.nodes),
        }
    }

    /// The number of an argument's or cookie's name. Without a value (or with nothing but what pads base64) it may be none: a token that
    /// stands alone is read as a name.
    pub(crate) fn name(&mut self, name: &[u8], value: &[u8]) -> TextId {
        match name.len() > LONGEST_NAME || value.iter().all(|byte| *byte == b'=') {
            true => self.add(name),
            false => self.keep(name),
        }
    }

    /// The numbers of a field's name and value.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) -> (TextId, TextId) {
        let of = self.keep(name);
        let record = self.arena_mut(of).records.get_mut(of.place());
        let is_common = record
            .is_some_and(|record| *record.names_common.get_or_insert_with(|| is_common(name)));
        match is_common {
            true => (of, self.keep(value)),
            false => (of, self.add(value)),
        }
    }

    /// What a transformation made of a kept text is kept with it.
    fn add_beside(&mut self, of: TextId, text: &[u8]) -> TextId {
        if text.is_empty() || !of.is_kept() {
            return self.add(text);
        }
        let hash = hash(self.key, text);
        match self.kept.find(hash, text) {
            (Some(id), _) => id,
            (None, first) => self.kept.put(hash, text, first, KEPT, self.nodes),
        }
    }

    /// What the transformations up to this node make of the text.
    #[inline]
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
        let place = id.place() * self.nodes + node.index();
        match self.arena(id).transformed.get(place) {
            Some(0) | None => self.transform(id, node, pipelines, fuel),
            Some(known) => Ok(TextId(known - 1)),
        }
    }

    /// The same, where nobody has asked for it yet.
    #[inline(never)]
    fn transform(
        &mut self,
        id: TextId,
        node: Node,
        pipelines: &Pipelines,
        fuel: &mut Fuel,
    ) -> Result<TextId, Spent> {
        let place = id.place() * self.nodes + node.index();
        let Some((before, transformation)) = pipelines.step(node) else {
            return Ok(id);
        };
        let from = self.transformed(id, before, pipelines, fuel)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let text = self.get(from);
        let paid = fuel.spend(20 + 2 * text.len() as u64);
        let changed = paid.is_ok() && transform::apply(transformation, text, &mut scratch);
        let result = if changed {
            self.add_beside(id, &scratch)
        } else {
            from
        };
        self.scratch = scratch;
        paid?;
        if let Some(known) = self.arena_mut(id).transformed.get_mut(place) {
            *known = result.0 + 1;
        }
        Ok(result)
    }

    /// What a scan of this side found: None when there was none, an empty option when nothing occurs.
    pub(crate) fn scanned(&self, id: TextId, side: Side, kind: Kind) -> Option<Option<&Hits>> {
        let arena = self.arena(id);
        let record = arena.record(id)?;
        let place = *record.scanned.get(side as usize + kind as usize)?;
        match place {
            0 => None,
            1 => Some(None),
            place => Some(arena.hits.get(place as usize - 2)),
        }
    }

    /// Notes what a scan found.
    pub(crate) fn note_scan(&mut self, id: TextId, side: Side, kind: Kind, hits: Option<Hits>) {
        let arena = self.arena_mut(id);
        let place = match hits {
            None => 1,
            Some(hits) => {
                arena.hits.push(hits);
                arena.hits.len() as u32 + 1
            }
        };
        let record = arena.records.get_mut(id.place());
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
        if let Some(record) = self.arena_mut(id).records.get_mut(id.place()) {
            record.answers |= (1 | u8::from(answer) << 1) << (2 * question as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_common_fields_are_kept_and_nothing_else() {
        let mut texts = Texts::default();
        texts.clear(3);
        let (name, agent) = texts.field(b"User-Agent", b"Mozilla/5.0");
        let (cookie, secret) = texts.field(b"Cookie", b"session=secret");
        let argument = texts.add(b"hunter2");
        assert_eq!(texts.add(b"Mozilla/5.0"), agent, "a text has one number");
        texts.note_scan(agent, Side::Request, Kind::Patterns, None);
        texts.note_scan(secret, Side::Request, Kind::Patterns, None);
        texts.note_answer(name, Question::Sqli, false);
        texts.clear(3);
        let again = texts.field(b"User-Agent", b"Mozilla/5.0");
        assert_eq!(again, (name, agent));
        assert_eq!(
            texts.scanned(agent, Side::Request, Kind::Patterns),
            Some(None)
        );
        assert_eq!(texts.answer(name, Question::Sqli), Some(false));
        let (again, secret) = texts.field(b"Cookie", b"session=secret");
        assert_eq!(again, cookie);
        assert!(!secret.is_kept() && !argument.is_kept());
        assert_eq!(texts.scanned(secret, Side::Request, Kind::Patterns), None);
    }

    #[test]
    fn a_name_that_may_be_a_secret_is_not_kept() {
        let mut texts = Texts::default();
        texts.clear(3);
        let (long, longer) = ("a".repeat(LONGEST_NAME), "a".repeat(LONGEST_NAME + 1));
        for (name, value, is_kept) in [
            ("q", "1", true),
            ("hunter2", "", false),
            ("aHVudGVyMg", "==", false),
            (long.as_str(), "1", true),
            (longer.as_str(), "1", false),
            // It is known as a name already.
            ("q", "", true),
        ] {
            let id = texts.name(name.as_bytes(), value.as_bytes());
            assert_eq!(id.is_kept(), is_kept, "{name}={value}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut texts = Texts::default();
        for nth in 0..10_000 {
            texts.clear(50);
            texts.keep(format!("name-{nth}").as_bytes());
            assert!(texts.kept.records.len() <= MOST_KEPT);
        }
        texts.clear(50);
        let long = vec![b'a'; LONGEST_KEPT + 1];
        assert!(!texts.keep(&long).is_kept());
        assert_eq!(texts.keep(b""), TextId::EMPTY);
        assert_eq!(texts.get(TextId::EMPTY), b"");
        for nth in 0..3 * MOST_KEPT {
            let name = format!("of one request {nth}");
            let id = texts.keep(name.as_bytes());
            assert_eq!(texts.get(id), name.as_bytes());
        }
        assert!(texts.kept.records.len() <= MOST_KEPT);
    }
}

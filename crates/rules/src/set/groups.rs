//! Comparisons that are looked up together: all of one text, and all of one address.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use seawall_model::{Fuel, Spent};

use super::tables::{Beginnings, Spans, Tell, Whole};
use crate::check::{AddressCheck, Span, TextCheck};
use crate::expression::Leaf;
use crate::search::Needle;
use crate::value::{Address, Seen, Source, Text, Whose};

/// How a comparison can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole text, a beginning or an end, of a field.
    Exact,
    /// A text within a field.
    Contained,
    /// The same of a text that must be made first, or searched for.
    Made,
    Address,
}

/// How this one can be looked up, if it can.
pub(super) fn kind(leaf: &Leaf) -> Option<Kind> {
    match leaf {
        Leaf::Text(text, check) => {
            let is_field = matches!(text.source, Source::Plain(_));
            match check {
                TextCheck::Contains(needle) if needle.text().is_empty() => None,
                TextCheck::Contains(_) if is_field => Some(Kind::Contained),
                TextCheck::Equals(_) | TextCheck::Begins(_) | TextCheck::Ends(_) if is_field => {
                    Some(Kind::Exact)
                }
                TextCheck::Among(set) if is_field && set.len() <= MOST_MEMBERS => Some(Kind::Exact),
                TextCheck::Contains(_) | TextCheck::Equals(_) | TextCheck::Begins(_) => {
                    Some(Kind::Made)
                }
                _ => None,
            }
        }
        Leaf::Address(_, AddressCheck::Equals(_)) => Some(Kind::Address),
        Leaf::Address(_, AddressCheck::Among(_, spans)) => spans.as_ref().map(|_| Kind::Address),
        _ => None,
    }
}

/// Members of a set that stand in the table one by one.
const MOST_MEMBERS: usize = 4_096;
/// Fewer texts are looked for one by one.
const LEAST_CONTAINED: usize = 4;
/// Fewer comparisons of a text that must be made are asked one by one.
const LEAST_MADE: usize = 4;

/// Whose address it is, and how much of it is kept.
type Cut = (bool, (u8, u8));
/// An address, and the ranges that are asked of it.
type OfAddress = (Address, Vec<(Span, u32)>);

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    texts: Box<[OfText]>,
    addresses: Box<[(Address, Spans)]>,
    /// For each leaf whether a group tells when it holds.
    decided: Box<[bool]>,
}

/// All comparisons of one text.
#[derive(Debug)]
struct OfText {
    text: Text,
    whole: Whole,
    beginnings: Beginnings,
    ends: Beginnings,
    contained: Option<Contained>,
}

#[derive(Debug)]
struct Contained {
    search: AhoCorasick,
    /// By the number of the pattern.
    leaves: Box<[(u32, Needle)]>,
}

/// Units for ten bytes that are searched for many texts.
const TEN_BYTES: u64 = 30;
/// Units for each text that is found.
const FOUND: u64 = 6;

impl Groups {
    /// Groups of those leaves that are wanted, and of others that cost nothing there.
    pub(super) fn new(leaves: &[Arc<Leaf>], wanted: &[bool]) -> Self {
        let mut decided = vec![false; leaves.len()];
        let mut by_text: Vec<(&Text, Vec<u32>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut by_address: BTreeMap<Cut, OfAddress> = BTreeMap::new();
        for ((nth, leaf), wanted) in (0_u32..).zip(leaves).zip(wanted) {
            if !wanted {
                continue;
            }
            match &**leaf {
                Leaf::Text(text, _) => {
                    let place = *places.entry(text).or_insert_with(|| {
                        by_text.push((text, Vec::new()));
                        by_text.len() - 1
                    });
                    if let Some((_, all)) = by_text.get_mut(place) {
                        all.push(nth);
                    }
                }
                Leaf::Address(address, check) => {
                    let key = (address.whose == Whose::Client, address.kept);
                    let (_, spans) = by_address
                        .entry(key)
                        .or_insert_with(|| (*address, Vec::new()));
                    spans.extend(check.spans().map(|span| (span, nth)));
                }
                _ => {}
            }
        }
        let mut decide = |leaf: u32| {
            if let Some(decided) = decided.get_mut(leaf as usize) {
                *decided = true;
            }
        };
        let texts = by_text.into_iter().filter_map(|(text, members)| {
            let is_field = matches!(text.source, Source::Plain(_));
            if !is_field && members.len() < LEAST_MADE {
                return None;
            }
            Some(OfText::new(text, &members, leaves, &mut decide))
        });
        let texts = texts.collect();
        let addresses = by_address.into_values().filter_map(|(address, spans)| {
            let table = Spans::new(&spans)?;
            spans.iter().for_each(|(_, leaf)| decide(*leaf));
            Some((address, table))
        });
        Self {
            addresses: addresses.collect(),
            texts,
            decided: decided.into(),
        }
    }

    /// Whether a group tells when this leaf holds.
    pub(super) fn decide(&self, leaf: u32) -> bool {
        self.decided.get(leaf as usize).copied().unwrap_or_default()
    }

    /// Tells of each leaf that holds; of some twice.
    pub(super) fn ask(&self, seen: Seen<'_>, fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        for (address, spans) in &self.addresses {
            spans.ask(address.read(seen), fuel, tell)?;
        }
        for group in &self.texts {
            let Some(read) = group.text.value(seen, fuel)? else {
                continue;
            };
            let text = read.bytes();
            group.whole.ask(text, fuel, tell)?;
            group.beginnings.ask(text, fuel, tell)?;
            group.ends.ask(text, fuel, tell)?;
            if let Some(contained) = &group.contained {
                contained.ask(text, fuel, tell)?;
            }
        }
        Ok(())
    }
}

impl OfText {
    fn new(
        text: &Text,
        members: &[u32],
        leaves: &[Arc<Leaf>],
        decide: &mut impl FnMut(u32),
    ) -> Self {
        let (mut whole, mut begins, mut ends, mut contained) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for nth in members {
            let Some(Leaf::Text(_, check)) = leaves.get(*nth as usize).map(AsRef::as_ref) else {
                continue;
            };
            match check {
                TextCheck::Equals(text) => whole.push((text.clone(), *nth)),
                TextCheck::Begins(text) => begins.push((text.clone(), *nth)),
                TextCheck::Ends(text) => ends.push((text.clone(), *nth)),
                TextCheck::Among(set) => {
                    whole.extend(set.members().map(|member| (member.into(), *nth)));
                }
                TextCheck::Contains(needle) => {
                    contained.push((*nth, (**needle).clone()));
                    continue;
                }
                _ => continue,
            }
            decide(*nth);
        }
        let contained = Contained::new(contained);
        for (nth, _) in contained.iter().flat_map(|contained| &contained.leaves) {
            decide(*nth);
        }
        Self {
            text: text.clone(),
            whole: Whole::new(whole),
            beginnings: Beginnings::new(false, begins),
            ends: Beginnings::new(true, ends),
            contained,
        }
    }
}

impl Contained {
    fn new(leaves: Vec<(u32, Needle)>) -> Option<Self> {
        if leaves.len() < LEAST_CONTAINED {
            return None;
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .prefilter(false)
            .build(leaves.iter().map(|(_, needle)| needle.text()))
            .ok()?;
        Some(Self {
            search,
            leaves: leaves.into(),
        })
    }

    /// Finds all in one pass. A text in which they are found over and over costs more than it tells: past a bound those that were
    /// not found are looked for one by one.
    fn ask(&self, text: &[u8], fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        fuel.spend(20 + text.len() as u64 * TEN_BYTES / 10)?;
        let mut left = 64 + 4 * self.leaves.len();
        for found in self.search.find_overlapping_iter(text) {
            fuel.spend(FOUND)?;
            if let Some((leaf, _)) = self.leaves.get(found.pattern().as_usize()) {
                tell(*leaf, fuel)?;
            }
            left -= 1;
            if left == 0 {
                return self.ask_one_by_one(text, fuel, tell);
            }
        }
        Ok(())
    }

    #[cold]
    fn ask_one_by_one(&self, text: &[u8], fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        for (leaf, needle) in &self.leaves {
            if needle.find(text, fuel)?.is_some() {
                tell(*leaf, fuel)?;
            }
        }
        Ok(())
    }
}

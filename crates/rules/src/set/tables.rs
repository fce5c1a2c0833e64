//! Tables of texts and of addresses in which all that fit are found with one search.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use seawall_model::{Fuel, Spent};

use crate::check::Span;

/// Who is told of a leaf that holds.
pub(super) type Tell<'a> = &'a mut dyn FnMut(u32, &mut Fuel) -> Result<(), Spent>;

/// Bytes put in order, for one unit.
const ORDERED: u64 = 16;

fn steps(length: usize) -> u64 {
    u64::from(usize::BITS - length.leading_zeros())
}

fn tell_all(leaves: &[u32], fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
    leaves.iter().try_for_each(|leaf| tell(*leaf, fuel))
}

/// A text, and the leaves that hold for it.
type Member = (Box<[u8]>, Box<[u32]>);

/// Whole texts.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Sorted by length, then by bytes.
    texts: Box<[Member]>,
}

impl Whole {
    pub(super) fn new(texts: impl IntoIterator<Item = (Box<[u8]>, u32)>) -> Self {
        let mut all: BTreeMap<(usize, Box<[u8]>), Vec<u32>> = BTreeMap::new();
        for (text, leaf) in texts {
            all.entry((text.len(), text)).or_default().push(leaf);
        }
        let texts = all.into_iter();
        Self {
            texts: texts
                .map(|((_, text), leaves)| (text, leaves.into()))
                .collect(),
        }
    }

    pub(super) fn ask(&self, text: &[u8], fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        if self.texts.is_empty() {
            return Ok(());
        }
        fuel.spend(5 + steps(self.texts.len()) * (3 + text.len() as u64 / ORDERED))?;
        let by_length = |(member, _): &Member| {
            member
                .len()
                .cmp(&text.len())
                .then_with(|| (**member).cmp(text))
        };
        match self.texts.binary_search_by(by_length) {
            Ok(at) => {
                let leaves = self.texts.get(at).map(|(_, leaves)| &**leaves);
                tell_all(leaves.unwrap_or_default(), fuel, tell)
            }
            Err(_) => Ok(()),
        }
    }
}

/// Beginnings of texts, or their ends, which are read from behind.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    /// Sorted.
    texts: Box<[Beginning]>,
    from_behind: bool,
}

#[derive(Debug)]
struct Beginning {
    text: Box<[u8]>,
    leaves: Box<[u32]>,
    /// The longest other one with which this one begins.
    shorter: Option<u32>,
}

impl Beginnings {
    pub(super) fn new(
        from_behind: bool,
        texts: impl IntoIterator<Item = (Box<[u8]>, u32)>,
    ) -> Self {
        let mut all: BTreeMap<Box<[u8]>, Vec<u32>> = BTreeMap::new();
        for (mut text, leaf) in texts {
            if from_behind {
                text.reverse();
            }
            all.entry(text).or_default().push(leaf);
        }
        let mut sorted: Vec<Beginning> = Vec::with_capacity(all.len());
        // Those with which the last one begins, the longest last.
        let mut open: Vec<u32> = Vec::new();
        for (text, leaves) in all {
            while let Some(last) = open.last() {
                let last = sorted.get(*last as usize);
                if last.is_some_and(|last| text.starts_with(&last.text)) {
                    break;
                }
                open.pop();
            }
            let shorter = open.last().copied();
            open.push(sorted.len() as u32);
            sorted.push(Beginning {
                text,
                leaves: leaves.into(),
                shorter,
            });
        }
        Self {
            texts: sorted.into(),
            from_behind,
        }
    }

    pub(super) fn ask(&self, text: &[u8], fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        if self.texts.is_empty() {
            return Ok(());
        }
        // Each step ends at the first byte that differs; members are short.
        fuel.spend(5 + steps(self.texts.len()) * (4 + text.len().min(64) as u64 / ORDERED))?;
        // All with which the text begins are among the last one that does not come behind it, and those with which that begins.
        let behind = self
            .texts
            .partition_point(|member| self.order(&member.text, text).is_le());
        let mut at = behind.checked_sub(1).and_then(|at| self.texts.get(at));
        while let Some(member) = at {
            fuel.spend(3 + member.text.len() as u64 / ORDERED)?;
            if self.begins(text, &member.text) {
                tell_all(&member.leaves, fuel, tell)?;
            }
            at = member
                .shorter
                .and_then(|shorter| self.texts.get(shorter as usize));
        }
        Ok(())
    }

    fn order(&self, member: &[u8], text: &[u8]) -> Ordering {
        match self.from_behind {
            true => member.iter().cmp(text.iter().rev()),
            false => member.cmp(text),
        }
    }

    fn begins(&self, text: &[u8], member: &[u8]) -> bool {
        match self.from_behind {
            true => {
                member.len() <= text.len()
                    && member.iter().zip(text.iter().rev()).all(|(a, b)| a == b)
            }
            false => text.starts_with(member),
        }
    }
}

/// Ranges of addresses.
#[derive(Debug, Default)]
pub(super) struct Spans {
    v4: Pieces,
    v6: Pieces,
}

/// Where something begins or ends, sorted; with the leaves that hold from here to the next.
#[derive(Debug, Default)]
struct Pieces(Box<[(u128, Box<[u32]>)]>);

/// Leaves in all pieces together.
const MOST_IN_PIECES: usize = 1 << 16;

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Spans {
    /// None where they lie so much over one another that a table would be too large.
    pub(super) fn new(spans: &[(Span, u32)]) -> Option<Self> {
        let of = |is_v4: bool| {
            let spans = spans
                .iter()
                .filter(move |((first, _), _)| first.is_ipv4() == is_v4);
            Pieces::new(spans.map(|((first, last), leaf)| (number(*first), number(*last), *leaf)))
        };
        Some(Self {
            v4: of(true)?,
            v6: of(false)?,
        })
    }

    pub(super) fn ask(&self, ip: IpAddr, fuel: &mut Fuel, tell: Tell<'_>) -> Result<(), Spent> {
        let pieces = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        fuel.spend(5 + 3 * steps(pieces.0.len()))?;
        let number = number(ip);
        let behind = pieces.0.partition_point(|(at, _)| *at <= number);
        let piece = behind.checked_sub(1).and_then(|at| pieces.0.get(at));
        tell_all(
            piece.map(|(_, leaves)| &**leaves).unwrap_or_default(),
            fuel,
            tell,
        )
    }
}

impl Pieces {
    /// Both ends of each range are inside.
    fn new(spans: impl Iterator<Item = (u128, u128, u32)>) -> Option<Self> {
        let mut events: Vec<(u128, bool, u32)> = Vec::new();
        for (first, last, leaf) in spans {
            events.push((first, true, leaf));
            if let Some(behind) = last.checked_add(1) {
                events.push((behind, false, leaf));
            }
        }
        events.sort_unstable();
        // How many of its ranges each leaf has open: its ranges may overlap.
        let mut open: BTreeMap<u32, i32> = BTreeMap::new();
        let mut edges: Vec<(u128, Box<[u32]>)> = Vec::new();
        let mut total = 0;
        let mut events = events.into_iter().peekable();
        while let Some((at, begins, leaf)) = events.next() {
            let count = open.entry(leaf).or_default();
            *count += if begins { 1 } else { -1 };
            if *count == 0 {
                open.remove(&leaf);
            }
            if events.peek().is_some_and(|(next, ..)| *next == at) {
                continue;
            }
            total += open.len();
            if total > MOST_IN_PIECES {
                return None;
            }
            edges.push((at, open.keys().copied().collect()));
        }
        Some(Self(edges.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ask: impl FnOnce(&mut Fuel, Tell<'_>) -> Result<(), Spent>) -> Vec<u32> {
        let mut all = Vec::new();
        ask(&mut Fuel::new(10_000), &mut |leaf, _| {
            all.push(leaf);
            Ok(())
        })
        .unwrap();
        all.sort_unstable();
        all
    }

    #[test]
    fn all_beginnings_and_ends_are_found() {
        let members = ["", "/", "/a", "/a/b", "/a/c", "/b", "/ab", "a"];
        let numbered = || members.iter().map(|text| text.as_bytes().into()).zip(0..);
        let (front, back) = (
            Beginnings::new(false, numbered()),
            Beginnings::new(true, numbered()),
        );
        for text in [
            "", "/", "/a", "/a/", "/a/b/x", "/abc", "b", "x/a", "/a/ca", "z", "xx/ab",
        ] {
            let naive = |fits: fn(&str, &str) -> bool| -> Vec<u32> {
                (0..)
                    .zip(members)
                    .filter(|(_, member)| fits(text, member))
                    .map(|(nth, _)| nth)
                    .collect()
            };
            let found = told(|fuel, tell| front.ask(text.as_bytes(), fuel, tell));
            assert_eq!(
                found,
                naive(|text, member| text.starts_with(member)),
                "{text}"
            );
            let found = told(|fuel, tell| back.ask(text.as_bytes(), fuel, tell));
            assert_eq!(
                found,
                naive(|text, member| text.ends_with(member)),
                "{text}"
            );
        }
    }

    #[test]
    fn whole_texts_are_found_with_all_of_theirs() {
        let texts = [("a", 3), ("b", 1), ("a", 0), ("ab", 2)];
        let whole = Whole::new(texts.map(|(text, leaf)| (text.as_bytes().into(), leaf)));
        assert_eq!(told(|fuel, tell| whole.ask(b"a", fuel, tell)), [0, 3]);
        assert_eq!(told(|fuel, tell| whole.ask(b"ab", fuel, tell)), [2]);
        assert_eq!(told(|fuel, tell| whole.ask(b"", fuel, tell)), [0; 0]);
    }

    #[test]
    fn ranges_lie_over_one_another() {
        let ip = |text: &str| text.parse().unwrap();
        let spans = Spans::new(&[
            ((ip("10.0.0.0"), ip("10.0.0.9")), 0),
            ((ip("10.0.0.5"), ip("10.0.0.20")), 1),
            ((ip("10.0.0.7"), ip("10.0.0.12")), 0),
            ((ip("10.0.0.10"), ip("10.0.0.11")), 0),
            ((ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), 2),
            ((ip("0.0.0.0"), ip("255.255.255.255")), 3),
        ])
        .unwrap();
        for (asked, expected) in [
            ("10.0.0.0", &[0, 3][..]),
            ("10.0.0.6", &[0, 1, 3]),
            ("10.0.0.10", &[0, 1, 3]),
            ("10.0.0.12", &[0, 1, 3]),
            ("10.0.0.13", &[1, 3]),
            ("10.0.0.21", &[3]),
            ("255.255.255.255", &[3]),
            ("::", &[2]),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[2]),
        ] {
            let asked = asked.parse().unwrap();
            assert_eq!(
                told(|fuel, tell| spans.ask(asked, fuel, tell)),
                expected,
                "{asked}"
            );
        }
        let address = |number: u32| std::net::Ipv4Addr::from_bits(number).into();
        let many = (0..1000).map(|nth| ((address(nth), address(100_000 - nth)), nth));
        let many: Vec<_> = many.collect();
        assert!(Spans::new(&many).is_none());
    }
}

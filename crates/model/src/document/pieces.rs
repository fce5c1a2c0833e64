//! A long document is read in pieces: its head first, then some zones at a time, so that what the TOML parser makes of the text is
//! never there whole, and several threads can read.
//!
//! What comes of it is what comes of the whole text. A line that begins with `[[zone]]`, outside of strings, is a header in every
//! text that is TOML at all; and what is not as expected, be it that a piece is no TOML or has sections beside zones, is left to
//! the parser of the whole.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use toml::de::DeTable;

use super::claims::Claims;
use super::lists::ListNames;
use super::reader::Reader;
use super::weight;
use super::zone::Zone;
use crate::limits::Limits;
use crate::problem::{Problem, Report, Wrong};

/// Bytes from which a text is read in pieces: below, one parser is as good.
pub(super) const LONG: usize = 256 << 10;
/// Bytes of a piece, as soon as a zone ends.
pub(super) const PIECE: usize = 64 << 10;
/// Threads that read, at most.
const THREADS: usize = 8;
/// What was read takes less than what the parser makes of it, by this at least.
const SMALLER: usize = 4;

/// A text, cut before headers of zones.
pub(super) struct Pieces<'t> {
    /// What comes before the first zone.
    pub(super) head: &'t str,
    /// Pieces, each with its offset.
    zones: Vec<(usize, &'t str)>,
    /// Bytes of memory that reading may take.
    pub(super) weight: usize,
}

/// The zones of a text, as far as nothing is wrong with them.
pub(super) struct Read<'p, 't> {
    pieces: &'p Pieces<'t>,
    read: Vec<Piece>,
}

/// The zones of one piece.
struct Piece {
    zones: Vec<Zone>,
    /// Their indexes begin at nought.
    claims: Claims,
    /// There are problems, which are not told yet.
    bad: bool,
}

impl<'t> Pieces<'t> {
    /// Cuts a text, into pieces of `size` bytes or one zone; none when there is no zone. Takes linear time.
    pub(super) fn of(text: &'t str, size: usize) -> Option<Self> {
        let mut starts: Vec<(usize, usize)> = Vec::new();
        let all = weight::walk(text, |at, before| {
            let is_far = |(last, _): &(usize, usize)| at - last >= size;
            if starts.last().is_none_or(is_far) {
                starts.push((at, before));
            }
        });
        let (first, head_weight) = *starts.first()?;
        starts.push((text.len(), all));
        let mut zones = Vec::with_capacity(starts.len());
        let mut heaviest = 0;
        for pair in starts.windows(2) {
            if let [(start, before), (end, behind)] = *pair {
                zones.push((start, text.get(start..end)?));
                heaviest = heaviest.max(behind.saturating_sub(before));
            }
        }
        let at_once = heaviest.saturating_mul(THREADS);
        Some(Self {
            head: text.get(..first)?,
            zones,
            weight: (all / SMALLER)
                .saturating_add(at_once)
                .saturating_add(head_weight),
        })
    }

    /// The head, if no line of the rest begins a section of what all zones share.
    pub(super) fn head_alone(&self, text: &'t str) -> Option<&'t str> {
        let rest = text.get(self.head.len()..)?;
        let is_shared = |line: &str| {
            let name = line.trim_start().strip_prefix('[')?;
            let name = name.trim_start_matches(['[', ' ', '\t', '"', '\'']);
            (name.starts_with("edge") || name.starts_with("lists")).then_some(())
        };
        rest.lines()
            .all(|line| is_shared(line).is_none())
            .then_some(self.head)
    }

    /// Reads all zones of a text with this head; none when a piece is not as expected.
    pub(super) fn read<'p>(&'p self, head: &DeTable<'t>, limits: &Limits) -> Option<Read<'p, 't>> {
        let next = AtomicUsize::new(0);
        let some = || -> Option<Vec<(usize, Piece)>> {
            let names = ListNames::of(head);
            let mut read = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some((_, text)) = self.zones.get(index) else {
                    return Some(read);
                };
                let Some(piece) = Piece::read(text, &names, limits) else {
                    // The others need not go on.
                    next.store(self.zones.len(), Ordering::Relaxed);
                    return None;
                };
                read.push((index, piece));
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let others = threads.min(THREADS).min(self.zones.len()) - 1;
        let parts = thread::scope(|scope| {
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, some).ok();
            let others: Vec<_> = (0..others).filter_map(spawn).collect();
            let mut parts = vec![some()];
            for other in others {
                let part = other.join();
                parts.push(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            parts
        });
        let mut read = Vec::with_capacity(self.zones.len());
        for part in parts {
            read.extend(part?);
        }
        read.sort_unstable_by_key(|(index, _)| *index);
        Some(Read {
            pieces: self,
            read: read.into_iter().map(|(_, piece)| piece).collect(),
        })
    }
}

impl Piece {
    /// None when it is no TOML, or holds more than zones.
    fn read(text: &str, names: &ListNames<'_>, limits: &Limits) -> Option<Self> {
        let root = DeTable::parse(text).ok()?;
        let root = root.get_ref();
        if root.len() != 1 || !root.get("zone")?.get_ref().is_array() {
            return None;
        }
        let mut report = Report::new(0);
        let mut claims = Claims::default();
        let zones = zones(
            root,
            (0, usize::MAX),
            limits,
            names,
            &mut claims,
            &mut report,
        );
        Some(Self {
            zones,
            claims,
            bad: !report.is_empty(),
        })
    }
}

/// The zones of a piece. The first one has the index `first`; those from `most` on are left out.
fn zones(
    root: &DeTable<'_>,
    (first, most): (usize, usize),
    limits: &Limits,
    names: &ListNames<'_>,
    claims: &mut Claims,
    report: &mut Report,
) -> Vec<Zone> {
    let zones = root
        .get("zone")
        .and_then(|zones| zones.get_ref().as_array());
    let zones = zones.into_iter().flat_map(|zones| zones.iter());
    let mut read = Vec::new();
    for (index, zone) in (first..most).zip(zones) {
        report.turn_to(Some(index));
        let Some(table) = zone.get_ref().as_table() else {
            continue; // A list that headers make has nothing but tables.
        };
        let (path, at) = (format!("zone[{index}]"), zone.span().start);
        let reader = Reader::open(report, limits, path, "zone[]", table, Some(at));
        let mut zone = Zone::read(reader, claims, names);
        // Who writes many zones writes most of them alike.
        if let Some(last) = read.last().map(|last: &Zone| &last.settings)
            && *last == zone.settings
        {
            zone.settings = last.clone();
        }
        read.push(zone);
    }
    report.turn_to(None);
    read
}

impl Read<'_, '_> {
    /// All zones, with what is wrong told in their order.
    pub(super) fn finish(
        self,
        limits: &Limits,
        names: &ListNames<'_>,
        claims: &mut Claims,
        report: &mut Report,
    ) -> Vec<Zone> {
        let count = self.read.iter().map(|piece| piece.zones.len()).sum();
        let most = limits.zones;
        if count > most {
            let wrong = Wrong::new(format!("has {count} entries"), format!("at most {most}"));
            let at = self.pieces.head.len();
            report.add(Some(at), || Problem::new("zone", wrong));
        }
        let mut all = Vec::with_capacity(count);
        for (piece, (offset, text)) in self.read.into_iter().zip(&self.pieces.zones) {
            let first = all.len();
            report.count_from(*offset);
            if !piece.bad && first + piece.zones.len() <= most {
                claims.add_all(&piece.claims, first, *offset);
                all.extend(piece.zones);
            } else if let Ok(root) = DeTable::parse(text) {
                // It was TOML before.
                let root = root.get_ref();
                all.extend(zones(root, (first, most), limits, names, claims, report));
            }
        }
        report.count_from(0);
        all
    }
}

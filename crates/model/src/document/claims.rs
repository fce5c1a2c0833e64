//! Names and hosts belong to one zone each. Where they stand is noted while zones are read; who claims what another one has is
//! told when all are read, to both.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::zone::Zone;
use crate::host::HostPattern;
use crate::problem::{Problem, Report, Wrong, quote};

/// In place of the index of a host: it is the zone's name.
const NAME: u32 = u32::MAX;

/// Where the names and hosts of zones stand, in the order of the text.
#[derive(Default)]
pub(super) struct Claims(Vec<Spot>);

#[derive(Clone, Copy)]
struct Spot {
    zone: u32,
    /// The index of a host in what was written, or [`NAME`].
    nth: u32,
    offset: u32,
}

/// Who had it first.
struct Held {
    by: Spot,
    told: bool,
}

impl Claims {
    /// The zone that is read has a name, here.
    pub(super) fn name(&mut self, report: &Report, offset: usize) {
        self.add(report, NAME, offset);
    }

    /// The zone that is read has a host, here; hosts are noted in their order.
    pub(super) fn host(&mut self, report: &Report, nth: usize, offset: usize) {
        self.add(report, short(nth), offset);
    }

    fn add(&mut self, report: &Report, nth: u32, offset: usize) {
        self.0.push(Spot {
            zone: short(report.zone().unwrap_or_default()),
            nth,
            offset: short(report.place(offset)),
        });
    }

    /// Adds those of a piece that begins at this offset, and its zones at this index.
    pub(super) fn add_all(&mut self, piece: &Self, first: usize, offset: usize) {
        let (first, offset) = (short(first), short(offset));
        let moved = piece.0.iter().map(|spot| Spot {
            zone: spot.zone.saturating_add(first),
            nth: spot.nth,
            offset: spot.offset.saturating_add(offset),
        });
        self.0.extend(moved);
    }

    /// Tells all who claim what another zone has.
    pub(super) fn settle(self, zones: &[Zone], report: &mut Report) {
        let mut names: HashMap<&str, Held> = HashMap::with_capacity(zones.len());
        let mut hosts: HashMap<&HostPattern, Held> = HashMap::with_capacity(self.0.len());
        let (mut zone, mut place) = (None, 0);
        for spot in self.0 {
            if zone != Some(spot.zone) {
                (zone, place) = (Some(spot.zone), 0);
            }
            let Some(zone) = zones.get(spot.zone as usize) else {
                continue;
            };
            if spot.nth == NAME {
                let shown = || quote(&zone.name);
                let help = "a name belongs to one zone";
                stake(&mut names, &*zone.name, spot, report, (&shown, help));
            } else if let Some(host) = zone.hosts.get(place) {
                place += 1;
                let shown = || quote(&host.to_string());
                let help = "a host belongs to one zone";
                stake(&mut hosts, host, spot, report, (&shown, help));
            }
        }
    }
}

/// Puts `key` on record; if it is there already, refuses both.
fn stake<K: Eq + Hash>(
    held: &mut HashMap<K, Held>,
    key: K,
    spot: Spot,
    report: &mut Report,
    (shown, help): (&dyn Fn() -> String, &str),
) {
    let mut first = match held.entry(key) {
        Entry::Vacant(free) => {
            free.insert(Held {
                by: spot,
                told: false,
            });
            return;
        }
        Entry::Occupied(first) => first,
    };
    let first = first.get_mut();
    let mut tell = |who: Spot, other: Spot| {
        let what = || format!("{} is also {}", shown(), other.path());
        let problem = || Problem::new(who.path(), Wrong::new(what(), help));
        report.add_to(Some(who.zone as usize), who.offset as usize, problem);
    };
    tell(spot, first.by);
    if !first.told {
        first.told = true;
        tell(first.by, spot);
    }
}

impl Spot {
    fn path(self) -> String {
        let Self { zone, nth, .. } = self;
        if nth == NAME {
            format!("zone[{zone}].name")
        } else {
            format!("zone[{zone}].hosts[{nth}]")
        }
    }
}

/// Indexes and offsets are far below 2^32 wherever a document is; one that is not is told at a wrong place.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX - 1)
}

//! Purges: what edges keep of a zone's responses goes, or becomes stale. They are orders and no versions: each edge does one once.
//!
//! The latest few hundred stand in the log, and those of the last hour in what is published; who has missed one that does not stand there
//! any more purges everything. How long a purge took to come to a location is known from the location's Reports.

use std::collections::{BTreeMap, BTreeSet};

use seawall_bundle::{Limits, Purge};
use seawall_control::store::{Body, Change as StoreChange, Entry, StoreError};
use seawall_model::{Limits as DocumentLimits, Purged, document, purged};

use super::Control;
use super::asks::{Answer, NotMade, PurgeOf, PurgeStands};
use super::engine::{Engine, unix};
use super::make::By;
use crate::order::Chain;

/// Purges that stand in the log.
const SLOTS: u16 = 256;
/// How many seconds of them are published.
const PUBLISHED: u64 = 60 * 60;
/// As many purges as it is known of when they were made.
const TIMED: usize = 1_024;

/// When purges were made, and when they had come to each location, in milliseconds of our clock.
#[derive(Default)]
pub struct PurgeTimes {
    made: BTreeMap<u64, u64>,
    came: BTreeMap<(u64, String), u64>,
}

impl PurgeTimes {
    fn made(&mut self, id: u64, now_ms: u64) {
        self.made.insert(id, now_ms);
        if self.made.len() > TIMED
            && let Some((oldest, _)) = self.made.pop_first()
        {
            self.came.retain(|(id, _), _| *id > oldest);
        }
    }

    /// A location tells up to which purge it has come.
    pub fn told(&mut self, location: &str, purged: u64, now_ms: u64) {
        for id in self.made.range(..=purged).map(|(id, _)| *id) {
            self.came.entry((id, location.to_owned())).or_insert(now_ms);
        }
    }

    fn lag_ms(&self, id: u64, location: &str) -> Option<u64> {
        let came = self.came.get(&(id, location.to_owned()))?;
        Some(came.saturating_sub(*self.made.get(&id)?))
    }
}

impl Engine {
    /// Those that stand in the log, in the order of their numbers.
    fn purges_standing(&mut self) -> Result<Vec<Entry>, StoreError> {
        let mut standing = self.store().standing("purge", None, usize::from(SLOTS))?;
        standing.sort_unstable_by_key(|entry| entry.seq);
        Ok(standing)
    }

    /// Purges; the purge's number.
    fn purge(
        &mut self,
        zone: &str,
        what: &[Purged],
        soft: bool,
        by: &By<'_>,
    ) -> Result<u64, StoreError> {
        let standing = self.purges_standing()?;
        let last = standing.last().map(|entry| &entry.body);
        let slot = match last {
            Some(Body::Purged { slot, .. }) => (slot + 1) % SLOTS,
            _ => 0,
        };
        let before = standing.iter().find_map(|entry| match &entry.body {
            Body::Purged { slot: other, .. } if *other == slot => Some(entry.seq),
            _ => None,
        });
        let body = Body::Purged {
            slot,
            before: before.unwrap_or(0),
            zone: zone.to_owned(),
            what: what.to_vec(),
            soft,
        };
        let made = self.append_by(by, Vec::new(), vec![StoreChange::Event(body)])?;
        Ok(made.last)
    }

    /// Whether the zone has the hosts that are named: of the version that serves, or of the newest, which may be on trial.
    fn has_hosts(&mut self, chain: &Chain, zone: &str, what: &[Purged]) -> Result<(), NotMade> {
        if what.iter().all(|one| one.host().is_none()) {
            return Ok(());
        }
        let newest = self.store().head(chain)?.map(|head| head.number);
        let mut hosts = BTreeSet::new();
        let numbers = BTreeSet::from([self.serves(chain), newest]);
        for number in numbers.into_iter().flatten() {
            let text = self.text(chain, number)?.unwrap_or_default();
            let zones = document::parse_alone(&text, &DocumentLimits::default())
                .document
                .zones;
            hosts.extend(zones.into_iter().flat_map(|zone| zone.hosts));
        }
        purged::check_hosts(what, zone, hosts.iter()).map_err(NotMade::Refused)
    }

    /// Purges as they are published, and the number of the latest one that is not.
    ///
    /// # Errors
    /// As the store says.
    pub fn purges(&mut self, limits: &Limits) -> Result<(Vec<Purge>, u64), StoreError> {
        let (mut purges, mut before_all, mut bytes) = (Vec::new(), 0, 0);
        let since = unix().saturating_sub(PUBLISHED);
        for entry in self.purges_standing()?.into_iter().rev() {
            let Body::Purged {
                before,
                zone,
                what,
                soft,
                ..
            } = entry.body
            else {
                continue;
            };
            let purge = Purge {
                id: entry.seq,
                zone,
                what,
                soft,
            };
            before_all = before_all.max(before);
            bytes += purge.bytes();
            if entry.at < since || bytes > limits.purge_bytes || purges.len() >= limits.purges {
                before_all = before_all.max(entry.seq);
                break;
            }
            purges.push(purge);
        }
        purges.reverse();
        Ok((purges, before_all))
    }
}

impl Control {
    pub(super) fn purge(
        &mut self,
        zone: &str,
        what: &[Purged],
        soft: bool,
        by: &By<'_>,
    ) -> Result<Answer, NotMade> {
        purged::check(what).map_err(NotMade::Refused)?;
        let chain = Chain::Zone(zone.to_owned());
        if self.engine.serves(&chain).is_none() {
            return Err(NotMade::Unknown(super::answer::unknown(&chain)));
        }
        self.engine.has_hosts(&chain, zone, what)?;
        let purge = self.engine.purge(zone, what, soft, by)?;
        let now_ms = self.now_ms();
        self.engine.purge_times.made(purge, now_ms);
        Ok(Answer::Purged { purge })
    }

    /// How far a purge has come.
    pub(super) fn purge_stands(&mut self, purge: u64) -> Answer {
        let places = self.engine.fleet.places(0);
        let times = &self.engine.purge_times;
        let of = |place: super::asks::Place| PurgeOf {
            done: place.purged.is_some_and(|purged| purged >= purge),
            lag_ms: times.lag_ms(purge, &place.name),
            location: place.name,
        };
        Answer::PurgeStands(PurgeStands {
            purge,
            locations: places.into_iter().map(of).collect(),
        })
    }
}

//! The locations, and the order in which a change reaches them.
//!
//! The first is the canary. Behind it stand as few as show every architecture and every kind of zone, then all others, those with
//! little traffic first. A fault that needs an architecture or a kind of zone is then met before a quarter of all has it.

use std::collections::BTreeSet;

use seawall_model::tempo::{Ring, Share};
use serde::{Deserialize, Serialize};

/// The most of a fleet that is put first to show all kinds.
const MOST_FIRST: Share = Share::percent(20);

/// A location that has what is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Its name.
    pub name: String,
    /// Its architecture, as `x86_64`.
    pub architecture: String,
    /// The kinds of zones that it serves.
    pub kinds: BTreeSet<String>,
    /// Whether its owner wants changes to begin here.
    pub canary: bool,
    /// Whether traffic is led away from it: nobody waits for it, and it gets a change when its rollout is complete.
    pub drained: bool,
    /// Its traffic, in requests a second or any other measure that all have.
    pub weight: u64,
}

/// Locations in the order in which a change reaches them; drained ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'f> {
    locations: Vec<&'f Location>,
    /// How many show every architecture and kind that there is.
    first: usize,
}

impl<'f> Order<'f> {
    /// The order of a fleet; it depends on nothing but what is given.
    pub fn of(fleet: &'f [Location]) -> Self {
        let mut rest: Vec<&Location> = fleet.iter().filter(|location| !location.drained).collect();
        // Those that their owner named first, then by traffic; names make it one order.
        rest.sort_by(|a, b| (!a.canary, a.weight, &a.name).cmp(&(!b.canary, b.weight, &b.name)));
        let most = MOST_FIRST.of(rest.len()).max(1);
        let mut shown = BTreeSet::new();
        let mut locations = Vec::with_capacity(rest.len());
        while locations.len() < most
            && let Some(best) = best(&rest, &shown)
        {
            let location = rest.remove(best);
            shown.extend(traits(location));
            locations.push(location);
        }
        let first = locations.len();
        locations.append(&mut rest);
        Self { locations, first }
    }

    /// How many locations there are.
    pub fn len(&self) -> usize {
        self.locations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// The locations of a ring and of the ring before it, which stay in it as far as they are still there.
    pub fn ring(&self, ring: Ring, before: &[String]) -> Vec<String> {
        let size = match ring {
            Ring::Canary => 1,
            // The first ring that is a part shows every kind.
            Ring::Locations(share) => share.of(self.len()).max(self.first),
        };
        let before: BTreeSet<&str> = before.iter().map(String::as_str).collect();
        let is_in = |location: &&&Location| before.contains(location.name.as_str());
        let stay = self.locations.iter().filter(is_in);
        let come = self.locations.iter().filter(|location| !is_in(location));
        let ring = stay.clone().count().max(size);
        stay.chain(come)
            .take(ring)
            .map(|location| location.name.clone())
            .collect()
    }
}

/// What a location shows that others may not.
fn traits(location: &Location) -> impl Iterator<Item = (bool, &str)> {
    let kinds = location.kinds.iter().map(|kind| (false, kind.as_str()));
    std::iter::once((true, location.architecture.as_str())).chain(kinds)
}

/// Which of the rest shows most that is not shown yet; of equals the one that stands first. Where nothing is left to show: none.
fn best(rest: &[&Location], shown: &BTreeSet<(bool, &str)>) -> Option<usize> {
    let news = |location: &Location| traits(location).filter(|one| !shown.contains(one)).count();
    // The half with less traffic is asked first, so that a total fault does not begin at the largest location.
    let half = rest.len().div_ceil(2);
    let pick = |from: usize, to: usize| {
        let part = rest.iter().enumerate().take(to).skip(from);
        let best = part
            .map(|(at, location)| (news(location), at))
            .max_by_key(|(news, at)| (*news, usize::MAX - at));
        best.filter(|(news, _)| *news > 0).map(|(_, at)| at)
    };
    // A canary that its owner named goes before any other that shows something.
    let named = rest.iter().take_while(|location| location.canary).count();
    pick(0, named)
        .or_else(|| pick(named, half.max(named)))
        .or_else(|| pick(half.max(named), rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(count: usize) -> Vec<Location> {
        let location = |at: usize| Location {
            name: format!("l{at:03}"),
            architecture: if at % 7 == 3 { "aarch64" } else { "x86_64" }.into(),
            kinds: [format!("k{}", at % 10), format!("k{}", at % 3)].into(),
            weight: 1_000 / (at as u64 + 1),
            ..Location::default()
        };
        (0..count).map(location).collect()
    }

    #[test]
    fn the_first_ring_shows_every_architecture_and_every_kind_of_zone() {
        let fleet = fleet(330);
        let order = Order::of(&fleet);
        let ring = order.ring(Ring::Locations(Share::percent(1)), &[]);
        let of = |name: &String| {
            fleet
                .iter()
                .find(|location| location.name == *name)
                .expect("there")
        };
        let shown: BTreeSet<_> = ring.iter().flat_map(|name| traits(of(name))).collect();
        let all: BTreeSet<_> = fleet.iter().flat_map(traits).collect();
        assert_eq!(shown, all);
        assert!(ring.len() <= 330 / 20, "{} locations", ring.len());
        let heaviest = ring.iter().map(|name| of(name).weight).max();
        assert!(heaviest < Some(1_000 / 165 + 1), "{heaviest:?}");
    }

    #[test]
    fn rings_only_grow_and_end_with_all_that_are_not_drained() {
        let mut fleet = fleet(50);
        let mut before = Vec::new();
        let parts = [1, 5, 25, 100].map(|percent| Ring::Locations(Share::percent(percent)));
        for (at, ring) in [Ring::Canary].into_iter().chain(parts).enumerate() {
            let order = Order::of(&fleet);
            let now = order.ring(ring, &before);
            assert!(before.iter().all(|name| now.contains(name)), "{ring:?}");
            before = now;
            // The fleet changes under way: neither order nor ring starts anew.
            if let Some(location) = fleet.get_mut(10 + at) {
                location.weight = 0;
            }
        }
        assert_eq!(before.len(), 50);
        fleet[7].drained = true;
        let ring = Order::of(&fleet).ring(Ring::Locations(Share::ALL), &[]);
        assert!(ring.len() == 49 && !ring.contains(&"l007".to_owned()));
    }

    #[test]
    fn the_owners_canary_is_first_however_large_it_is() {
        let mut fleet = fleet(20);
        fleet[0].canary = true;
        assert_eq!(Order::of(&fleet).ring(Ring::Canary, &[]), ["l000"]);
        assert_eq!(Order::of(&fleet[..1]).ring(Ring::Canary, &[]), ["l000"]);
        assert!(Order::of(&[]).is_empty());
    }
}

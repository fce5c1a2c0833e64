//! Zones between which a host moves in one change. If each were on trial for clients of its own, a client could be between them, and be
//! answered that there is no such host. Their rollouts go in step: the same steps, the same clients, and none is there without
//! the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use seawall_control::store::{Change as StoreChange, Rollout, StoreError, Subject};
use seawall_model::document;
use seawall_model::tempo::Kind;
use seawall_model::{HostPattern, Limits};

use super::engine::Engine;
use crate::order::Chain;

/// A chain, what is new in it, if anything is, and the tempo of its rollout.
type Changed = (Chain, Option<StoreChange>, Kind);
/// Each chain with the one whose rollout, which begins before, it goes in step with.
type Ties = BTreeMap<Chain, Chain>;

/// The hosts of a zone that one change gives up, and those that it takes.
struct Moved {
    gives: HashSet<HostPattern>,
    takes: HashSet<HostPattern>,
}

impl Engine {
    /// What goes with changes: the chains whose rollouts go in step with one that ends by them go back too, or begin anew; and which
    /// go in step with which.
    pub(super) fn in_step(
        &mut self,
        changes: Vec<(Chain, StoreChange, Kind)>,
    ) -> Result<(Vec<Changed>, Ties), StoreError> {
        let mut all: Vec<Changed> = changes
            .into_iter()
            .map(|(chain, change, kind)| (chain, Some(change), kind))
            .collect();
        let left = self.left_alone(&all)?;
        for (chain, from, goes_back) in left {
            let (change, kind) = match goes_back {
                true => (self.way_back(&chain, from)?, Kind::Return),
                false => (None, Kind::Zone),
            };
            all.push((chain, change, kind));
        }
        let ties = self.ties(&all)?;
        Ok((all, ties))
    }

    /// The chains that would go on alone: with what serves, and whether they go back, as the one does that they go in step with.
    fn left_alone(
        &mut self,
        changes: &[Changed],
    ) -> Result<Vec<(Chain, Option<u64>, bool)>, StoreError> {
        let running = self.store().running()?;
        let led: HashSet<u64> = running.iter().filter_map(|one| one.with).collect();
        let with_others: Vec<&Rollout> = running
            .iter()
            .filter(|one| led.contains(&one.group()))
            .collect();
        if with_others.is_empty() {
            return Ok(Vec::new());
        }
        let changed: HashMap<&Chain, Kind> = changes
            .iter()
            .map(|(chain, _, kind)| (chain, *kind))
            .collect();
        let mut ends: HashMap<u64, bool> = HashMap::new();
        for rollout in &with_others {
            if let Subject::Version { chain, .. } = &rollout.subject
                && let Some(kind) = changed.get(chain)
            {
                *ends.entry(rollout.group()).or_default() |= *kind == Kind::Return;
            }
        }
        let mut left = Vec::new();
        for rollout in with_others {
            if let Subject::Version { chain, from, .. } = &rollout.subject
                && let Some(goes_back) = ends.get(&rollout.group())
                && !changed.contains_key(chain)
            {
                left.push((chain.clone(), *from, *goes_back));
            }
        }
        Ok(left)
    }

    fn ties(&mut self, changes: &[Changed]) -> Result<Ties, StoreError> {
        let zones = changes.iter().filter(|(_, _, kind)| *kind == Kind::Zone);
        let mut moved = Vec::new();
        let mut given = false;
        let many = zones.clone().count() > 1;
        for (chain, change, _) in zones.filter(|_| many) {
            let one = self.moved(chain, change.as_ref())?;
            given |= !one.gives.is_empty();
            moved.push((chain, one));
        }
        if !given {
            return Ok(Ties::new());
        }
        Ok(tied(&moved))
    }

    /// What becomes of a zone's hosts.
    fn moved(&mut self, chain: &Chain, change: Option<&StoreChange>) -> Result<Moved, StoreError> {
        let before = match self.serves(chain) {
            Some(number) => self.text(chain, number)?,
            None => None,
        };
        let after = match change {
            Some(StoreChange::Document(_, text)) => Some(text.clone()),
            Some(_) => None,
            None => match self.store().head(chain)? {
                Some(head) => self.text(chain, head.number)?,
                None => None,
            },
        };
        let (before, after) = (hosts(before.as_deref()), hosts(after.as_deref()));
        Ok(Moved {
            gives: before.difference(&after).cloned().collect(),
            takes: after.difference(&before).cloned().collect(),
        })
    }
}

/// The hosts of a zone's document.
pub(super) fn hosts(text: Option<&str>) -> HashSet<HostPattern> {
    let parsed = text.map(|text| document::parse_alone(text, &Limits::default()));
    let zones = parsed.into_iter().flat_map(|parsed| parsed.document.zones);
    zones.flat_map(|zone| zone.hosts).collect()
}

/// Who stands for all that hang together with this one. The way there is halved each time it is gone.
fn root(first: &mut [usize], mut nth: usize) -> usize {
    while let Some(before) = first.get(nth).copied().filter(|before| *before != nth) {
        let beyond = first.get(before).copied().unwrap_or(before);
        if let Some(place) = first.get_mut(nth) {
            *place = beyond;
        }
        nth = beyond;
    }
    nth
}

/// Which go in step: those that a host moves between, and all that hang together so.
fn tied(moved: &[(&Chain, Moved)]) -> Ties {
    let mut givers: HashMap<&HostPattern, usize> = HashMap::new();
    for (nth, (_, one)) in moved.iter().enumerate() {
        givers.extend(one.gives.iter().map(|host| (host, nth)));
    }
    // The first of those that hang together stands for all; each points at one before it.
    let mut first: Vec<usize> = (0..moved.len()).collect();
    for (nth, (_, one)) in moved.iter().enumerate() {
        let from: BTreeSet<usize> = one
            .takes
            .iter()
            .filter_map(|host| givers.get(host).copied())
            .collect();
        for giver in from {
            let (a, b) = (root(&mut first, nth), root(&mut first, giver));
            if let Some(later) = first.get_mut(a.max(b)) {
                *later = a.min(b);
            }
        }
    }
    let mut ties = Ties::new();
    for (nth, (chain, _)) in moved.iter().enumerate() {
        let leads = root(&mut first, nth);
        if let Some((leader, _)) = moved.get(leads).filter(|_| leads != nth) {
            ties.insert((*chain).clone(), (*leader).clone());
        }
    }
    ties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(gives: &[&str], takes: &[&str]) -> Moved {
        let all = |names: &[&str]| {
            let host = |name: &&str| HostPattern::Exact((*name).into());
            names.iter().map(host).collect()
        };
        Moved {
            gives: all(gives),
            takes: all(takes),
        }
    }

    #[test]
    fn those_go_in_step_that_hosts_move_between_and_nobody_else() {
        let names: Vec<Chain> = (0..7).map(|nth| Chain::Zone(format!("z{nth}"))).collect();
        let all = [
            moved(&[], &["new"]),
            moved(&["a"], &["c"]),
            moved(&["lost"], &[]),
            moved(&["b"], &["a"]),
            moved(&["c"], &["b"]),
            moved(&["d"], &[]),
            moved(&[], &["d"]),
        ];
        let all: Vec<(&Chain, Moved)> = names.iter().zip(all).collect();
        let ties: Vec<(Chain, Chain)> = tied(&all).into_iter().collect();
        let zone = |nth: usize| names[nth].clone();
        assert_eq!(
            ties,
            [(zone(3), zone(1)), (zone(4), zone(1)), (zone(6), zone(5))]
        );
    }
}

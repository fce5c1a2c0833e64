//! What is published for this location, brought about: ordered from the worker that serves, once a process of its own has compiled it, probed
//! where there is no traffic, and told in Reports.
//!
//! Control may be dead: what was ordered stays. A worker may be new: it is ordered all of it again. One order is under way; what comes
//! meanwhile is the next one, so that a worker which takes long gets larger orders and not more of them. Pure but for what is sent; the
//! loop is in [`agent`](crate::agent).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use seawall_control::Hash;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::contents;
use crate::control::words::Report;
use crate::distribution::news::News;
use crate::order::{Chain, Change, Counted, Order, Ordered, Taken};
use crate::say::complain;

/// So many versions are told that are for all and do not serve.
const LACKS: usize = 100;

/// A trial: of what, and which version.
pub type Key = (Chain, u64);

/// Of which chain it is, and which version.
fn key_of(change: &Change) -> Key {
    (change.chain.clone(), change.version)
}

/// A chain that does not follow control, by somebody's word on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What serves of it here.
    pub change: Change,
    /// The highest version that was known then: a higher one was made since, and ends it.
    pub known: u64,
}

/// An order that the worker has not answered yet.
struct UnderWay {
    number: u64,
    /// The name under which what it serves then is published.
    stand: Option<String>,
}

/// What is wanted, and what there is of it.
#[derive(Default)]
pub struct Managed {
    want: News,
    /// What was wanted for all since this agent began, the last of each chain.
    live: BTreeMap<Chain, Change>,
    /// The name under which that is published.
    root: Option<String>,
    /// The name under which is published what the worker serves, as far as it told.
    stand: Option<String>,
    /// Something was held here: what serves may not be what is published under any name.
    strayed: bool,
    /// That is all that there is.
    whole: bool,
    /// The worker is to be told of all that there is.
    anew: bool,
    /// Chains that do not follow control here, and what control says of them.
    held: BTreeMap<Chain, (Held, Option<Change>)>,
    /// Those of them that were held before it was known what is published.
    held_early: BTreeSet<Chain>,
    /// It is known what is published.
    has_looked: bool,
    /// Versions that must not be tried again: they cannot be compiled, or brought a worker down.
    refused: BTreeMap<Key, String>,
    /// Those of them that a process of its own did not live through.
    deadly: BTreeSet<Key>,
    /// Versions that a process of its own has compiled, without harm to it.
    compiled: BTreeSet<Key>,
    ordered: u64,
    under_way: Option<UnderWay>,
    /// An order was not carried out, or was lost.
    failed: bool,
    taken: Vec<(Taken, Instant)>,
    restarts: BTreeMap<Key, u64>,
    /// What is new on trial in the order that the worker has, until it tells what became of it.
    compiles: Vec<Key>,
    failed_probes: BTreeMap<Key, u64>,
    /// Versions whose files cannot be had here.
    undelivered: BTreeMap<Key, String>,
    /// Versions for all that the worker refused when they were ordered last, and why: they wait.
    lacks: BTreeMap<Key, String>,
    /// What the worker has counted, as it told last.
    pub counted: Counted,
    own: Option<std::net::SocketAddr>,
    news: bool,
}

impl Managed {
    /// What is wanted now: what is published for this location. Whether what is held here has changed by it.
    pub fn wants(&mut self, mut want: News) -> bool {
        self.has_looked = true;
        let has_changed = self.keep_held(&mut want);
        if want.root.is_some() {
            self.root.clone_from(&want.root);
        }
        if want.whole {
            self.live.retain(|chain, _| self.held.contains_key(chain));
            (self.whole, self.anew) = (true, true);
            self.strayed = !self.held.is_empty();
        }
        let undelivered = std::mem::take(&mut want.undelivered).into_iter();
        self.undelivered = undelivered
            .map(|(chain, version, why)| ((chain, version), why))
            .collect();
        // Of what was compiled, these may be needed no more.
        let before = self.want.trials.iter().map(|on| key_of(&on.change));
        let mut left: Vec<Key> = before.collect();
        for change in &want.live {
            let before = self.live.insert(change.chain.clone(), change.clone());
            left.extend(before.as_ref().map(key_of));
        }
        let has_all = self.worker_has_all();
        if has_all {
            want.live.clear();
            self.anew = false;
        }
        let wanted: HashSet<Key> = want.trials.iter().map(|on| key_of(&on.change)).collect();
        self.restarts.retain(|key, _| wanted.contains(key));
        self.failed_probes.retain(|key, _| wanted.contains(key));
        let live = &self.live;
        let is_live = |(chain, version): &Key| {
            let change = live.get(chain);
            change.is_some_and(|change| change.version == *version)
        };
        self.deadly
            .retain(|key| wanted.contains(key) || is_live(key));
        let deadly = &self.deadly;
        self.refused
            .retain(|key, _| wanted.contains(key) || deadly.contains(key));
        if want.whole {
            self.compiled
                .retain(|key| wanted.contains(key) || is_live(key));
        } else {
            for key in left {
                if !wanted.contains(&key) && !is_live(&key) {
                    self.compiled.remove(&key);
                }
            }
        }
        let waits = std::mem::take(&mut self.want.live);
        self.want = want;
        let named: HashSet<&Chain> = self.want.live.iter().map(|new| &new.chain).collect();
        let waits = waits.into_iter().filter(|old| {
            let now = self.live.get(&old.chain);
            let same = |now: &Change| {
                (now.version, now.text.is_some()) == (old.version, old.text.is_some())
            };
            !has_all && !named.contains(&old.chain) && now.is_some_and(same)
        });
        let waits: Vec<Change> = waits.collect();
        self.want.live.extend(waits);
        self.news = true;
        has_changed
    }

    /// What is wanted for all is live already, or is once the order that is under way is carried out.
    fn worker_has_all(&self) -> bool {
        let order = self.under_way.as_ref();
        let stand = order.map_or(&self.stand, |order| &order.stand);
        !self.strayed && !self.failed && self.root.is_some() && self.root == *stand
    }

    /// Takes out of what is wanted what is held here; what is newer ends that. Whether anything has changed.
    fn keep_held(&mut self, want: &mut News) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let before = self.held.len();
        let early = std::mem::take(&mut self.held_early);
        let on_trial = want.trials.iter().map(|on| &on.change);
        // What is seen first was there when they were held.
        for change in want.live.iter().chain(on_trial) {
            if early.contains(&change.chain)
                && let Some((held, _)) = self.held.get_mut(&change.chain)
            {
                held.known = held.known.max(change.version);
            }
        }
        want.live.retain(|change| {
            let Some((held, says)) = self.held.get_mut(&change.chain) else {
                return true;
            };
            if change.version > held.known {
                complain(format_args!(
                    "{} follows control again: there is a newer version",
                    change.chain
                ));
                self.held.remove(&change.chain);
                return true;
            }
            *says = Some(change.clone());
            false
        });
        want.trials.retain(|on| {
            let held = self.held.get(&on.change.chain);
            held.is_none_or(|(held, _)| on.change.version > held.known)
        });
        self.held.len() != before || !early.is_empty()
    }

    /// Chains that do not follow control here.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values().map(|(held, _)| held)
    }

    /// As an earlier process had it.
    pub fn resume(&mut self, held: Vec<Held>) {
        self.strayed = !held.is_empty();
        for held in held {
            let chain = held.change.chain.clone();
            self.live.insert(chain.clone(), held.change.clone());
            let is_early = held.known == 0;
            self.held_early.extend(is_early.then(|| chain.clone()));
            self.held.insert(chain, (held, None));
        }
    }

    /// Whether something of a chain is on trial.
    pub fn is_on_trial(&self, chain: &Chain) -> bool {
        self.want.trials.iter().any(|on| on.change.chain == *chain)
    }

    /// From now on this serves of a chain, whatever control says of versions that are known.
    pub fn hold(&mut self, change: Change) {
        self.strayed = true;
        // What was held before had the same number.
        let key = key_of(&change);
        self.compiled.remove(&key);
        self.deadly.remove(&key);
        self.refused.remove(&key);
        let chain = change.chain.clone();
        let before = self.held.remove(&chain);
        let says = match before {
            Some((_, says)) => says,
            None => self.live.get(&chain).cloned(),
        };
        let of_it = |on: &&crate::order::OnTrial| on.change.chain == chain;
        let trials = self.want.trials.iter().filter(of_it);
        let known = trials.map(|on| on.change.version).max();
        let known = known.max(says.as_ref().map(|says| says.version));
        let held = Held {
            change: change.clone(),
            known: known.unwrap_or(0),
        };
        self.held.insert(chain.clone(), (held, says));
        if !self.has_looked {
            self.held_early.insert(chain.clone());
        }
        let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.want.trials)
            .into_iter()
            .partition(|on| on.change.chain == chain);
        self.want.trials = stay;
        for on in gone {
            self.compiled.remove(&key_of(&on.change));
        }
        self.order_live(change);
    }

    /// A chain follows control again. Whether it did not.
    pub fn release(&mut self, chain: &Chain) -> bool {
        let Some((_, says)) = self.held.remove(chain) else {
            return false;
        };
        self.held_early.remove(chain);
        // What control says may not be known yet: it comes with the next look.
        if let Some(says) = says {
            self.order_live(says);
        }
        true
    }

    fn order_live(&mut self, change: Change) {
        self.want.live.retain(|other| other.chain != change.chain);
        let before = self.live.insert(change.chain.clone(), change.clone());
        if let Some(before) = before.filter(|before| before.version != change.version) {
            self.compiled.remove(&key_of(&before));
        }
        self.want.live.push(change);
        self.news = true;
    }

    /// A worker serves that knows of nothing but what it found on disk, which is published under this name.
    pub fn worker_is_new(&mut self, stand: Option<String>) {
        self.taken.clear();
        self.counted = Counted::default();
        self.news = true;
        self.stand = stand;
        self.want.live.clear();
        self.anew = false;
        self.failed = false;
        self.under_way = None;
        if !self.worker_has_all() {
            self.order_all();
        }
    }

    /// A worker died, while it ran this version of a zone under that one of what all zones share (0: not known), or compiled
    /// something.
    pub fn worker_died(
        &mut self,
        crashed: bool,
        culprit: Option<(u64, u64)>,
        platform: u64,
        compiled: bool,
    ) {
        let mut compiles = std::mem::take(&mut self.compiles);
        if !compiled && culprit.is_some() {
            compiles.clear();
        }
        if !crashed {
            return;
        }
        let under = (platform != 0).then_some((0, platform));
        let taken = self.taken.iter().map(|(taken, _)| taken);
        // Where nobody is to blame, what is new may be.
        let to_blame = taken.filter(|taken| {
            culprit.is_none()
                || taken.blamed.is_some() && (taken.blamed == culprit || taken.blamed == under)
        });
        let mut died: Vec<(Key, &str)> = to_blame
            .map(|taken| (taken.chain.clone(), taken.version))
            .map(|key| (key, "a worker died while it served"))
            .collect();
        // What it was compiling, though another process had lived through that: it would die of it again, and again.
        let new = compiles
            .into_iter()
            .filter(|key| !died.iter().any(|(known, _)| known == key));
        let new: Vec<Key> = new.collect();
        died.extend(
            new.into_iter()
                .map(|key| (key, "a worker died while it compiled it")),
        );
        for (key, why) in died {
            self.refused.insert(key.clone(), why.into());
            *self.restarts.entry(key).or_default() += 1;
        }
    }

    /// Whether something is to be ordered again that was not carried out: all of it, as nobody knows what was.
    pub fn again(&mut self) -> bool {
        let failed = std::mem::take(&mut self.failed);
        if failed {
            self.order_all();
        }
        failed
    }

    fn order_all(&mut self) {
        self.want.live = self.live.values().cloned().collect();
        (self.anew, self.news) = (self.whole, true);
    }

    /// Contents of files that what is wanted names.
    pub fn contents(&self) -> HashSet<Hash> {
        let trials = self.want.trials.iter().map(|on| &on.change);
        let all = trials.chain(&self.want.live).chain(self.live.values());
        let texts = all.filter_map(|change| change.text.as_deref());
        texts.flat_map(contents::hashes).collect()
    }

    /// Texts that are to be compiled elsewhere before they are ordered, with the key of each.
    pub fn to_compile(&self) -> Vec<(Key, String)> {
        let trials = self.want.trials.iter().map(|on| &on.change);
        trials
            .chain(&self.want.live)
            .filter_map(|change| {
                let key = (change.chain.clone(), change.version);
                let text = change.text.clone()?;
                let is_new = !self.compiled.contains(&key) && !self.refused.contains_key(&key);
                is_new.then_some((key, text))
            })
            .collect()
    }

    /// Compiling it elsewhere ended: it brought that process down, or did not end, where there is a reason.
    pub fn compiled(&mut self, key: Key, deadly: Option<String>) {
        let Some(why) = deadly else {
            self.compiled.insert(key);
            return;
        };
        self.deadly.insert(key.clone());
        self.refused.insert(key, why);
    }

    /// Orders have higher numbers than this: no answer to an earlier agent's is taken for one to ours.
    pub fn number_from(&mut self, number: u64) {
        self.ordered = number;
    }

    /// The number of the order that is not answered yet.
    pub fn under_way(&self) -> Option<u64> {
        self.under_way.as_ref().map(|order| order.number)
    }

    /// Whether something is to be ordered now.
    pub fn is_due(&self) -> bool {
        self.news && self.under_way.is_none()
    }

    /// What is to be ordered now, if anything is new and what was ordered before is answered.
    pub fn order(&mut self) -> Option<Order> {
        if !self.is_due() {
            return None;
        }
        self.news = false;
        self.ordered += 1;
        let may = |change: &Change| {
            !self
                .refused
                .contains_key(&(change.chain.clone(), change.version))
        };
        let is_taken = |key: &Key| {
            let mut taken = self.taken.iter();
            taken.any(|(taken, _)| (&taken.chain, taken.version) == (&key.0, key.1))
        };
        let trials = self.want.trials.iter().map(|on| &on.change);
        self.compiles = trials
            .filter(|change| may(change))
            .map(|change| (change.chain.clone(), change.version))
            .filter(|key| !is_taken(key))
            .collect();
        let live = std::mem::take(&mut self.want.live);
        let zones = || {
            let there = self.live.values().filter(|change| change.text.is_some());
            there
                .filter_map(|change| change.chain.zone().map(str::to_owned))
                .collect()
        };
        // In place of what is not ordered stays what was there before, as in place of what an order that failed had.
        let lacks = self.refused.keys().any(|(chain, version)| {
            let change = self.live.get(chain);
            change.is_some_and(|change| change.version == *version)
        });
        let has_no_name = self.strayed || self.failed || lacks;
        // That there is none at all is no reason to take all away.
        let only = std::mem::take(&mut self.anew).then(zones);
        let only = only.filter(|zones: &Vec<String>| !zones.is_empty());
        let order = Order {
            number: self.ordered,
            only,
            stand: self.root.clone().filter(|_| !has_no_name),
            live: live.into_iter().filter(|change| may(change)).collect(),
            trials: self
                .want
                .trials
                .iter()
                .filter(|on| may(&on.change))
                .cloned()
                .collect(),
        };
        let stays = order.says_nothing_of_live().then(|| self.stand.clone());
        self.under_way = Some(UnderWay {
            number: order.number,
            stand: order.stand.clone().or(stays.flatten()),
        });
        Some(order)
    }

    /// What became of an order. Only the one that is under way is meant: an earlier agent had others.
    pub fn ordered(&mut self, ordered: Ordered, now: Instant) {
        let is_it = |order: &mut UnderWay| {
            order.number == ordered.number || ordered.failed && ordered.number == 0
        };
        if self.under_way.take_if(is_it).is_none() {
            return;
        }
        self.compiles.clear();
        if ordered.failed {
            self.failed = true;
            return;
        }
        for refusal in ordered.refused {
            let key = (refusal.chain, refusal.version);
            let mut trials = self.want.trials.iter().map(|on| &on.change);
            let on_trial = trials.any(|on| (&on.chain, on.version) == (&key.0, key.1));
            // What is for all waits for what stands in its way: a host, or a list, that another change is about to give.
            match self.live.get(&key.0) {
                Some(change) if !on_trial && change.version == key.1 => {
                    self.want.live.push(change.clone());
                    self.lacks.insert(key, refusal.problems);
                }
                _ => drop(self.refused.insert(key, refusal.problems)),
            }
        }
        if ordered.number == self.ordered {
            // What was ordered again and not refused serves.
            let waits: HashSet<Key> = self.want.live.iter().map(key_of).collect();
            self.lacks.retain(|key, _| waits.contains(key));
        }
        (self.own, self.stand) = (ordered.own, ordered.stand);
        let before = std::mem::take(&mut self.taken);
        let since = |taken: &Taken| {
            let same = before.iter().find(|(old, _)| {
                (&old.chain, old.version, old.share) == (&taken.chain, taken.version, taken.share)
            });
            same.map_or(now, |(_, since)| *since)
        };
        self.taken = ordered
            .taken
            .into_iter()
            .map(|taken| (taken.clone(), since(&taken)))
            .collect();
    }

    /// What was counted, and which orders the worker had then that it had not answered. Where it knows nothing of this one, which it was
    /// given long before, that was lost on its way, or the answer was.
    pub fn counted(&mut self, mut counted: Counted, given: Option<u64>) {
        let orders = counted.orders.take();
        self.counted = counted;
        if let (Some(number), Some(orders)) = (given, orders)
            && !orders.contains(&number)
            && self
                .under_way
                .take_if(|order| order.number == number)
                .is_some()
        {
            complain("what became of an order is not known: all is ordered anew");
            (self.failed, self.stand) = (true, None);
        }
    }

    /// The trial whose turn it is to be probed, and where: the first of them again behind the last.
    pub fn to_probe(&self, nth: usize) -> Option<(std::net::SocketAddr, Taken)> {
        let probed = || self.taken.iter().filter(|(taken, _)| taken.probe.is_some());
        let (taken, _) = probed().nth(nth.checked_rem(probed().count())?)?;
        Some((self.own?, taken.clone()))
    }

    /// A probe failed that what is live passed.
    pub fn probe_failed(&mut self, key: Key) {
        *self.failed_probes.entry(key).or_default() += 1;
    }

    /// Whether anything is tried.
    pub fn tries(&self) -> bool {
        self.trials() > 0
    }

    /// How much is on trial.
    pub fn trials(&self) -> usize {
        self.want.trials.len()
    }

    /// What is told to control by who acts on the manifest of this epoch and generation.
    pub fn report(&self, (epoch, generation): (u64, u64), now: Instant) -> Report {
        let for_ms = |since: Instant| {
            u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX)
        };
        let flat = |map: &BTreeMap<Key, u64>| {
            let all = map.iter();
            all.map(|((chain, version), count)| (chain.clone(), *version, *count))
                .collect()
        };
        Report {
            epoch,
            generation,
            counted: self.counted.clone(),
            taken: self
                .taken
                .iter()
                .map(|(taken, since)| {
                    (
                        taken.chain.clone(),
                        taken.version,
                        taken.share,
                        for_ms(*since),
                    )
                })
                .collect(),
            refused: self
                .refused
                .iter()
                .chain(&self.undelivered)
                .map(|((chain, version), why)| (chain.clone(), *version, why.clone()))
                .collect(),
            lacks: self
                .lacks
                .iter()
                .take(LACKS)
                .map(|((chain, version), why)| (chain.clone(), *version, why.clone()))
                .collect(),
            restarts: flat(&self.restarts),
            failed_probes: flat(&self.failed_probes),
            switches: Vec::new(),
            ready: None,
            here: Vec::new(),
            held: self.held.keys().cloned().collect(),
            purged: self.counted.purged,
        }
    }
}

#[cfg(test)]
mod tests;

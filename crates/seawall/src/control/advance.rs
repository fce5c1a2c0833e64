//! What the planner says of rollouts, carried out. Those that go in step take each step together, and end together: as far as one of
//! them must wait all do, and what takes one of them back takes all.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use seawall_control::plan::{self, Step, StepSpec, Target};
use seawall_control::store::{Body, Change as StoreChange, Outcome, Rollout, StoreError, Subject};
use seawall_model::HostPattern;
use seawall_model::tempo::Kind;

use super::engine::{Engine, PLANNER};
use super::fleet::Began;
use super::in_step::hosts;
use super::queue::Done;
use crate::order::Chain;
use crate::say::complain;

/// What a location did in this time before a rollout of what all zones share is held against what it does with it: as long as one of
/// its steps at the least.
pub(super) const PAST: Duration = Duration::from_secs(180);

/// A rollout, and what the planner says of it.
struct Looked<'r> {
    rollout: &'r Rollout,
    chain: &'r Chain,
    from: Option<u64>,
    to: u64,
    step: Step,
    /// What is told when it is complete.
    everywhere: String,
}

/// A rollout, of which chain from which version to which, and what the planner is asked about it.
type Aimed<'r> = (&'r Rollout, (&'r Chain, Option<u64>, u64), Target);

impl Engine {
    /// Asks the planner about rollouts that go in step, one or more, and does what it says.
    pub(super) fn advance(&mut self, group: &[&Rollout], now_ms: u64) -> Result<(), StoreError> {
        let mut targets = Vec::with_capacity(group.len());
        for rollout in group {
            match &rollout.subject {
                Subject::Version { chain, from, to } => {
                    let target = self.target(rollout, chain, *from, *to, now_ms)?;
                    targets.push((*rollout, (chain, *from, *to), target));
                }
                Subject::Kill(scope) => return self.advance_kill(rollout, scope, now_ms),
            }
        }
        if targets.iter().any(|(_, _, target)| target.from.is_some()) {
            // What is new goes with what replaces something: at its shares, not for all at once.
            for (_, _, target) in &mut targets {
                target.from = target.from.or(Some(0));
            }
        }
        let person = person(&targets);
        for rollout in group {
            self.waits_for_person(rollout.id, person.clone());
        }
        let moved = self.counted_with_others(&targets)?;
        let reports = self.reports_of(&targets, &moved, now_ms);
        let looked = targets.into_iter().zip(reports);
        let looked: Vec<Looked<'_>> = looked
            .map(|((rollout, (chain, from, to), target), reports)| Looked {
                rollout,
                chain,
                from,
                to,
                step: plan::plan(&target, &reports, now_ms),
                everywhere: everywhere(&target, &reports),
            })
            .collect();
        for one in &looked {
            if let Step::TakeBack { why } = &one.step {
                return self.take_back(&looked, one, why);
            }
        }
        for one in &looked {
            if let Step::Hold { why, .. } = &one.step {
                self.hold(&looked, one, why);
                return Ok(());
            }
        }
        let steps: Vec<(u64, &StepSpec)> = looked
            .iter()
            .filter_map(|one| match &one.step {
                Step::Advance { to } => Some((one.rollout.id, to)),
                _ => None,
            })
            .collect();
        if steps.is_empty() {
            self.complete(&looked);
        } else {
            self.steps(&steps);
        }
        Ok(())
    }

    /// Of each whether requests for it are counted with others: it is new, or all of its hosts are of those that it goes in step with.
    fn counted_with_others(&mut self, targets: &[Aimed<'_>]) -> Result<Vec<bool>, StoreError> {
        let is_known = |(rollout, ..): &Aimed<'_>| self.only_moves.contains_key(&rollout.id);
        if targets.len() > 1 && !targets.iter().all(is_known) {
            let mut both = Vec::with_capacity(targets.len());
            for (_, (chain, from, to), _) in targets {
                let before = match from {
                    Some(from) => self.text(chain, *from)?,
                    None => None,
                };
                let after = self.text(chain, *to)?;
                both.push((hosts(before.as_deref()), hosts(after.as_deref())));
            }
            let only_moves = only_moves(&both);
            let of = targets.iter().map(|(rollout, ..)| rollout.id);
            self.only_moves.extend(of.zip(only_moves));
        }
        let counted = targets.iter().map(|(rollout, (_, from, _), _)| {
            from.is_none() || self.only_moves.get(&rollout.id) == Some(&true)
        });
        Ok(counted.collect())
    }

    /// What locations tell of each. Requests for a host that moves are counted with the zone that gives it up: for one all of whose requests
    /// are, what all of them did counts.
    fn reports_of(
        &self,
        targets: &[Aimed<'_>],
        counted_with_others: &[bool],
        now_ms: u64,
    ) -> Vec<Vec<plan::Report>> {
        let hold = self.tempo.scaled(PAST);
        let began = |rollout: &Rollout| {
            self.began.get(&rollout.id).map(|at_ms| Began {
                at_ms: *at_ms,
                hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
            })
        };
        let own = targets.iter().map(|(rollout, (chain, _, to), _)| {
            self.fleet.reports((chain, *to), now_ms, began(rollout))
        });
        let own: Vec<Vec<plan::Report>> = own.collect();
        let mut all = own.clone();
        for (nth, (reports, with_others)) in all.iter_mut().zip(counted_with_others).enumerate() {
            if !with_others {
                continue;
            }
            let others = own.iter().enumerate().filter(|(other, _)| *other != nth);
            let others: Vec<&plan::Report> = others.flat_map(|(_, told)| told).collect();
            for report in reports {
                for other in others
                    .iter()
                    .filter(|other| other.location == report.location)
                {
                    report.with.add(&other.with);
                    report.base.add(&other.base);
                }
            }
        }
        all
    }

    /// The rollouts of these chains that run without a person's approval.
    ///
    /// # Errors
    /// As the store says.
    pub fn unapproved(&mut self, chains: &[Chain]) -> Result<Vec<(u64, Chain)>, StoreError> {
        let mut running = Vec::new();
        if !chains.is_empty() {
            running = self.store().running()?;
        }
        let chains: HashSet<&Chain> = chains.iter().collect();
        let of = |rollout: Rollout| match rollout.subject {
            Subject::Version { chain, .. } if !rollout.approved && chains.contains(&chain) => {
                Some((rollout.id, chain))
            }
            _ => None,
        };
        Ok(running.into_iter().filter_map(of).collect())
    }

    /// Notes what a person has to do before a rollout goes on; none: it waits for no person.
    pub(super) fn waits_for_person(&mut self, rollout: u64, what: Option<String>) {
        match what {
            Some(what) => self.people.insert(rollout, what),
            None => self.people.remove(&rollout),
        };
    }

    /// All wait for the one that must.
    fn hold(&mut self, looked: &[Looked<'_>], one: &Looked<'_>, why: &str) {
        for other in looked {
            let why = match &other.step {
                Step::Hold { why, .. } => why.clone(),
                _ => format!("it goes in step with {}: {why}", one.chain),
            };
            self.waits.insert(other.rollout.id, why);
        }
    }

    /// Steps that are taken together, all or none.
    pub(super) fn steps(&mut self, steps: &[(u64, &StepSpec)]) {
        let Some((_, first)) = steps.first() else {
            return;
        };
        let share = steps.iter().map(|(_, step)| step.share).min();
        let share = share.unwrap_or(first.share);
        let why = format!("step {} at {share}", first.step + 1);
        for (rollout, step) in steps {
            let step = StepSpec {
                ring: first.ring.clone(),
                share,
                ..(*step).clone()
            };
            let entry = StoreChange::Event(step.entry(*rollout));
            self.together.step(&why, *rollout, step.step == 0, entry);
        }
    }

    /// They are everywhere.
    fn complete(&mut self, looked: &[Looked<'_>]) {
        let Some(why) = looked.first().map(|one| &one.everywhere) else {
            return;
        };
        let done = looked.iter().map(|one| Done {
            rollout: one.rollout.id,
            chain: one.chain.clone(),
            version: one.to,
        });
        self.together.complete(why, done);
    }

    /// Ends them, and makes the newest versions what serves.
    fn take_back(
        &mut self,
        looked: &[Looked<'_>],
        one: &Looked<'_>,
        why: &str,
    ) -> Result<(), StoreError> {
        let mut why = why.to_owned();
        if looked.len() > 1 {
            why = format!("{} (of {}, which others go in step with)", why, one.chain);
        }
        for one in looked {
            complain(format_args!(
                "{}: version {} is taken back: {why}",
                one.chain, one.to
            ));
        }
        self.end_all(looked, Outcome::TakenBack, &why)?;
        let back = looked.iter().map(|one| (one.chain, one.from));
        self.go_back(back, PLANNER, &why)
    }

    /// Ends all of them at once. The number of the first entry that says so.
    fn end_all(
        &mut self,
        looked: &[Looked<'_>],
        outcome: Outcome,
        why: &str,
    ) -> Result<u64, StoreError> {
        let ends = looked.iter().map(|one| {
            StoreChange::Event(Body::RolloutEnded {
                rollout: one.rollout.id,
                outcome,
            })
        });
        let ends = ends.collect();
        looked.iter().for_each(|one| self.forget(one.rollout.id));
        Ok(self.append(PLANNER, why, Vec::new(), ends)?.first)
    }
}

/// Of zones with these hosts before and after, which go in step: whether all that one of them has afterwards are hosts of the others.
fn only_moves(both: &[(HashSet<HostPattern>, HashSet<HostPattern>)]) -> Vec<bool> {
    let mut before: HashMap<&HostPattern, usize> = HashMap::new();
    for (nth, (hosts, _)) in both.iter().enumerate() {
        before.extend(hosts.iter().map(|host| (host, nth)));
    }
    let only_moves = both.iter().enumerate().map(|(nth, (_, after))| {
        let is_others = |host: &HostPattern| before.get(host).is_some_and(|by| *by != nth);
        !after.is_empty() && after.iter().all(is_others)
    });
    only_moves.collect()
}

/// What a person has to do before those that go in step go on: what keeps one of them keeps all. Going back asks nobody.
fn person(targets: &[Aimed<'_>]) -> Option<String> {
    let mut kept = targets
        .iter()
        .filter(|(_, _, target)| target.kind != Kind::Return);
    kept.find_map(|(rollout, (chain, ..), target)| {
        if target.pinned {
            let of = chain.zone().unwrap_or("--platform");
            return Some(format!("`seawall pin {of} --remove` lets it go on"));
        }
        let asks = !target.approved && !target.asks.is_empty();
        asks.then(|| {
            format!(
                "`seawall approve {}` lets it go on, however it judges requests",
                rollout.id
            )
        })
    })
}

/// How a rollout that is complete is told of: who has not got it is named.
pub(super) fn everywhere(target: &Target, reports: &[plan::Report]) -> String {
    match plan::without(target, reports).as_slice() {
        [] => "it is everywhere".into(),
        some => format!("it is everywhere, but {}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_nothing_but_hosts_of_others_is_known() {
        let hosts = |names: &[&str]| -> HashSet<HostPattern> {
            let host = |name: &&str| HostPattern::Exact((*name).into());
            names.iter().map(host).collect()
        };
        let both = [
            (hosts(&["a"]), hosts(&["b"])),
            (hosts(&["b"]), hosts(&["c"])),
            (hosts(&["d", "e"]), hosts(&["a", "e"])),
            (hosts(&["d"]), hosts(&[])),
        ];
        assert_eq!(only_moves(&both), [true, false, false, false]);
    }
}

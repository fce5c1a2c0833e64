//! The rollouts that run, by what they have to do with each other: those that go in step, and those that wait for one another. There may be
//! one for each of a hundred thousand zones, so nothing here looks at all of them for each of them, and what they do next is written
//! into the log together.

use std::collections::{BTreeMap, HashMap};

use seawall_control::plan::{self, Admission};
use seawall_control::store::{Body, Change as StoreChange, Outcome, Rollout, StoreError, Subject};
use seawall_model::tempo::Kind;

use super::engine::{Engine, PLANNER};
use crate::order::Chain;
use crate::say::{complain, say};

/// So many versions of zones are on trial at once, and the others wait for their turn: edges take a list of 10,000 trials
/// (`seawall_bundle::Limits::trials`), of which some are left for what goes back meanwhile.
const ON_TRIAL: usize = 8_000;
/// And so many with those that go back.
const ON_TRIAL_WITH_RETURNS: usize = 9_000;
/// So many are told of one by one.
const TOLD: usize = 20;

/// The rollouts that run.
pub(super) struct Queue<'r> {
    /// Those that go in step, the oldest first, and each alone that goes with no other.
    groups: Vec<Vec<&'r Rollout>>,
    by_key: HashMap<String, Vec<&'r Rollout>>,
    /// The first of each kind.
    first: BTreeMap<Kind, &'r Rollout>,
    /// Those of what all zones share.
    platform: Vec<&'r Rollout>,
}

/// How many are on trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    on_trial: usize,
}

impl<'r> Queue<'r> {
    /// Of all that run, the oldest first.
    pub(super) fn of(running: &'r [Rollout]) -> Self {
        let mut queue = Self {
            groups: Vec::new(),
            by_key: HashMap::new(),
            first: BTreeMap::new(),
            platform: Vec::new(),
        };
        let mut group_of: HashMap<u64, usize> = HashMap::new();
        for rollout in running {
            let nth = *group_of.entry(rollout.group()).or_insert_with(|| {
                queue.groups.push(Vec::new());
                queue.groups.len() - 1
            });
            if let Some(group) = queue.groups.get_mut(nth) {
                group.push(rollout);
            }
            queue.by_key.entry(rollout.key()).or_default().push(rollout);
            queue.first.entry(rollout.tempo).or_insert(rollout);
            if rollout.tempo == Kind::Platform {
                queue.platform.push(rollout);
            }
        }
        queue
    }

    /// Those that go in step, the oldest first.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[&'r Rollout]> {
        self.groups.iter().map(Vec::as_slice)
    }

    /// How many are on trial already.
    pub(super) fn room(&self) -> Room {
        let all = self.groups.iter().flatten();
        Room {
            on_trial: all
                .filter(|one| is_trial(one) && one.step.is_some())
                .count(),
        }
    }

    /// Those that began before this one and that it may have to wait for, the oldest first: of its chain, and the first of its kind.
    fn before(&self, rollout: &Rollout, key: &str) -> Vec<(u64, Kind, String)> {
        let of_key = self.by_key.get(key).into_iter().flatten();
        let all = of_key.chain(self.first.get(&rollout.tempo));
        let earlier = all.filter(|other| other.id < rollout.id);
        let mut before: Vec<_> = earlier
            .map(|other| (other.id, other.tempo, other.key()))
            .collect();
        before.sort_unstable_by_key(|(id, ..)| *id);
        before.dedup_by_key(|(id, ..)| *id);
        before
    }
}

fn is_trial(rollout: &Rollout) -> bool {
    matches!(rollout.subject, Subject::Version { .. })
}

impl Engine {
    /// Whether it has to wait for others that began earlier.
    pub(super) fn waits_for_another(&mut self, rollout: &Rollout, queue: &Queue<'_>) -> bool {
        if rollout.step.is_some() {
            return false;
        }
        let key = rollout.key();
        let others = match plan::admit(rollout.tempo, &key, &queue.before(rollout, &key)) {
            Admission::Start => Vec::new(),
            Admission::Wait(other) => vec![other],
            Admission::Preempt(others) => {
                for other in others {
                    if let Err(error) =
                        self.end(other, Outcome::Aborted, "another one went before it")
                    {
                        complain(format_args!("{error}"));
                    }
                }
                Vec::new()
            }
        };
        // What all zones share comes before the zones that were changed with it: they may name a list of it.
        let with_it = |other: &&&Rollout| {
            other.id < rollout.id
                && (other.began, &other.who, &other.why)
                    == (rollout.began, &rollout.who, &rollout.why)
        };
        let waits = others
            .first()
            .copied()
            .or_else(|| queue.platform.iter().find(with_it).map(|other| other.id));
        if let Some(other) = waits {
            self.waits
                .insert(rollout.id, format!("waits for rollout {other}"));
        }
        waits.is_some()
    }

    /// Whether those that go in step may begin, beside all that are on trial. What all zones share, and what ends an emergency, always may.
    pub(super) fn has_room(&mut self, group: &[&Rollout], room: &mut Room) -> bool {
        let begin = group
            .iter()
            .filter(|one| is_trial(one) && one.step.is_none());
        let begin = begin.count();
        let most = match group.first().map(|rollout| rollout.tempo) {
            Some(Kind::Zone) => ON_TRIAL,
            Some(Kind::Return) => ON_TRIAL_WITH_RETURNS,
            _ => usize::MAX,
        };
        // One group of more goes alone: it would wait for ever.
        if begin > 0 && room.on_trial > 0 && room.on_trial.saturating_add(begin) > most {
            for rollout in group {
                let why = format!("waits for its turn: {} are on trial", room.on_trial);
                self.waits.insert(rollout.id, why);
            }
            return false;
        }
        room.on_trial = room.on_trial.saturating_add(begin);
        true
    }
}

/// What rollouts do next: decided one by one, written into the log together.
#[derive(Default)]
pub(super) struct Together {
    /// Steps, by why they are taken: of which rollout, whether it is the first.
    steps: BTreeMap<String, Vec<(u64, bool, StoreChange)>>,
    /// Rollouts that are complete, by how that is told.
    complete: BTreeMap<String, Vec<Done>>,
}

/// A rollout that is complete.
pub(super) struct Done {
    /// Its number.
    pub(super) rollout: u64,
    /// Of which chain.
    pub(super) chain: Chain,
    /// Which version serves all.
    pub(super) version: u64,
}

impl Together {
    /// A rollout takes a step.
    pub(super) fn step(&mut self, why: &str, rollout: u64, is_first: bool, entry: StoreChange) {
        let steps = self.steps.entry(why.to_owned()).or_default();
        steps.push((rollout, is_first, entry));
    }

    /// Rollouts are complete.
    pub(super) fn complete(&mut self, why: &str, done: impl Iterator<Item = Done>) {
        let all = self.complete.entry(why.to_owned()).or_default();
        all.extend(done);
    }
}

impl Engine {
    /// Writes into the log what rollouts do next: steps of those that go in step are taken all or none, for they say the same.
    pub(super) fn take_steps(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let together = std::mem::take(&mut self.together);
        for (why, steps) in together.steps {
            let mut taken = Vec::with_capacity(steps.len());
            let mut entries = Vec::with_capacity(steps.len());
            for (rollout, is_first, entry) in steps {
                taken.push((rollout, is_first));
                entries.push(entry);
            }
            self.append(PLANNER, &why, Vec::new(), entries)?;
            for (rollout, is_first) in taken {
                self.stepped.insert(rollout, now_ms);
                if is_first {
                    self.began.insert(rollout, now_ms);
                }
                self.waits.insert(rollout, why.clone());
            }
        }
        for (why, done) in together.complete {
            self.completed(&why, done)?;
        }
        Ok(())
    }

    fn completed(&mut self, why: &str, all: Vec<Done>) -> Result<(), StoreError> {
        let ends = all.iter().map(|done| {
            StoreChange::Event(Body::RolloutEnded {
                rollout: done.rollout,
                outcome: Outcome::Complete,
            })
        });
        let ends = ends.collect();
        let first = self.append(PLANNER, why, Vec::new(), ends)?.first;
        let more = all.len().saturating_sub(TOLD);
        for (nth, (since, done)) in (first..).zip(all).enumerate() {
            self.forget(done.rollout);
            if nth < TOLD {
                say(format_args!(
                    "Seawall serves version {} of {} to all: {why}",
                    done.version, done.chain
                ));
            }
            self.serve(done.chain, done.version, since);
        }
        if more > 0 {
            say(format_args!(
                "Seawall serves the new versions of {more} more zone(s) to all: {why}"
            ));
        }
        Ok(())
    }
}

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

/// So many versions of zones are on trial at once, and the others wait for their turn: each takes twenty requests or probes a step, which
/// more would only wait for longer.
const ON_TRIAL: usize = 1_000;
/// And so many with those that go back, of the 10,000 that edges take in a list of trials (`seawall_bundle::Limits::trials`).
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

impl Room {
    /// Takes those that go in step, if there is room for those of them that have not begun. What all zones share, and what ends an
    /// emergency, there always is room for.
    fn takes(&mut self, group: &[&Rollout]) -> bool {
        let begins = |one: &&&Rollout| is_trial(one) && one.step.is_none();
        let begin = group.iter().filter(begins).count();
        let most = match group.first().map(|rollout| rollout.tempo) {
            Some(Kind::Zone) => ON_TRIAL,
            Some(Kind::Return) => ON_TRIAL_WITH_RETURNS,
            _ => usize::MAX,
        };
        let after = self.on_trial.saturating_add(begin);
        // A group that is too large for any room goes alone: it would wait for ever.
        if begin > 0 && self.on_trial > 0 && after > most {
            return false;
        }
        self.on_trial = after;
        true
    }
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
            // Who keeps that one keeps this one.
            let person = self.people.get(&other).cloned();
            self.waits_for_person(rollout.id, person);
        }
        waits.is_some()
    }

    /// Whether those that go in step may begin, beside all that are on trial; else it is told why not.
    pub(super) fn has_room(&mut self, group: &[&Rollout], room: &mut Room) -> bool {
        if room.takes(group) {
            return true;
        }
        for rollout in group {
            let why = format!("waits for its turn: {} are on trial", room.on_trial);
            self.waits.insert(rollout.id, why);
            self.waits_for_person(rollout.id, None);
        }
        false
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

#[cfg(test)]
mod tests {
    use seawall_control::store::State;
    use seawall_model::Share;

    use super::*;

    fn rollout(id: u64, tempo: Kind, zone: &str, begun: bool) -> Rollout {
        Rollout {
            id,
            tempo,
            subject: Subject::Version {
                chain: Chain::Zone(zone.into()),
                from: None,
                to: 1,
            },
            with: None,
            began: 1,
            who: "token:ada".into(),
            why: "a test".into(),
            step: begun.then_some(0),
            stepped: 1,
            ring: Vec::new(),
            share: Share::NONE,
            requests: 0,
            probes: 0,
            approved: false,
            state: State::Running,
        }
    }

    #[test]
    fn so_many_begin_as_there_is_room_for_and_what_goes_back_has_more_of_it() {
        let running: Vec<Rollout> = (0..2_000_u64)
            .map(|id| rollout(id, Kind::Zone, &format!("z{id}"), id < 300))
            .collect();
        let queue = Queue::of(&running);
        let mut room = queue.room();
        assert_eq!(room.on_trial, 300);
        let taken = queue.groups().filter(|group| room.takes(group)).count();
        // Those that have begun go on.
        assert_eq!((taken, room.on_trial), (ON_TRIAL, ON_TRIAL));
        let back: Vec<Rollout> = (0..9_000_u64)
            .map(|id| rollout(id, Kind::Return, &format!("z{id}"), false))
            .collect();
        let taken = back.iter().filter(|one| room.takes(&[one])).count();
        assert_eq!(taken, ON_TRIAL_WITH_RETURNS - ON_TRIAL);
        assert!(room.takes(&[&rollout(1, Kind::Platform, "", false)]));
        // Those that go in step, more than there ever is room for.
        let all: Vec<&Rollout> = running.iter().collect();
        assert!(!room.takes(&all));
        assert!(Room::default().takes(&all));
    }

    #[test]
    fn what_may_hold_one_up_is_found_among_very_many() {
        let mut running: Vec<Rollout> = (0..100_000_u64)
            .map(|id| rollout(id, Kind::Zone, &format!("z{id}"), true))
            .collect();
        running.push(rollout(100_000, Kind::Return, "z7", false));
        running.push(rollout(100_001, Kind::Zone, "z7", false));
        running[50_000].with = Some(49_999);
        let queue = Queue::of(&running);
        let before = |nth: usize| {
            let one = &running[nth];
            let before = queue.before(one, &one.key());
            before.iter().map(|(id, ..)| *id).collect::<Vec<u64>>()
        };
        assert_eq!(before(0), Vec::<u64>::new());
        assert_eq!(before(99_999), [0], "the first of its kind, and no other");
        assert_eq!(before(100_000), [7]);
        assert_eq!(before(100_001), [0, 7, 100_000]);
        let group = queue.groups().nth(49_999).unwrap();
        let ids: Vec<u64> = group.iter().map(|one| one.id).collect();
        assert_eq!(ids, [49_999, 50_000]);
    }
}

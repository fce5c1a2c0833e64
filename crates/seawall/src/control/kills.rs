//! Emergency switches: a stage is off, in one zone or all, in one location or all, for a while. They go the way of all changes, faster.
//!
//! An edge counts a switch's time from when it saw it first, on a clock that nobody sets. Control takes the switch out of what is
//! published a while after that must be over everywhere.

use std::time::Duration;

use seawall_bundle::{Kill, Locations};
use seawall_control::plan::{self, Step, Target};
use seawall_control::store::{
    Body, Change as StoreChange, Entry, KillSwitch, Outcome, Rollout, Scope, State, StoreError,
    Subject,
};
use seawall_model::Share;
use seawall_model::tempo::Kind;

use super::advance::{PAST, everywhere};
use super::engine::{Engine, PLANNER};
use super::make::By;
use crate::say::{complain, say};

/// Switches that are looked at.
const ROWS: usize = 256;
/// How long a switch is published after its time is over, for those who saw it late.
const LATE: Duration = Duration::from_secs(600);

impl Engine {
    /// Sets a switch, and begins its rollout. The rollout's number.
    ///
    /// # Errors
    /// As the store says.
    pub fn kill(&mut self, switch: KillSwitch, by: &By<'_>) -> Result<u64, StoreError> {
        let running = self.store().running()?;
        let same = |rollout: &&Rollout| rollout.subject == Subject::Kill(switch.scope.clone());
        let ends = running.iter().filter(same).map(|rollout| {
            StoreChange::Event(Body::RolloutEnded {
                rollout: rollout.id,
                outcome: Outcome::Aborted,
            })
        });
        let mut changes: Vec<StoreChange> = ends.collect();
        changes.push(StoreChange::Kill(switch));
        let made = self.append_by(by, Vec::new(), changes)?;
        Ok(made.rollouts.first().copied().unwrap_or(made.last))
    }

    /// Takes a switch back. Whether there was one.
    ///
    /// # Errors
    /// As the store says.
    pub fn end_kill(&mut self, scope: &Scope, by: &By<'_>) -> Result<bool, StoreError> {
        if self.store().stands("kill", &scope.key())?.is_none() {
            return Ok(false);
        }
        let running = self.store().running()?;
        let same = |rollout: &&Rollout| rollout.subject == Subject::Kill(scope.clone());
        let mut changes: Vec<StoreChange> = running
            .iter()
            .filter(same)
            .map(|rollout| {
                StoreChange::Event(Body::RolloutEnded {
                    rollout: rollout.id,
                    outcome: Outcome::Aborted,
                })
            })
            .collect();
        changes.push(StoreChange::Event(Body::KillCleared(scope.clone())));
        self.append_by(by, Vec::new(), changes)?;
        Ok(true)
    }

    pub(super) fn advance_kill(
        &mut self,
        rollout: &Rollout,
        scope: &Scope,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut fleet = self.fleet.locations();
        fleet.retain(|location| {
            scope
                .location
                .as_ref()
                .is_none_or(|name| *name == location.name)
        });
        let target = Target {
            kind: Kind::Kill,
            from: None,
            to: rollout.id,
            taken: self.taken(rollout, now_ms),
            asks: Vec::new(),
            approved: rollout.approved,
            pinned: false,
            allowed_shift: Share::ALL,
            routes_only: false,
            fleet,
            tempo: self.tempo,
        };
        let began = *self.began.entry(rollout.id).or_insert(now_ms);
        let hold = self.tempo.scaled(PAST).as_millis();
        let before = (began, u64::try_from(hold).unwrap_or(u64::MAX));
        let reports = self.fleet.kill_reports(rollout.id, now_ms, before);
        match plan::plan(&target, &reports, now_ms) {
            Step::Hold { why, .. } => {
                self.waits.insert(rollout.id, why);
            }
            Step::Advance { to } => self.steps(&[(rollout.id, &to)]),
            Step::TakeBack { why } => {
                complain(format_args!(
                    "the emergency switch on {} is taken back: {why}",
                    scope.key()
                ));
                self.end(rollout.id, Outcome::TakenBack, &why)?;
                self.end_kill(scope, &By::new(PLANNER, &why))?;
            }
            Step::Done => {
                let why = everywhere(&target, &reports);
                self.end(rollout.id, Outcome::Complete, &why)?;
                say(format_args!(
                    "Seawall has switched off {}: {why}",
                    scope.key()
                ));
            }
        }
        Ok(())
    }

    /// Switches whose time is over everywhere are taken out of what is published.
    pub(super) fn end_kills(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let standing = self.store().standing("kill", None, ROWS)?;
        self.switched
            .retain(|seq, _| standing.iter().any(|entry| entry.seq == *seq));
        for entry in standing {
            let Body::KillSet(switch) = &entry.body else {
                continue;
            };
            let since = *self.switched.entry(entry.seq).or_insert(now_ms);
            let lasts = self
                .tempo
                .scaled(Duration::from_secs(switch.seconds) + LATE);
            if u128::from(now_ms.saturating_sub(since)) > lasts.as_millis() {
                self.end_kill(&switch.scope.clone(), &By::new(PLANNER, "its time is over"))?;
            }
        }
        Ok(())
    }

    /// Switches as they are published: where their rollouts have come to.
    ///
    /// # Errors
    /// As the store says.
    pub fn kills(&mut self) -> Result<Vec<Kill>, StoreError> {
        let mut kills = Vec::new();
        for entry in self.store().standing("kill", None, ROWS)? {
            if let Some(kill) = self.published(&entry)? {
                kills.push(kill);
            }
        }
        Ok(kills)
    }

    fn published(&mut self, entry: &Entry) -> Result<Option<Kill>, StoreError> {
        let Body::KillSet(switch) = &entry.body else {
            return Ok(None);
        };
        // A switch and its rollout are made in one, one behind the other.
        let rollout = self.store().rollout(entry.seq + 1)?;
        let Some(rollout) =
            rollout.filter(|rollout| rollout.subject == Subject::Kill(switch.scope.clone()))
        else {
            return Ok(None);
        };
        let locations = match (&rollout.state, &switch.scope.location) {
            (State::Running, _) if rollout.step.is_none() => return Ok(None),
            (State::Running, _) => Locations::Named(rollout.ring.clone()),
            (State::Ended(Outcome::Complete), None) => Locations::All,
            (State::Ended(Outcome::Complete), Some(location)) => {
                Locations::Named(vec![location.clone()])
            }
            (State::Ended(_), _) => return Ok(None),
        };
        Ok(Some(Kill {
            id: rollout.id,
            module: switch.scope.module.clone(),
            zone: switch.scope.zone.clone(),
            locations,
            for_s: switch.seconds.max(1),
            why: entry.why.chars().take(250).collect(),
        }))
    }
}

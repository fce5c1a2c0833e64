//! The registry through which members outlive a configuration, and what another process knew of them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::hash;
use super::pool::{Member, Tally};

/// All members in use, by scope and id: how a new configuration finds what the old one learnt. Locked only while a pool
/// is built. Forgets a member when the last pool that holds it is gone.
#[derive(Debug)]
pub struct Members {
    /// Parted by scope: whoever sweeps one, which takes long where there are many, holds up nobody else for long.
    parts: [Mutex<Known>; PARTS],
}

impl Default for Members {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

/// Parts of the registry.
const PARTS: usize = 64;
/// So much of what another process knew waits in each part for members that are not in use yet.
const WAITING: usize = 1_024;

impl Members {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    fn part(&self, scope: &str) -> MutexGuard<'_, Known> {
        let [first, rest @ ..] = &self.parts;
        let nth = hash::seed(scope) as usize % PARTS;
        let part = nth.checked_sub(1).and_then(|nth| rest.get(nth));
        part.unwrap_or(first)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The member with this id, a new one when none is in use.
    pub fn member(&self, scope: &str, id: &str) -> Arc<Member> {
        self.find(scope, id).0
    }

    /// The same, and whether it is a new one.
    pub(super) fn find(&self, scope: &str, id: &str) -> (Arc<Member>, bool) {
        let mut known = self.part(scope);
        known.sweep();
        let key = (scope.into(), id.into());
        let waiting = known.waiting.remove(&key);
        let entry = known.members.entry(key).or_default();
        let mut is_new = false;
        let member = reuse(entry, || {
            is_new = true;
            Member::new(id)
        });
        if let Some((health, at)) = waiting {
            member.take_health(&health, at);
        }
        (member, is_new)
    }

    /// What is known of the health of all members that are in use, at `now`, and of those that may come into use.
    pub fn healths(&self, now: u64) -> Vec<MemberHealth> {
        let mut all = Vec::new();
        for part in &self.parts {
            let known = part.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(known.members.iter().filter_map(|((scope, id), member)| {
                let member = member.upgrade()?;
                let until = member.ejected_until.load(Ordering::Relaxed);
                Some(MemberHealth {
                    scope: scope.to_string(),
                    id: id.to_string(),
                    healthy: member.healthy.load(Ordering::Relaxed),
                    failures: member.consecutive_failures.load(Ordering::Relaxed),
                    ejections: member.ejections.load(Ordering::Relaxed),
                    ejected_for: until.saturating_sub(now),
                })
            }));
            all.extend(known.waiting.values().map(|(health, at)| {
                let passed = now.saturating_sub(*at);
                MemberHealth {
                    ejected_for: health.ejected_for.saturating_sub(passed),
                    ..health.clone()
                }
            }));
        }
        all
    }

    /// Goes on from what another process knew, for the members that are in use here, and for those that come into use.
    pub fn take_healths(&self, healths: &[MemberHealth], now: u64) {
        for health in healths {
            let mut known = self.part(&health.scope);
            let key = (health.scope.as_str().into(), health.id.as_str().into());
            if let Some(member) = known.members.get(&key).and_then(Weak::upgrade) {
                member.take_health(health, now);
            } else if health.is_notable() && known.waiting.len() < WAITING {
                known.waiting.insert(key, (health.clone(), now));
            }
        }
    }

    pub(super) fn tally(&self, scope: &str) -> Arc<Tally> {
        let mut known = self.part(scope);
        known.sweep();
        let entry = known.tallies.entry(scope.into()).or_default();
        reuse(entry, Tally::default)
    }
}

impl MemberHealth {
    /// Whether it is not what is thought of a member of which nothing is known.
    fn is_notable(&self) -> bool {
        !self.healthy || self.failures > 0 || self.ejections > 0 || self.ejected_for > 0
    }
}

impl Member {
    /// Goes on from what another process knew at this time.
    fn take_health(&self, health: &MemberHealth, at: u64) {
        self.healthy.store(health.healthy, Ordering::Relaxed);
        let failures = &self.consecutive_failures;
        failures.fetch_max(health.failures, Ordering::Relaxed);
        self.ejections
            .fetch_max(health.ejections, Ordering::Relaxed);
        if health.ejected_for > 0 {
            let until = at.saturating_add(health.ejected_for);
            self.ejected_until.fetch_max(until, Ordering::Relaxed);
        }
    }
}

/// What is known of a member's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHealth {
    /// The pool's scope.
    pub scope: String,
    /// The member's id.
    pub id: String,
    /// What probes say.
    pub healthy: bool,
    /// Failures of requests since the last success.
    pub failures: u32,
    /// How often it was ejected in a row.
    pub ejections: u32,
    /// For how many milliseconds more it is ejected; 0 when it is not.
    pub ejected_for: u64,
}

fn reuse<T>(entry: &mut Weak<T>, fresh: impl FnOnce() -> T) -> Arc<T> {
    entry.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(fresh());
        *entry = Arc::downgrade(&fresh);
        fresh
    })
}

#[derive(Debug, Default)]
struct Known {
    members: HashMap<(Box<str>, Box<str>), Weak<Member>>,
    tallies: HashMap<Box<str>, Weak<Tally>>,
    /// What another process knew of members that are not in use yet, and when that was.
    waiting: HashMap<(Box<str>, Box<str>), (MemberHealth, u64)>,
    /// At how many entries the dead ones are swept out again.
    sweep_at: usize,
}

impl Known {
    /// Sweeps when the maps have doubled since the last time, so that a million zones cost a million steps.
    fn sweep(&mut self) {
        if self.members.len() + self.tallies.len() < self.sweep_at {
            return;
        }
        self.members.retain(|_, member| member.strong_count() > 0);
        self.tallies.retain(|_, tally| tally.strong_count() > 0);
        self.sweep_at = (self.members.len() + self.tallies.len()) * 2 + 64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Pool, Settings};

    #[test]
    fn the_registry_does_not_grow_with_what_is_gone() {
        let members = Members::new();
        for round in 0..1_000 {
            let id = format!("http://{round}.test:80");
            Pool::new("zone", [(id.as_str(), 1)], Settings::default(), &members);
        }
        assert!(members.part("zone").members.len() < 150);
    }

    #[test]
    fn what_another_process_knew_waits_for_who_comes_into_use() {
        let (members, id) = (Members::new(), "http://a.test:80");
        let known = MemberHealth {
            scope: "zone".into(),
            id: id.into(),
            healthy: false,
            failures: 2,
            ejections: 1,
            ejected_for: 5_000,
        };
        members.take_healths(std::slice::from_ref(&known), 1_000);
        let handed_on = members.healths(2_000);
        assert_eq!(handed_on[0].ejected_for, 4_000);
        let pool = Pool::new("zone", [(id, 1)], Settings::default(), &members);
        let state = &pool.describe(3_000).members[0];
        assert_eq!((state.ejected_for_ms, state.ejections), (Some(3_000), 1));
        assert!(!pool.member(0).unwrap().is_healthy());
        assert_eq!(members.healths(3_000).len(), 1);
    }
}

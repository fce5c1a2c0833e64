//! How rollouts stand, as people are told: what those that run wait for, and how the others ended.

use seawall_control::store::{Outcome, Rollout, State, StoreError, Subject};
use seawall_control::version::Version;
use seawall_model::tempo::Kind;

use super::asks::Standing;
use super::engine::Engine;

impl Engine {
    /// How rollouts stand: those that run, or these.
    ///
    /// # Errors
    /// As the store says.
    pub fn standings(&mut self, ids: &[u64]) -> Result<Vec<Standing>, StoreError> {
        let mut rollouts = Vec::new();
        if ids.is_empty() {
            rollouts = self.store().running()?;
        }
        for id in ids {
            rollouts.extend(self.store().rollout(*id)?);
        }
        rollouts
            .iter()
            .map(|rollout| self.standing(rollout))
            .collect()
    }

    fn standing(&mut self, rollout: &Rollout) -> Result<Standing, StoreError> {
        let (what, version) = match &rollout.subject {
            Subject::Version { chain, to, .. } => (chain.to_string(), *to),
            Subject::Kill(scope) => (format!("kill {}", scope.key()), rollout.id),
        };
        let (ended, why, replaced_by) = match rollout.state {
            State::Running => {
                let waits = self.waits.get(&rollout.id).cloned();
                let why = waits.unwrap_or_else(|| rollout.why.clone());
                (None, why, None)
            }
            State::Ended(Outcome::Aborted) => {
                let (why, replaced_by) = self.broken_off(rollout)?;
                (Some(false), why, replaced_by)
            }
            State::Ended(outcome) => {
                let why = rollout.why.clone();
                (Some(outcome == Outcome::Complete), why, None)
            }
        };
        Ok(Standing {
            id: rollout.id,
            what,
            version,
            share: rollout.share.parts(),
            locations: rollout.ring.len(),
            why,
            ended,
            person: match ended {
                None => self.people.get(&rollout.id).cloned(),
                Some(_) => None,
            },
            asks: ended.is_none()
                && !rollout.approved
                && !matches!(rollout.tempo, Kind::Return | Kind::Kill)
                && self.was_asked_for(rollout.id),
            replaced_by,
        })
    }

    /// Why a rollout ended before its time by somebody's word, and the version that took its place, where one did.
    fn broken_off(&mut self, rollout: &Rollout) -> Result<(String, Option<u64>), StoreError> {
        if let Subject::Version { chain, from, to } = &rollout.subject
            && let Some(next) = self.store().version(chain, to.saturating_add(1))?
            // What went before it ended it in the same append, which has one reason.
            && next.why == rollout.why
        {
            let before = match from {
                Some(from) => self.store().version(chain, *from)?,
                None => None,
            };
            return Ok(replaced(&next, before.as_ref()));
        }
        if rollout.why.trim().is_empty() {
            let why = "it was ended before its time (`seawall audit` tells by whom)";
            return Ok((why.to_owned(), None));
        }
        Ok((rollout.why.clone(), None))
    }
}

/// What is told of a rollout that ended as this version was made, where that one served before it began; and the version's number,
/// unless that is what served.
fn replaced(next: &Version, before: Option<&Version>) -> (String, Option<u64>) {
    // A reason that ends with its colon is one of ours with none of a person's behind it.
    let mut reason = next.why.trim().trim_end_matches(':').to_owned();
    if !reason.is_empty() {
        reason.insert_str(0, ": ");
    }
    let goes_back = before.map_or(next.tombstone, |before| {
        (before.hash, before.tombstone) == (next.hash, next.tombstone)
    });
    let Version { number, author, .. } = next;
    if goes_back {
        let why = format!("version {number} by {author} is what served before{reason}");
        return (why, None);
    }
    let why = format!("version {number} by {author} took its place{reason}");
    (why, Some(*number))
}

#[cfg(test)]
mod tests {
    use seawall_control::Hash;

    use super::*;
    use crate::order::Chain;

    fn version(number: u64, text: &str, why: &str) -> Version {
        Version {
            chain: Chain::Zone("a.test".into()),
            number,
            parent: number.checked_sub(1),
            hash: Hash::of(text.as_bytes()),
            author: "user:ada".into(),
            why: why.into(),
            at: 0,
            tombstone: false,
        }
    }

    #[test]
    fn who_took_a_rollouts_place_is_told_and_who_went_back() {
        let first = version(1, "one", "");
        let (why, by) = replaced(&version(3, "three", ""), Some(&first));
        assert_eq!(why, "version 3 by user:ada took its place");
        assert_eq!(by, Some(3));
        let (why, by) = replaced(&version(3, "three", "it is better"), Some(&first));
        assert_eq!(why, "version 3 by user:ada took its place: it is better");
        assert_eq!(by, Some(3));
        let (why, by) = replaced(&version(3, "one", "rollback to 1: "), Some(&first));
        let back = "version 3 by user:ada is what served before: rollback to 1";
        assert_eq!((why.as_str(), by), (back, None));
        // What never served before goes by a deletion.
        let mut gone = version(2, "one", "");
        assert_eq!(replaced(&gone, None).1, Some(2));
        gone.tombstone = true;
        assert_eq!(replaced(&gone, None).1, None);
    }
}

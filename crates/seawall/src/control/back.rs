//! The way back: a rollout ends, and the newest version of its chain is what serves again.

use seawall_control::store::{Body, Change as StoreChange, Outcome, Rollout, StoreError, Subject};
use seawall_control::version::platform_text;
use seawall_model::Document;
use seawall_model::tempo::Kind;

use super::engine::Engine;
use super::make::By;
use crate::order::Chain;

/// Chains that are looked at at once.
const HEADS: usize = 100;

impl Engine {
    /// New versions that are what serves, all or none.
    ///
    /// # Errors
    /// As the store says.
    pub fn go_back<'c>(
        &mut self,
        chains: impl Iterator<Item = (&'c Chain, Option<u64>)>,
        who: &str,
        why: &str,
    ) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        for (chain, to) in chains {
            let change = self.way_back(chain, to)?;
            changes.extend(change.map(|change| (chain.clone(), change, Kind::Return)));
        }
        if !changes.is_empty() {
            let why = format!("back to what serves: {why}");
            self.make(&By::new(who, &why), Vec::new(), changes, Vec::new())?;
        }
        Ok(())
    }

    /// What makes the newest version of a chain this one again; none where it is.
    pub(super) fn way_back(
        &mut self,
        chain: &Chain,
        to: Option<u64>,
    ) -> Result<Option<StoreChange>, StoreError> {
        let head = self.store().head(chain)?;
        Ok(match to {
            Some(number) if head.as_ref().is_some_and(|head| head.number == number) => None,
            Some(number) => Some(StoreChange::Return(chain.clone(), number)),
            // What serves where there is no version are the defaults.
            None if *chain == Chain::Platform => Some(StoreChange::Document(
                chain.clone(),
                platform_text(&Document::default()),
            )),
            // It never served, and is to go anyway.
            None if head.is_none_or(|head| head.tombstone) => None,
            None => Some(StoreChange::Delete(chain.clone())),
        })
    }

    /// Ends a rollout by a person's word, with the way back, all of it or nothing; those that go in step with it too.
    ///
    /// # Errors
    /// As the store says.
    pub fn abort(&mut self, rollout: &Rollout, by: &By<'_>) -> Result<(), StoreError> {
        if let Subject::Version { chain, from, .. } = &rollout.subject
            && let Some(change) = self.way_back(chain, *from)?
        {
            // Whatever goes before it ends the rollout that runs.
            let changes = vec![(chain.clone(), change, Kind::Return)];
            self.make(by, Vec::new(), changes, Vec::new())?;
            return Ok(());
        }
        let ended = StoreChange::Event(Body::RolloutEnded {
            rollout: rollout.id,
            outcome: Outcome::Aborted,
        });
        self.append_by(by, Vec::new(), vec![ended])?;
        self.forget(rollout.id);
        Ok(())
    }

    /// Whether no other zone would be left, those on their way out not counted, those on their way in counted.
    pub(super) fn is_last(&mut self, chain: &Chain) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let heads = self.store().heads(after.as_ref(), HEADS)?;
            let Some(last) = heads.last() else {
                return Ok(true);
            };
            after = Some(last.chain.clone());
            let mut others = heads.iter().filter(|head| head.chain != *chain);
            if others.any(|head| head.chain.zone().is_some() && !head.tombstone) {
                return Ok(false);
            }
        }
    }
}

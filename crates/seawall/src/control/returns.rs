//! A version of before that is to be the newest one again: compiled with what is newest of all others, as what is applied is. A host, a
//! list or a file of it may be gone, or another zone's, since.
//!
//! Not here: the way back of what was taken back or aborted ([`back`](super::back)). That is what serves, and waits for nothing.

use std::collections::BTreeMap;

use seawall_control::store::{Change as StoreChange, StoreError};
use seawall_model::tempo::Kind;

use super::asks::NotMade;
use super::in_step::hosts;
use super::make::Maker;
use crate::order::Chain;

/// What changes.
type Changes = [(Chain, StoreChange, Kind)];

impl Maker<'_> {
    /// Whether a chain may go back so, with those that go back with it.
    ///
    /// # Errors
    /// All problems.
    pub fn may_go_back(
        &mut self,
        chain: &Chain,
        change: &StoreChange,
        kind: Kind,
    ) -> Result<(), NotMade> {
        let one = vec![(chain.clone(), change.clone(), kind)];
        let (all, _) = self.engine.in_step(one)?;
        let mut changes = Vec::with_capacity(all.len());
        for (chain, change, kind) in all {
            if let Some(change) = change {
                changes.push((chain, self.with_text(change)?, kind));
            }
        }
        let order: Vec<&str> = chain.zone().into_iter().collect();
        let found = if self.takes_nothing(&changes)? {
            // Nothing depends on other zones: who is in a hurry does not wait until very many are compiled.
            let platform = self.newest_text(&Chain::Platform)?;
            let platform = platform.map(|text| (Chain::Platform, text));
            self.found_among(BTreeMap::from_iter(platform), &changes, &order)
        } else {
            self.found_in(&changes, &order)?
        };
        if found.list.is_empty() {
            return Ok(());
        }
        Err(NotMade::Problems(found.problems()))
    }

    /// The same change, with the document that it brings back.
    fn with_text(&mut self, change: StoreChange) -> Result<StoreChange, StoreError> {
        let store = self.engine.store();
        let version = match &change {
            StoreChange::Return(chain, number) => store.version(chain, *number)?,
            StoreChange::Restore(chain) => store.head(chain)?,
            _ => None,
        };
        let Some(version) = version else {
            return Ok(change);
        };
        let text = store.document(&version.hash)?;
        Ok(text.map_or(change, |text| StoreChange::Document(version.chain, text)))
    }

    /// Whether no zone gets a host that its newest version has not. What all zones share has none: whether all of them can do with it the
    /// trial finds out, on which it goes at once.
    fn takes_nothing(&mut self, changes: &Changes) -> Result<bool, StoreError> {
        for (chain, change, _) in changes {
            if *chain == Chain::Platform {
                continue;
            }
            if let StoreChange::Document(_, text) = change {
                let newest = self.newest_text(chain)?;
                if !hosts(Some(text)).is_subset(&hosts(newest.as_deref())) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn newest_text(&mut self, chain: &Chain) -> Result<Option<String>, StoreError> {
        let store = self.engine.store();
        let head = store.head(chain)?.filter(|head| !head.tombstone);
        head.map_or(Ok(None), |head| store.document(&head.hash))
    }
}

//! What pages said that they need, for who asks for them next: learnt from answers that need not be stored themselves.
//!
//! Bounded; purged as what is stored is. Not here: who may learn, and who is told.

use std::collections::HashMap;
use std::sync::Arc;

use super::Plain;
use crate::purge::{Purges, Stamp};

/// Pages of one part that are remembered.
const MOST: usize = 512;

/// What a page needs: the links, as they were written.
pub type Needs = Arc<[Box<[u8]>]>;

#[derive(Debug)]
struct Learnt {
    key: Box<[u8]>,
    url: u64,
    needs: Needs,
    stamp: Stamp,
}

/// What was learnt, by the hash of keys.
#[derive(Debug, Default)]
pub(super) struct Hints(HashMap<u64, Learnt, Plain>);

impl Hints {
    /// Of this page; nothing where it was purged since.
    pub(super) fn get(&mut self, hash: u64, key: &[u8], purges: &Purges) -> Option<Needs> {
        let learnt = self.0.get(&hash).filter(|learnt| *learnt.key == *key)?;
        if purges.is_gone(&learnt.stamp) || learnt.stamp.outdated().is_some() {
            self.0.remove(&hash);
            return None;
        }
        Some(Arc::clone(&learnt.needs))
    }

    /// A page says what it needs; nothing, if it says no more.
    pub(super) fn learn(&mut self, hash: u64, key: &[u8], url: u64, needs: Needs, stamp: Stamp) {
        if needs.is_empty() {
            self.0.remove(&hash);
            return;
        }
        if self.0.len() >= MOST
            && !self.0.contains_key(&hash)
            && let Some(any) = self.0.keys().next().copied()
        {
            self.0.remove(&any);
        }
        let learnt = Learnt {
            key: key.into(),
            url,
            needs,
            stamp,
        };
        self.0.insert(hash, learnt);
    }

    /// A URL was purged.
    pub(super) fn forget(&mut self, url: u64) {
        if !self.0.is_empty() {
            self.0.retain(|_, learnt| learnt.url != url);
        }
    }
}

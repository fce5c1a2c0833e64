//! Keys of locations that have left: control lets them in no more, and tells relays so until their certificates are over.

use seawall_bundle::Barred;
use seawall_control::Hash;
use seawall_control::store::{Body, Change as StoreChange, Entry, LocationKeys, StoreError};

use super::Control;
use super::engine::{Engine, PLANNER, unix};
use super::locations::from_hex;
use crate::distribution::identity::DAYS;

/// As many as are looked at.
const ROWS: usize = 10_000;

impl Control {
    /// What becomes of keys when a location joins: the one that it had before is good no more, and the one that it has is.
    pub(super) fn other_keys(
        &mut self,
        location: &str,
        keys: &LocationKeys,
    ) -> Result<Vec<Body>, StoreError> {
        let mut bodies = Vec::new();
        let key = key_hash(keys);
        if let Some(before) = self.engine.store().stands("location", location)?
            && let Some(body) = barred(&before)
            && !matches!(&body, Body::KeyBarred { key: of, .. } if Some(*of) == key)
        {
            bodies.push(body);
        }
        if let Some(key) = key
            && self
                .engine
                .store()
                .stands("barred", &key.to_string())?
                .is_some()
        {
            bodies.push(Body::KeyLetBe { key });
        }
        Ok(bodies)
    }
}

/// That the key of a location that had joined is good no more.
pub(super) fn barred(entry: &Entry) -> Option<Body> {
    let Body::LocationJoined { location, keys, .. } = &entry.body else {
        return None;
    };
    Some(Body::KeyBarred {
        location: location.clone(),
        key: key_hash(keys)?,
        // Its last certificate was made now at the latest.
        until: unix() + DAYS * 24 * 60 * 60,
    })
}

fn key_hash(keys: &LocationKeys) -> Option<Hash> {
    Some(Hash::of(&from_hex(&keys.tls)?))
}

impl Engine {
    /// The keys that are let in nowhere, as they are published: at most so many, those whose certificates last longest.
    ///
    /// # Errors
    /// As the store says.
    pub fn barred(&mut self, now: u64, most: usize) -> Result<Vec<Barred>, StoreError> {
        let mut barred = Vec::new();
        for entry in self.store().standing("barred", None, ROWS)? {
            if let Body::KeyBarred { key, until, .. } = entry.body
                && until > now
            {
                let key = seawall_bundle::Hash(*key.bytes());
                barred.push(Barred { key, until });
            }
        }
        barred.sort_by_key(|barred| (std::cmp::Reverse(barred.until), barred.key));
        barred.truncate(most);
        Ok(barred)
    }

    /// Keys whose certificates are over are kept no longer.
    ///
    /// # Errors
    /// As the store says.
    pub fn let_be(&mut self, now: u64) -> Result<(), StoreError> {
        let over = |entry: Entry| match entry.body {
            Body::KeyBarred { key, until, .. } if until <= now => {
                Some(StoreChange::Event(Body::KeyLetBe { key }))
            }
            _ => None,
        };
        let standing = self.store().standing("barred", None, ROWS)?;
        let changes: Vec<StoreChange> = standing.into_iter().filter_map(over).collect();
        if !changes.is_empty() {
            self.append(PLANNER, "the certificate is over", Vec::new(), changes)?;
        }
        Ok(())
    }
}

//! Bytes that are counted, of all zones together and of each: what is on its way into the store, and what somebody holds of bodies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bodies of fewer bytes are not counted: a connection takes as much anyway.
const COUNTED: u64 = 16 * 1024;

/// Bytes, and how many there may be.
#[derive(Debug)]
pub(crate) struct Account {
    sums: Mutex<Sums>,
    most: usize,
    most_of_zone: usize,
}

#[derive(Debug, Default)]
struct Sums {
    all: usize,
    zones: HashMap<u64, usize>,
}

impl Account {
    /// `zone_share`: of a hundred, what one zone may have.
    pub(crate) fn new(most: usize, zone_share: u8) -> Self {
        Self {
            sums: Mutex::default(),
            most,
            most_of_zone: (most as u128 * u128::from(zone_share.min(100)) / 100) as usize,
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, sums: &Sums, zone: u64, bytes: usize) -> bool {
        let own = sums.zones.get(&zone).copied().unwrap_or(0);
        sums.all + bytes <= self.most && own + bytes <= self.most_of_zone
    }

    /// Whether there is room for so many bytes more.
    pub(crate) fn has_room(&self, zone: u64, bytes: usize) -> bool {
        self.fits(&self.sums(), zone, bytes)
    }

    /// Takes them, if there is room.
    pub(crate) fn take(&self, zone: u64, bytes: usize) -> bool {
        let mut sums = self.sums();
        let fits = self.fits(&sums, zone, bytes);
        if fits {
            sums.add(zone, bytes);
        }
        fits
    }

    /// Gives them back.
    pub(crate) fn give_back(&self, zone: u64, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut sums = self.sums();
        sums.all = sums.all.saturating_sub(bytes);
        if let Some(own) = sums.zones.get_mut(&zone) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                sums.zones.remove(&zone);
            }
        }
    }

    /// Bytes of all zones.
    pub(crate) fn all(&self) -> usize {
        self.sums().all
    }

    /// Counts a body that is there, with or without room, for as long as what this gives is held; none where it is too small to count.
    pub(crate) fn hold(self: &Arc<Self>, zone: u64, length: u64) -> Option<Arc<Held>> {
        if length < COUNTED {
            return None;
        }
        let bytes = usize::try_from(length).unwrap_or(usize::MAX / 2);
        self.sums().add(zone, bytes);
        Some(Arc::new(Held {
            account: Arc::clone(self),
            zone,
            bytes,
        }))
    }
}

impl Sums {
    fn add(&mut self, zone: u64, bytes: usize) {
        self.all += bytes;
        *self.zones.entry(zone).or_default() += bytes;
    }
}

/// A body that is counted until nobody holds it any more.
#[derive(Debug)]
pub(crate) struct Held {
    account: Arc<Account>,
    zone: u64,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.give_back(self.zone, self.bytes);
    }
}

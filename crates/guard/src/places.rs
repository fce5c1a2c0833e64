//! Where addresses are, as far as files of places say: their bytes come from outside, whoever reads them.
//!
//! Not here: reading files, fetching them.

mod mmdb;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use seawall_model::{Place, Places};

use crate::runner::Guard;

pub use mmdb::{BadPlaces, PlaceFile};

/// The files of places that are there just now; it may be none.
#[derive(Debug, Default)]
pub struct KnownPlaces {
    files: RwLock<Arc<[PlaceFile]>>,
    /// There are any.
    any: AtomicBool,
}

impl KnownPlaces {
    /// Puts these in the place of those that were there.
    pub fn set(&self, files: Vec<PlaceFile>) {
        let mut place = self.files.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!files.is_empty(), Ordering::Relaxed);
        *place = files.into();
    }

    fn files(&self) -> Arc<[PlaceFile]> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.clone()
    }
}

impl Guard {
    /// Where an address is.
    pub fn place_of(&self, ip: IpAddr) -> Place {
        self.states().places.place(ip)
    }
}

impl Places for KnownPlaces {
    fn price(&self) -> u64 {
        const NONE: u64 = 30;
        /// A tree of up to 128 steps, most of which are not in the caches, and reading what hangs there.
        const EACH: u64 = 1_000;
        match self.any.load(Ordering::Relaxed) {
            true => NONE + EACH * self.files().len() as u64,
            false => NONE,
        }
    }

    /// What each file knows; the first one that knows something of it counts.
    fn place(&self, ip: IpAddr) -> Place {
        let mut place = Place::default();
        if !self.any.load(Ordering::Relaxed) {
            return place;
        }
        for file in &*self.files() {
            file.add(ip, &mut place);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::mmdb::tests::{file, map, text};
    use super::*;
    use crate::stages::places::Place as Zone;
    use crate::stages::rules;

    #[test]
    fn rules_ask_for_countries_as_soon_as_there_is_a_file() {
        let zone = Zone::of(
            &rules::DEF,
            "[[zone.rule]]\nwhen = 'ip.src.country eq \"DE\"'\naction = 'log'",
        );
        assert_eq!(zone.asked_by("192.0.2.1"), "");
        let german = map(&[("country_code", text("DE"))]);
        let bytes = file(24, true, &[("192.0.2.0/24", german)]);
        let read = PlaceFile::new(bytes.into()).unwrap();
        zone.guard.states().places.set(vec![read]);
        assert_eq!(zone.asked_by("192.0.2.1"), "rules/log(#1)");
        assert_eq!(zone.asked_by("198.51.100.1"), "");
        let german = zone.guard.place_of([192, 0, 2, 1].into());
        assert_eq!(german.country.text(), "DE");
    }
}

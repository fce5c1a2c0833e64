//! What becomes invalid in a process that another one takes over from: for that one to hear of.
//!
//! A request that began in the first may end there when the other serves already, with a store of its own and with the disk. Orders come
//! to both; what a request makes invalid is known here alone. Bounded: where it is too much, all of a zone is.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most URLs.
const MOST: usize = 1_024;
/// The most bytes of their hosts and targets.
const BYTES: usize = 256 << 10;

/// A URL: its zone, host and target, in any spelling.
pub type Url = (u64, Box<[u8]>, Box<[u8]>);

/// What has become invalid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outdated {
    /// These URLs.
    pub urls: Vec<Url>,
    /// All of these zones.
    pub zones: BTreeSet<u64>,
    /// Bytes of the URLs.
    bytes: usize,
}

impl Outdated {
    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty() && self.zones.is_empty()
    }

    /// A URL has become so.
    pub fn add_url(&mut self, zone: u64, host: &[u8], target: &[u8]) {
        if self.zones.contains(&zone) {
            return;
        }
        let mut urls = self.urls.iter();
        if urls.any(|(z, h, t)| (*z, &**h, &**t) == (zone, host, target)) {
            return;
        }
        let bytes = self.bytes + host.len() + target.len();
        if self.urls.len() >= MOST || bytes > BYTES {
            return self.add_zone(zone);
        }
        self.bytes = bytes;
        self.urls.push((zone, host.into(), target.into()));
    }

    /// All of a zone has.
    pub fn add_zone(&mut self, zone: u64) {
        self.zones.insert(zone);
        self.urls.retain(|(of, _, _)| *of != zone);
        let urls = self.urls.iter();
        self.bytes = urls
            .map(|(_, host, target)| host.len() + target.len())
            .sum();
    }

    /// All that another one names has, too.
    pub fn add(&mut self, other: Self) {
        for zone in other.zones {
            self.add_zone(zone);
        }
        for (zone, host, target) in other.urls {
            self.add_url(zone, &host, &target);
        }
    }
}

/// What another process is to hear; none: there is no other.
#[derive(Debug, Default)]
pub(crate) struct ForAnother(Mutex<Option<Outdated>>);

impl ForAnother {
    fn lock(&self) -> MutexGuard<'_, Option<Outdated>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self) {
        let mut noted = self.lock();
        if noted.is_none() {
            *noted = Some(Outdated::default());
        }
    }

    pub(crate) fn end(&self) -> Outdated {
        self.lock().take().unwrap_or_default()
    }

    pub(crate) fn note(&self, note: impl FnOnce(&mut Outdated)) {
        if let Some(outdated) = &mut *self.lock() {
            note(outdated);
        }
    }

    pub(crate) fn take(&self) -> Outdated {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_bounded_and_where_it_is_too_much_all_of_a_zone_is() {
        let noted = ForAnother::default();
        noted.note(|outdated| outdated.add_url(1, b"a.test", b"/early"));
        noted.begin();
        assert!(noted.take().is_empty(), "there was no other process yet");
        noted.note(|outdated| outdated.add_url(1, b"a.test", b"/a"));
        noted.note(|outdated| outdated.add_url(1, b"a.test", b"/a"));
        let taken = noted.take();
        assert_eq!(taken.urls.len(), 1);
        assert!(noted.take().is_empty());
        // What could not be told is told later, with what came since.
        noted.note(|outdated| outdated.add_url(2, b"b.test", b"/b"));
        noted.note(|outdated| outdated.add(taken));
        assert_eq!(noted.take().urls.len(), 2);
        for number in 0..=MOST {
            let target = format!("/{number}");
            noted.note(|outdated| outdated.add_url(1, b"a.test", target.as_bytes()));
        }
        noted.note(|outdated| outdated.add_url(2, b"b.test", &vec![b'x'; BYTES]));
        let taken = noted.take();
        assert_eq!(taken.zones, BTreeSet::from([1, 2]));
        assert!(taken.urls.is_empty() && taken.bytes == 0);
        noted.note(|outdated| outdated.add_url(1, b"a.test", b"/late"));
        assert_eq!(noted.end().urls.len(), 1);
        noted.note(|outdated| outdated.add_url(1, b"a.test", b"/later"));
        assert!(noted.end().is_empty());
    }
}

//! What parents have not heard yet: URLs that a request through this location has made invalid.
//!
//! What was stored of such a URL is gone here, and still there where another location is asked first. Until each of those has said
//! that it has heard, they are not asked for the URL: what they have would come back here, and stay. Bounded: where too many wait,
//! a further one is not waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::origin::Key;

/// The most URLs that wait.
const MOST: usize = 1_024;

/// A URL of a zone.
#[derive(Clone, Copy, Debug)]
pub struct Url {
    /// Without its query, of which a zone's rules may count a part only.
    path: Key,
    whole: Key,
}

impl Url {
    /// Of a zone's stable id, a host and a target, both as keys have them.
    pub fn new(zone: u64, host: &[u8], target: &[u8]) -> Self {
        let zone = zone.to_be_bytes();
        let path = target.split(|byte| *byte == b'?').next();
        Self {
            path: Key::of(&[zone.as_slice(), host, path.unwrap_or_default()].concat()),
            whole: Key::of(&[zone.as_slice(), host, target].concat()),
        }
    }
}

/// What became of a word that is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Whoever notes it says it.
    New,
    /// It is being said, and will be once more.
    Again,
    /// Too many wait.
    Full,
}

/// All that parents have not heard.
#[derive(Debug, Default)]
pub struct Unheard {
    /// How many there are: most of the time none, and nothing is locked.
    count: AtomicUsize,
    /// By path; how often each URL was noted.
    urls: Mutex<HashMap<Key, HashMap<Key, u64>>>,
}

impl Unheard {
    fn urls(&self) -> MutexGuard<'_, HashMap<Key, HashMap<Key, u64>>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a URL is not what parents have any more.
    pub fn note(&self, url: Url) -> Noted {
        let mut urls = self.urls();
        let known = urls.get_mut(&url.path);
        if let Some(times) = known.and_then(|known| known.get_mut(&url.whole)) {
            *times += 1;
            return Noted::Again;
        }
        if self.count.load(Ordering::Acquire) >= MOST {
            return Noted::Full;
        }
        urls.entry(url.path).or_default().insert(url.whole, 1);
        self.count.fetch_add(1, Ordering::AcqRel);
        Noted::New
    }

    /// How often a URL was noted.
    pub fn times(&self, url: Url) -> u64 {
        let urls = self.urls();
        let times = urls.get(&url.path).and_then(|known| known.get(&url.whole));
        times.copied().unwrap_or(0)
    }

    /// All parents have heard of a URL, of which it was noted so often. False where it was noted again since.
    pub fn heard(&self, url: Url, times: u64) -> bool {
        let mut urls = self.urls();
        let Some(known) = urls.get_mut(&url.path) else {
            return true;
        };
        if known.get(&url.whole).is_some_and(|now| *now != times) {
            return false;
        }
        if known.remove(&url.whole).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        if known.is_empty() {
            urls.remove(&url.path);
        }
        true
    }

    /// Whether parents may have of a URL what is not there any more.
    pub fn has(&self, url: impl FnOnce() -> Url) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.urls().contains_key(&url().path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_unheard_until_the_last_word_of_it_was_heard() {
        let unheard = Unheard::default();
        let url = |target: &str| Url::new(1, b"a.test", target.as_bytes());
        assert!(!unheard.has(|| url("/a")));
        assert_eq!(unheard.note(url("/a?x")), Noted::New);
        let times = unheard.times(url("/a?x"));
        assert!(unheard.has(|| url("/a")) && unheard.has(|| url("/a?y")));
        assert!(!unheard.has(|| url("/b")) && !unheard.has(|| Url::new(2, b"a.test", b"/a")));
        assert_eq!(unheard.note(url("/a?x")), Noted::Again);
        assert!(!unheard.heard(url("/a?x"), times));
        assert_eq!(unheard.note(url("/a")), Noted::New);
        assert!(unheard.heard(url("/a?x"), times + 1));
        assert!(unheard.has(|| url("/a")));
        assert!(unheard.heard(url("/a"), 1));
        assert!(!unheard.has(|| url("/a")));
    }

    #[test]
    fn they_are_bounded() {
        let unheard = Unheard::default();
        let url = |nth: usize| Url::new(1, b"a.test", format!("/{nth}").as_bytes());
        assert!((0..MOST).all(|nth| unheard.note(url(nth)) == Noted::New));
        assert_eq!(unheard.note(url(MOST)), Noted::Full);
        assert_eq!(unheard.note(url(0)), Noted::Again);
        assert!(unheard.heard(url(1), 1));
        assert_eq!(unheard.note(url(MOST)), Noted::New);
    }
}

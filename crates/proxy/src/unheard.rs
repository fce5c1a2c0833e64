//! What parents have not heard yet: URLs that a request through this location has made invalid.
//!
//! What was stored of such a URL is gone here, and still there where another location is asked first. Until each of those has said
//! that it has heard, they are not asked for the URL: what they have would come back here, and stay. Bounded: where too many wait, a
//! further one makes all of its zone wait, as one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::origin::Key;

/// The most URLs that wait.
const MOST: usize = 1_024;

/// A URL of a zone.
#[derive(Clone, Copy, Debug)]
pub struct Url {
    zone: u64,
    /// Without its query, of which a zone's rules may count a part only.
    path: Key,
    whole: Key,
}

impl Url {
    /// Of a zone's stable id, a host and a target, both as keys have them.
    pub fn new(zone: u64, host: &[u8], target: &[u8]) -> Self {
        let id = zone.to_be_bytes();
        let path = target.split(|byte| *byte == b'?').next();
        Self {
            zone,
            path: Key::of(&[id.as_slice(), host, path.unwrap_or_default()].concat()),
            whole: Key::of(&[id.as_slice(), host, target].concat()),
        }
    }
}

/// What parents are to hear.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// What is stored of this URL is not what there is any more.
    Url(Url),
    /// Whatever of the zone with this stable id was stored until now may not be.
    Zone(u64),
}

/// What became of a word that is to be said.
#[derive(Clone, Copy, Debug)]
pub enum Noted {
    /// Whoever notes it says this.
    New(Word),
    /// It is being said, and will be once more.
    Again,
}

/// What waits, and how often each was noted.
#[derive(Debug, Default)]
struct Waiting {
    /// By path.
    urls: HashMap<Key, HashMap<Key, u64>>,
    zones: HashMap<u64, u64>,
}

impl Waiting {
    fn times(&self, word: Word) -> u64 {
        let times = match word {
            Word::Url(url) => {
                let known = self.urls.get(&url.path);
                known.and_then(|known| known.get(&url.whole))
            }
            Word::Zone(zone) => self.zones.get(&zone),
        };
        times.copied().unwrap_or(0)
    }

    /// Whether the URL was there.
    fn forget(&mut self, url: Url) -> bool {
        let Some(known) = self.urls.get_mut(&url.path) else {
            return false;
        };
        let gone = known.remove(&url.whole).is_some();
        if known.is_empty() {
            self.urls.remove(&url.path);
        }
        gone
    }
}

/// All that parents have not heard.
#[derive(Debug, Default)]
pub struct Unheard {
    /// How many URLs and zones there are: most of the time none, and nothing is locked.
    count: AtomicUsize,
    waiting: Mutex<Waiting>,
}

impl Unheard {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a URL is not what parents have any more. Where too many wait, all of its zone is not.
    pub fn note(&self, url: Url) -> Noted {
        let mut waiting = self.waiting();
        let known = waiting.urls.get_mut(&url.path);
        if let Some(times) = known.and_then(|known| known.get_mut(&url.whole)) {
            *times += 1;
            return Noted::Again;
        }
        // Zones that wait count too: more than this many URLs there never are.
        if self.count.load(Ordering::Acquire) >= MOST {
            let times = waiting.zones.entry(url.zone).or_insert(0);
            *times += 1;
            if *times > 1 {
                return Noted::Again;
            }
            self.count.fetch_add(1, Ordering::AcqRel);
            return Noted::New(Word::Zone(url.zone));
        }
        let known = waiting.urls.entry(url.path).or_default();
        known.insert(url.whole, 1);
        self.count.fetch_add(1, Ordering::AcqRel);
        Noted::New(Word::Url(url))
    }

    /// How often a word was noted.
    pub fn times(&self, word: Word) -> u64 {
        self.waiting().times(word)
    }

    /// All parents have heard a word, which was noted so often when it was said. False where it was noted again since.
    pub fn heard(&self, word: Word, times: u64) -> bool {
        let mut waiting = self.waiting();
        if waiting.times(word) != times {
            return false;
        }
        let gone = match word {
            Word::Url(url) => waiting.forget(url),
            Word::Zone(zone) => waiting.zones.remove(&zone).is_some(),
        };
        if gone {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        true
    }

    /// Whether parents may have of a URL what is not there any more.
    pub fn has(&self, url: impl FnOnce() -> Url) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let url = url();
        let waiting = self.waiting();
        waiting.zones.contains_key(&url.zone) || waiting.urls.contains_key(&url.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(zone: u64, target: &str) -> Url {
        Url::new(zone, b"a.test", target.as_bytes())
    }

    /// Whether a URL is to be said.
    fn says(noted: Noted) -> bool {
        matches!(noted, Noted::New(Word::Url(_)))
    }

    #[test]
    fn a_url_is_unheard_until_the_last_word_of_it_was_heard() {
        let unheard = Unheard::default();
        let has = |zone, target| unheard.has(|| url(zone, target));
        let heard = |target, times| unheard.heard(Word::Url(url(1, target)), times);
        assert!(!has(1, "/a"));
        assert!(says(unheard.note(url(1, "/a?x"))));
        let times = unheard.times(Word::Url(url(1, "/a?x")));
        assert!(has(1, "/a") && has(1, "/a?y"));
        assert!(!has(1, "/b") && !has(2, "/a"));
        assert!(matches!(unheard.note(url(1, "/a?x")), Noted::Again));
        assert!(!heard("/a?x", times));
        assert!(says(unheard.note(url(1, "/a"))));
        assert!(heard("/a?x", times + 1));
        assert!(has(1, "/a"));
        assert!(heard("/a", 1));
        assert!(!has(1, "/a"));
    }

    #[test]
    fn where_too_many_wait_all_of_the_zone_does() {
        let unheard = Unheard::default();
        let nth = |nth: usize| url(1, &format!("/{nth}"));
        let has = |zone, target| unheard.has(|| url(zone, target));
        assert!((0..MOST).all(|at| says(unheard.note(nth(at)))));
        assert!(!has(1, "/victim"));
        let noted = unheard.note(url(1, "/victim"));
        assert!(matches!(noted, Noted::New(Word::Zone(1))), "{noted:?}");
        assert!(has(1, "/victim") && has(1, "/other") && !has(2, "/victim"));
        // It is said once, and again for what came meanwhile.
        let zone = Word::Zone(1);
        let times = unheard.times(zone);
        assert!(matches!(unheard.note(url(1, "/other")), Noted::Again));
        assert!(!unheard.heard(zone, times));
        // Those that are known are still counted by themselves.
        assert!(matches!(unheard.note(nth(0)), Noted::Again));
        assert_eq!(unheard.times(Word::Url(nth(0))), 2);
        assert!(unheard.heard(zone, times + 1));
        assert!(!has(1, "/victim") && has(1, "/0"));
        // Each zone has its own, and there is room again once they have heard.
        assert!(matches!(
            unheard.note(url(2, "/x")),
            Noted::New(Word::Zone(2))
        ));
        assert!(unheard.heard(Word::Zone(2), 1));
        assert!(unheard.heard(Word::Url(nth(1)), 1));
        assert!(says(unheard.note(url(1, "/victim"))));
    }
}

//! Troubles that last, such as a full disk, which whoever writes meets again and again: told once in each of a few wordings, then at
//! most once a minute with how often since, and once when they are over.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::say::complain;

/// How long nothing more is said of a trouble that lasts.
const QUIET: Duration = Duration::from_secs(60);
/// Troubles at once; beyond, each is told as it comes.
const MOST: usize = 256;
/// Wordings of one trouble that are told at once: what differs each time, such as the name of a file, is no news.
const WORDINGS: usize = 4;

/// What lasts in this process, each by its name.
static LASTING: Mutex<BTreeMap<String, Trouble>> = Mutex::new(BTreeMap::new());

/// One that is not over.
#[derive(Debug)]
struct Trouble {
    began: Instant,
    told: Instant,
    wordings: Vec<u64>,
    /// Since it was told last.
    times: u64,
    all: u64,
}

/// It goes wrong, once more perhaps: `name` is the same as long as it is the same trouble, `why` is what is told.
pub fn fails(name: &str, why: impl std::fmt::Display) {
    if let Some(line) = failed(&mut lasting(), name, &why.to_string(), Instant::now()) {
        complain(line);
    }
}

/// It goes well: that is told in these words if it did not before.
pub fn works(name: &str, over: &str) {
    let line = worked(&mut lasting(), name, over, Instant::now());
    if let Some(line) = line {
        complain(line);
    }
}

fn lasting() -> MutexGuard<'static, BTreeMap<String, Trouble>> {
    LASTING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(
    all: &mut BTreeMap<String, Trouble>,
    name: &str,
    why: &str,
    now: Instant,
) -> Option<String> {
    let wording = hash(why);
    if let Some(trouble) = all.get_mut(name) {
        trouble.times += 1;
        trouble.all += 1;
        if trouble.wordings.len() < WORDINGS && !trouble.wordings.contains(&wording) {
            trouble.wordings.push(wording);
            (trouble.told, trouble.times) = (now, 0);
            return Some(why.to_owned());
        }
        if now.duration_since(trouble.told) < QUIET {
            return None;
        }
        let (times, seconds) = (trouble.times, now.duration_since(trouble.told).as_secs());
        (trouble.told, trouble.times) = (now, 0);
        return Some(format!("{why} ({times} times in the last {seconds} s)"));
    }
    if all.len() < MOST {
        let trouble = Trouble {
            began: now,
            told: now,
            wordings: vec![wording],
            times: 0,
            all: 1,
        };
        all.insert(name.to_owned(), trouble);
    }
    Some(why.to_owned())
}

fn worked(
    all: &mut BTreeMap<String, Trouble>,
    name: &str,
    over: &str,
    now: Instant,
) -> Option<String> {
    let trouble = all.remove(name)?;
    let seconds = now.duration_since(trouble.began).as_secs();
    Some(format!(
        "{over} (after {} failure(s) in {seconds} s)",
        trouble.all
    ))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once_then_once_a_minute_and_when_it_is_over() {
        let mut all = BTreeMap::new();
        let began = Instant::now();
        let told: Vec<String> = (0..=150)
            .filter_map(|second| {
                let now = began + Duration::from_secs(second);
                failed(&mut all, "a", "a is full", now)
            })
            .collect();
        let again = "a is full (60 times in the last 60 s)";
        assert_eq!(told, ["a is full", again, again]);
        let now = began + Duration::from_secs(151);
        let over = worked(&mut all, "a", "a has room", now).unwrap();
        assert_eq!(over, "a has room (after 151 failure(s) in 151 s)");
        assert_eq!(worked(&mut all, "a", "a has room", now), None);
        assert_eq!(
            failed(&mut all, "a", "anew", now).as_deref(),
            Some("anew"),
            "another time is another trouble"
        );
        // Other words are told at once, but not ever new ones.
        let told = (0..9).filter_map(|nth| failed(&mut all, "a", &nth.to_string(), now));
        assert_eq!(told.count(), WORDINGS - 1);
        for nth in 0..2 * MOST {
            failed(&mut all, &nth.to_string(), "x", now);
        }
        assert_eq!(all.len(), MOST);
    }
}

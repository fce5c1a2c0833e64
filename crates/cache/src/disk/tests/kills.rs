//! A process that writes, reads and purges is killed again and again: what is read is what was written, and nothing that was purged.

use std::process::{Command, Stdio};

use super::*;
use crate::made_up::Random;

/// Names the folder to a process that is to be killed.
const FOLDER: &str = "SEAWALL_TEST_KILLED_IN";
const NAMES: usize = 400;

/// The body of a name, in one of many editions: its first bytes say which.
fn edition(name: usize, edition: u64) -> Vec<u8> {
    let mut random = Random::new(name as u64 * 1_000_003 + edition);
    let mut out = edition.to_le_bytes().to_vec();
    out.extend((0..random.below(9_000)).map(|_| random.next() as u8));
    out
}

fn is_an_edition(name: usize, body: &[u8]) -> bool {
    let Some(number) = body.first_chunk() else {
        return false;
    };
    edition(name, u64::from_le_bytes(*number)) == body
}

/// Reads all names that are there; how many.
fn verify(cache: &Arc<Cache>) -> u64 {
    let mut verified = 0;
    for name in 0..NAMES {
        let asked = request(&format!("/{name}"), &[]);
        if let Some(found) = on_disk(cache, &asked) {
            assert!(is_an_edition(name, &found), "bytes that nobody wrote");
            verified += 1;
        }
    }
    verified
}

/// What the killed process does: until it is.
#[test]
fn is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let cache = open_with(Path::new(&folder), 24 * SMALL, Arc::new(Real));
    serving(&cache);
    let mut random = Random::new(std::process::id().into());
    println!("serves");
    for number in 0u64.. {
        let name = random.below(NAMES - 1);
        let target = format!("/{name}");
        let asked = request(&target, &[("cache-tag", "t")]);
        match random.below(40) {
            0 => cache.purge_url(1, b"a.test", target.as_bytes(), None),
            1 => drop(cache.purge(1, Scope::Prefix(b"a.test", target.as_bytes()), Purge::Hard)),
            2..8 => {
                if let Some(found) = on_disk(&cache, &asked) {
                    assert!(is_an_edition(name, &found));
                }
            }
            _ => {
                let now = crate::policy::Time(crate::cache::tests::NOW.0 + number);
                let bytes = edition(name, number);
                // Asked for twice: a full disk takes nothing else.
                let _ = (
                    cache.find(&key(&asked), &asked),
                    cache.find(&key(&asked), &asked),
                );
                let joined = cache.join(&key(&asked), &asked, None, None, now);
                if let Joined::Lead(mut lead) = joined {
                    let kept = crate::cache::tests::kept_at(&asked, &[], now);
                    if lead.begin(kept, &asked, None, 0, now) {
                        lead.push(&bytes);
                        let _ = lead.finish();
                    }
                } else {
                    cache.purge_memory();
                }
            }
        }
    }
}

fn killed(folder: &Path, after: Duration) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::tests::kills::is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let serves = lines.any(|line| line.unwrap().contains("serves"));
    assert!(serves, "it ended by itself");
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn loop_of_kills(wanted: u64) {
    let temp = tempfile::tempdir().unwrap();
    let mut random = Random::new(17);
    let (mut verified, mut kills) = (0, 0);
    // The last name is purged for good: it must never come back.
    let gone = request(&format!("/{}", NAMES - 1), &[]);
    let cache = open_with(temp.path(), 24 * SMALL, Arc::new(Real));
    serving(&cache);
    store(&cache, &key(&gone), &gone, &[], &edition(NAMES - 1, 1));
    written(&cache, 1);
    cache.purge_url(1, b"a.test", gone.target(), None);
    close(&cache);
    drop(cache);
    while verified < wanted {
        killed(
            temp.path(),
            Duration::from_millis(20 + random.below(150) as u64),
        );
        kills += 1;
        let cache = open_with(temp.path(), 24 * SMALL, Arc::new(Real));
        serving(&cache);
        assert_eq!(on_disk(&cache, &gone), None);
        for _ in 0..4 {
            verified += verify(&cache);
            cache.purge_memory();
        }
        let told = cache.disk_told().unwrap();
        assert!(told.entries > 0 && told.bytes <= 24 * SMALL, "{told:?}");
        close(&cache);
    }
    println!("{verified} reads verified over {kills} kills");
}

#[test]
fn kills_in_a_loop_leave_nothing_that_was_not_written() {
    loop_of_kills(10_000);
}

#[test]
#[ignore = "long: a million verified reads over many kills"]
fn kills_in_a_loop_a_million_reads() {
    loop_of_kills(1_000_000);
}

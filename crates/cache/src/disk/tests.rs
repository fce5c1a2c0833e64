//! The disk tier over real files: what comes back is what was written, or nothing.

mod faults;
mod kills;
mod measured;

use std::fs;
use std::path::Path;
use std::task::Waker;

use seawall_model::RequestHead;

use super::*;
use crate::cache::tests::{NOW, body, kept_at, key, request, store, store_at};
use crate::memory::{Found, Outside, Size};
use crate::policy::Time;
use crate::purge::{Purge, Scope};

pub(super) const SMALL: u64 = 64 * 1024;

/// A cache over a folder, with segments of 64 KiB; it serves from disk when this returns.
pub(super) fn open_with(folder: &Path, bytes: u64, io: Arc<dyn Io>) -> Arc<Cache> {
    let settings = Settings {
        folder: folder.to_owned(),
        bytes,
        zone_share: 100,
    };
    let size = Size {
        bytes: 4 << 20,
        zone_share: 100,
    };
    Cache::with(size, Some(Disk::with(settings, SMALL, io)))
}

pub(super) fn serving(cache: &Arc<Cache>) {
    cache.use_disk();
    until(|| cache.disk_told().unwrap().serves);
}

pub(super) fn open(folder: &Path) -> Arc<Cache> {
    let cache = open_with(folder, 64 * SMALL, Arc::new(Real));
    serving(&cache);
    cache
}

#[track_caller]
pub(super) fn until(mut holds: impl FnMut() -> bool) {
    let due = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < due, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is on disk for a request, once it is read.
pub(super) fn on_disk(cache: &Arc<Cache>, asked: &RequestHead) -> Option<Vec<u8>> {
    let mut reading = cache.look_on_disk(&key(asked))?;
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let mut found = None;
    until(|| match reading.poll(asked, &mut cx) {
        Poll::Ready(came) => {
            found = came;
            true
        }
        Poll::Pending => false,
    });
    found.map(|entry| entry.body.pieces().concat())
}

use std::task::Poll;

pub(super) fn close(cache: &Arc<Cache>) {
    assert!(cache.leave_disk(Duration::from_secs(10)));
}

/// Waits until all that was stored is written.
pub(super) fn written(cache: &Cache, many: u64) {
    until(|| cache.disk_told().unwrap().written >= many);
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path());
    let plain = request("/plain", &[]);
    let english = request("/varies", &[("accept-language", "en")]);
    let german = request("/varies", &[("accept-language", "de")]);
    let large: Vec<u8> = (0..30_000u32).map(|at| (at * 7) as u8).collect();
    store(
        &cache,
        &key(&plain),
        &plain,
        &[("x", "1"), ("etag", "\"a\"")],
        &large,
    );
    let varies = [("vary", "accept-language")];
    store(&cache, &key(&english), &english, &varies, b"english");
    store(&cache, &key(&german), &german, &varies, b"german");
    let empty = request("/empty", &[]);
    store(&cache, &key(&empty), &empty, &[], b"");
    let before = match cache.find(&key(&plain), &plain) {
        Found::Entry(entry) => entry,
        _ => panic!("it is stored"),
    };
    close(&cache);
    drop(cache);
    let cache = open(temp.path());
    assert_eq!(body(&cache, &key(&plain), &plain), None, "memory is empty");
    assert_eq!(on_disk(&cache, &plain).as_deref(), Some(&large[..]));
    assert_eq!(on_disk(&cache, &german).as_deref(), Some(&b"german"[..]));
    assert_eq!(on_disk(&cache, &english).as_deref(), Some(&b"english"[..]));
    assert_eq!(on_disk(&cache, &empty).as_deref(), Some(&b""[..]));
    assert_eq!(on_disk(&cache, &request("/varies", &[])), None);
    assert_eq!(on_disk(&cache, &request("/other", &[])), None);
    // It is in memory now, all of it as it was.
    let Found::Entry(after) = cache.find(&key(&plain), &plain) else {
        panic!("it is in memory");
    };
    assert_eq!(after.head.raw(), before.head.raw());
    assert_eq!((after.life, after.rules), (before.life, before.rules));
    assert_eq!(after.head.status(), before.head.status());
}

#[test]
fn what_was_purged_stays_purged_over_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path());
    let names = [
        "/url",
        "/tag",
        "/prefix/a",
        "/key",
        "/stays",
        "/again",
        "/soft",
    ];
    for name in names {
        let asked = request(name, &[]);
        let tags = [("cache-tag", if name == "/tag" { "t" } else { "other" })];
        store(&cache, &key(&asked), &asked, &tags, name.as_bytes());
    }
    written(&cache, names.len() as u64);
    cache.purge_url(1, b"A.test", b"/u%72l", None);
    cache.purge_url(1, b"a.test", b"/again", None);
    cache.purge_url(1, b"a.test", b"/soft", Some(crate::cache::tests::NOW));
    cache.purge(1, Scope::Tag(b"t"), Purge::Hard);
    let last = cache.purge(1, Scope::Prefix(b"a.test", b"/prefix"), Purge::Hard);
    let gone = request("/key", &[]);
    let Found::Entry(entry) = cache.find(&key(&gone), &gone) else {
        panic!("it is stored");
    };
    cache.forget(&key(&gone), &entry);
    let again = request("/again", &[]);
    store(&cache, &key(&again), &again, &[], b"anew");
    until(|| cache.has_settled(last));
    for round in 0..3 {
        for name in ["/url", "/tag", "/prefix/a", "/key", "/soft"] {
            let asked = request(name, &[]);
            assert_eq!(on_disk(&cache, &asked), None, "{name} in round {round}");
        }
        let stays = request("/stays", &[]);
        if round > 0 {
            assert_eq!(on_disk(&cache, &stays).as_deref(), Some(&b"/stays"[..]));
            assert_eq!(on_disk(&cache, &again).as_deref(), Some(&b"anew"[..]));
        }
        close(&cache);
        serving(&cache);
    }
    // In the same process memory answers; in another one only the disk can.
    drop(cache);
    let cache = open(temp.path());
    assert_eq!(on_disk(&cache, &request("/tag", &[])), None);
    assert_eq!(on_disk(&cache, &again).as_deref(), Some(&b"anew"[..]));
    cache.purge(1, Scope::Everything, Purge::Hard);
    close(&cache);
    drop(cache);
    let cache = open(temp.path());
    assert_eq!(on_disk(&cache, &again), None);
    close(&cache);
}

#[test]
fn what_waits_to_be_written_is_purged_too() {
    let temp = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let cache = open(temp.path());
        let asked = request(&format!("/{round}"), &[]);
        store(&cache, &key(&asked), &asked, &[], &[1; 5_000]);
        cache.purge_url(1, b"a.test", asked.target(), None);
        assert_eq!(on_disk(&cache, &asked), None);
        close(&cache);
        drop(cache);
        let cache = open(temp.path());
        assert_eq!(on_disk(&cache, &asked), None, "round {round}");
        close(&cache);
    }
}

#[test]
fn one_process_has_it_and_the_next_one_waits_for_that() {
    let temp = tempfile::tempdir().unwrap();
    let first = open(temp.path());
    let asked = request("/x", &[]);
    store(&first, &key(&asked), &asked, &[], b"x");
    written(&first, 1);
    let second = open_with(temp.path(), 64 * SMALL, Arc::new(Real));
    second.use_disk();
    std::thread::sleep(Duration::from_millis(200));
    assert!(!second.disk_told().unwrap().serves);
    assert_eq!(on_disk(&second, &asked), None);
    // What is purged meanwhile is purged there, as soon as it is the second one's.
    let (tagged, named) = (request("/tagged", &[]), request("/named", &[]));
    store(&first, &key(&tagged), &tagged, &[("cache-tag", "t")], b"t");
    store(&first, &key(&named), &named, &[], b"n");
    written(&first, 3);
    let number = second.purge(1, Scope::Tag(b"t"), Purge::Hard);
    second.purge_url(1, b"a.test", b"/named", None);
    assert!(!second.has_settled(number));
    close(&first);
    until(|| second.disk_told().unwrap().serves);
    assert_eq!(on_disk(&second, &tagged), None);
    assert_eq!(on_disk(&second, &named), None);
    until(|| second.has_settled(number));
    assert_eq!(on_disk(&second, &asked).as_deref(), Some(&b"x"[..]));
    // The first one serves from memory.
    assert_eq!(
        body(&first, &key(&asked), &asked).as_deref(),
        Some(&b"x"[..])
    );
    assert!(first.look_on_disk(&key(&asked)).is_none());
    close(&second);
}

#[test]
fn another_format_and_another_start_of_the_machine_are_an_empty_store() {
    let temp = tempfile::tempdir().unwrap();
    let asked = request("/x", &[]);
    let fill = |cache: &Arc<Cache>| {
        let before = cache.disk_told().unwrap().written;
        store(cache, &key(&asked), &asked, &[], b"x");
        written(cache, before + 1);
    };
    let state = temp.path().join("state");
    let cache = open(temp.path());
    fill(&cache);
    // It is not closed, and the machine is another one.
    let mut bytes = fs::read(&state).unwrap();
    close(&cache);
    let closed = fs::read(&state).unwrap();
    let end = bytes.len() - 8;
    bytes[end - 1] ^= 1;
    let crc = format::crc(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&crc);
    drop(cache);
    for unknown in [bytes, vec![], b"garbage".to_vec(), {
        let mut later = closed.clone();
        later[4] = 2;
        let crc = format::crc(&later[..later.len() - 8]).to_le_bytes();
        let end = later.len() - 8;
        later[end..].copy_from_slice(&crc);
        later
    }] {
        fs::write(&state, unknown).unwrap();
        let cache = open(temp.path());
        assert_eq!(on_disk(&cache, &asked), None);
        assert_eq!(cache.disk_told().unwrap().entries, 0);
        fill(&cache);
        close(&cache);
        drop(cache);
        let cache = open(temp.path());
        assert_eq!(on_disk(&cache, &asked).as_deref(), Some(&b"x"[..]));
        close(&cache);
    }
}

#[test]
fn the_oldest_goes_and_what_is_asked_for_stays() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open_with(temp.path(), 8 * SMALL, Arc::new(Real));
    serving(&cache);
    let loved = request("/loved", &[]);
    store(&cache, &key(&loved), &loved, &[], &[9; 2_000]);
    written(&cache, 1);
    let mut stored = 1;
    for number in 0..400 {
        let asked = request(&format!("/{number}"), &[]);
        // Asked for twice: once full, it is for those alone.
        let _ = cache.find(&key(&asked), &asked);
        store(&cache, &key(&asked), &asked, &[], &[number as u8; 4_000]);
        stored += 1;
        written(&cache, stored);
        if number % 5 == 0 {
            // Read from disk, whatever memory has.
            cache.purge_memory();
            assert_eq!(on_disk(&cache, &loved), Some(vec![9; 2_000]), "at {number}");
        }
    }
    let told = cache.disk_told().unwrap();
    assert!(told.bytes <= 8 * SMALL, "{told:?}");
    assert!((50..200).contains(&told.entries), "{told:?}");
    cache.purge_memory();
    assert_eq!(on_disk(&cache, &request("/0", &[])), None);
    assert_eq!(
        on_disk(&cache, &request("/399", &[])),
        Some(vec![399u32 as u8; 4_000])
    );
    // It is full: what is asked for once is not written.
    let once = request("/once", &[]);
    let before = cache.disk_told().unwrap();
    let Joined::Lead(mut lead) =
        cache.join(&key(&once), &once, None, None, crate::cache::tests::NOW)
    else {
        panic!("somebody leads");
    };
    assert!(lead.begin(
        crate::cache::tests::kept(&once, &[]),
        &once,
        None,
        0,
        crate::cache::tests::NOW
    ));
    lead.push(b"x");
    lead.finish().unwrap();
    close(&cache);
    serving(&cache);
    assert_eq!(cache.disk_told().unwrap().entries, before.entries);
    close(&cache);
}

use crate::cache::Joined;

#[test]
fn a_zone_has_a_share_and_the_queue_a_bound() {
    let temp = tempfile::tempdir().unwrap();
    let settings = Settings {
        folder: temp.path().to_owned(),
        bytes: 64 * SMALL,
        zone_share: 1,
    };
    let size = Size {
        bytes: 4 << 20,
        zone_share: 100,
    };
    let cache = Cache::with(size, Some(Disk::with(settings, SMALL, Arc::new(Real))));
    serving(&cache);
    for number in 0..40 {
        let asked = request(&format!("/{number}"), &[]);
        store(&cache, &key(&asked), &asked, &[], &[1; 4_000]);
        let told = cache.disk_told().unwrap();
        until(|| {
            let now = cache.disk_told().unwrap();
            now.written + now.refused_share == number + 1
        });
        assert!(told.bytes < 2 * SMALL);
    }
    let told = cache.disk_told().unwrap();
    assert!(told.refused_share > 20 && told.written >= 5, "{told:?}");
    close(&cache);
}

#[test]
fn slices_are_there_after_a_restart_and_none_of_them_after_a_purge_of_their_url() {
    use crate::slices::{Sliced, Slices};
    let temp = tempfile::tempdir().unwrap();
    let asked = request("/film", &[]);
    let film: Vec<u8> = (0..50_000u32).map(|at| (at * 13) as u8).collect();
    let cache = open(temp.path());
    let kept = crate::cache::tests::kept(&asked, &[("etag", "\"a\"")]);
    let (sliced, length) = (Sliced::new(5, 20_000), film.len() as u64);
    let now = crate::cache::tests::NOW;
    let lead = cache.alone(&key(&asked));
    let entry = lead.begin_in_slices(kept, &asked, sliced, length, now);
    let slices = Slices::of(&cache, &key(&asked), &entry.unwrap()).unwrap();
    crate::slices::Slicer::new(slices, 0, now).push(&film);
    close(&cache);
    drop(cache);
    let look = |cache: &Arc<Cache>, index| {
        let mut reading = cache.look_on_disk(&key(&asked))?;
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let mut poll = |reading: &mut Reading, asked: &RequestHead| {
            let mut found = None;
            until(|| match reading.poll(asked, &mut cx) {
                Poll::Ready(came) => {
                    found = came;
                    true
                }
                Poll::Pending => false,
            });
            found
        };
        let entry = poll(&mut reading, &asked)?;
        assert_eq!(entry.body.length(), length);
        let slices = Slices::of(cache, &key(&asked), &entry)?;
        let slice = poll(&mut slices.look_on_disk(index)?, slices.request())?;
        Some(slice.body.pieces().concat())
    };
    let cache = open(temp.path());
    for index in [2, 0, 1] {
        let start = index as usize * 20_000;
        let wanted = &film[start..film.len().min(start + 20_000)];
        assert_eq!(look(&cache, index).as_deref(), Some(wanted), "{index}");
    }
    assert_eq!(look(&cache, 3), None);
    cache.purge_url(1, b"a.test", b"/film", None);
    assert_eq!(look(&cache, 0), None);
    close(&cache);
    drop(cache);
    assert_eq!(look(&open(temp.path()), 0), None);
}

#[test]
fn what_is_on_disk_alone_is_validated_while_it_is_there() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path());
    let pages = ["/stays", "/replaced", "/forgotten", "/purged"].map(|page| request(page, &[]));
    let tag = [("etag", "\"a\"")];
    for page in &pages {
        store(&cache, &key(page), page, &tag, b"old");
    }
    written(&cache, pages.len() as u64);
    close(&cache);
    drop(cache);
    let cache = open(temp.path());
    let found = pages.each_ref().map(|page| {
        assert!(on_disk(&cache, page).is_some());
        match cache.find(&key(page), page) {
            Found::Entry(entry) => entry,
            _ => panic!("it was read"),
        }
    });
    let begun = cache.begun();
    let late = |at: usize| {
        let (page, later) = (&pages[at], Time(NOW.0 + 9_000));
        let fresh = kept_at(page, &tag, later);
        cache
            .validated(&key(page), &found[at], fresh, page, begun)
            .1
    };
    let later = Time(NOW.0 + 1_000);
    store_at(&cache, &key(&pages[1]), &pages[1], &tag, b"new", later);
    written(&cache, 1);
    cache.forget(&key(&pages[2]), &found[2]);
    cache.purge_url(1, b"a.test", b"/purged", None);
    // What is being written, or waits for it, is out of the way.
    until(|| {
        let queue = cache.disk().unwrap().queue();
        queue.writes.is_empty() && queue.gone.is_empty()
    });
    cache.purge_memory();
    assert_eq!(late(1), Err(Outside::Replaced));
    assert_eq!(late(2), Err(Outside::Replaced));
    assert_eq!(late(3), Err(Outside::Purged));
    assert_eq!(late(0), Ok(()));
    assert_eq!(body(&cache, &key(&pages[0]), &pages[0]).unwrap(), b"old");
}

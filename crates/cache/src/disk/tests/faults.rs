//! Disks that lie, fail, are full or hang: each costs hits, and nothing else.

use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;

use super::*;

/// Stores some responses, and tells what they are.
fn filled(folder: &Path) -> Vec<(RequestHead, Vec<u8>)> {
    let cache = open(folder);
    let all: Vec<_> = (0..30)
        .map(|number| {
            let asked = request(&format!("/{number}"), &[]);
            let bytes: Vec<u8> = (0..3_000u32).map(|at| (at * number) as u8).collect();
            store(&cache, &key(&asked), &asked, &[("x", "y")], &bytes);
            (asked, bytes)
        })
        .collect();
    close(&cache);
    all
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    all.sort();
    all
}

/// How many of them are there; each is as it was, or not.
#[track_caller]
fn there(cache: &Arc<Cache>, all: &[(RequestHead, Vec<u8>)]) -> usize {
    let found = all
        .iter()
        .filter(|(asked, bytes)| match on_disk(cache, asked) {
            Some(found) => {
                assert!(found == *bytes, "other bytes than were stored");
                true
            }
            None => false,
        });
    found.count()
}

#[test]
fn no_bit_that_a_disk_changes_is_served() {
    let temp = tempfile::tempdir().unwrap();
    let all = filled(temp.path());
    let segments = segments(temp.path());
    let mut random = crate::made_up::Random::new(11);
    let mut lost = 0;
    for round in 0..150 {
        let path = &segments[random.below(segments.len())];
        let whole = fs::read(path).unwrap();
        let mut bad = whole.clone();
        match round % 3 {
            0 => bad[random.below(whole.len())] ^= 1 << random.below(8),
            1 => {
                let at = random.below(whole.len());
                let end = (at + 4_096).min(whole.len());
                bad[at..end].fill(0);
            }
            // What was written elsewhere.
            _ => {
                let (from, to) = (
                    random.below(whole.len() - 64),
                    random.below(whole.len() - 64),
                );
                bad.copy_within(from..from + 64, to);
            }
        }
        fs::write(path, &bad).unwrap();
        let cache = open(temp.path());
        let found = there(&cache, &all);
        lost += all.len() - found;
        assert!(found + 30 >= all.len(), "too many are lost");
        close(&cache);
        fs::write(path, &whole).unwrap();
    }
    assert!(lost > 50, "{lost}");
    let cache = open(temp.path());
    assert_eq!(there(&cache, &all), all.len());
    close(&cache);
}

#[test]
fn a_segment_that_broke_off_anywhere_is_what_there_is_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let all = filled(temp.path());
    let path = segments(temp.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut last = usize::MAX;
    let mut lengths: Vec<usize> = (0..whole.len()).step_by(1_777).collect();
    lengths.reverse();
    for length in lengths {
        fs::write(&path, &whole[..length]).unwrap();
        let cache = open(temp.path());
        let found = there(&cache, &all);
        assert!(found <= last, "{found} of {length} bytes, {last} of more");
        last = found;
        // And it is written on.
        let asked = request("/new", &[]);
        store(&cache, &key(&asked), &asked, &[], b"new");
        close(&cache);
        drop(cache);
        let cache = open(temp.path());
        assert_eq!(on_disk(&cache, &asked).as_deref(), Some(&b"new"[..]));
        cache.purge_url(1, b"a.test", b"/new", None);
        close(&cache);
    }
}

/// A disk that does as it is told.
#[derive(Debug, Default)]
struct Told {
    writes_fail: AtomicBool,
    /// All of it gets there, and it says no.
    writes_lie: AtomicBool,
    /// There is no room for what is the first in its segment.
    first_writes_fail: AtomicBool,
    /// Half of it gets there.
    adds_tear: AtomicBool,
    cuts_fail: AtomicBool,
    reads_fail: AtomicBool,
    hangs: Mutex<bool>,
    goes_on: Condvar,
    writes_hang: Mutex<bool>,
    writes_go_on: Condvar,
}

impl Io for Told {
    fn read(&self, file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
        let mut hangs = self.hangs.lock().unwrap();
        while *hangs {
            hangs = self.goes_on.wait(hangs).unwrap();
        }
        drop(hangs);
        match self.reads_fail.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the disk is broken")),
            false => Real.read(file, into, at),
        }
    }

    fn read_now<'b>(&self, _: &File, _: &'b mut [MaybeUninit<u8>], _: u64) -> Option<&'b mut [u8]> {
        None
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut hangs = self.writes_hang.lock().unwrap();
        while *hangs {
            hangs = self.writes_go_on.wait(hangs).unwrap();
        }
        drop(hangs);
        let fails = self.writes_fail.load(Ordering::Relaxed)
            || (at == 0 && self.first_writes_fail.load(Ordering::Relaxed));
        if !fails {
            Real.write(file, bytes, at)?;
        }
        match fails || self.writes_lie.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn add(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        match self.adds_tear.load(Ordering::Relaxed) {
            true => {
                Real.add(file, &bytes[..bytes.len() / 2])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            false => Real.add(file, bytes),
        }
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        match self.cuts_fail.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the disk is broken")),
            false => Real.cut(file, length),
        }
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a file");
    std::fs::write(&path, b"").unwrap();
    let cache = open_with(&path, 64 * SMALL, Arc::new(Told::default()) as Arc<dyn Io>);
    cache.use_disk();
    until(|| cache.disk_told().unwrap().ails == Some(Ails::Fails));
}

#[test]
fn a_disk_that_is_full_or_broken_is_done_without() {
    let temp = tempfile::tempdir().unwrap();
    let io = Arc::new(Told::default());
    let cache = open_with(temp.path(), 64 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
    serving(&cache);
    let first = request("/first", &[]);
    store(&cache, &key(&first), &first, &[], b"first");
    written(&cache, 1);
    io.writes_fail.store(true, Ordering::Relaxed);
    let second = request("/second", &[]);
    store(&cache, &key(&second), &second, &[], b"second");
    until(|| cache.disk_told().unwrap().failures > 0);
    assert_eq!(cache.disk_told().unwrap().ails, Some(Ails::Full));
    // What comes while it is not tried again is not counted as too many that waited.
    let late = request("/late", &[]);
    until(|| {
        store(&cache, &key(&late), &late, &[], b"late");
        cache.disk_told().unwrap().refused_failing > 0
    });
    assert_eq!(cache.disk_told().unwrap().refused_full, 0);
    // Memory serves, what was written is read, what was not is not there.
    assert_eq!(
        body(&cache, &key(&second), &second).as_deref(),
        Some(&b"second"[..])
    );
    assert_eq!(on_disk(&cache, &second), None);
    io.reads_fail.store(true, Ordering::Relaxed);
    cache.purge_memory();
    assert_eq!(on_disk(&cache, &first), None);
    io.reads_fail.store(false, Ordering::Relaxed);
    assert_eq!(on_disk(&cache, &first).as_deref(), Some(&b"first"[..]));
    // What is purged while nothing can be written does not come back.
    cache.purge_url(1, b"a.test", b"/first", None);
    close(&cache);
    drop(cache);
    let cache = open(temp.path());
    assert_eq!(on_disk(&cache, &first), None);
    close(&cache);
}

/// What is in no index has no record behind it that says that it is gone.
#[test]
fn what_a_failing_disk_took_all_the_same_does_not_come_back() {
    for cuts_fail in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let io = Arc::new(Told::default());
        let cache = open_with(temp.path(), 64 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
        serving(&cache);
        let (first, second) = (request("/first", &[]), request("/second", &[]));
        store(&cache, &key(&first), &first, &[], b"first");
        written(&cache, 1);
        io.writes_lie.store(true, Ordering::Relaxed);
        io.cuts_fail.store(cuts_fail, Ordering::Relaxed);
        store(&cache, &key(&second), &second, &[], b"second");
        until(|| cache.disk_told().unwrap().failures > 0);
        // What follows from that is done.
        until(|| cache.disk().unwrap().queue().writes.is_empty());
        io.writes_lie.store(false, Ordering::Relaxed);
        io.cuts_fail.store(false, Ordering::Relaxed);
        cache.purge_url(1, b"a.test", b"/second", None);
        close(&cache);
        drop(cache);
        let cache = open(temp.path());
        assert_eq!(on_disk(&cache, &second), None, "{cuts_fail}");
        assert_eq!(on_disk(&cache, &first).is_some(), !cuts_fail);
        close(&cache);
    }
}

#[test]
fn what_is_gone_while_the_next_segment_finds_no_room_does_not_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let io = Arc::new(Told::default());
    let cache = open_with(temp.path(), 8 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
    serving(&cache);
    let all: Vec<RequestHead> = (0..3_000).map(|n| request(&format!("/{n}"), &[])).collect();
    for (number, asked) in all.iter().enumerate() {
        // Asked for twice: once full, it is for those alone.
        let _ = cache.find(&key(asked), asked);
        let _ = cache.find(&key(asked), asked);
        store(&cache, &key(asked), asked, &[], &[7; 200]);
        if number % 100 == 99 {
            until(|| {
                let queue = cache.disk().unwrap().queue();
                queue.offers.is_empty() && queue.writes.is_empty()
            });
        }
    }
    cache.purge_memory();
    // What of the oldest was asked for since is written anew before that goes.
    let oldest = all.iter().filter(|asked| on_disk(&cache, asked).is_some());
    assert_eq!(oldest.take(20).count(), 20);
    io.first_writes_fail.store(true, Ordering::Relaxed);
    let mut purged = Vec::new();
    for asked in all.iter().rev() {
        let gone = cache.purge_url_in_forms(1, b"a.test", asked.target(), None, &[]);
        let Some(number) = gone.number else {
            continue;
        };
        until(|| cache.has_settled(number));
        purged.push(asked);
        if cache.disk_told().unwrap().failures > 0 {
            break;
        }
    }
    assert!(cache.disk_told().unwrap().failures > 0, "it was never full");
    io.first_writes_fail.store(false, Ordering::Relaxed);
    close(&cache);
    drop(cache);
    let cache = open_with(temp.path(), 8 * SMALL, Arc::new(Real));
    serving(&cache);
    for asked in purged {
        assert_eq!(on_disk(&cache, asked), None);
    }
    close(&cache);
}

#[test]
fn a_purge_that_cannot_be_written_down_takes_all_and_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let io = Arc::new(Told::default());
    let cache = open_with(temp.path(), 64 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
    serving(&cache);
    let asked = request("/x", &[]);
    store(&cache, &key(&asked), &asked, &[("cache-tag", "t")], b"x");
    written(&cache, 1);
    io.adds_tear.store(true, Ordering::Relaxed);
    let number = cache.purge(1, Scope::Tag(b"t"), Purge::Hard);
    until(|| cache.has_settled(number));
    let told = cache.disk_told().unwrap();
    assert_eq!((told.entries, told.ails), (0, Some(Ails::Full)));
    io.adds_tear.store(false, Ordering::Relaxed);
    let number = cache.purge(1, Scope::Tag(b"u"), Purge::Hard);
    until(|| cache.has_settled(number));
    close(&cache);
    drop(cache);
    let cache = open(temp.path());
    assert_eq!(on_disk(&cache, &asked), None);
    close(&cache);
}

/// As a killed process leaves it.
fn as_it_is(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_url_that_is_gone_is_waited_for_and_stays_gone_after_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let io = Arc::new(Told::default());
    let cache = open_with(temp.path(), 64 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
    serving(&cache);
    let asked = request("/x", &[]);
    store(&cache, &key(&asked), &asked, &[], b"x");
    written(&cache, 1);
    let purge = |target: &[u8]| cache.purge_url_in_forms(1, b"a.test", target, None, &[]);
    // What is nowhere on disk has nothing to wait for.
    assert_eq!(purge(b"/other").number, None);
    *io.writes_hang.lock().unwrap() = true;
    let number = purge(b"/x").number.unwrap();
    assert!(!cache.has_settled(number));
    let before = as_it_is(temp.path());
    let settling = cache.settling(number).unwrap();
    let cx = std::task::Context::from_waker(Waker::noop());
    assert!(settling.poll(&cx).is_pending());
    // A disk that hangs is waited for once.
    settling.gave_up();
    assert!(cache.settling(number).is_none());
    *io.writes_hang.lock().unwrap() = false;
    io.writes_go_on.notify_all();
    until(|| settling.poll(&cx).is_ready());
    assert!(cache.has_settled(number));
    let after = as_it_is(temp.path());
    for (folder, is_there) in [(before, true), (after, false)] {
        let killed = open(folder.path());
        assert_eq!(on_disk(&killed, &asked).is_some(), is_there);
        close(&killed);
    }
    close(&cache);
}

#[test]
fn a_read_that_hangs_holds_nobody_else() {
    let temp = tempfile::tempdir().unwrap();
    let io = Arc::new(Told::default());
    let cache = open_with(temp.path(), 64 * SMALL, Arc::clone(&io) as Arc<dyn Io>);
    serving(&cache);
    let all: Vec<RequestHead> = (0..600).map(|n| request(&format!("/{n}"), &[])).collect();
    for asked in &all {
        store(&cache, &key(asked), asked, &[], b"b");
    }
    written(&cache, all.len() as u64);
    cache.purge_memory();
    *io.hangs.lock().unwrap() = true;
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let mut readings = Vec::new();
    for asked in &all {
        let mut reading = cache.look_on_disk(&key(asked)).unwrap();
        // It waits, or is refused where too many wait: nobody blocks here.
        if reading.poll(asked, &mut cx).is_pending() {
            readings.push((reading, asked));
        }
    }
    assert!((4..=260).contains(&readings.len()), "{}", readings.len());
    assert!(cache.disk_told().unwrap().refused_reads > 300);
    // What is stored and found in memory goes its way.
    let other = request("/other", &[]);
    store(&cache, &key(&other), &other, &[], b"o");
    assert_eq!(
        body(&cache, &key(&other), &other).as_deref(),
        Some(&b"o"[..])
    );
    *io.hangs.lock().unwrap() = false;
    io.goes_on.notify_all();
    for (mut reading, asked) in readings {
        until(|| match reading.poll(asked, &mut cx) {
            Poll::Ready(found) => {
                assert!(found.is_some());
                true
            }
            Poll::Pending => false,
        });
    }
    close(&cache);
}

#[test]
fn a_folder_that_cannot_be_had_is_done_without() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    let cache = open_with(&path, 64 * SMALL, Arc::new(Real));
    cache.use_disk();
    until(|| cache.disk_told().unwrap().failures > 0);
    let asked = request("/x", &[]);
    store(&cache, &key(&asked), &asked, &[], b"x");
    assert_eq!(
        body(&cache, &key(&asked), &asked).as_deref(),
        Some(&b"x"[..])
    );
    assert_eq!(on_disk(&cache, &asked), None);
    close(&cache);
}

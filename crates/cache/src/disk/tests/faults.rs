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
    reads_fail: AtomicBool,
    hangs: Mutex<bool>,
    goes_on: Condvar,
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
        match self.writes_fail.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Real.write(file, bytes, at),
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

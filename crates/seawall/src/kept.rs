//! Who writes what outlives a worker (zones' ids, `DATA/live`, certificates): exactly one worker, which holds `DATA/state.lock`. Each
//! holder has a number that is higher than those before.
//!
//! A disk may be slow, and a worker hand over while it writes. So whoever writes holds the lock until its file is in place, also when
//! the worker has given it up meanwhile: the next one has it only then, serves without it, and asks again every second. Nothing that
//! hangs keeps an upgrade from going on. What had not begun by then is not written at all.
//!
//! In the moment in which a file is put in place it is looked whether the lock that lies there is the writer's, with its number: a lock
//! whose file somebody took away guards nothing, nor does one on a file system that has none.
//!
//! Who takes over reads what is live before that, while the one before it still writes: so a worker knows which file has what it serves,
//! and looks, when it has the lock, whether that is the one which lies there.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::data::{Data, Held};
use crate::live::Which;

/// Longer than a process' number and the lock's.
const LONGEST: usize = 64;

/// The right to write what outlives a worker.
pub struct StateLock {
    held: Held,
    path: PathBuf,
    /// None where the disk was full when it was taken.
    number: Option<u64>,
}

impl StateLock {
    /// Takes it.
    ///
    /// # Errors
    /// When another worker has it or still writes, or the folder cannot be written.
    pub fn take(data: &Data) -> Result<Self> {
        let (held, number) = data.hold_numbered("state")?;
        let path = data.path("state.lock");
        Ok(Self { held, path, number })
    }

    /// Looks whether it is still what keeps others from writing.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self) -> io::Result<()> {
        let (own, there) = (self.held.file(), std::fs::metadata(&self.path)?);
        let metadata = own.metadata()?;
        let is_there = (there.dev(), there.ino()) == (metadata.dev(), metadata.ino());
        let mut bytes = [0; LONGEST];
        let length = own.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        if is_there && (self.number.is_none() || number_in(&text) == self.number) {
            return Ok(());
        }
        Err(io::Error::other(
            "state.lock was taken away, or another worker has it: what only one may write is not written",
        ))
    }
}

/// The number of a lock, by what is in its file.
pub fn number_in(text: &str) -> Option<u64> {
    text.lines().nth(1)?.trim().parse().ok()
}

/// Keeps the youngest of what was live, one after the other, as long as this worker may.
#[derive(Default)]
pub struct Kept {
    last: AtomicU64,
    begun: Mutex<u64>,
    written: AtomicU64,
    lock: Mutex<Option<Arc<StateLock>>>,
    there: Mutex<There>,
}

/// The file of what is live.
#[derive(Default)]
struct There {
    /// Which one this worker has read, or written last.
    file: Option<Which>,
    /// It is the one that lies there, and only this worker may replace it.
    is_ours: bool,
}

impl Kept {
    /// This worker may write from here on.
    pub fn enter(&self, lock: Arc<StateLock>) {
        *whole(&self.lock) = Some(lock);
    }

    /// Another one may: what waits for a disk is not written over what that one has.
    pub fn leave(&self) {
        *whole(&self.lock) = None;
        whole(&self.there).is_ours = false;
    }

    /// What serves was read of this file.
    pub fn has_read(&self, file: Option<Which>) {
        whole(&self.there).file = file;
    }

    /// This worker has just put a file there.
    pub fn has_written(&self, path: &Path) {
        let mut there = whole(&self.there);
        there.file = Which::of(path);
        there.is_ours = self.lock().is_some();
    }

    /// This worker may write from now on, and looks whose file lies there.
    pub fn look(&self, path: &Path) {
        let mut there = whole(&self.there);
        there.is_ours = there.file.is_some() && there.file == Which::of(path);
    }

    /// The file that lies there, where another worker has written it since this one read it, or wrote the last one.
    pub fn others(&self, path: &Path) -> Option<Which> {
        let there = whole(&self.there);
        let ours = there.file.filter(|_| !there.is_ours)?;
        Which::of(path).filter(|file| *file != ours)
    }

    /// The lock, if this worker may write: for as long as it is held, no other one does.
    pub fn lock(&self) -> Option<Arc<StateLock>> {
        whole(&self.lock).clone()
    }

    /// Whether what serves is on disk.
    pub fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire) == self.last.load(Ordering::Acquire)
    }

    /// The number of what serves now.
    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Writes what has this number, unless something younger is live by now, or another worker may write. Whether it was written.
    ///
    /// # Errors
    /// As `write` says.
    pub fn once(
        &self,
        number: u64,
        write: impl FnOnce(&StateLock) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut begun = whole(&self.begun);
        let last = self.last.load(Ordering::Acquire);
        if *begun > number || last > number && *begun == number {
            return Ok(false);
        }
        // Only now: who waits for its turn must not hold up the next worker.
        let Some(lock) = self.lock() else {
            return Ok(false);
        };
        *begun = number;
        write(&lock)?;
        self.written.store(number, Ordering::Release);
        Ok(true)
    }
}

fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::sync_channel;

    use tempfile::TempDir;

    use super::*;

    /// A data folder, which goes away with its owner.
    struct Folder {
        data: Data,
        _temporary: TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            Self {
                data: Data::at(temporary.path()).unwrap(),
                _temporary: temporary,
            }
        }

        fn holder(&self) -> (Kept, Arc<StateLock>) {
            let (kept, lock) = (Kept::default(), StateLock::take(&self.data).unwrap());
            let lock = Arc::new(lock);
            kept.enter(lock.clone());
            (kept, lock)
        }
    }

    #[test]
    fn what_is_being_written_keeps_the_next_one_out_and_nothing_begins_after_that() {
        let folder = Folder::new();
        let (kept, lock) = folder.holder();
        let first = lock.number.unwrap();
        drop(lock);
        let (begun, has_begun) = sync_channel(0);
        let (go_on, goes_on) = sync_channel::<()>(0);
        let (kept, data, number) = (&kept, &folder.data, kept.next());
        std::thread::scope(|scope| {
            let slow = scope.spawn(move || {
                kept.once(number, move |lock| {
                    begun.send(()).unwrap();
                    goes_on.recv().unwrap();
                    assert!(data.keep_if("live", b"one", 0o600, || lock.check()));
                    Ok(())
                })
            });
            has_begun.recv().unwrap();
            // It hands over, and something younger waits for its turn.
            kept.leave();
            let number = kept.next();
            let late = scope.spawn(move || kept.once(number, |_| panic!("it may not any more")));
            assert!(
                StateLock::take(data).is_err(),
                "the file would be the old one's"
            );
            go_on.send(()).unwrap();
            assert!(slow.join().unwrap().unwrap());
            assert!(!late.join().unwrap().unwrap());
        });
        let next = StateLock::take(data).unwrap();
        assert_eq!(next.number, Some(first + 1));
        assert!(!kept.is_written(), "what was not written waits");
    }

    #[test]
    fn what_another_one_wrote_meanwhile_is_seen_until_this_one_has_written() {
        let folder = Folder::new();
        let (kept, path) = (Kept::default(), folder.data.path("live"));
        let write = |text: &[u8]| assert!(folder.data.keep("live", text, 0o600));
        write(b"one");
        assert_eq!(kept.others(&path), None, "it serves nothing of it");
        kept.has_read(Which::of(&path));
        assert_eq!(kept.others(&path), None);
        write(b"two");
        let two = Which::of(&path);
        assert_eq!(kept.others(&path), two);
        // The lock does not make it what is served.
        kept.enter(Arc::new(StateLock::take(&folder.data).unwrap()));
        kept.look(&path);
        assert_eq!(kept.others(&path), two);
        kept.has_written(&path);
        assert_eq!(kept.others(&path), None);
        kept.leave();
        assert_eq!(kept.others(&path), None);
        write(b"three");
        assert_eq!(kept.others(&path), Which::of(&path));
    }

    #[test]
    fn a_lock_that_was_taken_away_lets_nothing_be_put_in_place() {
        let folder = Folder::new();
        let (kept, lock) = folder.holder();
        let data = &folder.data;
        let keep =
            |text: &[u8], lock: &StateLock| data.keep_if("live", text, 0o600, || lock.check());
        assert!(keep(b"one", &lock));
        fs::remove_file(data.path("state.lock")).unwrap();
        let next = StateLock::take(data).unwrap();
        assert!(keep(b"two", &next));
        assert!(
            !keep(b"late", &lock),
            "it has another file than the one that counts"
        );
        assert_eq!(fs::read(data.path("live")).unwrap(), b"two");
        // Where two have it at once, as on a file system without locks: the number tells.
        fs::write(data.path("state.lock"), "1\n77\n").unwrap();
        assert!(!keep(b"late", &next));
        let written = kept.once(kept.next(), |lock| lock.check());
        assert!(written.is_err());
        assert_eq!(fs::read(data.path("live")).unwrap(), b"two");
    }
}

//! The page that a worker shares with the supervisor: what each of its threads runs ([`seawall_guard::blame`]), and how it died.
//!
//! A file in memory, mapped by both. What the worker wrote last is there to be read when the worker is not any more.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use crate::wire;

/// Room for the most threads that there may be. What is not written takes no memory.
const BYTES: usize = 256 << 10;
const WORDS: usize = BYTES / size_of::<u64>();

/// A page, mapped.
#[derive(Debug)]
pub struct SharedPage {
    at: NonNull<AtomicU64>,
    file: OwnedFd,
}

// SAFETY: what it points to are atomic numbers, which any thread may use.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// A new one, all noughts.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for it.
    pub fn make() -> io::Result<Self> {
        let file = File::from(wire::in_memory(c"seawall-page", &[])?);
        file.set_len(BYTES as u64)?;
        Self::map(file.into())
    }

    /// The page that another process made.
    ///
    /// # Errors
    /// When it is none, or cannot be mapped.
    pub fn map(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        // A shorter one would end us when we look at its end (SIGBUS).
        if file.metadata()?.len() < BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no page"));
        }
        // SAFETY: a new mapping, where the system likes; the file is as long as it is.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            at,
            file: file.into(),
        })
    }

    /// The file, for another process.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, aligned to a page, so long, and atomic; it stays mapped as long as `self` is there.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), WORDS) }
    }

    /// Keeps it mapped for the life of the process.
    pub fn keep(self) -> &'static Self {
        Box::leak(Box::new(self))
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody can have a reference to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn both_sides_see_the_same_words() {
        let ours = SharedPage::make().unwrap();
        let theirs = SharedPage::map(ours.file().try_clone_to_owned().unwrap()).unwrap();
        let last = WORDS - 1;
        assert_eq!(theirs.words()[last].load(Ordering::Relaxed), 0);
        ours.words()[last].store(7, Ordering::Relaxed);
        assert_eq!(theirs.words()[last].load(Ordering::Relaxed), 7);
        let short = wire::in_memory(c"short", b"too short").unwrap();
        assert!(SharedPage::map(short).is_err());
    }
}

//! Reading and writing files, in one place, so that tests can make a disk that fails or hangs.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// A disk.
pub(super) trait Io: Debug + Send + Sync {
    /// Fills the buffer from there, however long it takes.
    fn read(&self, file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(into, at)
    }

    /// Fills it if that needs no waiting: what the system has in memory already. Whether it did.
    fn read_now(&self, file: &File, into: &mut [u8], at: u64) -> bool {
        now(file, into, at)
    }

    /// Writes all of it there.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }
}

/// The machine's.
#[derive(Debug)]
pub(super) struct Real;

impl Io for Real {}

fn now(file: &File, into: &mut [u8], at: u64) -> bool {
    let Ok(offset) = libc::off_t::try_from(at) else {
        return false;
    };
    let part = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: the one part is a buffer that is ours for as long as the call takes, with its length.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            &raw const part,
            1,
            offset,
            libc::RWF_NOWAIT,
        )
    };
    // Less than all, or a file system that does not know the flag: somebody who may wait does it.
    usize::try_from(read).is_ok_and(|read| read == into.len())
}

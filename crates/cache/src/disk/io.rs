//! Reading and writing files, in one place, so that tests can make a disk that fails or hangs.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// As much is read by one call: half of what the system reads ahead by itself, as long as nobody says otherwise. So the disk brings what comes next
/// while this is copied; larger ones are waited for, one after the other (a third longer: docs/decisions/0060).
const PART: usize = 64 * 1024;

/// A disk.
pub(super) trait Io: Debug + Send + Sync {
    /// Fills the buffer from there, however long it takes.
    fn read(&self, file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(into, at)
    }

    /// As [`Io::read`], of memory in which nothing is yet; what is there then.
    fn read_new<'b>(
        &self,
        file: &File,
        into: &'b mut [MaybeUninit<u8>],
        at: u64,
    ) -> io::Result<&'b mut [u8]> {
        let into = zeroed(into);
        self.read(file, into, at)?;
        Ok(into)
    }

    /// Fills it if that needs no waiting: what the system has in memory already. None: it does not have all of it.
    fn read_now<'b>(
        &self,
        file: &File,
        into: &'b mut [MaybeUninit<u8>],
        at: u64,
    ) -> Option<&'b mut [u8]> {
        let read = read_some(file, into, at, libc::RWF_NOWAIT);
        let is_all = read.is_ok_and(|read| read == into.len());
        // SAFETY: the system has written all of it.
        is_all.then(|| unsafe { into.assume_init_mut() })
    }

    /// Writes all of it there.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    /// Writes all of it behind what is in a file that was opened for that, and waits until the disk has it.
    fn add(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)?;
        file.sync_data()
    }

    /// Nothing is behind so many bytes of a file from now on.
    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }
}

/// The machine's.
#[derive(Debug)]
pub(super) struct Real;

impl Io for Real {
    fn read_new<'b>(
        &self,
        file: &File,
        into: &'b mut [MaybeUninit<u8>],
        at: u64,
    ) -> io::Result<&'b mut [u8]> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let part = PART.min(rest.len());
            let part = rest.get_mut(..part).unwrap_or_default();
            match read_some(file, part, at + filled as u64, 0) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // SAFETY: the system has written all of it, part by part.
        Ok(unsafe { into.assume_init_mut() })
    }
}

/// Memory that holds zeros.
pub(super) fn zeroed(into: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    into.fill(MaybeUninit::new(0));
    // SAFETY: all of it has just been written.
    unsafe { into.assume_init_mut() }
}

/// Reads once; how many bytes of the buffer the system has written.
fn read_some(
    file: &File,
    into: &mut [MaybeUninit<u8>],
    at: u64,
    flags: libc::c_int,
) -> io::Result<usize> {
    let Ok(offset) = libc::off_t::try_from(at) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let part = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: the one part is a buffer that is ours for as long as the call takes, with its length.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset, flags) };
    // Less than nothing is an error: a file system that does not know the flag says so too.
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

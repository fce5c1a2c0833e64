//! How often a file is opened at least, whoever does it (inotify(7)): whether anybody reads what a drill puts somewhere. What opens it in the same
//! moment as another one may count once: the system tells the same thing twice in a row only once.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The part of an event before its name, in bytes; the last four of them tell how long that is.
const HEAD: usize = 16;

/// That it is closed parts one opening from the next, which would be told as one.
const WATCHED: u32 = libc::IN_OPEN | libc::IN_CLOSE_NOWRITE;

/// Watches a file of this name in its folder, also when another one takes its place.
pub struct Opens {
    events: File,
    name: Vec<u8>,
}

impl Opens {
    /// From now on.
    ///
    /// # Errors
    /// When there is no such folder, or too much is watched already.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
        // SAFETY: numbers.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that is new, and nobody else's.
        let events = unsafe { File::from_raw_fd(fd) };
        // SAFETY: a descriptor of ours, and a text that ends and outlives the call.
        if unsafe { libc::inotify_add_watch(fd, folder.as_ptr(), WATCHED) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            events,
            name: name.as_bytes().to_vec(),
        })
    }

    /// How often it was opened, at least, since this was asked the last time.
    pub fn since(&mut self) -> u64 {
        let mut count = 0;
        let mut memory = [0_u8; 16 << 10];
        // None are left where it would have to wait.
        while let Ok(length @ 1..) = self.events.read(&mut memory) {
            let mut rest = memory.get(..length).unwrap_or_default();
            while let Some((what, name, others)) = event(rest) {
                count += u64::from(what & libc::IN_OPEN != 0 && name == self.name);
                rest = others;
            }
        }
        count
    }
}

/// What the first of some events is, its name, and the others.
fn event(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let what = u32::from_ne_bytes(head.get(4..8)?.try_into().ok()?);
    let length = u32::from_ne_bytes(head.get(12..)?.try_into().ok()?);
    let (name, others) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let end = name.iter().position(|byte| *byte == 0);
    Some((what, name.get(..end.unwrap_or(name.len()))?, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn who_opens_a_file_is_counted_and_who_replaces_it_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let (path, late) = (folder.join("manifest"), folder.join("manifest.late"));
        let mut opens = Opens::of(&path).unwrap();
        fs::write(&late, "a").unwrap();
        fs::rename(&late, &path).unwrap();
        assert_eq!(opens.since(), 0);
        for _ in 0..3 {
            fs::read(&path).unwrap();
        }
        assert_eq!((opens.since(), opens.since()), (3, 0));
    }
}

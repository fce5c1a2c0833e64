//! Opening and reading files without ever blocking a worker thread.
//!
//! The kernel is asked first for what it has at hand: `openat2` with `RESOLVE_CACHED`, `preadv2` with `RWF_NOWAIT`. Only what
//! would wait for a disk goes to another thread, of which there is a bounded number: a disk that hangs holds up those who want a
//! file, and nobody else.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall_net::outward::Outward;
use tokio::sync::Semaphore;

/// Threads that wait for disks, of all worker threads together.
const WAITING: usize = 32;
/// The longest that a disk is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

static SEATS: Semaphore = Semaphore::const_new(WAITING);

/// A file or folder, open.
pub struct Opened {
    file: Arc<File>,
    /// It is a folder.
    pub is_folder: bool,
    /// Its length in bytes when it was opened.
    pub length: u64,
    /// When it was changed last.
    pub modified: SystemTime,
    /// Its number in its file system.
    pub number: u64,
}

/// A file that cannot be opened or read, though it is there.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The disk or the kernel says so.
    #[error("a file cannot be read: {0}")]
    Failed(#[from] io::Error),
    /// `[edge] outward` does not allow it.
    #[error("the folder may not be served")]
    Forbidden,
    /// The disk does not answer, or all threads that wait for disks are taken.
    #[error("the disk does not answer")]
    Slow,
    /// It has become shorter than it was when its length was told.
    #[error("a file became shorter while it was sent")]
    Shorter,
}

/// Opens the file `within` the folder `root`; none if there is none that may be served: no such file, one outside of the
/// folder, neither file nor folder, or not ours to read.
pub(super) async fn open(
    outward: &Outward,
    root: &Path,
    within: &[u8],
) -> Result<Option<Opened>, Broken> {
    outward.check_local(root).map_err(|_| Broken::Forbidden)?;
    let Ok(within) = CString::new(within) else {
        return Ok(None);
    };
    let opened = match open_now(root, &within, libc::RESOLVE_CACHED) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let root = root.to_owned();
            elsewhere(move || open_now(&root, &within, 0)).await?
        }
        opened => opened,
    };
    match opened {
        // A folder that holds ours may be served; ours may not.
        Ok(opened) => Ok(opened.filter(|opened| !opened.is_ours(outward))),
        Err(error) if is_none(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is nothing to be served: EXDEV and ELOOP say that it leads out of the folder.
fn is_none(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENOENT
                | libc::ENOTDIR
                | libc::EACCES
                | libc::ELOOP
                | libc::EXDEV
                | libc::ENAMETOOLONG
                | libc::ENXIO
                | libc::ENODEV
        )
    )
}

fn open_now(root: &Path, within: &CString, resolve: u64) -> io::Result<Option<Opened>> {
    let folder = CString::new(root.as_os_str().as_bytes())?;
    // The folder itself may be a link: that is how a new release is put in its place.
    let here = libc::AT_FDCWD;
    let folder = openat2(here, &folder, libc::O_PATH | libc::O_DIRECTORY, resolve)?;
    let beneath = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS | resolve;
    // A pipe must not wait for who writes into it, nor a terminal become ours.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::from(openat2(folder.as_raw_fd(), within, flags, beneath)?);
    let known = file.metadata()?;
    if !known.is_file() && !known.is_dir() {
        return Ok(None);
    }
    let seconds = u64::try_from(known.mtime()).unwrap_or(0);
    let nanoseconds = u32::try_from(known.mtime_nsec()).unwrap_or(0);
    Ok(Some(Opened {
        is_folder: known.is_dir(),
        length: known.len(),
        modified: UNIX_EPOCH + Duration::new(seconds, nanoseconds),
        number: known.ino(),
        file: Arc::new(file),
    }))
}

impl Opened {
    /// Whether it lies in our own folder. Where the kernel does not tell its path, it does.
    fn is_ours(&self, outward: &Outward) -> bool {
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        std::fs::read_link(link).map_or(true, |path| outward.is_own_folder(&path))
    }

    /// Reads at most `most` bytes from `at` on to the end of `into`.
    ///
    /// # Errors
    /// [`Broken`]; the end of the file is one, for it was longer.
    pub async fn read(&self, at: u64, most: usize, into: &mut Vec<u8>) -> Result<(), Broken> {
        let begin = into.len();
        into.resize(begin + most, 0);
        let room = into.get_mut(begin..).unwrap_or_default();
        let read = match read_now(self.file.as_fd(), at, room) {
            Ok(read) => read,
            // EAGAIN: not in memory. EOPNOTSUPP: this file system cannot tell.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINTR)
                ) =>
            {
                let file = self.file.clone();
                let mut room = std::mem::take(into);
                let (room, read) = elsewhere(move || {
                    let read = file.read_at(room.get_mut(begin..).unwrap_or_default(), at);
                    (room, read)
                })
                .await?;
                *into = room;
                read?
            }
            Err(error) => return Err(error.into()),
        };
        into.truncate(begin + read);
        match read {
            0 => Err(Broken::Shorter),
            _ => Ok(()),
        }
    }
}

/// Runs what may wait for a disk on another thread.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Broken> {
    let done = async {
        let seat = SEATS.acquire().await.map_err(|_| Broken::Slow)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the disk has answered, also when nobody waits for that any more.
            let _seat = seat;
            work()
        });
        done.await
            .map_err(|error| Broken::Failed(io::Error::other(error)))
    };
    tokio::time::timeout(PATIENCE, done)
        .await
        .map_err(|_| Broken::Slow)?
}

/// `openat2(2)`.
fn openat2(
    folder: libc::c_int,
    path: &CString,
    flags: libc::c_int,
    resolve: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: a struct of numbers, for which all noughts are a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    // SAFETY: the path ends with a NUL, and the kernel reads `how` to the length that it is told.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            folder,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    match libc::c_int::try_from(opened) {
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `preadv2(2)`, of what is in memory already.
fn read_now(file: BorrowedFd<'_>, at: u64, room: &mut [u8]) -> io::Result<usize> {
    let at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    let part = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    // SAFETY: the kernel writes into `room` alone, at most its length.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("site/sub")).unwrap();
        std::fs::write(path.join("site/a.txt"), "within").unwrap();
        std::fs::write(path.join("secret.txt"), "outside").unwrap();
        folder
    }

    fn all() -> Outward {
        Outward::new(true, true, true)
    }

    async fn content(root: &Path, within: &str) -> Option<String> {
        let opened = open(&all(), root, within.as_bytes()).await.unwrap()?;
        if opened.is_folder {
            return Some("a folder".into());
        }
        let mut bytes = Vec::new();
        opened.read(0, 100, &mut bytes).await.unwrap();
        Some(String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn nothing_outside_of_the_folder_is_opened_whatever_links_say() {
        let place = folder();
        let site = place.path().join("site");
        symlink("../secret.txt", site.join("out")).unwrap();
        symlink(place.path().join("secret.txt"), site.join("absolute")).unwrap();
        symlink("..", site.join("up")).unwrap();
        symlink("/proc/self/root", site.join("magic")).unwrap();
        symlink("a.txt", site.join("in")).unwrap();
        symlink("loop", site.join("loop")).unwrap();
        symlink("../a.txt", site.join("sub/back")).unwrap();
        for (name, expected) in [
            ("a.txt", Some("within")),
            ("in", Some("within")),
            ("sub/back", Some("within")),
            ("sub", Some("a folder")),
            ("out", None),
            ("absolute", None),
            ("up/secret.txt", None),
            ("magic/etc/passwd", None),
            ("loop", None),
            ("../secret.txt", None),
            ("sub/../../secret.txt", None),
            ("/etc/passwd", None),
            ("none", None),
            ("a.txt/b", None),
            (&"x".repeat(300), None),
        ] {
            let found = content(&site, name).await;
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        // The folder itself may be a link, and may be changed while we run.
        let current = place.path().join("current");
        symlink("site", &current).unwrap();
        assert_eq!(content(&current, "a.txt").await.as_deref(), Some("within"));
        std::fs::create_dir(place.path().join("next")).unwrap();
        std::fs::write(place.path().join("next/a.txt"), "newer").unwrap();
        std::fs::remove_file(&current).unwrap();
        symlink("next", &current).unwrap();
        assert_eq!(content(&current, "a.txt").await.as_deref(), Some("newer"));
    }

    #[tokio::test]
    async fn our_own_folder_is_never_served() {
        let place = folder();
        let site = place.path().join("site");
        symlink("sub", site.join("link")).unwrap();
        std::fs::write(site.join("sub/key"), "secret").unwrap();
        let own = site.canonicalize().unwrap().join("sub");
        let outward = all().with_own_folder(Some(own.clone()));
        let opens = async |root: &Path, name: &[u8]| open(&outward, root, name).await;
        assert!(opens(&site, b"a.txt").await.unwrap().is_some());
        for name in [&b"sub/key"[..], b"link/key", b"sub"] {
            assert!(opens(&site, name).await.unwrap().is_none());
        }
        assert!(matches!(opens(&own, b"key").await, Err(Broken::Forbidden)));
        assert!(opens(&site.join("link"), b"key").await.unwrap().is_none());
        let strict = Outward::new(true, true, false);
        let refused = open(&strict, &site, b"a.txt").await;
        assert!(matches!(refused, Err(Broken::Forbidden)));
    }

    #[tokio::test]
    async fn what_is_no_file_is_none() {
        let place = folder();
        let site = place.path().join("site");
        let pipe = CString::new(site.join("pipe").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(site.join("socket")).unwrap();
        for name in ["pipe", "socket"] {
            assert_eq!(content(&site, name).await, None, "{name}");
        }
        assert_eq!(content(&place.path().join("nowhere"), "a.txt").await, None);
        assert_eq!(content(&site.join("a.txt"), "a.txt").await, None);
    }

    #[tokio::test]
    async fn a_file_that_becomes_shorter_is_told_and_parts_are_read() {
        let place = folder();
        let site = place.path().join("site");
        let opened = open(&all(), &site, b"a.txt").await.unwrap().unwrap();
        let mut bytes = b"> ".to_vec();
        opened.read(2, 3, &mut bytes).await.unwrap();
        assert_eq!(bytes, b"> thi");
        std::fs::write(site.join("a.txt"), "w").unwrap();
        let shorter = opened.read(2, 3, &mut bytes).await;
        assert!(matches!(shorter, Err(Broken::Shorter)));
    }

    #[tokio::test]
    async fn what_waits_for_a_disk_waits_elsewhere() {
        let here = std::thread::current().id();
        let there = elsewhere(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        assert_eq!(SEATS.available_permits(), WAITING);
    }
}

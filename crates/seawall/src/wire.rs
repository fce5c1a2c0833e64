//! Messages between our own processes: whole or not at all, in order, with open files beside them (unix sockets of ordered
//! packets, `unix(7)`, `SCM_RIGHTS`).
//!
//! A listening socket that travels so is the very same socket in both processes: connections that wait on it wait for
//! whichever of them accepts. Who may connect is said by the mode of the socket's file, and asked of the kernel besides.
//! Not here: what is said ([`message`](crate::message)).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::ptr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest message. What is longer travels as an open file.
pub const LONGEST: usize = 64 << 10;
/// Open files beside one message. The kernel allows 253.
pub const FILES: usize = 128;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// One end of a connection between two of our processes.
#[derive(Debug)]
pub struct Wire {
    socket: AsyncFd<OwnedFd>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process.
    pub pid: i32,
    /// Its user.
    pub user: u32,
}

/// Two ends of a connection.
///
/// # Errors
/// When there is no descriptor for them.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to an array of two numbers, as the call wants.
    let made = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
            ends.as_mut_ptr(),
        )
    };
    checked(made)?;
    // SAFETY: both were made just now and are nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

impl Wire {
    /// Speaks over a socket of this kind. Must run in a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&socket)?;
        Ok(Self {
            socket: watched(socket, Interest::READABLE | Interest::WRITABLE)?,
        })
    }

    /// Connects to a listener by its file.
    ///
    /// # Errors
    /// `NotFound` and `ConnectionRefused` when nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        let (address, length, _folder) = address(path)?;
        // SAFETY: the address lives until the call is over, and is as long as is said.
        let done =
            unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
        checked(done)?;
        Self::new(socket)
    }

    /// Says something at once, or fails: who does not listen must not hold us up.
    ///
    /// # Errors
    /// `WouldBlock` when much that was said has not been heard; `InvalidInput` when it is too long.
    pub fn say(&self, message: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONGEST || files.len() > FILES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "too long for one message",
            ));
        }
        let raw: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        send(self.socket.get_ref().as_raw_fd(), &bytes, &raw)
    }

    /// Hears the next message; none when the other end is gone.
    ///
    /// # Errors
    /// `InvalidData` when it is none of these messages.
    pub async fn hear<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST + 1];
        let mut was_reset = false;
        loop {
            let mut ready = self.socket.readable().await?;
            let heard = ready.try_io(|socket| receive(socket.get_ref().as_raw_fd(), &mut bytes));
            match heard {
                Err(_would_block) => {}
                // So the kernel tells, once and before all else, that the other end left something of ours unheard when it went. What it
                // said before that is still to be heard.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    if was_reset {
                        return Ok(None);
                    }
                    was_reset = true;
                }
                Ok(Err(error)) => return Err(error),
                Ok(Ok((0, _))) => return Ok(None),
                Ok(Ok((length, files))) => {
                    let said = bytes.get(..length).filter(|_| length <= LONGEST);
                    let said = said.ok_or(io::ErrorKind::InvalidData)?;
                    return Ok(Some((serde_json::from_slice(said)?, files)));
                }
            }
        }
    }

    /// Whether somebody is at the other end still.
    pub fn is_open(&self) -> bool {
        let mut look = libc::pollfd {
            fd: self.socket.get_ref().as_raw_fd(),
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: the pointer is to one struct of the call's.
        let seen = unsafe { libc::poll(&raw mut look, 1, 0) };
        seen <= 0
    }

    /// Who is at the other end, as the kernel knows it (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As the system says.
    pub fn peer(&self) -> io::Result<Peer> {
        // SAFETY: of this struct all bytes may be nought.
        let mut credentials: libc::ucred = unsafe { zeroed() };
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the pointers are to a struct of the call's and to its size.
        let done = unsafe {
            libc::getsockopt(
                self.socket.get_ref().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                ptr::from_mut(&mut credentials).cast(),
                &raw mut length,
            )
        };
        checked(done)?;
        Ok(Peer {
            pid: credentials.pid,
            user: credentials.uid,
        })
    }
}

/// Where others connect. Its file goes with it.
#[derive(Debug)]
pub struct WireListener {
    socket: AsyncFd<OwnedFd>,
    path: PathBuf,
}

impl WireListener {
    /// Listens at a file, which only our own user may open. One that lies there is taken away: whoever calls this holds the
    /// lock that says that nobody listens there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = socket()?;
        let (address, length, _folder) = address(path)?;
        // SAFETY: the address lives until the call is over, and is as long as is said.
        let done =
            unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
        checked(done)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        // SAFETY: a descriptor and a number.
        checked(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
        Ok(Self {
            socket: watched(socket, Interest::READABLE)?,
            path: path.to_owned(),
        })
    }

    /// The next connection of our own user or of root.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub async fn accept(&self) -> io::Result<(Wire, Peer)> {
        loop {
            let mut ready = self.socket.readable().await?;
            let accepted = ready.try_io(|socket| {
                // SAFETY: no address is asked for.
                let accepted = unsafe {
                    libc::accept4(
                        socket.get_ref().as_raw_fd(),
                        ptr::null_mut(),
                        ptr::null_mut(),
                        libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                    )
                };
                checked(accepted)?;
                // SAFETY: it was made just now and is nobody else's.
                Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
            });
            let Ok(accepted) = accepted else {
                continue;
            };
            let wire = Wire::new(accepted?)?;
            let peer = wire.peer()?;
            // SAFETY: it only tells.
            let own = unsafe { libc::geteuid() };
            if peer.user == own || peer.user == 0 {
                return Ok((wire, peer));
            }
        }
    }
}

impl Drop for WireListener {
    fn drop(&mut self) {
        // Somebody else's may lie there by now only if the lock was given up, which is done later.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file in memory with this content, to travel where a message would be too long.
///
/// # Errors
/// When there is no memory or no descriptor for it.
pub fn in_memory(name: &std::ffi::CStr, content: &[u8]) -> io::Result<OwnedFd> {
    use std::io::{Seek, Write};
    // SAFETY: the name ends with a nought and lives until the call is over.
    let made = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    checked(made)?;
    // SAFETY: it was made just now and is nobody else's.
    let mut file = unsafe { std::fs::File::from_raw_fd(made) };
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// What is in such a file, up to so many bytes. Others may read it too, whatever was read of it before.
///
/// # Errors
/// As the system says.
pub fn whole(file: &OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone()?);
    let length = file.metadata()?.len().min(most);
    let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// Says something to a service manager (sd_notify(3)): a packet to a socket that is named by a path, or in the abstract with
/// `@` in front.
///
/// # Errors
/// When nobody listens there.
pub fn notify(path: &std::ffi::OsStr, words: &str, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let socket = UnixDatagram::unbound()?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.connect_addr(&address)?;
    let raw: Vec<RawFd> = file.iter().map(AsRawFd::as_raw_fd).collect();
    send(socket.as_raw_fd(), words.as_bytes(), &raw)
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: three numbers.
    let made = unsafe {
        libc::socket(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    checked(made)?;
    // SAFETY: it was made just now and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// A path as an address. Addresses are short (108 bytes), data folders need not be: so the folder is named by a descriptor of
/// ours, which must stay open until the address was used.
fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t, std::fs::File)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no path of a socket");
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = std::fs::File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(folder.unwrap_or(Path::new(".")))?;
    let name = path.file_name().ok_or_else(invalid)?.to_string_lossy();
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    // SAFETY: of this struct all bytes may be nought.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // One is left nought: it ends the path.
    if short.len() >= address.sun_path.len() {
        return Err(invalid());
    }
    for (to, from) in address.sun_path.iter_mut().zip(short.bytes()) {
        *to = from as libc::c_char;
    }
    let length = size_of::<libc::sa_family_t>() + short.len() + 1;
    Ok((address, length as libc::socklen_t, folder))
}

/// A descriptor that the runtime watches.
///
/// # Errors
/// When it cannot.
pub fn watched(file: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns its descriptor, which stays open and the same for as long as it is there.
    Ok(unsafe { AsyncFd::register_with_interest(file, interest) }?)
}

fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: numbers only.
    let flags = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) };
    checked(flags)?;
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Room for [`FILES`] descriptors and the head before them, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64 + FILES * size_of::<RawFd>()]);

fn send(socket: RawFd, bytes: &[u8], files: &[RawFd]) -> io::Result<()> {
    let mut control = Control([0; _]);
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: of this struct all bytes may be nought.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !files.is_empty() {
        let length = size_of_val(files) as libc::c_uint;
        message.msg_control = ptr::from_mut(&mut control).cast();
        // SAFETY: CMSG_SPACE only computes.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(length) } as _;
        // SAFETY: there is room for one head and `files.len() <= FILES` descriptors in `control`, which outlives the call.
        unsafe {
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            if head.is_null() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(length) as _;
            ptr::copy_nonoverlapping(
                files.as_ptr().cast::<u8>(),
                libc::CMSG_DATA(head),
                size_of_val(files),
            );
        }
    }
    // SAFETY: all that the message points to outlives the call.
    let sent = unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 {
        let error = io::Error::last_os_error();
        // Counted for all processes of the user (unix(7)): what others have on their way counts against our bound.
        if error.raw_os_error() == Some(libc::ETOOMANYREFS) {
            return Err(io::Error::other(
                "this user's processes have more open files on their way to one another than one may have open: raise LimitNOFILE (systemd) or ulimit -n",
            ));
        }
        return Err(error);
    }
    Ok(())
}

fn receive(socket: RawFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; _]);
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: of this struct all bytes may be nought.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = ptr::from_mut(&mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: all that the message points to outlives the call, and is ours to write.
    let received = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let mut files = Vec::new();
    // SAFETY: the kernel filled `control` in as far as `msg_controllen` says; the macros stay within it. Descriptors that came
    // are open and nobody else's.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                let bytes = ((*head).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                for nth in 0..bytes / size_of::<RawFd>() {
                    let raw = libc::CMSG_DATA(head).cast::<RawFd>().add(nth);
                    files.push(OwnedFd::from_raw_fd(raw.read_unaligned()));
                }
            }
            head = libc::CMSG_NXTHDR(&raw const message, head);
        }
    }
    if message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((length, files))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    }

    #[test]
    fn messages_come_whole_in_order_and_with_their_files() {
        runtime().block_on(async {
            let (one, other) = pair().unwrap();
            let (one, other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
            let file = in_memory(c"test", b"what is in it").unwrap();
            one.say(&"first", &[]).unwrap();
            one.say(&("second", 2), &[file.as_fd(), file.as_fd()])
                .unwrap();
            drop(one);
            let (first, files): (String, _) = other.hear().await.unwrap().unwrap();
            assert_eq!((first.as_str(), files.len()), ("first", 0));
            let (second, mut files): ((String, u8), _) = other.hear().await.unwrap().unwrap();
            assert_eq!((second.1, files.len()), (2, 2));
            let mut content = String::new();
            let mut file = File::from(files.remove(0));
            file.read_to_string(&mut content).unwrap();
            assert_eq!(content, "what is in it");
            assert!(other.hear::<String>().await.unwrap().is_none());
        });
    }

    #[test]
    fn what_was_said_is_heard_from_one_that_went_with_something_unheard() {
        runtime().block_on(async {
            let (one, other) = pair().unwrap();
            let (one, other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
            one.say(&"first", &[]).unwrap();
            one.say(&"second", &[]).unwrap();
            other.say(&"never heard", &[]).unwrap();
            assert!(one.is_open() && other.is_open());
            drop(one);
            assert!(!other.is_open());
            for said in ["first", "second"] {
                let (heard, _): (String, _) = other.hear().await.unwrap().unwrap();
                assert_eq!(heard, said);
            }
            assert!(other.hear::<String>().await.unwrap().is_none());
        });
    }

    #[test]
    fn what_is_too_long_or_no_message_is_an_error() {
        runtime().block_on(async {
            let (one, other) = pair().unwrap();
            let (one, other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
            let long = "x".repeat(LONGEST);
            assert_eq!(
                one.say(&long, &[]).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
            one.say(&"text", &[]).unwrap();
            assert!(other.hear::<u32>().await.is_err());
            // Nobody listens: it fails, sooner or later, and never waits.
            let full = (0..100_000).find_map(|_| one.say(&"again", &[]).err());
            assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn a_listener_in_a_deep_folder_knows_who_connects() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("d".repeat(150));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("a.sock");
        runtime().block_on(async {
            assert!(Wire::connect(&path).is_err());
            let listener = WireListener::bind(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let ours = Wire::connect(&path).unwrap();
            let (theirs, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.pid, std::process::id() as i32);
            ours.say(&1, &[]).unwrap();
            assert_eq!(theirs.hear::<u8>().await.unwrap().unwrap().0, 1);
        });
        assert!(!path.exists());
    }
}

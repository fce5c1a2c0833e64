//! Receiving and sending on a socket, by the system call itself.
//!
//! The C library's `recv` and `send` are points at which a thread can be cancelled, so each of them changes the thread's state
//! twice with a locked instruction; nobody here cancels threads, and a small exchange has four of them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads into `room`: how many bytes of it were filled. 0 is the end, if there was room.
///
/// # Errors
/// Those of `recvfrom(2)`.
#[inline]
pub fn receive(socket: BorrowedFd<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let none = std::ptr::null_mut::<u8>();
    // SAFETY: the kernel writes into `room` alone, at most its length; no address is asked for.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            socket.as_raw_fd(),
            room.as_mut_ptr(),
            room.len(),
            0,
            none,
            none,
        )
    })
}

/// Writes from `bytes`: how many of them were taken. A closed peer is an error, not a signal.
///
/// # Errors
/// Those of `sendto(2)`.
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let none = std::ptr::null::<u8>();
    // SAFETY: the kernel reads from `bytes` alone, at most its length; no address is given.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket.as_raw_fd(),
            bytes.as_ptr(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            none,
            0,
        )
    })
}

#[inline]
fn outcome(returned: libc::c_long) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn bytes_ends_and_errors_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        far.write_all(b"hello").unwrap();
        let mut room = [MaybeUninit::new(0u8); 16];
        assert_eq!(receive(near.as_fd(), &mut room).unwrap(), 5);
        assert_eq!(send(near.as_fd(), b"back").unwrap(), 4);
        let mut got = [0; 4];
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"back");
        near.set_nonblocking(true).unwrap();
        let none = receive(near.as_fd(), &mut room).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        drop(far);
        let mut error = None;
        for _ in 0..100 {
            error = send(near.as_fd(), b"x").err();
            if error.is_some() {
                break;
            }
        }
        assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }
}

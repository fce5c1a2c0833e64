//! The bare relay: the practical limit of any proxy on this kernel.
//!
//! One epoll loop, one upstream connection per client connection, what is read is written, nothing is looked at. It is a
//! process of its own (`cargo xtask bench relay LISTEN ORIGIN`) so that its CPU time can be counted.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, IntoRawFd as _, RawFd};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const BUFFER: usize = 64 << 10;
const EVENTS: usize = 256;

/// Serves until killed.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let [listen, origin] = arguments else {
        bail!("usage: cargo xtask bench relay LISTEN ORIGIN");
    };
    let origin: SocketAddr = origin.parse().context("ORIGIN is an address")?;
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let mut relay = Relay::new(listener, origin)?;
    loop {
        relay.turn()?;
    }
}

/// One end of a pair of connections.
struct End {
    peer: RawFd,
    /// Bytes for this end that its socket did not take yet; the peer is not read meanwhile.
    pending: Vec<u8>,
}

struct Relay {
    epoll: RawFd,
    listener: TcpListener,
    origin: SocketAddr,
    /// By descriptor.
    ends: Vec<Option<End>>,
    buffer: Vec<u8>,
}

impl Relay {
    fn new(listener: TcpListener, origin: SocketAddr) -> Result<Self> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(std::io::Error::last_os_error()).context("epoll_create1");
        }
        let relay = Self {
            epoll,
            listener,
            origin,
            ends: Vec::new(),
            buffer: vec![0; BUFFER],
        };
        relay.watch(
            libc::EPOLL_CTL_ADD,
            relay.listener.as_raw_fd(),
            libc::EPOLLIN,
        );
        Ok(relay)
    }

    fn turn(&mut self) -> Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: the array holds EVENTS entries.
        let ready = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), EVENTS as i32, -1) };
        let Ok(ready) = usize::try_from(ready) else {
            return Ok(()); // interrupted by a signal
        };
        for event in &events[..ready] {
            let descriptor = RawFd::try_from(event.u64)?;
            if descriptor == self.listener.as_raw_fd() {
                self.accept()?;
            } else if event.events & libc::EPOLLOUT as u32 != 0 {
                self.flush(descriptor);
            } else {
                self.pass(descriptor);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((client, _)) = self.listener.accept() {
            let upstream = TcpStream::connect(self.origin).context("connect to the origin")?;
            for stream in [&client, &upstream] {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
            }
            let (client, upstream) = (client.into_raw_fd(), upstream.into_raw_fd());
            for (descriptor, peer) in [(client, upstream), (upstream, client)] {
                let index = usize::try_from(descriptor)?;
                if self.ends.len() <= index {
                    self.ends.resize_with(index + 1, || None);
                }
                self.ends[index] = Some(End {
                    peer,
                    pending: Vec::new(),
                });
                self.watch(libc::EPOLL_CTL_ADD, descriptor, libc::EPOLLIN);
            }
        }
        Ok(())
    }

    /// One read from `source`, one write to its peer.
    fn pass(&mut self, source: RawFd) {
        let Some(peer) = self.end(source).map(|end| end.peer) else {
            return; // closed by an earlier event of this turn
        };
        if self.pending(peer) {
            self.close(source, peer); // not watched for reading, so this is an error on the socket
            return;
        }
        // SAFETY: the buffer is BUFFER bytes long; the descriptor is ours and open.
        let read = unsafe { libc::read(source, self.buffer.as_mut_ptr().cast(), BUFFER) };
        let Ok(read @ 1..) = usize::try_from(read) else {
            if read == 0 || !would_block() {
                self.close(source, peer);
            }
            return;
        };
        let written = write(peer, &self.buffer[..read]);
        match written {
            Some(written) if written == read => {}
            Some(written) => {
                let rest = self.buffer[written..read].to_vec();
                if let Some(end) = self.end(peer) {
                    end.pending = rest;
                }
                self.rewatch(source, peer);
            }
            None => self.close(source, peer),
        }
    }

    /// `sink` takes bytes again.
    fn flush(&mut self, sink: RawFd) {
        let Some(end) = self.end(sink) else { return };
        let peer = end.peer;
        let Some(written) = write(sink, &end.pending) else {
            self.close(sink, peer);
            return;
        };
        end.pending.drain(..written);
        if end.pending.is_empty() {
            self.rewatch(sink, peer);
        }
    }

    fn close(&mut self, one: RawFd, other: RawFd) {
        for descriptor in [one, other] {
            if let Some(slot) = usize::try_from(descriptor)
                .ok()
                .and_then(|index| self.ends.get_mut(index))
            {
                *slot = None;
            }
            // SAFETY: the descriptor was ours; its slot is empty now, so it is closed once.
            unsafe { libc::close(descriptor) };
        }
    }

    fn end(&mut self, descriptor: RawFd) -> Option<&mut End> {
        self.ends
            .get_mut(usize::try_from(descriptor).ok()?)?
            .as_mut()
    }

    fn pending(&mut self, descriptor: RawFd) -> bool {
        self.end(descriptor)
            .is_some_and(|end| !end.pending.is_empty())
    }

    /// An end is read while its peer has nothing pending, and asked for room while it has itself.
    fn rewatch(&mut self, one: RawFd, other: RawFd) {
        for (descriptor, peer) in [(one, other), (other, one)] {
            let read = if self.pending(peer) { 0 } else { libc::EPOLLIN };
            let write = if self.pending(descriptor) {
                libc::EPOLLOUT
            } else {
                0
            };
            self.watch(libc::EPOLL_CTL_MOD, descriptor, read | write);
        }
    }

    fn watch(&self, operation: libc::c_int, descriptor: RawFd, events: libc::c_int) {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: descriptor as u64,
        };
        // SAFETY: the event lives through the call. A descriptor that is gone needs no watching.
        unsafe { libc::epoll_ctl(self.epoll, operation, descriptor, &raw mut event) };
    }
}

/// How much the socket took; `None` when the connection is broken.
fn write(descriptor: RawFd, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the slice is valid for the call.
    let written = unsafe {
        libc::send(
            descriptor,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    match usize::try_from(written) {
        Ok(written) => Some(written),
        Err(_) => would_block().then_some(0),
    }
}

fn would_block() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_pass_both_ways_even_when_the_reader_is_slow() {
        const LENGTH: usize = 8 << 20;
        let origin = TcpListener::bind("127.0.0.1:0").expect("bind");
        let origin_address = origin.local_addr().expect("address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            let mut relay = Relay::new(listener, origin_address).expect("epoll");
            while relay.turn().is_ok() {}
        });
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = origin.accept().expect("accept");
            let mut word = [0; 4];
            stream.read_exact(&mut word).expect("the client's word");
            let body: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
            stream.write_all(&body).expect("the whole body");
            word
        });
        let mut client = TcpStream::connect(address).expect("connect");
        client.write_all(b"word").expect("write");
        std::thread::sleep(std::time::Duration::from_millis(50)); // let the buffers on the way fill up
        let mut got = Vec::new();
        client
            .read_to_end(&mut got)
            .expect("until the origin closes");
        assert_eq!(&serve.join().expect("no panic"), b"word");
        assert_eq!(got.len(), LENGTH);
        assert!(
            got.iter()
                .enumerate()
                .all(|(index, byte)| *byte == (index % 251) as u8)
        );
    }
}

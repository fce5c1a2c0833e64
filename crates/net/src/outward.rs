//! The only way to connect out, with an address policy that is checked on the resolved address, at connect time.
//!
//! A name that resolves to a metadata service, or back to one of our own listeners, is how an edge is made to attack its own
//! machine. So the check stands where the connection is made, whatever was checked before (DNS may answer differently now).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;
use std::{fmt, io};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::TcpStream;

use crate::alarm::{Alarm, Elapsed};

/// Between two tries at a unix socket whose backlog is full.
const BACKLOG_LOOK: Duration = Duration::from_millis(5);

/// Why we do not connect, or could not.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// The policy forbids this address.
    #[error("{address} is {why}")]
    Forbidden {
        /// The resolved address, or a socket's path.
        address: String,
        /// What it is, and what would allow it.
        why: &'static str,
    },
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// It took too long.
    #[error("connecting took too long")]
    Slow,
    /// The network, or this machine, failed.
    #[error("connecting failed: {0}")]
    Failed(io::Error),
}

/// Which addresses may be connected to.
#[derive(Debug)]
pub struct Outward {
    public: bool,
    private: bool,
    loopback: bool,
    /// Our own listeners, never to be connected to.
    own: RwLock<Vec<SocketAddr>>,
    /// Our own folder, with keys and sockets in it, never to be reached into.
    own_folder: Option<PathBuf>,
}

impl Outward {
    /// A policy that allows these kinds of addresses.
    pub fn new(public: bool, private: bool, loopback: bool) -> Self {
        Self {
            public,
            private,
            loopback,
            own: RwLock::default(),
            own_folder: None,
        }
    }

    /// The same policy, with a folder of our own into which nothing leads; its path without links.
    pub fn with_own_folder(self, folder: Option<PathBuf>) -> Self {
        Self {
            own_folder: folder,
            ..self
        }
    }

    /// These are our own listeners.
    pub fn set_own(&self, listeners: Vec<SocketAddr>) {
        if let Ok(mut own) = self.own.write() {
            *own = listeners;
        }
    }

    /// Connects, if the policy allows it.
    ///
    /// # Errors
    /// [`ConnectFault`]: forbidden, refused, too slow, or the network's own reason.
    pub async fn connect(
        &self,
        address: SocketAddr,
        alarm: &mut Alarm,
    ) -> Result<TcpStream, ConnectFault> {
        self.check(address)
            .map_err(|why| forbidden(&address, why))?;
        #[expect(clippy::disallowed_methods, reason = "this is outward")]
        let connecting = TcpStream::connect(address);
        let mut connecting = std::pin::pin!(connecting);
        match alarm.within(|cx| connecting.as_mut().poll(cx)).await {
            Ok(Ok(tcp)) => {
                let _ = tcp.set_nodelay(true);
                Ok(tcp)
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(ConnectFault::Refused)
            }
            Ok(Err(error)) => Err(ConnectFault::Failed(error)),
            Err(Elapsed) => Err(ConnectFault::Slow),
        }
    }

    /// Connects to a unix socket (unix(7)), if the policy allows it: it is this machine, as loopback addresses are.
    ///
    /// What comes of it is called a TCP stream: connected stream sockets of both families are read, written and shut down alike,
    /// and nobody here asks one for its addresses.
    ///
    /// # Errors
    /// [`ConnectFault`]; a socket that is not there, or that nobody listens on, is refused.
    pub async fn connect_unix(
        &self,
        path: &Path,
        alarm: &mut Alarm,
    ) -> Result<TcpStream, ConnectFault> {
        self.check_local(path)
            .map_err(|why| forbidden(&path.display(), why))?;
        let failed = ConnectFault::Failed;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
        let address = SockAddr::unix(path).map_err(failed)?;
        while let Err(error) = socket.connect(&address) {
            match error.kind() {
                // Its backlog is full, of which the kernel tells no end.
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    return Err(ConnectFault::Refused);
                }
                _ => return Err(failed(error)),
            }
            let mut look = std::pin::pin!(tokio::time::sleep(BACKLOG_LOOK));
            let looked = alarm.within(|cx| look.as_mut().poll(cx)).await;
            looked.map_err(|Elapsed| ConnectFault::Slow)?;
        }
        // Whoever listens there, whatever the path is called: a request must not come round to us.
        if let Some(pid) = listener_of(&socket)
            && (pid == std::process::id() || pid == std::os::unix::process::parent_id())
        {
            let why = "one of our own listeners: the request would come round again";
            return Err(forbidden(&path.display(), why));
        }
        let stream = std::net::TcpStream::from(OwnedFd::from(socket));
        TcpStream::from_std(stream).map_err(failed)
    }

    /// Whether the policy allows a socket or folder of this machine: it is as loopback addresses are.
    ///
    /// # Errors
    /// What it is, in words.
    pub fn check_local(&self, path: &Path) -> Result<(), &'static str> {
        if !self.loopback {
            return Err("on this machine: [edge] outward does not have \"loopback\"");
        }
        if self.is_own_folder(path) {
            return Err("in our own data folder: never allowed");
        }
        Ok(())
    }

    /// Whether a path, without links, leads into our own folder.
    pub fn is_own_folder(&self, path: &Path) -> bool {
        let own = self.own_folder.as_deref();
        own.is_some_and(|own| path.starts_with(own))
    }

    /// Whether the policy allows this address; if not, what it is.
    ///
    /// # Errors
    /// What the address is, in words.
    pub fn check(&self, address: SocketAddr) -> Result<(), &'static str> {
        let ip = canonical(address.ip());
        if never(ip) {
            return Err("link-local, a metadata service, multicast or unspecified: never allowed");
        }
        if self.is_own_listener(ip, address.port()) {
            return Err("one of our own listeners: the request would come round again");
        }
        if ip.is_loopback() {
            return if self.loopback {
                Ok(())
            } else {
                Err("a loopback address: [edge] outward does not have \"loopback\"")
            };
        }
        if is_private(ip) {
            return if self.private {
                Ok(())
            } else {
                Err("a private address: [edge] outward does not have \"private\"")
            };
        }
        if self.public {
            Ok(())
        } else {
            Err("a public address: [edge] outward does not have \"public\"")
        }
    }

    fn is_own_listener(&self, ip: IpAddr, port: u16) -> bool {
        let Ok(own) = self.own.read() else {
            return false;
        };
        own.iter().any(|listener| {
            let bound = canonical(listener.ip());
            listener.port() == port && (bound == ip || (bound.is_unspecified() && is_local(ip)))
        })
    }
}

fn forbidden(address: &dyn fmt::Display, why: &'static str) -> ConnectFault {
    ConnectFault::Forbidden {
        address: address.to_string(),
        why,
    }
}

/// The process that listens at the other end (`SO_PEERCRED`, unix(7)); none when it is in another pid namespace.
fn listener_of(socket: &Socket) -> Option<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes into `peer` alone, at most the length that it is told.
    let told = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    u32::try_from(peer.pid)
        .ok()
        .filter(|pid| told == 0 && *pid != 0)
}

/// Addresses that carry an IPv4 address inside mean that IPv4 address: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => v4_of(a, b),
        [0x2002, a, b, ..] => v4_of(a, b),
        _ => ip,
    }
}

fn v4_of(high: u16, low: u16) -> IpAddr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into()
}

/// Never a destination, whatever the policy says.
fn never(ip: IpAddr) -> bool {
    /// Clouds that put their metadata service outside of link-local.
    const METADATA_V4: [Ipv4Addr; 2] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6 == METADATA_V6
        }
    }
}

/// RFC 1918, RFC 6598 (shared), RFC 4193 (unique local), and the old site-local range.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || (a == 100 && (64..128).contains(&b))
                || a == 0
                || v4.is_documentation()
        }
        IpAddr::V6(v6) => {
            v6.is_unique_local()
                || v6
                    .segments()
                    .first()
                    .is_some_and(|first| first & 0xffc0 == 0xfec0)
        }
    }
}

/// Whether this machine has the address: only asked when the port is one of ours.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// All addresses of a name. On the blocking pool of the calling runtime; never call it from a worker thread's request path.
///
/// # Errors
/// As the system's resolver says; an empty answer is an error too.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &Outward, address: &str) -> bool {
        policy.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn metadata_and_link_local_are_never_allowed() {
        let all = Outward::new(true, true, true);
        for address in [
            "169.254.169.254:80",
            "[::ffff:169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[fd00:ec2::254]:80",
            "[fe80::1]:80",
            "100.100.100.200:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
        ] {
            assert!(!check(&all, address), "{address}");
        }
        assert!(
            check(&all, "127.0.0.1:80")
                && check(&all, "10.1.2.3:80")
                && check(&all, "93.184.216.34:443")
        );
    }

    #[test]
    fn kinds_are_allowed_one_by_one() {
        let public = Outward::new(true, false, false);
        assert!(check(&public, "93.184.216.34:443"));
        for address in [
            "127.0.0.1:80",
            "[::1]:80",
            "10.0.0.1:80",
            "100.64.1.1:80",
            "[fc00::1]:80",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert!(!check(&public, address), "{address}");
        }
    }

    #[test]
    fn our_own_listeners_are_never_a_destination() {
        let all = Outward::new(true, true, true);
        all.set_own(vec![
            "0.0.0.0:8080".parse().unwrap(),
            "127.0.0.1:8801".parse().unwrap(),
        ]);
        assert!(!check(&all, "127.0.0.1:8080") && !check(&all, "[::ffff:127.0.0.1]:8080"));
        assert!(!check(&all, "127.0.0.1:8801"));
        assert!(check(&all, "127.0.0.1:3000"));
        assert!(
            check(&all, "10.99.99.99:8080"),
            "another machine's port of the same number"
        );
    }

    #[tokio::test]
    async fn a_unix_socket_is_this_machine_and_never_our_own() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        let path = folder.join("socket");
        let connect = async |policy: &Outward| {
            let mut alarm = Alarm::new(Duration::from_secs(10));
            policy.connect_unix(&path, &mut alarm).await
        };
        let all = Outward::new(true, true, true);
        assert!(matches!(connect(&all).await, Err(ConnectFault::Refused)));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let closed = connect(&Outward::new(true, true, false)).await;
        assert!(closed.unwrap_err().to_string().contains("\"loopback\""));
        let inside = Outward::new(true, true, true).with_own_folder(Some(folder));
        let inside = connect(&inside).await.unwrap_err().to_string();
        assert!(inside.contains("our own data folder"), "{inside}");
        let own = connect(&all).await.unwrap_err().to_string();
        assert!(own.contains("our own listeners"), "{own}");
        drop(listener);
        assert!(matches!(connect(&all).await, Err(ConnectFault::Refused)));
    }
}

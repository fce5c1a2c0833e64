//! The only way to connect out, with an address policy that is checked on the resolved address, at connect time.
//!
//! A name that resolves to a metadata service, or back to one of our own listeners, is how an edge is made to attack its own
//! machine. So the check stands where the connection is made, whatever was checked before (DNS may answer differently now).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::RwLock;

use tokio::net::TcpStream;

use crate::alarm::{Alarm, Elapsed};

/// Why we do not connect, or could not.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// The policy forbids this address.
    #[error("{address} is {why}")]
    Forbidden {
        /// The resolved address.
        address: SocketAddr,
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
}

impl Outward {
    /// A policy that allows these kinds of addresses.
    pub fn new(public: bool, private: bool, loopback: bool) -> Self {
        Self {
            public,
            private,
            loopback,
            own: RwLock::default(),
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
            .map_err(|why| ConnectFault::Forbidden { address, why })?;
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
}

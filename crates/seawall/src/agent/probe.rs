//! Probes of a trial: a request of ours on either side of it, for sites that nobody visits just now.
//!
//! Which side a client is on follows from its address, and this machine has sixteen million of its own: 127.0.0.0/8. So a probe is
//! an ordinary request from an address that is on the side which is meant, to a socket of the worker's that nobody else knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use seawall_proxy::trial::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::order::Taken;

/// The longest that a probe may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much of an answer as is looked at, in bytes.
const HEAD: usize = 4 << 10;
/// Addresses that are looked through for one on a side: with 5 % on trial, all of these are on the other by a chance of 10^-22.
const ADDRESSES: u32 = 1_000;

/// What a probe got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// An answer that is no failure of the edge's.
    Answer,
    /// The edge answered that something failed, or not at all.
    Failure,
}

/// Probes both sides; whether the change failed where what is live did not. None when there is nothing to be told.
pub async fn probe(own: SocketAddr, taken: &Taken, nth: u32) -> Option<bool> {
    let (host, path) = taken.probe.as_ref()?;
    let trial = Trial {
        share: taken.share,
        salt: taken.salt,
        arms: Arc::default(),
        zone: None,
    };
    let on = address(&trial, true, nth)?;
    if ask(own, on, host, path).await == Got::Answer {
        return Some(false);
    }
    match address(&trial, false, nth) {
        Some(off) => Some(ask(own, off, host, path).await == Got::Answer),
        // All are on trial: nobody is left to compare with, and gates look at what was counted.
        None => None,
    }
}

fn address(trial: &Trial, on: bool, nth: u32) -> Option<IpAddr> {
    let base = nth.wrapping_mul(0x9e37_79b1);
    let mut all = (0..ADDRESSES).map(|n| {
        let [_, b, c, d] = base.wrapping_add(n).to_be_bytes();
        // Neither the network itself nor its broadcast address.
        IpAddr::V4(Ipv4Addr::new(127, b, c, d.clamp(1, 254)))
    });
    all.find(|address| trial.has(*address) == on)
}

async fn ask(own: SocketAddr, from: IpAddr, host: &str, path: &str) -> Got {
    let asked = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let mut stream = socket.connect(own).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: seawall-probe\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while head.len() < HEAD && !ended(&head) {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(head)
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(head)) => judge(&head),
        _ => Got::Failure,
    }
}

fn ended(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n")
}

/// A failure of the edge's says so: `Proxy-Status` with an error (RFC 9209), and a status from 500 on.
fn judge(head: &[u8]) -> Got {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = text
        .get(9..12)
        .and_then(|status| status.parse::<u16>().ok());
    let failed = text.contains("\r\nproxy-status: seawall; error=");
    match status {
        Some(500..) if failed => Got::Failure,
        Some(_) => Got::Answer,
        None => Got::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_address_on_each_side_of_any_trial() {
        for salt in 0..200 {
            for share in [1, 500, 5_000, 9_999] {
                let trial = Trial {
                    share,
                    salt,
                    arms: Arc::default(),
                    zone: None,
                };
                let mut found = 0;
                for on in [true, false] {
                    if let Some(address) = address(&trial, on, salt as u32) {
                        assert_eq!(trial.has(address), on);
                        assert!(address.is_loopback());
                        found += 1;
                    }
                }
                assert!(found == 2 || share == 1 || share == 9_999);
            }
        }
    }

    #[test]
    fn only_the_edges_own_failure_is_one() {
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n\r\n"), Got::Answer);
        assert_eq!(judge(b"HTTP/1.1 500 Oh\r\nServer: x\r\n\r\n"), Got::Answer);
        let refused =
            b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: seawall; error=connection_refused\r\n\r\n";
        assert_eq!(judge(refused), Got::Failure);
        assert_eq!(judge(b""), Got::Failure);
    }
}

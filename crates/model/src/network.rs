//! IP networks: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::problem::{Wrong, quote};

/// An IP network: an address whose host bits are zero, and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// From text. An address alone is the network of that one address.
    ///
    /// # Errors
    /// No address, a prefix that is too long, host bits that are set (the help names the network that was meant), or
    /// an IPv4 address written as IPv6 (`::ffff:…`), which would never match: peers are compared as IPv4.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_network(text))?;
        if address.to_canonical() != address {
            let plain = address.to_canonical();
            return Err(Wrong::new(
                format!("{} is an IPv4 address in IPv6 form", quote(text)),
                format!("write it as IPv4: \"{plain}\""),
            ));
        }
        let most = width(address);
        let prefix = match prefix {
            None => most,
            Some(digits) => prefix_length(digits).ok_or_else(|| no_network(text))?,
        };
        if prefix > most {
            return Err(Wrong::new(
                format!("{} has too long a prefix", quote(text)),
                format!("at most /{most}"),
            ));
        }
        let network = Self {
            address: masked(address, prefix),
            prefix,
        };
        if network.address != address {
            return Err(Wrong::new(
                format!("{} has bits set behind its prefix", quote(text)),
                format!("did you mean \"{network}\" or \"{address}\"?"),
            ));
        }
        Ok(network)
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits: 0 to 32, or to 128.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `ip` lies in it. An IPv4 address that a dual-stack socket shows as IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()) & mask4(self.prefix) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()) & mask6(self.prefix) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn no_network(text: &str) -> Wrong {
    Wrong::new(
        format!("{} is no IP network", quote(text)),
        "write an address or a network, such as \"192.0.2.1\", \"10.0.0.0/8\" or \"2001:db8::/32\"",
    )
}

/// Digits only: `u8::from_str` would take `+8` too.
fn prefix_length(digits: &str) -> Option<u8> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits {
        digits.parse().ok()
    } else {
        None
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0)
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask4(prefix)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask6(prefix)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, ip: &str) -> bool {
        Network::parse(network)
            .unwrap()
            .contains(ip.parse().unwrap())
    }

    #[test]
    fn networks_contain_their_addresses_only() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.0"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "192.0.2.1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("2001:db8::1", "2001:db8::1"));
    }

    #[test]
    fn a_mapped_peer_is_an_ipv4_peer() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"));
    }

    #[test]
    fn networks_print_as_they_are_read() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.1/32",
            "2001:db8::/32",
            "::/0",
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_networks_are_refused_with_help() {
        let wrong = Network::parse("10.0.0.1/8").unwrap_err();
        assert_eq!(wrong.help, "did you mean \"10.0.0.0/8\" or \"10.0.0.1\"?");
        assert_eq!(
            Network::parse("10.0.0.0/33").unwrap_err().help,
            "at most /32"
        );
        assert!(
            Network::parse("::ffff:10.0.0.0/104")
                .unwrap_err()
                .help
                .contains("\"10.0.0.0\"")
        );
        for text in [
            "",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "x",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
        ] {
            assert!(
                Network::parse(text)
                    .unwrap_err()
                    .what
                    .ends_with("is no IP network"),
                "{text}"
            );
        }
    }
}

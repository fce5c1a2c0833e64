//! Headers of the PROXY protocol against the crate `ppp`: what ours accepts, it accepts too, and finds the same addresses.

use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use seawall_net::proxy_protocol::{Announced, Scan, Version, scan, write};

pub fn headers(data: &[u8]) {
    let said = scan(data);
    let mut piece = super::pieces(data);
    let mut end = 0;
    while end < data.len() {
        end = data.len().min(end + piece());
        match scan(&data[..end]) {
            Scan::More => {}
            early => assert_eq!(early, said, "what is decided stays, whatever follows"),
        }
    }
    let Scan::Whole(announced, length) = said else {
        return;
    };
    let header = &data[..length];
    assert_eq!(scan(header), said, "no byte behind it was needed");
    for end in [length - 1, length / 2, 1] {
        assert_eq!(scan(&data[..end]), Scan::More, "each of its bytes was");
    }
    assert_eq!(addresses(header), clients(announced), "read by another");
    for version in [Version::V1, Version::V2] {
        let mut out = Vec::new();
        write(version, announced, &mut out);
        assert_eq!(clients(again(&out)), clients(announced).map(canonical));
        assert_eq!(addresses(&out), clients(again(&out)));
    }
}

fn again(out: &[u8]) -> Announced {
    match scan(out) {
        Scan::Whole(announced, length) if length == out.len() => announced,
        said => panic!("{said:?} of what we wrote: {out:02x?}"),
    }
}

type Pair = (SocketAddr, SocketAddr);

fn clients(announced: Announced) -> Option<Pair> {
    match announced {
        Announced::Sender => None,
        Announced::Client { from, to } => Some((from, to)),
    }
}

/// IPv4 written as IPv6 is IPv4, if both addresses are.
fn canonical((from, to): Pair) -> Pair {
    let (plain_from, plain_to) = (from.ip().to_canonical(), to.ip().to_canonical());
    if plain_from.is_ipv4() && plain_to.is_ipv4() {
        let (from_port, to_port) = (from.port(), to.port());
        return (
            SocketAddr::new(plain_from, from_port),
            SocketAddr::new(plain_to, to_port),
        );
    }
    (from, to)
}

/// What `ppp` finds; panics where it finds no header of this very length.
fn addresses(header: &[u8]) -> Option<Pair> {
    // What stands behind UNKNOWN is to be ignored (§2.1); `ppp` reads it all the same.
    if let Some(rest) = header.strip_prefix(b"PROXY UNKNOWN") {
        let line = rest.strip_suffix(b"\r\n").expect("a line");
        assert!(matches!(line, [] | [b' ', ..]) && header.len() <= 107);
        assert!(!line.windows(2).any(|two| two == b"\r\n"));
        return None;
    }
    // Of LOCAL, all else is to be ignored (§2.2), its family included, which `ppp` wants to be one.
    if let Some([0x20, _, length @ ..]) = header.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        let [high, low, rest @ ..] = length else {
            panic!("{header:02x?}")
        };
        assert_eq!(rest.len(), usize::from(u16::from_be_bytes([*high, *low])));
        return None;
    }
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(read)) => {
            assert_eq!(read.header.len(), header.len());
            match read.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(a) => Some((
                    (a.source_address, a.source_port).into(),
                    (a.destination_address, a.destination_port).into(),
                )),
                v1::Addresses::Tcp6(a) => Some((
                    (a.source_address, a.source_port).into(),
                    (a.destination_address, a.destination_port).into(),
                )),
            }
        }
        HeaderResult::V2(Ok(read)) => {
            assert_eq!(read.len(), header.len());
            for value in read.tlvs() {
                value.expect("an additional value that is whole");
            }
            match read.addresses {
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
                v2::Addresses::IPv4(a) => Some((
                    (a.source_address, a.source_port).into(),
                    (a.destination_address, a.destination_port).into(),
                )),
                v2::Addresses::IPv6(a) => Some((
                    (a.source_address, a.source_port).into(),
                    (a.destination_address, a.destination_port).into(),
                )),
            }
        }
        other => panic!("accepted by ours alone: {other:?}"),
    }
}

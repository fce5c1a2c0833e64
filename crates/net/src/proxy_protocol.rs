//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): who is at the other end of a connection, said by
//! whoever passed it on, before its first byte.
//!
//! Strict: what the text does not allow ends the connection. It is read to its last byte and no further, so that TLS finds the
//! socket as if nothing had been there. Not here: who may be believed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::alarm::{Alarm, Elapsed};

/// What version 2 begins with (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with (§2.1).
const WORD: &[u8] = b"PROXY ";
/// The longest header of version 1, its line end included (§2.1).
const LONGEST_V1: usize = 107;
/// The longest that we take of version 2 behind its first 16 bytes: addresses, and what a certificate's names may take.
const LONGEST_V2: usize = 4096;
/// The head of version 2: signature, command, family, length.
const HEAD_V2: usize = 16;
/// What is looked at in one go.
const PIECE: usize = 512;
/// The checksum of a header of version 2 (§2.2.2).
const TYPE_CRC32C: u8 = 0x03;

/// Which version is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// For whom a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// For the sender itself (a health check), or for somebody whose address it does not tell: the socket's own addresses hold.
    Sender,
    /// For a client.
    Client {
        /// Its address.
        from: SocketAddr,
        /// Where it connected to.
        to: SocketAddr,
    },
}

/// What some first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A part of a header: more is needed.
    More,
    /// A header.
    Whole(Announced, usize),
    /// No header, and why not.
    Bad(&'static str),
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncedFault {
    /// It is malformed.
    #[error("a malformed PROXY header: {0}")]
    Malformed(&'static str),
    /// It took too long.
    #[error("no PROXY header came in time")]
    Slow,
    /// The connection was closed, or failed.
    #[error("the connection ended before its PROXY header: {0}")]
    Socket(io::Error),
}

/// Reads the header of a connection and not a byte more, before `alarm` is due.
///
/// # Errors
/// [`AnnouncedFault`].
pub async fn receive(tcp: &TcpStream, alarm: &mut Alarm) -> Result<Announced, AnnouncedFault> {
    let mut seen: Vec<u8> = Vec::with_capacity(HEAD_V2 + LONGEST_V1);
    loop {
        let mut piece = [0; PIECE];
        let mut room = ReadBuf::new(&mut piece);
        let peeked = alarm.within(|cx| tcp.poll_peek(cx, &mut room)).await;
        let peeked = peeked.map_err(|Elapsed| AnnouncedFault::Slow)?;
        let peeked = peeked.map_err(AnnouncedFault::Socket)?;
        if peeked == 0 {
            return Err(AnnouncedFault::Socket(io::ErrorKind::UnexpectedEof.into()));
        }
        let before = seen.len();
        seen.extend_from_slice(room.filled());
        match scan(&seen) {
            // All that is there belongs to the header.
            Scan::More => take(tcp, peeked)?,
            Scan::Whole(announced, length) => {
                take(tcp, length.saturating_sub(before))?;
                return Ok(announced);
            }
            Scan::Bad(why) => return Err(AnnouncedFault::Malformed(why)),
        }
    }
}

/// Takes bytes off the socket that were seen there.
fn take(tcp: &TcpStream, mut count: usize) -> Result<(), AnnouncedFault> {
    let mut away = [0; PIECE];
    while count > 0 {
        let room = away.get_mut(..count.min(PIECE)).unwrap_or_default();
        match tcp.try_read(room).map_err(AnnouncedFault::Socket)? {
            0 => return Err(AnnouncedFault::Socket(io::ErrorKind::UnexpectedEof.into())),
            read => count = count.saturating_sub(read),
        }
    }
    Ok(())
}

/// What the first bytes of a connection are.
pub fn scan(bytes: &[u8]) -> Scan {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(is, must)| is == must);
    if begins(WORD) {
        return scan_v1(bytes);
    }
    if !begins(SIGNATURE) {
        return Scan::Bad("it begins with neither version's signature");
    }
    match bytes.split_first_chunk::<HEAD_V2>() {
        Some((head, rest)) => scan_v2(bytes, head, rest),
        None => Scan::More,
    }
}

fn scan_v1(bytes: &[u8]) -> Scan {
    let longest = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = longest.windows(2).position(|two| two == b"\r\n") else {
        return match bytes.len() < LONGEST_V1 {
            true => Scan::More,
            false => Scan::Bad("version 1: its line is too long"),
        };
    };
    let line = bytes.get(WORD.len()..end);
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    match line.map(line_v1) {
        Some(Ok(announced)) => Scan::Whole(announced, end + 2),
        Some(Err(why)) => Scan::Bad(why),
        None => Scan::Bad("version 1: its line is no text"),
    }
}

/// What stands behind `PROXY `.
fn line_v1(line: &str) -> Result<Announced, &'static str> {
    // Whatever follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Announced::Sender);
    }
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (family, from, to) = (word(), word(), word());
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        _ => None,
    };
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let short = text == "0" || !text.starts_with('0');
        text.parse::<u16>().ok().filter(|_| digits && short)
    };
    let addresses = address(from).zip(address(to));
    let (from, to) = addresses.ok_or("version 1: no family and two addresses of it")?;
    let ports = port(word()).zip(port(word()));
    let (from_port, to_port) = ports.ok_or("version 1: no two ports")?;
    match words.next() {
        Some(_) => Err("version 1: more than two ports"),
        None => Ok(Announced::Client {
            from: SocketAddr::new(from, from_port),
            to: SocketAddr::new(to, to_port),
        }),
    }
}

fn scan_v2(bytes: &[u8], head: &[u8; HEAD_V2], rest: &[u8]) -> Scan {
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 {
        return Scan::Bad("version 2: it says that it is another version");
    }
    if length > LONGEST_V2 {
        return Scan::Bad("version 2: it is too long");
    }
    let local = match command & 0xf {
        0 => true,
        1 => false,
        _ => return Scan::Bad("version 2: an unknown command"),
    };
    if !local && !matches!(family, 0x00 | 0x11 | 0x21 | 0x31) {
        return Scan::Bad("version 2: neither TCP nor a unix stream");
    }
    let Some(rest) = rest.get(..length) else {
        return Scan::More;
    };
    let whole = |announced| Scan::Whole(announced, HEAD_V2 + length);
    // Addresses and whatever else may stand there are to be skipped.
    if local || family == 0x00 {
        return whole(Announced::Sender);
    }
    let (announced, more) = match family {
        0x11 => match rest.split_first_chunk::<12>() {
            Some((addresses, more)) => (client_v4(addresses), more),
            None => return Scan::Bad("version 2: too short for its addresses"),
        },
        0x21 => match rest.split_first_chunk::<36>() {
            Some((addresses, more)) => (client_v6(addresses), more),
            None => return Scan::Bad("version 2: too short for its addresses"),
        },
        _ => match rest.split_first_chunk::<216>() {
            Some((_, more)) => (Announced::Sender, more),
            None => return Scan::Bad("version 2: too short for its addresses"),
        },
    };
    let header = bytes.get(..HEAD_V2 + length).unwrap_or_default();
    match values(header, more) {
        Ok(()) => whole(announced),
        Err(why) => Scan::Bad(why),
    }
}

fn client_v4(addresses: &[u8; 12]) -> Announced {
    let [a, b, c, d, e, f, g, h, from_high, from_low, to_high, to_low] = *addresses;
    let port = |high, low| u16::from_be_bytes([high, low]);
    Announced::Client {
        from: SocketAddr::from(([a, b, c, d], port(from_high, from_low))),
        to: SocketAddr::from(([e, f, g, h], port(to_high, to_low))),
    }
}

fn client_v6(addresses: &[u8; 36]) -> Announced {
    let [.., from_high, from_low, to_high, to_low] = *addresses;
    let (from, rest) = addresses
        .split_first_chunk::<16>()
        .unwrap_or((&[0; 16], &[]));
    let to = rest.first_chunk::<16>().unwrap_or(&[0; 16]);
    let port = |high, low| u16::from_be_bytes([high, low]);
    Announced::Client {
        from: SocketAddr::from((*from, port(from_high, from_low))),
        to: SocketAddr::from((*to, port(to_high, to_low))),
    }
}

/// Type, length, value, to the end (§2.2). What they say is not used, but a checksum must be right.
fn values(header: &[u8], mut rest: &[u8]) -> Result<(), &'static str> {
    const BROKEN: &str = "version 2: its additional values do not end where it does";
    while let Some((kind, more)) = rest.split_first() {
        let (length, more) = more.split_first_chunk::<2>().ok_or(BROKEN)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, more) = more.split_at_checked(length).ok_or(BROKEN)?;
        if *kind == TYPE_CRC32C {
            let said: &[u8; 4] = value
                .try_into()
                .map_err(|_| "version 2: its checksum has not four bytes")?;
            let at = header.len() - more.len() - 4;
            let zeroed = header.iter().enumerate().map(|(place, byte)| {
                let inside = (at..at + 4).contains(&place);
                if inside { 0 } else { *byte }
            });
            if crc32c(zeroed) != u32::from_be_bytes(*said) {
                return Err("version 2: its checksum is wrong");
            }
        }
        rest = more;
    }
    Ok(())
}

/// CRC-32C (RFC 3720 appendix B.4). Bit by bit: it is for a few bytes of a connection.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Writes a header.
pub fn write(version: Version, announced: Announced, out: &mut Vec<u8>) {
    let addresses = match announced {
        Announced::Sender => None,
        Announced::Client { from, to } => Some(of_one_family(from, to)),
    };
    match version {
        Version::V1 => {
            let line = match addresses {
                None => "PROXY UNKNOWN\r\n".to_owned(),
                Some((from, to)) => {
                    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
                    let (source, target) = (from.ip(), to.ip());
                    let (port, at) = (from.port(), to.port());
                    format!("PROXY {family} {source} {target} {port} {at}\r\n")
                }
            };
            out.extend_from_slice(line.as_bytes());
        }
        Version::V2 => {
            out.extend_from_slice(SIGNATURE);
            let Some((from, to)) = addresses else {
                return out.extend_from_slice(&[0x20, 0x00, 0, 0]);
            };
            let (family, length) = if from.is_ipv4() {
                (0x11, 12)
            } else {
                (0x21, 36)
            };
            out.extend_from_slice(&[0x21, family, 0, length]);
            for address in [from.ip(), to.ip()] {
                match address {
                    IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                    IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
                }
            }
            for port in [from.port(), to.port()] {
                out.extend_from_slice(&port.to_be_bytes());
            }
        }
    }
}

/// Both addresses of one family, as a header has room for: IPv6, where either of them is.
fn of_one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (from, to) = (canonical(from), canonical(to));
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let wide = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (wide(from), wide(to))
}

#[cfg(test)]
mod tests;

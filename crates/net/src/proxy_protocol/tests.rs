//! What is a header and what is none.

use std::io::Write as _;
use std::time::Duration;

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client(from: &str, to: &str) -> Announced {
    Announced::Client {
        from: address(from),
        to: address(to),
    }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

/// 192.0.2.1:50000 to 198.51.100.7:443.
const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xc3, 0x50, 0x01, 0xbb];

fn with_checksum() -> Vec<u8> {
    let mut rest = V4.to_vec();
    rest.extend_from_slice(&[TYPE_CRC32C, 0, 4, 0, 0, 0, 0, 0x04, 0, 2, 0, 0]);
    let mut bytes = v2(0x21, 0x11, &rest);
    let sum = crc32c(bytes.iter().copied()).to_be_bytes();
    let at = HEAD_V2 + 12 + 3;
    bytes[at..at + 4].copy_from_slice(&sum);
    bytes
}

#[test]
fn the_checksum_is_that_of_rfc_3720() {
    assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
    assert_eq!(crc32c([0xff; 32].into_iter()), 0x62a8_ab43);
    assert_eq!(crc32c(0..32), 0x46dd_794e);
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
}

#[test]
fn headers_of_version_1() {
    for (line, announced) in [
        (
            "TCP4 192.0.2.1 198.51.100.7 50000 443",
            client("192.0.2.1:50000", "198.51.100.7:443"),
        ),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 0",
            client("255.255.255.255:65535", "255.255.255.255:0"),
        ),
        (
            "TCP6 2001:db8::1 2001:db8::2 1 2",
            client("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ),
        ("UNKNOWN", Announced::Sender),
        ("UNKNOWN ffff:f::ffff whatever 65535 x", Announced::Sender),
    ] {
        let header = format!("PROXY {line}\r\n");
        let bytes = format!("{header}GET / HTTP/1.1\r\n\r\n");
        let scanned = scan(bytes.as_bytes());
        assert_eq!(scanned, Scan::Whole(announced, header.len()), "{line}");
        for end in 0..header.len() {
            assert_eq!(scan(&bytes.as_bytes()[..end]), Scan::More, "{line} {end}");
        }
    }
}

#[test]
fn lines_that_are_no_header_of_version_1() {
    let long = format!("UNKNOWN {}", "x".repeat(92));
    for line in [
        "",
        "TCP4",
        "TCP5 192.0.2.1 192.0.2.2 1 2",
        "tcp4 192.0.2.1 192.0.2.2 1 2",
        "UNKNOWNX",
        "TCP4 192.0.2.1 192.0.2.2 1",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "TCP4  192.0.2.1 192.0.2.2 1 2",
        "TCP4 192.0.2.01 192.0.2.2 1 2",
        "TCP4 192.0.2 192.0.2.2 1 2",
        "TCP4 2001:db8::1 192.0.2.2 1 2",
        "TCP6 192.0.2.1 192.0.2.2 1 2",
        "TCP6 fe80::1%eth0 ::1 1 2",
        "TCP4 192.0.2.1 192.0.2.2 65536 2",
        "TCP4 192.0.2.1 192.0.2.2 01 2",
        "TCP4 192.0.2.1 192.0.2.2 +1 2",
        "TCP4 192.0.2.1 192.0.2.2 -1 2",
        "TCP4 192.0.2.1 192.0.2.2 1\t2",
        "TCP4 192.0.2.1 192.0.2.2 1 2\0",
        &long,
    ] {
        let scanned = scan(format!("PROXY {line}\r\n").as_bytes());
        assert!(matches!(scanned, Scan::Bad(_)), "{line:?}: {scanned:?}");
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXYTCP4 ",
        b"proxy TCP4 ",
        b"\x16\x03\x01",
        b"PROXY \xff\r\n",
        b"\r\n\r\n\0\r\nQUIX",
        b"\r\n\r\nGET",
    ] {
        assert!(matches!(scan(bytes), Scan::Bad(_)), "{bytes:?}");
    }
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
    assert!(matches!(scan(&endless), Scan::Bad(_)));
    assert_eq!(scan(&endless[..LONGEST_V1 - 1]), Scan::More);
}

#[test]
fn headers_of_version_2() {
    let v4 = client("192.0.2.1:50000", "198.51.100.7:443");
    let v6 = client("[2001:db8::1]:1", "[2001:db8::2]:65535");
    let mut written = Vec::new();
    write(Version::V2, v6, &mut written);
    let unix = [[1; 216].to_vec(), vec![0xe0, 0, 1, 7]].concat();
    for (header, announced) in [
        (v2(0x21, 0x11, &V4), v4),
        (v2(0x21, 0x11, &[&V4[..], &[0xea, 0, 0]].concat()), v4),
        (with_checksum(), v4),
        (written, v6),
        (v2(0x21, 0x31, &unix), Announced::Sender),
        (v2(0x20, 0x00, b""), Announced::Sender),
        (
            v2(0x20, 0xff, b"what is here is skipped"),
            Announced::Sender,
        ),
        (v2(0x21, 0x00, b"and here"), Announced::Sender),
    ] {
        let bytes = [&header[..], b"\x16\x03\x01"].concat();
        assert_eq!(scan(&bytes), Scan::Whole(announced, header.len()));
        for end in 0..header.len() {
            assert_eq!(scan(&bytes[..end]), Scan::More, "{header:?} {end}");
        }
    }
}

#[test]
fn what_is_no_header_of_version_2() {
    let mut wrong_sum = with_checksum();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for bytes in [
        v2(0x11, 0x11, &V4),
        v2(0x31, 0x11, &V4),
        v2(0x22, 0x11, &V4),
        v2(0x2f, 0x11, &V4),
        v2(0x21, 0x12, &V4),
        v2(0x21, 0x22, &[0; 36]),
        v2(0x21, 0x41, &V4),
        v2(0x21, 0x13, &V4),
        v2(0x21, 0x01, &V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[&V4[..], &[0xea]].concat()),
        v2(0x21, 0x11, &[&V4[..], &[0xea, 0, 1]].concat()),
        v2(
            0x21,
            0x11,
            &[&V4[..], &[TYPE_CRC32C, 0, 3, 1, 2, 3]].concat(),
        ),
        wrong_sum,
        v2(0x21, 0x11, &[0; LONGEST_V2 + 1]),
    ] {
        assert!(matches!(scan(&bytes), Scan::Bad(_)), "{bytes:?}");
    }
    // Its length alone is enough to refuse it.
    let long = v2(0x20, 0, &[0; LONGEST_V2 + 1]);
    assert!(matches!(scan(&long[..HEAD_V2]), Scan::Bad(_)));
}

/// Each byte in turn becomes each other byte, and each end is cut off: never a panic, and what is found never goes beyond the
/// end, nor is one header another one that is longer.
#[test]
fn no_mutation_is_worse_than_refused() {
    let mut seeds = vec![
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x11, &V4),
        v2(0x21, 0x21, &[7; 36]),
        v2(0x21, 0x31, &[9; 216]),
        v2(0x20, 0x00, b""),
        with_checksum(),
    ];
    let mut ssl = V4.to_vec();
    ssl.extend_from_slice(&[
        0x20, 0, 8, 1, 0, 0, 0, 0, 0x21, 0, 0, 0x02, 0, 3, b'a', b'.', b'b',
    ]);
    seeds.push(v2(0x21, 0x11, &ssl));
    let (mut whole, mut refused) = (0u32, 0u32);
    for seed in seeds {
        for place in 0..seed.len() {
            for value in 0..=u8::MAX {
                let mut bytes = seed.clone();
                bytes[place] = value;
                for end in [bytes.len(), place + 1, place] {
                    match scan(&bytes[..end]) {
                        Scan::Whole(_, length) => {
                            assert!(length <= end);
                            whole += 1;
                        }
                        Scan::More => {}
                        Scan::Bad(_) => refused += 1,
                    }
                }
            }
        }
    }
    println!("{whole} taken, {refused} refused");
    assert!(whole > 10_000 && refused > 50_000, "{whole} {refused}");
}

#[test]
fn what_is_written_is_read() {
    for announced in [
        Announced::Sender,
        client("192.0.2.1:50000", "198.51.100.7:443"),
        client("[2001:db8::1]:1", "[2001:db8::2]:2"),
    ] {
        for version in [Version::V1, Version::V2] {
            let mut bytes = Vec::new();
            write(version, announced, &mut bytes);
            assert_eq!(scan(&bytes), Scan::Whole(announced, bytes.len()));
        }
    }
    // A client of IPv4 at a listener for both: mapped addresses are what they map.
    let mut bytes = Vec::new();
    let mixed = client("192.0.2.1:5", "[::ffff:198.51.100.7]:443");
    write(Version::V1, mixed, &mut bytes);
    assert_eq!(bytes, b"PROXY TCP4 192.0.2.1 198.51.100.7 5 443\r\n");
    bytes.clear();
    write(
        Version::V1,
        client("192.0.2.1:5", "[2001:db8::2]:2"),
        &mut bytes,
    );
    assert_eq!(bytes, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5 2\r\n");
}

/// A connection whose first bytes come in pieces of this size.
async fn connection(bytes: Vec<u8>, piece: usize) -> TcpStream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(at).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(piece) {
            // Whoever has refused the first piece does not take the second.
            if stream.write_all(piece).is_err() {
                return;
            }
            std::thread::yield_now();
        }
    });
    listener.accept().await.unwrap().0
}

#[tokio::test]
async fn what_follows_the_header_is_left_on_the_socket() {
    let long = [&V4[..], &[0xea, 0x08, 0x00], &[5; 2048]].concat();
    for header in [
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        with_checksum(),
        v2(0x21, 0x11, &long),
    ] {
        for piece in [1, 7, 16, 600, usize::MAX] {
            let bytes = [&header[..], b"what follows"].concat();
            let tcp = connection(bytes, piece.min(4096)).await;
            let mut alarm = Alarm::new(Duration::from_secs(10));
            receive(&tcp, &mut alarm).await.unwrap();
            let mut rest = Vec::new();
            loop {
                tcp.readable().await.unwrap();
                match tcp.try_read_buf(&mut rest) {
                    Ok(0) => break,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => drop(read.unwrap()),
                }
            }
            assert_eq!(rest, b"what follows", "{header:?} by {piece}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_says_nothing_or_half_is_not_waited_for() {
    let tcp = connection(b"PROXY TCP4 1".to_vec(), 1).await;
    let mut alarm = Alarm::new(Duration::from_secs(10));
    let fault = receive(&tcp, &mut alarm).await.unwrap_err();
    // Its writer ends, so that one of the two comes.
    let fits = matches!(fault, AnnouncedFault::Slow | AnnouncedFault::Socket(_));
    assert!(fits, "{fault:?}");
    let tcp = connection(b"GET / HTTP/1.1\r\n\r\n".to_vec(), 99).await;
    let fault = receive(&tcp, &mut Alarm::new(Duration::from_secs(10))).await;
    assert!(matches!(
        fault,
        Err(AnnouncedFault::Malformed(_) | AnnouncedFault::Slow)
    ));
}

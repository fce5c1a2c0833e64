//! Files that are made here by hand, after the format's description.

use super::*;
use seawall_model::Network;

/// A control byte and a short text.
pub(in crate::places) fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 29);
    let mut out = vec![2 << 5 | text.len() as u8];
    out.extend_from_slice(text.as_bytes());
    out
}

fn number(number: u32) -> Vec<u8> {
    let mut out = vec![6 << 5 | 4];
    out.extend_from_slice(&number.to_be_bytes());
    out
}

pub(in crate::places) fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | pairs.len() as u8];
    for (key, value) in pairs {
        out.extend(text(key));
        out.extend_from_slice(value);
    }
    out
}

/// A file in which each network has a record.
pub(in crate::places) fn file(
    record_bits: u32,
    is_v6: bool,
    records: &[(&str, Vec<u8>)],
) -> Vec<u8> {
    // For each node both sides: nothing, a node, or a record.
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
    let mut data = Vec::new();
    for (network, record) in records {
        let network = Network::parse(network).unwrap();
        let (bits, length) = match network.address() {
            IpAddr::V4(ip) if is_v6 => (u128::from(ip.to_bits()), 96 + network.prefix()),
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, network.prefix()),
            IpAddr::V6(ip) => (ip.to_bits(), network.prefix()),
        };
        let mut node = 0;
        for nth in 0..length {
            let side = usize::from(bits >> (127 - nth) & 1 == 1);
            if nth + 1 == length {
                nodes[node][side] = Some(Err(data.len()));
                break;
            }
            node = match nodes[node][side] {
                Some(Ok(next)) => next,
                _ => {
                    nodes.push([None; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Some(Ok(next));
                    next
                }
            };
        }
        data.extend_from_slice(record);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for node in &nodes {
        let [left, right] = node.map(|side| match side {
            None => count as u32,
            Some(Ok(next)) => next as u32,
            Some(Err(at)) => (count + GAP + at) as u32,
        });
        let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
        match record_bits {
            24 => {
                out.extend_from_slice(&l[1..]);
                out.extend_from_slice(&r[1..]);
            }
            28 => {
                out.extend_from_slice(&l[1..]);
                out.push(l[0] << 4 | r[0]);
                out.extend_from_slice(&r[1..]);
            }
            _ => {
                out.extend_from_slice(&l);
                out.extend_from_slice(&r);
            }
        }
    }
    out.extend_from_slice(&[0; GAP]);
    out.extend_from_slice(&data);
    out.extend_from_slice(MARK);
    out.extend(map(&[
        ("node_count", number(count as u32)),
        ("record_size", number(record_bits)),
        ("ip_version", number(if is_v6 { 6 } else { 4 })),
        ("binary_format_major_version", number(2)),
    ]));
    out
}

fn place(file: &[u8], ip: &str) -> (String, String, u32) {
    let file = PlaceFile::new(file.into()).unwrap();
    let mut place = Place::default();
    file.add(ip.parse().unwrap(), &mut place);
    (
        place.country.text().to_owned(),
        place.continent.text().to_owned(),
        place.asn,
    )
}

fn found(country: &str, continent: &str, asn: u32) -> (String, String, u32) {
    (country.to_owned(), continent.to_owned(), asn)
}

#[test]
fn countries_and_systems_are_found_in_files_of_all_sizes() {
    let german = map(&[
        ("names", map(&[("de", text("Deutschland"))])),
        ("continent", map(&[("code", text("EU"))])),
        (
            "country",
            map(&[("geoname_id", number(7)), ("iso_code", text("DE"))]),
        ),
    ]);
    let plain = map(&[("country_code", text("fr")), ("asn", text("AS64512"))]);
    let system = map(&[("autonomous_system_number", number(4_200_000_000))]);
    for bits in [24, 28, 32] {
        let file = file(
            bits,
            true,
            &[
                ("192.0.2.0/24", german.clone()),
                ("198.51.100.7/32", plain.clone()),
                ("2001:db8::/32", system.clone()),
            ],
        );
        assert_eq!(place(&file, "192.0.2.77"), found("DE", "EU", 0));
        assert_eq!(place(&file, "198.51.100.7"), found("FR", "", 64_512));
        assert_eq!(place(&file, "198.51.100.8"), found("", "", 0));
        assert_eq!(
            place(&file, "2001:db8:ffff::1"),
            found("", "", 4_200_000_000)
        );
        assert_eq!(place(&file, "2001:db9::1"), found("", "", 0));
    }
    let file = file(24, false, &[("10.0.0.0/8", plain)]);
    assert_eq!(place(&file, "10.255.0.1"), found("FR", "", 64_512));
    assert_eq!(place(&file, "::1"), found("", "", 0));
}

#[test]
fn pointers_lead_to_what_is_elsewhere() {
    // The record's value points to the text at the beginning of the data.
    let mut record = text("country_code");
    let key_at = 0;
    let value_at = record.len();
    record.extend(text("IT"));
    let begin = record.len();
    record.extend([7 << 5 | 1, 1 << 5, key_at, 1 << 5, value_at as u8]);
    let mut bytes = file(24, false, &[("10.0.0.0/8", record)]);
    // The tree leads to the beginning of the data: let it lead to the map instead.
    let at = 7 * 6;
    let right = &mut bytes[at..at + 6];
    let side = right.chunks_mut(3).find(|side| side[2] != 8).unwrap();
    side[2] += begin as u8;
    assert_eq!(place(&bytes, "10.0.0.1"), found("IT", "", 0));
}

#[test]
fn what_is_no_such_file_is_refused() {
    let good = file(
        24,
        true,
        &[("192.0.2.0/24", map(&[("country_code", text("DE"))]))],
    );
    for bad in [
        &b""[..],
        b"abc",
        MARK,
        &good[100..],
        &good[..good.len() - 60],
    ] {
        assert!(PlaceFile::new(bad.into()).is_err());
    }
}

/// Whatever bytes say, reading ends: each byte of a file is changed in turn.
#[test]
fn no_bytes_make_reading_panic_or_go_on() {
    let record = map(&[
        ("country", map(&[("iso_code", text("DE"))])),
        ("asn", number(5)),
    ]);
    let good = file(
        28,
        true,
        &[("192.0.2.0/24", record.clone()), ("2001:db8::/32", record)],
    );
    for at in 0..good.len() {
        for byte in [0, 0x20, 0x27, 0x3f, 0x7f, 0xe1, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let Ok(file) = PlaceFile::new(bytes.into()) else {
                continue;
            };
            for ip in ["192.0.2.1", "2001:db8::1", "::", "255.255.255.255"] {
                file.add(ip.parse().unwrap(), &mut Place::default());
            }
        }
    }
}

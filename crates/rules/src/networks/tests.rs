use super::tree::{Edges, Shortcut};
use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn set(networks: &[&str]) -> NetworkSet {
    NetworkSet::new(networks.iter().map(|text| Network::parse(text).unwrap()))
}

fn has(set: &NetworkSet, ip: &str) -> bool {
    set.contains(ip.parse().unwrap())
}

/// A generator of numbers (xorshift64*): the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// A network of few possible ones, so that many contain one another, and the addresses around its ends.
fn random(numbers: &mut Numbers) -> (Network, Vec<IpAddr>) {
    if numbers.next().is_multiple_of(2) {
        let prefix = (numbers.next() % 33) as u32;
        let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
        let bits = (numbers.next() as u32 & 0x0300_0fff).wrapping_sub(0x0000_0400) & !host;
        let network = Network::parse(&format!("{}/{prefix}", Ipv4Addr::from_bits(bits))).unwrap();
        let ends = [
            bits,
            bits.wrapping_sub(1),
            bits | host,
            (bits | host).wrapping_add(1),
        ];
        return (
            network,
            ends.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
                .to_vec(),
        );
    }
    let prefix = (numbers.next() % 129) as u32;
    let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
    let mask = 0xe000_0000_0000_0003_c000_0000_0000_00ff;
    let bits = (numbers.wide() & mask).wrapping_sub(0x10) & !host;
    let text = format!("{}/{prefix}", Ipv6Addr::from_bits(bits));
    let Ok(network) = Network::parse(&text) else {
        return random(numbers);
    };
    let ends = [
        bits,
        bits.wrapping_sub(1),
        bits | host,
        (bits | host).wrapping_add(1),
    ];
    (
        network,
        ends.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
            .to_vec(),
    )
}

#[test]
fn a_set_contains_what_its_networks_contain() {
    let mut numbers = Numbers(7);
    for round in 0..600 {
        let (networks, ends): (Vec<_>, Vec<_>) =
            (0..round % 90).map(|_| random(&mut numbers)).unzip();
        // Large networks hide the small ones: leave them out of most rounds.
        let networks: Vec<Network> = networks
            .into_iter()
            .filter(|network| round % 10 == 0 || network.prefix() > 6)
            .collect();
        let set = NetworkSet::new(networks.iter().copied());
        for ip in ends.into_iter().flatten() {
            let naive = networks.iter().any(|network| network.contains(ip));
            assert_eq!(set.contains(ip), naive, "{ip} in {networks:?}");
        }
    }
}

#[test]
fn many_networks_make_a_tree_of_some_levels() {
    let spaced = |step: u32| {
        (0..20_000u32).map(move |nth| {
            let address = Ipv4Addr::from_bits(nth * step);
            Network::parse(&format!("{address}/32")).unwrap()
        })
    };
    let set = NetworkSet::new(spaced(3));
    assert_eq!(set.v4.edges.levels.len(), 4);
    assert_eq!(set.len(), 20_000);
    assert!(set.bytes() < 20_000 * 9, "{}", set.bytes());
    for bits in 0..60_000u32 {
        assert_eq!(
            set.contains(Ipv4Addr::from_bits(bits).into()),
            bits % 3 == 0 && bits < 60_000
        );
    }
    assert!(!has(&set, "255.255.255.255"));
    let packed = NetworkSet::new(spaced(1));
    assert_eq!(packed.v4.edges.count, 2, "neighbours are one");
    assert_eq!(packed.len(), 20_000);
}

#[test]
fn both_ends_of_all_addresses_are_told() {
    for (network, inside, outside) in [
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("255.255.255.255", "255.255.255.255", "255.255.255.254"),
        ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.1"),
        ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0"),
        ("::/0", "::", "1.2.3.4"),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
        ),
        (
            "ffff:ffff:ffff:ffff::/64",
            "ffff:ffff:ffff:ffff::",
            "ffff:ffff:ffff:fffe::",
        ),
    ] {
        let set = set(&[network]);
        assert!(has(&set, inside), "{network} {inside}");
        assert!(!has(&set, outside), "{network} {outside}");
    }
    assert!(!has(&set(&[]), "0.0.0.0"));
    assert!(!has(&set(&[]), "ffff::"));
}

#[test]
fn a_mapped_address_is_an_ipv4_address() {
    assert!(has(&set(&["10.0.0.0/8"]), "::ffff:10.1.2.3"));
    assert!(!has(&set(&["::/0"]), "::ffff:10.1.2.3"));
}

#[test]
fn equal_sets_are_equal_however_they_are_written() {
    let one = set(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "2001:db9::1"]);
    let other = set(&[
        "2001:db8::/33",
        "2001:db9::1",
        "192.0.2.1",
        "10.128.0.0/9",
        "2001:db8:8000::/33",
        "10.0.0.0/9",
        "192.0.2.1",
    ]);
    assert_eq!(one, other);
    assert_eq!((one.len(), other.len()), (4, 6));
    assert_ne!(one, set(&["10.0.0.0/8"]));
    assert_eq!(set(&[]), NetworkSet::default());
    assert!(set(&[]).is_empty());
    assert_eq!(set(&[]).bytes(), 0);
}

#[test]
fn ranges_hold_both_ends() {
    let mut ranges = Ranges::default();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    ranges.add_range(ip("10.0.0.3"), ip("10.0.0.9"));
    ranges.add_range(ip("2001:db8::ffff"), ip("2001:db8:0:3::2"));
    ranges.add_range(ip("9.9.9.9"), ip("9.9.9.8"));
    ranges.add_range(ip("9.9.9.9"), ip("2001:db8::"));
    let set = ranges.finish();
    for (inside, ends) in [
        (true, ["10.0.0.3", "10.0.0.9"]),
        (false, ["10.0.0.2", "10.0.0.10"]),
        (true, ["2001:db8::ffff", "2001:db8:0:3::2"]),
        (false, ["2001:db8::fffe", "2001:db8:0:3::3"]),
        (true, ["2001:db8::ffff:0:0:0", "2001:db8:0:3::"]),
        (true, ["2001:db8:0:1::", "2001:db8:0:2:ffff::"]),
        (false, ["9.9.9.9", "9.9.9.8"]),
    ] {
        for ip in ends {
            assert_eq!(has(&set, ip), inside, "{ip}");
        }
    }
}

#[test]
fn a_shortcut_ranks_as_the_list_does() {
    let mut numbers = Numbers(11);
    for spread in [60, 40, 14] {
        // A few keys far apart, and most of them close together.
        let mut keys: Vec<u64> = (0..6_000)
            .map(|nth| match nth % 16 {
                0 => numbers.next() >> 1,
                _ => (1 << 62) + (numbers.next() >> (64 - spread)),
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let shortcut = Shortcut::new(&keys);
        let tree = Edges::new(&keys);
        let mut answered = 0;
        for key in keys.iter().flat_map(|key| [key - 1, *key, key + 1]) {
            let rank = keys.partition_point(|edge| *edge <= key);
            assert_eq!(tree.rank(key), rank);
            if let Some(quick) = shortcut.begun(key, &keys, |key| *key) {
                assert_eq!(quick, rank, "{key} of {spread}");
                answered += 1;
            }
        }
        assert!(answered > 300, "{spread}: {answered}");
        assert_eq!(shortcut.begun(u64::MAX, &keys, |key| *key), None);
    }
    assert_eq!(Shortcut::new(&[1, 2]), Shortcut::default());
    assert_eq!(Shortcut::default().begun(1, &[1], |key| *key), None);
}

/// So many that both families have shortcuts, of all lengths, spread out and crowded: also within a /64, the first and the last
/// one of all among them.
#[test]
fn large_sets_contain_what_their_networks_contain() {
    let mut numbers = Numbers(0x5eed);
    let mut given = std::collections::HashSet::new();
    let mut asked = vec![Ipv6Addr::from_bits(u128::MAX), Ipv6Addr::from_bits(0)];
    let mut asked_v4 = vec![Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED];
    let mut given_v4 = std::collections::HashSet::new();
    for nth in 0..120_000u32 {
        let upper = match nth % 10 {
            0 => u64::MAX,
            1 => 0,
            2..5 => (numbers.next() % 50) << 57,
            5..7 => 0x2001 << 48 | numbers.next() >> 44,
            _ => numbers.next(),
        };
        let prefix = match nth % 10 {
            // Shorter ones would hide the crowd.
            0..5 => 80 + (numbers.next() % 49) as u32,
            _ => 40 + (numbers.next() % 89) as u32,
        };
        let lower = match nth % 1_000 {
            0 => u64::MAX,
            _ => numbers.next(),
        };
        let mask = u128::MAX << (128 - prefix);
        let first = (u128::from(upper) << 64 | u128::from(lower)) & mask;
        given.insert((first, prefix));
        let last = first | !mask;
        let around = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
        asked.extend(around.map(Ipv6Addr::from_bits));
        asked.push(Ipv6Addr::from_bits(numbers.wide()));
        let prefix = 20 + (numbers.next() % 13) as u32;
        let mask = u32::MAX << (32 - prefix);
        let first = match nth % 4 {
            0 => 0xc000_0000 | numbers.next() as u32 >> 14,
            _ => numbers.next() as u32,
        } & mask;
        given_v4.insert((first, prefix));
        let last = first | !mask;
        let around = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
        asked_v4.extend(around.map(Ipv4Addr::from_bits));
    }
    let v6 = given
        .iter()
        .map(|(first, prefix)| format!("{}/{prefix}", Ipv6Addr::from_bits(*first)));
    let v4 = given_v4
        .iter()
        .map(|(first, prefix)| format!("{}/{prefix}", Ipv4Addr::from_bits(*first)));
    // What lies within ::ffff:0:0/96 counts as IPv4 and is not a network of IPv6.
    let networks = v6.chain(v4).filter_map(|text| Network::parse(&text).ok());
    let set = NetworkSet::new(networks);
    for ip in asked.iter().filter(|ip| ip.to_ipv4_mapped().is_none()) {
        let naive = (40..=128).any(|prefix| {
            let mask = u128::MAX << (128 - prefix);
            given.contains(&(ip.to_bits() & mask, prefix))
        });
        assert_eq!(set.contains(IpAddr::V6(*ip)), naive, "{ip}");
    }
    for ip in &asked_v4 {
        let naive = (20..=32).any(|prefix| {
            let mask = u32::MAX << (32 - prefix);
            given_v4.contains(&(ip.to_bits() & mask, prefix))
        });
        assert_eq!(set.contains(IpAddr::V4(*ip)), naive, "{ip}");
    }
    let (few, crowded) = set.v6_within.counts();
    assert!(few > 1_000 && crowded > 40_000, "{few} {crowded}");
}

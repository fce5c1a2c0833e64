//! Measures the set of networks: a million random prefixes, half of them IPv6, of the lengths that lists have.
//!
//! `cargo run --release -p seawall-rules --example networks`
#![allow(clippy::expect_used, reason = "a program to measure with")]

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use seawall_model::Network;
use seawall_rules::NetworkSet;

const PREFIXES: usize = 1_000_000;
const LOOKUPS: usize = 1 << 20;
const FEW: usize = 1 << 10;
const CHECKED: usize = 200_000;

fn main() {
    let mut numbers = Numbers(42);
    let networks: Vec<Network> = (0..PREFIXES).map(|nth| random(nth, &mut numbers)).collect();
    let begin = Instant::now();
    let set = NetworkSet::new(networks.iter().copied());
    println!(
        "built of {PREFIXES} prefixes ({} different) in {:.0} ms: {:.1} MiB, {:.1} bytes a prefix",
        set.len(),
        begin.elapsed().as_secs_f64() * 1e3,
        set.bytes() as f64 / f64::from(1 << 20),
        set.bytes() as f64 / set.len() as f64,
    );
    check(&set, &networks, &mut numbers);
    for (family, of) in [("IPv4", 0), ("IPv6", 1)] {
        let mine: Vec<&Network> = networks.iter().skip(of).step_by(2).collect();
        let inside = (0..LOOKUPS).map(|_| {
            let network = mine
                .get(numbers.below(mine.len()))
                .expect("below its length");
            within(network, &mut numbers)
        });
        let inside: Vec<IpAddr> = inside.collect();
        let outside: Vec<IpAddr> = std::iter::repeat_with(|| anywhere(of, &mut numbers))
            .filter(|ip| !set.contains(*ip))
            .take(LOOKUPS)
            .collect();
        for (what, addresses) in [("hits", inside), ("misses", outside)] {
            let mut rounds: Vec<f64> = addresses.chunks(FEW).map(measure(&set)).collect();
            rounds.sort_unstable_by(f64::total_cmp);
            let median = rounds.get(rounds.len() / 2).expect("there are many");
            println!("{family} {what}: {median:.0} ns a lookup");
        }
    }
}

/// Nanoseconds of one lookup among these. Few at a time: whoever shares the machine falls into few of the rounds.
fn measure(set: &NetworkSet) -> impl FnMut(&[IpAddr]) -> f64 {
    |few| {
        let begin = Instant::now();
        // Each lookup waits for the one before it, as those of requests do.
        let mut before = 0;
        for ip in few {
            before = usize::from(set.contains(shifted(*ip, before))) & black_box(0);
        }
        black_box(before);
        begin.elapsed().as_secs_f64() * 1e9 / few.len() as f64
    }
}

/// The address itself, in a way that the processor must know `before`, which is 0, to begin.
fn shifted(ip: IpAddr, before: usize) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ before as u32).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ before as u128).into(),
    }
}

/// Compares with asking for each prefix length whether that network was given.
fn check(set: &NetworkSet, networks: &[Network], numbers: &mut Numbers) {
    let given: HashSet<Network> = networks.iter().copied().collect();
    let naive = |ip: IpAddr| {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        (0..=most).any(|prefix| network(ip, prefix).is_some_and(|network| given.contains(&network)))
    };
    let mut hits = 0;
    for nth in 0..CHECKED {
        let ip = match nth % 4 {
            0 => anywhere(0, numbers),
            1 => anywhere(1, numbers),
            _ => {
                let network = networks.get(numbers.below(networks.len()));
                within(network.expect("below its length"), numbers)
            }
        };
        assert_eq!(set.contains(ip), naive(ip), "{ip}");
        hits += usize::from(set.contains(ip));
    }
    println!("{CHECKED} addresses checked against a naive search, {hits} of them inside");
}

fn network(ip: IpAddr, prefix: u32) -> Option<Network> {
    let text = match ip {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from_bits(ip.to_bits() & !host))
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv6Addr::from_bits(ip.to_bits() & !host))
        }
    };
    Network::parse(&text).ok()
}

fn random(nth: usize, numbers: &mut Numbers) -> Network {
    let roll = numbers.below(100);
    let family = nth % 2;
    let prefix = match (family, roll) {
        (0, 0..45) => 32,
        (0, 45..85) => 24,
        (0, 85..95) => 20 + numbers.below(4) as u32,
        (0, _) => 16 + numbers.below(4) as u32,
        (_, 0..30) => 48,
        (_, 30..60) => 64,
        (_, 60..80) => 128,
        (_, 80..90) => 56,
        (_, _) => 32 + numbers.below(12) as u32,
    };
    network(anywhere(family, numbers), prefix).expect("masked")
}

/// IPv4: anywhere. IPv6: 2000::/3, and there in some 20,000 allocations, as they are.
fn anywhere(family: usize, numbers: &mut Numbers) -> IpAddr {
    if family == 0 {
        return Ipv4Addr::from_bits(numbers.next() as u32).into();
    }
    let allocation = 0x2000_0000 | (numbers.below(20_000) as u128 * 0x6_1a80 % 0x2000_0000);
    let rest = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
    Ipv6Addr::from_bits(allocation << 96 | rest >> 32).into()
}

fn within(network: &Network, numbers: &mut Numbers) -> IpAddr {
    let prefix = network.prefix().into();
    match network.address() {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() | numbers.next() as u32 & host).into()
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let rest = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
            Ipv6Addr::from_bits(ip.to_bits() | rest & host).into()
        }
    }
}

/// xorshift64*: the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() >> 11) as usize % most
    }
}

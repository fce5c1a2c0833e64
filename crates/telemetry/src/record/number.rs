//! Numbers and addresses as text, by hand: `format!` would cost more than the rest of a line.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::line::Line;

/// Appends a number in decimal.
#[inline(always)]
pub(super) fn write_decimal(line: &mut Line<'_>, number: u64) {
    *line = decimal(mem::take(line), number);
}

/// By value, here and below: a line whose address is taken does not stay in registers.
#[inline(never)]
fn decimal(mut line: Line<'_>, number: u64) -> Line<'_> {
    match number {
        0..10_000 => write_short(&mut line, number as u32),
        10_000..100_000_000 => {
            let number = number as u32;
            write_short(&mut line, number / 10_000);
            line.constant(&four_digits(number % 10_000));
        }
        _ => return long_decimal(line, number),
    }
    line
}

/// From 100,000,000 up.
#[inline(never)]
fn long_decimal(line: Line<'_>, number: u64) -> Line<'_> {
    let mut line = decimal(line, number / 100_000_000);
    let low = (number % 100_000_000) as u32;
    line.constant(&four_digits(low / 10_000));
    line.constant(&four_digits(low % 10_000));
    line
}

/// Appends an address as RFC 5952 writes it.
#[inline]
pub(super) fn write_address(line: &mut Line<'_>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => *line = write_v4(mem::take(line), address),
        IpAddr::V6(address) => *line = write_v6(mem::take(line), address),
    }
}

/// Below 10,000.
#[inline(always)]
fn write_short(line: &mut Line<'_>, number: u32) {
    match number {
        0..10 => line.constant(&[b'0' + number as u8]),
        10..100 => line.constant(&pair(number)),
        100..1000 => {
            let [tens, ones] = pair(number % 100);
            line.constant(&[b'0' + (number / 100) as u8, tens, ones]);
        }
        _ => line.constant(&four_digits(number)),
    }
}

#[inline(always)]
fn four_digits(number: u32) -> [u8; 4] {
    let ([a, b], [c, d]) = (pair(number / 100), pair(number % 100));
    [a, b, c, d]
}

/// The two digits of each number below 100.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "in the compiler, where a panic is a build error"
        )]
        let pair = &mut pairs[number];
        *pair = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[inline(always)]
fn pair(number: u32) -> [u8; 2] {
    PAIRS.get(number as usize).copied().unwrap_or_default()
}

#[inline(never)]
fn write_v4(mut line: Line<'_>, address: Ipv4Addr) -> Line<'_> {
    let [head @ .., last] = address.octets();
    for octet in head.map(u32::from) {
        match octet {
            0..10 => line.constant(&[b'0' + octet as u8, b'.']),
            10..100 => {
                let [tens, ones] = pair(octet);
                line.constant(&[tens, ones, b'.']);
            }
            _ => {
                let [tens, ones] = pair(octet % 100);
                line.constant(&[b'0' + (octet / 100) as u8, tens, ones, b'.']);
            }
        }
    }
    write_short(&mut line, u32::from(last));
    line
}

#[inline(never)]
fn write_v6(mut line: Line<'_>, address: Ipv6Addr) -> Line<'_> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        line.constant(b"::ffff:");
        return write_v4(line, mapped);
    }
    let groups = address.segments();
    let (gap_start, gap_length) = longest_run_of_zeros(&groups);
    let gap_end = gap_start + gap_length;
    for (at, &group) in groups.iter().enumerate() {
        if at == gap_start && gap_length > 0 {
            line.constant(b"::");
        }
        if (gap_start..gap_end).contains(&at) {
            continue;
        }
        if at > 0 && (at != gap_end || gap_length == 0) {
            line.constant(b":");
        }
        write_group(&mut line, group);
    }
    line
}

/// Where the run that `::` stands for begins and how many groups it has: the first of the longest, of two at least.
fn longest_run_of_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut length) = (0, 1);
    let mut run = 0;
    for (at, &group) in groups.iter().enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > length {
            (best, length) = (at + 1 - run, run);
        }
    }
    if length > 1 { (best, length) } else { (0, 0) }
}

/// One group in hexadecimal, without leading zeros.
fn write_group(line: &mut Line<'_>, group: u16) {
    let mut started = false;
    for shift in [12, 8, 4, 0] {
        let nibble = (group >> shift & 15) as u8;
        started |= nibble != 0 || shift == 0;
        if started {
            line.constant(&[if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            }]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::written;
    use super::*;

    #[test]
    fn decimals_of_every_length() {
        let mut numbers = vec![0, u64::MAX];
        for exponent in 0..20 {
            let power = 10u64.pow(exponent);
            numbers.extend([power - 1, power, power + 1, power.saturating_mul(9)]);
        }
        numbers.extend(0..20_000);
        for number in numbers {
            let text = written(|line| write_decimal(line, number));
            assert_eq!(text, number.to_string());
        }
    }

    #[test]
    fn addresses_as_the_standard_library_writes_them() {
        let mut addresses: Vec<IpAddr> = [
            "0.0.0.0",
            "1.20.255.100",
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "2001:0:0:1::1",
            "::ffff:1.2.3.4",
            "1:0:0:2:0:0:0:3",
            "fe80::abcd:0:10",
            "1:2:3:4:5:6:7:8",
            "0:0:1::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:0",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        // Every pattern of zero groups.
        for pattern in 0..=255u32 {
            let groups: [u16; 8] = std::array::from_fn(|at| {
                if pattern >> at & 1 == 1 {
                    0x1f << at
                } else {
                    0
                }
            });
            addresses.push(IpAddr::V6(groups.into()));
        }
        for address in addresses {
            let text = written(|line| write_address(line, address));
            assert_eq!(text, address.to_string());
        }
    }
}

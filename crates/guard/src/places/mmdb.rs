//! The format of MaxMind DB, version 2: a binary tree over the bits of addresses, and records that hang in it. Most free data on
//! countries and autonomous systems comes so.
//!
//! Bytes of a file are trusted by nobody: whatever they say, reading ends and does not panic. Of a record only the keys that tell
//! a country, a continent or an autonomous system are looked at.

use std::net::IpAddr;

use seawall_model::Place;
use seawall_model::place::Code;

/// A file of places.
#[derive(Debug)]
pub struct PlaceFile {
    bytes: Box<[u8]>,
    nodes: u32,
    /// 24, 28 or 32 bits for each of a node's two records.
    record_bits: u32,
    is_v6: bool,
    /// Where records begin.
    data: usize,
    /// The node below which IPv4 lies.
    v4_root: u32,
}

/// Why bytes are no file of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPlaces(&'static str);

const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// What describes a file is within so many bytes of its end.
const MARK_WITHIN: usize = 128 << 10;
/// Noughts between the tree and the records.
const GAP: usize = 16;
/// Values within values, and pointers to them.
const DEEPEST: u32 = 32;
/// Values that one look at a record passes over.
const MOST_VALUES: u32 = 4_096;

/// A value; of some kinds only that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'b> {
    Text(&'b [u8]),
    Number(u64),
    /// With how many pairs, and where they begin.
    Map(u32, usize),
    Array(u32),
    Other,
}

/// Where something is read, and how much more may be.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    left: u32,
}

impl PlaceFile {
    /// From the bytes of a file.
    ///
    /// # Errors
    /// They are no such file, or one that is cut short.
    pub fn new(bytes: Box<[u8]>) -> Result<Self, BadPlaces> {
        let tail_at = bytes.len().saturating_sub(MARK_WITHIN);
        let tail = bytes.get(tail_at..).unwrap_or_default();
        let mark = memchr::memmem::rfind(tail, MARK).ok_or(BadPlaces("it is no MaxMind DB"))?;
        let about = tail.get(mark + MARK.len()..).unwrap_or_default();
        let number = |key: &str| match lookup(about, 0, key) {
            Some(Value::Number(number)) => Ok(number),
            _ => Err(BadPlaces("its description is incomplete")),
        };
        if number("binary_format_major_version")? != 2 {
            return Err(BadPlaces("its format is not version 2"));
        }
        let nodes = u32::try_from(number("node_count")?);
        let nodes = nodes.map_err(|_| BadPlaces("its tree is too large"))?;
        let record_bits = match number("record_size")? {
            bits @ (24 | 28 | 32) => bits as u32,
            _ => return Err(BadPlaces("its records have an unknown size")),
        };
        let tree = u64::from(nodes) * u64::from(record_bits) / 4;
        let data = usize::try_from(tree)
            .unwrap_or(usize::MAX)
            .saturating_add(GAP);
        if data > tail_at + mark {
            return Err(BadPlaces("it is cut short"));
        }
        let mut file = Self {
            nodes,
            record_bits,
            is_v6: number("ip_version")? == 6,
            data,
            v4_root: 0,
            bytes,
        };
        if file.is_v6 {
            // IPv4 lies below 96 noughts.
            file.v4_root = (0..96).fold(0, |node, _| file.child(node, false));
        }
        Ok(file)
    }

    /// What a node says on one side: another node, nothing (the number of nodes), or where a record is. Beyond the tree it stays.
    fn child(&self, node: u32, right: bool) -> u32 {
        if node >= self.nodes {
            return node;
        }
        let width = self.record_bits as usize / 4;
        let at = node as usize * width;
        let Some(pair) = self.bytes.get(at..at + width) else {
            return self.nodes;
        };
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
        };
        match (pair, right) {
            (&[a, b, c, middle, ..], false) if width == 7 => {
                u32::from(middle >> 4) << 24 | number(&[a, b, c])
            }
            (&[_, _, _, middle, d, e, f], true) => {
                u32::from(middle & 15) << 24 | number(&[d, e, f])
            }
            _ => {
                let (low, high) = pair.split_at_checked(width / 2).unwrap_or_default();
                number(if right { high } else { low })
            }
        }
    }

    /// Where the record of an address begins, in the file.
    fn record(&self, ip: IpAddr) -> Option<usize> {
        let (bits, count, root) = match ip {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32, self.v4_root),
            IpAddr::V6(ip) if self.is_v6 => (ip.to_bits(), 128, 0),
            IpAddr::V6(_) => return None,
        };
        let mut node = root;
        for nth in 0..count {
            if node >= self.nodes {
                break;
            }
            node = self.child(node, bits >> (127 - nth) & 1 == 1);
        }
        let behind = node
            .checked_sub(self.nodes)
            .filter(|behind| *behind as usize >= GAP)?;
        Some(self.data - GAP + behind as usize)
    }

    /// Adds to a place what this file knows of it and nobody said yet.
    pub(super) fn add(&self, ip: IpAddr, place: &mut Place) {
        let Some(at) = self.record(ip) else { return };
        let Some(data) = self.bytes.get(self.data..) else {
            return;
        };
        let at = at - self.data;
        let code = |keys: &[(&str, &str)]| {
            let mut found = keys
                .iter()
                .map(|(outer, inner)| match lookup(data, at, outer) {
                    Some(Value::Text(text)) => Code::new(text),
                    Some(Value::Map(..)) => match lookup_in(data, at, outer, inner) {
                        Some(Value::Text(text)) => Code::new(text),
                        _ => Code::default(),
                    },
                    _ => Code::default(),
                });
            found
                .find(|code| !code.bytes().is_empty())
                .unwrap_or_default()
        };
        if place.country.bytes().is_empty() {
            place.country = code(&[
                ("country", "iso_code"),
                ("country_code", ""),
                ("registered_country", "iso_code"),
            ]);
        }
        if place.continent.bytes().is_empty() {
            place.continent = code(&[("continent", "code"), ("continent_code", "")]);
        }
        if place.asn == 0 {
            let number = lookup(data, at, "autonomous_system_number");
            place.asn = match number.or_else(|| lookup(data, at, "asn")) {
                Some(Value::Number(number)) => u32::try_from(number).unwrap_or(0),
                Some(Value::Text(text)) => {
                    let digits = text.strip_prefix(b"AS").unwrap_or(text);
                    let digits = std::str::from_utf8(digits).ok();
                    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
                }
                _ => 0,
            };
        }
    }
}

/// What has this key in the map that begins at an offset.
fn lookup<'b>(bytes: &'b [u8], at: usize, key: &str) -> Option<Value<'b>> {
    let (value, _) = find(bytes, at, key)?;
    Some(value)
}

/// What has the inner key in the map that has the outer one.
fn lookup_in<'b>(bytes: &'b [u8], at: usize, outer: &str, inner: &str) -> Option<Value<'b>> {
    let (_, place) = find(bytes, at, outer)?;
    lookup(bytes, place, inner)
}

/// A value of a map, and where it begins.
fn find<'b>(bytes: &'b [u8], at: usize, key: &str) -> Option<(Value<'b>, usize)> {
    let mut reader = Reader {
        bytes,
        at,
        left: MOST_VALUES,
    };
    let Value::Map(pairs, begin) = reader.value(0)? else {
        return None;
    };
    reader.at = begin;
    for _ in 0..pairs {
        let is_it = reader.value(0)? == Value::Text(key.as_bytes());
        let place = reader.at;
        if is_it {
            return Some((reader.value(0)?, place));
        }
        reader.skip(0)?;
    }
    None
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    }

    /// A value without what is in it; goes behind its head, or behind a pointer.
    fn value(&mut self, depth: u32) -> Option<Value<'b>> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEEPEST {
            return None;
        }
        let control = self.number(1)?;
        let mut kind = control >> 5;
        if kind == 1 {
            let at = self.pointer(control)?;
            let behind = std::mem::replace(&mut self.at, at);
            let value = self.value(depth + 1);
            self.at = behind;
            return value;
        }
        if kind == 0 {
            kind = 7 + self.number(1)?;
        }
        let size = match control & 31 {
            29 => 29 + self.number(1)?,
            30 => 285 + self.number(2)?,
            31 => 65_821 + self.number(3)?,
            size => size,
        };
        let length = usize::try_from(size).ok()?;
        Some(match kind {
            2 => Value::Text(self.take(length)?),
            5 | 6 | 9 if length <= 8 => Value::Number(self.number(length)?),
            7 => Value::Map(u32::try_from(size).ok()?, self.at),
            11 => Value::Array(u32::try_from(size).ok()?),
            // Its size is what it says.
            14 => Value::Other,
            _ => {
                self.take(length)?;
                Value::Other
            }
        })
    }

    fn pointer(&mut self, control: u64) -> Option<usize> {
        let high = control & 7;
        let at = match control >> 3 & 3 {
            0 => high << 8 | self.number(1)?,
            1 => (high << 16 | self.number(2)?) + 2_048,
            2 => (high << 24 | self.number(3)?) + 526_336,
            _ => self.number(4)?,
        };
        usize::try_from(at).ok()
    }

    /// Goes behind a value and all that is in it. What a pointer leads to is not in it.
    fn skip(&mut self, depth: u32) -> Option<()> {
        let is_pointer = self.bytes.get(self.at)? >> 5 == 1;
        let value = self.value(depth)?;
        let count = match value {
            _ if is_pointer => 0,
            Value::Map(pairs, _) => pairs.checked_mul(2)?,
            Value::Array(count) => count,
            _ => 0,
        };
        for _ in 0..count {
            self.skip(depth + 1)?;
        }
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests;

//! The static table (RFC 7541 appendix A) and a dynamic one (§2.3.2).
//!
//! A dynamic table keeps its entries' bytes one after the other in a single buffer, oldest first, so that name and value
//! are plain slices; the room of evicted entries is reclaimed by moving the rest down once it is worth it. Nothing is
//! allocated before the first entry.

use std::collections::VecDeque;

/// What an entry costs besides its bytes (RFC 7541 §4.1).
pub(super) const ENTRY_COST: usize = 32;
/// Bytes of evicted entries that may lie in front of the live ones.
const SLACK: usize = 1024;

/// Index 1 is the first.
pub(super) static STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u16,
    value: u16,
    mark: u8,
}

/// A dynamic table. Each entry carries a `mark`, a small number whose meaning is the owner's.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// As RFC 7541 §4.1 counts it.
    size: usize,
    limit: usize,
}

impl Table {
    /// An empty one. `limit` is at most 65535.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            size: 0,
            limit,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the limit, and evicts what is too much (RFC 7541 §4.3).
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(0);
    }

    /// Adds an entry as the newest; one that is larger than the table empties it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], mark: u8) {
        let cost = name.len() + value.len() + ENTRY_COST;
        self.evict(cost);
        if cost > self.limit {
            return;
        }
        self.reclaim();
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let (name, value) = (name.len() as u16, value.len() as u16);
        self.entries.push_back(Entry {
            start,
            name,
            value,
            mark,
        });
        self.size += cost;
    }

    /// Name, value and mark of an entry; 0 is the newest.
    pub(super) fn get(&self, age: usize) -> Option<(&[u8], &[u8], u8)> {
        let entry = self.entries.get(self.entries.len().checked_sub(age + 1)?)?;
        let (name, value) = self.parts(entry)?;
        Some((name, value, entry.mark))
    }

    /// The age of the newest entry with this mark and value.
    pub(super) fn find(&self, mark: u8, value: &[u8]) -> Option<usize> {
        self.entries.iter().rev().position(|entry| {
            entry.mark == mark
                && usize::from(entry.value) == value.len()
                && self.parts(entry).is_some_and(|(_, of)| of == value)
        })
    }

    /// Gives back memory that the live entries do not need.
    pub(super) fn shrink(&mut self) {
        self.drop_front();
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    fn parts(&self, entry: &Entry) -> Option<(&[u8], &[u8])> {
        let (_, from) = self.bytes.split_at_checked(entry.start as usize)?;
        let (name, from) = from.split_at_checked(usize::from(entry.name))?;
        Some((name, from.get(..usize::from(entry.value))?))
    }

    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.size -= usize::from(oldest.name) + usize::from(oldest.value) + ENTRY_COST;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    fn reclaim(&mut self) {
        if self
            .entries
            .front()
            .is_some_and(|oldest| oldest.start as usize > SLACK)
        {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        let Some(dead) = self.entries.front().map(|oldest| oldest.start) else {
            self.bytes.clear();
            return;
        };
        self.bytes.drain(..dead as usize);
        for entry in &mut self.entries {
            entry.start -= dead;
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_evicted_and_memory_stays_bounded() {
        let mut table = Table::new(4096);
        for number in 0..10_000u32 {
            table.insert(
                b"name",
                format!("value {number}").as_bytes(),
                (number % 7) as u8,
            );
            assert!(table.size() <= 4096);
        }
        assert!(table.memory() < 16 * 1024, "{}", table.memory());
        assert_eq!(
            table.get(0),
            Some((&b"name"[..], &b"value 9999"[..], (9999 % 7) as u8))
        );
        assert_eq!(table.get(1).unwrap().1, b"value 9998");
        assert_eq!(table.get(200), None);
        table.shrink();
        assert_eq!(table.get(40).unwrap().1, b"value 9959");
        assert_eq!(table.find((9960 % 7) as u8, b"value 9960"), Some(39));
        assert_eq!(table.find(5, b"value 9960"), None);
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = Table::new(100);
        table.insert(b"a", b"b", 0);
        table.insert(b"a", &[b'x'; 80], 0);
        assert_eq!((table.size(), table.get(0)), (0, None));
        table.insert(b"a", b"b", 0);
        table.set_limit(10);
        assert_eq!(table.get(0), None);
    }
}

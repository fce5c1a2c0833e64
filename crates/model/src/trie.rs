//! A map that is never changed but by making the next one, which shares all with it but one path: what snapshots of many zones are
//! made of. One change copies a few hundred pointers, however many entries there are.
//!
//! Entries are found by a number, as a hash of what they are called; the caller tells those apart that share one. A hash array
//! mapped trie (Bagwell, "Ideal hash trees", 2001) whose leaves hold several entries.

use std::sync::Arc;

/// Bits of the number that one level takes.
const BITS: u32 = 6;
/// Children of a branch.
const WIDTH: usize = 1 << BITS;
/// Entries of a leaf, as long as the number has bits left to tell them apart.
const LEAF: usize = 32;

/// Entries by their numbers.
#[derive(Clone, Debug)]
pub struct Trie<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Debug)]
enum Node<T> {
    Empty,
    Leaf(Arc<Vec<(u64, T)>>),
    Branch(Arc<[Node<T>; WIDTH]>),
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Leaf(entries) => Self::Leaf(entries.clone()),
            Self::Branch(children) => Self::Branch(children.clone()),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            root: Node::Empty,
            len: 0,
        }
    }
}

impl<T> Trie<T> {
    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry with this number that `is` it.
    #[inline]
    pub fn get(&self, number: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let (mut node, mut left) = (&self.root, number);
        loop {
            match node {
                Node::Empty => return None,
                Node::Branch(children) => {
                    node = children.get(left as usize % WIDTH)?;
                    left >>= BITS;
                }
                Node::Leaf(entries) => {
                    let mut entries = entries.iter();
                    let found = entries.find(|(other, entry)| *other == number && is(entry));
                    return found.map(|(_, entry)| entry);
                }
            }
        }
    }

    /// All entries, in the order of their numbers' bits: the same for equal entries, but for those that share a number.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            above: vec![std::slice::from_ref(&self.root).iter()],
            leaf: [].iter(),
        }
    }
}

impl<T: Clone> Trie<T> {
    /// Puts an entry in place of the one that it `is`; gives that back.
    pub fn insert(&mut self, number: u64, entry: T, is: impl Fn(&T) -> bool) -> Option<T> {
        let (mut node, mut left, mut depth) = (&mut self.root, number, 0);
        loop {
            if let Node::Leaf(entries) = node
                && entries.len() >= LEAF
                && depth + BITS <= u64::BITS
            {
                *node = Node::split(entries, depth);
            }
            match node {
                Node::Empty => {
                    *node = Node::Leaf(Arc::new(vec![(number, entry)]));
                    self.len += 1;
                    return None;
                }
                Node::Branch(children) => {
                    node = Arc::make_mut(children).get_mut(left as usize % WIDTH)?;
                    left >>= BITS;
                    depth += BITS;
                }
                Node::Leaf(entries) => {
                    let entries = Arc::make_mut(entries);
                    let mut same = entries.iter_mut();
                    let same = same.find(|(other, known)| *other == number && is(known));
                    if let Some((_, known)) = same {
                        return Some(std::mem::replace(known, entry));
                    }
                    entries.push((number, entry));
                    self.len += 1;
                    return None;
                }
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, number: u64, is: impl Fn(&T) -> bool) -> Option<T> {
        // What is not there is no reason to copy a path.
        self.get(number, &is)?;
        let (mut node, mut left) = (&mut self.root, number);
        loop {
            match node {
                Node::Empty => return None,
                Node::Branch(children) => {
                    node = Arc::make_mut(children).get_mut(left as usize % WIDTH)?;
                    left >>= BITS;
                }
                Node::Leaf(entries) => {
                    let entries = Arc::make_mut(entries);
                    let mut places = entries.iter();
                    let at = places.position(|(other, known)| *other == number && is(known))?;
                    self.len -= 1;
                    // Not by swapping: the order is that in which they came.
                    return Some(entries.remove(at).1);
                }
            }
        }
    }
}

impl<T: Clone> Node<T> {
    /// A branch below which each entry goes by its next bits.
    fn split(entries: &[(u64, T)], depth: u32) -> Self {
        let mut parts: [Vec<(u64, T)>; WIDTH] = std::array::from_fn(|_| Vec::new());
        for (number, entry) in entries {
            if let Some(part) = parts.get_mut((number >> depth) as usize % WIDTH) {
                part.push((*number, entry.clone()));
            }
        }
        let child = |part: Vec<_>| match part.is_empty() {
            true => Self::Empty,
            false => Self::Leaf(Arc::new(part)),
        };
        Self::Branch(Arc::new(parts.map(child)))
    }
}

/// See [`Trie::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    above: Vec<std::slice::Iter<'a, Node<T>>>,
    leaf: std::slice::Iter<'a, (u64, T)>,
}

// Derived, it would ask the same of `T`.
impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            above: self.above.clone(),
            leaf: self.leaf.clone(),
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some((_, entry)) = self.leaf.next() {
                return Some(entry);
            }
            match self.above.last_mut()?.next() {
                Some(Node::Empty) => {}
                None => drop(self.above.pop()),
                Some(Node::Leaf(entries)) => self.leaf = entries.iter(),
                Some(Node::Branch(children)) => self.above.push(children.iter()),
            }
        }
    }
}

impl<'a, T> IntoIterator for &'a Trie<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers of which many share their first bits, and some all of them.
    fn number(key: u32) -> u64 {
        match key % 3 {
            0 => u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            1 => u64::from(key) << 40,
            _ => u64::from(key % 7),
        }
    }

    fn put(trie: &mut Trie<(u32, u32)>, key: u32, value: u32) -> Option<(u32, u32)> {
        trie.insert(number(key), (key, value), |known| known.0 == key)
    }

    #[test]
    fn it_holds_what_a_plain_map_holds_and_earlier_ones_stay_as_they_were() {
        let mut trie = Trie::<(u32, u32)>::default();
        let mut map = BTreeMap::new();
        let mut random = 7_u64;
        let mut earlier = Vec::new();
        for step in 0..20_000_u32 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let key = (random >> 40) as u32 % 3_000;
            if random >> 33 & 3 == 0 {
                let gone = trie.remove(number(key), |known| known.0 == key);
                assert_eq!(gone.map(|(_, value)| value), map.remove(&key));
            } else {
                let before = put(&mut trie, key, step);
                assert_eq!(before.map(|(_, value)| value), map.insert(key, step));
            }
            if step % 2_000 == 0 {
                earlier.push((trie.clone(), map.clone()));
            }
        }
        earlier.push((trie, map));
        for (trie, map) in earlier {
            assert_eq!(trie.len(), map.len());
            let all: BTreeMap<u32, u32> = trie.iter().copied().collect();
            assert_eq!(all, map);
            for key in 0..3_000 {
                let found = trie.get(number(key), |known| known.0 == key);
                assert_eq!(found.map(|(_, value)| value), map.get(&key));
            }
        }
    }

    #[test]
    fn one_change_copies_one_path() {
        let mut trie = Trie::default();
        let entries: Vec<Arc<u64>> = (0..100_000).map(Arc::new).collect();
        let of = |entry: &Arc<u64>| entry.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for entry in &entries {
            trie.insert(of(entry), entry.clone(), |known| known == entry);
        }
        let mut next = trie.clone();
        next.remove(of(&entries[7]), |known| *known == entries[7]);
        let copied = entries.iter().filter(|entry| Arc::strong_count(entry) > 2);
        assert!(copied.count() <= LEAF);
        assert_eq!((trie.len(), next.len()), (100_000, 99_999));
    }
}

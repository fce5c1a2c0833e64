//! One part of the memory tier, under one lock: which responses it has, in which order they go, and which are let in.
//!
//! W-TinyLFU (Einziger, Eytan, Friedman, Manes, "Adaptive Software Cache Management"): what is new waits in a small window; who
//! leaves it must have been asked for more often than those who would have to go for it, so that a scan, whose keys come once,
//! displaces nothing. What is asked for again is protected. Sizes count: one large response must be worth all the small ones it
//! takes the room of. A zone that has its share full displaces its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Body, Entry};
use super::lists::{Linked, Links, List};
use super::sketch::Sketch;

/// The most responses for one URL: under other keys of it, or for other values of what they vary by.
pub const MOST_VARIANTS: usize = 32;

/// How many of what is let in are recent, of a hundred.
const WINDOW: usize = 2;
/// How many of the others are protected, of a hundred.
const PROTECTED: usize = 80;

/// Which part of the order a response is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Window,
    Probation,
    Protected,
}

#[derive(Debug)]
struct Node {
    entry: Arc<Entry>,
    key: Arc<[u8]>,
    url: u64,
    /// Of the key, for the sketch.
    hash: u64,
    bytes: usize,
    segment: Segment,
    in_segment: Links,
    in_zone: Links,
}

/// Bounds, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of all.
    pub(super) bytes: usize,
    /// Of one zone.
    pub(super) zone: usize,
    /// Of one response.
    pub(super) entry: usize,
}

/// Why a response was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It is larger than any may be.
    TooLarge,
    /// What would have to go for it is asked for more often.
    Unpopular,
    /// It was purged while it came.
    Purged,
    /// What it is to take the place of is not stored any more.
    Replaced,
}

#[derive(Debug, Default)]
struct Nodes(Vec<Option<Node>>);

impl Nodes {
    fn get(&self, number: u32) -> Option<&Node> {
        self.0.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Node> {
        self.0.get_mut(number as usize)?.as_mut()
    }
}

/// The links of segments, and those of zones.
struct Segments<'n>(&'n mut Nodes);
struct Zones<'n>(&'n mut Nodes);

impl Linked for Segments<'_> {
    fn links(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number).map(|node| &mut node.in_segment)
    }
}

impl Linked for Zones<'_> {
    fn links(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number).map(|node| &mut node.in_zone)
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    nodes: Nodes,
    free: Vec<u32>,
    urls: HashMap<u64, Vec<u32>, super::Plain>,
    window: List,
    probation: List,
    protected: List,
    zones: HashMap<u64, List>,
    sketch: Sketch,
    bounds: Bounds,
}

impl Shard {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            nodes: Nodes::default(),
            free: Vec::new(),
            urls: HashMap::default(),
            window: List::default(),
            probation: List::default(),
            protected: List::default(),
            zones: HashMap::new(),
            sketch: Sketch::new(bounds.bytes / 2_048),
            bounds,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.window.bytes + self.probation.bytes + self.protected.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.0.len() - self.free.len()
    }

    pub(super) fn zone_bytes(&self, zone: u64) -> usize {
        self.zones.get(&zone).map_or(0, |list| list.bytes)
    }

    /// The key was asked for: this is what the sketch counts.
    pub(super) fn count(&mut self, hash: u64) {
        self.sketch.count(hash);
    }

    /// How often it was, of late.
    pub(super) fn frequency(&self, hash: u64) -> u64 {
        self.sketch.frequency(hash)
    }

    /// All responses for a key, with their numbers.
    pub(super) fn of_key(&self, url: u64, key: &[u8]) -> impl Iterator<Item = (u32, &Arc<Entry>)> {
        let numbers = self.urls.get(&url).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|number| {
            let node = self.nodes.get(*number)?;
            (*node.key == *key).then_some((*number, &node.entry))
        })
    }

    /// A response was used. Nothing happens where the number names another one by now.
    pub(super) fn touch(&mut self, number: u32, entry: &Arc<Entry>) {
        let found = self.nodes.get(number);
        let Some(node) = found.filter(|node| Arc::ptr_eq(&node.entry, entry)) else {
            return;
        };
        let (segment, zone, bytes) = (node.segment, entry.stamp.zone, node.bytes);
        self.unlink_segment(number);
        let to = match segment {
            Segment::Window => Segment::Window,
            Segment::Probation | Segment::Protected => Segment::Protected,
        };
        self.link_segment(number, to);
        if let Some(list) = self.zones.get_mut(&zone) {
            list.remove(&mut Zones(&mut self.nodes), number, bytes);
            list.push(&mut Zones(&mut self.nodes), number, bytes);
        }
        let most = self.main() * PROTECTED / 100;
        while self.protected.bytes > most && self.protected.oldest != self.protected.newest {
            let oldest = self.protected.oldest;
            self.unlink_segment(oldest);
            self.link_segment(oldest, Segment::Probation);
        }
    }

    /// Lets a response in, in place of one of the same key that is for the same requests.
    pub(super) fn insert(
        &mut self,
        url: u64,
        hash: u64,
        key: &Arc<[u8]>,
        entry: Arc<Entry>,
    ) -> Result<(), Outside> {
        let bytes = entry.bytes(key.len());
        let replaced = self
            .of_key(url, key)
            .find(|(_, other)| other.vary == entry.vary && other.selecting == entry.selecting)
            .map(|(number, _)| number);
        let mut segment = Segment::Window;
        if let Some(number) = replaced {
            segment = self.nodes.get(number).map_or(segment, |node| node.segment);
            self.remove(number);
        }
        if bytes > self.bounds.entry {
            return Err(Outside::TooLarge);
        }
        let variants = self.urls.get(&url).map_or(0, Vec::len);
        if variants >= MOST_VARIANTS
            && let Some(oldest) = self.urls.get(&url).and_then(|numbers| numbers.first())
        {
            self.remove(*oldest);
        }
        let zone = entry.stamp.zone;
        let number = self.place(Node {
            entry,
            key: Arc::clone(key),
            url,
            hash,
            bytes,
            segment,
            in_segment: Links::default(),
            in_zone: Links::default(),
        });
        self.urls.entry(url).or_default().push(number);
        self.link_segment(number, segment);
        let list = self.zones.entry(zone).or_default();
        list.push(&mut Zones(&mut self.nodes), number, bytes);
        self.keep_share(zone, number);
        self.keep_bounds();
        match self.nodes.get(number).is_some_and(|node| node.url == url) {
            true => Ok(()),
            false => Err(Outside::Unpopular),
        }
    }

    /// A response that is here takes more: it is kept in another coding.
    pub(super) fn pack(
        &mut self,
        number: u32,
        coding: usize,
        packed: Option<Body>,
    ) -> Result<(), Outside> {
        let more = packed.as_ref().map_or(0, |body| body.length() as usize);
        let node = self.nodes.get(number).ok_or(Outside::Purged)?;
        if node.bytes + more > self.bounds.entry {
            return Err(Outside::TooLarge);
        }
        if !node.entry.body.packed().set(coding, packed) {
            return Ok(());
        }
        let (segment, zone, bytes) = (node.segment, node.entry.stamp.zone, node.bytes);
        self.unlink_segment(number);
        if let Some(list) = self.zones.get_mut(&zone) {
            list.remove(&mut Zones(&mut self.nodes), number, bytes);
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.bytes += more;
        }
        self.link_segment(number, segment);
        let list = self.zones.entry(zone).or_default();
        list.push(&mut Zones(&mut self.nodes), number, bytes + more);
        self.keep_share(zone, number);
        self.keep_bounds();
        Ok(())
    }

    /// Takes out all for a URL.
    pub(super) fn remove_url(&mut self, url: u64) {
        for number in self.urls.remove(&url).unwrap_or_default() {
            self.remove(number);
        }
    }

    /// Shows all for a URL.
    pub(super) fn each_of_url(&self, url: u64, show: impl Fn(&Entry)) {
        let numbers = self.urls.get(&url).map_or(&[][..], Vec::as_slice);
        let nodes = numbers.iter().filter_map(|number| self.nodes.get(*number));
        nodes.for_each(|node| show(&node.entry));
    }

    /// Takes out one, where the number still names it.
    pub(super) fn remove_entry(&mut self, number: u32, entry: &Arc<Entry>) {
        let found = self.nodes.get(number);
        if found.is_some_and(|node| Arc::ptr_eq(&node.entry, entry)) {
            self.remove(number);
        }
    }

    /// Takes out those that are gone, of at most `most` places from this one on; tells where to go on, none at the end.
    pub(super) fn sweep(
        &mut self,
        from: usize,
        most: usize,
        is_gone: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let end = (from + most).min(self.nodes.0.len());
        for number in from..end {
            let number = number as u32;
            if self
                .nodes
                .get(number)
                .is_some_and(|node| is_gone(&node.entry))
            {
                self.remove(number);
            }
        }
        (end < self.nodes.0.len()).then_some(end)
    }

    /// Room for what is not in the window.
    const fn main(&self) -> usize {
        self.bounds.bytes - self.bounds.bytes * WINDOW / 100
    }

    /// A zone over its share displaces its own, the new one included.
    fn keep_share(&mut self, zone: u64, new: u32) {
        while let Some(list) = self.zones.get(&zone)
            && list.bytes > self.bounds.zone
        {
            let oldest = list.oldest;
            let frequency = |number| {
                self.nodes
                    .get(number)
                    .map(|n| self.sketch.frequency(n.hash))
            };
            let stays = oldest == new || frequency(oldest) >= frequency(new);
            let goes = if stays && self.nodes.get(new).is_some() {
                new
            } else {
                oldest
            };
            if !self.remove(goes) {
                return;
            }
        }
    }

    /// Who leaves the window is let in, or goes.
    fn keep_bounds(&mut self) {
        let most = self.bounds.bytes - self.main();
        while self.window.bytes > most || self.bytes() > self.bounds.bytes {
            let oldest = self.window.oldest;
            let Some(node) = self.nodes.get(oldest) else {
                // All of the others are too many: it was a replacement that grew.
                let victim = self.victims().next();
                match victim {
                    Some(victim) if self.remove(victim) => continue,
                    _ => return,
                }
            };
            let (hash, bytes) = (node.hash, node.bytes);
            if self.admit(hash, bytes) {
                self.unlink_segment(oldest);
                self.link_segment(oldest, Segment::Probation);
            } else {
                self.remove(oldest);
            }
        }
    }

    /// Makes room for so many bytes outside the window, if who asks for it is worth more than those who have it.
    fn admit(&mut self, hash: u64, bytes: usize) -> bool {
        let used = self.probation.bytes + self.protected.bytes;
        let Some(needed) = (used + bytes)
            .checked_sub(self.main())
            .filter(|more| *more > 0)
        else {
            return true;
        };
        let worth = self.sketch.frequency(hash);
        let (mut freed, mut lost) = (0, 0);
        let mut victims = Vec::new();
        for victim in self.victims() {
            let Some(node) = self.nodes.get(victim) else {
                break;
            };
            lost += self.sketch.frequency(node.hash);
            if lost >= worth {
                return false;
            }
            freed += node.bytes;
            victims.push(victim);
            if freed >= needed {
                break;
            }
        }
        if freed < needed {
            return false;
        }
        for victim in victims {
            self.remove(victim);
        }
        true
    }

    /// Those outside the window, who would go first first.
    fn victims(&self) -> impl Iterator<Item = u32> {
        let newer = |number: &u32| self.nodes.get(*number).map(|node| node.in_segment.newer);
        let is_there = |number: &u32| self.nodes.get(*number).is_some();
        let from =
            move |list: &List| std::iter::successors(Some(list.oldest), newer).take_while(is_there);
        from(&self.probation).chain(from(&self.protected))
    }

    fn place(&mut self, node: Node) -> u32 {
        match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.nodes.0.get_mut(number as usize) {
                    *place = Some(node);
                }
                number
            }
            None => {
                self.nodes.0.push(Some(node));
                self.nodes.0.len() as u32 - 1
            }
        }
    }

    /// Takes a node out of everything; false where there is none.
    fn remove(&mut self, number: u32) -> bool {
        self.unlink_segment(number);
        let Some(node) = self.nodes.get(number) else {
            return false;
        };
        let (zone, bytes, url) = (node.entry.stamp.zone, node.bytes, node.url);
        if let Some(list) = self.zones.get_mut(&zone) {
            list.remove(&mut Zones(&mut self.nodes), number, bytes);
            if list.bytes == 0 {
                self.zones.remove(&zone);
            }
        }
        if let Some(numbers) = self.urls.get_mut(&url) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.urls.remove(&url);
            }
        }
        if let Some(place) = self.nodes.0.get_mut(number as usize) {
            *place = None;
        }
        self.free.push(number);
        true
    }

    fn segment(&mut self, segment: Segment) -> (&mut List, Segments<'_>) {
        let list = match segment {
            Segment::Window => &mut self.window,
            Segment::Probation => &mut self.probation,
            Segment::Protected => &mut self.protected,
        };
        (list, Segments(&mut self.nodes))
    }

    fn unlink_segment(&mut self, number: u32) {
        if let Some(node) = self.nodes.get(number) {
            let (segment, bytes) = (node.segment, node.bytes);
            let (list, mut nodes) = self.segment(segment);
            list.remove(&mut nodes, number, bytes);
        }
    }

    fn link_segment(&mut self, number: u32, segment: Segment) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.segment = segment;
            let bytes = node.bytes;
            let (list, mut nodes) = self.segment(segment);
            list.push(&mut nodes, number, bytes);
        }
    }
}

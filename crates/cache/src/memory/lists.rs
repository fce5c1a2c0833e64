//! Lists through the nodes of a shard: each node is in the one of its segment and in the one of its zone.
//!
//! Nodes are named by their number. A number that names no node is no panic: it is as if the list ended there.

/// No node.
pub(super) const NOBODY: u32 = u32::MAX;

/// The two neighbours of a node in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) newer: u32,
    pub(super) older: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            newer: NOBODY,
            older: NOBODY,
        }
    }
}

/// The ends of a list, and how many bytes are in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) bytes: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NOBODY,
            oldest: NOBODY,
            bytes: 0,
        }
    }
}

/// Where the links of one kind are in a node.
pub(super) trait Linked {
    /// The links of a node; none where the number names none.
    fn links(&mut self, number: u32) -> Option<&mut Links>;
}

impl List {
    /// Puts a node at the newest end.
    pub(super) fn push(&mut self, nodes: &mut impl Linked, number: u32, bytes: usize) {
        if let Some(links) = nodes.links(number) {
            *links = Links {
                newer: NOBODY,
                older: self.newest,
            };
        }
        match nodes.links(self.newest) {
            Some(before) => before.newer = number,
            None => self.oldest = number,
        }
        self.newest = number;
        self.bytes += bytes;
    }

    /// Takes a node out that is in it.
    pub(super) fn remove(&mut self, nodes: &mut impl Linked, number: u32, bytes: usize) {
        let Some(Links { newer, older }) = nodes.links(number).map(|links| *links) else {
            return;
        };
        match nodes.links(newer) {
            Some(links) => links.older = older,
            None => self.newest = older,
        }
        match nodes.links(older) {
            Some(links) => links.newer = newer,
            None => self.oldest = newer,
        }
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

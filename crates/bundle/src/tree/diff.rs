//! The reader's side: what has changed between two trees, without fetching what has not.
//!
//! [`Diff`] does no IO. It says which objects it wants, is given them, and tells changes; whoever drives it fetches as many
//! at a time as it likes. Compared with [`Root::empty`] it is a resync.

use std::collections::HashMap;

use super::leaf::Placed;
use super::place::Prefix;
use super::root::{Platform, Root};
use super::update::{halves, open, read};
use super::{Kind, Link, Part};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::refused::Refused;
use crate::version::Zone;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The platform's version is another one now. Told first.
    Platform(Option<Platform>),
    /// A zone is new, or in another version.
    Upserted(Zone),
    /// A zone is live no more.
    Removed(String),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch these objects, at least the first, and give them. They are all that the tree is made of besides the root, so that of a
    /// walk from nothing they are also the list for a backup, or of what must not be collected.
    Want(Vec<Hash>),
    /// Some changes, in no order. Each zone is told of once.
    Changes(Vec<Change>),
    /// That was all.
    Done,
}

/// A walk through two trees at once. Memory: what is wanted at a time ([`Limits::window`], [`Limits::window_bytes`]) and some hundred
/// KiB.
#[derive(Debug)]
pub struct Diff {
    limits: Limits,
    /// The last is next.
    tasks: Vec<Task>,
    /// What was given and not used yet, unpacked.
    given: HashMap<Hash, Vec<u8>>,
    changes: Vec<Change>,
}

/// Two subtrees of one place, to be compared.
#[derive(Debug)]
struct Task {
    at: Prefix,
    old: Part,
    new: Part,
}

impl Diff {
    /// What must happen to `old` to become `new`.
    #[must_use]
    pub fn new(old: &Root, new: &Root, limits: &Limits) -> Self {
        let changed = old.platform() != new.platform();
        let mut diff = Self {
            limits: limits.clone(),
            tasks: Vec::new(),
            given: HashMap::new(),
            changes: changed
                .then(|| Change::Platform(new.platform()))
                .into_iter()
                .collect(),
        };
        // Nothing can fail at the root: it is not as deep as a hash is long.
        let _ = diff.push(Prefix::ROOT, old.top().clone(), new.top().clone());
        diff
    }

    /// Goes on as far as it can with what it was given.
    ///
    /// # Errors
    /// An object holds what it must not. What was told so far must not be used, since the new tree as a whole is not to be trusted.
    pub fn step(&mut self) -> Result<Step, Refused> {
        while self.changes.is_empty() {
            let Some(mut task) = self.tasks.pop() else {
                return Ok(Step::Done);
            };
            let old = self.load(task.at, &mut task.old)?;
            let new = self.load(task.at, &mut task.new)?;
            if !(old && new) {
                self.tasks.push(task);
                return Ok(Step::Want(self.wanted()));
            }
            self.push(task.at, task.old, task.new)?;
        }
        Ok(Step::Changes(std::mem::take(&mut self.changes)))
    }

    /// Gives an object that was wanted. One that is not wanted is ignored.
    ///
    /// # Errors
    /// As [`crate::Object::open`]: it is not what its name says. Another source may have the right one; nothing was changed.
    pub fn give(&mut self, name: &Hash, packed: &[u8]) -> Result<(), Refused> {
        let Some(link) = self.links().find(|link| link.object == *name).copied() else {
            return Ok(());
        };
        let content = open(&link, packed, &self.limits)?;
        self.given.insert(*name, content);
        Ok(())
    }

    /// The links that stand first, in order of need.
    fn links(&self) -> impl Iterator<Item = &Link> {
        let parts = self.tasks.iter().rev().take(self.limits.window.max(1));
        parts
            .flat_map(|task| [&task.old, &task.new])
            .filter_map(|part| match part {
                Part::Link(link) => Some(link),
                Part::Zones(_) | Part::Split(_) => None,
            })
    }

    fn wanted(&self) -> Vec<Hash> {
        let mut wanted = Vec::new();
        let mut bytes = self.given.values().map(Vec::len).sum::<usize>() as u64;
        for link in self.links() {
            if self.given.contains_key(&link.object) || wanted.contains(&link.object) {
                continue;
            }
            bytes = bytes.saturating_add(match link.kind {
                Kind::Leaf => link.size.bytes,
                Kind::Node => super::node::NODE_BYTES as u64,
            });
            if !wanted.is_empty() && bytes > self.limits.window_bytes as u64 {
                break;
            }
            wanted.push(link.object);
        }
        wanted
    }

    /// Puts what a link names in its place, if it is at hand. Whether it was.
    fn load(&mut self, at: Prefix, part: &mut Part) -> Result<bool, Refused> {
        let Part::Link(link) = part else {
            return Ok(true);
        };
        let Some(content) = self.given.remove(&link.object) else {
            return Ok(false);
        };
        *part = read(at, link, &content, &self.limits)?;
        Ok(true)
    }

    /// Notes two subtrees to be compared, or compares them.
    fn push(&mut self, at: Prefix, old: Part, new: Part) -> Result<(), Refused> {
        if same(&old, &new) {
            return Ok(());
        }
        let ((old_left, old_right), (new_left, new_right)) = match (old, new) {
            (old @ Part::Link(_), new) | (old, new @ Part::Link(_)) => {
                self.tasks.push(Task { at, old, new });
                return Ok(());
            }
            (Part::Zones(old), Part::Zones(new)) => {
                compare(old, new, &mut self.changes);
                return Ok(());
            }
            (Part::Split(old), Part::Split(new)) => (*old, *new),
            (Part::Split(old), Part::Zones(new)) => (*old, cut(at, new)),
            (Part::Zones(old), Part::Split(new)) => (cut(at, old), *new),
        };
        let (left, right) = halves(at)?;
        // The left one comes first, so it is noted last.
        self.push(right, old_right, new_right)?;
        self.push(left, old_left, new_left)
    }
}

/// Whether two subtrees are the same by what is known of them without looking further.
fn same(old: &Part, new: &Part) -> bool {
    match (old, new) {
        (Part::Link(old), Part::Link(new)) => old == new,
        (Part::Zones(old), Part::Zones(new)) => old.is_empty() && new.is_empty(),
        _ => false,
    }
}

fn cut(at: Prefix, mut zones: Vec<Placed>) -> (Part, Part) {
    let right = zones.split_off(zones.partition_point(|zone| !at.is_right(&zone.place)));
    (Part::Zones(zones), Part::Zones(right))
}

fn compare(old: Vec<Placed>, new: Vec<Placed>, changes: &mut Vec<Change>) {
    let mut old = old.into_iter().peekable();
    for zone in new {
        while let Some(gone) = old.next_if(|other| other.place < zone.place) {
            changes.push(Change::Removed(gone.zone.name));
        }
        let before = old.next_if(|other| other.place == zone.place);
        if before.is_none_or(|before| before.zone != zone.zone) {
            changes.push(Change::Upserted(zone.zone));
        }
    }
    changes.extend(old.map(|gone| Change::Removed(gone.zone.name)));
}

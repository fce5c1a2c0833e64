//! Changes of heads, worked out by stages and made by the runner.

use seawall_model::{Fields, RequestHead};

/// Changes of a head's fields: names taken out first, then fields put in.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Names taken out: those removed and those set.
    pub remove: Box<[Box<[u8]>]>,
    /// Fields put in.
    pub put: Fields,
}

impl Edits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.put.is_empty()
    }

    /// Makes the changes.
    pub fn apply(&self, fields: &mut Fields) {
        for name in &self.remove {
            fields.remove_named(name);
        }
        for field in self.put.iter() {
            fields.push(field.name, field.value);
        }
    }
}

/// A change of a request's head.
#[derive(Clone, Debug, Default)]
pub struct HeadEdit {
    /// The new path and query, if they change.
    pub target: Option<Vec<u8>>,
    /// Of its fields.
    pub fields: Edits,
}

impl HeadEdit {
    /// Makes the change.
    pub fn apply(&self, head: &mut RequestHead) {
        if let Some(target) = &self.target {
            head.target_span = head.fields.store(target);
        }
        if !self.fields.is_empty() {
            self.fields.apply(&mut head.fields);
        }
    }
}

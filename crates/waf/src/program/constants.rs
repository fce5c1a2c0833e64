//! Texts that rules set as they stand, each once: nobody copies them for a request.

use std::collections::HashMap;

/// The number of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConstantId(u32);

/// All constants of a program.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    all: Vec<Vec<u8>>,
    by_text: HashMap<Vec<u8>, ConstantId>,
}

impl Constants {
    /// The number of a text, which is given if it has none.
    pub(super) fn add(&mut self, text: &[u8]) -> ConstantId {
        if let Some(id) = self.by_text.get(text) {
            return *id;
        }
        let id = ConstantId(self.all.len() as u32);
        self.all.push(text.to_vec());
        self.by_text.insert(text.to_vec(), id);
        id
    }

    /// The text of a number.
    pub(crate) fn text(&self, id: ConstantId) -> &[u8] {
        self.all.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }
}

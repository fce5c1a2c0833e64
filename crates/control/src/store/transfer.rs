//! The whole of a store brought into another one, of whatever kind: entries as they were written, with their hashes.

use std::collections::HashSet;

use super::entry::Body;
use super::{ConfigStore, StoreError};
use crate::contents;

/// Entries that are taken in at once.
const PAGE: usize = 1_000;
/// Bytes of documents and their files that are taken in at once; a document that has more comes alone.
const LOAD: usize = 16 << 20;

/// Brings all of a log, as it is when this begins, into a store that is empty or has the beginning of the same log. Takes time
/// linear in it; the answer is the number of its last entry.
///
/// # Errors
/// What either store cannot do now; [`StoreError::Refused`] if what is there already is another log.
pub fn transfer(from: &mut dyn ConfigStore, to: &mut dyn ConfigStore) -> Result<u64, StoreError> {
    let end = from.last()?;
    let mut next = to.last()? + 1;
    // What many versions name is brought once.
    let mut brought = HashSet::new();
    while next <= end {
        let mut entries = from.log(next, PAGE)?;
        let (mut documents, mut bytes) = (Vec::new(), 0);
        let mut taken = 0;
        for entry in &entries {
            if entry.seq > end || bytes >= LOAD {
                break;
            }
            if let Body::VersionCreated { document, .. } = &entry.body
                && let Some(text) = from.document(document)?
            {
                for file in contents::files(&text) {
                    if brought.insert(file.hash)
                        && let Some(content) = from.content(&file.hash)?
                    {
                        bytes += content.len();
                        documents.push(content);
                    }
                }
                bytes += text.len();
                documents.push(text.into_bytes());
            }
            taken += 1;
        }
        entries.truncate(taken);
        let Some(last) = entries.last() else { break };
        next = last.seq + 1;
        to.take_in(&entries, &documents)?;
    }
    to.last()
}

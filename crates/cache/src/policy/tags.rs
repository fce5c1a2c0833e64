//! The tags of a response, by which it can be purged: `Cache-Tag` (commas between) and `Surrogate-Key` (spaces between).

use seawall_model::Fields;

use crate::fields;

/// The most tags by which one response is purged. One with more is met by each purge of a tag in its zone: more than was asked for, never
/// less.
pub const MOST_TAGS: usize = 128;

/// The tags, and of too many one more than there may be.
pub fn tags(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let by_comma = fields::members(fields, b"cache-tag");
    let by_space = fields::values(fields, b"surrogate-key")
        .flat_map(|line| line.split(u8::is_ascii_whitespace))
        .filter(|tag| !tag.is_empty());
    by_comma.chain(by_space).take(MOST_TAGS + 1)
}

//! Structured fields (RFC 9651), read and written: targeted cache control (RFC 9213) is a dictionary, `Cache-Status`
//! (RFC 9211) a list.
//!
//! Strict, as §4.2 demands: what does not parse as a whole is no field at all. Linear in the length of the field. Not here:
//! what a member means.

mod parse;
mod write;

use std::borrow::Cow;

pub use parse::{Malformed, dictionary, list};
pub use write::{write_item, write_string};

/// A value without parameters (§3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare<'a> {
    /// §3.3.1: at most 15 digits.
    Integer(i64),
    /// §3.3.2, in thousandths: it has three digits behind the point at most.
    Decimal(i64),
    /// §3.3.3: visible ASCII and spaces, without its quotes and backslashes.
    String(Cow<'a, str>),
    /// §3.3.4.
    Token(&'a str),
    /// §3.3.5, decoded.
    Bytes(Vec<u8>),
    /// §3.3.6.
    Boolean(bool),
    /// §3.3.7: seconds since 1970.
    Date(i64),
    /// §3.3.8, decoded.
    Display(String),
}

/// Parameters in their order (§3.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a>(Vec<(&'a str, Bare<'a>)>);

impl<'a> Parameters<'a> {
    /// The value of a key: the last one where it stands several times.
    pub fn get(&self, key: &str) -> Option<&Bare<'a>> {
        last(&self.0, key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Bare<'a>)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }
}

/// A value with its parameters (§3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub bare: Bare<'a>,
    /// Its parameters.
    pub parameters: Parameters<'a>,
}

/// What a list or a dictionary has (§3.1, §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// A single value.
    Item(Item<'a>),
    /// An inner list (§3.1.1).
    Inner(Vec<Item<'a>>, Parameters<'a>),
}

impl<'a> Member<'a> {
    /// Its value, where it is a single one.
    pub const fn bare(&self) -> Option<&Bare<'a>> {
        match self {
            Self::Item(item) => Some(&item.bare),
            Self::Inner(..) => None,
        }
    }
}

/// A dictionary (§3.2), in the order in which it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary<'a>(Vec<(&'a str, Member<'a>)>);

impl<'a> Dictionary<'a> {
    /// The member of a key: the last one where it stands several times (§4.2.2).
    pub fn get(&self, key: &str) -> Option<&Member<'a>> {
        last(&self.0, key)
    }

    /// Whether it has no member: such a field counts as absent (§3.2).
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All members, those that a later one of the same key replaces included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Member<'a>)> {
        self.0.iter().map(|(key, member)| (*key, member))
    }
}

fn last<'v, V>(pairs: &'v [(&str, V)], key: &str) -> Option<&'v V> {
    let found = pairs.iter().rev().find(|(name, _)| *name == key);
    found.map(|(_, value)| value)
}

#[cfg(test)]
mod tests;

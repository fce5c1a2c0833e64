//! What a comparison looks at: texts, numbers, addresses, yes or no, as a request has them.
//!
//! Reading one allocates nothing once a thread is warm: a text is a piece of the request, or is made in memory that the thread keeps
//! ([`Scratch`]). What it costs is paid before. A value that is not there (a header line, a key of JSON) is none, and so is
//! whatever is made of it.

mod arrays;
mod fields;
mod made;
mod numbers;

use seawall_model::{Fuel, RequestView, Spent};

use crate::scratch::Scratch;
pub(crate) use arrays::{Array, Header, Map};
pub(crate) use fields::Plain;
pub(crate) use made::Make;
pub(crate) use numbers::{Address, Number, Truth, Whose};

/// Bytes for one unit where they are copied.
pub(crate) const COPIED: u64 = 24;

/// What is looked at: the request, and within `any` or `all` the element that is asked just now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'v> {
    pub(crate) view: &'v RequestView<'v>,
    pub(crate) each: &'v [u8],
}

impl<'v> Seen<'v> {
    pub(crate) const fn new(view: &'v RequestView<'v>) -> Self {
        Self { view, each: b"" }
    }
}

/// In which case a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Case {
    AsSent,
    Lower,
    Upper,
}

impl Case {
    /// A byte in this case.
    #[inline]
    pub(crate) const fn of(self, byte: u8) -> u8 {
        match self {
            Self::AsSent => byte,
            Self::Lower => byte.to_ascii_lowercase(),
            Self::Upper => byte.to_ascii_uppercase(),
        }
    }

    /// Puts bytes into this case.
    pub(crate) const fn apply(self, bytes: &mut [u8]) {
        match self {
            Self::AsSent => {}
            Self::Lower => bytes.make_ascii_lowercase(),
            Self::Upper => bytes.make_ascii_uppercase(),
        }
    }
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Plain(Plain),
    /// The n-th element, counted from 0.
    Item(Box<Array>, u16),
    /// The element that `any` or `all` asks just now.
    Each,
    /// As it stands in the expression.
    Literal(Box<[u8]>),
    /// By a function.
    Made(Box<Make>),
}

/// A text and the case in which it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    pub(crate) source: Source,
    pub(crate) case: Case,
}

/// A text that was read.
#[derive(Debug)]
pub(crate) enum Read<'v> {
    /// A piece of the request, or of the expression.
    There(&'v [u8]),
    Made(Scratch),
}

impl Read<'_> {
    /// Its bytes, as they were read.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::There(bytes) => bytes,
            Self::Made(scratch) => scratch.text(),
        }
    }

    /// Its bytes in this case: made, unless they may stay as they are.
    pub(crate) fn folded(self, case: Case, fuel: &mut Fuel) -> Result<Self, Spent> {
        if case == Case::AsSent {
            return Ok(self);
        }
        fuel.spend(10 + self.bytes().len() as u64 / COPIED)?;
        let mut scratch = match self {
            Self::Made(scratch) => scratch,
            Self::There(bytes) => {
                let mut scratch = Scratch::new();
                scratch.out().extend_from_slice(bytes);
                scratch
            }
        };
        case.apply(scratch.out());
        Ok(Self::Made(scratch))
    }
}

impl Text {
    pub(crate) const fn new(source: Source) -> Self {
        Self {
            source,
            case: Case::AsSent,
        }
    }

    /// Reads it, not in its case yet; none where what it asks for is not there.
    #[inline]
    pub(crate) fn read<'v>(
        &'v self,
        seen: Seen<'v>,
        fuel: &mut Fuel,
    ) -> Result<Option<Read<'v>>, Spent> {
        match &self.source {
            Source::Plain(plain) => plain.read(seen.view, fuel).map(Some),
            Source::Item(array, nth) => array.item(*nth, seen, fuel),
            Source::Each => Ok(Some(Read::There(seen.each))),
            Source::Literal(text) => Ok(Some(Read::There(text))),
            Source::Made(make) => make.read(seen, fuel),
        }
    }

    /// Reads it, in its case.
    pub(crate) fn value<'v>(
        &'v self,
        seen: Seen<'v>,
        fuel: &mut Fuel,
    ) -> Result<Option<Read<'v>>, Spent> {
        match self.read(seen, fuel)? {
            Some(read) => read.folded(self.case, fuel).map(Some),
            None => Ok(None),
        }
    }
}

//! What a comparison asks of a value. What it costs is paid before it is asked.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use seawall_model::{Fuel, Spent};

use crate::hosts::HostSet;
use crate::networks::NetworkSet;
use crate::pattern::Pattern;
use crate::search::Needle;
use crate::sets::{NumberSet, TextSet};
use crate::value::{Case, Read};
use crate::wildcard::Wildcard;

/// Bytes compared for one unit, as they are.
const EQUAL: u64 = 48;
/// Bytes compared for one unit without regard to case.
const EQUAL_ANY_CASE: u64 = 12;
/// Bytes put in order, for one unit, without regard to case.
const ORDERED_ANY_CASE: u64 = 1;

/// A question about a text. Texts of it are in the case in which the value is read, so that comparing may ignore case then.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum TextCheck {
    Equals(Box<[u8]>),
    Begins(Box<[u8]>),
    Ends(Box<[u8]>),
    Contains(Box<Needle>),
    Matches(Shared<Pattern>),
    Wildcard(Box<Wildcard>),
    Among(Arc<TextSet>),
    Hosts(Shared<HostSet>),
}

/// What many share; the same only if it is in the same place.
#[derive(Debug)]
pub(crate) struct Shared<T>(pub(crate) Arc<T>);

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl TextCheck {
    pub(crate) fn contains(needle: &[u8]) -> Self {
        Self::Contains(Box::new(Needle::new(needle)))
    }

    /// The answer for a text that is read in this case.
    #[inline]
    pub(crate) fn holds(&self, read: Read<'_>, case: Case, fuel: &mut Fuel) -> Result<bool, Spent> {
        match self {
            Self::Equals(wanted) => {
                let text = read.bytes();
                Ok(text.len() == wanted.len() && same(text, wanted, case, fuel)?)
            }
            Self::Begins(wanted) => {
                let front = read.bytes().get(..wanted.len());
                front.map_or(Ok(false), |front| same(front, wanted, case, fuel))
            }
            Self::Ends(wanted) => {
                let text = read.bytes();
                let back = text
                    .len()
                    .checked_sub(wanted.len())
                    .and_then(|at| text.get(at..));
                back.map_or(Ok(false), |back| same(back, wanted, case, fuel))
            }
            Self::Contains(needle) => {
                let text = read.folded(case, fuel)?;
                Ok(needle.find(text.bytes(), fuel)?.is_some())
            }
            Self::Matches(pattern) => pattern.0.occurs(read.folded(case, fuel)?.bytes(), fuel),
            Self::Wildcard(wildcard) => {
                let case = match wildcard.case() {
                    Case::AsSent => case,
                    any => any,
                };
                let text = read.folded(case, fuel)?;
                wildcard.fits(text.bytes(), fuel, &mut Vec::new())
            }
            Self::Among(set) => among(set, read.bytes(), case, fuel),
            Self::Hosts(set) => {
                let text = read.folded(Case::Lower, fuel)?;
                set.0.has(text.bytes(), fuel)
            }
        }
    }
}

fn among(set: &TextSet, text: &[u8], case: Case, fuel: &mut Fuel) -> Result<bool, Spent> {
    fuel.spend(2 + 2 * set.steps())?;
    if !set.has_length(text.len()) {
        return Ok(false);
    }
    let per_unit = match case {
        Case::AsSent => EQUAL,
        Case::Lower | Case::Upper => ORDERED_ANY_CASE,
    };
    fuel.spend(set.steps() * (2 + text.len() as u64 / per_unit))?;
    Ok(set.has(text, case))
}

/// Whether two texts of one length are the same.
#[inline]
fn same(text: &[u8], wanted: &[u8], case: Case, fuel: &mut Fuel) -> Result<bool, Spent> {
    let per_unit = match case {
        Case::AsSent => EQUAL,
        Case::Lower | Case::Upper => EQUAL_ANY_CASE,
    };
    fuel.spend_bytes(text.len(), per_unit)?;
    Ok(match case {
        Case::AsSent => text == wanted,
        Case::Lower | Case::Upper => text.eq_ignore_ascii_case(wanted),
    })
}

/// A question about a number.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum NumberCheck {
    Equals(i64),
    Less(i64),
    LessOrEqual(i64),
    Greater(i64),
    GreaterOrEqual(i64),
    Among(Arc<NumberSet>),
}

impl NumberCheck {
    pub(crate) fn holds(&self, number: i64, fuel: &mut Fuel) -> Result<bool, Spent> {
        Ok(match self {
            Self::Equals(other) => number == *other,
            Self::Less(other) => number < *other,
            Self::LessOrEqual(other) => number <= *other,
            Self::Greater(other) => number > *other,
            Self::GreaterOrEqual(other) => number >= *other,
            Self::Among(set) => {
                fuel.spend(2 * set.steps())?;
                set.has(number)
            }
        })
    }
}

/// A question about an address.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressCheck {
    Equals(IpAddr),
    /// With the ranges of a set in braces, where they are not many.
    Among(Shared<NetworkSet>, Option<Box<[Span]>>),
}

/// The first address and the last one, both inside and of one version.
pub(crate) type Span = (IpAddr, IpAddr);

impl AddressCheck {
    /// The ranges of addresses that it asks for; of a large set none.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        let one = match self {
            Self::Equals(ip) => Some((*ip, *ip)),
            Self::Among(..) => None,
        };
        let many = match self {
            Self::Among(_, spans) => spans.as_deref().unwrap_or_default(),
            Self::Equals(_) => &[],
        };
        one.into_iter().chain(many.iter().copied())
    }

    pub(crate) fn holds(&self, ip: IpAddr, fuel: &mut Fuel) -> Result<bool, Spent> {
        match self {
            Self::Equals(other) => Ok(ip == *other),
            Self::Among(set, _) => {
                fuel.spend(set.0.price())?;
                Ok(set.0.contains(ip))
            }
        }
    }
}

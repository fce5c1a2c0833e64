//! What a comparison asks of a value. What it costs is paid before it is asked.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_model::{Fuel, Spent};

use crate::networks::NetworkSet;
use crate::pattern::Pattern;
use crate::scratch::Scratch;
use crate::search::Needle;
use crate::sets::{NumberSet, TextSet};
use crate::value::{Case, Read};

/// Bytes compared for one unit, as they are.
const EQUAL: u64 = 48;
/// Bytes compared for one unit without regard to case.
const EQUAL_ANY_CASE: u64 = 12;
/// Bytes put in order, for one unit, without regard to case.
const ORDERED_ANY_CASE: u64 = 1;
/// A question about a text. Texts of it are in the case in which the value is read, so that comparing may ignore case then.
#[derive(Debug)]
pub(crate) enum TextCheck {
    Equals(Box<[u8]>),
    Begins(Box<[u8]>),
    Ends(Box<[u8]>),
    Contains(Box<Needle>),
    Matches(Arc<Pattern>),
    Among(TextSet),
}

impl TextCheck {
    pub(crate) fn contains(needle: &[u8]) -> Self {
        Self::Contains(Box::new(Needle::new(needle)))
    }

    /// The answer for a text that is read in this case.
    #[inline]
    pub(crate) fn holds(
        &self,
        read: Read<'_>,
        case: Case,
        fuel: &mut Fuel,
        scratch: &mut Scratch,
    ) -> Result<bool, Spent> {
        match self {
            Self::Equals(wanted) => {
                let text = read.bytes(scratch);
                Ok(text.len() == wanted.len() && same(text, wanted, case, fuel)?)
            }
            Self::Begins(wanted) => {
                let front = read.bytes(scratch).get(..wanted.len());
                front.map_or(Ok(false), |front| same(front, wanted, case, fuel))
            }
            Self::Ends(wanted) => {
                let text = read.bytes(scratch);
                let back = text
                    .len()
                    .checked_sub(wanted.len())
                    .and_then(|at| text.get(at..));
                back.map_or(Ok(false), |back| same(back, wanted, case, fuel))
            }
            Self::Contains(needle) => {
                let text = read.folded(case, fuel, scratch)?;
                needle.is_in(text, fuel)
            }
            Self::Matches(pattern) => pattern.occurs(read.folded(case, fuel, scratch)?, fuel),
            Self::Among(set) => {
                fuel.spend(2 + 2 * set.steps())?;
                let text = read.bytes(scratch);
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
        }
    }
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
#[derive(Debug)]
pub(crate) enum NumberCheck {
    Equals(i64),
    Less(i64),
    LessOrEqual(i64),
    Greater(i64),
    GreaterOrEqual(i64),
    Among(NumberSet),
}

impl NumberCheck {
    pub(crate) fn holds(&self, number: i64) -> bool {
        match self {
            Self::Equals(other) => number == *other,
            Self::Less(other) => number < *other,
            Self::LessOrEqual(other) => number <= *other,
            Self::Greater(other) => number > *other,
            Self::GreaterOrEqual(other) => number >= *other,
            Self::Among(set) => set.has(number),
        }
    }
}

/// A question about an address.
#[derive(Debug)]
pub(crate) enum AddressCheck {
    Equals(IpAddr),
    Among(Arc<NetworkSet>),
}

impl AddressCheck {
    pub(crate) fn holds(&self, ip: IpAddr, fuel: &mut Fuel) -> Result<bool, Spent> {
        match self {
            Self::Equals(other) => Ok(ip == *other),
            Self::Among(set) => {
                fuel.spend(set.price())?;
                Ok(set.contains(ip))
            }
        }
    }
}

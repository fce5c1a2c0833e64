//! A compiled condition, and asking it of a request.

use std::sync::Arc;

use seawall_model::{Fuel, RequestView, Spent};

use crate::bounds::Bounds;
use crate::check::{AddressCheck, NumberCheck, TextCheck};
use crate::error::Error;
use crate::lists::Lists;
use crate::parse::{Names, Parser, Whole};
use crate::patterns::Patterns;
use crate::value::{Address, Array, Number, Seen, Text, Truth};

/// A condition on requests.
#[derive(Debug)]
pub struct Expression {
    source: Box<str>,
    pub(crate) root: Node,
    lists: Names,
    reads_path: bool,
}

impl Expression {
    /// Compiles a condition. Pure; time and memory are bounded by `bounds`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(source: &str, lists: &Lists, bounds: &Bounds) -> Result<Self, Error> {
        Self::parse_sharing(source, lists, bounds, &mut Patterns::unbounded())
    }

    /// As [`Expression::parse`]; patterns are shared with, and charged to, the zone that was begun last.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse_sharing(
        source: &str,
        lists: &Lists,
        bounds: &Bounds,
        patterns: &mut Patterns,
    ) -> Result<Self, Error> {
        let whole = Parser::new(source, lists, bounds, patterns).whole()?;
        let Whole {
            root,
            lists,
            reads_path,
        } = whole;
        Ok(Self {
            source: source.into(),
            root,
            lists,
            reads_path,
        })
    }

    /// Whether it holds for a request.
    ///
    /// # Errors
    /// [`Spent`] when there is not enough fuel to know.
    #[inline]
    pub fn matches(&self, view: &RequestView<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        self.root.holds(Seen::new(view), fuel)
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the lists that it refers to, without `$`, sorted, each once.
    pub fn lists(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(AsRef::as_ref)
    }

    /// Whether it asks the path, in whatever form, so that its answer hangs on how that is read.
    pub const fn reads_path(&self) -> bool {
        self.reads_path
    }
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Not(Box<Node>),
    All(Box<[Node]>),
    Any(Box<[Node]>),
    /// An odd number of them.
    Odd(Box<[Node]>),
    /// Shared with the sets that it stands in.
    Leaf(Arc<Leaf>),
}

/// A comparison, or what is yes or no by itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Leaf {
    Text(Text, TextCheck),
    Number(Number, NumberCheck),
    Address(Address, AddressCheck),
    Truth(Truth),
    Each(Array, Which, Node),
}

/// Of how many elements it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// At least one.
    Any,
    /// Every one, and there is one.
    All,
}

/// What visiting a node costs.
pub(crate) const NODE: u64 = 4;

impl From<Leaf> for Node {
    fn from(leaf: Leaf) -> Self {
        Self::Leaf(Arc::new(leaf))
    }
}

impl Node {
    /// Recurses as deep as parentheses are nested, which the parser has bounded.
    fn holds(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        fuel.spend(NODE)?;
        match self {
            Self::Not(node) => node.holds(seen, fuel).map(|holds| !holds),
            Self::All(nodes) => {
                for node in nodes {
                    if !node.holds(seen, fuel)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(nodes) => {
                for node in nodes {
                    if node.holds(seen, fuel)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Odd(nodes) => {
                let mut odd = false;
                for node in nodes {
                    odd ^= node.holds(seen, fuel)?;
                }
                Ok(odd)
            }
            Self::Leaf(leaf) => leaf.holds(seen, fuel),
        }
    }
}

impl Leaf {
    /// Nothing is equal to a value that is not there.
    #[inline]
    pub(crate) fn holds(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        match self {
            Self::Text(text, check) => match text.read(seen, fuel)? {
                Some(read) => check.holds(read, text.case, fuel),
                None => Ok(false),
            },
            Self::Number(number, check) => match number.read(seen, fuel)? {
                Some(number) => check.holds(number, fuel),
                None => Ok(false),
            },
            Self::Address(address, check) => check.holds(address.read(seen), fuel),
            Self::Truth(truth) => truth.read(seen, fuel),
            Self::Each(array, which, test) => each(array, *which, test, seen, fuel),
        }
    }
}

fn each(
    array: &Array,
    which: Which,
    test: &Node,
    seen: Seen<'_>,
    fuel: &mut Fuel,
) -> Result<bool, Spent> {
    let any = which == Which::Any;
    let (mut met, mut decided) = (false, None);
    array.each(seen, fuel, &mut |element, fuel| {
        let inner = Seen {
            view: seen.view,
            each: element,
        };
        if test.holds(inner, fuel)? == any {
            decided = Some(any);
        }
        met = true;
        Ok(decided.is_none())
    })?;
    Ok(decided.unwrap_or(met && !any))
}

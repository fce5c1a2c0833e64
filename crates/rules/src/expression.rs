//! A compiled condition, and asking it of a request.

use seawall_model::{Fuel, RequestView, Spent};

use crate::bounds::Bounds;
use crate::check::{AddressCheck, NumberCheck, TextCheck};
use crate::error::Error;
use crate::lists::Lists;
use crate::parse::{Names, Parser};
use crate::patterns::Patterns;
use crate::scratch::Scratch;
use crate::value::{Address, Number, Read, Text, Truth, each_line};

/// A condition on requests.
#[derive(Debug)]
pub struct Expression {
    source: Box<str>,
    root: Node,
    lists: Names,
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
        let (root, lists) = Parser::new(source, lists, bounds, patterns).whole()?;
        Ok(Self {
            source: source.into(),
            root,
            lists,
        })
    }

    /// Whether it holds for a request.
    ///
    /// # Errors
    /// [`Spent`] when there is not enough fuel to know.
    #[inline]
    pub fn matches(&self, view: &RequestView<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        self.root.holds(view, fuel)
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the lists that it refers to, without `$`, sorted, each once.
    pub fn lists(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(AsRef::as_ref)
    }
}

/// A part of a condition.
#[derive(Debug)]
pub(crate) enum Node {
    Not(Box<Node>),
    All(Box<[Node]>),
    Any(Box<[Node]>),
    /// An odd number of them.
    Odd(Box<[Node]>),
    Text(Box<TextTest>),
    Number(Number, NumberCheck),
    Address(Address, AddressCheck),
    Truth(Truth),
}

/// A question about a text.
#[derive(Debug)]
pub(crate) struct TextTest {
    pub(crate) text: Text,
    pub(crate) lines: Lines,
    pub(crate) check: TextCheck,
    /// The contrary of the check is wanted.
    pub(crate) contrary: bool,
}

/// Of how many texts it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Of the one there is.
    One,
    /// Of at least one line.
    Any,
    /// Of every line, and there is one.
    All,
}

/// What visiting a node costs.
const NODE: u64 = 4;

impl Node {
    /// Recurses as deep as parentheses are nested, which the parser has bounded.
    fn holds(&self, view: &RequestView<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        fuel.spend(NODE)?;
        match self {
            Self::Not(node) => node.holds(view, fuel).map(|holds| !holds),
            Self::All(nodes) => {
                for node in nodes {
                    if !node.holds(view, fuel)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(nodes) => {
                for node in nodes {
                    if node.holds(view, fuel)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Odd(nodes) => {
                let mut odd = false;
                for node in nodes {
                    odd ^= node.holds(view, fuel)?;
                }
                Ok(odd)
            }
            Self::Text(test) => test.holds(view, fuel),
            Self::Number(number, check) => {
                let number = number.read(view, fuel)?;
                Ok(number.is_some_and(|number| check.holds(number)))
            }
            Self::Address(address, check) => check.holds(address.read(view), fuel),
            Self::Truth(truth) => Ok(truth.read(view)),
        }
    }
}

impl TextTest {
    #[inline]
    fn holds(&self, view: &RequestView<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        let mut scratch = Scratch::default();
        if self.lines != Lines::One {
            return self.holds_of_lines(view, fuel, &mut scratch);
        }
        let Some(read) = self.text.read(view, fuel, &mut scratch)? else {
            // Nothing is equal to a line that is not there.
            return Ok(self.contrary);
        };
        let holds = self.check.holds(read, self.text.case, fuel, &mut scratch)?;
        Ok(holds != self.contrary)
    }

    fn holds_of_lines(
        &self,
        view: &RequestView<'_>,
        fuel: &mut Fuel,
        scratch: &mut Scratch,
    ) -> Result<bool, Spent> {
        let any = self.lines == Lines::Any;
        let mut seen = false;
        for line in each_line(&self.text, view, fuel)? {
            fuel.spend(NODE)?;
            let read = Read::There(line);
            let holds = self.check.holds(read, self.text.case, fuel, scratch)?;
            if (holds != self.contrary) == any {
                return Ok(any);
            }
            seen = true;
        }
        Ok(seen && !any)
    }
}

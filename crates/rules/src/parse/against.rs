//! What stands behind an operator: a text, a number, an address, a set, a pattern, a list.

use std::ops::RangeInclusive;
use std::sync::Arc;

use seawall_model::problem::quote;
use seawall_model::suggest::nearest;

use super::Parser;
use super::operand::{Named, has_no_case};
use crate::check::{AddressCheck, NumberCheck, TextCheck};
use crate::error::Error;
use crate::expression::{Node, TextTest};
use crate::language::Compare;
use crate::literal::{self, Addresses};
use crate::networks::{NetworkSet, Ranges};
use crate::pattern::Pattern;
use crate::sets::{NumberSet, TextSet};
use crate::value::{Address, Number, Plain, Source, Text};

impl Parser<'_> {
    pub(super) fn text_test(
        &mut self,
        text: Text,
        operator: Compare,
        named: &Named,
    ) -> Result<Node, Error> {
        self.scan.space();
        let check = match operator {
            Compare::Contains => TextCheck::contains(&self.wanted_text(&text, named)?),
            Compare::Matches => TextCheck::Matches(self.pattern(&text, named)?),
            Compare::Among => {
                let mut members = Vec::new();
                self.set("\"a\" \"b\"", named, |parser| {
                    members.push(parser.whole_text(&text, named)?);
                    Ok(())
                })?;
                TextCheck::Among(TextSet::new(members))
            }
            _ => TextCheck::Equals(self.whole_text(&text, named)?),
        };
        Ok(Node::Text(Box::new(TextTest {
            lines: self.lines_of(&text),
            text,
            check,
            contrary: operator == Compare::Differ,
        })))
    }

    /// A text that the whole of the other side must be.
    fn whole_text(&mut self, text: &Text, named: &Named) -> Result<Box<[u8]>, Error> {
        let at = self.scan.at();
        let wanted = self.wanted_text(text, named)?;
        let is_host = text.source == Source::Plain(Plain::Host);
        let name = wanted
            .split(|byte| *byte == b':')
            .next()
            .unwrap_or_default();
        if is_host && !wanted.starts_with(b"[") && name.len() < wanted.len() {
            let name = quote(&String::from_utf8_lossy(name));
            return Err(self.scan.error_since(
                at,
                format!("{} has no port", named.text),
                format!("write {name}"),
            ));
        }
        Ok(wanted)
    }

    fn pattern(&mut self, text: &Text, named: &Named) -> Result<Arc<Pattern>, Error> {
        let wanted = self.text_literal(named)?;
        let Ok(pattern) = std::str::from_utf8(&wanted.bytes) else {
            return Err(wanted.error(
                "this pattern is no UTF-8",
                "write the byte as an escape of the pattern: r\"\\xff\"",
            ));
        };
        let (any_case, budget) = (has_no_case(text), &mut self.budget);
        let compiled = self.patterns.pattern(pattern, any_case, budget);
        compiled.map_err(|refused| {
            let place = refused.place.zip(wanted.plain_from);
            let (at, len) = place.map_or((wanted.at, wanted.len), |((at, len), from)| {
                (from + at, len)
            });
            Error {
                is_of_many: refused.is_of_many,
                ..Error::new(at, len, refused.wrong.what, refused.wrong.help)
            }
        })
    }

    pub(super) fn number_test(
        &mut self,
        number: Number,
        operator: Compare,
        named: &Named,
    ) -> Result<Node, Error> {
        self.scan.space();
        if operator == Compare::Among {
            let mut ranges = Vec::new();
            self.set("1 2..5", named, |parser| {
                ranges.push(parser.range(named)?);
                Ok(())
            })?;
            let set = NumberSet::new(ranges);
            return Ok(Node::Number(number, NumberCheck::Among(set)));
        }
        let other = self.number(named)?;
        let check = match operator {
            Compare::Less => NumberCheck::Less(other),
            Compare::LessOrEqual => NumberCheck::LessOrEqual(other),
            Compare::Greater => NumberCheck::Greater(other),
            Compare::GreaterOrEqual => NumberCheck::GreaterOrEqual(other),
            _ => NumberCheck::Equals(other),
        };
        Ok(contrary(operator, Node::Number(number, check)))
    }

    fn number(&mut self, named: &Named) -> Result<i64, Error> {
        let found = literal::number(&mut self.scan)?;
        found.ok_or_else(|| {
            self.scan.error(
                format!("{} is a number, and this is none", named.text),
                "compare it with digits, without quotes",
            )
        })
    }

    fn range(&mut self, named: &Named) -> Result<RangeInclusive<i64>, Error> {
        let at = self.scan.at();
        let first = self.number(named)?;
        if !self.scan.eat("..") {
            return Ok(first..=first);
        }
        let last = self.number(named)?;
        if first > last {
            return Err(self.scan.error_since(
                at,
                "this range has nothing in it",
                format!("write {last}..{first}"),
            ));
        }
        Ok(first..=last)
    }

    pub(super) fn address_test(
        &mut self,
        address: Address,
        operator: Compare,
        named: &Named,
    ) -> Result<Node, Error> {
        self.scan.space();
        if operator != Compare::Among {
            let other = literal::address(&mut self.scan)?;
            let node = Node::Address(address, AddressCheck::Equals(other));
            return Ok(contrary(operator, node));
        }
        let set = if self.scan.next() == Some('$') {
            self.list()?
        } else {
            let mut ranges = Ranges::default();
            self.set("192.0.2.1 10.0.0.0/8", named, |parser| {
                match literal::addresses(&mut parser.scan)? {
                    Addresses::Network(network) => ranges.add_network(network),
                    Addresses::Range(first, last) => ranges.add_range(first, last),
                }
                Ok(())
            })?;
            Arc::new(ranges.finish())
        };
        Ok(Node::Address(address, AddressCheck::Among(set)))
    }

    /// `$name`
    fn list(&mut self) -> Result<Arc<NetworkSet>, Error> {
        let at = self.scan.at();
        self.scan.advance(1);
        let name = self
            .scan
            .run(|byte| crate::scan::is_word(byte) || byte == b'-');
        if let Some(set) = self.lists.get(name) {
            self.used_lists.push(name.into());
            return Ok(Arc::clone(set));
        }
        let shown: String = name.chars().take(64).collect();
        let help = match nearest(name, self.lists.names()) {
            Some(near) => format!("did you mean `${near}`?"),
            None if name.is_empty() => "write its name behind the $".to_owned(),
            None => format!("lists are declared with their addresses: [lists.{shown}]"),
        };
        let what = format!("there is no list `${shown}`");
        Err(self.scan.error_since(at, what, help))
    }

    /// A set in braces; `member` reads one. `example` is what could stand in it.
    fn set(
        &mut self,
        example: &str,
        named: &Named,
        mut member: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let open = self.scan.at();
        if !self.scan.eat("{") {
            if self.scan.next() == Some('$') {
                return Err(self.scan.error(
                    format!("lists are of addresses, and {} is none", named.text),
                    format!("write its members: {{{example}}}"),
                ));
            }
            return Err(self.scan.error(
                "a set is missing here",
                format!("write its members in braces: {{{example}}}"),
            ));
        }
        let mut members = 0;
        loop {
            self.scan.space();
            if self.scan.eat("}") {
                break;
            }
            if self.scan.is_at_end() {
                return Err(Error::new(
                    open,
                    1,
                    "this set is not closed",
                    "write `}` where it ends",
                ));
            }
            if self.scan.next() == Some(',') {
                return Err(self.scan.error(
                    "a comma is not expected here",
                    "members of a set stand apart by spaces",
                ));
            }
            members += 1;
            if members > self.bounds.set_members {
                return Err(self.scan.error(
                    format!("this set has more than {} members", self.bounds.set_members),
                    "put addresses into a list",
                ));
            }
            member(self)?;
        }
        if members == 0 {
            return Err(self.scan.error_since(
                open,
                "this set is empty, and nothing is in it",
                format!("write its members: {{{example}}}"),
            ));
        }
        Ok(())
    }
}

/// `ne` is the contrary of `eq`.
fn contrary(operator: Compare, node: Node) -> Node {
    match operator {
        Compare::Differ => Node::Not(Box::new(node)),
        _ => node,
    }
}

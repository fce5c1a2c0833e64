//! What stands behind an operator: a text, a number, an address, a set, a pattern, a list.

use std::ops::RangeInclusive;
use std::sync::Arc;

use seawall_model::problem::quote;
use seawall_model::suggest::nearest;

use super::Parser;
use super::functions::at_its_place;
use super::operand::Named;
use crate::check::{AddressCheck, NumberCheck, Shared, TextCheck};
use crate::error::Error;
use crate::expression::{Leaf, Node};
use crate::language::Compare;
use crate::lists::List;
use crate::literal::{self, Addresses};
use crate::networks::Ranges;
use crate::pattern::Pattern;
use crate::sets::{NumberSet, TextSet};
use crate::value::{Address, Case, Number, Plain, Source, Text};
use crate::wildcard::Wildcard;

/// Ranges of one set in braces that are kept as such, to be merged with those of other expressions.
const MOST_SPANS: usize = 256;

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
            Compare::Matches => TextCheck::Matches(Shared(self.pattern(&text, named)?)),
            Compare::Wildcard => self.wildcard(&text, true, named)?,
            Compare::StrictWildcard => self.wildcard(&text, self.has_no_case(&text), named)?,
            Compare::Among if self.scan.next() == Some('$') => self.text_list(named)?,
            Compare::Among => {
                let mut members = Vec::new();
                self.set("\"a\" \"b\"", |parser| {
                    members.push(parser.whole_text(&text, named)?);
                    Ok(())
                })?;
                TextCheck::Among(Arc::new(TextSet::new(members)))
            }
            _ => TextCheck::Equals(self.whole_text(&text, named)?),
        };
        Ok(contrary(operator, Leaf::Text(text, check).into()))
    }

    /// `"…*…"`
    fn wildcard(&mut self, text: &Text, any_case: bool, named: &Named) -> Result<TextCheck, Error> {
        let literal = self.text_literal(named)?;
        let compiled = Wildcard::new(&literal.bytes, any_case);
        let wildcard = compiled.map_err(|refused| at_its_place(refused, &literal))?;
        if wildcard.has_letters_against(text.case) {
            let never = if text.case == Case::Lower {
                "upper"
            } else {
                "lower"
            };
            return Err(literal.error(
                format!("{} never has letters in {never} case", named.text),
                "write them in the other case, or `wildcard` without `strict`",
            ));
        }
        Ok(TextCheck::Wildcard(Box::new(wildcard)))
    }

    /// `$name` of texts, or of host names.
    fn text_list(&mut self, named: &Named) -> Result<TextCheck, Error> {
        let at = self.scan.at();
        match self.list()? {
            List::Texts(set) => Ok(TextCheck::Among(set)),
            List::Hosts(set) => Ok(TextCheck::Hosts(Shared(set))),
            other => Err(self.wrong_list(at, &other, named, "[lists.name] texts = [\"…\"]")),
        }
    }

    /// The list that begins at an offset is not of what it is compared with.
    fn wrong_list(&self, at: usize, list: &List, named: &Named, help: &str) -> Error {
        let what = format!(
            "this list is of {}, and {} is none",
            list.what(),
            named.text
        );
        self.scan
            .error_since(at, what, format!("name a list such as {help}"))
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
        let (any_case, budget) = (self.has_no_case(text), &mut self.budget);
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
        if operator == Compare::Among && self.scan.next() == Some('$') {
            let at = self.scan.at();
            return match self.list()? {
                List::Numbers(set) => Ok(Leaf::Number(number, NumberCheck::Among(set)).into()),
                other => Err(self.wrong_list(at, &other, named, "[lists.name] numbers = [64512]")),
            };
        }
        if operator == Compare::Among {
            let mut ranges = Vec::new();
            self.set("1 2..5", |parser| {
                ranges.push(parser.range(named)?);
                Ok(())
            })?;
            let set = Arc::new(NumberSet::new(ranges));
            return Ok(Leaf::Number(number, NumberCheck::Among(set)).into());
        }
        let other = self.number(named)?;
        let check = match operator {
            Compare::Less => NumberCheck::Less(other),
            Compare::LessOrEqual => NumberCheck::LessOrEqual(other),
            Compare::Greater => NumberCheck::Greater(other),
            Compare::GreaterOrEqual => NumberCheck::GreaterOrEqual(other),
            _ => NumberCheck::Equals(other),
        };
        Ok(contrary(operator, Leaf::Number(number, check).into()))
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
            let leaf = Leaf::Address(address, AddressCheck::Equals(other));
            return Ok(contrary(operator, leaf.into()));
        }
        let mut spans = Vec::new();
        let set = if self.scan.next() == Some('$') {
            let at = self.scan.at();
            match self.list()? {
                List::Networks(set) => set,
                other => {
                    return Err(self.wrong_list(
                        at,
                        &other,
                        named,
                        "[lists.name] ips = [\"192.0.2.0/24\"]",
                    ));
                }
            }
        } else {
            let mut ranges = Ranges::default();
            self.set("192.0.2.1 10.0.0.0/8", |parser| {
                let addresses = literal::addresses(&mut parser.scan)?;
                spans.push(addresses.span());
                match addresses {
                    Addresses::Network(network) => ranges.add_network(network),
                    Addresses::Range(first, last) => ranges.add_range(first, last),
                }
                Ok(())
            })?;
            Arc::new(ranges.finish())
        };
        let is_few = (1..=MOST_SPANS).contains(&spans.len());
        let spans = is_few.then(|| spans.into());
        Ok(Leaf::Address(address, AddressCheck::Among(Shared(set), spans)).into())
    }

    /// `$name`
    fn list(&mut self) -> Result<List, Error> {
        let at = self.scan.at();
        self.scan.advance(1);
        let name = self
            .scan
            .run(|byte| crate::scan::is_word(byte) || byte == b'-');
        if let Some(list) = self.lists.list(name) {
            self.used_lists.push(name.into());
            return Ok(list.clone());
        }
        let shown: String = name.chars().take(64).collect();
        let help = match nearest(name, self.lists.names()) {
            Some(near) => format!("did you mean `${near}`?"),
            None if name.is_empty() => "write its name behind the $".to_owned(),
            None => format!("lists are declared with their members: [lists.{shown}]"),
        };
        let what = format!("there is no list `${shown}`");
        Err(self.scan.error_since(at, what, help))
    }

    /// A set in braces; `member` reads one. `example` is what could stand in it.
    fn set(
        &mut self,
        example: &str,
        mut member: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let open = self.scan.at();
        if !self.scan.eat("{") {
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

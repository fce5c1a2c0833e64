//! Reading an expression: from left to right, once, with types.
//!
//! ```text
//! whole      = or
//! or         = xor { "or" xor }        xor = and { "xor" and }        and = not { "and" not }
//! not        = { "not" } ( "(" or ")" | comparison )
//! comparison = operand [ operator value ]
//! operand    = ( field [ "[" text "]" ] | function "(" … ")" ) [ "[" number | "*" "]" ]
//! ```
//!
//! What may stand on either side of an operator is in `parse/operand.rs`, `parse/functions.rs` and `parse/against.rs`.

mod against;
mod functions;
mod operand;
#[cfg(test)]
mod tests;
mod unknown;

use seawall_model::problem::quote;
use seawall_model::suggest::nearest;

use crate::bounds::{Bounds, DEEPEST};
use crate::error::Error;
use crate::expression::Node;
use crate::key;
use crate::language::{Compare, Kind, OPERATORS};
use crate::lists::Lists;
use crate::pattern::Budget;
use crate::patterns::Patterns;
use crate::scan::Scanner;
use crate::value::Array;
use operand::{Named, Operand};

/// Names of lists.
pub(crate) type Names = Box<[Box<str>]>;

/// A condition, and what it refers to.
pub(crate) struct Whole {
    pub(crate) root: Node,
    pub(crate) lists: Names,
    /// Whether it asks a field that holds the path.
    pub(crate) reads_path: bool,
}

pub(crate) struct Parser<'p> {
    scan: Scanner<'p>,
    lists: &'p Lists,
    bounds: &'p Bounds,
    nodes: usize,
    /// What is left of the expression's budget for patterns.
    budget: Budget,
    patterns: &'p mut Patterns,
    used_lists: Vec<Box<str>>,
    /// Whether a field that was named holds the path.
    reads_path: bool,
    /// Within `any` or `all`, where `[*]` means something.
    in_each: bool,
    /// What had `[*]` since `any` or `all`.
    star: Option<Array>,
}

impl<'p> Parser<'p> {
    pub(crate) fn new(
        source: &'p str,
        lists: &'p Lists,
        bounds: &'p Bounds,
        patterns: &'p mut Patterns,
    ) -> Self {
        Self {
            scan: Scanner::new(source),
            lists,
            bounds,
            nodes: 0,
            budget: Budget::new(bounds.pattern_bytes),
            patterns,
            used_lists: Vec::new(),
            reads_path: false,
            in_each: false,
            star: None,
        }
    }

    /// The whole source.
    pub(crate) fn whole(mut self) -> Result<Whole, Error> {
        let most = self.bounds.source_bytes;
        if self.scan.rest().len() > most {
            return Err(Error::new(
                0,
                0,
                format!("this expression is longer than {most} bytes"),
                "put addresses into a list, or make several rules of it",
            ));
        }
        self.scan.space();
        if self.scan.is_at_end() {
            return Err(Error::new(
                0,
                0,
                "this expression is empty",
                "write a comparison such as http.host eq \"example.com\"",
            ));
        }
        let root = self.joined(Compare::Or, 0)?;
        if !self.scan.is_at_end() {
            return Err(self.unexpected());
        }
        self.used_lists.sort_unstable();
        self.used_lists.dedup();
        Ok(Whole {
            root,
            lists: self.used_lists.into(),
            reads_path: self.reads_path,
        })
    }

    /// The whole source, as a value.
    pub(crate) fn value(mut self) -> Result<key::Kind, Error> {
        if self.scan.rest().len() > self.bounds.source_bytes {
            let what = format!(
                "this value is longer than {} bytes",
                self.bounds.source_bytes
            );
            return Err(Error::new(
                0,
                0,
                what,
                "write a field, or a function of one",
            ));
        }
        let (operand, named) = self.operand(0)?;
        self.scan.space();
        if !self.scan.is_at_end() {
            let what = format!("{} is not expected here", self.quoted_next());
            let help = "one value is meant, such as ip.src, and no comparison";
            return Err(self.scan.error(what, help));
        }
        Ok(match operand {
            Operand::Text(text) => key::Kind::Text(text),
            Operand::Number(number) => key::Kind::Number(number),
            Operand::Address(address) => key::Kind::Address(address),
            Operand::Truth(truth) => key::Kind::Truth(truth),
            Operand::Node(_) => {
                let what = format!("{} is an answer, not a value", named.text);
                return Err(named.error(what, "write it into `when`"));
            }
            Operand::Array(_) | Operand::Map(_) => {
                let what = format!("{} is several texts", named.text);
                return Err(named.error(
                    what,
                    "write [\"name\"][0] or [0] behind it, or join(…, \",\") around it",
                ));
            }
        })
    }

    /// What `operator` joins; behind it stands what binds no more than that. Ends behind white space.
    fn joined(&mut self, operator: Compare, depth: usize) -> Result<Node, Error> {
        let member = |parser: &mut Self| match operator {
            Compare::Or => parser.joined(Compare::Xor, depth),
            Compare::Xor => parser.joined(Compare::And, depth),
            _ => parser.negated(depth),
        };
        let first = member(self)?;
        self.scan.space();
        if !self.eat_join(operator) {
            return Ok(first);
        }
        self.count()?;
        let mut members = vec![first];
        loop {
            members.push(member(self)?);
            self.scan.space();
            if !self.eat_join(operator) {
                break;
            }
        }
        Ok(match operator {
            Compare::Or => Node::Any(members.into()),
            Compare::Xor => Node::Odd(members.into()),
            _ => Node::All(members.into()),
        })
    }

    fn negated(&mut self, depth: usize) -> Result<Node, Error> {
        let mut contrary = false;
        self.scan.space();
        while self.eat_join(Compare::Not) {
            contrary = !contrary;
            self.scan.space();
        }
        let node = self.group(depth)?;
        if contrary {
            self.count()?;
            return Ok(Node::Not(Box::new(node)));
        }
        Ok(node)
    }

    fn group(&mut self, depth: usize) -> Result<Node, Error> {
        let open = self.scan.at();
        if !self.scan.eat("(") {
            return self.comparison(depth);
        }
        let depth = self.deeper(depth, open)?;
        let node = self.joined(Compare::Or, depth)?;
        self.close(open)?;
        Ok(node)
    }

    /// The parenthesis that closes the one at `open`.
    fn close(&mut self, open: usize) -> Result<(), Error> {
        self.scan.space();
        if self.scan.eat(")") {
            Ok(())
        } else if self.scan.is_at_end() {
            Err(Error::new(
                open,
                1,
                "this parenthesis is not closed",
                "write `)` where it ends",
            ))
        } else {
            Err(self.unexpected())
        }
    }

    /// `true` and `false`, which stand for all requests and for none.
    fn constant(&mut self) -> Option<Node> {
        let word = self.scan.peek_word();
        // All of nothing hold, and not any of it.
        let node = match word {
            "true" => Node::All(Box::default()),
            "false" => Node::Any(Box::default()),
            _ => return None,
        };
        self.scan.advance(word.len());
        Some(node)
    }

    fn comparison(&mut self, depth: usize) -> Result<Node, Error> {
        self.count()?;
        if let Some(node) = self.constant() {
            return Ok(node);
        }
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Node(node) => {
                self.nothing_compared(&named)?;
                Ok(node)
            }
            Operand::Truth(truth) => {
                self.nothing_compared(&named)?;
                Ok(Self::truth(truth))
            }
            Operand::Array(_) => Err(named.error(
                format!("{} is of several lines", named.text),
                "write [0] behind it for the first line, or any(…[*] …) to ask all of them",
            )),
            Operand::Map(_) => Err(named.error(
                format!("{} is several texts by name", named.text),
                "write [\"name\"][0] behind it, or any(…[\"name\"][*] …) to ask all of this name",
            )),
            Operand::Text(text) => {
                let operator = self.operator(kind, &named)?;
                self.text_test(text, operator, &named)
            }
            Operand::Number(number) => {
                let operator = self.operator(kind, &named)?;
                self.number_test(number, operator, &named)
            }
            Operand::Address(address) => {
                let operator = self.operator(kind, &named)?;
                self.address_test(address, operator, &named)
            }
        }
    }

    /// The operator behind a value of this kind.
    fn operator(&mut self, kind: Kind, named: &Named) -> Result<Compare, Error> {
        self.scan.space();
        let at = self.scan.at();
        let comparing = || {
            OPERATORS
                .iter()
                .filter(|operator| operator.kinds != [Kind::Bool])
        };
        let word = self.scan.peek_operator();
        let found = comparing().find(|operator| {
            operator.name == word || operator.symbol.is_some_and(|symbol| self.scan.eat(symbol))
        });
        let fitting = || {
            let names: Vec<&str> = comparing()
                .filter(|operator| operator.kinds.contains(&kind))
                .map(|operator| operator.name)
                .collect();
            format!("{} can be asked: {}", kind.name(), names.join(", "))
        };
        let Some(operator) = found else {
            let joins = |word: &str| OPERATORS.iter().any(|operator| operator.name == word);
            let ends = word.is_empty()
                && self
                    .scan
                    .next()
                    .is_none_or(|next| matches!(next, ')' | '&' | '|' | '^'));
            if ends || joins(word) {
                return Err(Error::new(
                    at,
                    0,
                    format!("{} is compared with nothing", named.text),
                    fitting(),
                ));
            }
            let help = if self.scan.next() == Some('=') {
                Some("write `eq` or `==`".to_owned())
            } else {
                nearest(word, comparing().map(|operator| operator.name))
                    .map(|name| format!("did you mean `{name}`?"))
            };
            let what = format!("{} is no operator", self.quoted_next());
            return Err(self.scan.error(what, help.unwrap_or_else(fitting)));
        };
        if self.scan.at() == at {
            self.scan.advance(word.len());
        }
        if !operator.kinds.contains(&kind) {
            let text = self.scan.since(at);
            return Err(self.scan.error_since(
                at,
                format!(
                    "`{text}` does not ask {}, which {} is",
                    kind.name(),
                    named.text
                ),
                fitting(),
            ));
        }
        Ok(operator.operator)
    }

    /// A yes or no stands alone.
    fn nothing_compared(&mut self, named: &Named) -> Result<(), Error> {
        self.scan.space();
        let word = self.scan.peek_word();
        let compares = OPERATORS
            .iter()
            .filter(|operator| operator.kinds != [Kind::Bool])
            .any(|operator| {
                operator.name == word
                    || operator
                        .symbol
                        .is_some_and(|symbol| self.scan.rest().starts_with(symbol))
            });
        if !compares {
            return Ok(());
        }
        Err(self.scan.error(
            format!("{} is yes or no and is compared with nothing", named.text),
            format!("write `{0}` or `not {0}`", named.text),
        ))
    }

    /// Goes over a word or symbol that joins, if it stands here.
    fn eat_join(&mut self, which: Compare) -> bool {
        let Some(operator) = OPERATORS.iter().find(|operator| operator.operator == which) else {
            return false;
        };
        if self.scan.peek_word() == operator.name {
            self.scan.advance(operator.name.len());
            return true;
        }
        operator.symbol.is_some_and(|symbol| self.scan.eat(symbol))
    }

    /// What stands here cannot stand here.
    fn unexpected(&self) -> Error {
        let word = self.scan.peek_word();
        if self.scan.next() == Some(')') {
            return self.scan.error("this `)` closes nothing", "take it out");
        }
        let joins = OPERATORS
            .iter()
            .filter(|operator| operator.kinds == [Kind::Bool])
            .map(|operator| operator.name);
        let help = match nearest(word, joins) {
            Some(name) if name != word => format!("did you mean `{name}`?"),
            _ => "join comparisons with `and` or `or`".to_owned(),
        };
        let what = format!("{} is not expected here", self.quoted_next());
        self.scan.error(what, help)
    }

    /// What stands next, for an error: a word, else a character.
    fn quoted_next(&self) -> String {
        match (self.scan.peek_word(), self.scan.next()) {
            ("", None) => "the end".to_owned(),
            ("", Some(next)) => quote(next.encode_utf8(&mut [0; 4])),
            (word, _) => quote(word),
        }
    }

    /// One node more.
    fn count(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > self.bounds.nodes {
            return Err(self.scan.error(
                format!("this expression has more than {} parts", self.bounds.nodes),
                "say it with sets, `in {…}`, or make several rules of it",
            ));
        }
        Ok(())
    }

    /// One parenthesis deeper, at its place.
    fn deeper(&self, depth: usize, open: usize) -> Result<usize, Error> {
        let most = self.bounds.depth.min(DEEPEST);
        if depth >= most {
            return Err(Error::new(
                open,
                1,
                format!("parentheses are nested deeper than {most}"),
                "",
            ));
        }
        Ok(depth + 1)
    }
}

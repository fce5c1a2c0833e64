//! What stands before an operator, or in the parentheses of a function: a field, with what is picked from it, or a function.

use seawall_model::problem::quote;
use seawall_model::token::is_token;

use super::Parser;
use crate::error::Error;
use crate::expression::{Leaf, Node};
use crate::language::{Kind, Value, call, field};
use crate::literal;
use crate::value::{Address, Array, Case, Header, Map, Number, Plain, Source, Text, Truth};

/// A typed value.
pub(super) enum Operand {
    Text(Text),
    Number(Number),
    Address(Address),
    Truth(Truth),
    Node(Node),
    /// Several texts, which are asked by `any` and `all`, or taken whole by functions.
    Array(Array),
    Map(Map),
}

impl Operand {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Bytes,
            Self::Number(_) => Kind::Int,
            Self::Address(_) => Kind::Ip,
            Self::Truth(_) | Self::Node(_) => Kind::Bool,
            Self::Array(_) => Kind::Array,
            Self::Map(_) => Kind::Map,
        }
    }
}

/// An operand as it is written, for errors.
pub(super) struct Named {
    /// Without what would disturb a message of one line.
    pub(super) text: String,
    pub(super) at: usize,
    pub(super) len: usize,
}

impl Named {
    /// As it stands at an offset.
    pub(super) fn new(at: usize, text: &str) -> Self {
        let plain = |character: char| match character.is_control() {
            true => ' ',
            false => character,
        };
        let mut shown: String = text.chars().take(LONGEST).map(plain).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self {
            text: shown,
            at,
            len: text.len(),
        }
    }

    /// It is wrong here.
    pub(super) fn error(&self, what: impl Into<String>, help: impl Into<String>) -> Error {
        Error::new(self.at, self.len, what, help)
    }
}

/// Characters of an operand that a message repeats.
const LONGEST: usize = 64;

impl Parser<'_> {
    /// A field or a function with what belongs to it.
    pub(super) fn operand(&mut self, depth: usize) -> Result<(Operand, Named), Error> {
        self.scan.space();
        let at = self.scan.at();
        let name = self.scan.run(crate::scan::is_word);
        if name.is_empty() {
            let what = match self.scan.is_at_end() {
                true => "a comparison is missing here".to_owned(),
                false => format!("{} is not expected here", self.quoted_next()),
            };
            return Err(self
                .scan
                .error(what, "a comparison begins with a field, such as http.host"));
        }
        self.scan.space();
        let operand = if self.scan.next() == Some('(') {
            self.function(at, name, depth)?
        } else {
            let Some(field) = field(name) else {
                return Err(self.unknown(at, name, false));
            };
            match field.value.clone() {
                Value::Text(plain) => {
                    self.reads_path |= plain.has_path();
                    Operand::Text(Text {
                        source: Source::Plain(plain),
                        case: match plain {
                            Plain::Host | Plain::Extension => Case::Lower,
                            _ => Case::AsSent,
                        },
                    })
                }
                Value::Number(number) => Operand::Number(number),
                Value::Address(address) => Operand::Address(address),
                Value::Truth(truth) => Operand::Truth(truth),
                Value::Array(array) => self.picked(array)?,
                Value::Map(map) => self.named(name, map)?,
            }
        };
        let text = self.scan.since(at).trim_ascii_end();
        Ok((operand, Named::new(at, text)))
    }

    /// `name(…)`, and what is picked from what it gives.
    fn function(&mut self, at: usize, name: &str, depth: usize) -> Result<Operand, Error> {
        let open = self.scan.at();
        self.scan.advance(1);
        let Some(call) = call(name) else {
            return Err(self.unknown(at, name, true));
        };
        let depth = self.deeper(depth, open)?;
        let starred = self.star.is_some();
        let operand = self.called(call, depth)?;
        self.close(open)?;
        if let Operand::Array(array) = operand {
            return self.picked(array);
        }
        // Of each element of what it was given: `lower(texts[*])[*]`, as Cloudflare has it, says no more than without.
        if !starred && self.star.is_some() {
            self.scan.space();
            if self.scan.eat("[") {
                self.scan.space();
                if !self.scan.eat("*") {
                    return Err(self.scan.error(
                        "`*` is missing here",
                        "this is made of each of several texts, so that only [*] can stand here",
                    ));
                }
                self.bracket()?;
            }
        }
        Ok(operand)
    }

    /// `["name"]` behind a map, and what is picked from it; the map itself where nothing stands there.
    fn named(&mut self, field: &str, map: Map) -> Result<Operand, Error> {
        if !self.scan.eat("[") {
            return Ok(Operand::Map(map));
        }
        self.scan.space();
        let Some(name) = literal::text(&mut self.scan)? else {
            let what = format!("the name of {} is missing here", what_of(map));
            return Err(self.scan.error(what, format!("write {field}[\"name\"][0]")));
        };
        self.bracket()?;
        let array = Self::of_name(map, &name)?;
        self.picked(array)
    }

    /// What of a map has this name.
    pub(super) fn of_name(map: Map, name: &literal::Literal) -> Result<Array, Error> {
        if map == Map::Headers {
            if !is_token(&name.bytes) {
                return Err(name.error(
                    "this is no name of a header",
                    "letters, digits and hyphens, without the colon",
                ));
            }
            if Header::new(&name.bytes).is_ours() {
                return Err(name.error(
                    "lines of this name are taken out before rules look",
                    "they are not a client's to send",
                ));
            }
        }
        Ok(map.named(&name.bytes))
    }

    /// `[0]` or `[*]` behind several texts; they themselves where neither stands there.
    fn picked(&mut self, array: Array) -> Result<Operand, Error> {
        self.scan.space();
        let open = self.scan.at();
        if !self.scan.eat("[") {
            return Ok(Operand::Array(array));
        }
        self.scan.space();
        let star = self.scan.at();
        // Names of headers mean the same in any case.
        let case = match array {
            Array::LineNames => Case::Lower,
            _ => Case::AsSent,
        };
        let source = if self.scan.eat("*") {
            self.starred(star, array)?;
            Source::Each
        } else {
            let Some(nth) = literal::number(&mut self.scan)? else {
                return Err(self
                    .scan
                    .error("which line is missing here", "write [0] for the first one"));
            };
            let nth = u16::try_from(nth).map_err(|_| {
                self.scan
                    .error_since(star, "there is no such line", "lines count from 0")
            })?;
            if nth >= 128 && matches!(array, Array::Pieces(..)) {
                let help = "split makes 128 pieces at most";
                return Err(self.scan.error_since(open, "there is no such piece", help));
            }
            Source::Item(Box::new(array), nth)
        };
        self.bracket()?;
        Ok(Operand::Text(Text { source, case }))
    }

    /// `[*]` stands for each element of this.
    fn starred(&mut self, at: usize, array: Array) -> Result<(), Error> {
        let error = |what, help| Err(Error::new(at, 1, what, help));
        if !self.in_each {
            return error(
                "`[*]` stands for all lines",
                "say of how many it must hold: any(…) or all(…)",
            );
        }
        if self.star.is_some() {
            return error(
                "another `[*]` stands before this one",
                "one comparison asks the elements of one of them",
            );
        }
        self.star = Some(array);
        Ok(())
    }

    fn bracket(&mut self) -> Result<(), Error> {
        self.scan.space();
        if self.scan.eat("]") {
            return Ok(());
        }
        Err(self.scan.error("`]` is missing here", ""))
    }

    /// A text to compare with, in the case in which the other side is read.
    pub(super) fn wanted_text(&mut self, text: &Text, named: &Named) -> Result<Box<[u8]>, Error> {
        let wanted = self.text_literal(named)?;
        let mut folded = wanted.bytes.clone();
        text.case.apply(&mut folded);
        let any_case = text.case == Case::Lower && self.has_no_case(text);
        if folded != wanted.bytes && !any_case {
            return Err(never_in_case(text.case, named, &wanted, &folded));
        }
        Ok(folded.into())
    }

    pub(super) fn text_literal(&mut self, named: &Named) -> Result<literal::Literal, Error> {
        let found = literal::text(&mut self.scan)?;
        found.ok_or_else(|| {
            let word = self.scan.peek_word();
            let quoted = if word.is_empty() { "…" } else { word };
            self.scan.error(
                format!("{} is text, and this is none", named.text),
                format!("compare it with a text in quotes: {}", quote(quoted)),
            )
        })
    }

    /// Host names, extensions and names of headers mean the same in any case.
    pub(super) fn has_no_case(&self, text: &Text) -> bool {
        match &text.source {
            Source::Plain(plain) => matches!(plain, Plain::Host | Plain::Extension),
            Source::Item(array, _) => **array == Array::LineNames,
            Source::Each => self.star == Some(Array::LineNames),
            _ => false,
        }
    }

    /// What is yes or no, as a part of a condition.
    pub(super) fn truth(truth: Truth) -> Node {
        Leaf::Truth(truth).into()
    }
}

fn never_in_case(case: Case, named: &Named, wanted: &literal::Literal, folded: &[u8]) -> Error {
    let never = if case == Case::Lower {
        "upper"
    } else {
        "lower"
    };
    wanted.error(
        format!("{} never has letters in {never} case", named.text),
        format!("write {}", quote(&String::from_utf8_lossy(folded))),
    )
}

const fn what_of(map: Map) -> &'static str {
    match map {
        Map::Headers => "a header",
        Map::Arguments => "an argument",
        Map::Cookies => "a cookie",
    }
}

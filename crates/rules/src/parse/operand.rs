//! What stands before an operator: a field, a header line, a function.

use seawall_model::problem::quote;
use seawall_model::token::is_token;

use super::Parser;
use crate::check::TextCheck;
use crate::error::Error;
use crate::expression::{Lines, Node, TextTest};
use crate::language::{Call, Kind, Value, call, field};
use crate::literal;
use crate::value::{Address, Case, Header, Number, Plain, Source, Text};

/// A typed value.
pub(super) enum Operand {
    Text(Text),
    Number(Number),
    Address(Address),
    Node(Node),
    /// All lines of a header: an array, which only `len` takes as it is.
    Headers(Header),
}

impl Operand {
    const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Bytes,
            Self::Number(_) => Kind::Int,
            Self::Address(_) => Kind::Ip,
            Self::Node(_) => Kind::Bool,
            Self::Headers(_) => Kind::Headers,
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
    fn new(at: usize, text: &str) -> Self {
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
            let open = self.scan.at();
            self.scan.advance(1);
            let Some(call) = call(name) else {
                return Err(self.unknown(at, name, true));
            };
            let depth = self.deeper(depth, open)?;
            let operand = self.called(call, depth)?;
            self.close(open)?;
            operand
        } else {
            let Some(field) = field(name) else {
                return Err(self.unknown(at, name, false));
            };
            match field.value {
                Value::Text(plain) => Operand::Text(Text {
                    source: Source::Plain(plain),
                    case: match plain {
                        Plain::Host | Plain::Extension => Case::Lower,
                        _ => Case::AsSent,
                    },
                }),
                Value::Address(address) => Operand::Address(address),
                Value::Truth(truth) => Operand::Node(Node::Truth(truth)),
                Value::Headers => self.header()?,
            }
        };
        let text = self.scan.since(at).trim_ascii_end();
        Ok((operand, Named::new(at, text)))
    }

    /// `["name"]`, and `[0]` or `[*]` where they stand.
    fn header(&mut self) -> Result<Operand, Error> {
        let form = "write http.request.headers[\"name\"][0]";
        if !self.scan.eat("[") {
            return Err(self
                .scan
                .error("the name of a header is missing here", form));
        }
        self.scan.space();
        let Some(name) = literal::text(&mut self.scan)? else {
            return Err(self
                .scan
                .error("the name of a header is missing here", form));
        };
        self.bracket()?;
        if !is_token(&name.bytes) {
            return Err(name.error(
                "this is no name of a header",
                "letters, digits and hyphens, without the colon",
            ));
        }
        let header = Header::new(&name.bytes);
        if header.is_ours() {
            return Err(name.error(
                "lines of this name are taken out before rules look",
                "they are not a client's to send",
            ));
        }
        self.scan.space();
        if !self.scan.eat("[") {
            return Ok(Operand::Headers(header));
        }
        self.scan.space();
        let star = self.scan.at();
        let source = if self.scan.eat("*") {
            if self.lines == Lines::One {
                return Err(Error::new(
                    star,
                    1,
                    "`[*]` stands for all lines",
                    "say of how many it must hold: any(…) or all(…)",
                ));
            }
            self.starred = true;
            Source::EachLine(header)
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
            Source::Line(header, nth)
        };
        self.bracket()?;
        Ok(Operand::Text(Text {
            source,
            case: Case::AsSent,
        }))
    }

    fn bracket(&mut self) -> Result<(), Error> {
        self.scan.space();
        if self.scan.eat("]") {
            return Ok(());
        }
        Err(self.scan.error("`]` is missing here", ""))
    }

    /// What stands in the parentheses of a function.
    fn called(&mut self, call: Call, depth: usize) -> Result<Operand, Error> {
        self.count()?;
        match call {
            Call::Any => self.of_lines(Lines::Any, depth),
            Call::All => self.of_lines(Lines::All, depth),
            Call::Lower => self.cased(Case::Lower, depth),
            Call::Upper => self.cased(Case::Upper, depth),
            Call::StartsWith => self.side(TextCheck::Begins, depth),
            Call::EndsWith => self.side(TextCheck::Ends, depth),
            Call::Length => self.length(depth),
        }
    }

    fn of_lines(&mut self, lines: Lines, depth: usize) -> Result<Operand, Error> {
        let at = self.scan.at();
        let outer = (
            std::mem::replace(&mut self.lines, lines),
            std::mem::replace(&mut self.starred, false),
        );
        let node = self.comparison(depth)?;
        if !self.starred {
            return Err(self.scan.error_since(
                at,
                "nothing in these parentheses stands for all lines",
                "write http.request.headers[\"name\"][*]",
            ));
        }
        (self.lines, self.starred) = outer;
        Ok(Operand::Node(node))
    }

    fn text_argument(&mut self, depth: usize) -> Result<(Text, Named), Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Text(text) => Ok((text, named)),
            _ => Err(Error::new(
                named.at,
                named.len,
                format!("{} is {}", named.text, kind.name()),
                match kind {
                    Kind::Headers => "write [0] behind it for the first line",
                    _ => "this function takes a text",
                },
            )),
        }
    }

    fn cased(&mut self, case: Case, depth: usize) -> Result<Operand, Error> {
        let (text, _) = self.text_argument(depth)?;
        Ok(Operand::Text(Text { case, ..text }))
    }

    fn length(&mut self, depth: usize) -> Result<Operand, Error> {
        let starred = self.starred;
        let at = self.scan.at();
        let (operand, named) = self.operand(depth)?;
        if self.starred != starred {
            return Err(self.scan.error_since(
                at,
                "the lengths of all lines cannot be compared",
                "write len(http.request.headers[\"name\"][0]), or without [0] for the number of lines",
            ));
        }
        let kind = operand.kind();
        match operand {
            Operand::Text(text) => Ok(Operand::Number(Number::Length(text))),
            Operand::Headers(header) => Ok(Operand::Number(Number::Lines(header))),
            _ => Err(Error::new(
                named.at,
                named.len,
                format!("{} is {}", named.text, kind.name()),
                "this function takes a text",
            )),
        }
    }

    /// `text, "…"` of `starts_with` and `ends_with`.
    fn side(&mut self, check: fn(Box<[u8]>) -> TextCheck, depth: usize) -> Result<Operand, Error> {
        let (text, named) = self.text_argument(depth)?;
        self.scan.space();
        if !self.scan.eat(",") {
            return Err(self.scan.error(
                "a comma and a text are missing here",
                format!("{}, \"…\"", named.text),
            ));
        }
        self.scan.space();
        let wanted = self.wanted_text(&text, &named)?;
        Ok(Operand::Node(Node::Text(Box::new(TextTest {
            lines: self.lines_of(&text),
            text,
            check: check(wanted),
            contrary: false,
        }))))
    }

    /// Of how many lines a test of this text must hold.
    pub(super) const fn lines_of(&self, text: &Text) -> Lines {
        match text.source {
            Source::EachLine(_) => self.lines,
            _ => Lines::One,
        }
    }

    /// A text to compare with, in the case in which the other side is read.
    pub(super) fn wanted_text(&mut self, text: &Text, named: &Named) -> Result<Box<[u8]>, Error> {
        let wanted = self.text_literal(named)?;
        let mut folded = wanted.bytes.clone();
        text.case.apply(&mut folded);
        let any_case = text.case == Case::Lower && has_no_case(text);
        if folded != wanted.bytes && !any_case {
            let case = if text.case == Case::Lower {
                "upper"
            } else {
                "lower"
            };
            return Err(wanted.error(
                format!("{} never has letters in {case} case", named.text),
                format!("write {}", quote(&String::from_utf8_lossy(&folded))),
            ));
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
}

/// Host names and extensions mean the same in any case.
pub(super) const fn has_no_case(text: &Text) -> bool {
    matches!(text.source, Source::Plain(Plain::Host | Plain::Extension))
}

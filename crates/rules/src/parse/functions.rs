//! What stands in the parentheses of a function.

use seawall_model::problem::quote;

use super::Parser;
use super::operand::{Named, Operand};
use crate::check::TextCheck;
use crate::decode::UrlDecode;
use crate::error::Error;
use crate::expression::{Leaf, Node, Which};
use crate::json::Key;
use crate::language::{Call, Kind};
use crate::literal;
use crate::replace::{self, PatternReplace};
use crate::value::{Array, Case, Make, Map, Number, Plain, Source, Text, Truth};
use crate::wildcard::{Refused, Replace, Wildcard};

/// Texts that `concat` takes, names that `remove_query_args` takes, steps into JSON.
const MOST_ARGUMENTS: usize = 32;
const MOST_KEYS: usize = 16;

impl Parser<'_> {
    /// What a function gives, up to its closing parenthesis.
    pub(super) fn called(&mut self, call: Call, depth: usize) -> Result<Operand, Error> {
        self.count()?;
        let made = |make: Make| Ok(Operand::Text(Text::new(Source::Made(Box::new(make)))));
        match call {
            Call::Any => self.each(Which::Any, depth),
            Call::All => self.each(Which::All, depth),
            Call::StartsWith => self.side(TextCheck::Begins, depth),
            Call::EndsWith => self.side(TextCheck::Ends, depth),
            Call::HasKey => self.has_key(depth),
            Call::HasValue => self.has_value(depth),
            Call::Lower => self.cased(Case::Lower, depth),
            Call::Upper => self.cased(Case::Upper, depth),
            Call::Length => self.length(depth),
            Call::Concat => made(self.concat(depth)?),
            Call::Join => made(self.join(depth)?),
            Call::Split => self.split(depth).map(Operand::Array),
            Call::Substring => made(self.substring(depth)?),
            Call::ToString => made(self.shown(depth)?),
            Call::UrlDecode => made(self.url_decode(depth)?),
            Call::DecodeBase64 => made(Make::DecodeBase64(self.text_argument(depth)?.0)),
            Call::EncodeBase64 => made(Make::EncodeBase64(self.text_argument(depth)?.0)),
            Call::RemoveBytes => {
                let (text, named) = self.text_argument(depth)?;
                let bytes = self.next_text(&named, "the bytes to remove")?;
                made(Make::RemoveBytes(text, bytes.bytes.into()))
            }
            Call::RemoveQueryArgs => made(self.remove_query_args(depth)?),
            Call::JsonString => {
                let (text, keys) = self.json(depth)?;
                made(Make::Json(text, keys))
            }
            Call::JsonInteger => {
                let (text, keys) = self.json(depth)?;
                Ok(Operand::Number(Number::Json(text, keys)))
            }
            Call::WildcardReplace => made(self.wildcard_replace(depth)?),
            Call::RegexReplace => made(self.regex_replace(depth)?),
            Call::Cidr => self.cidr(true, depth),
            Call::Cidr6 => self.cidr(false, depth),
        }
    }

    /// One comparison, asked of each element of what has `[*]`.
    fn each(&mut self, which: Which, depth: usize) -> Result<Operand, Error> {
        let at = self.scan.at();
        let outer = (std::mem::replace(&mut self.in_each, true), self.star.take());
        let node = self.comparison(depth)?;
        let Some(array) = self.star.take() else {
            return Err(self.scan.error_since(
                at,
                "nothing in these parentheses stands for all lines",
                "write http.request.headers[\"name\"][*]",
            ));
        };
        (self.in_each, self.star) = outer;
        Ok(Operand::Node(Leaf::Each(array, which, node).into()))
    }

    /// An argument that is a text.
    fn text_argument(&mut self, depth: usize) -> Result<(Text, Named), Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Text(text) => Ok((text, named)),
            _ => Err(named.error(
                format!("{} is {}", named.text, kind.name()),
                match kind {
                    Kind::Array => "write [0] behind it for the first line",
                    Kind::Map => "write [\"name\"][0] behind it for the first of this name",
                    Kind::Int => "write to_string(…) around it: this function takes a text",
                    _ => "this function takes a text",
                },
            )),
        }
    }

    /// An argument that is several texts.
    fn array_argument(&mut self, depth: usize) -> Result<(Array, Named), Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Array(array) => Ok((array, named)),
            _ => Err(named.error(
                format!("{} is {}", named.text, kind.name()),
                "this function takes several texts, such as http.request.headers[\"name\"] or split(…)",
            )),
        }
    }

    /// The comma before a further argument, which is `what`.
    fn comma(&mut self, what: &str, help: impl Into<String>) -> Result<(), Error> {
        self.scan.space();
        if !self.scan.eat(",") {
            return Err(self
                .scan
                .error(format!("a comma and {what} are missing here"), help));
        }
        self.scan.space();
        Ok(())
    }

    /// Whether a further argument follows; goes over its comma.
    fn another(&mut self) -> bool {
        self.scan.space();
        let there = self.scan.eat(",");
        self.scan.space();
        there
    }

    /// A text in quotes behind a comma.
    fn next_text(&mut self, named: &Named, what: &str) -> Result<literal::Literal, Error> {
        self.comma(what, format!("{}, \"…\"", named.text))?;
        self.quoted(what)
    }

    /// A text in quotes.
    fn quoted(&mut self, what: &str) -> Result<literal::Literal, Error> {
        let found = literal::text(&mut self.scan)?;
        found.ok_or_else(|| {
            let what = format!("{what} in quotes is missing here");
            self.scan
                .error(what, "only a text in quotes can stand here")
        })
    }

    /// A whole number within bounds.
    fn number_within(&mut self, what: &str, least: i64, most: i64) -> Result<i64, Error> {
        let at = self.scan.at();
        let help = format!("a whole number from {least} to {most}");
        match literal::number(&mut self.scan)? {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            Some(_) => {
                Err(self
                    .scan
                    .error_since(at, format!("this is out of bounds for {what}"), help))
            }
            None => Err(self.scan.error(format!("{what} is missing here"), help)),
        }
    }

    fn cased(&mut self, case: Case, depth: usize) -> Result<Operand, Error> {
        let (text, _) = self.text_argument(depth)?;
        Ok(Operand::Text(Text { case, ..text }))
    }

    fn length(&mut self, depth: usize) -> Result<Operand, Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Text(text) => Ok(Operand::Number(Number::Length(text))),
            Operand::Array(array) => Ok(Operand::Number(Number::Count(array))),
            _ => Err(named.error(
                format!("{} is {}", named.text, kind.name()),
                "this function takes a text, or several",
            )),
        }
    }

    /// `text, "…"` of `starts_with` and `ends_with`.
    fn side(&mut self, check: fn(Box<[u8]>) -> TextCheck, depth: usize) -> Result<Operand, Error> {
        let (text, named) = self.text_argument(depth)?;
        self.comma("a text", format!("{}, \"…\"", named.text))?;
        let wanted = self.wanted_text(&text, &named)?;
        let node = Leaf::Text(text, check(wanted)).into();
        Ok(Operand::Node(node))
    }

    fn has_key(&mut self, depth: usize) -> Result<Operand, Error> {
        let (operand, named) = self.operand(depth)?;
        let Operand::Map(map) = operand else {
            return Err(named.error(
                format!("{} is {}", named.text, operand.kind().name()),
                "this function takes texts by name, such as http.request.headers",
            ));
        };
        let name = self.next_text(&named, "a name")?;
        let array = Self::of_name(map, &name)?;
        Ok(Operand::Truth(Truth::Any(array)))
    }

    /// The same as `any(texts[*] eq "…")`.
    fn has_value(&mut self, depth: usize) -> Result<Operand, Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        let array = match operand {
            Operand::Array(array) => array,
            Operand::Map(Map::Headers) => Array::LineValues,
            Operand::Map(Map::Arguments) => Array::ArgumentValues,
            Operand::Map(Map::Cookies) => Array::CookieValues,
            _ => {
                return Err(named.error(
                    format!("{} is {}", named.text, kind.name()),
                    "this function takes several texts",
                ));
            }
        };
        let wanted = self.next_text(&named, "a text")?;
        let mut text = Text::new(Source::Each);
        let mut bytes = wanted.bytes;
        if array == Array::LineNames {
            text.case = Case::Lower;
            bytes.make_ascii_lowercase();
        }
        let test = Leaf::Text(text, TextCheck::Equals(bytes.into())).into();
        let node: Node = Leaf::Each(array, Which::Any, test).into();
        Ok(Operand::Node(node))
    }

    fn concat(&mut self, depth: usize) -> Result<Make, Error> {
        let mut texts = Vec::new();
        loop {
            self.scan.space();
            let at = self.scan.at();
            let text = match literal::text(&mut self.scan)? {
                Some(text) => Text::new(Source::Literal(text.bytes.into())),
                None => self.text_argument(depth)?.0,
            };
            texts.push(text);
            if texts.len() > MOST_ARGUMENTS {
                let help = format!("{MOST_ARGUMENTS} at most");
                return Err(self.scan.error_since(at, "this is one text too many", help));
            }
            if !self.another() {
                return Ok(Make::Concat(texts.into()));
            }
        }
    }

    fn join(&mut self, depth: usize) -> Result<Make, Error> {
        let (array, named) = self.array_argument(depth)?;
        let between = self.next_text(&named, "what stands between them")?;
        let between = Text::new(Source::Literal(between.bytes.into()));
        Ok(Make::Join(array, between))
    }

    fn split(&mut self, depth: usize) -> Result<Array, Error> {
        let (text, named) = self.text_argument(depth)?;
        let between = self.next_text(&named, "a separator")?;
        if between.bytes.is_empty() {
            return Err(between.error("a separator is empty", "write what stands between pieces"));
        }
        self.comma("how many pieces at most", "write 64")?;
        let most = self.number_within("how many pieces at most", 1, 128)?;
        let most = u16::try_from(most).unwrap_or(1);
        Ok(Array::Pieces(text, between.bytes.into(), most))
    }

    fn substring(&mut self, depth: usize) -> Result<Make, Error> {
        let (text, named) = self.text_argument(depth)?;
        self.comma("where it begins", format!("{}, 0", named.text))?;
        let bound = 1 << 20;
        let from = self.number_within("where it begins", -bound, bound)?;
        let to = match self.another() {
            true => Some(self.number_within("where it ends", -bound, bound)?),
            false => None,
        };
        Ok(Make::Substring(text, from, to))
    }

    fn shown(&mut self, depth: usize) -> Result<Make, Error> {
        let (operand, named) = self.operand(depth)?;
        let kind = operand.kind();
        match operand {
            Operand::Number(number) => Ok(Make::OfNumber(number)),
            Operand::Address(address) => Ok(Make::OfAddress(address)),
            Operand::Truth(truth) => Ok(Make::OfTruth(truth)),
            _ => Err(named.error(
                format!("{} is {}", named.text, kind.name()),
                "this function takes a number, an address, or a field that is yes or no",
            )),
        }
    }

    fn url_decode(&mut self, depth: usize) -> Result<Make, Error> {
        let (text, _) = self.text_argument(depth)?;
        let mut how = UrlDecode::default();
        if self.another() {
            let options = self.quoted("the options")?;
            for option in &options.bytes {
                match option {
                    b'r' => how.again = true,
                    b'u' => how.unicode = true,
                    _ => {
                        let help = "`r` decodes over and over, `u` decodes %uXXXX too";
                        return Err(options.error("this is no option", help));
                    }
                }
            }
        }
        Ok(Make::UrlDecode(text, how))
    }

    fn remove_query_args(&mut self, depth: usize) -> Result<Make, Error> {
        let (text, named) = self.text_argument(depth)?;
        if text.source != Source::Plain(Plain::Query) || text.case != Case::AsSent {
            let what = format!("{} is no query", named.text);
            return Err(named.error(what, "write http.request.uri.query"));
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        names.push(self.next_text(&named, "a name")?.bytes.into());
        while self.another() {
            let name = self.quoted("a name")?;
            if names.len() == MOST_ARGUMENTS {
                let help = format!("{MOST_ARGUMENTS} at most");
                return Err(name.error("this is one name too many", help));
            }
            names.push(name.bytes.into());
        }
        Ok(Make::RemoveQueryArgs(text, names.into()))
    }

    /// A text, and the keys that lead to a value in it.
    fn json(&mut self, depth: usize) -> Result<(Text, Box<[Key]>), Error> {
        let (text, named) = self.text_argument(depth)?;
        self.comma("a name", format!("{}, \"…\"", named.text))?;
        let mut keys = Vec::new();
        loop {
            let at = self.scan.at();
            keys.push(match literal::text(&mut self.scan)? {
                Some(name) => Key::Name(name.bytes.into()),
                None => {
                    let most = u32::MAX.into();
                    let nth = self.number_within("a name, or a place from 0 on,", 0, most)?;
                    Key::Nth(u32::try_from(nth).unwrap_or(u32::MAX))
                }
            });
            if keys.len() > MOST_KEYS {
                let help = format!("{MOST_KEYS} at most");
                return Err(self.scan.error_since(at, "this is one key too many", help));
            }
            if !self.another() {
                return Ok((text, keys.into()));
            }
        }
    }

    fn wildcard_replace(&mut self, depth: usize) -> Result<Make, Error> {
        let (text, named) = self.text_argument(depth)?;
        let wildcard = self.next_text(&named, "a text with `*`")?;
        let template = self.next_text(&named, "what comes in its place")?;
        let is_strict = match self.another() {
            true => {
                let options = self.quoted("the option")?;
                if options.bytes != b"s" {
                    let help = "`s` tells upper and lower case apart";
                    return Err(options.error("this is no option", help));
                }
                true
            }
            false => false,
        };
        let compiled = Wildcard::new(&wildcard.bytes, !is_strict);
        let compiled = compiled.map_err(|refused| at_its_place(refused, &wildcard))?;
        let replace = Replace::new(compiled, &template.bytes);
        let replace = replace.map_err(|refused| at_its_place(refused, &template))?;
        Ok(Make::Wildcard(text, Box::new(replace)))
    }

    fn regex_replace(&mut self, depth: usize) -> Result<Make, Error> {
        let (text, named) = self.text_argument(depth)?;
        let pattern = self.next_text(&named, "a pattern")?;
        let replacement = self.next_text(&named, "what comes in its place")?;
        let made = PatternReplace::new(&pattern.bytes, &replacement.bytes);
        let replace = made.map_err(|wrong| match wrong {
            replace::Wrong::Pattern(what, help) => pattern.error(what, help),
            replace::Wrong::Template(refused) => at_its_place(refused, &replacement),
        })?;
        Ok(Make::Pattern(text, Box::new(replace)))
    }

    fn cidr(&mut self, has_v4: bool, depth: usize) -> Result<Operand, Error> {
        let (operand, named) = self.operand(depth)?;
        let Operand::Address(address) = operand else {
            return Err(named.error(
                format!("{} is {}", named.text, operand.kind().name()),
                "this function takes an address, such as ip.src",
            ));
        };
        let mut bits = |what: &str, most: i64| {
            self.comma(what, format!("{}, 24", named.text))?;
            let bits = self.number_within(what, 1, most)?;
            Ok(u8::try_from(bits).unwrap_or(u8::MAX))
        };
        let v4 = if has_v4 {
            bits("bits of IPv4", 32)?
        } else {
            32
        };
        let v6 = bits("bits of IPv6", 128)?;
        Ok(Operand::Address(address.cut(v4, v6)))
    }
}

/// What is wrong within a text in quotes, at its place in the source where that is known.
pub(super) fn at_its_place(refused: Refused, literal: &literal::Literal) -> Error {
    let (at, len) = match literal.plain_from {
        Some(from) => (from + refused.at, refused.len),
        None => (literal.at, literal.len),
    };
    let mut error = Error::new(at, len, refused.what, refused.help);
    if literal.plain_from.is_none() {
        let shown = quote(&String::from_utf8_lossy(&literal.bytes));
        error.what = format!("{} in {shown}", error.what);
    }
    error
}

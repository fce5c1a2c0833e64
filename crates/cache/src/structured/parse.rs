//! The algorithms of RFC 9651 §4.2.

use std::borrow::Cow;

use super::{Bare, Dictionary, Item, Member, Parameters};

/// The field is not what a structured field may be: all of it is to be ignored (§4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

type Parsed<T> = Result<T, Malformed>;

/// A dictionary (§4.2.2). Several field lines are to be joined with a comma first.
///
/// # Errors
/// [`Malformed`] where any byte of it does not fit.
pub fn dictionary(field: &[u8]) -> Parsed<Dictionary<'_>> {
    let mut input = Input::new(field)?;
    let mut members = Vec::new();
    input.members(|input| {
        let key = input.key()?;
        let member = if input.eat(b'=') {
            input.member()?
        } else {
            Member::Item(Item {
                bare: Bare::Boolean(true),
                parameters: input.parameters()?,
            })
        };
        members.push((key, member));
        Ok(())
    })?;
    Ok(Dictionary(members))
}

/// A list (§4.2.1). Several field lines are to be joined with a comma first.
///
/// # Errors
/// [`Malformed`] where any byte of it does not fit.
pub fn list(field: &[u8]) -> Parsed<Vec<Member<'_>>> {
    let mut input = Input::new(field)?;
    let mut members = Vec::new();
    input.members(|input| {
        members.push(input.member()?);
        Ok(())
    })?;
    Ok(members)
}

/// What is left of a field.
struct Input<'a>(&'a str);

impl<'a> Input<'a> {
    fn new(field: &'a [u8]) -> Parsed<Self> {
        let text = std::str::from_utf8(field).map_err(|_| Malformed)?;
        Ok(Self(text.trim_start_matches(' ').trim_end_matches(' ')))
    }

    fn next(&self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    /// Goes over this character, where it stands next.
    fn eat(&mut self, character: u8) -> bool {
        let rest = self.0.strip_prefix(char::from(character));
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, character: u8) -> Parsed<()> {
        self.eat(character).then_some(()).ok_or(Malformed)
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches(' ');
    }

    /// The run of such characters that stands next; they are ASCII.
    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|byte| !accept(byte));
        let (run, rest) = self
            .0
            .split_at_checked(end.unwrap_or(self.0.len()))
            .unwrap_or(("", self.0));
        self.0 = rest;
        run
    }

    /// Members with commas between, to the end.
    fn members(&mut self, mut member: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        while !self.0.is_empty() {
            member(self)?;
            self.0 = self.0.trim_start_matches([' ', '\t']);
            if self.0.is_empty() {
                return Ok(());
            }
            self.expect(b',')?;
            self.0 = self.0.trim_start_matches([' ', '\t']);
            if self.0.is_empty() {
                // A comma at the end.
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn member(&mut self) -> Parsed<Member<'a>> {
        if !self.eat(b'(') {
            return Ok(Member::Item(self.item()?));
        }
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.eat(b')') {
                return Ok(Member::Inner(items, self.parameters()?));
            }
            items.push(self.item()?);
            if !matches!(self.next(), Some(b' ' | b')')) {
                return Err(Malformed);
            }
        }
    }

    fn item(&mut self) -> Parsed<Item<'a>> {
        Ok(Item {
            bare: self.bare()?,
            parameters: self.parameters()?,
        })
    }

    fn parameters(&mut self) -> Parsed<Parameters<'a>> {
        let mut parameters = Vec::new();
        while self.eat(b';') {
            self.spaces();
            let key = self.key()?;
            let value = if self.eat(b'=') {
                self.bare()?
            } else {
                Bare::Boolean(true)
            };
            parameters.push((key, value));
        }
        Ok(Parameters(parameters))
    }

    fn key(&mut self) -> Parsed<&'a str> {
        if !matches!(self.next(), Some(b'a'..=b'z' | b'*')) {
            return Err(Malformed);
        }
        Ok(self.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn bare(&mut self) -> Parsed<Bare<'a>> {
        match self.next() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(b'*' | b'a'..=b'z' | b'A'..=b'Z') => Ok(Bare::Token(self.run(is_token))),
            Some(b':') => self.bytes(),
            Some(b'?') => self.boolean(),
            Some(b'@') => self.date(),
            Some(b'%') => self.display(),
            _ => Err(Malformed),
        }
    }

    /// §4.2.4.
    fn number(&mut self) -> Parsed<Bare<'a>> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole.is_empty() {
            return Err(Malformed);
        }
        if !self.eat(b'.') {
            return match whole.parse::<i64>() {
                Ok(number) if whole.len() <= 15 => Ok(Bare::Integer(sign * number)),
                _ => Err(Malformed),
            };
        }
        let part = self.run(|byte| byte.is_ascii_digit());
        if whole.len() > 12 || part.is_empty() || part.len() > 3 {
            return Err(Malformed);
        }
        let thousandths = format!("{whole}{part:0<3}");
        let number: i64 = thousandths.parse().map_err(|_| Malformed)?;
        Ok(Bare::Decimal(sign * number))
    }

    /// §4.2.5.
    fn string(&mut self) -> Parsed<Bare<'a>> {
        self.expect(b'"')?;
        let plain = self.run(is_plain);
        if self.eat(b'"') {
            return Ok(Bare::String(Cow::Borrowed(plain)));
        }
        let mut text = plain.to_owned();
        loop {
            match self.next() {
                Some(b'"') => {
                    self.eat(b'"');
                    return Ok(Bare::String(Cow::Owned(text)));
                }
                Some(b'\\') => {
                    self.eat(b'\\');
                    let escaped = self.next().filter(|byte| matches!(byte, b'"' | b'\\'));
                    let escaped = escaped.ok_or(Malformed)?;
                    self.eat(escaped);
                    text.push(char::from(escaped));
                }
                _ => match self.run(is_plain) {
                    "" => return Err(Malformed),
                    more => text.push_str(more),
                },
            }
        }
    }

    /// §4.2.7. Padding may be missing there; what lies in the bits that it leaves is not looked at.
    fn bytes(&mut self) -> Parsed<Bare<'a>> {
        self.expect(b':')?;
        let text = self.run(|byte| byte != b':' && byte.is_ascii());
        self.expect(b':')?;
        let digits = text.trim_end_matches('=');
        if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
            return Err(Malformed);
        }
        let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
        let (mut held, mut bits) = (0u32, 0);
        for digit in digits.bytes() {
            held = held << 6 | u32::from(base64_digit(digit)?);
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push((held >> bits) as u8);
                held &= (1 << bits) - 1;
            }
        }
        Ok(Bare::Bytes(bytes))
    }

    fn boolean(&mut self) -> Parsed<Bare<'a>> {
        self.expect(b'?')?;
        if self.eat(b'1') {
            return Ok(Bare::Boolean(true));
        }
        self.expect(b'0')?;
        Ok(Bare::Boolean(false))
    }

    fn date(&mut self) -> Parsed<Bare<'a>> {
        self.expect(b'@')?;
        match self.number()? {
            Bare::Integer(seconds) => Ok(Bare::Date(seconds)),
            _ => Err(Malformed),
        }
    }

    /// §4.2.10.
    fn display(&mut self) -> Parsed<Bare<'a>> {
        self.expect(b'%')?;
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            let plain =
                self.run(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'"'));
            bytes.extend_from_slice(plain.as_bytes());
            if self.eat(b'"') {
                let text = String::from_utf8(bytes).map_err(|_| Malformed)?;
                return Ok(Bare::Display(text));
            }
            self.expect(b'%')?;
            let (pair, rest) = self.0.split_at_checked(2).ok_or(Malformed)?;
            if !pair
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            {
                return Err(Malformed);
            }
            bytes.push(u8::from_str_radix(pair, 16).map_err(|_| Malformed)?);
            self.0 = rest;
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

pub(super) const fn is_token(byte: u8) -> bool {
    seawall_model::token::is_token_byte(byte) || matches!(byte, b':' | b'/')
}

fn base64_digit(digit: u8) -> Parsed<u8> {
    match digit {
        b'A'..=b'Z' => Ok(digit - b'A'),
        b'a'..=b'z' => Ok(digit - b'a' + 26),
        b'0'..=b'9' => Ok(digit - b'0' + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => Err(Malformed),
    }
}

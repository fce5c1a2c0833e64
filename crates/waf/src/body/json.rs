//! JSON (RFC 8259): each leaf becomes an argument whose name is its path: `json.user.name`. The elements of a list
//! have the name of the list, as ModSecurity 2 has it: what a rule says of a name holds however many there are.
//!
//! No recursion: depth is a bound, not a stack. Keys that stand twice are both told. Escapes are decoded.

use super::{Bounds, Sink};

/// Bytes of a path. A long key with many leaves below it must not become many long names.
const PATH: usize = 1024;

/// Reads a text.
///
/// # Errors
/// What is wrong with it; the leaves before were told.
pub(crate) fn read(text: &[u8], bounds: Bounds, sink: &mut impl Sink) -> Result<(), &'static str> {
    let mut reader = Reader {
        text,
        at: 0,
        path: b"json".to_vec(),
        open: Vec::new(),
        value: Vec::new(),
        left: bounds.count,
    };
    reader.space();
    if reader.at == text.len() {
        return Ok(());
    }
    reader.document(bounds.depth, sink)?;
    reader.space();
    if reader.at == text.len() {
        Ok(())
    } else {
        Err("something follows the value")
    }
}

/// An object or array that is open.
struct Open {
    /// How long the path is without what is within.
    path: usize,
    is_list: bool,
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    path: Vec<u8>,
    open: Vec<Open>,
    value: Vec<u8>,
    left: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn document(&mut self, depth: usize, sink: &mut impl Sink) -> Result<(), &'static str> {
        loop {
            // A value begins here.
            self.space();
            let close = match self.peek() {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                _ => None,
            };
            let mut ended = true;
            if let Some(close) = close {
                self.at += 1;
                if self.open.len() >= depth {
                    return Err("values within values, too deep");
                }
                self.open.push(Open {
                    path: self.path.len(),
                    is_list: close == b']',
                });
                self.space();
                if self.eat(close) {
                    self.open.pop();
                } else {
                    self.member()?;
                    ended = false;
                }
            } else {
                self.leaf(sink)?;
            }
            while ended {
                let Some(open) = self.open.last_mut() else {
                    return Ok(());
                };
                self.path.truncate(open.path);
                let close = if open.is_list { b']' } else { b'}' };
                self.space();
                if self.eat(b',') {
                    self.space();
                    self.member()?;
                    ended = false;
                } else if self.eat(close) {
                    self.open.pop();
                } else {
                    return Err("a comma or the end of an object or array is missing");
                }
            }
        }
    }

    /// Extends the path by the key of what follows, if it has one.
    fn member(&mut self) -> Result<(), &'static str> {
        if self.open.last().is_some_and(|open| open.is_list) {
            return Ok(());
        }
        self.path.push(b'.');
        if !self.eat(b'"') {
            return Err("a key is missing");
        }
        let mut path = std::mem::take(&mut self.path);
        let read = self.string(&mut path);
        self.path = path;
        read?;
        self.space();
        if self.eat(b':') {
            self.short()
        } else {
            Err("a colon is missing")
        }
    }

    fn short(&self) -> Result<(), &'static str> {
        if self.path.len() <= PATH {
            Ok(())
        } else {
            Err("the path of a value is too long")
        }
    }

    fn leaf(&mut self, sink: &mut impl Sink) -> Result<(), &'static str> {
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        let read = self.scalar(&mut value);
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Err("too many values"),
        };
        let taken = read.is_err() || sink.argument(&self.path, &value);
        self.value = value;
        read?;
        if taken {
            Ok(())
        } else {
            Err("too many arguments")
        }
    }

    fn scalar(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.eat(b'"') {
            return self.string(out);
        }
        let begin = self.at;
        while matches!(
            self.peek(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.')
        ) {
            self.at += 1;
        }
        let word = self.text.get(begin..self.at).unwrap_or_default();
        match word {
            b"null" => {}
            b"true" | b"false" => out.extend(word),
            _ if is_number(word) => out.extend(word),
            _ => return Err("no value of JSON"),
        }
        Ok(())
    }

    /// The rest of a string, behind its quote.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(plain) = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=31))
            else {
                return Err("a string is never closed");
            };
            out.extend(rest.get(..plain).unwrap_or_default());
            self.at += plain + 1;
            match rest.get(plain) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape(out)?,
                _ => return Err("a control character in a string"),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Some(byte) = self.peek() else {
            return Err("a string is never closed");
        };
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(out),
            _ => return Err("an unknown escape"),
        });
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let first = self.four().ok_or("an unknown escape")?;
        let mut code = u32::from(first);
        if (0xd800..0xdc00).contains(&code) {
            let before = self.at;
            let low = (self.eat(b'\\') && self.eat(b'u'))
                .then(|| self.four())
                .flatten();
            match low {
                Some(low @ 0xdc00..=0xdfff) => {
                    code = 0x10000 + ((code - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                }
                _ => self.at = before,
            }
        }
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn four(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let value = u16::from_str_radix(digits, 16).ok()?;
        self.at += 4;
        Some(value)
    }
}

/// RFC 8259 §6.
fn is_number(word: &[u8]) -> bool {
    let rest = word.strip_prefix(b"-").unwrap_or(word);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest.starts_with(b"0") {
        return false;
    }
    let mut rest = rest.get(whole..).unwrap_or_default();
    if let Some(part) = rest.strip_prefix(b".") {
        let count = digits(part);
        if count == 0 {
            return false;
        }
        rest = part.get(count..).unwrap_or_default();
    }
    if let Some(power) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let power = power
            .strip_prefix(b"+")
            .or_else(|| power.strip_prefix(b"-"))
            .unwrap_or(power);
        let count = digits(power);
        return count > 0 && count == power.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Told;

    const BOUNDS: Bounds = Bounds {
        count: 10,
        depth: 4,
        files: 1,
    };

    fn read_all(text: &str) -> (Vec<String>, Result<(), &'static str>) {
        let mut told = Told::default();
        let read = read(text.as_bytes(), BOUNDS, &mut told);
        let shown = told
            .0
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        (shown.collect(), read)
    }

    #[test]
    fn leaves_have_paths() {
        let (told, read) = read_all(
            r#" {"a":{"b":"c\u00e9\n"},"d":[1,-2.5e3,[true]],"e":null,"f":{},"g":"\ud83d\ude00"} "#,
        );
        assert_eq!(read, Ok(()));
        assert_eq!(
            told,
            [
                "json.a.b=cé\n",
                "json.d=1",
                "json.d=-2.5e3",
                "json.d=true",
                "json.e=",
                "json.g=😀"
            ]
        );
        assert_eq!(read_all("\"x\"").0, ["json=x"]);
    }

    #[test]
    fn wrong_texts_are_told() {
        for text in [
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "[1 2]",
            "01",
            "tru",
            "\"a",
            "\"\\x\"",
            "1 2",
            "{a:1}",
            "[[[[[1]]]]]",
            "[1,2,3,4,5,6,7,8,9,10,11]",
            "\"\u{1}\"",
            "1.",
            "-",
            "1e",
        ] {
            assert!(read_all(text).1.is_err(), "{text}");
        }
        for text in ["", "  ", "{}", "[]", "[[[[1]]]]", "0", "-0.0"] {
            assert_eq!(read_all(text).1, Ok(()), "{text}");
        }
    }

    #[test]
    fn it_agrees_with_another_parser() {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "1", "null", " ", "\"\\n\"", "-", ".",
        ];
        let mut number = 3u64;
        for _ in 0..30_000 {
            let mut text = String::new();
            for _ in 0..7 {
                number = number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push_str(pieces[(number >> 33) as usize % pieces.len()]);
            }
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            let mut told = Told::default();
            let bounds = Bounds {
                count: 100,
                depth: 100,
                files: 0,
            };
            let ours = read(text.as_bytes(), bounds, &mut told).is_ok();
            assert!(ours == theirs || text.trim().is_empty(), "{text}");
        }
    }
}

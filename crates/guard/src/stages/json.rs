//! How deep JSON is nested, told while it streams, in constant memory.
//!
//! It is stricter than many parsers are, because what one parser skips another one reads: a byte that JSON (RFC 8259) has
//! nowhere outside of strings, such as the `'` or `/` of laxer languages, text that is not UTF-8, and brackets that close what
//! was not opened could each hide depth from whoever counts. Not here: whether it is JSON in all other ways, which the origin
//! finds out.

/// The deepest that can be counted.
pub(super) const DEEPEST: usize = 512;

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is nested deeper than allowed.
    Deep,
    /// It is no JSON, so that its depth has no meaning.
    Syntax,
}

/// A counter, at some place in a text.
#[derive(Debug)]
pub(super) struct Depth {
    most: usize,
    depth: usize,
    /// For each open bracket whether it is `{`, a bit each.
    braces: [u64; DEEPEST / 64],
    state: State,
    utf8: Utf8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    /// Within a string.
    Text,
    /// Behind a `\` in a string.
    Escape,
}

impl Depth {
    /// For a text that may be nested so deep, at most [`DEEPEST`].
    pub(super) fn new(most: u16) -> Self {
        Self {
            most: usize::from(most).min(DEEPEST),
            depth: 0,
            braces: [0; DEEPEST / 64],
            state: State::Plain,
            utf8: Utf8::default(),
        }
    }

    /// Reads on.
    ///
    /// # Errors
    /// What is wrong. Nothing more may be read then.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<(), Bad> {
        for byte in piece {
            self.next(*byte)?;
        }
        Ok(())
    }

    /// The text ends here.
    ///
    /// # Errors
    /// As [`Depth::read`].
    pub(super) fn end(&self) -> Result<(), Bad> {
        // A text that is cut in a string, or with brackets open, is no JSON; its origin sees that too, and nothing is hidden.
        match self.utf8.is_whole() {
            true => Ok(()),
            false => Err(Bad::Syntax),
        }
    }

    #[inline]
    fn next(&mut self, byte: u8) -> Result<(), Bad> {
        if byte >= 0x80 || !self.utf8.is_whole() {
            if !self.utf8.next(byte) {
                return Err(Bad::Syntax);
            }
            // A byte order mark, or any other character out of place, hides nothing.
            if self.state == State::Escape {
                self.state = State::Text;
            }
            return Ok(());
        }
        match (self.state, byte) {
            // Characters of UTF-16 and UTF-32 hold it; JSON does not, not even in strings.
            (_, 0) => return Err(Bad::Syntax),
            (State::Escape, _) => self.state = State::Text,
            (State::Text, b'"') => self.state = State::Plain,
            (State::Text, b'\\') => self.state = State::Escape,
            (State::Text, _) => {}
            (State::Plain, b'"') => self.state = State::Text,
            (State::Plain, b'{') => return self.open(true),
            (State::Plain, b'[') => return self.open(false),
            (State::Plain, b'}') => return self.close(true),
            (State::Plain, b']') => return self.close(false),
            (State::Plain, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'+' | b'-' | b'.') => {}
            (State::Plain, byte) if byte.is_ascii_alphanumeric() => {}
            (State::Plain, _) => return Err(Bad::Syntax),
        }
        Ok(())
    }

    fn open(&mut self, brace: bool) -> Result<(), Bad> {
        if self.depth >= self.most {
            return Err(Bad::Deep);
        }
        if let Some(word) = self.braces.get_mut(self.depth / 64) {
            let bit = 1 << (self.depth % 64);
            *word = if brace { *word | bit } else { *word & !bit };
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, brace: bool) -> Result<(), Bad> {
        let depth = self.depth.checked_sub(1).ok_or(Bad::Syntax)?;
        let word = self.braces.get(depth / 64).copied().unwrap_or_default();
        if (word >> (depth % 64) & 1 == 1) != brace {
            return Err(Bad::Syntax);
        }
        self.depth = depth;
        Ok(())
    }
}

/// Checks UTF-8 byte by byte, by the table of well-formed byte sequences (Unicode 15.0, table 3-7).
#[derive(Debug, Default)]
struct Utf8 {
    /// Bytes to come of the character that was begun.
    left: u8,
    /// Between these the next one lies.
    least: u8,
    most: u8,
}

impl Utf8 {
    #[inline]
    const fn is_whole(&self) -> bool {
        self.left == 0
    }

    /// Whether this byte may come here.
    fn next(&mut self, byte: u8) -> bool {
        if self.left > 0 {
            let good = (self.least..=self.most).contains(&byte);
            *self = Self {
                left: self.left - 1,
                least: 0x80,
                most: 0xbf,
            };
            return good;
        }
        let (left, least, most) = match byte {
            0x00..=0x7f => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return false,
        };
        *self = Self { left, least, most };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read whole, and byte by byte.
    fn read(most: u16, text: &[u8]) -> Result<(), Bad> {
        let judge = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut depth = Depth::new(most);
            for piece in pieces {
                depth.read(piece)?;
            }
            depth.end()
        };
        let whole = judge(&mut std::iter::once(text));
        assert_eq!(
            whole,
            judge(&mut text.chunks(1)),
            "the pieces do not matter"
        );
        whole
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert_eq!(
            read(2, br#"{"a":[1,2.5e+3,true,null,"]]{{[["],"b":{}}"#),
            Ok(())
        );
        assert_eq!(read(1, br#"{"a":[]}"#), Err(Bad::Deep));
        assert_eq!(
            read(1, br#"["\"[[","\\",[]]"#),
            Err(Bad::Deep),
            "escapes are read"
        );
        assert_eq!(read(1, br#"["\\\"[[","[\u005b"]"#), Ok(()));
        assert_eq!(
            read(1, b"[][][]\n{}"),
            Ok(()),
            "several texts, one after the other"
        );
        assert_eq!(
            read(3, "\u{feff}[\"\u{20ac}\u{10348}\"]".as_bytes()),
            Ok(())
        );
    }

    #[test]
    fn the_limit_is_exact_up_to_the_deepest() {
        for most in [1, 63, 64, 65, 511, 512] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let nested = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
                assert_eq!(read(most, nested(most.into()).as_bytes()), Ok(()));
                let deeper = nested(usize::from(most) + 1);
                assert_eq!(read(most, deeper.as_bytes()), Err(Bad::Deep));
            }
        }
    }

    #[test]
    fn padding_does_not_carry_depth_past() {
        let mut padded = b"[\"".to_vec();
        padded.resize(200_000, b'x');
        padded.extend_from_slice(b"\",");
        padded.resize(400_000, b' ');
        padded.extend_from_slice(b"[[[1]]]]");
        assert_eq!(read(3, &padded), Err(Bad::Deep));
        assert_eq!(read(4, &padded), Ok(()));
    }

    #[test]
    fn what_other_parsers_read_otherwise_is_no_json() {
        for text in [
            &b"['\"',[[[[1]]]],'\"']"[..],
            b"[/*\"*/[[[1]]]/*\"*/]",
            b"[//\"\n[[[1]]]]",
            b"#\"\n[[[1]]]",
            b")]}'\n[1]",
            b"[}",
            b"]",
            b"[[}}]]",
            b"[\"a\0\"]",
            b"[\0",
            b"\0[\0[\0[",
            b"\xff\xfe[\0",
            b"\xfe\xff\0[",
            b"[\"\xe0\",\":[[[[\"]",
            b"[\"\xc1\x9b\"]",
            b"[\"\xed\xa0\x80\"]",
            b"[\"\xf5\x80\x80\x80\"]",
            b"[\"\x80\"]",
            b"[\"\xe2\x82",
            b"[\"\\\xff\"]",
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(read(2, text), Err(Bad::Syntax), "{shown:?}");
        }
    }

    #[test]
    fn utf8_is_what_the_standard_library_says() {
        let mut wrong = 0;
        for first in 0x80..=0xffu32 {
            for second in [
                0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff,
            ] {
                for third in [0x41, 0x80, 0xbf] {
                    let text = [first as u8, second, third, 0x80];
                    let mut utf8 = Utf8::default();
                    let good = text.iter().all(|byte| utf8.next(*byte)) && utf8.is_whole();
                    wrong += usize::from(good != std::str::from_utf8(&text).is_ok());
                }
            }
        }
        assert_eq!(wrong, 0);
    }
}

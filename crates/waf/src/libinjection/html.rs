//! A text as tokens of HTML, as browsers read it (and old ones: a NUL counts for nothing in a name, a backtick quotes).

/// Where a text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// Between tags.
    Data,
    /// Within a tag, in a value without quotes.
    NoQuote,
    /// Within a value in this quote.
    Quote(u8),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    TagOpen,
    /// Ends of tags.
    TagEnd,
    AttributeName,
    AttributeValue,
    Comment,
    DocumentType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    TagOpen,
    TagNameClose,
    SelfClosing,
    AfterName,
    BeforeName,
    BeforeValue,
    Quoted(u8),
    AfterQuoted,
    End,
}

/// Reads tokens.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    state: State,
    closes: bool,
}

/// White space; a NUL is some too.
const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0)
}

type Token = (Kind, usize, usize);

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t [u8], begins: Begins) -> Self {
        Self {
            text,
            at: 0,
            state: match begins {
                Begins::Data => State::Data,
                Begins::NoQuote => State::BeforeName,
                Begins::Quote(quote) => State::Quoted(quote),
            },
            closes: false,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token: its kind, where it begins and ends.
    pub(super) fn next(&mut self) -> Option<Token> {
        match self.state {
            State::End => None,
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::TagNameClose => Some(self.tag_name_close()),
            State::SelfClosing => self.self_closing(),
            State::AfterName => self.after_name(),
            State::BeforeName => self.before_name(),
            State::BeforeValue => self.before_value(),
            State::Quoted(quote) => Some(self.quoted(quote)),
            State::AfterQuoted => self.after_quoted(),
        }
    }

    /// A token up to the end of the text, after which nothing comes.
    fn last(&mut self, kind: Kind) -> Token {
        let begin = self.at;
        self.state = State::End;
        (kind, begin, self.text.len())
    }

    fn data(&mut self) -> Option<Token> {
        let begin = self.at;
        let Some(length) = memchr::memchr(b'<', self.rest()) else {
            self.state = State::End;
            return (begin < self.text.len()).then_some((Kind::Text, begin, self.text.len()));
        };
        self.at += length + 1;
        self.state = State::TagOpen;
        if length == 0 {
            return self.tag_open();
        }
        Some((Kind::Text, begin, begin + length))
    }

    fn tag_open(&mut self) -> Option<Token> {
        match self.byte()? {
            b'!' => {
                self.at += 1;
                Some(self.declaration())
            }
            b'/' => {
                self.at += 1;
                self.closes = true;
                self.end_tag_open()
            }
            b'?' => {
                self.at += 1;
                Some(self.comment_to_bracket())
            }
            b'%' => {
                self.at += 1;
                Some(self.comment_to(b"%>"))
            }
            0 => Some(self.tag_name()),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.state = State::Data;
                Some((Kind::Text, self.at - 1, self.at))
            }
        }
    }

    fn end_tag_open(&mut self) -> Option<Token> {
        match self.byte()? {
            b'>' => self.data(),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.closes = false;
                Some(self.comment_to_bracket())
            }
        }
    }

    fn tag_name_close(&mut self) -> Token {
        self.closes = false;
        let begin = self.at;
        self.at += 1;
        self.state = if self.at < self.text.len() {
            State::Data
        } else {
            State::End
        };
        (Kind::TagEnd, begin, self.at)
    }

    fn tag_name(&mut self) -> Token {
        let begin = self.at;
        let end = self
            .rest()
            .iter()
            .position(|byte| *byte != 0 && (is_white(*byte) || matches!(byte, b'/' | b'>')));
        let Some(length) = end else {
            return self.last(Kind::TagOpen);
        };
        let end = begin + length;
        match self.text.get(end) {
            Some(b'>') if self.closes => {
                self.at = end + 1;
                self.closes = false;
                self.state = State::Data;
                return (Kind::TagEnd, begin, end);
            }
            Some(b'>') => {
                self.at = end;
                self.state = State::TagNameClose;
            }
            Some(b'/') => {
                self.at = end + 1;
                self.state = State::SelfClosing;
            }
            _ => {
                self.at = end + 1;
                self.state = State::BeforeName;
            }
        }
        (Kind::TagOpen, begin, end)
    }

    fn skip_white(&mut self) -> Option<u8> {
        self.at += self
            .rest()
            .iter()
            .take_while(|byte| is_white(**byte))
            .count();
        self.byte()
    }

    fn before_name(&mut self) -> Option<Token> {
        loop {
            match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    match self.byte()? {
                        b'>' => return Some(self.self_closed()),
                        _ => continue,
                    }
                }
                b'>' => return Some(self.end_of_tag()),
                _ => return Some(self.name()),
            }
        }
    }

    fn self_closing(&mut self) -> Option<Token> {
        match self.byte()? {
            b'>' => Some(self.self_closed()),
            _ => self.before_name(),
        }
    }

    fn self_closed(&mut self) -> Token {
        self.at += 1;
        self.state = State::Data;
        (Kind::TagEnd, self.at - 2, self.at)
    }

    fn end_of_tag(&mut self) -> Token {
        self.at += 1;
        self.state = State::Data;
        (Kind::TagEnd, self.at - 1, self.at)
    }

    fn name(&mut self) -> Token {
        let begin = self.at;
        let rest = self.text.get(begin + 1..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| is_white(*byte) || matches!(byte, b'/' | b'=' | b'>'));
        let Some(length) = end else {
            let token = self.last(Kind::AttributeName);
            self.at = self.text.len();
            return token;
        };
        let end = begin + 1 + length;
        self.at = end + 1;
        self.state = match self.text.get(end) {
            Some(b'/') => State::SelfClosing,
            Some(b'=') => State::BeforeValue,
            Some(b'>') => {
                self.at = end;
                State::TagNameClose
            }
            _ => State::AfterName,
        };
        (Kind::AttributeName, begin, end)
    }

    fn after_name(&mut self) -> Option<Token> {
        match self.skip_white()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'=' => {
                self.at += 1;
                self.before_value()
            }
            b'>' => Some(self.tag_name_close()),
            _ => Some(self.name()),
        }
    }

    fn before_value(&mut self) -> Option<Token> {
        match self.skip_white() {
            None => {
                self.state = State::End;
                None
            }
            Some(quote @ (b'"' | b'\'' | b'`')) => Some(self.quoted(quote)),
            Some(_) => Some(self.unquoted()),
        }
    }

    fn quoted(&mut self, quote: u8) -> Token {
        // At the begin of the text nobody wrote the quote.
        if self.at > 0 {
            self.at += 1;
        }
        let begin = self.at;
        let Some(length) = memchr::memchr(quote, self.rest()) else {
            return self.last(Kind::AttributeValue);
        };
        self.at += length + 1;
        self.state = State::AfterQuoted;
        (Kind::AttributeValue, begin, begin + length)
    }

    fn unquoted(&mut self) -> Token {
        let begin = self.at;
        let end = self
            .rest()
            .iter()
            .position(|byte| is_white(*byte) || *byte == b'>');
        let Some(length) = end else {
            return self.last(Kind::AttributeValue);
        };
        let end = begin + length;
        if self.text.get(end) == Some(&b'>') {
            self.at = end;
            self.state = State::TagNameClose;
        } else {
            self.at = end + 1;
            self.state = State::BeforeName;
        }
        (Kind::AttributeValue, begin, end)
    }

    fn after_quoted(&mut self) -> Option<Token> {
        match self.byte()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'>' => Some(self.end_of_tag()),
            byte => {
                self.at += usize::from(is_white(byte));
                self.before_name()
            }
        }
    }

    fn declaration(&mut self) -> Token {
        let rest = self.rest();
        if rest
            .get(..7)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"DOCTYPE"))
        {
            let begin = self.at;
            let Some(length) = memchr::memchr(b'>', rest) else {
                return self.last(Kind::DocumentType);
            };
            self.at += length + 1;
            self.state = State::Data;
            return (Kind::DocumentType, begin, begin + length);
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return self.cdata();
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.comment_to_bracket()
    }

    fn comment_to_bracket(&mut self) -> Token {
        self.comment_to(b">")
    }

    fn comment_to(&mut self, end: &[u8]) -> Token {
        let begin = self.at;
        let Some(length) = memchr::memmem::find(self.rest(), end) else {
            return self.last(Kind::Comment);
        };
        self.at += length + end.len();
        self.state = State::Data;
        (Kind::Comment, begin, begin + length)
    }

    /// A comment ends with `-->` or `-!>`; NULs behind the first dash count for nothing.
    fn comment(&mut self) -> Token {
        let begin = self.at;
        for dash in memchr::memchr_iter(b'-', self.rest()).map(|place| place + begin) {
            if dash + 3 > self.text.len() {
                break;
            }
            let behind = self.text.get(dash + 1..).unwrap_or_default();
            let nuls = behind.iter().take_while(|byte| **byte == 0).count();
            let behind = behind.get(nuls..).unwrap_or_default();
            if behind.len() < 2 {
                // Only then can nothing end it any more.
                if behind.is_empty() || matches!(behind, [b'-' | b'!']) {
                    break;
                }
                continue;
            }
            if matches!(behind, [b'-' | b'!', b'>', ..]) {
                self.at = dash + 1 + nuls + 2;
                self.state = State::Data;
                return (Kind::Comment, begin, dash);
            }
        }
        self.last(Kind::Comment)
    }

    fn cdata(&mut self) -> Token {
        let begin = self.at;
        let Some(length) = memchr::memmem::find(self.rest(), b"]]>") else {
            return self.last(Kind::Text);
        };
        self.at += length + 3;
        self.state = State::Data;
        (Kind::Text, begin, begin + length)
    }
}

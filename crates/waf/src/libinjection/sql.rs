//! A text as tokens of SQL, in the dialects of several databases at once.

use super::words::kind_of;

/// Bytes of a token that are kept.
pub(super) const LONGEST: usize = 31;

/// Kinds of tokens, as fingerprints spell them.
pub(super) mod kind {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const KEYWORD: u8 = b'k';
    pub(crate) const UNION: u8 = b'U';
    pub(crate) const GROUP: u8 = b'B';
    pub(crate) const EXPRESSION: u8 = b'E';
    pub(crate) const SQL_TYPE: u8 = b't';
    pub(crate) const FUNCTION: u8 = b'f';
    pub(crate) const WORD: u8 = b'n';
    pub(crate) const NUMBER: u8 = b'1';
    pub(crate) const VARIABLE: u8 = b'v';
    pub(crate) const STRING: u8 = b's';
    pub(crate) const OPERATOR: u8 = b'o';
    pub(crate) const LOGIC: u8 = b'&';
    pub(crate) const COMMENT: u8 = b'c';
    pub(crate) const COLLATE: u8 = b'A';
    pub(crate) const OPEN: u8 = b'(';
    pub(crate) const CLOSE: u8 = b')';
    pub(crate) const OPEN_BRACE: u8 = b'{';
    pub(crate) const CLOSE_BRACE: u8 = b'}';
    pub(crate) const DOT: u8 = b'.';
    pub(crate) const COMMA: u8 = b',';
    pub(crate) const COLON: u8 = b':';
    pub(crate) const SEMICOLON: u8 = b';';
    pub(crate) const TSQL: u8 = b'T';
    pub(crate) const UNKNOWN: u8 = b'?';
    pub(crate) const EVIL: u8 = b'X';
    pub(crate) const BACKSLASH: u8 = b'\\';
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: u8,
    length: u8,
    bytes: [u8; LONGEST],
    /// The quote that opens it, 0 when none does.
    pub(super) open: u8,
    /// The quote that closes it.
    pub(super) close: u8,
}

impl Token {
    pub(super) const EMPTY: Self = Self {
        kind: kind::NONE,
        length: 0,
        bytes: [0; LONGEST],
        open: 0,
        close: 0,
    };

    /// What it says, cut after [`LONGEST`] bytes.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    pub(super) fn set(&mut self, kind: u8, text: &[u8]) {
        self.kind = kind;
        let length = text.len().min(LONGEST);
        self.length = length as u8;
        for (to, from) in self.bytes.iter_mut().zip(text) {
            *to = *from;
        }
    }

    /// Whether it says this, in any case.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.text().eq_ignore_ascii_case(text)
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == kind::OPERATOR && matches!(self.text(), b"*" | b"/" | b"-" | b"+" | b"%")
    }

    pub(super) fn is_unary(&self) -> bool {
        self.kind == kind::OPERATOR
            && (matches!(self.text(), b"+" | b"-" | b"!" | b"~" | b"!!") || self.is(b"NOT"))
    }
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The quote within which it begins; 0 for none.
    pub(super) quote: u8,
    /// MySQL's comments instead of ANSI's.
    pub(super) mysql: bool,
}

/// Reads tokens.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    reading: Reading,
    /// How many tokens there were.
    pub(super) tokens: u32,
    /// Whether MySQL would read it otherwise.
    pub(super) dialects_differ: bool,
}

/// Space and what databases take for it.
const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0xa0 | 0)
}

const fn ends_word(byte: u8) -> bool {
    is_white(byte)
        || matches!(
            byte,
            b'[' | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'?'
                | b'='
                | b'@'
                | b'!'
                | b'#'
                | b'~'
                | b'+'
                | b'-'
                | b'*'
                | b'/'
                | b'&'
                | b'|'
                | b'^'
                | b'%'
                | b'('
                | b')'
                | b','
                | b'\''
                | b';'
                | b'"'
        )
}

const fn ends_variable(byte: u8) -> bool {
    match byte {
        b'[' | b']' | b'{' | b'}' | 0xa0 => false,
        b'`' => true,
        byte => ends_word(byte),
    }
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t [u8], reading: Reading) -> Self {
        Self {
            text,
            at: 0,
            reading,
            tokens: 0,
            dialects_differ: false,
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn rest(&self, ahead: usize) -> &'t [u8] {
        self.text.get(self.at + ahead..).unwrap_or_default()
    }

    /// The next token. False at the end.
    pub(super) fn next(&mut self, token: &mut Token) -> bool {
        if self.text.is_empty() {
            return false;
        }
        *token = Token::EMPTY;
        if self.at == 0 && self.reading.quote != 0 {
            self.at = self.string(token, 0, self.reading.quote, 0);
            self.tokens += 1;
            return true;
        }
        while let Some(byte) = self.byte(0) {
            self.at = self.one(token, byte);
            if token.kind != kind::NONE {
                self.tokens += 1;
                return true;
            }
        }
        false
    }

    /// Reads what begins with this byte; where it ends.
    fn one(&mut self, token: &mut Token, byte: u8) -> usize {
        match byte {
            0..=b' ' | 0x7f | 0xa0 => self.at + 1,
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(token, byte),
            b'%' | b'^' | b'+' | b'~' => self.single(token, kind::OPERATOR),
            b'"' | b'\'' => self.string(token, self.at, byte, 1),
            b'#' => self.hash(token),
            b'$' => self.money(token),
            b'(' | b')' | b',' | b';' | b'{' | b'}' => self.single(token, byte),
            b'-' => self.dash(token),
            b'.' | b'0'..=b'9' => self.number(token),
            b'/' => self.slash(token),
            b'?' | b']' => self.single(token, kind::UNKNOWN),
            b'@' => self.variable(token),
            b'[' => self.bracketed(token),
            b'\\' => self.backslash(token),
            b'`' => self.tick(token),
            b'b' | b'B' => self.digits_in_quotes(token, |byte| matches!(byte, b'0' | b'1' | 0)),
            b'x' | b'X' => {
                self.digits_in_quotes(token, |byte| byte == 0 || byte.is_ascii_hexdigit())
            }
            b'e' | b'E' => self.escaped_string(token),
            b'n' | b'N' => {
                if self.byte(1) == Some(b'\'') && self.byte(2).is_some() {
                    self.escaped_string(token)
                } else {
                    self.q_string(token, 1)
                }
            }
            b'q' | b'Q' => self.q_string(token, 0),
            b'u' | b'U' => self.unicode_string(token),
            _ => self.word(token),
        }
    }

    fn single(&self, token: &mut Token, kind: u8) -> usize {
        token.set(kind, self.rest(0).get(..1).unwrap_or_default());
        self.at + 1
    }

    /// Takes so many bytes as a token of this kind.
    fn take(&self, token: &mut Token, kind: u8, length: usize) -> usize {
        token.set(kind, self.rest(0).get(..length).unwrap_or_default());
        self.at + length
    }

    fn to_end_of_line(&self, token: &mut Token) -> usize {
        let rest = self.rest(0);
        let end = memchr::memchr(b'\n', rest);
        token.set(
            kind::COMMENT,
            rest.get(..end.unwrap_or(rest.len())).unwrap_or_default(),
        );
        self.at + end.map_or(rest.len(), |end| end + 1)
    }

    fn hash(&mut self, token: &mut Token) -> usize {
        self.dialects_differ = true;
        if self.reading.mysql {
            self.to_end_of_line(token)
        } else {
            self.single(token, kind::OPERATOR)
        }
    }

    fn dash(&mut self, token: &mut Token) -> usize {
        match (self.byte(1), self.byte(2)) {
            (Some(b'-'), None) => self.to_end_of_line(token),
            (Some(b'-'), Some(byte)) if is_white(byte) => self.to_end_of_line(token),
            (Some(b'-'), _) if !self.reading.mysql => {
                self.dialects_differ = true;
                self.to_end_of_line(token)
            }
            _ => self.single(token, kind::OPERATOR),
        }
    }

    fn slash(&self, token: &mut Token) -> usize {
        if self.byte(1) != Some(b'*') {
            return self.single(token, kind::OPERATOR);
        }
        let body = self.rest(2);
        let end = memchr::memmem::find(body, b"*/");
        let length = end.map_or(body.len() + 2, |end| end + 4);
        // PostgreSQL has comments in comments, MySQL runs `/*! … */`: whoever sends one hides something.
        let nested = end.is_some_and(|end| {
            let inside = body.get(..end + 1).unwrap_or_default();
            memchr::memmem::find(inside, b"/*").is_some()
        });
        let evil = nested || self.byte(2) == Some(b'!');
        self.take(token, if evil { kind::EVIL } else { kind::COMMENT }, length)
    }

    fn backslash(&self, token: &mut Token) -> usize {
        match self.byte(1) {
            // MySQL's other name of NULL.
            Some(b'N') => self.take(token, kind::NUMBER, 2),
            _ => self.single(token, kind::BACKSLASH),
        }
    }

    fn operator(&self, token: &mut Token, byte: u8) -> usize {
        let rest = self.rest(0);
        if rest.len() > 1 {
            if rest.starts_with(b"<=>") {
                return self.take(token, kind::OPERATOR, 3);
            }
            let found = match rest.get(..2) {
                Some(pair) => kind_of(pair),
                None => 0,
            };
            if found != 0 {
                return self.take(token, found, 2);
            }
            if byte == b':' {
                return self.single(token, kind::COLON);
            }
        }
        self.single(token, kind::OPERATOR)
    }

    /// A string that begins at `at` with `skip` bytes that are not of it. A doubled quote and one behind a backslash do not end it.
    fn string(&self, token: &mut Token, at: usize, quote: u8, skip: usize) -> usize {
        let begin = at + skip;
        let body = self.text.get(begin..).unwrap_or_default();
        token.open = if skip > 0 { quote } else { 0 };
        let mut from = 0;
        loop {
            let found = body
                .get(from..)
                .and_then(|rest| memchr::memchr(quote, rest))
                .map(|place| place + from);
            let Some(end) = found else {
                token.set(kind::STRING, body);
                token.close = 0;
                return self.text.len();
            };
            let before = body.get(..end).unwrap_or_default();
            let slashes = before
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\')
                .count();
            if slashes % 2 == 1 {
                from = end + 1;
            } else if body.get(end + 1) == Some(&quote) {
                from = end + 2;
            } else {
                token.set(kind::STRING, before);
                token.close = quote;
                return begin + end + 1;
            }
        }
    }

    /// `E'…'` of PostgreSQL, `N'…'` of MySQL.
    fn escaped_string(&self, token: &mut Token) -> usize {
        if self.byte(2).is_none() || self.byte(1) != Some(b'\'') {
            return self.word(token);
        }
        self.string(token, self.at, b'\'', 2)
    }

    /// `U&'…'`.
    fn unicode_string(&self, token: &mut Token) -> usize {
        if !self.rest(1).starts_with(b"&'") {
            return self.word(token);
        }
        let end = self.string(token, self.at + 2, b'\'', 1);
        token.open = b'u';
        if token.close == b'\'' {
            token.close = b'u';
        }
        end
    }

    /// Oracle's `q'(…)'` and `nq'(…)'`.
    fn q_string(&self, token: &mut Token, skip: usize) -> usize {
        let rest = self.rest(skip);
        let (Some(b'q' | b'Q'), Some(b'\''), Some(open @ 33..=127)) =
            (rest.first(), rest.get(1), rest.get(2))
        else {
            return self.word(token);
        };
        let close = match open {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => *other,
        };
        let body = rest.get(3..).unwrap_or_default();
        token.open = b'q';
        match memchr::memmem::find(body, &[close, b'\'']) {
            Some(end) => {
                token.set(kind::STRING, body.get(..end).unwrap_or_default());
                token.close = b'q';
                self.at + skip + 3 + end + 2
            }
            None => {
                token.set(kind::STRING, body);
                self.text.len()
            }
        }
    }

    /// `b'01'` and `x'1f'`.
    fn digits_in_quotes(&self, token: &mut Token, digit: impl Fn(u8) -> bool) -> usize {
        if self.byte(2).is_none() || self.byte(1) != Some(b'\'') {
            return self.word(token);
        }
        let body = self.rest(2);
        let count = body.iter().take_while(|byte| digit(**byte)).count();
        if body.get(count) != Some(&b'\'') {
            return self.word(token);
        }
        self.take(token, kind::NUMBER, count + 3)
    }

    /// A name in brackets of SQL Server.
    fn bracketed(&self, token: &mut Token) -> usize {
        let rest = self.rest(0);
        let length = memchr::memchr(b']', rest).map_or(rest.len(), |end| end + 1);
        self.take(token, kind::WORD, length)
    }

    fn word(&self, token: &mut Token) -> usize {
        let rest = self.rest(0);
        let length = rest.iter().take_while(|byte| !ends_word(**byte)).count();
        token.set(kind::WORD, rest.get(..length).unwrap_or_default());
        // `SELECT.1` and `SELECT`column``: what is before counts.
        let kept = *token;
        for (at, byte) in kept.text().iter().enumerate() {
            if matches!(byte, b'.' | b'`') {
                let before = kept.text().get(..at).unwrap_or_default();
                let found = kind_of(before);
                if found != kind::NONE && found != kind::WORD {
                    *token = Token::EMPTY;
                    token.set(found, before);
                    return self.at + at;
                }
            }
        }
        if length <= LONGEST {
            let found = kind_of(kept.text());
            if found != kind::NONE {
                token.kind = found;
            }
        }
        self.at + length
    }

    /// A name in MySQL's backticks.
    fn tick(&self, token: &mut Token) -> usize {
        self.tick_at(token, self.at)
    }

    fn tick_at(&self, token: &mut Token, at: usize) -> usize {
        let end = self.string(token, at, b'`', 1);
        token.kind = match kind_of(token.text()) {
            kind::FUNCTION => kind::FUNCTION,
            _ => kind::WORD,
        };
        end
    }

    fn variable(&self, token: &mut Token) -> usize {
        let ahead = if self.byte(1) == Some(b'@') { 2 } else { 1 };
        let at = self.at + ahead;
        let end = match self.byte(ahead) {
            Some(b'`') => self.tick_at(token, at),
            Some(quote @ (b'\'' | b'"')) => self.string(token, at, quote, 1),
            _ => {
                let rest = self.rest(ahead);
                let length = rest
                    .iter()
                    .take_while(|byte| !ends_variable(**byte))
                    .count();
                token.set(kind::VARIABLE, rest.get(..length).unwrap_or_default());
                at + length
            }
        };
        token.kind = kind::VARIABLE;
        end
    }

    /// `$1,000.00`, `$$…$$`, `$tag$…$tag$`.
    fn money(&self, token: &mut Token) -> usize {
        let rest = self.rest(1);
        if rest.is_empty() {
            return self.single(token, kind::WORD);
        }
        let digits = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | 0))
            .count();
        if digits == 1 && rest.first() == Some(&b'.') {
            return self.word(token);
        }
        if digits > 0 {
            return self.take(token, kind::NUMBER, 1 + digits);
        }
        let name = if rest.first() == Some(&b'$') {
            0
        } else {
            let letters = rest
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic() || **byte == 0)
                .count();
            if letters == 0 || rest.get(letters) != Some(&b'$') {
                return self.single(token, kind::WORD);
            }
            letters
        };
        let tag = self.rest(0).get(..name + 2).unwrap_or_default();
        let body = self.rest(name + 2);
        token.open = b'$';
        match self.closing_tag(tag, body) {
            Some(end) => {
                token.set(kind::STRING, body.get(..end).unwrap_or_default());
                token.close = b'$';
                self.at + name + 2 + end + name + 2
            }
            None => {
                token.set(kind::STRING, body);
                self.text.len()
            }
        }
    }

    /// Where in the body the tag stands again. With a name in it the original looks from the begin of the text on, and takes a tag
    /// that it finds before the body for none at all; its fingerprints were made so.
    fn closing_tag(&self, tag: &[u8], body: &[u8]) -> Option<usize> {
        if tag.len() == 2 {
            return memchr::memmem::find(body, tag);
        }
        let all = self.text.len() - body.len();
        let looked = self.text.get(tag.len()..).unwrap_or_default();
        let looked = looked.get(..self.text.len() - all).unwrap_or_default();
        let found = memchr::memmem::find(looked, tag)? + tag.len();
        found.checked_sub(all)
    }

    fn number(&self, token: &mut Token) -> usize {
        let rest = self.rest(0);
        let spelled: Option<fn(&u8) -> bool> = match (rest.first(), rest.get(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => Some(|byte| *byte == 0 || byte.is_ascii_hexdigit()),
            (Some(b'0'), Some(b'b' | b'B')) => Some(|byte| matches!(byte, 0 | b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = spelled {
            let count = self.rest(2).iter().take_while(|byte| digit(byte)).count();
            let kind = if count == 0 { kind::WORD } else { kind::NUMBER };
            return self.take(token, kind, 2 + count);
        }
        let digits = |from: usize| {
            let rest = rest.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = digits(0);
        if rest.get(end) == Some(&b'.') {
            end = digits(end + 1);
            if end == 1 {
                return self.take(token, kind::DOT, 1);
            }
        }
        let mut is_word = false;
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let signed = matches!(rest.get(end + 1), Some(b'+' | b'-'));
            let power = end + 1 + usize::from(signed);
            end = digits(power);
            // `1234.e` is a word.
            is_word = end == power;
        }
        // Oracle's suffixes, and `1fUNION`.
        if matches!(rest.get(end), Some(b'd' | b'D' | b'f' | b'F')) {
            let ends = match rest.get(end + 1) {
                None | Some(b';' | b'u' | b'U') => true,
                Some(byte) => is_white(*byte),
            };
            end += usize::from(ends);
        }
        self.take(token, if is_word { kind::WORD } else { kind::NUMBER }, end)
    }
}

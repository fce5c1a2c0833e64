//! Tokens of SQL folded to a fingerprint of at most five, and what the fingerprint says.

use super::sql::{LONGEST, Lexer, Reading, Token, kind};
use super::words::{is_known, kind_of};

/// Tokens of a fingerprint.
const MOST: usize = 5;

/// A text's tokens, folded.
struct Folded<'t> {
    lexer: Lexer<'t>,
    /// One more than a fingerprint has, to tell what the fifth is.
    tokens: [Token; MOST + 3],
    /// How many of them there are.
    count: usize,
    last_comment: Option<Token>,
    more: bool,
}

/// What a look at the tokens that are there led to.
enum Step {
    /// Something was folded: look again, from this token on.
    Again(usize),
    /// Nothing to fold; go on from this token.
    Next(usize),
    /// The text cannot be read.
    Evil(usize),
}

/// Whether a text is an injection into SQL; with its fingerprint.
pub(crate) fn sqli(text: &[u8]) -> Option<String> {
    let ansi = |quote| Reading {
        quote,
        mysql: false,
    };
    let mysql = |quote| Reading { quote, mysql: true };
    let mut readings = vec![ansi(0)];
    if memchr::memchr(b'\'', text).is_some() {
        readings.push(ansi(b'\''));
    }
    for reading in readings {
        let (found, differs) = read(text, reading);
        if found.is_some() {
            return found;
        }
        if differs && let (Some(found), _) = read(text, mysql(reading.quote)) {
            return Some(found);
        }
    }
    if memchr::memchr(b'"', text).is_some() {
        return read(text, mysql(b'"')).0;
    }
    None
}

/// The fingerprint if it is an injection's, and whether MySQL would read the text otherwise.
fn read(text: &[u8], reading: Reading) -> (Option<String>, bool) {
    let mut folded = Folded {
        lexer: Lexer::new(text, reading),
        tokens: [Token::EMPTY; MOST + 3],
        count: 0,
        last_comment: None,
        more: true,
    };
    folded.fold();
    let differs = folded.lexer.dialects_differ;
    (folded.judge(text), differs)
}

impl Folded<'_> {
    fn kind(&self, at: usize) -> u8 {
        self.tokens.get(at).map_or(kind::NONE, |token| token.kind)
    }

    fn token(&self, at: usize) -> &Token {
        self.tokens.get(at).unwrap_or(&Token::EMPTY)
    }

    fn set_kind(&mut self, at: usize, kind: u8) {
        if let Some(token) = self.tokens.get_mut(at) {
            token.kind = kind;
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        let token = *self.token(from);
        if let Some(place) = self.tokens.get_mut(to) {
            *place = token;
        }
    }

    /// Reads on until there are so many tokens behind `left`.
    fn pull(&mut self, left: usize, wanted: usize) {
        while self.more && self.count <= MOST && self.count - left < wanted {
            let Some(token) = self.tokens.get_mut(self.count) else {
                return;
            };
            self.more = self.lexer.next(token);
            if self.more {
                if token.kind == kind::COMMENT {
                    self.last_comment = Some(*token);
                } else {
                    self.last_comment = None;
                    self.count += 1;
                }
            }
        }
    }

    fn fold(&mut self) {
        // Comments, parentheses, types and signs before everything say nothing.
        loop {
            let Some(token) = self.tokens.first_mut() else {
                return;
            };
            self.more = self.lexer.next(token);
            let skipped = matches!(token.kind, kind::COMMENT | kind::OPEN | kind::SQL_TYPE)
                || token.is_unary();
            if !self.more {
                return;
            }
            if !skipped {
                break;
            }
        }
        self.count = 1;
        let mut left = 0;
        loop {
            if self.count >= MOST && self.is_repetition() {
                if self.count > MOST {
                    self.copy(MOST, 1);
                    self.count = 2;
                } else {
                    self.count = 1;
                }
                left = 0;
            }
            if !self.more || left >= MOST {
                left = self.count;
                break;
            }
            self.pull(left, 2);
            if self.count - left < 2 {
                left = self.count;
                continue;
            }
            match self.two(left) {
                Step::Again(from) => {
                    left = from;
                    continue;
                }
                Step::Evil(count) => {
                    self.count = count;
                    return;
                }
                Step::Next(from) => left = from,
            }
            self.pull(left, 3);
            if self.count - left < 3 {
                left = self.count;
                continue;
            }
            match self.three(left) {
                Step::Again(from) => left = from,
                Step::Next(_) | Step::Evil(_) => left += 1,
            }
        }
        if left < MOST
            && let Some(comment) = self.last_comment
            && let Some(place) = self.tokens.get_mut(left)
        {
            *place = comment;
            left += 1;
        }
        self.count = left.min(MOST);
    }

    /// Five tokens that only repeat what one says: `1 + (2)`, `(1),(2)`.
    fn is_repetition(&self) -> bool {
        use kind::{CLOSE, COMMA, NUMBER, OPEN, OPERATOR, WORD};
        let kinds = [0, 1, 2, 3, 4].map(|at| self.kind(at));
        matches!(
            kinds,
            [NUMBER, OPERATOR | COMMA, OPEN, NUMBER, CLOSE]
                | [WORD, OPERATOR, OPEN, WORD | NUMBER, CLOSE]
                | [NUMBER, CLOSE, COMMA, OPEN, NUMBER]
                | [WORD, CLOSE, OPERATOR, OPEN, WORD]
        )
    }

    fn drop_last(&mut self, tokens: usize) {
        self.count -= tokens;
    }

    /// Two words that are one: `UNION ALL`.
    fn merge(&mut self, left: usize) -> bool {
        use kind::{EXPRESSION, FUNCTION, KEYWORD, LOGIC, OPERATOR, SQL_TYPE, TSQL, UNION, WORD};
        let (first, second) = (*self.token(left), *self.token(left + 1));
        let is_word = |kind: u8| {
            matches!(
                kind,
                KEYWORD | WORD | OPERATOR | UNION | FUNCTION | EXPRESSION | TSQL | SQL_TYPE
            )
        };
        if !is_word(first.kind) || !(is_word(second.kind) || second.kind == LOGIC) {
            return false;
        }
        let length = first.text().len() + 1 + second.text().len();
        let mut both = [0u8; LONGEST];
        let Some(place) = both.get_mut(..length) else {
            return false;
        };
        let words = first.text().iter().chain(b" ").chain(second.text());
        for (to, from) in place.iter_mut().zip(words) {
            *to = *from;
        }
        let found = kind_of(place);
        if found == kind::NONE {
            return false;
        }
        if let Some(token) = self.tokens.get_mut(left) {
            token.set(found, place);
        }
        true
    }

    /// Looks at two tokens.
    fn two(&mut self, left: usize) -> Step {
        use kind::{
            BACKSLASH, CLOSE, CLOSE_BRACE, COLLATE, FUNCTION, KEYWORD, LOGIC, NUMBER, OPEN,
            OPEN_BRACE, OPERATOR, SEMICOLON, SQL_TYPE, STRING, TSQL, VARIABLE, WORD,
        };
        let (first, second) = (*self.token(left), *self.token(left + 1));
        match (first.kind, second.kind) {
            (STRING, STRING) | (SEMICOLON, SEMICOLON) => {
                self.drop_last(1);
                return Step::Again(left);
            }
            (OPERATOR | LOGIC, _) if second.is_unary() || second.kind == SQL_TYPE => {
                self.drop_last(1);
                return Step::Again(0);
            }
            (OPEN, _) if second.is_unary() => {
                self.drop_last(1);
                return Step::Again(left.saturating_sub(1));
            }
            _ => {}
        }
        if self.merge(left) {
            self.drop_last(1);
            return Step::Again(left.saturating_sub(1));
        }
        match (first.kind, second.kind) {
            (SEMICOLON, FUNCTION)
                if second
                    .text()
                    .get(..2)
                    .is_some_and(|two| two.eq_ignore_ascii_case(b"IF")) =>
            {
                self.set_kind(left + 1, TSQL);
                Step::Again(left)
            }
            (WORD | VARIABLE, OPEN) if is_column_or_function(&first) => {
                self.set_kind(left, FUNCTION);
                Step::Again(left)
            }
            (KEYWORD, _) if first.is(b"IN") || first.is(b"NOT IN") => {
                self.set_kind(left, if second.kind == OPEN { OPERATOR } else { WORD });
                Step::Again(left)
            }
            (OPERATOR, _) if first.is(b"LIKE") || first.is(b"NOT LIKE") => {
                if second.kind == OPEN {
                    self.set_kind(left, FUNCTION);
                }
                Step::Next(left)
            }
            (SQL_TYPE, WORD | NUMBER | SQL_TYPE | OPEN | FUNCTION | VARIABLE | STRING) => {
                self.copy(left + 1, left);
                self.drop_last(1);
                Step::Again(0)
            }
            (COLLATE, WORD) => {
                if second.text().contains(&b'_') {
                    self.set_kind(left + 1, SQL_TYPE);
                    return Step::Next(0);
                }
                Step::Next(left)
            }
            (BACKSLASH, _) => {
                if second.is_arithmetic() {
                    self.set_kind(left, NUMBER);
                } else {
                    self.copy(left + 1, left);
                    self.drop_last(1);
                }
                Step::Again(0)
            }
            (OPEN, OPEN) | (CLOSE, CLOSE) => {
                self.drop_last(1);
                Step::Again(0)
            }
            (OPEN_BRACE, WORD) => {
                if second.text().is_empty() {
                    self.set_kind(left + 1, kind::EVIL);
                    return Step::Evil(left + 2);
                }
                self.drop_last(2);
                Step::Again(0)
            }
            (_, CLOSE_BRACE) => {
                self.drop_last(1);
                Step::Again(0)
            }
            _ => Step::Next(left),
        }
    }

    /// Looks at three tokens.
    fn three(&mut self, left: usize) -> Step {
        use kind::{
            COMMA, DOT, EXPRESSION, FUNCTION, GROUP, KEYWORD, LOGIC, NUMBER, OPEN, OPERATOR,
            SQL_TYPE, STRING, VARIABLE, WORD,
        };
        let (first, second, third) = (
            *self.token(left),
            *self.token(left + 1),
            *self.token(left + 2),
        );
        let unary = second.is_unary();
        match (first.kind, second.kind, third.kind) {
            (NUMBER, OPERATOR, NUMBER)
            | (LOGIC, _, LOGIC)
            | (VARIABLE, OPERATOR, VARIABLE | NUMBER | WORD)
            | (WORD | NUMBER, OPERATOR, NUMBER | WORD)
            | (WORD | NUMBER | STRING | VARIABLE, COMMA, NUMBER | WORD | STRING | VARIABLE) => {
                self.drop_last(2);
                Step::Again(0)
            }
            (OPERATOR, middle, OPERATOR) if middle != OPEN => {
                self.drop_last(2);
                Step::Again(0)
            }
            (WORD | NUMBER | VARIABLE | STRING, OPERATOR, SQL_TYPE) if second.text() == b"::" => {
                self.drop_last(2);
                Step::Again(0)
            }
            (EXPRESSION | GROUP | COMMA, _, OPEN) if unary => self.without_sign(left, 1),
            (KEYWORD | EXPRESSION | GROUP, _, NUMBER | WORD | VARIABLE | STRING | FUNCTION)
                if unary =>
            {
                self.without_sign(left, 1)
            }
            // Back by one more, for `1,-1`.
            (COMMA, _, NUMBER | WORD | VARIABLE | STRING) if unary => self.without_sign(left, 3),
            (COMMA, _, FUNCTION) if unary => self.without_sign(left, 1),
            (WORD, DOT, WORD) => {
                self.drop_last(2);
                Step::Again(0)
            }
            (EXPRESSION, DOT, WORD) => self.without_sign(left, 1),
            (FUNCTION, OPEN, last) if last != kind::CLOSE => {
                // USER() has no argument; with one it is a name.
                if first.is(b"USER") {
                    self.set_kind(left, WORD);
                }
                Step::Next(left)
            }
            _ => Step::Next(left),
        }
    }

    /// The third token takes the place of the second.
    fn without_sign(&mut self, left: usize, dropped: usize) -> Step {
        self.copy(left + 2, left + 1);
        self.count = self.count.saturating_sub(dropped);
        Step::Again(0)
    }

    /// The fingerprint if it is an injection's.
    fn judge(&mut self, text: &[u8]) -> Option<String> {
        let last = *self.token(self.count.saturating_sub(1));
        // PHP's comment that is a backtick at the end.
        if self.count > 2
            && last.kind == kind::WORD
            && last.open == b'`'
            && last.close == 0
            && last.text().is_empty()
        {
            self.set_kind(self.count - 1, kind::COMMENT);
        }
        let tokens = self.tokens.get(..self.count).unwrap_or_default();
        let mut fingerprint: Vec<u8> = tokens.iter().map(|token| token.kind).collect();
        if fingerprint.contains(&kind::EVIL) {
            fingerprint = vec![kind::EVIL];
        }
        if fingerprint.is_empty() || !is_known(&fingerprint) || !self.is_meant(&fingerprint, text) {
            return None;
        }
        String::from_utf8(fingerprint).ok()
    }

    /// Whether a fingerprint that is known is meant as an injection; short ones stand in innocent texts too.
    fn is_meant(&self, fingerprint: &[u8], text: &[u8]) -> bool {
        if fingerprint.len() > 1
            && fingerprint.last() == Some(&kind::COMMENT)
            && memchr::memmem::find(text, b"sp_password").is_some()
        {
            return true;
        }
        match fingerprint.len() {
            2 => self.are_two_meant(fingerprint, text),
            3 => self.are_three_meant(fingerprint),
            _ => true,
        }
    }

    fn are_two_meant(&self, fingerprint: &[u8], text: &[u8]) -> bool {
        let (first, second) = (self.token(0), self.token(1));
        let starts = second.text().first().copied().unwrap_or(0);
        if fingerprint.get(1) == Some(&kind::UNION) {
            return self.lexer.tokens != 2;
        }
        if starts == b'#' {
            return false;
        }
        if first.kind == kind::WORD && second.kind == kind::COMMENT && starts != b'/' {
            return false;
        }
        if first.kind == kind::NUMBER && second.kind == kind::COMMENT {
            if starts == b'/' || self.lexer.tokens > 2 {
                return true;
            }
            // A true number, and not the begin of base64.
            let rest = text.get(first.text().len()..).unwrap_or_default();
            return rest.first().is_none_or(|byte| *byte <= 32 || *byte >= 128)
                || rest.starts_with(b"/*")
                || rest.starts_with(b"--");
        }
        // `1-- foo` is prose.
        !(second.text().len() > 2 && starts == b'-')
    }

    fn are_three_meant(&self, fingerprint: &[u8]) -> bool {
        let (first, second, third) = (self.token(0), self.token(1), self.token(2));
        match fingerprint {
            // `…foo' + 'bar…`
            b"sos" | b"s&s" => first.open == 0 && third.close == 0 && first.close == third.open,
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.lexer.tokens != 3,
            _ if second.kind == kind::KEYWORD => {
                second.text().len() >= 5
                    && second
                        .text()
                        .get(..4)
                        .is_some_and(|four| four.eq_ignore_ascii_case(b"INTO"))
            }
            _ => true,
        }
    }
}

/// Names that are columns, unless a parenthesis follows.
fn is_column_or_function(token: &Token) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.is(name))
}

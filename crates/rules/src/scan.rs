//! Walking over the source: what stands next, and where.

use crate::error::Error;

/// A place in the source, forward only.
#[derive(Debug)]
pub(crate) struct Scanner<'s> {
    source: &'s str,
    at: usize,
}

/// Characters of names, keywords and numbers.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

impl<'s> Scanner<'s> {
    pub(crate) const fn new(source: &'s str) -> Self {
        Self { source, at: 0 }
    }

    /// The offset in bytes.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What is still to come.
    pub(crate) fn rest(&self) -> &'s str {
        self.source
            .split_at_checked(self.at)
            .map_or("", |(_, rest)| rest)
    }

    /// What lies between an offset and here.
    pub(crate) fn since(&self, at: usize) -> &'s str {
        self.source.get(at..self.at).unwrap_or_default()
    }

    pub(crate) fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.source.len()
    }

    pub(crate) const fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Skips white space.
    pub(crate) fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    /// Goes over this symbol, where it stands next.
    pub(crate) fn eat(&mut self, symbol: &str) -> bool {
        let there = self.rest().starts_with(symbol);
        if there {
            self.at += symbol.len();
        }
        there
    }

    /// The run of such ASCII characters that stands next, which may be empty.
    pub(crate) fn peek_run(&self, accept: impl Fn(u8) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest
            .bytes()
            .position(|byte| !byte.is_ascii() || !accept(byte))
            .unwrap_or(rest.len());
        rest.split_at_checked(end).map_or("", |(run, _)| run)
    }

    /// As [`Scanner::peek_run`], and goes over it.
    pub(crate) fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'s str {
        let run = self.peek_run(accept);
        self.at += run.len();
        run
    }

    /// The word that stands next.
    pub(crate) fn peek_word(&self) -> &'s str {
        self.peek_run(is_word)
    }

    /// The operator that stands next, by its name: one word, or two of which the first is `strict`. It has single spaces.
    pub(crate) fn peek_operator(&self) -> &'s str {
        const STRICT: &str = "strict wildcard";
        match self.rest().strip_prefix(STRICT) {
            Some(behind) if !behind.bytes().next().is_some_and(is_word) => self
                .rest()
                .split_at_checked(STRICT.len())
                .map_or("", |(name, _)| name),
            _ => self.peek_word(),
        }
    }

    /// Something is wrong with what stands next: a word, else a character.
    pub(crate) fn error(&self, what: impl Into<String>, help: impl Into<String>) -> Error {
        let len = match self.peek_word().len() {
            0 => self.next().map_or(0, char::len_utf8),
            len => len,
        };
        Error::new(self.at, len, what, help)
    }

    /// Something is wrong with what lies between an offset and here.
    pub(crate) fn error_since(
        &self,
        at: usize,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Error {
        Error::new(at, self.at.saturating_sub(at), what, help)
    }
}

//! Whether a text would be SQL within a query, or script within a page: libinjection's two detectors, in linear time.
//!
//! [libinjection](https://github.com/client9/libinjection) (Nick Galbreath, BSD-3-Clause; its licence is beside this file) says so
//! without knowing the query or the page: it reads the text as SQL or HTML in each context in which it could stand. Rules of the
//! Core Rule Set expect its answers, so these are its answers, byte for byte: its words and fingerprints are its data
//! (`words.txt`, `fingerprints.txt`), and tests compare with vectors that its version 3.9.2 made.
//!
//! Each reader goes over a text once and never back, at most five times in all. Not here: fuel; [`sqli_price`] and [`xss_price`]
//! say what a text costs.

mod fold;
mod html;
mod sql;
mod words;
mod xss;

use crate::transform::class;
pub(crate) use fold::sqli;
pub(crate) use xss::xss;

/// Whether a text with these kinds of bytes is worth reading as SQL: a word, or a number, alone is none.
pub(crate) fn may_be_sqli(text: &[u8], classes: u16) -> bool {
    classes & !(class::UPPER | class::LOWER) != 0
        || classes != 0 && text.first().is_some_and(u8::is_ascii_digit)
}

/// Whether a text with these kinds of bytes is worth reading as HTML: without a tag and without an attribute there is nothing.
pub(crate) const fn may_be_xss(classes: u16) -> bool {
    classes & (class::LESS | class::EQUALS) != 0
}

/// Units that reading a text as SQL costs at most.
pub(crate) fn sqli_price(text: &[u8]) -> u64 {
    200 + 25 * text.len() as u64
}

/// Units that reading a text as HTML costs at most.
pub(crate) fn xss_price(text: &[u8]) -> u64 {
    100 + 15 * text.len() as u64
}

#[cfg(test)]
mod tests;

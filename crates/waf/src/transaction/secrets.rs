//! What may be a secret: by the name of where it came from, also where rules have taken it elsewhere since. Nothing of that is told to people.
//!
//! Rules take values on as what was matched (`MATCHED_VAR`), as what was captured (`TX:1`) and by `setvar`. Texts that come of a secret
//! are marked then, which costs only where a rule matched. Not here: what is kept for longer than a request (`SESSION:name`).

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Matched, Named, Transaction};
use crate::body::urlencoded;
use crate::program::{Link, Piece, Template, TxId};
use crate::texts::TextId;
use crate::vocabulary::Variable;

/// How many texts are marked; with more of them, every one counts as a secret.
const MOST: usize = 256;
/// Bytes of a name that is looked at. A longer one counts as a secret's.
const LONGEST: usize = 128;

/// What names of secrets have in them, by its first two letters.
const fn words(first: u8, second: u8) -> &'static [&'static [u8]] {
    match (first.to_ascii_lowercase(), second.to_ascii_lowercase()) {
        (b'a', b'p') => &[b"api_key", b"apikey", b"api-key"],
        (b'a', b'u') => &[b"auth"],
        (b'c', b'a') => &[b"card"],
        (b'c', b'r') => &[b"credential"],
        (b'c', b'v') => &[b"cvv", b"cvc"],
        (b'i', b'b') => &[b"iban"],
        (b'p', b'a') => &[b"pass"],
        (b'p', b'r') => &[b"private"],
        (b'p', b'w') => &[b"pwd"],
        (b's', b'e') => &[b"secret", b"sess"],
        (b's', b'i') => &[b"sid"],
        (b's', b's') => &[b"ssn"],
        (b't', b'o') => &[b"token"],
        _ => &[],
    }
}

/// Texts of TX that were made of secrets.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<TextId>);

impl Secrets {
    /// Marks a text.
    pub(super) fn mark(&mut self, text: TextId) {
        if !self.has(text) {
            self.0.push(text);
        }
    }

    /// Whether a text is marked.
    pub(super) fn has(&self, text: TextId) -> bool {
        self.0.len() >= MOST || self.0.contains(&text)
    }
}

/// Whether a value is a URL, or a part of one, that has an argument whose name speaks of secrets: `https://a.test/?token=…`.
fn has_url_with_secrets(value: &[u8]) -> bool {
    let has = |value: &[u8]| {
        let begins = |byte: &u8| matches!(byte, b'?' | b'&' | b'#' | b';');
        let has_any = memchr::memchr3(b'?', b'&', b'#', value).is_some();
        (has_any || memchr::memchr(b';', value).is_some())
            && value.split(begins).any(|pair| {
                let end = memchr::memchr(b'=', pair);
                let name = end.and_then(|end| pair.get(..end)).unwrap_or_default();
                // A longer one is none, but what stands at its end may be.
                let from = name.len().saturating_sub(LONGEST);
                speaks_of_secrets(name.get(from..).unwrap_or_default())
            })
    };
    if has(value) {
        return true;
    }
    // Where it is told as it was sent, it may still be escaped.
    if memchr::memchr(b'%', value).is_none() {
        return false;
    }
    let mut decoded = Vec::new();
    urlencoded::decode(value, &mut decoded);
    has(&decoded)
}

/// Whether a name in the query of a URL speaks of secrets.
fn asks_with_secrets(url: &[u8]) -> bool {
    let url = url.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut pairs = url.split(|byte| matches!(byte, b'?' | b'&' | b';')).skip(1);
    pairs.any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next();
        speaks_of_secrets(name.unwrap_or_default())
    })
}

impl Transaction<'_> {
    /// Whether a value of a variable may be a secret, or hold one. Numbers are none.
    pub(super) fn is_secret(&self, variable: Variable, name: Named, value: Value) -> bool {
        let Value::Text(text) = value else {
            return false;
        };
        let name = match name {
            Named::Text(text) => self.work.texts.get(text),
            Named::Tx(id) if variable == Variable::Tx => {
                return self.secrets.has(text) || speaks_of_secrets(self.program.names.name(id));
            }
            Named::Tx(id) => self.program.names.name(id),
        };
        let value = self.work.texts.get(text);
        let is_one = match variable {
            // It may have the query of the page before.
            Variable::RequestHeaders if name.eq_ignore_ascii_case(b"referer") => {
                asks_with_secrets(value)
            }
            _ => self.is_secrets_name(variable.name().as_bytes(), name),
        };
        is_one || has_url_with_secrets(value)
    }

    fn is_secrets_name(&self, variable: &[u8], name: &[u8]) -> bool {
        let (mut variable, mut of) = (variable, name);
        if variable == b"MATCHED_VAR" {
            return self.matched.is_some_and(|matched| matched.secret);
        }
        // What matched before goes by its whole name: `MATCHED_VARS:REQUEST_COOKIES:name`.
        while variable == b"MATCHED_VARS" {
            let at = memchr::memchr(b':', of).unwrap_or(of.len());
            let (inner, rest) = of.split_at_checked(at).unwrap_or((of, &[]));
            (variable, of) = (inner, rest.get(1..).unwrap_or_default());
        }
        match variable {
            b"REQUEST_COOKIES" | b"FULL_REQUEST" | b"REQUEST_BODY" | b"RESPONSE_BODY" | b"XML"
            | b"QUERY_STRING" | b"REQUEST_URI" | b"REQUEST_URI_RAW" | b"REQUEST_LINE"
            | b"SESSIONID" => true,
            b"MATCHED_VAR" => self.chain.iter().any(|matched| matched.secret),
            // They are names, which are told in any case.
            b"MATCHED_VAR_NAME" | b"MATCHED_VARS_NAMES" => false,
            b"REQUEST_HEADERS" if of.eq_ignore_ascii_case(b"cookie") => true,
            // It has the query of the page before.
            b"REQUEST_HEADERS" if of.eq_ignore_ascii_case(b"referer") => true,
            b"RESPONSE_HEADERS" if of.eq_ignore_ascii_case(b"set-cookie") => true,
            b"TX" => self.is_secret_of_tx(of) || speaks_of_secrets(of),
            _ => speaks_of_secrets(of),
        }
    }

    fn is_secret_of_tx(&self, name: &[u8]) -> bool {
        let known = self.program.names.find(name);
        let known = known.and_then(|id| self.work.store.get(id));
        match known.or_else(|| self.work.store.made_up(name)) {
            Some(Value::Text(text)) => self.secrets.has(text),
            Some(_) => false,
            // It was there, and its rule has taken it away since.
            None => !self.secrets.0.is_empty(),
        }
    }

    /// Marks what a match has captured: it is as secret as what it was captured of.
    pub(super) fn captured(&mut self, link: &Link, of: Matched) {
        if !of.secret || link.negated {
            return;
        }
        for nth in 0..10 {
            if let Some(Value::Text(text)) = self.work.store.get(TxId::group(nth)) {
                self.secrets.mark(text);
            }
        }
    }

    /// Whether a template takes anything of a secret on.
    pub(super) fn reads_secret(
        &mut self,
        template: &Template,
        fuel: &mut Fuel,
    ) -> Result<bool, Spent> {
        for piece in &template.0 {
            let is_secret = match piece {
                Piece::Text(_) => false,
                Piece::Tx(id) => {
                    let value = self.work.store.get(*id);
                    value.is_some_and(|value| self.is_secret(Variable::Tx, Named::Tx(*id), value))
                }
                Piece::Variable(variable, name) => {
                    fuel.spend(50)?;
                    let item = self.first(*variable, name, fuel)?;
                    item.is_some_and(|item| {
                        self.is_secret(*variable, Named::Text(item.name), item.value)
                    })
                }
            };
            if is_secret {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a name says that it is a secret's.
fn speaks_of_secrets(name: &[u8]) -> bool {
    let is_at = |at: usize, word: &[u8]| {
        let place = name.get(at..at + word.len());
        place.is_some_and(|place| place.eq_ignore_ascii_case(word))
    };
    let mut pairs = name.array_windows().enumerate();
    name.len() > LONGEST
        || pairs.any(|(at, [first, second])| {
            let mut words = words(*first, *second).iter();
            words.any(|word| is_at(at, word))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_within_a_value_may_have_secrets() {
        let long = format!("{}&token=x", "a".repeat(2 * LONGEST));
        for value in [
            "https://a.test/?token=x",
            "/a?b=1&access_token=x#c",
            "https://a.test/#id_token=x",
            "https%3A%2F%2Fa.test%2F%3Ftoken%3Dx",
            "https://a.test/?b=1;sid=2",
            "token=x&a=1",
            &long,
        ] {
            assert!(has_url_with_secrets(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "token",
            "token=x",
            "is a token safe?",
            "https://a.test/?page=2&q=token",
            "https%3A%2F%2Fa.test%2F%3Fq%3Dtoken",
            "100% &c.",
        ] {
            assert!(!has_url_with_secrets(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn names_speak_of_secrets() {
        let words = [
            "pass",
            "pwd",
            "secret",
            "token",
            "auth",
            "sess",
            "sid",
            "api_key",
            "apikey",
            "api-key",
            "credential",
            "private",
            "card",
            "cvv",
            "cvc",
            "iban",
            "ssn",
        ];
        for word in words {
            for name in [
                word.to_owned(),
                word.to_uppercase(),
                format!("Old-{word}WD"),
                format!("ss{word}"),
            ] {
                assert!(speaks_of_secrets(name.as_bytes()), "{name}");
            }
            let short = word.split_at(word.len() - 1).0;
            assert!(!speaks_of_secrets(short.as_bytes()), "{short}");
        }
        for name in ["", "q", "s", "comment", "p.a.s.s", "se cret"] {
            assert!(!speaks_of_secrets(name.as_bytes()), "{name}");
        }
        assert!(speaks_of_secrets(&[b'a'; LONGEST + 1]));
    }
}

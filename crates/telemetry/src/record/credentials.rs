//! Credentials never reach a line: userinfo is left out, and values of parameters whose key names a credential are masked.
//!
//! Keys are found narrowly and values masked widely: a key may be percent-encoded, in any case, in a nested address that
//! is itself encoded or not, or in parameters of a path segment; the masked value ends only at a literal `&`, because no
//! other byte surely ends it for every origin. A harmless value is masked now and then (`zip_code`); that is the price.
//!
//! Not found: credentials in a path segment itself, in JSON inside a value, under a key that does not say so, or behind
//! more than one layer of percent-encoding.

use std::mem;

use super::line::{Class, Line};
use super::sixteen::Sixteen;
use super::text;

const MASK: &[u8; 3] = b"***";

/// Bytes that neither need an escape nor can begin parameters (`?`, `#`, `;`) or end userinfo (`@`).
struct Harmless;

impl Class for Harmless {
    #[inline(always)]
    fn odd(text: Sixteen) -> Sixteen {
        // `"` and `#` differ in one bit, and so do `;` and `?`.
        let separators = text
            .with(1)
            .is(b'#')
            .or(text.with(4).is(b'?'))
            .or(text.is(b'@'));
        text.unprintable().or(text.is(b'\\')).or(separators)
    }
}

/// Appends a host without userinfo.
#[inline(always)]
pub(super) fn write_host(line: &mut Line<'_>, host: &[u8], limit: usize) {
    *line = harmless(mem::take(line), host, limit, odd_host);
}

/// Appends at most `limit` bytes of a request target or a referring address, without its credentials.
#[inline(always)]
pub(super) fn write_target(line: &mut Line<'_>, target: &[u8], limit: usize) {
    *line = harmless(mem::take(line), target, limit, odd_target);
}

type Odd = for<'a> fn(Line<'a>, &[u8], usize) -> Line<'a>;

#[inline(never)]
fn harmless<'a>(mut line: Line<'a>, bytes: &[u8], limit: usize, odd: Odd) -> Line<'a> {
    if bytes.len() >= 16 {
        return long_harmless(line, bytes, limit, odd);
    }
    if line.short_of::<Harmless>(bytes) {
        line
    } else {
        odd(line, bytes, limit)
    }
}

#[inline(never)]
fn long_harmless<'a>(mut line: Line<'a>, bytes: &[u8], limit: usize, odd: Odd) -> Line<'a> {
    if bytes.len() <= limit && line.long_of::<Harmless>(bytes) {
        line
    } else {
        odd(line, bytes, limit)
    }
}

fn odd_host<'a>(mut line: Line<'a>, host: &[u8], limit: usize) -> Line<'a> {
    let userinfo = host
        .iter()
        .rposition(|&byte| byte == b'@')
        .map_or(0, |at| at + 1);
    text::write(&mut line, host.get(userinfo..).unwrap_or_default(), limit);
    line
}

fn odd_target<'a>(mut line: Line<'a>, target: &[u8], limit: usize) -> Line<'a> {
    let (kept, whole) = text::within(target, limit);
    write_masked(&mut line, kept);
    if !whole {
        line.bytes(text::ELLIPSIS);
    }
    line
}

fn write_masked(line: &mut Line<'_>, target: &[u8]) {
    let mut rest = write_without_userinfo(line, target);
    while let Some(secret) = next_secret(rest) {
        text::write_whole(line, secret.before);
        line.constant(MASK);
        rest = secret.after;
    }
    text::write_whole(line, rest);
}

/// Appends what stands before userinfo, if there is any; returns what follows it.
fn write_without_userinfo<'a>(line: &mut Line<'_>, target: &'a [u8]) -> &'a [u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let scheme = target
        .windows(3)
        .position(|bytes| bytes == b"://")
        .map_or(0, |at| at + 3);
    let (scheme, rest) = target.split_at_checked(scheme).unwrap_or((&[], target));
    let authority = rest
        .iter()
        .take_while(|byte| !matches!(byte, b'/' | b'?' | b'#'))
        .count();
    let userinfo = rest
        .get(..authority)
        .and_then(|authority| authority.iter().rposition(|&byte| byte == b'@'));
    match userinfo.and_then(|at| rest.get(at + 1..)) {
        Some(after) => {
            text::write_whole(line, scheme);
            after
        }
        None => target,
    }
}

struct Secret<'a> {
    before: &'a [u8],
    after: &'a [u8],
}

/// The first value to be masked: what stands before it, and what after.
///
/// Gets a target, or what follows a masked value; so what comes before the first separator is no key.
fn next_secret(target: &[u8]) -> Option<Secret<'_>> {
    let mut rest = after_separator(target)?;
    loop {
        let key = Key::read(rest)?;
        rest = key.rest;
        if key.ended_by != b'=' {
            continue;
        }
        if key.names_credential() {
            let (before, value) = target.split_at_checked(target.len() - rest.len())?;
            let end = value
                .iter()
                .position(|&byte| byte == b'&')
                .unwrap_or(value.len());
            return Some(Secret {
                before,
                after: value.get(end..)?,
            });
        }
        rest = after_separator(rest)?;
    }
}

/// What follows the next `&`, `;`, `?` or `#`, which may be percent-encoded; none when there is none.
fn after_separator(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let at = rest
            .iter()
            .position(|&byte| Meaning::of(byte) >= Meaning::PERCENT)?;
        let (byte, after) = first_byte(rest.get(at..)?)?;
        rest = after;
        if Meaning::of(byte) == Meaning::SEPARATOR {
            return Some(rest);
        }
    }
}

/// The first byte of a text, decoded when it is percent-encoded, and the text after it.
#[inline]
fn first_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&byte, after) = text.split_first()?;
    if let (b'%', [high, low, rest @ ..]) = (byte, after)
        && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
    {
        return Some(((high << 4 | low) as u8, rest));
    }
    Some((byte, after))
}

/// What a byte is to a key: itself in small letters where it is a letter or a digit, and otherwise one of these.
struct Meaning;

impl Meaning {
    const PUNCTUATION: u8 = 0;
    const EQUALS: u8 = 128;
    const PERCENT: u8 = 129;
    const SEPARATOR: u8 = 130;

    #[inline(always)]
    fn of(byte: u8) -> u8 {
        MEANINGS
            .get(usize::from(byte))
            .copied()
            .unwrap_or(Self::PUNCTUATION)
    }

    const fn decide(byte: u8) -> u8 {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' => byte,
            b'A'..=b'Z' => byte.to_ascii_lowercase(),
            b'=' => Self::EQUALS,
            b'%' => Self::PERCENT,
            b'&' | b';' | b'?' | b'#' => Self::SEPARATOR,
            _ => Self::PUNCTUATION,
        }
    }
}

static MEANINGS: [u8; 256] = {
    let mut meanings = [Meaning::PUNCTUATION; 256];
    let mut byte = 0;
    while byte < meanings.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "in the compiler, where a panic is a build error"
        )]
        let meaning = &mut meanings[byte];
        *meaning = Meaning::decide(byte as u8);
        byte += 1;
    }
    meanings
};

/// A parameter's key, of which only what matters is kept: no case, no punctuation, and the last letters.
struct Key<'a> {
    /// The last eight letters or digits, the last of them lowest.
    letters: u64,
    /// The same, of what follows the last punctuation or change from small letters to capitals.
    last_word: u64,
    /// A stem of a credential's name has passed by.
    found: bool,
    /// `=` or a separator.
    ended_by: u8,
    rest: &'a [u8],
}

impl<'a> Key<'a> {
    /// None when the text ends before the key does: then there is no value.
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut key = Self {
            letters: 0,
            last_word: 0,
            found: false,
            ended_by: 0,
            rest: text,
        };
        let mut small = false;
        let mut new_word = false;
        loop {
            let (byte, rest) = first_byte(key.rest)?;
            key.rest = rest;
            let letter = match Meaning::of(byte) {
                Meaning::EQUALS | Meaning::SEPARATOR => {
                    key.ended_by = byte;
                    return Some(key);
                }
                Meaning::PUNCTUATION | Meaning::PERCENT => {
                    new_word = true;
                    continue;
                }
                letter => letter,
            };
            if new_word || (small && letter != byte) {
                key.last_word = 0;
                new_word = false;
            }
            small = letter == byte;
            key.last_word = key.last_word << 8 | u64::from(letter);
            key.letters = key.letters << 8 | u64::from(letter);
            key.found |= ends_in_stem(key.letters, letter);
        }
    }

    fn names_credential(&self) -> bool {
        const WORDS: [u64; 10] = [
            letters(b"auth"),
            letters(b"code"),
            letters(b"hmac"),
            letters(b"key"),
            letters(b"otp"),
            letters(b"pass"),
            letters(b"pwd"),
            letters(b"sid"),
            letters(b"sig"),
            letters(b"ticket"),
        ];
        self.found || WORDS.contains(&self.last_word)
    }
}

/// Whether letters end in a stem that only names of credentials have. Told by the last letter, of which most have none.
#[inline(always)]
fn ends_in_stem(all: u64, last: u8) -> bool {
    let ends_in = |stem: &[u8]| all & (u64::MAX >> (64 - 8 * stem.len())) == letters(stem);
    match last {
        b'd' => ends_in(b"sessid"),
        b'i' => ends_in(b"authori"),
        b'l' => ends_in(b"saml"),
        b'n' => ends_in(b"token") || ends_in(b"session"),
        b'p' => ends_in(b"passp"),
        b't' => ends_in(b"secret") || ends_in(b"credent") || ends_in(b"jwt"),
        b'u' => ends_in(b"signatu"),
        b'w' => ends_in(b"passw"),
        b'y' => ends_in(b"apikey"),
        _ => false,
    }
}

/// At most eight letters as a number.
const fn letters(mut text: &[u8]) -> u64 {
    let mut number = 0;
    while let [first, rest @ ..] = text {
        number = number << 8 | *first as u64;
        text = rest;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::{check_class, written};
    use super::*;

    fn target(bytes: &str) -> String {
        written(|line| write_target(line, bytes.as_bytes(), 2048))
    }

    #[test]
    fn masks_what_keys_call_a_credential() {
        for key in [
            "token",
            "access_token",
            "id_token",
            "refresh-token",
            "accessToken",
            "password",
            "passwd",
            "user[password]",
            "secret",
            "client_secret",
            "signature",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
            "sig",
            "key",
            "api_key",
            "apiKey",
            "APIKEY",
            "code",
            "authCode",
            "auth",
            "TOKEN",
            "%74oken",
            "to%6Ben",
            "pwd",
            "jwt",
            "PHPSESSID",
            "session_id",
            "SAMLResponse",
            "X-Goog-Credential",
            "password_confirmation",
            "authorization",
        ] {
            assert_eq!(
                target(&format!("/a?x=1&{key}=s3cr3t&y=2")),
                format!("/a?x=1&{key}=***&y=2")
            );
            assert_eq!(target(&format!("/a?{key}=s3cr3t")), format!("/a?{key}=***"));
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for whole in [
            "/",
            "/a/b.c",
            "*",
            "/?",
            "/??a=b",
            "/?a=b&c=d;e=f#g",
            "/?page=2&sort=name&q=tok%20en",
            "/?keyword=x&monkey=y&encode=z&author=w",
            "/?q=token",
            "/token/key=5",
            "/?=x&&==",
            "/?a=%&b=%3",
            "https://example.com/a?b=c",
            "/@user/x@y",
            "/a?b=u:p@h",
            "/?design=1&sign=2",
        ] {
            assert_eq!(target(whole), whole);
        }
    }

    #[test]
    fn a_masked_value_ends_at_an_ampersand_only() {
        assert_eq!(target("/?password=a;b?c#d%26e=f&g=h"), "/?password=***&g=h");
        assert_eq!(
            target("/?token=a&token=b&&token="),
            "/?token=***&token=***&&token=***"
        );
        assert_eq!(target("/?token=a=b=c"), "/?token=***");
    }

    #[test]
    fn finds_keys_behind_other_separators() {
        assert_eq!(target("/a;jsessionid=1F/b?c=d"), "/a;jsessionid=***");
        assert_eq!(target("/?a=b;token=x"), "/?a=b;token=***");
        assert_eq!(target("/?next=/cb?code=x&z=1"), "/?next=/cb?code=***&z=1");
        assert_eq!(
            target("/?next=%2Fcb%3fa%3D1%26code%3Dx%26y&z=1"),
            "/?next=%2Fcb%3fa%3D1%26code%3D***&z=1"
        );
        assert_eq!(target("/#access_token=x"), "/#access_token=***");
        assert_eq!(target("/?%26token%3Dx"), "/?%26token%3D***");
        assert_eq!(target("/?%%3Ftoken=x"), "/?%%3Ftoken=***");
    }

    #[test]
    fn a_long_key_is_read_to_its_end() {
        let long = "k".repeat(1000);
        assert_eq!(target(&format!("/?{long}=v")), format!("/?{long}=v"));
        assert_eq!(
            target(&format!("/?{long}_key=v")),
            format!("/?{long}_key=***")
        );
        assert_eq!(
            target(&format!("/?token{long}=v")),
            format!("/?token{long}=***")
        );
        assert_eq!(target(&format!("/?{long}sig=v")), format!("/?{long}sig=v"));
    }

    #[test]
    fn userinfo_is_left_out() {
        assert_eq!(
            target("http://ann:pw@example.com/a@b"),
            "http://example.com/a@b"
        );
        assert_eq!(target("http://ann:p@w@example.com"), "http://example.com");
        assert_eq!(target("ann:pw@example.com:443"), "example.com:443");
        assert_eq!(
            target("http://example.com/?a=u@h"),
            "http://example.com/?a=u@h"
        );
        assert_eq!(
            written(|line| write_host(line, b"a:b@c@example.com", 253)),
            "example.com"
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_valid() {
        let odd = b"/\xff?\"=\x01&token=\xfe\xff&caf\xc3\xa9=1";
        assert_eq!(
            written(|line| write_target(line, odd, 2048)),
            r#"/\u00ff?\"=\u0001&token=***&café=1"#
        );
        // The cut comes first, so a secret at the border shows no part of itself.
        assert_eq!(
            written(|line| write_target(line, b"/?token=abcdef", 10)),
            "/?token=***…"
        );
    }

    #[test]
    fn one_byte_that_may_harm_is_found_wherever_it_is() {
        check_class::<Harmless>(|byte| {
            (b' '..=b'~').contains(&byte) && !b"\"\\?#;@".contains(&byte)
        });
    }
}

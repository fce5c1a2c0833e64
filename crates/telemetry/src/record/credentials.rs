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

/// A key longer than this is not understood, and its value masked.
const KEY_LIMIT: usize = 64;

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
/// `rest` is a target, or what follows a masked value; so it begins with no key, and the first separator comes first.
fn next_secret(rest: &[u8]) -> Option<Secret<'_>> {
    let mut key_from = None;
    let mut at = 0;
    while let Some(found) = next_mark(rest, at) {
        at = found.end;
        match found.mark {
            Mark::Separator => key_from = Some(found.end),
            Mark::Equals => {
                // What comes before the first separator is a path, and after an equals sign a value.
                let Some(key) = key_from.take().and_then(|from| rest.get(from..found.start)) else {
                    continue;
                };
                if names_credential(key) {
                    let (before, value) = rest.split_at_checked(found.end)?;
                    let end = value
                        .iter()
                        .position(|&byte| byte == b'&')
                        .unwrap_or(value.len());
                    return Some(Secret {
                        before,
                        after: value.get(end..).unwrap_or_default(),
                    });
                }
            }
        }
    }
    None
}

#[derive(Clone, Copy)]
enum Mark {
    Separator,
    Equals,
}

struct Found {
    mark: Mark,
    start: usize,
    end: usize,
}

/// The next `&`, `;`, `?`, `#` or `=` from an offset on, as itself or percent-encoded.
fn next_mark(bytes: &[u8], mut from: usize) -> Option<Found> {
    loop {
        let rest = bytes.get(from..)?;
        let ahead = rest
            .iter()
            .position(|byte| matches!(byte, b'#' | b'%' | b'&' | b';' | b'=' | b'?'))?;
        let start = from + ahead;
        let (byte, length) = match rest.get(ahead..)? {
            [b'%', high, low, ..] => (decoded(*high, *low).unwrap_or(b'%'), 3),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        let mark = match byte {
            b'=' => Mark::Equals,
            b'&' | b';' | b'?' | b'#' => Mark::Separator,
            _ => {
                // A percent sign may be followed by one: only the sign itself is passed over.
                from = start + 1;
                continue;
            }
        };
        return Some(Found {
            mark,
            start,
            end: start + length,
        });
    }
}

/// The byte that two hexadecimal digits stand for.
fn decoded(high: u8, low: u8) -> Option<u8> {
    let high = (high as char).to_digit(16)?;
    let low = (low as char).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

/// Whether a parameter of this name holds what nobody else may know.
fn names_credential(key: &[u8]) -> bool {
    let mut letters = [0u8; KEY_LIMIT];
    match Folded::of(key, &mut letters) {
        Some(folded) => folded.names_credential(),
        None => true,
    }
}

/// A key without case and punctuation.
struct Folded<'a> {
    all: &'a [u8],
    /// What follows the last punctuation or change from small letters to capitals.
    last_word: &'a [u8],
}

impl<'a> Folded<'a> {
    /// None when the key is too long.
    fn of(key: &[u8], letters: &'a mut [u8; KEY_LIMIT]) -> Option<Self> {
        let mut length = 0;
        let mut last_word = 0;
        let mut new_word = true;
        let mut small = false;
        let mut rest = key;
        while let [byte, tail @ ..] = rest {
            let (byte, tail) = match tail {
                [high, low, after @ ..] if *byte == b'%' => match decoded(*high, *low) {
                    Some(decoded) => (decoded, after),
                    None => (*byte, tail),
                },
                _ => (*byte, tail),
            };
            rest = tail;
            if !byte.is_ascii_alphanumeric() {
                new_word = true;
                continue;
            }
            if new_word || (small && byte.is_ascii_uppercase()) {
                last_word = length;
            }
            new_word = false;
            small = byte.is_ascii_lowercase();
            *letters.get_mut(length)? = byte.to_ascii_lowercase();
            length += 1;
        }
        let all = letters.get(..length)?;
        Some(Self {
            all,
            last_word: all.get(last_word..)?,
        })
    }

    fn names_credential(&self) -> bool {
        matches!(
            self.last_word,
            b"auth"
                | b"code"
                | b"hmac"
                | b"key"
                | b"otp"
                | b"pass"
                | b"pwd"
                | b"sid"
                | b"sig"
                | b"ticket"
        ) || (0..self.all.len()).any(|at| {
            // By first letter, because most keys have none of these at most places.
            self.all.get(at..).is_some_and(|rest| match rest {
                [b't', ..] => rest.starts_with(b"token"),
                [b'p', ..] => rest.starts_with(b"passw") || rest.starts_with(b"passphrase"),
                [b's', ..] => {
                    rest.starts_with(b"secret")
                        || rest.starts_with(b"signature")
                        || rest.starts_with(b"session")
                        || rest.starts_with(b"sessid")
                        || rest.starts_with(b"saml")
                }
                [b'c', ..] => rest.starts_with(b"credential"),
                [b'a', ..] => rest.starts_with(b"apikey") || rest.starts_with(b"authoriz"),
                [b'j', ..] => rest.starts_with(b"jwt"),
                _ => false,
            })
        })
    }
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
    fn a_key_too_long_to_understand_is_masked() {
        let key = "k".repeat(KEY_LIMIT);
        assert_eq!(target(&format!("/?{key}=v")), format!("/?{key}=v"));
        assert_eq!(target(&format!("/?{key}k=v")), format!("/?{key}k=***"));
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

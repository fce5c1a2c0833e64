//! Which names an origin may take for the same: of parameters, fields and cookies.
//!
//! Origins read names in many ways: they undo escapes, fold case, take brackets and dots for structure, put `_` for what a variable
//! cannot have. Who goes by names only as they are spelt can be gone round. Linear. Not here: what follows from it.

use std::borrow::Cow;

/// Whether an origin may read the name of a parameter as one of those that are wanted.
pub fn may_be<'w>(name: &[u8], mut wanted: impl Iterator<Item = &'w [u8]>) -> bool {
    let name = decoded(name);
    if is_odd(&name) {
        return true;
    }
    wanted.any(|one| {
        let one = decoded(one);
        // `id[]`, `id[x]` and `id.x` are of `id`, and so is `id` of them: it may be put in their place. `a_b[0]` is of `a.b`, where a dot
        // is another letter.
        is_alike(&name, &one)
            || is_alike(before(&name, b"[."), before(&one, b"[."))
            || is_alike(before(&name, b"["), before(&one, b"["))
    })
}

/// Whether an origin may read the name of a parameter as this other one: with a structure in brackets, or behind a dot, with white space
/// before or behind it, in another case, or with `_` for what a variable of PHP cannot have.
pub fn parameters_may_be_one(name: &[u8], other: &[u8]) -> bool {
    let (name, other) = (decoded(name), decoded(other));
    is_odd(&name) || may_be_put(&name, &other, b"[.")
}

/// Whether two names are the same, or one is that of a structure that the other one is put in.
fn may_be_put(name: &[u8], other: &[u8], begin: &[u8]) -> bool {
    let (name, other) = (trimmed(name), trimmed(other));
    let is_within = |long: &[u8], short: &[u8]| {
        let begins = long
            .get(short.len())
            .is_some_and(|byte| begin.contains(byte));
        begins && long.get(..short.len()).is_some_and(|of| is_same(of, short))
    };
    is_same(name, other) || is_within(name, other) || is_within(other, name)
}

fn trimmed(name: &[u8]) -> &[u8] {
    let name = name.trim_ascii();
    name.strip_prefix(b"+").map_or(name, trimmed)
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b' ' | b'.' | b'+' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
}

/// Whether two names of fields become the same where origins make variables of them (`X_A` is `HTTP_X_A`, as `X-A` is).
pub fn fields_may_be_one(name: &[u8], other: &[u8]) -> bool {
    // As variables of CGI are named: some put `_` for `-`, some for all that is no letter or digit.
    let folded = |byte: &u8| match byte.to_ascii_lowercase() {
        other if other.is_ascii_alphanumeric() => other,
        _ => b'-',
    };
    name.len() == other.len() && name.iter().map(folded).eq(other.iter().map(folded))
}

/// Whether an origin may read the name of a cookie as another one. Dots are no structure in it: `sid` and `sid.sig` are two.
pub fn cookies_may_be_one(name: &[u8], other: &[u8]) -> bool {
    may_be_put(&decoded(name), &decoded(other), b"[")
}

/// Whether it is escaped twice, or no ASCII: there are many ways to read that.
fn is_odd(name: &[u8]) -> bool {
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~') || b"%&;=".contains(byte);
    name.iter().any(is_odd)
}

/// What stands before the first of these.
fn before<'n>(name: &'n [u8], ends: &[u8]) -> &'n [u8] {
    let before = name.split(|byte| ends.contains(byte)).next();
    before.unwrap_or_default()
}

/// Whether two names have the same letters and digits: in place of the others some origins put others.
fn is_alike(one: &[u8], other: &[u8]) -> bool {
    letters(one).eq(letters(other))
}

fn letters(text: &[u8]) -> impl Iterator<Item = u8> {
    let kept = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    kept.map(u8::to_ascii_lowercase)
}

/// A name without escapes.
fn decoded(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'%') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        rest = after;
        let pair = match (byte, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            None => out.push(*byte),
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
        }
    }
    Cow::Owned(out)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(name: &str, wanted: &str) -> bool {
        may_be(name.as_bytes(), std::iter::once(wanted.as_bytes()))
    }

    #[test]
    fn parameters_that_may_be_read_as_one() {
        for name in [
            "id",
            "ID",
            "%69d",
            "%2569d",
            " id",
            "+id",
            "id[]",
            "id[x]",
            "id.x",
            "i_d",
            "id%00a",
            "id;x",
            "\u{ff49}d",
        ] {
            assert!(may(name, "id"), "{name}");
        }
        assert!(may("user", "user[id]") && may("user[id][0]", "user[id]"));
        assert!(may("a_b[0]", "a.b") && !may("a_c[0]", "a.b"));
        for name in ["x", "idx", "x[id]", "x.id", ""] {
            assert!(!may(name, "id"), "{name}");
        }
    }

    #[test]
    fn parameters_that_are_not_another_one() {
        let one =
            |name: &str, other: &str| parameters_may_be_one(name.as_bytes(), other.as_bytes());
        for name in [
            "id",
            "ID",
            " id",
            "+id",
            "id[]",
            "id[x]",
            "id.x",
            "i%64",
            "id%00a",
            "\u{ff49}d",
        ] {
            assert!(one(name, "id"), "{name}");
        }
        assert!(one("user", "user[id]") && one("user[id][0]", "user[id]") && one("a.b", "a_b"));
        for name in ["_id", "i_d", "id_", "ids", "x[id]", ""] {
            assert!(!one(name, "id"), "{name}");
        }
        assert!(!one("filter[a]", "filter[b]"));
    }

    #[test]
    fn fields_and_cookies_that_may_be_read_as_one() {
        let fields = |one: &str| fields_may_be_one(one.as_bytes(), b"X-Trace");
        assert!(fields("x-trace") && fields("X_Trace") && fields("x.trace"));
        assert!(!fields("xtrace") && !fields("x-traces"));
        let cookies = |one: &str| cookies_may_be_one(one.as_bytes(), b"sid");
        assert!(cookies("sid ") && cookies("SID") && cookies("s%69d") && cookies("sid[]"));
        assert!(!cookies("__sid") && !cookies("s_id"));
        assert!(!cookies("sid.sig") && !cookies("sids") && !cookies(""));
    }
}

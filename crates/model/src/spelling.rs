//! Which names an origin may take for the same: of parameters, fields and cookies.
//!
//! Origins read names in many ways: they undo escapes, fold case, take brackets and dots for structure, put `_` for what a variable
//! cannot have. Who goes by names only as they are spelt can be gone round. Linear. Not here: what follows from it.

use std::borrow::Cow;

/// Whether an origin may read the name of a parameter as one of those that are wanted.
pub fn may_be<'w>(name: &[u8], mut wanted: impl Iterator<Item = &'w [u8]>) -> bool {
    let name = decoded(name);
    // What is escaped twice, or no ASCII: there are many ways to read that.
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~') || b"%&;=".contains(byte);
    if name.iter().any(is_odd) {
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
    let (name, other) = (decoded(name), decoded(other));
    let outer = name.split(|byte| *byte == b'[').next();
    is_alike(&name, &other) || is_alike(outer.unwrap_or_default(), &other)
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
    fn fields_and_cookies_that_may_be_read_as_one() {
        let fields = |one: &str| fields_may_be_one(one.as_bytes(), b"X-Trace");
        assert!(fields("x-trace") && fields("X_Trace") && fields("x.trace"));
        assert!(!fields("xtrace") && !fields("x-traces"));
        let cookies = |one: &str| cookies_may_be_one(one.as_bytes(), b"sid");
        assert!(cookies("sid ") && cookies("SID") && cookies("s%69d") && cookies("sid[]"));
        assert!(!cookies("sid.sig") && !cookies("sids") && !cookies(""));
    }
}

//! Conditional requests and ranges (RFC 9110 §13, §14), for GET and HEAD. Pure.

use seawall_model::{Fields, date};

/// What is asked, and of what.
pub(super) struct Asked<'a> {
    pub(super) fields: &'a Fields,
    /// The method is GET: it alone has ranges (§14.2).
    pub(super) is_get: bool,
    /// The entity tag of what there is, as it is sent.
    pub(super) tag: &'a str,
    /// When it was changed last, in seconds since 1970.
    pub(super) modified: u64,
    /// Its length in bytes.
    pub(super) length: u64,
    /// The time, in seconds since 1970.
    pub(super) now: u64,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub start: u64,
    /// How many bytes.
    pub length: u64,
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// All of it.
    Whole,
    /// A part (206).
    Part(Part),
    /// The client has it (304).
    NotModified,
    /// It is not what the client thinks (412).
    Failed,
    /// There is no such part (416).
    Unsatisfiable,
}

/// In the order of §13.2.2.
pub(super) fn decide(asked: &Asked<'_>) -> Decision {
    let date_of = |name: &[u8]| {
        let text = asked.fields.named(name)?;
        date::parse(text, asked.now)
    };
    let has = |name: &[u8]| asked.fields.named(name).is_some();
    if has(b"if-match") {
        if !matches(asked, b"if-match", strongly) {
            return Decision::Failed;
        }
    } else if let Some(since) = date_of(b"if-unmodified-since")
        && asked.modified > since
    {
        return Decision::Failed;
    }
    if has(b"if-none-match") {
        if matches(asked, b"if-none-match", weakly) {
            return Decision::NotModified;
        }
    } else if let Some(since) = date_of(b"if-modified-since")
        && asked.modified <= since
    {
        return Decision::NotModified;
    }
    match asked.fields.named(b"range") {
        Some(range) if asked.is_get && may_be_partial(asked) => ranged(range, asked.length),
        _ => Decision::Whole,
    }
}

/// Whether any of the tags in the lists of this name is ours, or is `*`.
fn matches(asked: &Asked<'_>, name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
    let ours = asked.tag.as_bytes();
    let lines = asked.fields.iter();
    let mut lines = lines.filter(|field| field.name.eq_ignore_ascii_case(name));
    lines.any(|line| {
        // Our own tags have no comma in them: what a split leaves of others' fits none.
        let mut tags = line
            .value
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii);
        tags.any(|tag| tag == b"*" || same(tag, ours))
    })
}

/// §8.8.3.2: both are strong, and the same.
fn strongly(tag: &[u8], ours: &[u8]) -> bool {
    ours.starts_with(b"\"") && tag == ours
}

/// §8.8.3.2: the same, whether weak or not.
fn weakly(tag: &[u8], ours: &[u8]) -> bool {
    let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").map_or(tag.to_vec(), <[u8]>::to_vec);
    opaque(tag) == opaque(ours)
}

/// `If-Range` (§13.1.5): a part makes sense only if the client's other parts are of the same content.
fn may_be_partial(asked: &Asked<'_>) -> bool {
    match asked.fields.named(b"if-range") {
        None => true,
        Some(tag) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
            strongly(tag, asked.tag.as_bytes())
        }
        // A date is a strong validator only if the file did not change within a minute of it (§8.8.2.2).
        Some(text) => {
            date::parse(text, asked.now) == Some(asked.modified)
                && asked.modified.saturating_add(60) <= asked.now
        }
    }
}

/// One range (§14.1.2). Several, and what is malformed, are as none: that is allowed (§14.2), and what many small ranges of one
/// request cost is well known (CVE-2011-3192).
fn ranged(range: &[u8], length: u64) -> Decision {
    let parsed = std::str::from_utf8(range).ok().and_then(|text| {
        let (unit, set) = text.split_once('=')?;
        let (first, last) = set.trim().split_once('-')?;
        unit.eq_ignore_ascii_case("bytes").then_some((first, last))
    });
    let Some((first, last)) = parsed else {
        return Decision::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What is too large for a number is beyond every end.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (start, end) = match (
        first.is_empty(),
        last.is_empty(),
        number(first),
        number(last),
    ) {
        (true, false, None, Some(suffix)) => (
            length.saturating_sub(suffix),
            match suffix {
                0 => 0,
                _ => length,
            },
        ),
        (false, true, Some(start), None) => (start, length),
        (false, false, Some(start), Some(last)) if start <= last => {
            (start, last.saturating_add(1).min(length))
        }
        _ => return Decision::Whole,
    };
    if start >= end {
        return Decision::Unsatisfiable;
    }
    Decision::Part(Part {
        start,
        length: end - start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"a-1\"";
    /// Sun, 06 Nov 1994 08:49:37 GMT
    const MODIFIED: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn with(fields: &[(&str, &str)], tag: &str, now: u64) -> Decision {
        let mut all = Fields::default();
        for (name, value) in fields {
            all.push(name.as_bytes(), value.as_bytes());
        }
        decide(&Asked {
            fields: &all,
            is_get: true,
            tag,
            modified: MODIFIED,
            length: 100,
            now,
        })
    }

    fn decided(fields: &[(&str, &str)]) -> Decision {
        with(fields, TAG, MODIFIED + 1_000)
    }

    fn part(start: u64, length: u64) -> Decision {
        Decision::Part(Part { start, length })
    }

    #[test]
    fn preconditions_in_their_order() {
        use Decision::{Failed, NotModified, Whole};
        for (fields, expected) in [
            (&[][..], Whole),
            (&[("if-none-match", "\"a-1\"")], NotModified),
            (&[("If-None-Match", "W/\"a-1\"")], NotModified),
            (&[("if-none-match", "\"b\", \"a-1\"")], NotModified),
            (
                &[("if-none-match", "\"b\""), ("if-none-match", "\"a-1\"")],
                NotModified,
            ),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Whole),
            (&[("if-none-match", "a-1")], Whole),
            (&[("if-match", "\"a-1\"")], Whole),
            (&[("if-match", "*")], Whole),
            (&[("if-match", "W/\"a-1\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", BEFORE)], Whole),
            (&[("if-modified-since", "yesterday")], Whole),
            (&[("if-unmodified-since", SAME)], Whole),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", "yesterday")], Whole),
            // A tag outweighs a date.
            (
                &[("if-none-match", "\"b\""), ("if-modified-since", SAME)],
                Whole,
            ),
            (
                &[("if-match", "\"a-1\""), ("if-unmodified-since", BEFORE)],
                Whole,
            ),
            // Failing comes before what the client has.
            (
                &[("if-match", "\"b\""), ("if-none-match", "\"a-1\"")],
                Failed,
            ),
            // What it has comes before a part of it.
            (
                &[("if-none-match", "\"a-1\""), ("range", "bytes=0-1")],
                NotModified,
            ),
        ] {
            assert_eq!(decided(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn one_range_or_none() {
        use Decision::{Unsatisfiable, Whole};
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=0-1000", part(0, 100)),
            ("Bytes=10-", part(10, 90)),
            ("bytes=99-", part(99, 1)),
            ("bytes=-1", part(99, 1)),
            ("bytes=-100", part(0, 100)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=2-1", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2,4-5", Whole),
            ("bytes=-1-2", Whole),
            ("lines=1-2", Whole),
            ("", Whole),
        ] {
            assert_eq!(decided(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_head_request_has_no_range() {
        let mut fields = Fields::default();
        fields.push(b"range", b"bytes=0-0");
        let asked = Asked {
            fields: &fields,
            is_get: false,
            tag: TAG,
            modified: MODIFIED,
            length: 100,
            now: MODIFIED,
        };
        assert_eq!(decide(&asked), Decision::Whole);
    }

    #[test]
    fn a_part_only_of_what_the_client_has_the_rest_of() {
        let range = ("range", "bytes=0-0");
        let partial = |if_range: &str, tag: &str, now: u64| {
            with(&[range, ("if-range", if_range)], tag, now) == part(0, 1)
        };
        let later = MODIFIED + 60;
        assert!(partial(TAG, TAG, later));
        assert!(!partial("\"b\"", TAG, later));
        assert!(!partial("W/\"a-1\"", TAG, later));
        assert!(!partial("W/\"a-1\"", "W/\"a-1\"", later));
        assert!(partial(SAME, TAG, later));
        assert!(!partial(SAME, TAG, later - 1));
        assert!(!partial(BEFORE, TAG, later));
        assert!(!partial("nonsense", TAG, later));
    }
}

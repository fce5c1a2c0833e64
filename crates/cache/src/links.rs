//! What a page says, in `Link` (RFC 8288), that it will need: for early hints (RFC 8297) and for fetching beside it.
//!
//! Only `rel=preload` and `rel=preconnect` count. What is malformed is left out, and so is all that follows it on its line.

use seawall_model::Fields;

use crate::fields;

/// The most links of one response that count.
pub const MOST: usize = 8;
/// The most bytes of one.
const LONGEST: usize = 512;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rel {
    /// The page needs it.
    Preload,
    /// The page will ask there.
    Preconnect,
}

/// One link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'f> {
    /// Where it leads, as it was written.
    pub target: &'f [u8],
    /// All of it, as it was written.
    pub text: &'f [u8],
    /// What it is for.
    pub rel: Rel,
}

/// The links of a response that count.
pub fn links(fields: &Fields) -> impl Iterator<Item = Link<'_>> {
    let lines = fields::values(fields, b"link");
    let all = lines.flat_map(|line| Links { rest: line });
    all.filter(|link| link.text.len() <= LONGEST).take(MOST)
}

/// The links of a line.
struct Links<'f> {
    rest: &'f [u8],
}

impl<'f> Iterator for Links<'f> {
    type Item = Link<'f>;

    fn next(&mut self) -> Option<Link<'f>> {
        loop {
            let skip = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
            let begin = self.rest.iter().position(|byte| !skip(byte))?;
            let begun = self.rest.get(begin..)?;
            let Some((text, rest)) = one(begun) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            if let Some(link) = parsed(text) {
                return Some(link);
            }
        }
    }
}

/// A link and what is behind it; none where it does not end.
fn one(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let behind = line
        .strip_prefix(b"<")?
        .iter()
        .position(|byte| *byte == b'>')?
        + 2;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.iter().enumerate().skip(behind) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return line.split_at_checked(at),
            _ => {}
        }
    }
    (!quoted).then_some((line, &[]))
}

fn parsed(text: &[u8]) -> Option<Link<'_>> {
    let text = text.trim_ascii_end();
    let end = text.iter().position(|byte| *byte == b'>')?;
    let target = text.get(1..end)?;
    let parameters = text.get(end + 1..)?;
    let named = |name: &[u8]| {
        let mut all = parameters
            .split(|byte| *byte == b';')
            .map(<[u8]>::trim_ascii);
        all.find_map(|parameter| {
            let at = parameter.iter().position(|byte| *byte == b'=')?;
            let (known, value) = parameter.split_at_checked(at)?;
            let value = value.get(1..)?.trim_ascii();
            let bare = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""));
            let is_it = known.trim_ascii_end().eq_ignore_ascii_case(name);
            is_it.then_some(bare.unwrap_or(value))
        })
    };
    // The first counts (RFC 8288 §3.3).
    let rels = named(b"rel")?;
    let has = |rel: &[u8]| {
        let mut words = rels.split(u8::is_ascii_whitespace);
        words.any(|word| word.eq_ignore_ascii_case(rel))
    };
    let rel = match () {
        // Without `as` nobody could fetch it as it will be asked for.
        () if has(b"preload") && named(b"as").is_some() => Rel::Preload,
        () if has(b"preconnect") => Rel::Preconnect,
        () => return None,
    };
    (!target.is_empty()).then_some(Link { target, text, rel })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Vec<(String, Rel)> {
        let mut fields = Fields::default();
        for line in lines {
            fields.push(b"Link", line.as_bytes());
        }
        let text = |link: Link<'_>| (String::from_utf8_lossy(link.target).into(), link.rel);
        links(&fields).map(text).collect()
    }

    #[test]
    fn links_that_count_and_others() {
        use Rel::{Preconnect, Preload};
        for (line, expected) in [
            (
                "</a.css>; rel=preload; as=style",
                &[("/a.css", Preload)][..],
            ),
            (
                "</a.css>;rel=\"preload\";as=\"style\"",
                &[("/a.css", Preload)],
            ),
            (
                "</a>; REL=\"nofollow Preload\" ; AS=script",
                &[("/a", Preload)],
            ),
            ("</a.css>; rel=preload", &[]),
            (
                "<https://b.test>; rel=preconnect",
                &[("https://b.test", Preconnect)],
            ),
            (
                "</a>; rel=next, </b>; rel=preload; as=image",
                &[("/b", Preload)],
            ),
            (
                "</a,b>; title=\"x, <y>\"; rel=preload; as=font, </c>; rel=preconnect",
                &[("/a,b", Preload), ("/c", Preconnect)],
            ),
            (
                "</a>; title=\"\\\", \"; rel=preconnect",
                &[("/a", Preconnect)],
            ),
            // Of two the first counts.
            ("</a>; rel=next; rel=preconnect", &[]),
            ("<>; rel=preconnect", &[]),
            ("</a; rel=preconnect", &[]),
            ("</a>; rel=\"preconnect", &[]),
            ("/a; rel=preconnect, </b>; rel=preconnect", &[]),
            (",, </b>; rel=preconnect ,", &[("/b", Preconnect)]),
            ("", &[]),
        ] {
            let found = of(&[line]);
            let found: Vec<(&str, Rel)> = found.iter().map(|(t, rel)| (t.as_str(), *rel)).collect();
            assert_eq!(found, expected, "{line}");
        }
        let many = "</a>; rel=preconnect, ".repeat(MOST);
        assert_eq!(of(&[&many, "</b>; rel=preconnect"]).len(), MOST);
        let long = format!("</{}>; rel=preconnect", "a".repeat(LONGEST));
        assert_eq!(of(&[&long, "</b>; rel=preconnect"]).len(), 1);
    }

    #[test]
    fn made_up_bytes_are_read_or_left_out() {
        let mut random = crate::made_up::Random::new(3);
        for _ in 0..20_000 {
            let line: Vec<u8> = (0..random.below(40))
                .map(|_| b"<>;,=\"\\ relpreconnect/a"[random.below(23)])
                .collect();
            let mut fields = Fields::default();
            fields.push(b"Link", &line);
            for link in links(&fields) {
                assert!(!link.target.is_empty() && link.text.starts_with(b"<"));
                assert!(!link.target.contains(&b'>'));
            }
        }
    }
}

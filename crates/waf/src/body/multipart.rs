//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1), strictly: everything that two parsers may read in two ways is a [`Flags`] of
//! its own, because a body that an origin reads otherwise is a body that nobody inspected.

mod boundary;
mod head;
#[cfg(test)]
mod tests;

use memchr::memmem::Finder;

use super::Bounds;
use boundary::Mark;

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) boundary_quoted: bool,
    pub(crate) boundary_whitespace: bool,
    pub(crate) crlf_and_lf: bool,
    pub(crate) data_after: bool,
    pub(crate) data_before: bool,
    pub(crate) file_limit: bool,
    pub(crate) header_folding: bool,
    pub(crate) invalid_folding: bool,
    pub(crate) invalid_part: bool,
    pub(crate) invalid_quoting: bool,
    pub(crate) lf_line: bool,
    pub(crate) missing_semicolon: bool,
    pub(crate) unmatched_boundary: bool,
}

impl Flags {
    /// What `MULTIPART_STRICT_ERROR` sums up. Not that the boundary is quoted, which is how RFC 2046 §5.1.1 writes it and .NET sends it:
    /// what is odd about a quoted one counts as `invalid_quoting`.
    pub(crate) const fn strict_error(&self) -> bool {
        self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_folding
            || self.file_limit
    }
}

/// A part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    pub(crate) name: Vec<u8>,
    /// Of a file, its name; empty when it has none.
    pub(crate) file: Option<Vec<u8>>,
    /// What `filename*` calls it.
    pub(crate) extended: Option<Vec<u8>>,
    /// Whether it has a `Content-Type` of its own.
    pub(crate) has_type: bool,
    /// Each header as one line.
    pub(crate) headers: Vec<Vec<u8>>,
    pub(crate) body: &'b [u8],
}

impl Part<'_> {
    /// Whether a reader may make an argument of it. With an empty file name some do (busboy, Go), without a type others (formidable), and
    /// others again make a file. What has no type and is no text is a file only: rules that ask arguments would refuse each picture that
    /// a client uploads without naming a type.
    pub(crate) fn is_argument(&self) -> bool {
        let file = self.file.as_deref();
        file.is_none_or(|file| file.trim_ascii().is_empty()) || !self.has_type && is_text(self.body)
    }
}

fn is_text(body: &[u8]) -> bool {
    memchr::memchr(0, body).is_none() && std::str::from_utf8(body).is_ok()
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Multipart<'b> {
    pub(crate) parts: Vec<Part<'b>>,
    pub(crate) flags: Flags,
}

/// Reads a body whose `Content-Type` is this. What is wrong comes with what was found before.
pub(crate) fn read<'b>(
    content_type: &[u8],
    body: &'b [u8],
    bounds: Bounds,
) -> (Multipart<'b>, Result<(), &'static str>) {
    let mut found = Multipart::default();
    let done = boundary::read(content_type, &mut found.flags)
        .and_then(|boundary| parts(boundary, body, bounds, &mut found));
    (found, done)
}

/// A line with its end: `\r\n`, `\n`, or none at the end of the body.
struct Lines<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> Iterator for Lines<'b> {
    /// Where it begins, its text without the end, how long the end is.
    type Item = (usize, &'b [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        let begin = self.at;
        let (line, end) = match memchr::memchr(b'\n', rest) {
            None => (rest, 0),
            Some(at) => {
                let line = rest.get(..at).unwrap_or_default();
                match line.strip_suffix(b"\r") {
                    Some(line) => (line, 2),
                    None => (line, 1),
                }
            }
        };
        self.at += line.len() + end;
        Some((begin, line, end))
    }
}

fn parts<'b>(
    boundary: &[u8],
    body: &'b [u8],
    bounds: Bounds,
    found: &mut Multipart<'b>,
) -> Result<(), &'static str> {
    let delimiter = [&b"--"[..], boundary].concat();
    let delimiter = Finder::new(&delimiter);
    let mut lines = Lines { body, at: 0 };
    let (mut crlf, mut lf) = (false, false);
    let mut open: Option<(Part<'b>, usize)> = None;
    let (mut closed, mut begun, mut files) = (false, false, 0usize);
    let mut before_end = 0;
    let mut ends = |end: usize| match end {
        1 => lf = true,
        2 => crlf = true,
        _ => {}
    };
    while let Some((begin, line, end)) = lines.next() {
        let (mark, is_near) = match closed {
            true => (Mark::None, false),
            false => boundary::mark(line, &delimiter),
        };
        found.flags.unmatched_boundary |= is_near;
        match mark {
            Mark::Open | Mark::Close => {
                // How lines within a part end is the part's own: a picture, a text. The one before a boundary is of the boundary.
                ends(end);
                if let Some((mut part, from)) = open.take() {
                    ends(before_end);
                    let until = begin.saturating_sub(before_end).max(from);
                    part.body = body.get(from..until).unwrap_or_default();
                    found.parts.push(part);
                }
                begun = true;
                if mark == Mark::Close {
                    closed = true;
                } else {
                    if found.parts.len() >= bounds.count {
                        return Err("too many parts");
                    }
                    let part = head::read(&mut lines, &delimiter, &mut found.flags, &mut ends)?;
                    files += usize::from(part.file.is_some());
                    if files > bounds.files {
                        found.flags.file_limit = true;
                        return Err("too many files");
                    }
                    before_end = 0;
                    open = Some((part, lines.at));
                    continue;
                }
            }
            _ if closed => found.flags.data_after |= !line.is_empty(),
            _ if !begun => found.flags.data_before |= !line.is_empty(),
            _ => {}
        }
        before_end = end;
    }
    found.flags.lf_line |= lf;
    found.flags.crlf_and_lf = lf && crlf;
    if let Some((mut part, from)) = open.take() {
        part.body = body.get(from..).unwrap_or_default();
        found.parts.push(part);
    }
    match (begun, closed) {
        (false, _) => Err("no part"),
        (_, false) => Err("the last boundary is missing"),
        _ => Ok(()),
    }
}

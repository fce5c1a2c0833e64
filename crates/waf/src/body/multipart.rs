//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1), strictly: everything that two parsers may read in two ways is a [`Flags`] of
//! its own, because a body that an origin reads otherwise is a body that nobody inspected.

use super::Bounds;

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
    /// Each header as one line.
    pub(crate) headers: Vec<Vec<u8>>,
    pub(crate) body: &'b [u8],
}

impl Part<'_> {
    /// Whether a reader may make an argument of it. With an empty file name some do (busboy, Go), and others make a file.
    pub(crate) fn is_argument(&self) -> bool {
        let file = self.file.as_deref();
        file.is_none_or(|file| file.trim_ascii().is_empty())
    }
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
    let done = boundary(content_type, &mut found.flags)
        .and_then(|boundary| parts(boundary, body, bounds, &mut found));
    (found, done)
}

/// The boundary that the content type names.
fn boundary<'c>(content_type: &'c [u8], flags: &mut Flags) -> Result<&'c [u8], &'static str> {
    let lower = content_type.to_ascii_lowercase();
    // What follows a separator and is followed by `=`, or by `*`, as RFC 2231 has it and some read it; a boundary may itself have the
    // word in it.
    let mut places = memchr::memmem::find_iter(&lower, b"boundary").filter(|at| {
        let before = lower.get(..*at).and_then(<[u8]>::last);
        let after = lower.get(at + 8..).unwrap_or_default().trim_ascii_start();
        let is_followed = matches!(after.first(), Some(b'=' | b'*'));
        before.is_none_or(|byte| b";, \t".contains(byte)) && is_followed
    });
    let at = places.next().ok_or("the content type has no boundary")?;
    if places.next().is_some() {
        return Err("the content type has more than one boundary");
    }
    let before = content_type.get(..at).unwrap_or_default().trim_ascii_end();
    flags.missing_semicolon |= !before.ends_with(b";");
    let after = content_type.get(at + 8..).unwrap_or_default();
    let equals = after.trim_ascii_start();
    flags.boundary_whitespace |= equals.len() != after.len();
    let value = equals
        .strip_prefix(b"=")
        .ok_or("the boundary has no value")?;
    let trimmed = value.trim_ascii_start();
    flags.boundary_whitespace |= trimmed.len() != value.len();
    let boundary = match trimmed.strip_prefix(b"\"") {
        Some(quoted) => {
            flags.boundary_quoted = true;
            let end = memchr::memchr(b'"', quoted).ok_or("the boundary's quote is never closed")?;
            let (boundary, behind) = quoted.split_at_checked(end).unwrap_or_default();
            // Who splits at these before reading quotes has another boundary.
            let is_odd = |byte: &u8| matches!(byte, b' ' | b',');
            flags.invalid_quoting |=
                boundary.iter().any(is_odd) || !matches!(behind.get(1), None | Some(b';'));
            boundary
        }
        None => {
            let end = trimmed
                .iter()
                .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'))
                .unwrap_or(trimmed.len());
            flags.boundary_whitespace |= trimmed.get(end).is_some_and(|byte| *byte != b';');
            flags.invalid_quoting |= memchr::memchr(b'"', trimmed).is_some();
            trimmed.get(..end).unwrap_or_default()
        }
    };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    if boundary.is_empty() || boundary.len() > 70 || !boundary.iter().all(allowed) {
        return Err("the boundary is invalid");
    }
    Ok(boundary)
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

/// What a line is to the boundary.
#[derive(PartialEq)]
enum Mark {
    None,
    Open,
    Close,
    /// It begins as the boundary does, and goes on otherwise.
    Other,
}

fn mark(line: &[u8], boundary: &[u8]) -> Mark {
    let Some(rest) = line.strip_prefix(b"--") else {
        return Mark::None;
    };
    // Who takes the quotes of the boundary for a part of it reads one here.
    let bare = rest.strip_prefix(b"\"").unwrap_or_default();
    match rest.strip_prefix(boundary) {
        None if bare.starts_with(boundary) => Mark::Other,
        Some(b"") => Mark::Open,
        Some(b"--") => Mark::Close,
        // White space behind a boundary is padding (RFC 2046 §5.1.1).
        Some(rest) if rest.trim_ascii().is_empty() => Mark::Open,
        Some(rest)
            if rest.starts_with(b"--")
                && rest.get(2..).is_some_and(|end| end.trim_ascii().is_empty()) =>
        {
            Mark::Close
        }
        _ => Mark::Other,
    }
}

fn parts<'b>(
    boundary: &[u8],
    body: &'b [u8],
    bounds: Bounds,
    found: &mut Multipart<'b>,
) -> Result<(), &'static str> {
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
        let mark = if closed {
            Mark::None
        } else {
            mark(line, boundary)
        };
        found.flags.unmatched_boundary |= mark == Mark::Other;
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
                    let part = headers(&mut lines, &mut found.flags, &mut ends)?;
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

/// The headers of a part, up to the empty line.
fn headers<'b>(
    lines: &mut Lines<'_>,
    flags: &mut Flags,
    ends: &mut impl FnMut(usize),
) -> Result<Part<'b>, &'static str> {
    let mut part = Part::default();
    loop {
        let Some((_, line, end)) = lines.next() else {
            flags.invalid_part = true;
            return Err("the headers of a part do not end");
        };
        ends(end);
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            flags.header_folding = true;
            match part.headers.last_mut() {
                Some(header) => {
                    header.push(b' ');
                    header.extend(line.trim_ascii());
                }
                None => {
                    flags.invalid_folding = true;
                    return Err("a folded line without a header");
                }
            }
            continue;
        }
        if memchr::memchr(b':', line).is_none() {
            flags.invalid_part = true;
            return Err("a header of a part has no colon");
        }
        part.headers.push(line.to_vec());
    }
    let mut dispositions = part.headers.iter().filter_map(|header| {
        let (name, value) = header.split_at_checked(memchr::memchr(b':', header)?)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"content-disposition")
            .then(|| value.get(1..).unwrap_or_default().to_vec())
    });
    let Some(value) = dispositions.next() else {
        flags.invalid_part = true;
        return Err("a part has no Content-Disposition");
    };
    if dispositions.next().is_some() {
        flags.invalid_part = true;
        return Err("a part has more than one Content-Disposition");
    }
    let (name, file) = disposition(&value, flags).inspect_err(|_| flags.invalid_part = true)?;
    part.name = name;
    part.file = file;
    Ok(part)
}

/// The name and the file's name of `form-data; name="…"; filename="…"`.
fn disposition(
    value: &[u8],
    flags: &mut Flags,
) -> Result<(Vec<u8>, Option<Vec<u8>>), &'static str> {
    let value = value.trim_ascii();
    let kind = value
        .iter()
        .take_while(|byte| !matches!(byte, b';') && !byte.is_ascii_whitespace())
        .count();
    let (kind, mut rest) = value.split_at_checked(kind).unwrap_or_default();
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err("a part is no form-data");
    }
    let (mut name, mut file) = (None, None);
    loop {
        let trimmed = rest.trim_ascii_start();
        if trimmed.is_empty() {
            break;
        }
        let after = match trimmed.strip_prefix(b";") {
            Some(after) => after.trim_ascii_start(),
            None => {
                flags.missing_semicolon = true;
                trimmed
            }
        };
        if after.is_empty() {
            break;
        }
        let equals = memchr::memchr(b'=', after).ok_or("a parameter of a part has no value")?;
        let (key, value) = after.split_at_checked(equals).unwrap_or_default();
        let (text, behind) = parameter(value.get(1..).unwrap_or_default(), flags)?;
        rest = behind;
        let place = if key.trim_ascii().eq_ignore_ascii_case(b"name") {
            &mut name
        } else if key.trim_ascii().eq_ignore_ascii_case(b"filename") {
            &mut file
        } else if key.trim_ascii().eq_ignore_ascii_case(b"filename*") {
            // RFC 7578 §4.2 forbids it, and parsers disagree about it.
            flags.invalid_part = true;
            continue;
        } else {
            return Err("a part has an unknown parameter");
        };
        if place.replace(text).is_some() {
            return Err("a parameter of a part stands twice");
        }
    }
    Ok((name.ok_or("a part has no name")?, file))
}

/// The value of a parameter, and what is behind it.
fn parameter<'v>(value: &'v [u8], flags: &mut Flags) -> Result<(Vec<u8>, &'v [u8]), &'static str> {
    let value = value.trim_ascii_start();
    let quote = match value.first() {
        Some(quote @ (b'"' | b'\'')) => *quote,
        _ => {
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            let (text, behind) = value.split_at_checked(end).unwrap_or_default();
            flags.invalid_quoting |= text.iter().any(|byte| matches!(byte, b'"' | b'\''));
            return Ok((text.trim_ascii_end().to_vec(), behind));
        }
    };
    flags.invalid_quoting |= quote == b'\'';
    let mut text = Vec::new();
    let mut bytes = value.iter().copied().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\'
                if bytes
                    .peek()
                    .is_some_and(|(_, next)| *next == quote || *next == b'\\') =>
            {
                text.extend(bytes.next().map(|(_, next)| next));
            }
            byte if byte == quote => {
                let behind = value.get(at + 1..).unwrap_or_default();
                flags.invalid_quoting |=
                    !matches!(behind.trim_ascii_start().first(), None | Some(b';'));
                return Ok((text, behind));
            }
            byte => text.push(byte),
        }
    }
    flags.invalid_quoting = true;
    Err("a quote in a part's header is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        count: 4,
        depth: 0,
        files: 2,
    };
    const TYPE: &[u8] = b"multipart/form-data; boundary=x1";

    fn read_it(body: &str) -> (Vec<String>, Flags, Result<(), &'static str>) {
        let (found, done) = read(TYPE, body.as_bytes(), BOUNDS);
        let parts = found.parts.iter().map(|part| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let file = part
                .file
                .as_deref()
                .map_or_else(String::new, |file| format!(" [{}]", text(file)));
            format!("{}{file}={}", text(&part.name), text(part.body))
        });
        (parts.collect(), found.flags, done)
    }

    fn part(disposition: &str) -> String {
        format!("--x1\r\nContent-Disposition: {disposition}\r\n\r\nv\r\n--x1--\r\n")
    }

    #[test]
    fn parts_have_names_files_and_bodies() {
        let (parts, flags, done) = read_it(
            "--x1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n--x1\r\n\
             Content-Disposition: form-data; name=f; filename=\"b \\\"c\\\".txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n--x1--\r\n",
        );
        assert_eq!(done, Ok(()));
        assert_eq!(flags, Flags::default());
        assert_eq!(parts, ["a=one\r\ntwo", "f [b \"c\".txt]="]);
    }

    #[test]
    fn a_part_with_an_empty_file_name_is_both_an_argument_and_a_file() {
        for (more, is_argument, is_file) in [
            ("", true, false),
            ("; filename=\"\"", true, true),
            ("; filename=", true, true),
            ("; filename=\" \"", true, true),
            ("; filename=\"b\"", false, true),
        ] {
            let body = part(&format!("form-data; name=\"a\"{more}"));
            let (found, done) = read(TYPE, body.as_bytes(), BOUNDS);
            assert_eq!((found.flags, done), (Flags::default(), Ok(())), "{more}");
            let part = found.parts.first().unwrap();
            let is = (part.is_argument(), part.file.is_some());
            assert_eq!(is, (is_argument, is_file), "{more}");
        }
    }

    #[test]
    fn what_is_odd_is_flagged() {
        let flag = |body: &str| read_it(body).1;
        let good = part("form-data; name=\"a\"");
        assert!(flag(&format!("x\r\n{good}")).data_before);
        assert!(flag(&format!("{good}x")).data_after);
        assert!(flag(&good.replace("\r\n", "\n")).lf_line);
        assert!(flag(&good.replace("v\r\n", "v\n")).crlf_and_lf);
        // How the lines of a picture or a text end is its own.
        let lines = good.replace("v\r\n", "v\nw\r\nx\n\ny\r\n");
        assert_eq!(flag(&lines), Flags::default());
        assert!(flag(&good.replace("v\r\n", "v\r\n--x1y\r\n")).unmatched_boundary);
        assert!(flag(&part("form-data;\r\n name=\"a\"")).header_folding);
        assert!(flag(&part("form-data name=\"a\"")).missing_semicolon);
        assert!(flag(&part("form-data; name='a'")).invalid_quoting);
        assert!(flag(&part("form-data; name=\"a\"x")).invalid_quoting);
        assert!(flag(&part("form-data; name=\"a\"; filename*=utf-8''b")).invalid_part);
        assert!(flag(&part("form-data; name=\"a\"; filename*=utf-8''b")).strict_error());
        assert_eq!(flag(&good), Flags::default());
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for body in [
            "",
            "--x1\r\n",
            "--x1--",
            "--x1\r\nContent-Type: a\r\n\r\nv\r\n--x1--",
            "--x1\r\nContent-Disposition: form-data; name=a\r\n\r\nv",
            &part("attachment; name=a"),
            &part("form-data"),
            &part("form-data; name=a; name=b"),
            &part("form-data; name=\"a"),
        ] {
            let done = read_it(body).2;
            assert!(done.is_err() || body == "--x1--", "{body:?}");
        }
    }

    #[test]
    fn a_quoted_boundary_is_read_without_its_quotes() {
        let read = |body: &str| {
            let quoted = b"multipart/form-data; boundary=\"x1\"";
            let (found, done) = read(quoted, body.as_bytes(), BOUNDS);
            (found.parts.len(), found.flags.unmatched_boundary, done)
        };
        let good = part("form-data; name=a");
        assert_eq!(read(&good), (1, false, Ok(())));
        let twofold = good.replace("v\r\n", "v\r\n--\"x1\"\r\n");
        assert_eq!(read(&twofold), (1, true, Ok(())));
    }

    #[test]
    fn boundaries_are_checked() {
        let flags = |content_type: &str| read(content_type.as_bytes(), b"", BOUNDS).0.flags;
        for quoted in ["boundary=\"a\"", "boundary=\"-=_a\";charset=b"] {
            let flags = flags(&format!("multipart/form-data; {quoted}"));
            let expected = Flags {
                boundary_quoted: true,
                ..Flags::default()
            };
            assert_eq!(flags, expected, "{quoted}");
            assert!(!flags.strict_error(), "{quoted}");
        }
        for odd in ["\"a b\"", "\"a \"", "\"a,b\"", "\"a\"b", "\"a\" ", "a\"b\""] {
            let content_type = format!("multipart/form-data; boundary={odd}");
            let is_refused = boundary(content_type.as_bytes(), &mut Flags::default()).is_err();
            assert!(is_refused || flags(&content_type).strict_error(), "{odd}");
        }
        assert!(flags("multipart/form-data; boundary= a").boundary_whitespace);
        assert!(flags("multipart/form-data boundary=a").missing_semicolon);
        for wrong in [
            "multipart/form-data",
            "m; boundary=",
            "m; boundary=a; boundary=b",
            "m; boundary=\"a\"; boundary=a",
            "m; boundary=a; boundary*=utf-8''b",
            "m; boundary=a; boundary*0=b",
            "m; boundary*=utf-8''a",
            "m; boundary=\"a\\b\"",
            "m; boundary=\"a",
            "m; boundary=a\u{7}",
        ] {
            assert!(
                boundary(wrong.as_bytes(), &mut Flags::default()).is_err(),
                "{wrong}"
            );
        }
    }
}

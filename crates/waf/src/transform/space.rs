//! Transformations of white space, comments and command lines.

/// C's `isspace`, and the no-break space of Latin-1, which browsers and shells let pass for one.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0xa0)
}

/// Runs of white space become one space.
pub(super) fn compress(text: &[u8], out: &mut Vec<u8>) {
    let mut within = false;
    for byte in text {
        let space = is_space(*byte);
        if !space {
            out.push(*byte);
        } else if !within {
            out.push(b' ');
        }
        within = space;
    }
}

/// White space goes, that of UTF-8's no-break space included.
pub(super) fn remove(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if is_space(byte) || byte == 0xc2 && bytes.peek() == Some(&0xa0) {
            continue;
        }
        out.push(byte);
    }
}

pub(super) fn trim_left(text: &[u8]) -> &[u8] {
    let begin = text.iter().take_while(|byte| is_space(**byte)).count();
    text.get(begin..).unwrap_or_default()
}

pub(super) fn trim_right(text: &[u8]) -> &[u8] {
    let spaces = text
        .iter()
        .rev()
        .take_while(|byte| is_space(**byte))
        .count();
    text.get(..text.len() - spaces).unwrap_or_default()
}

/// What shells would run: escapes and quotes go, `,` and `;` become spaces, spaces before `/` and `(` go, the rest of the spaces
/// become one, letters lower case.
pub(super) fn cmd_line(text: &[u8], out: &mut Vec<u8>) {
    let mut space = false;
    for byte in text {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !space {
                    out.push(b' ');
                    space = true;
                }
            }
            b'/' | b'(' => {
                if space {
                    out.pop();
                }
                space = false;
                out.push(*byte);
            }
            byte => {
                space = false;
                out.push(byte.to_ascii_lowercase());
            }
        }
    }
}

/// `/* … */` becomes one space, also when it is never closed.
pub(super) fn replace_comments(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(open) = memchr::memmem::find(rest, b"/*") {
        let (before, after) = rest.split_at_checked(open).unwrap_or((rest, &[]));
        out.extend(before);
        out.push(b' ');
        let body = after.get(2..).unwrap_or_default();
        rest = match memchr::memmem::find(body, b"*/") {
            Some(close) => body.get(close + 2..).unwrap_or_default(),
            None => &[],
        };
    }
    out.extend(rest);
}

/// Comments go: `/* … */`, `<!-- … -->`, and the rest behind `--` or `#`.
pub(super) fn remove_comments(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let close: &[u8] = if rest.starts_with(b"/*") {
            b"*/"
        } else if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.starts_with(b"--") || rest.starts_with(b"#") {
            return;
        } else {
            match rest.split_first() {
                Some((byte, after)) => {
                    out.push(*byte);
                    rest = after;
                    continue;
                }
                None => return,
            }
        };
        rest = match memchr::memmem::find(rest.get(2..).unwrap_or_default(), close) {
            Some(at) => rest.get(2 + at + close.len()..).unwrap_or_default(),
            None => {
                out.push(b' ');
                return;
            }
        };
    }
}

/// The marks of comments go, and what stands between them stays.
pub(super) fn remove_comment_marks(text: &[u8], out: &mut Vec<u8>) {
    const MARKS: [&[u8]; 6] = [b"<!--", b"-->", b"/*", b"*/", b"--", b"#"];
    let mut rest = text;
    'text: while let Some((byte, after)) = rest.split_first() {
        for mark in MARKS {
            if let Some(behind) = rest.strip_prefix(mark) {
                rest = behind;
                continue 'text;
            }
        }
        out.push(*byte);
        rest = after;
    }
}

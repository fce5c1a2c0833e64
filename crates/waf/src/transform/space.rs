//! Transformations of white space, comments and command lines.

/// C's `isspace`, and the no-break space of Latin-1, which browsers and shells let pass for one.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0xa0)
}

/// What bytes are to the functions that ask first whether anything changes.
mod kind {
    /// White space.
    pub(super) const SPACE: u8 = 1;
    /// White space that is no space.
    pub(super) const ODD: u8 = 2;
    /// What a command line loses, or has otherwise: escapes, quotes, separators, upper case.
    pub(super) const COMMAND: u8 = 4;
    /// A space before it goes from a command line.
    pub(super) const CLOSE: u8 = 8;
}

const KINDS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
        {
            table[byte] = kind_of(byte as u8);
        }
        byte += 1;
    }
    table
};

const fn kind_of(byte: u8) -> u8 {
    let command = matches!(
        byte,
        b'"' | b'\'' | b'\\' | b'^' | b',' | b';' | b'\t' | b'\r' | b'\n' | b'A'..=b'Z'
    );
    (if is_space(byte) { kind::SPACE } else { 0 })
        | (if is_space(byte) && byte != b' ' {
            kind::ODD
        } else {
            0
        })
        | (if command { kind::COMMAND } else { 0 })
        | (if matches!(byte, b'/' | b'(') {
            kind::CLOSE
        } else {
            0
        })
}

fn kind(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Whether no white space stands in it but single spaces, as in what people write. Without a branch for each byte.
pub(super) fn is_compressed(text: &[u8]) -> bool {
    let (mut odd, mut before) = (0, 0);
    for byte in text {
        let kind = kind(*byte);
        odd |= kind & kind::ODD | kind & before & kind::SPACE;
        before = kind;
    }
    odd == 0
}

/// Whether a command line stays as it is.
pub(super) fn is_cmd_line(text: &[u8]) -> bool {
    let (mut changes, mut was_space) = (0, 0);
    for byte in text {
        let kind = kind(*byte);
        let is_space = u8::from(*byte == b' ');
        changes |= kind & kind::COMMAND;
        changes |= was_space & (is_space | u8::from(kind & kind::CLOSE != 0));
        was_space = is_space;
    }
    changes == 0
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
    if memchr::memchr(0xc2, text).is_none() {
        // Each byte is written, and stays where the next one is not written over it.
        let begin = out.len();
        out.resize(begin + text.len(), 0);
        let mut end = begin;
        for byte in text {
            if let Some(place) = out.get_mut(end) {
                *place = *byte;
            }
            end += usize::from(kind(*byte) & kind::SPACE == 0);
        }
        out.truncate(end);
        return;
    }
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

//! The head of a part: its name, and whether it is a file, to anybody.

use memchr::memmem::Finder;
use seawall_model::token::is_token_byte;

use super::{Flags, Lines, Part};
use crate::transform::hex_digit;

/// The headers of a part, up to the empty line.
pub(super) fn read<'b>(
    lines: &mut Lines<'_>,
    delimiter: &Finder<'_>,
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
        flags.unmatched_boundary |= delimiter.find(line).is_some();
        // A CR ends a line to some, and a NUL the text.
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        flags.invalid_part |= line.iter().any(is_control);
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
    part.has_type = has_type(&part.headers);
    let named = named(&part.headers, flags).inspect_err(|_| flags.invalid_part = true)?;
    part.name = named.name;
    part.file = named.file;
    part.extended = named.extended;
    Ok(part)
}

/// The name and the value of a header.
fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = header.split_at_checked(memchr::memchr(b':', header)?)?;
    Some((name, value.get(1..).unwrap_or_default()))
}

/// Whether all find a type. An empty one is none (formidable), and of two some take the last.
fn has_type(headers: &[Vec<u8>]) -> bool {
    let mut types = headers.iter().filter_map(|header| {
        let (name, value) = split(header)?;
        name.eq_ignore_ascii_case(b"content-type").then_some(value)
    });
    let says = |value: &[u8]| !value.trim_ascii().is_empty();
    types.next().is_some_and(says) && types.all(says)
}

/// What a part is called.
struct Named {
    name: Vec<u8>,
    file: Option<Vec<u8>>,
    extended: Option<Vec<u8>>,
}

fn named(headers: &[Vec<u8>], flags: &mut Flags) -> Result<Named, &'static str> {
    let mut dispositions = headers.iter().filter_map(|header| {
        let (name, value) = split(header)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"content-disposition")
            .then_some(value)
    });
    let value = dispositions
        .next()
        .ok_or("a part has no Content-Disposition")?;
    if dispositions.next().is_some() {
        return Err("a part has more than one Content-Disposition");
    }
    disposition(value, flags)
}

const TWICE: &str = "a parameter of a part stands twice";

/// The names of `form-data; name="…"; filename="…"`.
fn disposition(value: &[u8], flags: &mut Flags) -> Result<Named, &'static str> {
    let value = value.trim_ascii();
    let kind = value
        .iter()
        .take_while(|byte| !matches!(byte, b';') && !byte.is_ascii_whitespace())
        .count();
    let (kind, mut rest) = value.split_at_checked(kind).unwrap_or_default();
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err("a part is no form-data");
    }
    let (mut name, mut file, mut extended) = (None, None, None);
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
        let value = value.get(1..).unwrap_or_default();
        let (bare, trimmed) = (key.trim_ascii(), value.trim_ascii_start());
        // RFC 9110 §5.6.6 has no white space beside the sign, and who goes by that passes the parameter over.
        flags.invalid_part |= bare.len() != key.len() || trimmed.len() != value.len();
        if bare.eq_ignore_ascii_case(b"filename*") {
            let (coded, behind) = up_to_semicolon(trimmed);
            rest = behind;
            match decoded(coded) {
                Some(text) => {
                    if extended.replace(text).is_some() {
                        return Err(TWICE);
                    }
                }
                None => flags.invalid_part = true,
            }
            continue;
        }
        let (text, behind) = parameter(trimmed, flags)?;
        rest = behind;
        let place = if bare.eq_ignore_ascii_case(b"name") {
            &mut name
        } else if bare.eq_ignore_ascii_case(b"filename") {
            &mut file
        } else {
            return Err("a part has an unknown parameter");
        };
        if place.replace(text).is_some() {
            return Err(TWICE);
        }
    }
    let name: Vec<u8> = name.ok_or("a part has no name")?;
    // RFC 7578 §4.2 forbids it. Beside another name (as .NET sends it) the part is a file whoever reads which; alone it is not.
    let says = |file: &Vec<u8>| !file.trim_ascii().is_empty();
    flags.invalid_part |= extended.is_some() && !file.as_ref().is_some_and(says);
    Ok(Named {
        name,
        file,
        extended,
    })
}

/// An unquoted value, and what is behind it.
fn up_to_semicolon(value: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (text, behind) = value.split_at_checked(end).unwrap_or_default();
    (text.trim_ascii_end(), behind)
}

/// What `utf-8''…` says (RFC 8187 §3.2). Not of another character set or with a language, which some readers do not take.
fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
    let (set, rest) = coded.split_at_checked(b"utf-8".len())?;
    let coded = rest.strip_prefix(b"''")?;
    let is_allowed = |byte: &u8| is_token_byte(*byte) && !matches!(byte, b'*' | b'\'');
    if !set.eq_ignore_ascii_case(b"utf-8") || !coded.iter().all(is_allowed) {
        return None;
    }
    let mut name = Vec::with_capacity(coded.len());
    let mut bytes = coded.iter().copied();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit)?;
                high << 4 | bytes.next().and_then(hex_digit)?
            }
            byte => byte,
        });
    }
    (!name.trim_ascii().is_empty()).then_some(name)
}

/// The value of a parameter, and what is behind it.
fn parameter<'v>(value: &'v [u8], flags: &mut Flags) -> Result<(Vec<u8>, &'v [u8]), &'static str> {
    let quote = match value.first() {
        Some(quote @ (b'"' | b'\'')) => *quote,
        _ => {
            let (text, behind) = up_to_semicolon(value);
            flags.invalid_quoting |= text.iter().any(|byte| matches!(byte, b'"' | b'\''));
            // Who reads a token finds another value, or none.
            flags.invalid_part |= !text.iter().all(|byte| is_token_byte(*byte));
            return Ok((text.to_vec(), behind));
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
                let escaped = bytes.next().map(|(_, next)| next);
                text.extend(escaped);
                // To PHP the second of two backslashes is what escapes the quote, which does not end then.
                let is_last = bytes.peek().is_some_and(|(_, next)| *next == quote);
                flags.invalid_quoting |= escaped == Some(b'\\') && is_last;
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

//! From PCRE's spelling to that of `regex-syntax`, where one text means two things.

/// The same pattern, of bytes: `\x{bc}` and letters beyond ASCII become bytes; within a class `[`, `&&`, `--`, `~~` stand for
/// themselves, as they do in PCRE.
pub(crate) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some('x') if chars.peek() == Some(&'{') => {
                    let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    match u32::from_str_radix(&digits, 16) {
                        Ok(byte) if byte < 256 => out.push_str(&format!("\\x{byte:02x}")),
                        _ => out.push_str(&format!("\\x{{{digits}}}")),
                    }
                }
                // Escaping what needs no escape is fine in PCRE.
                Some(
                    c @ ('"' | '\'' | '/' | '<' | '>' | '`' | '@' | '!' | '%' | ',' | ':' | ';'
                    | '=' | '_' | ' '),
                ) => {
                    if c == '_' || c == ' ' || !c.is_ascii_punctuation() {
                        out.push(c);
                    } else {
                        out.push_str(&format!("\\x{:02x}", c as u32));
                    }
                }
                Some(c) => {
                    out.push('\\');
                    out.push(c);
                }
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that comes first is a member.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' => match chars.peek() {
                Some(':') => {
                    out.push('[');
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                _ => out.push_str("\\["),
            },
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(next);
            }
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            c if !c.is_ascii() => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).as_bytes();
                if !class {
                    out.push_str("(?:");
                }
                for byte in bytes {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
                if !class {
                    out.push(')');
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn spellings_are_translated() {
        for (pcre, ours) in [
            (r"\x{bc}a", r"\xbca"),
            (r"[^[\]]", r"[^\[\]]"),
            (r"[[:alpha:]_]", r"[[:alpha:]_]"),
            (r"[]a]", r"[\]a]"),
            (r"[a&&b]", r"[a\&\&b]"),
            (r#"\"\'\/"#, r"\x22\x27\x2f"),
            ("é", r"(?:\xc3\xa9)"),
            (r"\\[", r"\\["),
        ] {
            assert_eq!(translate(pcre), ours, "{pcre}");
        }
    }
}

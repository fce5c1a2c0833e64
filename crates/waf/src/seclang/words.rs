//! A logical line as words: bare, or within double or single quotes.
//!
//! Within quotes a backslash before the quote stands for the quote; every other backslash is left as it is, because it belongs to a
//! pattern. Not here: what the words mean.

/// A word, and where in its line it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, quotes removed.
    pub(super) text: String,
    /// Where its text begins in the line.
    pub(super) at: usize,
}

/// The words of a line, or where a quote was opened that is never closed.
pub(super) fn words(line: &str) -> Result<Vec<Word>, usize> {
    let mut all = Vec::new();
    let mut rest = line.char_indices().peekable();
    while let Some((at, begin)) = rest.next() {
        if begin.is_whitespace() {
            continue;
        }
        let quoted = begin == '"' || begin == '\'';
        let mut text = String::new();
        if !quoted {
            text.push(begin);
        }
        let mut closed = !quoted;
        while let Some((_, next)) = rest.next() {
            match next {
                '\\' if quoted && rest.peek().is_some_and(|(_, after)| *after == begin) => {
                    text.push(begin);
                    rest.next();
                }
                // What was escaped cannot escape.
                '\\' if quoted && rest.peek().is_some_and(|(_, after)| *after == '\\') => {
                    text.push_str("\\\\");
                    rest.next();
                }
                _ if quoted && next == begin => {
                    closed = true;
                    break;
                }
                _ if !quoted && next.is_whitespace() => break,
                _ => text.push(next),
            }
        }
        if !closed {
            return Err(at);
        }
        all.push(Word {
            text,
            at: at + usize::from(quoted),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bare_or_quoted() {
        let texts = |line: &str| -> Vec<String> {
            words(line)
                .unwrap()
                .into_iter()
                .map(|word| word.text)
                .collect()
        };
        assert_eq!(
            texts(r#"SecRule ARGS|!ARGS:a "@rx \"x\s" "id:1,msg:'it\'s'""#),
            [
                "SecRule",
                "ARGS|!ARGS:a",
                r#"@rx "x\s"#,
                r"id:1,msg:'it\'s'"
            ]
        );
        assert_eq!(texts(r#"a 'b c' "" "x\\""#), ["a", "b c", "", r"x\\"]);
        assert_eq!(words("a \"b"), Err(2));
    }
}

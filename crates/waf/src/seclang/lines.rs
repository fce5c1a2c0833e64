//! A file as logical lines: a backslash at the end of a line joins it with the next one, `#` begins a comment.
//!
//! Knows of each byte of a joined line which line of the file it stood in. Not here: what the words mean.

/// A logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its text, joined, without the backslashes.
    pub(super) text: String,
    /// (offset in the text, line of the file) of each piece.
    pieces: Vec<(usize, u32)>,
}

impl Line {
    /// The line of the file, counted from 1, in which this byte of the text stands.
    pub(super) fn number_at(&self, offset: usize) -> u32 {
        self.pieces
            .iter()
            .rev()
            .find(|(begin, _)| *begin <= offset)
            .map_or(1, |(_, number)| *number)
    }
}

/// All logical lines that are not empty and no comments. A comment ends with its line, whatever it ends with: a rule below a
/// commented one must not vanish with it.
pub(super) fn lines(source: &str) -> Vec<Line> {
    let mut all = Vec::new();
    let mut open: Option<Line> = None;
    for (nth, raw) in source.lines().enumerate() {
        let number = u32::try_from(nth + 1).unwrap_or(u32::MAX);
        let raw = raw.trim_end();
        if raw.trim_start().starts_with('#') {
            // Within a continued directive a comment is left out, as Apache's reader of configuration does not; ModSecurity 3's does.
            continue;
        }
        let (text, goes_on) = match raw.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (raw, false),
        };
        let mut line = open.take().unwrap_or(Line {
            text: String::new(),
            pieces: Vec::new(),
        });
        line.pieces.push((line.text.len(), number));
        line.text.push_str(text);
        if goes_on {
            open = Some(line);
        } else if !line.text.trim().is_empty() {
            all.push(line);
        }
    }
    all.extend(open.filter(|line| !line.text.trim().is_empty()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_know_where_they_were() {
        let all =
            lines("# a\nSecRule A \\\n  \"b\" \\\n  \"c\"\n\n  # d \\\nSecMarker X\nSecAction \\");
        let texts: Vec<_> = all.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            ["SecRule A   \"b\"   \"c\"", "SecMarker X", "SecAction "]
        );
        let first = all.first().unwrap();
        assert_eq!(
            (first.number_at(0), first.number_at(12), first.number_at(20)),
            (2, 3, 4)
        );
        assert_eq!(all[1].number_at(3), 7);
    }
}

//! What is wrong with an expression, and where.

use std::fmt;

/// A line of source is shown up to so many characters on either side of the place.
const AROUND: usize = 60;

/// What is wrong with an expression. Displays as `what (help)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Where it begins: an offset in bytes into the source.
    pub at: usize,
    /// How many bytes it covers; 0 where something is missing.
    pub len: usize,
    /// What is wrong. Text from the source is quoted, escaped and cut short.
    pub what: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// Whether nothing is wrong with the expression itself: a bound that many share was passed. One that is told counts for the
    /// others.
    pub is_of_many: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.help.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.help)
    }
}

impl Error {
    /// From all of its parts.
    pub(crate) fn new(
        at: usize,
        len: usize,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            at,
            len,
            what: what.into(),
            help: help.into(),
            is_of_many: false,
        }
    }

    /// The line of `source` in which it is, and below it a line with `^` under each character of the place. A long line is cut
    /// around the place; control characters show as spaces, so that both lines stay in step.
    pub fn render(&self, source: &str) -> String {
        let mut at = self.at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        let (before, behind) = source.split_at_checked(at).unwrap_or((source, ""));
        let front = before.rsplit('\n').next().unwrap_or_default();
        let back = behind.split('\n').next().unwrap_or_default();
        let shown = |character: char| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        };
        let far = front.chars().count().saturating_sub(AROUND);
        let mut line: String = front.chars().skip(far).map(shown).collect();
        let indent = line.chars().count();
        line.extend(back.chars().take(AROUND).map(shown));
        let marks = back
            .char_indices()
            .take_while(|(offset, _)| *offset < self.len)
            .take(AROUND)
            .count()
            .max(1);
        format!(
            "{}\n{}{}",
            line.trim_end(),
            " ".repeat(indent),
            "^".repeat(marks)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_line_and_its_place() {
        let error = Error::new(12, 3, "wrong", "mend it");
        assert_eq!(error.to_string(), "wrong (mend it)");
        assert_eq!(
            error.render("first\nsecond bad\nthird"),
            "second bad\n      ^^^"
        );
        assert_eq!(error.render("ä"), "ä\n ^");
        assert_eq!(error.render(""), "\n^");
        assert_eq!(Error::new(0, 0, "wrong", "").to_string(), "wrong");
    }

    #[test]
    fn characters_are_counted_not_bytes_and_long_lines_are_cut() {
        let error = Error::new(4, 2, "", "");
        assert_eq!(error.render("ää\u{9}ö"), "ää ö\n  ^^");
        assert_eq!(
            Error::new(1, 1, "", "").render("äb"),
            "äb\n^",
            "within a character"
        );
        let long = format!("{}!{}", "a".repeat(1000), "b".repeat(1000));
        let shown = Error::new(1000, 1, "", "").render(&long);
        assert_eq!(shown.lines().next().map(str::len), Some(120));
        assert_eq!(shown.lines().nth(1).map(str::len), Some(61));
    }
}

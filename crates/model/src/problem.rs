//! What is wrong with a document: all of it at once, each with where it is and what to do about it.
//!
//! A reader adds problems to a [`Report`] while it walks; [`Report::finish`] turns offsets into lines. The list is
//! bounded, so that a hostile document cannot make its own error message the attack. Whose problems they are, a zone's
//! or everybody's, is kept for all of them, listed or not.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong, as `path: what (help; line n)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, as `zone[1].origin[0].url`; lists count from 0. `document` for the text as a whole.
    pub path: String,
    /// What is wrong. Text from the document is quoted, escaped and cut short.
    pub what: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// The line in the file, counted from 1, where it is known.
    pub line: Option<u32>,
    /// The column in characters, counted from 1; only for text that is no TOML.
    pub column: Option<u32>,
}

impl Problem {
    /// A problem that has no place in a file.
    pub fn new(path: impl Into<String>, wrong: Wrong) -> Self {
        Self {
            path: path.into(),
            what: wrong.what,
            help: wrong.help,
            line: None,
            column: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        let mut open = " (";
        if !self.help.is_empty() {
            write!(f, "{open}{}", self.help)?;
            open = "; ";
        }
        if let Some(line) = self.line {
            write!(f, "{open}line {line}")?;
            open = "; ";
            if let Some(column) = self.column {
                write!(f, ", column {column}")?;
            }
        }
        if open == "; " {
            f.write_str(")")
        } else {
            Ok(())
        }
    }
}

/// All that is wrong with a document, in the order of the file. Displays one problem per line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Problems {
    /// The first of them, at most [`Limits::problems`](crate::Limits::problems).
    pub list: Vec<Problem>,
    /// How many more there are.
    pub more: u64,
}

impl Problems {
    /// Exactly one problem.
    pub fn one(problem: Problem) -> Self {
        Self {
            list: vec![problem],
            more: 0,
        }
    }

    /// Adds what else was found.
    pub fn add(&mut self, others: Self) {
        self.list.extend(others.list);
        self.more += others.more;
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.list.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// What is wrong with one value, said by the parser of that value, which does not know where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({help})")]
pub struct Wrong {
    /// What is wrong.
    pub what: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl Wrong {
    /// From both texts.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
        }
    }
}

/// Collects problems by their byte offset while a document is read.
#[derive(Debug)]
pub struct Report {
    found: Vec<(Option<usize>, Problem)>,
    most: usize,
    more: u64,
    zone: Option<usize>,
    /// Where the piece of the text begins in which offsets are counted.
    base: usize,
    bad_zones: BTreeSet<usize>,
    bad_platform: bool,
}

impl Report {
    /// An empty report that keeps at most `most` problems and counts the others.
    pub fn new(most: usize) -> Self {
        Self {
            found: Vec::new(),
            most,
            more: 0,
            zone: None,
            base: 0,
            bad_zones: BTreeSet::new(),
            bad_platform: false,
        }
    }

    /// From here on problems are those of the zone with this index; without one, of what all zones share.
    pub fn turn_to(&mut self, zone: Option<usize>) {
        self.zone = zone;
    }

    /// From here on offsets are counted from this one in the whole text.
    pub fn count_from(&mut self, base: usize) {
        self.base = base;
    }

    /// Where in the whole text an offset is.
    pub fn place(&self, offset: usize) -> usize {
        self.base + offset
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.more == 0
    }

    /// The zone whose problems are added now.
    pub fn zone(&self) -> Option<usize> {
        self.zone
    }

    /// The zones that have problems.
    pub fn bad_zones(&self) -> &BTreeSet<usize> {
        &self.bad_zones
    }

    /// Whether what all zones share has problems.
    pub fn is_platform_bad(&self) -> bool {
        self.bad_platform
    }

    /// As [`Report::add`], of another zone than the one that is read.
    pub fn add_to(&mut self, zone: Option<usize>, offset: usize, say: impl FnOnce() -> Problem) {
        let here = std::mem::replace(&mut self.zone, zone);
        self.add(Some(offset), say);
        self.zone = here;
    }

    /// Adds the problem that `say` makes; once the list is full it is counted without being made.
    pub fn add(&mut self, offset: Option<usize>, say: impl FnOnce() -> Problem) {
        match self.zone {
            Some(zone) => drop(self.bad_zones.insert(zone)),
            None => self.bad_platform = true,
        }
        if self.found.len() < self.most {
            self.found
                .push((offset.map(|offset| self.place(offset)), say()));
        } else {
            self.more += 1;
        }
    }

    /// All problems in the order of `text`, with their lines; none when nothing was added.
    pub fn finish(mut self, text: &str) -> Option<Problems> {
        if self.is_empty() {
            return None;
        }
        self.found.sort_by_key(|(offset, _)| *offset);
        let (mut line, mut seen, mut rest) = (1u32, 0usize, text.as_bytes());
        for (offset, problem) in &mut self.found {
            let Some(offset) = *offset else { continue };
            let step = offset.saturating_sub(seen).min(rest.len());
            let Some((before, after)) = rest.split_at_checked(step) else {
                continue;
            };
            let newlines = before.iter().filter(|byte| **byte == b'\n').count();
            line = line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
            (seen, rest) = (seen + step, after);
            problem.line = Some(line);
        }
        let list = self.found.into_iter().map(|(_, problem)| problem).collect();
        Some(Problems {
            list,
            more: self.more,
        })
    }
}

/// `text` in quotes, control characters escaped, cut after 64 characters.
pub fn quote(text: &str) -> String {
    match text
        .char_indices()
        .nth(64)
        .and_then(|(at, _)| text.split_at_checked(at))
    {
        Some((head, _)) => format!("{head:?}…"),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(path: &str) -> Problem {
        Problem::new(path, Wrong::new("is wrong", ""))
    }

    #[test]
    fn a_problem_prints_path_what_help_and_line() {
        let mut it = problem("zone[0].name");
        assert_eq!(it.to_string(), "zone[0].name: is wrong");
        it.line = Some(3);
        assert_eq!(it.to_string(), "zone[0].name: is wrong (line 3)");
        it.help = "mend it".into();
        assert_eq!(it.to_string(), "zone[0].name: is wrong (mend it; line 3)");
        it.column = Some(7);
        assert_eq!(
            it.to_string(),
            "zone[0].name: is wrong (mend it; line 3, column 7)"
        );
    }

    #[test]
    fn a_report_sorts_finds_lines_and_is_bounded() {
        let mut report = Report::new(3);
        report.add(Some(8), || problem("third"));
        report.add(Some(2), || problem("second"));
        report.add(None, || problem("first"));
        report.add(Some(0), || panic!("made although the list is full"));
        let problems = report.finish("a\nb\nc\nd\ne\n").unwrap();
        assert_eq!(
            problems.to_string(),
            "first: is wrong\nsecond: is wrong (line 2)\nthird: is wrong (line 5)\nand 1 more"
        );
        assert!(Report::new(3).finish("").is_none());
    }

    #[test]
    fn a_report_knows_whose_problems_there_are_also_when_they_are_not_listed() {
        let mut report = Report::new(1);
        report.turn_to(Some(4));
        report.add(Some(0), || problem("zone[4]"));
        report.add_to(Some(2), 1, || problem("zone[2]"));
        assert_eq!(report.zone(), Some(4));
        assert!(report.bad_zones().iter().eq(&[2, 4]) && !report.is_platform_bad());
        report.turn_to(None);
        report.add(None, || problem("schema"));
        assert!(report.bad_zones().iter().eq(&[2, 4]) && report.is_platform_bad());
        assert_eq!(report.finish("").unwrap().more, 2);
    }

    #[test]
    fn an_offset_behind_the_end_is_the_last_line() {
        let mut report = Report::new(3);
        report.add(Some(99), || problem("end"));
        report.add(Some(200), || problem("end"));
        let problems = report.finish("a\nb").unwrap();
        assert!(problems.list.iter().all(|problem| problem.line == Some(2)));
    }

    #[test]
    fn quotes_are_escaped_and_cut() {
        assert_eq!(quote("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert_eq!(quote(&"ä".repeat(65)), format!("\"{}\"…", "ä".repeat(64)));
    }
}

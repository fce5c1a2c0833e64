//! What the process says to people, on standard output and error.
//!
//! A terminal that was closed, or a pipe whose reader has gone, is no reason to stop serving: so nothing here fails or panics,
//! as `println!` would. What it says may come from strangers (a reason, a path, an answer): a terminal is told nothing that it would
//! obey.

use std::fmt::{Display, Write as _};
use std::io::Write;

/// Prints a line on standard output.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{}", plain(line));
}

/// Prints a line on standard error.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "seawall: {}", plain(line));
}

/// Takes the last line back from a terminal, so that another stands in its place.
pub fn take_back() {
    let _ = write!(std::io::stdout(), "\x1b[1A\x1b[2K");
}

/// The text as one line.
pub fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).collect::<Vec<_>>().join(" ")
}

/// Without what would move a cursor, recolour, or turn the reading direction: such characters stand there escaped.
fn plain(line: impl Display) -> String {
    let text = line.to_string();
    if !text.chars().any(obeyed) {
        return text;
    }
    text.chars().fold(String::new(), |mut plain, character| {
        if obeyed(character) {
            let _ = write!(plain, "{}", character.escape_unicode());
        } else {
            plain.push(character);
        }
        plain
    })
}

fn obeyed(character: char) -> bool {
    let is_turn = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (character.is_control() && !matches!(character, '\n' | '\t')) || is_turn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_that_it_would_obey() {
        assert_eq!(plain("ä\tb\nc"), "ä\tb\nc");
        assert_eq!(plain("a\u{1b}[2Jb\r"), r"a\u{1b}[2Jb\u{d}");
        assert_eq!(plain("a\u{202e}b\u{9b}"), r"a\u{202e}b\u{9b}");
        assert_eq!(one_line("a\nb"), "a b");
    }
}

//! What the process says to people, on standard output and error.
//!
//! A terminal that was closed, or a pipe whose reader has gone, is no reason to stop serving: so nothing here fails or panics,
//! as `println!` would.

use std::fmt::Display;
use std::io::Write;

/// Prints a line on standard output.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on standard error.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "seawall: {line}");
}

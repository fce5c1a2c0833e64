//! What differs between two documents, as people read it. It takes its time: not on a thread that others wait for.

use std::time::Duration;

use similar::TextDiff;

use super::asks::Diff;

/// The longest that is looked for the shortest difference; after it a longer one is told.
const DIFFERS: Duration = Duration::from_millis(500);

/// What differs between two versions.
pub fn diff(a: u64, b: u64, before: &str, after: &str) -> Diff {
    let (from, to) = (format!("version {a}"), format!("version {b}"));
    Diff {
        a,
        b,
        same: before == after,
        diff: unified((&from, before), (&to, after), DIFFERS),
    }
}

/// The same of two texts, each with its name; the shortest is looked for for so long.
pub fn unified(
    (from, before): (&str, &str),
    (to, after): (&str, &str),
    within: Duration,
) -> String {
    let diff = TextDiff::configure()
        .timeout(within)
        .diff_lines(before, after);
    diff.unified_diff().header(from, to).to_string()
}

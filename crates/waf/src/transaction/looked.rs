//! Why: what became of each rule, and a match as people may see it. It is written down only for who asks ([`Transaction::explain`]).

use super::{Match, Transaction};

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It is off: an exception, or another rule, said so.
    Removed,
    /// A comparison of numbers ended it: a paranoia level, a score.
    Gated,
    /// Its pattern or phrases occur in nothing that it looks at.
    Absent,
    /// It looked, and did not match.
    Unmet,
    /// It matched.
    Matched,
}

impl Came {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Gated => "gated",
            Self::Absent => "absent",
            Self::Unmet => "unmet",
            Self::Matched => "matched",
        }
    }
}

/// A rule that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The rule.
    pub id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// What became of it.
    pub came: Came,
}

impl Transaction<'_> {
    /// Writes down what becomes of each rule from now on.
    pub fn explain(&mut self) {
        self.looked.get_or_insert_default();
    }

    /// What became of each rule that was reached, in their order; nothing unless it was asked for.
    pub fn looked(&self) -> &[Looked] {
        self.looked.as_deref().unwrap_or_default()
    }
}

impl Match {
    /// The value as people may see it: what the pattern matched stands between `»` and `«`. Of what may be a secret all else is masked,
    /// and so is the match where it is the whole value.
    pub fn shown(&self) -> String {
        let (from, to) = self.piece.unwrap_or((0, 0));
        let before = self.value.get(..from).unwrap_or_default();
        let piece = self.value.get(from..to).unwrap_or_default();
        let behind = self.value.get(to..).unwrap_or_default();
        let is_secret = self.secret;
        let is_whole = before.is_empty() && behind.is_empty();
        let mut out = text(before, is_secret);
        if !piece.is_empty() {
            out.push('»');
            out.push_str(&text(piece, is_secret && is_whole));
            out.push('«');
        }
        out.push_str(&text(behind, is_secret));
        out
    }
}

/// As it can be printed; letters and digits masked where it is a secret.
fn text(bytes: &[u8], is_masked: bool) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            c if is_masked && c.is_alphanumeric() => out.push('*'),
            '\'' | '"' | '\\' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

//! How large an expression may be.

/// Parentheses deeper than this are refused whatever a bound says: evaluating recurses.
pub(crate) const DEEPEST: usize = 128;

/// What one expression may cost to hold and to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Length of the source in bytes.
    pub source_bytes: usize,
    /// Parentheses and functions within one another; 128 at most, whatever is given.
    pub depth: usize,
    /// Comparisons, functions and joined groups in all.
    pub nodes: usize,
    /// Members of one set in braces.
    pub set_members: usize,
    /// Memory of all compiled patterns together, in bytes. It bounds the time of compiling them too.
    pub pattern_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            source_bytes: 4096,
            depth: 64,
            nodes: 1024,
            set_members: 4096,
            pattern_bytes: 256 << 10,
        }
    }
}

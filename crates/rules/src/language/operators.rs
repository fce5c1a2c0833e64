//! The operators.

use super::Kind;

/// A comparison, or what joins comparisons.
#[derive(Debug)]
pub struct Operator {
    /// Its name.
    pub name: &'static str,
    /// The same as in C, where there is one.
    pub symbol: Option<&'static str>,
    /// What it may stand behind. What joins comparisons stands between those alone: [`Kind::Bool`].
    pub kinds: &'static [Kind],
    /// What it asks, for the reference.
    pub what: &'static str,
    pub(crate) operator: Compare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Differ,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    Matches,
    Wildcard,
    StrictWildcard,
    Among,
    Not,
    And,
    Xor,
    Or,
}

const fn operator(
    name: &'static str,
    symbol: &'static str,
    kinds: &'static [Kind],
    operator: Compare,
    what: &'static str,
) -> Operator {
    let symbol = if symbol.is_empty() {
        None
    } else {
        Some(symbol)
    };
    Operator {
        name,
        symbol,
        kinds,
        what,
        operator,
    }
}

const ALL: &[Kind] = &[Kind::Bytes, Kind::Int, Kind::Ip];

/// All operators; those that join comparisons last, the one that binds most first.
pub static OPERATORS: &[Operator] = &[
    operator("eq", "==", ALL, Compare::Equal, "is the same"),
    operator(
        "ne",
        "!=",
        ALL,
        Compare::Differ,
        "is not the same: always the contrary of `eq`",
    ),
    operator(
        "le",
        "<=",
        &[Kind::Int],
        Compare::LessOrEqual,
        "is less, or the same",
    ),
    operator("lt", "<", &[Kind::Int], Compare::Less, "is less"),
    operator(
        "ge",
        ">=",
        &[Kind::Int],
        Compare::GreaterOrEqual,
        "is greater, or the same",
    ),
    operator("gt", ">", &[Kind::Int], Compare::Greater, "is greater"),
    operator(
        "contains",
        "",
        &[Kind::Bytes],
        Compare::Contains,
        "has this text in it",
    ),
    operator(
        "matches",
        "~",
        &[Kind::Bytes],
        Compare::Matches,
        "has a piece that this pattern describes",
    ),
    operator(
        "wildcard",
        "",
        &[Kind::Bytes],
        Compare::Wildcard,
        "is described as a whole by this text, in which `*` stands for anything; in any case",
    ),
    operator(
        "strict wildcard",
        "",
        &[Kind::Bytes],
        Compare::StrictWildcard,
        "the same, with letters in the case in which they are written",
    ),
    operator(
        "in",
        "",
        ALL,
        Compare::Among,
        "is a member of the set in braces, or of the `$list`",
    ),
    operator("not", "!", &[Kind::Bool], Compare::Not, "the contrary"),
    operator("and", "&&", &[Kind::Bool], Compare::And, "both"),
    operator(
        "xor",
        "^^",
        &[Kind::Bool],
        Compare::Xor,
        "one of both, not both",
    ),
    operator(
        "or",
        "||",
        &[Kind::Bool],
        Compare::Or,
        "one of both, or both",
    ),
];

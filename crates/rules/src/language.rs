//! The tables of the language: every field, operator and function, with what it is. Parser, suggestions and the generated
//! reference read them here.

use seawall_model::FieldId;

use crate::value::{Address, Plain, Truth};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text: bytes, mostly ASCII.
    Bytes,
    /// A whole number.
    Int,
    /// An IP address.
    Ip,
    /// Yes or no.
    Bool,
    /// Header lines by name.
    Headers,
}

impl Kind {
    /// As the reference and errors say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "text",
            Self::Int => "a number",
            Self::Ip => "an address",
            Self::Bool => "yes or no",
            Self::Headers => "header lines by name",
        }
    }
}

/// A field of a request.
#[derive(Debug)]
pub struct Field {
    /// Its name, as Cloudflare has it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, for the reference.
    pub what: &'static str,
    pub(crate) value: Value,
}

/// Where a field's value comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Text(Plain),
    Address(Address),
    Truth(Truth),
    Headers,
}

const fn text(name: &'static str, plain: Plain, what: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Bytes,
        what,
        value: Value::Text(plain),
    }
}

const fn joined(name: &'static str, id: FieldId, with: &'static [u8], what: &'static str) -> Field {
    text(name, Plain::Joined(id, with), what)
}

/// All fields.
pub static FIELDS: &[Field] = &[
    text(
        "http.request.method",
        Plain::Method,
        "the method, in the client's case: `GET`",
    ),
    text(
        "http.request.version",
        Plain::Version,
        "`HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`",
    ),
    text(
        "http.host",
        Plain::Host,
        "the host that the request names, in lower case, without a port",
    ),
    text(
        "http.request.uri",
        Plain::Uri,
        "the normalised path, and `?` and the query where there is one",
    ),
    text(
        "http.request.uri.path",
        Plain::Path,
        "the path, normalised: unreserved characters decoded, dot segments resolved, `\\` as `/`, no empty segments",
    ),
    text(
        "http.request.uri.path.extension",
        Plain::Extension,
        "what follows the last `.` of the path's last segment, in lower case",
    ),
    text(
        "http.request.uri.query",
        Plain::Query,
        "what follows the first `?`, as the client sent it",
    ),
    text(
        "raw.http.request.uri",
        Plain::RawUri,
        "path and query as the client sent them",
    ),
    text(
        "raw.http.request.uri.path",
        Plain::RawPath,
        "the path as the client sent it",
    ),
    text(
        "raw.http.request.uri.query",
        Plain::Query,
        "what follows the first `?`, as the client sent it",
    ),
    text(
        "http.request.full_uri",
        Plain::FullUri,
        "`https://host/path?query`: host in lower case without a port, path normalised",
    ),
    joined(
        "http.user_agent",
        FieldId::UserAgent,
        b", ",
        "`User-Agent`; empty without one",
    ),
    joined(
        "http.referer",
        FieldId::Referer,
        b", ",
        "`Referer`; empty without one",
    ),
    joined(
        "http.cookie",
        FieldId::Cookie,
        b"; ",
        "`Cookie`, all lines joined by `; `; empty without one",
    ),
    joined(
        "http.x_forwarded_for",
        FieldId::XForwardedFor,
        b", ",
        "`X-Forwarded-For`, all lines joined by `, `; empty without one",
    ),
    Field {
        name: "http.request.headers",
        kind: Kind::Headers,
        what: "header lines: `[\"name\"][0]` is the first one of that name (in any case), `[\"name\"][*]` all of them, for `any` and `all`",
        value: Value::Headers,
    },
    Field {
        name: "ip.src",
        kind: Kind::Ip,
        what: "the client's address by the trust rules",
        value: Value::Address(Address::Client),
    },
    Field {
        name: "ssl",
        kind: Kind::Bool,
        what: "the client speaks HTTPS",
        value: Value::Truth(Truth::Https),
    },
];

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

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it gives.
    pub gives: Kind,
    /// What it does, for the reference.
    pub what: &'static str,
    pub(crate) call: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    StartsWith,
    EndsWith,
    Lower,
    Upper,
    Length,
    Any,
    All,
}

const fn function(
    name: &'static str,
    form: &'static str,
    gives: Kind,
    call: Call,
    what: &'static str,
) -> Function {
    Function {
        name,
        form,
        gives,
        what,
        call,
    }
}

/// All functions.
pub static FUNCTIONS: &[Function] = &[
    function(
        "starts_with",
        "starts_with(text, \"…\")",
        Kind::Bool,
        Call::StartsWith,
        "whether the text begins so",
    ),
    function(
        "ends_with",
        "ends_with(text, \"…\")",
        Kind::Bool,
        Call::EndsWith,
        "whether the text ends so",
    ),
    function(
        "lower",
        "lower(text)",
        Kind::Bytes,
        Call::Lower,
        "the text with ASCII letters in lower case",
    ),
    function(
        "upper",
        "upper(text)",
        Kind::Bytes,
        Call::Upper,
        "the text with ASCII letters in upper case",
    ),
    function(
        "len",
        "len(text)",
        Kind::Int,
        Call::Length,
        "the length of the text in bytes; of `http.request.headers[\"name\"]` the number of lines",
    ),
    function(
        "any",
        "any(http.request.headers[\"name\"][*] …)",
        Kind::Bool,
        Call::Any,
        "whether the comparison holds for at least one line",
    ),
    function(
        "all",
        "all(http.request.headers[\"name\"][*] …)",
        Kind::Bool,
        Call::All,
        "whether the comparison holds for every line, and there is one",
    ),
];

pub(crate) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

pub(crate) fn call(name: &str) -> Option<Call> {
    let function = FUNCTIONS.iter().find(|function| function.name == name);
    function.map(|function| function.call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        names.extend(FUNCTIONS.iter().map(|function| function.name));
        names.extend(OPERATORS.iter().map(|operator| operator.name));
        names.extend(OPERATORS.iter().filter_map(|operator| operator.symbol));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_symbol_that_begins_another_comes_behind_it() {
        let symbols: Vec<&str> = OPERATORS
            .iter()
            .filter_map(|operator| operator.symbol)
            .collect();
        for (nth, symbol) in symbols.iter().enumerate() {
            let before = &symbols[..nth];
            assert!(
                !before.iter().any(|other| symbol.starts_with(other)),
                "{symbol}"
            );
        }
    }
}

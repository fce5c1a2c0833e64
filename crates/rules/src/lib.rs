//! The language of rules, and sets of networks.
//!
//! A rule's condition is text that a person wrote; [`Expression::parse`] types and compiles it once, [`Expression::matches`]
//! asks it of a request. Fields and operators have Cloudflare's names:
//!
//! ```text
//! http.host eq "shop.test" and starts_with(http.request.uri.path, "/admin") and not ip.src in $office
//! ```
//!
//! **Fields** are text, numbers, addresses, yes or no, several texts, or texts by name ([`FIELDS`]). `http.request.uri…` is normalised,
//! because an origin may normalise too and a rule must not be gone round by a spelling; `raw.http…` is what the client sent. `http.host`,
//! `http.request.uri.path.extension` and the names of headers are in lower case; texts compared with them may be in any. A named field
//! such as `http.cookie` is all of its lines as one text, joined as RFC 9110 §5.3 joins them (cookies with `; `), and empty without a
//! line, so that a second line hides nothing. Header names are looked up in any case, names of arguments and cookies are decoded first:
//!
//! - `http.request.headers["name"][0]` is the first line only. Without that line every comparison is false but `ne`, which is
//!   always the contrary of `eq`; and so it is with whatever functions make of it.
//! - `any(http.request.headers["name"][*] contains "x")`, `all(…)`: of all lines, which is what a rule that protects wants. Both are
//!   false without a line. `any(lower(…[*])[*] eq "x")`, as Cloudflare writes it, is the same as without the second `[*]`.
//! - `len(http.request.headers["name"])`: how many lines there are.
//!
//! **Operators** ([`OPERATORS`]): `eq ne` (`== !=`) for text, numbers, addresses; `lt le gt ge` (`< <= > >=`) for numbers; `contains`,
//! `matches` (`~`), `wildcard`, `strict wildcard` for text; `in` for all of them: `{"a" "b"}`, `{1 5..9}`,
//! `{10.0.0.0/8 192.0.2.1 10.0.0.1..10.0.0.9}`, `$list` ([`List`]). A yes-or-no field stands alone. They are joined by `not`, `and`,
//! `xor`, `or` (`! && ^^ ||`), which bind in this order, and by parentheses. **Functions**: [`FUNCTIONS`]. What Cloudflare has and we have
//! not is refused by name, with what to write instead ([`REFUSED_FIELDS`], [`REFUSED_FUNCTIONS`]).
//!
//! **Texts** stand in double quotes with `\"`, `\\` and `\xHH`, or raw as `r"…"` and `r#"…"#`, which suits patterns.
//!
//! **Patterns** (`matches`) look anywhere in the text unless they begin with `^` or end with `$`. They are of bytes: `(?i)`, `\w`, `\b` mean
//! ASCII, and `\p{…}` is refused. Matching takes time linear in the text: a pattern becomes a table of states where that fits the
//! budget ([`Bounds::pattern_bytes`]), else its states are followed side by side; never is anything tried twice. **Wildcards** describe the
//! whole text; `*` stands for anything, `\*` for itself.
//!
//! **Many expressions** are asked together by a [`Set`]. A [`Value`] is what requests are told apart by, for limits.
//!
//! Compiling takes time linear in the source and bounded by [`Bounds`], and for a whole document by [`Patterns`]; an [`Error`] points at the character. Matching is paid
//! for in [`Fuel`](seawall_model::Fuel) before each look at bytes that came from outside, and allocates nothing once a thread is warm.
//!
//! Not here: what a rule does, IO, clocks. A further field goes into the table of `language/fields`; a further function into that of
//! `language/functions`, its arguments into `parse/functions`, what it makes into `value/made`; a further comparison into `check`.

mod bounds;
mod check;
mod decode;
mod error;
mod expression;
mod hosts;
mod json;
mod key;
mod language;
mod lists;
mod literal;
mod networks;
mod parse;
mod pattern;
mod patterns;
mod reference;
mod replace;
mod scan;
mod scratch;
mod search;
mod set;
mod sets;
mod side_by_side;
mod value;
mod wildcard;

pub use bounds::Bounds;
pub use error::Error;
pub use expression::Expression;
pub use hosts::HostSet;
pub use key::Value;
pub use language::{
    FIELDS, FUNCTIONS, Field, Function, Kind, OPERATORS, Operator, REFUSED_FIELDS,
    REFUSED_FUNCTIONS, Refusal,
};
pub use lists::{List, Lists};
pub use networks::NetworkSet;
pub use patterns::{Patterns, ZonePatterns};
pub use reference::reference_markdown;
pub use set::Set;
pub use sets::{NumberSet, TextSet};

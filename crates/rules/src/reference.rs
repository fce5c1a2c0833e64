//! The reference of the language, rendered from its tables.

use std::fmt::Write;

use crate::language::{FIELDS, FUNCTIONS, OPERATORS};

/// Fields, operators and functions, as Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# The language of rules\n\nWhat stands in `when`, with Cloudflare's names.\n\n## Fields\n\n| Field | Is | What it says |\n|---|---|---|\n",
    );
    for field in FIELDS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} |",
            field.name,
            field.kind.name(),
            field.what
        );
    }
    out.push_str("\n## Operators\n\n| Operator | Also | Of | What it asks |\n|---|---|---|---|\n");
    for operator in OPERATORS {
        let kinds: Vec<&str> = operator.kinds.iter().map(|kind| kind.name()).collect();
        let symbol = operator
            .symbol
            .map(|symbol| format!("`{}`", symbol.replace('|', "\\|")))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "| `{}` | {symbol} | {} | {} |",
            operator.name,
            kinds.join(", "),
            operator.what
        );
    }
    out.push_str("\n## Functions\n\n| Function | Gives | What it does |\n|---|---|---|\n");
    for function in FUNCTIONS {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} |",
            function.form,
            function.gives.name(),
            function.what
        );
    }
    out
}

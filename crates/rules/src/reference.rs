//! The reference of the language, rendered from its tables.

use std::fmt::Write;

use crate::language::{FIELDS, FUNCTIONS, OPERATORS, REFUSED_FIELDS, REFUSED_FUNCTIONS, Refusal};

/// Fields, operators and functions, as Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# The language of rules\n\nWhat stands in `when` and `by`, with Cloudflare's names. [How it is written](../rules.md), with examples.\n\n## Fields\n\n| Field | Is | What it says |\n|---|---|---|\n",
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
    out.push_str("\n## Refused\n\nOf Cloudflare's language, what is not had here. Who writes it is told what to write instead. A name that ends in `.` or `_` stands for all that begin so.\n\n| Name | Instead |\n|---|---|\n");
    for Refusal { name, instead } in REFUSED_FUNCTIONS {
        let _ = writeln!(out, "| `{name}(…)` | {instead} |");
    }
    for Refusal { name, instead } in REFUSED_FIELDS {
        let _ = writeln!(out, "| `{name}` | {instead} |");
    }
    out
}

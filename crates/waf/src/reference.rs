//! The reference of SecLang, rendered from the tables of its words.

use std::fmt::Write;

use crate::vocabulary::{
    ACTIONS, CONTROLS, DIRECTIVES, Entry, OPERATORS, TRANSFORMATIONS, VARIABLES,
};

/// Every directive, variable, operator, transformation and action of ModSecurity's reference, as Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# SecLang\n\nThe language of ModSecurity's rules, word by word: what this engine has, and what it refuses. A rule set that uses a \
         refused word is a problem with its file and line; nothing is passed over. Names may be written in any case.\n\nWhere responses are \
         looked at (`responses = true`), a request's body is not kept for phases 3 to 5: what comes of it (`ARGS_POST` and what `ARGS` \
         has of it, `REQUEST_BODY`, `FILES`, `XML`, `MULTIPART_*`, the body in `FULL_REQUEST`) is as it is without one. What rules of \
         phase 2 write into TX is kept.\n",
    );
    for (title, table) in [
        ("Directives", DIRECTIVES),
        ("Variables", VARIABLES),
        ("Operators", OPERATORS),
        ("Transformations", TRANSFORMATIONS),
        ("Actions", ACTIONS),
        ("What `ctl` controls", CONTROLS),
    ] {
        section(&mut out, title, table);
    }
    out
}

fn section(out: &mut String, title: &str, table: &[Entry]) {
    let mut entries: Vec<&Entry> = table.iter().collect();
    entries.sort_by_key(|entry| entry.name.to_ascii_lowercase());
    let has: Vec<String> = entries
        .iter()
        .filter(|entry| entry.refused.is_empty())
        .map(|entry| format!("`{}`", entry.name))
        .collect();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "\n## {title}\n\n{} are there: {}.\n",
        has.len(),
        has.join(", ")
    );
    let refused: Vec<&&Entry> = entries
        .iter()
        .filter(|entry| !entry.refused.is_empty())
        .collect();
    if refused.is_empty() {
        return;
    }
    out.push_str("\n| Refused | Why |\n|---|---|\n");
    for entry in refused {
        let _ = writeln!(out, "| `{}` | {} |", entry.name, entry.refused);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_word_stands_in_the_reference() {
        let text = super::reference_markdown();
        for word in [
            "`SecRule`",
            "| `ENV` |",
            "`rx`",
            "`urlDecodeUni`",
            "| `exec` |",
            "`ruleEngine`",
        ] {
            assert!(text.contains(word), "{word}");
        }
    }
}

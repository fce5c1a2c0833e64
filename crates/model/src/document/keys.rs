//! Every key of a document in one table: its path, what it takes, its default, what it does.
//!
//! The reader knows a key, its bounds and whether it must be there from this table alone, and the reference is
//! rendered from it. A test holds that each default written here is the one that the code has, and that each key is
//! both read and written.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use crate::suggest;
use crate::units;

pub use table::KEYS;
pub(super) use table::{OUTWARD, UNREADY};

/// One key of a document.
#[derive(Debug)]
pub struct Key {
    /// Where it stands: `zone[].health.every`. `[]` follows a list of tables, `<name>` is a name of the owner's choice.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not written.
    pub default: Absent,
    /// What it does, for the reference.
    pub what: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table with the keys below it.
    Table,
    /// A list of tables, each with the keys below it.
    Tables,
    /// Text.
    Text,
    /// A path in the file system.
    File,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of some words.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Number(u64, u64),
    /// A duration within bounds.
    Time(Duration, Duration),
    /// A size in bytes within bounds.
    Size(u64, u64),
    /// A list of something that the text names.
    List(&'static str),
    /// A table of names and values that the text names.
    Pairs(&'static str),
    /// More than one of the above, as the text says.
    Mixed(&'static str),
}

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must be there wherever its table is.
    Required,
    /// As the words say.
    Means(&'static str),
    /// This TOML value.
    Is(&'static str),
}

use Absent::{Is, Means, Required};
use Kind::{
    Choice, File, Flag, List, Mixed, Number, Pairs, Size, Table, Tables, Text, Time, Words,
};

/// Names that documents of later builds have, by the table in which they stand.
const LATER: &[(&str, &[&str])] = &[
    ("", &["control", "statuspage"]),
    ("zone[]", &["access", "bots", "cache", "managed_by", "waf"]),
];

/// The keys by the table in which they stand, each with its last name: every table of a document is looked up here.
static BY_TABLE: LazyLock<BTreeMap<&str, Vec<(&str, &Key)>>> = LazyLock::new(|| {
    let mut tables: BTreeMap<&str, Vec<(&str, &Key)>> = BTreeMap::new();
    for key in KEYS {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        tables.entry(table).or_default().push((name, key));
    }
    tables
});

/// The keys that stand directly in the table `table`, each with its last name.
pub(super) fn children(table: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    BY_TABLE.get(table).into_iter().flatten().copied()
}

/// The key `name` of the table `table`; a table of named things has one for every name.
pub(super) fn child(table: &str, name: &str) -> Option<&'static Key> {
    children(table)
        .find(|(known, _)| *known == name || *known == "<name>")
        .map(|(_, key)| key)
}

/// What to tell who wrote an unknown `name` in the table `table`.
pub(super) fn unknown_help(table: &str, name: &str) -> String {
    if LATER
        .iter()
        .any(|(at, names)| *at == table && names.contains(&name))
    {
        return format!("this build has no `{name}` yet");
    }
    if let Some(near) = suggest::nearest(name, children(table).map(|(known, _)| known)) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere = KEYS.iter().find_map(|key| match key.path.rsplit_once('.') {
        Some((parent, last)) if last == name => Some(parent),
        None if key.path == name => Some("the top of the file"),
        _ => None,
    });
    match elsewhere {
        Some("the top of the file") => format!("`{name}` stands at the top of the file"),
        Some(parent) => format!("`{name}` is a key of `{parent}`"),
        None => {
            let known: Vec<&str> = children(table).map(|(known, _)| known).collect();
            format!("known here: {}", known.join(", "))
        }
    }
}

impl Kind {
    /// What a key of this kind takes, in words.
    pub fn describe(self) -> String {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| format!("`\"{word}\"`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Table => "table".into(),
            Tables => "list of tables".into(),
            Text => "text".into(),
            File => "path".into(),
            Choice(choices) => words(choices),
            Words(known) => format!("list of {}", words(known)),
            Flag => "`true` or `false`".into(),
            Number(least, most) if least == most => format!("{least}"),
            Number(least, most) => format!("{least} to {most}"),
            Time(least, most) => {
                format!(
                    "duration, {} to {}",
                    units::duration_text(least),
                    units::duration_text(most)
                )
            }
            Size(least, most) => format!(
                "size, {} to {}",
                units::size_text(least),
                units::size_text(most)
            ),
            List(of) => format!("list of {of}"),
            Pairs(of) => format!("table of {of}"),
            Mixed(text) => text.into(),
        }
    }
}

/// The reference of `seawall.toml` as Markdown, one section for each table.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# The configuration: `seawall.toml`\n\n\
         Durations are written `\"30s\"` (ms, s, m, h, d), sizes `\"10MiB\"` (B, KiB, MiB, GiB, TiB). Unknown keys are\n\
         refused. Secrets stand only as `\"secret://name\"`.\n",
    );
    section(&mut out, "", "The top of the file");
    for key in KEYS {
        let (table, title) = match key.kind {
            Table | Mixed(_) => (key.path.to_owned(), format!("`[{}]`", key.path)),
            Tables => (format!("{}[]", key.path), format!("`[[{}]]`", key.path)),
            _ => continue,
        };
        section(&mut out, &table, &title.replace("[].", "."));
    }
    out
}

fn section(out: &mut String, table: &str, title: &str) {
    let mut keys = children(table).peekable();
    if keys.peek().is_none() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n## {title}\n\n| Key | Takes | Default | |\n|---|---|---|---|\n"
    );
    for (name, key) in keys {
        let default = match key.default {
            Required => "**must be there**".to_owned(),
            Means(words) => words.to_owned(),
            Is(value) => format!("`{value}`"),
        };
        let _ = writeln!(
            out,
            "| `{name}` | {} | {default} | {} |",
            key.kind.describe(),
            key.what
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_are_unique_and_each_has_its_table() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.path), "{} twice", key.path);
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                assert!(
                    seen.contains(parent.trim_end_matches("[]")),
                    "{} before its table",
                    key.path
                );
            }
        }
    }

    #[test]
    fn unknown_names_get_the_best_help_there_is() {
        assert_eq!(unknown_help("zone[]", "hots"), "did you mean `hosts`?");
        assert_eq!(
            unknown_help("zone[]", "cache"),
            "this build has no `cache` yet"
        );
        assert_eq!(
            unknown_help("zone[]", "weight"),
            "`weight` is a key of `zone[].origin[]`"
        );
        assert_eq!(
            unknown_help("zone[]", "schema"),
            "`schema` stands at the top of the file"
        );
        assert_eq!(
            unknown_help("zone[].retry", "frequency"),
            "known here: attempts, budget_percent"
        );
    }

    #[test]
    fn the_reference_has_every_key() {
        let text = reference_markdown();
        for key in KEYS {
            let name = key.path.rsplit('.').next().unwrap();
            assert!(
                text.contains(&format!("| `{name}` | {} |", key.kind.describe())),
                "{}",
                key.path
            );
        }
        assert!(text.contains("\n## `[[zone.origin]]`\n"));
        assert!(
            text.contains("| `every` | duration, 100ms to 1d | `\"5s\"` |"),
            "{text}"
        );
    }
}

//! A document back to TOML for people: the order of the reference, only what differs from the defaults, short tables
//! in one line.

use std::time::Duration;

use crate::units;

/// A line that is longer is broken, or its table becomes a section.
const WIDTH: usize = 100;

/// The keys of one table, in the order in which they will stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries(Vec<(String, Node)>);

#[derive(Debug, PartialEq, Eq)]
enum Node {
    Value(String),
    List(Vec<String>),
    Table(Entries),
    Sections(Vec<Entries>),
}

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, name: &str, node: Node) {
        self.0.push((name.to_owned(), node));
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.push(name, Node::Value(text(value)));
    }

    pub(super) fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn flag(&mut self, name: &str, value: bool, default: bool) {
        if value != default {
            self.push(name, Node::Value(value.to_string()));
        }
    }

    pub(super) fn number<T: Into<u64> + PartialEq + Copy>(
        &mut self,
        name: &str,
        value: T,
        default: T,
    ) {
        if value != default {
            self.number_if(name, Some(value.into()));
        }
    }

    pub(super) fn number_if(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.push(name, Node::Value(value.to_string()));
        }
    }

    pub(super) fn duration(&mut self, name: &str, value: Duration, default: Duration) {
        if value != default {
            self.text(name, &units::duration_text(value));
        }
    }

    pub(super) fn duration_if(&mut self, name: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.text(name, &units::duration_text(value));
        }
    }

    pub(super) fn flag_if(&mut self, name: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.push(name, Node::Value(value.to_string()));
        }
    }

    pub(super) fn size(&mut self, name: &str, value: u64, default: u64) {
        if value != default {
            self.text(name, &units::size_text(value));
        }
    }

    /// A list of texts, also when it is empty.
    pub(super) fn list<T: ToString>(&mut self, name: &str, values: &[T]) {
        self.push(
            name,
            Node::List(
                values
                    .iter()
                    .map(|value| text(&value.to_string()))
                    .collect(),
            ),
        );
    }

    /// A list of texts, unless it is empty.
    pub(super) fn list_if<T: ToString>(&mut self, name: &str, values: &[T]) {
        if !values.is_empty() {
            self.list(name, values);
        }
    }

    /// A list of tables, each of which is a section; none if there are none.
    pub(super) fn sections(&mut self, name: &str, tables: Vec<Entries>) {
        if !tables.is_empty() {
            self.push(name, Node::Sections(tables));
        }
    }

    /// A list of tables.
    pub(super) fn tables(&mut self, name: &str, tables: &[Entries]) {
        self.push(
            name,
            Node::List(tables.iter().map(Entries::inline).collect()),
        );
    }

    /// A table, also when it is empty.
    pub(super) fn table(&mut self, name: &str, entries: Entries) {
        self.push(name, Node::Table(entries));
    }

    /// A table, unless it is empty.
    pub(super) fn table_if(&mut self, name: &str, entries: Entries) {
        if !entries.is_empty() {
            self.table(name, entries);
        }
    }

    /// How many there are, in whatever lines they stand: of a list each element, of a list of tables each table and what its own
    /// lists hold, of a table its entries, and each other key.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, node)| node.count()).sum()
    }

    /// As [`count`](Self::count), of lists alone.
    fn listed(&self) -> u64 {
        let nodes = self.0.iter().map(|(_, node)| node);
        nodes
            .map(|node| match node {
                Node::Value(_) => 0,
                Node::Table(entries) => entries.listed(),
                Node::List(_) | Node::Sections(_) => node.count(),
            })
            .sum()
    }

    fn inline(&self) -> String {
        if self.is_empty() {
            return "{}".into();
        }
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, node)| format!("{} = {}", key(name), node.inline()))
            .collect();
        format!("{{ {} }}", pairs.join(", "))
    }

    /// Writes the lines of the table whose header is `path`, then its sections.
    pub(super) fn lines(&self, path: &str, out: &mut String) {
        let mut sections = Vec::new();
        for (name, node) in &self.0 {
            if let Node::Sections(tables) = node {
                let header = format!("[[{path}.{}]]", key(name));
                sections.extend(tables.iter().map(|entries| (header.clone(), entries)));
                continue;
            }
            let line = format!("{} = {}", key(name), node.inline());
            match node {
                Node::Table(entries) if line.chars().count() > WIDTH => {
                    sections.push((format!("[{path}.{}]", key(name)), entries))
                }
                Node::List(items) if line.chars().count() > WIDTH => {
                    out.push_str(&format!("{} = [\n", key(name)));
                    for item in items {
                        out.push_str(&format!("    {item},\n"));
                    }
                    out.push_str("]\n");
                }
                _ => {
                    out.push_str(&line);
                    out.push('\n');
                }
            }
        }
        for (header, entries) in sections {
            out.push_str(&format!("\n{header}\n"));
            entries.lines(header.trim_matches(['[', ']']), out);
        }
    }
}

impl Node {
    fn count(&self) -> u64 {
        match self {
            Self::Value(_) => 1,
            Self::List(items) => items.len() as u64,
            Self::Table(entries) => entries.count(),
            Self::Sections(tables) => tables.iter().map(|entries| 1 + entries.listed()).sum(),
        }
    }

    fn inline(&self) -> String {
        match self {
            Self::Value(value) => value.clone(),
            Self::List(items) => format!("[{}]", items.join(", ")),
            Self::Table(entries) => entries.inline(),
            Self::Sections(tables) => {
                let tables: Vec<String> = tables.iter().map(Entries::inline).collect();
                format!("[{}]", tables.join(", "))
            }
        }
    }
}

/// A TOML string: a literal one where a basic one would need `\`. Whatever a caller put in is escaped.
/// A text as it stands in a document that the program has written, in its quotes.
pub fn quoted(value: &str) -> String {
    text(value)
}

fn text(value: &str) -> String {
    let is_literal = |c: char| c != '\'' && !c.is_control();
    if value.contains(['"', '\\']) && value.chars().all(is_literal) {
        return format!("'{value}'");
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key, in quotes only where it needs them.
pub(super) fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        text(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tables_stand_in_a_line_and_long_ones_in_a_section() {
        let mut short = Entries::default();
        short.duration("every", Duration::from_secs(1), Duration::from_secs(5));
        let mut long = Entries::default();
        long.text("path", &"x".repeat(90));
        long.text("a.b", "q\"\\\u{1}");
        let mut entries = Entries::default();
        entries.table("long", long);
        entries.table("short", short);
        entries.list("hosts", &["a", "b"]);
        let mut out = String::new();
        entries.lines("zone", &mut out);
        let expected = format!(
            "short = {{ every = \"1s\" }}\nhosts = [\"a\", \"b\"]\n\n[zone.long]\npath = \"{}\"\n\"a.b\" = \"q\\\"\\\\\\u0001\"\n",
            "x".repeat(90)
        );
        assert_eq!(out, expected);
        assert!(toml::from_str::<toml::Table>(&out.replace("zone.", "")).is_ok());
    }

    #[test]
    fn entries_are_counted_and_not_lines() {
        let rule = |methods: &[&str]| {
            let mut rule = Entries::default();
            rule.text("when", "true");
            rule.text("action", "block");
            rule.list_if("methods", methods);
            rule
        };
        let counted = |hosts: usize, rules: Vec<Entries>| {
            let mut health = Entries::default();
            health.text("path", "/");
            health.text("host", "a.test");
            let mut entries = Entries::default();
            entries.text("name", "a");
            entries.list("hosts", &vec!["a.test"; hosts]);
            entries.table("health", health);
            entries.sections("rule", rules);
            entries.count()
        };
        assert_eq!(counted(1, Vec::new()), 4);
        assert_eq!(counted(20, Vec::new()), 23, "in lines of their own");
        assert_eq!(counted(1, vec![rule(&[]), rule(&[])]), 6);
        assert_eq!(counted(1, vec![rule(&["GET", "PUT"])]), 7);
    }

    #[test]
    fn long_lists_stand_in_lines() {
        let mut entries = Entries::default();
        entries.list("hosts", &["a".repeat(60), "b".repeat(60)]);
        let mut out = String::new();
        entries.lines("zone", &mut out);
        assert_eq!(out.lines().count(), 4);
        assert!(toml::from_str::<toml::Table>(&out).is_ok());
    }
}

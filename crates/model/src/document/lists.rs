//! Named lists of addresses, texts, numbers and hosts, and how zones refer to them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use super::write::Entries;
use crate::host::HostPattern;
use crate::network::Network;
use crate::problem::{Wrong, quote};
use crate::suggest;

/// One of `[lists]`: what stands in the document, and what stands in the file. It is of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpList {
    /// Its networks. Default: none.
    pub ips: Vec<Network>,
    /// Its texts, for rules alone. Default: it is of another kind.
    pub texts: Option<Vec<String>>,
    /// Its numbers, such as those of autonomous systems, for rules alone. Default: it is of another kind.
    pub numbers: Option<Vec<u64>>,
    /// Its hosts, for rules alone. Default: it is of another kind.
    pub hosts: Option<Vec<HostPattern>>,
    /// A file with one address or network in each line, whose networks are added. A line may be empty, and `#` begins
    /// a comment. Default: none.
    pub file: Option<PathBuf>,
}

impl IpList {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let most = reader.limits.networks_per_list;
        let others: Vec<&str> = OTHER_KINDS
            .iter()
            .copied()
            .filter(|key| reader.peek(key).is_some())
            .collect();
        let has_ips = reader.peek("ips").is_some() || reader.peek("file").is_some();
        if !has_ips && others.is_empty() {
            let help = "write ips = [\"203.0.113.0/24\"], or file = \"….txt\"";
            reader.refuse_table(Wrong::new("has neither `ips` nor `file`", help));
        }
        if others.len() + usize::from(has_ips) > 1 {
            let help =
                "make two lists of it: one of `ips` and `file`, `texts`, `numbers` or `hosts`";
            reader.refuse_table(Wrong::new("is of more than one kind", help));
        }
        let ips = reader.list("ips", most, Network::parse).unwrap_or_default();
        let file = reader.file("file");
        let texts = reader.list("texts", most, |text| Ok(text.to_owned()));
        let numbers = reader.list("numbers", most, number);
        let hosts = reader.list("hosts", most, |text| match HostPattern::parse(text)? {
            HostPattern::Any => Err(Wrong::new(
                "\"*\" is every host",
                "write hosts such as \"example.com\" or \"*.example.com\"",
            )),
            host => Ok(host),
        });
        reader.close();
        Self {
            ips,
            texts,
            numbers,
            hosts,
            file,
        }
    }

    /// Whether it is of addresses.
    pub const fn is_of_addresses(&self) -> bool {
        self.texts.is_none() && self.numbers.is_none() && self.hosts.is_none()
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        if !self.ips.is_empty() || (self.file.is_none() && self.is_of_addresses()) {
            entries.list("ips", &self.ips);
        }
        if let Some(texts) = &self.texts {
            entries.list("texts", texts);
        }
        if let Some(numbers) = &self.numbers {
            entries.list("numbers", numbers);
        }
        if let Some(hosts) = &self.hosts {
            entries.list("hosts", hosts);
        }
        let file = self.file.as_deref().map(|path| path.to_string_lossy());
        entries.text_if("file", file.as_deref());
        entries
    }
}

/// The kinds of lists beside addresses, by their keys.
const OTHER_KINDS: [&str; 3] = ["texts", "numbers", "hosts"];

/// A whole number, as text: TOML lists of this document are of texts.
fn number(text: &str) -> Result<u64, Wrong> {
    let number = text.strip_prefix("AS").unwrap_or(text).parse();
    number.map_err(|_| {
        let what = format!("{} is no whole number", quote(text));
        Wrong::new(what, "write \"64512\", or \"AS64512\"")
    })
}

/// The section `[lists]`.
pub(super) fn read(mut reader: Reader<'_, '_>) -> BTreeMap<String, IpList> {
    let mut lists = BTreeMap::new();
    let all = reader.take_all();
    if all.len() > reader.limits.lists {
        let what = format!("has {} entries", all.len());
        reader.refuse_table(Wrong::new(what, format!("at most {}", reader.limits.lists)));
    }
    for found in all.into_iter().take(reader.limits.lists) {
        if !is_name(found.name) {
            let wrong = Wrong::new("is no name of a list", "1 to 64 of a-z, 0-9 and _");
            reader.refuse(found.name, Some(found.offset), wrong);
        }
        if let Some(list) = reader.table_of(found) {
            lists.insert(found.name.to_owned(), IpList::read(list));
        }
    }
    lists
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(known)
}

/// Some clients: those of a list, or of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListRef {
    /// The list of this name, which [`Document::lists`](super::Document::lists) has.
    Named(String),
    /// This network.
    Network(Network),
}

impl fmt::Display for ListRef {
    /// As a document has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// For so many unknown names of a document the nearest known one is looked for, among so many: each comparison costs.
const GUESSES: u32 = 20;
const LOOKED_AT: usize = 1_000;

/// The names of all lists of a document, for the zones that refer to them.
pub(super) struct ListNames<'t> {
    lists: Lists<'t>,
    guesses: Cell<u32>,
}

enum Lists<'t> {
    None,
    Known(&'t DeTable<'t>),
    /// Nothing can be said of those who refer to them: `lists` is no table, which is told, or they stand elsewhere.
    Unreadable,
}

impl<'t> ListNames<'t> {
    /// Those of the document whose top is `root`; also of lists that have problems of their own.
    pub(super) fn of(root: &'t DeTable<'t>) -> Self {
        let lists = match root.get("lists").map(|value| value.get_ref()) {
            None => Lists::None,
            Some(DeValue::Table(lists)) => Lists::Known(lists),
            Some(_) => Lists::Unreadable,
        };
        Self {
            lists,
            guesses: Cell::new(GUESSES),
        }
    }

    /// They stand in another part of the document.
    pub(super) fn elsewhere() -> Self {
        Self {
            lists: Lists::Unreadable,
            guesses: Cell::new(GUESSES),
        }
    }

    /// The name of a list, or a network. No name looks like a network: it has neither `.` nor `:`.
    pub(super) fn parse(&self, text: &str) -> Result<ListRef, Wrong> {
        if text.contains(['.', ':', '/']) {
            return Network::parse(text).map(ListRef::Network);
        }
        let is_known = match self.lists {
            Lists::None => false,
            Lists::Known(lists) => lists.contains_key(text),
            Lists::Unreadable => true,
        };
        if is_known {
            return Ok(ListRef::Named(text.to_owned()));
        }
        let what = format!("{} is no list", quote(text));
        Err(Wrong::new(what, self.help(text)))
    }

    fn help(&self, text: &str) -> String {
        let Lists::Known(lists) = self.lists else {
            return format!("write the section {}, or a network", section(text));
        };
        let left = self.guesses.get();
        self.guesses.set(left.saturating_sub(1));
        let plain = text.trim_start_matches('$');
        let near = match left {
            0 => None,
            _ if lists.contains_key(plain) => Some(plain),
            _ => {
                let names = lists.keys().map(|name| name.get_ref().as_ref());
                let is_near = |name: &&str| name.len().abs_diff(text.len()) <= 2;
                suggest::nearest(text, names.filter(is_near).take(LOOKED_AT))
            }
        };
        match near {
            Some(near) => format!("did you mean {}?", quote(near)),
            None => format!("write the section {}, or a network", section(text)),
        }
    }
}

fn section(text: &str) -> String {
    if is_name(text) {
        format!("[lists.{text}]")
    } else {
        "[lists.<name>]".into()
    }
}

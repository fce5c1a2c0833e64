//! Lists: what stands in the document, and what stands in their files, as sets that rules and zones share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use seawall_model::document::{IpList, Zone};
use seawall_model::{Limits, Network, Problem, Wrong};
use seawall_rules::List;

use super::Sources;
use super::digest::{Bytes, Digest};
use super::found::Found;
use crate::snapshot::{List as Kept, Snapshot};

/// A line of a list is an address; what is far longer is another kind of file, and not shown in full.
const LONGEST_LINE: usize = 1_024;

/// All lists of a document.
pub(super) struct Lists {
    /// For those who look networks up.
    pub rules: seawall_rules::Lists,
    /// For the next compile.
    pub kept: Arc<[Kept]>,
    contents: BTreeMap<Box<str>, u64>,
}

impl Lists {
    /// Compiles all lists; one whose content did not change is that of `live`.
    pub fn new(
        sources: &Sources<'_>,
        limits: &Limits,
        live: Option<&Snapshot>,
        found: &mut Found,
    ) -> Self {
        let mut rules = seawall_rules::Lists::new();
        let mut kept = Vec::with_capacity(sources.document.lists.len());
        let mut contents = BTreeMap::new();
        for (name, list) in &sources.document.lists {
            let content = content(list, sources);
            let same = live
                .and_then(|live| live.list(name))
                .filter(|before| before.content == content);
            let compiled = match same {
                Some(before) => before.list.clone(),
                None => {
                    let path = format!("lists.{name}.file");
                    let mut all = Vec::new();
                    if let Some(file) = &list.file {
                        read(&path, file, sources, limits, &mut all, found);
                    }
                    all.extend_from_slice(&list.ips);
                    List::of(list, all)
                }
            };
            rules.insert(name.as_str(), compiled.clone());
            contents.insert(name.as_str().into(), content);
            kept.push(Kept {
                name: name.as_str().into(),
                content,
                list: compiled,
            });
        }
        Self {
            rules,
            kept: kept.into(),
            contents,
        }
    }

    /// Those that serve already.
    pub fn of(live: &Snapshot) -> Self {
        let mut rules = seawall_rules::Lists::new();
        let mut contents = BTreeMap::new();
        for list in &*live.lists {
            rules.insert(&*list.name, list.list.clone());
            contents.insert(list.name.clone(), list.content);
        }
        Self {
            rules,
            kept: live.lists.clone(),
            contents,
        }
    }

    /// Adds the contents of all lists that a zone names: by which of them it would become another one.
    pub fn add_those_of(&self, zone: &Zone, digest: &mut Digest) {
        let mut add = |name: &str| {
            // A name that is none is a problem, which nothing is shared with.
            digest.number(self.contents.get(name).copied().unwrap_or_default());
        };
        zone.list_names().for_each(&mut add);
        let rules = zone.rules.iter().map(|rule| rule.when.as_str());
        let cached = zone.cache.rules.iter().map(|rule| rule.when.as_str());
        let limits = zone.rate_limits.iter();
        let limits = limits.flat_map(|limit| limit.when.iter().chain(&limit.by));
        for source in rules.chain(cached).chain(limits.map(String::as_str)) {
            // Whatever looks like a name of a list, also where it stands in a text: then a change costs a compile too many.
            for behind in source.split('$').skip(1) {
                let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
                add(behind.split(ends).next().unwrap_or_default());
            }
        }
    }
}

/// A number for what a list holds.
fn content(list: &IpList, sources: &Sources<'_>) -> u64 {
    let mut digest = Digest::default();
    let IpList {
        ips,
        texts,
        numbers,
        hosts,
        file: _,
    } = list;
    digest.add(ips);
    digest.add(texts);
    digest.add(numbers);
    digest.add(hosts);
    if let Some(file) = &list.file {
        match sources.materials.file(file) {
            Ok(_) => digest.number(sources.materials.content(file)),
            // It was not compiled, so there is nothing to share.
            Err(why) => digest.add(&Bytes(why.as_bytes())),
        }
    }
    digest.finish()
}

/// Reads a list's file: in each line an address, a network or nothing, and `#` before a comment.
fn read(
    path: &str,
    file: &Path,
    sources: &Sources<'_>,
    limits: &Limits,
    networks: &mut Vec<Network>,
    found: &mut Found,
) {
    let mut tell = |what: String, help: &str| {
        found.add(|| Problem::new(path, Wrong::new(what, help)));
    };
    let bytes = match sources.materials.file(file) {
        Ok(bytes) => bytes,
        Err(why) => return tell(why, "name a text file that this user may read"),
    };
    for (nth, line) in (1u32..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if networks.len() >= limits.networks_per_list {
            let what = format!("{}: line {nth} is one network too many", file.display());
            let most = format!("at most {} in one file", limits.networks_per_list);
            return tell(what, &most);
        }
        let shown = String::from_utf8_lossy(text.get(..LONGEST_LINE).unwrap_or(text));
        match Network::parse(&shown) {
            Ok(network) => networks.push(network),
            Err(wrong) => {
                let what = format!("{}: line {nth}: {}", file.display(), wrong.what);
                tell(what, &wrong.help);
            }
        }
    }
}

//! The Document: what a person writes in `seawall.toml`, whole, never a diff.
//!
//! [`parse`] tells all problems at once, each with its path, its line and help. Unknown keys are refused with the
//! nearest known one; which keys exist stands in one table, [`KEYS`], from which the reference is rendered too.
//!
//! A document holds no secret, only `secret://name`. Not here: reading files (certificate paths stay paths), compiling
//! a document into what serves requests.

mod acme;
mod balance;
mod cache;
mod claims;
mod compress;
mod edge;
mod guard;
mod headers;
mod keys;
mod lists;
mod mode;
mod origin;
mod parents;
mod pieces;
mod rate;
mod reader;
mod rule;
mod settings;
mod skip;
mod target;
#[cfg(test)]
mod tests;
mod up;
mod value;
mod waf;
mod weight;
mod write;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use acme::{Acme, LETS_ENCRYPT, contact};
pub use balance::{Balance, By, Circuit, Outlier};
pub use cache::{CacheKey, CacheMode, CacheRule, EdgeTtlMode, Eligibility, KeyQuery, ZoneCache};
pub use compress::{Coding, Compress};
pub use edge::{AccessLog, AnnouncedListeners, Edge, EdgeLimits, LogFile, Outward, location};
pub use guard::{
    Maintenance, ZoneBody, ZoneDdos, ZoneHotlink, ZoneHygiene, ZoneLists, ZoneTransform,
};
pub use headers::HeaderEdits;
pub use keys::{Absent, KEYS, Key, Kind, reference_markdown};
pub use lists::{IpList, ListRef};
pub use mode::StageMode;
pub use origin::{
    CertificateFiles, HealthCheck, Origin, OriginUrl, Passive, Protocol, ProxyProtocol, Retry,
    Timeouts,
};
pub use parents::{Parent, asked_by};
pub use rate::{RateAction, RateLimit, ZoneRate};
pub use rule::{Rule, RuleAction, ZoneRules};
pub use settings::ZoneSettings;
pub use skip::SkipSet;
pub use target::{RuleTarget, redirect_rest};
pub use up::{Up, up_default};
pub use waf::{WafException, WafOpenApi, WafShadow, ZoneWaf};
pub use write::quoted;
pub use zone::{Certificate, ClientCertificates, Hsts, Tls, TlsVersion, Zone};

use crate::limits::Limits;
use crate::problem::{Problem, Problems, Report, Wrong, quote};
use claims::Claims;
use lists::ListNames;
use pieces::Pieces;
use reader::{Reader, put};
use write::Entries;

/// The version of the format that this build reads and writes.
pub const SCHEMA: u32 = 1;

/// Up to this size a text that is no TOML is read a second time, to tell all of its errors.
const RECOVERABLE_BYTES: usize = 256 << 10;

/// What a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// What holds for the edge as a whole.
    pub edge: Edge,
    /// Lists by name, which rules refer to as `$name` and zones as `"name"`.
    pub lists: BTreeMap<String, IpList>,
    /// The zones, in the order of the file.
    pub zones: Vec<Zone>,
}

impl Default for Document {
    /// No lists, no zones, the edge's defaults.
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            edge: Edge::default(),
            lists: BTreeMap::new(),
            zones: Vec::new(),
        }
    }
}

/// Reads a document. Pure and deterministic; time and memory are linear in `text`, whose size is checked first. Tables
/// and lists deeper than 80 are refused by the TOML parser.
///
/// # Errors
/// All that is wrong, in the order of the file. Text that is no TOML is told as such alone: what else might be wrong
/// would be guesses.
pub fn parse(text: &str, limits: &Limits) -> Result<Document, Problems> {
    match parse_partly(text, limits) {
        (document, None) => Ok(document),
        (_, Some(problems)) => Err(problems),
    }
}

/// As [`parse`], with what could be read even if something is wrong; defaults stand in for what could not. For those
/// who look for further problems: a document with problems must not be served as it is.
pub fn parse_partly(text: &str, limits: &Limits) -> (Document, Option<Problems>) {
    let parsed = parse_zones(text, limits);
    (parsed.document, parsed.problems)
}

/// A document as far as it could be read, and which parts of it are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What could be read; defaults stand in for what could not. A zone keeps its index whatever is wrong with it.
    pub document: Document,
    /// All that is wrong.
    pub problems: Option<Problems>,
    /// The indexes in [`Document::zones`] of the zones that have problems; of two that claim one name or host, both.
    /// Complete, also where [`Problems::more`] are not listed.
    pub bad_zones: BTreeSet<usize>,
    /// Whether nothing is wrong but in zones. Otherwise no zone of this document can be judged.
    pub platform_ok: bool,
    /// Whether `[edge]` or `[lists]` stand in it, with whatever in them.
    pub names_platform: bool,
}

impl Parsed {
    fn new(root: &DeTable<'_>, document: Document, report: Report, text: &str) -> Self {
        Self {
            names_platform: root.contains_key("edge") || root.contains_key("lists"),
            document,
            bad_zones: report.bad_zones().clone(),
            platform_ok: !report.is_platform_bad(),
            problems: report.finish(text),
        }
    }
}

/// As [`parse`], zone by zone: when [`Parsed::platform_ok`] holds, the zones that are not bad may be served.
pub fn parse_zones(text: &str, limits: &Limits) -> Parsed {
    parse_part(text, limits, false)
}

/// A part of a document that is put together with others: the lists that its zones name may be there
/// ([`Zone::list_names`]).
pub fn parse_alone(text: &str, limits: &Limits) -> Parsed {
    parse_part(text, limits, true)
}

/// What all zones share, for those who need no more: the zones of a long text are not read, where nothing but zones follows the
/// first of them. What is wrong is for who reads all of it.
pub fn parse_head(text: &str, limits: &Limits) -> Parsed {
    let is_long = text.len() >= pieces::LONG;
    let pieces = is_long.then(|| Pieces::of(text, usize::MAX)).flatten();
    let head = pieces.and_then(|pieces| pieces.head_alone(text));
    let mut parsed = parse_alone(head.unwrap_or(text), limits);
    parsed.document.zones.clear();
    parsed
}

fn parse_part(text: &str, limits: &Limits, alone: bool) -> Parsed {
    let nothing = |problems| Parsed {
        document: Document::default(),
        problems: Some(problems),
        bad_zones: BTreeSet::new(),
        platform_ok: false,
        names_platform: false,
    };
    if text.len() > limits.document_bytes {
        let wrong = Wrong::new(
            format!("is {} bytes long", text.len()),
            format!("at most {} bytes", limits.document_bytes),
        );
        return nothing(Problems::one(Problem::new("document", wrong)));
    }
    let pieces = (text.len() >= pieces::LONG && !alone).then(|| Pieces::of(text, pieces::PIECE));
    if let Some(pieces) = pieces.flatten()
        && pieces.weight <= limits.document_memory
        && let Some(parsed) = in_pieces(text, &pieces, limits)
    {
        return parsed;
    }
    if weight::of(text) > limits.document_memory {
        let wrong = Wrong::new(
            "has too many keys and values",
            format!(
                "reading it may take {} MiB of memory; put networks into files of lists, and all sections before the zones",
                limits.document_memory >> 20
            ),
        );
        return nothing(Problems::one(Problem::new("document", wrong)));
    }
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => return nothing(no_toml(text, error, limits)),
    };
    let mut report = Report::new(limits.problems);
    let root = root.get_ref();
    let names = if alone {
        ListNames::elsewhere()
    } else {
        ListNames::of(root)
    };
    let document = Document::read(root, &names, None, &mut report, limits);
    Parsed::new(root, document, report, text)
}

/// None when the text is to be read as a whole.
fn in_pieces(text: &str, pieces: &Pieces<'_>, limits: &Limits) -> Option<Parsed> {
    let root = DeTable::parse(pieces.head).ok()?;
    let root = root.get_ref();
    if root.contains_key("zone") {
        return None;
    }
    let zones = pieces.read(root, limits)?;
    let mut report = Report::new(limits.problems);
    let names = ListNames::of(root);
    let document = Document::read(root, &names, Some(zones), &mut report, limits);
    Some(Parsed::new(root, document, report, text))
}

fn no_toml(text: &str, first: toml::de::Error, limits: &Limits) -> Problems {
    let errors = if text.len() > RECOVERABLE_BYTES {
        vec![first]
    } else {
        DeTable::parse_recoverable(text).1
    };
    let mut report = Report::new(limits.problems);
    for error in &errors {
        let at = error.span().map(|span| span.start);
        report.add(at, || {
            let message: String = error
                .message()
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(200)
                .collect();
            let mut problem =
                Problem::new("document", Wrong::new(format!("is no TOML: {message}"), ""));
            problem.column = at.and_then(|at| column(text, at));
            problem
        });
    }
    report.finish(text).unwrap_or_default()
}

/// The column of a byte offset in characters, counted from 1.
fn column(text: &str, at: usize) -> Option<u32> {
    let (before, _) = text.split_at_checked(at.min(text.len()))?;
    let line = before.rsplit('\n').next().unwrap_or_default();
    u32::try_from(line.chars().count() + 1).ok()
}

impl Document {
    /// From the top of a text, and its zones where they were read before.
    fn read(
        root: &DeTable<'_>,
        names: &ListNames<'_>,
        zones: Option<pieces::Read<'_, '_>>,
        report: &mut Report,
        limits: &Limits,
    ) -> Self {
        let mut document = Self::default();
        // What another schema means is not known here: its keys are not judged.
        if let Some(other) = root.get("schema")
            && other.get_ref().as_integer().and_then(value::whole) != Some(u64::from(SCHEMA))
        {
            let shown = value::shown(other.get_ref());
            report.add(Some(other.span().start), || {
                let help = format!("write schema = {SCHEMA}");
                Problem::new(
                    "schema",
                    Wrong::new(format!("{shown} is no schema that this build reads"), help),
                )
            });
            return document;
        }
        let mut reader = Reader::open(report, limits, String::new(), "", root, None);
        let first = root.keys().min_by_key(|key| key.span().start);
        if let (Some(schema), Some(first)) = (reader.take("schema"), first)
            && first.get_ref() != "schema"
        {
            let what = format!("stands behind {}", quote(first.get_ref()));
            reader.refuse(
                "schema",
                Some(schema.offset),
                Wrong::new(what, "it is the first key of the file"),
            );
        }
        put(&mut document.edge, reader.table("edge").map(Edge::read));
        put(&mut document.lists, reader.table("lists").map(lists::read));
        let mut claims = Claims::default();
        let zones = match zones {
            Some(zones) => Some(zones.finish(limits, names, &mut claims, reader.report)),
            None => reader.tables("zone", limits.zones, |reader| {
                Zone::read(reader, &mut claims, names)
            }),
        };
        put(&mut document.zones, zones);
        claims.settle(&document.zones, reader.report);
        reader.close();
        document
    }

    /// Makes the paths of files that zones and lists name absolute: relative ones are meant from `base`.
    pub fn make_absolute(&mut self, base: &Path) {
        self.rename_files(|path| {
            if path.is_relative() {
                *path = base.join(&path);
            }
        });
    }

    /// Gives the files that zones and lists name other names.
    pub fn rename_files(&mut self, mut rename: impl FnMut(&mut PathBuf)) {
        let of_lists = self.lists.values_mut();
        let of_lists = of_lists.filter_map(|list| list.file.as_mut());
        let of_zones = self.zones.iter_mut().flat_map(Zone::files_mut);
        of_lists.chain(of_zones).for_each(&mut rename);
    }

    /// The document as TOML for people: only what differs from the defaults. [`parse`] reads it back to an equal
    /// document, if it was one that [`parse`] could have made.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        self.each_section(|section| out.push_str(section));
        out
    }

    /// All but its zones.
    pub fn head(&self) -> Self {
        Self {
            schema: self.schema,
            edge: self.edge.clone(),
            lists: self.lists.clone(),
            zones: Vec::new(),
        }
    }

    /// As [`to_toml`](Self::to_toml), one section after the other: of a million zones the whole text is never there.
    pub fn each_section(&self, mut take: impl FnMut(&str)) {
        take(&format!("schema = {}\n", self.schema));
        let mut section = |header: &str, path: &str, entries: &Entries| {
            let mut out = format!("\n{header}\n");
            entries.lines(path, &mut out);
            take(&out);
        };
        let edge = self.edge.entries();
        if !edge.is_empty() {
            section("[edge]", "edge", &edge);
        }
        for (name, list) in &self.lists {
            let path = format!("lists.{}", write::key(name));
            section(&format!("[{path}]"), &path, &list.entries());
        }
        for zone in &self.zones {
            section("[[zone]]", "zone", &zone.entries());
        }
    }
}

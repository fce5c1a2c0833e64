//! Rules: an expression, and what becomes of the requests that it fits. The expression stays text here; it is compiled
//! where rules run.

use std::collections::BTreeMap;

use super::guard::skip_set;
use super::headers::HeaderEdits;
use super::mode::StageMode;
use super::reader::{Reader, put};
use super::skip::SkipSet;
use super::target::RuleTarget;
use super::target::{own_path, prefix, query, redirect_to};
use super::value::{one_of, out_of_bounds, printable};
use super::write::Entries;
use crate::problem::{Wrong, quote};

/// Bytes of an expression.
pub(super) const LONGEST_WHEN: usize = 4_096;
/// Redirects whose meaning RFC 9110 §15.4 gives; the others are no redirects of one request.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// One `[[zone.rule]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unlike any other rule's of the zone: 1 to 100 printable characters. Default: it goes by its number.
    pub name: Option<String>,
    /// The expression, as it was written: at most 4096 bytes, which may be several lines.
    pub when: String,
    /// What becomes of the request.
    pub action: RuleAction,
    /// Default: enforce.
    pub mode: StageMode,
}

/// What becomes of a request that a rule fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuleAction {
    /// It is told.
    #[default]
    Log,
    /// Some stages are left out; at least one.
    Skip(SkipSet),
    /// It is refused.
    Block {
        /// 400 to 599. Default 403.
        status: u16,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308. Default 302.
        status: u16,
        /// `http://…`, `https://…`, or a path that begins with one `/`; characters of a URI only. With `keep_path` it
        /// has no query, with either no fragment.
        to: RuleTarget,
        /// Whether the request's path is appended to it. Default false.
        keep_path: bool,
        /// Whether the request's query is appended; behind `&` if `to` has a query. Default true.
        keep_query: bool,
    },
    /// The target is changed: `path` or `strip_prefix` first, then `add_prefix`, then `query`. At least one is there.
    /// Paths are in their normal form ([`view::normalise`]) and not below `/.seawall/`.
    Rewrite {
        /// The new path; never together with `strip_prefix`.
        path: Option<RuleTarget>,
        /// Segments, such as `/api`, that are taken from the beginning of the path, if they are all there.
        strip_prefix: Option<String>,
        /// Segments, such as `/v2`, that are put before the path.
        add_prefix: Option<String>,
        /// The new query, without `?`; empty to remove it.
        query: Option<RuleTarget>,
    },
    /// The request's header is edited; at least one edit.
    Header(HeaderEdits),
    /// This score, 1 to 1,000, is added to the sum that [`ZoneRules::threshold`] judges.
    Weigh(u32),
}

/// The keys that belong to one action or two, by the action.
const OWN: &[(&str, &[&str])] = &[
    ("skip", &["skip"]),
    ("block", &["status"]),
    (
        "redirect",
        &["status", "to", "to_expression", "keep_path", "keep_query"],
    ),
    (
        "rewrite",
        &[
            "path",
            "path_expression",
            "strip_prefix",
            "add_prefix",
            "query",
            "query_expression",
        ],
    ),
    ("header", &["set", "add", "remove"]),
    ("weigh", &["score"]),
];

impl Rule {
    /// Reads a rule; `names` are those of the zone's rules before it, each with where it stands.
    pub(super) fn read(mut reader: Reader<'_, '_>, names: &mut BTreeMap<String, String>) -> Self {
        let mut rule = Self {
            name: read_name(&mut reader, names),
            ..Self::default()
        };
        put(&mut rule.when, reader.lines("when", LONGEST_WHEN));
        rule.mode = StageMode::read(&mut reader);
        match reader.parsed("action", action_word) {
            Some(word) => {
                refuse_strangers(&mut reader, word);
                put(&mut rule.action, RuleAction::read(&mut reader, word));
            }
            // What the other keys are for is not known then.
            None => drop(reader.take_all()),
        }
        reader.close();
        rule
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.text_if("name", self.name.as_deref());
        entries.text("when", &self.when);
        entries.text("action", self.action.word());
        self.action.write(&mut entries);
        self.mode.write(&mut entries);
        entries
    }
}

pub(super) fn read_name(
    reader: &mut Reader<'_, '_>,
    names: &mut BTreeMap<String, String>,
) -> Option<String> {
    let at = reader.peek("name").map(|found| found.offset);
    let name = reader.parsed("name", |text| match text {
        "" => Err(Wrong::new("is empty", "leave it out, or write a name")),
        text => printable(text, 100),
    })?;
    let path = reader.path_to("name");
    match names.get(&name) {
        Some(first) => {
            let what = format!("{} is also {first}", quote(&name));
            reader.refuse("name", at, Wrong::new(what, "a name belongs to one rule"));
        }
        None => drop(names.insert(name.clone(), path)),
    }
    Some(name)
}

fn action_word(text: &str) -> Result<&'static str, Wrong> {
    no_challenge_yet(text)?;
    one_of(text, RuleAction::WORDS)
}

/// Challenges are refused by their names.
pub(super) fn no_challenge_yet(text: &str) -> Result<(), Wrong> {
    if text.ends_with("challenge") {
        return Err(Wrong::new(
            format!("{} is no action of this build", quote(text)),
            "it comes with bot mitigation; use \"block\" until then",
        ));
    }
    Ok(())
}

/// Takes out and refuses the keys that only other actions have.
fn refuse_strangers(reader: &mut Reader<'_, '_>, action: &str) {
    for name in reader.names() {
        let owners = || OWN.iter().filter(|(_, keys)| keys.contains(&name));
        if owners().any(|(owner, _)| *owner == action) {
            continue;
        }
        let Some(found) = reader.take(name) else {
            continue;
        };
        let others: Vec<String> = owners().map(|(owner, _)| format!("\"{owner}\"")).collect();
        let what = format!("has no meaning for action \"{action}\"");
        let help = format!("remove it; it belongs to {}", others.join(" and "));
        reader.refuse(name, Some(found.offset), Wrong::new(what, help));
    }
}

impl RuleAction {
    /// The words for the actions.
    pub const WORDS: &'static [&'static str] = &[
        "log", "skip", "block", "redirect", "rewrite", "header", "weigh",
    ];

    /// The word for this action, as documents and logs have it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Skip(_) => "skip",
            Self::Block { .. } => "block",
            Self::Redirect { .. } => "redirect",
            Self::Rewrite { .. } => "rewrite",
            Self::Header(_) => "header",
            Self::Weigh(_) => "weigh",
        }
    }

    /// Reads what belongs to the action `word`; nothing if that is not known.
    fn read(reader: &mut Reader<'_, '_>, word: &str) -> Option<Self> {
        Some(match word {
            "skip" => {
                reader.refuse_empty("skip", "write [\"rate\"], or another of its words");
                must_have(reader, "skip", "write skip = [\"waf\"]");
                Self::Skip(skip_set(reader))
            }
            "block" => Self::Block {
                status: read_status(reader, 403, "400 to 599", |status| {
                    (400..=599).contains(&status)
                }),
            },
            "redirect" => read_redirect(reader),
            "rewrite" => read_rewrite(reader),
            "header" => read_header(reader),
            "weigh" => {
                must_have(reader, "score", "write score = 5");
                Self::Weigh(reader.number("score")?)
            }
            _ => Self::Log,
        })
    }

    fn write(&self, entries: &mut Entries) {
        match self {
            Self::Log => {}
            Self::Skip(set) => entries.list("skip", &set.words().collect::<Vec<_>>()),
            Self::Block { status } => entries.number("status", *status, 403),
            Self::Redirect {
                status,
                to,
                keep_path,
                keep_query,
            } => {
                entries.number("status", *status, 302);
                to.write(entries, "to");
                entries.flag("keep_path", *keep_path, false);
                entries.flag("keep_query", *keep_query, true);
            }
            Self::Rewrite {
                path,
                strip_prefix,
                add_prefix,
                query,
            } => {
                if let Some(path) = path {
                    path.write(entries, "path");
                }
                entries.text_if("strip_prefix", strip_prefix.as_deref());
                entries.text_if("add_prefix", add_prefix.as_deref());
                if let Some(query) = query {
                    query.write(entries, "query");
                }
            }
            Self::Header(edits) => edits.write(entries),
            Self::Weigh(score) => entries.number_if("score", Some((*score).into())),
        }
    }
}

fn must_have(reader: &mut Reader<'_, '_>, name: &str, help: &str) {
    if reader.peek(name).is_none() {
        reader.refuse(name, None, Wrong::new("is missing", help));
    }
}

fn read_status(
    reader: &mut Reader<'_, '_>,
    default: u16,
    bounds: &str,
    is_good: impl Fn(u16) -> bool,
) -> u16 {
    let Some(found) = reader.take("status") else {
        return default;
    };
    match reader.whole_number(found, 100, 999) {
        Some(status) if is_good(status) => status,
        Some(status) => {
            let mut wrong = out_of_bounds(&status.to_string(), "", "");
            wrong.help = bounds.into();
            reader.refuse("status", Some(found.offset), wrong);
            default
        }
        None => default,
    }
}

fn read_redirect(reader: &mut Reader<'_, '_>) -> RuleAction {
    let status = read_status(reader, 302, "301, 302, 303, 307 or 308", |status| {
        REDIRECTS.contains(&status)
    });
    let is_made = reader.peek("to_expression").is_some();
    if !is_made {
        must_have(
            reader,
            "to",
            "write to = \"https://example.com/x\", or a path that begins with `/`; or to_expression",
        );
    }
    let at = reader.peek("to").map(|found| found.offset);
    let to = RuleTarget::read(reader, "to", redirect_to).unwrap_or_default();
    let kept_at = reader.peek("keep_path").map(|found| found.offset);
    let keep_path = reader.flag("keep_path").unwrap_or(false);
    let keep_query = reader.flag("keep_query").unwrap_or(true);
    if is_made && keep_path {
        let help = "write concat(…, http.request.uri.path) into to_expression";
        let wrong = Wrong::new("has no meaning beside to_expression", help);
        reader.refuse("keep_path", kept_at, wrong);
    }
    if let RuleTarget::Text(to) = &to {
        if keep_path && to.contains('?') {
            let help = "leave the query out, or keep_path";
            let wrong = Wrong::new("has a query, behind which no path can stand", help);
            reader.refuse("to", at, wrong);
        } else if to.contains('#') && (keep_path || keep_query) {
            let help = "leave it out, or write keep_query = false and no keep_path";
            let wrong = Wrong::new("has a fragment, behind which nothing can stand", help);
            reader.refuse("to", at, wrong);
        }
    }
    RuleAction::Redirect {
        status,
        to,
        keep_path,
        keep_query,
    }
}

fn read_rewrite(reader: &mut Reader<'_, '_>) -> RuleAction {
    let keys = [
        "path",
        "path_expression",
        "strip_prefix",
        "add_prefix",
        "query",
        "query_expression",
    ];
    if keys.iter().all(|key| reader.peek(key).is_none()) {
        let help = "write one or more of path, path_expression, strip_prefix, add_prefix, query, query_expression";
        reader.refuse_table(Wrong::new("rewrites nothing", help));
    }
    for name in ["path", "path_expression"] {
        if let (Some(found), Some(_)) = (reader.peek("strip_prefix"), reader.peek(name)) {
            let wrong = Wrong::new(format!("excludes {name}"), "remove one of the two");
            reader.refuse("strip_prefix", Some(found.offset), wrong);
        }
    }
    RuleAction::Rewrite {
        path: RuleTarget::read(reader, "path", own_path),
        strip_prefix: reader.parsed("strip_prefix", prefix),
        add_prefix: reader.parsed("add_prefix", prefix),
        query: RuleTarget::read(reader, "query", query),
    }
}

fn read_header(reader: &mut Reader<'_, '_>) -> RuleAction {
    let keys = ["set", "add", "remove"];
    // What is wrong in itself is told as such; here it counts as an edit.
    let some = keys.iter().filter_map(|key| reader.peek(key)).any(|found| {
        let value = found.value;
        let is_empty = value.as_table().is_some_and(|table| table.is_empty())
            || value.as_array().is_some_and(|array| array.is_empty());
        !is_empty
    });
    if !some {
        let help = "write one or more of set, add, remove";
        reader.refuse_table(Wrong::new("edits nothing", help));
    }
    RuleAction::Header(HeaderEdits::take(reader, true))
}

/// The stage `rules` as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRules {
    /// Default: enforce.
    pub mode: StageMode,
    /// The sum of scores at which a request is refused, 1 to 100,000. Default 10.
    pub threshold: u32,
}

impl Default for ZoneRules {
    fn default() -> Self {
        Self {
            mode: StageMode::default(),
            threshold: 10,
        }
    }
}

impl ZoneRules {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut rules = Self {
            mode: StageMode::read(&mut reader),
            ..Self::default()
        };
        put(&mut rules.threshold, reader.number("threshold"));
        reader.close();
        rules
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.number("threshold", self.threshold, Self::default().threshold);
        entries
    }
}

//! What a zone asks of the web application firewall: which rule set, how far it goes, and what is left out of it.

use std::path::PathBuf;

use super::guard::refs;
use super::lists::{ListNames, ListRef};
use super::mode::StageMode;
use super::reader::{Reader, put};
use super::value;
use super::write::Entries;
use crate::problem::{Wrong, quote};

/// The stage `waf`: rules in SecLang, such as the OWASP Core Rule Set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneWaf {
    /// Default: enforce.
    pub mode: StageMode,
    /// The folder of the rule set, or one file of rules. Default: none, and the stage is off.
    pub ruleset: Option<PathBuf>,
    /// The Core Rule Set's paranoia level, 1 to 4. Default 1.
    pub paranoia: u8,
    /// The score from which a request is refused. Default 5.
    pub threshold: u32,
    /// The score from which a response is refused. Default 4.
    pub response_threshold: u32,
    /// Whether responses are looked at too. Default false.
    pub responses: bool,
    /// Bytes of a request's body that are held and looked at. Default 128 KiB.
    pub body_limit: u64,
    /// Whether what is longer passes, and the first `body_limit` bytes are looked at. Default: it is refused.
    pub pass_longer: bool,
    /// Bytes of a response's body that are looked at. Default 64 KiB.
    pub response_limit: u64,
    /// Whether a response with a longer body is refused. Default: it passes, and its beginning is looked at.
    pub refuse_longer_response: bool,
    /// Whether a request passes whose body has a content coding that cannot be taken off. Default: it is refused.
    pub pass_coded: bool,
    /// The methods that requests may have. Default: any.
    pub methods: Vec<String>,
    /// Sets of exceptions that come with Seawall, by their names. Default: none.
    pub managed: Vec<&'static str>,
    /// Rules in SecLang besides those of the rule set: patches of a day. Default: none.
    pub patches: Option<String>,
    /// How many of the last events are kept for the admin port. Default 32.
    pub events: u16,
    /// A rule set that is only watched, beside the other one. Default: none.
    pub shadow: Option<WafShadow>,
    /// A description that requests have to fit. Default: none.
    pub openapi: Option<WafOpenApi>,
    /// Clients that are told in `Seawall-Waf-Rules` which rules matched. Default: none.
    pub debug_header: Vec<ListRef>,
    /// What is left out of the rule set. Default: nothing.
    pub exceptions: Vec<WafException>,
}

/// A second rule set, whose verdicts are only told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WafShadow {
    /// As the zone's.
    pub ruleset: PathBuf,
    /// As the zone's. Default 1.
    pub paranoia: u8,
    /// As the zone's. Default 5.
    pub threshold: u32,
}

/// What requests may be, as an OpenAPI file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WafOpenApi {
    /// How far it goes. Default: enforce.
    pub mode: StageMode,
    /// OpenAPI 3.0 or 3.1, in JSON.
    pub file: PathBuf,
    /// Whether arguments that are not described are refused. Default false.
    pub strict: bool,
}

/// Rules that are left out, or what they do not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WafException {
    /// Rules by their ids, and ranges of them: `942100`, `942000-942999`.
    pub rules: Vec<String>,
    /// Rules by their tags.
    pub tags: Vec<String>,
    /// What they do not look at: `ARGS:comment`. None: they are off.
    pub targets: Vec<String>,
    /// The paths that it holds for, where all servers read them alike, normalised; `*` at the end stands for all that begin so. None: all.
    pub paths: Vec<String>,
}

/// Ids, tags, targets or paths of one exception, and of one zone.
const MOST: usize = 200;
/// Bytes of patches.
const PATCHES: usize = 64 << 10;
/// Methods of a list.
const METHODS: usize = 50;

impl Default for ZoneWaf {
    fn default() -> Self {
        Self {
            mode: StageMode::default(),
            ruleset: None,
            paranoia: 1,
            threshold: 5,
            response_threshold: 4,
            responses: false,
            body_limit: 128 << 10,
            pass_longer: false,
            response_limit: 64 << 10,
            refuse_longer_response: false,
            pass_coded: false,
            methods: Vec::new(),
            managed: Vec::new(),
            patches: None,
            events: 32,
            shadow: None,
            openapi: None,
            debug_header: Vec::new(),
            exceptions: Vec::new(),
        }
    }
}

impl ZoneWaf {
    pub(super) fn read(mut reader: Reader<'_, '_>, names: &ListNames<'_>) -> Self {
        let mut waf = Self {
            mode: StageMode::read(&mut reader),
            ..Self::default()
        };
        waf.ruleset = reader.file("ruleset");
        put(&mut waf.paranoia, reader.number("paranoia"));
        put(&mut waf.threshold, reader.number("threshold"));
        put(
            &mut waf.response_threshold,
            reader.number("response_threshold"),
        );
        put(&mut waf.responses, reader.flag("responses"));
        put(&mut waf.body_limit, reader.size("body_limit"));
        waf.pass_longer = reader.choice("longer") == Some("pass");
        put(&mut waf.response_limit, reader.size("response_limit"));
        waf.refuse_longer_response = reader.choice("response_longer") == Some("refuse");
        waf.pass_coded = reader.choice("coded") == Some("pass");
        put(&mut waf.methods, reader.list("methods", METHODS, method));
        put(&mut waf.managed, reader.words("managed"));
        waf.patches = reader.lines("patches", PATCHES);
        put(&mut waf.events, reader.number("events"));
        waf.shadow = reader.table("shadow").and_then(WafShadow::read);
        waf.openapi = reader.table("openapi").and_then(WafOpenApi::read);
        waf.debug_header = refs(&mut reader, "debug_header", names);
        let exceptions = reader.tables("exception", MOST, WafException::read);
        put(&mut waf.exceptions, exceptions);
        reader.close();
        waf
    }

    /// The files that it names, rule sets first.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let openapi = self.openapi.iter().map(|openapi| &openapi.file);
        self.rule_sets().chain(openapi)
    }

    /// Those of them that are rule sets.
    pub fn rule_sets(&self) -> impl Iterator<Item = &PathBuf> {
        let shadow = self.shadow.iter().map(|shadow| &shadow.ruleset);
        self.ruleset.iter().chain(shadow)
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let shadow = self.shadow.iter_mut().map(|shadow| &mut shadow.ruleset);
        let openapi = self.openapi.iter_mut().map(|openapi| &mut openapi.file);
        self.ruleset.iter_mut().chain(shadow).chain(openapi)
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        let ruleset = self.ruleset.as_deref().map(|path| path.to_string_lossy());
        entries.text_if("ruleset", ruleset.as_deref());
        entries.number("paranoia", self.paranoia, default.paranoia);
        entries.number("threshold", self.threshold, default.threshold);
        entries.number(
            "response_threshold",
            self.response_threshold,
            default.response_threshold,
        );
        entries.flag("responses", self.responses, default.responses);
        entries.size("body_limit", self.body_limit, default.body_limit);
        if self.pass_longer {
            entries.text("longer", "pass");
        }
        entries.size(
            "response_limit",
            self.response_limit,
            default.response_limit,
        );
        if self.refuse_longer_response {
            entries.text("response_longer", "refuse");
        }
        if self.pass_coded {
            entries.text("coded", "pass");
        }
        entries.list_if("methods", &self.methods);
        entries.list_if("managed", &self.managed);
        entries.text_if("patches", self.patches.as_deref());
        entries.number("events", self.events, default.events);
        entries.list_if("debug_header", &self.debug_header);
        if let Some(shadow) = &self.shadow {
            entries.table("shadow", shadow.entries());
        }
        if let Some(openapi) = &self.openapi {
            entries.table("openapi", openapi.entries());
        }
        let exceptions = self.exceptions.iter().map(WafException::entries);
        entries.sections("exception", exceptions.collect());
        entries
    }
}

impl WafShadow {
    fn read(mut reader: Reader<'_, '_>) -> Option<Self> {
        let (mut paranoia, mut threshold) = (1, 5);
        let ruleset = reader.file("ruleset");
        put(&mut paranoia, reader.number("paranoia"));
        put(&mut threshold, reader.number("threshold"));
        reader.close();
        Some(Self {
            ruleset: ruleset?,
            paranoia,
            threshold,
        })
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.text("ruleset", &self.ruleset.to_string_lossy());
        entries.number("paranoia", self.paranoia, 1);
        entries.number("threshold", self.threshold, 5);
        entries
    }
}

impl WafOpenApi {
    fn read(mut reader: Reader<'_, '_>) -> Option<Self> {
        let mode = StageMode::read(&mut reader);
        let file = reader.file("file");
        let strict = reader.flag("strict").unwrap_or_default();
        reader.close();
        Some(Self {
            mode,
            file: file?,
            strict,
        })
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.text("file", &self.file.to_string_lossy());
        entries.flag("strict", self.strict, false);
        entries
    }
}

impl WafException {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        // What is written and wrong is told as that.
        let names = ["rules", "tags", "targets"].map(|key| reader.has(key));
        let exception = Self {
            rules: reader.list("rules", MOST, ids).unwrap_or_default(),
            tags: reader.list("tags", MOST, word).unwrap_or_default(),
            targets: reader.list("targets", MOST, word).unwrap_or_default(),
            paths: reader.list("paths", MOST, path).unwrap_or_default(),
        };
        let is_empty =
            exception.rules.is_empty() && exception.tags.is_empty() && exception.targets.is_empty();
        if is_empty && !names.contains(&true) {
            let help = "name `rules`, `tags` or `targets`; to leave the stage out for some requests, write a rule with skip = [\"waf\"]";
            reader.refuse_table(Wrong::new("leaves out nothing, or everything", help));
        }
        reader.close();
        exception
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.list_if("rules", &self.rules);
        entries.list_if("tags", &self.tags);
        entries.list_if("targets", &self.targets);
        entries.list_if("paths", &self.paths);
        entries
    }
}

/// An id, or a range of them.
fn ids(text: &str) -> Result<String, Wrong> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            format!("{} is no id and no range of ids", quote(text)),
            "write one such as \"942100\" or \"942000-942999\"",
        )),
    }
}

fn word(text: &str) -> Result<String, Wrong> {
    value::printable(text, 200)
}

fn path(text: &str) -> Result<String, Wrong> {
    if text.starts_with('/') {
        return value::printable(text, 500);
    }
    Err(Wrong::new(
        format!("{} is no path", quote(text)),
        "write one such as \"/search\" or \"/blog/*\"",
    ))
}

/// A token (RFC 9110 §9.1); methods differ by their case.
fn method(text: &str) -> Result<String, Wrong> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.len() <= 40 && text.bytes().all(is_token) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(
            format!("{} is no method", quote(text)),
            "write one such as \"GET\"",
        )),
    }
}

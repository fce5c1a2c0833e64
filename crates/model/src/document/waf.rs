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
    /// Clients that are told in `Seawall-Waf-Rules` which rules matched. Default: none.
    pub debug_header: Vec<ListRef>,
    /// What is left out of the rule set. Default: nothing.
    pub exceptions: Vec<WafException>,
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
    /// The paths that it holds for, normalised; `*` at the end stands for all that begin so. None: all.
    pub paths: Vec<String>,
}

/// Ids, tags, targets or paths of one exception, and of one zone.
const MOST: usize = 200;

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
        waf.debug_header = refs(&mut reader, "debug_header", names);
        let exceptions = reader.tables("exception", MOST, WafException::read);
        put(&mut waf.exceptions, exceptions);
        reader.close();
        waf
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
        entries.list_if("debug_header", &self.debug_header);
        let exceptions = self.exceptions.iter().map(WafException::entries);
        entries.sections("exception", exceptions.collect());
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

//! What a zone asks of the stages that guard it, but for its rules: client addresses, limits on one client, bodies,
//! headers of responses, maintenance.

use crate::token::is_token;
use std::path::PathBuf;
use std::time::Duration;

use super::lists::{ListNames, ListRef};
use super::mode::StageMode;
use super::reader::{Reader, put};
use super::skip::SkipSet;
use super::write::Entries;
use super::{headers, value};
use crate::host::HostPattern;
use crate::problem::{Wrong, quote};

/// The stage `lists`: client addresses that are refused or let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneLists {
    /// Default: enforce.
    pub mode: StageMode,
    /// Clients that are refused. Default: none.
    pub block: Vec<ListRef>,
    /// Clients that neither `block` nor `only` refuses. Default: none.
    pub allow: Vec<ListRef>,
    /// The stages that are left out for the clients of `allow`; empty if `allow` is. Default: none.
    pub skip: SkipSet,
    /// If it is not empty, all other clients are refused. Default: empty.
    pub only: Vec<ListRef>,
}

impl ZoneLists {
    pub(super) fn read(mut reader: Reader<'_, '_>, names: &ListNames<'_>) -> Self {
        let mode = StageMode::read(&mut reader);
        let block = refs(&mut reader, "block", names);
        let nobody_allowed = match reader.peek("allow") {
            None => true,
            Some(found) => found.value.as_array().is_some_and(|array| array.is_empty()),
        };
        let allow = refs(&mut reader, "allow", names);
        let at = reader.peek("skip").map(|found| found.offset);
        let skip = skip_set(&mut reader);
        if nobody_allowed && !skip.is_empty() {
            let help = "name the clients in `allow`, or leave `skip` out";
            reader.refuse(
                "skip",
                at,
                Wrong::new("has no effect while `allow` is empty", help),
            );
        }
        let only = refs(&mut reader, "only", names);
        reader.close();
        Self {
            mode,
            block,
            allow,
            skip,
            only,
        }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.list_if("block", &self.block);
        entries.list_if("allow", &self.allow);
        entries.list_if("skip", &self.skip.words().collect::<Vec<_>>());
        entries.list_if("only", &self.only);
        entries
    }
}

pub(super) fn refs(reader: &mut Reader<'_, '_>, name: &str, names: &ListNames<'_>) -> Vec<ListRef> {
    let most = reader.limits.list_refs;
    let refs = reader.list(name, most, |text| names.parse(text));
    refs.unwrap_or_default()
}

/// The key `skip` of a table.
pub(super) fn skip_set(reader: &mut Reader<'_, '_>) -> SkipSet {
    let words = reader.words("skip").unwrap_or_default();
    words.into_iter().collect()
}

/// The stage `ddos`: limits on one client address; for IPv6 on its /64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneDdos {
    /// Default: enforce.
    pub mode: StageMode,
    /// Requests of one client in the time of `per`; 0 is no limit. Default 0.
    pub requests_per_client: u32,
    /// Errors (4xx but 401, and 5xx) that one client is answered by origins in the time of `per`; at so many its next
    /// requests are refused. 0 is no limit. Default 0.
    pub errors_per_client: u32,
    /// The time in which both are counted, 1 s to 1 h. Default 10 s.
    pub per: Duration,
    /// Requests of one client that are in progress at once; 0 is no limit. Default 0.
    pub concurrent_per_client: u32,
}

impl Default for ZoneDdos {
    fn default() -> Self {
        Self {
            mode: StageMode::default(),
            requests_per_client: 0,
            errors_per_client: 0,
            per: Duration::from_secs(10),
            concurrent_per_client: 0,
        }
    }
}

impl ZoneDdos {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut ddos = Self {
            mode: StageMode::read(&mut reader),
            ..Self::default()
        };
        put(
            &mut ddos.requests_per_client,
            reader.number("requests_per_client"),
        );
        put(
            &mut ddos.errors_per_client,
            reader.number("errors_per_client"),
        );
        put(&mut ddos.per, reader.duration("per"));
        put(
            &mut ddos.concurrent_per_client,
            reader.number("concurrent_per_client"),
        );
        reader.close();
        ddos
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.number(
            "requests_per_client",
            self.requests_per_client,
            default.requests_per_client,
        );
        entries.number(
            "errors_per_client",
            self.errors_per_client,
            default.errors_per_client,
        );
        entries.duration("per", self.per, default.per);
        entries.number(
            "concurrent_per_client",
            self.concurrent_per_client,
            default.concurrent_per_client,
        );
        entries
    }
}

/// The stage `body`: what request bodies may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneBody {
    /// Default: enforce.
    pub mode: StageMode,
    /// If it is not empty, a request with a body has one of these media types: `type/subtype` or `type/*`, in lower
    /// case, without parameters. Default: empty.
    pub content_types: Vec<String>,
    /// How deep JSON may be nested, 1 to 512; 0: it is not looked at. Default 0.
    pub json_depth: u16,
}

impl ZoneBody {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mode = StageMode::read(&mut reader);
        let most = reader.limits.content_types;
        let content_types = reader.list("content_types", most, media_type);
        let json_depth = reader.number("json_depth");
        reader.close();
        Self {
            mode,
            content_types: content_types.unwrap_or_default(),
            json_depth: json_depth.unwrap_or_default(),
        }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.list_if("content_types", &self.content_types);
        entries.number("json_depth", self.json_depth, 0);
        entries
    }
}

/// A media type without parameters (RFC 9110 §8.3.1), or `type/*`; in lower case.
pub(super) fn media_type(text: &str) -> Result<String, Wrong> {
    let wrong = |help: String| {
        let what = format!("{} is no media type", quote(text));
        Err(Wrong::new(what, help))
    };
    if let Some((plain, _)) = text.split_once(';') {
        let help = format!(
            "leave the parameters out, they do not count: {}",
            quote(plain.trim_end())
        );
        return wrong(help);
    }
    match text.split_once('/') {
        Some(("*", _)) => wrong("leave the list out, and every type is taken".into()),
        Some((kind, subtype)) if is_token(kind.as_bytes()) && is_token(subtype.as_bytes()) => {
            if kind.contains('*') || (subtype.contains('*') && subtype != "*") {
                return wrong("`*` stands for a whole subtype, as in \"text/*\"".into());
            }
            Ok(text.to_ascii_lowercase())
        }
        _ => wrong("write one such as \"application/json\" or \"text/*\"".into()),
    }
}

/// The stage `hotlink`: files that pages of other sites may not embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneHotlink {
    /// Default: enforce.
    pub mode: StageMode,
    /// Whether it is asked for. Default false.
    pub enabled: bool,
    /// What follows the last dot of the files' names, in lower case; empty for those without one. Default: pictures and films.
    pub extensions: Vec<String>,
    /// Sites that may embed them, beside the zone's own hosts. Default: none.
    pub allow: Vec<HostPattern>,
}

/// Extensions, and sites, of one zone.
const MOST_HOTLINKS: usize = 100;

impl Default for ZoneHotlink {
    fn default() -> Self {
        let extensions = [
            "avif", "gif", "ico", "jpeg", "jpg", "mp4", "png", "svg", "webm", "webp",
        ];
        Self {
            mode: StageMode::default(),
            enabled: false,
            extensions: extensions.map(str::to_owned).to_vec(),
            allow: Vec::new(),
        }
    }
}

impl ZoneHotlink {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut hotlink = Self {
            mode: StageMode::read(&mut reader),
            ..Self::default()
        };
        put(&mut hotlink.enabled, reader.flag("enabled"));
        put(
            &mut hotlink.extensions,
            reader.list("extensions", MOST_HOTLINKS, extension),
        );
        put(
            &mut hotlink.allow,
            reader.list("allow", MOST_HOTLINKS, HostPattern::parse),
        );
        reader.close();
        hotlink
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.flag("enabled", self.enabled, false);
        if self.extensions != Self::default().extensions {
            entries.list("extensions", &self.extensions);
        }
        entries.list_if("allow", &self.allow);
        entries
    }
}

/// An extension as it stands in a path: up to 16 letters and digits.
fn extension(text: &str) -> Result<String, Wrong> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if text.len() <= 16 && text.bytes().all(known) {
        return Ok(text.to_ascii_lowercase());
    }
    let what = format!("{} is no extension", quote(text));
    Err(Wrong::new(what, "write one such as \"png\", without a dot"))
}

/// The stage `hygiene`: what the header of a response should not, or should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneHygiene {
    /// Default: enforce.
    pub mode: StageMode,
    /// Names of fields that are taken out of what the origin answers, as they were written. Default: none.
    pub remove: Vec<String>,
    /// Whether `X-Content-Type-Options: nosniff` is added where the origin sent none. Default false.
    pub nosniff: bool,
}

impl ZoneHygiene {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mode = StageMode::read(&mut reader);
        let remove = headers::names(&mut reader, "remove", false);
        let nosniff = reader.flag("nosniff").unwrap_or_default();
        reader.close();
        Self {
            mode,
            remove,
            nosniff,
        }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries.list_if("remove", &self.remove);
        entries.flag("nosniff", self.nosniff, false);
        entries
    }
}

/// The stage `transform`: the zone's `redirect_https` and `request_headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneTransform {
    /// Default: enforce.
    pub mode: StageMode,
}

impl ZoneTransform {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mode = StageMode::read(&mut reader);
        reader.close();
        Self { mode }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.mode.write(&mut entries);
        entries
    }
}

/// Whether the zone answers 503 with a page that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Whether it does. Default false.
    pub enabled: bool,
    /// Plain text on the page, at most 500 printable characters; to be escaped where it stands in HTML. Default: none.
    pub message: String,
    /// A file (HTML) that is the page. Default: ours, with the message.
    pub page: Option<PathBuf>,
    /// `Retry-After`, 1 s to 1 day. Default 5 min.
    pub retry_after: Duration,
    /// Clients that are served nevertheless. Default: none.
    pub allow: Vec<ListRef>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            enabled: false,
            message: String::new(),
            page: None,
            retry_after: Duration::from_secs(300),
            allow: Vec::new(),
        }
    }
}

impl Maintenance {
    pub(super) fn read(mut reader: Reader<'_, '_>, names: &ListNames<'_>) -> Self {
        let mut maintenance = Self::default();
        put(&mut maintenance.enabled, reader.flag("enabled"));
        let message = reader.parsed("message", |text| value::printable(text, 500));
        put(&mut maintenance.message, message);
        maintenance.page = reader.file("page");
        put(&mut maintenance.retry_after, reader.duration("retry_after"));
        maintenance.allow = refs(&mut reader, "allow", names);
        reader.close();
        maintenance
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.flag("enabled", self.enabled, default.enabled);
        if !self.message.is_empty() {
            entries.text("message", &self.message);
        }
        let page = self.page.as_deref().map(|path| path.to_string_lossy());
        entries.text_if("page", page.as_deref());
        entries.duration("retry_after", self.retry_after, default.retry_after);
        entries.list_if("allow", &self.allow);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_names_without_parameters() {
        for (text, read) in [
            ("application/json", "application/json"),
            ("Text/*", "text/*"),
            ("application/ld+JSON", "application/ld+json"),
        ] {
            assert_eq!(media_type(text).as_deref(), Ok(read));
        }
        for (text, help) in [
            ("json", "write one such as"),
            ("a/", "write one such as"),
            ("a/b/c", "write one such as"),
            ("a b/c", "write one such as"),
            ("*/*", "leave the list out"),
            ("text/x*", "`*` stands for a whole subtype"),
            ("te*t/plain", "`*` stands for a whole subtype"),
            (
                "text/html; charset=utf-8",
                "leave the parameters out, they do not count: \"text/html\"",
            ),
        ] {
            let wrong = media_type(text).unwrap_err();
            assert!(wrong.help.starts_with(help), "{text}: {wrong}");
        }
    }
}

//! What of a zone's responses is kept at the edge.

use std::time::Duration;

use super::edge::location;
use super::reader::{Reader, put};
use super::rule::LONGEST_WHEN;
use super::write::Entries;
use crate::problem::{Wrong, quote};
use crate::token::is_token_byte;

/// How far the cache goes in a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// It has nothing to do with the zone.
    Off,
    /// RFC 9111, with what the origin says alone: nothing is stored whose lifetime it does not tell.
    #[default]
    Standard,
    /// Also what the origin says nothing of, for a short while.
    Everything,
}

impl CacheMode {
    /// The words for the modes.
    pub const WORDS: &'static [&'static str] = &["off", "standard", "everything"];

    /// The word for this mode.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Everything => "everything",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Off, Self::Standard, Self::Everything]
            .into_iter()
            .find(|mode| mode.word() == word)
    }
}

/// The cache of a zone: `[zone.cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneCache {
    /// How far it goes. Default standard.
    pub mode: CacheMode,
    /// While the site is worked on: everything is asked of the origin, and nothing is stored. What is stored stays. Default false.
    pub development_mode: bool,
    /// Bytes of the slices in which a response is stored that is too large to be stored whole; 0: it is not. Default 1 MiB.
    pub slice: u64,
    /// Whether what the origin gives no lifetime itself is kept only if its media type is what its path's extension says. Default true.
    pub deception_armor: bool,
    /// Whether a body is kept, and given whole, only if it is what its `Content-Digest` or `Repr-Digest` says. Default false.
    pub verify_digest: bool,
    /// The location that all others ask before an origin, in place of those of `[edge.parents]`. Default none.
    pub shield: Option<String>,
    /// Clients are told early what a page said last time that it needs. Default false.
    pub early_hints: bool,
    /// What a page says that it needs is fetched beside it. Default false.
    pub prefetch: bool,
    /// What is otherwise for some requests: `[[zone.cache.rule]]`. Each that fits sets what it names; what a later one names is as
    /// that one says.
    pub rules: Vec<CacheRule>,
}

/// What is otherwise for the requests that an expression fits: `[[zone.cache.rule]]`. What it does not name stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRule {
    /// The expression, as it was written: at most 4096 bytes, which may be several lines.
    pub when: String,
    /// Whether the cache has anything to do with them.
    pub cache: Option<Eligibility>,
    /// How long a response is fresh here.
    pub edge_ttl: Option<Duration>,
    /// Whether that is for those of which the origin says nothing, or for all.
    pub edge_ttl_mode: Option<EdgeTtlMode>,
    /// How long browsers are told that what is kept here is fresh.
    pub browser_ttl: Option<Duration>,
    /// How long past its lifetime a response may be served while it is validated, and where the origin fails.
    pub serve_stale: Option<Duration>,
    /// Whether a response that sets a cookie is stored, with the cookie, which all get then.
    pub store_set_cookie: Option<bool>,
    /// What responses are found by, beside scheme, host and path.
    pub key: Option<CacheKey>,
}

/// Whether the cache has anything to do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eligibility {
    /// As far as what the origin says allows.
    #[default]
    Eligible,
    /// Nothing.
    Bypass,
}

/// Whose word counts on how long a response is fresh here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EdgeTtlMode {
    /// The origin's, where it says something.
    #[default]
    RespectOrigin,
    /// The rule's.
    OverrideOrigin,
}

/// What responses are found by, beside scheme, host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheKey {
    /// Which of the query's parameters count. Default: all.
    pub query: KeyQuery,
    /// Fields of the request whose values count. Default: none.
    pub headers: Vec<String>,
    /// Cookies whose values count. Default: none.
    pub cookies: Vec<String>,
    /// Whether it counts if the client is a desktop, a mobile or a tablet. Default false.
    pub device_type: bool,
}

/// Which parameters of a query count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyQuery {
    /// All of them.
    #[default]
    All,
    /// None.
    Ignored,
    /// These.
    Include(Vec<String>),
    /// All but these.
    Exclude(Vec<String>),
}

/// The most names in one list of a key.
const MOST_NAMES: usize = 64;
/// Bytes of a name of a parameter or a cookie.
const LONGEST_NAME: usize = 256;

/// The least bytes of a slice.
const LEAST_SLICE: u64 = 256 << 10;

impl Default for ZoneCache {
    fn default() -> Self {
        Self {
            mode: CacheMode::default(),
            development_mode: false,
            slice: 1 << 20,
            deception_armor: true,
            verify_digest: false,
            shield: None,
            early_hints: false,
            prefetch: false,
            rules: Vec::new(),
        }
    }
}

impl ZoneCache {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut cache = Self::default();
        put(
            &mut cache.mode,
            reader.choice("mode").and_then(CacheMode::of),
        );
        put(&mut cache.development_mode, reader.flag("development_mode"));
        let slice = reader.peek("slice").map(|found| found.offset);
        put(&mut cache.slice, reader.size("slice"));
        if (1..LEAST_SLICE).contains(&cache.slice) {
            let help = "write \"256KiB\" to \"1MiB\", or \"0B\" for none";
            reader.refuse("slice", slice, Wrong::new("is too little", help));
        }
        put(
            &mut cache.deception_armor,
            reader.flag("cache_deception_armor"),
        );
        put(&mut cache.verify_digest, reader.flag("verify_digest"));
        put(&mut cache.early_hints, reader.flag("early_hints"));
        put(&mut cache.prefetch, reader.flag("prefetch"));
        cache.shield = reader.parsed("shield", location);
        let most = reader.limits.cache_rules_per_zone;
        put(
            &mut cache.rules,
            reader.tables("rule", most, CacheRule::read),
        );
        reader.close();
        cache
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        if self.mode != CacheMode::default() {
            entries.text("mode", self.mode.word());
        }
        entries.flag("development_mode", self.development_mode, false);
        entries.size("slice", self.slice, Self::default().slice);
        entries.flag("cache_deception_armor", self.deception_armor, true);
        entries.flag("verify_digest", self.verify_digest, false);
        entries.text_if("shield", self.shield.as_deref());
        entries.flag("early_hints", self.early_hints, false);
        entries.flag("prefetch", self.prefetch, false);
        let rules = self.rules.iter().map(CacheRule::entries);
        entries.sections("rule", rules.collect());
        entries
    }
}

impl Eligibility {
    /// The words for it.
    pub const WORDS: &'static [&'static str] = &["eligible", "bypass"];
}

impl EdgeTtlMode {
    /// The words for it.
    pub const WORDS: &'static [&'static str] = &["respect_origin", "override_origin"];
}

impl CacheRule {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut rule = Self::default();
        put(&mut rule.when, reader.lines("when", LONGEST_WHEN));
        rule.cache = reader.choice("cache").map(|word| match word {
            "bypass" => Eligibility::Bypass,
            _ => Eligibility::Eligible,
        });
        rule.edge_ttl = reader.duration("edge_ttl");
        let mode = reader.peek("edge_ttl_mode").map(|found| found.offset);
        rule.edge_ttl_mode = reader.choice("edge_ttl_mode").map(|word| match word {
            "override_origin" => EdgeTtlMode::OverrideOrigin,
            _ => EdgeTtlMode::RespectOrigin,
        });
        if rule.edge_ttl_mode.is_some() && rule.edge_ttl.is_none() {
            let wrong = Wrong::new("has no effect without edge_ttl", "write edge_ttl = \"1h\"");
            reader.refuse("edge_ttl_mode", mode, wrong);
        }
        rule.browser_ttl = reader.duration("browser_ttl");
        rule.serve_stale = reader.duration("serve_stale");
        rule.store_set_cookie = reader.flag("store_set_cookie");
        rule.key = reader.table("key").map(CacheKey::read);
        if rule.does_nothing() {
            let help = "write cache = \"bypass\", or edge_ttl = \"1h\"";
            reader.refuse_table(Wrong::new("does nothing", help));
        }
        reader.close();
        rule
    }

    fn does_nothing(&self) -> bool {
        let Self {
            when,
            cache: None,
            edge_ttl: None,
            edge_ttl_mode: None,
            browser_ttl: None,
            serve_stale: None,
            store_set_cookie: None,
            key: None,
        } = self
        else {
            return false;
        };
        // What is wrong with the others was said.
        !when.is_empty()
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.text("when", &self.when);
        entries.text_if(
            "cache",
            self.cache.map(|cache| match cache {
                Eligibility::Eligible => "eligible",
                Eligibility::Bypass => "bypass",
            }),
        );
        entries.duration_if("edge_ttl", self.edge_ttl);
        entries.text_if(
            "edge_ttl_mode",
            self.edge_ttl_mode.map(|mode| match mode {
                EdgeTtlMode::RespectOrigin => "respect_origin",
                EdgeTtlMode::OverrideOrigin => "override_origin",
            }),
        );
        entries.duration_if("browser_ttl", self.browser_ttl);
        entries.duration_if("serve_stale", self.serve_stale);
        entries.flag_if("store_set_cookie", self.store_set_cookie);
        if let Some(key) = &self.key {
            entries.table("key", key.entries());
        }
        entries
    }
}

impl CacheKey {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut key = Self::default();
        let ignored = reader.choice("query") == Some("none");
        let at = reader
            .peek("include_query")
            .or(reader.peek("exclude_query"));
        let at = at.map(|found| found.offset);
        let include = reader.list("include_query", MOST_NAMES, name);
        let exclude = reader.list("exclude_query", MOST_NAMES, name);
        key.query = match (ignored, include, exclude) {
            (false, None, None) => KeyQuery::All,
            (true, None, None) => KeyQuery::Ignored,
            (false, Some(names), None) => KeyQuery::Include(names),
            (false, None, Some(names)) => KeyQuery::Exclude(names),
            _ => {
                let help = "write one of query = \"none\", include_query and exclude_query";
                reader.refuse("query", at, Wrong::new("is said in two ways", help));
                KeyQuery::All
            }
        };
        let headers = reader.list("headers", MOST_NAMES, |text| {
            let is_name = !text.is_empty() && text.bytes().all(is_token_byte);
            is_name
                .then(|| text.to_ascii_lowercase())
                .ok_or_else(|| Wrong::new(format!("{} is no field name", quote(text)), ""))
        });
        put(&mut key.headers, headers);
        put(&mut key.cookies, reader.list("cookies", MOST_NAMES, name));
        put(&mut key.device_type, reader.flag("device_type"));
        reader.close();
        key
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        match &self.query {
            KeyQuery::All => {}
            KeyQuery::Ignored => entries.text("query", "none"),
            KeyQuery::Include(names) => entries.list("include_query", names),
            KeyQuery::Exclude(names) => entries.list("exclude_query", names),
        }
        entries.list_if("headers", &self.headers);
        entries.list_if("cookies", &self.cookies);
        entries.flag("device_type", self.device_type, false);
        entries
    }
}

/// The name of a parameter or a cookie: what can stand before its `=`.
fn name(text: &str) -> Result<String, Wrong> {
    let is_odd = |byte: u8| byte <= b' ' || byte >= 0x7f || b"=&;,\"\\".contains(&byte);
    if text.is_empty() || text.len() > LONGEST_NAME || text.bytes().any(is_odd) {
        let what = format!("{} is no name of a parameter or a cookie", quote(text));
        let help = "1 to 256 visible characters, without `=`, `&`, `;`, `,`, `\"` and `\\`";
        return Err(Wrong::new(what, help));
    }
    Ok(text.to_owned())
}

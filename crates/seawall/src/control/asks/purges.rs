//! Purges, as they are asked for over HTTP.

use schemars::JsonSchema;
use seawall_model::Purged;
use serde::{Deserialize, Serialize};

/// What is to go of what edges keep of a zone's responses. At least one thing is named, a hundred at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewPurge {
    /// URLs, with all that is stored for them: `https://example.com/a?b`. HTTP and HTTPS are purged alike.
    pub urls: Vec<String>,
    /// Hosts and how paths begin: `example.com/a/`.
    pub prefixes: Vec<String>,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Tags that responses have in `Cache-Tag` or `Surrogate-Key`.
    pub tags: Vec<String>,
    /// All of the zone.
    pub everything: bool,
    /// It becomes stale, and does not go: it is validated, and may be served stale as far as that is allowed.
    pub soft: bool,
    /// Why, for the log.
    pub why: String,
}

impl NewPurge {
    /// What it names.
    pub fn what(&self) -> Vec<Purged> {
        let all = self.everything.then_some(Purged::Everything);
        let urls = self.urls.iter().cloned().map(Purged::Url);
        let prefixes = self.prefixes.iter().cloned().map(Purged::Prefix);
        let hosts = self.hosts.iter().cloned().map(Purged::Host);
        let tags = self.tags.iter().cloned().map(Purged::Tag);
        let named = urls.chain(prefixes).chain(hosts).chain(tags);
        all.into_iter().chain(named).collect()
    }

    /// The purge that names this.
    pub fn of(what: &[Purged], soft: bool, why: &str) -> Self {
        let mut new = Self {
            soft,
            why: why.to_owned(),
            ..Self::default()
        };
        for what in what {
            match what {
                Purged::Everything => new.everything = true,
                Purged::Url(text) => new.urls.push(text.clone()),
                Purged::Prefix(text) => new.prefixes.push(text.clone()),
                Purged::Host(text) => new.hosts.push(text.clone()),
                Purged::Tag(text) => new.tags.push(text.clone()),
            }
        }
        new
    }
}

/// A purge was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgeMade {
    /// Its number.
    pub purge: u64,
}

/// How far a purge has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgeStands {
    /// Its number.
    pub purge: u64,
    /// Each location.
    pub locations: Vec<PurgeOf>,
}

/// How far it has come in a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgeOf {
    /// The location.
    pub location: String,
    /// It is done there.
    pub done: bool,
    /// Milliseconds from when it was ordered to when control heard that it was done; none where that is not known, as after control
    /// was started anew.
    pub lag_ms: Option<u64>,
}

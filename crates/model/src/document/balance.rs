//! How requests are spread over a zone's origins, and what one origin may be given at once.

use std::time::Duration;

use super::reader::{Reader, put};
use super::write::Entries;
use crate::problem::{Wrong, quote};
use crate::token::is_token;

/// Which origin gets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What decides. Default [`By::Load`].
    pub by: By,
    /// What an origin may have in progress, as a percentage of its share, before requests whose key is its own go to the next
    /// one. 101 to 1,000. Default 125.
    pub most_load_percent: u16,
    /// In which the share of an origin that is new or comes back grows to its whole weight; zero switches it off. Default zero.
    pub slow_start: Duration,
}

/// What decides which origin gets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The lighter of two that are drawn by weight.
    #[default]
    Load,
    /// The client's address: the same client, the same origin.
    Client,
    /// The value of a request header field.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The path, without its query.
    Path,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            by: By::Load,
            most_load_percent: 125,
            slow_start: Duration::ZERO,
        }
    }
}

impl Balance {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut balance = Self::default();
        let at = reader.peek("by").map(|found| found.offset);
        let named = reader.peek("name").map(|found| found.offset);
        let by = reader.choice("by");
        let name = reader.parsed("name", token);
        put(
            &mut balance.by,
            by.map(|word| match (word, name.clone()) {
                ("header", Some(name)) => By::Header(name.to_ascii_lowercase()),
                ("cookie", Some(name)) => By::Cookie(name),
                ("client", _) => By::Client,
                ("path", _) => By::Path,
                _ => By::Load,
            }),
        );
        match by {
            Some(word @ ("header" | "cookie")) if named.is_none() => {
                let help = format!("write name = \"…\": which {word}");
                reader.refuse("by", at, Wrong::new("has no name", help));
            }
            Some("header" | "cookie") => {}
            // What was meant is not known: whether a name fits neither.
            None if at.is_some() => {}
            _ if named.is_some() => {
                let help = "write by = \"header\" or \"cookie\", or leave it out";
                reader.refuse("name", named, Wrong::new("has no effect", help));
            }
            _ => {}
        }
        put(
            &mut balance.most_load_percent,
            reader.number("most_load_percent"),
        );
        put(&mut balance.slow_start, reader.duration("slow_start"));
        reader.close();
        balance
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        let (word, name) = match &self.by {
            By::Load => (None, None),
            By::Client => (Some("client"), None),
            By::Header(name) => (Some("header"), Some(name)),
            By::Cookie(name) => (Some("cookie"), Some(name)),
            By::Path => (Some("path"), None),
        };
        entries.text_if("by", word);
        entries.text_if("name", name.map(String::as_str));
        entries.number(
            "most_load_percent",
            self.most_load_percent,
            default.most_load_percent,
        );
        entries.duration("slow_start", self.slow_start, default.slow_start);
        entries
    }
}

/// The name of a field (RFC 9110 §5.1) or of a cookie (RFC 6265 §4.1.1): both are tokens.
fn token(text: &str) -> Result<String, Wrong> {
    if text.len() <= 256 && is_token(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is no name of a header or cookie", quote(text));
    Err(Wrong::new(what, "write one such as \"x-user\""))
}

/// Ejection of origins that fail more often than the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// How far below the mean of all origins a success rate is an outlier, in hundredths of a standard deviation; 0 switches it
    /// off. Default 190.
    pub deviation_percent: u16,
    /// The time in which successes are counted. Default 10 s.
    pub interval: Duration,
    /// Requests in that time below which an origin's rate says nothing. Default 100.
    pub requests: u32,
    /// The share of the origins that may be ejected so, of which one always may. Default 10.
    pub most_percent: u8,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            deviation_percent: 190,
            interval: Duration::from_secs(10),
            requests: 100,
            most_percent: 10,
        }
    }
}

impl Outlier {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut outlier = Self::default();
        put(
            &mut outlier.deviation_percent,
            reader.number("deviation_percent"),
        );
        put(&mut outlier.interval, reader.duration("interval"));
        put(&mut outlier.requests, reader.number("requests"));
        put(&mut outlier.most_percent, reader.number("most_percent"));
        reader.close();
        outlier
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.number(
            "deviation_percent",
            self.deviation_percent,
            default.deviation_percent,
        );
        entries.duration("interval", self.interval, default.interval);
        entries.number("requests", self.requests, default.requests);
        entries.number("most_percent", self.most_percent, default.most_percent);
        entries
    }
}

/// What each origin may be given at once; 0 is no limit, and all are 0 by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Connections to it.
    pub connections: u32,
    /// Requests that wait for one of them.
    pub pending: u32,
    /// Requests in progress.
    pub requests: u32,
    /// Those of them that are retries.
    pub retries: u32,
}

impl Circuit {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut circuit = Self::default();
        let at = reader.peek("pending").map(|found| found.offset);
        put(&mut circuit.connections, reader.number("connections"));
        put(&mut circuit.pending, reader.number("pending"));
        put(&mut circuit.requests, reader.number("requests"));
        put(&mut circuit.retries, reader.number("retries"));
        if circuit.pending > 0 && circuit.connections == 0 {
            let help = "write connections = … too: what they wait for";
            reader.refuse("pending", at, Wrong::new("has no effect", help));
        }
        reader.close();
        circuit
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.number("connections", self.connections, 0);
        entries.number("pending", self.pending, 0);
        entries.number("requests", self.requests, 0);
        entries.number("retries", self.retries, 0);
        entries
    }
}

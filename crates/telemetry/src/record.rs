//! The Record: what is known of one request when it has ended, and its form as one line of JSON.
//!
//! Every line has every key, in one order; what does not apply is an empty string or `null`, so that a consumer sees one
//! shape. Whatever came from outside is cut to a bound, escaped so that the line stays valid JSON whatever its bytes were,
//! and stripped of credentials.
//!
//! Not here: where lines go (`log`), what is counted (`metrics`).

mod credentials;
mod line;
mod number;
mod ray;
mod sixteen;
mod text;

use std::net::IpAddr;

use seawall_model::HttpVersion;

use crate::Stamp;
use line::Line;
pub use ray::{LOCATION_LIMIT, Ray, Rays};

/// The keys of a line, in their order.
pub const KEYS: [&str; 26] = [
    "time",
    "ray",
    "location",
    "zone",
    "version",
    "client_ip",
    "method",
    "host",
    "path",
    "status",
    "source",
    "bytes_in",
    "bytes_out",
    "duration_us",
    "origin_us",
    "cache",
    "verdict",
    "stages",
    "http",
    "tls",
    "ja4",
    "bot_score",
    "country",
    "user_agent",
    "referer",
    "error",
];

/// Bytes of a path with its query that a line holds; what is cut ends in `…`, here and below.
pub const PATH_LIMIT: usize = 2048;
/// Bytes of `User-Agent` and of `Referer`.
pub const FIELD_LIMIT: usize = 512;
/// Bytes of a host name (RFC 1035 allows 253) with its port.
pub const HOST_LIMIT: usize = 264;
/// Bytes of a method.
pub const METHOD_LIMIT: usize = 32;
/// Bytes of any text that we made ourselves.
pub const WORD_LIMIT: usize = 256;

/// No line is longer, its line end included: every byte of text may become six (`\u00ff`), every other value and all keys
/// take less than 1 KiB.
pub const LINE_LIMIT: usize =
    6 * (PATH_LIMIT + 2 * FIELD_LIMIT + HOST_LIMIT + METHOD_LIMIT + 12 * WORD_LIMIT) + 1024;

/// Who made the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The edge itself: an error page, a refusal, an endpoint of ours.
    #[default]
    Edge,
    /// The cache, without asking the origin.
    Cache,
    /// The origin.
    Origin,
}

impl Source {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Cache, Self::Origin];

    /// As lines and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cache => "cache",
            Self::Origin => "origin",
        }
    }
}

/// What is known of one request when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request began, unix time in microseconds.
    pub time: u64,
    /// The id that the response and the origin got too.
    pub ray: Ray,
    /// The location that served it.
    pub location: &'a str,
    /// The zone's name; empty when no zone was found.
    pub zone: &'a str,
    /// The zone's version.
    pub version: &'a str,
    /// The client, after the trust rules.
    pub client_ip: IpAddr,
    /// As it came.
    pub method: &'a [u8],
    /// As it came; userinfo is left out of the line.
    pub host: &'a [u8],
    /// Path and query as they came; the line masks the values of keys that name credentials.
    pub path: &'a [u8],
    /// What the client got; 0 when it got no response.
    pub status: u16,
    /// Who made the answer.
    pub source: Source,
    /// Bytes of head and body that the client sent.
    pub bytes_in: u64,
    /// Bytes of head and body that the client got.
    pub bytes_out: u64,
    /// From the first byte of the request to the last of the response, in microseconds.
    pub duration_us: u64,
    /// From the first try at an origin to its response's head, in microseconds; none when no origin was asked.
    pub origin_us: Option<u64>,
    /// What the cache said, as in `Cache-Status`.
    pub cache: &'a str,
    /// `stage/reason`, or empty.
    pub verdict: &'a str,
    /// The stages that ran.
    pub stages: &'a str,
    /// The version of HTTP that the client spoke.
    pub http: HttpVersion,
    /// The version of TLS; empty without.
    pub tls: &'a str,
    /// The fingerprint of the client's TLS; empty when not taken.
    pub ja4: &'a str,
    /// From 1, surely automated, to 99, surely a person.
    pub bot_score: Option<u8>,
    /// Two letters; empty when unknown.
    pub country: &'a str,
    /// As it came.
    pub user_agent: &'a [u8],
    /// As it came; the line masks it like the path.
    pub referer: &'a [u8],
    /// What failed, as a slug: a `Proxy-Status` token (RFC 9209 §2.3) or one of ours; empty when nothing did.
    pub error: &'a str,
    /// What [`place`] made of location, zone and version; empty when that was not kept.
    pub place: &'a [u8],
}

/// The part of a line that holds location, zone and version, which many requests share: worth keeping.
pub fn place(location: &str, zone: &str, version: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    line::append(&mut out, LINE_LIMIT, |line| {
        write_place(line, location, zone, version)
    });
    out.into()
}

#[inline]
fn write_place(line: &mut Line<'_>, location: &str, zone: &str, version: &str) {
    line.constant(b"-");
    for byte in ray::capitals(location) {
        line.constant(&[byte]);
    }
    line.constant(b"\",\"location\":\"");
    text::write_word(line, location);
    line.constant(b"\",\"zone\":\"");
    text::write_word(line, zone);
    line.constant(b"\",\"version\":\"");
    text::write_word(line, version);
    line.constant(b"\",\"client_ip\":\"");
}

/// What stands between `origin_us` and the text of `user_agent` when cleartext HTTP/1.1 passed through and nothing was noticed.
const PLAIN: &[u8; 117] =
    b",\"cache\":\"\",\"verdict\":\"\",\"stages\":\"\",\"http\":\"HTTP/1.1\",\"tls\":\"\",\
    \"ja4\":\"\",\"bot_score\":null,\"country\":\"\",\"user_agent\":\"";

impl Record<'_> {
    /// Appends the Record as one line of JSON with its line end, at most [`LINE_LIMIT`] bytes.
    pub fn write_json(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        line::append(out, LINE_LIMIT, |line| {
            self.write_request(stamp, line);
            self.write_answer(line);
            if self.is_plain() {
                line.constant(PLAIN);
            } else {
                self.write_stages(line);
                self.write_client(line);
            }
            text::write(line, self.user_agent, FIELD_LIMIT);
            self.write_end(line);
        });
    }

    // A constant holds the end of the value before it and the beginning of the one after it.

    #[inline(always)]
    fn write_request(&self, stamp: &mut Stamp, line: &mut Line<'_>) {
        line.constant(b"{\"time\":\"");
        line.constant(stamp.rfc3339(self.time));
        line.constant(b"\",\"ray\":\"");
        line.constant(&self.ray.digits());
        match self.place {
            [] => write_place(line, self.location, self.zone, self.version),
            place => line.bytes(place),
        }
        number::write_address(line, self.client_ip);
        line.constant(b"\",\"method\":\"");
        text::write(line, self.method, METHOD_LIMIT);
        line.constant(b"\",\"host\":\"");
        credentials::write_host(line, self.host, HOST_LIMIT);
        line.constant(b"\",\"path\":\"");
        credentials::write_target(line, self.path, PATH_LIMIT);
    }

    #[inline(always)]
    fn write_answer(&self, line: &mut Line<'_>) {
        line.constant(b"\",\"status\":");
        number::write_decimal(line, u64::from(self.status));
        match self.source {
            Source::Edge => line.constant(b",\"source\":\"edge\",\"bytes_in\":"),
            Source::Cache => line.constant(b",\"source\":\"cache\",\"bytes_in\":"),
            Source::Origin => line.constant(b",\"source\":\"origin\",\"bytes_in\":"),
        }
        number::write_decimal(line, self.bytes_in);
        line.constant(b",\"bytes_out\":");
        number::write_decimal(line, self.bytes_out);
        line.constant(b",\"duration_us\":");
        number::write_decimal(line, self.duration_us);
        line.constant(b",\"origin_us\":");
        match self.origin_us {
            Some(microseconds) => number::write_decimal(line, microseconds),
            None => line.constant(b"null"),
        }
    }

    #[inline(always)]
    fn write_stages(&self, line: &mut Line<'_>) {
        if self.is_quiet() {
            line.constant(b",\"cache\":\"\",\"verdict\":\"\",\"stages\":\"");
            return;
        }
        line.constant(b",\"cache\":\"");
        text::write_word(line, self.cache);
        line.constant(b"\",\"verdict\":\"");
        text::write_word(line, self.verdict);
        line.constant(b"\",\"stages\":\"");
        text::write_word(line, self.stages);
    }

    #[inline(always)]
    fn write_client(&self, line: &mut Line<'_>) {
        match self.http {
            HttpVersion::Http10 => line.constant(b"\",\"http\":\"HTTP/1.0\",\"tls\":\""),
            HttpVersion::Http11 => line.constant(b"\",\"http\":\"HTTP/1.1\",\"tls\":\""),
            HttpVersion::Http2 => line.constant(b"\",\"http\":\"HTTP/2\",\"tls\":\""),
            HttpVersion::Http3 => line.constant(b"\",\"http\":\"HTTP/3\",\"tls\":\""),
        }
        text::write_word(line, self.tls);
        if self.is_quiet() {
            line.constant(b"\",\"ja4\":\"\",\"bot_score\":null,\"country\":\"\",\"user_agent\":\"");
        } else {
            self.write_traits(line);
        }
    }

    #[inline(always)]
    fn write_end(&self, line: &mut Line<'_>) {
        if self.referer.is_empty() && self.error.is_empty() {
            line.constant(b"\",\"referer\":\"\",\"error\":\"\"}\n");
            return;
        }
        line.constant(b"\",\"referer\":\"");
        credentials::write_target(line, self.referer, FIELD_LIMIT);
        line.constant(b"\",\"error\":\"");
        text::write_word(line, self.error);
        line.constant(b"\"}\n");
    }

    fn write_traits(&self, line: &mut Line<'_>) {
        line.constant(b"\",\"ja4\":\"");
        text::write_word(line, self.ja4);
        line.constant(b"\",\"bot_score\":");
        match self.bot_score {
            Some(score) => number::write_decimal(line, u64::from(score)),
            None => line.constant(b"null"),
        }
        line.constant(b",\"country\":\"");
        text::write_word(line, self.country);
        line.constant(b"\",\"user_agent\":\"");
    }

    /// [`PLAIN`] is what there is to say.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.http == HttpVersion::Http11 && self.tls.is_empty() && self.is_quiet()
    }

    /// Nothing to say of cache, stages and the client's traits.
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        let words = self.cache.len()
            | self.verdict.len()
            | self.stages.len()
            | self.ja4.len()
            | self.country.len();
        words == 0 && self.bot_score.is_none()
    }
}

#[cfg(test)]
pub(crate) mod tests;

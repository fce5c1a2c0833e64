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

impl Record<'_> {
    /// Appends the Record as one line of JSON with its line end, at most [`LINE_LIMIT`] bytes.
    pub fn write_json(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        line::append(out, LINE_LIMIT, |line| {
            self.write_request(stamp, line);
            self.write_answer(line);
            self.write_client(line);
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
        text::write(line, self.user_agent, FIELD_LIMIT);
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
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    pub(crate) fn typical() -> Record<'static> {
        Record {
            time: 1_785_069_296_789_123,
            ray: Ray(0x0123_4567_89ab_cdef),
            location: "lhr",
            zone: "example.com",
            version: "17",
            client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            method: b"GET",
            host: b"www.example.com",
            path: b"/articles/2026/first-light.html",
            status: 200,
            source: Source::Origin,
            bytes_in: 412,
            bytes_out: 1297,
            duration_us: 843,
            origin_us: Some(611),
            cache: "seawall; fwd=uri-miss",
            verdict: "",
            stages: "lists ddos signals rules",
            http: HttpVersion::Http11,
            tls: "TLSv1.3",
            ja4: "",
            bot_score: None,
            country: "",
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            referer: b"https://www.example.com/",
            error: "",
            place: b"",
        }
    }

    fn line(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        record.write_json(&mut Stamp::new(), &mut out);
        assert!(out.len() <= LINE_LIMIT, "{} bytes", out.len());
        let line = String::from_utf8(out).expect("UTF-8");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n'));
        line
    }

    fn parsed(record: &Record<'_>) -> serde_json::Value {
        serde_json::from_str(&line(record)).expect("JSON")
    }

    #[test]
    fn keys_are_the_contracts_in_its_order() {
        let contract = "time ray location zone version client_ip method host path status source bytes_in bytes_out \
                        duration_us origin_us cache verdict stages http tls ja4 bot_score country user_agent referer error";
        assert_eq!(
            KEYS.to_vec(),
            contract.split_whitespace().collect::<Vec<_>>()
        );
        for record in [
            typical(),
            Record {
                origin_us: None,
                bot_score: Some(30),
                ..typical()
            },
        ] {
            let line = line(&record);
            let mut rest = line.as_str();
            for key in KEYS {
                let quoted = format!("\"{key}\":");
                let (before, after) = rest
                    .split_once(&quoted)
                    .unwrap_or_else(|| panic!("{key} after {rest}"));
                assert!(before == "{" || before.ends_with(','), "{key}");
                rest = after;
            }
            let value = parsed(&record);
            assert_eq!(value.as_object().unwrap().len(), KEYS.len());
        }
    }

    #[test]
    fn a_typical_line() {
        assert_eq!(
            line(&typical()),
            concat!(
                r#"{"time":"2026-07-26T12:34:56.789Z","ray":"0123456789abcdef-LHR","location":"lhr","zone":"example.com","#,
                r#""version":"17","client_ip":"203.0.113.7","method":"GET","host":"www.example.com","#,
                r#""path":"/articles/2026/first-light.html","status":200,"source":"origin","bytes_in":412,"bytes_out":1297,"#,
                r#""duration_us":843,"origin_us":611,"cache":"seawall; fwd=uri-miss","verdict":"","#,
                r#""stages":"lists ddos signals rules","http":"HTTP/1.1","tls":"TLSv1.3","ja4":"","bot_score":null,"#,
                r#""country":"","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "#,
                r#"Chrome/126.0.0.0 Safari/537.36","referer":"https://www.example.com/","error":""}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_kept_place_and_quiet_traits_make_the_same_line() {
        let quiet = Record {
            cache: "",
            stages: "",
            location: "a\"b",
            ..typical()
        };
        let place = place(quiet.location, quiet.zone, quiet.version);
        assert_eq!(
            line(&Record {
                place: &place,
                ..quiet
            }),
            line(&quiet)
        );
        let loud = line(&Record {
            bot_score: Some(1),
            ..quiet
        });
        assert_eq!(
            loud.replace("\"bot_score\":1", "\"bot_score\":null"),
            line(&quiet)
        );
    }

    #[test]
    fn every_value_arrives() {
        let value = parsed(&Record {
            origin_us: None,
            bot_score: Some(7),
            source: Source::Cache,
            http: HttpVersion::Http2,
            status: 0,
            client_ip: "2001:db8::1".parse().unwrap(),
            error: "connection_refused",
            verdict: "waf/942100",
            ja4: "t13d1516h2_8daaf6152771_b186095e22b6",
            country: "NL",
            bytes_out: u64::MAX,
            ..typical()
        });
        assert_eq!(value["origin_us"], serde_json::Value::Null);
        assert_eq!(value["bot_score"], 7);
        assert_eq!(value["source"], "cache");
        assert_eq!(value["http"], "HTTP/2");
        assert_eq!(value["status"], 0);
        assert_eq!(value["client_ip"], "2001:db8::1");
        assert_eq!(value["error"], "connection_refused");
        assert_eq!(value["verdict"], "waf/942100");
        assert_eq!(value["ja4"], "t13d1516h2_8daaf6152771_b186095e22b6");
        assert_eq!(value["country"], "NL");
        assert_eq!(value["bytes_out"], u64::MAX);
        for source in Source::ALL {
            assert_eq!(
                parsed(&Record {
                    source,
                    ..typical()
                })["source"],
                source.name()
            );
        }
        for http in [
            HttpVersion::Http10,
            HttpVersion::Http11,
            HttpVersion::Http2,
            HttpVersion::Http3,
        ] {
            assert_eq!(parsed(&Record { http, ..typical() })["http"], http.name());
        }
    }

    #[test]
    fn any_bytes_make_valid_json() {
        let all: Vec<u8> = (0..=255).collect();
        let nasty: [&[u8]; 8] = [
            &all,
            b"\"",
            b"\\",
            b"\r\n{\"a\":1}",
            "caf\u{e9} \u{1f30a}".as_bytes(),
            b"\xf0\x9f\x8c",
            b"\xed\xa0\x80",
            b"?\0=\x7f&\xff",
        ];
        for bytes in nasty {
            let record = Record {
                method: bytes,
                host: bytes,
                path: bytes,
                user_agent: bytes,
                referer: bytes,
                ..typical()
            };
            let value = parsed(&record);
            assert!(!value["user_agent"].as_str().unwrap().is_empty());
        }
        let words = "\"\\\u{1}\u{85}\u{2028}é";
        let value = parsed(&Record {
            location: words,
            zone: words,
            version: words,
            cache: words,
            verdict: words,
            stages: words,
            tls: words,
            ja4: words,
            country: words,
            error: words,
            ..typical()
        });
        for key in [
            "location", "zone", "version", "cache", "verdict", "stages", "tls", "ja4", "country",
            "error",
        ] {
            assert_eq!(value[key], words, "{key}");
        }
    }

    #[test]
    fn the_worst_line_stays_within_its_limit() {
        let long = vec![0xffu8; 100_000];
        let word = "\u{1}".repeat(10_000);
        let value = parsed(&Record {
            location: &word,
            zone: &word,
            version: &word,
            cache: &word,
            verdict: &word,
            stages: &word,
            tls: &word,
            ja4: &word,
            country: &word,
            error: &word,
            method: &long,
            host: &long,
            path: &long,
            user_agent: &long,
            referer: &long,
            bytes_in: u64::MAX,
            bytes_out: u64::MAX,
            duration_us: u64::MAX,
            origin_us: Some(u64::MAX),
            time: u64::MAX,
            client_ip: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
            status: u16::MAX,
            bot_score: Some(255),
            ..typical()
        });
        assert_eq!(
            value["path"].as_str().unwrap().chars().count(),
            PATH_LIMIT + 1
        );
        assert!(value["path"].as_str().unwrap().ends_with('…'));
        assert_eq!(
            value["user_agent"].as_str().unwrap().chars().count(),
            FIELD_LIMIT + 1
        );
        assert_eq!(
            value["referer"].as_str().unwrap().chars().count(),
            FIELD_LIMIT + 1
        );
    }

    #[test]
    fn credentials_do_not_reach_the_line() {
        let line = line(&Record {
            host: b"user:hunter2@example.com",
            path: b"/login?user=ann&password=hunter2&next=%2Fcb%3Fcode%3Dhunter2",
            referer: b"https://ann:hunter2@example.com/?access_token=hunter2",
            ..typical()
        });
        assert!(!line.contains("hunter2"), "{line}");
        assert!(
            line.contains("/login?user=ann&password=***&next=%2Fcb%3Fcode%3D***"),
            "{line}"
        );
        assert!(line.contains("\"host\":\"example.com\""), "{line}");
        assert!(
            line.contains("\"https://example.com/?access_token=***\""),
            "{line}"
        );
    }
}

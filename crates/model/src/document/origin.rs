//! Where a zone's requests go: origins, how their health is found out, how long they are waited for.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::{Reader, put};
use super::value::{article, shown, whole};
use super::write::Entries;
use crate::host::{self, Host};
use crate::problem::{Wrong, quote};

mod url;

pub use url::OriginUrl;

/// One server behind a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it is.
    pub url: OriginUrl,
    /// Its share relative to the others, 1 to 1,000. Default 1.
    pub weight: u16,
    /// The version of HTTP. Default [`Protocol::Auto`].
    pub protocol: Protocol,
    /// The `Host` that it gets, with or without a port. Default: the client's.
    pub host: Option<String>,
    /// The name in the TLS handshake and in its certificate. Default: the host that it gets.
    pub sni: Option<String>,
    /// Whether its certificate is verified. Default true.
    pub verify: bool,
    /// The authorities that sign its certificate, a PEM file. Default: the system's.
    pub ca: Option<PathBuf>,
    /// How it learns the client's address, before the first byte of a connection. Default: not so.
    pub proxy_protocol: ProxyProtocol,
    /// Whether files and folders whose names begin with a dot are served, where it is a folder. Default false.
    pub dotfiles: bool,
    /// What we present to it.
    pub client_certificate: Option<CertificateFiles>,
}

impl Default for Origin {
    /// The built-in sample site.
    fn default() -> Self {
        Self {
            url: OriginUrl::Sample,
            weight: 1,
            protocol: Protocol::Auto,
            host: None,
            sni: None,
            verify: true,
            ca: None,
            proxy_protocol: ProxyProtocol::Off,
            dotfiles: false,
            client_certificate: None,
        }
    }
}

/// The version of HTTP that an origin is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What ALPN negotiates over TLS; HTTP/1.1 over plain TCP, but HTTP/2 with prior knowledge for gRPC.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, over plain TCP with prior knowledge.
    Http2,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// The version of the PROXY protocol that an origin gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Option<Self> {
        let (cert, key) = (reader.file("cert"), reader.file("key"));
        reader.close();
        Some(Self {
            cert: cert?,
            key: key?,
        })
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.text("cert", &self.cert.to_string_lossy());
        entries.text("key", &self.key.to_string_lossy());
        entries
    }
}

impl Origin {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut origin = Self::default();
        // A wrong URL is reported as such: whether TLS keys fit it is not known then.
        let url = reader.parsed("url", OriginUrl::parse);
        if let Some(url) = &url
            && !url.is_tls()
        {
            for name in ["sni", "verify", "ca", "client_certificate"] {
                if let Some(found) = reader
                    .peek(name)
                    .filter(|found| found.value.as_bool() != Some(true))
                {
                    let help = "use https://, or leave it out";
                    reader.refuse(
                        name,
                        Some(found.offset),
                        Wrong::new(format!("has no effect on {url}"), help),
                    );
                }
            }
        }
        if let Some(url) = &url {
            read_kind(&mut reader, url);
        }
        put(&mut origin.url, url);
        put(&mut origin.weight, reader.number("weight"));
        put(
            &mut origin.protocol,
            reader.choice("protocol").map(|word| match word {
                "1.1" => Protocol::Http1,
                "2" => Protocol::Http2,
                _ => Protocol::Auto,
            }),
        );
        let at = reader.peek("proxy_protocol").map(|found| found.offset);
        put(
            &mut origin.proxy_protocol,
            reader.choice("proxy_protocol").map(|word| match word {
                "v1" => ProxyProtocol::V1,
                "v2" => ProxyProtocol::V2,
                _ => ProxyProtocol::Off,
            }),
        );
        if origin.proxy_protocol != ProxyProtocol::Off && origin.protocol == Protocol::Http2 {
            let help = "leave protocol out: one connection of HTTP/2 is for many clients";
            let wrong = Wrong::new("does not go with protocol = \"2\"", help);
            reader.refuse("proxy_protocol", at, wrong);
        }
        put(&mut origin.dotfiles, reader.flag("dotfiles"));
        origin.host = reader.parsed("host", host_field);
        origin.sni = reader.parsed("sni", host::name);
        put(&mut origin.verify, reader.flag("verify"));
        origin.ca = reader.file("ca");
        origin.client_certificate = reader
            .table("client_certificate")
            .and_then(CertificateFiles::read);
        reader.close();
        origin
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.text("url", &self.url.to_string());
        entries.number("weight", self.weight, default.weight);
        if self.protocol != default.protocol {
            entries.text("protocol", self.protocol.name());
        }
        entries.text_if("host", self.host.as_deref());
        entries.text_if("sni", self.sni.as_deref());
        entries.flag("verify", self.verify, default.verify);
        entries.text_if(
            "ca",
            self.ca
                .as_deref()
                .map(|path| path.to_string_lossy())
                .as_deref(),
        );
        match self.proxy_protocol {
            ProxyProtocol::Off => {}
            ProxyProtocol::V1 => entries.text("proxy_protocol", "v1"),
            ProxyProtocol::V2 => entries.text("proxy_protocol", "v2"),
        }
        entries.flag("dotfiles", self.dotfiles, default.dotfiles);
        if let Some(files) = &self.client_certificate {
            entries.table("client_certificate", files.entries());
        }
        entries
    }
}

/// Keys that go with one kind of origin only.
fn read_kind(reader: &mut Reader<'_, '_>, url: &OriginUrl) {
    let is_folder = matches!(url, OriginUrl::Files(_));
    let names: &[&str] = match is_folder {
        true => &["protocol", "host", "proxy_protocol"],
        false => &["dotfiles"],
    };
    for name in names {
        let default = |value: &DeValue<'_>| {
            value.as_bool() == Some(false) || matches!(value.as_str(), Some("auto" | "off"))
        };
        if let Some(found) = reader.peek(name).filter(|found| !default(found.value)) {
            let wrong = Wrong::new(format!("has no effect on {url}"), "leave it out");
            reader.refuse(name, Some(found.offset), wrong);
        }
    }
}

/// What a `Host` field may hold.
fn host_field(text: &str) -> Result<String, Wrong> {
    Ok(match Host::parse_with_port(text)? {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_string(),
    })
}

/// Requests by which we find out whether an origin is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query that are asked for. Default `/`.
    pub path: String,
    /// Time between two checks of an origin. Default 5 s.
    pub every: Duration,
    /// Time for an answer. Default 2 s.
    pub timeout: Duration,
    /// The statuses of an origin that is up. Default 200 to 399.
    pub status: Vec<RangeInclusive<u16>>,
    /// The `Host` of checks. Default: the origin's `host`, else the first host of the zone.
    pub host: Option<String>,
    /// Good answers in a row that bring an origin back. Default 2.
    pub healthy_after: u16,
    /// Failures in a row that take an origin out. Default 3.
    pub unhealthy_after: u16,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".into(),
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            status: vec![200..=399],
            host: None,
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

impl HealthCheck {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut health = Self::default();
        put(&mut health.path, reader.parsed("path", target));
        put(&mut health.every, reader.duration("every"));
        put(&mut health.timeout, reader.duration("timeout"));
        let most = reader.limits.status_ranges;
        reader.refuse_empty("status", "write [\"200-399\"], or leave it out");
        if let Some(ranges) = reader.items_of("status", most, statuses) {
            health.status = ranges.into_iter().map(|item| item.value).collect();
        }
        health.host = reader.parsed("host", host_field);
        put(&mut health.healthy_after, reader.number("healthy_after"));
        put(
            &mut health.unhealthy_after,
            reader.number("unhealthy_after"),
        );
        reader.close();
        health
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        if self.path != default.path {
            entries.text("path", &self.path);
        }
        entries.duration("every", self.every, default.every);
        entries.duration("timeout", self.timeout, default.timeout);
        if self.status != default.status {
            let text = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
                (start, end) if start == end => start.to_string(),
                (start, end) => format!("{start}-{end}"),
            };
            entries.list("status", &self.status.iter().map(text).collect::<Vec<_>>());
        }
        entries.text_if("host", self.host.as_deref());
        entries.number("healthy_after", self.healthy_after, default.healthy_after);
        entries.number(
            "unhealthy_after",
            self.unhealthy_after,
            default.unhealthy_after,
        );
        entries
    }
}

/// Path and query in origin-form (RFC 9112 §3.2.1).
fn target(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::new(
            format!("{} is no path", quote(text)),
            "it begins with `/`",
        ));
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        let help = "printable ASCII without spaces and `#`; the rest as %XX";
        return Err(Wrong::new(format!("{} is no path", quote(text)), help));
    }
    Ok(text.to_owned())
}

/// `204`, `"204"` or `"200-399"`.
fn statuses(value: &DeValue<'_>) -> Result<RangeInclusive<u16>, Wrong> {
    let help = "statuses are 100 to 599, such as 204 or \"200-399\"";
    let status = |digits: &str| {
        let three = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .parse::<u16>()
            .ok()
            .filter(|status| three && (100..=599).contains(status))
    };
    let range = match value {
        DeValue::Integer(integer) => whole(integer)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (100..=599).contains(status))
            .map(|status| status..=status),
        DeValue::String(text) => match text.split_once('-') {
            Some((start, end)) => status(start)
                .zip(status(end))
                .map(|(start, end)| start..=end),
            None => status(text).map(|status| status..=status),
        },
        other => return Err(Wrong::new(format!("is {}", article(other)), help)),
    };
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| Wrong::new(format!("{} is no range of statuses", shown(value)), help))
}

/// What failures of real requests do to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passive {
    /// Failures in a row that eject it; 0 switches it off. Default 5.
    pub failures: u16,
    /// Time for which it stays ejected. Default 10 s.
    pub eject_for: Duration,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            failures: 5,
            eject_for: Duration::from_secs(10),
        }
    }
}

impl Passive {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut passive = Self::default();
        put(&mut passive.failures, reader.number("failures"));
        put(&mut passive.eject_for, reader.duration("eject_for"));
        reader.close();
        passive
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.number("failures", self.failures, default.failures);
        entries.duration("eject_for", self.eject_for, default.eject_for);
        entries
    }
}

/// How long an origin is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, its TLS handshake included. Default 3 s.
    pub connect: Duration,
    /// From the end of the request to the response head. Default 60 s.
    pub header: Duration,
    /// Without any byte of a response body. Default 60 s.
    pub idle: Duration,
    /// For the whole exchange. Default: no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: Duration::from_secs(3),
            header: minute,
            idle: minute,
            total: None,
        }
    }
}

impl Timeouts {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut timeouts = Self::default();
        put(&mut timeouts.connect, reader.duration("connect"));
        put(&mut timeouts.header, reader.duration("header"));
        put(&mut timeouts.idle, reader.duration("idle"));
        timeouts.total = reader.duration("total");
        reader.close();
        timeouts
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.duration("connect", self.connect, default.connect);
        entries.duration("header", self.header, default.header);
        entries.duration("idle", self.idle, default.idle);
        if let Some(total) = self.total {
            entries.duration("total", total, Duration::MAX);
        }
        entries
    }
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all. Default 2.
    pub attempts: u8,
    /// Retries as a share of all requests. Default 20.
    pub budget_percent: u8,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget_percent: 20,
        }
    }
}

impl Retry {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut retry = Self::default();
        put(&mut retry.attempts, reader.number("attempts"));
        put(&mut retry.budget_percent, reader.number("budget_percent"));
        reader.close();
        retry
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.number("attempts", self.attempts, default.attempts);
        entries.number(
            "budget_percent",
            self.budget_percent,
            default.budget_percent,
        );
        entries
    }
}

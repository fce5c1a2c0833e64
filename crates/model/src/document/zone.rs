//! A zone: the hosts that it answers for, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::balance::{Balance, Circuit, Outlier};
use super::compress::Compress;
use super::guard::{
    Maintenance, ZoneBody, ZoneDdos, ZoneHotlink, ZoneHygiene, ZoneLists, ZoneTransform,
};
use super::headers::HeaderEdits;
use super::lists::{ListNames, ListRef};
use super::origin::{CertificateFiles, HealthCheck, Origin, OriginUrl, Passive, Retry, Timeouts};
use super::reader::{Reader, put};
use super::rule::{Rule, ZoneRules};
use super::write::Entries;
use crate::host::HostPattern;
use crate::problem::{Problem, Wrong, quote};

/// One `[[zone]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, unlike any other's: 1 to 253 of letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// The hosts; at least one, and none that another zone has too.
    pub hosts: Vec<HostPattern>,
    /// The servers behind it; at least one.
    pub origins: Vec<Origin>,
    /// Active checks of the origins. Default: none.
    pub health: Option<HealthCheck>,
    /// What failures of real requests do to an origin.
    pub passive: Passive,
    /// Which origin gets a request.
    pub balance: Balance,
    /// Ejection of origins that fail more often than the others.
    pub outlier: Outlier,
    /// What each origin may be given at once.
    pub circuit: Circuit,
    /// How long an origin is waited for.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retry: Retry,
    /// What is compressed on its way to the client. Default: nothing.
    pub compress: Option<Compress>,
    /// TLS towards clients.
    pub tls: Tls,
    /// Whether plain HTTP is redirected to HTTPS. Default false.
    pub redirect_https: bool,
    /// `Strict-Transport-Security`. Default: not sent.
    pub hsts: Option<Hsts>,
    /// Edits of what the origin gets.
    pub request_headers: HeaderEdits,
    /// Edits of what the client gets.
    pub response_headers: HeaderEdits,
    /// Bytes of a request body. Default: no limit.
    pub max_body: Option<u64>,
    /// Whether WebSocket upgrades are let through. Default true.
    pub websocket: bool,
    /// What becomes of requests that an expression fits, in this order: `[[zone.rule]]`. Default: none.
    pub rules: Vec<Rule>,
    /// The stage `rules` as a whole: `[zone.rules]`.
    pub rule_stage: ZoneRules,
    /// The stage `lists`: client addresses that are refused or let through.
    pub lists: ZoneLists,
    /// The stage `ddos`: limits on one client address.
    pub ddos: ZoneDdos,
    /// The stage `body`: what request bodies may hold.
    pub body: ZoneBody,
    /// The stage `hotlink`: files that other sites embed.
    pub hotlink: ZoneHotlink,
    /// The stage `hygiene`: headers of responses.
    pub hygiene: ZoneHygiene,
    /// The stage `transform`: `redirect_https` and `request_headers`.
    pub transform: ZoneTransform,
    /// Whether the zone answers 503 with a page that says why.
    pub maintenance: Maintenance,
}

impl Default for Zone {
    /// Everything that has a default; name, hosts and origins are empty.
    fn default() -> Self {
        Self {
            name: String::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            health: None,
            passive: Passive::default(),
            balance: Balance::default(),
            outlier: Outlier::default(),
            circuit: Circuit::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            compress: None,
            tls: Tls::default(),
            redirect_https: false,
            hsts: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            max_body: None,
            websocket: true,
            rules: Vec::new(),
            rule_stage: ZoneRules::default(),
            lists: ZoneLists::default(),
            ddos: ZoneDdos::default(),
            body: ZoneBody::default(),
            hotlink: ZoneHotlink::default(),
            hygiene: ZoneHygiene::default(),
            transform: ZoneTransform::default(),
            maintenance: Maintenance::default(),
        }
    }
}

/// TLS towards clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Where the certificate comes from. Default: self-signed.
    pub certificate: Certificate,
    /// The lowest version. Default 1.2.
    pub min_version: TlsVersion,
    /// Whether clients present a certificate. Default: they do not.
    pub client: ClientCertificates,
    /// The authorities that sign clients' certificates, a PEM file; there unless `client` is off.
    pub client_ca: Option<PathBuf>,
}

/// Where a zone's certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Made by the edge; no browser trusts it.
    #[default]
    SelfSigned,
    /// Got by ACME (RFC 8555).
    Acme,
    /// Files.
    Files(CertificateFiles),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whether clients present a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked and may decline.
    Optional,
    /// Without a good one the handshake fails.
    Required,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How long browsers keep to HTTPS. Default 365 days.
    pub max_age: Duration,
    /// Whether that holds for all names below. Default false.
    pub include_subdomains: bool,
    /// Whether browsers may ship with it. Default false.
    pub preload: bool,
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Default for Hsts {
    fn default() -> Self {
        Self {
            max_age: YEAR,
            include_subdomains: false,
            preload: false,
        }
    }
}

/// Which zone had a name or a host first, so that the second is refused together with the first.
#[derive(Default)]
pub(super) struct Claims {
    names: BTreeMap<String, Claim>,
    hosts: BTreeMap<HostPattern, Claim>,
}

struct Claim {
    zone: Option<usize>,
    path: String,
    offset: usize,
    told: bool,
}

impl Claim {
    /// Puts `key` on record; if it is there already, refuses both.
    fn stake<K: Ord>(
        claims: &mut BTreeMap<K, Self>,
        key: K,
        reader: &mut Reader<'_, '_>,
        (name, offset): (&str, usize),
        wrong: impl Fn(&str) -> Wrong,
    ) {
        let path = reader.path_to(name);
        let Some(first) = claims.get_mut(&key) else {
            claims.insert(
                key,
                Self {
                    zone: reader.report.zone(),
                    path,
                    offset,
                    told: false,
                },
            );
            return;
        };
        reader.refuse(name, Some(offset), wrong(&first.path));
        if !first.told {
            first.told = true;
            let (path, other) = (first.path.clone(), path);
            let say = || Problem::new(path, wrong(&other));
            reader.report.add_to(first.zone, first.offset, say);
        }
    }
}

impl Zone {
    /// The files that it names, in a fixed order.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = match &self.tls.certificate {
            Certificate::Files(files) => [Some(&files.cert), Some(&files.key)],
            Certificate::SelfSigned | Certificate::Acme => [None, None],
        };
        let origins = self.origins.iter().flat_map(|origin| {
            let ours = origin.client_certificate.iter();
            let ours = ours.flat_map(|files| [&files.cert, &files.key]);
            origin.ca.iter().chain(ours)
        });
        let own = own.into_iter().flatten();
        own.chain(&self.tls.client_ca)
            .chain(&self.maintenance.page)
            .chain(origins)
    }

    /// As [`Zone::files`], to be changed.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = match &mut self.tls.certificate {
            Certificate::Files(files) => [Some(&mut files.cert), Some(&mut files.key)],
            Certificate::SelfSigned | Certificate::Acme => [None, None],
        };
        let origins = self.origins.iter_mut().flat_map(|origin| {
            let ours = origin.client_certificate.iter_mut();
            let ours = ours.flat_map(|files| [&mut files.cert, &mut files.key]);
            origin.ca.iter_mut().chain(ours)
        });
        let own = own.into_iter().flatten();
        own.chain(&mut self.tls.client_ca)
            .chain(&mut self.maintenance.page)
            .chain(origins)
    }

    /// The lists that it names beside its rules' conditions, which their compiler looks at.
    pub fn list_names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.lists.block,
            &self.lists.allow,
            &self.lists.only,
            &self.maintenance.allow,
        ];
        lists.into_iter().flatten().filter_map(|list| match list {
            ListRef::Named(name) => Some(name.as_str()),
            ListRef::Network(_) => None,
        })
    }

    pub(super) fn read(
        mut reader: Reader<'_, '_>,
        claims: &mut Claims,
        lists: &ListNames<'_>,
    ) -> Self {
        let mut zone = Self {
            name: read_name(&mut reader, claims),
            ..Self::default()
        };
        zone.hosts = read_hosts(&mut reader, claims);
        put(&mut zone.redirect_https, reader.flag("redirect_https"));
        put(&mut zone.websocket, reader.flag("websocket"));
        zone.max_body = reader.size("max_body");
        reader.refuse_empty("origin", "write [{ url = \"http://…\" }]");
        let most = reader.limits.origins_per_zone;
        put(
            &mut zone.origins,
            reader.tables("origin", most, Origin::read),
        );
        let is_folder = |origin: &Origin| matches!(origin.url, OriginUrl::Files(_));
        if zone.origins.len() > 1 && zone.origins.iter().any(is_folder) {
            let help = "a folder is a zone's only origin; files of two folders go into two zones";
            reader.refuse(
                "origin",
                None,
                Wrong::new("has a folder among others", help),
            );
        }
        zone.health = reader.table("health").map(HealthCheck::read);
        put(
            &mut zone.passive,
            reader.table("passive").map(Passive::read),
        );
        zone.read_spread(&mut reader);
        put(
            &mut zone.timeouts,
            reader.table("timeouts").map(Timeouts::read),
        );
        put(&mut zone.retry, reader.table("retry").map(Retry::read));
        zone.compress = reader.table("compress").map(Compress::read);
        put(&mut zone.tls, reader.table("tls").map(Tls::read));
        zone.hsts = reader.table("hsts").map(Hsts::read);
        let edits = reader
            .table("request_headers")
            .map(|reader| HeaderEdits::read(reader, true));
        put(&mut zone.request_headers, edits);
        let edits = reader
            .table("response_headers")
            .map(|reader| HeaderEdits::read(reader, false));
        put(&mut zone.response_headers, edits);
        zone.read_guard(&mut reader, lists);
        reader.close();
        zone
    }

    /// How requests are spread over the origins.
    fn read_spread(&mut self, reader: &mut Reader<'_, '_>) {
        put(
            &mut self.balance,
            reader.table("balance").map(Balance::read),
        );
        put(
            &mut self.outlier,
            reader.table("outlier").map(Outlier::read),
        );
        put(
            &mut self.circuit,
            reader.table("circuit").map(Circuit::read),
        );
    }

    fn read_guard(&mut self, reader: &mut Reader<'_, '_>, lists: &ListNames<'_>) {
        let (most, mut names) = (reader.limits.rules_per_zone, BTreeMap::new());
        let rules = reader.tables("rule", most, |reader| Rule::read(reader, &mut names));
        put(&mut self.rules, rules);
        match reader.peek("rules") {
            Some(found) if found.value.is_array() => {
                reader.take("rules");
                let help = "write [[zone.rule]] for each rule; [zone.rules] is the stage";
                let wrong = Wrong::new("is a list, not a table", help);
                reader.refuse("rules", Some(found.offset), wrong);
            }
            _ => put(
                &mut self.rule_stage,
                reader.table("rules").map(ZoneRules::read),
            ),
        }
        let read = reader.table("lists");
        put(
            &mut self.lists,
            read.map(|reader| ZoneLists::read(reader, lists)),
        );
        put(&mut self.ddos, reader.table("ddos").map(ZoneDdos::read));
        put(&mut self.body, reader.table("body").map(ZoneBody::read));
        put(
            &mut self.hotlink,
            reader.table("hotlink").map(ZoneHotlink::read),
        );
        put(
            &mut self.hygiene,
            reader.table("hygiene").map(ZoneHygiene::read),
        );
        put(
            &mut self.transform,
            reader.table("transform").map(ZoneTransform::read),
        );
        let read = reader.table("maintenance");
        put(
            &mut self.maintenance,
            read.map(|reader| Maintenance::read(reader, lists)),
        );
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.text("name", &self.name);
        entries.list("hosts", &self.hosts);
        entries.tables(
            "origin",
            &self.origins.iter().map(Origin::entries).collect::<Vec<_>>(),
        );
        entries.flag(
            "redirect_https",
            self.redirect_https,
            default.redirect_https,
        );
        entries.flag("websocket", self.websocket, default.websocket);
        if let Some(bytes) = self.max_body {
            entries.size("max_body", bytes, u64::MAX);
        }
        if let Some(health) = &self.health {
            entries.table("health", health.entries());
        }
        entries.table_if("passive", self.passive.entries());
        entries.table_if("balance", self.balance.entries());
        entries.table_if("outlier", self.outlier.entries());
        entries.table_if("circuit", self.circuit.entries());
        entries.table_if("timeouts", self.timeouts.entries());
        entries.table_if("retry", self.retry.entries());
        if let Some(compress) = &self.compress {
            entries.table("compress", compress.entries());
        }
        entries.table_if("tls", self.tls.entries());
        if let Some(hsts) = &self.hsts {
            entries.table("hsts", hsts.entries());
        }
        entries.table_if("request_headers", self.request_headers.entries());
        entries.table_if("response_headers", self.response_headers.entries());
        entries.sections("rule", self.rules.iter().map(Rule::entries).collect());
        entries.table_if("rules", self.rule_stage.entries());
        entries.table_if("lists", self.lists.entries());
        entries.table_if("ddos", self.ddos.entries());
        entries.table_if("body", self.body.entries());
        entries.table_if("hotlink", self.hotlink.entries());
        entries.table_if("hygiene", self.hygiene.entries());
        entries.table_if("transform", self.transform.entries());
        entries.table_if("maintenance", self.maintenance.entries());
        entries
    }
}

fn read_name(reader: &mut Reader<'_, '_>, claims: &mut Claims) -> String {
    let at = reader.peek("name").map(|found| found.offset);
    let name = reader.parsed("name", |text| {
        if is_zone_name(text) {
            return Ok(text.to_owned());
        }
        Err(Wrong::new(
            format!("{} is no name of a zone", quote(text)),
            "1 to 253 of letters, digits, `.`, `-`, `_`",
        ))
    });
    if let (Some(name), Some(at)) = (&name, at) {
        let wrong = |other: &str| {
            Wrong::new(
                format!("{} is also {other}", quote(name)),
                "a name belongs to one zone",
            )
        };
        Claim::stake(&mut claims.names, name.clone(), reader, ("name", at), wrong);
    }
    name.unwrap_or_default()
}

/// Names stand in commands, logs and file names: neither separators nor a leading dot or dash.
pub(super) fn is_zone_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(known) && !text.starts_with(['.', '-'])
}

fn read_hosts(reader: &mut Reader<'_, '_>, claims: &mut Claims) -> Vec<HostPattern> {
    reader.refuse_empty(
        "hosts",
        "write [\"example.com\"], or [\"*\"] for every host",
    );
    let most = reader.limits.hosts_per_zone;
    let Some(items) = reader.items("hosts", most, HostPattern::parse) else {
        return Vec::new();
    };
    let mut hosts = Vec::with_capacity(items.len());
    for item in items {
        let name = format!("hosts[{}]", item.nth);
        let shown = quote(&item.value.to_string());
        let wrong = |other: &str| {
            Wrong::new(
                format!("{shown} is also {other}"),
                "a host belongs to one zone",
            )
        };
        Claim::stake(
            &mut claims.hosts,
            item.value.clone(),
            reader,
            (&name, item.offset),
            wrong,
        );
        hosts.push(item.value);
    }
    hosts
}

impl Tls {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut tls = Self::default();
        put(&mut tls.certificate, Certificate::read(&mut reader));
        put(
            &mut tls.min_version,
            reader.choice("min_version").map(|word| {
                if word == "1.3" {
                    TlsVersion::Tls13
                } else {
                    TlsVersion::Tls12
                }
            }),
        );
        tls.read_client(&mut reader);
        reader.close();
        tls
    }

    fn read_client(&mut self, reader: &mut Reader<'_, '_>) {
        let written = reader.peek("client").map(|found| found.offset);
        let client_ca = reader.peek("client_ca").map(|found| found.offset);
        let client = reader.choice("client").map(|word| match word {
            "optional" => ClientCertificates::Optional,
            "required" => ClientCertificates::Required,
            _ => ClientCertificates::Off,
        });
        self.client_ca = reader.file("client_ca");
        if written.is_some() && client.is_none() {
            return; // What was meant is not known: whether it fits client_ca neither.
        }
        put(&mut self.client, client);
        match (self.client, client_ca) {
            (ClientCertificates::Off, Some(_)) => {
                let help = "write client = \"required\" or \"optional\"";
                reader.refuse(
                    "client_ca",
                    client_ca,
                    Wrong::new("has no effect while client is off", help),
                );
            }
            (ClientCertificates::Optional | ClientCertificates::Required, None) => {
                let help =
                    "write client_ca = \"…pem\": the authorities that sign clients' certificates";
                reader.refuse(
                    "client",
                    written,
                    Wrong::new("has nothing to verify clients by", help),
                );
            }
            _ => {}
        }
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        match &self.certificate {
            Certificate::SelfSigned => {}
            Certificate::Acme => entries.text("certificate", "acme"),
            Certificate::Files(files) => entries.table("certificate", files.entries()),
        }
        if self.min_version == TlsVersion::Tls13 {
            entries.text("min_version", "1.3");
        }
        match self.client {
            ClientCertificates::Off => {}
            ClientCertificates::Optional => entries.text("client", "optional"),
            ClientCertificates::Required => entries.text("client", "required"),
        }
        entries.text_if(
            "client_ca",
            self.client_ca
                .as_deref()
                .map(|path| path.to_string_lossy())
                .as_deref(),
        );
        entries
    }
}

impl Certificate {
    fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let found = reader.take("certificate")?;
        match found.value.as_str() {
            Some("self-signed") => return Some(Self::SelfSigned),
            Some("acme") => return Some(Self::Acme),
            _ if found.value.is_table() => {}
            other => {
                let what = match other.map(quote) {
                    Some(text) => format!("{text} is no source of a certificate"),
                    None => "is no source of a certificate".into(),
                };
                let help =
                    "write \"self-signed\", \"acme\", or { cert = \"…pem\", key = \"…pem\" }";
                reader.refuse("certificate", Some(found.offset), Wrong::new(what, help));
                return None;
            }
        }
        CertificateFiles::read(reader.table_of(found)?).map(Self::Files)
    }
}

impl Hsts {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut hsts = Self::default();
        let at = reader.peek("preload").map(|found| found.offset);
        put(&mut hsts.max_age, reader.duration("max_age"));
        put(
            &mut hsts.include_subdomains,
            reader.flag("include_subdomains"),
        );
        put(&mut hsts.preload, reader.flag("preload"));
        if hsts.preload && !(hsts.include_subdomains && hsts.max_age >= YEAR) {
            let help = "browsers ask for include_subdomains = true and max_age = \"365d\" at least";
            reader.refuse(
                "preload",
                at,
                Wrong::new("cannot be without the rest", help),
            );
        }
        reader.close();
        hsts
    }

    fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.duration("max_age", self.max_age, default.max_age);
        entries.flag(
            "include_subdomains",
            self.include_subdomains,
            default.include_subdomains,
        );
        entries.flag("preload", self.preload, default.preload);
        entries
    }
}

//! A zone: the hosts that it answers for, and how.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::balance::{Balance, Circuit, Outlier};
use super::claims::Claims;
use super::compress::Compress;
use super::guard::{
    Maintenance, ZoneBody, ZoneDdos, ZoneHotlink, ZoneHygiene, ZoneLists, ZoneTransform,
};
use super::headers::HeaderEdits;
use super::lists::ListNames;
use super::origin::{CertificateFiles, HealthCheck, Origin, OriginUrl, Passive, Retry, Timeouts};
use super::reader::{Item, Reader, put};
use super::rule::{Rule, ZoneRules};
use super::write::Entries;
use crate::host::HostPattern;
use crate::problem::{Wrong, quote};

/// One `[[zone]]`: what is its own, and how it is served, which most zones have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Its name, unlike any other's: 1 to 253 of letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// The hosts; at least one, and none that another zone has too.
    pub hosts: Vec<HostPattern>,
    /// The servers behind it; at least one.
    pub origins: Vec<Origin>,
    /// The rest. A zone that leaves all of it as it is shares it with all such zones.
    pub settings: Arc<ZoneSettings>,
}

impl Deref for Zone {
    type Target = ZoneSettings;

    fn deref(&self) -> &ZoneSettings {
        &self.settings
    }
}

/// How a zone is served: everything that has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
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

impl Default for ZoneSettings {
    fn default() -> Self {
        Self {
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

impl Zone {
    pub(super) fn read(
        mut reader: Reader<'_, '_>,
        claims: &mut Claims,
        lists: &ListNames<'_>,
    ) -> Self {
        let name = read_name(&mut reader, claims);
        let hosts = read_hosts(&mut reader, claims);
        reader.refuse_empty("origin", "write [{ url = \"http://…\" }]");
        let most = reader.limits.origins_per_zone;
        let origins = reader.tables("origin", most, Origin::read);
        let origins = origins.unwrap_or_default();
        let is_folder = |origin: &Origin| matches!(origin.url, OriginUrl::Files(_));
        if origins.len() > 1 && origins.iter().any(is_folder) {
            let help = "a folder is a zone's only origin; files of two folders go into two zones";
            reader.refuse(
                "origin",
                None,
                Wrong::new("has a folder among others", help),
            );
        }
        let settings = if reader.is_empty() {
            ZoneSettings::shared()
        } else {
            Arc::new(ZoneSettings::read(&mut reader, lists))
        };
        reader.close();
        Self {
            name,
            hosts,
            origins,
            settings,
        }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.text("name", &self.name);
        entries.list("hosts", &self.hosts);
        entries.tables(
            "origin",
            &self.origins.iter().map(Origin::entries).collect::<Vec<_>>(),
        );
        if *self.settings != *ZoneSettings::shared() {
            self.settings.add_to(&mut entries);
        }
        entries
    }

    /// To change how it is served, alone.
    pub fn settings_mut(&mut self) -> &mut ZoneSettings {
        Arc::make_mut(&mut self.settings)
    }
}

impl ZoneSettings {
    /// All as it is by default, once for all zones.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<ZoneSettings>> = LazyLock::new(Arc::default);
        SHARED.clone()
    }

    fn read(reader: &mut Reader<'_, '_>, lists: &ListNames<'_>) -> Self {
        let mut zone = Self::default();
        put(&mut zone.redirect_https, reader.flag("redirect_https"));
        put(&mut zone.websocket, reader.flag("websocket"));
        zone.max_body = reader.size("max_body");
        zone.health = reader.table("health").map(HealthCheck::read);
        put(
            &mut zone.passive,
            reader.table("passive").map(Passive::read),
        );
        zone.read_spread(reader);
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
        zone.read_guard(reader, lists);
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

    fn add_to(&self, entries: &mut Entries) {
        let default = Self::default();
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
    if let (Some(_), Some(at)) = (&name, at) {
        claims.name(reader.report, at);
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
    let host = |item: Item<HostPattern>| {
        claims.host(reader.report, item.nth, item.offset);
        item.value
    };
    items.into_iter().map(host).collect()
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

//! A zone: the hosts that it answers for, and how.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::claims::Claims;
use super::lists::{ListNames, ListRef};
use super::origin::{CertificateFiles, Origin, OriginUrl};
use super::reader::{Item, Reader, put};
use super::settings::ZoneSettings;
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
            .chain(self.waf.files())
            .chain(origins)
    }

    /// Those of [`Zone::files`] that are private keys.
    pub fn keys(&self) -> impl Iterator<Item = &PathBuf> {
        let own = match &self.tls.certificate {
            Certificate::Files(files) => Some(&files.key),
            Certificate::SelfSigned | Certificate::Acme => None,
        };
        let of_origins = self.origins.iter();
        let of_origins = of_origins.filter_map(|origin| origin.client_certificate.as_ref());
        own.into_iter().chain(of_origins.map(|files| &files.key))
    }

    /// As [`Zone::files`], to be changed.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let names_none = self.tls.client_ca.is_none()
            && self.maintenance.page.is_none()
            && self.waf.files().next().is_none()
            && !matches!(self.tls.certificate, Certificate::Files(_));
        // What names none goes on to be shared.
        let settings = (!names_none).then(|| Arc::make_mut(&mut self.settings));
        let of_settings = settings.into_iter().flat_map(ZoneSettings::files_mut);
        let origins = self.origins.iter_mut().flat_map(|origin| {
            let ours = origin.client_certificate.iter_mut();
            let ours = ours.flat_map(|files| [&mut files.cert, &mut files.key]);
            origin.ca.iter_mut().chain(ours)
        });
        of_settings.chain(origins)
    }

    /// The lists that it names beside its rules' conditions, which their compiler looks at.
    pub fn list_names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.lists.block,
            &self.lists.allow,
            &self.lists.only,
            &self.maintenance.allow,
            &self.waf.debug_header,
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

    /// How many entries its text has, in whatever lines they stand: a host, an origin, a rule, an element of any other list is one, and
    /// so is each other key.
    pub fn entry_count(&self) -> u64 {
        self.entries().count()
    }

    /// To change how it is served, alone.
    pub fn settings_mut(&mut self) -> &mut ZoneSettings {
        Arc::make_mut(&mut self.settings)
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
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
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

    pub(super) fn entries(&self) -> Entries {
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
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
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

    pub(super) fn entries(&self) -> Entries {
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
